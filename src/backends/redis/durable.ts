import { didYouMean } from '../../did-you-mean.js'
import { CacheBackendError, InvalidCacheBackendError, show } from '../../errors.js'
import { resolveCount } from '../../settings.js'
import { settledWithin } from '../../time-limit.js'
import type { Reply } from './client.js'
import { nodesOf } from './connections.js'
import { Link, type ClientSource } from './link.js'

/** How far an invalidation must have reached before it resolves. */
export interface DurableInvalidations {
  /** The number of replicas, in a Cluster of each master, that must have it. At least 1. */
  readonly waitReplicas: number
  /** Milliseconds the replicas may take; less than `options.timeLimitMs`. */
  readonly timeoutMs: number
}

const NAMES = ['waitReplicas', 'timeoutMs']

/** @throws InvalidCacheBackendError: it is of the wrong kind, or leaves no time. */
export function resolveDurable(
  given: unknown,
  timeLimitMs: number,
): DurableInvalidations | undefined {
  if (given === undefined) return undefined
  const name = 'durableInvalidations'
  if (typeof given !== 'object' || given === null) {
    throw refusal(
      `${name}: ${show(given)} is not an object; give { waitReplicas: 1, timeoutMs: 100 }`,
    )
  }
  const unknown = Object.keys(given).find((one) => !NAMES.includes(one))
  if (unknown !== undefined) {
    throw refusal(
      `${name}: unknown name ${show(unknown)}; known are ${NAMES.join(' and ')}${didYouMean(unknown, NAMES)}`,
    )
  }
  const [waitReplicas, timeoutMs] = NAMES.map((one) => {
    const value = (given as Readonly<Record<string, unknown>>)[one] ?? null
    return resolveCount('RedisCache', `${name}.${one}`, value, 0, 1)
  }) as [number, number]
  if (timeoutMs >= timeLimitMs) {
    throw refusal(
      `${name}.timeoutMs: ${timeoutMs} is not less than options.timeLimitMs, ${timeLimitMs}; lower it, or raise options.timeLimitMs`,
    )
  }
  return { waitReplicas, timeoutMs }
}

function refusal(fault: string): InvalidCacheBackendError {
  return new InvalidCacheBackendError(`RedisCache: ${fault}`)
}

/** How long a token lies there if nobody replaces it. */
const TOKEN_MS = 10_000

/**
 * Waits until replicas have what was written before.
 *
 * @remarks Over a connection of its own, since a server answers nothing else on one that waits. What it
 *   waits for is a write of its own, which comes after all that were answered. While there are two leaders, the two
 *   connections may lead to different ones: only if it finds there what was written over the other one, it is the
 *   same. A Cluster has no such connections, nor has a client of another package: the client's own wait, and with them
 *   what is asked of these servers meanwhile.
 * @see Redis, "WAIT"
 */
export class Confirmation {
  readonly #settings: DurableInvalidations
  readonly #source: ClientSource
  readonly #link: Link
  /** Over which everything else is written. */
  readonly #leader: Link
  readonly #key: () => string
  #count = 0
  #current: Promise<number> | undefined
  /** For all that was written after the current one began. */
  #next: Promise<number> | undefined

  /** @param key - Of what is written. No other process has it. */
  constructor(
    settings: DurableInvalidations,
    source: ClientSource,
    leader: Link,
    key: () => string,
  ) {
    this.#settings = settings
    this.#source = source
    this.#link = new Link(source)
    this.#leader = leader
    this.#key = key
  }

  /** @throws CacheBackendError: too few have confirmed it. */
  async wait(operation: string): Promise<void> {
    const { waitReplicas, timeoutMs } = this.#settings
    const reached = await this.#shared()
    if (reached >= waitReplicas) return
    throw new CacheBackendError(
      `RedisCache: ${operation} was carried out on the leader, but ${reached} instead of ${waitReplicas} replicas confirmed it within ${timeoutMs} ms; repeat it`,
      { backend: 'RedisCache', operation },
    )
  }

  close(): Promise<void> {
    return this.#source.close()
  }

  #shared(): Promise<number> {
    if (this.#current === undefined) return this.#begin()
    const begin = () => {
      this.#next = undefined
      return this.#begin()
    }
    const next = (this.#next ??= this.#current.then(begin, begin))
    // The current one may take all of this time, and does not tell who has what was written since it began.
    return settledWithin(next, this.#settings.timeoutMs, () => Promise.resolve(0))
  }

  #begin(): Promise<number> {
    const current = this.#ask().finally(() => {
      if (this.#current === current) this.#current = undefined
    })
    this.#current = current
    return current
  }

  async #ask(): Promise<number> {
    const { waitReplicas, timeoutMs } = this.#settings
    const client = await this.#link.ready()
    let replies: readonly Reply[]
    if (client.isCluster) {
      const nodes = nodesOf(client)
      replies = await Promise.all(nodes.map((node) => node.wait(waitReplicas, timeoutMs)))
    } else {
      replies = [await this.#reached(waitReplicas, timeoutMs)]
    }
    return Math.min(...replies.map(Number))
  }

  async #reached(waitReplicas: number, timeoutMs: number): Promise<Reply> {
    const key = this.#key()
    const count = String(++this.#count)
    await this.#leader.command('set', key, count, 'PX', TOKEN_MS)
    const [found, , reached] = await Promise.all([
      this.#link.command('mgetBuffer', key),
      this.#link.command('set', key, count, 'PX', timeoutMs),
      this.#link.command('wait', waitReplicas, timeoutMs),
    ])
    if (String((found as readonly Reply[])[0]) === count) return reached
    // What confirmed there is another server's. The next connection may lead to the right one.
    void this.#link.close()
    return 0
  }
}
