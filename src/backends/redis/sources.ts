import { resolveCount } from '../../settings.js'
import { Connection, connectLimitOf, failFast, GivenClient } from './connection.js'
import type { ClientSource } from './link.js'
import { describeEndpoint, type Endpoint } from './location.js'
import type { Target } from './settings.js'

/** How connections are made for one user of them. */
export interface SourceSettings {
  /** The class, for the messages of errors. */
  readonly owner: string
  /** Milliseconds a call may take. */
  readonly limitMs: number
  /** What the server calls the connection. */
  readonly connectionName: () => string
}

/** What a client has to be told to listen only, beside what makes it fail fast. */
const LISTENING = {
  // The newer protocol tells of changes in frames that the client library drops.
  protocol: 2,
  autoResubscribe: false,
  // A PING in time is all it ever asks.
  maxRetriesPerRequest: 0,
}

/** The clients for commands: the leader's first, then its replicas'. */
export function commandSources(target: Target, settings: SourceSettings): ClientSource[] {
  if ('client' in target) return [new GivenClient(target.client, settings.limitMs)]
  return target.endpoints.map((endpoint, i) => {
    // Half the time, so that the leader can still answer in place of a replica that hangs.
    const limitMs = i === 0 ? settings.limitMs : Math.ceil(settings.limitMs / 2)
    return connectionTo(endpoint, target.clientOptions, settings, limitMs)
  })
}

/** A client of its own that listens; `undefined` for a Cluster, whose clients do both. */
export function listeningSource(
  target: Target,
  settings: SourceSettings,
): (() => ClientSource) | undefined {
  return separateSource(target, settings, LISTENING)
}

/** Another client for the leader; `undefined` for a Cluster. */
export function separateSource(
  target: Target,
  settings: SourceSettings,
  more: object = {},
): (() => ClientSource) | undefined {
  const { limitMs } = settings
  if ('endpoints' in target) {
    const [leader = {}] = target.endpoints
    const clientOptions = { ...target.clientOptions, ...more }
    return () => connectionTo(leader, clientOptions, settings, limitMs)
  }
  const { client } = target
  if (client.isCluster || client.duplicate === undefined) return undefined
  const connectLimitMs = connectLimitOf(limitMs)
  return () =>
    new Connection({
      name: 'the client that was given',
      limitMs,
      connectLimitMs,
      options: () => ({ ...failFast(limitMs, connectLimitMs), ...more }),
      make: (options) => client.duplicate?.(options) ?? client,
    })
}

function connectionTo(
  endpoint: Endpoint,
  clientOptions: object,
  { owner, limitMs, connectionName }: SourceSettings,
  ownLimitMs: number,
): Connection {
  const { connectTimeout } = clientOptions as { readonly connectTimeout?: unknown }
  const connectLimitMs = resolveCount(
    owner,
    'options.connectTimeout',
    connectTimeout,
    connectLimitOf(limitMs),
    1,
  )
  return new Connection({
    name: describeEndpoint(endpoint),
    limitMs,
    connectLimitMs,
    options: () => ({
      ...failFast(ownLimitMs, connectLimitMs),
      connectionName: connectionName().replace(/[^\x21-\x7e]/g, '-'),
      ...clientOptions,
      ...endpoint,
      ...tlsOf(endpoint, clientOptions),
    }),
  })
}

function tlsOf(endpoint: Endpoint, clientOptions: object): object {
  const { tls } = clientOptions as { readonly tls?: object }
  return endpoint.tls === undefined || tls === undefined ? {} : { tls: { ...endpoint.tls, ...tls } }
}
