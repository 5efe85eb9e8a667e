import type { IoClient } from './client.js'

/** The sockets of servers; `undefined`: not connected yet. */
export type Connections = readonly (object | undefined)[]

/** The servers that have the entries: the one, or all masters of a Cluster. */
export function nodesOf(client: IoClient): readonly IoClient[] {
  return client.isCluster ? (client.nodes?.('master') ?? []) : [client]
}

/** A socket is never used again: the same ones lead to the same processes. */
export function connectionsOf(nodes: readonly IoClient[]): Connections {
  return nodes.map(({ stream }) => stream ?? undefined)
}

/** Whether a client has the very same connections as it had. */
export function isSame(connections: Connections, client: IoClient): boolean {
  if (!client.isCluster) return connections[0] === client.stream
  const nodes = nodesOf(client)
  return nodes.length === connections.length && nodes.every((n, i) => n.stream === connections[i])
}
