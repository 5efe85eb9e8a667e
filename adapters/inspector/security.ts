import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { TOKEN_HEADER } from './api.js'

/** A value that no page of another request has, for the Content-Security-Policy. */
export function newNonce(): string {
  return randomBytes(18).toString('base64url')
}

/**
 * Sets the headers that every answer of the inspector has: nobody stores it, frames it, guesses its kind or
 * learns where it was.
 *
 * @param nonce - For the `style` and `script` elements; omitted if there are none.
 */
export function setSafeHeaders(res: ServerResponse, nonce?: string): void {
  const own = nonce === undefined ? `'none'` : `'nonce-${nonce}'`
  res.setHeader('Cache-Control', 'private, no-store')
  res.setHeader('X-Content-Type-Options', 'nosniff')
  res.setHeader('Referrer-Policy', 'no-referrer')
  res.setHeader('X-Frame-Options', 'DENY')
  res.setHeader('Cross-Origin-Opener-Policy', 'same-origin')
  res.setHeader('Cross-Origin-Resource-Policy', 'same-origin')
  res.setHeader('X-Robots-Tag', 'noindex')
  res.setHeader(
    'Content-Security-Policy',
    `default-src 'none'; script-src ${own}; style-src ${own}; img-src data:; connect-src ${
      nonce === undefined ? `'none'` : `'self'`
    }; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'`,
  )
}

/** The token that a page sends with each action, so that no other site can. */
export class PageToken {
  readonly text: string
  readonly #digest: Buffer

  /** @param secret - Processes with the same secret have the same token. Left out: nobody else has it. */
  constructor(secret: string | undefined) {
    this.text =
      secret === undefined
        ? randomBytes(32).toString('base64url')
        : createHash('sha256').update(`fragcache.inspector\n${secret}`).digest('base64url')
    this.#digest = digestOf(this.text)
  }

  /** Whether a request carries it, in a time that tells nothing of it. */
  isIn({ headers }: IncomingMessage): boolean {
    const given = headers[TOKEN_HEADER]
    return typeof given === 'string' && timingSafeEqual(digestOf(given), this.#digest)
  }
}

/** Of one length, whatever was sent. */
function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** What the inspector knows of Express in a request; all of it is missing without Express. */
export interface ExpressRequest extends IncomingMessage {
  readonly originalUrl?: string
  readonly baseUrl?: string
  readonly ip?: string
  readonly body?: unknown
  readonly app?: { get(name: string): unknown }
}

/**
 * Whether a page of this very site sent the request.
 *
 * @remarks `Sec-Fetch-Site` is what browsers say where they can; `Origin` they send with every POST. A
 *   request with neither is none of a page.
 */
export function isSameOrigin(req: ExpressRequest): boolean {
  const { headers } = req
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site === 'same-origin'
  const { origin } = headers
  if (origin === undefined || !/^https?:\/\//i.test(origin)) return false
  const host = origin.replace(/^https?:\/\//i, '').toLowerCase()
  return host === hostOf(req)?.toLowerCase()
}

/**
 * Whether a browser says that a page of another site sent the request.
 *
 * @remarks Such a page cannot read the answer, but it could open live feeds until none is left for others.
 */
export function isCrossSite({ headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site']
  return site === 'cross-site' || site === 'same-site'
}

/** With the port, as Express derives it under its `trust proxy`. */
function hostOf(req: ExpressRequest): string | undefined {
  const forwarded = req.headers['x-forwarded-host']
  if (forwarded === undefined || forwarded === '' || !trustsProxy(req)) return req.headers.host
  const [first] = (typeof forwarded === 'string' ? forwarded : (forwarded[0] ?? '')).split(',')
  return first?.trim()
}

function trustsProxy({ app, socket }: ExpressRequest): boolean {
  const trust = app?.get('trust proxy fn') as
    ((address: string | undefined, hop: number) => boolean) | undefined
  return trust?.(socket.remoteAddress, 0) === true
}

const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via']

/**
 * Whether a request comes from this machine and knows it: neither over a proxy, nor for a name that
 * somebody else has let point here.
 */
export function isLocal({ socket, headers, httpVersion }: IncomingMessage): boolean {
  const address = (socket.remoteAddress ?? '').replace(/^::ffff:/i, '')
  if (address !== '::1' && !/^127\.\d+\.\d+\.\d+$/.test(address)) return false
  if (FORWARDED.some((name) => headers[name] !== undefined)) return false
  // What nginx speaks to whom it hands on to, with a host of this machine and none of those headers, as
  // long as nobody tells it otherwise; browsers have not spoken it for long.
  if (httpVersion === '1.0') return false
  const host = (headers.host ?? '').toLowerCase().replace(/:\d+$/, '')
  return (
    host === 'localhost' ||
    host.endsWith('.localhost') ||
    host === '[::1]' ||
    /^127\.\d+\.\d+\.\d+$/.test(host)
  )
}
