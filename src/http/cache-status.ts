/** How a request was handled. @see RFC 9211 §2 */
export type Handling =
  | {
      readonly hit: true
      /** Negative past its time; `undefined`: without end. */
      readonly ttlSeconds: number | undefined
      /** Why it was used past its time; a token. */
      readonly detail?: string | undefined
    }
  | {
      readonly hit: false
      /** Why it went to the handler. */
      readonly forward: Forward
      /** What the handler answered, where the client gets something else. */
      readonly forwardStatus?: number | undefined
      /** Another request's handler made the answer. */
      readonly collapsed?: boolean
      /** The answer is kept, as far as its headers tell. */
      readonly stored: boolean
      /** Why not; a token. */
      readonly detail?: string | undefined
    }

/** @see RFC 9211 §2.2 */
export type Forward =
  'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'stale' | 'request' | 'partial'

/** One member of a `Cache-Status` header. */
export function formatCacheStatus(handling: Handling): string {
  const { detail } = handling
  let member = 'fragcache'
  if (handling.hit) {
    member += '; hit'
    if (handling.ttlSeconds !== undefined) member += `; ttl=${handling.ttlSeconds}`
  } else {
    const { forward, forwardStatus, collapsed = false, stored } = handling
    member += `; fwd=${forward}`
    if (forwardStatus !== undefined) member += `; fwd-status=${forwardStatus}`
    if (stored) member += '; stored'
    if (collapsed) member += '; collapsed'
    if (detail === forward) return member
  }
  return detail === undefined ? member : `${member}; detail=${detail}`
}
