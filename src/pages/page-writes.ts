import type { StoreRequest } from '../backend/entries.js'
import { currentMs } from '../current-time.js'
import type { Subject } from '../observe/remembered.js'
import type { TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import type { PageLookup } from './page.js'
import {
  decodeVariants,
  encodeList,
  type GenerationRecord,
  type ListRecord,
} from './page-records.js'

/** One record, or a page. */
export interface Write {
  readonly key: string
  readonly value: unknown
  readonly expiresAtMs: Deadline
  readonly ifAbsent?: boolean
  readonly replacing?: unknown
}

/** What has to be stored under a key for something to be written there. */
export type Condition = Pick<Write, 'ifAbsent' | 'replacing'>

/** A variant that is to be stored. */
export interface PageVariant {
  readonly hash: string
  readonly generation: string
  readonly keptUntilMs: Deadline
}

/**
 * Counts a variant in.
 *
 * @param value - The record of a URI's variants, as it is stored.
 * @returns The record to write, if it changes, and the oldest variants, which are to be dropped.
 */
export function countVariant(
  { hash, generation, keptUntilMs }: PageVariant,
  value: unknown,
  key: string,
  maxVariants: number,
): { readonly write?: Write; readonly surplus: readonly string[] } {
  const record = decodeVariants(value)
  const before = record?.generation === generation ? record : undefined
  const expiresAtMs = latest(keptUntilMs, before)
  const isKnown = before?.list.includes(hash) === true
  if (isKnown && expiresAtMs === before.expiresAtMs) return { surplus: [] }
  const variants = isKnown ? before.list : [...(before?.list ?? []), hash]
  const surplus = variants.slice(0, Math.max(0, variants.length - maxVariants))
  const kept = variants.slice(surplus.length)
  const next = encodeList({ generation, expiresAtMs, list: kept })
  return { write: { key, value: next, expiresAtMs }, surplus }
}

/**
 * What a cache is asked to store.
 *
 * @param writes - The page is the last of them.
 * @param tags - Of the page.
 * @param subject - What the page is remembered as.
 */
export function toRequests(
  writes: readonly Write[],
  toStored: (key: string) => string,
  tags: TagVersions,
  subject: Subject,
): StoreRequest[] {
  return writes.map(({ key, value, expiresAtMs, ifAbsent, replacing }, i) => ({
    storedKey: toStored(key),
    value,
    expiresAtMs,
    ...(ifAbsent === true && { ifAbsent: true }),
    ...(replacing !== undefined && { replacing }),
    ...(i === writes.length - 1 && { tags, subject }),
  }))
}

export function inPlaceOf(payload: unknown): Condition {
  return payload === undefined ? { ifAbsent: true } : { replacing: payload }
}

/** The later of a page's deadline and a record's. */
export function latest(
  keptUntilMs: Deadline,
  before: Pick<ListRecord, 'expiresAtMs'> | undefined,
): Deadline {
  if (before === undefined || isLater(keptUntilMs, before.expiresAtMs)) return keptUntilMs
  return before.expiresAtMs
}

/** Whether the URI was not invalidated since the handler began. */
export function isStillSeen(
  current: GenerationRecord | undefined,
  seen: PageLookup,
  isShared: boolean,
): boolean {
  if (isShared) return current !== undefined && current.generation === seen.generation
  // A generation that has vanished was invalidated by other means, such as `clear`.
  if (current === undefined) return seen.generation === undefined
  if (current.generation === seen.generation) return true
  return seen.generation === undefined && !current.invalidated
}

/** Deadlines; `null` is never. */
export function isLater(a: Deadline, b: Deadline): boolean {
  return b !== null && (a === null || a > b)
}

export function secondsUntil(deadline: Deadline): number | null {
  return deadline === null ? null : (deadline - currentMs()) / 1000
}
