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

/** The keys of a schema. One such as `` `user:${number}` `` stands for all of its kind. */
export type SchemaKey<S> = keyof S & string

/** Those that hold numbers. */
export type CounterKey<S> = {
  [K in SchemaKey<S>]: S[K] extends number ? K : never
}[SchemaKey<S>]

/** What `getMany` of a {@link TypedCache} found. */
export interface TypedMap<S, K extends SchemaKey<S>> extends Map<K, S[K]> {
  get<One extends K>(key: One): S[One] | undefined
}

/**
 * A cache whose keys and values are declared: the same object as the cache that it was asked of. What the store
 * holds is not checked.
 *
 * @typeParam S - An interface of keys and the types of their values.
 */
export interface TypedCache<S extends object> {
  readonly alias: string
  readonly answersAtOnce: boolean
  readonly isShared: boolean
  readonly settings: ResolvedSettings
  /** As `makeKey` of `Cache`. */
  makeKey(key: SchemaKey<S>, version?: Version): string
  /** As `get` of `Cache`. */
  get<K extends SchemaKey<S>, D extends S[K] | null | undefined = undefined>(
    key: K,
    options?: KeyOptions & { readonly default?: D },
  ): Promise<S[K] | D>
  /** As `set` of `Cache`. */
  set<K extends SchemaKey<S>>(key: K, value: S[K], options?: SetOptions): Promise<void>
  /** As `add` of `Cache`. */
  add<K extends SchemaKey<S>>(key: K, value: S[K], options?: SetOptions): Promise<boolean>
  /** As `touch` of `Cache`. */
  touch(key: SchemaKey<S>, options?: TouchOptions): Promise<boolean>
  /** As `expire` of `Cache`. */
  expire(key: SchemaKey<S>, options?: KeyOptions): Promise<boolean>
  /** As `delete` of `Cache`. */
  delete(key: SchemaKey<S>, options?: KeyOptions): Promise<boolean>
  /** As `has` of `Cache`. */
  has(key: SchemaKey<S>, options?: KeyOptions): Promise<boolean>
  /** As `getMany` of `Cache`. */
  getMany<K extends SchemaKey<S>>(keys: Iterable<K>, options?: KeyOptions): Promise<TypedMap<S, K>>
  /** As `setMany` of `Cache`. */
  setMany(
    entries: Readonly<Partial<S>> | Iterable<SchemaEntry<S>>,
    options?: SetOptions,
  ): Promise<SchemaKey<S>[]>
  /** As `deleteMany` of `Cache`. */
  deleteMany(keys: Iterable<SchemaKey<S>>, options?: KeyOptions): Promise<void>
  /** As `getOrSet` of `Cache`. */
  getOrSet<K extends SchemaKey<S>>(
    key: K,
    valueOrProducer: S[K] | ((context: ProducerContext<S[K]>) => S[K] | Promise<S[K]>),
    options?: GetOrSetOptions,
  ): Promise<S[K]>
  /** As `incr` of `Cache`. */
  incr(key: CounterKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  /** As `decr` of `Cache`. */
  decr(key: CounterKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  /** As `incrVersion` of `Cache`. */
  incrVersion(key: SchemaKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  /** As `decrVersion` of `Cache`. */
  decrVersion(key: SchemaKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  /** As `describe` of `Cache`. */
  describe(key: SchemaKey<S>, options?: KeyOptions): Promise<EntryDescription | undefined>
  /** As `clear` of `Cache`. */
  clear(): Promise<void>
  /** As `invalidateTags` of `Cache`. */
  invalidateTags(tags: readonly string[], options?: InvalidateOptions): Promise<void>
  /** As `close` of `Cache`. */
  close(): Promise<void>
}

/** A key of a schema with its value. */
export type SchemaEntry<S> = { [K in SchemaKey<S>]: readonly [K, S[K]] }[SchemaKey<S>]
