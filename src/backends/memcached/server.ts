import { Connection, type ConnectionSettings } from './connection.js'
import { clockAhead, countOf, known, type ServerFigures } from '../../server-stats.js'
import { connectionError, MemcachedConnectionError, MemcachedReplyError } from './faults.js'
import type { Generations } from './generations.js'
import { ask } from './records.js'

/** With so much under way on every connection, another one is opened. */
const BUSY_LOAD = 512

const FIRST_PROBE_MS = 20
const LAST_PROBE_MS = 250

/** A server that hangs may hold an attempt; so many are under way at a time. */
const MAX_PROBES = 4

/** One server: its connections, and whether it is known to be down. */
export class Server {
  readonly name: string
  /** The record of generations as it was last seen. */
  record: Generations | undefined
  #lostRecord: Generations | undefined
  #begun: Promise<Generations> | undefined

  readonly #settings: ConnectionSettings
  readonly #poolSize: number
  readonly #beforeReturn: ((connection: Connection) => Promise<void>) | undefined
  readonly #pool: Connection[] = []
  #failure: Error | undefined
  readonly #probes = new Set<Connection>()
  #timer: NodeJS.Timeout | undefined
  #probeMs = FIRST_PROBE_MS

  /**
   * @param beforeReturn - What to do on a server that is back before anything else is asked of it.
   */
  constructor(
    settings: ConnectionSettings,
    poolSize: number,
    beforeReturn?: (connection: Connection) => Promise<void>,
  ) {
    this.name = settings.location.name
    this.#settings = settings
    this.#poolSize = poolSize
    this.#beforeReturn = beforeReturn
  }

  get isDown(): boolean {
    return this.#failure !== undefined
  }

  /**
   * A connection to send commands on: the first that is not busy.
   *
   * @throws MemcachedConnectionError: the server is known to be down.
   */
  acquire(): Connection {
    if (this.#failure !== undefined) throw this.#failure
    let best: Connection | undefined
    for (const connection of this.#pool) {
      const { load } = connection
      if (load < BUSY_LOAD) return connection
      if (best === undefined || load < best.load) best = connection
    }
    if (best !== undefined && this.#pool.length >= this.#poolSize) return best
    return this.#openPooled()
  }

  /** What the record said before it was lost; the next one must say something else. */
  get lostRecord(): Generations | undefined {
    return this.#lostRecord
  }

  /** The record is no longer on the server. */
  lost(record: Generations | undefined): void {
    if (record === undefined || this.record !== record) return
    this.#lostRecord = record
    this.record = undefined
  }

  /** Makes the record, once for all who need it. */
  async beginning(make: () => Promise<Generations>): Promise<Generations> {
    const begun = (this.#begun ??= make())
    try {
      this.record = await begun
      return this.record
    } finally {
      if (this.#begun === begun) this.#begun = undefined
    }
  }

  /**
   * Waits for the answers that are due, then ends all connections. What is asked afterwards opens
   * others. What was known of failures is forgotten.
   */
  async close(): Promise<void> {
    this.#failure = undefined
    this.#endProbes()
    const ended = new Error('the cache was closed')
    await Promise.all(this.#pool.splice(0).map((connection) => connection.end(ended)))
  }

  /**
   * Asks what the server tells of itself, over a connection of its own: a proxy that knows no such
   * command may end the connection, and with it everything that is under way there.
   *
   * @throws MemcachedReplyError: it tells nothing of itself. MemcachedConnectionError: it is down.
   */
  async stats(): Promise<ServerFigures> {
    if (this.#failure !== undefined) throw this.#failure
    let isReady = false
    const connection = new Connection(this.#settings, {
      ready: () => {
        isReady = true
      },
      closed: () => undefined,
    })
    const askAbout = (subject: '' | 'settings') =>
      ask<ReadonlyMap<string, string> | undefined>(connection, (done) => ({
        type: 'stats',
        subject,
        done,
      }))
    const sentAtMs = Date.now()
    try {
      const [counts, settings] = await Promise.all([askAbout(''), askAbout('settings')])
      return figuresOf(counts ?? NOTHING, settings ?? NOTHING, sentAtMs, Date.now())
    } catch (error) {
      if (!isReady || (error instanceof Error && isHang(error))) throw error
      throw new MemcachedReplyError(
        `${this.name}: it does not answer to stats; is it a proxy? (${(error as Error).message})`,
        { cause: error },
      )
    } finally {
      connection.destroy()
    }
  }

  #openPooled(): Connection {
    let wasReady = false
    const connection = new Connection(this.#settings, {
      ready: () => {
        wasReady = true
      },
      closed: (ended, error) => {
        // What is no longer pooled was ended here, which says nothing of the server.
        if (!this.#drop(ended)) return
        // One that is lost says little: the next attempt shows whether the server is there.
        if (error !== undefined && (!wasReady || isHang(error))) this.#failed(error)
      },
    })
    this.#pool.push(connection)
    return connection
  }

  /** @returns Whether it was pooled. */
  #drop(connection: Connection): boolean {
    const place = this.#pool.indexOf(connection)
    if (place !== -1) this.#pool.splice(place, 1)
    return place !== -1
  }

  #failed(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    for (const connection of this.#pool.splice(0)) connection.destroy(error)
    this.#probeMs = FIRST_PROBE_MS
    this.#probeLater()
  }

  #probeLater(): void {
    this.#timer = setTimeout(() => {
      if (this.#probes.size < MAX_PROBES) this.#probe()
      this.#probeMs = Math.min(this.#probeMs * 2, LAST_PROBE_MS)
      this.#probeLater()
    }, this.#probeMs).unref()
  }

  #probe(): void {
    const probe = new Connection(this.#settings, {
      ready: (connection) => {
        this.#returned(connection)
      },
      closed: (connection, error) => {
        this.#probes.delete(connection)
        this.#drop(connection)
        const isPooled = this.#failure === undefined
        if (isPooled && error !== undefined && isHang(error)) this.#failed(error)
        else if (!isPooled && error !== undefined) this.#failure = error
      },
    })
    this.#probes.add(probe)
  }

  #returned(connection: Connection): void {
    const pool = () => {
      if (connection.isClosed || this.#failure === undefined) return
      this.#probes.delete(connection)
      this.#failure = undefined
      this.#endProbes()
      this.#pool.push(connection)
    }
    if (this.#beforeReturn === undefined) {
      pool()
      return
    }
    this.#beforeReturn(connection).then(pool, (error: unknown) => {
      connection.destroy(connectionError(this.name, error))
    })
  }

  #endProbes(): void {
    clearTimeout(this.#timer)
    for (const probe of this.#probes) {
      this.#probes.delete(probe)
      probe.destroy()
    }
  }
}

const NOTHING: ReadonlyMap<string, string> = new Map()

function figuresOf(
  counts: ReadonlyMap<string, string>,
  settings: ReadonlyMap<string, string>,
  sentAtMs: number,
  receivedAtMs: number,
): ServerFigures {
  const seconds = countOf(counts.get('time'))
  return known({
    scope: 'shared' as const,
    entries: countOf(counts.get('curr_items')),
    bytes: countOf(counts.get('bytes')),
    maxBytes: countOf(counts.get('limit_maxbytes')),
    maxEntryBytes: countOf(settings.get('item_size_max')),
    hits: countOf(counts.get('get_hits')),
    misses: countOf(counts.get('get_misses')),
    evictions: countOf(counts.get('evictions')),
    // Its other policy is to refuse what does not fit.
    evictionPolicy: settings.get('evictions') === 'off' ? 'noeviction' : undefined,
    uptimeSeconds: countOf(counts.get('uptime')),
    version: counts.get('version'),
    clockAheadMs: seconds === undefined ? undefined : ahead(seconds, sentAtMs, receivedAtMs),
  })
}

/** Its clock tells whole seconds, and is itself set once a second. */
function ahead(seconds: number, sentAtMs: number, receivedAtMs: number): number {
  const leastMs = clockAhead(seconds * 1000, sentAtMs, receivedAtMs)
  if (leastMs > 0) return leastMs
  return Math.min(0, clockAhead(seconds * 1000 + 2000, sentAtMs, receivedAtMs))
}

function isHang(error: Error): boolean {
  const { cause } = error
  return (
    error instanceof MemcachedConnectionError &&
    cause instanceof Error &&
    cause.message.startsWith('no answer')
  )
}
