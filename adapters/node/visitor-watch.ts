import type { IncomingMessage, ServerResponse } from 'node:http'
import { inspect } from 'node:util'
import type { Visitor } from '../../src/pages/policy.js'
import type { Settings } from './settings.js'
import type { PageRequest } from '../../src/pages/page.js'
import { isPersonal, uriOf } from './request.js'
import { isUnnoticed, watchObject } from './unnoticed.js'
import { isFilling } from './visitor-holes.js'

/** Properties of a request that hold its cookies, whoever parsed them. */
const COOKIES = ['cookies', 'signedCookies', 'rawHeaders', 'headersDistinct'] as const

/**
 * What tells whom an answer belongs to while its handler runs: what the request had when the cache was
 * asked, and whether anything behind the cache reads its cookies.
 *
 * @remarks What is left when the answer is judged does not count: a log-out page has no user any more,
 *   and a flash message is taken out of the session by being shown. The objects of the request stay what
 *   they are, so that whatever can be done with them can be done still; only how they are read is seen.
 */
export class VisitorWatch {
  readonly #scope: object | undefined
  readonly #wasPersonal: boolean
  #hasReadCookies: boolean
  /** As a proxy does. */
  #hasCopiedHeaders: boolean
  #hasOtherOrigin = false
  /** Layers around the cache read cookies, too, while the headers are made. */
  #isSendingHeaders = false

  /**
   * @param request - As the cache was asked for it.
   * @param wasPersonal - The site knew the visitor then.
   * @param outer - Of a cache further out, behind which this one stands.
   * @param isKnownToRead - Whether the handler was seen to read cookies for other requests.
   */
  constructor(
    private readonly req: IncomingMessage,
    private readonly res: ServerResponse,
    private readonly request: PageRequest,
    private readonly settings: Settings,
    wasPersonal: boolean,
    outer: VisitorWatch | undefined,
    private readonly isKnownToRead: () => boolean,
  ) {
    this.#scope = settings.host.scopeOf?.(req)
    this.#wasPersonal = wasPersonal || (outer !== undefined && outer.#wasPersonal)
    this.#hasReadCookies = outer !== undefined && outer.#hasReadCookies
    this.#hasCopiedHeaders = outer !== undefined && outer.#hasCopiedHeaders
  }

  /** Whether cookies were read while a page was made for somebody whom the site does not know. */
  get hasReadCookies(): boolean {
    return this.#hasReadCookies && this.#isOnWatch
  }

  /** Whether the page is what it is since no cookies came: to those who have some it may be another. */
  get isForThoseWithoutCookies(): boolean {
    return !this.#hasCookie && this.#dependsOnCookies
  }

  /** Whether the handler itself reads cookies, for this request or for others. */
  get isReader(): boolean {
    return this.#isOnWatch && (this.#hasReadCookies || this.isKnownToRead())
  }

  get #dependsOnCookies(): boolean {
    return this.isReader || (this.#isOnWatch && this.#hasCopiedHeaders)
  }

  /**
   * Neither did the site know the visitor, nor has it a rule of its own for whom an answer belongs to; by
   * the letter of the RFC the answer says that itself.
   */
  get #isOnWatch(): boolean {
    const { hasOwnIsPersonal, isImpersonal, rfc9111 } = this.settings
    return !this.#wasPersonal && !hasOwnIsPersonal && !isImpersonal && !rfc9111
  }

  get #hasCookie(): boolean {
    return this.request.headers['cookie'] !== undefined
  }

  /** Watches what the handler reads from here on. */
  begin(): void {
    this.watchHeaders()
    for (const name of COOKIES) this.#watchProperty(name)
  }

  /** What is read from here until the headers are out is not read for the page. */
  sendHeaders(): void {
    this.#isSendingHeaders = true
  }

  /** Whom the answer belongs to; `undefined`: it may be everybody's. */
  get visitor(): Visitor | undefined {
    const hasCookie = this.#hasCookie
    if (this.#wasPersonal || isPersonal(this.req, this.settings)) {
      return { reason: 'personal', hasCookie }
    }
    return hasCookie && this.#dependsOnCookies ? { reason: 'cookies-read', hasCookie } : undefined
  }

  /** Whether the page was made under another `trust proxy` than it was keyed under, and it matters. */
  get hasOtherOrigin(): boolean {
    return this.#hasOtherOrigin || this.#isElsewhere()
  }

  #isElsewhere(): boolean {
    const { req, request } = this
    const { host } = this.settings
    const scope = host.scopeOf?.(req)
    if (scope === this.#scope) return false
    const originIn = (at: object | undefined) => uriOf(req, host, '/', at, request.headers)
    return originIn(scope) !== originIn(this.#scope)
  }

  #note(): void {
    if (this.#isForPage) this.#hasReadCookies = true
  }

  /** Whether what is read now is read for the page. */
  get #isForPage(): boolean {
    if (isUnnoticed() || isFilling()) return false
    return !this.#isSendingHeaders || this.res.headersSent
  }

  /** There are none in it, or they were read; whom the copy is handed to speaks for itself. */
  #noteCopy(): void {
    if (this.#isForPage) this.#hasCopiedHeaders = true
  }

  #read(name: string | symbol): void {
    if (name === 'cookie') this.#note()
    else if (typeof name === 'string' && name.startsWith('x-forwarded-')) {
      this.#hasOtherOrigin ||= this.#isElsewhere()
    }
  }

  /**
   * Watches the object that `req.headers` is; to be called again where the request was given another.
   *
   * @remarks No stand-in: those can be neither cloned nor sent to a worker. What is there is read by
   *   accessors. What is not there is looked for in the prototype. And who has read each of the fields has
   *   made a copy, which has no cookies where none came. Not seen is who only asks whether a field is an
   *   own property, or lists their names.
   */
  watchHeaders(): void {
    const { headers } = this.req
    if (!Object.isExtensible(headers)) return this.#note()
    const unread = new Set(Object.keys(headers))
    for (const name of unread) {
      const before = Object.getOwnPropertyDescriptor(headers, name)
      if (before?.configurable !== true) continue
      watchReads(headers, name, before, () => {
        this.#read(name)
        if (!isUnnoticed() && unread.delete(name) && isGone(unread, headers)) this.#noteCopy()
      })
    }
    const prototype = Object.getPrototypeOf(headers) as object | null
    Object.setPrototypeOf(headers, this.#prototypeOver(prototype, headers))
    watchObject(headers)
  }

  #prototypeOver(prototype: object | null, headers: object): object {
    return new Proxy(prototype ?? (Object.create(null) as object), {
      get: (target, name, receiver) => {
        // Who prints them sees values.
        if (name === inspect.custom) return () => ({ ...headers })
        this.#read(name)
        return Reflect.get(target, name, receiver) as unknown
      },
      has: (target, name) => {
        this.#read(name)
        return Reflect.has(target, name)
      },
    })
  }

  #watchProperty(name: (typeof COOKIES)[number]): void {
    const { req } = this
    if (!(name in req)) return
    const own = Object.getOwnPropertyDescriptor(req, name)
    if (own?.configurable === false) return this.#note()
    watchReads(req, name, own ?? inheritedDescriptor(req, name), () => this.#note())
  }
}

/** Puts an accessor in the place of a property, which otherwise does what the property did. */
function watchReads(
  object: object,
  name: string,
  before: PropertyDescriptor | undefined,
  onRead: () => void,
): void {
  let value: unknown = before?.value
  Object.defineProperty(object, name, {
    configurable: true,
    enumerable: before?.enumerable === true,
    get: () => {
      onRead()
      return before?.get === undefined ? value : (before.get.call(object) as unknown)
    },
    set: (changed: unknown) => {
      if (before?.set === undefined) value = changed
      else before.set.call(object, changed)
    },
  })
}

/** Whether an object has no property left of these. */
function isGone(names: ReadonlySet<string>, object: object): boolean {
  for (const name of names) if (Object.hasOwn(object, name)) return false
  return true
}

function inheritedDescriptor(object: object, name: string): PropertyDescriptor | undefined {
  const prototype = Object.getPrototypeOf(object) as object | null
  if (prototype === null) return undefined
  return Object.getOwnPropertyDescriptor(prototype, name) ?? inheritedDescriptor(prototype, name)
}
