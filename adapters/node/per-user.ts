import type { ServerResponse } from 'node:http'
import { currentMs } from '../../src/current-time.js'
import { hasDirective, parseCacheControl } from '../../src/http/cache-control.js'
import { formatHttpDate } from '../../src/http/http-date.js'
import type { Settings } from './settings.js'

/** The `Cache-Control` of a per-user response. */
const PER_USER = 'private, no-cache'

/** Headers that describe one body: with other holes filled they would differ. */
const OF_FILLED_BODY: ReadonlySet<string> = new Set([
  'accept-ranges',
  'content-digest',
  'content-length',
  'content-md5',
  'digest',
  'etag',
  'last-modified',
  'repr-digest',
])

/** Whether a header tells for how long a response is fresh. */
function tellsFreshness(name: string): boolean {
  return name === 'age' || name === 'date' || name === 'expires' || isTargeted(name)
}

/**
 * Whether a header tells caches of one kind, such as those of a CDN, how long to keep a response: there
 * it wins over `Cache-Control`.
 *
 * @see RFC 9213 §2.1, §3.1
 */
function isTargeted(name: string): boolean {
  return TARGETED.test(name)
}

const TARGETED = /-cache-control$|^(?:surrogate|edge)-control$|^x-accel-expires$/

/** Whether a header describes the page with its holes filled, and not the page as it is stored. */
export function describesFilledPage(name: string): boolean {
  return name === 'cache-control' || OF_FILLED_BODY.has(name) || tellsFreshness(name)
}

/**
 * Makes the headers of a response say that it is per-user.
 *
 * @param isFilled - Something in it was, or may have been, filled in for this visitor. Where it is the handler's own,
 *   the headers that describe its body stay.
 */
export function markPerUser(res: ServerResponse, isFilled = true): void {
  for (const name of res.getHeaderNames()) {
    if (name === 'content-length' || name === 'date') continue
    if (tellsFreshness(name) || (isFilled && OF_FILLED_BODY.has(name))) res.removeHeader(name)
  }
  // It is set rather than removed, since Node would then not add one.
  if (res.hasHeader('Date')) res.setHeader('Date', formatHttpDate(currentMs()))
  const control = parseCacheControl(res.getHeader('Cache-Control'))
  if (!hasDirective(control, 'no-store')) res.setHeader('Cache-Control', PER_USER)
}

/** Whether the headers say so. */
export function isMarkedPerUser(res: ServerResponse): boolean {
  return res.getHeader('Cache-Control') === PER_USER
}

/** Keeps shared caches from storing a page together with the cookie that a layer around the cache adds to it. */
export function keepCookieToItsOwner(res: ServerResponse, { rfc9111 }: Settings): void {
  if (rfc9111 || !res.hasHeader('Set-Cookie')) return
  const control = parseCacheControl(res.getHeader('Cache-Control'))
  const { directives } = control
  // It is marked as per-user already.
  if (hasDirective(control, 'private') && hasDirective(control, 'no-cache')) return
  const maxAge = directives.find(({ name }) => name === 'max-age')?.value
  res.setHeader('Cache-Control', maxAge === undefined ? 'private' : `private, max-age=${maxAge}`)
  for (const name of res.getHeaderNames()) {
    if (name === 'expires' || isTargeted(name)) res.removeHeader(name)
  }
}
