import type { Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { cacheControl, neverCache, responseCache } from 'fragcache/express'
import onHeaders from 'on-headers'
import { describe, expect, it } from 'vitest'
import { watchOutcomes } from '../support/cached-site.js'
import { compression, eventually, oneExpress, Site } from '../support/express.js'
import { TinyEngine } from '../support/tiny-engine.js'

const userOf = (req: Request): string => req.get('X-User') ?? 'nobody'
const as = (user: string) => ({ headers: { 'X-User': user } })

interface Setting {
  readonly view: RequestHandler
  /** What stands around the cache, and what between it and the view. */
  readonly outside?: RequestHandler
  readonly inside?: RequestHandler
}

/** Renders, and hands the text over. */
function rendered(view: string, finish: (res: Response, text: string) => unknown): RequestHandler {
  return (_req, res, next) => {
    res.render(view, {}, (error: unknown, text: string) => {
      if (error instanceof Error) next(error)
      else finish(res, text)
    })
  }
}

describe.each(oneExpress)('pages with holes in $version', ({ express }) => {
  async function holedSite({ view, outside, inside }: Setting) {
    const engine = new TinyEngine({
      page: {
        body: (_it, hole) => `${'Hello '.repeat(300)}${hole('name')}`,
        holes: { name: ({ user }) => String(user) },
      },
      measured: {
        body: (_it, hole) => `${hole('name')} has ${hole('name').length}`,
        holes: { name: ({ user }) => String(user) },
      },
      dropped: {
        body: (_it, hole) => `${hole('name').length} letters`,
        holes: { name: ({ user }) => String(user) },
      },
    })
    const pages = responseCache(createCaches({ default: new LocMemCache() }), {
      isPersonal: false,
      holes: { engines: [engine], context: (req) => ({ user: userOf(req) }) },
    })
    const app = express()
    engine.install(app)
    app.set('env', 'test')
    const pass: RequestHandler = (_req, _res, next) => next()
    app.use(outside ?? pass, pages.cachePage(600), inside ?? pass, view)
    const site = await Site.open(app)
    return { site, outcomes: watchOutcomes(site.origin) }
  }

  const render: RequestHandler = (_req, res) => res.render('page')

  describe('behind a layer that says how long', () => {
    const saying = (value: string, forCdns?: string): RequestHandler => {
      return (_req, res, next) => {
        onHeaders(res, () => {
          res.setHeader('Cache-Control', value)
          if (forCdns !== undefined) res.setHeader('CDN-Cache-Control', forCdns)
        })
        next()
      }
    }

    it.each([
      ['by cacheControl', cacheControl({ public: true, maxAge: 500 })],
      ['by cacheControl, beside what a page says', cacheControl({ staleWhileRevalidate: 5 })],
      ['whatever the page says', saying('public, max-age=500')],
      ['to caches like this one alone', saying('no-cache', 'max-age=60')],
    ])('are kept %s, and are one visitor’s still', async (_name, outside) => {
      const { site, outcomes } = await holedSite({ view: render, outside })
      for (const user of ['ann', 'ben', 'cem']) {
        const { text, headers } = await site.get('/p', as(user))
        expect(text.endsWith(` ${user}`)).toBe(true)
        expect(headers['cache-control']).toBe('private, no-cache')
        expect(headers).not.toHaveProperty('cdn-cache-control')
        await eventually(() => outcomes.length > 0)
      }
      expect(outcomes).toEqual(['miss', 'hit', 'hit'])
    })

    it.each([
      ['private', cacheControl({ private: true }), 'private, no-cache'],
      ['no-store', cacheControl({ noStore: true }), 'no-store'],
      ['no-cache', cacheControl({ noCache: true }), 'private, no-cache'],
      ['no-cache', neverCache(), 'max-age=0, no-cache, no-store, must-revalidate, private'],
      ['private', saying('private, no-cache'), 'private, no-cache'],
      ['private', saying('private, no-cache', 'max-age=60'), 'private, no-cache'],
    ])('are not kept where that says %s', async (reason, outside, said) => {
      const { site, outcomes } = await holedSite({ view: render, outside })
      for (const user of ['ann', 'ben']) {
        const { text, headers, cacheStatus } = await site.get('/p', as(user))
        expect(text.endsWith(` ${user}`)).toBe(true)
        expect(headers['cache-control']).toBe(said)
        expect(cacheStatus).not.toMatch(/stored/)
      }
      expect(outcomes.every((outcome) => outcome.startsWith('bypass '))).toBe(true)
      expect(outcomes[0]).toContain(reason)
    })
  })

  describe('say that they are not stored', () => {
    const others: [string, Setting][] = [
      [
        'a text with something added',
        { view: rendered('page', (res, text) => res.send(`${text}!`)) },
      ],
      [
        'a text in another one',
        { view: rendered('page', (res, text) => res.end(`<b>${text}</b>`)) },
      ],
      [
        'pieces that are another text',
        {
          view: rendered('page', (res, text) => {
            res.write('<b>')
            res.end(text)
          }),
        },
      ],
      ['compressed bytes', { view: render, inside: compression({ threshold: 0 }) }],
      ['the length of a hole', { view: (_req, res) => res.render('measured') }],
      ['the length of a hole alone', { view: (_req, res) => res.render('dropped') }],
    ]

    it.each(others)('where what is sent is %s', async (_name, setting) => {
      const { site, outcomes } = await holedSite(setting)
      for (const user of ['ann', 'ben']) {
        const headers = { 'X-User': user, 'Accept-Encoding': 'gzip' }
        const answer = await site.get('/p', { headers })
        expect(answer.cacheStatus).toMatch(/detail=holes$/)
        expect(answer.cacheStatus).not.toMatch(/stored/)
        expect(answer.headers['cache-control']).toBe('private, no-cache')
      }
      expect(outcomes).toEqual(['bypass holes', 'bypass holes'])
    })

    it('but are where the text itself is sent, whole or in pieces', async () => {
      const { site, outcomes } = await holedSite({
        view: rendered('page', (res, text) => {
          res.type('html').write(text.slice(0, 10))
          res.end(text.slice(10))
        }),
      })
      expect((await site.get('/p', as('ann'))).cacheStatus).toMatch(/stored$/)
      await eventually(() => outcomes.length === 1)
      expect((await site.get('/p', as('ben'))).text).toMatch(/ ben$/)
      expect(outcomes).toEqual(['miss', 'hit'])
    })
  })
})
