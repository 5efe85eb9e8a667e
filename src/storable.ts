/** What no cache can store, as far as the type shows. */
type Refused =
  | ((...args: never) => unknown)
  | (abstract new (...args: never) => unknown)
  | PromiseLike<unknown>
  | symbol
  | undefined

interface Kept {
  readonly kept: unknown
}

type NotKept = Readonly<
  Record<string, 'a function, a symbol, a promise or undefined cannot be stored'>
>

/**
 * Refuses also a union that contains a refused type. `any` instead of a name makes the compiler accept a type
 * parameter: nothing is known about it, as about `unknown`.
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Verdict<V> = [Extract<V, Refused>] extends [never] ? keyof Kept : any

/**
 * Combined with the type of a value, `V & Storable<V>`, it refuses functions, symbols, `undefined`, and
 * promises that were not awaited. Other values that cannot be stored are refused when they are stored.
 */
export type Storable<V> = (Kept & NotKept)[0 extends 1 & V ? keyof Kept : Verdict<V>]

type Pairs<V> = Iterable<readonly [string, V]>

/** Entries for `setMany`: a record, a `Map`, or pairs. */
export type GivenEntries<V> = Pairs<V> | Readonly<Record<string, V>>

/** {@link Storable} for the values of entries. */
export type StorableEntries<E> = Storable<E extends Pairs<infer V> ? V : E[keyof E]>
