import { checkKnown } from '../check-known.js'
import { didYouMean } from '../did-you-mean.js'
import type { Caches } from '../caches.js'
import { show } from '../errors.js'
import { isPromise } from '../maybe-promise.js'
import type {
  FragmentMessage,
  OperationMessage,
  OutageMessage,
  RefreshMessage,
} from './channels.js'
import { checkShownKeys, shownKey, shownUrl, withShownKeys, type ShownKeys } from '../shown-key.js'
import { toVisibleJson } from '../visible-json.js'
import {
  listen,
  listenToSamples,
  warn,
  Watched,
  type Listeners,
  type ResponseTold,
  type SampleListeners,
} from './watch.js'

/** A method of a logger: it takes a line of text, or an object and a text. */
export type LogMethod = (...args: never[]) => unknown

/**
 * The logger that {@link logAccess} writes to: `console`, pino, or any object with their methods. Other
 * levels are its methods of that name.
 */
export interface AccessLogger {
  readonly info: LogMethod
  readonly warn: LogMethod
  readonly error: LogMethod
}

/** The events that can be logged. */
export type LogEvents = 'operations' | 'fragments' | 'responses' | 'outages' | 'refreshes'

/**
 * The outcome of an event. Operations: `hit`, `miss` (at least one key was not there), `ok` (nothing was
 * looked up) and `error`. Fragments and responses: their own outcome. Outages: `outage` and `recovery`.
 * `refresh`: a value could not be produced again, so the old one was served.
 */
export type LogOutcome =
  | 'hit'
  | 'miss'
  | 'stale'
  | 'joined'
  | 'bypass'
  | 'ok'
  | 'error'
  | 'outage'
  | 'recovery'
  | 'refresh'

/**
 * The level of each outcome; `false`: it is not logged. Outcomes that you omit keep their default.
 */
export type LogLevels = Readonly<Partial<Record<LogOutcome, string | false>>>

/** Options of {@link logAccess}. */
export interface AccessLogOptions {
  /** The logger. Default: `console`. */
  readonly logger?: AccessLogger | undefined
  /**
   * The level of events that are not failures, or the level of each outcome. A level is the name of a method
   * of the logger. Default `'info'`. Unless you set them one by one, errors and outages are always `error`,
   * and failed refreshes are always `warn`.
   */
  readonly level?: string | LogLevels | undefined
  /**
   * The share of events other than failures that is logged, at random: 0 to 1. Default 1. Failures are always
   * logged. Up to 1/8192, hits that are answered at once are drawn many at a time, which costs them next to
   * nothing.
   */
  readonly sample?: number | undefined
  /**
   * How keys and addresses are shown. `'none'`: not at all. `'hash'`: ten digits that distinguish them.
   * `'short'`: the first twenty characters and the hash; for an address, its path. `'full'`: unchanged.
   * Default `'short'`.
   */
  readonly keys?: ShownKeys | undefined
  /** The events to log. Default: all. */
  readonly events?: readonly LogEvents[] | undefined
  /**
   * `'object'`: the logger receives an object and a text, as pino does. `'text'`: it receives one line, as
   * `console` does. Default: `'object'` for a logger that has pino's `bindings`, else `'text'`.
   */
  readonly format?: 'object' | 'text' | undefined
}

/** What {@link logAccess} returns. */
export interface AccessLog {
  /** Stops logging. Calling it more than once is not an error. */
  close(): void
}

const OPTIONS = ['logger', 'level', 'sample', 'keys', 'events', 'format']
const EVENTS: readonly LogEvents[] = [
  'operations',
  'fragments',
  'responses',
  'outages',
  'refreshes',
]

const DEFAULT_LEVELS: Readonly<Record<LogOutcome, string | false>> = {
  hit: 'info',
  miss: 'info',
  stale: 'info',
  joined: 'info',
  bypass: 'info',
  ok: 'info',
  error: 'error',
  outage: 'error',
  recovery: 'info',
  refresh: 'warn',
}

/** Outcomes that `level: 'debug'` leaves at their own level. */
const FAILURES: readonly string[] = ['error', 'outage', 'recovery', 'refresh']

/** Of no larger share, the calls that are timed anyway are enough to draw from. */
const SHARE_OF_SAMPLES = 1 / 8192

/** Keys of one operation that are shown. */
const MAX_KEYS = 10

/**
 * Logs what caches do: look-ups, renders and responses with their outcomes, and every failure. Values are
 * never logged.
 *
 * @param caches - What `createCaches` returned. If one process has two sets of caches, those with the same
 *   alias and the same backend cannot be distinguished.
 * @throws TypeError: an option is unknown or invalid, or the logger has no such level.
 * @remarks If a logger throws, this is reported once as a warning and affects nothing else.
 */
export function logAccess(caches: Caches, options: AccessLogOptions = {}): AccessLog {
  checkKnown('logAccess', options, OPTIONS)
  return { close: new Writer(new Watched('logAccess', caches), options).listen() }
}

type Fields = Readonly<Record<string, unknown>>

/** Turns messages into lines, and writes them. */
class Writer {
  readonly #caches: Watched
  readonly #logger: AccessLogger
  readonly #levels: Readonly<Record<LogOutcome, string | false>>
  readonly #keys: ShownKeys
  readonly #events: readonly LogEvents[]
  readonly #takesObject: boolean
  readonly #sample: number
  /** Messages without a failure that are passed over before the next is logged. */
  #gap: number
  #isWriting = false
  #isReported = false

  constructor(caches: Watched, options: AccessLogOptions) {
    const {
      logger = console,
      level = 'info',
      sample = 1,
      keys = 'short',
      events = EVENTS,
    } = options
    this.#caches = caches
    this.#levels = toLevels(level)
    this.#logger = checkLogger(logger, this.#levels)
    this.#keys = checkShownKeys('logAccess', keys)
    this.#events = checkEvents(events)
    this.#takesObject = takesObject(logger, options.format)
    if (typeof sample !== 'number' || !(sample >= 0 && sample <= 1)) {
      throw new TypeError(`logAccess: sample: ${show(sample)} is not a number from 0 to 1`)
    }
    this.#sample = sample
    this.#gap = this.#nextGap()
  }

  listen(): () => void {
    const events = new Set(this.#events)
    const calls = {
      ...(events.has('operations') && {
        operation: (message: OperationMessage, count?: number) => this.#operation(message, count),
      }),
      ...(events.has('fragments') && {
        fragment: (message: FragmentMessage, count?: number) => this.#fragment(message, count),
      }),
    } satisfies SampleListeners
    const others: Listeners = {
      ...(events.has('responses') && {
        response: (message: ResponseTold) => this.#response(message),
      }),
      ...(events.has('outages') && { outage: (message: OutageMessage) => this.#outage(message) }),
      ...(events.has('refreshes') && {
        refresh: (message: RefreshMessage) => this.#refresh(message),
      }),
    }
    const ends =
      this.#sample <= SHARE_OF_SAMPLES
        ? [listenToSamples('logAccess', this.#caches, calls), listen('logAccess', others)]
        : [listen('logAccess', { ...calls, ...others })]
    if (events.has('outages')) for (const outage of this.#caches.outages) this.#outage(outage)
    return () => {
      for (const end of ends.splice(0)) end()
    }
  }

  /** @param count - How many it stands for. */
  #operation(message: OperationMessage, count = 1): void {
    const { alias, backend, operation, keys, hits, misses, durationMs, error } = message
    if (error === undefined && this.#isPassedOver(count)) return
    if (!this.#caches.owns(alias, backend)) return
    const outcome = error !== undefined ? 'error' : misses > 0 ? 'miss' : hits > 0 ? 'hit' : 'ok'
    this.#write(outcome, `cache ${operation}: ${outcome}`, () => ({
      event: 'operation',
      alias,
      backend,
      operation,
      outcome,
      ...this.#shownKeys(keys),
      hits,
      misses,
      durationMs: rounded(durationMs),
      ...(error !== undefined && { error: this.#shownError(error, keys) }),
    }))
  }

  #fragment(message: FragmentMessage, count = 1): void {
    const { name, key, alias, outcome, bodyMs, durationMs, template } = message
    if (outcome !== 'error' && this.#isPassedOver(count)) return
    if (!this.#caches.aliases.has(alias)) return
    this.#write(outcome, `cache fragment: ${outcome}`, () => ({
      event: 'fragment',
      fragment: name,
      alias,
      outcome,
      key: shownKey(key, this.#keys),
      bodyMs: rounded(bodyMs),
      durationMs: rounded(durationMs),
      template,
    }))
  }

  #response(message: ResponseTold): void {
    if (this.#isPassedOver()) return
    const { method, url, key, alias, outcome, reason } = message
    if (!this.#caches.aliases.has(alias)) return
    this.#write(outcome as LogOutcome, `cache response: ${outcome}`, () => ({
      event: 'response',
      method,
      url: shownUrl(url, this.#keys),
      alias,
      outcome,
      reason,
      key: shownKey(key, this.#keys),
    }))
  }

  /** One line for each cache that it touches, with the backend that fails. */
  #outage(message: OutageMessage): void {
    const { backend, error, since, until } = message
    const outcome = until === undefined ? 'outage' : 'recovery'
    for (const { alias } of this.#caches.affectedBy(message)) {
      this.#write(outcome, `cache ${outcome}`, () => ({
        event: 'outage',
        alias,
        backend,
        outcome,
        since: new Date(since).toISOString(),
        ...(until !== undefined && { durationMs: until - since }),
        error: this.#shownError(error, []),
      }))
    }
  }

  #refresh({ alias, backend, key, error }: RefreshMessage): void {
    if (!this.#caches.owns(alias, backend)) return
    this.#write('refresh', 'cache refresh failed: the old value is served', () => ({
      event: 'refresh',
      alias,
      backend,
      outcome: 'refresh',
      key: shownKey(key, this.#keys),
      error: this.#shownError(error, [key], false),
    }))
  }

  /** A number is drawn for each that is logged, not for each that is not. */
  #isPassedOver(count = 1): boolean {
    if (this.#gap >= count) {
      this.#gap -= count
      return true
    }
    // Where the next one is among them too, what comes next is written in its place.
    const left = count - this.#gap - 1
    this.#gap = Math.max(0, this.#nextGap() - left)
    return false
  }

  #nextGap(): number {
    if (this.#sample === 1) return 0
    if (this.#sample === 0) return Infinity
    return Math.floor(Math.log(1 - Math.random()) / Math.log(1 - this.#sample))
  }

  #shownKeys(keys: readonly string[]): Fields | undefined {
    if (this.#keys === 'none' || keys.length === 0) return { keyCount: keys.length }
    const shown = keys.slice(0, MAX_KEYS).map((key) => shownKey(key, this.#keys))
    return { keys: shown, keyCount: keys.length }
  }

  #shownError(error: unknown, keys: readonly string[], isStores = true): Fields {
    if (typeof error !== 'object' || error === null) return { name: typeof error }
    const { name, code, message } = error as Readonly<Record<string, unknown>>
    // What tells a caller of a mistake shows keys in part; the code says enough.
    const isShown = this.#keys === 'full' || !isStores || code === 'FRAGCACHE_BACKEND_FAILED'
    return {
      name: String(name),
      ...(typeof code === 'string' && { code }),
      ...(isShown &&
        typeof message === 'string' && { message: withShownKeys(message, keys, this.#keys) }),
    }
  }

  #write(outcome: LogOutcome, text: string, fieldsOf: () => Fields): void {
    const level: string | false | undefined = this.#levels[outcome]
    // A logger that uses the cache itself would log itself for ever.
    if (typeof level !== 'string' || this.#isWriting) return
    this.#isWriting = true
    try {
      const { isLevelEnabled } = this.#logger as { isLevelEnabled?: unknown }
      if (typeof isLevelEnabled === 'function') {
        if (isLevelEnabled.call(this.#logger, level) === false) return
      }
      const fields = withoutUndefined(fieldsOf())
      const written = this.#takesObject
        ? this.#call(level, fields, text)
        : this.#call(level, toLine(text, fields))
      if (isPromise(written)) written.then(undefined, (error: unknown) => this.#failed(error))
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#isWriting = false
    }
  }

  #call(level: string, ...args: readonly unknown[]): unknown {
    const method = (this.#logger as unknown as Readonly<Record<string, unknown>>)[level]
    return (method as (...args: readonly unknown[]) => unknown).apply(this.#logger, [...args])
  }

  #failed(error: unknown): void {
    if (this.#isReported) return
    this.#isReported = true
    warn('logAccess: the logger', error)
  }
}

function toLevels(level: string | LogLevels): Readonly<Record<LogOutcome, string | false>> {
  const levels = { ...DEFAULT_LEVELS }
  const outcomes = Object.keys(levels) as LogOutcome[]
  if (typeof level === 'string') {
    for (const one of outcomes) if (!FAILURES.includes(one)) levels[one] = level
    return levels
  }
  checkKnown('logAccess: level', level, outcomes)
  for (const one of outcomes) {
    const given = level[one]
    if (given === undefined) continue
    if (given !== false && typeof given !== 'string') {
      throw new TypeError(
        `logAccess: level: ${one}: ${show(given)} is neither the name of a level nor false`,
      )
    }
    levels[one] = given
  }
  return levels
}

function checkLogger(
  logger: AccessLogger,
  levels: Readonly<Record<LogOutcome, string | false>>,
): AccessLogger {
  if (
    (typeof logger !== 'object' && typeof logger !== 'function') ||
    (logger as unknown) === null
  ) {
    throw new TypeError(
      `logAccess: logger: ${show(logger)} is not a logger; give console or pino()`,
    )
  }
  const methods = logger as unknown as Readonly<Record<string, unknown>>
  for (const [outcome, level] of Object.entries(levels)) {
    if (level === false || typeof methods[level] === 'function') continue
    throw new TypeError(
      `logAccess: level: the logger has no method ${show(level)}, the level of ${show(outcome)}`,
    )
  }
  return logger
}

function checkEvents(events: readonly LogEvents[]): readonly LogEvents[] {
  if (!(events instanceof Array)) {
    throw new TypeError(
      `logAccess: events: ${show(events)} is not a list; give some of ${EVENTS.join(', ')}`,
    )
  }
  for (const event of events) {
    if (EVENTS.includes(event)) continue
    throw new TypeError(
      `logAccess: events: ${show(event)} is unknown; known are ${EVENTS.join(', ')}${didYouMean(event, EVENTS)}`,
    )
  }
  return [...new Set(events)]
}

function takesObject(logger: object, format: 'object' | 'text' | undefined): boolean {
  if (format === undefined) {
    return typeof (logger as { readonly bindings?: unknown }).bindings === 'function'
  }
  if ((['object', 'text'] as readonly unknown[]).includes(format)) return format === 'object'
  throw new TypeError(`logAccess: format: ${show(format)} is neither "object" nor "text"`)
}

function withoutUndefined(fields: Fields): Fields {
  const defined: Record<string, unknown> = {}
  for (const name in fields) if (fields[name] !== undefined) defined[name] = fields[name]
  return defined
}

/** Microseconds are enough. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

/** Names and values on one line; a value that could end it, or pass for another name, is quoted. */
function toLine(text: string, fields: Fields): string {
  let line = text
  for (const name in fields) {
    if (name !== 'event' && name !== 'outcome') line += ` ${name}=${toWord(fields[name])}`
  }
  return line
}

function toWord(value: unknown): string {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && /^[\w.:/#…-]+$/.test(value) ? value : toVisibleJson(value)
}
