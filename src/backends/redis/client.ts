import { isMissing, missingPeer } from '../../missing-peer.js'

/**
 * A client of the ioredis package, reduced to what this backend uses: a `Redis`, a `Cluster`, or a `Redis`
 * that asks Sentinels. Written out, so that the types of this package do not need those of ioredis.
 */
export interface RedisClient {
  readonly status: string
  readonly isCluster: boolean
  /** Like `connect` of ioredis. */
  connect(): Promise<void>
  /** Like `on` of ioredis. */
  on(event: 'error', listener: (error: Error) => void): unknown
  /** Like `off` of ioredis. */
  off(event: 'error', listener: (error: Error) => void): unknown
  /** Like `disconnect` of ioredis. */
  disconnect(reconnect?: boolean): void
}

/** A part of a command. */
export type Argument = string | number | Uint8Array

/** What a command was answered. */
export type Reply = string | number | Buffer | null | readonly Reply[]

/** The commands that are used. */
export type CommandName =
  | 'dbsize'
  | 'eval'
  | 'evalsha'
  | 'exists'
  | 'flushdb'
  | 'getrangeBuffer'
  | 'info'
  | 'mgetBuffer'
  | 'persist'
  | 'pexpire'
  | 'pttl'
  | 'scan'
  | 'set'
  | 'time'
  | 'unlink'
  | 'wait'

type Commands<Result> = {
  readonly [Name in CommandName]: (...args: readonly (Argument | readonly Argument[])[]) => Result
}

/** What of ioredis is used. */
export interface IoClient extends Commands<Promise<Reply>> {
  readonly status: string
  readonly isCluster: boolean
  readonly options: {
    readonly keyPrefix?: string | undefined
    readonly host?: string | undefined
    readonly port?: number | undefined
    /** Milliseconds of silence after which a connection is given up while answers are due. */
    socketTimeout?: number | undefined
    /** Whether a connection is left because of what the server answered. */
    reconnectOnError?: ((error: Error) => boolean | 1 | 2) | null | undefined
  }
  /** The socket, while there is one. */
  readonly stream?:
    | {
        readonly writable?: boolean
        unref?(): unknown
        destroy(error?: Error): unknown
        cork?(): void
        uncork?(): void
      }
    | null
    | undefined
  /** The timer that gives up a silent connection. */
  socketTimeoutTimer?: NodeJS.Timeout | undefined
  /** The timer of the next attempt to connect. */
  readonly reconnectTimeout?: { unref?(): unknown } | null
  connect(): Promise<void>
  quit(): Promise<unknown>
  disconnect(reconnect?: boolean): void
  duplicate?(options: object): IoClient
  nodes?(role: 'master'): readonly IoClient[]
  on(event: string, listener: (...args: never[]) => void): unknown
  once(event: string, listener: (...args: never[]) => void): unknown
  off(event: string, listener: (...args: never[]) => void): unknown
}

/** Whether something is a client of ioredis. */
export function isIoClient(client: unknown): client is IoClient {
  if (typeof client !== 'object' || client === null) return false
  const { status, mgetBuffer, connect, off } = client as Partial<IoClient>
  return (
    typeof status === 'string' &&
    [mgetBuffer, connect, off].every((method) => typeof method === 'function')
  )
}

type Client = new (options: object) => IoClient

/** The names of a CommonJS module, or in some bundles (ncc) only what it exports as a whole. */
type Package = { readonly Redis: Client } | { readonly Redis?: undefined; readonly default: Client }

/** The client puts a command's arguments into its errors: passwords, or what is cached. */
export function withoutArguments(error: Error): Error {
  if ('command' in error) {
    const { name } = error.command as { readonly name?: unknown }
    error.command = { name }
  }
  return error
}

/**
 * Makes a client; loads the package on first use.
 *
 * @throws FragcacheError `FRAGCACHE_MISSING_PEER`: it is not installed.
 */
export async function createClient(
  options: object,
  load?: () => Promise<unknown>,
): Promise<IoClient> {
  let loaded: Package
  try {
    // Written out, awaited, and in here: bundlers take it in, and only warn where it is not installed.
    loaded = (load === undefined ? await import('ioredis') : await load()) as Package
  } catch (error) {
    if (isMissing(error, 'ioredis')) throw missingPeer('fragcache/redis', 'ioredis')
    throw error
  }
  const Client = loaded.Redis ?? loaded.default
  return new Client(options)
}
