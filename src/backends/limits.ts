import { resolveCount } from '../settings.js'

/** How much a store holds. */
export interface Limits {
  readonly maxEntries: number
  /** One in so many entries goes when it is full; 0: all. */
  readonly cullFrequency: number
}

/** The options of a backend that culls by itself. */
export const LIMIT_OPTIONS = ['maxEntries', 'cullFrequency']

/** @throws InvalidCacheBackendError: an option is no such count. */
export function resolveLimits(
  backend: string,
  { maxEntries, cullFrequency }: { readonly [Name in keyof Limits]?: number | undefined },
): Limits {
  return {
    maxEntries: resolveCount(backend, 'maxEntries', maxEntries, 300, 1),
    cullFrequency: resolveCount(backend, 'cullFrequency', cullFrequency, 3, 0),
  }
}

/** By how many entries a store that processes share may exceed its limit, with all of them together. */
export function excessOf(maxEntries: number): number {
  return Math.max(32, Math.floor(maxEntries / 10))
}
