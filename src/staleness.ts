import { currentMs } from './current-time.js'
import { didYouMean } from './did-you-mean.js'
import { show } from './errors.js'
import type { Stamp } from './stamp.js'
import type { Deadline } from './timeout.js'

/** How long an entry may be served past its time. */
export interface StaleOptions {
  /**
   * Seconds after the timeout for which the old value is served while one caller produces the new one.
   * Default: none. If that takes longer than a lease lasts (10 seconds without `lock`), others no longer wait
   * for it: another caller begins too.
   */
  readonly staleWhileRevalidate?: number | undefined
  /**
   * Seconds after the timeout for which the old value is served if the new one cannot be produced. Default:
   * none.
   */
  readonly staleIfError?: number | undefined
}

/** The times of a lease. */
export interface LockOptions {
  /**
   * Seconds that others wait for the process that produces the value. After that they produce it themselves.
   * Default 5.
   */
  readonly wait?: number | undefined
  /** Seconds after which the lease of a process that died ends. Default 10. */
  readonly lease?: number | undefined
}

/** {@link LockOptions} in full; `false`: no lease. */
export type Lock = { readonly wait: number; readonly lease: number } | false

/** The rules for an entry that is missing in all processes, and for one past its time. */
export interface AgeingPolicy {
  readonly lock: Lock
  /** Beta of XFetch; 0: never early. */
  readonly beta: number
  /** Seconds. */
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  /** It was found a moment ago and chosen to be produced again early: chance decides only once. */
  readonly isDue?: boolean
}

const DEFAULT_WAIT = 5
const DEFAULT_LEASE = 10

/** More than any cache is going to keep an entry. */
const MAX_SECONDS = 10 ** 10

/** @throws TypeError: neither a boolean nor times in seconds. */
export function toLock(lock: unknown): Lock {
  if (lock === undefined || lock === false) return false
  if (lock === true) return { wait: DEFAULT_WAIT, lease: DEFAULT_LEASE }
  if (typeof lock !== 'object' || lock === null || Array.isArray(lock)) {
    throw new TypeError(
      `lock: ${show(lock)} is not a lock; give true, false or { wait: 5, lease: 10 }`,
    )
  }
  for (const name of Object.keys(lock)) {
    if (name === 'wait' || name === 'lease') continue
    throw new TypeError(
      `lock: unknown option ${show(name)}; known are wait, lease${didYouMean(name, ['wait', 'lease'])}`,
    )
  }
  const { wait = DEFAULT_WAIT, lease = DEFAULT_LEASE } = lock as LockOptions
  if (!isSeconds(wait)) throw noSeconds('lock.wait', wait)
  if (!isSeconds(lease) || lease === 0) throw noSeconds('lock.lease', lease, 'above 0')
  return { wait, lease }
}

/**
 * How long others wait for something that is produced again in the background before another may begin: as a
 * lease.
 */
export function patienceOf(lock: Lock): number {
  return (lock === false ? DEFAULT_LEASE : lock.lease) * 1000
}

/**
 * How early hot entries are produced again.
 *
 * @returns Beta of XFetch: 1 for `true`, 0 for not at all.
 * @throws TypeError: neither a boolean nor a number of at least 0.
 */
export function toBeta(earlyRefresh: unknown): number {
  if (earlyRefresh === undefined || earlyRefresh === false) return 0
  if (earlyRefresh === true) return 1
  if (isSeconds(earlyRefresh)) return earlyRefresh
  throw new TypeError(
    `earlyRefresh: ${show(earlyRefresh)} is not a factor; give true, or a number of at least 0 by which it gets earlier`,
  )
}

/** For how many milliseconds callers wait for another's producer, where nothing is set. */
const DEFAULT_WAIT_MS = 30_000

/** Longer, and a timer ends at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Milliseconds; `Infinity`: no limit; `undefined`: not set. */
export type ProducerTimeout = number | undefined

/** @throws TypeError: no number of milliseconds above 0, and not `null`. */
export function toProducerTimeout(ms: unknown): ProducerTimeout {
  if (ms === undefined) return undefined
  if (ms === null) return Infinity
  if (typeof ms === 'number' && ms > 0 && ms <= MAX_TIMER_MS) return ms
  throw new TypeError(
    `producerTimeoutMs: ${show(ms)} is not a number of milliseconds above 0 and at most ${MAX_TIMER_MS}; give for example 30_000, or null to wait without a limit`,
  )
}

/** How long callers wait for another's producer. Milliseconds. */
export function waitLimitOf(timeout: ProducerTimeout): number {
  return timeout ?? DEFAULT_WAIT_MS
}

/**
 * How long callers wait for their own producer. Milliseconds. One that is merely slow must not fail a page unless
 * somebody said so.
 */
export function ownLimitOf(timeout: ProducerTimeout): number {
  return timeout ?? Infinity
}

/** Seconds that an entry may be stale. @throws TypeError: no finite number of at least 0. */
export function toGrace(name: 'staleWhileRevalidate' | 'staleIfError', seconds: unknown): number {
  if (seconds === undefined) return 0
  if (isSeconds(seconds)) return seconds
  throw noSeconds(name, seconds)
}

function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= MAX_SECONDS
}

function noSeconds(name: string, value: unknown, least = 'of at least 0'): TypeError {
  return new TypeError(`${name}: ${show(value)} is not a number of seconds ${least}`)
}

/** For how long an entry may be of use past its time. Seconds. */
function longestGrace(policy: AgeingPolicy | undefined): number {
  return policy === undefined ? 0 : Math.max(policy.staleWhileRevalidate, policy.staleIfError)
}

/** Whether what is past its time is wanted too. */
export function mayBeStale(policy: AgeingPolicy | undefined): boolean {
  return longestGrace(policy) > 0
}

/** What is known of the age of an entry that was found. */
export interface Aged {
  readonly stamp?: Stamp | undefined
  /** Milliseconds since the epoch; `undefined`: it is fresh. */
  readonly staleSinceMs?: number | undefined
}

/**
 * What to do with an entry that was found. It is served. It is stale and served, since somebody here produces
 * it again. The caller that found it produces it again, and others get it meanwhile. Or it is too old.
 */
export type Use = 'fresh' | 'stale' | 'refresh' | 'too-old'

/**
 * What to do with an entry that was found.
 *
 * @param isRefreshed - Somebody here makes it again already.
 */
export function useOf(policy: AgeingPolicy | undefined, found: Aged, isRefreshed: boolean): Use {
  const { staleSinceMs, stamp } = found
  if (policy === undefined) return staleSinceMs === undefined ? 'fresh' : 'too-old'
  if (staleSinceMs === undefined) {
    const isDue = !isRefreshed && (policy.isDue === true || isDueEarly(stamp, policy.beta))
    return isDue ? 'refresh' : 'fresh'
  }
  if (currentMs() >= staleSinceMs + policy.staleWhileRevalidate * 1000) return 'too-old'
  return isRefreshed ? 'stale' : 'refresh'
}

/** Until when an entry may be served instead of one that cannot be made. Milliseconds since the epoch. */
export function standsInUntilMs(policy: AgeingPolicy, { staleSinceMs, stamp }: Aged): number {
  // An entry that is produced again before its time ends is still good.
  const sinceMs = staleSinceMs ?? stamp?.freshUntilMs ?? Infinity
  return sinceMs + longestGrace(policy) * 1000
}

/** Past its time, and given to somebody all the same. */
export interface Served {
  readonly staleSinceMs: number
  /** In place of a new one that could not be made. */
  readonly afterError: boolean
}

/** Whether somebody may be given what was served to another past its time. */
export function mayServe(policy: AgeingPolicy | undefined, served: Served): boolean {
  if (policy === undefined) return false
  const grace = served.afterError ? longestGrace(policy) : policy.staleWhileRevalidate
  return grace > 0 && currentMs() <= served.staleSinceMs + grace * 1000
}

/** When an entry ends in the store, and what is stored beside it. */
export interface Ageing {
  readonly expiresAtMs: Deadline
  readonly stamp: Stamp | undefined
}

/**
 * Keeps an entry past the end of its time as its policy says.
 *
 * @param freshUntilMs - The end of its time.
 * @param tookMs - What it took to make.
 */
export function ageingBy(
  policy: AgeingPolicy | undefined,
  freshUntilMs: Deadline,
  tookMs: number,
): Ageing {
  const isCounted = policy !== undefined && policy.beta > 0
  return toAgeing(freshUntilMs, longestGrace(policy), isCounted ? tookMs : undefined)
}

/**
 * Keeps an entry past the end of its time.
 *
 * @param freshUntilMs - The end of its time.
 * @param graceSeconds - For how long it may be stale.
 * @param costMs - How long it took to produce, if it is to be produced again before its time ends.
 */
export function toAgeing(
  freshUntilMs: Deadline,
  graceSeconds: number,
  costMs: number | undefined,
): Ageing {
  const isKept = freshUntilMs === null || freshUntilMs > 0
  if (!isKept || (graceSeconds === 0 && costMs === undefined)) {
    return { expiresAtMs: freshUntilMs, stamp: undefined }
  }
  const graceMs = Math.ceil(graceSeconds * 1000)
  const stamp = { freshUntilMs: freshUntilMs ?? Infinity, graceMs, costMs: Math.ceil(costMs ?? 0) }
  return { expiresAtMs: freshUntilMs === null ? null : freshUntilMs + graceMs, stamp }
}

/**
 * Whether an entry is to be produced again before its time ends, at random: the nearer its end and the more
 * it costs, the likelier.
 *
 * @see Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention" (2015)
 */
export function isDueEarly(stamp: Stamp | undefined, beta: number): boolean {
  if (stamp === undefined || beta === 0 || stamp.costMs === 0) return false
  return currentMs() - stamp.costMs * beta * Math.log(Math.random()) >= stamp.freshUntilMs
}
