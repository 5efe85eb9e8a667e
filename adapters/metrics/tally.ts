import type {
  FragmentMessage,
  FragmentOutcome,
  OperationMessage,
  OutageMessage,
  RefreshMessage,
} from '../../src/observe.js'
import { MAX_NAME_LENGTH } from '../../src/stats/tally.js'
import { listen, type ResponseTold, type Watched } from '../../src/watch.js'

/** What stands for all names past the limit. */
export const OTHER_LABELS = '(others)'

/** Most reasons that are told apart: those of this package are fewer. */
const MAX_REASONS = 64

/** `partial`: of several keys some were there; `ok`: nothing was looked up. */
export const RESULTS = ['hit', 'miss', 'partial', 'ok', 'error'] as const
export type Result = (typeof RESULTS)[number]

export const FRAGMENT_OUTCOMES = ['hit', 'miss', 'stale', 'joined', 'bypass', 'error'] as const

/** One operation of one cache. */
export class OperationTally {
  readonly results: Record<Result, number> = { hit: 0, miss: 0, partial: 0, ok: 0, error: 0 }
  /** How many took no longer than the bound of that place, and longer than the one before; last: the rest. */
  readonly buckets: number[]
  sumMs = 0
  count = 0

  constructor(bounds: number) {
    this.buckets = new Array<number>(bounds + 1).fill(0)
  }
}

/** One cache. */
export class CacheTally {
  readonly operations = new Map<string, OperationTally>()
  hits = 0
  misses = 0
  outages = 0
  /** Outages that last. */
  lasting = 0
  failedRefreshes = 0
  isWatched = true

  constructor(
    readonly alias: string,
    readonly backend: string,
    /** Whether it can answer without waiting, in less time than it takes to tell of it. */
    readonly answersAtOnce: boolean,
  ) {}
}

/** One fragment name in one cache. */
export class FragmentTally {
  readonly outcomes: Record<FragmentOutcome, number> = {
    hit: 0,
    miss: 0,
    stale: 0,
    joined: 0,
    bypass: 0,
    error: 0,
  }
  bodies = 0
  bodyMs = 0
  savedMs = 0

  constructor(
    readonly name: string,
    readonly alias: string,
  ) {}
}

/** Responses of one outcome, with one reason, in one cache. */
export interface ResponseTally {
  readonly alias: string
  readonly outcome: string
  readonly reason: string
  count: number
}

/** What the messages of fragments and responses tell of one alias. */
class AliasTally {
  readonly fragments = new Map<string, FragmentTally>()
  /** By reason, then by outcome. */
  readonly responses = new Map<string, Map<string, ResponseTally>>()
  isWatched = true
}

/** Called besides the counting. */
export interface TallyHooks {
  readonly operation?: (message: OperationMessage, cache: CacheTally, count: number) => void
  readonly fragment?: (message: FragmentMessage, fragment: FragmentTally) => void
}

/**
 * Counts the messages of caches, for who asks for the sums once in a while. A message costs some look-ups
 * and additions, and makes no object.
 */
export class MetricTally {
  /** By alias; mostly one, since mostly one cache in a process has an alias. */
  readonly #caches = new Map<string, CacheTally[]>()
  readonly #aliases = new Map<string, AliasTally>()
  readonly #reasons = new Set<string>()
  readonly #watched: Watched[] = []
  readonly #end: () => void
  #names = 0

  /**
   * @param who - For the warning if counting fails.
   * @param bounds - Of the buckets of durations, in milliseconds, ascending.
   * @param maxNames - Most fragment names that are told apart; the same in two caches is two.
   */
  constructor(
    who: string,
    readonly bounds: readonly number[],
    readonly maxNames: number,
    readonly hooks: TallyHooks = {},
  ) {
    this.#end = listen(who, {
      'operation-sum': ({ message, count }) => this.#operation(message, count),
      'fragment-sum': ({ message, count }) => this.#fragment(message, count),
      response: (message) => this.#response(message),
      outage: (message) => this.#outage(message),
      refresh: (message) => this.#refresh(message),
    })
  }

  /** Counts these caches too. */
  add(watched: Watched): void {
    watched.tellSums()
    this.#watched.push(watched)
    this.#assign()
  }

  /** Counts these no more, unless they were added once more; their sums stay. */
  remove(watched: Watched): void {
    watched.tellSums()
    this.#watched.splice(this.#watched.indexOf(watched), 1)
    this.#assign()
  }

  #assign(): void {
    for (const tallies of this.#caches.values()) {
      for (const tally of tallies) tally.isWatched = this.#owns(tally.alias, tally.backend)
    }
    for (const [alias, tally] of this.#aliases) {
      tally.isWatched = this.#watched.some(({ aliases }) => aliases.has(alias))
    }
    for (const { backends, aliases } of this.#watched) {
      for (const [alias, names] of backends) {
        for (const [backend, answersAtOnce] of names) this.#know(alias, backend, answersAtOnce)
      }
      for (const alias of aliases) {
        if (!this.#aliases.has(alias)) this.#aliases.set(alias, new AliasTally())
      }
    }
  }

  #owns(alias: string, backend: string): boolean {
    return this.#watched.some((watched) => watched.owns(alias, backend))
  }

  #know(alias: string, backend: string, answersAtOnce: boolean): void {
    const tallies = this.#caches.get(alias) ?? []
    if (tallies.some((tally) => tally.backend === backend)) return
    tallies.push(new CacheTally(alias, backend, answersAtOnce))
    this.#caches.set(alias, tallies)
  }

  /** Listens no more. */
  end(): void {
    this.#end()
  }

  /** Hits that are told of many at a time are counted by now. */
  #settle(): void {
    for (const watched of this.#watched) watched.tellSums()
  }

  /** Begins at zero. What lasts, lasts. */
  reset(): void {
    this.#settle()
    for (const cache of this.caches()) {
      cache.operations.clear()
      cache.hits = cache.misses = cache.outages = cache.failedRefreshes = 0
    }
    for (const { fragments, responses } of this.#aliases.values()) {
      fragments.clear()
      responses.clear()
    }
    this.#reasons.clear()
    this.#names = 0
  }

  caches(): CacheTally[] {
    this.#settle()
    return [...this.#caches.values()].flat()
  }

  fragments(): FragmentTally[] {
    this.#settle()
    return [...this.#aliases.values()].flatMap(({ fragments }) => [...fragments.values()])
  }

  responses(): ResponseTally[] {
    return [...this.#aliases.values()].flatMap(({ responses }) =>
      [...responses.values()].flatMap((outcomes) => [...outcomes.values()]),
    )
  }

  #cacheOf(alias: string, backend: string): CacheTally | undefined {
    const tallies = this.#caches.get(alias)
    if (tallies === undefined) return undefined
    for (const tally of tallies) {
      if (tally.backend === backend) return tally.isWatched ? tally : undefined
    }
    return undefined
  }

  #operation(message: OperationMessage, count: number): void {
    const cache = this.#cacheOf(message.alias, message.backend)
    if (cache === undefined) return
    const { operation, hits, misses, durationMs } = message
    let tally = cache.operations.get(operation)
    if (tally === undefined) {
      tally = new OperationTally(this.bounds.length)
      cache.operations.set(operation, tally)
    }
    cache.hits += hits
    cache.misses += misses
    tally.results[resultOf(message)] += count
    tally.count += count
    tally.sumMs += durationMs * count
    const { bounds } = this
    let place = 0
    while (place < bounds.length && durationMs > (bounds[place] as number)) place++
    tally.buckets[place] = (tally.buckets[place] as number) + count
    this.hooks.operation?.(message, cache, count)
  }

  #fragment(message: FragmentMessage, count: number): void {
    const { name, alias, outcome, bodyMs, durationMs } = message
    const own = this.#aliases.get(alias)
    if (own?.isWatched !== true) return
    const tally = own.fragments.get(name) ?? this.#newFragment(own.fragments, alias, name)
    tally.outcomes[outcome] += count
    if (bodyMs > 0) {
      tally.bodies++
      tally.bodyMs += bodyMs
    } else if (tally.bodies > 0 && (outcome === 'hit' || outcome === 'stale')) {
      const savedMs = tally.bodyMs / tally.bodies - durationMs
      if (savedMs > 0) tally.savedMs += savedMs * count
    }
    this.hooks.fragment?.(message, tally)
  }

  #newFragment(fragments: Map<string, FragmentTally>, alias: string, name: string): FragmentTally {
    const isTold = this.#names < this.maxNames && name.length <= MAX_NAME_LENGTH
    const known = isTold ? name : OTHER_LABELS
    if (known === name) this.#names++
    return getOrAdd(fragments, known, () => new FragmentTally(known, alias))
  }

  #response({ alias, outcome, reason = '' }: ResponseTold): void {
    const own = this.#aliases.get(alias)
    if (own?.isWatched !== true) return
    const known = own.responses.get(reason)?.get(outcome)
    if (known === undefined) this.#newResponse(own.responses, alias, outcome, reason).count++
    else known.count++
  }

  #newResponse(
    responses: Map<string, Map<string, ResponseTally>>,
    alias: string,
    outcome: string,
    given: string,
  ): ResponseTally {
    const isKnown = this.#reasons.has(given) || this.#reasons.size < MAX_REASONS
    if (isKnown) this.#reasons.add(given)
    const reason = isKnown ? given : OTHER_LABELS
    const outcomes = getOrAdd(responses, reason, () => new Map<string, ResponseTally>())
    return getOrAdd(outcomes, outcome, () => ({ alias, outcome, reason, count: 0 }))
  }

  #outage({ alias, backend, until }: OutageMessage): void {
    const cache = this.#cacheOf(alias, backend)
    if (cache === undefined) return
    if (until === undefined) {
      cache.outages++
      cache.lasting++
    } else if (cache.lasting > 0) cache.lasting--
  }

  #refresh({ alias, backend }: RefreshMessage): void {
    const cache = this.#cacheOf(alias, backend)
    if (cache !== undefined) cache.failedRefreshes++
  }
}

/** What became of an operation. */
export function resultOf({ hits, misses, error }: OperationMessage): Result {
  if (error !== undefined) return 'error'
  if (misses === 0) return hits === 0 ? 'ok' : 'hit'
  return hits === 0 ? 'miss' : 'partial'
}

function getOrAdd<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
