import { channel } from 'node:diagnostics_channel'
import { once } from 'node:events'
import type http from 'node:http'
import net from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { AuditMessage, Batch, FeedEvent } from '../../adapters/inspector/index.js'
import type { Happening } from '../../adapters/inspector/events.js'
import { MAX_EVENTS, Sampler } from '../../adapters/inspector/sampler.js'
import { Trace } from '../../adapters/inspector/traces.js'
import { responseCache } from '../../adapters/express/index.js'
import { createCaches, FragmentCache, LocMemCache } from '../../src/index.js'
import { compression, eventually, oneExpress } from '../support/express.js'
import { Inspected, Listener, Shaky } from './inspector-support.js'

const CHANNELS = ['operation', 'fragment', 'response', 'refresh', 'audit']
const hasListeners = () =>
  CHANNELS.filter((name) => channel(`fragcache:${name}`).hasSubscribers).sort()

const operation = (key: string): Happening => ({
  kind: 'operation',
  message: {
    alias: 'default',
    backend: 'LocMemCache',
    operation: 'get',
    keys: [key],
    hits: 1,
    misses: 0,
    durationMs: 0.1,
  },
})
const response = (url: string): Happening => ({
  kind: 'response',
  message: { method: 'GET', url, key: url, alias: 'default', outcome: 'hit' },
})
const fragment = (name: string): Happening => ({
  kind: 'fragment',
  message: { name, key: name, alias: 'default', outcome: 'hit', bodyMs: 0, durationMs: 0.2 },
})
const audit = (target: string): Happening => ({
  kind: 'audit',
  message: { action: 'delete', alias: 'default', target, atMs: 0, ok: true },
})

describe('a batch', () => {
  const take = (sampler: Sampler): Batch => {
    const batch = sampler.take()
    if (batch === undefined) throw new Error('nothing happened')
    return batch
  }
  const kinds = ({ events }: Batch) =>
    events.reduce<Record<string, number>>(
      (counts, { kind }) => ({ ...counts, [kind]: (counts[kind] ?? 0) + 1 }),
      {},
    )

  it('is none where nothing happened', () => {
    const sampler = new Sampler()
    expect(sampler.take()).toBeUndefined()
    sampler.add(operation('a'), 1)
    take(sampler)
    expect(sampler.take()).toBeUndefined()
  })

  it('has everything in its order while that is little', () => {
    const sampler = new Sampler()
    const all = [operation('a'), response('u'), fragment('f'), audit('k'), operation('b')]
    all.forEach((one, i) => sampler.add(one, 1000 + i))
    const { events, seen, dropped } = take(sampler)
    expect([seen, dropped]).toEqual([5, 0])
    expect(events.map(({ id, atMs, kind, title }) => [id, atMs, kind, title])).toEqual([
      [1, 1000, 'operation', 'get'],
      [2, 1001, 'response', 'GET u'],
      [3, 1002, 'fragment', 'f'],
      [4, 1003, 'audit', 'delete k'],
      [5, 1004, 'operation', 'get'],
    ])
  })

  it('has fifty of ten thousand, from all of the time', () => {
    let state = 1
    const random = () => (state = (state * 16807) % 2147483647) / 2147483647
    const sampler = new Sampler(random)
    for (let i = 0; i < 10_000; i++) sampler.add(operation(`key ${i}`), i)
    const { events, seen, dropped } = take(sampler)
    expect([events.length, seen, dropped]).toEqual([MAX_EVENTS, 10_000, 9950])
    const times = events.map(({ atMs }) => atMs)
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    // Of fifty drawn from all, each fifth of the time has some; three of a thousand draws would not.
    for (let fifth = 0; fifth < 5; fifth++) {
      expect(times.some((atMs) => Math.floor(atMs / 2000) === fifth)).toBe(true)
    }
  })

  it('has the rare before the many, and some of each', () => {
    const sampler = new Sampler()
    for (let i = 0; i < 1000; i++) {
      sampler.add(operation(`${i}`), i)
      sampler.add(fragment(`${i}`), i)
    }
    for (let i = 0; i < 3; i++) sampler.add(audit(`${i}`), i)
    sampler.add(response('u'), 1)
    const batch = take(sampler)
    expect(kinds(batch)).toEqual({ audit: 3, response: 1, fragment: 41, operation: 5 })
    expect([batch.seen, batch.dropped]).toEqual([2004, 1954])
  })

  it('has ten requests after quiet times and two of many, and counts all that asked a cache', () => {
    const sampler = new Sampler()
    const answer = (path: string, isOfCaches = true) => {
      if (!sampler.beginsTrace()) {
        if (isOfCaches) sampler.countRequest()
        return
      }
      const trace = new Trace('GET', path, (one) => sampler.endTrace(one))
      if (isOfCaches) trace.add(fragment('f'))
      trace.answered()
      trace.end()
    }
    const batches = [1, 2, 3].map(() => {
      for (let i = 0; i < 30; i++) {
        answer(`/style-${i}.css`, false)
        answer(`/page-${i}`)
      }
      return take(sampler)
    })
    expect(batches.map(({ requests }) => requests.length)).toEqual([10, 2, 2])
    expect(batches.map(({ requestsSeen }) => requestsSeen)).toEqual([30, 30, 30])
    expect(batches[0]?.requests[9]).toMatchObject({ url: '/page-9', parts: [{ title: 'f' }] })
  })

  it('is not filled by what is rare alone', () => {
    const sampler = new Sampler()
    for (let i = 0; i < 1000; i++)
      for (const one of [audit('a'), response('u')]) sampler.add(one, i)
    for (let i = 0; i < 1000; i++)
      for (const one of [fragment('f'), operation('o')]) sampler.add(one, i)
    expect(kinds(take(sampler))).toEqual({ audit: 35, response: 5, fragment: 5, operation: 5 })
  })
})

describe.each(oneExpress)('the feed, on $version', ({ express }) => {
  const open = (caches = createCaches({ default: new LocMemCache() })) =>
    Inspected.open(caches, {}, undefined, express)

  it('tells what happens to those who look, and listens to nothing otherwise', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const inspected = await open(caches)
    expect(hasListeners()).toEqual([])
    const listener = await inspected.listen()
    expect(listener.response.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'private, no-store, no-transform',
      'x-accel-buffering': 'no',
    })
    expect(hasListeners()).toEqual([...CHANNELS].sort())
    await caches.default.set('one', 'secret-value', { tags: ['t'] })
    await caches.default.get('one')
    await caches.default.getMany(['one', 'two'])
    await new FragmentCache(caches).render({ name: 'menu', template: 'menu.njk' }, () => 'text')
    const found = await listener.event(({ title, outcome }) => title === 'get' && outcome === 'hit')
    expect(found).toMatchObject({ kind: 'operation', alias: 'default', key: 'one' })
    expect(found.durationMs).toBeGreaterThanOrEqual(0)
    expect(await listener.event(({ title }) => title === 'getMany')).toMatchObject({
      outcome: 'mixed',
      detail: '2 keys: 1 found, 1 not',
    })
    expect(await listener.event(({ kind }) => kind === 'fragment')).toMatchObject({
      title: 'menu',
      outcome: 'miss',
      detail: expect.stringContaining('in menu.njk') as string,
    })
    expect(JSON.stringify(listener.batches)).not.toContain('secret-value')
    listener.close()
    // The latest responses and the routes of fragments are noted as long as somebody looks now and then.
    await eventually(() => hasListeners().join() === 'fragment,response')
    inspected.inspector.close()
    expect(hasListeners()).toEqual([])
  })

  it('tells of responses and why, of actions and of warnings', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const pages = responseCache(caches, { seconds: 60 })
    const inspected = await Inspected.open(
      caches,
      {},
      (app) =>
        app.get('/', pages.cachePage(60), (_req, res) => void res.cookie('a', 'b').send('x')),
      express,
    )
    const listener = await inspected.listen()
    await inspected.site.get('/')
    await inspected.act('delete', { alias: 'default', key: 'one' })
    process.emitWarning('fragment "menu": a vary-on value is undefined', {
      type: 'FragmentVaryOnWarning',
      code: 'FRAGCACHE_UNDEFINED_VARY_ON',
    })
    expect(await listener.event(({ kind }) => kind === 'response')).toMatchObject({
      title: `GET ${inspected.site.origin}/`,
      outcome: 'bypass',
      detail: 'The response sets a cookie, which belongs to one visitor.',
      href: 'help#set-cookie',
    })
    expect(await listener.event(({ kind }) => kind === 'audit')).toMatchObject({
      title: 'delete one',
      alias: 'default',
      outcome: 'done',
      detail: 'from 127.0.0.1',
    })
    const ofVaryOn = await listener.event(({ title }) => title === 'FRAGCACHE_UNDEFINED_VARY_ON')
    expect(ofVaryOn).toMatchObject({
      kind: 'warning',
      href: 'help#FRAGCACHE_UNDEFINED_VARY_ON',
    })
  })

  it('goes on whatever was thrown that it tells of', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const inspected = await open(caches)
    const listener = await inspected.listen()
    const thrown: readonly unknown[] = [
      Object.create(null),
      Object.assign(new Error('x'), { message: undefined }),
      Object.assign(new Error('x'), { message: { status: 500 } }),
    ]
    for (const [i, one] of thrown.entries()) {
      const key = `k${i}`
      await caches.default.set(key, 'old', { staleWhileRevalidate: 60 })
      await caches.default.expire(key)
      const failing = () => {
        throw one
      }
      expect(await caches.default.getOrSet(key, failing, { staleWhileRevalidate: 60 })).toBe('old')
    }
    await listener.event(({ kind, key }) => kind === 'refresh' && key === 'k2')
    expect(
      listener.events.filter(({ kind }) => kind === 'refresh').map(({ detail }) => detail),
    ).toEqual(['an error without a text', 'Error', 'Error: [object Object]'])
  })

  it('tells nothing of other caches of the process', async () => {
    const caches = createCaches({ mine: new LocMemCache() })
    const others = createCaches({ theirs: new LocMemCache() })
    const inspected = await open(caches as never)
    const listener = await inspected.listen()
    await others.theirs.set('one', 1)
    await new LocMemCache().set('two', 2)
    await caches.mine.set('three', 3)
    await listener.event(({ key }) => key === 'three')
    expect(listener.events.map(({ key }) => key)).toEqual(['three'])
  })

  it('does not keep the server from closing', async () => {
    const inspected = await open()
    const listener = await inspected.listen()
    const { server } = inspected.site
    const closed = once(server, 'close')
    server.close()
    await closed
    await eventually(() => listener.hasEnded)
    server.listen(0)
  })
})

describe('the feed', () => {
  it('passes a compression in front at once', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const inspected = await Inspected.open(caches, {}, (app) => app.use(compression()))
    const listener = await Listener.open(`${inspected.site.origin}/__cache/api/events`, {
      'Accept-Encoding': 'gzip',
    })
    await caches.default.set('one', 1)
    await listener.event(({ key }) => key === 'one')
    expect(listener.response.headers['content-encoding']).toBeUndefined()
  })

  it('goes on for who comes back with a Last-Event-ID', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const inspected = await Inspected.open(caches)
    const listener = await Listener.open(`${inspected.site.origin}/__cache/api/events`, {
      'Last-Event-ID': '9999',
    })
    await caches.default.set('one', 1)
    await listener.event(({ key }) => key === 'one')
  })

  it('takes only so many', async () => {
    const inspected = await Inspected.open(undefined, { maxFeeds: 3 })
    const listeners = [await inspected.listen(), await inspected.listen(), await inspected.listen()]
    // A server takes 511 new connections at once, and may reset the others.
    for (let round = 0; round < 10; round++) {
      const statuses = await Promise.all(
        Array.from({ length: 100 }, async () => (await inspected.get('/api/events')).status),
      )
      expect(new Set(statuses)).toEqual(new Set([503]))
    }
    const refused = await inspected.get('/api/events')
    expect(refused.headers['retry-after']).toBe('30')
    expect(JSON.parse(refused.text)).toEqual({
      error: 'Too many pages look at what happens; close some.',
    })
    listeners[0]?.close()
    let next: Listener | undefined
    for (let i = 0; i < 100 && next?.response.statusCode !== 200; i++) {
      next = await inspected.listen()
    }
    expect(next?.response.statusCode).toBe(200)
  }, 30_000)

  it('keeps up with thousands of events a second, each counted', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const inspected = await Inspected.open(caches)
    const listener = await inspected.listen()
    let count = 0
    for (let second = 0; second < 5; second++) {
      for (let i = 0; i < 2000; i++, count++) await caches.default.get(`key-${i}`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    const seen = () => listener.batches.reduce((sum, batch) => sum + batch.seen, 0)
    await eventually(() => seen() === count)
    for (const { events, seen, dropped } of listener.batches) {
      expect(events.length).toBeLessThanOrEqual(MAX_EVENTS)
      expect(events.length + dropped).toBe(seen)
    }
    expect(listener.batches.length).toBeLessThan(20)
    const ids = listener.events.map(({ id }) => id)
    expect(ids).toEqual(ids.toSorted((a, b) => a - b))
  })

  it('holds little for a client that reads nothing, and lets it go', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const responses: http.ServerResponse[] = []
    const inspected = await Inspected.open(caches, {}, (app) =>
      app.use('/__cache/api/events', (_req, res, next) => {
        responses.push(res)
        next()
      }),
    )
    const socket = net.connect(inspected.site.port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.on('error', () => undefined)
    socket.write('GET /__cache/api/events HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(socket, 'readable')
    socket.pause()
    await eventually(() => responses.length === 1)
    const [res] = responses
    const reader = await inspected.listen()
    // Three bytes each.
    const long = '…'.repeat(990)
    const name = channel('fragcache:operation')
    let most = 0
    const isGone = () => res?.destroyed === true
    const endMs = Date.now() + 60_000
    while (!isGone() && Date.now() < endMs) {
      for (let i = 0; i < 50; i++) {
        name.publish({ ...operation(`${long}${i}`).message, error: new Error(long) })
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
      most = Math.max(most, res?.writableLength ?? 0)
    }
    expect(isGone()).toBe(true)
    // One batch more than the limit: each is at most fifty times a key and an error.
    expect(most).toBeLessThan(256 * 1024 + 50 * 7000)
    expect(reader.hasEnded).toBe(false)
  }, 90_000)

  it('is not silent for longer than a proxy waits', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    const inspected = await Inspected.open()
    const listener = await inspected.listen()
    vi.advanceTimersByTime(14_000)
    await inspected.overview()
    expect(listener.comments).toEqual([])
    vi.advanceTimersByTime(2000)
    await eventually(() => listener.comments.length > 0)
    expect(listener.batches).toEqual([])
  })

  it('ends with the inspector', async () => {
    const inspected = await Inspected.open()
    const listener = await inspected.listen()
    inspected.inspector.close()
    await eventually(() => listener.hasEnded)
    expect(hasListeners()).toEqual([])
  })

  it('lets a broken connection go', async () => {
    const inspected = await Inspected.open()
    const listeners = await Promise.all(Array.from({ length: 5 }, () => inspected.listen()))
    for (const { response } of listeners) response.socket.resetAndDestroy()
    await eventually(() => !channel('fragcache:operation').hasSubscribers)
  })

  it('tells of an outage and of its end', async () => {
    const cache = new Shaky()
    const caches = createCaches({ default: cache })
    const inspected = await Inspected.open(caches)
    const listener = await inspected.listen()
    cache.fails = true
    await caches.default.get('one').catch(() => undefined)
    const begun = await listener.event(
      ({ kind, outcome }) => kind === 'outage' && outcome === 'error',
    )
    expect(begun).toMatchObject({ title: 'Shaky does not answer', alias: 'default' })
    const during = (await inspected.overview()).aliases[0]
    expect(during?.outage).toMatchObject({ error: expect.stringContaining('refused') as string })
    expect((await inspected.overview()).risks).toMatchObject([
      { code: 'outage', severity: 'high', subject: 'cache default', href: 'help#outage' },
    ])
    cache.fails = false
    await caches.default.get('one')
    const over = await listener.event(({ outcome }) => outcome === 'over')
    expect(over).toMatchObject({ title: 'Shaky answers again' })
    const after = (await inspected.overview()).aliases[0]
    expect(after?.outage).toBeUndefined()
    expect(after?.outages).toHaveLength(1)
    expect(after?.outages[0]?.untilMs).toBeGreaterThanOrEqual(after?.outages[0]?.sinceMs ?? NaN)
  })
})

it('events of an audit carry no more than what was told', () => {
  const told: AuditMessage = { action: 'reset', target: '', atMs: 1, ok: false, error: 'no' }
  const sampler = new Sampler()
  sampler.add({ kind: 'audit', message: told }, 5)
  const expected: FeedEvent = {
    id: 1,
    atMs: 5,
    kind: 'audit',
    alias: '',
    title: 'reset',
    outcome: 'error',
    detail: 'no',
  }
  expect(sampler.take()?.events).toEqual([expected])
})
