import type { Hit } from '../backend/entries.js'
import type { CacheCore } from '../backend/core.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import type { Served } from '../staleness.js'
import type { SeenVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import type { Frame } from './frame.js'

/** What was found or made, as others who wait for it get it. */
export interface Landed<Value> {
  readonly value: Value
  /** The tag versions it is, or is going to be, stored with; `undefined`: none. */
  readonly tags: SeenVersions | undefined
  /** `undefined`: not known. */
  readonly expiresAtMs: Deadline | undefined
  /** Found, not made. */
  readonly isFound: boolean
  /** Stale, or made from something stale. */
  readonly isOld: boolean
  /** Only the caller who made it may get it. */
  readonly isApart: boolean
  /** Set if a stale entry was served. */
  readonly served: Served | undefined
}

/** An entry that was found, and its value as it can be used. */
export interface FoundEntry<Value> {
  readonly hit: Hit
  readonly value: Value
}

/** What was found, as others get it. */
export function toLanded<Value>(
  { hit, value }: FoundEntry<Value>,
  afterError = false,
): Landed<Value> {
  const { tags, staleSinceMs } = hit
  const isOld = staleSinceMs !== undefined
  return {
    value,
    tags,
    expiresAtMs: endOf(hit),
    isFound: true,
    isOld,
    isApart: false,
    served: isOld ? { staleSinceMs, afterError } : undefined,
  }
}

/** Records that what is being made in a frame depends on it. */
export function dependOnLanded(
  cache: CacheCore,
  storedKey: string,
  landed: Pick<Landed<unknown>, 'tags' | 'isOld' | 'expiresAtMs'>,
  frame: Frame,
): MaybePromise<void> {
  frame.depend(cache, landed.tags)
  if (landed.isOld) frame.holdOld()
  return frame.wantsExpiry ? limitBy(cache, storedKey, landed.expiresAtMs, frame) : undefined
}

/** The same for an entry as it was found. */
export function dependOnHit(
  cache: CacheCore,
  storedKey: string,
  hit: Hit,
  frame: Frame,
): MaybePromise<void> {
  frame.depend(cache, hit.tags)
  if (hit.staleSinceMs !== undefined) frame.holdOld()
  return frame.wantsExpiry ? limitBy(cache, storedKey, endOf(hit), frame) : undefined
}

function limitBy(
  cache: CacheCore,
  storedKey: string,
  expiresAtMs: Deadline | undefined,
  frame: Frame,
): MaybePromise<void> {
  if (expiresAtMs !== undefined) return frame.limit(expiresAtMs)
  return chain(cache.readLifetime(storedKey), (read) => frame.limit(read))
}

/** When an entry expires, as far as it is known from the entry itself. */
function endOf({ staleSinceMs, stamp }: Hit): Deadline | undefined {
  if (staleSinceMs !== undefined) return staleSinceMs
  if (stamp === undefined) return undefined
  return stamp.freshUntilMs === Infinity ? null : stamp.freshUntilMs
}
