import { types } from 'node:util'
import { MisuseError, show } from './errors.js'
import { MAX_INSTANCES_DEEP, type ValueTypes } from './value-types.js'

/** What is wrong with a value that was to be stored. */
export class ValueFault extends MisuseError {}

/**
 * Refuses what would not come back as it went in.
 *
 * @param known - The types of the cache. Left out: it takes none.
 * @throws ValueFault: `undefined` itself, or at any depth a function, a symbol, a promise, a proxy or an
 *   instance of a class that none of the types stores.
 */
export function checkValue(value: unknown, known?: ValueTypes): void {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'bigint':
      return
    case 'undefined':
      throw new ValueFault('value: undefined is not a value (it means a miss); store null instead')
    default:
      checkStructure(value, { name: 'value', known, inside: [] })
  }
}

/** What is checked: a value, or what one of the instances in it is stored as. */
interface Subject {
  readonly name: string
  readonly known: ValueTypes | undefined
  /** The instances whose data it is part of. */
  readonly inside: readonly object[]
}

function checkStructure(root: unknown, subject: Subject): void {
  const seen = new Set<object>()
  const pending: unknown[] = [root]
  while (pending.length > 0) {
    const value = pending.pop()
    if (typeof value === 'function' || typeof value === 'symbol') {
      throw refusal(root, value, subject, `${show(value)} cannot be stored; store data only`)
    }
    if (typeof value !== 'object' || value === null || seen.has(value)) continue
    seen.add(value)
    try {
      pushParts(value, pending, subject)
    } catch (error) {
      if (!(error instanceof MisuseError)) throw error
      throw refusal(root, value, subject, error.message, error.cause)
    }
  }
}

/** @throws MisuseError: what keeps an object, apart from its parts, from being stored. */
function pushParts(value: object, pending: unknown[], subject: Subject): void {
  if (types.isProxy(value)) {
    throw new MisuseError('a proxy cannot be stored; store a copy of what is behind it')
  }
  if (Array.isArray(value) ? isPlainArray(value) : isPlainObject(value)) {
    // Not the elements of an array one by one: it may have four billion, all but a few of them holes.
    for (const part of Object.values(value)) pending.push(part)
  } else if (isInstance(value)) checkInstance(value, subject)
  else if (types.isMap(value)) for (const [key, part] of value) pending.push(key, part)
  else if (types.isSet(value)) for (const part of value) pending.push(part)
}

/** Whether an object, which is no proxy, has more to it than its data, so that it has to be said how it is stored. */
export function isInstance(value: object): boolean {
  if (Array.isArray(value)) return !isPlainArray(value)
  if (isPlainObject(value)) return false
  return !(types.isMap(value) || types.isSet(value) || isCloneable(value)) || !isBuiltIn(value)
}

function checkInstance(instance: object, { known, inside }: Subject): void {
  if (types.isPromise(instance)) throw new MisuseError('a promise cannot be stored; await it first')
  const type = known?.of(instance)
  if (known === undefined || type === undefined) {
    throw new MisuseError(instanceFault(instance, known !== undefined))
  }
  if (inside.includes(instance)) {
    throw new MisuseError(
      `encode of the type ${show(type.name)} gives what holds the same instance again; let it give an id in its place`,
    )
  }
  if (inside.length === MAX_INSTANCES_DEEP) {
    throw new MisuseError(
      `more than ${MAX_INSTANCES_DEEP} instances lie inside of the data of one another; let encode give ids in their place`,
    )
  }
  const data = known.encode(type, instance)
  const refused = `encode of the type ${show(type.name)} gave what cannot be stored`
  if (data === undefined) throw new MisuseError(`${refused}: undefined; let it give null instead`)
  try {
    checkStructure(data, { name: 'data', known, inside: [...inside, instance] })
  } catch (error) {
    if (!(error instanceof MisuseError)) throw error
    throw new MisuseError(`${refused} (${error.message})`, causedBy(error.cause))
  }
}

/** @param mayHaveType - Whether somebody can say how it is stored. */
function instanceFault(value: object, mayHaveType: boolean): string {
  const name = className(value)
  const example = 'toJSON' in value ? ', such as what its toJSON() gives' : ''
  const recipe = mayHaveType
    ? `, or say how it is stored: options: { types: [{ name: ${JSON.stringify(name ?? 'Example')}, is, encode, decode }] }, see docs/values.md`
    : ''
  return `an instance of ${name ?? 'a class'} cannot be stored, it would lose its methods; store a plain object or an array${example}${recipe}`
}

/** @param fault - What keeps a part of a value from being stored. */
function refusal(
  root: unknown,
  part: unknown,
  { name }: Subject,
  fault: string,
  cause?: unknown,
): ValueFault {
  return new ValueFault(`${name}${pathTo(root, part)}: ${fault}`, causedBy(cause))
}

function causedBy(cause: unknown): ErrorOptions | undefined {
  return cause === undefined ? undefined : { cause }
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

/** No subclass of it; also of another realm (a vm context). */
export function isPlainArray(value: readonly unknown[]): boolean {
  return Object.getPrototypeOf(value) === Array.prototype || isBuiltIn(value)
}

/** Also of another realm (a vm context). */
export function isPlainObject(value: object): value is Record<string, unknown> {
  const prototype = Object.getPrototypeOf(value) as object | null
  if (prototype === null) return true
  if (Object.getPrototypeOf(prototype) !== null) return false
  // By its own property: in another realm it is another prototype. An empty one adds nothing to an object.
  return Object.hasOwn(prototype, 'isPrototypeOf') || Reflect.ownKeys(prototype).length === 0
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

function className(value: object): string | undefined {
  const constructor: unknown = value.constructor
  const name = typeof constructor === 'function' ? constructor.name : ''
  return name === '' ? undefined : name
}
