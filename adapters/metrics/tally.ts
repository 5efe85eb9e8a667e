import type {
  FragmentMessage,
  OperationMessage,
  OutageMessage,
  RefreshMessage,
} from '../../src/observe/channels.js'
import type { CacheCore } from '../../src/backend/core.js'
import { addTo, totalOf } from '../../src/observe/counters.js'
import { CountsReader, type Results } from '../../src/observe/counts.js'
import {
  MAX_NAME_LENGTH,
  OUTCOMES,
  TalliesReader,
  type CachesTallies,
  type Figures,
  type Outcomes,
  type Tally,
} from '../../src/observe/tally.js'
import { listen, listenToSamples, outagesOf, type Watched } from '../../src/observe/watch.js'

/** Represents all names past the limit. */
export const OTHER_LABELS = '(others)'

/** Maximum number of distinct reasons: those of this package are fewer. */
const MAX_REASONS = 64

/** One operation of one cache. */
export class OperationTally {
  readonly results: Results = { hit: 0, miss: 0, partial: 0, ok: 0, error: 0 }
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
  readonly keys = { hits: 0, misses: 0 }
  outages = 0
  /** Outages that last, when it was asked last. */
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
  readonly outcomes: Outcomes = { hit: 0, miss: 0, stale: 0, joined: 0, bypass: 0, error: 0 }
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

/** What is counted of the fragments and responses of one alias. */
class AliasTally {
  readonly fragments = new Map<string, FragmentTally>()
  /** By reason, then by outcome. */
  readonly responses = new Map<string, Map<string, ResponseTally>>()
}

/** Called besides the counting. */
export interface TallyHooks {
  /** @param count - How many calls the message stands for. */
  readonly operation?: (message: OperationMessage, cache: CacheTally, count: number) => void
  readonly fragment?: (message: FragmentMessage, fragment: FragmentTally) => void
}

/** What is read of one cache. */
interface CacheSource {
  readonly reader: CountsReader
  /** By operation, the calls whose duration is in a bucket, and those before the reading began. */
  readonly placed: Map<string, number>
  readonly tally: CacheTally
  readonly end: () => void
}

/** What is read of the fragments and responses on one set of caches. */
interface SiteSource {
  readonly fragments: TalliesReader
  readonly routes: TalliesReader
  readonly end: () => void
}

/**
 * Reads the counts of caches when they are requested, and counts them from when they were added. It also
 * records the durations of calls.
 */
export class MetricTally {
  /** By alias; mostly one, since mostly one cache in a process has an alias. */
  readonly #caches = new Map<string, CacheTally[]>()
  readonly #aliases = new Map<string, AliasTally>()
  readonly #reasons = new Set<string>()
  readonly #watched: Watched[] = []
  readonly #cacheSources = new Map<CacheCore, CacheSource>()
  readonly #siteSources = new Map<CachesTallies, SiteSource>()
  readonly #end: () => void
  #names = 0

  /**
   * @param who - For the warning if counting fails.
   * @param bounds - Of the buckets of durations, in milliseconds, ascending.
   * @param maxNames - Maximum number of distinct fragment names; the same in two caches is two.
   */
  constructor(
    readonly who: string,
    readonly bounds: readonly number[],
    readonly maxNames: number,
    readonly hooks: TallyHooks = {},
  ) {
    this.#end = listen(who, {
      outage: (message) => this.#outage(message),
      refresh: (message) => this.#refresh(message),
    })
  }

  /** Counts these caches too. */
  add(watched: Watched): void {
    this.#watched.push(watched)
    this.#assign()
    for (const core of watched.cores) {
      if (!this.#cacheSources.has(core)) this.#cacheSources.set(core, this.#read(core))
    }
    const { tallies } = watched
    if (!this.#siteSources.has(tallies)) this.#siteSources.set(tallies, this.#readSite(tallies))
  }

  /** Counts these no more, unless they were added once more; their sums stay. */
  remove(watched: Watched): void {
    this.#take()
    this.#watched.splice(this.#watched.indexOf(watched), 1)
    this.#assign()
    endUnless(this.#cacheSources, (core) => this.#watched.some(({ cores }) => cores.has(core)))
    endUnless(this.#siteSources, (site) => this.#watched.some(({ tallies }) => tallies === site))
  }

  #assign(): void {
    for (const tallies of this.#caches.values()) {
      for (const tally of tallies) {
        tally.isWatched = this.#watched.some((one) => one.owns(tally.alias, tally.backend))
      }
    }
    for (const { backends } of this.#watched) {
      for (const [alias, names] of backends) {
        for (const [backend, answersAtOnce] of names) this.#know(alias, backend, answersAtOnce)
      }
    }
  }

  #know(alias: string, backend: string, answersAtOnce: boolean): void {
    const tallies = this.#caches.get(alias) ?? []
    if (tallies.some((tally) => tally.backend === backend)) return
    tallies.push(new CacheTally(alias, backend, answersAtOnce))
    this.#caches.set(alias, tallies)
  }

  #read(core: CacheCore): CacheSource {
    const { counts, alias, backendName } = core
    const reader = new CountsReader(counts)
    const tally = this.#caches.get(alias)?.find(({ backend }) => backend === backendName)
    const source: CacheSource = {
      reader,
      placed: new Map([...counts.calls()].map(([name, results]) => [name, totalOf(results)])),
      tally: tally as CacheTally,
      end: listenToSamples(
        this.who,
        { cores: [core] },
        {
          operation: (message) => this.#operation(source, message),
        },
      ),
    }
    return source
  }

  #readSite(tallies: CachesTallies): SiteSource {
    const { fragments, routes } = tallies
    const { fragment } = this.hooks
    return {
      fragments: new TalliesReader(fragments),
      routes: new TalliesReader(routes),
      end: listenToSamples(
        this.who,
        { tallies },
        {
          fragment: fragment && ((message) => fragment(message, this.#fragmentOf(message))),
        },
      ),
    }
  }

  /** Listens no more. */
  end(): void {
    this.#end()
    endUnless(this.#cacheSources, () => false)
    endUnless(this.#siteSources, () => false)
  }

  /** Adds what caches counted since. */
  #takeCaches(): void {
    for (const source of this.#cacheSources.values()) {
      const { reader, tally } = source
      addTo(tally.keys, reader.takeKeys())
      for (const [operation, results] of reader.takeCalls()) {
        if (totalOf(results) === 0) continue
        addTo(operationOf(tally, operation, this.bounds.length).results, results)
        this.#place(source, operation, reader.counts.sampler.lastMs)
      }
    }
  }

  #takeFragments(): void {
    for (const { fragments } of this.#siteSources.values()) {
      for (const [tally, figures] of fragments.take()) this.#addFragment(tally, figures)
    }
  }

  #takeResponses(): void {
    for (const { routes } of this.#siteSources.values()) {
      for (const [{ alias }, figures] of routes.take()) this.#addResponses(alias, figures)
    }
  }

  #take(): void {
    this.#takeCaches()
    this.#takeFragments()
    this.#takeResponses()
  }

  /** Begins at zero. What lasts, lasts. */
  reset(): void {
    this.#take()
    for (const cache of [...this.#caches.values()].flat()) {
      cache.operations.clear()
      cache.keys.hits = cache.keys.misses = cache.outages = cache.failedRefreshes = 0
    }
    for (const { fragments, responses } of this.#aliases.values()) {
      fragments.clear()
      responses.clear()
    }
    this.#reasons.clear()
    this.#names = 0
  }

  caches(): CacheTally[] {
    this.#takeCaches()
    const tallies = [...this.#caches.values()].flat()
    for (const tally of tallies) tally.lasting = 0
    for (const [core, { tally }] of this.#cacheSources) tally.lasting += outagesOf([core]).length
    return tallies
  }

  fragments(): FragmentTally[] {
    this.#takeFragments()
    return [...this.#aliases.values()].flatMap(({ fragments }) => [...fragments.values()])
  }

  responses(): ResponseTally[] {
    this.#takeResponses()
    return [...this.#aliases.values()].flatMap(({ responses }) =>
      [...responses.values()].flatMap((outcomes) => [...outcomes.values()]),
    )
  }

  #operation(source: CacheSource, message: OperationMessage): void {
    const count = this.#place(source, message.operation, message.durationMs)
    this.hooks.operation?.(message, source.tally, count)
  }

  /**
   * Puts the calls of an operation into the bucket of a duration that are in none yet.
   *
   * @returns How many.
   */
  #place({ reader, placed, tally }: CacheSource, operation: string, durationMs: number): number {
    const total = reader.counts.totalOf(operation)
    const count = total - (placed.get(operation) ?? 0)
    if (count === 0) return 0
    placed.set(operation, total)
    const own = operationOf(tally, operation, this.bounds.length)
    own.count += count
    own.sumMs += durationMs * count
    const { bounds } = this
    let place = 0
    while (place < bounds.length && durationMs > (bounds[place] as number)) place++
    own.buckets[place] = (own.buckets[place] as number) + count
    return count
  }

  #fragmentOf({ alias, name }: { readonly alias: string; readonly name: string }): FragmentTally {
    const { fragments } = getOrAdd(this.#aliases, alias, () => new AliasTally())
    return fragments.get(name) ?? this.#newFragment(fragments, alias, name)
  }

  #addFragment(tally: Tally, { outcomes, sums }: Figures): void {
    if (totalOf(outcomes) === 0 && sums.made === 0) return
    const fragment = this.#fragmentOf(tally)
    addTo(fragment.outcomes, outcomes)
    fragment.bodies += sums.made
    fragment.bodyMs += sums.madeMs
    fragment.savedMs += sums.savedMs
  }

  #newFragment(fragments: Map<string, FragmentTally>, alias: string, name: string): FragmentTally {
    const isTold = this.#names < this.maxNames && name.length <= MAX_NAME_LENGTH
    const known = isTold ? name : OTHER_LABELS
    if (known === name) this.#names++
    return getOrAdd(fragments, known, () => new FragmentTally(known, alias))
  }

  #addResponses(alias: string, { outcomes, reasons }: Figures): void {
    for (const outcome of OUTCOMES) {
      let withoutReason = outcomes[outcome]
      for (const [reason, counted] of reasons) {
        withoutReason -= counted[outcome]
        this.#addResponse(alias, outcome, reason, counted[outcome])
      }
      this.#addResponse(alias, outcome, '', withoutReason)
    }
  }

  #addResponse(alias: string, outcome: string, given: string, count: number): void {
    if (count === 0) return
    const { responses } = getOrAdd(this.#aliases, alias, () => new AliasTally())
    const isKnown = this.#reasons.has(given) || this.#reasons.size < MAX_REASONS
    if (isKnown) this.#reasons.add(given)
    const reason = isKnown ? given : OTHER_LABELS
    const byOutcome = getOrAdd(responses, reason, () => new Map<string, ResponseTally>())
    getOrAdd(byOutcome, outcome, () => ({ alias, outcome, reason, count: 0 })).count += count
  }

  #cacheOf(alias: string, backend: string): CacheTally | undefined {
    const tally = this.#caches.get(alias)?.find((one) => one.backend === backend)
    return tally?.isWatched === true ? tally : undefined
  }

  #outage(message: OutageMessage): void {
    if (message.until !== undefined) return
    const affected = this.#watched.flatMap((one) => one.affectedBy(message))
    // One message is of one outage, though several caches of one alias and backend may be meant.
    const tallies = new Set(affected.map((core) => this.#cacheOf(core.alias, core.backendName)))
    for (const cache of tallies) if (cache !== undefined) cache.outages++
  }

  #refresh({ alias, backend }: RefreshMessage): void {
    const cache = this.#cacheOf(alias, backend)
    if (cache !== undefined) cache.failedRefreshes++
  }
}

function operationOf(
  { operations }: CacheTally,
  operation: string,
  bounds: number,
): OperationTally {
  return getOrAdd(operations, operation, () => new OperationTally(bounds))
}

function endUnless<Key, Source extends { readonly end: () => void }>(
  sources: Map<Key, Source>,
  isKept: (key: Key) => boolean,
): void {
  for (const [key, source] of sources) {
    if (isKept(key)) continue
    source.end()
    sources.delete(key)
  }
}

function getOrAdd<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
