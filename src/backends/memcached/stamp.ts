import type { Deadline } from '../../timeout.js'

/*
 * What an entry carries beside its bytes: the 32 bits of client flags, which incr keeps. So the
 * bytes are the payload alone, and raw integers have a deadline in milliseconds, too.
 *
 *   31-29  scale: 0 another program's entry, 1-5 near, 6 far, 7 no deadline
 *   28-6   near: 11 bits of deadline, 12 of generation
 *          far: 3 bits of scale, 7 of deadline, 13 of generation
 *          no deadline: 23 bits of generation
 *   5-0    0, or 2: a raw whole number
 *
 * The last are those in which clients of other languages keep their types. With any other number
 * there, one of them might take our bytes for a serialized object and run what it says; with 2,
 * Python's read a number.
 *
 * A deadline is written in units, modulo what its bits hold, and is at most half of that away, so
 * that it can be told from its past. The unit of scale 1 is 4 ms; each next is four times as much.
 */
const NO_DEADLINE = 7
const FAR = 6
const COUNTER = 2
const TYPE_BITS = 6
const NEAR = ticksOf(11, 12, 4, 5)
const FAR_OFF = ticksOf(7, 13, 2 ** 16, 8)
const GENERATION_BITS = 23

/** How deadlines of some scales are written. */
interface Ticks {
  /** So many can be told apart. */
  readonly size: number
  readonly generationBits: number
  /** By scale: milliseconds. */
  readonly units: readonly number[]
}

function ticksOf(bits: number, generationBits: number, firstUnitMs: number, scales: number): Ticks {
  const units = Array.from({ length: scales }, (_, scale) => firstUnitMs * 4 ** scale)
  return { size: 2 ** bits, generationBits, units }
}

/** Memcached takes larger numbers of seconds for a date. */
const MAX_RELATIVE_SECONDS = 30 * 86_400
const MAX_DATE_SECONDS = 2 ** 31 - 1

/** What the server knows about an entry. */
export interface ServerStamp {
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
): ServerStamp {
  const type = isCounter ? COUNTER : 0
  const leftMs = expiresAtMs === null ? Infinity : Math.max(1, expiresAtMs - nowMs)
  const near = scaleOf(leftMs, NEAR)
  const isNear = near < NEAR.units.length
  const ticks = isNear ? NEAR : FAR_OFF
  const scale = isNear ? near : scaleOf(leftMs, FAR_OFF)
  const unit = ticks.units[scale]
  if (expiresAtMs === null || unit === undefined) {
    const bits = generation % (1 << GENERATION_BITS)
    const exptime = expiresAtMs === null ? 0 : toDate(expiresAtMs)
    return { flags: pack(NO_DEADLINE, bits, type), exptime }
  }
  const deadline = Math.floor(expiresAtMs / unit) % ticks.size
  const bits =
    (((isNear ? 0 : scale) * ticks.size + deadline) << ticks.generationBits) |
    (generation % (1 << ticks.generationBits))
  return {
    flags: pack(isNear ? scale + 1 : FAR, bits, type),
    exptime: toExptime(expiresAtMs, leftMs, isNear),
  }
}

function pack(scale: number, bits: number, type: number): number {
  return scale * 2 ** 29 + bits * 2 ** TYPE_BITS + type
}

/**
 * An entry with n seconds lives between n - 1 and n. Where the deadline is in the flags the server
 * must only not be early, else it must not be late.
 */
function toExptime(expiresAtMs: number, leftMs: number, isNear: boolean): number {
  if (isNear) return Math.ceil(leftMs / 1000) + 1
  const seconds = Math.floor(leftMs / 1000)
  return seconds <= MAX_RELATIVE_SECONDS ? seconds : toDate(expiresAtMs)
}

/**
 * The deadline that the server gets for another program's entry, whose flags contain none.
 *
 * @returns Seconds, or a date in seconds; 0: never.
 */
export function foreignExptime(expiresAtMs: Deadline, nowMs: number): number {
  if (expiresAtMs === null) return 0
  return Math.max(1, toExptime(expiresAtMs, expiresAtMs - nowMs, false))
}

function toDate(expiresAtMs: number): number {
  const seconds = Math.floor(expiresAtMs / 1000) - 1
  // Beyond the dates it knows, nothing is older than the server itself.
  return seconds > MAX_DATE_SECONDS ? 0 : seconds
}

/** From 0; the number of scales: it is farther away than any of them can say. */
function scaleOf(leftMs: number, { size, units }: Ticks): number {
  const scale = units.findIndex((unit) => leftMs <= (size / 2) * unit)
  return scale === -1 ? units.length : scale
}

/** Whether another program wrote the entry: it has no generation, and its deadline is the server's. */
export function isForeign(flags: number): boolean {
  return flags >>> 29 === 0
}

/** Whether the bytes are a number the server counts with. */
export function isCounter(flags: number): boolean {
  return !isForeign(flags) && (flags & COUNTER) !== 0
}

/** Whether an entry was written in a generation. */
export function isOfGeneration(flags: number, generation: number): boolean {
  const scale = flags >>> 29
  const count =
    scale === NO_DEADLINE
      ? GENERATION_BITS
      : scale === FAR
        ? FAR_OFF.generationBits
        : NEAR.generationBits
  const size = 1 << count
  return (flags >>> TYPE_BITS) % size === generation % size
}

/** Whether the deadline in the flags has passed, where it is ours to enforce. */
export function isPast(flags: number, nowMs: number): boolean {
  const scale = flags >>> 29
  return scale > 0 && scale < FAR && deadlineOf(flags, nowMs) <= nowMs
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
  const scale = flags >>> 29
  if (scale > 0 && scale < FAR) return deadlineOf(flags, nowMs)
  if (secondsLeft === -1) return null
  const byServer = secondsLeft === undefined ? undefined : nowMs + (secondsLeft - 1) * 1000
  if (scale === 0) return byServer
  if (scale === NO_DEADLINE) return byServer ?? null
  const byFlags = deadlineOf(flags, nowMs)
  return byServer === undefined ? byFlags : Math.max(byFlags, byServer)
}

function deadlineOf(flags: number, nowMs: number): number {
  const isFar = flags >>> 29 === FAR
  const { size, generationBits, units } = isFar ? FAR_OFF : NEAR
  const unit = units[isFar ? (flags >>> 26) & 7 : (flags >>> 29) - 1] as number
  const written = (flags >>> (TYPE_BITS + generationBits)) % size
  const nowTicks = Math.floor(nowMs / unit)
  const ahead = (((written - nowTicks) % size) + size) % size
  // Clocks of several machines differ: what is a little more than half away is no past.
  const away = ahead > size * (1 / 2 + 1 / 8) ? ahead - size : ahead
  return (nowTicks + away) * unit
}
