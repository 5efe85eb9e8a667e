import { isUtf8 } from 'node:buffer'
import { types } from 'node:util'
import { MisuseError, show } from './errors.js'
import { MAX_INSTANCES_DEEP, unknownType, type ValueTypes } from './value-types.js'
import { isInstance, isPlainArray, isPlainObject } from './value.js'

/**
 * JSON of a value that JSON can say in full: a tree of plain objects and dense arrays, of texts,
 * finite numbers, booleans and nulls.
 *
 * @returns `undefined` for any other value, and for one too deep for the stack.
 */
export function toJson(root: unknown): string | undefined {
  const seen = new Set<object>()
  const pending: unknown[] = [root]
  while (pending.length > 0) {
    const value = pending.pop()
    if (typeof value === 'string' || typeof value === 'boolean' || value === null) continue
    if (typeof value === 'number') {
      if (isJsonNumber(value)) continue
      return undefined
    }
    // What occurs twice must be one object again.
    if (typeof value !== 'object' || seen.has(value)) return undefined
    seen.add(value)
    if (!pushJsonParts(value, pending)) return undefined
  }
  try {
    return JSON.stringify(root)
  } catch {
    return undefined
  }
}

function isJsonNumber(value: number): boolean {
  return Number.isFinite(value) && !Object.is(value, -0)
}

function pushJsonParts(value: object, pending: unknown[]): boolean {
  const isJson = Array.isArray(value)
    ? isPlainArray(value) && isList(value) && !value.includes(undefined)
    : isPlainObject(value)
  if (!isJson) return false
  for (const part of Object.values(value)) pending.push(part)
  return true
}

/** Whether an array is its elements and nothing else: no holes, and no properties besides. */
function isList(array: readonly unknown[]): boolean {
  if (Object.values(array).length !== array.length) return false
  // A hole and a property make up for each other. `includes` sees holes, and is quick.
  if (!array.includes(undefined)) return true
  for (let i = 0; i < array.length; i++) if (!Object.hasOwn(array, i)) return false
  return true
}

/*
 * A graph is u32 length + JSON + bytes. The JSON is an array: the value, then one node per object in
 * the order met. Within, texts, finite numbers, booleans and null stand for themselves, and an array
 * is one of
 *   [3]             the third object
 *   ["u"]           undefined
 *   ["#", text]     NaN, Infinity, -Infinity, -0
 *   ["n", hex]      a bigint
 * A node is an object, for a plain one, or
 *   ["A", …]                 an array
 *   ["S", length, [k, v], …] an array with holes or properties
 *   ["M", k, v, …]           a Map
 *   ["E", …]                 a Set
 *   ["D", ms]                a date; null for an invalid one
 *   ["R", source, flags]     a regular expression
 *   ["X", name, message, stack, cause]  an error; null for what it has not
 *   ["P", value]             a boxed primitive
 *   ["B", type, length]      the next so many of the bytes: an ArrayBuffer or a view of one
 *   ["T", name, length]      the next so many of the bytes, a graph: what a type of the cache stores of an
 *                            instance. On its own, so that all of it is there when the instance is made of it.
 */

/**
 * Turns any value into bytes.
 *
 * @param known - The types of the cache. Left out: there are none.
 * @throws MisuseError: a function or a symbol, at any depth, or an instance that a type cannot store.
 */
export function writeGraph(root: unknown, known?: ValueTypes): Buffer {
  return new GraphWriter(known, 0).write(root)
}

class GraphWriter {
  readonly #known: ValueTypes | undefined
  readonly #depth: number
  readonly #places = new Map<object, number>()
  readonly #objects: object[] = []
  readonly #bytes: Uint8Array[] = []

  /** @param depth - The instances that the value lies in. */
  constructor(known: ValueTypes | undefined, depth: number) {
    this.#known = known
    this.#depth = depth
  }

  write(root: unknown): Buffer {
    const parts = [this.#encode(root)]
    // It grows as parts are met.
    for (const object of this.#objects) parts.push(this.#node(object))
    const json = Buffer.from(JSON.stringify(parts))
    const length = Buffer.allocUnsafe(4)
    length.writeUInt32LE(json.length)
    return Buffer.concat([length, json, ...this.#bytes])
  }

  #encode(value: unknown): unknown {
    switch (typeof value) {
      case 'string':
      case 'boolean':
        return value
      case 'number':
        return isJsonNumber(value) ? value : ['#', Object.is(value, -0) ? '-0' : String(value)]
      case 'undefined':
        return ['u']
      case 'bigint':
        return ['n', value.toString(16)]
      case 'object':
        return value === null ? null : [this.#placeOf(value)]
      case 'function':
      case 'symbol':
        throw new MisuseError(`value: ${show(value)} cannot be stored; store data only`)
    }
  }

  #placeOf(object: object): number {
    const known = this.#places.get(object)
    if (known !== undefined) return known
    const place = this.#objects.push(object)
    this.#places.set(object, place)
    return place
  }

  #node(object: object): unknown {
    if (this.#known !== undefined && isInstance(object)) return this.#typed(object, this.#known)
    if (Array.isArray(object)) return this.#array(object)
    if (types.isMap(object)) {
      const node: unknown[] = ['M']
      for (const [key, value] of object) node.push(this.#encode(key), this.#encode(value))
      return node
    }
    if (types.isSet(object)) {
      const node: unknown[] = ['E']
      for (const value of object) node.push(this.#encode(value))
      return node
    }
    if (types.isDate(object)) return ['D', object.getTime()]
    if (types.isRegExp(object)) return ['R', object.source, object.flags]
    if (types.isNativeError(object)) return this.#error(object)
    if (types.isBoxedPrimitive(object)) return ['P', this.#encode(object.valueOf())]
    if (types.isAnyArrayBuffer(object) || ArrayBuffer.isView(object)) return this.#view(object)
    return this.#record(object)
  }

  #typed(instance: object, known: ValueTypes): unknown {
    const type = known.of(instance)
    // It was checked, and may have been changed since.
    if (type === undefined || this.#depth === MAX_INSTANCES_DEEP) {
      throw new MisuseError(`value: ${show(instance)} in it cannot be stored any more`)
    }
    const bytes = new GraphWriter(known, this.#depth + 1).write(known.encode(type, instance))
    this.#bytes.push(bytes)
    return ['T', type.name, bytes.length]
  }

  #record(object: object): unknown {
    // Without prototype, since "__proto__" is a key like any other.
    const node = Object.create(null) as Record<string, unknown>
    for (const [key, value] of Object.entries(object)) node[key] = this.#encode(value)
    return node
  }

  #array(array: readonly unknown[]): unknown[] {
    if (isList(array)) {
      const node: unknown[] = ['A']
      for (const value of array) node.push(this.#encode(value))
      return node
    }
    const node: unknown[] = ['S', array.length]
    for (const [key, value] of Object.entries(array)) node.push([key, this.#encode(value)])
    return node
  }

  #error(error: Error): unknown[] {
    const own = (key: 'message' | 'stack') =>
      Object.hasOwn(error, key) && typeof error[key] === 'string' ? error[key] : null
    const cause = Object.hasOwn(error, 'cause') ? [this.#encode(error.cause)] : null
    return ['X', error.name, own('message'), own('stack'), cause]
  }

  #view(object: ArrayBufferLike | ArrayBufferView): unknown[] {
    const bytes = ArrayBuffer.isView(object)
      ? new Uint8Array(object.buffer, object.byteOffset, object.byteLength)
      : new Uint8Array(object)
    this.#bytes.push(bytes)
    const type = Buffer.isBuffer(object) ? 'Buffer' : Object.prototype.toString.call(object)
    return ['B', type.replace(/^\[object (.*)\]$/, '$1'), bytes.length]
  }
}

/**
 * Reads what {@link writeGraph} wrote. Hostile bytes take no more memory than a small multiple of
 * their length, and run nothing but the types that are known.
 *
 * @param known - As in {@link writeGraph}.
 * @throws Error: the bytes are damaged, or are of a type that is not known.
 */
export function readGraph(bytes: Buffer, known?: ValueTypes): unknown {
  return read(bytes, known, 0)
}

function read(bytes: Buffer, known: ValueTypes | undefined, depth: number): unknown {
  const end = bytes.length < 4 ? Infinity : 4 + bytes.readUInt32LE(0)
  if (end > bytes.length) throw new Error('payload: truncated graph')
  const json = bytes.subarray(4, end)
  if (!isUtf8(json)) throw new Error('payload: damaged graph')
  const parts: unknown = JSON.parse(json.toString())
  if (!Array.isArray(parts) || parts.length === 0) throw new Error('payload: damaged graph')
  return new GraphReader(parts as unknown[], bytes.subarray(end), known, depth).read()
}

class GraphReader {
  readonly #objects: object[] = []
  #used = 0

  constructor(
    readonly parts: readonly unknown[],
    readonly bytes: Buffer,
    readonly known: ValueTypes | undefined,
    readonly depth: number,
  ) {}

  read(): unknown {
    for (let i = 1; i < this.parts.length; i++) this.#objects.push(this.#make(this.parts[i]))
    if (this.#used !== this.bytes.length) throw damage()
    // Only now is there something to refer to.
    for (let i = 1; i < this.parts.length; i++) {
      this.#fill(this.#objects[i - 1] as object, this.parts[i] as object)
    }
    const value = this.#decode(this.parts[0])
    if (value === undefined) throw damage()
    return value
  }

  #decode(part: unknown): unknown {
    if (typeof part !== 'object' || part === null) return part
    if (!Array.isArray(part)) throw damage()
    const [kind, text] = part as unknown[]
    if (typeof kind === 'number' && part.length === 1) {
      const object = this.#objects[kind - 1]
      if (object !== undefined) return object
    }
    if (kind === 'u') return undefined
    if (kind === '#' && typeof text === 'string') {
      const value = SPECIAL_NUMBERS.get(text)
      if (value !== undefined) return value
    }
    if (kind === 'n' && typeof text === 'string' && /^-?[0-9a-f]+$/.test(text)) {
      return text.startsWith('-') ? -BigInt(`0x${text.slice(1)}`) : BigInt(`0x${text}`)
    }
    throw damage()
  }

  #make(node: unknown): object {
    if (typeof node !== 'object' || node === null) throw damage()
    if (!Array.isArray(node)) return {}
    const [kind, ...rest] = (node as unknown[]).slice(0, 4)
    switch (kind) {
      case 'A':
        return []
      case 'S':
        return emptyArray(rest[0])
      case 'M':
        return new Map()
      case 'E':
        return new Set()
      case 'D':
        return new Date(rest[0] === null ? NaN : asNumber(rest[0]))
      case 'R':
        return new RegExp(asText(rest[0]), asText(rest[1]))
      case 'X':
        return makeError(rest)
      case 'P':
        return box(this.#decode(rest[0]))
      case 'B':
        return makeView(asText(rest[0]), this.#take(asNumber(rest[1])))
      case 'T':
        return this.#typed(asText(rest[0]), this.#take(asNumber(rest[1])))
      default:
        throw damage()
    }
  }

  #typed(name: string, bytes: Buffer): object {
    if (this.known === undefined) throw unknownType(name)
    if (this.depth === MAX_INSTANCES_DEEP) throw damage()
    return this.known.decode(name, read(bytes, this.known, this.depth + 1))
  }

  /** Each byte is given out once, so that views cannot take more than there is. */
  #take(length: number): Buffer {
    const end = this.#used + length
    if (!Number.isSafeInteger(length) || length < 0 || end > this.bytes.length) throw damage()
    const taken = this.bytes.subarray(this.#used, end)
    this.#used = end
    return taken
  }

  #fill(object: object, node: object): void {
    if (!Array.isArray(node)) {
      for (const [key, part] of Object.entries(node)) put(object, key, this.#decode(part))
      return
    }
    const parts = node as unknown[]
    switch (parts[0]) {
      case 'A':
        for (let i = 1; i < parts.length; i++) (object as unknown[]).push(this.#decode(parts[i]))
        break
      case 'S':
        for (let i = 2; i < parts.length; i++) this.#putElement(object as unknown[], parts[i])
        break
      case 'M':
        if (parts.length % 2 === 0) throw damage()
        for (let i = 1; i < parts.length; i += 2) {
          ;(object as Map<unknown, unknown>).set(this.#decode(parts[i]), this.#decode(parts[i + 1]))
        }
        break
      case 'E':
        for (let i = 1; i < parts.length; i++) (object as Set<unknown>).add(this.#decode(parts[i]))
        break
      case 'X':
        if (Array.isArray(parts[4])) {
          define(object, 'cause', this.#decode((parts[4] as unknown[])[0]))
        }
    }
  }

  #putElement(array: unknown[], pair: unknown): void {
    if (!Array.isArray(pair)) throw damage()
    const [key, part] = pair as unknown[]
    const { length } = array
    if (typeof key !== 'string' || key === 'length') throw damage()
    put(array, key, this.#decode(part))
    // An index beyond the length would make it longer, and an array of another kind.
    if (array.length !== length) throw damage()
  }
}

const SPECIAL_NUMBERS: ReadonlyMap<string, number> = new Map([
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
  ['-0', -0],
])

function damage(): Error {
  return new Error('payload: damaged graph')
}

function asNumber(part: unknown): number {
  if (typeof part === 'number') return part
  throw damage()
}

function asText(part: unknown): string {
  if (typeof part === 'string') return part
  throw damage()
}

function put(object: object, key: string, value: unknown): void {
  // Assigning to "__proto__" would set the prototype.
  if (key === '__proto__') define(object, key, value, true)
  else (object as Record<string, unknown>)[key] = value
}

function define(object: object, key: string, value: unknown, enumerable = false): void {
  Object.defineProperty(object, key, { value, enumerable, writable: true, configurable: true })
}

const MAX_LENGTH = 2 ** 32 - 1

function emptyArray(length: unknown): unknown[] {
  const array: unknown[] = []
  if (!Number.isInteger(length) || (length as number) < 0 || (length as number) > MAX_LENGTH) {
    throw damage()
  }
  // An array that once had an element far out keeps its elements in a table. In any other a length
  // of thirty million takes its memory at once, whatever is in it.
  if ((length as number) > 32) array[MAX_LENGTH - 1] = undefined
  array.length = length as number
  return array
}

const ERRORS = new Map<string, new () => Error>(
  [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((one) => [
    one.prototype.name,
    one,
  ]),
)

function makeError([name, message, stack]: readonly unknown[]): Error {
  const error = new (ERRORS.get(asText(name)) ?? Error)()
  define(error, 'stack', stack === null ? undefined : asText(stack))
  if (message !== null) define(error, 'message', asText(message))
  return error
}

function box(value: unknown): object {
  if (value === null || value === undefined || typeof value === 'object') throw damage()
  return Object(value) as object
}

type ViewConstructor = new (buffer: ArrayBuffer) => ArrayBufferView

const VIEWS: ReadonlySet<string> = new Set(
  ['Int8', 'Uint8', 'Uint8Clamped', 'Int16', 'Uint16', 'Int32', 'Uint32', 'Float16', 'Float32']
    .concat(['Float64', 'BigInt64', 'BigUint64'])
    .map((type) => `${type}Array`)
    .concat('DataView'),
)

/** Always a copy: what is read must not lie in the bytes that are kept. */
function makeView(type: string, bytes: Buffer): ArrayBufferView | ArrayBuffer {
  if (type === 'Buffer') return Buffer.from(bytes)
  const buffer = new Uint8Array(bytes).buffer
  if (type === 'ArrayBuffer') return buffer
  const constructor = VIEWS.has(type) ? (globalThis as Record<string, unknown>)[type] : undefined
  if (typeof constructor !== 'function') throw damage()
  return new (constructor as ViewConstructor)(buffer)
}
