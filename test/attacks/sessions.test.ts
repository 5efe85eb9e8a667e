import type { Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { expressVersions, session, Site } from '../support/express.js'

describe.each(expressVersions)('sessions around the cache on $version', ({ express }) => {
  afterEach(() => void vi.useRealTimers())

  it('a cookie that a session sends along is not a business of later caches', async () => {
    const app = express()
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    const options = { secret: 's', resave: false, rolling: true, saveUninitialized: true }
    app.use(session(options), pages.cacheSite())
    app.use((_req, res) => void res.send('page'))
    const site = await Site.open(app)
    // On a miss what we had told later caches is taken back.
    const cold = await site.get('/p')
    expect(cold.headers['set-cookie']).toHaveLength(1)
    expect(cold.headers).not.toHaveProperty('cache-control')
    expect(cold.headers).not.toHaveProperty('expires')
    expect(cold.cacheStatus).toBe('fragcache; fwd=uri-miss; detail=set-cookie')
  })

  it('a page of everybody that goes out with a cookie is marked private', async () => {
    const app = express()
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    let signsIn = false
    app.use((_req, res, next) => {
      const writeHead = res.writeHead.bind(res) as (...args: unknown[]) => Response
      res.writeHead = (...args: unknown[]) => {
        if (signsIn) res.setHeader('Set-Cookie', 'sid=1')
        return writeHead(...args)
      }
      next()
    })
    app.use(pages.cacheSite())
    app.use((_req, res) => void res.send('page'))
    const site = await Site.open(app)
    await site.get('/p')
    const plain = await site.get('/p')
    expect(plain.headers['cache-control']).toBe('max-age=600')
    signsIn = true
    const warm = await site.get('/p')
    expect(warm.cacheStatus).toMatch(/^fragcache; hit/)
    expect(warm.headers['set-cookie']).toEqual(['sid=1'])
    expect(warm.headers['cache-control']).toBe('private, max-age=600')
    expect(warm.headers).not.toHaveProperty('expires')
  })

  it('a page that its view confirms, and that goes out with a cookie, is marked private', async () => {
    const app = express()
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    let signsIn = false
    app.use((_req, res, next) => {
      const writeHead = res.writeHead.bind(res) as (...args: unknown[]) => Response
      res.writeHead = (...args: unknown[]) => {
        if (signsIn) res.setHeader('Set-Cookie', 'sid=1')
        return writeHead(...args)
      }
      next()
    })
    app.use(pages.cacheSite())
    app.use((_req, res) => void res.set('ETag', '"1"').send('page'))
    const site = await Site.open(app)
    vi.useFakeTimers({ toFake: ['Date'] })
    await site.get('/p')
    vi.setSystemTime(Date.now() + 601_000)
    signsIn = true
    const confirmed = await site.get('/p')
    expect(confirmed.text).toBe('page')
    expect(confirmed.cacheStatus).toMatch(/fwd=stale; fwd-status=304/)
    expect(confirmed.headers['set-cookie']).toEqual(['sid=1'])
    expect(confirmed.headers['cache-control']).toMatch(/^private/)
    expect(confirmed.headers).not.toHaveProperty('expires')
  })
})
