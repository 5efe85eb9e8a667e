import type { StoredResponse } from '../http/stored-response.js'
import { isDueEarly } from '../staleness.js'

/** Requests that were chosen to have their page rendered again early. */
const chosen = new WeakSet<object>()

/**
 * Whether a fresh page is to be rendered again before it expires, by chance.
 *
 * @param beta - By how much earlier; 0: never.
 * @remarks A request that was chosen once stays chosen, so that the chance is the same however often it is asked.
 */
export function isChosenEarly(req: object, page: StoredResponse, beta: number): boolean {
  const { costMs, freshUntilMs } = page
  if (beta === 0 || costMs === undefined) return false
  if (chosen.has(req)) return true
  const stamp = { freshUntilMs: freshUntilMs ?? Infinity, graceMs: 0, costMs }
  if (!isDueEarly(stamp, beta)) return false
  chosen.add(req)
  return true
}
