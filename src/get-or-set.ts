import { NO_TAGS, type Hit, type Lookup, type StoreRequest, type TagSnapshot } from './backend.js'
import type { Cache } from './cache.js'
import {
  currentFrame,
  Frame,
  flightsAround,
  mayWantExpiry,
  runAsyncIn,
  tagsToStore,
  type Dependencies,
} from './frame.js'
import { invalidationsSoFar } from './invalidations.js'
import { Lease, leaseOrFind } from './lease.js'
import { chain, type MaybePromise } from './maybe-promise.js'
import { reportRefresh } from './observe.js'
import { checkValue } from './serializer.js'
import { mustNotWait, SingleFlight, type Run } from './single-flight.js'
import { isDueEarly, patienceOf, toAgeing, type Lock } from './staleness.js'
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
}

/** A value and what it depends on. */
export interface Got {
  readonly value: unknown
  readonly tags: Dependencies | undefined
  /** Tags whose counter was not there when their version was read. */
  readonly unborn: readonly string[]
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

interface Made {
  readonly made: Got
  /** Until when it is to be kept. */
  readonly deadline: Deadline
  readonly costMs: number
}

/** Something that is made anew in nobody's time. */
interface Refreshing {
  /** How long it is waited for before another may begin. */
  readonly patienceMs: number
  readonly untilMs: number
}

/** What this needs of the cache: observed, limited in time, and with `ignoreErrors` in mind. */
export interface Access {
  readonly cache: Cache
  /** `undefined`: the store failed. */
  readonly read: (wanted: Wanted, stale: boolean) => MaybePromise<Lookup | undefined>
  /** Also what is past its time. `undefined`: the store failed. Never rejects for that. */
  readonly tryRead: (wanted: Wanted) => MaybePromise<Lookup | undefined>
  /** The deadline of what is stored now. */
  readonly deadline: (timeout: Timeout | undefined) => Deadline
  readonly add: (wanted: Wanted, request: StoreRequest) => Promise<boolean>
  /** Writes if what lies there is still the payload that was read. */
  readonly replace: (wanted: Wanted, request: StoreRequest, payload: unknown) => Promise<boolean>
  readonly readPayload: (wanted: Wanted) => Promise<unknown>
  readonly reread: (wanted: Wanted) => Promise<Hit | undefined>
}

const NONE: readonly string[] = []

/**
 * The way of a value that is read, or made by one caller for all: in this process always, in all
 * processes with a lease.
 */
export class GetOrSet {
  readonly #access: Access
  readonly #flights = new SingleFlight()
  readonly #refreshes = new SingleFlight()
  readonly #refreshing = new Map<string, Refreshing>()

  constructor(access: Access) {
    this.#access = access
  }

  /** @throws What the producer throws, unless an old value may be served instead. */
  async run(wanted: Wanted): Promise<Got> {
    // Under a lease nobody waits for who may wait for a lease: in a circle, all would wait.
    const frame = currentFrame()
    const mayBeHeldUp = !mustNotWait(frame)
    const around = frame === undefined ? undefined : flightsAround(frame)
    for (;;) {
      let isOwn = false
      const get = (run: Run) => {
        isOwn = true
        return this.#get(wanted, run)
      }
      const got = await this.#flights.run(wanted.storedKey, get, mayBeHeldUp, around)
      // What holds one visitor's output is nobody else's.
      if (got.isApart && !isOwn) return this.#flights.runAlone(wanted.storedKey, get)
      if (isOwn || got.served === undefined || mayServe(wanted, got.served)) return got
      // Who it was waited for allows what is old, and this one does not.
    }
  }

  /** Lets what is running end for those who wait already; whoever comes later starts anew. */
  detach(storedKey: string): void {
    this.#flights.detach(storedKey)
  }

  /** The same, and what is running is not to be kept: of one stored key, or of all. */
  forget(storedKey?: string): void {
    this.#flights.forget(storedKey)
    this.#refreshes.forget(storedKey)
    if (storedKey === undefined) this.#refreshing.clear()
    else this.#refreshing.delete(storedKey)
  }

  async #get(wanted: Wanted, run: Run): Promise<Got> {
    // Under a lease it is not going to wait for another.
    run.mayWait = wanted.lock !== false && !run.isUrgent && !mustNotWait(currentFrame())
    const begunAt = invalidationsSoFar()
    // While it is looked up, nobody knows its tags.
    run.isOutdated = () => invalidationsSoFar() !== begunAt
    const { staleWhileRevalidate, staleIfError } = wanted
    const mayBeStale = staleWhileRevalidate > 0 || staleIfError > 0
    const found = await this.#access.read(wanted, mayBeStale)
    const hit = found?.hits[0]
    if (hit === undefined) return this.#make(wanted, run, found?.snapshot, undefined)
    if (hit.staleSinceMs === undefined) {
      if (wanted.isDue || isDueEarly(hit.stamp, wanted.beta)) this.#refresh(wanted, hit)
      return this.#toGot(wanted, hit)
    }
    if (Date.now() < hit.staleSinceMs + staleWhileRevalidate * 1000) {
      this.#refresh(wanted, hit)
      return this.#toGot(wanted, hit)
    }
    return this.#make(wanted, run, found?.snapshot, hit)
  }

  #toGot({ storedKey }: Wanted, hit: Hit, afterError = false): MaybePromise<Got> {
    const { value, tags, staleSinceMs } = hit
    const isOld = staleSinceMs !== undefined
    const served = isOld ? { staleSinceMs, afterError } : undefined
    const got = { value, tags, unborn: NONE, isOld, served, isApart: false, expiresAtMs: undefined }
    if (!mayWantExpiry()) return got
    const lifetime = lifetimeOf(this.#access.cache, storedKey, hit, currentFrame())
    return chain(lifetime, (expiresAtMs) => ({ ...got, expiresAtMs }))
  }

  /** @param old - What may be served if it cannot be made. */
  async #make(
    wanted: Wanted,
    run: Run,
    snapshot: TagSnapshot | undefined,
    old: Hit | undefined,
  ): Promise<Got> {
    const { lock } = wanted
    // Under a lease nobody waits for another: in a circle, two would wait for each other.
    const mayWait = !run.isUrgent && !mustNotWait(currentFrame())
    if (lock === false || snapshot === undefined || !mayWait) {
      return this.#makeUnder(undefined, wanted, run, snapshot, old)
    }
    let latest: TagSnapshot | undefined = snapshot
    const { lease, found } = await leaseOrFind(
      this.#access.cache,
      wanted.storedKey,
      lock,
      async () => {
        const again = await this.#access.read(wanted, false)
        latest = again?.snapshot
        return again?.hits[0]
      },
    )
    run.mayWait = false
    if (found !== undefined) return this.#toGot(wanted, found)
    try {
      return await this.#makeUnder(lease, wanted, run, latest, old)
    } finally {
      await lease?.release()
    }
  }

  async #makeUnder(
    lease: Lease | undefined,
    wanted: Wanted,
    run: Run,
    snapshot: TagSnapshot | undefined,
    old: Hit | undefined,
  ): Promise<Got> {
    run.mayWait = false
    const frame = this.#frame(currentFrame(), wanted, lease)
    run.isOutdated = () => frame.isOutdatedBy(wanted.tags)
    run.isMaking = true
    frame.parent?.announce(wanted.tags)
    this.#refreshing.delete(wanted.storedKey)
    try {
      return await this.#makeIn(frame, wanted, run, snapshot, old)
    } finally {
      frame.end()
    }
  }

  async #makeIn(
    frame: Frame,
    wanted: Wanted,
    run: Run,
    snapshot: TagSnapshot | undefined,
    old: Hit | undefined,
  ): Promise<Got> {
    const startedMs = performance.now()
    let value: unknown
    try {
      value = await runAsyncIn(frame, () => produce(wanted, run))
    } catch (error) {
      const left =
        old === undefined || run.isDiscarded ? undefined : await this.#leftOf(old, wanted)
      if (left === undefined || !isWithinError(left, wanted)) throw error
      this.#report(wanted, error)
      return this.#toGot(wanted, left, true)
    }
    checkValue(value)
    const tags = snapshot === undefined ? undefined : await tagsToStore(frame, snapshot)
    const result = this.#toMade(wanted, frame, value, tags, startedMs)
    const { made } = result
    // The store could not be read, or what it was made from was invalidated: nothing may be kept.
    if (frame.isOutdatedBy(wanted.tags) && !run.isDiscarded && !frame.isUnfit) {
      // Somebody may have made it anew since.
      const newer = await this.#access.reread(wanted)
      return newer === undefined ? made : this.#toGot(wanted, newer)
    }
    if (tags === undefined || run.isDiscarded) return made
    if (frame.isUnfit || frame.holdsOld || hasEnded(result)) return made
    const added = await this.#access.add(wanted, this.#request(wanted, result, tags))
    if (added) return made
    const hit = await this.#access.reread(wanted)
    return hit === undefined ? made : this.#toGot(wanted, hit)
  }

  /** What is left of an old value after its producer failed: it may have been removed meanwhile. */
  async #leftOf(old: Hit, wanted: Wanted): Promise<Hit | undefined> {
    const found = await this.#access.tryRead(wanted)
    return found === undefined ? old : found.hits[0]
  }

  #frame(parent: Frame | undefined, wanted: Wanted, lease: Lease | undefined): Frame {
    const frame = new Frame(this.#access.cache, parent, undefined, wanted.isLimited)
    frame.holdsLease = lease !== undefined
    return frame
  }

  #toMade(
    wanted: Wanted,
    frame: Frame,
    value: unknown,
    tags: TagSnapshot | undefined,
    startedMs: number,
  ): Made {
    const own = this.#access.deadline(wanted.timeout)
    const limited = asDeadline(Math.min(own ?? Infinity, frame.bubbledExpiresAtMs))
    const made: Got = {
      value,
      tags: tags?.versions ?? unreadTags(wanted, frame),
      unborn: tags?.unborn ?? NONE,
      // What contains this is as old as what this contains, however long this itself is kept.
      expiresAtMs: limited,
      isOld: frame.holdsOld,
      isApart: frame.isUnfit,
      served: undefined,
    }
    const deadline = wanted.isLimited ? limited : own
    return { made, deadline, costMs: performance.now() - startedMs }
  }

  #request(wanted: Wanted, { made, deadline, costMs }: Made, tags: TagSnapshot): StoreRequest {
    const grace = Math.max(wanted.staleWhileRevalidate, wanted.staleIfError)
    const ageing = toAgeing(deadline, grace, wanted.beta > 0 ? costMs : undefined)
    return { storedKey: wanted.storedKey, value: made.value, ...ageing, tags }
  }

  /** Makes it anew while the old value is served, in nobody's time. */
  #refresh(wanted: Wanted, old: Hit): void {
    const { storedKey, lock } = wanted
    const before = this.#refreshing.get(storedKey)
    if (before !== undefined && Date.now() < before.untilMs) return
    // One that hangs is to hold nothing up, and one that is slow is not to be run ever more often.
    const patienceMs = before === undefined ? patienceOf(lock) : 2 * before.patienceMs
    const refreshing = { patienceMs, untilMs: Date.now() + patienceMs }
    this.#refreshing.set(storedKey, refreshing)
    // One that it was made anew without may hang, too.
    this.#refreshes.detach(storedKey)
    // In a context of its own: nobody waits for it, and what it depends on concerns nobody here.
    runAsyncIn(undefined, () =>
      this.#refreshes.runDetached(storedKey, (run) => this.#refreshNow(wanted, run, old)),
    )
      .catch((error: unknown) => this.#report(wanted, error))
      .finally(() => {
        if (this.#refreshing.get(storedKey) === refreshing) this.#refreshing.delete(storedKey)
      })
  }

  async #refreshNow(wanted: Wanted, run: Run, old: Hit): Promise<void> {
    const { cache } = this.#access
    const { lock, storedKey } = wanted
    const lease = lock === false ? undefined : await Lease.take(cache, storedKey, lock.lease)
    if (lock !== false && lease === undefined) return
    try {
      // Read before it is made, as are the versions of its tags: whoever writes meanwhile wins.
      const payload = await this.#access.readPayload(wanted)
      const found = await this.#access.read(wanted, true)
      const hit = found?.hits[0]
      if (hit !== undefined && isNewer(hit, old)) return
      const snapshot = await snapshotOf(cache, wanted.tags)
      if (snapshot === undefined) return
      const frame = this.#frame(undefined, wanted, lease)
      try {
        await this.#refreshIn(frame, wanted, run, snapshot, payload)
      } finally {
        frame.end()
      }
    } finally {
      await lease?.release()
    }
  }

  /** @param payload - What is to be replaced. */
  async #refreshIn(
    frame: Frame,
    wanted: Wanted,
    run: Run,
    snapshot: TagSnapshot,
    payload: unknown,
  ): Promise<void> {
    const startedMs = performance.now()
    const value = await runAsyncIn(frame, () => produce(wanted, run))
    checkValue(value)
    const tags = await tagsToStore(frame, snapshot)
    if (tags === undefined || frame.isOutdatedBy(wanted.tags) || run.isDiscarded) return
    if (frame.isUnfit || frame.holdsOld) return
    const result = this.#toMade(wanted, frame, value, tags, startedMs)
    if (hasEnded(result)) return
    await this.#access.replace(wanted, this.#request(wanted, result, tags), payload)
  }

  #report({ key }: Wanted, error: unknown): void {
    const { alias, backendName } = this.#access.cache
    reportRefresh({ alias, backend: backendName, key, error })
  }
}

/** Whether what it was made from ended while it was made. */
function hasEnded({ deadline, made }: Made): boolean {
  return (
    deadline !== null && deadline > 0 && deadline === made.expiresAtMs && deadline <= Date.now()
  )
}

function produce({ source }: Wanted, run: Run): unknown {
  return typeof source === 'function' ? run.produce(source as () => unknown) : source
}

/**
 * The versions of tags for what is made in place of something that was found. A hit may have come from
 * memory, and then nobody asked for them.
 *
 * @returns `undefined`: the store failed.
 */
export function snapshotOf(
  cache: Cache,
  tags: readonly string[],
): MaybePromise<TagSnapshot | undefined> {
  if (tags.length === 0) return NO_TAGS
  return chain(cache.tryLookup([], [], tags), (found) => found?.snapshot)
}

/** Whether somebody else has made it anew since. */
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
function unreadTags(wanted: Wanted, frame: Frame): Dependencies {
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
  cache: Cache,
  storedKey: string,
  hit: Hit,
  frame: Frame | undefined,
): MaybePromise<Deadline | undefined> {
  if (frame?.wantsExpiry !== true) return undefined
  if (hit.staleSinceMs !== undefined) return hit.staleSinceMs
  if (hit.stamp !== undefined) return asDeadline(hit.stamp.freshUntilMs)
  return cache.readLifetime(storedKey)
}
