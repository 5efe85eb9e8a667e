import type { Outage, ServerStats, Status } from './api.js'

/** Whether a cache does its work, by the outage that lasts and by what its servers told last. */
export function statusOf(lasting: Outage | undefined, server: ServerStats | undefined): Status {
  if (lasting !== undefined) return lasting.isPartial === true ? 'degraded' : 'down'
  const failures = [server, ...(server?.servers ?? [])].filter((one) => one?.error !== undefined)
  return failures.length > 0 ? 'degraded' : 'up'
}

/** Whether all caches do theirs. */
export function statusOfAll(caches: readonly { readonly status: Status }[]): Status {
  if (caches.every(({ status }) => status === 'up')) return 'up'
  return caches.every(({ status }) => status === 'down') ? 'down' : 'degraded'
}
