import { findKeyFaults, isPortable, MAX_KEY_BYTES, refuseKey } from '../../keys.js'

/**
 * A stored key as it is sent: one character per byte of UTF-8.
 *
 * @throws InvalidCacheKeyError: it could be taken for more than a key.
 */
export function wireKey(storedKey: string): string {
  if (isPortable(storedKey, MAX_KEY_BYTES)) return storedKey
  const faults = findKeyFaults(storedKey)
  if (faults.length > 0) refuseKey(storedKey, faults)
  return Buffer.from(storedKey).toString('latin1')
}
