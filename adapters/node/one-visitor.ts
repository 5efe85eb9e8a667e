import type { ServerResponse } from 'node:http'
import { hasDirective, parseCacheControl } from '../../src/http/cache-control.js'
import { formatHttpDate } from '../../src/http/http-date.js'

/** What a response says that is filled for one visitor. */
const FOR_ONE_VISITOR = 'private, no-cache'

/** They tell of a body, or for how long it is good: each filling is another one. */
const OF_ONE_FILLING: ReadonlySet<string> = new Set([
  'accept-ranges',
  'age',
  'content-digest',
  'content-length',
  'content-md5',
  'date',
  'digest',
  'etag',
  'expires',
  'last-modified',
  'repr-digest',
])

/**
 * Whether a header tells caches of one kind, such as those of a CDN, how long to keep a response: there
 * it wins over `Cache-Control`.
 *
 * @see RFC 9213 §2.1, §3.1
 */
export function isTargeted(name: string): boolean {
  return TARGETED.test(name)
}

const TARGETED = /-cache-control$|^(?:surrogate|edge)-control$|^x-accel-expires$/

/** Whether a header is of one filling of a page, and not of the page. */
export function isOfOneFilling(name: string): boolean {
  return name === 'cache-control' || OF_ONE_FILLING.has(name) || isTargeted(name)
}

/** Makes a response say that it is one visitor's. */
export function sayForOneVisitor(res: ServerResponse): void {
  for (const name of res.getHeaderNames()) {
    if (name === 'cache-control' || name === 'content-length' || name === 'date') continue
    if (isOfOneFilling(name)) res.removeHeader(name)
  }
  // Where it was taken away, Node would add none.
  if (res.hasHeader('Date')) res.setHeader('Date', formatHttpDate(Date.now()))
  const control = parseCacheControl(res.getHeader('Cache-Control'))
  if (!hasDirective(control, 'no-store')) res.setHeader('Cache-Control', FOR_ONE_VISITOR)
}

/** Whether it says so. */
export function saysForOneVisitor(res: ServerResponse): boolean {
  return res.getHeader('Cache-Control') === FOR_ONE_VISITOR
}
