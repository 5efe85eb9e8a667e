import type {
  Beginning,
  Claim,
  Hit,
  Lookup,
  LookupOptions,
  StoreRequest,
} from './backend/entries.js'
import type { CacheCore } from './backend/core.js'
import { FAILED, Flight, mustNotWait } from './making/flight.js'
import { fitnessOf } from './making/fitness.js'
import { Flights } from './making/flights.js'
import { currentFrame, Frame, mayWantExpiry, runAsyncIn } from './making/frame.js'
import { nextMoment, type InFlight } from './making/in-flight.js'
import { Lease, leaseOrFind } from './making/lease.js'
import { Refreshes, type Refresh } from './making/refreshes.js'
import { chain, type MaybePromise } from './maybe-promise.js'
import { reportRefresh } from './observe.js'
import { checkValue } from './serializer.js'
import { isDueEarly, patienceOf, toAgeing, type Lock } from './staleness.js'
import { NO_VERSIONS, type SeenVersions, type TagVersions } from './tags.js'
import type { Deadline, Timeout } from './timeout.js'

/** A value to be read, or made. */
export interface Wanted {
  readonly key: string
  readonly storedKey: string
  /** Stored tags. */
  readonly tags: readonly string[]
  /** A value, or a function that makes it. */
  readonly source: unknown
  /** Seconds. */
  readonly timeout: Timeout | undefined
  readonly lock: Lock
  /** Beta of XFetch; 0: never early. */
  readonly beta: number
  /** Seconds. */
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  /** Whether it must not live longer than anything it was made from. */
  readonly isLimited: boolean
  /** It was found, and drawn to be made again early: chance is asked once. */
  readonly isDue: boolean
  /** For so long it is waited for another caller's producer. */
  readonly producerTimeoutMs: number
}

/** A value and what it depends on. */
export interface Got {
  readonly value: unknown
  readonly tags: SeenVersions | undefined
  /** `undefined`: not known. */
  readonly expiresAtMs: Deadline | undefined
  /** Past its time, or made from something that is. */
  readonly isOld: boolean
  /** It must not be given to anybody but who made it. */
  readonly isApart: boolean
  /** Given where it was found past its time. */
  readonly served: Served | undefined
}

interface Served {
  readonly staleSinceMs: number
  /** In place of a new one that could not be made. */
  readonly afterError: boolean
}

/** What this needs of the cache: observed, limited in time, and with `ignoreErrors` in mind. */
export interface Access {
  readonly cache: CacheCore
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

/**
 * The way of a value that is read, or made by one caller for all: in this process always, in all
 * processes with a lease.
 */
export class GetOrSet {
  readonly #access: Access
  readonly #flights = new Flights<Got>()
  readonly #refreshes = new Refreshes()

  constructor(access: Access) {
    this.#access = access
  }

  /** @throws What the producer throws, unless an old value may be served instead. */
  async run(wanted: Wanted): Promise<Got> {
    const { storedKey, producerTimeoutMs } = wanted
    const frame = currentFrame()
    const patience = { askedAt: nextMoment(), limitMs: producerTimeoutMs }
    for (;;) {
      const running = this.#flights.toJoin(storedKey, frame)
      if (running === undefined) return this.#lead(wanted, frame)
      const look = (made: Got | typeof FAILED) => this.#latest(wanted, made, running)
      const got = await this.#flights.join(running, frame, patience, look)
      if (got === undefined) continue
      // What holds one visitor's output is nobody else's.
      if (got.isApart) return this.#lead(wanted, frame, true)
      if (got.served === undefined || mayServe(wanted, got.served)) return got
      // Who it was waited for allows what is old, and this one does not.
    }
  }

  /** Lets what is running end for those who wait already; whoever comes later starts again. */
  detach(storedKey: string): void {
    this.#flights.detach(storedKey)
  }

  /** The same, and what is running is not to be kept: of one stored key, or of all. */
  forget(storedKey?: string): void {
    this.#flights.forget(storedKey)
    this.#refreshes.forget(storedKey)
  }

  /** @param isAlone - Nobody is to join it. */
  async #lead(wanted: Wanted, parent: Frame | undefined, isAlone = false): Promise<Got> {
    const { storedKey, tags, lock } = wanted
    const flight = new Flight<Got>(tags)
    flight.isClosed = isAlone
    this.#flights.takeOff(storedKey, flight, parent)
    // Under a lease it is not going to wait for another.
    flight.mayWait = lock !== false && !flight.isUrgent && !mustNotWait(parent)
    try {
      const got = await this.#get(wanted, flight, parent)
      flight.land(got)
      return got
    } catch (error) {
      flight.fail(error)
      throw error
    } finally {
      this.#flights.release(storedKey, flight)
    }
  }

  async #get(wanted: Wanted, flight: Flight<Got>, parent: Frame | undefined): Promise<Got> {
    const { staleWhileRevalidate, staleIfError } = wanted
    const mayBeStale = staleWhileRevalidate > 0 || staleIfError > 0
    const found = await this.#access.read(wanted, { stale: mayBeStale })
    const hit = found?.hits[0]
    if (hit === undefined) return this.#make(wanted, flight, parent, found, undefined)
    if (hit.staleSinceMs === undefined) {
      if (wanted.isDue || isDueEarly(hit.stamp, wanted.beta)) this.#refresh(wanted, hit)
      return this.#toGot(wanted, hit)
    }
    if (Date.now() < hit.staleSinceMs + staleWhileRevalidate * 1000) {
      this.#refresh(wanted, hit)
      return this.#toGot(wanted, hit)
    }
    return this.#make(wanted, flight, parent, found, hit)
  }

  #toGot(
    { storedKey }: Pick<Wanted, 'storedKey'>,
    hit: Hit,
    afterError = false,
  ): MaybePromise<Got> {
    const { value, tags, staleSinceMs } = hit
    const isOld = staleSinceMs !== undefined
    const served = isOld ? { staleSinceMs, afterError } : undefined
    const got = { value, tags, isOld, served, isApart: false, expiresAtMs: undefined }
    if (!mayWantExpiry()) return got
    const lifetime = lifetimeOf(this.#access.cache, storedKey, hit, currentFrame())
    return chain(lifetime, (expiresAtMs) => ({ ...got, expiresAtMs }))
  }

  /**
   * @param found - What the look-up found; `undefined`: the store failed.
   * @param old - What may be served if it cannot be made.
   */
  async #make(
    wanted: Wanted,
    flight: Flight<Got>,
    parent: Frame | undefined,
    found: Lookup | undefined,
    old: Hit | undefined,
  ): Promise<Got> {
    const { lock } = wanted
    // Under a lease nobody waits for another: in a circle, two would wait for each other.
    const mayWait = !flight.isUrgent && !mustNotWait(parent)
    if (lock === false || found === undefined || !mayWait) {
      return this.#makeUnder(undefined, wanted, flight, parent, found, old)
    }
    let latest: Lookup | undefined = found
    // Who held the lease before stored what a replica may not have yet.
    const taken = await leaseOrFind(this.#access.cache, wanted.storedKey, lock, async () => {
      latest = await this.#access.read(wanted, { isCurrent: true })
      return latest?.hits[0]
    })
    if (taken.found !== undefined) return this.#toGot(wanted, taken.found)
    try {
      return await this.#makeUnder(taken.lease, wanted, flight, parent, latest, old)
    } finally {
      await taken.lease?.release()
    }
  }

  async #makeUnder(
    lease: Lease | undefined,
    wanted: Wanted,
    flight: Flight<Got>,
    parent: Frame | undefined,
    found: Lookup | undefined,
    old: Hit | undefined,
  ): Promise<Got> {
    flight.mayWait = false
    const beginning = await this.#begin(wanted, found)
    const frame = this.#frame(parent, flight, wanted, lease)
    flight.beginMaking(frame, beginning)
    parent?.announce(wanted.tags)
    try {
      return await this.#makeIn(frame, wanted, flight, beginning, old)
    } finally {
      frame.end()
    }
  }

  async #begin({ storedKey, tags, timeout }: Wanted, found: Lookup | undefined) {
    if (found === undefined) return undefined
    const deadline = this.#access.deadline(timeout)
    // What is not going to be kept claims nothing.
    const keys = deadline === null || deadline > 0 ? [storedKey] : NO_KEYS
    return this.#access.cache.tryBegin(keys, found, tags)
  }

  /** What there is now of something that was made, or could not be made. */
  async #latest<Made extends Got | typeof FAILED>(
    { key, storedKey }: Wanted,
    made: Made,
    flight: Flight<Got>,
  ): Promise<Got | Made | undefined> {
    const tags = made === FAILED ? flight.versions : (made.tags ?? NO_VERSIONS)
    const now = await this.#access.cache.tryRecheck(key, storedKey, flight.claim, tags)
    if (typeof now === 'boolean') return now ? made : undefined
    return this.#toGot({ storedKey }, now)
  }

  async #makeIn(
    frame: Frame,
    wanted: Wanted,
    flight: InFlight,
    beginning: Beginning | undefined,
    old: Hit | undefined,
    refresh?: Refresh,
  ): Promise<Got> {
    const claim = beginning?.claims[0]
    const startedMs = performance.now()
    let value: unknown
    try {
      value = await runAsyncIn(frame, () => produce(wanted))
      checkValue(value)
    } catch (error) {
      await this.#giveUp(wanted, claim, performance.now() - startedMs)
      const left =
        old === undefined || flight.isDiscarded ? undefined : await this.#leftOf(old, wanted)
      if (left === undefined || !isWithinError(left, wanted)) throw error
      this.#report(wanted, error)
      return this.#toGot(wanted, left, true)
    }
    const costMs = performance.now() - startedMs
    const deadline = this.#access.deadline(wanted.timeout)
    const versions = beginning?.versions
    const fitness = await fitnessOf({ frame, versions, claim, deadline })
    const made = this.#toMade(wanted, frame, value, deadline, fitness.tags)
    if (fitness.isKept) {
      const { tags, freshUntilMs } = fitness
      const grace = Math.max(wanted.staleWhileRevalidate, wanted.staleIfError)
      const ageing = toAgeing(freshUntilMs, grace, wanted.beta > 0 ? costMs : undefined)
      const { storedKey } = wanted
      const request = { storedKey, value, ...ageing, tags, replacing: claim }
      this.#refreshes.supersede(storedKey, refresh)
      const operation = refresh === undefined ? 'add' : 'set'
      const isStored = await this.#access.keep(wanted, request, operation)
      // Who asked before it was removed is given what was made for them.
      if (isStored || flight.isDiscarded) return made
    } else {
      await this.#giveUp(wanted, claim, costMs)
      if (made.isApart || fitness.reason !== 'invalidated') return made
    }
    // Somebody may have made it since, or removed it.
    const newer = await this.#access.reread(wanted)
    return newer === undefined ? made : this.#toGot(wanted, newer)
  }

  #giveUp({ storedKey }: Wanted, claim: Claim, tookMs: number): MaybePromise<void> {
    return this.#access.cache.tryGiveUp(storedKey, claim, tookMs)
  }

  /** What is left of an old value after its producer failed: it may have been removed meanwhile. */
  async #leftOf(old: Hit, wanted: Wanted): Promise<Hit | undefined> {
    const { key, storedKey, tags } = wanted
    const found = await this.#access.cache.tryLookup([key], [storedKey], tags, { stale: true })
    return found === undefined ? old : found.hits[0]
  }

  #frame(
    parent: Frame | undefined,
    flight: InFlight,
    wanted: Wanted,
    lease: Lease | undefined,
  ): Frame {
    const frame = new Frame(this.#access.cache, parent, flight, wanted.isLimited)
    frame.holdsLease = lease !== undefined
    return frame
  }

  #toMade(
    wanted: Wanted,
    frame: Frame,
    value: unknown,
    deadline: Deadline,
    tags: TagVersions | undefined,
  ): Got {
    return {
      value,
      tags: tags ?? unreadTags(wanted, frame),
      // What contains this is as old as what this contains, however long this itself is kept.
      expiresAtMs: asDeadline(Math.min(deadline ?? Infinity, frame.bubbledExpiresAtMs)),
      isOld: frame.holdsOld,
      isApart: frame.isUnfit,
      served: undefined,
    }
  }

  /** Makes it again in the background, while the old value is served. */
  #refresh(wanted: Wanted, old: Hit): void {
    const { storedKey, lock } = wanted
    if (this.#refreshes.has(storedKey)) return
    const refresh = this.#refreshes.begin(storedKey, patienceOf(lock))
    // In a context of its own: nobody waits for it, and what it depends on concerns nobody here.
    runAsyncIn(undefined, () => this.#refreshNow(wanted, refresh, old))
      .catch((error: unknown) => this.#report(wanted, error))
      .finally(() => refresh.end())
  }

  async #refreshNow(wanted: Wanted, refresh: Refresh, old: Hit): Promise<void> {
    const { cache } = this.#access
    const { lock, storedKey } = wanted
    const lease = lock === false ? undefined : await Lease.take(cache, storedKey, lock.lease)
    if (lock !== false && lease === undefined) return
    try {
      const found = await this.#access.read(wanted, { stale: true, isCurrent: lease !== undefined })
      const hit = found?.hits[0]
      if (hit !== undefined && isNewer(hit, old)) return
      const beginning = await this.#begin(wanted, found)
      if (beginning === undefined) return
      const frame = this.#frame(undefined, refresh, wanted, lease)
      try {
        await this.#makeIn(frame, wanted, refresh, beginning, undefined, refresh)
      } finally {
        frame.end()
      }
    } finally {
      await lease?.release()
    }
  }

  #report({ key }: Wanted, error: unknown): void {
    const { alias, backendName } = this.#access.cache
    reportRefresh({ alias, backend: backendName, key, error })
  }
}

const NO_KEYS: readonly string[] = []

function produce({ source }: Wanted): unknown {
  return typeof source === 'function' ? (source as () => unknown)() : source
}

/** Whether somebody else has made it again since. */
function isNewer(hit: Hit, old: Hit): boolean {
  if (hit.staleSinceMs !== undefined) return false
  return old.staleSinceMs !== undefined || hit.stamp?.freshUntilMs !== old.stamp?.freshUntilMs
}

function isWithinError({ staleSinceMs = Infinity }: Hit, wanted: Wanted): boolean {
  return Date.now() < staleSinceMs + wanted.staleIfError * 1000
}

/** Whether a caller may be given what was served to another. */
function mayServe(wanted: Wanted, { staleSinceMs, afterError }: Served): boolean {
  const { staleWhileRevalidate, staleIfError } = wanted
  const grace = afterError ? Math.max(staleIfError, staleWhileRevalidate) : staleWhileRevalidate
  return grace > 0 && Date.now() <= staleSinceMs + grace * 1000
}

function asDeadline(expiresAtMs: number): Deadline {
  return expiresAtMs === Infinity ? null : expiresAtMs
}

/** What a value depends on, where the versions are not known. */
function unreadTags(wanted: Wanted, frame: Frame): SeenVersions {
  const tags = new Map<string, string | undefined>(frame.tags)
  for (const tag of wanted.tags) if (!tags.has(tag)) tags.set(tag, undefined)
  return tags
}

/**
 * Until when an entry lives, where something around it asks for that.
 *
 * @param frame - What it is read in.
 * @returns `undefined`: nobody asks.
 */
export function lifetimeOf(
  cache: CacheCore,
  storedKey: string,
  hit: Hit,
  frame: Frame | undefined,
): MaybePromise<Deadline | undefined> {
  if (frame?.wantsExpiry !== true) return undefined
  if (hit.staleSinceMs !== undefined) return hit.staleSinceMs
  if (hit.stamp !== undefined) return asDeadline(hit.stamp.freshUntilMs)
  return cache.readLifetime(storedKey)
}
