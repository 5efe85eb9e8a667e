import { ownCopyOf } from './backend/complete-store.js'
import type { CacheCore } from './backend/core.js'
import type { Beginning, Hit, Lookup, LookupOptions, StoreRequest } from './backend/entries.js'
import { currentMs } from './current-time.js'
import { ProducerTimeoutError } from './errors.js'
import { findOrMake, type Seeker } from './making/find.js'
import { currentFrame, Frame, runAsyncIn } from './making/frame.js'
import type { InFlight } from './making/in-flight.js'
import { toLanded, type FoundEntry, type Landed } from './making/landed.js'
import { Lease } from './making/lease.js'
import { Making, type Lead } from './making/making.js'
import { Makings } from './making/makings.js'
import type { Order, Start } from './making/order.js'
import { Production, type ProducerContext } from './making/production.js'
import type { Refresh } from './making/refreshes.js'
import type { MaybePromise } from './maybe-promise.js'
import { reportRefresh } from './observe/channels.js'
import { checkValue } from './serializer.js'
import { mayBeStale, ownLimitOf } from './staleness.js'
import { settledWithin } from './time-limit.js'
import type { Deadline, Timeout } from './timeout.js'

/** A value to be read, or made. */
export interface Wanted extends Order {
  /** A value, or a function that makes it. */
  readonly source: unknown
  /** Seconds. */
  readonly timeout: Timeout | undefined
  /** Whether its producer asks for its context, and so may set another timeout. */
  readonly mayDecide: boolean
  /** Whether it must not live longer than anything it was made from. */
  readonly isLimited: boolean
}

/** A value and what it depends on. */
export type Got = Landed<unknown>

/** A producer that runs for a value. */
interface Run {
  readonly wanted: Wanted
  readonly lead: Lead<unknown>
  readonly making: Making<unknown>
  readonly production: Production
}

/** What this needs of the cache: observed, limited in time, and with `ignoreErrors` in mind. */
export interface ValueAccess {
  /** `undefined`: the store failed. */
  readonly read: (
    wanted: Wanted,
    options: Pick<LookupOptions, 'stale' | 'isCurrent'>,
  ) => MaybePromise<Lookup | undefined>
  /** As {@link CacheCore.begin}. `undefined`: the store failed. */
  readonly begin: (...about: Parameters<CacheCore['begin']>) => MaybePromise<Beginning | undefined>
  /** The deadline of what is stored now. */
  readonly deadline: (timeout: Timeout | undefined) => Deadline
  /** Writes what was made, if what was found when it began still lies there. */
  readonly keep: (
    wanted: Wanted,
    request: StoreRequest,
    operation: 'add' | 'set',
  ) => Promise<boolean>
  readonly reread: (wanted: Wanted) => Promise<Hit | undefined>
}

/** The values of one cache that are read, or made by one caller for all. */
export class GetOrSet {
  readonly #access: ValueAccess
  readonly #makings = new Makings<Got>()

  constructor(access: ValueAccess) {
    this.#access = access
  }

  /** @throws What the producer throws, unless an old value may be served instead. */
  run(wanted: Wanted): MaybePromise<Got> {
    const parent = currentFrame()
    const seeker: Seeker<Lookup, unknown, Got> = {
      look: (isCurrent) =>
        this.#access.read(wanted, isCurrent ? { isCurrent } : { stale: mayBeStale(wanted.ageing) }),
      hitOf: ({ hits }) => hits[0],
      valueOf: ({ value }) => value,
      serve: toLanded,
      serveJoined: (landed) => landed,
      refresh: (_, found, refresh) => {
        this.#refresh(wanted, found.hit, refresh)
        return toLanded(found)
      },
      make: (found, lead) => this.#make(wanted, parent, found, lead),
    }
    return findOrMake(wanted, this.#makings, parent, seeker)
  }

  /** Lets what is running end for those who wait already. Later callers start again. */
  detach(storedKey: string): void {
    this.#makings.flights.detach(storedKey)
  }

  /** The same, and what is running is not to be kept: of one stored key, or of all. */
  forget(storedKey?: string): void {
    this.#makings.forget(storedKey)
  }

  async #make(
    wanted: Wanted,
    parent: Frame | undefined,
    found: Lookup | undefined,
    lead: Lead<unknown>,
  ): Promise<Got> {
    let start
    try {
      start = await this.#begin(wanted, found)
    } catch (error) {
      await lead.lease?.release()
      throw error
    }
    const making = this.#making(wanted, parent, lead.flight, start, lead)
    const production = new Production(making.frame, wanted.timeout, () =>
      ownCopyOf(wanted.cache.store, lead.old?.value),
    )
    const run = { wanted, lead, making, production }
    const made = this.#makeForAll(run)
    const limitMs = ownLimitOf(wanted.producerTimeoutMs)
    return settledWithin(made, limitMs, () => this.#goOnWithout(run, made))
  }

  async #makeForAll(run: Run): Promise<Got> {
    const { lead, making } = run
    try {
      const got = await this.#makeIn(run)
      lead.flight?.land(got)
      return got
    } catch (error) {
      lead.flight?.fail(error)
      throw error
    } finally {
      await making.release()
      making.frame.end()
    }
  }

  /** The producer takes too long: who waits for it is given an old value or an error, while it goes on. */
  async #goOnWithout(run: Run, made: Promise<Got>): Promise<Got> {
    const { wanted, lead, making, production } = run
    const left = production.hasEnded ? undefined : await leftOf(run)
    // What it gave is being stored.
    if (production.hasEnded) return made
    const error = this.#tooLate(run)
    made.catch((later: unknown) => {
      if (later !== error) this.#report(wanted, later)
    })
    const landed = left && toLanded(left, true)
    lead.flight?.land(landed)
    making.toBackground()
    if (landed === undefined) throw error
    this.#report(wanted, error)
    return landed
  }

  #tooLate({ wanted, production }: Run): ProducerTimeoutError {
    const { key, producerTimeoutMs } = wanted
    const error = new ProducerTimeoutError(
      'getOrSet: the producer',
      key,
      ownLimitOf(producerTimeoutMs),
    )
    production.isLate(error)
    return error
  }

  #making(
    wanted: Wanted,
    parent: Frame | undefined,
    flight: InFlight | undefined,
    start: Start | undefined,
    lead: Lead<unknown>,
  ): Making<unknown> {
    const isLeased = lead.lease !== undefined
    const frame = new Frame(wanted.cache, parent, flight, wanted.isLimited, isLeased)
    return new Making(wanted, frame, start, this.#makings, lead)
  }

  async #begin(
    { storedKey, tags, timeout, mayDecide }: Wanted,
    found: Lookup | undefined,
  ): Promise<Start | undefined> {
    if (found === undefined) return undefined
    const deadline = this.#access.deadline(timeout)
    // What is not going to be kept claims nothing; a producer may decide for longer.
    const mayBeKept = deadline === null || deadline > 0 || mayDecide
    const keys = mayBeKept ? [storedKey] : []
    const beginning = await this.#access.begin(keys, found, tags)
    const versions = beginning?.versions
    return versions === undefined ? undefined : { versions, claim: beginning?.claims[0] }
  }

  async #makeIn(run: Run): Promise<Got> {
    const { wanted, lead, making, production } = run
    const startedMs = performance.now()
    let value: unknown
    try {
      value = await runAsyncIn(making.frame, () => produce(wanted, production))
      production.end()
      checkValue(value, wanted.cache.types)
    } catch (error) {
      production.hasEnded = true
      await making.giveUp(performance.now() - startedMs)
      const left = await leftOf(run)
      if (left === undefined) throw error
      this.#report(wanted, error)
      return toLanded(left, true)
    }
    const tookMs = performance.now() - startedMs
    const judged = await making.judge(this.#access.deadline(production.timeout))
    const made = making.toLanded(value, judged)
    const { fitness } = judged
    if (fitness.isKept) {
      const request = making.toStore(value, fitness, tookMs)
      const operation = lead.refresh === undefined ? 'add' : 'set'
      const isStored = await this.#access.keep(wanted, request, operation)
      // Who asked before it was removed is given what was made for them.
      if (isStored || making.isDiscarded) return made
    } else if (fitness.reason === 'zero-seconds' && (lead.old ?? lead.refresh) !== undefined) {
      await this.#access.keep(wanted, making.toRemoval(), 'set')
      return made
    } else {
      await making.giveUp(tookMs)
      if (made.isApart || fitness.reason !== 'invalidated') return made
    }
    // Somebody may have made it since, or removed it.
    const newer = await this.#access.reread(wanted)
    return newer === undefined ? made : toLanded({ hit: newer, value: newer.value })
  }

  /** Makes it again in the background, while the old value is served. */
  #refresh(wanted: Wanted, old: Hit, refresh: Refresh): void {
    // In a context of its own: nobody waits for it, and what it depends on concerns nobody here.
    runAsyncIn(undefined, () => this.#refreshNow(wanted, old, refresh))
      .catch((error: unknown) => this.#report(wanted, error))
      .finally(() => refresh.end())
  }

  async #refreshNow(wanted: Wanted, old: Hit, refresh: Refresh): Promise<void> {
    const { cache, storedKey } = wanted
    const lock = wanted.ageing?.lock ?? false
    const lease = lock === false ? undefined : await Lease.take(cache, storedKey, lock.lease)
    if (lock !== false && lease === undefined) return
    let making: Making<unknown> | undefined
    try {
      const found = await this.#access.read(wanted, { stale: true, isCurrent: lease !== undefined })
      const hit = found?.hits[0]
      if (hit !== undefined && isNewer(hit, old)) return
      const start = await this.#begin(wanted, found)
      if (start === undefined) return
      const lead = { refresh, lease }
      making = this.#making(wanted, undefined, refresh, start, lead)
      const production = new Production(making.frame, wanted.timeout, () =>
        ownCopyOf(cache.store, hit?.value),
      )
      const run = { wanted, lead, making, production }
      const made = this.#makeIn(run)
      await settledWithin(made, ownLimitOf(wanted.producerTimeoutMs), () => {
        if (!production.hasEnded) this.#report(wanted, this.#tooLate(run))
        return made
      })
    } finally {
      making?.frame.end()
      await lease?.release()
    }
  }

  #report({ cache, key }: Wanted, error: unknown): void {
    const { alias, backendName } = cache
    reportRefresh({ alias, backend: backendName, key, error })
  }
}

function produce({ source }: Wanted, context: ProducerContext): unknown {
  return typeof source === 'function' ? (source as Producer)(context) : source
}

type Producer = (context: ProducerContext) => unknown

/** What is left of an old value after its producer failed: it may have been removed meanwhile, or be too old. */
async function leftOf({
  wanted,
  lead: { old },
  making,
}: Run): Promise<FoundEntry<unknown> | undefined> {
  if (old === undefined || making.isDiscarded) return undefined
  const { cache, key, storedKey, tags } = wanted
  const found = await cache.tryLookup([key], [storedKey], tags, { stale: true })
  const hit = found === undefined ? old.hit : found.hits[0]
  if (hit === undefined) return undefined
  const { staleSinceMs = Infinity } = hit
  const graceMs = (wanted.ageing?.staleIfError ?? 0) * 1000
  return currentMs() < staleSinceMs + graceMs ? { hit, value: hit.value } : undefined
}

/** Whether somebody else has made it again since. */
function isNewer(hit: Hit, old: Hit): boolean {
  if (hit.staleSinceMs !== undefined) return false
  return old.staleSinceMs !== undefined || hit.stamp?.freshUntilMs !== old.stamp?.freshUntilMs
}
