import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Caches } from '../../src/caches.js'
import { MisuseError, show } from '../../src/errors.js'
import type { HoleEngine } from '../../src/fragment/holes.js'
import { isPersonalPath } from '../../src/fragment/options.js'
import { personalNamesOfPages } from '../../src/fragment/personal.js'
import type { VariablesWatcher } from '../../src/fragment/template-frame.js'
import { availableCodings } from '../../src/http/compress-body.js'
import type { Coding } from '../../src/http/content-coding.js'
import { isToken } from '../../src/http/header-values.js'
import { compileQueryRule } from '../../src/http/query.js'
import {
  toBeta,
  toLock,
  toProducerTimeout,
  type Lock,
  type ProducerTimeout,
} from '../../src/staleness.js'
import { checkEntryTags } from '../../src/tags.js'
import { MAX_VARIANTS } from '../../src/pages/page-reader.js'
import type { StoreOptions } from '../../src/pages/policy.js'
import type { Host } from './host.js'
import {
  anything,
  checkEachOption,
  checkOption,
  filledListOf,
  isBoolean,
  isFunction,
  isText,
  listOf,
  must,
  type Check,
  type Checks,
} from './option-checks.js'
import type { CommonOptions, HoleOptions, PageOptions, TagsOf } from './options.js'
import { looksPersonal } from './received.js'

export type PageHoleOptions = HoleOptions<IncomingMessage, ServerResponse>
export type PageTags = TagsOf<IncomingMessage, ServerResponse>

type Options = CommonOptions<IncomingMessage>

/** What a framework may add to the options of all. */
export interface FrameworkOptions extends Options {
  readonly holes?: PageHoleOptions | undefined
}

/** Options that are of use as they are given. */
type AsGiven = {
  readonly [
    Name in
      | 'alias'
      | 'seconds'
      | 'keyPrefix'
      | 'maxBodyBytes'
      | 'cacheStatus'
      | 'rfc9111'
      | 'honorRequestDirectives'
      | 'maxVariants'
      | 'staleWhileRevalidate'
      | 'staleIfError'
      | 'waitSeconds'
      | 'bubbleTimeout'
  ]: Exclude<Options[Name], undefined>
}

/** The options with their defaults. */
export interface Settings extends AsGiven {
  readonly host: Host
  readonly language: Options['language']
  readonly timeZone: Options['timeZone']
  readonly revalidateSeconds: Options['revalidateSeconds']
  readonly isPersonal: (req: IncomingMessage) => boolean
  /** The site says that no request is personal. */
  readonly isImpersonal: boolean
  /** The site has a rule of its own for which requests are personal. */
  readonly hasOwnIsPersonal: boolean
  /** In lower case. */
  readonly excludeHeaders: ReadonlySet<string>
  readonly statuses: ReadonlySet<number>
  /** Whether a query parameter is part of the key; `undefined`: all are. */
  readonly keepsParameter: ((name: string) => boolean) | undefined
  readonly precompress: readonly Coding[]
  readonly holes: PageHoleOptions | undefined
  /** Notes what templates of pages read. Left out: while developing, what their engine says does. */
  readonly personal: VariablesWatcher | undefined
  readonly strict: boolean
  /** How long a handler may take. */
  readonly producerTimeoutMs: ProducerTimeout
  readonly lock: Lock
  /** Beta of XFetch; 0: never early. */
  readonly earlyRefresh: number
  /** The same as far as it decides what is stored. */
  readonly storing: StoreOptions
}

/** Three minutes are more than any proxy waits. */
const MAX_WAIT_SECONDS = 180

/** Parts of a whole, and answers to conditions, are no pages. */
const UNSTORABLE_STATUSES: readonly unknown[] = [206, 304, 412]

const CODINGS: readonly unknown[] = ['br', 'gzip', 'zstd'] satisfies readonly Coding[]

const isSeconds = must(
  (value) => value === null || Number.isFinite(value),
  'a number of seconds, such as 300, or null for no end',
)
const isGrace = must(
  (value) => typeof value === 'boolean' || isDuration(value),
  'true, false or a number of seconds, 0 or more',
)

const isNoRequest = must(
  (value) => typeof value !== 'object' || value === null,
  'a number of seconds; did you forget to call it: cachePage(60)?',
)
const isPageSeconds: Check = (value) => isNoRequest(value) ?? isSeconds(value)

function isDuration(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

function isWhole(value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most
}

const OPTIONS = {
  alias: anything,
  seconds: isSeconds,
  keyPrefix: isText,
  language: isFunction('(req) => req.language'),
  timeZone: isFunction('(req) => req.timeZone'),
  maxBodyBytes: must((value) => isWhole(value, 0), 'a whole number of bytes, 0 or more'),
  isPersonal: must(
    (value) => value === false || typeof value === 'function',
    'a function such as (req) => req.user !== undefined, or false',
  ),
  excludeHeaders: listOf(
    must((name) => typeof name === 'string' && isToken(name), 'the name of a header'),
    "['X-Request-Id']",
  ),
  cacheStatus: isBoolean,
  statuses: listOf(
    must(
      (status) => isWhole(status, 200, 599) && !UNSTORABLE_STATUSES.includes(status),
      'a status from 200 to 599 other than 206, 304 and 412',
    ),
    '[200, 404]',
  ),
  query: anything,
  rfc9111: isBoolean,
  honorRequestDirectives: isBoolean,
  maxVariants: must((value) => isWhole(value, 1), 'a whole number, 1 or more'),
  staleWhileRevalidate: isGrace,
  staleIfError: isGrace,
  revalidateSeconds: must(isDuration, 'a number of seconds, 0 or more'),
  waitSeconds: must(
    (value) => isDuration(value) && (value as number) <= MAX_WAIT_SECONDS,
    `a number of seconds from 0 to ${MAX_WAIT_SECONDS}`,
  ),
  precompress: listOf(
    must((coding) => CODINGS.includes(coding), `one of ${CODINGS.join(', ')}`),
    "['br', 'gzip']",
  ),
  bubbleTimeout: isBoolean,
  personal: listOf(must(isPersonalPath, "a name such as 'user' or 'session.cart'"), "['user']"),
  strict: isBoolean,
  lock: must(
    (value) => typeof value === 'boolean' || (typeof value === 'object' && value !== null),
    'true, false or an object such as { wait: 5, lease: 10 }',
  ),
  earlyRefresh: anything,
  producerTimeoutMs: anything,
} satisfies Checks & Record<keyof Options, unknown>

const PAGE_OPTIONS = {
  cache: anything,
  keyPrefix: isText,
  tags: anything,
  earlyRefresh: anything,
} satisfies Checks & Record<keyof PageOptions<unknown, unknown>, unknown>

/** What a page has of its own. */
const OF_PAGE = { tags: 'an option of cachePage' }

/** What holds for all pages. */
const OF_SITE = Object.fromEntries(
  Object.keys(OPTIONS).map((name) => [name, 'an option of responseCache']),
)

const FIRST_ARGUMENT = 'the first argument: cachePage(60)'

const HANDLER_OPTIONS: Checks = { seconds: anything, ...PAGE_OPTIONS }

const isHoles = must(
  (value) => typeof value === 'object' && value !== null,
  'an object such as { engines: [registerCache(env, caches)], context: (req) => ({ user: req.user }) }',
)
const areEngines = filledListOf(
  must(
    (engine) => typeof (engine as Partial<HoleEngine> | null)?.holes === 'function',
    'the result of registerCache or cachePlugin',
  ),
  '[registerCache(env, caches)]',
)
const isContext = isFunction('(req) => ({ user: req.user })')

/**
 * Checks the options and fills in the defaults.
 *
 * @param ownOptions - What the framework has besides; it checks these itself.
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
  const own = Object.fromEntries(ownOptions.map((name) => [name, anything]))
  checkEachOption('responseCache', options, { ...OPTIONS, ...own }, OF_PAGE)
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
    personal,
    strict = isStrictBy(personal),
    lock = false,
    earlyRefresh,
    producerTimeoutMs,
  } = options
  caches.get(alias)
  const storing = {
    siteSeconds: seconds,
    maxBodyBytes,
    statuses: new Set(statuses),
    rfc9111,
    revalidateSeconds,
    staleIfError,
    staleWhileRevalidate,
  }
  return {
    ...storing,
    storing,
    host,
    alias,
    seconds,
    keyPrefix,
    language,
    timeZone,
    isPersonal: isPersonal === false ? () => false : isPersonal,
    isImpersonal: isPersonal === false,
    hasOwnIsPersonal: typeof options.isPersonal === 'function',
    excludeHeaders: new Set(excludeHeaders.map((name) => name.toLowerCase())),
    cacheStatus,
    keepsParameter: query === undefined ? undefined : compileQueryRule(query),
    honorRequestDirectives,
    maxVariants,
    waitSeconds,
    precompress: availableCodings([...new Set(precompress)]),
    holes: holes === undefined ? undefined : resolveHoles(holes),
    bubbleTimeout,
    personal: personalNamesOfPages(personal),
    strict,
    lock: resolveLock(lock, waitSeconds),
    earlyRefresh: naming('responseCache', () => toBeta(earlyRefresh)),
    producerTimeoutMs: naming('responseCache', () => toProducerTimeout(producerTimeoutMs)),
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
): Pick<Settings, 'alias' | 'keyPrefix' | 'earlyRefresh'> & { readonly tags: PageTags } {
  if (what === 'cachePage' || seconds !== undefined) {
    checkOption(what, 'seconds', seconds, isPageSeconds)
  }
  if (what === 'handler') checkEachOption(what, options, HANDLER_OPTIONS, OF_SITE)
  else checkEachOption(what, options, PAGE_OPTIONS, { ...OF_SITE, seconds: FIRST_ARGUMENT })
  const { cache: alias = settings.alias, keyPrefix = settings.keyPrefix, tags = [] } = options
  const { earlyRefresh = settings.earlyRefresh } = options
  caches.get(alias)
  return {
    alias,
    keyPrefix,
    tags: typeof tags === 'function' ? tags : checkEntryTags(tags),
    earlyRefresh: naming(what, () => toBeta(earlyRefresh)),
  }
}

/**
 * As with fragments: a site that names what differs per visitor hears about each forgotten read in
 * development.
 */
function isStrictBy(personal: readonly string[] | undefined): boolean {
  const isWatched = personal !== undefined && personal.length > 0
  return isWatched && process.env['NODE_ENV'] !== 'production'
}

function checkCaches(caches: unknown): void {
  const { get, aliases } = (caches ?? {}) as Partial<Caches>
  if (typeof get === 'function' && aliases !== undefined) return
  throw new MisuseError(
    `responseCache: ${show(caches)} is not a set of caches; give the result of createCaches`,
  )
}

function resolveLock(lock: unknown, waitSeconds: number): Lock {
  const resolved = naming('responseCache', () => toLock(lock))
  if (resolved === false || waitSeconds > 0) return resolved
  throw new MisuseError(
    'responseCache: lock: with waitSeconds 0 each request runs the handler; leave one of the two out',
  )
}

function resolveHoles(holes: PageHoleOptions): PageHoleOptions {
  checkOption('responseCache', 'holes', holes, isHoles)
  checkEachOption('responseCache: holes', holes, { engines: anything, context: anything })
  const { engines, context } = holes
  checkOption('responseCache', 'holes.engines', engines, areEngines)
  checkOption('responseCache', 'holes.context', context, isContext)
  return { engines: [...engines], context }
}

/** Lets a complaint begin with the name of whom the options were given to. */
function naming<T>(caller: string, resolve: () => T): T {
  try {
    return resolve()
  } catch (error) {
    throw new MisuseError(`${caller}: ${(error as Error).message}`)
  }
}
