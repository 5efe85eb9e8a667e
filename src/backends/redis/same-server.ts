import { CacheBackendError } from '../../errors.js'
import { TimeLimit } from '../../time-limit.js'
import { isRefusal } from './changes.js'
import type { Argument, CommandName, IoClient, Reply } from './client.js'
import { connectionsOf, nodesOf, type Connections } from './connections.js'
import { Gate } from './gate.js'
import { Link, type ClientSource } from './link.js'

/** What the keys of this backend's own entries begin with that say which server they were stored on. */
export const SERVER_KEY_PREFIX = 'fragcache.server'

/** Milliseconds between two looks at a server to which the connection stands. */
const INTERVAL_MS = 10_000

/** Milliseconds for which the removal belongs to who began it. */
const REMOVAL_MS = 10_000

/** Milliseconds between two looks at whether another process has removed everything. */
const POLL_MS = 50

/** What {@link SameServer} needs. */
export interface SameServerSettings {
  readonly source: ClientSource
  readonly limitMs: number
  /** Makes a stored key. */
  readonly storedKey: (key: string) => string
  /**
   * Removes everything the cache could have written, but what is spared.
   *
   * @throws CacheBackendError: what belongs to the cache cannot be told.
   */
  readonly removeAll: (isSpared: (storedKey: string) => boolean) => Promise<unknown>
}

/** What the record says of the servers that entries are stored on. */
interface ServerRecord {
  /** How often everything was removed because of other servers. */
  readonly removals: number
  /** Their `run_id`s, sorted. */
  readonly servers: readonly string[]
}

/** Without a number while there was no removal. */
function textOf({ removals, servers }: ServerRecord): string {
  return `${removals > 0 ? `${removals}:` : ''}${servers.join(',')}`
}

function parseRecord(text: string): ServerRecord {
  const end = text.indexOf(':')
  const removals = end < 0 ? 0 : Number(text.slice(0, end)) || 0
  return { removals, servers: text.slice(end + 1).split(',') }
}

/**
 * Whether a later record cannot have grown out of this one: until the next removal, a record only gains servers.
 *
 * @param servers - Those that are connected now. Processes that write the record at once may leave one of them out.
 */
function isLeftBehind(
  record: ServerRecord,
  later: ServerRecord,
  servers: readonly string[],
): boolean {
  if (record.removals !== later.removals) return record.removals < later.removals
  return later.servers.some((id) => !record.servers.includes(id) && !servers.includes(id))
}

/**
 * Lets nothing through to a server before it is known to be the one, in the very life, on which this
 * cache's entries were stored. One that was restarted, or that took the place of another, may have
 * forgotten the last invalidations: then everything stored before is removed first.
 *
 * @remarks The server's `run_id` is new with every start. The one that entries are stored under is kept
 *   in a record beside them, so that it is lost or goes back in time with them. Of a Cluster it is the
 *   set of all masters': one that joins is added; where a known one is gone and an unknown one is
 *   there, it may have taken its place. A server that was replaced, and leads again with its old data, has a
 *   record that the one this process knows cannot have grown out of. The record is looked at whenever a connection is
 *   new, and now and then, which keeps it from being evicted and notices a server that is replaced behind a proxy.
 * @see Redis, "INFO": run_id
 */
export class SameServer extends Gate {
  readonly #settings: SameServerSettings
  readonly #limit: TimeLimit
  /** Without a gate: it carries what opens it. */
  readonly #link: Link
  #recordKey: string | undefined
  /** What the record says, as far as it is known. */
  #record: ServerRecord | undefined
  #hasWarned = false

  constructor(settings: SameServerSettings) {
    super(INTERVAL_MS)
    this.#settings = settings
    this.#limit = new TimeLimit(settings.limitMs)
    this.#link = new Link(settings.source)
  }

  /** Where the record is. */
  get recordKey(): string {
    return (this.#recordKey ??= this.#settings.storedKey(SERVER_KEY_PREFIX))
  }

  /** Where it is said who removes what was stored before. */
  get #removerKey(): string {
    return this.#settings.storedKey(`${SERVER_KEY_PREFIX}.remover`)
  }

  /** What the record should say; `undefined`: not known. */
  get record(): string | undefined {
    return this.#record && textOf(this.#record)
  }

  /** Whether a key is one of those that must outlive a `clear`: they begin alike, unless the site makes the keys. */
  isOwn(storedKey: string): boolean {
    return storedKey.startsWith(this.recordKey) || storedKey === this.#removerKey
  }

  protected override async look(client: IoClient): Promise<Connections> {
    const nodes = nodesOf(client)
    const before = connectionsOf(nodes)
    const asked = [this.#readRecord(client), ...nodes.map((node) => node.info('server'))] as const
    let answers: readonly unknown[]
    try {
      answers = await this.#limit.race(Promise.all(asked))
    } catch (error) {
      if (!isRefusal(error)) throw error
      this.#warn(
        'FRAGCACHE_NO_RUN_ID',
        `the server does not say which it is (${error.message}); give the user the right to INFO`,
      )
      return connectionsOf(nodes)
    }
    const [record, ...infos] = answers as [ServerRecord | undefined, ...string[]]
    // Of those that were asked: others may have joined meanwhile.
    const connections = connectionsOf(nodes)
    if (!before.every((one, i) => one === undefined || one === connections[i])) {
      throw new Error('the connection was lost while the server was asked which it is')
    }
    const servers = infos.map((info) => /^run_id:(\w+)/m.exec(info)?.[1] ?? '').sort()
    if (servers.includes('')) {
      this.#warn('FRAGCACHE_NO_RUN_ID', 'the server has no run_id in its INFO')
    } else {
      this.#record = await this.#agree(client, record, servers)
    }
    return connections
  }

  /** @returns What the record now says. */
  async #agree(
    client: IoClient,
    record: ServerRecord | undefined,
    servers: readonly string[],
  ): Promise<ServerRecord> {
    const own = this.#record
    // Where it was evicted or flushed, this process may still know better.
    const known = record ?? own ?? { removals: 0, servers }
    const removals = Math.max(known.removals, own?.removals ?? 0)
    const isNew = (id: string) => !known.servers.includes(id)
    const areOthers = servers.some(isNew) && known.servers.some((id) => !servers.includes(id))
    if (areOthers || (own !== undefined && isLeftBehind(known, own, servers))) {
      this.close()
      return this.#startAfresh(client, { removals: removals + 1, servers })
    }
    const all = { removals, servers: [...known.servers, ...servers.filter(isNew)].sort() }
    if (record === undefined || textOf(record) !== textOf(all)) {
      // A full server, or one that takes no writes, still answers reads.
      await this.#ask('set', this.recordKey, textOf(all)).catch(() => undefined)
    }
    return all
  }

  /**
   * One process at a time, so that nothing is removed that another has stored after its own turn.
   *
   * @returns What the record then says: what is asked for, or what another process has made of it.
   */
  async #startAfresh(client: IoClient, wanted: ServerRecord): Promise<ServerRecord> {
    const findDone = async () => {
      const record = await this.#limit.race(this.#readRecord(client))
      const isDone =
        record !== undefined &&
        record.removals >= wanted.removals &&
        record.servers.join() === wanted.servers.join()
      return isDone ? record : undefined
    }
    for (;;) {
      const args = [this.#removerKey, process.pid, 'PX', REMOVAL_MS, 'NX']
      if ((await this.#ask('set', ...args)) !== null) break
      await new Promise((resolve) => setTimeout(resolve, POLL_MS).unref())
      const done = await findDone()
      if (done !== undefined) return done
    }
    const done = await findDone()
    if (done === undefined) {
      try {
        await this.#settings.removeAll((storedKey) => this.isOwn(storedKey))
      } catch (error) {
        if (!(error instanceof CacheBackendError)) throw error
        this.#warn(
          'FRAGCACHE_NO_REMOVAL',
          `the server was restarted or replaced, and what was stored before could not be told from what others store (${error.message})`,
        )
      }
      await this.#ask('set', this.recordKey, textOf(wanted))
    }
    await this.#ask('unlink', this.#removerKey)
    return done ?? wanted
  }

  async #readRecord(client: IoClient): Promise<ServerRecord | undefined> {
    const [record] = (await client.mgetBuffer(this.recordKey)) as readonly (Buffer | null)[]
    return record ? parseRecord(record.toString('latin1')) : undefined
  }

  #ask(name: CommandName, ...args: Argument[]): Promise<Reply> {
    return this.#limit.race(this.#link.command(name, ...args))
  }

  #warn(code: string, why: string): void {
    if (this.#hasWarned) return
    this.#hasWarned = true
    process.emitWarning(
      `RedisCache: ${why}; what was invalidated may come back when a server is restarted from a snapshot or a replica takes its place`,
      { type: 'CacheOutageWarning', code },
    )
  }
}
