import type { Response } from 'express'

/**
 * Calls back when every layer around the cache has had its say, just before the headers become
 * bytes: a session around the cache sets its cookie after the cache was asked.
 *
 * @remarks `on-headers` asks the layers from the inside out, and Node has no public hook behind
 *   that. Where its internal one is missing, nobody is called; nothing is stored that should not be
 *   all the same, since the headers are looked at once more when the response has ended.
 */
export function onLastWord(res: Response, listener: () => void): void {
  // Nobody around us takes part.
  if (!Object.hasOwn(res, 'writeHead')) return
  const hooked = res as unknown as { _storeHeader?: (...args: unknown[]) => unknown }
  const store = hooked._storeHeader
  if (typeof store !== 'function') return
  hooked._storeHeader = function storeHeader(...args) {
    listener()
    return store.apply(this, args)
  }
}
