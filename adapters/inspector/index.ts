import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Caches } from '../../src/caches.js'
import { pageHtml } from './page/html.js'

export type * from './api.js'

/** The inspector: a page that shows what the caches do. */
export function inspector(
  _caches: Caches,
): (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void {
  const token = randomBytes(24).toString('base64url')
  return function inspector(_req, res) {
    const nonce = randomBytes(18).toString('base64url')
    res.setHeader('Content-Type', 'text/html; charset=utf-8')
    res.setHeader('Cache-Control', 'private, no-store')
    res.setHeader(
      'Content-Security-Policy',
      `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    )
    res.end(pageHtml({ nonce, token, version: '' }))
  }
}
