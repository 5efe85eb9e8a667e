import { isToken } from './header-values.js'

/**
 * What is known of a URI, or of one language or time zone of it.
 *
 * A stored response is live while its generation is that of the record. A generation is random and
 * never used twice, so that nothing invalidated, evicted or expired comes back to life.
 */
export interface UriRecord {
  readonly generation: string
  /** An invalidation began this generation, not a response. */
  readonly invalidated: boolean
  /** Milliseconds since the epoch; `null`: never. Not before that of any response it is for. */
  readonly expiresAtMs: number | null
  /** The headers its responses vary on, in lower case, in Django's order. */
  readonly headerList: readonly string[]
}

const FORMAT = 1

/** Turns a record into the text that is kept. */
export function encodeUriRecord(record: UriRecord): string {
  const { generation, invalidated, expiresAtMs, headerList } = record
  return JSON.stringify([FORMAT, generation, invalidated, expiresAtMs, headerList])
}

/**
 * Reads what was kept.
 *
 * @param value - Whatever the cache gave.
 * @returns `undefined` if it is damaged, of another version or no record at all: a miss.
 */
export function decodeUriRecord(value: unknown): UriRecord | undefined {
  if (typeof value !== 'string') return undefined
  let parts: unknown
  try {
    parts = JSON.parse(value)
  } catch {
    return undefined
  }
  if (!Array.isArray(parts) || parts.length !== 5 || parts[0] !== FORMAT) return undefined
  const [, generation, invalidated, expiresAtMs, headerList] = parts as unknown[]
  if (typeof generation !== 'string' || typeof invalidated !== 'boolean') return undefined
  if (expiresAtMs !== null && typeof expiresAtMs !== 'number') return undefined
  if (!Array.isArray(headerList) || !headerList.every(isHeaderName)) return undefined
  return { generation, invalidated, expiresAtMs, headerList }
}

function isHeaderName(value: unknown): value is string {
  return typeof value === 'string' && isToken(value)
}
