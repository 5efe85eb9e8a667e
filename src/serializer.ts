import { isUtf8 } from 'node:buffer'
import { types } from 'node:util'
import { DefaultDeserializer, serialize } from 'node:v8'
import { MisuseError, show } from './errors.js'
import type { TagVersions } from './tags.js'

/*
 * A payload is one of
 *   ASCII decimal       a whole number, raw, so that servers can count with it
 *   0x01 + UTF-8        a string
 *   0x02 + bytes        a Buffer
 *   0x03 + bytes        a Uint8Array
 *   0x04 + V8 format    everything else
 *   0x05 + u32 + JSON   tag versions, then a payload of the kinds above
 */
const STRING = 1
const BUFFER = 2
const BYTES = 3
const STRUCTURED = 4
const TAGGED = 5

/** What a payload says. */
export interface Unpacked {
  readonly value: unknown
  readonly tags: TagVersions | undefined
}

/**
 * Turns a value that {@link checkValue} let pass into bytes.
 *
 * @param tags - The tag versions to store beside it, if any.
 */
export function pack(value: unknown, tags?: TagVersions): Uint8Array {
  if (tags === undefined) return packValue(value)
  const header = Buffer.from(JSON.stringify([...tags]))
  const length = Buffer.alloc(5)
  length[0] = TAGGED
  length.writeUInt32LE(header.length, 1)
  return Buffer.concat([length, header, packValue(value)])
}

function packValue(value: unknown): Uint8Array {
  if (typeof value === 'string') {
    // UTF-8 would turn lone surrogates into U+FFFD; V8's format keeps them.
    if (value.isWellFormed()) {
      const bytes = Buffer.allocUnsafe(1 + Buffer.byteLength(value))
      bytes[0] = STRING
      bytes.write(value, 1, 'utf8')
      return bytes
    }
  } else if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    return Buffer.from(String(value), 'latin1')
  } else if (value instanceof Uint8Array && (Buffer.isBuffer(value) || isPlainUint8Array(value))) {
    const bytes = Buffer.allocUnsafe(1 + value.length)
    bytes[0] = Buffer.isBuffer(value) ? BUFFER : BYTES
    bytes.set(value, 1)
    return bytes
  }
  const body = serializeStructure(value)
  const bytes = Buffer.allocUnsafe(1 + body.length)
  bytes[0] = STRUCTURED
  bytes.set(body, 1)
  return bytes
}

function serializeStructure(value: unknown): Buffer {
  try {
    return serialize(value)
  } catch (error) {
    throw new MisuseError(`value: it cannot be stored: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

function isPlainUint8Array(value: Uint8Array): boolean {
  return Object.getPrototypeOf(value) === Uint8Array.prototype
}

/**
 * Reads a payload.
 *
 * @throws Error: the bytes are damaged or not ours. Reading never runs code of theirs.
 */
export function unpack(payload: Uint8Array): Unpacked {
  const bytes = asBuffer(payload)
  if (bytes[0] !== TAGGED) return { value: unpackValue(bytes), tags: undefined }
  if (bytes.length < 5) throw new Error('payload: truncated tag header')
  const end = 5 + bytes.readUInt32LE(1)
  if (end >= bytes.length) throw new Error('payload: truncated tag header')
  return {
    value: unpackValue(bytes.subarray(end)),
    tags: readTags(JSON.parse(bytes.toString('utf8', 5, end))),
  }
}

function readTags(pairs: unknown): TagVersions {
  if (!Array.isArray(pairs)) throw new Error('payload: damaged tag header')
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

function unpackValue(bytes: Buffer): unknown {
  const kind = bytes[0]
  switch (kind) {
    case STRING:
      if (!isUtf8(bytes.subarray(1))) throw new Error('payload: damaged text')
      return bytes.toString('utf8', 1)
    case BUFFER:
      return Buffer.from(bytes.subarray(1))
    case BYTES:
      return new Uint8Array(bytes.subarray(1))
    case STRUCTURED:
      return deserializeStructure(bytes.subarray(1))
    default:
      return parseInteger(bytes)
  }
}

function deserializeStructure(bytes: Buffer): unknown {
  const reader = new DetachingDeserializer(bytes)
  reader.readHeader()
  const value: unknown = reader.readValue()
  // Nothing of ours: undefined is never stored, it means a miss.
  if (value === undefined) throw new Error('payload: no value')
  return value
}

// Documented by Node, but not in its types.
const { _readHostObject: readView } = DefaultDeserializer.prototype as unknown as {
  readonly _readHostObject: (this: DefaultDeserializer) => ArrayBufferView
}

/**
 * Node's own gives typed arrays and buffers that lie in the bytes read: to change one would change
 * what the cache keeps, and its `buffer` shows whatever else lies there.
 */
class DetachingDeserializer extends DefaultDeserializer {
  _readHostObject(): ArrayBufferView {
    return detach(readView.call(this))
  }
}

function detach(view: ArrayBufferView): ArrayBufferView {
  if (Buffer.isBuffer(view)) return Buffer.from(view)
  if (!(view instanceof DataView)) return (view as Uint8Array).slice()
  return new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength))
}

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

/** Whether a payload is a raw whole number, and which. */
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

/**
 * Refuses what would not come back as it went in.
 *
 * @throws TypeError: `undefined` itself, or at any depth a function, a symbol, a promise, a class
 *   instance or a proxy.
 */
export function checkValue(value: unknown): void {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'bigint':
      return
    case 'undefined':
      throw new TypeError('value: undefined is not a value (it means a miss); store null instead')
    default:
      checkStructure(value)
  }
}

function checkStructure(root: unknown): void {
  const seen = new Set<object>()
  const pending: unknown[] = [root]
  while (pending.length > 0) {
    const value = pending.pop()
    if (typeof value === 'function' || typeof value === 'symbol') {
      throw new TypeError(`value: ${show(value)} cannot be stored; store data only`)
    }
    if (typeof value !== 'object' || value === null || seen.has(value)) continue
    seen.add(value)
    pushParts(value, pending)
  }
}

function pushParts(value: object, pending: unknown[]): void {
  if (types.isProxy(value)) {
    throw new TypeError('value: a proxy cannot be stored; store a copy of what is behind it')
  }
  if (Array.isArray(value)) {
    if (!isBuiltIn(value)) throw refusal(value)
    for (const part of partsOf(value)) pending.push(part)
  } else if (types.isMap(value)) {
    if (!isBuiltIn(value)) throw refusal(value)
    for (const [key, part] of value) pending.push(key, part)
  } else if (types.isSet(value)) {
    if (!isBuiltIn(value)) throw refusal(value)
    for (const part of value) pending.push(part)
  } else if (isPlainObject(value)) {
    for (const part of Object.values(value)) pending.push(part)
  } else if (!isCloneable(value) || !isBuiltIn(value)) {
    throw refusal(value)
  }
}

/** Above this, an array is looked at by its keys: it may be empty but for a few. */
const LONG = 1_000_000

function partsOf(array: readonly unknown[]): readonly unknown[] {
  return array.length > LONG ? Object.values(array) : array
}

function isPlainObject(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null
  if (prototype === null) return true
  // By its own property, since plain objects of another realm (a vm context) have another prototype.
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf')
}

function isCloneable(value: object): boolean {
  return (
    types.isDate(value) ||
    types.isRegExp(value) ||
    types.isArrayBuffer(value) ||
    ArrayBuffer.isView(value) ||
    types.isNativeError(value) ||
    (types.isBoxedPrimitive(value) && !types.isSymbolObject(value))
  )
}

/** An instance of a subclass of a built-in would come back as the built-in, flattened. */
function isBuiltIn(value: object): boolean {
  if (Buffer.isBuffer(value)) return Object.getPrototypeOf(value) === Buffer.prototype
  const constructor: unknown = value.constructor
  return (
    typeof constructor === 'function' &&
    Function.prototype.toString.call(constructor).endsWith('{ [native code] }')
  )
}

function refusal(value: object): TypeError {
  return new TypeError(
    types.isPromise(value)
      ? 'value: a promise cannot be stored; await it first'
      : `value: an instance of ${className(value)} cannot be stored, it would lose its methods; store a plain object or an array`,
  )
}

function className(value: object): string {
  const constructor: unknown = value.constructor
  const name = typeof constructor === 'function' ? constructor.name : ''
  return name === '' ? 'a class' : name
}
