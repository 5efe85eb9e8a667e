import type { ServerResponse } from 'node:http'
import { beforeBytes } from './protocol.js'

/** Whether a layer around the cache may still change the headers after the cache did. */
export function hasLayersAround(res: ServerResponse): boolean {
  return Object.hasOwn(res, 'writeHead')
}

/**
 * Calls back after every layer around the cache has changed the headers, just before they become bytes: a
 * session middleware around the cache sets its cookie that late.
 *
 * @remarks `on-headers` calls the layers from the inside out, and Node has no public hook after that. Without
 *   its internal hook the listener is not called. What must not be stored is still not stored, since the
 *   headers are checked again when the response has ended.
 * @returns Whether the listener will be called.
 */
export function onLastWord(res: ServerResponse, listener: () => void): boolean {
  return beforeBytes(res, listener)
}
