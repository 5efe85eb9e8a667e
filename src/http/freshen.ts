import type { StoredHeader } from './stored-response.js'
import { joinVary } from './vary.js'

/** They describe the body that is stored, which a 304 does not bring again. */
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
 * The headers of a stored response once a 304 said that it is still right: those of the 304 take the
 * place of their namesakes.
 *
 * @param stored - In their order.
 * @param update - Of the 304, without what is never stored.
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
    // What the body depends on, it still does.
    return name === 'vary' ? [header[0], joinVary(header[1], newer[1])] : newer
  })
  return [...merged, ...fresh.values()]
}
