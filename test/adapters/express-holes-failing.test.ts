import { Readable } from 'node:stream'
import type { NextFunction, Request, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { stopClock, watchOutcomes } from '../support/cached-site.js'
import { eventually, expressVersions, Site } from '../support/express.js'
import { TinyEngine } from '../support/tiny-engine.js'

const userOf = (req: Request): string => req.get('X-User') ?? 'nobody'
const as = (user: string) => ({ headers: { 'X-User': user } })
const later = () => new Promise((resolve) => setTimeout(resolve, 5))

let sites = 0

type Fail = (req: Request, res: Response, next: NextFunction) => unknown

describe.each(expressVersions)('a page with holes whose view fails, in $version', ({ express }) => {
  async function failingSite(fail: Fail, isLate: boolean, path = '/p') {
    const clock = stopClock()
    const state = { areHolesDown: false, hasViewFailed: false }
    const engine = new TinyEngine({
      page: {
        body: (_it, hole) => `Hello ${hole('name')}`,
        holes: {
          name: ({ user }) => {
            if (state.areHolesDown) throw new Error('no visitor')
            return String(user)
          },
        },
      },
    })
    const context = (req: Request, res: Response) => {
      res.cookie('csrf', userOf(req))
      return { user: userOf(req) }
    }
    const pages = responseCache(createCaches({ default: new LocMemCache() }), {
      isPersonal: false,
      staleIfError: 600,
      holes: {
        engines: [engine],
        context: isLate
          ? async (req, res) => {
              await later()
              return context(req, res)
            }
          : context,
      },
    })
    const app = express()
    engine.install(app)
    app.set('env', 'test')
    app.get(path, pages.cachePage(60), (req, res, next) => {
      if (state.hasViewFailed) fail(req, res, next)
      else res.render('page')
    })
    app.use((_error: unknown, req: Request, res: Response, next: NextFunction) => {
      if (res.headersSent) next(_error)
      else
        res
          .status(503)
          .set('X-Failed', 'yes')
          .send(`failed for ${userOf(req)}`)
    })
    const site = await Site.open(app)
    const outcomes = watchOutcomes(site.origin)
    expect((await site.get(path, as('ann'))).text).toBe('Hello ann')
    await eventually(() => outcomes.length === 1)
    clock.advance(61)
    state.hasViewFailed = true
    return { site, outcomes, state }
  }

  const failures: [string, Fail][] = [
    [
      'by res.send',
      (req, res) =>
        res
          .status(503)
          .set('X-Failed', 'yes')
          .send(`failed for ${userOf(req)}`),
    ],
    [
      'by a handler of errors',
      (_req, _res, next) => {
        next(new Error('the view failed'))
      },
    ],
    [
      'in pieces',
      (req, res) => {
        res.status(503).set('X-Failed', 'yes').write('failed ')
        res.write(Buffer.from('for '))
        void later()
          .then(later)
          .then(() => res.end(userOf(req)))
      },
    ],
    [
      'and ends it once more',
      (req, res) => {
        res
          .status(503)
          .set('X-Failed', 'yes')
          .send(`failed for ${userOf(req)}`)
        res.end()
      },
    ],
    [
      'in pieces, and ends it once more',
      (req, res) => {
        res.status(503).set('X-Failed', 'yes').write('failed ')
        res.end(`for ${userOf(req)}`)
        res.end()
      },
    ],
    [
      'in a stream',
      (req, res) => {
        res.status(503).set('X-Failed', 'yes')
        Readable.from(['failed ', 'for ', userOf(req)]).pipe(res)
      },
    ],
  ]

  for (const isLate of [false, true]) {
    describe(isLate ? 'and what fills them comes late' : 'and what fills them is there', () => {
      it.each(failures)(
        'answers as without a cache if its holes fail too, %s',
        async (_n, fail) => {
          const { site, outcomes, state } = await failingSite(fail, isLate)
          state.areHolesDown = true
          const { status, text, headers, cacheStatus } = await site.get('/p', as('ben'))
          expect({ status, text }).toEqual({ status: 503, text: 'failed for ben' })
          expect(headers['x-failed']).toBe('yes')
          expect(cacheStatus).not.toMatch(/hit/)
          await eventually(() => outcomes.length === 2)
          expect(outcomes[1]).toBe('bypass status')
        },
      )

      it.each(failures)('is answered with the older one otherwise, %s', async (_name, fail) => {
        const { site, outcomes } = await failingSite(fail, isLate)
        const { status, text, headers } = await site.get('/p', as('ben'))
        expect({ status, text }).toEqual({ status: 200, text: 'Hello ben' })
        expect(headers['cache-control']).toBe('private, no-cache')
        expect(headers).not.toHaveProperty('x-failed')
        expect(headers['set-cookie']).toEqual(['csrf=ben; Path=/'])
        expect(outcomes[1]).toBe('stale view-failed-503')
      })
    })
  }

  it.each([false, true])('says so, and not that the cache failed (late: %s)', async (isLate) => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => warn.mockRestore())
    // Told once for each route.
    const path = `/p-${++sites}`
    const { site, state } = await failingSite((_req, res) => res.status(503).end(), isLate, path)
    state.areHolesDown = true
    for (const user of ['ben', 'cem']) {
      expect(await site.get(path, as(user))).toMatchObject({ status: 503 })
    }
    expect(warn.mock.calls).toEqual([
      [
        expect.stringMatching(
          new RegExp(`^responseCache: GET ${path}: its handler failed, .*Error: no visitor`),
        ),
        { type: 'ResponseCacheWarning', code: 'FRAGCACHE_OLDER_HOLES' },
      ],
    ])
  })

  it('answers for itself where it sent its headers before what fills them came', async () => {
    const { site } = await failingSite((_req, res) => {
      res.writeHead(503, { 'Content-Type': 'text/plain' })
      res.end('failed')
    }, true)
    expect(await site.get('/p', as('ben'))).toMatchObject({ status: 503, text: 'failed' })
  })
})
