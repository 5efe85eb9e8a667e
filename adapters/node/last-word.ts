import type { ServerResponse } from 'node:http'
import { hasDirective, parseCacheControl } from '../../src/http/cache-control.js'
import { isTargeted } from './one-visitor.js'
import { beforeBytes } from './protocol.js'

/** Whether somebody around the cache may still change the headers when the cache is done. */
export function hasLayersAround(res: ServerResponse): boolean {
  return Object.hasOwn(res, 'writeHead')
}

/**
 * Calls back when every layer around the cache has had its say, just before the headers become
 * bytes: a session around the cache sets its cookie after the cache was asked.
 *
 * @remarks `on-headers` asks the layers from the inside out, and Node has no public hook behind
 *   that. Where its internal one is missing, nobody is called; nothing is stored that should not be
 *   all the same, since the headers are looked at once more when the response has ended.
 * @returns Whether the listener will be called.
 */
export function onLastWord(res: ServerResponse, listener: () => void): boolean {
  return beforeBytes(res, listener)
}

/** The page is everybody's, a cookie that a layer around us sends with it is not. */
export function keepCookieToItsOwner(res: ServerResponse): void {
  if (!res.hasHeader('Set-Cookie')) return
  const control = parseCacheControl(res.getHeader('Cache-Control'))
  const { directives } = control
  // Of a page with holes it says already that it is one visitor's.
  if (hasDirective(control, 'private') && hasDirective(control, 'no-cache')) return
  const maxAge = directives.find(({ name }) => name === 'max-age')?.value
  res.setHeader('Cache-Control', maxAge === undefined ? 'private' : `private, max-age=${maxAge}`)
  for (const name of res.getHeaderNames()) {
    if (name === 'expires' || isTargeted(name)) res.removeHeader(name)
  }
}
