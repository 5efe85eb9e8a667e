/** How a request was handled. @see RFC 9211 §2 */
export type Handling =
  | { readonly hit: true; readonly ttlSeconds: number | undefined }
  | {
      readonly hit: false
      /** Why it went to the view. */
      readonly forward: 'bypass' | 'method' | 'uri-miss' | 'vary-miss'
      /** The answer is kept, as far as its headers tell. */
      readonly stored: boolean
      /** Why not; a token. */
      readonly detail?: string | undefined
    }

/** One member of a `Cache-Status` header. */
export function formatCacheStatus(handling: Handling): string {
  if (handling.hit) {
    const { ttlSeconds } = handling
    return ttlSeconds === undefined ? 'fragcache; hit' : `fragcache; hit; ttl=${ttlSeconds}`
  }
  const { forward, stored, detail } = handling
  let member = `fragcache; fwd=${forward}`
  if (stored) member += '; stored'
  if (detail !== undefined && detail !== forward) member += `; detail=${detail}`
  return member
}
