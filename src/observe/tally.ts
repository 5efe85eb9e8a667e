import type { FragmentMessage } from './channels.js'
import { since, type Counters } from './counters.js'
import type { TagPosition } from '../errors.js'
import { Distinct } from './distinct.js'
import { ListenerList } from './listener-list.js'
import type { MissCause } from './miss-cause.js'
import { TimingSample } from './timing-sample.js'

/** What became of a fragment or of a request for a page. */
export const OUTCOMES = ['hit', 'miss', 'stale', 'joined', 'bypass', 'error'] as const
export type Outcome = (typeof OUTCOMES)[number]
export type Outcomes = Counters<Outcome>

/** Of all outcomes. By name, since that is several times as fast as a loop over them, and ten thousand are summed. */
export function numberOf({ hit, miss, stale, joined, bypass, error }: Readonly<Outcomes>): number {
  return hit + miss + stale + joined + bypass + error
}

/** Sums of what was timed and measured, in milliseconds and bytes, each with the number of what is in it. */
type Sums = Counters<
  'made' | 'madeMs' | 'timedHits' | 'hitMs' | 'stored' | 'storedBytes' | 'savedMs'
>

const noOutcomes = (): Outcomes => ({ hit: 0, miss: 0, stale: 0, joined: 0, bypass: 0, error: 0 })
const noSums = (): Sums => ({
  made: 0,
  madeMs: 0,
  timedHits: 0,
  hitMs: 0,
  stored: 0,
  storedBytes: 0,
  savedMs: 0,
})

const NO_REASONS: ReadonlyMap<string, Outcomes> = new Map()
const NO_CAUSES: ReadonlyMap<string, number> = new Map()

/** More tags and fragments that made something of one name a miss are not told apart. */
const MAX_CAUSES = 20

/** More positions of the tags of one fragment are not remembered. */
const MAX_POSITIONS = 20

/** What a tally has counted up to some moment, or between two. */
export interface Figures {
  readonly outcomes: Readonly<Outcomes>
  readonly sums: Readonly<Sums>
  /** Why it was not stored, or not looked for: the outcomes that had a reason. */
  readonly reasons: ReadonlyMap<string, Readonly<Outcomes>>
  /** Why it was missing. */
  readonly causes: ReadonlyMap<string, number>
}

/** What became of one fragment's renderings, or of one route's requests, counted in place. */
export class Tally {
  readonly outcomes = noOutcomes()
  readonly #sums = noSums()
  /** Most fragments have none. */
  #reasons: Map<string, Outcomes> | undefined
  #causes: Map<string, number> | undefined
  /** By template and line. */
  #positions: Map<string, TagPosition> | undefined
  #lastPosition: TagPosition | undefined
  readonly variants = new Distinct()
  readonly sampler = new TimingSample()
  /** Those whose saved time is in the sums. */
  #saving = 0
  /** What was counted when {@link reset} was called. */
  #before: Figures | undefined

  /** They hear about each fragment; of hits that are answered at once, only about those that are timed. */
  readonly listeners: ListenerList<FragmentMessage>

  constructor(
    readonly alias: string,
    readonly name: string,
    private readonly tallies: Pick<Tallies, 'listeners' | 'countsCauses'>,
  ) {
    this.listeners = tallies.listeners
  }

  /** Whether it is worth while to find out why it was missing, and where it is. */
  get countsCauses(): boolean {
    return this.tallies.countsCauses
  }

  count(outcome: Outcome, reason?: string): void {
    this.outcomes[outcome]++
    if (reason === undefined) return
    this.#reasons ??= new Map()
    let outcomes = this.#reasons.get(reason)
    if (outcomes === undefined) {
      outcomes = noOutcomes()
      this.#reasons.set(reason, outcomes)
    }
    outcomes[outcome]++
  }

  /** Counts why it was missing, where that is known. */
  missed(cause: MissCause | undefined): void {
    if (cause === undefined) return
    const causes = (this.#causes ??= new Map())
    const name = nameOfCause(cause)
    const counted = causes.has(name) || causes.size < MAX_CAUSES ? name : cause.code
    causes.set(counted, (causes.get(counted) ?? 0) + 1)
  }

  /** Notes which tag of a template it is rendered by. */
  seenAt(position: TagPosition): void {
    const { template, line } = position
    if (position === this.#lastPosition || template === undefined) return
    this.#lastPosition = position
    const positions = (this.#positions ??= new Map<string, TagPosition>())
    if (positions.size < MAX_POSITIONS) positions.set(`${line} ${template}`, position)
  }

  /** Those of the tags that it was rendered by since there is an inspector. Of hits, only some are noted. */
  get positions(): Iterable<TagPosition> {
    return this.#positions?.values() ?? []
  }

  /** @param ms - How long the body or the view ran; 0: it did not. */
  ran(ms: number): void {
    if (ms === 0) return
    // Hits save what was known when they came: the bodies that ran before them.
    this.#countSaved()
    this.#sums.made++
    this.#sums.madeMs += ms
  }

  stored(key: string, bytes: number): void {
    this.variants.add(key)
    this.#sums.stored++
    this.#sums.storedBytes += bytes
  }

  /** How long a hit took. */
  timed(ms: number): void {
    this.#sums.timedHits++
    this.#sums.hitMs += ms
  }

  /** What those who were served without a body were spared: its mean, less that of the hits. */
  #countSaved(): void {
    const sums = this.#sums
    const served = this.outcomes.hit + this.outcomes.stale
    if (served === this.#saving) return
    const eachMs = meanOf(sums.madeMs, sums.made) - meanOf(sums.hitMs, sums.timedHits)
    sums.savedMs += (served - this.#saving) * Math.max(0, eachMs)
    this.#saving = served
  }

  /** All since the process began. */
  total(): Figures {
    this.#countSaved()
    const reasons = new Map<string, Outcomes>()
    for (const [reason, outcomes] of this.#reasons ?? []) reasons.set(reason, { ...outcomes })
    const causes = new Map(this.#causes)
    return { outcomes: { ...this.outcomes }, sums: { ...this.#sums }, reasons, causes }
  }

  /** All since statistics began, to be read at once: it goes on counting. */
  figures(): Figures {
    this.#countSaved()
    const now = {
      outcomes: this.outcomes,
      sums: this.#sums,
      reasons: this.#reasons ?? NO_REASONS,
      causes: this.#causes ?? NO_CAUSES,
    }
    return figuresSince(now, this.#before)
  }

  /** The figures of statistics restart at zero; what metrics read goes on. */
  reset(): void {
    this.#before = this.total()
    this.variants.reset()
  }
}

/** 0 of nothing. */
export function meanOf(sum: number, count: number): number {
  return count === 0 ? 0 : sum / count
}

/** What was counted since. */
export function figuresSince(now: Figures, before: Figures | undefined): Figures {
  if (before === undefined) return now
  const reasons = [...now.reasons].map(
    ([reason, outcomes]) => [reason, since(outcomes, before.reasons.get(reason))] as const,
  )
  const causes = [...now.causes].map(
    ([cause, count]) => [cause, count - (before.causes.get(cause) ?? 0)] as const,
  )
  return {
    outcomes: since(now.outcomes, before.outcomes),
    sums: since(now.sums, before.sums),
    reasons: new Map(reasons),
    causes: new Map(causes.filter(([, count]) => count > 0)),
  }
}

/** Its code, and with it the tag or fragment whose invalidation it was. */
function nameOfCause({ code, tag, fragment }: MissCause): string {
  const name =
    tag !== undefined ? `tag:${tag}` : fragment !== undefined ? `fragment:${fragment}` : code
  return name.length > MAX_NAME_LENGTH ? code : name
}

/** Under this name counts what is past the limit. */
export const OTHERS = '(others)'

/** Maximum number of distinct names. */
export const MAX_NAMES = 10_000

/** Longer names count as others: a path that a router is mounted at may have any part of a URL in it. */
export const MAX_NAME_LENGTH = 256

/** Tallies by alias and name, in bounded memory whatever the number of names. */
export class Tallies {
  readonly #byAlias = new Map<string, Map<string, Tally>>()
  readonly listeners = new ListenerList<FragmentMessage>()
  /**
   * Whether anybody is going to ask why things were missing, and where they are: to find out takes longer than to
   * look them up.
   */
  countsCauses = false
  #size = 0

  of(alias: string, name: string): Tally {
    let byName = this.#byAlias.get(alias)
    if (byName === undefined) {
      byName = new Map<string, Tally>()
      this.#byAlias.set(alias, byName)
    }
    const known = byName.get(name)
    if (known !== undefined) return known
    const isRefused = this.#size >= MAX_NAMES || name.length > MAX_NAME_LENGTH
    if (isRefused && name !== OTHERS) return this.of(alias, OTHERS)
    const tally = new Tally(alias, name, this)
    byName.set(name, tally)
    this.#size++
    return tally
  }

  /** One that was counted; it makes none. */
  find(alias: string, name: string): Tally | undefined {
    return this.#byAlias.get(alias)?.get(name)
  }

  *[Symbol.iterator](): Iterator<Tally> {
    for (const byName of this.#byAlias.values()) yield* byName.values()
  }

  /** Visits each, several times as fast as an iterator of them does. */
  forEach(visit: (tally: Tally) => void): void {
    for (const byName of this.#byAlias.values()) for (const tally of byName.values()) visit(tally)
  }

  /** Holders of a tally keep counting in it. */
  reset(): void {
    for (const tally of this) tally.reset()
  }
}

/** What is counted of all that stands on one set of caches. */
export class CachesTallies {
  sinceMs = Date.now()
  readonly fragments = new Tallies()
  readonly routes = new Tallies()

  reset(): void {
    this.sinceMs = Date.now()
    this.fragments.reset()
    this.routes.reset()
  }
}

/** What was counted in tallies since it was read last. */
export class TalliesReader {
  readonly #before = new Map<Tally, Figures>()

  constructor(readonly tallies: Tallies) {
    for (const tally of tallies) this.#before.set(tally, tally.total())
  }

  *take(): IterableIterator<readonly [tally: Tally, figures: Figures]> {
    for (const tally of this.tallies) {
      const now = tally.total()
      const before = this.#before.get(tally)
      this.#before.set(tally, now)
      yield [tally, figuresSince(now, before)]
    }
  }
}
