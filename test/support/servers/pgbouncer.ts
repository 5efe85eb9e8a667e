import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inPath } from '../executables.js'
import { freePort, startServer, type TestServer } from './process.js'
import { idsOf, ownerOf } from './user.js'

const FOLDERS = ['/usr/sbin', '/usr/local/bin']

/** A PgBouncer of a test's own in front of a PostgreSQL server. */
export interface Pgbouncer extends TestServer {
  readonly port: number
  readonly url: string
}

/** Whether the program is there. */
export function hasPgbouncer(): boolean {
  return inPath('pgbouncer', FOLDERS) !== undefined
}

/**
 * Starts PgBouncer, which must be there.
 *
 * @param to - The URL of the PostgreSQL server, whose user needs no password.
 * @param settings - Lines of its section `[pgbouncer]`.
 */
export async function startPgbouncer(
  to: string,
  settings: readonly string[] = [],
): Promise<Pgbouncer> {
  const command = inPath('pgbouncer', FOLDERS)
  if (command === undefined) throw new Error('PgBouncer is not installed')
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-pgbouncer-'))
  const ids = await idsOf('postgres')
  const port = await freePort()
  const { hostname, port: serverPort, username, pathname } = new URL(to)
  const file = join(folder, 'pgbouncer.ini')
  const lines = [
    '[databases]',
    `* = host=${hostname} port=${serverPort} user=${username}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    'max_client_conn = 200',
    ...settings,
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  if (ids !== undefined)
    await Promise.all([folder, file].map((one) => chown(one, ids.uid, ids.gid)))
  const server = await startServer({
    command,
    args: [file],
    listensAt: port,
    ...ownerOf('postgres', ids),
  })
  const { stop } = server
  return Object.defineProperties(server, {
    port: { value: port },
    url: { value: `postgres://${username}@127.0.0.1:${port}${pathname}` },
    stop: {
      value: async () => {
        await stop()
        await rm(folder, { recursive: true, force: true })
      },
    },
  }) as Pgbouncer
}
