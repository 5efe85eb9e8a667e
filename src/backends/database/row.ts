import type { WriteEntry } from '../../backend/store.js'
import { readInteger } from '../../serializer.js'
import type { Deadline } from '../../timeout.js'
import { toColumn } from './column-key.js'
import type { Parameter } from './driver.js'

/** Represents "never": beyond any deadline, and exact in every driver's numbers. */
const NEVER = Number.MAX_SAFE_INTEGER

/** A deadline as it is stored. */
export function toExpires(deadline: Deadline): number {
  return deadline ?? NEVER
}

/** A deadline as it was stored; drivers give text, numbers or bigints. */
export function fromExpires(expires: unknown): Deadline {
  const deadline = Number(expires)
  return deadline >= NEVER ? null : deadline
}

/** A payload as it is stored: whole numbers where the server can count with them. */
export interface RowContent {
  readonly value: Buffer | null
  readonly number: number | null
}

export function toContent(payload: Uint8Array): RowContent {
  const number = readInteger(payload)
  return number === undefined ? { value: asBuffer(payload), number: null } : { value: null, number }
}

/** A row to write. */
export interface WriteRow extends RowContent {
  readonly key: string
  readonly expires: number
  readonly ifAbsent: boolean
  readonly replacing: RowContent | undefined
}

export function toRow({ key, payload, expiresAtMs, ifAbsent, replacing }: WriteEntry): WriteRow {
  return {
    key: toColumn(key),
    ...toContent(payload),
    expires: toExpires(expiresAtMs),
    ifAbsent: ifAbsent === true,
    replacing: replacing === undefined ? undefined : toContent(replacing),
  }
}

/** The parameters of a row, in the order of the columns. */
export function toParameters(
  { key, value, number, expires }: WriteRow,
  owner: string,
): Parameter[] {
  return [key, value, number, expires, owner]
}

/** Bytes as drivers give them. */
export function fromValue(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value
  if (value === undefined || value === null) return undefined
  if (value instanceof ArrayBuffer) return new Uint8Array(value)
  throw new Error(
    `the column "value" came back as ${typeof value}, not as bytes; make the query function give binary columns as Buffer`,
  )
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** All batches lock in this order, so that none waits for another in a circle. */
export function byKey(a: WriteRow, b: WriteRow): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}

/** Whether it is written only under a condition. */
export function hasCondition({ ifAbsent, replacing }: WriteRow): boolean {
  return ifAbsent || replacing !== undefined
}
