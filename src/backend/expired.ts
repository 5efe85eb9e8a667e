import { isClaim } from '../stamp.js'
import type { CacheCore } from './core.js'

/**
 * When the entry under a key expired, in milliseconds since the epoch.
 *
 * @returns `undefined`: there is none that has expired, or the store does not keep it.
 */
export async function expiredAt(
  { store }: Pick<CacheCore, 'store'>,
  storedKey: string,
): Promise<number | undefined> {
  const found = await store.readExpired?.(storedKey)
  if (found === undefined) return undefined
  try {
    const { tags, stamp } = store.unpackPayload(found.payload)
    // What nobody came back to make was never an entry.
    if (isClaim(tags)) return undefined
    return Math.min(found.expiresAtMs, stamp?.freshUntilMs ?? Infinity)
  } catch {
    return undefined
  }
}
