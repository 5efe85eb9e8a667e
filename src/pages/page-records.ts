import { isToken } from '../http/header-values.js'
import type { Deadline } from '../timeout.js'

/**
 * The generation of a URI's responses, all variants, languages and time zones together.
 *
 * A stored response is live while the URI has the generation it was stored in. Generations are
 * never used twice, so that nothing invalidated, evicted or expired comes back to life. The record
 * is added, touched or, by an invalidation, replaced, but never written over by a response: that
 * could undo an invalidation of another process.
 */
export interface GenerationRecord {
  readonly generation: string
  /** An invalidation began it, not a response. */
  readonly invalidated: boolean
  /** It may have been touched since. */
  readonly expiresAtMs: Deadline
}

/** A list kept for a URI's responses in one language and time zone. */
export interface ListRecord {
  /** The list counts in this generation only. */
  readonly generation: string
  readonly expiresAtMs: Deadline
  /**
   * The headers that the responses vary on: in lower case, in Django's order. Or the hashes of the
   * variants that are kept, the oldest first, so that their number can be bounded.
   */
  readonly list: readonly string[]
}

const FORMAT = 1

export function encodeGeneration(record: GenerationRecord): string {
  return JSON.stringify([FORMAT, record.generation, record.invalidated, record.expiresAtMs])
}

export function encodeList({ generation, expiresAtMs, list }: ListRecord): string {
  return JSON.stringify([FORMAT, generation, expiresAtMs, list])
}

/**
 * Reads what was kept.
 *
 * @param value - Whatever the cache gave.
 * @returns `undefined` if it is damaged, of another version or no such record at all: a miss.
 */
export function decodeGeneration(value: unknown): GenerationRecord | undefined {
  const [generation, invalidated, expiresAtMs] = parse(value)
  if (typeof generation !== 'string' || typeof invalidated !== 'boolean') return undefined
  return isDeadline(expiresAtMs) ? { generation, invalidated, expiresAtMs } : undefined
}

/** As {@link decodeGeneration}, of a list of headers. */
export function decodeHeaderList(value: unknown): ListRecord | undefined {
  return decodeList(value, isToken)
}

/** As {@link decodeGeneration}, of a list of variants. */
export function decodeVariants(value: unknown): ListRecord | undefined {
  return decodeList(value, (text) => /^[0-9a-f]{32}$/.test(text))
}

function decodeList(value: unknown, isMember: (text: string) => boolean): ListRecord | undefined {
  const [generation, expiresAtMs, list] = parse(value)
  if (typeof generation !== 'string' || !isDeadline(expiresAtMs)) return undefined
  const isList =
    Array.isArray(list) && list.every((one) => typeof one === 'string' && isMember(one))
  return isList ? { generation, expiresAtMs, list } : undefined
}

const NOTHING: readonly unknown[] = Object.freeze([])

function parse(value: unknown): readonly unknown[] {
  if (typeof value !== 'string') return NOTHING
  try {
    const parts: unknown = JSON.parse(value)
    const isRecord = Array.isArray(parts) && parts.length === 4 && parts[0] === FORMAT
    return isRecord ? parts.slice(1) : NOTHING
  } catch {
    return NOTHING
  }
}

function isDeadline(value: unknown): value is Deadline {
  return value === null || typeof value === 'number'
}
