import type { IncomingMessage, ServerResponse } from 'node:http'
import { inspect } from 'node:util'
import { decodeBody } from '../../src/http/decode-body.js'
import { headerText } from '../../src/http/header-values.js'
import { fieldsOf, type StoredHeader } from '../../src/http/stored-response.js'
import type { Visitor } from '../../src/pages/policy.js'
import type { Settings } from './settings.js'
import type { PageRequest } from '../../src/pages/page.js'
import { isPersonal, uriOf } from './request.js'
import type { Around } from './around.js'
import { hasUser } from './received.js'
import { showsToken, tokensIn } from './shown-cookies.js'
import { isUnnoticed, watchObject } from './unnoticed.js'
import { isFilling } from './visitor-holes.js'

/** Properties of a request that hold its cookies, parsed or not. */
const COOKIES = ['cookies', 'signedCookies', 'rawHeaders', 'headersDistinct'] as const

/** Properties of a request that the usual middlewares give it for a visitor. */
const SIGNS = ['session', 'user', 'auth'] as const

/**
 * Finds out whether a response is per-user: by what the request had when the cache was asked, and by whether
 * anything behind the cache reads its cookies.
 *
 * @remarks What the request has when the response is judged does not suffice: after a log-out it has no user any
 *   more, and a flash message that was shown is gone from the session. The objects of the request stay the
 *   same ones and behave the same; only reads of them are noticed.
 */
export class VisitorWatch {
  private readonly req: IncomingMessage
  private readonly res: ServerResponse
  private readonly settings: Settings
  readonly #scope: object | undefined
  readonly #wasPersonal: boolean
  /** A user was in front of the cache, or nothing can be. */
  readonly #hadUser: boolean
  /** A session was in front of the cache. */
  readonly #hadSession: boolean
  #hasReadCookies: boolean
  /** Every header was read, as by a proxy that copies them. */
  #hasCopiedHeaders: boolean
  #showsCookie: boolean | undefined
  #ownTokens: ReadonlySet<string> | undefined
  #hasOtherOrigin = false
  /** While the headers are sent, layers around the cache may read cookies; these reads do not count. */
  #isSendingHeaders = false

  /**
   * @param request - As it was looked up.
   * @param isKnownToRead - Whether the handler has read cookies for other requests.
   */
  constructor(
    { req, res, place, isPerUser, outerWatch: outer, isOutermost }: Around,
    private readonly request: PageRequest,
    private readonly isKnownToRead: () => boolean,
  ) {
    this.req = req
    this.res = res
    this.settings = place.settings
    this.#scope = place.settings.host.scopeOf?.(req)
    this.#wasPersonal = isPerUser || (outer !== undefined && outer.#wasPersonal)
    this.#hadUser = isOutermost || hasUser(req)
    this.#hadSession = 'session' in req
    this.#hasReadCookies = outer !== undefined && outer.#hasReadCookies
    this.#hasCopiedHeaders = outer !== undefined && outer.#hasCopiedHeaders
  }

  /** Whether cookies were read while the page of a request that is not per-user was rendered. */
  get hasReadCookies(): boolean {
    return this.#hasReadCookies && this.#isOnWatch
  }

  /** Whether the page was rendered without cookies by a handler that reads them: with cookies it may differ. */
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

  /** Whether reads of cookies count: the site has no rule of its own. */
  get #isOnWatch(): boolean {
    const { hasOwnIsPersonal, isImpersonal } = this.settings
    return this.#isJudged && !hasOwnIsPersonal && !isImpersonal
  }

  /** Whether a page is judged by what it shows: the request was not per-user, and RFC 9111 alone is not the rule. */
  get #isJudged(): boolean {
    return !this.#wasPersonal && !this.settings.rfc9111
  }

  /**
   * A user that a layer behind the cache gave the request. On a hit that layer does not run, so that neither the
   * site's rule nor a hole can know the user then: whatever the rule says, the page is not for others.
   */
  get #hasUserBehind(): boolean {
    return this.#isJudged && !this.#hadUser && hasUser(this.req)
  }

  get #hasCookie(): boolean {
    return this.request.headers['cookie'] !== undefined
  }

  /** Watches what the handler reads from now on. */
  begin(): void {
    this.watchHeaders()
    for (const name of COOKIES) this.#watchProperty(name)
  }

  /** What is read from now until the headers are sent is not read for the page. */
  sendHeaders(): void {
    this.#isSendingHeaders = true
  }

  /** Why the response is per-user; `undefined`: it may be shared. */
  get visitor(): Visitor | undefined {
    const hasCookie = this.#hasCookie
    if (this.#wasPersonal || this.#hasUserBehind || isPersonal(this.req, this.settings)) {
      return { reason: 'personal', hasCookie }
    }
    const dependsOnCookies = this.#dependsOnCookies || this.#showsCookie === true
    return hasCookie && dependsOnCookies ? { reason: 'cookies-read', hasCookie } : undefined
  }

  /**
   * Looks at what is to be stored, once, before it is shared: what it shows of a cookie was read in front of the cache
   * where no read was noticed.
   *
   * @param body - As it would be stored; `undefined`: it is not known yet.
   * @returns Whether it shows any.
   */
  seePage(headers: () => readonly StoredHeader[], body: (() => Buffer) | undefined): boolean {
    if (this.#showsCookie === undefined) this.#showsCookie = this.#look(headers, body)
    return this.#showsCookie === true
  }

  #look(
    headers: () => readonly StoredHeader[],
    body: (() => Buffer) | undefined,
  ): boolean | undefined {
    if (!this.#hasTokens) return false
    const taken = headers()
    const values = taken.flatMap(([, value]) => value).join('\n')
    if (showsToken(this.#tokens, Buffer.from(values))) return true
    return body && showsToken(this.#tokens, this.#readable(taken, body()))
  }

  /** Whether the body, which is not known yet, may show a cookie. */
  get mayShowCookie(): boolean {
    return this.#showsCookie ?? this.#hasTokens
  }

  get #hasTokens(): boolean {
    return this.#isJudged && this.#tokens.size > 0
  }

  get #tokens(): ReadonlySet<string> {
    return (this.#ownTokens ??= tokensIn(String(this.request.headers['cookie'] ?? '')))
  }

  /** The body without its content coding; `undefined`: the coding is not known, or it is too large. */
  #readable(headers: readonly StoredHeader[], body: Buffer): Buffer | undefined {
    const { maxBodyBytes } = this.settings
    // What is too large to be stored is not searched, and not shared.
    if (body.length > maxBodyBytes) return undefined
    return decodeBody(
      headerText(fieldsOf({ headers }), 'content-encoding') ?? '',
      body,
      maxBodyBytes,
    )
  }

  /**
   * Whether the response is per-user only by what it shows of a cookie. That says nothing of other requests: anybody
   * who sends a cookie that says what is in the page would otherwise decide for all who have cookies.
   */
  get isOfRequestAlone(): boolean {
    return this.#showsCookie === true && !this.#wasPersonal && !this.#dependsOnCookies
  }

  /**
   * What the visitor is known by that a layer behind the cache gave the request, such as `req.session`;
   * `undefined` if there is nothing, or if it is no matter of order.
   *
   * @remarks Where a session is in front, a handler may sign its visitor in behind. Cookies alone say nothing: what
   *   makes something of them that the cache does not know belongs behind it.
   */
  get signBehind(): string | undefined {
    if (this.#wasPersonal || this.#hadSession) return undefined
    const { req, settings } = this
    const isKnown = this.#hasUserBehind || isPersonal(req, settings)
    if (!isKnown && !('session' in req)) return undefined
    const name = SIGNS.find((one) => one in req)
    return name === undefined ? 'what isPersonal looks at' : `req.${name}`
  }

  /** Whether the page was rendered under another `trust proxy` than it was keyed under, and its origin differs. */
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

  /** A copy of all headers was taken. If cookies were among them, their read was noted by itself. */
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
   * Watches the object `req.headers`; to be called again when the request was given another one.
   *
   * @remarks Not by a proxy, which can be neither cloned nor sent to a worker. Fields that are there become
   *   accessors; a read of one that is missing is noticed by a proxy in the prototype chain. Once each field
   *   was read, a copy was probably taken. Not noticed are `Object.hasOwn` and listing the names.
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
        // For printing, a plain copy with values.
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

/** Replaces a property with an accessor, which otherwise does what the property did. */
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

/** Whether an object has none of these properties any more. */
function isGone(names: ReadonlySet<string>, object: object): boolean {
  for (const name of names) if (Object.hasOwn(object, name)) return false
  return true
}

function inheritedDescriptor(object: object, name: string): PropertyDescriptor | undefined {
  const prototype = Object.getPrototypeOf(object) as object | null
  if (prototype === null) return undefined
  return Object.getOwnPropertyDescriptor(prototype, name) ?? inheritedDescriptor(prototype, name)
}
