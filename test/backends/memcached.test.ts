import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MemcachedCache, type MemcachedSettings } from '../../src/backends/memcached.js'
import { bundleSources } from '../support/bundle.js'
import { tell } from '../support/memcached.js'
import { sharedServer, startServer } from '../support/servers.js'
import { startMemcached } from '../support/servers/memcached.js'

const isThere = (await sharedServer('memcached')) !== undefined
const server = isThere ? await startMemcached() : undefined
const location = server?.location ?? ''
afterAll(() => server?.stop())

const caches: MemcachedCache[] = []
function open(settings: Partial<MemcachedSettings> = {}): MemcachedCache {
  const cache = new MemcachedCache({ location, ...settings })
  caches.push(cache)
  return cache
}

beforeEach(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  if (isThere) await tell(location, 'flush_all\r\n')
})
afterEach(async () => {
  for (const cache of caches.splice(0)) await cache.close()
  vi.restoreAllMocks()
})

/** What another program sees under a key: flags, length and bytes. */
async function seen(key: string): Promise<string | undefined> {
  const answer = await tell(location, `get ${key}\r\n`, 'END\r\n')
  return /^VALUE [^ ]+ \d+ \d+\r\n([^]*)\r\nEND\r\n$/.exec(answer)?.[1]
}

const KINDS = ['auto', 'classic', 'binary'] as const

/** Where the read of the record of generations ends, if bytes that are sent begin with it. */
function endOfRecordRead(sent: Buffer): number | undefined {
  if (!sent.includes('fragcache:generations')) return undefined
  const isBinary = sent[0] === 0x80
  return isBinary ? 24 + sent.readUInt32BE(8) : sent.indexOf('\r\n') + 2
}

describe.skipIf(!isThere)('what other programs see in Memcached', () => {
  it('are Django’s keys, and the payload alone as the value', async () => {
    await open({ keyPrefix: 'shop', version: 2 }).set('k', 'text')
    expect(await seen('shop:2:k')).toBe('\x01text')
    await open().set('käse', 5)
    expect(await seen(':1:käse')).toBe('5')
  })

  it('are numbers they can count with', async () => {
    const cache = open()
    await cache.set('n', 41)
    expect(await tell(location, 'incr :1:n 1\r\n')).toBe('42\r\n')
    expect(await cache.get('n')).toBe(42)
    expect(await tell(location, 'decr :1:n 40\r\n')).toBe('2\r\n')
    expect(await cache.get('n')).toBe(2)
    expect(await cache.incr('n', -5)).toBe(-3)
    expect(await seen(':1:n')).toBe('18446744073709551613')
    expect(await cache.incr('n', 4)).toBe(1)
  })

  it('is JSON, with the serializer for it', async () => {
    const cache = open({ serializer: 'json' })
    await cache.set('k', { a: ['é'] })
    const json = Buffer.from((await seen(':1:k')) ?? '', 'latin1')
    expect(JSON.parse(json.toString())).toEqual({ a: ['é'] })
    await tell(location, 'set :1:theirs 0 0 9\r\n{"b":[1]}\r\n')
    expect(await cache.get('theirs')).toEqual({ b: [1] })
  })

  it('is smaller, with compress', async () => {
    const cache = open({ compress: { threshold: 1000 } })
    await cache.set('k', 'x'.repeat(2_000_000))
    expect((await seen(':1:k'))?.length).toBeLessThan(20_000)
    expect(await cache.get('k')).toBe('x'.repeat(2_000_000))
  })

  it.each(KINDS)('may be counted on when they wrote it (%s)', async (protocol) => {
    const cache = open({ options: { protocol } })
    await tell(location, 'set :1:theirs 2 0 1\r\n7\r\n')
    expect(await cache.get('theirs')).toBe(7)
    expect(await cache.incr('theirs')).toBe(8)
    expect(await cache.decr('theirs', 10)).toBe(-2)
    expect(await cache.touch('theirs', { timeout: 60 })).toBe(true)
    expect(await cache.incrVersion('theirs')).toBe(2)
    expect(await cache.get('theirs', { version: 2 })).toBe(-2)
  })

  it.each(KINDS)('keeps their flags when its time to live is changed (%s)', async (protocol) => {
    const cache = open({ options: { protocol }, serializer: 'json' })
    const look = (key: string) => tell(location, `get :1:${key}\r\n`, 'END\r\n')
    for (const [flags, bytes] of [
      [1, '\x80\x04K\x01.'],
      [16, '"text"'],
      [2, '7'],
    ] as const) {
      const key = `theirs-${flags}`
      const line = `set :1:${key} ${flags} 20 ${bytes.length}\r\n${bytes}\r\n`
      await tell(location, Buffer.from(line, 'latin1'))
      const before = await look(key)
      // A pickle is a miss here.
      expect(await cache.touch(key, { timeout: 600 })).toBe(flags !== 1)
      expect(await look(key)).toBe(before)
      expect(await tell(location, `mg :1:${key} t\r\n`)).toMatch(/^HD t(600|599|598)\r/)
      expect(await cache.touch(key, { timeout: null })).toBe(flags !== 1)
      expect(await tell(location, `mg :1:${key} t\r\n`)).toBe('HD t-1\r\n')
      expect(await cache.touch(key, { timeout: 40 * 86_400 })).toBe(flags !== 1)
      expect(await tell(location, `mg :1:${key} t\r\n`)).toMatch(/^HD t34[56]\d{4}\r/)
    }
    expect(await cache.touch('nobodys')).toBe(false)
  })

  it('is not theirs to lose by our clear', async () => {
    const cache = open()
    await cache.set('ours', 1)
    await tell(location, 'set :1:theirs 2 0 1\r\n7\r\n')
    await cache.clear()
    expect([...(await cache.getMany(['ours', 'theirs']))]).toEqual([['theirs', 7]])
  })
})

describe.skipIf(!isThere).each(KINDS)('clear (%s)', (protocol) => {
  const make = (keyPrefix = 'shop') => open({ keyPrefix, options: { protocol } })

  it('in one process is seen by the others at once', async () => {
    const [one, two, neighbour] = [make(), make(), make('blog')]
    await one.setMany({ text: 'old', number: 1, eternal: 2 }, { timeout: null })
    await neighbour.set('k', 'spared')
    expect((await two.getMany(['text', 'number', 'eternal'])).size).toBe(3)
    for (let i = 0; i < 5; i++) {
      await (i % 2 === 0 ? one : two).clear()
      const other = i % 2 === 0 ? two : one
      expect((await other.getMany(['text', 'number', 'eternal'])).size).toBe(0)
      expect(await other.incr('number').catch(String)).toContain('is not there')
      expect(await other.touch('text')).toBe(false)
      expect(await other.delete('eternal')).toBe(false)
      expect(await other.add('text', 'new')).toBe(true)
      await other.setMany({ number: i, eternal: 2 }, { timeout: null })
      expect(await one.get('number')).toBe(i)
      expect(await two.get('text')).toBe('new')
    }
    expect(await neighbour.get('k')).toBe('spared')
  })

  it('leaves what another process stores right after, though it knew only the generation before', async () => {
    const [one, two] = [make(), make()]
    await two.set('k', 'known')
    await one.clear()
    await two.set('k', 'set')
    expect(await one.get('k')).toBe('set')
    await one.clear()
    expect(await two.add('k', 'added')).toBe(true)
    expect(await one.get('k')).toBe('added')
    await one.clear()
    expect(await two.getOrSet('k', 'made')).toBe('made')
    expect(await one.get('k')).toBe('made')
  })

  it('revives nothing when the record of generations is evicted', async () => {
    const [one, two] = [make(), make()]
    await one.set('k', 'old', { timeout: null })
    await one.set('n', 1)
    await one.clear()
    await one.set('k', 'new', { timeout: null })
    expect(await tell(location, 'delete fragcache:generations\r\n')).toBe('DELETED\r\n')
    for (const cache of [one, two, make()]) {
      expect(await cache.get('k')).toBeUndefined()
      expect(await cache.get('n')).toBeUndefined()
    }
    await two.set('other', 1)
    for (const cache of [one, two, make()]) {
      expect(await cache.get('k')).toBeUndefined()
      expect(await cache.get('n')).toBeUndefined()
      expect(await cache.get('other')).toBe(1)
    }
  })

  it('revives nothing when the record is evicted and made again by who knew an old one', async () => {
    const [busy, idle] = [make(), make()]
    await idle.set('known', 1)
    for (let i = 0; i < 5; i++) {
      await busy.clear()
      await busy.set(`k${i}`, 'old', { timeout: null })
    }
    await busy.clear()
    await tell(location, 'delete fragcache:generations\r\n')
    await idle.set('other', 1)
    for (const cache of [idle, busy]) {
      expect((await cache.getMany(['k0', 'k1', 'k2', 'k3', 'k4', 'other'])).size).toBe(1)
    }
  })

  it('works over a record that somebody damaged', async () => {
    const cache = make()
    await cache.set('k', 1)
    await tell(location, 'set fragcache:generations 0 0 5\r\nhello\r\n')
    expect(await cache.get('k')).toBeUndefined()
    await cache.set('k', 2)
    expect(await cache.get('k')).toBe(2)
    await cache.clear()
    expect(await cache.get('k')).toBeUndefined()
  })

  it('by many at once clears', async () => {
    const all = [make(), make(), make('blog')]
    await Promise.all(all.map((cache) => cache.set('k', 1)))
    await Promise.all([...all, ...all].map((cache) => cache.clear()))
    for (const cache of all) expect(await cache.get('k')).toBeUndefined()
  })

  it('is followed by the right counters, tags and batches after a flush from outside', async () => {
    const cache = make()
    await cache.set('k', 1, { tags: ['t'] })
    await tell(location, 'flush_all\r\n')
    expect(await cache.get('k')).toBeUndefined()
    expect(await cache.setMany({ k: 1, l: 2 }, { tags: ['t'] })).toEqual([])
    expect((await cache.getMany(['k', 'l'])).size).toBe(2)
    await cache.invalidateTags(['t'])
    expect((await cache.getMany(['k', 'l'])).size).toBe(0)
  })
})

describe.skipIf(!isThere)('flushOnClear', () => {
  it('empties the server, whoever wrote there, and needs no record', async () => {
    const cache = open({ options: { flushOnClear: true } })
    await cache.set('k', 'v')
    await cache.set('n', 1)
    expect(await cache.incr('n')).toBe(2)
    expect(await cache.add('n', 3)).toBe(false)
    expect(await seen('fragcache:generations')).toBeUndefined()
    await open({ keyPrefix: 'other' }).set('k', 1)
    await cache.clear()
    expect(await seen(':1:k')).toBeUndefined()
    expect(await seen('other:1:k')).toBeUndefined()
    await cache.set('k', 'new')
    expect(await cache.get('k')).toBe('new')
  })
})

describe.skipIf(!isThere)('keys', () => {
  it('may have 250 bytes, of whatever letters', async () => {
    const cache = open()
    const long = ['x'.repeat(247), 'é'.repeat(123), '日'.repeat(82), '🎉'.repeat(61)]
    await cache.setMany(long.map((key, i) => [key, i] as const))
    expect([...(await cache.getMany(long)).values()]).toEqual([0, 1, 2, 3])
    for (const key of long) {
      const tooLong = `${key}${key.at(-1) === 'x' ? 'x' : key.slice(0, 4)}`
      await expect(cache.get(tooLong)).rejects.toMatchObject({ code: 'FRAGCACHE_INVALID_KEY' })
    }
  })

  it('cannot carry a command of their own', async () => {
    const keyFunction = (key: string) => key
    const cache = open({ keyFunction })
    for (const key of ['k\r\nset hacked 0 0 1\r\n1', 'k 0 0 1', 'k\tv', 'k\0', 'k\x7f']) {
      await expect(cache.set(key, 1)).rejects.toMatchObject({ code: 'FRAGCACHE_INVALID_KEY' })
      await expect(cache.get(key)).rejects.toMatchObject({ code: 'FRAGCACHE_INVALID_KEY' })
    }
    expect(await seen('hacked')).toBeUndefined()
  })
})

describe.skipIf(!isThere)('numbers', () => {
  it.each(KINDS)('beyond 2^53 are refused and leave the entry as it was (%s)', async (protocol) => {
    const cache = open({ options: { protocol } })
    const most = Number.MAX_SAFE_INTEGER
    await cache.set('n', most, { timeout: 60 })
    await expect(cache.incr('n')).rejects.toThrow(RangeError)
    expect(await seen(':1:n')).toBe(String(most))
    await cache.set('n', -most)
    await expect(cache.decr('n', most)).rejects.toThrow(RangeError)
    expect(await cache.get('n')).toBe(-most)
    expect(await cache.incr('n', most)).toBe(0)
  })
})

describe.skipIf(!isThere).each(KINDS)('counting what another adds meanwhile (%s)', (protocol) => {
  const INCR = { auto: 'ma ', classic: 'incr ', binary: '\x80\x05' }[protocol]

  /** A way to the server on which something may happen right before a number is added to. */
  async function way(beforeCounting: () => Promise<unknown>) {
    const sockets = new Set<Socket>()
    const proxy = createServer({ noDelay: true }, (socket) => {
      const [host = '', port = ''] = location.split(':')
      const upstream = connect({ host, port: Number(port), noDelay: true })
      for (const one of [socket, upstream]) sockets.add(one.on('error', () => undefined))
      upstream.on('data', (chunk) => socket.write(chunk))
      socket.on('data', (chunk) => {
        const place = chunk.indexOf(INCR, 0, 'latin1')
        if (place <= 0) {
          upstream.write(chunk)
          return
        }
        upstream.write(chunk.subarray(0, place))
        upstream.once('data', () => {
          void beforeCounting().then(() => upstream.write(chunk.subarray(place)))
        })
      })
    })
    await new Promise<void>((listening) => proxy.listen(0, '127.0.0.1', listening))
    const { port } = proxy.address() as AddressInfo
    const close = () => {
      for (const socket of sockets) socket.destroy()
      proxy.close()
    }
    return { location: `127.0.0.1:${port}`, close }
  }

  const hit = async (cache: MemcachedCache, key: string): Promise<number> => {
    const sum = await cache.incr(key).catch(() => undefined)
    if (sum !== undefined) return sum
    return (await cache.add(key, 1)) ? 1 : cache.incr(key)
  }

  it.each(['absent', 'dead'])('counts nothing twice where the entry was %s', async (state) => {
    const options = { protocol }
    const [two, three] = [open({ options }), open({ options })]
    let key = ''
    let others: number[] = []
    const between = async () => {
      if (others.length > 0) return
      others = [0]
      others = [await hit(two, key)]
      if (state === 'absent') others.push(await hit(three, key))
    }
    const { location: through, close } = await way(between)
    const one = open({ location: through, options })
    const keys = Array.from({ length: 200 }, (_, i) => `hits-${i}`)
    if (state === 'dead') {
      await two.setMany(keys.map((dead) => [dead, 70] as const))
      await two.clear()
    }
    for (key of keys) {
      others = []
      const own = await hit(one, key)
      const sums = [...others, own]
      expect(sums).toEqual(state === 'absent' ? [1, 2, 3] : [1, 2])
      expect(await two.get(key)).toBe(sums.length)
    }
    await one.close()
    close()
  })

  it('by many at once loses nothing', async () => {
    const clients = [0, 1, 2].map(() => open({ options: { protocol } }))
    const keys = Array.from({ length: 400 }, (_, i) => `hits-${i}`)
    const sums = await Promise.all(
      clients.map((cache) => Promise.all(keys.map((key) => hit(cache, key)))),
    )
    expect(keys.map((_, i) => sums.map((own) => own[i]).sort())).toEqual(keys.map(() => [1, 2, 3]))
  })
})

describe.skipIf(!isThere)('values', () => {
  it.each(KINDS)(
    'are added once, also while the first record of a server is made: %s',
    async (protocol) => {
      const other = open({ options: { protocol } })
      let isHeld = false
      // Lets another process begin between what reads the record and what reads the entry.
      const between = createServer((socket) => {
        const { port, hostname } = new URL(`http://${location}`)
        const upstream = connect(Number(port), hostname)
        socket.on('data', (chunk) => {
          const cut = endOfRecordRead(chunk)
          if (isHeld || cut === undefined || cut === chunk.length) {
            upstream.write(chunk)
            return
          }
          isHeld = true
          upstream.write(chunk.subarray(0, cut))
          setTimeout(() => {
            void other.add('k', 'first').then(() => upstream.write(chunk.subarray(cut)))
          }, 50)
        })
        upstream.on('data', (chunk) => socket.write(chunk))
        socket.on('close', () => upstream.destroy())
      })
      between.listen(0, '127.0.0.1')
      await once(between, 'listening')
      const { port } = between.address() as AddressInfo
      const cache = open({ location: `127.0.0.1:${port}`, options: { protocol } })
      expect(await cache.add('k', 'second')).toBe(false)
      expect(isHeld).toBe(true)
      expect(await cache.get('k')).toBe('first')
      between.close()
    },
  )

  it('that several callers read at the same time are sent once, and each gets a copy', async () => {
    const cache = open()
    await cache.setMany({ a: Buffer.from('one'), b: { two: 2 } })
    const keysRead = async () =>
      Number(/cmd_get (\d+)/.exec(await tell(location, 'stats\r\n'))?.[1])
    const before = await keysRead()
    const [ones, twos] = await Promise.all([
      Promise.all(Array.from({ length: 20 }, () => cache.get<Buffer>('a'))),
      Promise.all(Array.from({ length: 20 }, () => cache.getMany(['b', 'gone']))),
    ])
    // Beside the record of generations.
    expect(await keysRead()).toBe(before + 1 + 3)
    ones[0]?.fill('x')
    expect(ones.slice(1).map(String)).toEqual(Array.from({ length: 19 }, () => 'one'))
    for (const two of twos) expect(Object.fromEntries(two)).toEqual({ b: { two: 2 } })
  })

  it('that are too large are refused by name, and the old ones are gone', async () => {
    const cache = open()
    await cache.set('k', 'old')
    const error: unknown = await cache.set('k', 'x'.repeat(1_100_000)).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'FRAGCACHE_VALUE_TOO_LARGE', key: 'k' })
    expect(await seen(':1:k')).toBeUndefined()
    expect(await cache.setMany({ a: 1, b: Buffer.alloc(1_100_000), c: 3 })).toEqual(['b'])
    // A server that refuses is no server that fails.
    expect(await cache.get('c')).toBe(3)
  })

  it('may be as large as the server is started for', async () => {
    const large = await startMemcached(['-I', '4m'])
    try {
      const cache = open({ location: large.location })
      const value = Buffer.alloc(3 * 1024 * 1024, 'ab\r\nEND\r\n')
      await cache.set('k', value)
      expect((await cache.get<Buffer>('k'))?.equals(value)).toBe(true)
      await cache.close()
    } finally {
      await large.stop()
    }
  })

  it('do not mix when large and small ones are under way together', async () => {
    const cache = open({ options: { poolSize: 3 } })
    const sizes = [1, 900_000, 10, 300_000, 5000, 65_536, 2, 700_000]
    const value = (i: number) => Buffer.alloc(sizes[i % sizes.length] ?? 1, `value ${i};`)
    const numbers = Array.from({ length: 24 }, (_, i) => i)
    await Promise.all(numbers.map((i) => cache.set(`k${i}`, value(i))))
    const found = await Promise.all(numbers.map((i) => cache.get<Buffer>(`k${i}`)))
    found.forEach((one, i) => expect(one?.equals(value(i))).toBe(true))
  })
})

describe.skipIf(!isThere)('connections', () => {
  it('may be a socket of the file system', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fragcache-memcached-'))
    const path = join(folder, 'memcached.sock')
    const asRoot = process.getuid?.() === 0 ? ['-u', 'root'] : []
    const args = ['-s', path, '-U', '0', ...asRoot]
    const local = await startServer({ command: 'memcached', args, listensAt: path })
    try {
      const cache = open({ location: `unix:${path}` })
      await cache.setMany({ a: 1, b: 'x'.repeat(100_000) })
      expect(await cache.incr('a')).toBe(2)
      expect(await cache.get('b')).toBe('x'.repeat(100_000))
      await cache.close()
    } finally {
      await local.stop()
      await rm(folder, { recursive: true })
    }
  })

  it('carry all calls of a turn in one write, and are no more than poolSize', async () => {
    const writes: string[] = []
    const sockets = new Set<Socket>()
    const fake = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('data', (chunk) => {
        writes.push(chunk.toString('latin1'))
        for (const line of chunk.toString('latin1').split('\r\n')) {
          if (line === 'version') socket.write('VERSION 1.6.18\r\n')
          else if (line.startsWith('mg')) socket.write(`EN ${line.split(' ')[2]}\r\n`)
          else if (line.startsWith('get')) socket.write('END\r\n')
        }
      })
    })
    await new Promise<void>((listening) => fake.listen(0, '127.0.0.1', listening))
    const { port } = fake.address() as AddressInfo
    // Of calls that all wait for one process, which answers them too.
    const timeLimitMs = 20_000
    const cache = open({ location: `127.0.0.1:${port}`, options: { poolSize: 2, timeLimitMs } })
    await cache.get('first')
    writes.length = 0
    const keys = Array.from({ length: 40 }, (_, i) => `k${i}`)
    await Promise.all(keys.map((key) => cache.get(key)))
    const asked = `get ${keys.map((key) => `:1:${key}`).join(' ')}`
    expect(writes.map((lines) => lines.replace(/ O\d+/g, ''))).toEqual([
      `mg fragcache:generations f v\r\n${asked}\r\n`,
    ])
    for (let i = 0; i < 10; i++) await Promise.all(keys.map(() => cache.getMany(keys)))
    expect(sockets.size).toBe(2)
    await cache.close()
    await vi.waitFor(() => expect([...sockets].every(({ destroyed }) => destroyed)).toBe(true))
    fake.close()
  })

  it.each([
    ['answers with an error', (socket: Socket) => void socket.write('ERROR\r\n'), {}],
    [
      'ends the connection',
      (socket: Socket) => void socket.destroy(),
      { protocol: 'classic' as const },
    ],
  ])('may lead to a proxy that knows the old commands alone and %s', async (_, refuse, options) => {
    const seenCommands: string[] = []
    const proxy = createServer((socket) => {
      const [host = '', port = ''] = location.split(':')
      const upstream = connect({ host, port: Number(port) })
      upstream.on('data', (chunk) => socket.write(chunk))
      socket.on('close', () => upstream.destroy())
      socket.on('data', (chunk) => {
        const command = chunk.toString('latin1').split(/[ \r]/)[0] ?? ''
        seenCommands.push(command)
        if (['get', 'gets', 'set', 'add', 'cas', 'delete', 'incr'].includes(command)) {
          upstream.write(chunk)
        } else refuse(socket)
      })
    })
    await new Promise<void>((listening) => proxy.listen(0, '127.0.0.1', listening))
    const { port } = proxy.address() as AddressInfo
    const cache = open({ location: `127.0.0.1:${port}`, options })
    await cache.set('k', 1)
    expect(await cache.incr('k')).toBe(2)
    expect(await cache.touch('k')).toBe(true)
    await cache.clear()
    expect(await cache.get('k')).toBeUndefined()
    expect(seenCommands).not.toContain('mg')
    await cache.close()
    await new Promise((closed) => proxy.close(closed))
  })

  it.each(KINDS)(
    'that are closed while they open are opened again on use (%s)',
    async (protocol) => {
      const cache = open({ options: { protocol } })
      for (let i = 0; i < 3; i++) {
        const unanswered = cache.get('k').catch(String)
        await Promise.resolve()
        await cache.close()
        expect(await unanswered).toContain('the cache was closed')
        await cache.set('k', i)
        expect(await cache.get('k')).toBe(i)
        await cache.close()
      }
    },
  )

  it.each(KINDS)('answer what was asked before they are closed (%s)', async (protocol) => {
    const cache = open({ options: { protocol } })
    await cache.set('k', 1)
    const asked = Promise.all([cache.get('k'), cache.getMany(['k', 'none']), cache.set('l', 2)])
    await cache.close()
    expect(await asked).toEqual([1, new Map([['k', 1]]), undefined])
    expect(await cache.get('l')).toBe(2)
    expect(process.emitWarning).not.toHaveBeenCalled()
  })

  it('keep a script from ending only while calls are under way', async () => {
    const sources = await bundleSources()
    const script = join(sources.folder, 'src/backends/memcached.js')
    const code = `
      import { MemcachedCache } from ${JSON.stringify(script)}
      const cache = new MemcachedCache({ location: ${JSON.stringify(location)}, keyPrefix: 'script' })
      await cache.set('k', 1)
      console.log(await cache.get('k'))
      cache.clear().then(() => console.log('cleared'))
    `
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', code],
      { timeout: 10_000 },
    )
    await sources.remove()
    expect(stdout).toBe('1\ncleared\n')
  })

  it('that the server closes while nothing is asked are opened again', async () => {
    const idle = await startMemcached(['-o', 'idle_timeout=1'])
    try {
      const cache = open({ location: idle.location })
      await cache.set('k', 1)
      await vi.waitFor(
        async () =>
          expect(await tell(idle.location, 'stats\r\n', 'END\r\n')).toMatch(/curr_connections 2\r/),
        { timeout: 8000, interval: 100 },
      )
      expect(await cache.get('k')).toBe(1)
      await cache.close()
    } finally {
      await idle.stop()
    }
  })

  it('to a server without compare-and-set say what is wrong', async () => {
    const bare = await startMemcached(['-C'])
    try {
      const cache = open({ location: bare.location, options: { flushOnClear: true } })
      await cache.set('k', 1)
      expect(await cache.get('k')).toBe(1)
      await expect(cache.touch('k')).rejects.toThrow('--disable-cas')
      await cache.close()
    } finally {
      await bare.stop()
    }
  })
})
