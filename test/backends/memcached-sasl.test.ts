import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MemcachedCache, type MemcachedOptions } from '../../src/backends/memcached.js'
import { inPath, neededProgram } from '../support/executables.js'
import { ownTime } from '../support/own-time.js'
import { freePort, sharedServer, startServer, type TestServer } from '../support/servers.js'

const USERNAME = 'shop@fragcache'
const PASSWORD = 'päss wörd'

interface SaslServer extends TestServer {
  readonly location: string
}

/** A memcached with a user, or `undefined` where its parts are missing. */
async function startSasl(folder: string): Promise<SaslServer | undefined> {
  if ((await sharedServer('memcached')) === undefined) return undefined
  const saslpasswd = await neededProgram('saslpasswd2', ['sasl2-bin'])
  const memcached = inPath('memcached')
  if (saslpasswd === undefined || memcached === undefined) return undefined
  const database = join(folder, 'sasldb2')
  await new Promise<void>((resolve, reject) => {
    const [user = '', realm = ''] = USERNAME.split('@')
    const args = ['-p', '-c', '-f', database, '-u', realm, user]
    const child = execFile(saslpasswd, args, (error) => {
      if (error === null) resolve()
      else reject(new Error(error.message))
    })
    child.stdin?.end(PASSWORD)
  })
  const settings = ['mech_list: plain', 'pwcheck_method: auxprop', 'auxprop_plugin: sasldb']
  await writeFile(
    join(folder, 'memcached.conf'),
    [...settings, `sasldb_path: ${database}`, ''].join('\n'),
  )
  const port = await freePort()
  const asRoot = process.getuid?.() === 0 ? ['-u', 'root'] : []
  const server = await startServer({
    command: 'memcached',
    args: ['-S', '-l', '127.0.0.1', '-p', String(port), '-U', '0', ...asRoot],
    env: { SASL_CONF_PATH: folder },
    listensAt: port,
  })
  return Object.assign(server, { location: `127.0.0.1:${port}` })
}

const folder = await mkdtemp(join(tmpdir(), 'fragcache-sasl-'))
const server = await startSasl(folder)
const plain = await sharedServer('memcached')
afterAll(async () => {
  await server?.stop()
  await rm(folder, { recursive: true })
})

const caches: MemcachedCache[] = []
function open(options: MemcachedOptions): MemcachedCache {
  const cache = new MemcachedCache({
    location: server?.location ?? '',
    options: { timeLimitMs: 5000, ...options },
  })
  caches.push(cache)
  return cache
}

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})
afterEach(async () => {
  for (const cache of caches.splice(0)) await cache.close()
  vi.restoreAllMocks()
})

const user = { username: USERNAME, password: PASSWORD }

describe.skipIf(server === undefined)('a Memcached server that wants SASL', () => {
  it('serves who knows the password, on every connection', async () => {
    const cache = open({ ...user, poolSize: 3 })
    const numbers = Array.from({ length: 300 }, (_, i) => i)
    await Promise.all(numbers.map((i) => cache.set(`k${i}`, i, { tags: ['t'] })))
    const found = await cache.getMany(numbers.map((i) => `k${i}`))
    expect([...found.values()]).toEqual(numbers)
    await cache.set('n', 1)
    expect(await cache.decr('n', 3)).toBe(-2)
    expect(await cache.add('n', 1)).toBe(false)
    expect(await cache.touch('n')).toBe(true)
    await cache.invalidateTags(['t'])
    expect(await cache.get('k1')).toBeUndefined()
    await cache.clear()
    expect(await cache.get('n')).toBeUndefined()
  })

  it('refuses another password, and the message does not show it', async () => {
    const cache = open({ username: USERNAME, password: 'guessed' })
    const error = await cache.get('k').then(String, (e: unknown) => e as Error)
    expect(error).toMatchObject({ code: 'FRAGCACHE_BACKEND_FAILED' })
    const { message } = error as Error
    expect(message).toContain('the server refuses options.username and options.password')
    expect(message).not.toContain('guessed')
    // Nor is it asked again by every call.
    await expect(cache.set('k', 1)).rejects.toThrow('refuses')
  })

  it('fails in time for who does not know that it does', async () => {
    const startMs = ownTime.now()
    for (const options of [{}, { protocol: 'binary' as const }]) {
      await expect(open({ ...options, timeLimitMs: 500 }).get('k')).rejects.toMatchObject({
        code: 'FRAGCACHE_BACKEND_FAILED',
      })
    }
    expect(ownTime.now() - startMs).toBeLessThan(2000)
  })

  it('is authenticated to again after a restart', async () => {
    const cache = open(user)
    await cache.set('k', 1)
    await server?.restart()
    await vi.waitFor(() => cache.set('k', 2), { timeout: 2000, interval: 20 })
    expect(await cache.get('k')).toBe(2)
  })
})

it.skipIf(plain === undefined)('says so where the server knows no SASL', async () => {
  const location = plain?.url ?? ''
  const cache = new MemcachedCache({ location, options: { ...user, timeLimitMs: 5000 } })
  caches.push(cache)
  await expect(cache.get('k')).rejects.toThrow(
    'the server knows no authentication; leave out options.username and options.password',
  )
})
