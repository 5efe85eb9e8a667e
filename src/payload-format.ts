import { isUtf8 } from 'node:buffer'
import { constants, deflateSync, inflateSync } from 'node:zlib'
import { InvalidCacheBackendError, MisuseError, show } from './errors.js'
import {
  packText,
  packValue,
  packWith,
  readInteger,
  unpackValue,
  unpackWith,
  type Unpacked,
} from './serializer.js'
import { resolveCount } from './settings.js'
import { toJson } from './structure.js'
import type { TagVersions } from './tags.js'

/** A format of one's own for values, for sharing them with other programs. */
export interface ValueSerializer {
  /** Turns a value into text or bytes. Whole numbers never reach it: they are kept as decimals. */
  readonly serialize: (value: unknown) => string | Uint8Array
  /** Turns the bytes back. What it throws makes the entry a miss, which is reported. */
  readonly deserialize: (bytes: Uint8Array) => unknown
}

/** How the values of a cache on a server are written. */
export interface FormatSettings {
  /**
   * `binary`: every kind of value, for this package alone. `json`: what JSON can say in full is plain
   * JSON, for other languages to read and write; all else stays binary. Or a format of one's own.
   * Default `binary`.
   */
  readonly serializer?: 'binary' | 'json' | ValueSerializer | undefined
  /**
   * Values of at least so many bytes are compressed (zlib), where that makes them smaller. Compressed
   * values are read whatever this says. Default: nothing is compressed.
   */
  readonly compress?: { readonly threshold: number } | undefined
}

/** The names of {@link FormatSettings}, for a backend to declare. */
export const FORMAT_SETTINGS: readonly string[] = ['serializer', 'compress']

/*
 * Besides what serializer.ts writes, a value is one of
 *   JSON                       with `json`
 *   bytes                      with a serializer of the user's
 *   0x07 + u8 + u32 + bytes    wrapped: 0 as it is or 1 compressed, and the length before
 * Nothing in JSON begins with a byte below 0x08. Where a serializer of the user's does, or gives what
 * reads as a whole number, here or to the server, its bytes are wrapped.
 */
const TAGGED = 5
const WRAPPED = 7
const HEADER_BYTES = 6
const PLAIN = 0
const COMPRESSED = 1

/** What begins with less was written by serializer.ts. */
const FIRST_OF_JSON = 8

/** A few hundred bytes can inflate to gigabytes. What is larger than this is never compressed. */
const MAX_INFLATED_BYTES = 64 * 1024 * 1024

/** Smaller values are inflated whenever they are asked for: it takes very many to make much of them. */
const LARGE_BYTES = 1024 * 1024

/** What large values may come to that are inflated before other work has its turn. */
const MAX_INFLATED_AT_ONCE = 2 * MAX_INFLATED_BYTES

let inflatedAtOnce = 0

/** One way of writing values. What is read may have been wrapped, which makes it no number. */
interface Format {
  readonly write: (value: unknown) => Uint8Array
  readonly read: (bytes: Buffer, wasWrapped: boolean) => unknown
  /** Whether bytes would be taken for something else when they are read. */
  readonly isAmbiguous: (bytes: Uint8Array) => boolean
}

const BINARY: Format = { write: packValue, read: unpackValue, isAmbiguous: () => false }

const JSON_TEXT: Format = {
  write: (value) => {
    const json = toJson(value)
    return json === undefined ? packValue(value) : Buffer.from(json)
  },
  read: (bytes) => {
    const isOurs = bytes.length > 0 && (bytes[0] as number) < FIRST_OF_JSON
    return isOurs ? unpackValue(bytes) : (JSON.parse(textOf(bytes)) as unknown)
  },
  isAmbiguous: () => false,
}

/** Turns values into the bytes that are stored, and back. */
export class PayloadFormat {
  readonly #format: Format
  readonly #threshold: number

  /**
   * @param backend - The class, for messages.
   * @throws InvalidCacheBackendError: a setting is of the wrong kind.
   */
  constructor(backend: string, { serializer = 'binary', compress }: FormatSettings) {
    this.#format = formatOf(backend, serializer)
    this.#threshold = thresholdOf(backend, compress)
  }

  /**
   * The same as `pack`, as the text whose UTF-8 the bytes are, where that is quick to have.
   */
  packText(value: unknown, tags?: TagVersions): string | undefined {
    if (this.#format !== BINARY) return undefined
    const text = packText(value, tags)
    return text !== undefined && text.length < this.#threshold ? text : undefined
  }

  /** @throws TypeError: the user's serializer cannot write the value. */
  pack(value: unknown, tags?: TagVersions): Uint8Array {
    return packWith(this.#write, value, tags)
  }

  /** @throws Error: the bytes are damaged or not ours. */
  unpack(payload: Uint8Array): Unpacked {
    return unpackWith(this.#read, payload)
  }

  readonly #write = (value: unknown): Uint8Array => {
    // Raw, so that the server can count.
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return packValue(value)
    const bytes = this.#format.write(value)
    if (bytes.length >= this.#threshold && bytes.length <= MAX_INFLATED_BYTES) {
      // The event loop waits for this.
      const deflated = deflateSync(bytes, { level: constants.Z_BEST_SPEED })
      if (deflated.length + HEADER_BYTES < bytes.length) {
        return wrap(COMPRESSED, bytes.length, deflated)
      }
    }
    return this.#format.isAmbiguous(bytes) ? wrap(PLAIN, bytes.length, bytes) : bytes
  }

  readonly #read = (bytes: Buffer): unknown => {
    const isWrapped = bytes[0] === WRAPPED
    return this.#format.read(isWrapped ? unwrap(bytes) : bytes, isWrapped)
  }
}

function formatOf(backend: string, serializer: unknown): Format {
  if (serializer === 'binary') return BINARY
  if (serializer === 'json') return JSON_TEXT
  if (isSerializer(serializer)) return userFormat(serializer)
  throw new InvalidCacheBackendError(
    `${backend}: serializer: ${show(serializer)} is none; give "binary", "json" or { serialize, deserialize }`,
  )
}

function isSerializer(serializer: unknown): serializer is ValueSerializer {
  if (typeof serializer !== 'object' || serializer === null) return false
  const { serialize, deserialize } = serializer as Partial<ValueSerializer>
  return typeof serialize === 'function' && typeof deserialize === 'function'
}

function userFormat(serializer: ValueSerializer): Format {
  return {
    write: (value) => {
      let written: unknown
      try {
        written = serializer.serialize(value)
      } catch (error) {
        throw new MisuseError(`value: the serializer cannot write it: ${String(error)}`, {
          cause: error,
        })
      }
      if (typeof written === 'string') return Buffer.from(written)
      // Clients take a Buffer for bytes, and may take anything else for a list.
      if (written instanceof Uint8Array) {
        return Buffer.from(written.buffer, written.byteOffset, written.byteLength)
      }
      throw new MisuseError(
        `serializer: serialize gave ${show(written)}; make it give a text or bytes`,
      )
    },
    read: (bytes, wasWrapped) => {
      const count = wasWrapped ? undefined : readInteger(bytes)
      const value = count ?? serializer.deserialize(bytes)
      if (value === undefined) throw new Error('payload: the serializer read undefined')
      return value
    },
    isAmbiguous: (bytes) =>
      bytes[0] === TAGGED ||
      bytes[0] === WRAPPED ||
      readInteger(bytes) !== undefined ||
      isCountable(bytes),
  }
}

/** Whether a server might count with bytes that are no whole number to us, such as `007`. */
function isCountable(bytes: Uint8Array): boolean {
  const last = bytes[bytes.length - 1]
  // Most bytes end in something else, and are not looked through.
  if (last === undefined || (last !== SPACE && (last < DIGIT_0 || last > DIGIT_9))) return false
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  return /^[\t-\r ]*\+?\d{1,20} *$/.test(text)
}

const SPACE = 0x20
const DIGIT_0 = 0x30
const DIGIT_9 = 0x39

function thresholdOf(backend: string, compress: unknown): number {
  if (compress === undefined) return Infinity
  const names = typeof compress === 'object' && compress !== null ? Object.keys(compress) : []
  if (names.length !== 1 || names[0] !== 'threshold') {
    throw new InvalidCacheBackendError(
      `${backend}: compress: ${show(compress)} does not say from how many bytes on; give { threshold: 1024 }`,
    )
  }
  const { threshold } = compress as { readonly threshold: unknown }
  return resolveCount(backend, 'compress.threshold', threshold, Infinity, 1)
}

function wrap(method: number, length: number, body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + body.length)
  bytes[0] = WRAPPED
  bytes[1] = method
  bytes.writeUInt32LE(length, 2)
  bytes.set(body, HEADER_BYTES)
  return bytes
}

function unwrap(bytes: Buffer): Buffer {
  if (bytes.length < HEADER_BYTES) throw new Error('payload: truncated wrapping')
  const length = bytes.readUInt32LE(2)
  const body = bytes.subarray(HEADER_BYTES)
  const inner = bytes[1] === COMPRESSED ? inflate(body, length) : body
  if (bytes[1] !== COMPRESSED && bytes[1] !== PLAIN) throw new Error('payload: unknown wrapping')
  if (inner.length !== length) throw new Error('payload: damaged wrapping')
  return inner
}

function inflate(body: Buffer, length: number): Buffer {
  if (length === 0 || length > MAX_INFLATED_BYTES) {
    throw new Error('payload: it says to inflate to more than anything that is stored')
  }
  if (length >= LARGE_BYTES) reserve(length)
  return inflateSync(body, { maxOutputLength: length })
}

/**
 * Kilobytes from the store can become hundreds of megabytes here, which the callers then all hold. So
 * there is a bound to what one turn of the event loop makes of them, in all caches together.
 */
function reserve(length: number): void {
  if (inflatedAtOnce + length > MAX_INFLATED_AT_ONCE) {
    throw new Error(
      `payload: with others that are read at the same time it inflates to more than ${MAX_INFLATED_AT_ONCE} bytes; read fewer of them at once`,
    )
  }
  if (inflatedAtOnce === 0) {
    setImmediate(() => {
      inflatedAtOnce = 0
    })
  }
  inflatedAtOnce += length
}

function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new Error('payload: damaged text')
  return bytes.toString('utf8')
}
