import { CacheBackendError } from '../errors.js'
import { withinLimit as limited } from '../time-limit.js'

/** A cache that fails has reported its outage. */
export function orFail<T>(found: T | undefined): T {
  if (found === undefined) throw new CacheBackendError('the cache failed')
  return found
}

/** A cache that hangs must not keep a page waiting for ever. */
export async function answeredInTime<T>(promise: Promise<T>, limitMs?: number): Promise<T> {
  return limited(promise, limitMs, (message) => new CacheBackendError(`the cache gave ${message}`))
}
