import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { coreOf, type CacheCore } from '../backend/core.js'
import { isCaches, talliesOf, type Caches } from '../caches.js'
import { textOfError } from '../error-text.js'
import { show } from '../errors.js'
import type {
  FragmentMessage,
  OperationMessage,
  OutageMessage,
  RefreshMessage,
} from './channels.js'
import type { MissCause } from './miss-cause.js'
import type { Listener } from './listener-list.js'
import type { CachesTallies } from './tally.js'

/** What is used here of a message on the channel `fragcache:response`. */
export interface ResponseTold {
  readonly method: string
  readonly url: string
  readonly key: string
  readonly alias: string
  readonly outcome: string
  readonly reason?: string
  readonly cause?: MissCause
}

/** The listeners of each channel. */
export interface Listeners {
  readonly operation?: (message: OperationMessage) => void
  readonly fragment?: (message: FragmentMessage) => void
  readonly response?: (message: ResponseTold) => void
  readonly outage?: (message: OutageMessage) => void
  readonly refresh?: (message: RefreshMessage) => void
}

/** The outages of caches that last, and of what they stand on. */
export function outagesOf(cores: Iterable<CacheCore>): readonly OutageMessage[] {
  const all = new Set<CacheCore>()
  const add = (core: CacheCore) => {
    all.add(core)
    core.standsOn.forEach(add)
  }
  for (const core of cores) add(core)
  return [...all].flatMap(({ alias, backendName: backend, guard, outageBeside }) =>
    [guard.outage, outageBeside()].flatMap((outage) =>
      outage === undefined ? [] : [{ alias, backend, ...outage }],
    ),
  )
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
  /** Each cache once, whatever the number of its aliases. */
  readonly cores: ReadonlySet<CacheCore>
  /** What is counted of the fragments and the pages on them. */
  readonly tallies: CachesTallies

  /**
   * @param caller - What was called, for the error.
   * @throws TypeError: something is no `Caches`.
   */
  constructor(caller: string, caches: Caches) {
    if (!isCaches(caches)) {
      throw new TypeError(
        `${caller}: caches: ${show(caches)} is not a set of caches; give the result of createCaches`,
      )
    }
    const backends = new Map<string, Map<string, boolean>>()
    const aliases = new Set<string>()
    const cores = new Set<CacheCore>()
    for (const name of caches.aliases) {
      // A cache under two aliases keeps the first as its name in messages.
      const core = coreOf(caches.get(name))
      const { alias, backendName, answersAtOnce, entries } = core
      cores.add(core)
      aliases.add(name).add(alias)
      const known = backends.get(alias) ?? new Map<string, boolean>()
      backends.set(alias, known.set(backendName, answersAtOnce || entries.mayAnswerAtOnce))
    }
    this.backends = backends
    this.aliases = aliases
    this.cores = cores
    this.tallies = talliesOf(caches)
  }

  /** Those of these caches that an outage is of: the cache itself, and whatever stands on it. */
  affectedBy({ alias, backend }: Pick<OutageMessage, 'alias' | 'backend'>): readonly CacheCore[] {
    const isMeant = (core: CacheCore): boolean =>
      (core.alias === alias && core.backendName === backend) || core.standsOn.some(isMeant)
    return [...this.cores].filter(isMeant)
  }

  /** The outages that last, as they were told when they began: who begins to watch does not know of them. */
  get outages(): readonly OutageMessage[] {
    return outagesOf(this.cores)
  }

  /** Whether a message of an operation or a refresh is of these caches. */
  owns(alias: string, backend: string): boolean {
    return this.backends.get(alias)?.has(backend) === true
  }
}

/**
 * Listens on the diagnostics channels. A listener that throws is reported once, and harms neither the
 * reported call nor the other listeners.
 *
 * @param who - For the warning.
 * @returns A function that ends it.
 */
export function listen(who: string, listeners: Listeners): () => void {
  const guarded = neverThrowing(who)
  const ends = Object.entries(listeners).map(([name, listener]) => {
    const tell = guarded(listener as (message: unknown) => void)
    // A channel names itself to its listeners, too.
    const onMessage = (message: unknown) => tell(message)
    const channel = `fragcache:${name}`
    subscribe(channel, onMessage)
    return () => unsubscribe(channel, onMessage)
  })
  return () => {
    for (const end of ends) end()
  }
}

/** The listeners of samples: see {@link listenToSamples}. */
export interface SampleListeners {
  readonly operation?: Listener<OperationMessage> | undefined
  readonly fragment?: Listener<FragmentMessage> | undefined
}

/**
 * Listens as {@link listen} does. Of look-ups and hits that are answered at once, however, it reports only
 * those that are timed anyway, with the number for which each stands: they take no longer for it.
 */
export function listenToSamples(
  who: string,
  {
    cores = [],
    tallies,
  }: { readonly cores?: Iterable<CacheCore>; readonly tallies?: CachesTallies },
  { operation, fragment }: SampleListeners,
): () => void {
  const guarded = neverThrowing(who)
  const ends: (() => void)[] = []
  if (operation !== undefined) {
    const listener = guarded(operation)
    for (const { counts } of cores) ends.push(counts.listeners.add(listener))
  }
  if (fragment !== undefined && tallies !== undefined)
    ends.push(tallies.fragments.listeners.add(guarded(fragment)))
  return () => {
    for (const end of ends) end()
  }
}

/**
 * Listeners that never throw: the first of their errors is reported. One that throws in a timer, or in what tells
 * it, would end the process.
 */
export function neverThrowing(who: string) {
  let isReported = false
  return <Given extends readonly unknown[]>(listener: (...given: Given) => void) =>
    (...given: Given): void => {
      try {
        listener(...given)
      } catch (error) {
        if (isReported) return
        isReported = true
        warn(who, error)
      }
    }
}

/** Says that watching failed; what is watched goes on. */
export function warn(who: string, error: unknown): void {
  process.emitWarning(`${who} failed: ${textOfError(error)}; reported once`, {
    type: 'CacheWatchWarning',
    code: 'FRAGCACHE_WATCH_FAILED',
  })
}
