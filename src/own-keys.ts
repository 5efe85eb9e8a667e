/** What all keys have in them that this package writes for itself. */
const OWN = 'fragcache.'

/**
 * Whether an entry that never expires is the version of a tag or the like: what depends on it is lost
 * with it.
 *
 * @param storedKey - A key function may have put anything around the key, or have hidden it: such an
 *   entry counts as any other.
 */
export function isOwnKey(storedKey: string): boolean {
  return storedKey.includes(OWN)
}
