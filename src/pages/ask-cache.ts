import { CacheBackendError } from '../errors.js'
import type { MaybePromise } from '../maybe-promise.js'
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

/** What is read of a cache; `undefined`: it failed. @throws What else failed. */
export async function unlessFailed<T>(read: () => MaybePromise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof CacheBackendError) return undefined
    throw error
  }
}
