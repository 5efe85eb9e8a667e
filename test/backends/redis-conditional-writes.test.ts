import { Redis } from 'ioredis'
import nunjucks from 'nunjucks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { registerCache } from '../../adapters/nunjucks/index.js'
import { coreOf } from '../../src/backend/core.js'
import type { WriteEntry } from '../../src/backend/store.js'
import { RedisCache, type RedisSettings } from '../../src/backends/redis.js'
import { createCaches } from '../../src/index.js'
import { redisOfFile } from '../support/redis.js'

const { isThere, url, control } = await redisOfFile()

/** How often the server was given which command since the last call. */
async function given(name: string): Promise<number> {
  const stats = await control.info('commandstats')
  await control.config('RESETSTAT')
  return Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
}

describe.skipIf(!isThere)('conditional writes to Redis', () => {
  const caches: RedisCache[] = []
  beforeEach(() => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    return control.flushall()
  })
  afterEach(async () => {
    for (const cache of caches.splice(0)) await cache.close()
    vi.restoreAllMocks()
  })

  function open(settings: RedisSettings = { location: url }): RedisCache {
    const cache = new RedisCache(settings)
    caches.push(cache)
    return cache
  }

  /** Those of a store that is connected, to a server that knows the script. */
  async function writerOf(settings?: RedisSettings) {
    const cache = open(settings)
    await cache.getOrSet('known', () => 1)
    await given('evalsha')
    return async (entries: WriteEntry<unknown>[]) => coreOf(cache).store.writeEntries(entries)
  }

  const expiresAtMs = null
  const entry = (key: string, payload: unknown, more: object): WriteEntry<unknown> => ({
    key,
    payload,
    expiresAtMs,
    ...more,
  })
  const absent = (key: string, payload: unknown) => entry(key, payload, { ifAbsent: true })
  const same = (key: string, replacing: unknown, payload: unknown) =>
    entry(key, payload, { replacing })
  const either = (key: string, replacing: unknown, payload: unknown) =>
    entry(key, payload, { replacing, ifAbsent: true })

  it('are one command, with an outcome and a deadline for each', async () => {
    const writeEntries = await writerOf()
    await control.mset({ there: 'old', changed: 'other' })
    const inOneMinuteMs = Date.now() + 60_000
    const outcomes = await writeEntries([
      absent('new', 'n'),
      absent('there', 'x'),
      { ...same('there', 'old', 's'), expiresAtMs: inOneMinuteMs },
      same('changed', 'old', 'x'),
      same('gone', 'old', 'x'),
      { ...either('gone', 'old', 'e'), expiresAtMs: inOneMinuteMs },
      either('changed', 'old', 'x'),
      either('changed', 'other', 'e'),
    ])
    expect(outcomes).toEqual([
      'stored',
      'refused',
      'stored',
      'refused',
      'refused',
      'stored',
      'refused',
      'stored',
    ])
    expect(await given('evalsha')).toBe(1)
    expect(await control.mget('new', 'there', 'gone', 'changed')).toEqual(['n', 's', 'e', 'e'])
    for (const key of ['new', 'changed']) expect(await control.pttl(key)).toBe(-1)
    for (const key of ['there', 'gone']) {
      expect(await control.pttl(key)).toBeGreaterThan(59_000)
      expect(await control.pttl(key)).toBeLessThanOrEqual(60_000)
    }
  })

  it('go together with those that have none', async () => {
    const writeEntries = await writerOf()
    expect(await writeEntries([absent('a', '1'), entry('b', '2', {}), absent('c', '3')])).toEqual([
      'stored',
      'stored',
      'stored',
    ])
    expect(await control.mget('a', 'b', 'c')).toEqual(['1', '2', '3'])
  })

  it('take and compare any bytes, and the texts that they stand for', async () => {
    const writeEntries = await writerOf()
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    const others = Buffer.from(bytes).reverse()
    await writeEntries([absent('bytes', bytes), absent('text', 'größe\0😀'), absent('empty', '')])
    expect(await control.getBuffer('bytes')).toEqual(bytes)
    expect(await control.get('text')).toBe('größe\0😀')
    const outcomes = await writeEntries([
      same('bytes', others, 'x'),
      same('bytes', bytes, others),
      same('text', Buffer.from('größe\0😀'), bytes),
      absent('empty', 'x'),
      same('empty', '', 'filled'),
    ])
    expect(outcomes).toEqual(['refused', 'stored', 'stored', 'refused', 'stored'])
    expect(await control.getBuffer('bytes')).toEqual(others)
    expect(await control.getBuffer('text')).toEqual(bytes)
    expect(await control.get('empty')).toBe('filled')
  })

  it('bear the prefix of the client that was given', async () => {
    const client = new Redis(url, { keyPrefix: 'app:' })
    try {
      const writeEntries = await writerOf({ client })
      expect(await writeEntries([absent('a', '1'), absent('b', '2')])).toEqual(['stored', 'stored'])
      expect(await control.mget('app:a', 'app:b')).toEqual(['1', '2'])
    } finally {
      client.disconnect()
    }
  })

  describe('one of which the server refuses', () => {
    it('because something else lies there, fail alone', async () => {
      const writeEntries = await writerOf()
      await control.lpush('list', 'a')
      const all = [absent('list', 'x'), absent('a', '1'), same('list', 'x', 'y'), absent('b', '2')]
      expect(await writeEntries(all)).toEqual(['refused', 'stored', 'not_taken', 'stored'])
      expect(await control.lrange('list', 0, -1)).toEqual(['a'])
      expect(await control.mget('a', 'b')).toEqual(['1', '2'])
      await expect(writeEntries([either('list', 'x', 'y')])).rejects.toMatchObject({
        name: 'ReplyError',
        message: /^WRONGTYPE/,
      })
    })

    it('because its memory is full, do not hide what became of others', async () => {
      const writeEntries = await writerOf()
      await control.set('there', 'old')
      await control.config('SET', 'maxmemory', '1')
      try {
        const all = [same('there', 'x', 'y'), absent('a', '1'), same('there', 'old', 'new')]
        expect(await writeEntries(all)).toEqual(['refused', 'not_taken', 'not_taken'])
        await expect(writeEntries([absent('a', '1'), absent('b', '2')])).rejects.toThrow('OOM')
      } finally {
        await control.config('SET', 'maxmemory', '0')
      }
      expect(await control.mget('there', 'a', 'b')).toEqual(['old', null, null])
    })
  })

  it('all fail with the connection that is lost', async () => {
    const writeEntries = await writerOf()
    // Until then nothing that writes is answered.
    await control.call('CLIENT', 'PAUSE', 10_000, 'WRITE')
    const written = writeEntries([absent('a', '1'), absent('b', '2')])
    const failure = expect(written).rejects.toThrow(/clos|lost|connection/i)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await control.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await failure
    await control.client('UNPAUSE')
    expect(await control.mget('a', 'b')).toEqual([null, null])
  })

  it('take several commands where they are many or large: others are served between', async () => {
    const writeEntries = await writerOf()
    const many = Array.from({ length: 250 }, (_, i) => absent(`k${i}`, String(i)))
    expect(new Set(await writeEntries(many))).toEqual(new Set(['stored']))
    expect(await given('evalsha')).toBe(3)
    expect(await control.mget('k0', 'k99', 'k100', 'k249')).toEqual(['0', '99', '100', '249'])

    const large = 'x'.repeat(400_000)
    const six = Array.from({ length: 6 }, (_, i) => absent(`large${i}`, large))
    expect(new Set(await writeEntries(six))).toEqual(new Set(['stored']))
    expect(await given('evalsha')).toBe(3)
    const replaced = six.slice(0, 2).map(({ key }) => same(key, large, large.toUpperCase()))
    expect(await writeEntries(replaced)).toEqual(['stored', 'stored'])
    expect(await given('evalsha')).toBe(2)
    for (let i = 0; i < 6; i++) expect(await control.strlen(`large${i}`)).toBe(400_000)
  })

  it('of several calls of one turn are one command, and overtake nothing', async () => {
    const writeEntries = await writerOf()
    await control.mset({ a: 'old', b: 'old', c: 'old' })
    const both = [writeEntries([same('a', 'old', '1')]), writeEntries([same('b', 'old', '1')])]
    expect(await Promise.all(both)).toEqual([['stored'], ['stored']])
    expect(await given('evalsha')).toBe(1)

    const outcomes = await Promise.all([
      writeEntries([same('a', '1', '2'), same('c', 'old', '2')]),
      writeEntries([entry('b', '2', {})]),
      writeEntries([same('b', '2', '3'), absent('d', '3')]),
      writeEntries([absent('d', '4')]),
      writeEntries([same('d', '3', '5')]),
    ])
    expect(outcomes.flat().filter((outcome) => outcome !== 'stored')).toEqual(['refused'])
    expect(await given('evalsha')).toBe(3)
    expect(await control.mget('a', 'b', 'c', 'd')).toEqual(['2', '3', '2', '5'])
  })

  it('survive that the server forgets the script', async () => {
    const writeEntries = await writerOf()
    await control.script('FLUSH')
    expect(await writeEntries([absent('a', '1'), absent('a', '2')])).toEqual(['stored', 'refused'])
    expect(await control.get('a')).toBe('1')
  })

  it('are two commands for a page of twenty fragments that are not there yet', async () => {
    const cache = open({ location: url, keyPrefix: 'shop' })
    const all = createCaches({ default: cache })
    const numbers = Array.from({ length: 20 }, (_, i) => i)
    const fragments = numbers.map(
      (i) => `{% cache 60, 'f${i}', user %}${i} {{ user }};{% endcache %}`,
    )
    const env = new nunjucks.Environment()
    registerCache(env, all)
    const render = (user: string) =>
      new Promise<string>((resolve, reject) => {
        env.renderString(fragments.join(''), { user }, (error, text) => {
          if (error === null) resolve(text ?? '')
          else reject(error)
        })
      })
    await render('first')
    await given('evalsha')
    const expected = (user: string) => numbers.map((i) => `${i} ${user};`).join('')
    expect(await render('second')).toBe(expected('second'))
    expect(await given('evalsha')).toBe(2)
    expect(await render('second')).toBe(expected('second'))
    expect(await given('evalsha')).toBe(0)
  })
})
