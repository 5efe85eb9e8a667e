import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { inPath } from '../executables.js'
import { putFreshData } from './fresh-data.js'
import { freePort, startServer, type TestServer } from './process.js'
import { idsOf, ownerOf } from './user.js'

const run = promisify(execFile)

/** A PostgreSQL server of a test's own, on a port of 127.0.0.1. */
export interface PostgresServer extends TestServer {
  readonly port: number
  readonly url: string
}

/** Where Debian keeps the programs of each version, the newest first. */
async function versionFolders(): Promise<string[]> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [])
  return versions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => `/usr/lib/postgresql/${version}/bin`)
}

const folders = await versionFolders()

/** Whether the programs of a server are there. */
export function hasPostgres(): boolean {
  return inPath('initdb', folders) !== undefined && inPath('postgres', folders) !== undefined
}

/** Starts PostgreSQL, which must be there, with a new cluster that goes with it. */
export async function startPostgres(settings: readonly string[] = []): Promise<PostgresServer> {
  const initdb = inPath('initdb', folders)
  const postgres = inPath('postgres', folders)
  if (initdb === undefined || postgres === undefined) throw new Error('PostgreSQL is not installed')
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-postgres-'))
  const ids = await idsOf('postgres')
  if (ids !== undefined) await chown(folder, ids.uid, ids.gid)
  const data = join(folder, 'data')
  const making = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '-N']
  await putFreshData(initdb, making, data, () =>
    run(initdb, ['-D', data, ...making], { ...ids, cwd: folder }),
  )
  const port = await freePort()
  const own = [
    'listen_addresses=127.0.0.1',
    `unix_socket_directories=${folder}`,
    'fsync=off',
    'synchronous_commit=off',
    'full_page_writes=off',
    'max_connections=200',
  ]
  const server = await startServer({
    command: postgres,
    args: ['-D', data, '-p', String(port), ...[...own, ...settings].flatMap((one) => ['-c', one])],
    listensAt: port,
    ready: () =>
      run(inPath('pg_isready', folders) ?? 'pg_isready', ['-h', '127.0.0.1', '-p', String(port)]),
    ...ownerOf('postgres', ids),
  })
  const { pause, resume, kill, restart, stop } = server
  // Each connection has a process of its own, which goes on without the first one.
  const signal = (name: NodeJS.Signals) => {
    for (const pid of childrenOf(server.pid)) send(pid, name)
  }
  const endNow = async () => {
    const children = childrenOf(server.pid)
    await kill()
    for (const pid of children) send(pid, 'SIGKILL')
    // The memory they share must be nobody's before the server can start again.
    for (let i = 0; i < 400 && children.some(isRunning); i++) await sleep(5)
  }
  return Object.defineProperties(server, {
    pause: {
      value: () => {
        pause()
        signal('SIGSTOP')
      },
    },
    resume: {
      value: () => {
        signal('SIGCONT')
        resume()
      },
    },
    kill: { value: endNow },
    restart: {
      value: async () => {
        await endNow()
        await restart()
      },
    },
    stop: {
      value: async () => {
        signal('SIGCONT')
        await stop()
        await rm(folder, { recursive: true, force: true })
      },
    },
    port: { value: port },
    url: { value: `postgres://postgres@127.0.0.1:${port}/postgres` },
  }) as PostgresServer
}

function childrenOf(pid: number): number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
  return stdout.split(/\s+/).filter(Boolean).map(Number)
}

/** @returns Whether it was there. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal)
    return true
  } catch {
    // It has ended by itself.
    return false
  }
}

/** One that has ended has no memory any more, also while nobody has taken note of its end. */
function isRunning(pid: number): boolean {
  if (!send(pid, 0)) return false
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')
  } catch {
    // No /proc, or it has ended meanwhile.
    return send(pid, 0)
  }
}
