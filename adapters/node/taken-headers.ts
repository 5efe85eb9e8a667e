import type { ServerResponse } from 'node:http'
import onHeaders from 'on-headers'
import { copiedValue, type HeaderValue } from '../../src/http/header-values.js'
import { neverReplayed, type StoredHeader } from '../../src/http/stored-response.js'

/** The headers that layers around the cache had set before it was asked. */
export type OuterHeaders = ReturnType<ServerResponse['getHeaders']>

/** The headers that are set now, as they stay though the handler appends to a list. */
export function outerHeadersOf(res: ServerResponse): OuterHeaders {
  const headers = res.getHeaders()
  for (const [name, value] of Object.entries(headers)) headers[name] = value && copiedValue(value)
  return headers
}

/** Headers that describe the page: they are stored even if a layer around the cache has set the same value. */
const OF_THE_RESPONSE = new Set([
  'etag',
  'last-modified',
  'cache-control',
  'expires',
  'vary',
  'date',
])

/**
 * The headers of a response that are stored with the page, in their order.
 *
 * @param outer - Not stored, unless the handler has changed them: layers around the cache set them again on
 *   each hit.
 * @returns Also the names of outer headers that the handler has removed.
 */
export function takeHeaders(
  res: ServerResponse,
  outer: OuterHeaders,
  excluded: ReadonlySet<string>,
  withCookies = false,
): { readonly headers: readonly StoredHeader[]; readonly removed: readonly string[] } {
  const isLeftOut = neverReplayed(res.getHeaders(), withCookies)
  const headers: StoredHeader[] = []
  for (const name of rawHeaderNames(res)) {
    const lower = name.toLowerCase()
    const value = res.getHeader(name)
    if (value === undefined || isLeftOut(lower) || excluded.has(lower)) continue
    if (isSame(outer[lower], value) && !isOfTheResponse(lower)) continue
    headers.push([name, Array.isArray(value) ? [...value] : String(value)])
  }
  const removed = Object.keys(outer).filter((name) => !res.hasHeader(name) && !isLeftOut(name))
  return { headers, removed }
}

function isOfTheResponse(name: string): boolean {
  // A policy may contain a nonce, which is valid for its own request only.
  if (name.startsWith('content-security-policy')) return false
  return name.startsWith('content-') || OF_THE_RESPONSE.has(name)
}

function isSame(a: HeaderValue | undefined, b: HeaderValue): boolean {
  if (a === undefined) return false
  return a === b || JSON.stringify(a) === JSON.stringify(b)
}

/** In the case in which they were written; Node's types have this method for requests only. */
function rawHeaderNames(res: ServerResponse): readonly string[] {
  const { getRawHeaderNames } = res as { getRawHeaderNames?: () => string[] }
  return getRawHeaderNames?.call(res) ?? res.getHeaderNames()
}

/**
 * Calls back when the headers are about to be sent, once those passed to `res.writeHead` are set. Layers further
 * in are called first.
 *
 * @remarks It takes lists of headers whole, as Node does, though headers were set before: of a list of pairs
 *   `on-headers` would keep only the last one of each name, and of a flat list Node would.
 */
export function onHead(res: ServerResponse, listener: () => void): void {
  onHeaders(res, listener)
  const writeHead = res.writeHead.bind(res) as (...args: unknown[]) => ServerResponse
  res.writeHead = (...args: unknown[]) => {
    const last: unknown = args.at(-1)
    const isPairs = Array.isArray(last) && last.length > 0 && last.every(Array.isArray)
    return isPairs ? writeHead(...args.slice(0, -1), last.flat(1)) : writeHead(...args)
  }
}
