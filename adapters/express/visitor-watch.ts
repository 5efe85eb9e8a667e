import type { Request } from 'express'
import type { Visitor } from '../../src/http/policy.js'
import type { Settings } from './options.js'
import type { PageRequest } from './page.js'
import { isPersonal, originOf } from './request.js'
import { isFilling } from './visitor-holes.js'

type Cookies = Record<(typeof COOKIES)[number], unknown>

const COOKIES = ['cookies', 'signedCookies'] as const

/**
 * What tells whom an answer belongs to while its handler runs: what the request had when the cache was
 * asked, and whether anything behind the cache reads its cookies.
 *
 * @remarks What is left when the answer is judged does not count: a log-out page has no user any more,
 *   and a flash message is taken out of the session by being shown.
 */
export class VisitorWatch {
  readonly #app: Request['app']
  #hasReadCookies = false
  #hasOtherOrigin = false
  #isQuiet = false
  /** Layers around the cache read cookies, too, while the headers are made. */
  #isSendingHeaders = false

  /**
   * @param request - As the cache was asked for it.
   * @param wasPersonal - The site knew the visitor then.
   * @param isKnownToRead - Whether the handler was seen to read cookies for other requests.
   */
  constructor(
    private readonly req: Request,
    private readonly request: PageRequest,
    private readonly settings: Settings,
    private readonly wasPersonal: boolean,
    private readonly isKnownToRead: () => boolean,
  ) {
    this.#app = req.app
  }

  /** Whether cookies were read while a page was made for somebody whom the site does not know. */
  get hasReadCookies(): boolean {
    return this.#hasReadCookies && this.#isOnWatch
  }

  /** Whether the page is what it is since no cookies came: to those who have some it may be another. */
  get isForThoseWithoutCookies(): boolean {
    return !this.#hasCookie && this.#dependsOnCookies
  }

  get #dependsOnCookies(): boolean {
    return this.#isOnWatch && (this.#hasReadCookies || this.isKnownToRead())
  }

  /** Neither did the site know the visitor, nor has it a rule of its own for whom an answer belongs to. */
  get #isOnWatch(): boolean {
    const { hasOwnIsPersonal, isImpersonal } = this.settings
    return !this.wasPersonal && !hasOwnIsPersonal && !isImpersonal
  }

  get #hasCookie(): boolean {
    return this.request.headers['cookie'] !== undefined
  }

  /** Watches what the handler reads from here on. */
  begin(): void {
    const { req } = this
    this.watchHeaders()
    this.#watchRawHeaders(req)
    const parsed: Cookies = req
    for (const name of COOKIES) {
      const cookies = parsed[name]
      if (typeof cookies === 'object' && cookies !== null) parsed[name] = this.#standIn(cookies)
    }
  }

  /** To be called again where the request was given another `req.headers`. */
  watchHeaders(): void {
    this.req.headers = this.#standInForHeaders(this.req.headers)
  }

  /** What is read from here until the headers are out is not read for the page. */
  sendHeaders(): void {
    this.#isSendingHeaders = true
  }

  /** Runs what the site tells the cache of a request: nothing that it reads gets into the page. */
  quietly<T>(action: () => T): T {
    const before = this.#isQuiet
    this.#isQuiet = true
    try {
      return action()
    } finally {
      this.#isQuiet = before
    }
  }

  /** Whom the answer belongs to; `undefined`: it may be everybody's. */
  get visitor(): Visitor | undefined {
    const { req, settings } = this
    const hasCookie = this.#hasCookie
    if (this.wasPersonal || this.quietly(() => isPersonal(req, settings))) {
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
    if (req.app === this.#app) return false
    return originOf(req, req.app, request.headers) !== originOf(req, this.#app, request.headers)
  }

  #note(): void {
    if (this.#isQuiet || isFilling()) return
    if (this.#isSendingHeaders && this.req.res?.headersSent !== true) return
    this.#hasReadCookies = true
  }

  #read(name: string | symbol): void {
    if (name === 'cookie') this.#note()
    else if (typeof name === 'string' && name.startsWith('x-forwarded-')) {
      this.#hasOtherOrigin ||= this.#isElsewhere()
    }
  }

  #standInForHeaders(headers: Request['headers']): Request['headers'] {
    return new Proxy(headers, {
      get: (target, name) => {
        this.#read(name)
        return Reflect.get(target, name) as unknown
      },
      has: (target, name) => {
        this.#read(name)
        return Reflect.has(target, name)
      },
      getOwnPropertyDescriptor: (target, name) => {
        this.#read(name)
        return Reflect.getOwnPropertyDescriptor(target, name)
      },
      // A copy has the cookies, or has none.
      ownKeys: (target) => {
        this.#note()
        return Reflect.ownKeys(target)
      },
    })
  }

  /** Node makes `headersDistinct` of them, too. */
  #watchRawHeaders(req: Request): void {
    let { rawHeaders } = req
    Object.defineProperty(req, 'rawHeaders', {
      configurable: true,
      enumerable: true,
      get: () => {
        this.#note()
        return rawHeaders
      },
      set: (value: string[]) => void (rawHeaders = value),
    })
  }

  #standIn(cookies: object): object {
    const note = () => this.#note()
    return new Proxy(cookies, {
      get: (target, name) => (note(), Reflect.get(target, name) as unknown),
      has: (target, name) => (note(), Reflect.has(target, name)),
      getOwnPropertyDescriptor: (target, name) => (
        note(),
        Reflect.getOwnPropertyDescriptor(target, name)
      ),
      ownKeys: (target) => (note(), Reflect.ownKeys(target)),
    })
  }
}
