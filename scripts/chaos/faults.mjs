/** What is done to processes and to servers while they work. */

/** To processes, over any store. */
const OF_PROCESSES = ['kill', 'stop', 'lag', 'clock']

/** To stores and their servers, where `stores.mjs` can do it. `cull`: there is little room. */
const OF_STORES = ['cull', 'evict', 'flush', 'restart', 'disconnect', 'pause', 'failover', 'slots']

export const FAULTS = [...OF_PROCESSES, ...OF_STORES]

/** Milliseconds for which a process is stopped: past a lease and past a producer. */
export const STOP_MS = 1500

/** Long enough for many calls to be on their way, and below what a call may take. */
export const PAUSE_MS = 300
