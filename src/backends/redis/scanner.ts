import { CacheBackendError } from '../../errors.js'
import { TimeLimit } from '../../time-limit.js'
import type { IoClient, Reply } from './client.js'
import { GivenClient } from './connection.js'
import { escapeGlob } from './key-space.js'
import { Link } from './link.js'

/** Keys the server looks at in one step. */
const STEP = 1000

/** Goes through the keys of a server, or of every master of a Cluster. */
export class Scanner {
  readonly #link: Link
  readonly #limitMs: number
  readonly #limit: TimeLimit

  constructor(link: Link, limitMs: number) {
    this.#link = link
    this.#limitMs = limitMs
    // A client that was given may have no limit of its own.
    this.#limit = new TimeLimit(limitMs)
  }

  /** Gives the stored keys that match, in parts; one may come twice. */
  async *scan(pattern: string): AsyncGenerator<readonly string[], void, void> {
    for (const { link, prefix } of await this.#nodes()) yield* this.#scanOne(link, prefix, pattern)
  }

  async *#scanOne(
    link: Link,
    prefix: string,
    pattern: string,
  ): AsyncGenerator<readonly string[], void, void> {
    let cursor = '0'
    do {
      const match = escapeGlob(prefix) + pattern
      const reply = await this.#limit.race(
        link.command('scan', cursor, 'MATCH', match, 'COUNT', STEP),
      )
      const [next, keys] = reply as readonly [Reply, readonly string[]]
      cursor = String(next)
      // What the client puts in front of keys by itself is not seen in what it gives back.
      yield prefix === '' ? keys : keys.map((key) => key.slice(prefix.length))
    } while (cursor !== '0')
  }

  /** Removes the keys that match and pass. @returns How many were found. */
  async remove(pattern: string, passes: (storedKey: string) => boolean): Promise<number> {
    let count = 0
    for (const { link, prefix, isPartOfCluster } of await this.#nodes()) {
      if (prefix === '' && /^\**$/.test(pattern)) {
        throw new CacheBackendError(
          'RedisCache: clear failed: every key of the server could be of this cache; set options.flushOnClear if that is meant, or let keyFunction put something of its own into the keys',
          { backend: 'RedisCache', operation: 'clear' },
        )
      }
      for await (const found of this.#scanOne(link, prefix, pattern)) {
        const keys = found.filter(passes)
        if (keys.length === 0) continue
        count += keys.length
        // Keys of one node may still be of different slots, and on their way to another node.
        const removed = isPartOfCluster
          ? Promise.all(keys.map((key) => this.#link.command('unlink', key)))
          : link.command('unlink', keys)
        await this.#limit.race<unknown>(removed)
      }
    }
    return count
  }

  /** Empties the db. */
  async flush(): Promise<void> {
    const nodes = await this.#nodes()
    await this.#limit.race(Promise.all(nodes.map(({ link }) => link.command('flushdb', 'ASYNC'))))
  }

  async #nodes() {
    const client: IoClient = await this.#limit.race(this.#link.ready())
    const prefix = client.options.keyPrefix ?? ''
    if (!client.isCluster) return [{ link: this.#link, prefix, isPartOfCluster: false }]
    return (client.nodes?.('master') ?? []).map((node) => ({
      link: new Link(new GivenClient(node, this.#limitMs)),
      prefix,
      isPartOfCluster: true,
    }))
  }
}
