import { messageOfError } from './error-text.js'

/** Figures that a store keeps about itself. Figures that it does not have are absent. */
export interface ServerFigures {
  /**
   * Which processes share the entries: this process alone, the processes of this machine, or all that reach
   * the server.
   */
  readonly scope?: 'process' | 'machine' | 'shared'
  /** All entries in the store, including those of other programs. For large stores an estimate. */
  readonly entries?: number
  readonly bytes?: number
  readonly maxEntries?: number
  readonly maxBytes?: number
  /** The largest entry that the store accepts, in bytes. */
  readonly maxEntryBytes?: number
  /** Hits of all its clients since the store was started. */
  readonly hits?: number
  readonly misses?: number
  /** Live entries that the store dropped to make room since it was started. */
  readonly evictions?: number
  /** The server's own name for its way of making room, such as `allkeys-lru`. */
  readonly evictionPolicy?: string
  readonly uptimeSeconds?: number
  readonly version?: string
  /**
   * How far its clock is ahead of this machine's, in milliseconds; negative: behind. The precision depends on
   * the speed of the connection.
   */
  readonly clockAheadMs?: number
  /** The name of the table. */
  readonly table?: string
  /** The figures of each server, if there are several. */
  readonly servers?: readonly NamedServerFigures[]
  /** Why there are no figures, or not those of all servers. */
  readonly error?: string
}

/** Figures of one of several servers. */
export interface NamedServerFigures extends ServerFigures {
  readonly name: string
}

/** What `caches.serverStats()` returns for one cache. */
export interface ServerStats extends ServerFigures {
  /** The backend's class name. */
  readonly backend: string
}

const SUMS = ['entries', 'bytes', 'maxBytes', 'hits', 'misses', 'evictions'] as const
const SAME = ['version', 'evictionPolicy', 'maxEntryBytes'] as const

/**
 * The figures of several servers that share the keys, as those of one.
 *
 * @returns Sums where every server that answered tells its part; what all say alike; of the clocks the
 *   one that is furthest off. `error` is that of the first server that did not answer.
 */
export function together(servers: readonly NamedServerFigures[]): ServerFigures {
  const [first] = servers
  if (first !== undefined && servers.length === 1) {
    const { name: _, ...figures } = first
    return figures
  }
  const answered = servers.filter(({ error }) => error === undefined)
  const all: Record<string, unknown> = { scope: 'shared', servers }
  for (const name of SUMS) {
    const parts = answered.map((server) => server[name])
    if (parts.length > 0 && parts.every((part) => part !== undefined)) {
      all[name] = parts.reduce((sum, part) => sum + part, 0)
    }
  }
  for (const name of SAME) {
    const values = new Set(answered.map((server) => server[name]))
    if (values.size === 1 && !values.has(undefined)) all[name] = [...values][0]
  }
  const uptimes = answered.flatMap(({ uptimeSeconds }) => uptimeSeconds ?? [])
  if (uptimes.length > 0) all['uptimeSeconds'] = Math.min(...uptimes)
  const clocks = answered.flatMap(({ clockAheadMs }) => clockAheadMs ?? [])
  if (clocks.length > 0) {
    all['clockAheadMs'] = clocks.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a))
  }
  const failed = servers.find(({ error }) => error !== undefined)
  if (failed !== undefined) all['error'] = withName(failed.name, failed.error)
  return all
}

/** Of a call's time, so that one server that hangs leaves time for the answers of the others. */
export const SHARE_OF_LIMIT = 0.8

/**
 * The figures of a server whose entries its replicas hold too.
 *
 * @returns Those of the server itself, and of each. `error` is that of the first replica that did not answer.
 * @throws What the server itself failed with.
 */
export async function besideReplicas(
  leader: AskedServer,
  replicas: readonly AskedServer[],
): Promise<ServerFigures> {
  const [figures, { figures: others }] = await Promise.all([leader.ask(), settle(replicas)])
  const failed = others.find(({ error }) => error !== undefined)
  return {
    ...figures,
    servers: [{ name: leader.name, ...figures }, ...others],
    ...(failed !== undefined && { error: withName(failed.name, failed.error) }),
  }
}

/** A server's failure that says which server it was, once. */
export function withName(name: string, error = ''): string {
  return error.includes(name) ? error : `${name}: ${error}`
}

/** A whole number that a server wrote as text; `undefined`: it is none. */
export function countOf(text: unknown): number | undefined {
  if (text === undefined || text === null || text === '') return undefined
  const number = Number(text)
  return Number.isFinite(number) && number >= 0 ? number : undefined
}

/** The same without what is `undefined`. */
export function known<Figures extends object>(
  figures: Figures,
): {
  [Name in keyof Figures]: Exclude<Figures[Name], undefined>
} {
  return Object.fromEntries(
    Object.entries(figures).filter(([, value]) => value !== undefined),
  ) as ReturnType<typeof known<Figures>>
}

/** One server of several, and how it is asked. */
export interface AskedServer {
  readonly name: string
  readonly ask: () => Promise<ServerFigures>
}

/**
 * Asks several servers. One that fails does not fail the others: what it says of it takes the place of
 * its figures.
 *
 * @throws What the first one threw, if all failed.
 */
export async function askEach(
  servers: readonly AskedServer[],
): Promise<readonly NamedServerFigures[]> {
  const { figures, failures } = await settle(servers)
  if (failures.length > 0 && failures.length === servers.length) throw failures[0]
  return figures
}

async function settle(servers: readonly AskedServer[]): Promise<{
  readonly figures: readonly NamedServerFigures[]
  readonly failures: readonly unknown[]
}> {
  const failures: unknown[] = []
  const figures = await Promise.all(
    servers.map(async ({ name, ask }): Promise<NamedServerFigures> => {
      try {
        return { name, ...(await ask()) }
      } catch (error) {
        failures.push(error)
        return { name, error: messageOfError(error) }
      }
    }),
  )
  return { figures, failures }
}

/** How far a server's clock is ahead, when it said `serverMs` between these two moments of ours. */
export function clockAhead(serverMs: number, sentAtMs: number, receivedAtMs: number): number {
  const isBefore = serverMs < sentAtMs
  const isAfter = serverMs > receivedAtMs
  // In between nothing is known to be wrong.
  if (isBefore) return Math.round(serverMs - sentAtMs)
  return isAfter ? Math.round(serverMs - receivedAtMs) : 0
}
