import { crc32 } from 'node:zlib'
import type { Deadline } from '../../timeout.js'

/*
 * An entry's file, numbers big-endian:
 *   0   8  magic
 *   8   2  format version
 *  10   2  zero
 *  12   4  length of the writer's key prefix
 *  16   4  length of the stored key
 *  20   4  length of the payload
 *  24   8  deadline: milliseconds since the epoch as a double, +Infinity for never
 *  32   4  CRC-32 of everything else
 *  36      key prefix, stored key (both UTF-8), payload
 */
// Eighth bit, line ends and end-of-file mark: a copy in text mode does not survive unnoticed.
const MAGIC = Buffer.from('\x89FRAG\r\n\x1a', 'latin1')
const FORMAT_VERSION = 1
const CHECKSUM_AT = 32
export const HEADER_BYTES = 36

/** The largest file: what one read or write of the operating system takes. */
export const MAX_FILE_BYTES = 2 ** 31 - 2 ** 16

/** The head of an entry, in front of its payload. */
export interface EntryHead {
  /** The key prefix of the cache that wrote it, so that `clear` spares its neighbours'. */
  readonly owner: string
  readonly key: string
  readonly expiresAtMs: Deadline
}

/** An entry as a file holds it. */
export interface Entry extends EntryHead {
  readonly payload: Uint8Array
}

/** A file at an entry's place that is no entry, or no longer a whole one. */
export class DamagedEntryError extends Error {
  override readonly name = 'DamagedEntryError'
}

/** How many bytes an entry's file has. */
export function sizeOfEntry({ owner, key, payload }: Entry): number {
  return HEADER_BYTES + Buffer.byteLength(owner) + Buffer.byteLength(key) + payload.byteLength
}

export function encodeEntry(entry: Entry): Buffer {
  const { owner, key, expiresAtMs, payload } = entry
  const ownerBytes = Buffer.byteLength(owner)
  const keyBytes = Buffer.byteLength(key)
  const bytes = Buffer.allocUnsafe(sizeOfEntry(entry))
  MAGIC.copy(bytes)
  bytes.writeUInt16BE(FORMAT_VERSION, 8)
  bytes.writeUInt16BE(0, 10)
  bytes.writeUInt32BE(ownerBytes, 12)
  bytes.writeUInt32BE(keyBytes, 16)
  bytes.writeUInt32BE(payload.byteLength, 20)
  bytes.writeDoubleBE(expiresAtMs ?? Infinity, 24)
  bytes.write(owner, HEADER_BYTES, 'utf8')
  bytes.write(key, HEADER_BYTES + ownerBytes, 'utf8')
  bytes.set(payload, HEADER_BYTES + ownerBytes + keyBytes)
  bytes.writeUInt32BE(checksumOf(bytes), CHECKSUM_AT)
  return bytes
}

/** @throws DamagedEntryError: the bytes are no whole entry. */
export function decodeEntry(bytes: Buffer): Entry {
  if (bytes.length !== declaredSize(bytes)) throw new DamagedEntryError('it is truncated')
  if (checksumOf(bytes) !== bytes.readUInt32BE(CHECKSUM_AT)) {
    throw new DamagedEntryError('its checksum is wrong')
  }
  const keyAt = HEADER_BYTES + bytes.readUInt32BE(12)
  const payloadAt = keyAt + bytes.readUInt32BE(16)
  return {
    owner: bytes.toString('utf8', HEADER_BYTES, keyAt),
    key: bytes.toString('utf8', keyAt, payloadAt),
    expiresAtMs: readDeadline(bytes),
    payload: bytes.subarray(payloadAt),
  }
}

/** What the beginning of an entry shows. */
export interface EntryPeek {
  /** `undefined` if it is not within these bytes. */
  readonly owner: string | undefined
  readonly expiresAtMs: Deadline
  /** The stored key, as far as it is within these bytes. */
  readonly key: string
}

/**
 * Reads the head in front of the payload from a file's beginning. The checksum cannot vouch for it: it is
 * good enough to choose what to remove when room is made.
 *
 * @throws DamagedEntryError: no entry begins like this.
 */
export function peekEntry(bytes: Buffer): EntryPeek {
  declaredSize(bytes)
  const ownerEnd = HEADER_BYTES + bytes.readUInt32BE(12)
  const keyEnd = ownerEnd + bytes.readUInt32BE(16)
  const owner = ownerEnd > bytes.length ? undefined : bytes.toString('utf8', HEADER_BYTES, ownerEnd)
  const key = bytes.toString('utf8', ownerEnd, keyEnd)
  return { owner, key, expiresAtMs: readDeadline(bytes) }
}

/**
 * The size of the file, by its beginning.
 *
 * @throws DamagedEntryError: no entry begins like this.
 */
export function declaredSize(bytes: Buffer): number {
  if (bytes.length < HEADER_BYTES) throw new DamagedEntryError('it is too short for an entry')
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw new DamagedEntryError('it is not an entry')
  if (bytes.readUInt16BE(8) !== FORMAT_VERSION || bytes.readUInt16BE(10) !== 0) {
    throw new DamagedEntryError('it has another format version')
  }
  return HEADER_BYTES + bytes.readUInt32BE(12) + bytes.readUInt32BE(16) + bytes.readUInt32BE(20)
}

function readDeadline(bytes: Buffer): Deadline {
  const expiresAtMs = bytes.readDoubleBE(24)
  if (expiresAtMs === Infinity) return null
  if (Number.isSafeInteger(expiresAtMs) && expiresAtMs > 0) return expiresAtMs
  throw new DamagedEntryError('its deadline is none')
}

function checksumOf(bytes: Buffer): number {
  const head = crc32(bytes.subarray(0, CHECKSUM_AT))
  return crc32(bytes.subarray(CHECKSUM_AT + 4), head)
}
