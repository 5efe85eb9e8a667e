import { CacheBackendError } from '../errors.js'
import { withinLimit as limited } from '../time-limit.js'

/** @throws CacheBackendError: the cache failed, and has reported that already. */
export function orFail<T>(found: T | undefined): T {
  if (found === undefined) throw new CacheBackendError('the cache failed')
  return found
}

/** @throws CacheBackendError: the cache did not answer in time, so that it would keep a page waiting. */
export async function answeredInTime<T>(promise: Promise<T>, limitMs?: number): Promise<T> {
  return limited(promise, limitMs, (message) => new CacheBackendError(`the cache gave ${message}`))
}
