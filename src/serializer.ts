import { deserialize, serialize } from 'node:v8'
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
      return bytes.toString('utf8', 1)
    case BUFFER:
      return Buffer.from(bytes.subarray(1))
    case BYTES:
      return new Uint8Array(bytes.subarray(1))
    case STRUCTURED:
      return deserialize(bytes.subarray(1))
    default:
      return parseInteger(bytes)
  }
}

/**
 * Reads a payload as a raw whole number.
 *
 * @throws Error: it is none.
 */
function parseInteger(bytes: Buffer): number {
  const text = bytes.toString('latin1')
  const value = /^-?(?:0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : NaN
  if (!Number.isSafeInteger(value)) throw new Error('payload: unknown kind')
  return value
}

/** Whether a payload is a raw whole number, and which. */
export function readInteger(payload: Uint8Array): number | undefined {
  const first = payload[0]
  if (first === undefined || (first !== 0x2d && (first < 0x30 || first > 0x39))) return undefined
  return parseInteger(asBuffer(payload))
}

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
 * @throws TypeError: `undefined`, a function, a symbol, a promise, a class instance or a proxy,
 *   at any depth.
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
  const kind = Object.prototype.toString.call(value)
  if (Array.isArray(value)) {
    // Not push(...value): the stack holds about 100 000 arguments.
    for (const part of value as unknown[]) pending.push(part)
  } else if (kind === '[object Map]') {
    for (const [key, part] of value as Map<unknown, unknown>) pending.push(key, part)
  } else if (kind === '[object Set]') {
    for (const part of value as Set<unknown>) pending.push(part)
  } else if (isPlainObject(value)) {
    for (const key of Object.keys(value)) pending.push((value as Record<string, unknown>)[key])
  } else if (!isCloneable(value, kind)) {
    throw new TypeError(
      kind === '[object Promise]'
        ? 'value: a promise cannot be stored; await it first'
        : `value: an instance of ${className(value)} cannot be stored, it would lose its methods; store a plain object or an array`,
    )
  }
}

function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  // Plain objects of another realm (a vm context) end their chain one step later too.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

const CLONEABLE = new Set(
  ['Date', 'RegExp', 'Boolean', 'Number', 'String', 'BigInt', 'ArrayBuffer', 'Error'].map(
    (name) => `[object ${name}]`,
  ),
)

/** Built-ins keep their class; a subclass of one would come back as the built-in, flattened. */
function isCloneable(value: object, kind: string): boolean {
  if (!CLONEABLE.has(kind) && !ArrayBuffer.isView(value)) return false
  if (Buffer.isBuffer(value)) return true
  const constructor: unknown = value.constructor
  return typeof constructor === 'function' && isBuiltIn(constructor)
}

function isBuiltIn(constructor: object): boolean {
  return Function.prototype.toString.call(constructor).endsWith('{ [native code] }')
}

function className(value: object): string {
  const constructor: unknown = value.constructor
  const name = typeof constructor === 'function' ? constructor.name : ''
  return name === '' ? 'a class' : name
}
