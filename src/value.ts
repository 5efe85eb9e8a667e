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
      throw refusal(root, value, `${show(value)} cannot be stored; store data only`)
    }
    if (typeof value !== 'object' || value === null || seen.has(value)) continue
    seen.add(value)
    const fault = pushParts(value, pending)
    if (fault !== undefined) throw refusal(root, value, fault)
  }
}

/** @returns What keeps an object, apart from its parts, from being stored; `undefined`: nothing does. */
function pushParts(value: object, pending: unknown[]): string | undefined {
  if (types.isProxy(value)) return 'a proxy cannot be stored; store a copy of what is behind it'
  if (Array.isArray(value) ? isBuiltIn(value) : isPlainObject(value)) {
    // Not the elements of an array one by one: it may have four billion, all but a few of them holes.
    for (const part of Object.values(value)) pending.push(part)
    return undefined
  }
  if (types.isPromise(value)) return 'a promise cannot be stored; await it first'
  const [isMap, isSet] = [types.isMap(value), types.isSet(value)]
  if (!(isMap || isSet || isCloneable(value)) || !isBuiltIn(value)) return instanceFault(value)
  if (isMap) for (const [key, part] of value as Map<unknown, unknown>) pending.push(key, part)
  if (isSet) for (const part of value as Set<unknown>) pending.push(part)
  return undefined
}

function instanceFault(value: object): string {
  const example = 'toJSON' in value ? ', such as what its toJSON() gives' : ''
  return `an instance of ${className(value)} cannot be stored, it would lose its methods; store a plain object or an array${example}`
}

/** @param fault - What keeps a part of a value from being stored. */
function refusal(root: unknown, part: unknown, fault: string): TypeError {
  return new TypeError(`value${pathTo(root, part)}: ${fault}`)
}

/** Longest path that is shown. */
const MAX_PATH = 200

/** How a part of a value is reached, as in `[0].price`. Looked for only once it is refused. */
function pathTo(root: unknown, part: unknown): string {
  const seen = new Set<unknown>()
  const pending: (readonly [value: unknown, path: string])[] = [[root, '']]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [value, path] = next
    if (value === part) return path
    if (typeof value !== 'object' || value === null || seen.has(value)) continue
    seen.add(value)
    if (path.length > MAX_PATH) continue
    for (const [step, inside] of stepsIn(value)) pending.push([inside, path + step])
  }
  return ', deep inside'
}

function stepsIn(value: object): (readonly [step: string, inside: unknown])[] {
  if (types.isMap(value)) {
    return [...value].flatMap(([key, inside]) => [
      ['.keys()', key] as const,
      [`.get(${show(key)})`, inside] as const,
    ])
  }
  if (types.isSet(value)) return [...value].map((inside) => ['.values()', inside] as const)
  if (Array.isArray(value)) return Object.entries(value).map(([at, inside]) => [`[${at}]`, inside])
  if (!isPlainObject(value)) return []
  return Object.entries(value).map(([name, inside]) => [
    /^[A-Za-z_$][\w$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`,
    inside,
  ])
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

function className(value: object): string {
  const constructor: unknown = value.constructor
  const name = typeof constructor === 'function' ? constructor.name : ''
  return name === '' ? 'a class' : name
}
