import { Readable } from 'node:stream'
import { LocMemCache, type Cache } from 'fragcache'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import {
  cachedSite,
  stopClock,
  watchOutcomes,
  type CachedSiteOptions,
  type View,
} from '../support/cached-site.js'
import { eventually, oneExpress } from '../support/express.js'
import { gate, settle } from '../support/waiting.js'

/** The option, what the response says, and how long it may be served past its 60 seconds. */
type Allowance = readonly [
  option: boolean | number | undefined,
  directives: string,
  staleSeconds: number,
]

function allowances(name: string): Allowance[] {
  return [
    [undefined, `${name}=30`, 0],
    [false, `${name}=30`, 0],
    [true, '', 0],
    [true, `${name}=30`, 30],
    [true, `${name}="30"`, 30],
    [true, `${name}=0`, 0],
    [true, `${name}=x`, 0],
    [true, `${name}`, 0],
    [40, '', 40],
    [40, `${name}=30`, 30],
    [40, `${name}=50`, 40],
    [40, `${name}=x`, 0],
    [0, `${name}=30`, 0],
    [40, `${name}=30, must-revalidate`, 0],
    [40, `${name}=30, proxy-revalidate`, 0],
    [40, `${name}=30, s-maxage=60`, 0],
    [true, `${name}=30, must-revalidate`, 0],
    [true, `must-revalidate, ${name}=30`, 0],
    [true, `${name}=30, Proxy-Revalidate`, 0],
  ]
}

describe.each(oneExpress)('past its time, in $version', ({ express }) => {
  /** A page of 60 seconds whose later runs are `view`'s. */
  async function agingSite(directives: string, view: View, options: CachedSiteOptions = {}) {
    const clock = stopClock()
    const made = await cachedSite(
      express,
      (req, res, next) => {
        if (made.runs.count > 1) {
          view(req, res, next)
          return
        }
        res.set('Cache-Control', ['max-age=60', directives].filter(Boolean).join(', '))
        res.set('X-Run', '1').send('old')
      },
      { revalidateSeconds: 0, ...options },
    )
    const outcomes = watchOutcomes(made.site.origin)
    expect((await made.site.get('/p')).text).toBe('old')
    await eventually(() => outcomes.length === 1)
    outcomes.length = 0
    return { ...made, clock, outcomes }
  }

  describe('a page whose view fails', () => {
    const fail: View = (_req, res) => res.status(503).send('failed')

    it.each(allowances('stale-if-error'))(
      'staleIfError: %j and "%s": stands in for %i seconds',
      async (staleIfError, directives, seconds) => {
        const { site, clock } = await agingSite(directives, fail, { staleIfError })
        if (seconds > 0) {
          clock.advance(60 + seconds - 1)
          expect(await site.get('/p')).toMatchObject({ status: 200, text: 'old' })
          clock.advance(1)
        } else {
          clock.advance(60)
        }
        expect(await site.get('/p')).toMatchObject({ status: 503, text: 'failed' })
      },
    )

    const failures: [string, View, number, CachedSiteOptions?][] = [
      ['status(503).send()', fail, 503],
      ['sendStatus(502)', (_req, res) => res.sendStatus(502), 502],
      ['json()', (_req, res) => res.status(500).json({ failed: true }), 500],
      ['end()', (_req, res) => res.status(599).end(), 599],
      [
        'writeHead() and pieces',
        async (_req, res) => {
          res.writeHead(500, { 'X-Failed': 'yes', 'Content-Type': 'text/x' })
          res.write('fai')
          await Promise.resolve()
          res.write(Buffer.from('led'), () => undefined)
          res.end('!')
        },
        500,
      ],
      [
        'pieces',
        (_req, res) => {
          res.status(500).write('fai')
          res.end('led')
        },
        500,
      ],
      [
        'flushed headers',
        (_req, res) => {
          res.status(500).flushHeaders()
          res.end('failed')
        },
        500,
      ],
      [
        'a stream',
        (_req, res) =>
          void Readable.from(['fai', 'led', 'x'.repeat(100_000)]).pipe(res.status(500)),
        500,
      ],
      ['next(error)', (_req, _res, next) => next(new Error('failed')), 500],
      [
        'next(error) with a status',
        (_req, _res, next) => next(Object.assign(new Error('failed'), { status: 504 })),
        504,
        {
          onError: (error, _req, res) =>
            res
              .status((error as { status: number }).status)
              .set('X-Failed', 'yes')
              .send('failed'),
        },
      ],
      [
        'what it throws',
        () => {
          throw new Error('failed')
        },
        500,
      ],
      [
        'a cookie beside it',
        (_req, res) => res.cookie('id', 'x').set('Cache-Control', 'no-store').status(500).end(),
        500,
      ],
    ]

    it.each(failures)('by %s is replaced by the older one', async (_name, view, status, more) => {
      const { site, clock, outcomes, runs } = await agingSite('', view, {
        staleIfError: 100,
        ...more,
      })
      clock.advance(80)
      for (const age of ['80', '90']) {
        const answer = await site.get('/p')
        expect(answer).toMatchObject({ status: 200, statusMessage: 'OK', text: 'old' })
        expect(answer.headers).toMatchObject({ 'x-run': '1', age, 'content-length': '3' })
        expect(answer.headers['content-type']).toBe('text/html; charset=utf-8')
        expect(answer.headers['x-failed']).toBeUndefined()
        expect(answer.headers['set-cookie']).toBeUndefined()
        expect(answer.headers['cache-control']).toBe('max-age=60')
        const ttl = 60 - Number(age)
        expect(answer.cacheStatus).toBe(`fragcache; hit; ttl=${ttl}; detail=view-failed-${status}`)
        clock.advance(10)
      }
      expect(outcomes.filter((outcome) => outcome.startsWith('stale'))).toEqual(
        Array(2).fill(`stale view-failed-${status}`),
      )
      expect(runs.count).toBe(3)
    })

    it.each([400, 401, 404, 410, 429])('%i is no failure', async (status) => {
      const { site, clock } = await agingSite('', (_req, res) => res.status(status).send('no'), {
        staleIfError: 100,
      })
      clock.advance(61)
      expect(await site.get('/p')).toMatchObject({ status, text: 'no' })
    })

    it('is served once more as soon as it works again', async () => {
      let works = false
      const { site, clock } = await agingSite(
        '',
        (_req, res) => (works ? res.send('new') : res.sendStatus(500)),
        { staleIfError: 100 },
      )
      clock.advance(61)
      expect((await site.get('/p')).text).toBe('old')
      works = true
      expect((await site.get('/p')).text).toBe('new')
      expect((await site.get('/p')).cacheStatus).toMatch(/^fragcache; hit; ttl=/)
    })

    it('stands in for all who waited, after one run', async () => {
      const ready = gate()
      let arrivals = 0
      const { site, clock, runs } = await agingSite(
        '',
        (_req, res) => void ready.opened.then(() => res.sendStatus(500)),
        {
          staleIfError: 100,
          before: [
            (_req, _res, next) => {
              arrivals++
              next()
            },
          ],
        },
      )
      clock.advance(61)
      const asked = Array.from({ length: 10 }, () => site.get('/p'))
      await eventually(() => arrivals === 11)
      ready.open()
      for (const answer of await Promise.all(asked)) {
        expect(answer).toMatchObject({ status: 200, text: 'old' })
      }
      expect(runs.count).toBe(2)
    })

    it('is never what was invalidated', async () => {
      const { site, pages, clock } = await agingSite('stale-if-error=100', fail, {
        staleIfError: true,
      })
      await pages.invalidate(`${site.origin}/p`)
      expect((await site.get('/p')).status).toBe(503)
      clock.advance(61)
      expect((await site.get('/p')).status).toBe(503)
    })

    it('answers a condition from the older one', async () => {
      const clock = stopClock()
      const { site, runs } = await cachedSite(
        express,
        (_req, res) => {
          if (runs.count === 1) res.set('ETag', '"v1"').send('old')
          else res.sendStatus(500)
        },
        { page: [60], staleIfError: 100 },
      )
      await site.get('/p')
      clock.advance(61)
      const same = await site.get('/p', { headers: { 'If-None-Match': '"v1"' } })
      expect(same).toMatchObject({ status: 304, text: '' })
      expect(same.headers.etag).toBe('"v1"')
      const other = await site.get('/p', { headers: { 'If-None-Match': '"v0"' } })
      expect(other).toMatchObject({ status: 200, text: 'old' })
    })

    it('is its own affair for a visitor who is signed in', async () => {
      const { site, clock } = await agingSite('', fail, {
        staleIfError: 100,
        before: [
          (req, _res, next) => (Object.assign(req, { user: req.headers['x-user'] }), next()),
        ],
      })
      clock.advance(61)
      expect((await site.get('/p', { headers: { 'X-User': 'ada' } })).status).toBe(503)
      expect((await site.get('/p')).text).toBe('old')
    })
  })

  const backends: [string, () => Cache][] = [
    ['LocMemCache', () => new LocMemCache()],
    ['a cache that answers late', () => new AsyncTestCache()],
  ]

  describe('a page that is made again in the background', () => {
    it.each(allowances('stale-while-revalidate'))(
      'staleWhileRevalidate: %j and "%s": is served for %i seconds',
      async (staleWhileRevalidate, directives, seconds) => {
        const { site, clock, runs } = await agingSite(
          directives,
          (_req, res) => res.set('Cache-Control', 'private').send('new'),
          { staleWhileRevalidate },
        )
        if (seconds > 0) {
          clock.advance(60 + seconds - 1)
          const answer = await site.get('/p')
          expect(answer.text).toBe('old')
          expect(answer.headers.age).toBe(String(60 + seconds - 1))
          expect(answer.cacheStatus).toBe(
            `fragcache; hit; ttl=${1 - seconds}; detail=stale-while-revalidate`,
          )
          await eventually(() => runs.count === 2)
          clock.advance(1)
        } else {
          clock.advance(60)
        }
        expect((await site.get('/p')).text).toBe('new')
      },
    )

    it.each(backends)('in %s: once for many requests', async (_name, newCache) => {
      const ready = gate()
      const { site, clock, runs, outcomes } = await agingSite(
        '',
        async (_req, res) => {
          await ready.opened
          res.set('Cache-Control', 'max-age=60').set('X-Run', String(runs.count)).send('new')
        },
        { staleWhileRevalidate: 100, cache: newCache() },
      )
      clock.advance(61)
      for (let i = 0; i < 3; i++) {
        const answers = await Promise.all(Array.from({ length: 5 }, () => site.get('/p')))
        for (const answer of answers) {
          expect(answer).toMatchObject({ status: 200, text: 'old' })
          expect(answer.headers['x-run']).toBe('1')
        }
      }
      await eventually(() => runs.count === 2)
      expect(outcomes).toEqual(Array(15).fill('stale stale-while-revalidate'))
      ready.open()
      await eventually(() => outcomes.includes('miss'))
      const fresh = await site.get('/p')
      expect(fresh).toMatchObject({ status: 200, text: 'new' })
      expect(fresh.cacheStatus).toBe('fragcache; hit; ttl=60')
      expect(runs.count).toBe(2)
    })

    it('is not asked in the words of who was served', async () => {
      const asked: unknown[] = []
      const { site, clock, outcomes } = await agingSite(
        '',
        (req, res) => {
          const { method, headers, originalUrl } = req
          asked.push([method, originalUrl, headers['if-none-match'], headers.range, headers.accept])
          res.send('new')
        },
        { staleWhileRevalidate: 100 },
      )
      clock.advance(61)
      const headers = { 'If-None-Match': '"mine"', Range: 'bytes=0-1', Accept: 'text/x' }
      const part = await site.get('/p', { headers })
      expect(part).toMatchObject({ status: 206, text: 'ol' })
      await eventually(() => outcomes.includes('miss'))
      const [run] = asked as [unknown[]]
      expect(run.slice(0, 2)).toEqual(['GET', '/p'])
      expect(run[2]).not.toBe('"mine"')
      expect(run.slice(3)).toEqual([undefined, 'text/x'])
      expect((await site.get('/p')).text).toBe('new')
    })

    it('is confirmed by a 304', async () => {
      const clock = stopClock()
      const { site, runs } = await cachedSite(
        express,
        (req, res) => {
          if (req.headers['if-none-match'] === '"v1"') res.status(304).set('X-Run', '2').end()
          else res.set({ ETag: '"v1"', 'X-Run': '1' }).end('page')
        },
        { page: [60], staleWhileRevalidate: 100 },
      )
      const outcomes = watchOutcomes(site.origin)
      await site.get('/p')
      clock.advance(61)
      expect((await site.get('/p')).headers['x-run']).toBe('1')
      await eventually(() => outcomes.filter((outcome) => outcome === 'miss').length === 2)
      const fresh = await site.get('/p')
      expect(fresh).toMatchObject({ status: 200, text: 'page' })
      expect(fresh.headers).toMatchObject({ 'x-run': '2', age: '0' })
      expect(runs.count).toBe(2)
    })

    it('stays what it was while that fails, and the next request tries again', async () => {
      const { site, clock, runs } = await agingSite(
        '',
        (_req, res) => (runs.count < 4 ? res.sendStatus(500) : res.send('new')),
        { staleWhileRevalidate: 100 },
      )
      const outcomes = watchOutcomes(site.origin)
      clock.advance(61)
      for (const run of [2, 3, 4]) {
        // The run before has to be over, which is after its response is.
        await eventually(() => outcomes.length >= 2 * (run - 2))
        await settle()
        expect(await site.get('/p')).toMatchObject({ status: 200, text: 'old' })
        await eventually(() => runs.count === run)
      }
      await eventually(() => outcomes.includes('miss'))
      expect((await site.get('/p')).text).toBe('new')
    })

    it('holds nobody up where that hangs', async () => {
      const { site, clock, runs } = await agingSite(
        '',
        (_req, res) => {
          // The second run never answers.
          if (runs.count > 2) res.send('new')
        },
        { staleWhileRevalidate: 100, waitSeconds: 0.05 },
      )
      clock.advance(61)
      for (let i = 0; i < 5; i++) expect((await site.get('/p')).text).toBe('old')
      await eventually(() => runs.count === 2)
      clock.advance(100)
      expect((await site.get('/p')).text).toBe('new')
    })

    it('does not come back where it was invalidated meanwhile', async () => {
      const ready = gate()
      const { site, clock, pages, runs, outcomes } = await agingSite(
        '',
        async (_req, res) => {
          const run = runs.count
          if (run === 2) await ready.opened
          res.send(`run ${run}`)
        },
        { staleWhileRevalidate: 100 },
      )
      clock.advance(61)
      expect((await site.get('/p')).text).toBe('old')
      await eventually(() => runs.count === 2)
      await pages.invalidate(`${site.origin}/p`)
      ready.open()
      await eventually(() => outcomes.includes('bypass invalidated'))
      expect((await site.get('/p')).text).toBe('run 3')
    })

    it('is never what was invalidated', async () => {
      const { site, clock, pages, runs } = await agingSite('', (_req, res) => res.send('new'), {
        staleWhileRevalidate: 100,
      })
      clock.advance(61)
      await pages.invalidate(`${site.origin}/p`)
      expect((await site.get('/p')).text).toBe('new')
      expect(runs.count).toBe(2)
    })

    it('that turns out to be one visitor’s is not given to others', async () => {
      const { site, clock, runs } = await agingSite(
        '',
        (_req, res) => res.cookie('id', String(runs.count)).send(`run ${runs.count}`),
        { staleWhileRevalidate: 100 },
      )
      clock.advance(61)
      const answer = await site.get('/p')
      expect(answer.text).toBe('old')
      expect(answer.headers['set-cookie']).toBeUndefined()
      await eventually(() => runs.count === 2)
      clock.advance(100)
      const own = await site.get('/p')
      expect(own.headers['set-cookie']).toEqual([`id=${runs.count}; Path=/`])
      expect(own.text).toBe(`run ${runs.count}`)
    })
  })
})
