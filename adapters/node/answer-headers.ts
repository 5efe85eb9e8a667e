import type { ServerResponse } from 'node:http'
import type { HeaderFields, HeaderValue } from '../../src/http/header-values.js'
import { TOLD } from '../../src/pages/told-headers.js'
import { SAYABLE, sayable, type Sayable } from './cache-headers.js'
import type { Filling } from './filling.js'
import {
  describesFilledPage,
  keepCookieToItsOwner,
  markPerUser,
  isMarkedPerUser,
} from './per-user.js'
import { outerHeadersOf, type OuterHeaders } from './taken-headers.js'
import type { Settings } from './settings.js'

/** The headers of one response: what the cache adds to them, and whether they are per-user. */
export class AnswerHeaders {
  /** What the layers around the cache had set before it was asked. */
  readonly outer: OuterHeaders
  /** Whether the cache is called once more when all layers around it have changed the headers. */
  hasLastWord = false
  #isPerUser = false
  #isFilled = false
  /** The headers before the response was marked as per-user. */
  #beforeMark: HeaderFields | undefined
  /** The headers that the cache adds to, before it did and after. */
  #spoken: { readonly before: Sayable; readonly after: Sayable } | undefined

  constructor(
    private readonly res: ServerResponse,
    private readonly filling: Filling,
    private readonly settings: Settings,
  ) {
    this.outer = outerHeadersOf(res)
  }

  get isPerUser(): boolean {
    return this.#isPerUser
  }

  /** Whether something was, or may have been, filled in for this visitor: holes, or headers for them. */
  get isFilled(): boolean {
    return this.#isFilled || this.filling.hasHeaders
  }

  /**
   * Marks the response as per-user, once the layers around the cache are done with the headers.
   *
   * @param isFilled - As for {@link isFilled}.
   */
  becomePerUser(isFilled: boolean): void {
    this.#isPerUser = true
    this.#isFilled ||= isFilled
    if (!this.hasLastWord) this.markPerUser()
  }

  /** Marks the response as per-user at once: its holes were rendered where they are. */
  showHoles(): void {
    this.#isPerUser = true
    this.#isFilled = true
    markPerUser(this.res)
  }

  /** The response is now a stored page, which is per-user if it had holes to fill. */
  answerFilled(isFilled: boolean): void {
    this.#isPerUser = isFilled
    this.#isFilled = isFilled
  }

  markPerUser(): void {
    this.#beforeMark ??= this.res.getHeaders()
    markPerUser(this.res, this.isFilled)
  }

  /** The headers of the page itself: as they were before holes were filled and the response became per-user. */
  ofThePage(): HeaderFields {
    const headers: Record<string, HeaderValue | undefined> = { ...this.res.getHeaders() }
    if (this.filling.headers?.haveAllCookies === true) delete headers['set-cookie']
    if (this.#beforeMark !== undefined && isMarkedPerUser(this.res)) {
      for (const [name, value] of Object.entries(this.#beforeMark)) {
        if (describesFilledPage(name)) headers[name] = value
      }
      if (!('cache-control' in this.#beforeMark)) delete headers['cache-control']
    }
    return headers
  }

  /** The names of the headers that are not stored with the page. */
  excluded(isFilled: boolean): ReadonlySet<string> {
    const { excludeHeaders } = this.settings
    const ofHoles = this.filling.headers
    if (ofHoles === undefined) return excludeHeaders
    const names = isFilled ? this.res.getHeaderNames().filter(describesFilledPage) : []
    return new Set([...excludeHeaders, ...names, ...ofHoles.names])
  }

  /** Lets the cache add to the headers, so that {@link takeBack} can undo it. */
  speak(action: () => void): void {
    const before = sayable(this.res)
    action()
    this.#spoken = { before, after: sayable(this.res) }
  }

  get hasSpoken(): boolean {
    return this.#spoken !== undefined
  }

  /** Undoes what the cache added, except where a layer around it has set the header since. */
  takeBack(): void {
    if (this.#spoken === undefined) return
    const { res } = this
    const { before, after } = this.#spoken
    for (const name of SAYABLE) {
      // The response stays per-user, and so do these.
      if (this.#isPerUser && TOLD.some((told) => told === name)) continue
      if (res.getHeader(name) !== after[name]) continue
      const value = before[name]
      if (value === undefined) res.removeHeader(name)
      else res.setHeader(name, value)
    }
  }

  keepCookieToItsOwner(): void {
    keepCookieToItsOwner(this.res, this.settings)
  }
}
