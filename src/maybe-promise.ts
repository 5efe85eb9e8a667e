/** Returned directly by a cache that answers at once, and as a promise by any other. */
export type MaybePromise<T> = T | Promise<T>

/** Also one of another realm, as under jest, or of a client library's own kind. */
export function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  if (typeof value !== 'object' || value === null) return false
  return value instanceof Promise || ('then' in value && typeof value.then === 'function')
}

/** Goes on with a value, at once where it is there at once. */
export function chain<T, U>(
  value: MaybePromise<T>,
  next: (value: T) => MaybePromise<U>,
): MaybePromise<U> {
  return isPromise(value) ? Promise.resolve(value).then(next) : next(value)
}
