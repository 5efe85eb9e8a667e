import { inPath, installWithApt } from '../executables.js'
import { startMemcached } from './memcached.js'
import { hasMysql, startMysql } from './mysql.js'
import { hasPgbouncer, startPgbouncer } from './pgbouncer.js'
import { hasPostgres, startPostgres } from './postgres.js'
import { startRedis } from './redis.js'

/** The servers that several may share. */
export type ServerKind = 'redis' | 'memcached' | 'postgres' | 'pgbouncer' | 'mysql'

/** A server that is there. */
export interface OpenServer {
  /** Of Memcached, `host:port`. */
  readonly url: string
  /** Ends it, if it was started here. */
  stop(): Promise<void>
}

interface Kind {
  readonly name: string
  /** Names a server that is there already. */
  readonly variable: string
  readonly isInstalled: () => boolean
  readonly packages: readonly string[]
  readonly start: () => Promise<OpenServer>
}

const kinds: Readonly<Record<ServerKind, Kind>> = {
  redis: {
    name: 'Redis',
    variable: 'REDIS_URL',
    isInstalled: () => inPath('redis-server') !== undefined,
    packages: ['redis-server'],
    start: () => startRedis(),
  },
  memcached: {
    name: 'Memcached',
    variable: 'MEMCACHED',
    isInstalled: () => inPath('memcached') !== undefined,
    packages: ['memcached'],
    start: async () => {
      const server = await startMemcached(['-c', '4096'])
      return { url: server.location, stop: server.stop }
    },
  },
  postgres: {
    name: 'PostgreSQL',
    variable: 'PG_URL',
    isInstalled: hasPostgres,
    packages: ['postgresql'],
    start: () => startPostgres(),
  },
  pgbouncer: {
    name: 'PgBouncer',
    variable: 'PGBOUNCER_URL',
    isInstalled: () => hasPgbouncer() && hasPostgres(),
    packages: ['pgbouncer', 'postgresql'],
    start: async () => {
      const server = await startPostgres()
      const pooler = await startPgbouncer(server.url, [
        'pool_mode = transaction',
        'default_pool_size = 5',
      ])
      const stop = async () => {
        await pooler.stop()
        await server.stop()
      }
      return { url: pooler.url, stop }
    },
  },
  mysql: {
    name: 'MariaDB',
    variable: 'MYSQL_URL',
    isInstalled: hasMysql,
    packages: ['mariadb-server'],
    start: () => startMysql(),
  },
}

/**
 * Opens a server: the one that the environment names, or a new one on a free port. Where it is missing it is installed
 * first, if that can be done.
 *
 * @returns What to install, where there is no such server.
 * @throws Error: the kind is unknown, or it does not start.
 */
export async function openServer(
  kind: ServerKind,
): Promise<OpenServer | { readonly missing: string }> {
  const known: Kind | undefined = kinds[kind]
  if (known === undefined) throw new Error(`unknown server ${kind}`)
  const { name, variable, isInstalled, packages } = known
  const given = process.env[variable]
  if (given !== undefined && given !== '') return { url: given, stop: () => Promise.resolve() }
  if (!isInstalled()) {
    try {
      await installWithApt(name, packages)
    } catch (error) {
      console.warn(`${name} could not be installed: ${String(error)}`)
    }
  }
  if (isInstalled()) return known.start()
  return {
    missing: `${name} is missing: install it (Debian: apt-get install ${packages.join(' ')}) or name a server in ${variable}`,
  }
}
