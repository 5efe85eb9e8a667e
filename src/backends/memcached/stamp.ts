import type { Deadline } from '../../timeout.js'

/*
 * What an entry carries beside its bytes: the 32 bits of client flags, which incr keeps. So the
 * bytes are the payload alone, and raw integers have a deadline in milliseconds, too.
 *
 *   31-28  scale: 0 another program's entry, 1-14 a unit of time, 15 no deadline
 *   27     a raw whole number
 *   26-15  the deadline in units, modulo 4096
 *   14-0   the generation; without deadline bits 26-0
 *
 * The unit is 2 ms for the shortest times and four times as much for each next scale. A deadline is
 * at most half of the 4096 units away when it is written, so that it can be told from its past.
 */
const NO_DEADLINE = 15
const LARGEST_SCALE = 14
const COUNTER = 1 << 27
const TICKS = 4096
const FARTHEST_TICKS = 2048
/** Clocks of several machines differ: what is a little farther away is no past. */
const SLACK_TICKS = 512
const SHORT_GENERATION = 2 ** 15 - 1
const LONG_GENERATION = 2 ** 27 - 1

/** Up to this scale (17 minutes) the deadline is ours to enforce; above, the server's seconds do. */
const LARGEST_EXACT_SCALE = 5

/** Memcached takes larger numbers of seconds for a date. */
const MAX_RELATIVE_SECONDS = 30 * 86_400
const MAX_DATE_SECONDS = 2 ** 31 - 1

/** What the server is told of an entry. */
export interface Stamp {
  readonly flags: number
  /** Seconds, or a date in seconds; 0: never. */
  readonly exptime: number
}

/** Makes what is stored beside a payload. */
export function makeStamp(
  expiresAtMs: Deadline,
  nowMs: number,
  isCounter: boolean,
  generation: number,
): Stamp {
  const counter = isCounter ? COUNTER : 0
  const leftMs = expiresAtMs === null ? Infinity : Math.max(1, expiresAtMs - nowMs)
  const scale = scaleOf(leftMs)
  if (expiresAtMs === null || scale === NO_DEADLINE) {
    const flags = ((NO_DEADLINE << 28) | counter | (generation & LONG_GENERATION)) >>> 0
    return { flags, exptime: expiresAtMs === null ? 0 : toDate(expiresAtMs) }
  }
  const ticks = Math.floor(expiresAtMs / unitOf(scale)) % TICKS
  const flags = ((scale << 28) | counter | (ticks << 15) | (generation & SHORT_GENERATION)) >>> 0
  return { flags, exptime: toExptime(expiresAtMs, leftMs, scale) }
}

/**
 * An entry with n seconds lives between n - 1 and n. Where the deadline is in the flags the server
 * must only not be early, else it must not be late.
 */
function toExptime(expiresAtMs: number, leftMs: number, scale: number): number {
  if (scale <= LARGEST_EXACT_SCALE) return Math.ceil(leftMs / 1000) + 1
  const seconds = Math.floor(leftMs / 1000)
  return seconds <= MAX_RELATIVE_SECONDS ? seconds : toDate(expiresAtMs)
}

function toDate(expiresAtMs: number): number {
  const seconds = Math.floor(expiresAtMs / 1000) - 1
  // Beyond the dates it knows, nothing is older than the server itself.
  return seconds > MAX_DATE_SECONDS ? 0 : seconds
}

function scaleOf(leftMs: number): number {
  for (let scale = 1; scale <= LARGEST_SCALE; scale++) {
    if (leftMs <= FARTHEST_TICKS * unitOf(scale)) return scale
  }
  return NO_DEADLINE
}

function unitOf(scale: number): number {
  return 2 * 4 ** (scale - 1)
}

/** Whether another program wrote the entry: it has no generation, and its deadline is the server's. */
export function isForeign(flags: number): boolean {
  return flags >>> 28 === 0
}

/** Whether the bytes are a number the server counts with. */
export function isCounter(flags: number): boolean {
  return (flags & COUNTER) !== 0
}

/** Whether an entry was written in a generation. */
export function isOfGeneration(flags: number, generation: number): boolean {
  const mask = flags >>> 28 === NO_DEADLINE ? LONG_GENERATION : SHORT_GENERATION
  return (flags & mask) === (generation & mask)
}

/** Whether the deadline in the flags has passed, where it is ours to enforce. */
export function isPast(flags: number, nowMs: number): boolean {
  const scale = flags >>> 28
  if (scale === 0 || scale > LARGEST_EXACT_SCALE) return false
  return deadlineOf(flags, scale, nowMs) <= nowMs
}

/**
 * The deadline of a live entry.
 *
 * @param secondsLeft - What the server says is left; -1: no end; `undefined` where it cannot say.
 * @returns Never later than the true one, and as close to it as flags and server tell; `undefined`
 *   if neither does.
 */
export function readStampedDeadline(
  flags: number,
  secondsLeft: number | undefined,
  nowMs: number,
): Deadline | undefined {
  const scale = flags >>> 28
  if (scale === NO_DEADLINE) return null
  if (scale !== 0 && scale <= LARGEST_EXACT_SCALE) return deadlineOf(flags, scale, nowMs)
  if (secondsLeft === -1) return null
  const byServer = secondsLeft === undefined ? undefined : nowMs + (secondsLeft - 1) * 1000
  if (scale === 0) return byServer
  const byFlags = deadlineOf(flags, scale, nowMs)
  return byServer === undefined ? byFlags : Math.max(byFlags, byServer)
}

function deadlineOf(flags: number, scale: number, nowMs: number): number {
  const unit = unitOf(scale)
  const nowTicks = Math.floor(nowMs / unit)
  const ticks = (flags >>> 15) & (TICKS - 1)
  const ahead = (((ticks - nowTicks) % TICKS) + TICKS) % TICKS
  const away = ahead > FARTHEST_TICKS + SLACK_TICKS ? ahead - TICKS : ahead
  return (nowTicks + away) * unit
}
