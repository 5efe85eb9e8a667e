import { currentMs } from '../current-time.js'
import type { Lost } from '../observe/remembered.js'
import {
  currentUntil,
  INVALIDATED,
  invalidatedAtMs,
  wasInvalidated,
  type SeenVersions,
} from '../tags.js'
import type { Hit } from './entries.js'

/** What an entry is to who reads it now: fresh; stale, where that is wanted; or a miss. */
export function standingOf(hit: Hit, stale: boolean, current?: SeenVersions): Hit | undefined {
  const { stamp } = hit
  const softMs = current === undefined ? Infinity : currentUntil(hit.tags, current)
  if (softMs === INVALIDATED) return undefined
  if (softMs === Infinity && stamp === undefined) return hit
  return judgeAge(hit, stale, softMs)
}

/** @param softMs - When one of its tags was softly invalidated; `Infinity`: none was. */
export function judgeAge(hit: Hit, stale: boolean, softMs: number): Hit | undefined {
  const nowMs = currentMs()
  const { freshUntilMs = Infinity, isExpired = false } = hit.stamp ?? {}
  const hasEnded = isExpired || freshUntilMs <= nowMs
  const untilMs = hasEnded ? Math.min(freshUntilMs, softMs) : softMs
  if (untilMs === Infinity) return hit
  // The clock of who invalidated it may be ahead of ours.
  return stale ? { ...hit, staleSinceMs: Math.min(untilMs, nowMs) } : undefined
}

/** As {@link standingOf}, of an entry that may have neither tags nor stamp. */
export function judgeEntry(hit: Hit, stale: boolean, current: SeenVersions): Hit | undefined {
  return hit.tags === undefined && hit.stamp === undefined ? hit : standingOf(hit, stale, current)
}

/** Why what lies there is no hit. */
export function lostOf({ tags, stamp }: Hit, current: SeenVersions): Lost | undefined {
  let lostTag: string | undefined
  for (const [tag, version] of tags ?? []) {
    const now = current.get(tag)
    if (wasInvalidated(version, now)) return { tag, version, atMs: invalidatedAtMs(version, now) }
    if (now !== version) lostTag ??= tag
  }
  const expiredAtMs = stamp?.freshUntilMs
  if (expiredAtMs !== undefined && expiredAtMs <= currentMs()) return { expiredAtMs }
  return lostTag === undefined ? undefined : { lostTag }
}
