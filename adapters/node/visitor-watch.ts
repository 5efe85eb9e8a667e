import type { IncomingMessage, ServerResponse } from 'node:http'
import { inspect } from 'node:util'
import { headerText } from '../../src/http/header-values.js'
import type { StoredHeader } from '../../src/http/stored-response.js'
import type { Visitor } from '../../src/pages/policy.js'
import type { Settings } from './settings.js'
import type { PageRequest } from '../../src/pages/page.js'
import { privateField } from '../../src/private-field.js'
import { isPersonal, uriOf } from './request.js'
import { SignInBehind } from './sign-in-behind.js'
import { ShownCookies } from './shown-cookies.js'
import { isUnnoticed, watchObject } from './unnoticed.js'
import { isFilling } from './visitor-holes.js'

/** Properties of a request that hold its cookies, parsed or not. */
const COOKIES = ['cookies', 'signedCookies', 'rawHeaders', 'headersDistinct'] as const

/** The request of a page, and what is known of it already. */
interface Arrival {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly place: { readonly settings: Settings }
  /** It was per-user when the cache was asked. */
  readonly isPerUser: boolean
  /** That of an outer cache, inside of which this one runs. */
  readonly outerWatch: VisitorWatch | undefined
  /** Nothing can be in front of the cache. */
  readonly isOutermost: boolean
}

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
  readonly #behind: SignInBehind
  readonly #cookies: ShownCookies
  #hasReadCookies: boolean
  /** Every header was read, as by a proxy that copies them. */
  #hasCopiedHeaders: boolean
  #showsCookie: boolean | undefined
  #hasOtherOrigin = false
  /** While the headers are sent, layers around the cache may read cookies; these reads do not count. */
  #isSendingHeaders = false

  /**
   * @param request - As it was looked up.
   * @param isKnownToRead - Whether the handler has read cookies for other requests.
   */
  constructor(
    { req, res, place, isPerUser, outerWatch: outer, isOutermost }: Arrival,
    private readonly request: PageRequest,
    private readonly isKnownToRead: () => boolean,
  ) {
    this.req = req
    this.res = res
    this.settings = place.settings
    this.#scope = place.settings.host.scopeOf?.(req)
    this.#wasPersonal = isPerUser || (outer !== undefined && outer.#wasPersonal)
    this.#cookies = new ShownCookies(
      headerText(request.headers, 'cookie'),
      place.settings.maxBodyBytes,
    )
    this.#behind = new SignInBehind(req, isOutermost)
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

  get #hasCookie(): boolean {
    return this.request.headers['cookie'] !== undefined
  }

  /** Watches what the handler reads from now on. */
  begin(): void {
    watchesOf(this.req).push(this)
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
    if (this.#wasPersonal || this.#isKnownNow) {
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
    if (this.#showsCookie === undefined && this.#hasTokens) {
      this.#showsCookie = this.#cookies.areShown(headers(), body)
    }
    return this.#showsCookie === true
  }

  /** Whether the body, which is not known yet, may show a cookie. */
  get mayShowCookie(): boolean {
    return this.#showsCookie ?? this.#hasTokens
  }

  get #hasTokens(): boolean {
    return this.#isJudged && this.#cookies.haveTokens
  }

  /**
   * Whether the response is per-user only by what it shows of a cookie. That says nothing of other requests: anybody
   * who sends a cookie that says what is in the page would otherwise decide for all who have cookies.
   */
  get isOfRequestAlone(): boolean {
    return this.#showsCookie === true && !this.#wasPersonal && !this.#dependsOnCookies
  }

  /** Whether the visitor is known by now, whatever was known when the cache was asked. */
  get #isKnownNow(): boolean {
    // Neither the site's rule nor a hole knows on a hit who was made known behind: it is not for others in any case.
    const isBehind = this.#isJudged && this.#behind.hasUser
    return isBehind || isPersonal(this.req, this.settings)
  }

  /** As {@link SignInBehind.sign}. */
  get signBehind(): string | undefined {
    return this.#wasPersonal ? undefined : this.#behind.sign(this.#isKnownNow)
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

  #read(name: string): void {
    if (name === 'cookie') this.#note()
    else if (name.startsWith('x-forwarded-')) {
      this.#hasOtherOrigin ||= this.#isElsewhere()
    }
  }

  /**
   * Watches the object `req.headers`; to be called again when the request was given another one.
   *
   * @remarks Once each field was read, a copy was probably taken.
   */
  watchHeaders(): void {
    const { headers } = this.req
    if (!Object.isExtensible(headers)) return this.#note()
    const unread = new Set(Object.keys(headers))
    watchFields(headers, (name) => {
      this.#read(name)
      if (!isUnnoticed() && unread.delete(name) && isGone(unread, headers)) this.#noteCopy()
    })
    watchObject(headers)
  }

  #watchProperty(name: (typeof COOKIES)[number]): void {
    const { req } = this
    if (!(name in req)) return
    const own = Object.getOwnPropertyDescriptor(req, name)
    if (own?.configurable === false) return this.#note()
    watchReads(req, name, own ?? inheritedDescriptor(req, name), () => this.#note())
    // A layer in front may have put the same object elsewhere, such as in `res.locals`.
    this.#watchParsed(own?.value)
  }

  #watchParsed(cookies: unknown): void {
    if (typeof cookies !== 'object' || cookies === null) return
    const watchedFor = requestsOf.get(cookies)
    if (watchedFor === undefined && isRecord(cookies) && Object.isExtensible(cookies)) {
      requestsOf.set(cookies, this.req)
      const watches = watchesOf(this.req)
      watchFields(cookies, () => watches.forEach((watch) => watch.#note()))
    } else if (watchedFor !== this.req && isRecord(cookies) && Object.keys(cookies).length > 0) {
      // It cannot be watched, or it is that of several requests and watched for one. An empty one says nothing of a visitor.
      this.#note()
    }
  }
}

/** For which request an object of parsed cookies is watched. */
const requestsOf = privateField<object, IncomingMessage>()

/** Whose reads of parsed cookies count: caches in one another watch the same object. */
const allWatches = privateField<IncomingMessage, VisitorWatch[]>()

function watchesOf(req: IncomingMessage): VisitorWatch[] {
  const known = allWatches.get(req)
  if (known !== undefined) return known
  const watches: VisitorWatch[] = []
  allWatches.set(req, watches)
  return watches
}

/** Whether a value is an object without a class. */
function isRecord(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || requestsOf.has(value)
}

/**
 * Watches what is read of an object without a class.
 *
 * @remarks Fields that are there become accessors; a read of one that is missing is noticed by a proxy in the
 *   prototype chain. The object itself is not replaced by a proxy, which can be neither cloned nor sent to a worker. Not
 *   noticed are `Object.hasOwn` and listing the names.
 */
function watchFields(object: object, onRead: (name: string) => void): void {
  for (const name of Object.keys(object)) {
    const before = Object.getOwnPropertyDescriptor(object, name)
    if (before?.configurable === true) watchReads(object, name, before, () => onRead(name))
  }
  Object.setPrototypeOf(object, prototypeOver(object, onRead))
}

function prototypeOver(object: object, onRead: (name: string) => void): object {
  const prototype = Object.getPrototypeOf(object) as object | null
  const note = (name: string | symbol) => {
    if (typeof name === 'string') onRead(name)
  }
  return new Proxy(prototype ?? (Object.create(null) as object), {
    get: (target, name, receiver) => {
      // For printing, a copy with values.
      if (name === inspect.custom)
        return () => Object.assign(Object.create(prototype) as object, object)
      note(name)
      return Reflect.get(target, name, receiver) as unknown
    },
    has: (target, name) => {
      note(name)
      return Reflect.has(target, name)
    },
  })
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
