import type { IncomingMessage, ServerResponse } from 'node:http'
import { formatCacheStatus } from '../../src/http/cache-status.js'
import { hasPrecondition } from '../../src/http/conditional.js'
import type { Coding } from '../../src/http/content-coding.js'
import { currentAgeSeconds, type StoredResponse } from '../../src/http/stored-response.js'
import { responseChannel } from '../../src/pages/channel.js'
import type { PageLookup, PageRequest } from '../../src/pages/page.js'
import { appendCacheStatus } from './cache-headers.js'
import { keepCookieToItsOwner } from './per-user.js'
import type { Place } from './place.js'
import { codingOf, endWith, prepareAnswer, remainingSeconds, weakened } from './replay.js'

/** Headers and body of a page in one coding, as they are sent. */
interface Wire {
  readonly headers: readonly string[]
  readonly body: Buffer
}

const wires = new WeakMap<StoredResponse, Map<Coding | undefined, Wire>>()

function wireOf(page: StoredResponse, coding: Coding | undefined): Wire {
  let ofPage = wires.get(page)
  if (ofPage === undefined) wires.set(page, (ofPage = new Map<Coding | undefined, Wire>()))
  let wire = ofPage.get(coding)
  if (wire === undefined) ofPage.set(coding, (wire = makeWire(page, coding)))
  return wire
}

function makeWire(page: StoredResponse, coding: Coding | undefined): Wire {
  const i = page.codings.findIndex(([name]) => name === coding)
  const body = page.encoded[i] ?? page.body
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
  headers.push('Content-Length', String(body.length))
  return { headers, body }
}

/** Answers with a fresh page where no layer around the cache could change the response. */
export function answerAtOnce(
  req: IncomingMessage,
  res: ServerResponse,
  page: StoredResponse,
  place: Place,
  { request, lookup }: { readonly request: PageRequest; readonly lookup: PageLookup },
): void {
  const { settings, store } = place
  const { headers } = req
  const isSimple =
    page.status === 200 &&
    headers['range'] === undefined &&
    !hasPrecondition(headers) &&
    res.getHeaderNames().length === 0
  if (isSimple) {
    const nowMs = Date.now()
    const coding = codingOf(page, headers)
    const wire = wireOf(page, coding)
    const all = [...wire.headers, 'Age', String(currentAgeSeconds(page, nowMs))]
    if (settings.cacheStatus) {
      const ttlSeconds = remainingSeconds(page, nowMs)
      all.push('Cache-Status', formatCacheStatus({ hit: true, ttlSeconds }))
    }
    if (page.statusMessage === undefined) res.writeHead(page.status, all)
    else res.writeHead(page.status, page.statusMessage, all)
    if (req.method === 'HEAD') res.end()
    else res.end(wire.body)
    place.routes.of(req, request.uri, store.alias).outcomes.hit++
  } else {
    answerFresh(req, res, page, place, request.uri)
  }
  if (!responseChannel.hasSubscribers) return
  const { method, uri: url } = request
  const key = store.keyOf(request, lookup.headerList)
  responseChannel.publish({ method, url, key, alias: store.alias, outcome: 'hit' })
}

/** Answers with a fresh page where the usual hit needs nothing else, and counts it. */
export function answerFresh(
  req: IncomingMessage,
  res: ServerResponse,
  page: StoredResponse,
  { settings, store, routes }: Place,
  uri: string,
): void {
  const nowMs = Date.now()
  const body = prepareAnswer(req, res, page, nowMs)
  keepCookieToItsOwner(res, settings)
  if (settings.cacheStatus) {
    appendCacheStatus(res, { hit: true, ttlSeconds: remainingSeconds(page, nowMs) })
  }
  routes.of(req, uri, store.alias).outcomes.hit++
  endWith(res, body)
}
