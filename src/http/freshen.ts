import type { StoredHeader } from './stored-response.js'
import { joinVary } from './vary.js'

/** Headers that describe the stored body, of which a 304 says nothing. */
const OF_THE_BODY: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'content-md5',
  'content-range',
  'digest',
  'content-digest',
  'repr-digest',
  'etag',
  'transfer-encoding',
])

/**
 * The headers of a stored response after a 304 has confirmed it: those of the 304 replace stored ones of the same
 * name.
 *
 * @param stored - In their order.
 * @param update - Those of the 304, without headers that are never stored.
 * @see RFC 9111 §3.2, §4.3.4
 */
export function freshenHeaders(
  stored: readonly StoredHeader[],
  update: readonly StoredHeader[],
): readonly StoredHeader[] {
  const fresh = new Map<string, StoredHeader>()
  for (const header of update) {
    const name = header[0].toLowerCase()
    if (!OF_THE_BODY.has(name)) fresh.set(name, header)
  }
  const merged = stored.map((header): StoredHeader => {
    const name = header[0].toLowerCase()
    const newer = fresh.get(name)
    fresh.delete(name)
    if (newer === undefined) return header
    // The body still depends on the names that it depended on.
    return name === 'vary' ? [header[0], joinVary(header[1], newer[1])] : newer
  })
  return [...merged, ...fresh.values()]
}
