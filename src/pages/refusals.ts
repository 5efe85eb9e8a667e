import type { UnkeptReason } from './reasons.js'

/** Statuses that say of a page that it is no more. */
const GONE: ReadonlySet<number> = new Set([404, 410])

/** They say that a page of before is another one's, or nobody's, from now on. */
const SUPERSEDING_REFUSALS: ReadonlySet<UnkeptReason> = new Set<UnkeptReason>([
  'private',
  'no-store',
  'no-cache',
  'vary-any',
])

/** They say something of the page, not of the state the view was in. */
const LASTING_REFUSALS: ReadonlySet<UnkeptReason> = new Set<UnkeptReason>([
  'set-cookie',
  'private',
  'no-store',
  'no-cache',
  'vary-any',
  'personal',
  'cookies-read',
  'stale',
  'no-freshness',
  'freshness-unreadable',
  'event-stream',
  'too-large',
  'holes',
  'undeclared-read',
])

/** Whether it says something of the page, not of the state the view was in. */
export function isLasting(reason: UnkeptReason): boolean {
  return LASTING_REFUSALS.has(reason)
}

/** Whether an answer that is not stored, for that reason, says of an expired page that it is no more. */
export function isSuperseding(reason: UnkeptReason, status: number): boolean {
  if (reason === 'status') return GONE.has(status)
  return SUPERSEDING_REFUSALS.has(reason) && status < 400
}
