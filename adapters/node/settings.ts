import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Caches } from '../../src/caches.js'
import { MisuseError, show } from '../../src/errors.js'
import type { HoleEngine } from '../../src/fragment/holes.js'
import { availableCodings } from '../../src/http/compress-body.js'
import type { Coding } from '../../src/http/content-coding.js'
import { isToken } from '../../src/http/header-values.js'
import { compileQueryRule } from '../../src/http/query.js'
import { toBeta, toLock, type Lock } from '../../src/staleness.js'
import { checkEntryTags } from '../../src/tags.js'
import { MAX_VARIANTS } from '../../src/pages/page-reader.js'
import type { StoreOptions } from '../../src/pages/policy.js'
import type { Host } from './host.js'
import type { CommonOptions, HoleOptions, PageOptions, TagsOf } from './options.js'
import { looksPersonal } from './personal.js'

export type PageHoleOptions = HoleOptions<IncomingMessage, ServerResponse>
export type PageTags = TagsOf<IncomingMessage, ServerResponse>

/** What a framework may add to the options of all. */
export interface FrameworkOptions extends CommonOptions<IncomingMessage> {
  readonly holes?: PageHoleOptions | undefined
}

/** The options with their defaults. */
export interface Settings {
  readonly host: Host
  readonly alias: string
  readonly seconds: number | null
  readonly keyPrefix: string
  readonly language: ((req: IncomingMessage) => string | undefined) | undefined
  readonly timeZone: ((req: IncomingMessage) => string | undefined) | undefined
  readonly maxBodyBytes: number
  readonly isPersonal: (req: IncomingMessage) => boolean
  /** In lower case. */
  readonly excludeHeaders: ReadonlySet<string>
  readonly cacheStatus: boolean
  /** Nobody is personal. */
  readonly isImpersonal: boolean
  /** The site has a rule of its own for who is. */
  readonly hasOwnIsPersonal: boolean
  readonly statuses: ReadonlySet<number>
  /** Whether a query parameter is part of the key; `undefined`: all are. */
  readonly keepsParameter: ((name: string) => boolean) | undefined
  readonly rfc9111: boolean
  readonly honorRequestDirectives: boolean
  readonly maxVariants: number
  readonly staleWhileRevalidate: boolean | number
  readonly staleIfError: boolean | number
  readonly revalidateSeconds: number | undefined
  readonly waitSeconds: number
  readonly precompress: readonly Coding[]
  readonly holes: PageHoleOptions | undefined
  readonly bubbleTimeout: boolean
  readonly lock: Lock
  /** Beta of XFetch; 0: not at all. */
  readonly earlyRefresh: number
  /** The same as far as it decides what is stored. */
  readonly storing: StoreOptions
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
  'statuses',
  'query',
  'rfc9111',
  'honorRequestDirectives',
  'maxVariants',
  'staleWhileRevalidate',
  'staleIfError',
  'revalidateSeconds',
  'waitSeconds',
  'precompress',
  'bubbleTimeout',
  'lock',
  'earlyRefresh',
]
const PAGE_OPTIONS = ['cache', 'keyPrefix', 'tags', 'earlyRefresh']

/** Three minutes are more than any proxy waits. */
const MAX_WAIT_SECONDS = 180

/**
 * Checks the options and fills in the defaults.
 *
 * @throws TypeError: an option is unknown or of the wrong kind.
 * @throws InvalidCacheBackendError: no cache has the alias.
 */
export function resolveOptions(
  caches: Caches,
  options: FrameworkOptions,
  host: Host,
  ownOptions: readonly string[] = [],
): Settings {
  checkCaches(caches)
  checkNames('responseCache', options, [...OPTIONS, ...ownOptions])
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
    statuses = [200],
    query,
    rfc9111 = false,
    honorRequestDirectives = rfc9111,
    maxVariants = MAX_VARIANTS,
    staleWhileRevalidate = rfc9111,
    staleIfError = rfc9111,
    revalidateSeconds,
    waitSeconds = 5,
    precompress = [],
    holes,
    bubbleTimeout = false,
    lock = false,
  } = options
  caches.get(alias)
  checkSeconds('responseCache', seconds)
  checkKeyPrefix('responseCache', keyPrefix)
  checkFunction('language', language, '(req) => req.language')
  checkFunction('timeZone', timeZone, '(req) => req.timeZone')
  if (isPersonal !== false) {
    checkFunction('isPersonal', isPersonal, '(req) => req.user !== undefined, or false')
  }
  if (!Number.isSafeInteger(maxBodyBytes) || maxBodyBytes < 0) {
    refuse('responseCache', 'maxBodyBytes', maxBodyBytes, 'a whole number of bytes, 0 or more')
  }
  checkBoolean('cacheStatus', cacheStatus)
  checkBoolean('rfc9111', rfc9111)
  checkBoolean('honorRequestDirectives', honorRequestDirectives)
  if (!Number.isSafeInteger(maxVariants) || maxVariants < 1) {
    refuse('responseCache', 'maxVariants', maxVariants, 'a whole number, 1 or more')
  }
  checkBoolean('bubbleTimeout', bubbleTimeout)
  checkStale('staleWhileRevalidate', staleWhileRevalidate)
  checkStale('staleIfError', staleIfError)
  if (revalidateSeconds !== undefined && !isDuration(revalidateSeconds)) {
    refuse(
      'responseCache',
      'revalidateSeconds',
      revalidateSeconds,
      'a number of seconds, 0 or more',
    )
  }
  if (!isDuration(waitSeconds) || waitSeconds > MAX_WAIT_SECONDS) {
    const wanted = `a number of seconds from 0 to ${MAX_WAIT_SECONDS}`
    refuse('responseCache', 'waitSeconds', waitSeconds, wanted)
  }
  const storing = {
    siteSeconds: seconds,
    maxBodyBytes,
    statuses: resolveStatuses(statuses),
    rfc9111,
    revalidateSeconds,
    staleIfError,
    staleWhileRevalidate,
  }
  return {
    host,
    storing,
    alias,
    seconds,
    keyPrefix,
    language,
    timeZone,
    maxBodyBytes,
    isPersonal: isPersonal === false ? () => false : isPersonal,
    isImpersonal: isPersonal === false,
    hasOwnIsPersonal: typeof options.isPersonal === 'function',
    excludeHeaders: resolveHeaderNames(excludeHeaders),
    cacheStatus,
    statuses: storing.statuses,
    keepsParameter: query === undefined ? undefined : compileQueryRule(query),
    rfc9111,
    honorRequestDirectives,
    maxVariants,
    staleWhileRevalidate,
    staleIfError,
    revalidateSeconds,
    waitSeconds,
    precompress: resolveCodings(precompress),
    holes: resolveHoles(holes),
    bubbleTimeout,
    lock: resolveLock(lock, waitSeconds),
    earlyRefresh: resolveEarlyRefresh('responseCache', options.earlyRefresh),
  }
}

/**
 * Checks the arguments of `cachePage`, or the options of a handler.
 *
 * @throws TypeError: `seconds` is none, or an option is unknown or of the wrong kind.
 * @throws InvalidCacheBackendError: no cache has the alias.
 */
export function resolvePageOptions(
  what: 'cachePage' | 'handler',
  caches: Caches,
  seconds: number | null | undefined,
  options: PageOptions<IncomingMessage, ServerResponse>,
  settings: Settings,
): {
  readonly alias: string
  readonly keyPrefix: string
  readonly tags: PageTags
  readonly earlyRefresh: number
} {
  if (typeof seconds === 'object' && (seconds as unknown) !== null) {
    const wanted = 'a finite number or null; did you forget to call it: cachePage(60)?'
    refuse(what, 'seconds', seconds, wanted)
  }
  if (what === 'cachePage' || seconds !== undefined) checkSeconds(what, seconds)
  checkNames(what, options, what === 'handler' ? ['seconds', ...PAGE_OPTIONS] : PAGE_OPTIONS)
  const { cache: alias = settings.alias, keyPrefix = settings.keyPrefix, tags = [] } = options
  caches.get(alias)
  checkKeyPrefix(what, keyPrefix)
  const { earlyRefresh } = options
  return {
    alias,
    keyPrefix,
    tags: typeof tags === 'function' ? tags : checkEntryTags(tags),
    earlyRefresh:
      earlyRefresh === undefined ? settings.earlyRefresh : resolveEarlyRefresh(what, earlyRefresh),
  }
}

function checkCaches(caches: unknown): void {
  const { get, aliases } = (caches ?? {}) as Partial<Caches>
  if (typeof get === 'function' && aliases !== undefined) return
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

function checkBoolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean') refuse('responseCache', name, value, 'true or false')
}

function isDuration(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

function checkStale(name: string, value: unknown): void {
  if (typeof value === 'boolean' || isDuration(value)) return
  refuse('responseCache', name, value, 'true, false or a number of seconds, 0 or more')
}

/** Parts of a whole, and answers to conditions, are no pages. */
const UNSTORABLE_STATUSES: readonly number[] = [206, 304, 412]

function resolveStatuses(statuses: unknown): ReadonlySet<number> {
  if (!Array.isArray(statuses)) {
    return refuse('responseCache', 'statuses', statuses, 'a list such as [200, 404]')
  }
  for (const status of statuses as unknown[]) {
    const isFinal =
      Number.isInteger(status) && (status as number) >= 200 && (status as number) < 600
    if (isFinal && !UNSTORABLE_STATUSES.includes(status as number)) continue
    refuse(
      'responseCache',
      'statuses',
      status,
      'a status from 200 to 599 other than 206, 304 and 412',
    )
  }
  return new Set(statuses as number[])
}

const CODINGS: readonly Coding[] = ['br', 'gzip', 'zstd']

function resolveCodings(codings: unknown): readonly Coding[] {
  if (!Array.isArray(codings)) {
    return refuse('responseCache', 'precompress', codings, "a list such as ['br', 'gzip']")
  }
  for (const coding of codings as unknown[]) {
    if (CODINGS.includes(coding as Coding)) continue
    refuse('responseCache', 'precompress', coding, `one of ${CODINGS.join(', ')}`)
  }
  return availableCodings([...new Set(codings as Coding[])])
}

function resolveLock(lock: unknown, waitSeconds: number): Lock {
  if (typeof lock !== 'boolean' && (typeof lock !== 'object' || lock === null)) {
    refuse('responseCache', 'lock', lock, 'true, false or an object such as { wait: 5, lease: 10 }')
  }
  let resolved: Lock
  try {
    resolved = toLock(lock)
  } catch (error) {
    throw new MisuseError(`responseCache: ${(error as Error).message}`)
  }
  if (resolved !== false && waitSeconds === 0) {
    throw new MisuseError(
      'responseCache: lock: with waitSeconds 0 each request runs the view; leave one of the two out',
    )
  }
  return resolved
}

function resolveEarlyRefresh(what: string, earlyRefresh: unknown): number {
  try {
    return toBeta(earlyRefresh)
  } catch (error) {
    throw new MisuseError(`${what}: ${(error as Error).message}`)
  }
}

function resolveHoles(holes: unknown): PageHoleOptions | undefined {
  if (holes === undefined) return undefined
  const example =
    'an object such as { engines: [registerCache(env, caches)], context: (req) => ({ user: req.user }) }'
  if (typeof holes !== 'object' || holes === null) {
    return refuse('responseCache', 'holes', holes, example)
  }
  checkNames('responseCache: holes', holes, ['engines', 'context'])
  const { engines, context } = holes as Partial<PageHoleOptions>
  if (!Array.isArray(engines) || engines.length === 0) {
    return refuse(
      'responseCache',
      'holes.engines',
      engines,
      'a list such as [registerCache(env, caches)]',
    )
  }
  for (const engine of engines as unknown[]) {
    if (typeof (engine as Partial<HoleEngine> | null)?.holes === 'function') continue
    refuse('responseCache', 'holes.engines', engine, 'what registerCache or cachePlugin returned')
  }
  if (typeof context !== 'function') {
    return refuse(
      'responseCache',
      'holes.context',
      context,
      'a function such as (req) => ({ user: req.user })',
    )
  }
  return { engines: [...(engines as readonly HoleEngine[])], context }
}

function resolveHeaderNames(names: unknown): ReadonlySet<string> {
  if (!Array.isArray(names)) {
    return refuse(
      'responseCache',
      'excludeHeaders',
      names,
      "a list such as ['X-IncomingMessage-Id']",
    )
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
