import type { IncomingMessage, ServerResponse } from 'node:http'
import { currentMs } from '../../src/current-time.js'
import { formatCacheStatus } from '../../src/http/cache-status.js'
import { hasPrecondition } from '../../src/http/conditional.js'
import type { Coding } from '../../src/http/content-coding.js'
import { currentAgeSeconds, type StoredResponse } from '../../src/http/stored-response.js'
import { appendCacheStatus } from './cache-headers.js'
import { hasLayersAround } from './last-word.js'
import { keepCookieToItsOwner } from './per-user.js'
import type { Place } from './place.js'
import { codingOf, endWith, prepareAnswer, remainingSeconds, weakened } from './replay.js'
import { isBodyWrapped, toSend } from './sent-body.js'
import type { Settings } from './settings.js'

/** Headers and body of a page in one coding, as they are sent. */
class Wire {
  readonly body: Buffer
  readonly #headers: readonly string[]
  /** All headers, as they were sent last, and the seconds they tell. */
  #sent: readonly string[] = []
  #ageSeconds: number | undefined
  #ttlSeconds: number | undefined

  constructor(page: StoredResponse, coding: Coding | undefined) {
    const i = page.codings.findIndex(([name]) => name === coding)
    this.body = page.encoded[i] ?? page.body
    const headers: string[] = []
    for (const [name, value] of page.headers) {
      const lower = name.toLowerCase()
      if (lower === 'content-length') continue
      const values = typeof value === 'string' ? [value] : value
      for (const one of values) {
        headers.push(name, coding !== undefined && lower === 'etag' ? String(weakened(one)) : one)
      }
    }
    if (coding !== undefined) headers.push('Content-Encoding', coding)
    headers.push('Content-Length', String(this.body.length))
    this.#headers = headers
  }

  /** The headers, which change once a second. */
  headersAt(page: StoredResponse, nowMs: number, { cacheStatus }: Settings): readonly string[] {
    const ageSeconds = currentAgeSeconds(page, nowMs)
    const ttlSeconds = remainingSeconds(page, nowMs)
    if (ageSeconds !== this.#ageSeconds || ttlSeconds !== this.#ttlSeconds) {
      this.#ageSeconds = ageSeconds
      this.#ttlSeconds = ttlSeconds
      const sent = [...this.#headers, 'Age', String(ageSeconds)]
      if (cacheStatus) sent.push('Cache-Status', formatCacheStatus({ hit: true, ttlSeconds }))
      this.#sent = sent
    }
    return this.#sent
  }
}

const wires = new WeakMap<StoredResponse, Map<Coding | undefined, Wire>>()

function wireOf(page: StoredResponse, coding: Coding | undefined): Wire {
  let ofPage = wires.get(page)
  if (ofPage === undefined) wires.set(page, (ofPage = new Map<Coding | undefined, Wire>()))
  let wire = ofPage.get(coding)
  if (wire === undefined) ofPage.set(coding, (wire = new Wire(page, coding)))
  return wire
}

/** Answers with a fresh page where the usual hit needs nothing else, and counts it. */
export function answerFresh(
  req: IncomingMessage,
  res: ServerResponse,
  page: StoredResponse,
  { settings, store, routes }: Place,
  uri: string,
): void {
  const nowMs = currentMs()
  routes.of(req, uri, store.alias).outcomes.hit++
  if (isSentAsStored(req, res, page)) {
    const { headers } = req
    const wire = wireOf(page, codingOf(page, headers))
    if (page.statusMessage !== undefined) res.statusMessage = page.statusMessage
    res.writeHead(page.status, wire.headersAt(page, nowMs, settings) as string[])
    if (req.method === 'HEAD') res.end()
    else res.end(toSend(wire.body, isBodyWrapped(res)))
    return
  }
  const body = prepareAnswer(req, res, page, nowMs)
  keepCookieToItsOwner(res, settings)
  if (settings.cacheStatus) {
    appendCacheStatus(res, { hit: true, ttlSeconds: remainingSeconds(page, nowMs) })
  }
  endWith(res, body)
}

/** Whether nobody around has set headers or may change them, and the client asks for the whole page. */
function isSentAsStored(req: IncomingMessage, res: ServerResponse, page: StoredResponse): boolean {
  if (page.status !== 200 || req.httpVersionMajor > 1 || hasLayersAround(res)) return false
  const { headers } = req
  if (headers['range'] !== undefined || hasPrecondition(headers)) return false
  return res.getHeaderNames().length === 0
}
