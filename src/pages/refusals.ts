import type { UnkeptReason } from './reasons.js'

/** Statuses that say that there is no page any more. */
const GONE: ReadonlySet<number> = new Set([404, 410])

/** The response says that an earlier page is no longer anybody's, or is another one from now on. */
const SUPERSEDING: readonly UnkeptReason[] = ['private', 'no-store', 'no-cache', 'vary-any']

/** The reason lies in the page or in the store, and not in the state that the handler was in. */
const LASTING: ReadonlySet<UnkeptReason> = new Set<UnkeptReason>([
  ...SUPERSEDING,
  'set-cookie',
  'personal',
  'cookies-read',
  'stale',
  'no-freshness',
  'freshness-unreadable',
  'event-stream',
  'too-large',
  'holes',
  'undeclared-read',
  'entry-too-large',
  'too-many-tags',
  'cache-refused',
  'cache-failed',
])

/** Whether the next response of the same page will most likely not be stored either. */
export function isLasting(reason: UnkeptReason): boolean {
  return LASTING.has(reason)
}

/** Whether a response that is not stored, for that reason, puts an end to an expired page. */
export function isSuperseding(reason: UnkeptReason, status: number): boolean {
  if (reason === 'status') return GONE.has(status)
  return SUPERSEDING.includes(reason) && status < 400
}
