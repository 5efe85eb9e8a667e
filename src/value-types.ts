import { didYouMean } from './did-you-mean.js'
import { textOfError } from './error-text.js'
import { InvalidCacheBackendError, MisuseError, show } from './errors.js'

/**
 * How to store the instances of a class, or values of some other kind.
 *
 * @typeParam Instance - What it stores. To have the functions checked, append
 *   `satisfies ValueType<Decimal, string>` to the object.
 * @typeParam Data - What is stored instead of an instance.
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a list has types of many kinds
export interface ValueType<Instance = any, Data = any> {
  /**
   * The name that its instances are stored under. It must differ from the names of all other types. An entry
   * is a miss in a process that does not know its name. So are the entries that a renamed type left behind.
   */
  readonly name: string
  /**
   * Whether a value is one of its instances. The first type that returns `true` stores the value. It is
   * called only for values that could not be stored otherwise: not for plain objects and arrays, a `Date`, a
   * `Map` and similar objects, promises or proxies.
   */
  readonly is: (value: unknown) => boolean
  /**
   * Returns data that represents an instance completely: anything that can be stored, including instances of
   * types. It may be called several times for one `set`, and must not change anything.
   */
  readonly encode: (instance: Instance) => Data
  /**
   * Creates an instance, for which `is` must return `true`, from what `encode` returned. The data comes from
   * the store: anybody who can write there chooses it. If it throws, the entry is a miss, which is reported.
   */
  readonly decode: (data: Data) => Instance
}

/** Options for the values of every cache. */
export interface ValueOptions {
  /**
   * How instances of classes are stored: ORM rows, decimals, a `URL`, dates of libraries. Caches that share a
   * store have the same types. Default: instances are refused.
   */
  readonly types?: readonly ValueType[] | undefined
}

/** How deep instances may lie inside of the data of one another. */
export const MAX_INSTANCES_DEEP = 100

const KEYS = ['name', 'is', 'encode', 'decode'] as const

/** The types of one cache. */
export class ValueTypes {
  readonly #types: ReadonlyMap<string, ValueType>

  /**
   * @param backend - The class, for messages.
   * @throws InvalidCacheBackendError: they are no list of types, or two have one name.
   */
  constructor(backend: string, { types = [] }: { readonly types?: unknown }) {
    if (!Array.isArray(types)) {
      throw new InvalidCacheBackendError(
        `${backend}: options.types: ${show(types)} is not a list; give for example [{ name: "URL", is, encode, decode }]`,
      )
    }
    const known = new Map<string, ValueType>()
    for (const [i, type] of (types as unknown[]).entries()) {
      const place = `${backend}: options.types[${i}]`
      checkType(place, type)
      if (known.has(type.name)) {
        throw new InvalidCacheBackendError(
          `${place}.name: ${show(type.name)} is the name of another type, too; give each a name of its own`,
        )
      }
      known.set(type.name, type)
    }
    this.#types = known
  }

  get isEmpty(): boolean {
    return this.#types.size === 0
  }

  /**
   * The type that stores an instance, if one does.
   *
   * @throws TypeError: `is` of a type fails.
   */
  of(instance: object): ValueType | undefined {
    for (const type of this.#types.values()) if (isOf(type, instance)) return type
    return undefined
  }

  /** What is stored for an instance; unchecked. @throws TypeError: `encode` fails. */
  encode(type: ValueType, instance: object): unknown {
    return called(type, 'encode', () => type.encode(instance) as unknown)
  }

  /**
   * Makes the instance of what was stored for it.
   *
   * @throws Error: there is no such type here, or it cannot make one of this.
   */
  decode(name: string, data: unknown): object {
    const type = this.#types.get(name)
    if (type === undefined) throw unknownType(name)
    const instance = called(type, 'decode', () => type.decode(data) as unknown)
    if (typeof instance === 'object' && instance !== null && isOf(type, instance)) return instance
    throw fault(type, 'decode', `gave ${show(instance)}, to which its is does not agree`)
  }
}

/** An entry of another release, or of a cache with other types. */
export function unknownType(name: string): Error {
  return new Error(`payload: the type ${show(name)} is none of this cache's options.types`)
}

function checkType(place: string, type: unknown): asserts type is ValueType {
  if (typeof type !== 'object' || type === null) {
    throw new InvalidCacheBackendError(
      `${place}: ${show(type)} is not a type; give { name, is, encode, decode }`,
    )
  }
  const unknown = Object.keys(type).find((key) => !(KEYS as readonly string[]).includes(key))
  if (unknown !== undefined) {
    throw new InvalidCacheBackendError(
      `${place}: unknown name ${show(unknown)}; a type has ${KEYS.join(', ')}${didYouMean(unknown, KEYS)}`,
    )
  }
  const given = type as Record<(typeof KEYS)[number], unknown>
  const { name } = given
  if (typeof name !== 'string' || name === '') {
    throw new InvalidCacheBackendError(
      `${place}.name: ${show(name)} is not a name; give a string, such as the name of the class`,
    )
  }
  for (const key of ['is', 'encode', 'decode'] as const) {
    const hook = given[key]
    if (typeof hook === 'function') continue
    throw new InvalidCacheBackendError(
      `${place}.${key}: ${hook === undefined ? 'it is missing; give a function' : `${show(hook)} is not a function`}`,
    )
  }
}

function isOf(type: ValueType, value: object): boolean {
  const answer: unknown = called(type, 'is', () => type.is(value))
  if (typeof answer === 'boolean') return answer
  // A promise, of all things, would take everything for its own.
  throw fault(type, 'is', `gave ${show(answer)}; make it give true or false`)
}

function called<T>(type: ValueType, key: string, call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw fault(type, key, `threw ${textOfError(error)}`, error)
  }
}

function fault({ name }: ValueType, key: string, what: string, cause?: unknown): MisuseError {
  const options = cause === undefined ? undefined : { cause }
  return new MisuseError(`${key} of the type ${show(name)} ${what}`, options)
}
