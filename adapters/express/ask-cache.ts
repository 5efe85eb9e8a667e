import { CacheBackendError } from '../../src/errors.js'

/** How long anybody waits for the cache. Backends have shorter limits; this is for those without. */
const LIMIT_MS = 2000

/** A cache that fails has reported its outage. */
export function orFail<T>(found: T | undefined): T {
  if (found === undefined) throw new CacheBackendError('the cache failed')
  return found
}

/** A cache that hangs must not keep a page waiting for ever. */
export function withinLimit<T>(promise: Promise<T>, limitMs = LIMIT_MS): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new CacheBackendError(`the cache did not answer within ${limitMs} ms`)),
      limitMs,
    )
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
