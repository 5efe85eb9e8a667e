import { isUtf8 } from 'node:buffer'
import { readGraph, toJson, writeGraph } from './structure.js'
import { BoundedMemo, bytesOfText } from './bounded-memo.js'
import { splitLabels, type Labels, type Stamp } from './stamp.js'
import { MAX_TAGS, type TagVersions } from './tags.js'
import type { ValueTypes } from './value-types.js'

export { checkValue } from './value.js'

/*
 * A payload is one of
 *   ASCII decimal       a whole number, raw, so that servers can count with it
 *   0x01 + UTF-8        a string
 *   0x02 + bytes        a Buffer
 *   0x03 + bytes        a Uint8Array
 *   0x04 + JSON         objects and arrays that JSON can say in full
 *   0x05 + u32 + JSON   tag versions and stamp, then a payload of the other kinds
 *   0x06 + graph        everything else
 *
 * V8's own format is not read: two dozen hostile bytes make it take gigabytes, which ends the process.
 */
const STRING = 1
const BUFFER = 2
const BYTES = 3
const JSON_TEXT = 4
const TAGGED = 5
const GRAPH = 6

const STRING_TEXT = String.fromCharCode(STRING)
const JSON_TEXT_TEXT = String.fromCharCode(JSON_TEXT)
const TAGGED_TEXT = String.fromCharCode(TAGGED)

/** Most pairs that are read, lest hostile bytes make us ask for any number of counters; one is the stamp. */
const MAX_PAIRS = MAX_TAGS + 1

/** The content of a payload. */
export interface Unpacked {
  readonly value: unknown
  readonly tags: TagVersions | undefined
  /**
   * Present only for entries that may be served past their time, or produced again before it ends.
   */
  readonly stamp?: Stamp | undefined
}

/**
 * Turns a value that `checkValue` accepted into bytes.
 *
 * @param tags - The tag versions to store with it, if any.
 */
export function pack(value: unknown, tags?: TagVersions): Uint8Array {
  return packWith(packValue, value, tags)
}

/**
 * The same with another format of values.
 *
 * @param write - Turns the value itself into bytes, of which the first is not that of a tag header.
 */
export function packWith(
  write: (value: unknown) => Uint8Array,
  value: unknown,
  tags: TagVersions | undefined,
): Uint8Array {
  if (tags === undefined) return write(value)
  const header = Buffer.from(JSON.stringify([...tags]))
  const length = Buffer.alloc(5)
  length[0] = TAGGED
  length.writeUInt32LE(header.length, 1)
  return Buffer.concat([length, header, write(value)])
}

/**
 * The same bytes as {@link pack} gives, as the text whose UTF-8 they are, for a client that writes
 * texts faster than bytes.
 *
 * @returns `undefined` where they are no UTF-8, or a copy of bytes would be needed.
 */
export function packText(value: unknown, tags?: TagVersions): string | undefined {
  const text = packValueText(value)
  if (tags === undefined || text === undefined) return text
  const header = JSON.stringify([...tags])
  const length = Buffer.byteLength(header)
  // The length is in bytes, which as text are characters below 0x80.
  return length < 0x80
    ? `${TAGGED_TEXT}${String.fromCharCode(length)}\0\0\0${header}${text}`
    : undefined
}

function packValueText(value: unknown): string | undefined {
  if (typeof value === 'string') return value.isWellFormed() ? STRING_TEXT + value : undefined
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return String(value)
  if (value instanceof Uint8Array) return undefined
  const json = toJson(value)
  return json === undefined ? undefined : JSON_TEXT_TEXT + json
}

/** How values without tags are turned into bytes and back. */
export interface BinaryFormat {
  readonly write: (value: unknown) => Uint8Array
  readonly read: (bytes: Buffer, from: number) => unknown
}

const UNTYPED: BinaryFormat = { write: packValue, read: unpackValue }

/** The format of this package, with the types of a cache. */
export function binaryFormat(types?: ValueTypes): BinaryFormat {
  if (types === undefined || types.isEmpty) return UNTYPED
  return {
    write: (value) => writeValue(value, types),
    read: (bytes, from) => readValue(bytes, from, types),
  }
}

/** The bytes of a value without tags. */
export function packValue(value: unknown): Uint8Array {
  return writeValue(value, undefined)
}

function writeValue(value: unknown, types: ValueTypes | undefined): Uint8Array {
  if (typeof value === 'string') {
    // UTF-8 would turn lone surrogates into U+FFFD; JSON escapes them.
    if (value.isWellFormed()) return textWithKind(STRING, value)
  } else if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    return Buffer.from(String(value), 'latin1')
  } else if (value instanceof Uint8Array) {
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype === Buffer.prototype) return withKind(BUFFER, value)
    if (prototype === Uint8Array.prototype) return withKind(BYTES, value)
  }
  const json = toJson(value)
  return json === undefined
    ? withKind(GRAPH, writeGraph(value, types))
    : textWithKind(JSON_TEXT, json)
}

function textWithKind(kind: number, text: string): Buffer {
  const bytes = Buffer.allocUnsafe(1 + Buffer.byteLength(text))
  bytes[0] = kind
  bytes.write(text, 1, 'utf8')
  return bytes
}

function withKind(kind: number, body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(1 + body.length)
  bytes[0] = kind
  bytes.set(body, 1)
  return bytes
}

/**
 * Reads a payload.
 *
 * @throws Error: the bytes are damaged or in another format. Reading never runs code from them.
 */
export function unpack(payload: Uint8Array): Unpacked {
  return unpackWith(unpackValue, payload)
}

/**
 * The same for what {@link packWith} wrote.
 *
 * @param read - Reads the value, which begins at an index of the bytes and ends with them.
 */
export function unpackWith(
  read: (bytes: Buffer, from: number, payload: Uint8Array) => unknown,
  payload: Uint8Array,
): Unpacked {
  const bytes = asBuffer(payload)
  if (bytes[0] !== TAGGED)
    return { value: read(bytes, 0, payload), tags: undefined, stamp: undefined }
  if (bytes.length < 5) throw new Error('payload: truncated tag header')
  const end = 5 + bytes.readUInt32LE(1)
  if (end > bytes.length) throw new Error('payload: truncated tag header')
  const { tags, stamp } = labelsIn(bytes, end)
  return { value: read(bytes, end, payload), tags, stamp }
}

/** What was read of tag headers: until a tag is invalidated, all entries that have it say the same. */
const knownLabels = new BoundedMemo<Labels>(({ tags }) => 200 + bytesOfPairs(tags))

/** Longer ones are read each time: to look them up would cost about as much. */
const MAX_KNOWN_HEADER = 2_048

function bytesOfPairs(tags: TagVersions | undefined): number {
  let bytes = 0
  for (const [tag, version] of tags ?? []) bytes += 64 + bytesOfText(tag) + bytesOfText(version)
  return bytes
}

function labelsIn(bytes: Buffer, end: number): Labels {
  if (end > MAX_KNOWN_HEADER) return readLabels(bytes, end)
  // One character for each byte: quicker to have than the text, and as unlike any other.
  const header = bytes.toString('latin1', 5, end)
  const known = knownLabels.get(header)
  if (known !== undefined) return known
  const labels = readLabels(bytes, end)
  // A stamp is of one entry alone.
  if (labels.stamp === undefined) knownLabels.set(header, labels)
  return labels
}

function readLabels(bytes: Buffer, end: number): Labels {
  return splitLabels(readTags(JSON.parse(bytes.toString('utf8', 5, end))))
}

function readTags(pairs: unknown): TagVersions {
  if (!Array.isArray(pairs) || pairs.length > MAX_PAIRS) {
    throw new Error('payload: damaged tag header')
  }
  const tags = new Map<string, string>()
  for (const pair of pairs as unknown[]) {
    if (!Array.isArray(pair)) throw new Error('payload: damaged tag header')
    const [tag, version] = pair as unknown[]
    if (typeof tag !== 'string' || typeof version !== 'string') {
      throw new Error('payload: damaged tag header')
    }
    tags.set(tag, version)
  }
  return tags
}

/** The value of bytes without tags, from an index on. @throws Error: they are damaged. */
export function unpackValue(bytes: Buffer, from = 0): unknown {
  return readValue(bytes, from, undefined)
}

function readValue(bytes: Buffer, from: number, types: ValueTypes | undefined): unknown {
  const kind = bytes[from]
  const start = from + 1
  switch (kind) {
    case STRING:
      return readText(bytes, start)
    case BUFFER:
      return Buffer.from(bytes.subarray(start))
    case BYTES:
      return new Uint8Array(bytes.subarray(start))
    case JSON_TEXT:
      return JSON.parse(readText(bytes, start)) as unknown
    case GRAPH:
      return readGraph(bytes.subarray(start), types)
    default:
      return parseInteger(from === 0 ? bytes : bytes.subarray(from))
  }
}

/** The text from an index on. Replacement characters for damage would be a value nobody stored. */
function readText(bytes: Buffer, start: number): string {
  const text = bytes.toString('utf8', start)
  if (text.includes(REPLACEMENT) && !isUtf8(bytes.subarray(start))) {
    throw new Error('payload: damaged text')
  }
  return text
}

/** What damage is read as; somebody may have stored it, too. */
const REPLACEMENT = '\ufffd'

/**
 * Reads a payload as a raw whole number.
 *
 * @throws Error: it is none.
 */
function parseInteger(bytes: Buffer): number {
  const value = readInteger(bytes)
  if (value === undefined) throw new Error('payload: unknown kind')
  return value
}

/** Returns the number if a payload is a raw whole number, else `undefined`. */
export function readInteger(payload: Uint8Array): number | undefined {
  if (payload.length > MAX_INTEGER_LENGTH) return undefined
  const text = asBuffer(payload).toString('latin1')
  const value = /^(?:0|-?[1-9][0-9]*)$/.test(text) ? Number(text) : NaN
  return Number.isSafeInteger(value) ? value : undefined
}

const MAX_INTEGER_LENGTH = '-9007199254740991'.length

/** A counter that would leave the range in which numbers are exact. */
export class IntegerOverflowError extends RangeError {
  override readonly name = 'RangeError'
}

/** Adds to a counter. @throws RangeError: beyond 2^53, where numbers would be wrong. */
export function addIntegers(value: number, delta: number): number {
  const sum = value + delta
  if (!Number.isSafeInteger(sum)) {
    throw new IntegerOverflowError(
      `incr: ${value} + ${delta} is beyond 2^53 - 1, where numbers are no longer exact; the entry is unchanged`,
    )
  }
  return sum
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
