import { BoundedMemo, bytesOfText } from '../bounded-memo.js'
import type { ClockTime } from '../clock.js'

/**
 * For so long a version is taken as read. Then its counter is read again: a store that evicts what nobody asks for
 * is to keep it, and so long an invalidation at most is overlooked whose process died before it was carried out.
 */
const KNOWN_MS = 10_000

/** The clock has to have stood still for so long: where it rarely does, what is not read would often have to be. */
const QUIET_MS = 1_000

interface Known {
  readonly version: string
  readonly time: ClockTime
  readonly untilMs: number
}

/**
 * The versions of tags as they were last read: current for as long as the clock of invalidations stands still, so
 * that a look-up reads the clock in place of a counter for each tag.
 *
 * @remarks An invalidation advances the clock before it changes a counter, and once more after it. So a version
 *   that was read after the clock had shown a time is current whenever the clock shows that time again, also in a
 *   store that reads the keys of one request one after the other.
 */
export class KnownVersions {
  readonly #versions = new BoundedMemo<Known>(({ version }) => 60 + bytesOfText(version))
  #time: ClockTime | undefined
  #sinceMs = 0

  /** What the clock showed when it was last read; `undefined`: nothing, or it has not stood still for long. */
  timeAt(nowMs: number): ClockTime | undefined {
    return nowMs - this.#sinceMs < QUIET_MS ? undefined : this.#time
  }

  /** Takes in what a look-up read of the clock. */
  hear(time: ClockTime | undefined, nowMs: number): void {
    if (time === this.#time) return
    this.#time = time
    this.#sinceMs = nowMs
  }

  /** The version of a tag that is current if the clock shows this time. */
  of(tag: string, time: ClockTime, nowMs: number): string | undefined {
    const known = this.#versions.get(tag)
    return known?.time === time && nowMs < known.untilMs ? known.version : undefined
  }

  /** @param time - What the clock showed before the version was read, and again at that time or later. */
  note(tag: string, version: string, time: ClockTime, nowMs: number): void {
    this.#versions.set(tag, { version, time, untilMs: nowMs + KNOWN_MS })
  }
}
