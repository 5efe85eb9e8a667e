import { currentMs } from '../../src/current-time.js'
import { formatHttpDate } from '../../src/http/http-date.js'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import type { HandlerFailed } from '../../src/pages/reasons.js'
import type { Around } from './around.js'
import type { AskedConditions } from './asked-conditions.js'
import type { Forwarding } from './place.js'
import { setStatusMessage } from './protocol.js'
import { HANDLERS_OWN, type Substitute } from './recorder.js'
import { prepareAnswer, prepareFilled, remainingSeconds } from './replay.js'
import { routeName } from './routes.js'
import { warnOfOlderHoles } from './warnings.js'

/** The response that an older page may replace. */
interface Answered {
  readonly around: Around
  readonly conditions: AskedConditions
  readonly forwarding: Forwarding
  substitute: Substitute['substitute']
}

/** Answers with an older page in place of a handler that failed. */
export class StandIn {
  #isGivenUp = false

  constructor(private readonly making: Answered) {}

  /** The handler's failure is sent after all. */
  get isGivenUp(): boolean {
    return this.#isGivenUp
  }

  /**
   * Answers with the older page, unless its holes cannot be filled.
   *
   * @param mayWait - What the handler writes can be held back, since its headers are not sent yet.
   */
  answer(stale: StoredResponse, mayWait: boolean): void {
    const { making } = this
    const { res, filling, place } = making.around
    const status = res.statusCode
    if (stale.holes === undefined) return this.#answerNow(stale, status, undefined)
    let filled: MaybePromise<Buffer | undefined>
    try {
      filled = filling.fill(stale, place.settings)
    } catch (error) {
      return this.#giveUp(error)
    }
    if (!isPromise(filled)) {
      if (filled === undefined) return this.#giveUp()
      return this.#answerNow(stale, status, filled)
    }
    if (!mayWait) {
      filled.catch(() => undefined)
      return this.#giveUp()
    }
    const leave = (error?: unknown): typeof HANDLERS_OWN => {
      this.#giveUp(error)
      return HANDLERS_OWN
    }
    const body = filled.then((text) => {
      if (text === undefined || res.headersSent) return leave()
      this.#answerNow(stale, status, text)
      return text
    }, leave)
    making.substitute = { body }
  }

  #giveUp(error?: unknown): void {
    if (error !== undefined) warnOfOlderHoles(routeName(this.making.around.req), error)
    this.#isGivenUp = true
    this.making.substitute = undefined
  }

  #answerNow(stale: StoredResponse, status: number, filled: Buffer | undefined): void {
    const { around, conditions, forwarding } = this.making
    const { req, res, headers, telling } = around
    headers.answerFilled(filled !== undefined)
    this.#resetHeaders()
    const nowMs = currentMs()
    setStatusMessage(res, '')
    const body =
      filled === undefined
        ? prepareAnswer(req, res, stale, nowMs, conditions.headers)
        : prepareFilled(req, res, stale, filled)
    headers.keepCookieToItsOwner()
    this.making.substitute = { body }
    const detail: HandlerFailed = `view-failed-${status}`
    telling.say({ hit: true, ttlSeconds: remainingSeconds(stale, nowMs), detail })
    telling.report('stale', detail)
    forwarding.lead?.land({ page: stale, standsIn: true })
  }

  /** Restores the headers from before the handler ran, except those that were set to fill holes. */
  #resetHeaders(): void {
    const { res, filling, headers } = this.making.around
    const { outer } = headers
    const ofHoles = filling.headers
    for (const name of res.getHeaderNames()) {
      if (name === 'set-cookie') continue
      if (ofHoles?.names.has(name) === true) continue
      const before = outer[name]
      // Node adds no `Date` where one was removed. It is set, unless the page has its own.
      if (name === 'date') res.setHeader(name, before ?? formatHttpDate(currentMs()))
      else if (before === undefined) res.removeHeader(name)
      else res.setHeader(name, before)
    }
    const cookies = [outer['set-cookie'] ?? [], ofHoles?.cookies ?? []].flat().map(String)
    if (cookies.length === 0) res.removeHeader('Set-Cookie')
    else res.setHeader('Set-Cookie', [...new Set(cookies)])
  }
}
