/** For how long something may be old, as documented: in milliseconds, for the checker. */

import { STOP_MS } from './faults.mjs'

/** What a call may take at most: so long a look-up may be on its way. */
const ROUND_TRIP_MS = { calm: 200, loaded: 1000 }

/**
 * Memory in front of a store: 200 ms without messages; messages take as long as their way does. A process
 * that was stopped has them only after it goes on.
 */
const LOCAL_MS = { calm: 250, loaded: STOP_MS + 1000 }

/** A replica that lags, for what is removed by its key. */
const LAG_MS = { calm: 250, loaded: 2000 }

/**
 * @param {{ kind: string, lags?: boolean }} spec
 * @param {{ tiered: boolean, calm: boolean }} how - Calm: nothing happens to processes and servers.
 * @returns {Required<import('./checker.d.mts').Bounds>}
 */
export function boundsOf({ kind, lags = false }, { tiered, calm }) {
  const load = calm ? 'calm' : 'loaded'
  const handles = lags ? { key: LAG_MS[load], clear: LAG_MS[load], stored: LAG_MS[load] } : {}
  return {
    after: tiered ? LOCAL_MS[load] : 0,
    handles,
    // Memory is looked up at once: there is nothing to join.
    joiner: kind === 'memory' ? 0 : ROUND_TRIP_MS[load],
  }
}
