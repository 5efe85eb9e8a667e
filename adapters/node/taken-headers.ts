import type { ServerResponse } from 'node:http'
import type { HeaderValue } from '../../src/http/header-values.js'
import { neverReplayed, type StoredHeader } from '../../src/http/stored-response.js'

/** What the layers around the cache had set before it came by. */
export type OuterHeaders = ReturnType<ServerResponse['getHeaders']>

/** Headers that describe what is stored: they are kept though a layer around us set them first. */
const OF_THE_RESPONSE = new Set([
  'etag',
  'last-modified',
  'cache-control',
  'expires',
  'vary',
  'date',
])

/**
 * The headers of a response that belong to it, in their order.
 *
 * @param outer - What was set before the view: the layers around the cache set it again, for each
 *   request again, on a hit too.
 * @returns Also the names of those the view took away.
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
  // A policy may hold a nonce, and that of another request is none.
  if (name.startsWith('content-security-policy')) return false
  return name.startsWith('content-') || OF_THE_RESPONSE.has(name)
}

function isSame(a: HeaderValue | undefined, b: HeaderValue): boolean {
  if (a === undefined) return false
  return a === b || JSON.stringify(a) === JSON.stringify(b)
}

/** As written; the types of Node know it for requests only. */
function rawHeaderNames(res: ServerResponse): readonly string[] {
  const { getRawHeaderNames } = res as { getRawHeaderNames?: () => string[] }
  return getRawHeaderNames?.call(res) ?? res.getHeaderNames()
}

/**
 * Lets `res.writeHead` take pairs, as Node does: `on-headers` keeps only the last of those with one
 * name, and lists it takes whole.
 */
export function takePairs(res: ServerResponse): void {
  const writeHead = res.writeHead.bind(res) as (...args: unknown[]) => ServerResponse
  res.writeHead = (...args: unknown[]) => {
    const last: unknown = args.at(-1)
    const isPairs = Array.isArray(last) && last.length > 0 && last.every(Array.isArray)
    return isPairs ? writeHead(...args.slice(0, -1), last.flat(1)) : writeHead(...args)
  }
}
