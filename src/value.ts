import { types } from 'node:util'
import { show } from './errors.js'

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
  if (types.isMap(value)) {
    if (!isBuiltIn(value)) throw refusal(value)
    for (const [key, part] of value) pending.push(key, part)
  } else if (types.isSet(value)) {
    if (!isBuiltIn(value)) throw refusal(value)
    for (const part of value) pending.push(part)
  } else if (Array.isArray(value) ? isBuiltIn(value) : isPlainObject(value)) {
    // Not the elements of an array one by one: it may have four billion, all but a few of them holes.
    for (const part of Object.values(value)) pending.push(part)
  } else if (!isCloneable(value) || !isBuiltIn(value)) {
    throw refusal(value)
  }
}

/** Also of another realm (a vm context). */
export function isPlainObject(value: object): value is Record<string, unknown> {
  const prototype = Object.getPrototypeOf(value) as object | null
  if (prototype === null) return true
  // By its own property: in another realm it is another prototype.
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
