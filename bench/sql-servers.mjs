/**
 * PostgreSQL and MariaDB for the benchmarks: those that the environment names, or private ones on
 * free ports, which do not wait for the disk.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** @returns {Promise<{ url: string, stop(): Promise<void> } | undefined>} */
export async function postgresServer() {
  if (process.env.PG_URL) return { url: process.env.PG_URL, stop: async () => undefined }
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : []
  const folders = versions
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => `/usr/lib/postgresql/${version}/bin`)
  const [initdb, postgres] = [find('initdb', folders), find('postgres', folders)]
  if (initdb === undefined || postgres === undefined) return undefined
  const { folder, ids, remove } = home('postgres')
  const data = join(folder, 'data')
  execFileSync(initdb, ['-D', data, '-U', 'postgres', '-A', 'trust', '-N'], {
    ...ids,
    cwd: folder,
    stdio: 'ignore',
  })
  const port = await freePort()
  const settings = ['fsync=off', 'synchronous_commit=off', `unix_socket_directories=${folder}`]
  const args = ['-D', data, '-p', String(port), '-h', '127.0.0.1']
  const child = start(postgres, [...args, ...settings.flatMap((one) => ['-c', one])], ids, folder)
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const { default: pg } = await import('pg')
  await until(child, async () => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.end()
  })
  return { url, stop: () => end(child, remove) }
}

/** @returns {Promise<{ url: string, stop(): Promise<void> } | undefined>} */
export async function mysqlServer() {
  if (process.env.MYSQL_URL) return { url: process.env.MYSQL_URL, stop: async () => undefined }
  const folders = ['/usr/sbin', '/usr/libexec']
  const [install, mariadbd] = [find('mariadb-install-db', folders), find('mariadbd', folders)]
  if (install === undefined || mariadbd === undefined) return undefined
  const { folder, ids, remove } = home('mysql')
  const own = ['--no-defaults', `--datadir=${join(folder, 'data')}`]
  const asUser = ids.uid === undefined ? [] : ['--user=mysql']
  const normal = ['--auth-root-authentication-method=normal', '--skip-test-db']
  execFileSync(install, [...own, ...normal, ...asUser], { cwd: folder, stdio: 'ignore' })
  const port = await freePort()
  const address = ['--bind-address=127.0.0.1', `--port=${port}`, `--socket=${join(folder, 'sock')}`]
  const fast = ['--innodb-flush-log-at-trx-commit=0', '--skip-log-bin']
  const child = start(mariadbd, [...own, ...address, ...fast], ids, folder)
  const { createConnection } = await import('mysql2/promise')
  await until(child, async () => {
    const connection = await createConnection({ host: '127.0.0.1', port, user: 'root' })
    await connection.query('CREATE DATABASE IF NOT EXISTS bench')
    await connection.end()
  })
  return { url: `mysql://root@127.0.0.1:${port}/bench`, stop: () => end(child, remove) }
}

function find(name, folders) {
  const path = (process.env.PATH ?? '').split(delimiter)
  return [...path, ...folders].map((folder) => join(folder, name)).find((file) => existsSync(file))
}

/** A folder of the server's own, and whom it belongs to: these servers do not run as root. */
function home(user) {
  const folder = mkdtempSync(join(tmpdir(), `fragcache-bench-${user}-`))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  if (process.getuid?.() !== 0) return { folder, ids: {}, remove }
  const [uid, gid] = ['-u', '-g'].map((what) => Number(execFileSync('id', [what, user])))
  chownSync(folder, uid, gid)
  return { folder, ids: { uid, gid }, remove }
}

function start(command, args, ids, cwd) {
  const child = spawn(command, args, { ...ids, cwd, stdio: 'ignore' })
  const kill = () => void child.kill('SIGKILL')
  process.once('exit', kill)
  child.once('exit', () => process.off('exit', kill))
  return child
}

async function until(child, serves) {
  for (let attempt = 0; ; attempt++) {
    try {
      await serves()
      return
    } catch (error) {
      if (child.exitCode !== null || attempt > 500) throw error
      await sleep(20)
    }
  }
}

async function end(child, remove) {
  child.kill('SIGTERM')
  await once(child, 'exit')
  remove()
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  await once(probe, 'close')
  return port
}
