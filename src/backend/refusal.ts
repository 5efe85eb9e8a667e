import { CacheBackendError } from '../errors.js'
import { isPromise, type MaybePromise } from '../maybe-promise.js'
import type { UnstoredReason } from '../observe/reasons.js'
import { wasAnswered } from './guard.js'
import type { WriteOutcome } from './store.js'

/** A failure of the store becomes `undefined`; what the caller did wrong stays an error. */
export function orUndefined<T>(action: () => MaybePromise<T>): MaybePromise<T | undefined> {
  return unlessFailed<T | undefined>(action, () => undefined)
}

/** @param instead - What a failure of the store becomes. */
export function unlessFailed<T>(
  action: () => MaybePromise<T>,
  instead: (failure: CacheBackendError) => T,
): MaybePromise<T> {
  const failed = (error: unknown) => {
    if (error instanceof CacheBackendError) return instead(error)
    throw error
  }
  try {
    const result = action()
    return isPromise(result) ? result.catch(failed) : result
  } catch (error) {
    return failed(error)
  }
}

/** A cache, as far as it tells whether it answers. */
interface MayFail {
  readonly guard: { readonly isFailing: boolean }
  readonly standsOn: readonly MayFail[]
}

/** Whether a cache, or one that it stands on, does not answer. */
export function isFailing(cache: MayFail): boolean {
  return cache.guard.isFailing || cache.standsOn.some(isFailing)
}

/** Why a cache keeps nothing: it does not answer, or it answers and does not take what it is given. */
export type CacheRefusal = Extract<UnstoredReason, 'cache-failed' | 'cache-refused'>

/** Why a cache has just taken nothing. */
export function refusalOf(cache: MayFail): CacheRefusal {
  return isFailing(cache) ? 'cache-failed' : 'cache-refused'
}

/** Why a cache took nothing, by what its call failed with. */
export function refusalBy(failure: CacheBackendError): CacheRefusal {
  return wasAnswered(failure) ? 'cache-refused' : 'cache-failed'
}

/** Why an entry was not written. @returns `undefined`: it was. */
export function whyUnwritten(outcome: WriteOutcome | CacheRefusal): UnstoredReason | undefined {
  switch (outcome) {
    case 'stored':
      return undefined
    case 'refused':
      return 'overtaken'
    case 'too_large':
      return 'entry-too-large'
    case 'not_taken':
      return 'cache-refused'
    case 'failed':
      // Of several servers the one of this entry is down.
      return 'cache-failed'
    default:
      return outcome
  }
}
