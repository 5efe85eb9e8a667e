import { describe, expect, it } from 'vitest'
import { cachedSite, stopClock, watchOutcomes, type View } from '../support/cached-site.js'
import { eventually, oneExpress, type Site } from '../support/express.js'

describe.each(oneExpress)('$version', ({ express }) => {
  /** A page that is fresh for 60 seconds and says which run made it. */
  const numbered =
    (headers: Record<string, string> = {}): View =>
    (_req, res) => {
      const { locals } = res.req.app
      locals['runs'] = ((locals['runs'] as number | undefined) ?? 0) + 1
      res.set({ 'Cache-Control': 'max-age=60', ...headers }).send(`run ${String(locals['runs'])}`)
    }

  function asking(site: Site, directives: string) {
    return site.get('/p', { headers: { 'Cache-Control': directives } })
  }

  describe('the Cache-Control of a request', () => {
    it.each(['no-cache', 'no-store', 'max-age=0', 'min-fresh=1000', 'only-if-cached'])(
      '%s changes nothing unless the site says so',
      async (directives) => {
        const { site, runs } = await cachedSite(express, numbered())
        const first = await asking(site, directives)
        expect(first).toMatchObject({ status: 200, text: 'run 1' })
        expect((await asking(site, directives)).cacheStatus).toMatch(/^fragcache; hit/)
        expect((await site.get('/p', { headers: { Pragma: 'no-cache' } })).text).toBe('run 1')
        expect(runs.count).toBe(1)
      },
    )

    /** What it says, the page's age, and the run it gets where there is one already. */
    const answers: [string, number, string][] = [
      ['', 59, 'run 1'],
      ['no-cache', 0, 'run 2'],
      ['No-Cache', 0, 'run 2'],
      ['no-store', 0, 'run 2'],
      ['max-age=0', 1, 'run 2'],
      ['max-age=30', 30, 'run 1'],
      ['max-age=30', 31, 'run 2'],
      ['max-age="30"', 31, 'run 2'],
      ['max-age=x', 31, 'run 1'],
      ['max-age=1000', 61, 'run 2'],
      ['min-fresh=20', 40, 'run 1'],
      ['min-fresh=20', 41, 'run 2'],
      ['min-fresh=61', 0, 'run 2'],
      ['max-stale', 61, 'run 1'],
      ['max-stale', 119, 'run 1'],
      ['max-stale=20', 79, 'run 1'],
      ['max-stale=20', 81, 'run 2'],
      ['max-stale=x', 61, 'run 2'],
      ['max-age=70, max-stale', 69, 'run 1'],
      ['max-age=65, max-stale', 66, 'run 2'],
      ['only-if-cached', 59, 'run 1'],
      ['only-if-cached, max-stale', 61, 'run 1'],
      ['unknown, x="no-cache"', 59, 'run 1'],
    ]

    it.each(answers)('%s after %i seconds gets %s', async (directives, age, text) => {
      const clock = stopClock()
      // With a validator it is there for a minute more; the view never confirms it.
      const { site } = await cachedSite(express, numbered({ 'Last-Modified': 'x' }), {
        honorRequestDirectives: true,
      })
      await site.get('/p')
      clock.advance(age)
      const answer = await asking(site, directives)
      expect(answer).toMatchObject({ status: 200, text })
      expect(answer.headers.age).toBe(text === 'run 1' ? String(age) : undefined)
    })

    it('max-stale is not for a page that forbids it', async () => {
      const clock = stopClock()
      for (const strict of ['must-revalidate', 'proxy-revalidate', 's-maxage=60']) {
        const { site } = await cachedSite(
          express,
          numbered({ 'Cache-Control': `max-age=60, ${strict}`, ETag: '"v"' }),
          { honorRequestDirectives: true },
        )
        await site.get('/p')
        clock.advance(61)
        expect((await asking(site, 'max-stale')).cacheStatus).toMatch(/^fragcache; fwd=stale/)
      }
    })

    it('no-store keeps its answer out of the cache', async () => {
      const { site } = await cachedSite(express, numbered(), { honorRequestDirectives: true })
      const answer = await asking(site, 'no-store')
      expect(answer.cacheStatus).toBe('fragcache; fwd=bypass; detail=request-no-store')
      expect((await site.get('/p')).text).toBe('run 2')
      expect((await site.get('/p')).text).toBe('run 2')
    })

    it('no-cache makes the page again for everybody, or confirms it', async () => {
      const { site } = await cachedSite(express, numbered(), { honorRequestDirectives: true })
      await site.get('/p')
      expect((await asking(site, 'no-cache')).text).toBe('run 2')
      expect((await site.get('/p')).text).toBe('run 2')

      const { site: other, runs } = await cachedSite(
        express,
        (req, res) => {
          if (req.headers['if-none-match'] === '"v1"') res.status(304).end()
          else res.set({ ETag: '"v1"', 'Cache-Control': 'max-age=60' }).end('page')
        },
        { honorRequestDirectives: true },
      )
      await other.get('/p')
      const confirmed = await asking(other, 'no-cache')
      expect(confirmed).toMatchObject({ status: 200, text: 'page' })
      expect(runs.count).toBe(2)
    })

    it('only-if-cached never reaches the view', async () => {
      const clock = stopClock()
      const { site, runs } = await cachedSite(express, numbered(), { honorRequestDirectives: true })
      const outcomes = watchOutcomes(site.origin)
      const cold = await asking(site, 'only-if-cached')
      expect(cold).toMatchObject({ status: 504, text: '' })
      expect(cold.headers['cache-control']).toBe('no-store')
      expect(outcomes).toEqual(['bypass only-if-cached'])
      await site.get('/p')
      expect((await asking(site, 'only-if-cached')).text).toBe('run 1')
      expect((await asking(site, 'only-if-cached, max-age=0')).status).toBe(200)
      clock.advance(61)
      expect((await asking(site, 'only-if-cached')).status).toBe(504)
      expect(runs.count).toBe(1)
    })
  })

  describe('by the letter of RFC 9111', () => {
    /** How often the view ran for two requests. */
    async function runsOf(
      view: View,
      first: Record<string, string> = {},
      second: Record<string, string> = first,
    ) {
      const { site, runs } = await cachedSite(express, view, { rfc9111: true })
      const cold = await site.get('/p', { headers: first })
      const warm = await site.get('/p', { headers: second })
      return { runs: runs.count, cold, warm }
    }

    it.each([200, 201, 203, 204, 300, 301, 302, 307, 308, 400, 404, 405, 410, 418, 500, 503, 599])(
      'a %i that says how long it is fresh is kept',
      async (status) => {
        const { runs, cold, warm } = await runsOf((_req, res) =>
          res
            .status(status)
            .set('Cache-Control', 'max-age=60')
            .end(status === 204 ? '' : 'page'),
        )
        expect(runs).toBe(1)
        expect(warm).toMatchObject({ status, text: cold.text })
      },
    )

    it('so is one that expires', async () => {
      const { runs } = await runsOf((_req, res) =>
        res.set('Expires', new Date(Date.now() + 60_000).toUTCString()).send('page'),
      )
      expect(runs).toBe(1)
    })

    it.each([
      ['nothing', {}],
      ['max-age=0', { 'Cache-Control': 'max-age=0' }],
      ['no-store', { 'Cache-Control': 'max-age=60, no-store' }],
      ['private', { 'Cache-Control': 'max-age=60, private' }],
      ['Vary: *', { 'Cache-Control': 'max-age=60', Vary: '*' }],
    ])('what says %s is not', async (_name, headers) => {
      const { runs } = await runsOf((_req, res) => res.set(headers).end('page'))
      expect(runs).toBe(2)
    })

    it.each([
      [200, 1],
      [203, 1],
      [301, 1],
      [404, 1],
      [410, 1],
      [201, 2],
      [302, 2],
      [403, 2],
      [500, 2],
    ])('a %i that only says when it last changed: %i runs', async (status, expected) => {
      const clock = stopClock()
      const { site, runs } = await cachedSite(
        express,
        (_req, res) =>
          res
            .status(status)
            .set('Last-Modified', new Date(Date.now() - 1_000_000).toUTCString())
            .end('page'),
        { rfc9111: true },
      )
      await site.get('/p')
      clock.advance(99)
      await site.get('/p')
      expect(runs.count).toBe(expected)
      clock.advance(2)
      await site.get('/p')
      expect(runs.count).toBe(expected + 1)
    })

    it('what it may guess of is told by public too', async () => {
      const { runs } = await runsOf((_req, res) =>
        res
          .status(201)
          .set({ 'Cache-Control': 'public', 'Last-Modified': 'Tue, 14 Nov 2017 00:00:00 GMT' })
          .end('page'),
      )
      expect(runs).toBe(1)
    })

    it('a cookie is kept with the page', async () => {
      const { runs, warm } = await runsOf((_req, res) =>
        res.set('Cache-Control', 'max-age=60').cookie('id', 'x').send('page'),
      )
      expect(runs).toBe(1)
      expect(warm.headers['set-cookie']).toEqual(['id=x; Path=/'])
    })

    it('no-cache is kept, and validated each time', async () => {
      const { site, runs } = await cachedSite(
        express,
        (req, res) => {
          if (req.headers['if-none-match'] === '"v1"') res.status(304).end()
          else res.set({ ETag: '"v1"', 'Cache-Control': 'no-cache' }).end('page')
        },
        { rfc9111: true },
      )
      for (const run of [1, 2, 3]) {
        expect(await site.get('/p')).toMatchObject({ status: 200, text: 'page' })
        expect(runs.count).toBe(run)
      }
      const same = await site.get('/p', { headers: { 'If-None-Match': '"v1"' } })
      expect(same).toMatchObject({ status: 304, text: '' })
      expect(runs.count).toBe(4)
    })

    it.each([
      [200, 1],
      [599, 2],
    ])('must-understand beside no-store on a %i: %i runs', async (status, expected) => {
      const { runs } = await runsOf((_req, res) =>
        res.status(status).set('Cache-Control', 'max-age=60, must-understand, no-store').end('x'),
      )
      expect(runs).toBe(expected)
    })

    it.each([
      ['max-age=60', 2],
      ['max-age=60, public', 1],
      ['max-age=60, must-revalidate', 1],
      ['s-maxage=60', 1],
    ])('%s: what was made with Authorization, for somebody else: %i runs', async (value, runs) => {
      const made = await runsOf(
        (_req, res) => res.set('Cache-Control', value).end('page'),
        { Authorization: 'Bearer a' },
        { Authorization: 'Bearer b' },
      )
      expect(made.runs).toBe(runs)
      const anonymous = await runsOf(
        (_req, res) => res.set('Cache-Control', value).end('page'),
        { Authorization: 'Bearer a' },
        {},
      )
      expect(anonymous.runs).toBe(runs)
    })

    it.each([
      ['Accept-Language', 'de, fr;q=0.5', 'DE,fr; q=0.5', 1],
      ['Accept-Language', 'de, fr', 'fr, de', 1],
      ['Accept-Language', 'de, fr;q=0.5', 'fr, de;q=0.5', 2],
      ['X-List', 'a, b', 'a,b', 1],
      ['X-List', 'a, b', 'b, a', 2],
      ['X-List', '"a, b"', '"a,b"', 2],
    ])('Vary: %s, %j and then %j: %i runs', async (name, first, second, expected) => {
      const { runs } = await runsOf(
        (_req, res) => res.vary(name).set('Cache-Control', 'max-age=60').end('page'),
        { [name]: first },
        { [name]: second },
      )
      expect(runs).toBe(expected)
    })

    it('the request is listened to', async () => {
      const { site } = await cachedSite(express, numbered(), { rfc9111: true })
      await site.get('/p')
      expect((await asking(site, 'no-cache')).text).toBe('run 2')
      const { site: deaf } = await cachedSite(express, numbered(), {
        rfc9111: true,
        honorRequestDirectives: false,
      })
      await deaf.get('/p')
      expect((await asking(deaf, 'no-cache')).text).toBe('run 1')
    })

    it('what may be stale is, as the page says', async () => {
      const clock = stopClock()
      const { site, runs } = await cachedSite(
        express,
        (req, res) => {
          if (runs.count === 2 && req.path === '/e') return void res.sendStatus(500)
          res.set('Cache-Control', 'max-age=60, stale-while-revalidate=10, stale-if-error=50')
          res.send(`run ${runs.count}`)
        },
        { rfc9111: true },
      )
      const outcomes = watchOutcomes(site.origin)
      await site.get('/e')
      clock.advance(80)
      expect(await site.get('/e')).toMatchObject({ status: 200, text: 'run 1' })
      await site.get('/p')
      clock.advance(65)
      expect((await site.get('/p')).text).toBe('run 3')
      await eventually(() => outcomes.filter((outcome) => outcome === 'miss').length === 3)
      expect((await site.get('/p')).text).toBe('run 4')
    })

    it('what the page says to later caches stays as it said it', async () => {
      const { warm } = await runsOf((_req, res) =>
        res.set('Cache-Control', 'max-age=60, s-maxage=600').end('page'),
      )
      expect(warm.headers['cache-control']).toBe('max-age=60, s-maxage=600')
      expect(warm.headers.expires).toBeUndefined()
    })
  })
})
