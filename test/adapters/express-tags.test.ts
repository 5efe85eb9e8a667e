import type { Request, RequestHandler } from 'express'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { responseCache, type PageTags } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { cachedSite, stopClock, watchOutcomes } from '../support/cached-site.js'
import { eventually, oneExpress, Site } from '../support/express.js'
import { gate } from '../support/waiting.js'

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

const kinds: [string, PageTags][] = [
  ['a list', ['news']],
  ['a function', () => ['news']],
]

describe.each(oneExpress)('the tags of a page in $version', ({ express }) => {
  async function taggedSite(
    cache: Cache,
    tags: PageTags,
    view?: (run: number) => Promise<void>,
    stack: 'cachePage' | 'cachePage in cacheSite' = 'cachePage',
  ) {
    const caches = createCaches({ default: cache })
    const pages = responseCache(caches)
    const app = express()
    let runs = 0
    if (stack !== 'cachePage') app.use(pages.cacheSite())
    const answer: RequestHandler = async (req, res) => {
      const run = ++runs
      await view?.(run)
      res.locals['path'] = req.path
      res.send(`run ${run}`)
    }
    app.get('/untagged', pages.cachePage(600), answer)
    app.use(pages.cachePage(600, { tags }), answer)
    const site = await Site.open(app)
    const outcomes = watchOutcomes(site.origin)
    return {
      cache,
      async get(path: string) {
        const before = outcomes.length
        const { text } = await site.get(path)
        await eventually(() => outcomes.length > before)
        return text
      },
    }
  }

  describe.each(backends)('over %s', (_name, newCache) => {
    it.each(kinds)('%s: drop it when one of them is invalidated', async (_kind, tags) => {
      const { cache, get } = await taggedSite(newCache(), tags)
      expect([await get('/p'), await get('/q'), await get('/untagged')]).toEqual([
        'run 1',
        'run 2',
        'run 3',
      ])
      expect([await get('/p'), await get('/q')]).toEqual(['run 1', 'run 2'])
      await cache.invalidateTags(['sports'])
      expect(await get('/p')).toBe('run 1')
      await cache.invalidateTags(['news'])
      expect([await get('/p'), await get('/untagged'), await get('/q')]).toEqual([
        'run 4',
        'run 3',
        'run 5',
      ])
      expect(await get('/p')).toBe('run 4')
    })

    it('a function knows the request and the answer', async () => {
      const { cache, get } = await taggedSite(newCache(), (req: Request, res) => [
        `page:${req.path}`,
        `seen:${String(res.locals['path'])}`,
        `status:${res.statusCode}`,
      ])
      expect([await get('/p'), await get('/q')]).toEqual(['run 1', 'run 2'])
      await cache.invalidateTags(['page:/p'])
      expect([await get('/p'), await get('/q')]).toEqual(['run 3', 'run 2'])
      await cache.invalidateTags(['seen:/q'])
      expect([await get('/p'), await get('/q')]).toEqual(['run 3', 'run 4'])
      await cache.invalidateTags(['status:200'])
      expect([await get('/p'), await get('/q')]).toEqual(['run 5', 'run 6'])
    })

    it.each(kinds)('%s: invalidated while the view runs, they win', async (_kind, tags) => {
      const started = gate()
      const ready = gate()
      const { cache, get } = await taggedSite(newCache(), tags, async (run) => {
        if (run > 1) return
        started.open()
        await ready.opened
      })
      const slow = get('/p')
      await started.opened
      await cache.invalidateTags(['news'])
      ready.open()
      expect(await slow).toBe('run 1')
      expect(await get('/p')).toBe('run 2')
      expect(await get('/p')).toBe('run 2')
    })

    it('count where the site is cached around the view', async () => {
      const { cache, get } = await taggedSite(
        newCache(),
        ['news'],
        undefined,
        'cachePage in cacheSite',
      )
      expect([await get('/p'), await get('/p')]).toEqual(['run 1', 'run 1'])
      await cache.invalidateTags(['news'])
      expect([await get('/p'), await get('/p')]).toEqual(['run 2', 'run 2'])
    })
  })

  it.each<[string, () => readonly string[]]>([
    [
      'throws',
      () => {
        throw new Error('no tags')
      },
    ],
    ['gives no list', () => 7 as unknown as string[]],
  ])(
    'a function that %s keeps the page out of the cache, and it is served',
    async (_name, tags) => {
      const { site, runs } = await cachedSite(
        express,
        async (_req, res) => {
          await Promise.resolve()
          res.send(`run ${runs.count}`)
        },
        { page: [60, { tags }] },
      )
      for (const run of [1, 2]) {
        const answer = await site.get('/p')
        expect(answer).toMatchObject({ status: 200, text: `run ${run}` })
        expect(answer.cacheStatus).toBe('fragcache; fwd=uri-miss; detail=tags-unreadable')
      }
    },
  )

  it('a list: count also after the view confirmed the page', async () => {
    const clock = stopClock()
    const { site, cache, runs } = await cachedSite(
      express,
      (req, res) => {
        if (req.headers['if-none-match'] === '"v1"') res.status(304).end()
        else res.set('ETag', '"v1"').end('page')
      },
      { page: [60, { tags: ['news'] }] },
    )
    await site.get('/p')
    clock.advance(61)
    await site.get('/p')
    expect((await site.get('/p')).cacheStatus).toMatch(/^fragcache; hit/)
    await cache.invalidateTags(['news'])
    await site.get('/p')
    expect(runs.count).toBe(3)
  })

  it.each([7, 'news', [7], ['']])('%j are refused', (tags) => {
    const pages = responseCache(createCaches({ default: new LocMemCache() }))
    expect(() => pages.cachePage(60, { tags: tags as unknown as PageTags })).toThrow(TypeError)
  })
})

describe.each(oneExpress)('CDN-Cache-Control in $version', ({ express }) => {
  /** What the view says, and for how long its page is kept; 0: not at all. */
  const rows: [Record<string, string>, number][] = [
    [{ 'CDN-Cache-Control': 'max-age=100' }, 100],
    [{ 'CDN-Cache-Control': 'max-age=100', 'Cache-Control': 'max-age=10' }, 100],
    [{ 'CDN-Cache-Control': 'max-age=10', 'Cache-Control': 'max-age=100' }, 10],
    [{ 'CDN-Cache-Control': 'max-age=100', 'Cache-Control': 's-maxage=10' }, 100],
    [{ 'CDN-Cache-Control': 'max-age=100', 'Cache-Control': 'no-cache' }, 100],
    [{ 'CDN-Cache-Control': 'max-age=100', 'Cache-Control': 'no-store' }, 0],
    [{ 'CDN-Cache-Control': 'max-age=100', 'Cache-Control': 'private, max-age=10' }, 0],
    [{ 'CDN-Cache-Control': 'max-age=100', 'Cache-Control': 'no-cache, private' }, 0],
    [{ 'Surrogate-Control': 'max-age=100', 'Cache-Control': 'private' }, 0],
    [{ 'CDN-Cache-Control': 'max-age=100', Expires: 'Tue, 14 Nov 2023 22:13:30 GMT' }, 100],
    [{ 'CDN-Cache-Control': 'no-store', 'Cache-Control': 'max-age=100' }, 0],
    [{ 'CDN-Cache-Control': 'private', 'Cache-Control': 'public, max-age=100' }, 0],
    [{ 'CDN-Cache-Control': 'no-cache', 'Cache-Control': 'max-age=100' }, 0],
    [{ 'CDN-Cache-Control': 'max-age=0', 'Cache-Control': 'max-age=100' }, 0],
    // What cannot be read, or says no time, lifts nothing.
    [{ 'CDN-Cache-Control': 'max-age=x', 'Cache-Control': 'max-age=100' }, 100],
    [{ 'CDN-Cache-Control': 'max-age=x', 'Cache-Control': 'no-store' }, 0],
    [{ 'CDN-Cache-Control': 'max-age=100, "', 'Cache-Control': 'private' }, 0],
    [{ 'CDN-Cache-Control': 'public', 'Cache-Control': 'private' }, 0],
    [{ 'CDN-Cache-Control': '', 'Cache-Control': 'max-age=100' }, 100],
  ]

  it.each(rows)('%j is kept for %i seconds, and passed on', async (headers, seconds) => {
    const clock = stopClock()
    const { site, runs } = await cachedSite(express, (_req, res) => res.set(headers).end('page'))
    const cold = await site.get('/p')
    const answers = [cold]
    if (seconds > 0) {
      clock.advance(seconds - 1)
      answers.push(await site.get('/p'))
      expect(runs.count).toBe(1)
      clock.advance(1)
    }
    answers.push(await site.get('/p'))
    expect(runs.count).toBe(2)
    for (const answer of answers) {
      for (const [name, value] of Object.entries(headers)) {
        expect(answer.headers[name.toLowerCase()]).toBe(value)
      }
    }
  })

  it('cannot make a page of what sets a cookie', async () => {
    const { site, runs } = await cachedSite(express, (_req, res) =>
      res.set('CDN-Cache-Control', 'max-age=100').cookie('id', 'x').end('page'),
    )
    for (let i = 0; i < 2; i++) await site.get('/p')
    expect(runs.count).toBe(2)
  })

  it('is less than what cachePage was told, but for what must not be kept', async () => {
    for (const [value, expected] of [
      ['max-age=1', 1],
      ['no-store', 2],
    ] as const) {
      const clock = stopClock()
      const { site, runs } = await cachedSite(
        express,
        (_req, res) => res.set('CDN-Cache-Control', value).end('page'),
        { page: [600] },
      )
      await site.get('/p')
      clock.advance(30)
      await site.get('/p')
      expect(runs.count).toBe(expected)
    }
  })
})
