import { BoundedMemo, bytesOfText, bytesOfTexts, MemoBudget } from '../bounded-memo.js'
import { currentMs } from '../current-time.js'
import type { TagVersions } from '../tags.js'
import { callerPosition } from './caller.js'
import {
  dropped,
  EVICTED,
  expired,
  NOT_STORED,
  OTHER_VERSION,
  otherVariant,
  removed,
  UNUSABLE,
  type Ending,
  type MissCause,
} from './miss-cause.js'

/** What an entry is of. */
export interface Subject {
  readonly kind: 'fragment' | 'page' | 'value'
  /** Its key, before the cache adds prefix and version. */
  readonly key: string
  /** The fragment's name, the page's URL, or the key of a value. */
  readonly name: string
  /** What tells it from others of its name: vary-on values, or the request headers that a page varies on. */
  readonly variant: readonly string[]
  readonly template?: string | undefined
  /** Where its tag begins in the template, counted from 1. */
  readonly line?: number | undefined
  /** Of a page. */
  readonly route?: string | undefined
}

/** What a look-up found that is of no use any more: who ended it is not known. */
export type Lost = { readonly tag: string } | { readonly expiredAtMs: number } | 'unusable'

/** An entry that this process stored. */
interface Remembered {
  readonly subject: Subject
  readonly storedKey: string
  readonly storedAtMs: number
  /** Milliseconds since the epoch; `Infinity`: never. */
  readonly freshUntilMs: number
  readonly tags: TagVersions
  removed: Ending | undefined
}

/** An entry that this process stored and that is, as far as it knows, still there. */
export interface LiveEntry {
  readonly subject: Subject
  /** Milliseconds since the epoch. */
  readonly storedAtMs: number
  /** Milliseconds since the epoch; `Infinity`: never. */
  readonly freshUntilMs: number
  /** Stored tags: of its fragment, of those inside it, and those that were given. */
  readonly tags: TagVersions
}

/** What all caches of a process remember takes at most so many bytes. */
export const REMEMBERED_BYTES = 4 * 1024 * 1024

const budget = new MemoBudget(REMEMBERED_BYTES)

/** Variants of one fragment or URL among which the nearest is looked for. */
const MAX_VARIANTS_COMPARED = 8

/** Longer vary-on values are cut in texts for people. */
const MAX_SHOWN = 40

/**
 * What this process stored in one cache and what it removed since: it tells why something is missing, and what
 * depends on a tag. Written when something is stored or removed, never when it is found.
 */
export class RememberedEntries {
  readonly #entries = new BoundedMemo<Remembered>(bytesOfRemembered, budget)
  /** The last entries of each fragment and URL. */
  readonly #groups = new BoundedMemo<readonly Remembered[]>(
    // They may be forgotten as entries, and are kept by this alone.
    (all) => all.reduce((sum, one) => sum + bytesOfRemembered(one), 16),
    budget,
  )
  /** By stored tag. */
  readonly #invalidated = new BoundedMemo<Ending>(({ from = '' }) => 32 + bytesOfText(from), budget)
  #cleared: Ending | undefined

  stored(
    subject: Subject,
    storedKey: string,
    tags: TagVersions,
    freshUntilMs: number | null,
  ): void {
    const entry: Remembered = {
      subject,
      storedKey,
      storedAtMs: currentMs(),
      freshUntilMs: freshUntilMs ?? Infinity,
      tags,
      removed: undefined,
    }
    this.#entries.set(storedKey, entry)
    if (subject.kind === 'value') return
    const group = groupOf(subject)
    const others = this.#groups.get(group)?.filter((one) => one.storedKey !== storedKey) ?? []
    this.#groups.set(group, [...others, entry].slice(-MAX_VARIANTS_COMPARED))
  }

  /** Notes that stored tags are being invalidated. */
  invalidated(tags: readonly string[]): void {
    const ending = endsNow()
    for (const tag of tags) this.#invalidated.set(tag, ending)
  }

  /** The last time that a stored tag was invalidated here, as far as it is remembered. */
  invalidationOf(tag: string): Ending | undefined {
    return this.#invalidated.get(tag)
  }

  /** Notes that an entry, or without a key all of them, is being removed. */
  removed(storedKey?: string): void {
    if (storedKey === undefined) this.#cleared = endsNow()
    else end(this.#entries.get(storedKey))
  }

  /** Notes that all pages of a URL are being dropped. */
  removedPages(url: string): void {
    this.#groups.get(groupOf({ kind: 'page', name: url }))?.forEach(end)
  }

  /**
   * Why something is missing.
   *
   * @param lost - What lies there, where the look-up said so.
   * @param isSure - `false`: under which key it would lie is not known, so that the last of its name counts.
   */
  causeOf(
    subject: Pick<Subject, 'kind' | 'name' | 'key' | 'variant'>,
    storedKey: string,
    lost?: Lost,
    isSure = true,
  ): MissCause {
    const nowMs = currentMs()
    const others = this.#groups.get(groupOf(subject)) ?? []
    const own = this.#entries.get(storedKey) ?? (isSure ? undefined : others.at(-1))
    if (lost === 'unusable') return UNUSABLE
    if (lost !== undefined) {
      if ('expiredAtMs' in lost) {
        return (own && this.#endOf(own, nowMs)) ?? expired(Math.max(0, nowMs - lost.expiredAtMs))
      }
      const ending = this.#invalidated.get(lost.tag)
      const isThat = ending !== undefined && (own === undefined || ending.atMs >= own.storedAtMs)
      return dropped(lost.tag, isThat ? ending : undefined, nowMs)
    }
    if (own !== undefined) return this.#endOf(own, nowMs) ?? EVICTED
    if (others.some((one) => one.subject.key === subject.key)) return OTHER_VERSION
    const live = others.filter((one) => this.#endOf(one, nowMs) === undefined)
    const difference = differenceFrom(live, subject)
    return difference === undefined ? NOT_STORED : otherVariant(difference)
  }

  /** What ended it first; `undefined`: nothing that is known. */
  #endOf(entry: Remembered, nowMs: number): MissCause | undefined {
    const { storedAtMs, freshUntilMs, tags } = entry
    let first = freshUntilMs <= nowMs ? freshUntilMs : Infinity
    let cause = first === Infinity ? undefined : expired(nowMs - first)
    for (const ending of [entry.removed, this.#cleared]) {
      if (ending === undefined || ending.atMs < storedAtMs || ending.atMs > first) continue
      first = ending.atMs
      cause = removed(ending, nowMs)
    }
    for (const tag of tags.keys()) {
      const ending = this.#invalidated.get(tag)
      if (ending === undefined || ending.atMs < storedAtMs || ending.atMs > first) continue
      first = ending.atMs
      cause = dropped(tag, ending, nowMs)
    }
    return cause
  }

  /** The entries that are, as far as this process knows, there, and depend on one of these stored tags. */
  *dependingOn(tags: readonly string[]): Generator<LiveEntry> {
    for (const entry of this.live()) if (tags.some((tag) => entry.tags.has(tag))) yield entry
  }

  /** The pages of a URL that are, as far as this process knows, there. */
  *pagesOf(url: string): Generator<LiveEntry> {
    for (const entry of this.live()) {
      const { kind, name } = entry.subject
      if (kind === 'page' && name === url) yield entry
    }
  }

  /** The entries that are, as far as this process knows, there. */
  *live(): Generator<LiveEntry> {
    const nowMs = currentMs()
    for (const entry of this.#entries.values()) {
      if (this.#endOf(entry, nowMs) === undefined) yield entry
    }
  }
}

function endsNow(): Ending {
  return { atMs: currentMs(), from: callerPosition() }
}

function end(entry: Remembered | undefined): void {
  if (entry !== undefined) entry.removed ??= endsNow()
}

function groupOf({ kind, name }: Pick<Subject, 'kind' | 'name'>): string {
  return `${kind}:${name}`
}

/** What tells something from the nearest of others, as a clause. */
function differenceFrom(
  others: readonly Remembered[],
  { kind, variant }: Pick<Subject, 'kind' | 'variant'>,
): string | undefined {
  let nearest: readonly number[] | undefined
  let there: readonly string[] = []
  for (const { subject } of others) {
    const length = Math.max(variant.length, subject.variant.length)
    const places = Array.from({ length }, (_, i) => i)
    const differing = places.filter((i) => variant[i] !== subject.variant[i])
    if (nearest !== undefined && nearest.length <= differing.length) continue
    nearest = differing
    there = subject.variant
  }
  if (nearest === undefined) return undefined
  // Readers of logs do not get what visitors send.
  if (kind === 'page')
    return 'the request headers that the page varies on, its language or its time zone differ'
  const [at] = nearest
  if (at === undefined) return 'its tag or its template differs'
  const more = nearest.length > 1 ? `, and ${nearest.length - 1} more` : ''
  return `vary-on value ${at + 1} is ${shown(variant[at])} and was ${shown(there[at])}${more}`
}

function shown(text: string | undefined): string {
  if (text === undefined) return 'not given'
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text)
}

function bytesOfRemembered({ subject, storedKey, tags }: Remembered): number {
  const { key, name, variant, route = '' } = subject
  const texts = [key, name, route, storedKey].reduce((sum, text) => sum + bytesOfText(text), 0)
  return 300 + texts + bytesOfTexts(variant) + 100 * tags.size
}
