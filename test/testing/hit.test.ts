import http, { type IncomingMessage } from 'node:http'
import { once } from 'node:events'
import { LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/node'
import { expectHit, expectMiss } from 'fragcache/testing'
import inject from 'light-my-request'
import request from 'supertest'
import { beforeEach, describe, expect, it } from 'vitest'
import { Site } from '../support/express.js'
import { openShop } from './shop.js'

let shop: ReturnType<typeof openShop>

beforeEach(() => {
  shop = openShop(new LocMemCache())
})

const messageOf = (action: () => unknown): string => {
  try {
    action()
  } catch (error) {
    expect((error as Error).name).toBe('AssertionError')
    return (error as Error).message
  }
  throw new Error('it did not throw')
}

describe('expectHit and expectMiss read what was answered', () => {
  it('to fetch', async () => {
    const { origin } = await Site.open(shop.app)
    expectMiss(await fetch(`${origin}/public`))
    expectHit(await fetch(`${origin}/public`))
  })

  it('to supertest', async () => {
    expectMiss(await request(shop.app).get('/public').set('Host', 'shop.test'))
    expectHit(await request(shop.app).get('/public').set('Host', 'shop.test'))
  })

  it('to inject', async () => {
    const handler = responseCache(shop.caches).handler((req, res) => res.end('a page'))
    expectMiss(await inject(handler, '/'))
    expectHit(await inject(handler, '/'))
  })

  it('to a client of node:http', async () => {
    const { origin } = await Site.open(shop.app)
    const get = async () => {
      const [res] = (await once(http.get(`${origin}/public`), 'response')) as [IncomingMessage]
      res.resume()
      return res
    }
    expectMiss(await get())
    expectHit(await get())
  })

  it('by a server, in its own response', async () => {
    const seen: http.ServerResponse[] = []
    const site = await Site.open((req: http.IncomingMessage, res: http.ServerResponse) => {
      seen.push(res)
      shop.app(req, res)
    })
    await site.get('/public')
    await site.get('/public')
    expectMiss(seen[0] as http.ServerResponse)
    expectHit(seen[1] as http.ServerResponse)
  })

  it('where headers are given by a function, or are spelt as they came', () => {
    const headers = { 'Cache-Status': ['nginx; fwd=miss', 'fragcache; hit; ttl=5'] }
    expectHit({ headers })
    expectHit({ headers: () => ({ 'cache-status': 'fragcache; hit; ttl=5' }) })
  })
})

describe('expectHit says why there was none', () => {
  it('by the reason in the header, and what to do', async () => {
    const site = await Site.open(shop.app)
    await site.get('/private')
    const answer = await site.get('/private')
    expect(messageOf(() => expectHit(answer))).toMatchInlineSnapshot(`
      "expectHit: the response did not come from the cache.
        Cache-Status: fragcache; fwd=uri-miss; detail=private
        The response says \`Cache-Control: private\`: it is per-user.
        What to do: Nothing if you want this. Otherwise put per-user content in a hole, or load it separately."
    `)
  })

  it('of the first request', async () => {
    const site = await Site.open(shop.app)
    const answer = await site.get('/public')
    expect(messageOf(() => expectHit(answer))).toMatch(
      /Nothing was stored for this URL and this host\. This answer is stored now\.\n.*What to do: if it was requested before/s,
    )
  })

  it('of another variant, with what it varies on', async () => {
    const site = await Site.open(shop.app)
    await site.get('/varied-page', { headers: { cookie: 'sid=ann' } })
    const answer = await site.get('/varied-page', { headers: { cookie: 'sid=ben' } })
    expect(messageOf(() => expectHit(answer))).toContain('It says Vary: Cookie')
  })

  it.each([
    ['fwd=stale; stored', 'expired'],
    ['fwd=uri-miss; collapsed', 'Another request was producing the page'],
    ['fwd=request', 'asked for an answer that is not stored'],
    ['fwd=method', 'The cache answers only GET and HEAD'],
    ['fwd=bypass; detail=never-heard-of', 'did not come from the cache'],
  ])('for %s', (said, expected) => {
    const headers = { 'cache-status': `fragcache; ${said}` }
    expect(messageOf(() => expectHit({ headers }))).toContain(expected)
  })
})

describe('expectMiss says what the hit was', () => {
  it('and how long it lives', async () => {
    const site = await Site.open(shop.app)
    await site.get('/public')
    const answer = await site.get('/public')
    expect(messageOf(() => expectMiss(answer))).toMatch(
      /came from the cache, with (60|59) s left\.\n.*Cache-Status: fragcache; hit; ttl=.*What to do: .*clear the caches before each test/s,
    )
  })

  it('and that it was stale', () => {
    const headers = new Headers({ 'cache-status': 'fragcache; hit; ttl=-3; detail=max-stale' })
    expect(messageOf(() => expectMiss({ headers }))).toContain('3 s past its deadline')
    expectHit({ headers })
  })

  it('takes what is never stored for a miss', async () => {
    const site = await Site.open(shop.app)
    await site.get('/private')
    expectMiss(await site.get('/private'))
  })
})

describe('a response that says nothing', () => {
  it.each([expectHit, expectMiss])('%o names the option and the order', async (check) => {
    const site = await Site.open(shop.app)
    const answer = await site.get('/uncached')
    expect(messageOf(() => check(answer))).toMatch(
      /no Cache-Status of fragcache: .*`cacheStatus`.*in front of the route/s,
    )
  })

  it('names the caches that did', () => {
    const headers = { 'cache-status': 'nginx; hit' }
    expect(messageOf(() => expectHit({ headers }))).toContain('of fragcache, only nginx:')
  })

  it('is told from what is none', () => {
    expect(() => expectHit(request(shop.app).get('/public') as never)).toThrow(/await it first/)
    expect(() => expectHit(undefined as never)).toThrow(
      'undefined is not a response; give the result of fetch',
    )
    expect(() => expectHit({ headers: 1 } as never)).toThrow(TypeError)
  })
})
