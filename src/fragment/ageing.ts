import type { Hit } from '../backend.js'
import type { Cache } from '../cache.js'
import { InFlight } from '../making/in-flight.js'
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
  const isRefreshed = refreshing.get(cache)?.get(variant.storedKey)?.isWaitedFor === true
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
export class Refresh extends InFlight {
  /** How long it is waited for before another may begin. */
  readonly #patienceMs: number
  readonly #untilMs: number

  /** @param running - One of the same key that was waited for long enough. */
  constructor(
    readonly fragment: Fragment,
    running: Refresh | undefined,
  ) {
    super()
    const { ageing } = fragment
    // One that is slow is not to be run ever more often.
    this.#patienceMs =
      running === undefined ? patienceOf(ageing?.lock ?? false) : 2 * running.#patienceMs
    this.#untilMs = Date.now() + this.#patienceMs
  }

  /** Whether others are served the old until it is made. A body may hang. */
  get isWaitedFor(): boolean {
    return Date.now() < this.#untilMs
  }

  override end(): void {
    super.end()
    const { cache, variant } = this.fragment
    const running = refreshing.get(cache)
    if (running?.get(variant.storedKey) !== this) return
    const next = this.successor
    if (next === undefined) running.delete(variant.storedKey)
    else running.set(variant.storedKey, next)
  }
}

const refreshing = new WeakMap<Cache, Map<string, Refresh>>()

/** Lets whoever finds the old meanwhile be served it. */
export function beginRefresh(fragment: Fragment): Refresh {
  const { cache, variant } = fragment
  const running = refreshesOver(cache)
  const before = running.get(variant.storedKey)
  const refresh = new Refresh(fragment, before)
  refresh.takePlaceOf(before)
  running.set(variant.storedKey, refresh)
  return refresh
}

/**
 * Lets none of those that began before something that is going to be stored take its place.
 *
 * @param own - What it was made by, if by one of them.
 */
export function supersede({ cache, variant }: Fragment, own: Refresh | undefined): void {
  const earlier = own === undefined ? refreshing.get(cache)?.get(variant.storedKey) : own.replaced
  earlier?.discard()
}

function refreshesOver(cache: Cache): Map<string, Refresh> {
  const known = refreshing.get(cache)
  if (known !== undefined) return known
  const running = new Map<string, Refresh>()
  refreshing.set(cache, running)
  cache.removalListeners.push((storedKey) => {
    for (const key of storedKey === undefined ? [...running.keys()] : [storedKey]) {
      running.get(key)?.discard()
      running.delete(key)
    }
  })
  return running
}
