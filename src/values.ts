import { ALL_OF_LOOKUP, IF_ADDED, isStoreFailure, ONE_SET, type Call } from './backend/calls.js'
import { ownCopyOf } from './backend/complete-store.js'
import type { CacheCore } from './backend/core.js'
import type { Hit, Lookup } from './backend/entries.js'
import type { WriteOutcome } from './backend/store.js'
import {
  checkFlag,
  checkOptions,
  deadlineOf,
  GET_OR_SET_OPTIONS,
  KEY_OPTIONS,
  tagsOf,
  toRequest,
  type GetOrSetOptions,
  type KeyOptions,
  type RequestDraft,
  type SetOptions,
  valueSubject,
} from './cache-options.js'
import { CacheBackendError, show } from './errors.js'
import { GetOrSet, type ValueAccess } from './get-or-set.js'
import { currentFrame, mayWantExpiry } from './making/frame.js'
import { dependOnHit, dependOnLanded } from './making/landed.js'
import { chain, isPromise, type MaybePromise } from './maybe-promise.js'
import { isDueEarly, toBeta, toGrace, toLock, toProducerTimeout } from './staleness.js'
import type { Counts } from './observe/counts.js'
import type { TagVersions } from './tags.js'
import { checkTimeout } from './timeout.js'

/** Looks an entry up in a cache that may answer at once, and is not failing. @throws CacheBackendError */
export function lookUpUnguarded(
  { entries, calls }: CacheCore,
  operation: 'get' | 'getOrSet',
  key: string,
  storedKey: string,
): MaybePromise<Hit | undefined> {
  try {
    return entries.lookupOne(storedKey)
  } catch (error) {
    throw calls.failedAtOnce(operation, key, error)
  }
}

/** Whether what is made around the caller has to know of what was found. Asked on every hit. */
export function isOfInterest(hit: Hit): boolean {
  return hit.tags !== undefined || mayWantExpiry()
}

/** What is being made around the caller is made from what was found, if that {@link isOfInterest}. */
export function dependOnFound(core: CacheCore, storedKey: string, hit: Hit): MaybePromise<void> {
  const frame = currentFrame()
  return frame === undefined ? undefined : dependOnHit(core, storedKey, hit, frame)
}

/**
 * The versions of tags for what is about to be stored. What is being made around the caller depends on
 * them: it has at hand what it stores, and does not read it.
 *
 * @throws Error: a counter cannot be written.
 */
export function versionsFor(core: CacheCore, tags: readonly string[]): MaybePromise<TagVersions> {
  return chain(core.entries.currentVersions(tags, true), (versions) => {
    if (versions === undefined) throw new Error('the counter of a tag could not be written')
    if (versions.size > 0) currentFrame()?.depend(core, versions)
    return versions
  })
}

/** Whether a value was stored. @throws CacheBackendError: it is too large. */
export function isStored(
  { backendName: backend }: CacheCore,
  outcome: WriteOutcome | undefined,
  operation: string,
  key: string,
): boolean {
  if (outcome !== 'too_large') return outcome === 'stored'
  throw new CacheBackendError(
    `${operation}: the value for ${show(key)} is larger than ${backend} takes; it was not stored and no older value is left`,
    { code: 'FRAGCACHE_VALUE_TOO_LARGE', backend, operation, key },
  )
}

/** @throws What became of a value that had to be stored, and is not. */
export function checkStored(
  core: CacheCore,
  outcome: WriteOutcome | undefined,
  operation: string,
  key: string,
): true {
  if (isStored(core, outcome, operation, key)) return true
  throw new Error('the entry could not be written')
}

/**
 * A call that stores a value, with the versions of its tags as they were before it was written.
 *
 * @param write - Called when they have been read.
 * @param end - Makes what the call gives of what became of the write.
 */
function storing<T>(
  call: Omit<Call<CacheCore, RequestDraft, T>, 'act'>,
  write: (core: CacheCore, request: RequestDraft) => MaybePromise<WriteOutcome>,
  end: (core: CacheCore, outcome: WriteOutcome, operation: string, key: string) => T,
): Call<CacheCore, RequestDraft, T> {
  const { operation } = call
  // Each of its own: a function that makes closures makes room for them on every call.
  const endLater = async (core: CacheCore, written: Promise<WriteOutcome>, key: string) =>
    end(core, await written, operation, key)
  const writeLater = async (
    core: CacheCore,
    request: RequestDraft,
    versions: Promise<TagVersions>,
    key: string,
  ) => {
    request.tags = await versions
    return end(core, await write(core, request), operation, key)
  }
  const act = (core: CacheCore, request: RequestDraft, key: string): MaybePromise<T> => {
    if (request.tagNames.length > 0) {
      const versions = versionsFor(core, request.tagNames)
      if (isPromise(versions)) return writeLater(core, request, versions, key)
      request.tags = versions
    }
    const written = write(core, request)
    return isPromise(written) ? endLater(core, written, key) : end(core, written, operation, key)
  }
  return { ...call, act }
}

const SET = storing<true>(
  { operation: 'set', fallback: true, counting: ONE_SET },
  (core, request) => core.storeEntry(request),
  checkStored,
)

const ADD = storing<boolean>(
  { operation: 'add', fallback: false, counting: IF_ADDED },
  ({ changes }, request) => changes.add(request),
  isStored,
)

/** What is added to what. */
interface Addition {
  readonly storedKey: string
  readonly delta: number
}

/** A call that adds to a number. */
function adding(operation: string): Call<CacheCore, Addition, number | undefined> {
  return {
    operation,
    act: ({ changes }, { storedKey, delta }) => changes.count(operation, storedKey, delta),
    fallback: undefined,
  }
}

const COUNTS = { incr: adding('incr'), decr: adding('decr') }

/** The values of one cache that are found, or made: what `getOrSet` does. */
export class Values {
  readonly #core: CacheCore
  /** Those that are made without the store while that fails. */
  readonly #made: GetOrSet
  /** Those that are not. */
  readonly #strict: GetOrSet

  constructor(core: CacheCore) {
    this.#core = core
    this.#made = new GetOrSet(accessOf(core, false))
    this.#strict = new GetOrSet(accessOf(core, true))
    core.removalListeners.push((storedKey) => {
      for (const made of [this.#made, this.#strict]) made.forget(storedKey)
    })
  }

  /**
   * Lets what is being produced for a key end for those who wait already. Later callers begin again.
   */
  detach(storedKey: string): void {
    this.#made.detach(storedKey)
    this.#strict.detach(storedKey)
  }

  /** @see Cache.set */
  set(key: string, value: unknown, options: SetOptions): MaybePromise<true | undefined> {
    const core = this.#core
    const request = toRequest(core, key, value, options)
    return this.#changed(core.calls.one(SET, key, request), request.storedKey)
  }

  /** @see Cache.add */
  add(key: string, value: unknown, options: SetOptions): MaybePromise<boolean> {
    const core = this.#core
    return core.calls.one(ADD, key, toRequest(core, key, value, options, true))
  }

  /**
   * @param delta - Checked.
   * @returns `undefined`: there is no live entry.
   * @see Cache.incr
   */
  count(
    operation: 'incr' | 'decr',
    key: string,
    delta: number,
    options: KeyOptions,
  ): MaybePromise<number | undefined> {
    checkOptions(options, KEY_OPTIONS)
    const core = this.#core
    const storedKey = core.checkedKey(key, options.version)
    const sum = core.calls.one(COUNTS[operation], key, { storedKey, delta })
    return this.#changed(sum, storedKey)
  }

  /**
   * Who asks from now on gets what was written, and not what a look-up found before.
   *
   * @param result - `undefined`: nothing was.
   */
  #changed<T>(result: MaybePromise<T | undefined>, storedKey: string): MaybePromise<T | undefined> {
    if (isPromise(result)) return this.#changedLater(result, storedKey)
    if (result !== undefined) this.detach(storedKey)
    return result
  }

  async #changedLater<T>(
    result: Promise<T | undefined>,
    storedKey: string,
  ): Promise<T | undefined> {
    return this.#changed(await result, storedKey)
  }

  /** @see Cache.getOrSet */
  async get(key: string, source: unknown, options: GetOrSetOptions): Promise<unknown> {
    checkOptions(options, GET_OR_SET_OPTIONS)
    const core = this.#core
    const { counts, settings } = core
    const storedKey = core.checkedKey(key, options.version)
    if (options.timeout !== undefined) checkTimeout(options.timeout)
    const { lock, earlyRefresh, bubbleTimeout = false, producerTimeoutMs, strict = false } = options
    checkFlag('bubbleTimeout', bubbleTimeout)
    checkFlag('strict', strict)
    const ageing = {
      lock: lock === undefined ? settings.lock : toLock(lock),
      beta: earlyRefresh === undefined ? settings.earlyRefresh : toBeta(earlyRefresh),
      staleWhileRevalidate: toGrace('staleWhileRevalidate', options.staleWhileRevalidate),
      staleIfError: toGrace('staleIfError', options.staleIfError),
    }
    const tags = tagsOf(options)
    const patienceMs =
      producerTimeoutMs === undefined
        ? settings.producerTimeoutMs
        : toProducerTimeout(producerTimeoutMs)
    const startedMs = core.calls.startLookup()
    const hit = this.#hitAtOnce(key, storedKey, strict)
    const isDue = isDueEarly(hit?.stamp, ageing.beta)
    if (hit !== undefined && !isDue) {
      core.calls.lookedUp('getOrSet', key, true, startedMs)
      counts.valueHits++
      if (isOfInterest(hit)) await dependOnFound(core, storedKey, hit)
      return hit.value
    }
    const frame = currentFrame()
    frame?.announce(tags)
    const timed = new TimedSource(source, counts)
    const got = await (strict ? this.#strict : this.#made).run({
      cache: core,
      key,
      storedKey,
      tags,
      source: timed.source,
      timeout: options.timeout,
      mayDecide: typeof source === 'function' && source.length > 0,
      isLimited: bubbleTimeout,
      producerTimeoutMs: patienceMs,
      ageing: isDue ? { ...ageing, isDue } : ageing,
    })
    if (!timed.hasRun) counts.valueHits++
    if (frame !== undefined) await dependOnLanded(core, storedKey, got, frame)
    // Callers that share one flight must not share one object.
    return ownCopyOf(core.store, got.value)
  }

  /** A hit that needs nobody to be waited for, nothing to be reported and nothing to be decided. */
  #hitAtOnce(key: string, storedKey: string, strict: boolean): Hit | undefined {
    const { answersAtOnce, guard, settings } = this.#core
    if (!answersAtOnce || guard.isFailing || settings.ignoreErrors) return undefined
    let hit: MaybePromise<Hit | undefined>
    try {
      hit = lookUpUnguarded(this.#core, 'getOrSet', key, storedKey)
    } catch (error) {
      if (strict || !isStoreFailure(error)) throw error
      return undefined
    }
    // A value that is not there is looked up once more, and reported then.
    return isPromise(hit) ? undefined : hit
  }
}

/** @param strict - A store that fails, or does not take a value, fails the call. Otherwise it is one without an entry. */
function accessOf(core: CacheCore, strict: boolean): ValueAccess {
  const { calls, entries } = core
  const attempt = <T>(fallback: T, action: () => MaybePromise<T>): MaybePromise<T> => {
    const recover = (error: unknown): T => {
      if (strict || !(error instanceof CacheBackendError)) throw error
      if (!isStoreFailure(error)) core.guard.reportRefusal(error)
      return fallback
    }
    try {
      const result = action()
      return isPromise(result) ? result.catch(recover) : result
    } catch (error) {
      return recover(error)
    }
  }
  return {
    read: ({ key, storedKey, tags }, options) => {
      const lookup = () => entries.lookup([storedKey], tags, { ...options, toMake: true })
      return attempt(undefined, () =>
        calls.run<Lookup | undefined>('getOrSet', [key], lookup, undefined, ALL_OF_LOOKUP),
      )
    },
    begin: (keys, found, tags) => attempt(undefined, () => core.begin(keys, found, tags)),
    deadline: (timeout) => deadlineOf(core, { timeout }),
    keep: async ({ key }, request, operation) => {
      const subject = request.tags === undefined ? undefined : valueSubject(key)
      const store = () =>
        chain(core.storeEntry({ ...request, subject }), (outcome) =>
          isStored(core, outcome, 'getOrSet', key),
        )
      return attempt(false, () => calls.run(operation, [key], store, false, IF_ADDED))
    },
    reread: async ({ key, storedKey }) =>
      attempt(undefined, () =>
        calls.run('get', [key], () => entries.lookupOne(storedKey, true), undefined),
      ),
  }
}

/** Where the value comes from; if a producer makes it, its time counts. */
class TimedSource {
  readonly source: unknown
  hasRun = false

  constructor(source: unknown, counts: Counts) {
    if (typeof source !== 'function') {
      this.source = source
      return
    }
    const produce = source as (context: unknown) => unknown
    this.source = (context: unknown) => {
      this.hasRun = true
      const startedMs = performance.now()
      return chain(produce(context), (value) => {
        counts.producers.add(performance.now() - startedMs)
        return value
      })
    }
  }
}
