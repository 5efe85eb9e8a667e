import type { Request } from 'express'
import type { Caches } from '../../src/caches.js'
import { MisuseError, show } from '../../src/errors.js'
import { isToken } from '../../src/http/header-values.js'

/** Options of {@link responseCache}. */
export interface ResponseCacheOptions {
  /** The cache that keeps the responses. Default `default`. */
  readonly alias?: string | undefined
  /**
   * Seconds for responses that do not say themselves how long they are fresh. Default 600. `null`:
   * only those that do are kept. Zero or less: nothing is.
   */
  readonly seconds?: number | null | undefined
  /** Part of every key, so that sites can share a cache. Default: none. */
  readonly keyPrefix?: string | undefined
  /**
   * The language of a request, as the view will see it. It becomes part of the key, and
   * `Accept-Language` in a response's `Vary` no longer counts.
   */
  readonly language?: ((req: Request) => string | undefined) | undefined
  /** The time zone of a request, as the view will see it. It becomes part of the key. */
  readonly timeZone?: ((req: Request) => string | undefined) | undefined
  /** Larger bodies are passed on, not stored. Default 1 MiB. */
  readonly maxBodyBytes?: number | undefined
  /**
   * Whether a request belongs to one visitor. Its answer is stored, and it is answered from the
   * cache, only where the response says `public` or varies on `Cookie`. Default: `req.user` or
   * `req.auth` is set, or `req.session` holds data.
   */
  readonly isPersonal?: ((req: Request) => boolean) | undefined
  /** Response headers that are made anew for each request and not kept, such as a request's id. */
  readonly excludeHeaders?: readonly string[] | undefined
  /** Whether responses say in `Cache-Status` how they came about. Default `true`. */
  readonly cacheStatus?: boolean | undefined
}

/** Options of `cachePage`. */
export interface CachePageOptions {
  /** The alias of another cache. Default: the factory's. */
  readonly cache?: string | undefined
  /** Default: the factory's. */
  readonly keyPrefix?: string | undefined
}

/** The options with their defaults. */
export interface Settings {
  readonly alias: string
  readonly seconds: number | null
  readonly keyPrefix: string
  readonly language: ((req: Request) => string | undefined) | undefined
  readonly timeZone: ((req: Request) => string | undefined) | undefined
  readonly maxBodyBytes: number
  readonly isPersonal: (req: Request) => boolean
  /** In lower case. */
  readonly excludeHeaders: ReadonlySet<string>
  readonly cacheStatus: boolean
}

const OPTIONS = [
  'alias',
  'seconds',
  'keyPrefix',
  'language',
  'timeZone',
  'maxBodyBytes',
  'isPersonal',
  'excludeHeaders',
  'cacheStatus',
]
const PAGE_OPTIONS = ['cache', 'keyPrefix']

/**
 * Checks the options and fills in the defaults.
 *
 * @throws TypeError: an option is unknown or of the wrong kind.
 * @throws InvalidCacheBackendError: no cache has the alias.
 */
export function resolveOptions(caches: Caches, options: ResponseCacheOptions): Settings {
  checkCaches(caches)
  checkNames('responseCache', options, OPTIONS)
  const {
    alias = 'default',
    seconds = 600,
    keyPrefix = '',
    language,
    timeZone,
    maxBodyBytes = 1024 * 1024,
    isPersonal = looksPersonal,
    excludeHeaders = [],
    cacheStatus = true,
  } = options
  caches.get(alias)
  checkSeconds('responseCache', seconds)
  checkKeyPrefix('responseCache', keyPrefix)
  checkFunction('language', language, '(req) => req.language')
  checkFunction('timeZone', timeZone, '(req) => req.timeZone')
  checkFunction('isPersonal', isPersonal, '(req) => req.user !== undefined')
  if (!Number.isSafeInteger(maxBodyBytes) || maxBodyBytes < 0) {
    refuse('responseCache', 'maxBodyBytes', maxBodyBytes, 'a whole number of bytes, 0 or more')
  }
  if (typeof cacheStatus !== 'boolean') {
    refuse('responseCache', 'cacheStatus', cacheStatus, 'true or false')
  }
  return {
    alias,
    seconds,
    keyPrefix,
    language,
    timeZone,
    maxBodyBytes,
    isPersonal,
    excludeHeaders: resolveHeaderNames(excludeHeaders),
    cacheStatus,
  }
}

/**
 * Checks the arguments of `cachePage`.
 *
 * @throws TypeError: `seconds` is none, or an option is unknown or of the wrong kind.
 * @throws InvalidCacheBackendError: no cache has the alias.
 */
export function resolvePageOptions(
  caches: Caches,
  seconds: number | null,
  options: CachePageOptions,
  settings: Settings,
): { readonly alias: string; readonly keyPrefix: string } {
  checkSeconds('cachePage', seconds)
  checkNames('cachePage', options, PAGE_OPTIONS)
  const { cache: alias = settings.alias, keyPrefix = settings.keyPrefix } = options
  caches.get(alias)
  checkKeyPrefix('cachePage', keyPrefix)
  return { alias, keyPrefix }
}

/**
 * Whether somebody is signed in, as far as the usual middlewares tell.
 *
 * @remarks A session that was only opened does not count, one that holds anything does: what a
 *   visitor did, a flash message, the secret behind a form's token.
 */
function looksPersonal(req: Request): boolean {
  const { user, auth, session } = req as { user?: unknown; auth?: unknown; session?: unknown }
  if (isSet(user) || isSet(auth)) return true
  if (typeof session !== 'object' || session === null) return false
  return Object.keys(session).some((name) => name !== 'cookie')
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false
}

function checkCaches(caches: unknown): void {
  const { get } = (caches ?? {}) as Partial<Caches>
  if (typeof get === 'function') return
  throw new MisuseError(
    `responseCache: ${show(caches)} are no caches; give what createCaches returned`,
  )
}

function checkNames(what: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new MisuseError(`${what}: ${show(options)} are no options; give an object`)
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    throw new MisuseError(
      `${what}: unknown option ${show(name)}; known options are ${known.join(', ')}`,
    )
  }
}

function checkSeconds(what: string, seconds: unknown): void {
  if (seconds === null || (typeof seconds === 'number' && Number.isFinite(seconds))) return
  refuse(what, 'seconds', seconds, 'a finite number or null')
}

function checkKeyPrefix(what: string, keyPrefix: unknown): void {
  if (typeof keyPrefix !== 'string') refuse(what, 'keyPrefix', keyPrefix, 'a text')
}

function checkFunction(name: string, value: unknown, example: string): void {
  if (value === undefined || typeof value === 'function') return
  refuse('responseCache', name, value, `a function such as ${example}`)
}

function resolveHeaderNames(names: unknown): ReadonlySet<string> {
  if (!Array.isArray(names)) {
    return refuse('responseCache', 'excludeHeaders', names, "a list such as ['X-Request-Id']")
  }
  for (const name of names as unknown[]) {
    if (typeof name === 'string' && isToken(name)) continue
    refuse('responseCache', 'excludeHeaders', name, 'the name of a header')
  }
  return new Set((names as string[]).map((name) => name.toLowerCase()))
}

function refuse(what: string, name: string, value: unknown, wanted: string): never {
  throw new MisuseError(`${what}: ${name}: ${show(value)} is not ${wanted}`)
}
