import type { Hit, Lookup, LookupOptions, StoreRequest } from './backend/entries.js'
import { currentMs } from './current-time.js'
import { findOrMake, type Seeker } from './making/find.js'
import { currentFrame, Frame, runAsyncIn } from './making/frame.js'
import type { InFlight } from './making/in-flight.js'
import { toLanded, type FoundEntry, type Landed } from './making/landed.js'
import { Lease } from './making/lease.js'
import { Making, type Lead, type Old } from './making/making.js'
import { Makings } from './making/makings.js'
import type { Order, Start } from './making/order.js'
import type { Refresh } from './making/refreshes.js'
import type { MaybePromise } from './maybe-promise.js'
import { reportRefresh } from './observe/channels.js'
import { checkValue } from './serializer.js'
import { mayBeStale } from './staleness.js'
import type { Deadline, Timeout } from './timeout.js'

/** A value to be read, or made. */
export interface Wanted extends Order {
  /** A value, or a function that makes it. */
  readonly source: unknown
  /** Seconds. */
  readonly timeout: Timeout | undefined
  /** Whether it must not live longer than anything it was made from. */
  readonly isLimited: boolean
}

/** A value and what it depends on. */
export type Got = Landed<unknown>

/** What this needs of the cache: observed, limited in time, and with `ignoreErrors` in mind. */
export interface ValueAccess {
  /** `undefined`: the store failed. */
  readonly read: (
    wanted: Wanted,
    options: Pick<LookupOptions, 'stale' | 'isCurrent'>,
  ) => MaybePromise<Lookup | undefined>
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

  /** Lets what is running end for those who wait already; whoever comes later starts again. */
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
    const start = await this.#begin(wanted, found)
    const { flight } = lead
    const making = this.#making(wanted, parent, flight, start, lead)
    try {
      const got = await this.#makeIn(making, wanted, lead)
      flight?.land(got)
      return got
    } catch (error) {
      flight?.fail(error)
      throw error
    } finally {
      await making.release()
      making.frame.end()
    }
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
    { cache, storedKey, tags, timeout }: Wanted,
    found: Lookup | undefined,
  ): Promise<Start | undefined> {
    if (found === undefined) return undefined
    const deadline = this.#access.deadline(timeout)
    // What is not going to be kept claims nothing.
    const keys = deadline === null || deadline > 0 ? [storedKey] : []
    const beginning = await cache.tryBegin(keys, found, tags)
    const versions = beginning?.versions
    return versions === undefined ? undefined : { versions, claim: beginning?.claims[0] }
  }

  async #makeIn(
    making: Making<unknown>,
    wanted: Wanted,
    { old, refresh }: Pick<Lead<unknown>, 'old' | 'refresh'>,
  ): Promise<Got> {
    const startedMs = performance.now()
    let value: unknown
    try {
      value = await runAsyncIn(making.frame, () => produce(wanted))
      checkValue(value)
    } catch (error) {
      await making.giveUp(performance.now() - startedMs)
      const left = old === undefined || making.isDiscarded ? undefined : await leftOf(old, wanted)
      if (left === undefined) throw error
      this.#report(wanted, error)
      return toLanded(left, true)
    }
    const tookMs = performance.now() - startedMs
    const judged = await making.judge(this.#access.deadline(wanted.timeout))
    const made = making.toLanded(value, judged)
    const { fitness } = judged
    if (fitness.isKept) {
      const request = making.toStore(value, fitness, tookMs)
      const operation = refresh === undefined ? 'add' : 'set'
      const isStored = await this.#access.keep(wanted, request, operation)
      // Who asked before it was removed is given what was made for them.
      if (isStored || making.isDiscarded) return made
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
      await this.#makeIn(making, wanted, lead)
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

function produce({ source }: Wanted): unknown {
  return typeof source === 'function' ? (source as () => unknown)() : source
}

/** What is left of an old value after its producer failed: it may have been removed meanwhile, or be too old. */
async function leftOf(old: Old<unknown>, wanted: Wanted): Promise<FoundEntry<unknown> | undefined> {
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
