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
  makeKey(key: SchemaKey<S>, version?: Version): string
  get<K extends SchemaKey<S>, D extends S[K] | null | undefined = undefined>(
    key: K,
    options?: KeyOptions & { readonly default?: D },
  ): Promise<S[K] | D>
  set<K extends SchemaKey<S>>(key: K, value: S[K], options?: SetOptions): Promise<void>
  add<K extends SchemaKey<S>>(key: K, value: S[K], options?: SetOptions): Promise<boolean>
  touch(key: SchemaKey<S>, options?: TouchOptions): Promise<boolean>
  expire(key: SchemaKey<S>, options?: KeyOptions): Promise<boolean>
  delete(key: SchemaKey<S>, options?: KeyOptions): Promise<boolean>
  has(key: SchemaKey<S>, options?: KeyOptions): Promise<boolean>
  getMany<K extends SchemaKey<S>>(keys: Iterable<K>, options?: KeyOptions): Promise<TypedMap<S, K>>
  setMany(
    entries: Readonly<Partial<S>> | Iterable<SchemaEntry<S>>,
    options?: SetOptions,
  ): Promise<SchemaKey<S>[]>
  deleteMany(keys: Iterable<SchemaKey<S>>, options?: KeyOptions): Promise<void>
  getOrSet<K extends SchemaKey<S>>(
    key: K,
    valueOrProducer: S[K] | ((context: ProducerContext<S[K]>) => S[K] | Promise<S[K]>),
    options?: GetOrSetOptions,
  ): Promise<S[K]>
  incr(key: CounterKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  decr(key: CounterKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  incrVersion(key: SchemaKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  decrVersion(key: SchemaKey<S>, delta?: number, options?: KeyOptions): Promise<number>
  describe(key: SchemaKey<S>, options?: KeyOptions): Promise<EntryDescription | undefined>
  clear(): Promise<void>
  invalidateTags(tags: readonly string[], options?: InvalidateOptions): Promise<void>
  close(): Promise<void>
}

/** A key of a schema with its value. */
export type SchemaEntry<S> = { [K in SchemaKey<S>]: readonly [K, S[K]] }[SchemaKey<S>]
