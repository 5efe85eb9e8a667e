import { isToken } from '../http/header-values.js'

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
  /** Milliseconds since the epoch; `null`: never. It may have been touched since. */
  readonly expiresAtMs: number | null
}

/** The headers that a URI's responses in one language and time zone vary on. */
export interface HeaderListRecord {
  /** It counts in this generation only. */
  readonly generation: string
  /** Milliseconds since the epoch; `null`: never. */
  readonly expiresAtMs: number | null
  /** In lower case, in Django's order. */
  readonly headerList: readonly string[]
}

/** The variants of a URI's responses in one language and time zone, so that they can be bounded. */
export interface VariantsRecord {
  /** It counts in this generation only. */
  readonly generation: string
  /** Milliseconds since the epoch; `null`: never. */
  readonly expiresAtMs: number | null
  /** Their hashes, the oldest first. */
  readonly variants: readonly string[]
}

const FORMAT = 1

export function encodeGeneration(record: GenerationRecord): string {
  return JSON.stringify([FORMAT, record.generation, record.invalidated, record.expiresAtMs])
}

export function encodeHeaderList(record: HeaderListRecord): string {
  return JSON.stringify([FORMAT, record.generation, record.expiresAtMs, record.headerList])
}

export function encodeVariants(record: VariantsRecord): string {
  return JSON.stringify([FORMAT, record.generation, record.expiresAtMs, record.variants])
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

/** As {@link decodeGeneration}. */
export function decodeHeaderList(value: unknown): HeaderListRecord | undefined {
  const [generation, expiresAtMs, headerList] = parse(value)
  if (typeof generation !== 'string' || !isDeadline(expiresAtMs)) return undefined
  if (!Array.isArray(headerList) || !headerList.every(isHeaderName)) return undefined
  return { generation, expiresAtMs, headerList }
}

/** As {@link decodeGeneration}. */
export function decodeVariants(value: unknown): VariantsRecord | undefined {
  const [generation, expiresAtMs, variants] = parse(value)
  if (typeof generation !== 'string' || !isDeadline(expiresAtMs)) return undefined
  if (!Array.isArray(variants) || !variants.every(isHash)) return undefined
  return { generation, expiresAtMs, variants }
}

const NOTHING: readonly unknown[] = Object.freeze([])

function parse(value: unknown): readonly unknown[] {
  if (typeof value !== 'string') return NOTHING
  try {
    const parts: unknown = JSON.parse(value)
    return Array.isArray(parts) && parts.length === 4 && parts[0] === FORMAT
      ? parts.slice(1)
      : NOTHING
  } catch {
    return NOTHING
  }
}

function isDeadline(value: unknown): value is number | null {
  return value === null || typeof value === 'number'
}

function isHash(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value)
}

function isHeaderName(value: unknown): value is string {
  return typeof value === 'string' && isToken(value)
}
