import type {
  GetOrSetOptions,
  InvalidateOptions,
  KeyOptions,
  SetOptions,
  TouchOptions,
} from './cache-options.js'
import type { EntryDescription } from './describe.js'
import type { Version } from './keys.js'
import type { ProducerContext } from './making/production.js'
import type { ResolvedSettings } from './settings.js'

/** The keys of a schema. A key such as `` `user:${number}` `` stands for all of its kind. */
export type SchemaKey<S> = keyof S & string

/** The keys that hold numbers. */
export type CounterKey<S> = {
  [K in SchemaKey<S>]: S[K] extends number ? K : never
}[SchemaKey<S>]

/** What `getMany` of a {@link TypedCache} returns. */
export interface TypedMap<S, K extends SchemaKey<S>> extends Map<K, S[K]> {
  get<One extends K>(key: One): S[One] | undefined
}

/**
 * A cache with declared keys and values. It is the same object as the cache whose `typed` returned it. The
 * content of the store is not checked.
 *
 * @typeParam S - An interface of keys and the types of their values.
 */
export interface TypedCache<S extends object> {
  readonly alias: string
  readonly answersAtOnce: boolean
  readonly isShared: boolean
  readonly settings: ResolvedSettings
  /** Works like `makeKey` of `Cache`. */
  makeKey(key: SchemaKey<S>, version?: Version): string
  /** Works like `get` of `Cache`. */
  get<K extends SchemaKey<S>, D extends S[K] | null | undefined = undefined>(
    key: K,
    options?: KeyOptions & { readonly default?: D },
  ): Promise<S[K] | D>
  /** Works like `set` of `Cache`. */
  set<K extends SchemaKey<S>>(key: K, value: S[K], options?: SetOptions): Promise<void>
  /** Works like `add` of `Cache`. */
  add<K extends SchemaKey<S>>(key: K, value: S[K], options?: SetOptions): Promise<boolean>
  /** Works like `touch` of `Cache`. */
  touch(key: SchemaKey<S>, options?: TouchOptions): Promise<boolean>
  /** Works like `expire` of `Cache`. */
  expire(key: SchemaKey<S>, options?: KeyOptions): Promise<boolean>
  /** Works like `delete` of `Cache`. */
  delete(key: SchemaKey<S>, options?: KeyOptions): Promise<boolean>
  /** Works like `has` of `Cache`. */
  has(key: SchemaKey<S>, options?: KeyOptions): Promise<boolean>
  /** Works like `getMany` of `Cache`. */
  getMany<K extends SchemaKey<S>>(keys: Iterable<K>, options?: KeyOptions): Promise<TypedMap<S, K>>
  /** Works like `setMany` of `Cache`. */
  setMany(
    entries: Readonly<Partial<S>> | Iterable<SchemaEntry<S>>,
    options?: SetOptions,
  ): Promise<SchemaKey<S>[]>
  /** Works like `deleteMany` of `Cache`. */
  deleteMany(keys: Iterable<SchemaKey<S>>, options?: KeyOptions): Promise<void>
  /** Works like `getOrSet` of `Cache`. */
  getOrSet<K extends SchemaKey<S>>(
    key: K,
    valueOrProducer: S[K] | ((context: ProducerContext<S[K]>) => S[K] | Promise<S[K]>),
    options?: GetOrSetOptions,
  ): Promise<S[K]>
  /** Works like `incr` of `Cache`. */
  incr(key: CounterKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  /** Works like `decr` of `Cache`. */
  decr(key: CounterKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  /** Works like `incrVersion` of `Cache`. */
  incrVersion(key: SchemaKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  /** Works like `decrVersion` of `Cache`. */
  decrVersion(key: SchemaKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  /** Works like `describe` of `Cache`. */
  describe(key: SchemaKey<S>, options?: KeyOptions): Promise<EntryDescription | undefined>
  /** Works like `clear` of `Cache`. */
  clear(): Promise<void>
  /** Works like `invalidateTags` of `Cache`. */
  invalidateTags(tags: readonly string[], options?: InvalidateOptions): Promise<void>
  /** Works like `close` of `Cache`. */
  close(): Promise<void>
}

/** A key of a schema with its value. */
export type SchemaEntry<S> = { [K in SchemaKey<S>]: readonly [K, S[K]] }[SchemaKey<S>]
