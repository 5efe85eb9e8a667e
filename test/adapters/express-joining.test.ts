import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { neverCache, responseCache } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import {
  cachedSite,
  stopClock,
  watchOutcomes,
  type CachedSiteOptions,
  type View,
} from '../support/cached-site.js'
import {
  eventually,
  oneExpress,
  Site,
  type Answer,
  type RequestOptions,
} from '../support/express.js'
import { gate, settle } from '../support/waiting.js'

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

function tally(texts: readonly (string | undefined)[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const text of texts) counts[String(text)] = (counts[String(text)] ?? 0) + 1
  return counts
}

describe.each(oneExpress)('concurrent requests in $version', ({ express }) => {
  /** A site that tells when requests have come as far as the cache. */
  async function crowdedSite(view: View, { before = [], ...options }: CachedSiteOptions = {}) {
    let arrivals = 0
    const count: View = (_req, _res, next) => {
      arrivals++
      next()
    }
    const made = await cachedSite(express, view, { before: [count, ...before], ...options })
    return {
      ...made,
      /** So many requests have come and wait, or have gone on. */
      async arrived(requests: number) {
        await eventually(() => arrivals >= requests)
        await settle()
      },
    }
  }

  function ask(site: Site, times: number, options: RequestOptions = {}): Promise<Answer>[] {
    return Array.from({ length: times }, () => site.get('/p', options))
  }

  describe.each(backends)('for one cold page in %s', (_name, newCache) => {
    it('run the view once, and all get its bytes', async () => {
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite(
        async (_req, res) => {
          await ready.opened
          res.set('X-Run', String(runs.count)).send(`run ${runs.count} ${'ü'.repeat(5000)}`)
        },
        { cache: newCache() },
      )
      const outcomes = watchOutcomes(site.origin)
      const asked = ask(site, 50)
      await arrived(50)
      ready.open()
      const answers = await Promise.all(asked)
      expect(runs.count).toBe(1)
      const [first] = answers
      for (const answer of answers) {
        expect(answer.status).toBe(200)
        expect(answer.body.equals(first?.body ?? Buffer.alloc(0))).toBe(true)
        expect(answer.headers['x-run']).toBe('1')
        expect(answer.headers['content-type']).toBe('text/html; charset=utf-8')
        expect(answer.headers['content-length']).toBe(String(answer.body.length))
      }
      expect(tally(answers.map((answer) => answer.cacheStatus))).toEqual({
        'fragcache; fwd=uri-miss; stored': 1,
        'fragcache; fwd=uri-miss; collapsed': 49,
      })
      expect(tally(outcomes)).toEqual({ miss: 1, joined: 49 })
      expect((await site.get('/p')).cacheStatus).toMatch(/^fragcache; hit; ttl=/)
    })

    it('run it once for each variant', async () => {
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite(
        async (req, res) => {
          await ready.opened
          res.vary('Accept-Language').send(`for ${String(req.headers['accept-language'])}`)
        },
        { cache: newCache() },
      )
      const languages = ['de', 'fr', 'pl']
      const asked = languages.flatMap((language) =>
        ask(site, 8, { headers: { 'Accept-Language': language } }),
      )
      await arrived(24)
      ready.open()
      const answers = await Promise.all(asked)
      expect(tally(answers.map((answer) => answer.text))).toEqual({
        'for de': 8,
        'for fr': 8,
        'for pl': 8,
      })
      answers.forEach((answer, i) => {
        expect(answer.text).toBe(`for ${String(languages[Math.floor(i / 8)])}`)
        expect(answer.headers.vary).toBe('Accept-Language')
      })
      expect(runs.count).toBe(3)
    })

    it('run it once for an expired page, whoever comes first', async () => {
      const clock = stopClock()
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite(
        async (req, res) => {
          if (req.headers['if-none-match'] !== '"v1"') {
            res.set('ETag', '"v1"').end('page')
            return
          }
          await ready.opened
          res.status(304).set('X-Run', String(runs.count)).end()
        },
        { cache: newCache(), page: [60] },
      )
      await site.get('/p')
      clock.advance(61)
      const asked = [
        ...ask(site, 1, { headers: { 'If-None-Match': '"v1"' } }),
        ...ask(site, 9),
        ...ask(site, 5, { headers: { 'If-None-Match': '"v0"' } }),
        ...ask(site, 5, { headers: { 'If-None-Match': '"v1"' } }),
      ]
      await arrived(21)
      ready.open()
      const answers = await Promise.all(asked)
      expect(tally(answers.map(({ status, text }) => `${status} ${text}`))).toEqual({
        '304 ': 6,
        '200 page': 14,
      })
      for (const { headers } of answers) expect(headers['x-run'] ?? '2').toBe('2')
      expect(runs.count).toBe(2)
    })

    it('are not given what was invalidated while its view ran', async () => {
      const ready = gate()
      const { site, pages, runs, arrived } = await crowdedSite(
        async (_req, res) => {
          const run = runs.count
          if (run === 1) await ready.opened
          res.send(`run ${run}`)
        },
        { cache: newCache() },
      )
      const leader = site.get('/p')
      await arrived(1)
      const before = ask(site, 3)
      await arrived(4)
      await pages.invalidate(`${site.origin}/p`)
      const after = ask(site, 3)
      await arrived(7)
      ready.open()
      expect((await leader).text).toBe('run 1')
      for (const { text } of await Promise.all([...before, ...after])) {
        expect(text).not.toBe('run 1')
      }
    })
  })

  it('run no view again for a lookup that was answered only after the page was stored', async () => {
    /** As over several connections: an answer may come after that to a later call. */
    class OvertakenCache extends AsyncTestCache {
      overtaken: ReturnType<typeof gate> | undefined
      asked = 0

      override async readEntries(keys: readonly string[]) {
        this.asked++
        const { overtaken } = this
        this.overtaken = undefined
        const found = await super.readEntries(keys)
        await overtaken?.opened
        return found
      }
    }
    const cache = new OvertakenCache()
    const ready = gate()
    const { site, runs, arrived } = await crowdedSite(
      async (_req, res) => {
        await ready.opened
        res.vary('Accept-Language').send(`run ${runs.count}`)
      },
      { cache },
    )
    const first = site.get('/p')
    await arrived(1)
    const late = gate()
    cache.overtaken = late
    const second = site.get('/p')
    await arrived(2)
    ready.open()
    expect((await first).text).toBe('run 1')
    // Its page is there, for whoever asks now.
    expect((await site.get('/p')).cacheStatus).toMatch(/^fragcache; hit; ttl=/)
    late.open()
    const answer = await second
    expect(answer.text).toBe('run 1')
    expect(answer.cacheStatus).toMatch(/^fragcache; hit; ttl=/)
    expect(runs.count).toBe(1)

    // Where nothing was stored meanwhile the cache is asked once, and once more when the page is stored.
    const { asked } = cache
    expect((await site.get('/q')).text).toBe('run 2')
    expect(cache.asked - asked).toBe(2)
  })

  describe('whose answer is not for others', () => {
    const answers: [string, CachedSiteOptions, View][] = [
      ['with a cookie', {}, (_req, res) => res.cookie('id', 'x')],
      ['private', {}, (_req, res) => res.set('Cache-Control', 'private')],
      ['no-store', {}, (_req, res) => res.set('Cache-Control', 'no-store')],
      ['no-cache', {}, (_req, res) => res.set('Cache-Control', 'no-cache')],
      ['Vary: *', {}, (_req, res) => res.set('Vary', '*')],
      ['an event stream', {}, (_req, res) => res.type('text/event-stream')],
      ['an error', {}, (_req, res) => res.status(503)],
      ['not found', {}, (_req, res) => res.status(404)],
      ['too large', { maxBodyBytes: 3 }, () => undefined],
      ['stale already', {}, (_req, res) => res.set('Cache-Control', 'max-age=0')],
    ]

    it.each(answers)('%s: each goes on by itself at once', async (_name, options, head) => {
      const started = gate()
      const ready = gate()
      const finish = gate()
      const { site, runs, arrived } = await crowdedSite(async (req, res, next) => {
        const run = runs.count
        if (run === 1) {
          started.open()
          await ready.opened
        }
        head(req, res, next)
        res.write(`run ${run}`)
        // Nobody waits for its end either.
        if (run === 1) await finish.opened
        res.end()
      }, options)
      const leader = site.get('/p')
      await started.opened
      const asked = ask(site, 6)
      await arrived(7)
      expect(runs.count).toBe(1)
      ready.open()
      const others = await Promise.all(asked)
      finish.open()
      const texts = [await leader, ...others].map(({ text }) => text)
      expect(texts.sort()).toEqual([1, 2, 3, 4, 5, 6, 7].map((run) => `run ${run}`))
      expect(runs.count).toBe(7)
    })

    it('and of late was not, do not wait for the next one', async () => {
      const clock = stopClock()
      const hang = gate()
      let hangs = false
      const { site, runs, arrived } = await crowdedSite(async (_req, res) => {
        const run = runs.count
        if (hangs) {
          hangs = false
          await hang.opened
        }
        res.set('Cache-Control', 'private').send(`run ${run}`)
      })
      await site.get('/p')
      hangs = true
      const slow = site.get('/p')
      await arrived(2)
      expect((await site.get('/p')).text).toBe('run 3')
      hang.open()
      await slow

      // It may have become a page for all since.
      clock.advance(11)
      const again = gate()
      const {
        site: other,
        runs: otherRuns,
        arrived: otherArrived,
      } = await crowdedSite(async (_req, res) => {
        if (otherRuns.count === 1) res.set('Cache-Control', 'private')
        else await again.opened
        res.send('page')
      })
      await other.get('/p')
      clock.advance(11)
      const asked = ask(other, 5)
      await otherArrived(6)
      again.open()
      await Promise.all(asked)
      expect(otherRuns.count).toBe(2)
    })

    it('to odd requests alone, still wait for one another', async () => {
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite(async (req, res) => {
        if (req.headers['x-odd'] !== undefined) {
          res.cookie('id', 'odd').send('odd')
          return
        }
        await ready.opened
        res.send('page')
      })
      expect((await site.get('/p', { headers: { 'X-Odd': '1' } })).text).toBe('odd')
      const asked = ask(site, 5)
      await arrived(6)
      ready.open()
      for (const { text } of await Promise.all(asked)) expect(text).toBe('page')
      expect(runs.count).toBe(2)
    })

    it('a failure is not remembered', async () => {
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite(async (_req, res) => {
        if (runs.count === 1) {
          res.sendStatus(503)
          return
        }
        await ready.opened
        res.send('page')
      })
      await site.get('/p')
      const asked = ask(site, 5)
      await arrived(6)
      ready.open()
      for (const { text } of await Promise.all(asked)) expect(text).toBe('page')
      expect(runs.count).toBe(2)
    })
  })

  describe('behind one that comes to nothing', () => {
    it.each<[string, View]>([
      ['an error is passed on', (_req, _res, next) => next(new Error('no page'))],
      [
        'the view throws',
        () => {
          throw new Error('no page')
        },
      ],
      ['the response is destroyed', (_req, res) => res.destroy()],
      [
        'the answer breaks off',
        (_req, res) => {
          res.set('Content-Length', '100').write('piece')
          setImmediate(() => res.destroy())
        },
      ],
    ])('where %s, go on by themselves', async (_name, fail) => {
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite((req, res, next) => {
        if (runs.count > 1) {
          res.send('page')
          return
        }
        void ready.opened.then(() => {
          try {
            fail(req, res, next)
          } catch (error) {
            next(error)
          }
        })
      })
      const leader = site.get('/p').catch(() => undefined)
      await arrived(1)
      const asked = ask(site, 4)
      await arrived(5)
      expect(runs.count).toBe(1)
      ready.open()
      for (const answer of await Promise.all(asked)) {
        expect(answer).toMatchObject({ status: 200, text: 'page' })
      }
      expect((await leader)?.text).not.toBe('page')
    })

    it('where its client goes away, go on by themselves', async () => {
      const { site, runs, arrived } = await crowdedSite((_req, res) => {
        // The first one never answers.
        if (runs.count > 1) res.send('page')
      })
      const leader = site.request('/p')
      leader.on('error', () => undefined).end()
      await arrived(1)
      const asked = ask(site, 4)
      await arrived(5)
      expect(runs.count).toBe(1)
      leader.destroy()
      for (const { text } of await Promise.all(asked)) expect(text).toBe('page')
    })

    it('where its view hangs, go on after waitSeconds', async () => {
      const { site, runs } = await crowdedSite(
        (_req, res) => {
          if (runs.count > 1) res.send('page')
        },
        { waitSeconds: 0.05 },
      )
      site
        .request('/p')
        .on('error', () => undefined)
        .end()
      await eventually(() => runs.count === 1)
      for (const { text } of await Promise.all(ask(site, 4))) expect(text).toBe('page')
    })

    it('where they give up themselves, leave no run behind', async () => {
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite(async (_req, res) => {
        await ready.opened
        res.send('page')
      })
      const leader = site.get('/p')
      await arrived(1)
      const impatient = site.request('/p')
      impatient.on('error', () => undefined).end()
      const patient = site.get('/p')
      await arrived(3)
      impatient.destroy()
      await eventually(() => impatient.closed)
      await settle()
      ready.open()
      expect((await leader).text).toBe('page')
      expect((await patient).text).toBe('page')
      expect(runs.count).toBe(1)
    })
  })

  describe('over a cache in trouble', () => {
    it('that is down are all served by the view', async () => {
      const cache = new AsyncTestCache()
      cache.failing = true
      const { site, runs } = await crowdedSite((_req, res) => res.send('page'), { cache })
      for (const { text } of await Promise.all(ask(site, 5))) expect(text).toBe('page')
      expect(runs.count).toBe(5)
    })

    it.each<[string, (cache: AsyncTestCache) => void]>([
      ['goes down', (cache) => (cache.failing = true)],
      ['does not take the page', (cache) => (cache.maxPayloadBytes = 1)],
    ])('that %s while the view runs, go on by themselves', async (_name, spoil) => {
      const cache = new AsyncTestCache()
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite(
        async (_req, res) => {
          const run = runs.count
          await ready.opened
          res.send(`run ${run}`)
        },
        { cache },
      )
      const asked = ask(site, 5)
      await arrived(5)
      expect(runs.count).toBe(1)
      spoil(cache)
      ready.open()
      const answers = await Promise.all(asked)
      expect(answers.map(({ text }) => text).sort()).toEqual(
        [1, 2, 3, 4, 5].map((run) => `run ${run}`),
      )
    })

    it('that hangs when the page is stored, go on after waitSeconds', async () => {
      const cache = new AsyncTestCache()
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite(
        async (_req, res) => {
          await ready.opened
          if (runs.count === 1) cache.hanging = true
          res.send('page')
        },
        { cache, waitSeconds: 0.2 },
      )
      const asked = ask(site, 3)
      await arrived(3)
      ready.open()
      for (const { text } of await Promise.all(asked)) expect(text).toBe('page')
      cache.hanging = false
    })
  })

  describe('that have something of their own', () => {
    const kinds: [string, RequestOptions][] = [
      ['Authorization', { headers: { Authorization: 'Bearer a' } }],
      ['Range', { headers: { Range: 'bytes=0-1' } }],
      ['HEAD', { method: 'HEAD' }],
      ['a visitor who is signed in', { headers: { 'X-User': 'ada' } }],
      ['a body', { headers: { 'Content-Length': 1 }, body: 'x' }],
    ]
    const signIn: View = (req, _res, next) => {
      Object.assign(req, { user: req.headers['x-user'] })
      next()
    }
    const conditions: [string, RequestOptions][] = [
      ['If-None-Match', { headers: { 'If-None-Match': '"mine"' } }],
      ['If-Modified-Since', { headers: { 'If-Modified-Since': 'Tue, 14 Nov 2023 00:00:00 GMT' } }],
    ]

    it.each(kinds)('%s: nobody waits for them', async (_name, options) => {
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite(
        async (_req, res) => {
          const run = runs.count
          if (run === 1) await ready.opened
          res.send(`run ${run}`)
        },
        { before: [signIn] },
      )
      const slow = site.get('/p', options)
      await arrived(1)
      expect((await site.get('/p')).text).toBe('run 2')
      ready.open()
      await slow
    })

    it.each(kinds)('%s: they wait for nobody', async (_name, options) => {
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite(
        async (_req, res) => {
          const run = runs.count
          if (run === 1) await ready.opened
          res.set('X-Run', String(run)).send('page')
        },
        { before: [signIn] },
      )
      const slow = site.get('/p')
      await arrived(1)
      expect((await site.get('/p', options)).headers['x-run']).toBe('2')
      ready.open()
      expect((await slow).headers['x-run']).toBe('1')
    })

    it.each(conditions)(
      '%s: others wait for them, and get the whole page',
      async (_name, options) => {
        const ready = gate()
        const { site, runs, arrived } = await crowdedSite(async (_req, res) => {
          await ready.opened
          res.send(`run ${runs.count}`)
        })
        const leader = site.get('/p', options)
        await arrived(1)
        const other = site.get('/p')
        await arrived(2)
        ready.open()
        expect(await leader).toMatchObject({ status: 200, text: 'run 1' })
        expect(await other).toMatchObject({ status: 200, text: 'run 1' })
        expect(runs.count).toBe(1)
      },
    )

    it('a copy: they wait, and are told whether it is right still', async () => {
      const ready = gate()
      const { site, runs, arrived } = await crowdedSite(async (_req, res) => {
        await ready.opened
        res.set('ETag', '"v1"').send('page')
      })
      const leader = site.get('/p')
      await arrived(1)
      const same = site.get('/p', { headers: { 'If-None-Match': '"v1"' } })
      const other = site.get('/p', { headers: { 'If-None-Match': '"v0"' } })
      await arrived(3)
      ready.open()
      expect(await leader).toMatchObject({ status: 200, text: 'page' })
      expect(await same).toMatchObject({ status: 304, text: '' })
      expect(await other).toMatchObject({ status: 200, text: 'page' })
      expect(runs.count).toBe(1)
    })
  })

  it('with waitSeconds: 0 each run the view', async () => {
    const ready = gate()
    const { site, runs } = await crowdedSite(
      async (_req, res) => {
        await ready.opened
        res.send('page')
      },
      { waitSeconds: 0 },
    )
    const asked = ask(site, 5)
    await eventually(() => runs.count === 5)
    ready.open()
    for (const { text } of await Promise.all(asked)) expect(text).toBe('page')
  })

  describe('through several middlewares', () => {
    const stacks: [string, (pages: ReturnType<typeof responseCache>) => readonly View[]][] = [
      ['cachePage in cacheSite', (pages) => [pages.cacheSite(), pages.cachePage(60)]],
      [
        'cachePage of another cache in cacheSite',
        (pages) => [pages.cacheSite(), pages.cachePage(60, { cache: 'other' })],
      ],
      [
        'cachePage of another prefix in cacheSite',
        (pages) => [pages.cacheSite(), pages.cachePage(60, { keyPrefix: 'other' })],
      ],
      [
        'cachePage in cachePage in cacheSite, each of its own',
        (pages) => [
          pages.cacheSite(),
          pages.cachePage(60, { keyPrefix: 'a' }),
          pages.cachePage(60, { cache: 'other' }),
        ],
      ],
      ['the two halves', (pages) => [pages.updateCache(), pages.fetchFromCache()]],
      [
        'cachePage in the two halves',
        (pages) => [pages.updateCache(), pages.fetchFromCache(), pages.cachePage(60)],
      ],
      [
        'cachePage of another cache in the two halves',
        (pages) => [
          pages.updateCache(),
          pages.fetchFromCache(),
          pages.cachePage(60, { cache: 'other' }),
        ],
      ],
    ]

    async function stackedSite(
      stack: (pages: ReturnType<typeof responseCache>) => readonly View[],
      view: View,
    ) {
      const caches = createCaches({ default: new LocMemCache(), other: new AsyncTestCache() })
      const app = express()
      let arrivals = 0
      app.use((_req, _res, next) => {
        arrivals++
        next()
      })
      for (const layer of stack(responseCache(caches))) app.use(layer)
      app.use((req, res, next) => void view(req, res, next))
      const site = await Site.open(app)
      return {
        site,
        async arrived(requests: number) {
          await eventually(() => arrivals >= requests)
          await settle()
        },
      }
    }

    it.each(stacks)('%s: one run', async (_name, stack) => {
      const ready = gate()
      let runs = 0
      const { site, arrived } = await stackedSite(stack, async (_req, res) => {
        const run = ++runs
        await ready.opened
        res.send(`run ${run}`)
      })
      const asked = ask(site, 10)
      await arrived(10)
      ready.open()
      const answers = await Promise.all(asked)
      expect(tally(answers.map(({ text }) => text))).toEqual({ 'run 1': 10 })
      expect((await site.get('/p')).text).toBe('run 1')
      expect(runs).toBe(1)
    })

    it.each(stacks)('%s, and neverCache inside: each its own', async (_name, stack) => {
      const ready = gate()
      let runs = 0
      const { site, arrived } = await stackedSite(
        (pages) => [...stack(pages), neverCache()],
        async (_req, res) => {
          const run = ++runs
          await ready.opened
          res.send(`run ${run}`)
        },
      )
      const asked = ask(site, 5)
      await arrived(5)
      ready.open()
      const texts = (await Promise.all(asked)).map(({ text }) => text)
      expect(texts.sort()).toEqual([1, 2, 3, 4, 5].map((run) => `run ${run}`))
    })
  })

  it('in several languages wait for their own', async () => {
    const ready = gate()
    const { site, runs, arrived } = await crowdedSite(
      async (req, res) => {
        await ready.opened
        res.send(`in ${String(req.headers['x-language'])}`)
      },
      { language: (req) => req.get('x-language') },
    )
    const asked = ['de', 'fr'].flatMap((language) =>
      ask(site, 5, { headers: { 'X-Language': language } }),
    )
    await arrived(10)
    ready.open()
    const texts = (await Promise.all(asked)).map(({ text }) => text)
    expect(tally(texts)).toEqual({ 'in de': 5, 'in fr': 5 })
    expect(runs.count).toBe(2)
  })
})
