import { AsyncSlot } from '../async-slot.js'
import { BoundedMemo, bytesOfText, bytesOfTexts, MemoBudget } from '../bounded-memo.js'
import { isSameLife } from '../clock.js'
import { currentMs } from '../current-time.js'
import type { MaybePromise } from '../maybe-promise.js'
import { clockTimeOf, fragmentTag, isFragmentTag, type TagVersions } from '../tags.js'
import { callerPosition } from './caller.js'
import {
  dropped,
  droppedElsewhere,
  EVICTED,
  expired,
  NOT_KEPT,
  NOT_REMEMBERED,
  NOT_STORED,
  OTHER_CACHE,
  OTHER_VERSION,
  otherVariant,
  removed,
  tagLost,
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
  /** What tells it from others of its name: vary-on values, or of a page a {@link variantPart} for each. */
  readonly variant: readonly string[]
  readonly template?: string | undefined
  /** Where its tag begins in the template, counted from 1. */
  readonly line?: number | undefined
  /** Of a page. */
  readonly route?: string | undefined
  /** Milliseconds since the epoch, `null`: never; where the store does not know it, as of a page. */
  readonly freshUntilMs?: number | null | undefined
  /** Of a page: the record without which nothing finds it. */
  readonly record?: NeededRecord | undefined
}

/** What has to be stored under another key for an entry to be of use. */
export interface NeededRecord {
  readonly storedKey: string
  readonly fits: (value: unknown) => boolean
}

/** What a page varies on. @param value - Not shown to anybody. */
export function variantPart(name: string, value: string): string {
  return `${name}\n${value}`
}

/** What a look-up found that is of no use any more: who ended it is not known. */
export type Lost =
  | {
      readonly tag: string
      readonly version: string
      /** Milliseconds since the epoch, by the clock of who invalidated it. */
      readonly atMs?: number | undefined
    }
  | { readonly expiredAtMs: number }
  /** A stored tag whose version the store has lost. */
  | { readonly lostTag: string }
  | 'unusable'

/** An entry that this process stored. */
interface Remembered {
  readonly subject: Subject
  readonly storedKey: string
  /** As of {@link Ending}. */
  readonly order: number
  readonly storedAtMs: number
  /** Milliseconds since the epoch; `Infinity`: never. */
  freshUntilMs: number
  readonly tags: TagVersions
  removed: Ending | undefined
}

/** An entry that this process stored, as it was then. */
export interface StoredEntry {
  readonly subject: Subject
  readonly storedKey: string
  /** Milliseconds since the epoch. */
  readonly storedAtMs: number
  /** Milliseconds since the epoch; `Infinity`: never. */
  readonly freshUntilMs: number
  /** Stored tags: of its fragment, of those inside it, and those that were given. */
  readonly tags: TagVersions
}

/** What all caches of a process remember takes at most so many bytes. */
export const REMEMBERED_BYTES = 8 * 1024 * 1024

const budget = new MemoBudget(REMEMBERED_BYTES)

/** Variants of one fragment or URL among which the nearest is looked for. */
const MAX_VARIANTS_COMPARED = 64

/** Longer vary-on values are cut in texts for people. */
const MAX_SHOWN = 40

/** What was stored and what ended, in the order in which it came. */
let order = 0

/** Who does by hand what runs inside. */
const actor = new AsyncSlot<string>()

/** Does something by hand. @param who - As causes of misses name it: `ann, in the inspector`. */
export function actingAs<R>(who: string, action: () => MaybePromise<R>): MaybePromise<R> {
  return actor.runUntilSettled(who, action)
}

/**
 * What this process stored in one cache and what it removed since: it tells why something is missing, and what
 * depends on a tag. Written when something is stored or removed, never when it is found.
 */
export class RememberedEntries {
  readonly #entries = new BoundedMemo<Remembered>(bytesOfRemembered, budget)
  /** The stored keys of the last entries of each fragment and URL, in the order in which they were stored. */
  readonly #groups = new BoundedMemo<Set<string>>((keys) => bytesOfTexts([...keys]), budget)
  /** The names of the fragments that have others in them. */
  readonly #outer = new BoundedMemo<true>(() => 16, budget)
  /** By stored tag. */
  readonly #invalidated = new BoundedMemo(bytesOfEnding, budget)
  /** By the stored key of the record that the pages of a URL need. */
  readonly #removedRecords = new BoundedMemo(bytesOfEnding, budget)
  #cleared: Ending | undefined

  /** @param keepsNothing - Whether its store keeps nothing, such as that of `DummyCache`. */
  constructor(private readonly keepsNothing: () => boolean) {}

  stored(
    subject: Subject,
    storedKey: string,
    tags: TagVersions,
    freshUntilMs: number | null,
  ): void {
    const entry: Remembered = {
      subject,
      storedKey,
      order: ++order,
      storedAtMs: currentMs(),
      freshUntilMs: freshUntilMs ?? Infinity,
      tags,
      removed: undefined,
    }
    this.#entries.set(storedKey, entry)
    if (subject.kind === 'value') return
    if (subject.kind === 'fragment' && hasOthersIn(subject, tags)) this.#noteOuter(subject)
    const keys = this.#groupOf(subject)
    keys.delete(storedKey)
    keys.add(storedKey)
    if (keys.size <= MAX_VARIANTS_COMPARED) return
    const [oldest = ''] = keys
    keys.delete(oldest)
  }

  /** Once: what is set again is charged again. */
  #noteOuter({ name }: Subject): void {
    if (this.#outer.get(name) === undefined) this.#outer.set(name, true)
  }

  #groupOf(subject: Subject): Set<string> {
    const name = groupOf(subject)
    const known = this.#groups.get(name)
    if (known !== undefined) return known
    const keys = new Set<string>()
    this.#groups.set(name, keys)
    return keys
  }

  /** Notes that an entry has another timeout. */
  touched(storedKey: string, freshUntilMs: number | null): void {
    const entry = this.#entries.peek(storedKey)
    if (entry !== undefined) entry.freshUntilMs = freshUntilMs ?? Infinity
  }

  /** Whether what is being stored is to be remembered, or takes the place of what is. */
  concerns({ storedKey, subject }: { storedKey: string; subject?: Subject | undefined }): boolean {
    return subject !== undefined || this.#entries.peek(storedKey) !== undefined
  }

  /** Notes that an entry is stored under another key too. */
  copied(from: string, to: string): void {
    const entry = this.#entries.peek(from)
    if (entry === undefined) return
    const { subject, tags, freshUntilMs } = entry
    this.stored(subject, to, tags, freshUntilMs)
  }

  /** Whether all that was stored in this process is remembered. */
  get isWhole(): boolean {
    return !this.#entries.hasForgotten
  }

  /** Notes that stored tags are being invalidated. */
  invalidated(tags: readonly string[]): Ending {
    const ending = endsNow()
    for (const tag of tags) this.#invalidated.set(tag, ending)
    return ending
  }

  /** The last time that a stored tag was invalidated here, as far as it is remembered. */
  invalidationOf(tag: string): Ending | undefined {
    return this.#invalidated.peek(tag)
  }

  /** Notes that an entry, or without a key all of them, is being removed or replaced by something else. */
  removed(storedKey?: string): void {
    if (storedKey === undefined) this.#cleared = endsNow()
    else {
      const entry = this.#entries.peek(storedKey)
      if (entry !== undefined) entry.removed ??= endsNow()
    }
  }

  /** Notes that all pages of a URL are being dropped. @param storedKey - Of the record that they need. */
  removedPages(storedKey: string): void {
    this.#removedRecords.set(storedKey, endsNow())
  }

  #removalOf({ record }: Subject): Ending | undefined {
    return record && this.#removedRecords.peek(record.storedKey)
  }

  /**
   * Why something is missing.
   *
   * @param lost - What lies there, where the look-up said so.
   * @param isSure - `false`: under which key it would lie is not known, so that the last counts that has all parts of
   *   its variant that are known.
   * @param siblings - What is remembered of other caches of the site.
   */
  causeOf(
    subject: Pick<Subject, 'kind' | 'name' | 'key' | 'variant'>,
    storedKey: string,
    lost?: Lost,
    isSure = true,
    siblings: Iterable<RememberedEntries> = [],
  ): MissCause {
    if (this.keepsNothing()) return NOT_KEPT
    const nowMs = currentMs()
    const others = this.#lastOf(subject)
    const hasAllParts = (one: Remembered) =>
      subject.variant.every((part) => one.subject.variant.includes(part))
    const own = this.#entries.peek(storedKey) ?? (isSure ? undefined : others.findLast(hasAllParts))
    if (lost === 'unusable') return UNUSABLE
    if (lost !== undefined) {
      if ('expiredAtMs' in lost) {
        return (own && this.#endOf(own, nowMs)) ?? expired(Math.max(0, nowMs - lost.expiredAtMs))
      }
      if ('lostTag' in lost) return (own && this.#endOf(own, nowMs)) ?? tagLost(lost.lostTag)
      const ending = this.#invalidated.peek(lost.tag)
      return ending !== undefined && endedBy(ending, lost, own)
        ? dropped(lost.tag, ending, nowMs)
        : droppedElsewhere(lost.tag, lost.atMs, nowMs)
    }
    if (own !== undefined) return this.#endOf(own, nowMs) ?? EVICTED
    const live = others.filter((one) => this.#endOf(one, nowMs) === undefined)
    if (live.some((one) => one.subject.key === subject.key)) return OTHER_VERSION
    for (const sibling of siblings) if (sibling.#hasSubject(subject, nowMs)) return OTHER_CACHE
    const difference = differenceFrom(live, subject)
    if (difference !== undefined) return otherVariant(difference)
    return this.isWhole ? NOT_STORED : NOT_REMEMBERED
  }

  #lastOf(subject: Pick<Subject, 'kind' | 'name'>): Remembered[] {
    const keys = this.#groups.peek(groupOf(subject)) ?? []
    return [...keys].flatMap((key) => this.#entries.peek(key) ?? [])
  }

  #hasSubject(subject: Pick<Subject, 'kind' | 'name' | 'key'>, nowMs: number): boolean {
    return this.#lastOf(subject).some(
      (one) => one.subject.key === subject.key && this.#endOf(one, nowMs) === undefined,
    )
  }

  /** What ended it first; `undefined`: nothing that is known. */
  #endOf(entry: Remembered, nowMs: number): MissCause | undefined {
    const { subject, order, freshUntilMs, tags } = entry
    let first: Pick<Ending, 'order' | 'atMs'> | undefined
    let cause: MissCause | undefined
    if (freshUntilMs <= nowMs) {
      first = { order: Infinity, atMs: freshUntilMs }
      cause = expired(nowMs - freshUntilMs)
    }
    const isFirst = (ending: Ending | undefined): ending is Ending =>
      ending !== undefined &&
      ending.order > order &&
      (first === undefined || (ending.order < first.order && ending.atMs <= first.atMs))
    for (const ending of [entry.removed, this.#cleared, this.#removalOf(subject)]) {
      if (!isFirst(ending)) continue
      first = ending
      cause = removed(ending, nowMs)
    }
    for (const tag of tags.keys()) {
      const ending = this.#invalidated.peek(tag)
      if (!isFirst(ending)) continue
      first = ending
      cause = dropped(tag, ending, nowMs)
    }
    return cause
  }

  /** An entry, whatever became of it since. */
  entryOf(storedKey: string): StoredEntry | undefined {
    return this.#entries.peek(storedKey)
  }

  /** Whether any entry of a fragment has others in it. */
  hasOthersIn(name: string): boolean {
    return this.#outer.peek(name) === true
  }

  /**
   * What this process stored, and its store may still have. Left out is what it knows to be of no use: something
   * else was stored in its place, or its URL was dropped, after which its entry lies there for a while and is found by
   * nobody.
   */
  *all(): Generator<StoredEntry> {
    for (const entry of this.#entries.values()) {
      if (entry.removed !== undefined) continue
      const removal = this.#removalOf(entry.subject)
      if (removal === undefined || removal.order < entry.order) yield entry
    }
  }
}

/** Whether an invalidation by this process ended what lies there, which another process may have stored since. */
function endedBy(
  { order, clockTime }: Ending,
  { tag, version }: { readonly tag: string; readonly version: string },
  own: Remembered | undefined,
): boolean {
  if (own?.tags.get(tag) === version) return order > own.order
  const storedAt = clockTimeOf(version)
  // The clock goes on once more after an invalidation is carried out.
  return (
    storedAt !== undefined &&
    clockTime !== undefined &&
    isSameLife(storedAt, clockTime) &&
    storedAt < clockTime - 1
  )
}

function hasOthersIn({ name }: Subject, tags: TagVersions): boolean {
  const own = fragmentTag(name)
  for (const tag of tags.keys()) if (tag !== own && isFragmentTag(tag)) return true
  return false
}

function endsNow(): Ending {
  const by = actor.current
  const from = by === undefined ? callerPosition() : undefined
  return { order: ++order, atMs: currentMs(), from, by }
}

function groupOf({ kind, name }: Pick<Subject, 'kind' | 'name'>): string {
  return `${kind}:${name}`
}

/** What tells something from the nearest of others, as a clause. */
function differenceFrom(
  others: readonly Remembered[],
  { kind, variant }: Pick<Subject, 'kind' | 'variant'>,
): string | undefined {
  const describe = kind === 'page' ? differingParts : differingValues
  let nearest: Difference | undefined
  for (const { subject } of others) {
    const difference = describe(variant, subject.variant)
    if (nearest === undefined || difference.count < nearest.count) nearest = difference
  }
  return nearest?.text()
}

interface Difference {
  readonly count: number
  readonly text: () => string
}

/** In which vary-on values fragments differ. */
function differingValues(is: readonly string[], was: readonly string[]): Difference {
  const places = Array.from({ length: Math.max(is.length, was.length) }, (_, i) => i)
  const differing = places.filter((i) => is[i] !== was[i])
  const text = () => {
    const [at] = differing
    if (at === undefined) return 'its tag or its template differs'
    const more = differing.length > 1 ? `, and ${differing.length - 1} more` : ''
    const [one, other] = shownApart(is[at], was[at])
    return `vary-on value ${at + 1} is ${one} and was ${other}${more}`
  }
  return { count: differing.length, text }
}

/** In which of their parts pages differ. Names alone: readers of logs do not get what visitors send. */
function differingParts(is: readonly string[], was: readonly string[]): Difference {
  const own = new Map(is.map(partOf))
  const other = new Map(was.map(partOf))
  const names = [...new Set([...own.keys(), ...other.keys()])]
  const differing = names.filter((name) => own.get(name) !== other.get(name))
  // What only one of them is known to vary on may be the same.
  const known = differing.filter((name) => own.has(name) && other.has(name))
  const text = () => {
    const told = known.length > 0 ? known : differing
    if (told.length === 0) return 'its key differs'
    return `${told.join(' and ')} ${told.length === 1 ? 'differs' : 'differ'}`
  }
  return { count: differing.length, text }
}

function partOf(part: string): [name: string, value: string] {
  const end = part.indexOf('\n')
  return [part.slice(0, end), part.slice(end)]
}

/** Two texts for people, long ones from shortly before they differ. */
function shownApart(a: string | undefined, b: string | undefined): [string, string] {
  let same = 0
  while (a !== undefined && same < a.length && a[same] === b?.[same]) same++
  const from = same > MAX_SHOWN / 2 ? same - MAX_SHOWN / 4 : 0
  return [shown(a, from), shown(b, from)]
}

function shown(text: string | undefined, from: number): string {
  if (text === undefined) return 'absent'
  const end = from + MAX_SHOWN
  const part = text.slice(from, end)
  return JSON.stringify(`${from > 0 ? '…' : ''}${part}${text.length > end ? '…' : ''}`)
}

function bytesOfEnding({ from = '', by = '' }: Ending): number {
  return 48 + bytesOfText(from) + bytesOfText(by)
}

/** Without its stored key, which it is remembered by, but with its place among those of its name. */
function bytesOfRemembered({ subject, tags }: Remembered): number {
  const { key, name, variant, route = '', record } = subject
  const texts = [key, name, route].reduce((sum, text) => sum + bytesOfText(text), 0)
  const forRecord = record === undefined ? 0 : 200 + bytesOfText(record.storedKey)
  return 350 + forRecord + texts + bytesOfTexts(variant) + 100 * tags.size
}
