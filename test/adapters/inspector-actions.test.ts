import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { AuditMessage, Failure, InspectorOptions } from '../../adapters/inspector/index.js'
import { responseCache } from '../../adapters/express/index.js'
import {
  CacheBackendError,
  createCaches,
  FragmentCache,
  LocMemCache,
  type FragmentMessage,
} from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { eventually, oneExpress } from '../support/express.js'
import { Inspected, tokenIn } from './inspector-support.js'

const newCaches = () => createCaches({ default: new LocMemCache(), other: new LocMemCache() })

/** What is told on the channel `fragcache:audit` until the test is over. */
function audits(): AuditMessage[] {
  const told: AuditMessage[] = []
  const onMessage = (message: unknown) => void told.push(message as AuditMessage)
  subscribe('fragcache:audit', onMessage)
  onTestFinished(() => void unsubscribe('fragcache:audit', onMessage))
  return told
}

describe.each(oneExpress)('an action, on $version', ({ express }) => {
  const open = (options: InspectorOptions = {}, caches = newCaches()) =>
    Inspected.open(caches, options, undefined, express)

  it('deletes a key', async () => {
    const caches = newCaches()
    const inspected = await open({}, caches)
    await caches.default.set('one', 1)
    await caches.default.set('one', 2, { version: 2 })
    await caches.other.set('one', 3)
    const told = audits()
    const answer = await inspected.act('delete', { alias: 'default', key: 'one' })
    expect([answer.status, answer.text]).toEqual([
      200,
      '{"ok":true,"sentence":"\\"one\\" was deleted from \\"default\\"."}',
    ])
    expect(await caches.default.get('one')).toBeUndefined()
    expect(await caches.default.get('one', { version: 2 })).toBe(2)
    expect(await caches.other.get('one')).toBe(3)

    await inspected.act('delete', { alias: 'default', key: 'one', version: '2' })
    expect(await caches.default.get('one', { version: 2 })).toBeUndefined()

    const again = await inspected.act('delete', { alias: 'default', key: 'one' })
    expect(again.text).toContain('was not in')
    expect(told).toEqual(
      [1, 2, 3].map(() => ({
        action: 'delete',
        alias: 'default',
        target: 'one',
        atMs: expect.closeTo(Date.now(), -4) as number,
        ok: true,
        ip: '127.0.0.1',
      })),
    )
  })

  it('invalidates every variant of a fragment, in one cache or in all', async () => {
    const caches = newCaches()
    const fragments = new FragmentCache<string>(caches)
    const inspected = await open({}, caches)
    let bodies = 0
    const render = (name: string, using: string, varyOn: string[] = []) =>
      fragments.render({ name, using, varyOn }, () => `body ${++bodies}`)
    const renderAll = async () => {
      bodies = 0
      await render('menu', 'default', ['ann'])
      await render('menu', 'default', ['bob'])
      await render('menu', 'other')
      await render('foot', 'default')
      return bodies
    }
    expect(await renderAll()).toBe(4)
    expect(await renderAll()).toBe(0)
    await inspected.act('invalidate', { fragment: 'menu', using: 'default' })
    expect(await renderAll()).toBe(2)
    const answer = await inspected.act('invalidate', { fragment: 'menu' })
    expect(JSON.parse(answer.text)).toEqual({
      ok: true,
      sentence: 'Every variant of the fragment "menu" is gone.',
    })
    expect(await renderAll()).toBe(3)
  })

  it('invalidates what contains a fragment too, in whichever cache', async () => {
    const caches = newCaches()
    const fragments = new FragmentCache(caches)
    const inspected = await open({}, caches)
    let outer = 0
    const render = () =>
      fragments.render({ name: 'page', using: 'other' }, async () => {
        outer++
        return fragments.render({ name: 'menu', using: 'default' }, () => 'menu')
      })
    await render()
    await inspected.act('invalidate', { fragment: 'menu', using: 'default' })
    await render()
    expect(outer).toBe(2)
  })

  it('invalidates a tag in every cache, and softly', async () => {
    const caches = newCaches()
    const inspected = await open({}, caches)
    const tagged = { tags: ['news'], staleWhileRevalidate: 60 }
    await caches.default.set('one', 1, tagged)
    await caches.other.set('two', 2, tagged)
    await caches.other.set('three', 3)
    const soft = await inspected.act('invalidate', { tag: 'news', soft: true })
    expect(soft.text).toContain('is stale')
    const stale = await caches.default.getOrSet('one', () => 'new', tagged)
    expect(stale).toBe(1)
    await inspected.act('invalidate', { tag: 'news' })
    expect(await caches.other.get('two')).toBeUndefined()
    expect(await caches.other.get('three')).toBe(3)
  })

  it('says what would be dropped, drops nothing, and is no action of the audit', async () => {
    const caches = newCaches()
    const fragments = new FragmentCache<string>(caches)
    const pages = responseCache(caches, { alias: 'other' })
    const inspected = await Inspected.open(
      caches,
      { pages },
      (app) =>
        app.get('/news', pages.cachePage(60), async (_req, res) => {
          const menu = { name: 'menu', tags: ['news'], template: 'menu.njk' }
          res.send(await fragments.render(menu, () => 'menu'))
        }),
      express,
    )
    await inspected.site.get('/news')
    await caches.default.set('latest', 1, { tags: ['news'] })
    const told = audits()
    const foretold = async (body: object) => {
      const { text } = await inspected.act('invalidate', { ...body, dryRun: true })
      return (JSON.parse(text) as { sentence: string }).sentence
    }
    expect(await foretold({ tag: 'news' })).toBe(
      'Of what this process has stored it would drop 3 entries: 1 variant of the fragment “menu” (menu.njk), 1 page of GET /news, 1 value (latest).',
    )
    expect(await foretold({ fragment: 'menu', using: 'default' })).toMatch(/drop 2 entries/)
    expect(await foretold({ url: `${inspected.site.origin}/news` })).toMatch(
      /drop 1 entry: 1 page of GET \/news/,
    )
    expect(await foretold({ tag: 'other' })).toBe(
      'This process has stored nothing that it would drop.',
    )
    expect(await caches.default.get('latest')).toBe(1)
    expect((await inspected.site.get('/news')).cacheStatus).toContain('hit')
    expect(told).toEqual([])
  })

  it('invalidates a URL, where pages were given', async () => {
    const caches = newCaches()
    const pages = responseCache(caches, { seconds: 60 })
    let views = 0
    const inspected = await Inspected.open(
      caches,
      { pages },
      (app) => app.get('/news', pages.cachePage(60), (_req, res) => void res.send(`${++views}`)),
      express,
    )
    const url = `${inspected.site.origin}/news`
    expect((await inspected.overview()).canInvalidateUrls).toBe(true)
    await inspected.site.get('/news')
    expect((await inspected.site.get('/news')).text).toBe('1')
    const answer = await inspected.act('invalidate', { url })
    expect(JSON.parse(answer.text)).toEqual({
      ok: true,
      sentence: `Every stored page of "${url}" is gone.`,
    })
    expect((await inspected.site.get('/news')).text).toBe('2')
    const wrong = await inspected.act('invalidate', { url: '/news' })
    expect([wrong.status, wrong.text]).toEqual([
      400,
      expect.stringContaining('is not an absolute URL'),
    ])

    const without = await open()
    expect((await without.overview()).canInvalidateUrls).toBe(false)
    const refused = await without.act('invalidate', { url })
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('option pages')])
  })

  it('clears a cache, and no other', async () => {
    const caches = newCaches()
    const inspected = await open({}, caches)
    await caches.default.set('one', 1)
    await caches.other.set('one', 1)
    await caches.default.set('two', 1, { tags: ['a'] })
    const told = audits()
    const foretold = await inspected.act('clear', { alias: 'default', dryRun: true })
    expect(JSON.parse(foretold.text)).toEqual({
      ok: true,
      sentence:
        'Of what this process has stored it would drop 1 entry: 1 value (two). There may be more: this process does not know all entries.',
    })
    expect(await caches.default.get('one')).toBe(1)
    await inspected.act('clear', { alias: 'default' })
    expect(await caches.default.get('one')).toBeUndefined()
    expect(await caches.other.get('one')).toBe(1)
    expect(told).toMatchObject([{ action: 'clear', alias: 'default', target: '', ok: true }])
  })

  it('resets the figures', async () => {
    const caches = newCaches()
    const inspected = await open({}, caches)
    await caches.default.get('one')
    const before = await inspected.overview()
    expect(before.aliases[0]?.misses).toBe(1)
    await inspected.act('reset', {})
    const after = await inspected.overview()
    expect(after.aliases[0]?.misses).toBe(0)
    expect(after.sinceMs).toBeGreaterThanOrEqual(before.sinceMs)
  })

  it.each([
    ['delete', {}, 'alias: give a string'],
    ['delete', { alias: 'default' }, 'key: give a string'],
    ['delete', { alias: 'default', key: '' }, 'key: give a string'],
    ['delete', { alias: 'default', key: 1 }, 'key: give a string'],
    ['delete', { alias: 'nope', key: 'a' }, 'there is no cache "nope"; the caches are "default"'],
    ['delete', { alias: '__proto__', key: 'a' }, 'there is no cache "__proto__"'],
    ['delete', { alias: 'default', key: 'a', version: {} }, 'version: give a whole number'],
    ['delete', { alias: 'default', key: 'a', vesrion: 1 }, 'did you mean "version"?'],
    ['delete', { alias: 'defualt', key: 'a' }, '; did you mean "default"?'],
    ['invalidate', { tags: 'a' }, 'did you mean "tag"?'],
    ['invalidate', { fragment: 'a', cache: 'default' }, 'did you mean "using"?'],
    ['delete', { alias: 'default', key: '\ud800' }, 'lone surrogate'],
    ['invalidate', {}, 'exactly one of fragment, tag and url'],
    ['invalidate', { fragment: 'a', tag: 'b' }, 'exactly one of fragment, tag and url'],
    ['invalidate', { fragment: '' }, 'fragment: give a string'],
    ['invalidate', { fragment: 'a', using: 'nope' }, 'using: there is no cache "nope"'],
    ['invalidate', { fragment: 'a', soft: 'yes' }, 'soft: give true or false'],
    ['invalidate', { fragment: 'a', dryRun: 1 }, 'dryRun: give true or false'],
    ['invalidate', { tag: 'a', using: 'default' }, 'leave using out'],
    ['invalidate', { tag: '\ud800' }, 'is not a tag'],
    ['invalidate', { url: 'http://a.test/', soft: true }, 'leave soft out'],
    ['clear', { alias: '*' }, 'there is no cache "*"'],
    ['clear', {}, 'alias: give a string'],
    ['reset', { all: true }, 'Unknown property "all"; there are none'],
    ['reset', [], 'not a JSON object'],
    ['reset', 'x', 'not a JSON object'],
    ['reset', null, 'not a JSON object'],
  ])('%s with %j is a fault of the request', async (name, body, message) => {
    const inspected = await open({ pages: { invalidate: () => Promise.resolve() } })
    const told = audits()
    const answer = await inspected.act(name, body)
    expect(answer.status).toBe(400)
    expect((JSON.parse(answer.text) as Failure).error).toContain(message)
    expect(told).toMatchObject([{ action: name, ok: false }])
  })
})

describe('an action that fails', () => {
  class Broken extends AsyncTestCache {
    override async removeAll(): Promise<void> {
      throw new CacheBackendError('the disk is full')
    }
  }

  it('says what the store said, and is told of', async () => {
    const inspected = await Inspected.open(createCaches({ default: new Broken() }))
    const told = audits()
    const answer = await inspected.act('clear', { alias: 'default' })
    expect([answer.status, JSON.parse(answer.text)]).toEqual([
      503,
      { error: expect.stringContaining('the disk is full') as string },
    ])
    expect(told).toMatchObject([
      { action: 'clear', alias: 'default', ok: false, error: expect.stringContaining('disk') },
    ])
  })

  it('tells nothing of what nobody expected', async () => {
    const inspected = await Inspected.open(newCaches(), {
      pages: { invalidate: () => Promise.reject(new Error('password of the database')) },
    })
    const answer = await inspected.act('invalidate', { url: 'http://a.test/' })
    expect(answer.status).toBe(500)
    expect(answer.text).not.toContain('password')
  })
})

it('is told where something is missing for it, with who did it', async () => {
  const caches = newCaches()
  const user = () => 'ann'
  const inspected = await Inspected.open(caches, { authorize: () => true, user })
  const causes: unknown[] = []
  const onMessage = (message: unknown) => void causes.push((message as FragmentMessage).cause)
  subscribe('fragcache:fragment', onMessage)
  onTestFinished(() => void unsubscribe('fragcache:fragment', onMessage))
  const fragments = new FragmentCache<string>(caches)
  const render = () => fragments.render({ name: 'card', tags: ['a'] }, () => 'text')
  await render()
  await inspected.act('invalidate', { tag: 'a' })
  await render()
  expect(causes.at(-1)).toEqual({
    code: 'dropped',
    text: 'It depends on the tag "a", which was invalidated less than a second ago, by ann, in the inspector.',
    tag: 'a',
    agoMs: expect.any(Number) as number,
    by: 'ann, in the inspector',
  })
})

describe('the audit', () => {
  it('names who did it, as the site says and as a trusted proxy says', async () => {
    const inspected = await Inspected.open(
      newCaches(),
      { authorize: () => true, user: (req) => String(req.headers['x-user']) },
      (app) => app.set('trust proxy', true),
    )
    const told = audits()
    await inspected.act('reset', {}, { 'X-User': 'ann', 'X-Forwarded-For': '203.0.113.7' })
    expect(told).toMatchObject([{ action: 'reset', user: 'ann', ip: '203.0.113.7', ok: true }])
  })

  it('is told though nobody can be named', async () => {
    const inspected = await Inspected.open(newCaches(), {
      user: () => {
        throw new Error('no session')
      },
    })
    const told = audits()
    expect((await inspected.act('reset', {})).status).toBe(200)
    expect(told).toHaveLength(1)
    expect(told[0]).not.toHaveProperty('user')
  })
})

describe('an action of another site', () => {
  const body = JSON.stringify({ alias: 'default' })

  /** Everything that is as it has to be, but for these. */
  async function attempt(
    change: Record<string, string | undefined>,
    options: InspectorOptions = {},
    setUp?: Parameters<typeof Inspected.open>[2],
  ) {
    const caches = newCaches()
    await caches.default.set('one', 1)
    const inspected = await Inspected.open(caches, options, setUp)
    const headers = Object.fromEntries(
      Object.entries({
        'Content-Type': 'application/json',
        Origin: inspected.site.origin,
        'X-Fragcache-Token': await inspected.readToken(),
        ...change,
      }).filter((pair): pair is [string, string] => pair[1] !== undefined),
    )
    const told = audits()
    const answer = await inspected.get('/api/clear', { method: 'POST', headers, body })
    const isThere = (await caches.default.get('one')) === 1
    return { status: answer.status, isThere, told, text: answer.text }
  }

  it('is what the others differ from', async () => {
    expect(await attempt({})).toMatchObject({ status: 200, isThere: false })
    expect(await attempt({ Origin: undefined, 'Sec-Fetch-Site': 'same-origin' })).toMatchObject({
      status: 200,
      isThere: false,
    })
  })

  it.each([
    ['has no token', { 'X-Fragcache-Token': undefined }, 403],
    ['has an empty token', { 'X-Fragcache-Token': '' }, 403],
    ['has a token of its own', { 'X-Fragcache-Token': 'a'.repeat(43) }, 403],
    ['comes from another site', { Origin: 'https://evil.example' }, 403],
    ['comes from another port', { Origin: 'http://127.0.0.1:1' }, 403],
    ['comes from nowhere', { Origin: 'null' }, 403],
    ['names no origin', { Origin: undefined }, 403],
    ['comes from a site next door', { 'Sec-Fetch-Site': 'same-site' }, 403],
    ['comes across sites', { 'Sec-Fetch-Site': 'cross-site' }, 403],
    ['comes from a bookmark', { 'Sec-Fetch-Site': 'none' }, 403],
    ['is a form', { 'Content-Type': 'application/x-www-form-urlencoded' }, 415],
    ['is a text', { 'Content-Type': 'text/plain' }, 415],
    ['is a text that looks like JSON', { 'Content-Type': 'text/plain; application/json' }, 415],
    ['is of no kind', { 'Content-Type': undefined }, 415],
    ['has an origin that begins like ours', { Origin: 'http://127.0.0.1.evil.example' }, 403],
  ])('is refused if it %s', async (_name, change, status) => {
    const { told, ...attempted } = await attempt(change)
    expect(attempted).toMatchObject({ status, isThere: true })
    expect(told).toMatchObject([{ action: 'clear', ok: false }])
  })

  it('is refused with a host that a proxy has to be trusted for', async () => {
    const forged = { Origin: 'https://evil.example', 'X-Forwarded-Host': 'evil.example' }
    const options = { authorize: () => true }
    expect(await attempt(forged, options)).toMatchObject({ status: 403, isThere: true })
  })

  it('is none where a trusted proxy says which host it is', async () => {
    const told = { Origin: 'https://admin.example', 'X-Forwarded-Host': 'admin.example' }
    const trusting = await attempt(told, { authorize: () => true }, (app) =>
      app.set('trust proxy', true),
    )
    expect(trusting).toMatchObject({ status: 200, isThere: false })
  })

  it('is not let in by a token of another inspector', async () => {
    const other = await Inspected.open()
    const token = tokenIn((await other.get('/')).text)
    expect(await attempt({ 'X-Fragcache-Token': token })).toMatchObject({ status: 403 })
  })

  it('is let in by a token of another process with the same secret', async () => {
    const secret = 'a secret that all processes of the site have'
    const other = await Inspected.open(newCaches(), { secret })
    const token = tokenIn((await other.get('/')).text)
    expect(token).not.toContain('secret')
    const attempted = await attempt({ 'X-Fragcache-Token': token }, { secret })
    expect(attempted).toMatchObject({ status: 200 })
    const wrong = await attempt({ 'X-Fragcache-Token': token }, { secret: `${secret}.` })
    expect(wrong).toMatchObject({ status: 403, isThere: true })
  })

  it('cannot ask beforehand', async () => {
    const inspected = await Inspected.open()
    const { headers, status } = await inspected.get('/api/clear', {
      method: 'OPTIONS',
      headers: {
        Origin: 'https://evil.example',
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'x-fragcache-token',
      },
    })
    expect(status).toBe(405)
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([])
  })
})

describe('a body', () => {
  it('that is too long is refused, whether or not it says so, and by whomever it was read', async () => {
    const long = JSON.stringify({ alias: 'default', key: 'k'.repeat(20_000) })
    const plain = await Inspected.open()
    const told = audits()
    expect((await plain.post('delete', long)).status).toBe(413)
    const chunked = await plain.post('delete', long, { 'Transfer-Encoding': 'chunked' })
    expect(chunked.status).toBe(413)
    expect(chunked.headers.connection).toBe('close')
    const fact = { action: 'delete', target: '', ok: false, ip: '127.0.0.1' }
    expect(told).toMatchObject([fact, fact])
    const parsed = await Inspected.open(newCaches(), {}, (app) => {
      app.post('*any', (req, _res, next) => {
        let text = ''
        req.on('data', (chunk: Buffer) => (text += chunk.toString()))
        req.on('end', () => {
          req.body = JSON.parse(text) as unknown
          next()
        })
      })
    })
    const answer = await parsed.post('delete', long, { 'Transfer-Encoding': 'chunked' })
    expect(answer.status).toBe(413)
  })

  it('that never ends is given up at its limit', async () => {
    const inspected = await Inspected.open()
    const token = await inspected.readToken()
    const { site } = inspected
    const request = site.request('/__cache/api/clear', {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'Transfer-Encoding': 'chunked',
        Origin: site.origin,
        'X-Fragcache-Token': token,
      },
    })
    request.on('error', () => undefined)
    const answered = new Promise<number | undefined>((resolve) => {
      request.on('response', ({ statusCode }) => resolve(statusCode))
    })
    request.write(' '.repeat(20_000))
    expect(await answered).toBe(413)
    request.destroy()
  })

  it.each(['{', 'alias=default', '{"alias":"default"}}', '\u0000'])(
    'that is not JSON is refused: %j',
    async (body) => {
      const inspected = await Inspected.open()
      const answer = await inspected.post('clear', body)
      expect([answer.status, JSON.parse(answer.text)]).toEqual([
        400,
        { error: 'The body is not JSON.' },
      ])
    },
  )

  it('that a client breaks off harms nobody', async () => {
    const inspected = await Inspected.open()
    const token = await inspected.readToken()
    const { site } = inspected
    const request = site.request('/__cache/api/clear', {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'Content-Length': 100,
        Origin: site.origin,
        'X-Fragcache-Token': token,
      },
    })
    request.on('error', () => undefined)
    const told = audits()
    // What comes with the end of its connection is never read.
    const arrived = once(site.server, 'request')
    request.write('{')
    await arrived
    request.destroy()
    await eventually(() => told.length > 0)
    expect(told).toMatchObject([{ action: 'clear', ok: false, error: 'The body broke off.' }])
  })
})

it('is refused once the inspector is closed', async () => {
  const inspected = await Inspected.open()
  inspected.inspector.close()
  inspected.inspector.close()
  expect((await inspected.get('/')).status).toBe(503)
})
