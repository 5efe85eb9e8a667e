import { didYouMean } from '../../src/did-you-mean.js'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Caches } from '../../src/caches.js'
import type { Dependents } from '../../src/observe/dependents.js'
import { MisuseError, show } from '../../src/errors.js'
import { checkEditor, type EditorSettings } from './editor.js'

/** Drops the stored pages of a URL. `responseCache` returns such an object. */
export interface PagesOfUrls {
  /** Works like `invalidate` of `responseCache`. */
  invalidate(url: string): Promise<void>
  /**
   * Works like `explain` of `responseCache`. Omitted: the inspector does not show what would be dropped.
   */
  explain?(url: string): Dependents | Promise<Dependents>
}

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace
  namespace Express {
    // What an application declares there, such as `user`, its functions find on their request.
    // eslint-disable-next-line @typescript-eslint/no-empty-object-type
    interface Request {}
  }
}

/** A request, with what the application declared for requests of Express. */
export type InspectorRequest = IncomingMessage & Express.Request

/** Declared as methods, so that functions that take Express' own request are compatible. */
interface OfRequest {
  allows(req: InspectorRequest): boolean | undefined | Promise<boolean | undefined>
  authorize(
    req: InspectorRequest,
    res: ServerResponse,
    next: (error?: unknown) => void,
  ): boolean | void | Promise<boolean | void>
  user(req: InspectorRequest): string | undefined
}

/**
 * Decides who has access; or a middleware, with three parameters, that lets authorized requests through.
 */
export type Authorizing = OfRequest['authorize']

/** Decides who has access, and is no middleware. */
export type Allowing = OfRequest['allows']

/** Names the user of a request. */
export type Naming = OfRequest['user']

/** Options of `inspector`. */
export interface InspectorOptions {
  /**
   * Decides who may see the inspector and use its actions. It is called for every request, before anything
   * else.
   *
   * It returns `true`, or a promise of `true`, to allow the request. Everything else, including an error, is
   * a refusal. A refusal is answered with 403, unless the function has already answered. A function of three
   * parameters is treated as a middleware: it allows the request by calling `next()`, and its return value is
   * ignored.
   *
   * Without this option only requests from this machine are allowed, made to `localhost` and over no proxy.
   * If `NODE_ENV` is `production`, the option is required.
   */
  readonly authorize?: Authorizing | undefined
  /**
   * What `responseCache` returned, to allow invalidating URLs. Default: URLs cannot be invalidated.
   */
  readonly pages?: PagesOfUrls | undefined
  /** Names the user of a request, for the channel `fragcache:audit`. Default: no user is named. */
  readonly user?: Naming | undefined
  /**
   * A secret of at least 32 characters. Processes that share a port need the same one, so that each accepts
   * actions from pages that another one rendered. Default: each process has its own.
   */
  readonly secret?: string | undefined
  /**
   * The alias of a cache that all processes share. While somebody watches, each process publishes its figures
   * there, so that the overview has the figures of all. Each process then asks that cache every five seconds
   * whether somebody watches. A process with several inspectors counts once, with the caches of all that have
   * this option. Where the caches are all in local memory, add one for this alone, such as a `FileBasedCache` for
   * the workers of one machine. Default: figures of this process alone.
   */
  readonly processes?: string | undefined
  /** Maximum number of live feeds at once. Default 20. */
  readonly maxFeeds?: number | undefined
  /**
   * The URL that opens a file in your editor, containing `{path}` and `{line}`, such as
   * `vscode://file/{path}:{line}`: the page of a fragment then leads to its templates. Default `false`: no links,
   * since they tell where the files are.
   */
  readonly editor?: string | false | undefined
  /**
   * The folders of your templates, to find files by name. Default: the setting `views` of Express.
   */
  readonly views?: string | readonly string[] | undefined
}

/** The option `authorize`, and how it is to be asked. */
export interface Authorize {
  /** Whose option it is, for warnings. */
  readonly of: 'inspector' | 'overlay'
  readonly isMiddleware: boolean
  readonly ask: (
    req: IncomingMessage,
    res: ServerResponse,
    next: (error?: unknown) => void,
  ) => unknown
}

/** The options with their defaults. */
export interface Settings extends EditorSettings {
  readonly authorize: Authorize | undefined
  readonly pages: PagesOfUrls | undefined
  readonly userOf: (req: IncomingMessage) => string | undefined
  readonly secret: string | undefined
  readonly processes: string | undefined
  readonly maxFeeds: number
}

const KNOWN = ['authorize', 'pages', 'user', 'secret', 'processes', 'maxFeeds', 'editor', 'views']
const MIN_SECRET = 32

/**
 * Checks the options.
 *
 * @throws TypeError: an option is unknown or of the wrong kind, or there is no `authorize` in production.
 */
export function resolveOptions(options: unknown): Settings {
  if (typeof options !== 'object' || options === null) {
    throw new MisuseError(`inspector: ${show(options)} are not options; give an object`)
  }
  for (const name of Object.keys(options)) {
    if (KNOWN.includes(name)) continue
    throw new MisuseError(
      `inspector: unknown option ${show(name)}; known options are ${KNOWN.join(', ')}${didYouMean(name, KNOWN)}`,
    )
  }
  const given = options as InspectorOptions
  const { authorize, pages, user, secret, processes, maxFeeds = 20, editor = false, views } = given
  for (const [name, value] of Object.entries({ authorize, user })) {
    if (value === undefined || typeof value === 'function') continue
    throw new MisuseError(`inspector: ${name}: ${show(value)} is not a function; give (req) => …`)
  }
  if (authorize === undefined && process.env['NODE_ENV'] === 'production') {
    throw new MisuseError(
      'inspector: authorize is left out and NODE_ENV is production, so that anybody could read and clear the caches; give a function that is true for those who may, such as authorize: (req) => req.user?.isStaff === true',
    )
  }
  checkPages('inspector', pages)
  if (secret !== undefined && (typeof secret !== 'string' || secret.length < MIN_SECRET)) {
    // What it is must not be told.
    throw new MisuseError(`inspector: secret: give a string of at least ${MIN_SECRET} characters`)
  }
  if (!Number.isSafeInteger(maxFeeds) || maxFeeds < 1) {
    throw new MisuseError(`inspector: maxFeeds: ${show(maxFeeds)} is not a positive whole number`)
  }
  return {
    authorize: authorize && {
      of: 'inspector',
      isMiddleware: authorize.length >= 3,
      ask: (req, res, next) => authorize.call(given, req, res, next),
    },
    pages,
    userOf: (req) => user?.call(given, req),
    secret,
    processes,
    maxFeeds,
    ...checkEditor('inspector', { editor, views }),
  }
}

/** @throws TypeError: it is no `Caches`. */
export function checkCaches(caches: unknown): asserts caches is Caches {
  const { aliases, stats } = (caches ?? {}) as {
    readonly aliases?: unknown
    readonly stats?: unknown
  }
  if (Array.isArray(aliases) && typeof stats === 'function') return
  throw new MisuseError(
    `inspector: ${show(caches)} is not a set of caches; give the result of createCaches`,
  )
}

/** @throws TypeError: the alias names no cache that several processes share. */
export function checkProcesses(caches: Caches, alias: unknown): void {
  if (alias === undefined) return
  if (typeof alias !== 'string' || !caches.has(alias)) {
    throw new MisuseError(
      `inspector: processes: ${show(alias)} is not an alias; the caches are ${caches.aliases.join(', ')}${didYouMean(alias, caches.aliases)}`,
    )
  }
  if (caches.get(alias).isShared) return
  throw new MisuseError(
    `inspector: processes: ${show(alias)} is a cache of this process alone; give the alias of one that all processes share, such as a FileBasedCache for the workers of one machine`,
  )
}

/** @throws TypeError: it drops no pages. */
export function checkPages(caller: string, pages: unknown): void {
  if (pages === undefined) return
  const { invalidate } = Object(pages) as Partial<PagesOfUrls>
  if (typeof invalidate === 'function') return
  throw new MisuseError(
    `${caller}: pages: ${show(pages)} cannot invalidate; give the result of responseCache`,
  )
}
