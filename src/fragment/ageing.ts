import type { Hit } from '../backend.js'
import type { Cache } from '../cache.js'
import { isDueEarly } from '../staleness.js'
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
 * makes it anew; whoever found it makes it anew, and others are served it meanwhile; or it is too old.
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
  const isRefreshed = refreshing.get(cache)?.has(variant.storedKey) === true
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

/** A fragment that is being made anew. */
export class Refresh {
  /** Its key was removed meanwhile: what is made is not to be kept. */
  isDiscarded = false

  constructor(readonly fragment: Fragment) {}

  end(): void {
    const { cache, variant } = this.fragment
    const running = refreshing.get(cache)
    if (running?.get(variant.storedKey) === this) running.delete(variant.storedKey)
  }
}

const refreshing = new WeakMap<Cache, Map<string, Refresh>>()

/** Lets whoever finds the old meanwhile be served it. */
export function beginRefresh(fragment: Fragment): Refresh {
  const refresh = new Refresh(fragment)
  refreshesOver(fragment.cache).set(fragment.variant.storedKey, refresh)
  return refresh
}

function refreshesOver(cache: Cache): Map<string, Refresh> {
  const known = refreshing.get(cache)
  if (known !== undefined) return known
  const running = new Map<string, Refresh>()
  refreshing.set(cache, running)
  cache.removalListeners.push((storedKey) => {
    for (const key of storedKey === undefined ? [...running.keys()] : [storedKey]) {
      const refresh = running.get(key)
      if (refresh !== undefined) refresh.isDiscarded = true
      running.delete(key)
    }
  })
  return running
}
