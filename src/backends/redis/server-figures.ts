import { TimeLimit } from '../../time-limit.js'
import {
  askEach,
  besideReplicas,
  clockAhead,
  countOf,
  known,
  SHARE_OF_LIMIT,
  together,
  type ServerFigures,
} from '../../server-stats.js'
import type { Reply } from './client.js'
import { GivenClient } from './connection.js'
import { Link } from './link.js'

/** A link to a server, and what people call it. */
export interface NamedLink {
  readonly name: string
  readonly link: Link
}

/**
 * Asks a leader, its replicas, or every master of a Cluster.
 *
 * @remarks Replicas hold the same entries: the figures are the leader's.
 */
export async function readFigures(
  leader: NamedLink,
  replicas: readonly NamedLink[],
  limitMs: number,
): Promise<ServerFigures> {
  const limit = new TimeLimit(limitMs * SHARE_OF_LIMIT)
  const ask = ({ name, link }: NamedLink) => ({ name, ask: () => limit.race(readOne(link)) })
  const client = await limit.race(leader.link.ready())
  if (client.isCluster) {
    const nodes = (client.nodes?.('master') ?? []).map((node) => {
      const { host = '', port = '' } = node.options
      return { name: `${host}:${port}`, link: new Link(new GivenClient(node, limitMs)) }
    })
    return together(await askEach(nodes.map(ask)))
  }
  if (replicas.length === 0) return ask(leader).ask()
  return besideReplicas(ask(leader), replicas.map(ask))
}

async function readOne(link: Link): Promise<ServerFigures> {
  const sentAtMs = Date.now()
  const [info, entries, time] = await Promise.all([
    link.command('info'),
    link.command('dbsize'),
    link.command('time'),
  ])
  const receivedAtMs = Date.now()
  const said = new Map<string, string>()
  for (const line of String(info).split(/\r?\n/)) {
    const colon = line.indexOf(':')
    if (colon > 0) said.set(line.slice(0, colon), line.slice(colon + 1))
  }
  const [seconds, microseconds] = time as readonly Reply[]
  const serverMs = Number(seconds) * 1000 + Number(microseconds) / 1000
  const maxBytes = countOf(said.get('maxmemory'))
  return known({
    scope: 'shared' as const,
    entries: countOf(entries),
    bytes: countOf(said.get('used_memory')),
    // 0 is the server's word for no limit.
    maxBytes: maxBytes === 0 ? undefined : maxBytes,
    hits: countOf(said.get('keyspace_hits')),
    misses: countOf(said.get('keyspace_misses')),
    evictions: countOf(said.get('evicted_keys')),
    evictionPolicy: said.get('maxmemory_policy'),
    uptimeSeconds: countOf(said.get('uptime_in_seconds')),
    version: said.get('redis_version'),
    clockAheadMs: Number.isFinite(serverMs)
      ? clockAhead(serverMs, sentAtMs, receivedAtMs)
      : undefined,
  })
}
