/** How a request was handled. @see RFC 9211 §2 */
export type Handling =
  | {
      readonly hit: true
      /** Negative if it is stale; `undefined`: no limit. */
      readonly ttlSeconds: number | undefined
      /** Why it was used although it is stale; a token. */
      readonly detail?: string | undefined
    }
  | {
      readonly hit: false
      /** Why it went to the handler. */
      readonly forward: Forward
      /** The status of the handler, where the client gets another response. */
      readonly forwardStatus?: number | undefined
      /** The handler rendered the page for another request. */
      readonly collapsed?: boolean
      /** The response is stored, as far as its headers tell. */
      readonly stored: boolean
      /** Why not, or why nothing was there: a token, or a text for people. */
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
  return detail === undefined ? member : `${member}; detail=${itemOf(detail)}`
}

/** @see RFC 9651 §3.3.3 and §3.3.4 */
function itemOf(text: string): string {
  if (/^[A-Za-z*][\w!#$%&'*+\-.^`|~:/]*$/.test(text)) return text
  const printable = text.replaceAll(/[^\x20-\x7E]/g, '?')
  return `"${printable.replaceAll(/["\\]/g, '\\$&')}"`
}
