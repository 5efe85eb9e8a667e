import http from 'node:http'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import express from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { sameForAll } from 'fragcache/testing'
import { describe, expect, it } from 'vitest'
import { cachesInUse } from '../../src/caches.js'
import { Site } from '../support/express.js'
import { openShop, visitors } from './shop.js'
import { openCaches } from './stores.js'

const { stores } = openCaches('shop')
const withoutOwn = { anonymous: {}, ann: { cookie: 'sid=ann' }, ben: { cookie: 'sid=ben' } }

describe.each(stores)('sameForAll over %s', (_name, canRun, newCache) => {
  const test = it.skipIf(!canRun)

  test.each([
    '/varied',
    '/hole',
    '/pageHole',
    '/public',
    '/varied-page',
    '/private',
    '/account',
    '/volatile',
    '/sharedTime',
    '/sharedId',
    '/csrfHole',
  ])('passes %s', async (path) => {
    const { app, caches } = openShop(newCache())
    await sameForAll(app, path, withoutOwn, { caches })
  })

  test('finds a fragment with the name of who came first', async () => {
    const { app, caches } = openShop(newCache())
    const found = sameForAll(app, '/leaking', withoutOwn, { caches })
    await expect(found).rejects.toMatchObject({ name: 'AssertionError' })
    await expect(found).rejects.toThrow(
      `sameForAll: "ann" gets another answer at /leaking than with empty caches, after "anonymous" was there.
  expected: HTTP 200 <h1>Shop</h1><p>Hello Ann Ames!</p>
  got:      HTTP 200 <h1>Shop</h1><p>Hello guest!</p>   (as "anonymous" gets it)
  Fragments from the cache: greeting (leaking.njk)
  What to do: a fragment or a value is shared that differs per visitor. Name what it differs by among its vary-on values`,
    )
  })

  test.each([
    ['an id that a value keeps', 'made for'],
    ["another's own text", 'own: "cart-of-ann"'],
    ['what each gets', undefined],
    ['what all get', undefined],
    ['the time', undefined],
  ])('looks at the cookies that a page sets: %s', async (what, complaint) => {
    const caches = createCaches({ default: newCache() })
    const app = express()
    app.get('/', async (req, res) => {
      const who = /sid=(\w+)/.exec(req.headers.cookie ?? '')?.[1] ?? 'nobody'
      const made: Record<string, () => unknown> = {
        'an id that a value keeps': () => caches.default.getOrSet('id', () => randomUUID()),
        "another's own text": () => caches.default.getOrSet('own', () => `cart-of-${who}`),
        'what each gets': () => randomUUID(),
        'what all get': () => '0123456789abcdef0123',
        'the time': () => new Date(2026, 1, 1).toISOString(),
      }
      res.cookie('set', await made[what]?.(), { encode: String }).send('a page')
    })
    const ann = { cookie: 'sid=ann', own: what.startsWith('another') ? 'cart-of-ann' : [] }
    const owning = { ann, ben: {} }
    const found = sameForAll(app, '/', owning, { caches })
    if (complaint === undefined) await found
    else await expect(found).rejects.toThrow(complaint)
  })

  test('clears what was made in this process where it is told of no caches', async () => {
    await Promise.all(cachesInUse().map((caches) => caches.close()))
    await expect(sameForAll(() => undefined, '/', withoutOwn)).rejects.toThrow(
      'there is nothing to tell by',
    )
    const { app, caches } = openShop(newCache())
    await sameForAll(app, '/hole', withoutOwn)
    await expect(sameForAll(app, '/leaking', withoutOwn)).rejects.toThrow(
      '"ann" gets another answer',
    )
    await caches.close()
  })

  test('finds a header that is kept for all', async () => {
    const caches = createCaches({ default: newCache() })
    const pages = responseCache(caches, { isPersonal: false })
    const app = express()
    app.get('/', pages.cachePage(60), (req, res) => {
      res.set('X-Visitor', String(req.headers.cookie)).send('page')
    })
    await expect(sameForAll(app, '/', withoutOwn, { caches })).rejects.toThrow(
      /"ann" gets another answer at \/ than with empty caches.*X-Visitor: sid=ann.*X-Visitor: /s,
    )
  })

  test('finds one that not everybody gets', async () => {
    const { app, caches } = openShop(newCache())
    await expect(sameForAll(app, '/second', withoutOwn, { caches })).rejects.toThrow(
      /"ben" gets another answer.*after "a\w+" was there.*got: .*Ann Ames, your cart.*as "ann" gets it.*bar/s,
    )
  })

  test('finds one on another path than the one that made it', async () => {
    const { app, caches } = openShop(newCache())
    const paths = ['/public', '/leaking']
    await expect(sameForAll(app, paths, withoutOwn, { caches })).rejects.toThrow('at /leaking than')
  })

  test('finds a page that is kept for all', async () => {
    const { app, caches } = openShop(newCache())
    await expect(sameForAll(app, '/page', withoutOwn, { caches })).rejects.toThrow(
      /"ann" gets another answer at \/page.*got: .*Welcome guest.*as "anonymous".*Cache-Status: fragcache; hit; ttl=.*let it vary.*`varyOnCookie\(\)`/is,
    )
  })

  test.each(['/csrfForm', '/csrfBefore', '/csrfMeta', '/csrfScript', '/nonce'])(
    'finds the token of who came first, though each render has another, at %s',
    async (path) => {
      const { app, caches } = openShop(newCache())
      const found = sameForAll(app, path, withoutOwn, { caches })
      await expect(found).rejects.toMatchObject({ name: 'AssertionError' })
      await expect(found).rejects.toThrow(
        /"\w+" gets at \/\w+ the token that was made for "\w+": "t\d+-0\.\w+".*Fragments from the cache: \w+/s,
      )
      await sameForAll(app, path, withoutOwn, { caches, ignore: /t\d+-0\.\w+/ })
    },
  )

  test('finds a name beside what differs by itself', async () => {
    const { app, caches } = openShop(newCache())
    await expect(sameForAll(app, '/leakingBeside', withoutOwn, { caches })).rejects.toThrow(
      /another answer at \/leakingBeside/,
    )
  })

  test('leaves nothing to tell by to chance: own texts are looked for', async () => {
    const { app, caches } = openShop(newCache())
    await expect(sameForAll(app, '/second', visitors, { caches })).rejects.toThrow(
      `sameForAll: "ben" gets at /second what is "ann"'s own: "Ann Ames"`,
    )
  })

  test('finds what it can where the caches cannot be cleared', async () => {
    const { app } = openShop(newCache())
    await expect(sameForAll(app, '/leaking', visitors)).rejects.toThrow(
      /"ann" never gets "Ann Ames" at \/leaking/,
    )
    await sameForAll(app, '/varied', visitors)
  })
})

describe('sameForAll', () => {
  const newShop = () => openShop(new LocMemCache())

  it('takes servers and URLs too, and leaves them as they were', async () => {
    const { app, caches } = newShop()
    const site = await Site.open(app)
    await sameForAll(site.origin, '/hole', withoutOwn, { caches })
    await sameForAll(new URL(site.origin), '/hole', withoutOwn, { caches })
    await sameForAll(site.server, '/hole', withoutOwn, { caches })
    expect(site.server.listening).toBe(true)
    await expect(sameForAll(site.origin, '/page', withoutOwn, { caches })).rejects.toThrow(
      'at /page',
    )
    const idle = http.createServer(app)
    await sameForAll(idle, '/hole', Object.values(withoutOwn), { caches: caches.default })
    expect(idle.listening).toBe(false)
  })

  it('counts visitors that have no names', async () => {
    const { app, caches } = newShop()
    const list = Object.values(withoutOwn)
    await expect(sameForAll(app, '/page', list, { caches })).rejects.toThrow('"visitor 2" gets')
  })

  it('tells visitors apart by other headers, and says on which to vary', async () => {
    const { caches, app } = newShop()
    app.get('/hello', (req, res) => {
      void caches.default
        .getOrSet('hello', () => (req.get('accept-language') === 'de' ? 'Guten Tag' : 'Hello'))
        .then((text) => res.send(text))
    })
    const speakers = { en: {}, de: { headers: { 'accept-language': 'de' } } }
    await expect(sameForAll(app, '/hello', speakers, { caches })).rejects.toThrow(
      /expected: HTTP 200 Guten Tag\s+got:\s+HTTP 200 Hello.*in the key of a value/s,
    )
  })

  it('finds redirects and statuses of others', async () => {
    const { caches, app } = newShop()
    app.get('/in', (req, res) => {
      const target = req.get('cookie') === undefined ? '/sign-in' : '/account'
      void caches.default.getOrSet('target', () => target).then((to) => res.redirect(to))
    })
    await expect(sameForAll(app, '/in', withoutOwn, { caches })).rejects.toThrow(
      /expected: HTTP 302 Location: \/account .*got:.*Location: \/sign-in/s,
    )
  })

  it('finds bytes of others that are no text', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const app = express().use(responseCache(caches).cacheSite(), (req, res) => {
      res.type('png').send(Buffer.from([0xff, req.get('X-User') === 'ann' ? 0xfe : 0xfd]))
    })
    const visitors = [{ headers: { 'X-User': 'ann' } }, { headers: { 'X-User': 'ben' } }]
    await expect(sameForAll(app, '/', visitors, { caches })).rejects.toThrow('gets another answer')
  })

  it('leaves out what it is told to', async () => {
    const { caches, app } = newShop()
    app.get('/counted', (req, res) => {
      void caches.default
        .getOrSet('who', () => req.get('cookie') ?? 'nobody')
        .then((who) => res.send(`<i>first: ${who}</i>`))
    })
    await expect(sameForAll(app, '/counted', withoutOwn, { caches })).rejects.toThrow('/counted')
    await sameForAll(app, '/counted', withoutOwn, { caches, ignore: /<i>.*<\/i>/ })
  })

  it('complains of a site that fails', async () => {
    const { app, caches } = newShop()
    await expect(sameForAll(app, '/broken', withoutOwn, { caches })).rejects.toThrow(
      /error of the site at \/broken \(status 500\).*the shop is broken/s,
    )
  })

  it('complains of caches that are not those of the site', async () => {
    const { app } = newShop()
    const caches = createCaches({ default: new LocMemCache() })
    await expect(sameForAll(app, '/public', withoutOwn, { caches })).rejects.toThrow(
      /although the caches were cleared \(Cache-Status: fragcache; hit.*give as `caches` those/,
    )
  })

  it('complains of somebody who is not signed in', async () => {
    const { app, caches } = newShop()
    const strangers = { anonymous: {}, ann: { cookie: 'sid=nobody', own: 'Ann Ames' } }
    await expect(sameForAll(app, '/varied', strangers, { caches })).rejects.toThrow(
      /"ann" never gets "Ann Ames".*the request does not say who it is/s,
    )
  })

  it('closes what it opened when it fails', async () => {
    const { app, caches } = newShop()
    const server = http.createServer(app)
    const closed = once(server, 'close')
    await expect(sameForAll(server, '/page', withoutOwn, { caches })).rejects.toThrow('at /page')
    await closed
  })

  it('says which page had no answer', async () => {
    await expect(sameForAll('http://127.0.0.1:1', '/page', visitors)).rejects.toThrow(
      'sameForAll: no answer at http://127.0.0.1:1/page: connect ECONNREFUSED 127.0.0.1:1; start',
    )
  })

  it.each<[string, unknown[]]>([
    ['is not a site', [1, '/', visitors]],
    ['"shop" is not the URL of a site', ['shop', '/', visitors]],
    ["give for example '/products/7'", [() => undefined, 'products', visitors]],
    ['paths: give at least one', [() => undefined, [], visitors]],
    ['visitors: give at least two', [() => undefined, '/', { ann: {} }]],
    ['"ann": unknown option "cookies"', [() => undefined, '/', { a: {}, ann: { cookies: 'a' } }]],
    ['"ann": cookie: 1 is not a string', [() => undefined, '/', { a: {}, ann: { cookie: 1 } }]],
    ['"ann": own: "" is not a string', [() => undefined, '/', { a: {}, ann: { own: '' } }]],
    ['did you mean "caches"', [() => undefined, '/', visitors, { cache: 1 }]],
    ['is not a regular expression', [() => undefined, '/', visitors, { ignore: 'x' }]],
  ])('says what is wrong with its arguments: %s', async (message, args) => {
    await expect(sameForAll(...(args as Parameters<typeof sameForAll>))).rejects.toThrow(message)
    await expect(sameForAll(...(args as Parameters<typeof sameForAll>))).rejects.toThrow(TypeError)
  })
})
