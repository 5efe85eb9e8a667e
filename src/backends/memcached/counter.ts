import { readInteger } from '../../serializer.js'
import type { Payload } from './request.js'

/*
 * The server counts with 64 bits and without a sign, and goes on at zero beyond them. Counting modulo
 * 2^64 is the same with and without a sign: a number below zero is kept as its complement, and `incr`
 * alone counts through zero in both directions.
 */

/** A payload that is a whole number as the server counts it; `undefined`: it is none. */
export function toCounter(payload: Payload): Payload | undefined {
  if (payload.length > LONGEST) return undefined
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
  const value = readInteger(bytes)
  if (value === undefined) return undefined
  return value >= 0 ? payload : String(toUnsigned(value))
}

const LONGEST = '-9007199254740991'.length

/** The payload of what the server counted with; as it is, if it is none of ours. */
export function fromCounter(bytes: Buffer): Buffer {
  const last = bytes[bytes.length - 1]
  if (bytes.length < 16 && last !== SPACE) return bytes
  // Counting down, the server fills up with spaces what has become shorter.
  const text = /^(\d{1,20}) *$/.exec(bytes.toString('latin1', 0, 64))?.[1]
  if (text === undefined || bytes.length > 64) return bytes
  const value = fromUnsigned(BigInt(text))
  return Buffer.from(value === undefined ? text : String(value), 'latin1')
}

const SPACE = 0x20

/** A difference as the server adds it. */
export function toUnsigned(value: number): bigint {
  return BigInt.asUintN(64, BigInt(value))
}

/** @returns `undefined`: beyond 2^53, where numbers are no longer exact. */
export function fromUnsigned(sum: bigint): number | undefined {
  const value = Number(BigInt.asIntN(64, sum))
  return Number.isSafeInteger(value) ? value : undefined
}
