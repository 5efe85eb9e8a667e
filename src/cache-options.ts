import type { Invalidating } from './backend/late-invalidations.js'
import { checkKnown } from './check-known.js'
import type { CacheCore } from './backend/core.js'
import type { StoreRequest } from './backend/entries.js'
import { currentMs } from './current-time.js'
import type { Subject } from './observe/remembered.js'
import { show } from './errors.js'
import type { Version } from './keys.js'
import { checkValue } from './serializer.js'
import { toAgeing, toGrace, type LockOptions, type StaleOptions } from './staleness.js'
import { checkEntryTags, type TagVersions } from './tags.js'
import { checkTimeout, toDeadline, type Deadline, type Timeout } from './timeout.js'

/** Options of calls that name one or more keys. */
export interface KeyOptions {
  /** Version of the keys. Default: the cache's version. */
  readonly version?: Version | undefined
}

/** Options of `get`. */
export interface GetOptions<T = unknown> extends KeyOptions {
  /** The result of a miss. Default `undefined`. */
  readonly default?: T | undefined
}

/** Options of `touch`. */
export interface TouchOptions extends KeyOptions {
  /** Seconds. Default: the cache's timeout. `null`: never expires. Zero or less: not stored. */
  readonly timeout?: Timeout | undefined
}

/**
 * Options of calls that store. With `staleWhileRevalidate` or `staleIfError` the entry is kept that much
 * longer than its timeout, for a `getOrSet` with these options. For all other calls it is gone.
 */
export interface SetOptions extends TouchOptions, StaleOptions {
  /** `invalidateTags` with any of them makes the entry a miss. */
  readonly tags?: readonly string[] | undefined
}

/** Options of `getOrSet`. */
export interface GetOrSetOptions extends SetOptions {
  /**
   * Whether only one producer at a time runs in all processes that share the store. The others wait up to
   * `wait` seconds (5) and then run their own. If a process dies, its lease ends after `lease` seconds (10).
   * Default: the cache's setting, else `false`.
   */
  readonly lock?: boolean | LockOptions | undefined
  /**
   * Whether entries are produced again shortly before they expire, at random and depending on how long they
   * took to produce, so that they never expire under load. `true` is 1; a larger number is earlier. Default:
   * the cache's setting, else `false`.
   *
   * @see Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention" (2015)
   */
  readonly earlyRefresh?: boolean | number | undefined
  /**
   * Milliseconds that the call waits for its producer. After that it returns the old value if `staleIfError`
   * kept one, and otherwise rejects with `ProducerTimeoutError`. The producer goes on, and its result is
   * stored.
   *
   * The call waits just as long for another caller's producer in this process. After that it looks again and,
   * if need be, runs its own producer or waits for a second one. It does not wait for a third one: it
   * rejects.
   *
   * `null`: no limit. Default: the cache's setting, else no limit for its own producer and 30,000 for another
   * caller's.
   */
  readonly producerTimeoutMs?: number | null | undefined
  /** Whether the entry lives no longer than anything it was produced from. Default `false`. */
  readonly bubbleTimeout?: boolean | undefined
  /**
   * Whether the call rejects if the store fails, or the value is too large for it. Default `false`: the value
   * is produced, and not stored. The outage is reported in either case; that a value is too large, only then.
   */
  readonly strict?: boolean | undefined
}

/** Options of `invalidateTags`. */
export interface InvalidateOptions {
  /**
   * Makes entries stale instead of gone: calls that allow stale entries may get them once more. Default
   * `false`.
   */
  readonly soft?: boolean | undefined
  /**
   * Whether the invalidation may be sent later if the store is down. The call then resolves, this process
   * reads nothing from the store before the invalidation was sent, and other processes get the invalidated
   * entries until then. It is lost if the process ends first. Default `false`: the call rejects.
   */
  readonly later?: boolean | undefined
}

const NO_TAGS: readonly string[] = []

/** In place of options that are left out: there is nothing to check in them. */
export const NO_OPTIONS: SetOptions = Object.freeze({})

export const KEY_OPTIONS = ['version']
export const GET_OPTIONS = ['version', 'default']
export const TOUCH_OPTIONS = ['version', 'timeout']
export const SET_OPTIONS = ['version', 'timeout', 'tags', 'staleWhileRevalidate', 'staleIfError']
export const GET_OR_SET_OPTIONS = [
  ...SET_OPTIONS,
  'lock',
  'earlyRefresh',
  'bubbleTimeout',
  'producerTimeoutMs',
  'strict',
]

/** What elsewhere chooses a cache. */
const ONE_CACHE = {
  using: 'which is not needed: call invalidateTags of that cache, caches.get(alias)',
}

/** @throws TypeError: an option is unknown or no boolean. */
export function toInvalidating(options: InvalidateOptions): Invalidating {
  checkKnown('options', options, ['soft', 'later'], ONE_CACHE)
  const { soft = false, later = false } = options
  checkFlag('soft', soft)
  checkFlag('later', later)
  return { soft, later }
}

/** @throws TypeError: it is no boolean. */
export function checkFlag(name: string, flag: unknown): void {
  if (typeof flag === 'boolean') return
  throw new TypeError(`${name}: ${show(flag)} is neither true nor false`)
}

/** @throws TypeError: it is no object, or has an option that nobody knows. */
export function checkOptions(options: unknown, known: readonly string[]): void {
  if (options !== NO_OPTIONS) checkKnown('options', options, known)
}

/** @throws TypeError: it is no whole number. */
export function checkDelta(delta: unknown): asserts delta is number {
  if (Number.isSafeInteger(delta)) return
  throw new TypeError(`delta: ${show(delta)} is not a whole number`)
}

/** @throws TypeError: it is no list. */
export function checkKeys(keys: unknown): Iterable<string> {
  if (typeof keys === 'object' && keys !== null && Symbol.iterator in keys) {
    return keys as Iterable<string>
  }
  throw new TypeError(`keys: ${show(keys)} is not a list of keys; give an array of strings`)
}

/** Keys and values in either form that `setMany` takes. @throws TypeError: they are neither. */
export function toPairs(entries: unknown): (readonly [string, unknown])[] {
  if (typeof entries !== 'object' || entries === null) {
    throw new TypeError(`entries: ${show(entries)} is neither a record nor pairs; ${GIVE_ENTRIES}`)
  }
  if (!(Symbol.iterator in entries)) return Object.entries(entries)
  // A key given twice counts once, with its last value, as in a record.
  const pairs = new Map<string, unknown>()
  for (const pair of entries as Iterable<unknown>) {
    if (!Array.isArray(pair)) {
      throw new TypeError(`entries: ${show(pair)} is not a pair; ${GIVE_ENTRIES}`)
    }
    pairs.set(pair[0] as string, pair[1])
  }
  return [...pairs]
}

const GIVE_ENTRIES = 'give { key: value }, a Map, or a list of [key, value]'

/** The stored tags of a call. @throws TypeError: they are no list of texts, or too many. */
export function tagsOf({ tags }: SetOptions): readonly string[] {
  return tags === undefined ? NO_TAGS : checkEntryTags(tags)
}

/** Until when what is stored now lives. @throws TypeError: the timeout is none. */
export function deadlineOf(
  core: CacheCore,
  { timeout = core.settings.timeout }: TouchOptions,
): Deadline {
  checkTimeout(timeout)
  return toDeadline(timeout, currentMs())
}

/** A value that is to be stored with tags whose versions are not known yet. */
export interface RequestDraft extends StoreRequest {
  tags: TagVersions | undefined
  readonly tagNames: readonly string[]
}

/** A value that is to be stored, without its tags. @throws TypeError: key, value or an option is wrong. */
export function toRequest(
  core: CacheCore,
  key: string,
  value: unknown,
  options: SetOptions,
  ifAbsent = false,
): RequestDraft {
  checkOptions(options, SET_OPTIONS)
  const storedKey = core.checkedKey(key, options.version)
  checkValue(value, core.types)
  const grace = Math.max(
    toGrace('staleWhileRevalidate', options.staleWhileRevalidate),
    toGrace('staleIfError', options.staleIfError),
  )
  const { expiresAtMs, stamp } = toAgeing(deadlineOf(core, options), grace, undefined)
  // Written out: to copy an object takes longer than to make one.
  const subject = options.tags === undefined ? undefined : valueSubject(key)
  const tagNames = tagsOf(options)
  return { storedKey, value, expiresAtMs, stamp, tags: undefined, tagNames, ifAbsent, subject }
}

/** What a value that depends on tags is remembered as. */
export function valueSubject(key: string): Subject {
  return { kind: 'value', key, name: key, variant: [] }
}
