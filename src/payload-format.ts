import { isUtf8 } from 'node:buffer'
import {
  compress,
  compressSync,
  DEFLATE,
  hasMethod,
  inflate,
  inflateSync,
  MAX_INFLATED_BYTES,
  methodFor,
  MIN_BYTES_ASIDE,
  ZSTD,
  type Method,
} from './compression.js'
import { didYouMean } from './did-you-mean.js'
import { InvalidCacheBackendError, MisuseError, show } from './errors.js'
import type { MaybePromise } from './maybe-promise.js'
import {
  binaryFormat,
  packText,
  packValue,
  packWith,
  readInteger,
  unpackWith,
  type BinaryFormat,
  type Unpacked,
} from './serializer.js'
import { resolveCount } from './settings.js'
import { toJson } from './structure.js'
import type { TagVersions } from './tags.js'
import type { ValueTypes } from './value-types.js'

/** Your own format for values, to share them with other programs. */
export interface ValueSerializer {
  /**
   * Turns a value into text or bytes. Whole numbers are never passed to it: they are stored as decimals.
   */
  readonly serialize: (value: unknown) => string | Uint8Array
  /**
   * Turns the bytes back into a value, which may keep them. If it throws, the entry is a miss, which is reported.
   */
  readonly deserialize: (bytes: Uint8Array) => unknown
}

/** Which values are compressed, and how. */
export interface CompressSettings {
  /** Values of at least this many bytes are compressed, if that makes them smaller. */
  readonly threshold: number
  /**
   * `deflate`: every version of Node reads it, such as Node 20 beside newer ones. `zstd`: smaller and
   * quicker, written and read by Node 22.15 and later. Default: `zstd` for values of 16 KiB and more if this
   * Node has it.
   */
  readonly method?: 'deflate' | 'zstd' | undefined
}

/** How a cache on a server writes its values. */
export interface FormatSettings {
  /**
   * `binary`: every kind of value, for this package alone. `json`: values that JSON can represent fully are
   * plain JSON, for other languages to read and write; all others stay binary. Or your own format. Default
   * `binary`.
   */
  readonly serializer?: 'binary' | 'json' | ValueSerializer | undefined
  /**
   * Which values are compressed. Compressed values can be read whatever this option says. Default: nothing is
   * compressed.
   */
  readonly compress?: CompressSettings | undefined
}

/** The names of {@link FormatSettings}, for a backend to declare. */
export const FORMAT_SETTINGS: readonly string[] = ['serializer', 'compress']

/*
 * Besides what serializer.ts writes, a value is one of
 *   JSON                       with `json`
 *   bytes                      with a serializer of the user's
 *   0x07 + u8 + u32 + bytes    wrapped: 0 as it is, or compressed by 1 deflate or 2 zstd; the length before
 * Nothing in JSON begins with a byte below 0x08. Where a serializer of the user's does, or gives what
 * reads as a whole number, here or to the server, its bytes are wrapped.
 */
const TAGGED = 5
const WRAPPED = 7
const HEADER_BYTES = 6
const PLAIN = 0

/** What begins with less was written by serializer.ts. */
const FIRST_OF_JSON = 8

/** Fewer bytes never get smaller; and a whole number has fewer, which the server is to count with. */
const LEAST_BYTES = 32

/** One way of writing values. What is read may have been wrapped, which makes it no number. */
interface Format {
  readonly write: (value: unknown) => Uint8Array
  readonly read: (bytes: Buffer, from: number, wasWrapped: boolean) => unknown
  /** Whether bytes would be taken for something else when they are read. */
  readonly isAmbiguous: (bytes: Uint8Array) => boolean
}

const isNeverAmbiguous = (): boolean => false

function jsonFormat(binary: BinaryFormat): Format {
  return {
    write: (value) => {
      const json = toJson(value)
      return json === undefined ? binary.write(value) : Buffer.from(json)
    },
    read: (bytes, from) => {
      const isOurs = bytes.length > from && (bytes[from] as number) < FIRST_OF_JSON
      return isOurs
        ? binary.read(bytes, from)
        : (JSON.parse(textOf(bytes.subarray(from))) as unknown)
    },
    isAmbiguous: isNeverAmbiguous,
  }
}

/** Turns values into the bytes that are stored, and back. */
export class PayloadFormat {
  readonly #format: Format
  readonly #isBinary: boolean
  readonly #threshold: number
  readonly #method: Method | undefined
  readonly #isAtOnce: boolean
  /** What large payloads were inflated to, or why they were not, for as long as these are at hand. */
  readonly #inflated = new WeakMap<object, Buffer | Error>()

  /**
   * @param backend - The class, for messages.
   * @param types - Those of the cache.
   * @param isAtOnce - Whether the store answers at once: then nothing is left to another thread.
   * @throws InvalidCacheBackendError: a setting is of the wrong kind.
   */
  constructor(
    backend: string,
    { serializer = 'binary', compress: compression }: FormatSettings,
    types?: ValueTypes,
    isAtOnce = false,
  ) {
    this.#format = formatOf(backend, serializer, types)
    this.#isBinary = serializer === 'binary'
    this.#threshold = thresholdOf(backend, compression)
    this.#method = methodOf(backend, compression)
    this.#isAtOnce = isAtOnce
  }

  /**
   * The same as `pack`, as the text whose UTF-8 the bytes are, where that is quick to have.
   *
   * @returns `undefined` also where it may be compressed.
   */
  packText(value: unknown, tags?: TagVersions): string | undefined {
    if (!this.#isBinary) return undefined
    const text = packText(value, tags)
    return text !== undefined && text.length < this.#threshold ? text : undefined
  }

  /** Not compressed, see {@link compress}. @throws TypeError: the user's serializer cannot write the value. */
  pack(value: unknown, tags?: TagVersions): Uint8Array {
    return packWith(this.#write, value, tags)
  }

  /**
   * Makes a payload smaller, where the settings say so and it can be: large ones in another thread, unless
   * the store answers at once.
   */
  compress(payload: unknown): MaybePromise<unknown> {
    if (!(payload instanceof Uint8Array) || payload.length < this.#threshold) return payload
    const start = startOf(payload)
    const isWrapped = payload[start] === WRAPPED
    // What is compressed already stays as it is.
    if (isWrapped && payload[start + 1] !== PLAIN) return payload
    const bytes = payload.subarray(isWrapped ? start + HEADER_BYTES : start)
    const { length } = bytes
    if (length < this.#threshold || length < LEAST_BYTES) return payload
    if (length > MAX_INFLATED_BYTES) return payload
    const method = this.#method ?? methodFor(length)
    const wrapSmaller = (body: Buffer) =>
      body.length + HEADER_BYTES < length
        ? wrap(method, length, body, payload.subarray(0, start))
        : payload
    return this.#isAtOnce || length < MIN_BYTES_ASIDE
      ? wrapSmaller(compressSync(method, bytes))
      : compress(method, bytes).then(wrapSmaller)
  }

  /**
   * Inflates the large ones of some payloads in another thread, so that `unpack` finds them done.
   *
   * @param from - The first of them.
   * @returns `undefined`: there is nothing to wait for.
   */
  inflateLarge(
    payloads: readonly unknown[],
    from: number,
    count: number,
  ): Promise<void> | undefined {
    if (this.#isAtOnce) return undefined
    let pending: Promise<void>[] | undefined
    for (let i = from; i < from + count; i++) {
      const payload = payloads[i]
      // Claims, counters and small values, which are most, are recognized by their length.
      if (!(payload instanceof Uint8Array) || payload.length < LEAST_BYTES) continue
      const large = largeIn(payload)
      if (large === undefined || this.#inflated.has(payload)) continue
      ;(pending ??= []).push(this.#inflate(payload, large))
    }
    return pending && Promise.all(pending).then(() => undefined)
  }

  async #inflate(payload: Uint8Array, { method, body, length }: Wrapped): Promise<void> {
    try {
      this.#inflated.set(payload, await inflate(method as Method, body, length))
    } catch (error) {
      // It is a miss when it is unpacked, which says why.
      this.#inflated.set(payload, error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** @throws Error: the bytes are damaged or not ours. */
  unpack(payload: Uint8Array): Unpacked {
    return unpackWith(this.#read, payload)
  }

  readonly #write = (value: unknown): Uint8Array => {
    // Raw, so that the server can count.
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return packValue(value)
    const bytes = this.#format.write(value)
    return this.#format.isAmbiguous(bytes) ? wrap(PLAIN, bytes.length, bytes) : bytes
  }

  readonly #read = (bytes: Buffer, from: number, payload: Uint8Array): unknown => {
    if (bytes[from] !== WRAPPED) return this.#format.read(bytes, from, false)
    const inflated = this.#inflated.get(payload)
    if (inflated instanceof Error) throw inflated
    return this.#format.read(unwrap(bytes.subarray(from), inflated), 0, true)
  }
}

function formatOf(backend: string, serializer: unknown, types: ValueTypes | undefined): Format {
  const binary = binaryFormat(types)
  if (serializer === 'binary') return { ...binary, isAmbiguous: isNeverAmbiguous }
  if (serializer === 'json') return jsonFormat(binary)
  if (isSerializer(serializer)) {
    if (types === undefined || types.isEmpty) return userFormat(serializer)
    throw new InvalidCacheBackendError(
      `${backend}: options.types: a serializer of your own writes all values by itself; leave one of the two out`,
    )
  }
  throw new InvalidCacheBackendError(
    `${backend}: serializer: ${show(serializer)} is not a serializer; give "binary", "json" or { serialize, deserialize }`,
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
        `serializer: serialize gave ${show(written)}; make it give a string or bytes`,
      )
    },
    read: (whole, from, wasWrapped) => {
      const bytes = whole.subarray(from)
      const count = wasWrapped ? undefined : readInteger(bytes)
      // A copy: what it gives may lie in these bytes, and others are given the same ones.
      const value = count ?? serializer.deserialize(Buffer.from(bytes))
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

function thresholdOf(backend: string, compression: unknown): number {
  if (compression === undefined) return Infinity
  const isObject = typeof compression === 'object' && compression !== null
  const names = isObject ? Object.keys(compression) : []
  const unknown = names.find((name) => !COMPRESS_SETTINGS.includes(name))
  if (unknown !== undefined) {
    throw new InvalidCacheBackendError(
      `${backend}: compress: unknown setting ${show(unknown)}; known are ${COMPRESS_SETTINGS.join(', ')}${didYouMean(unknown, COMPRESS_SETTINGS)}`,
    )
  }
  if (!names.includes('threshold')) {
    throw new InvalidCacheBackendError(
      `${backend}: compress: ${show(compression)} does not say from how many bytes on; give { threshold: 1024 }`,
    )
  }
  const { threshold } = compression as { readonly threshold: unknown }
  return resolveCount(backend, 'compress.threshold', threshold, Infinity, 1)
}

const COMPRESS_SETTINGS = ['threshold', 'method']

/** @returns `undefined`: the best for each value. */
function methodOf(backend: string, compression: CompressSettings | undefined): Method | undefined {
  const method: unknown = compression?.method
  if (method === undefined) return undefined
  if (method === 'deflate') return DEFLATE
  if (method === 'zstd' && hasMethod(ZSTD)) return ZSTD
  throw new InvalidCacheBackendError(
    method === 'zstd'
      ? `${backend}: compress.method: this Node (${process.version}) has no zstd, which came with 22.15; give "deflate" or leave it out`
      : `${backend}: compress.method: ${show(method)} is not a method; give "deflate" or "zstd", or leave it out`,
  )
}

/** @param head - The bytes in front of it. */
function wrap(method: number, length: number, body: Uint8Array, head?: Uint8Array): Buffer {
  const start = head?.length ?? 0
  const bytes = Buffer.allocUnsafe(start + HEADER_BYTES + body.length)
  if (head !== undefined) bytes.set(head)
  bytes[start] = WRAPPED
  bytes[start + 1] = method
  bytes.writeUInt32LE(length, start + 2)
  bytes.set(body, start + HEADER_BYTES)
  return bytes
}

interface Wrapped {
  readonly method: number
  /** Of the bytes inside, before they were compressed. */
  readonly length: number
  readonly body: Buffer
}

/** @throws Error: it is too short. */
function wrappedIn(bytes: Buffer): Wrapped {
  if (bytes.length < HEADER_BYTES) throw new Error('payload: truncated wrapping')
  const method = bytes[1] as number
  return { method, length: bytes.readUInt32LE(2), body: bytes.subarray(HEADER_BYTES) }
}

/** What is compressed in a payload, if it is so large that it is inflated in another thread. */
function largeIn(payload: Uint8Array): Wrapped | undefined {
  const start = startOf(payload)
  if (payload[start] !== WRAPPED || payload.length - start < HEADER_BYTES) return undefined
  const { buffer, byteOffset, length } = payload
  const wrapped = wrappedIn(Buffer.from(buffer, byteOffset + start, length - start))
  return isCompressed(wrapped) && wrapped.length >= MIN_BYTES_ASIDE ? wrapped : undefined
}

/** Where the value begins, behind the tags. */
function startOf(payload: Uint8Array): number {
  if (payload[0] !== TAGGED || payload.length < TAGS_AT) return 0
  // By hand: each hit comes here, and a view of its own costs more.
  const high = (payload[3] as number) * 0x1_0000 + (payload[4] as number) * 0x100_0000
  return TAGS_AT + (payload[1] as number) + (payload[2] as number) * 0x100 + high
}

/** The length of what precedes the tags: the sign, and their length. */
const TAGS_AT = 5

function isCompressed({ method }: Wrapped): boolean {
  return method === DEFLATE || method === ZSTD
}

function unwrap(bytes: Buffer, inflated: Buffer | undefined): Buffer {
  const wrapped = wrappedIn(bytes)
  const { method, body, length } = wrapped
  if (method !== PLAIN && !isCompressed(wrapped)) throw new Error('payload: unknown wrapping')
  const inner = method === PLAIN ? body : (inflated ?? inflateSync(method as Method, body, length))
  if (inner.length !== length) throw new Error('payload: damaged wrapping')
  return inner
}

function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new Error('payload: damaged text')
  return bytes.toString('utf8')
}
