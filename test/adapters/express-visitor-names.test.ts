import type { Request, RequestHandler } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { expressVersions, Site } from '../support/express.js'

/* A visitor may be known by any of the names by which templates are watched. */

const NAMES = ['user', 'auth', 'currentUser', 'visitor', 'account', 'cart', '_csrf'] as const

type Known = Partial<Record<string, unknown>>
const known = (req: Request) => req as unknown as Known

const keyOf = (req: Request) => req.get('X-Api-Key')

const makeKnown =
  (name: string, give: (key: string) => unknown = (key) => ({ key })): RequestHandler =>
  (req, _res, next) => {
    const key = keyOf(req)
    if (key !== undefined) known(req)[name] = give(key)
    next()
  }

const newPages = () => responseCache(createCaches({ default: new LocMemCache() }))

let routes = 0

describe.each(expressVersions)('who is known on $version', ({ express }) => {
  describe.each(['in front', 'behind'] as const)('by a layer %s', (place) => {
    it.each(NAMES)('as req.%s gets no other’s page', async (name) => {
      const warnings: string[] = []
      const spy = vi.spyOn(process, 'emitWarning').mockImplementation(((text: string) => {
        warnings.push(text)
      }) as never)
      onTestFinished(() => spy.mockRestore())
      const layers = [makeKnown(name), newPages().cacheSite() as RequestHandler]
      const app = express().use(...(place === 'in front' ? layers : layers.reverse()))
      const path = `/names-${++routes}`
      app.get(path, (req, res) => {
        res.send(`for ${(known(req)[name] as { key?: string } | undefined)?.key ?? 'nobody'}`)
      })
      const site = await Site.open(app)
      for (const key of ['ann', 'ben', 'ann']) {
        const { text, cacheStatus } = await site.get(path, { headers: { 'X-Api-Key': key } })
        expect([text, cacheStatus]).toEqual([`for ${key}`, expect.not.stringContaining('stored')])
      }
      for (const kept of ['stored', 'hit']) {
        const { text, cacheStatus } = await site.get(path)
        expect([text, cacheStatus]).toEqual(['for nobody', expect.stringContaining(kept)])
      }
      const isTold = warnings.some((text) => text.includes(path) && text.includes(`req.${name}`))
      expect(isTold).toBe(place === 'behind')
    })
  })

  it.each<[string, string, unknown]>([
    ['a function', 'csrfToken', () => 'token'],
    ['a function', 'flash', () => []],
    ['an empty list', 'cart', []],
    ['nothing', 'cart', {}],
    ['nobody', 'currentUser', null],
    ['no text', '_csrf', ''],
  ])('is nobody by %s as req.%s', async (_what, name, value) => {
    const app = express()
    app.use(
      makeKnown(name, () => value),
      newPages().cacheSite(),
      (_req, res) => {
        res.send('for all')
      },
    )
    const site = await Site.open(app)
    const headers = { 'X-Api-Key': 'ann' }
    for (const kept of ['stored', 'hit']) {
      expect((await site.get('/', { headers })).cacheStatus).toContain(kept)
    }
  })
})
