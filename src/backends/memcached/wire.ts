import { findKeyFaults, refuseKey } from '../../keys.js'

/**
 * A stored key as it is sent: one character per byte of UTF-8.
 *
 * @throws InvalidCacheKeyError: it could be taken for more than a key.
 */
export function wireKey(storedKey: string): string {
  const faults = findKeyFaults(storedKey)
  if (faults.length > 0) refuseKey(storedKey, faults)
  const bytes = Buffer.byteLength(storedKey)
  return bytes === storedKey.length ? storedKey : Buffer.from(storedKey).toString('latin1')
}
