import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isConditional, isSentWithNotModified } from '../../src/http/conditional.js'
import { chooseCoding, isCompressible, type Coding } from '../../src/http/content-coding.js'
import {
  headerOf,
  headerText,
  copiedValue,
  type HeaderFields,
} from '../../src/http/header-values.js'
import { contentRange, ifRangeHolds, multipartRanges, selectRanges } from '../../src/http/range.js'
import { joinVary } from '../../src/http/vary.js'
import {
  currentAgeSeconds,
  fieldsOf,
  type StoredHeader,
  type StoredResponse,
} from '../../src/http/stored-response.js'
import type { MaybePromise } from '../../src/maybe-promise.js'
import { hasAlready } from './client-conditions.js'
import { hasLayersAround } from './last-word.js'
import { describesFilledPage, markPerUser } from './per-user.js'
import { setStatusMessage } from './protocol.js'
import { isBodyWrapped, toSend } from './sent-body.js'

/**
 * Sets status and headers of a response from a stored page: the whole, a part of it, or a 304 where the client
 * already has it.
 *
 * @param conditions - The request's headers as the client sent them.
 * @param withAge - `false`: no `Age` is sent, since the handler has just confirmed the page.
 * @returns The body to end with; `undefined`: none.
 * @remarks `If-Match` and `If-Unmodified-Since` are not for caches.
 * @see RFC 9110 §13.2.2, §14.2; RFC 9111 §4, §4.3.2
 */
export function prepareAnswer(
  req: IncomingMessage,
  res: ServerResponse,
  page: StoredResponse,
  nowMs: number,
  conditions: HeaderFields = req.headers,
  withAge = true,
): Buffer | undefined {
  for (const name of page.removed) res.removeHeader(name)
  const method = req.method ?? 'GET'
  if (page.status < 300 && isConditional(conditions)) {
    if (hasAlready(conditions, fieldsOf(page), res, nowMs)) {
      return notModified(res, page, nowMs, withAge, codingOf(page, conditions) !== undefined)
    }
  }
  const isRanged =
    method === 'GET' &&
    page.status === 200 &&
    conditions['range'] !== undefined &&
    !refusesRanges(page)
  const range = isRanged && !mayBeEncoded(res, page, conditions) ? conditions['range'] : undefined
  const coding = range === undefined ? codingOf(page, conditions) : undefined
  let hasLength = false
  for (const [name, value] of page.headers) {
    if (name.length === CONTENT_LENGTH.length && name.toLowerCase() === CONTENT_LENGTH) {
      hasLength = true
    }
    if (name.length === 4) setShortHeader(res, name, value, coding !== undefined)
    else res.setHeader(name, copiedValue(value))
  }
  if (withAge) res.setHeader('Age', String(currentAgeSeconds(page, nowMs)))
  res.statusCode = page.status
  if (page.statusMessage !== undefined) setStatusMessage(res, page.statusMessage)
  if (range !== undefined) {
    const part = preparePart(res, page, String(range), conditions, nowMs)
    if (part !== undefined) return part
  }
  let { body } = page
  if (coding !== undefined) {
    res.setHeader('Content-Encoding', coding)
    body = page.encoded[page.codings.findIndex(([name]) => name === coding)] ?? body
  }
  if (hasNoBody(page.status)) return undefined
  // The body that is stored has the length that its header says; only another coding differs.
  if (!hasLength || coding !== undefined) res.setHeader('Content-Length', body.length)
  return method === 'HEAD' ? undefined : body
}

/**
 * As {@link prepareAnswer}, for a page whose holes were filled: the response is always the whole page, and
 * per-user.
 *
 * @param filled - The body; as long as it is a promise, its length is not known.
 */
export function prepareFilled<T extends MaybePromise<Buffer | undefined>>(
  req: IncomingMessage,
  res: ServerResponse,
  page: StoredResponse,
  filled: T,
): T | undefined {
  for (const name of page.removed) res.removeHeader(name)
  for (const [name, value] of page.headers) {
    if (!describesFilledPage(name.toLowerCase())) setShortHeader(res, name, value, false)
  }
  res.statusCode = page.status
  if (page.statusMessage !== undefined) setStatusMessage(res, page.statusMessage)
  markPerUser(res)
  res.removeHeader('Content-Length')
  if (hasNoBody(page.status) || req.method === 'HEAD') return undefined
  if (Buffer.isBuffer(filled)) res.setHeader('Content-Length', filled.length)
  return filled
}

/** Ends an answer with what {@link prepareAnswer} gave. */
export function endWith(res: ServerResponse, body: Buffer | undefined): void {
  // Some layers take an argument that is `undefined` for a chunk.
  if (body === undefined) {
    res.end()
  } else {
    keepLetters(res)
    res.end(toSend(body, isBodyWrapped(res)))
  }
}

/**
 * Sends the headers before the body if `Content-Disposition` has characters such as `ä`: sent together with a
 * body, Node would write that header in UTF-8 instead of Latin-1.
 */
export function keepLetters(res: ServerResponse): void {
  const disposition = res.getHeader('Content-Disposition')
  if (disposition === undefined || !/[\x80-\xff]/.test(String(disposition))) return
  if (!res.headersSent) res.writeHead(res.statusCode)
}

function refusesRanges(page: StoredResponse): boolean {
  return headerText(fieldsOf(page), 'accept-ranges')?.toLowerCase() === 'none'
}

/**
 * Whether a request's `Range` is left to the handler: it says that it supports ranges, and this cache cannot
 * read this one.
 */
export function isRangeForHandler(req: IncomingMessage, page: StoredResponse): boolean {
  const { range } = req.headers
  if (range === undefined || req.method !== 'GET' || page.status !== 200) return false
  if (headerText(fieldsOf(page), 'accept-ranges') !== 'bytes') return false
  return selectRanges(range, page.body.length) === 'ignored'
}

/** Whether a layer around the cache might compress the response: the bytes of a part would then be wrong. */
function mayBeEncoded(res: ServerResponse, page: StoredResponse, request: HeaderFields): boolean {
  if (!hasLayersAround(res) || headerOf(request, 'accept-encoding') === undefined) return false
  const fields = fieldsOf(page)
  if (headerOf(fields, 'content-encoding') !== undefined) return false
  return isCompressible(headerText(fields, 'content-type'))
}

const CONTENT_LENGTH = 'content-length'

function hasNoBody(status: number): boolean {
  return status === 204 || status === 205
}

/** Sets a header of which `ETag` and `Vary` depend on the response that the page is sent in. */
function setShortHeader(
  res: ServerResponse,
  name: string,
  value: StoredHeader[1],
  isEncoded: boolean,
): void {
  const lower = name.toLowerCase()
  if (lower === 'etag' && isEncoded) {
    res.setHeader(name, weakened(value))
  } else if (lower === 'vary' && res.hasHeader('Vary')) {
    // Layers around the cache, such as CORS, have names of their own in `Vary`.
    res.setHeader(name, joinVary(value, res.getHeader('Vary') ?? ''))
  } else {
    res.setHeader(name, copiedValue(value))
  }
}

/** In another coding a page is another representation, which must not have the same strong `ETag`. */
export function weakened(etag: StoredHeader[1]): string {
  const text = String(etag)
  return text.startsWith('W/') ? text : `W/${text}`
}

/** The coding a client is sent a page in; `undefined`: none. */
export function codingOf({ codings }: StoredResponse, headers: HeaderFields): Coding | undefined {
  if (codings.length === 0) return undefined
  const available = codings.map(([coding]) => coding as Coding)
  return chooseCoding(headerText(headers, 'accept-encoding'), available)
}

function notModified(
  res: ServerResponse,
  page: StoredResponse,
  nowMs: number,
  withAge: boolean,
  isEncoded: boolean,
): undefined {
  for (const [name, value] of page.headers) {
    if (isSentWithNotModified(name.toLowerCase())) setShortHeader(res, name, value, isEncoded)
  }
  if (withAge) res.setHeader('Age', String(currentAgeSeconds(page, nowMs)))
  // Layers around the cache, or the handler, may have described a body.
  for (const name of ['Content-Type', 'Content-Length', 'Content-Encoding']) res.removeHeader(name)
  res.statusCode = 304
  return undefined
}

/** @returns `undefined` if the whole page answers the request. */
function preparePart(
  res: ServerResponse,
  page: StoredResponse,
  range: string,
  conditions: HeaderFields,
  nowMs: number,
): Buffer | undefined {
  if (!ifRangeHolds(conditions, fieldsOf(page), nowMs)) return undefined
  const { body } = page
  const ranges = selectRanges(range, body.length)
  if (ranges === 'ignored') return undefined
  setStatusMessage(res, '')
  if (ranges === 'unsatisfiable') {
    res.statusCode = 416
    res.setHeader('Content-Range', contentRange(undefined, body.length))
    for (const name of ['Content-Type', 'Content-Encoding', 'ETag', 'Last-Modified'])
      res.removeHeader(name)
    res.setHeader('Cache-Control', 'no-store')
    res.removeHeader('Expires')
    res.setHeader('Content-Length', 0)
    return EMPTY
  }
  res.statusCode = 206
  const [first] = ranges
  if (ranges.length === 1 && first !== undefined) {
    const part = body.subarray(first.first, first.last + 1)
    res.setHeader('Content-Range', contentRange(first, body.length))
    res.setHeader('Content-Length', part.length)
    return part
  }
  const boundary = randomBytes(16).toString('hex')
  const type = res.getHeader('Content-Type')
  const parts = multipartRanges(
    body,
    ranges,
    type === undefined ? undefined : String(type),
    boundary,
  )
  res.setHeader('Content-Type', `multipart/byteranges; boundary=${boundary}`)
  res.setHeader('Content-Length', parts.length)
  return parts
}

const EMPTY = Buffer.alloc(0)

/**
 * Seconds for which a page is still fresh; negative if it is not any more; `undefined`: no limit.
 */
export function remainingSeconds(page: StoredResponse, nowMs: number): number | undefined {
  if (page.freshUntilMs === null) return undefined
  const seconds = (page.freshUntilMs - nowMs) / 1000
  return seconds >= 0 ? Math.floor(seconds) : Math.ceil(seconds)
}
