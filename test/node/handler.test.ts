import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { describe, expect, it } from 'vitest'
import type { ResponseCacheOptions } from 'fragcache/node'
import { AsyncTestCache } from '../support/async-cache.js'
import { stopClock } from '../support/cached-site.js'
import { eventually } from '../support/express.js'
import { gate } from '../support/waiting.js'
import { EXCUSE, kinds, openSite, type Asked, type Made, type Site, type View } from './sites.js'

/** A page whose text says how often it was made. */
function counted(make: (asked: Asked, run: number) => Made | Promise<Made> = () => ({})) {
  let runs = 0
  const view: View = async (asked) => {
    const run = ++runs
    const { headers, ...made } = await make(asked, run)
    return { body: `made ${run}`, ...made, headers: { 'content-type': 'text/plain', ...headers } }
  }
  return { view, runs: () => runs }
}

async function texts(site: Site, ...asked: Parameters<Site['ask']>[]): Promise<string[]> {
  const made: string[] = []
  for (const one of asked) made.push((await site.ask(...one)).text)
  return made
}

const stores: readonly { readonly store: string; readonly make: () => Cache }[] = [
  { store: 'local memory', make: () => new LocMemCache() },
  { store: 'a store that answers later', make: () => new AsyncTestCache() },
]
const sites = kinds.flatMap((kind) => stores.map(({ store, make }) => ({ kind, store, make })))

describe.each(sites)('a handler behind $kind.name over $store', ({ kind, make }) => {
  const open = (view: View, options?: ResponseCacheOptions) => openSite(kind, make(), view, options)

  it('answers once, and the cache from then on with the same', async () => {
    const { view, runs } = counted(() => ({ headers: { 'x-made': 'by hand', etag: '"1"' } }))
    const site = await open(view)
    const first = await site.ask('/a')
    const second = await site.ask('/a')
    expect(first.headers['cache-status']).toBe('fragcache; fwd=uri-miss; stored')
    expect(second.headers['cache-status']).toMatch(/^fragcache; hit; ttl=\d+$/)
    expect(second.headers['age']).toMatch(/^\d+$/)
    expect([second.status, second.text]).toEqual([200, 'made 1'])
    const names = ['content-type', 'x-made', 'etag', 'cache-control', 'expires', 'date'] as const
    for (const name of names) expect(second.headers[name]).toBe(first.headers[name])
    expect(runs()).toBe(1)
  })

  it('keeps pages apart by path and query', async () => {
    const site = await open(counted(({ url }) => ({ body: url })).view)
    expect(await texts(site, ['/a?x=1'], ['/a?x=2'], ['/b'], ['/a?x=1'])).toEqual([
      '/a?x=1',
      '/a?x=2',
      '/b',
      '/a?x=1',
    ])
  })

  it('keeps a variant for each value of a header that Vary names', async () => {
    const { view, runs } = counted(({ header }) => ({
      headers: { vary: 'Accept-Language' },
      body: `in ${header('accept-language')}`,
    }))
    const site = await open(view)
    const [en, de] = ['en', 'de'].map((language) => ({ headers: { 'accept-language': language } }))
    expect(await texts(site, ['/', en], ['/', de], ['/', en], ['/', de])).toEqual([
      'in en',
      'in de',
      'in en',
      'in de',
    ])
    expect(runs()).toBe(2)
  })

  it('makes a page again once its URL was invalidated', async () => {
    const site = await open(counted().view)
    const before = await texts(site, ['/a'], ['/a'])
    await site.pages.invalidate(`${site.origin}/a`)
    expect([...before, ...(await texts(site, ['/a']))]).toEqual(['made 1', 'made 1', 'made 2'])
  })

  it('makes a page again after a request that may have changed it', async () => {
    const site = await open(
      counted(({ method }) => (method === 'GET' ? {} : { body: 'changed' })).view,
    )
    await texts(
      site,
      ['/a'],
      ['/a', { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } }],
    )
    await nextTurn()
    expect(await texts(site, ['/a'])).toEqual(['made 3'])
  })

  it('answers HEAD from the page of GET, and makes no page of it', async () => {
    const { view, runs } = counted()
    const site = await open(view)
    const alone = await site.ask('/a', { method: 'HEAD' })
    await site.ask('/a')
    const hit = await site.ask('/a', { method: 'HEAD' })
    expect([alone.text, hit.text, runs()]).toEqual(['', '', 2])
    expect(hit.headers).toMatchObject({ 'content-length': '6', 'content-type': 'text/plain' })
    expect(hit.headers['cache-status']).toContain('; hit')
  })

  it('gives the part of a page that is asked for', async () => {
    const { view, runs } = counted(() => ({ body: '0123456789' }))
    const site = await open(view)
    await site.ask('/a')
    const part = await site.ask('/a', { headers: { range: 'bytes=2-4' } })
    const beyond = await site.ask('/a', { headers: { range: 'bytes=20-' } })
    expect([part.status, part.text, part.headers['content-range']]).toEqual([
      206,
      '234',
      'bytes 2-4/10',
    ])
    expect([beyond.status, beyond.headers['content-range']]).toEqual([416, 'bytes */10'])
    expect(runs()).toBe(1)
  })

  it('says 304 to whoever has the page, when it is kept and when it is made', async () => {
    const { view, runs } = counted(() => ({ headers: { etag: '"v1"' } }))
    const site = await open(view)
    const question = { headers: { 'if-none-match': '"v1"' } }
    const made = await site.ask('/a', question)
    const kept = await site.ask('/a', question)
    const whole = await site.ask('/a')
    expect([made.status, made.text]).toEqual([304, ''])
    expect([kept.status, kept.text, kept.headers['etag']]).toEqual([304, '', '"v1"'])
    expect([whole.status, whole.text]).toEqual([200, 'made 1'])
    expect(runs()).toBe(1)
  })

  it('asks the handler whether an old page is right still', async () => {
    const clock = stopClock()
    const { view, runs } = counted(({ header }) =>
      header('if-none-match') === '"v1"'
        ? { status: 304, headers: { etag: '"v1"' }, body: '' }
        : { headers: { etag: '"v1"', 'cache-control': 'max-age=10' } },
    )
    const site = await open(view)
    await site.ask('/a')
    clock.advance(11)
    const confirmed = await site.ask('/a')
    const hit = await site.ask('/a')
    expect([confirmed.status, confirmed.text]).toEqual([200, 'made 1'])
    expect(confirmed.headers['cache-status']).toContain('fwd=stale; fwd-status=304')
    expect([hit.text, runs()]).toEqual(['made 1', 2])
  })

  it('keeps what is sent in pieces', async () => {
    const { view, runs } = counted(() => ({ body: Readable.from(['one ', 'two ', 'three']) }))
    const site = await open(view)
    expect(await texts(site, ['/a'], ['/a'])).toEqual(['one two three', 'one two three'])
    expect(runs()).toBe(1)
  })

  it('keeps no part of an answer that broke off', async () => {
    const { view } = counted((_asked, run) => {
      if (run > 1) return { body: 'whole' }
      async function* breaking() {
        yield 'a part'
        await nextTurn()
        throw new Error('broke off')
      }
      return { body: Readable.from(breaking()) }
    })
    const site = await open(view)
    await site.ask('/a').catch(() => undefined)
    const again = await site.ask('/a')
    expect([again.text, again.headers['cache-status']]).toEqual([
      'whole',
      'fragcache; fwd=uri-miss; stored',
    ])
  })

  it('keeps nothing of a client that went away before the end', async () => {
    const body = new Readable({ read: () => undefined })
    body.push('a part')
    const { view, runs } = counted((_asked, run) => ({ body: run === 1 ? body : 'whole' }))
    const site = await open(view)
    const begun = await site.begin('/a')
    begun.abort()
    await eventually(() => body.destroyed)
    expect(await texts(site, ['/a'], ['/a'])).toEqual(['whole', 'whole'])
    expect(runs()).toBe(2)
  })

  it('keeps no error, nor what is said in place of a handler that failed', async () => {
    const { view } = counted((_asked, run) => {
      if (run === 1) return { status: 500 }
      if (run === 2) throw new Error('failed')
      return {}
    })
    const site = await open(view)
    expect((await site.ask('/a')).status).toBe(500)
    const failed = await site.ask('/a')
    expect(failed.status === 500 || failed.text === EXCUSE).toBe(true)
    const fine = await site.ask('/a')
    expect([fine.status, fine.text]).toEqual([200, 'made 3'])
  })

  it('keeps nothing that sets a cookie, is private, or was made of a cookie', async () => {
    const { view } = counted(({ url, header }) => {
      if (url === '/cookie') return { headers: { 'set-cookie': 'id=1' } }
      if (url === '/private') return { headers: { 'cache-control': 'private' } }
      return { body: `for ${header('cookie')}` }
    })
    const site = await open(view)
    for (const path of ['/cookie', '/private']) {
      const [first, second] = await texts(site, [path], [path])
      expect(first).not.toBe(second)
    }
    const [ada, eve] = ['ada', 'eve'].map((name) => ({ headers: { cookie: `name=${name}` } }))
    expect(await texts(site, ['/mine', ada], ['/mine', eve])).toEqual([
      'for name=ada',
      'for name=eve',
    ])
  })

  it('gives nobody else what was made for an Authorization', async () => {
    const site = await open(counted(({ header }) => ({ body: `${header('authorization')}` })).view)
    const [ada, eve] = ['ada', 'eve'].map((name) => ({ headers: { authorization: name } }))
    expect(await texts(site, ['/', ada], ['/', eve], ['/'])).toEqual(['ada', 'eve', 'undefined'])
  })

  it('takes parameters that are no part of the key out of the URL', async () => {
    const site = await open(counted(({ url }) => ({ body: url })).view, {
      query: { ignore: ['utm_*'] },
    })
    expect(await texts(site, ['/a?utm_source=x&n=1'], ['/a?n=1&utm_source=y'])).toEqual([
      '/a?n=1',
      '/a?n=1',
    ])
  })

  it('runs the handler once for those who ask at the same time', async () => {
    const wait = gate()
    const { view, runs } = counted(async () => {
      await wait.opened
      return {}
    })
    const site = await open(view)
    const first = site.ask('/a')
    await eventually(() => runs() === 1)
    const second = site.ask('/a')
    await nextTurn()
    wait.open()
    expect([(await first).text, (await second).text, runs()]).toEqual(['made 1', 'made 1', 1])
  })

  it('makes an old page again behind the back of whoever gets it', async () => {
    const clock = stopClock()
    const { view, runs } = counted(() => ({
      headers: { 'cache-control': 'max-age=10, stale-while-revalidate=60' },
    }))
    const site = await open(view, { staleWhileRevalidate: true })
    await site.ask('/a')
    clock.advance(11)
    const stale = await site.ask('/a')
    expect([stale.text, stale.headers['cache-status']]).toEqual([
      'made 1',
      expect.stringContaining('detail=stale-while-revalidate'),
    ])
    await eventually(() => runs() === 2)
    for (let text = ''; text !== 'made 2';) text = (await site.ask('/a')).text
    expect(runs()).toBe(2)
  })

  it('keeps a page compressed, too, where that is wanted', async () => {
    const body = 'many words '.repeat(1000)
    const site = await open(counted(() => ({ body })).view, { precompress: ['gzip'] })
    await site.ask('/a')
    const { headers } = await site.ask('/a', { headers: { 'accept-encoding': 'gzip' } })
    expect([headers['content-encoding'], headers['vary']]).toEqual(['gzip', 'Accept-Encoding'])
    expect(Number(headers['content-length'])).toBeLessThan(1000)
    expect((await site.ask('/a')).text).toBe(body)
  })

  it('believes X-Forwarded-Host only of a proxy that is trusted', async () => {
    const forwarded = (host: string) => ({ headers: { 'x-forwarded-host': host } })
    const untrusted = await open(counted().view)
    expect(await texts(untrusted, ['/', forwarded('a.test')], ['/', forwarded('b.test')])).toEqual([
      'made 1',
      'made 1',
    ])
    const trusted = await open(counted().view, { trustProxy: (address) => address === '127.0.0.1' })
    expect(await texts(trusted, ['/', forwarded('a.test')], ['/', forwarded('b.test')])).toEqual([
      'made 1',
      'made 2',
    ])
    await trusted.pages.invalidate(`${kind.scheme}://b.test/`)
    expect(await texts(trusted, ['/', forwarded('a.test')], ['/', forwarded('b.test')])).toEqual([
      'made 1',
      'made 3',
    ])
  })

  it('leaves a GET with a body to the handler', async () => {
    const { view, runs } = counted()
    const site = await open(view)
    const question = { headers: { 'content-type': 'text/plain' }, body: 'which one' }
    await site.ask('/a', question)
    await site.ask('/a', question)
    expect(runs()).toBe(2)
  })

  it('says of a hole what can be done here, where no option fills it', async () => {
    const handlebars = Handlebars.create()
    const { renderAsync } = registerCache(handlebars, createCaches({ default: make() }))
    const site = await open(async () => ({
      body: await renderAsync('{{#nocache}}{{user}}{{/nocache}}', {}).catch(String),
    }))
    const { text } = await site.ask('/a')
    expect(text).toContain(
      'a nocache block would be kept in a cached page; render this page without a cache',
    )
    expect(text).not.toContain('option `holes`')
  })
})
