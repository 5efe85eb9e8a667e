/** What no cache can keep, as far as its type tells. */
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
 * Also where it is one of several types that the value may have. `any` in the place of a name, since the compiler
 * then takes it that a type parameter is kept: nothing is known of it, as of `unknown`.
 */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Verdict<V> = [Extract<V, Refused>] extends [never] ? keyof Kept : any

/**
 * Beside the type of a value, `V & Storable<V>`, it refuses functions, symbols, `undefined`, and promises that were
 * not awaited. Whatever else cannot be stored is told when it is stored.
 */
export type Storable<V> = (Kept & NotKept)[0 extends 1 & V ? keyof Kept : Verdict<V>]

type Pairs<V> = Iterable<readonly [string, V]>

/** Entries for `setMany`: a record, a `Map`, or pairs. */
export type GivenEntries<V> = Pairs<V> | Readonly<Record<string, V>>

/** {@link Storable} of the values among entries. */
export type StorableEntries<E> = Storable<E extends Pairs<infer V> ? V : E[keyof E]>
