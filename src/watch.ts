import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { coreOf } from './backend/core.js'
import { isCaches, type Caches } from './caches.js'
import { textOfError } from './error-text.js'
import { show } from './errors.js'
import type {
  FragmentMessage,
  OperationMessage,
  OutageMessage,
  RefreshMessage,
  Sum,
} from './observe.js'

/** What is used here of a message on the channel `fragcache:response`. */
export interface ResponseTold {
  readonly method: string
  readonly url: string
  readonly key: string
  readonly alias: string
  readonly outcome: string
  readonly reason?: string
}

/** Who is to be told of the messages of which channel. */
export interface Listeners {
  readonly operation?: (message: OperationMessage) => void
  readonly fragment?: (message: FragmentMessage) => void
  readonly 'operation-sum'?: (sum: Sum<OperationMessage>) => void
  readonly 'fragment-sum'?: (sum: Sum<FragmentMessage>) => void
  readonly response?: (message: ResponseTold) => void
  readonly outage?: (message: OutageMessage) => void
  readonly refresh?: (message: RefreshMessage) => void
}

/**
 * Which messages are of given caches. A message names its cache by alias, and mostly its backend: two
 * caches of one process that share both cannot be told apart.
 */
export class Watched {
  /** By the alias that their messages carry: the backends, and whether they can answer without waiting. */
  readonly backends: ReadonlyMap<string, ReadonlyMap<string, boolean>>
  /** Every alias that the messages of fragments and responses may carry. */
  readonly aliases: ReadonlySet<string>

  /**
   * @param caller - What was called, for the error.
   * @throws TypeError: something is no `Caches`.
   */
  constructor(
    caller: string,
    private readonly caches: Caches,
  ) {
    if (!isCaches(caches)) {
      throw new TypeError(
        `${caller}: caches: ${show(caches)} is none; give what createCaches returned`,
      )
    }
    const backends = new Map<string, Map<string, boolean>>()
    const aliases = new Set<string>()
    for (const name of caches.aliases) {
      // A cache under two aliases keeps the first as its name in messages.
      const { alias, backendName, answersAtOnce, entries } = coreOf(caches.get(name))
      aliases.add(name).add(alias)
      const known = backends.get(alias) ?? new Map<string, boolean>()
      backends.set(alias, known.set(backendName, answersAtOnce || entries.mayAnswerAtOnce))
    }
    this.backends = backends
    this.aliases = aliases
  }

  /** Has all hits told of that were not yet: before sums are read, and before one listens to them. */
  tellSums(): void {
    // Those of another copy of this package may be older.
    ;(this.caches as Partial<Pick<Caches, 'tellSums'>>).tellSums?.()
  }

  /** Whether a message of an operation, an outage or a refresh is of these caches. */
  owns(alias: string, backend: string): boolean {
    return this.backends.get(alias)?.has(backend) === true
  }
}

/**
 * Listens on the diagnostics channels. A listener that throws is reported once, and harms neither the
 * call that is told of nor the other listeners.
 *
 * @param who - For the warning.
 * @returns Ends it.
 */
export function listen(who: string, listeners: Listeners): () => void {
  let isReported = false
  const ends = Object.entries(listeners).map(([name, listener]) => {
    const tell = listener as (message: unknown) => void
    const onMessage = (message: unknown) => {
      try {
        tell(message)
      } catch (error) {
        if (isReported) return
        isReported = true
        warn(who, error)
      }
    }
    const channel = `fragcache:${name}`
    subscribe(channel, onMessage)
    return () => unsubscribe(channel, onMessage)
  })
  return () => {
    for (const end of ends) end()
  }
}

/** Says that watching failed; what is watched goes on. */
export function warn(who: string, error: unknown): void {
  process.emitWarning(`${who} failed: ${textOfError(error)}; reported once`, {
    type: 'CacheWatchWarning',
    code: 'FRAGCACHE_WATCH_FAILED',
  })
}

/**
 * Refuses options nobody knows.
 *
 * @throws TypeError
 */
export function checkKnown(caller: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`${caller}: ${show(options)} is no object of options`)
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    throw new TypeError(`${caller}: unknown option ${show(name)}; known are ${known.join(', ')}`)
  }
}
