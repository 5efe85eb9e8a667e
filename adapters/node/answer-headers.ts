import type { ServerResponse } from 'node:http'
import type { HeaderFields, HeaderValue } from '../../src/http/header-values.js'
import { TOLD } from '../../src/pages/told-headers.js'
import { SAYABLE, sayable, type Sayable } from './cache-headers.js'
import type { Filling } from './filling.js'
import { keepCookieToItsOwner } from './last-word.js'
import { isOfOneFilling, sayForOneVisitor, saysForOneVisitor } from './one-visitor.js'
import type { OuterHeaders } from './taken-headers.js'
import type { Settings } from './settings.js'

/** The headers of one answer: what the cache says in them, and whose they are. */
export class AnswerHeaders {
  /** What the layers around the cache had set before it came by. */
  readonly outer: OuterHeaders
  /** Whether it is told when the layers around it have had their say. */
  hasLastWord = false
  #isForOneVisitor = false
  /** Before they said that the answer is one visitor's. */
  #saidForAll: HeaderFields | undefined
  /** The headers that the cache speaks in, before it spoke and after. */
  #spoken: { readonly before: Sayable; readonly after: Sayable } | undefined

  constructor(
    private readonly res: ServerResponse,
    private readonly filling: Filling,
    private readonly settings: Settings,
  ) {
    this.outer = res.getHeaders()
  }

  get isForOneVisitor(): boolean {
    return this.#isForOneVisitor
  }

  /** The answer is this visitor's, and says so: layers around us say what they have to say of it first. */
  belongToVisitor(): void {
    this.#isForOneVisitor = true
    if (!this.hasLastWord) this.sayForOneVisitor()
  }

  /** The same, of a page with holes that was rendered for this visitor. */
  showHoles(): void {
    this.#isForOneVisitor = true
    sayForOneVisitor(this.res)
  }

  /** It is answered with a page whose holes were filled, or with one that had none. */
  answerFilled(isFilled: boolean): void {
    this.#isForOneVisitor = isFilled
  }

  sayForOneVisitor(): void {
    this.#saidForAll ??= this.res.getHeaders()
    sayForOneVisitor(this.res)
  }

  /** Without those of the holes, and without what was said of the page with its holes filled. */
  ofThePage(): HeaderFields {
    const headers: Record<string, HeaderValue | undefined> = { ...this.res.getHeaders() }
    if (this.filling.headers?.haveAllCookies === true) delete headers['set-cookie']
    if (this.#saidForAll !== undefined && saysForOneVisitor(this.res)) {
      for (const [name, value] of Object.entries(this.#saidForAll)) {
        if (isOfOneFilling(name)) headers[name] = value
      }
      if (!('cache-control' in this.#saidForAll)) delete headers['cache-control']
    }
    return headers
  }

  /** The names of those that are no part of the page. */
  excluded(isFilled: boolean): ReadonlySet<string> {
    const { excludeHeaders } = this.settings
    const ofHoles = this.filling.headers
    if (ofHoles === undefined) return excludeHeaders
    const names = isFilled ? this.res.getHeaderNames().filter(isOfOneFilling) : []
    return new Set([...excludeHeaders, ...names, ...ofHoles.names])
  }

  /** Lets the cache speak, so that it can be taken back. */
  speak(action: () => void): void {
    const before = sayable(this.res)
    action()
    this.#spoken = { before, after: sayable(this.res) }
  }

  get hasSpoken(): boolean {
    return this.#spoken !== undefined
  }

  /** Takes back what the cache said, but for what a layer around us has said since. */
  takeBack(): void {
    if (this.#spoken === undefined) return
    const { res } = this
    const { before, after } = this.#spoken
    for (const name of SAYABLE) {
      // It is one visitor's in any case.
      if (this.#isForOneVisitor && TOLD.some((told) => told === name)) continue
      if (res.getHeader(name) !== after[name]) continue
      const value = before[name]
      if (value === undefined) res.removeHeader(name)
      else res.setHeader(name, value)
    }
  }

  keepCookieToItsOwner(): void {
    if (!this.settings.rfc9111) keepCookieToItsOwner(this.res)
  }
}
