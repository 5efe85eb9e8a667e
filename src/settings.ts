import { didYouMean, type Elsewhere } from './did-you-mean.js'
import { InvalidCacheBackendError, show, showAddress } from './errors.js'
import { checkVersion, defaultKeyFunction, type KeyFunction, type Version } from './keys.js'
import {
  toBeta,
  toLock,
  toProducerTimeout,
  type Lock,
  type LockOptions,
  type ProducerTimeout,
} from './staleness.js'
import { checkTimeout, type Timeout } from './timeout.js'

/**
 * The settings that every backend's constructor accepts: Django's `CACHES` entry in camel case.
 *
 * @see Django, settings, `CACHES`
 */
export interface CacheSettings {
  /** Where the entries are stored. Its meaning depends on the backend. */
  readonly location?: string | readonly string[] | undefined
  /**
   * Default timeout in seconds. `null`: entries never expire. Zero: nothing is stored. Default 300.
   */
  readonly timeout?: Timeout | undefined
  /** The beginning of every stored key, so that sites can share a store. Default: none. */
  readonly keyPrefix?: string | undefined
  /** Default version of the entries. Default 1. */
  readonly version?: Version | undefined
  /** Makes stored keys. Default: `prefix:version:key`. */
  readonly keyFunction?: KeyFunction | undefined
  /** Turns failures of the store into misses instead of a `CacheBackendError`. Default `false`. */
  readonly ignoreErrors?: boolean | undefined
  /**
   * Whether one process at a time produces what is missing, while the others wait. Default `false`: one
   * caller in each process does.
   */
  readonly lock?: boolean | LockOptions | undefined
  /**
   * Whether values that took long to produce are produced again shortly before they expire, at random, so
   * that they never expire under load. A number makes that earlier (above 1) or later. Default `false`.
   */
  readonly earlyRefresh?: boolean | number | undefined
  /**
   * Milliseconds that callers wait for a producer, or for the body of a fragment. After that they get the old
   * value if `staleIfError` kept one. Without an old value, the caller that runs the producer gets a
   * `ProducerTimeoutError`. A caller that waits for another caller's producer runs its own or, after it has
   * waited for two, gets the error too. `null`: no limit. Default: 30,000 for another caller's producer, no
   * limit for its own.
   */
  readonly producerTimeoutMs?: number | null | undefined
  /** Settings of the backend. */
  readonly options?: object | undefined
}

/** Options of a cache whose store is a server. */
export interface ServerOptions {
  /**
   * Milliseconds a call may take before it fails. Default 1000. Redis: what it takes to load the client library and to
   * connect for the first time is not counted; see `connectTimeout`.
   */
  readonly timeLimitMs?: number | undefined
  /**
   * Whether invalidations (tags, fragments, pages) that fail because the server is down are sent once it is
   * back, although their calls reject. Until then this process reads nothing from the server. At most 10,000
   * are kept, as long as the process lives. Default `false`.
   */
  readonly retryInvalidations?: boolean | undefined
}

/** The settings, including defaults. */
export interface ResolvedSettings {
  readonly timeout: Timeout
  readonly keyPrefix: string
  readonly version: Version
  readonly keyFunction: KeyFunction
  readonly ignoreErrors: boolean
  readonly lock: Lock
  /** Beta of XFetch; 0: never early. */
  readonly earlyRefresh: number
  readonly producerTimeoutMs: ProducerTimeout
  /** Milliseconds a call to a server may take. */
  readonly timeLimitMs: number
  /** Whether invalidations that fail are sent when the server is back. */
  readonly retryInvalidations: boolean
}

/** The names a backend accepts besides the common ones. */
export interface KnownSettings {
  readonly settings?: readonly string[]
  /**
   * The names in `options` besides `types`, which all backends accept. Omitted: the backend checks them
   * itself.
   */
  readonly options?: readonly string[]
  /**
   * Whether the store is a server. If so, calls have a time limit (`options.timeLimitMs`, default 1000), and
   * fail at once while the server is down.
   */
  readonly server?: boolean
}

const DEFAULT_TIME_LIMIT_MS = 1000

/** Longer, and a timer ends at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Names of {@link ServerOptions}. */
export const SERVER_OPTIONS = ['timeLimitMs', 'retryInvalidations']

const COMMON = [
  'location',
  'timeout',
  'keyPrefix',
  'version',
  'keyFunction',
  'ignoreErrors',
  'lock',
  'earlyRefresh',
  'producerTimeoutMs',
  'options',
]

/**
 * Checks the settings and fills in the defaults.
 *
 * @throws InvalidCacheBackendError: a setting is unknown or of the wrong kind.
 */
export function resolveSettings(
  backend: string,
  settings: unknown,
  known: KnownSettings,
): ResolvedSettings {
  const optionNames = optionNamesOf(known)
  const given = checkSettingNames<CacheSettings>(backend, settings, known)
  const options = given.options ?? {}
  if (typeof options !== 'object') {
    throw new InvalidCacheBackendError(
      `${backend}: options: ${showAddress(options)} is not an object; give an object such as { maxEntries: 1000 }`,
    )
  }
  if (known.options !== undefined) {
    checkNames(backend, 'option', options, optionNames, besideOptions(known.settings))
  }
  const { timeLimitMs: givenLimit, retryInvalidations = false } = options as ServerOptions
  const timeLimitMs =
    known.server === true
      ? resolveCount(backend, 'options.timeLimitMs', givenLimit, DEFAULT_TIME_LIMIT_MS, 1)
      : DEFAULT_TIME_LIMIT_MS
  const { timeout = 300, keyPrefix = '', version = 1, ignoreErrors = false } = given
  const keyFunction = given.keyFunction ?? defaultKeyFunction
  if (timeLimitMs > MAX_TIMER_MS) {
    refuse(backend, 'options.timeLimitMs', timeLimitMs, `at most ${MAX_TIMER_MS}`)
  }
  let lock: Lock = false
  let earlyRefresh = 0
  let producerTimeoutMs: ProducerTimeout
  check(backend, () => {
    checkTimeout(timeout)
    checkVersion(version)
    lock = toLock(given.lock)
    earlyRefresh = toBeta(given.earlyRefresh)
    producerTimeoutMs = toProducerTimeout(given.producerTimeoutMs)
  })
  if (typeof retryInvalidations !== 'boolean') {
    refuse(backend, 'options.retryInvalidations', retryInvalidations, 'a boolean')
  }
  if (typeof keyPrefix !== 'string') refuse(backend, 'keyPrefix', keyPrefix, 'a string')
  if (typeof keyFunction !== 'function') refuse(backend, 'keyFunction', keyFunction, 'a function')
  if (typeof ignoreErrors !== 'boolean') refuse(backend, 'ignoreErrors', ignoreErrors, 'a boolean')
  return {
    timeout,
    keyPrefix,
    version,
    keyFunction,
    ignoreErrors,
    lock,
    earlyRefresh,
    producerTimeoutMs,
    timeLimitMs,
    retryInvalidations,
  }
}

/**
 * Checks the settings' names, and nothing else of them.
 *
 * @param example - Settings of the backend, for advice.
 * @throws InvalidCacheBackendError: no object, or a name is unknown.
 */
export function checkSettingNames<S extends object>(
  backend: string,
  settings: unknown,
  known: KnownSettings,
  example?: string,
): S {
  checkIsSettings(backend, settings, example)
  // Its own first, which of two equally near ones is meant.
  const names = [...(known.settings ?? []), ...COMMON]
  const inOptions = optionNamesOf(known).map((name) => [`options.${name}`, ''])
  checkNames(backend, 'setting', settings, names, Object.fromEntries(inOptions) as Elsewhere)
  return settings as S
}

/**
 * Checks that there are settings at all.
 *
 * @param example - Settings of this kind, for advice.
 * @throws InvalidCacheBackendError: no object.
 */
export function checkIsSettings(
  name: string,
  settings: unknown,
  example?: string,
): asserts settings is object {
  // A cache in their place is one of several that belong among them.
  const isCache = typeof (Object(settings) as { getMany?: unknown }).getMany === 'function'
  if (typeof settings === 'object' && settings !== null && !isCache) return
  // A text is the location, as a rule.
  const wanted = example ?? (typeof settings === 'string' ? '{ location: … }' : '{ timeout: 300 }')
  throw new InvalidCacheBackendError(
    `${name}: ${showAddress(settings)} is not an object of settings; give one such as ${wanted}`,
  )
}

/** The names of the options that are known here. */
function optionNamesOf({ options = [], server = false }: KnownSettings): string[] {
  return [...options, ...(server ? SERVER_OPTIONS : []), 'types']
}

function check(backend: string, checks: () => void): void {
  try {
    checks()
  } catch (error) {
    throw new InvalidCacheBackendError(`${backend}: ${(error as Error).message}`, { cause: error })
  }
}

/**
 * The settings, for advice about a name among the options.
 *
 * @param own - Those that the backend has besides the common ones.
 */
export function besideOptions(own: readonly string[] = []): Elsewhere {
  return Object.fromEntries([...COMMON, ...own].map((name) => [name, 'beside "options"']))
}

function checkNames(
  backend: string,
  what: string,
  given: object,
  known: readonly string[],
  elsewhere: Elsewhere,
): void {
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue
    const remedy =
      known.length === 0 ? `it takes no ${what}s` : `known ${what}s are ${known.join(', ')}`
    // A cache or a client that was given in place of settings is recognized by its class.
    const isPlain = show(given) === show({})
    const of = isPlain ? '' : ` of ${show(given)}`
    throw new InvalidCacheBackendError(
      `${backend}: unknown ${what} ${JSON.stringify(name)}${of}; ${remedy}${didYouMean(name, known, elsewhere)}`,
    )
  }
}

function refuse(backend: string, name: string, value: unknown, wanted: string): never {
  throw new InvalidCacheBackendError(`${backend}: ${name}: ${show(value)} is not ${wanted}`)
}

/**
 * Checks a whole number among a backend's options.
 *
 * @throws InvalidCacheBackendError: not a whole number, or less than `least`.
 */
export function resolveCount(
  backend: string,
  name: string,
  value: unknown,
  fallback: number,
  least: number,
): number {
  if (value === undefined) return fallback
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value
  throw new InvalidCacheBackendError(
    `${backend}: ${name}: ${show(value)} is not a whole number of at least ${least}`,
  )
}
