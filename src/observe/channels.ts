import { channel } from 'node:diagnostics_channel'
import { textOfError } from '../error-text.js'
import type { MissCause } from './miss-cause.js'
import type { FragmentReason } from './reasons.js'

/** A message on the channel `fragcache:operation`: one call of the low-level API. */
export interface OperationMessage {
  /** The name of the cache in its `Caches`; empty if it is in none. */
  readonly alias: string
  /** The backend's class name. */
  readonly backend: string
  readonly operation: string
  /** The keys, as the caller passed them. */
  readonly keys: readonly string[]
  readonly hits: number
  readonly misses: number
  readonly durationMs: number
  readonly error?: unknown
}

/**
 * The outcome of a fragment. `hit`: found. `miss`: rendered and stored. `stale`: served past its time.
 * `joined`: taken from another caller's body. `bypass`: rendered and not stored. `error`: its body threw.
 */
export type FragmentOutcome = 'hit' | 'miss' | 'stale' | 'joined' | 'bypass' | 'error'

/** A message on the channel `fragcache:fragment`: one fragment rendered. */
export interface FragmentMessage {
  readonly name: string
  readonly key: string
  readonly alias: string
  readonly outcome: FragmentOutcome
  /** Milliseconds the body took; 0 if it did not run. */
  readonly bodyMs: number
  readonly durationMs: number
  readonly template?: string
  /** Why it was not stored, or why the text is an expired one. */
  readonly reason?: FragmentReason
  /**
   * Why there was no fresh one in the cache. Absent if there was, if it was not looked for, or if that is
   * unknown.
   */
  readonly cause?: MissCause
}

/** A message on the channel `fragcache:outage`: a store stopped answering, or is back. */
export interface OutageMessage {
  readonly alias: string
  readonly backend: string
  readonly error: unknown
  /** When the outage began, in milliseconds since the epoch. */
  readonly since: number
  /** When the outage ended, in milliseconds since the epoch. Absent while it lasts. */
  readonly until?: number
}

/**
 * A message on the channel `fragcache:refresh`: a value could not be produced again, so the old one is
 * served.
 */
export interface RefreshMessage {
  readonly alias: string
  /** The backend's class name. */
  readonly backend: string
  readonly key: string
  readonly error: unknown
}

export const operationChannel = channel('fragcache:operation')
export const fragmentChannel = channel('fragcache:fragment')
export const outageChannel = channel('fragcache:outage')
export const refreshChannel = channel('fragcache:refresh')

/** An outage that goes on. */
export interface LastingOutage {
  readonly error: unknown
  /** Milliseconds since the epoch. */
  readonly since: number
}

/** Milliseconds in which warnings of one kind are limited. */
const INTERVAL_MS = 60_000

/** Most warnings of outages of one cache in that time: a store that half works may begin and end ten in a second. */
const MOST_OUTAGES = 5

/** Whether a warning may be given now, of those that may be given some times a minute. */
class Allowance {
  /** When the last ones were given. */
  readonly #givenMs: number[]

  constructor(most: number) {
    this.#givenMs = Array.from({ length: most }, () => -Infinity)
  }

  /** @returns Whether it may. It then counts as given. */
  take(): boolean {
    const nowMs = performance.now()
    if (nowMs - (this.#givenMs[0] ?? nowMs) < INTERVAL_MS) return false
    this.#givenMs.shift()
    this.#givenMs.push(nowMs)
    return true
  }
}

/**
 * Reports the begin and the end of an outage once each, however many calls fail in between. Of many outages in a
 * minute the process is warned of some; one that lasts is not kept from it.
 */
export class OutageReporter {
  #outage: LastingOutage | undefined
  #isWarnedOf = false
  readonly #warnings = new Allowance(MOST_OUTAGES)

  failed(alias: string, backend: string, error: unknown): void {
    if (this.#outage === undefined) {
      const since = Date.now()
      this.#outage = { error, since }
      this.#isWarnedOf = false
      outageChannel.publish({ alias, backend, error, since } satisfies OutageMessage)
    }
    this.lasts(alias, backend)
  }

  /** Warns of the outage that lasts, if there were too many warnings when it began. */
  lasts(alias: string, backend: string): void {
    if (this.#outage === undefined || this.#isWarnedOf || !this.#warnings.take()) return
    this.#isWarnedOf = true
    process.emitWarning(
      `${nameOf(alias, backend)} fails: ${textOfError(this.#outage.error)}; reported once until it works again, at most ${MOST_OUTAGES} times a minute`,
      { type: 'CacheOutageWarning', code: 'FRAGCACHE_OUTAGE' },
    )
  }

  /** The one whose end is still to be reported. */
  get lasting(): LastingOutage | undefined {
    return this.#outage
  }

  succeeded(alias: string, backend: string): void {
    if (this.#outage === undefined) return
    const { error, since } = this.#outage
    this.#outage = undefined
    outageChannel.publish({
      alias,
      backend,
      error,
      since,
      until: Date.now(),
    } satisfies OutageMessage)
  }
}

/** A cache as it is called in warnings. */
function nameOf(alias: string, backend: string): string {
  return alias === '' ? backend : `${backend} "${alias}"`
}

/** Says at most once a minute that a server refuses something, or one of several does not answer: that is no outage, and has no end that could be told. */
export class RefusalReporter {
  readonly #warnings = new Allowance(1)

  add(alias: string, backend: string, error: unknown): void {
    if (!this.#warnings.take()) return
    process.emitWarning(
      `${nameOf(alias, backend)}: some of its calls fail: ${textOfError(error)}; reported at most once a minute`,
      { type: 'CacheRefusalWarning', code: 'FRAGCACHE_REFUSED' },
    )
  }
}

const refreshWarnings = new Allowance(1)

/** Says that the old is served since the new could not be made: each time to who listens, else at most once a minute. */
export function reportRefresh(message: RefreshMessage): void {
  if (refreshChannel.hasSubscribers) {
    refreshChannel.publish(message)
    return
  }
  if (!refreshWarnings.take()) return
  process.emitWarning(
    `${nameOf(message.alias, message.backend)}: ${JSON.stringify(message.key)} could not be refreshed, and the old value is served: ${textOfError(message.error)}; reported at most once a minute, each time on the channel fragcache:refresh`,
    { type: 'CacheRefreshWarning', code: 'FRAGCACHE_REFRESH_FAILED' },
  )
}

const reportedDamage = new WeakSet<object>()

/** Says once per cache that a stored entry could not be read; the entry counts as a miss. */
export function reportDamage(
  cache: object,
  backend: string,
  storedKey: string,
  cause: unknown,
): void {
  if (reportedDamage.has(cache)) return
  reportedDamage.add(cache)
  process.emitWarning(
    `${backend}: the entry ${JSON.stringify(storedKey)} could not be read and counts as a miss (${textOfError(cause)}); reported once per cache`,
    { type: 'CacheDamageWarning', code: 'FRAGCACHE_DAMAGED_ENTRY' },
  )
}
