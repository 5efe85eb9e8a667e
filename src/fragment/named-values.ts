import { types } from 'node:util'
import { CacheTagError, show, type TagPosition } from '../errors.js'
import { packValue, unpackValue } from '../serializer.js'
import { checkValue } from '../value.js'

/** The values that a nocache block names, by name. */
export type NamedValues = Readonly<Record<string, unknown>>

/** What a stored hole says: which one it is, and the values that were named where it was met. */
export interface NamedHole {
  readonly id: string
  readonly values: NamedValues
}

const NONE: NamedValues = Object.freeze({})

/** No id has it, and neither have values in their stored form. */
const MARK = ':'

/** The faults of what a nocache block sees, in the same words for every engine. */
export const holeFaults = {
  ownName: (name: string, example: string, position: TagPosition): CacheTagError =>
    new CacheTagError(
      `this nocache block uses ${show(name)}, which is made in its template, and a block sees the context that the page was rendered with and the values that it names; name it: ${example}, or define what is not data, such as a macro or a function, inside the block`,
      position,
    ),

  value: (name: string, reason: string, position: TagPosition, cause: unknown): CacheTagError =>
    new CacheTagError(
      `the value that nocache names ${show(name)} cannot be kept with the fragment (${reason}); name data, such as an id or a string`,
      position,
      { cause },
    ),

  otherRender: (position: TagPosition): CacheTagError =>
    new CacheTagError(
      'this nocache block is rendered by a render of its own inside a cached body, whose context is not there on a hit; include its template instead, or put that render outside of the cached body',
      position,
    ),
}

/**
 * Puts the values that a block names into what is stored for it. They are kept as they are now.
 *
 * @param id - The block in its template.
 * @throws CacheTagError: a value could not be stored in a cache.
 */
export function nameValues(id: string, values: NamedValues, position: TagPosition): string {
  const names = Object.keys(values)
  if (names.length === 0) return id
  const kept: Record<string, unknown> = {}
  for (const name of names) {
    const value = values[name]
    if (value !== undefined) checkNamed(name, value, position)
    define(kept, name, value)
  }
  return `${id}${MARK}${Buffer.from(packValue(kept)).toString('base64url')}`
}

function checkNamed(name: string, value: unknown, position: TagPosition): void {
  try {
    checkValue(value)
  } catch (error) {
    const reason = (error as Error).message.replace(/^value: /, '')
    throw holeFaults.value(name, reason, position, error)
  }
}

/**
 * Reads what {@link nameValues} made.
 *
 * @throws Error: it is damaged.
 */
export function readNamed(stored: string): NamedHole {
  const at = stored.indexOf(MARK)
  if (at < 0) return { id: stored, values: NONE }
  const bytes = Buffer.from(stored.slice(at + MARK.length), 'base64url')
  const values: unknown = unpackValue(bytes)
  if (typeof values !== 'object' || values === null) throw new Error('nocache: damaged values')
  return { id: stored.slice(0, at), values: values as NamedValues }
}

/** Returns a context with the named values of a block added. The context itself does not change. */
export function withValues(context: unknown, values: NamedValues): unknown {
  const names = Object.keys(values)
  if (names.length === 0) return context
  if (typeof context !== 'object' || context === null) return { ...values }
  const seen = Array.isArray(context) ? (context as unknown[]).slice() : copyOfPlain(context)
  if (seen === undefined) return over(context, values)
  for (const name of names) define(seen, name, values[name])
  return seen
}

/**
 * A copy of an object, in which everything may be changed. Getters are not called.
 *
 * @returns `undefined`: it is of a class, a list or a proxy, of which no copy does all that it does.
 */
export function copyOfPlain(object: object): object | undefined {
  const prototype = Object.getPrototypeOf(object) as object | null
  if ((prototype !== Object.prototype && prototype !== null) || types.isProxy(object))
    return undefined
  const properties: PropertyDescriptorMap = Object.getOwnPropertyDescriptors(object)
  for (const name of Reflect.ownKeys(properties)) {
    const property = properties[name]
    if (property !== undefined) property.configurable = true
  }
  return Object.create(prototype, properties) as object
}

/** An object of a class, which may have private members, with values before its own. */
function over(context: object, values: NamedValues): object {
  const named = (name: PropertyKey) => Object.hasOwn(values, name)
  const get = (name: PropertyKey): unknown => {
    if (named(name)) return values[name as string]
    const value: unknown = Reflect.get(context, name)
    return typeof value === 'function' ? (value.bind(context) as unknown) : value
  }
  return new Proxy(
    {},
    {
      get: (_, name) => get(name),
      has: (_, name) => named(name) || Reflect.has(context, name),
      ownKeys: () => [...new Set([...Reflect.ownKeys(context), ...Object.keys(values)])],
      getOwnPropertyDescriptor(_, name) {
        const isOwn = named(name) || Object.hasOwn(context, name)
        if (!isOwn) return undefined
        return { value: get(name), configurable: true, enumerable: true, writable: true }
      },
      getPrototypeOf: () => Object.getPrototypeOf(context) as object | null,
    },
  )
}

/** Also a name that means something to every object. */
function define(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, {
    value,
    configurable: true,
    enumerable: true,
    writable: true,
  })
}
