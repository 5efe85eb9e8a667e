import type { Hit } from '../backend/entries.js'
import type { CacheCore } from '../backend/core.js'
import { Refreshes, type Refresh } from '../making/refreshes.js'
import { isDueEarly, patienceOf } from '../staleness.js'
import type { Content } from './holes.js'
import type { Fragment } from './spec.js'

/** What was found, past its time or not, for when the new one cannot be made. */
export interface Old {
  readonly hit: Hit
  readonly content: Content
  /** Milliseconds since the epoch. */
  readonly usableUntilMs: number
}

/**
 * What becomes of a fragment that was found: it is served; it is old and served, since somebody here
 * makes it again; whoever found it makes it again, and others are served it meanwhile; or it is too old.
 */
export type Use = 'fresh' | 'old' | 'refresh' | 'too_old'

/** Whether what is past its time is wanted too. */
export function mayBeOld({ ageing }: Fragment): boolean {
  return ageing !== undefined && (ageing.staleWhileRevalidate > 0 || ageing.staleIfError > 0)
}

/** What to do with a fragment that was found. */
export function useOf(fragment: Fragment, hit: Hit): Use {
  const { ageing, cache, variant } = fragment
  const { staleSinceMs } = hit
  if (ageing === undefined) return staleSinceMs === undefined ? 'fresh' : 'too_old'
  const isRefreshed = refreshesOver(cache).has(variant.storedKey)
  if (staleSinceMs === undefined) {
    return !isRefreshed && isDueEarly(hit.stamp, ageing.beta) ? 'refresh' : 'fresh'
  }
  if (Date.now() >= staleSinceMs + ageing.staleWhileRevalidate * 1000) return 'too_old'
  return isRefreshed ? 'old' : 'refresh'
}

/** What may stand in for a fragment whose body throws. */
export function oldOf({ ageing }: Fragment, hit: Hit, content: Content): Old | undefined {
  if (ageing === undefined) return undefined
  const { staleWhileRevalidate, staleIfError } = ageing
  // One that is made again ahead of its time is still good.
  const sinceMs = hit.staleSinceMs ?? hit.stamp?.freshUntilMs ?? Infinity
  const graceMs = Math.max(staleWhileRevalidate, staleIfError) * 1000
  return { hit, content, usableUntilMs: sinceMs + graceMs }
}

const refreshesOf = new WeakMap<CacheCore, Refreshes>()

/** What is made in the background over a cache, shared by everyone who renders with it. */
export function refreshesOver(cache: CacheCore): Refreshes {
  const known = refreshesOf.get(cache)
  if (known !== undefined) return known
  const refreshes = new Refreshes()
  refreshesOf.set(cache, refreshes)
  cache.removalListeners.push((storedKey) => refreshes.forget(storedKey))
  return refreshes
}

/** Lets whoever finds the old meanwhile be served it. */
export function beginRefresh({ cache, variant, ageing }: Fragment): Refresh {
  return refreshesOver(cache).begin(variant.storedKey, patienceOf(ageing?.lock ?? false))
}
