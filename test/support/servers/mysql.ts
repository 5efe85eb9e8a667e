import { execFile } from 'node:child_process'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createConnection } from 'mysql2/promise'
import { inPath } from '../executables.js'
import { putFreshData } from './fresh-data.js'
import { freePort, startServer, type TestServer } from './process.js'
import { idsOf, ownerOf } from './user.js'

const run = promisify(execFile)
const FOLDERS = ['/usr/sbin', '/usr/libexec', '/usr/local/bin']

/** A MariaDB (or MySQL) server of a test's own, on a port of 127.0.0.1. */
export interface MysqlServer extends TestServer {
  readonly port: number
  readonly url: string
}

/** Whether the programs of a server are there. */
export function hasMysql(): boolean {
  return inPath('mariadbd', FOLDERS) !== undefined || inPath('mysqld', FOLDERS) !== undefined
}

/** Starts MariaDB, or else MySQL, which must be there, with new files that go with it. */
export async function startMysql(settings: readonly string[] = []): Promise<MysqlServer> {
  const mariadb = inPath('mariadbd', FOLDERS)
  const command = mariadb ?? inPath('mysqld', FOLDERS)
  if (command === undefined) throw new Error('MariaDB is not installed')
  const folder = await mkdtemp(join(tmpdir(), 'fragcache-mysql-'))
  const ids = await idsOf('mysql')
  if (ids !== undefined) await chown(folder, ids.uid, ids.gid)
  const data = join(folder, 'data')
  const small = ['--no-defaults', `--datadir=${data}`, '--innodb-log-file-size=16M']
  const install = inPath('mariadb-install-db', FOLDERS) ?? 'mariadb-install-db'
  const plain = [
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    '--skip-name-resolve',
  ]
  const [maker, making] =
    mariadb === undefined ? [command, ['--initialize-insecure']] : [install, plain]
  await putFreshData(command, making, data, () =>
    run(maker, [...small, ...making, ...asUser(ids)], { cwd: folder }),
  )
  const port = await freePort()
  const url = `mysql://root@127.0.0.1:${port}/fragcache`
  const fast = [
    '--innodb-flush-log-at-trx-commit=0',
    '--innodb-flush-method=nosync',
    '--skip-log-bin',
    '--max-connections=300',
    '--skip-name-resolve',
  ]
  const address = ['--bind-address=127.0.0.1', `--port=${port}`, `--socket=${join(folder, 'sock')}`]
  const server = await startServer({
    command,
    args: [...small, ...fast, ...address, `--pid-file=${join(folder, 'pid')}`, ...settings],
    listensAt: port,
    ready: () => makeDatabase(port),
    ...ownerOf('mysql', ids),
  })
  const { stop } = server
  return Object.assign(server, {
    port,
    url,
    stop: async () => {
      await stop()
      await rm(folder, { recursive: true, force: true })
    },
  })
}

function asUser(ids: object | undefined): string[] {
  return ids === undefined ? [] : ['--user=mysql']
}

async function makeDatabase(port: number): Promise<void> {
  const connection = await createConnection({ host: '127.0.0.1', port, user: 'root' })
  try {
    await connection.query('CREATE DATABASE IF NOT EXISTS fragcache')
  } finally {
    await connection.end()
  }
}
