import { readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { build, root } from '../../../scripts/build.mjs'
import { inPath, installWithApt } from '../executables.js'
import type { KeeperAnswer, ServerKind } from '../servers.js'
import { installPackage } from './installation.js'
import { startMemcached } from './memcached.js'
import { hasMysql, startMysql } from './mysql.js'
import { hasPostgres, startPostgres } from './postgres.js'
import { startRedis } from './redis.js'

interface Shared {
  readonly url: string
  stop(): Promise<void>
}

interface Kind {
  readonly name: string
  /** Names a server that is there already. */
  readonly variable: string
  readonly isInstalled: () => boolean
  readonly packages: readonly string[]
  readonly start: () => Promise<Shared>
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
  mysql: {
    name: 'MariaDB',
    variable: 'MYSQL_URL',
    isInstalled: hasMysql,
    packages: ['mariadb-server'],
    start: () => startMysql(),
  },
}

/**
 * Starts the servers that suites ask for, each once per run, and stops them at its end. Suites that need
 * the build at the same time wait for one.
 */
export default async function keepServers(project: TestProject): Promise<() => Promise<void>> {
  const started = new Map<ServerKind, Promise<Shared | undefined>>()

  const answer = async (kind: ServerKind): Promise<KeeperAnswer> => {
    const known: Kind | undefined = kinds[kind]
    if (known === undefined) throw new Error(`unknown server ${kind}`)
    const { name, variable, packages } = known
    const given = process.env[variable]
    if (given !== undefined && given !== '') return { url: given }
    if (!started.has(kind)) started.set(kind, start(known))
    const server = await started.get(kind)
    if (server !== undefined) return { url: server.url }
    return {
      missing: `these tests need ${name}: install it (Debian: apt-get install ${packages.join(' ')}) or name a server in ${variable}`,
    }
  }

  let building: Promise<void> | undefined
  const buildOnce = () => (building ??= build().finally(() => (building = undefined)))

  /** By the sources they were made of, which change where somebody watches. */
  const installations = new Map<string, Promise<string>>()
  const installOnce = async () => {
    await buildOnce()
    const sources = await readFile(join(root, 'dist', 'sources.sha256'), 'utf8')
    const known = installations.get(sources)
    const folder = known ?? installPackage()
    installations.set(sources, folder)
    return { folder: await folder }
  }

  const replyTo = (wanted: string): Promise<unknown> => {
    if (wanted === 'build') return buildOnce()
    if (wanted === 'installation') return installOnce()
    return answer(wanted as ServerKind)
  }

  const server = createServer((request, response) => {
    replyTo((request.url ?? '').slice(1)).then(
      (found) => response.end(JSON.stringify(found ?? {})),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as AddressInfo
  project.provide('serverKeeper', `http://127.0.0.1:${port}`)

  return async () => {
    server.close()
    server.closeAllConnections()
    const all = await Promise.allSettled(started.values())
    for (const one of all) if (one.status === 'fulfilled') await one.value?.stop()
    for (const one of await Promise.allSettled(installations.values())) {
      if (one.status === 'fulfilled') await rm(one.value, { recursive: true, force: true })
    }
  }
}

async function start(kind: Kind): Promise<Shared | undefined> {
  if (!kind.isInstalled()) {
    try {
      await installWithApt(kind.name, kind.packages)
    } catch (error) {
      console.warn(`${kind.name} could not be installed: ${String(error)}`)
    }
    if (!kind.isInstalled()) return undefined
  }
  return kind.start()
}
