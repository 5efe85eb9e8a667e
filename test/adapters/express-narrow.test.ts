import { createRequire } from 'node:module'
import type { NextFunction, Request, Response } from 'express'
import { describe, expect, it } from 'vitest'
import { narrowRequest } from '../../adapters/express/narrow.js'
import { compileQueryRule, narrowTarget, type QueryRule } from '../../src/http/query.js'
import { expressVersions, Site } from '../support/express.js'
import { fc } from '../support/random.js'

const parseUrl = createRequire(createRequire(import.meta.url).resolve('express'))('parseurl') as {
  (req: Request): unknown
  original(req: Request): unknown
}

const keeps = compileQueryRule({ ignore: ['utm_*', 'ref'] })

/** Everything a view can see of a request's URL. */
function visible(req: Request): unknown {
  const { url, originalUrl, baseUrl, path, query } = req
  const kept = req as { _parsedUrl?: unknown; _parsedOriginalUrl?: unknown }
  return {
    ...{ url, originalUrl, baseUrl, path, query },
    memorised: [kept._parsedUrl, kept._parsedOriginalUrl],
    parsed: [parseUrl(req), parseUrl.original(req)],
  }
}

const show = (req: Request, res: Response) => void res.json(visible(req))

const parsers = ['simple', 'extended', false, (text: string) => ({ custom: text })] as const

describe.each(expressVersions)('a narrowed request in $version', ({ version, express }) => {
  /** Middleware that narrows, and says in a header what the URL was. */
  const narrowing = (test: (name: string) => boolean) =>
    function narrow(req: Request, res: Response, next: NextFunction) {
      // Whatever is memorised before must not be seen afterwards.
      parseUrl(req)
      parseUrl.original(req)
      const original = narrowRequest(req, test)
      if (original !== undefined) res.set('X-Original', original)
      next()
    }

  const read = async (site: Site, path: string) => {
    const answer = await site.get(path)
    return { seen: JSON.parse(answer.text), original: answer.headers['x-original'] }
  }

  it('shows the view only what is kept, and tells what it was', async () => {
    const site = await Site.open(express().use(narrowing(keeps)).get('/p', show))
    const { seen, original } = await read(site, '/p?a=1&utm_source=x&b=2&ref=y')
    expect(original).toBe('/p?a=1&utm_source=x&b=2&ref=y')
    expect(seen).toMatchObject({ url: '/p?a=1&b=2', originalUrl: '/p?a=1&b=2', path: '/p' })
    expect(seen.query).toEqual({ a: '1', b: '2' })
    expect(JSON.stringify(seen)).not.toMatch(/utm|ref=/)
  })

  it('is the same one where nothing goes', async () => {
    const site = await Site.open(express().use(narrowing(keeps)).get('/p', show))
    const { seen, original } = await read(site, '/p?a=1&b=2')
    expect(original).toBeUndefined()
    expect(seen.query).toEqual({ a: '1', b: '2' })
  })

  it.each(['/', '/shop', '/shop?'])('is narrow in routers and applications at %s', async (rest) => {
    const inner = express().get('/', show).get('/:id', show)
    const router = express.Router().use(narrowing(keeps)).use('/shop', inner)
    const site = await Site.open(express().use('/site', router))
    const query = rest.endsWith('?') ? 'utm_source=x&a=1' : '?utm_source=x&a=1'
    const path = rest === '/' ? '/site/shop/7' : `/site${rest}`
    const { seen } = await read(site, path + query)
    expect(seen.originalUrl).toBe(`${path.replace('?', '')}?a=1`)
    expect(seen.baseUrl).toBe('/site/shop')
    expect(seen.query).toEqual({ a: '1' })
    expect(JSON.stringify(seen)).not.toContain('utm')
  })

  it('stays narrow after the router in which it was narrowed', async () => {
    const app = express()
    app.use('/site', express.Router().use(narrowing(keeps)))
    const site = await Site.open(app.use(show))
    const { seen } = await read(site, '/site?utm_source=x')
    expect(seen).toMatchObject({ url: '/site', originalUrl: '/site', baseUrl: '', query: {} })
  })

  it('is narrow where the URL was rewritten before', async () => {
    const app = express().use((req, _res, next) => {
      req.url = `/new?ref=${req.path}&a=1`
      next()
    })
    const site = await Site.open(app.use(narrowing(keeps)).get('/new', show))
    const { seen, original } = await read(site, '/old?b=2&ref=z')
    expect(original).toBe('/old?b=2&ref=z')
    expect(seen).toMatchObject({ url: '/new?a=1', originalUrl: '/old?b=2' })
  })

  it('takes the parser of the application that parsed', async () => {
    const outer = express().set('query parser', 'simple')
    const inner = express().set('query parser', 'extended')
    const site = await Site.open(outer.use('/in', inner.use(narrowing(keeps), show)))
    const { seen } = await read(site, '/in?a[b]=1&utm_x=2')
    // Express 5 parses again, with the parser of the application at hand.
    expect(seen.query).toEqual(version === 'Express 4' ? { 'a[b]': '1' } : { a: { b: '1' } })
  })

  it('keeps what a middleware made of the query', async () => {
    const app = express().use((req, _res, next) => {
      const query = { ...req.query, page: Number(req.query.page), checked: true }
      Object.defineProperty(req, 'query', { value: query, writable: true, configurable: true })
      next()
    })
    const site = await Site.open(app.use(narrowing(keeps), show))
    const { seen } = await read(site, '/p?page=3&utm_source=x&ref=y')
    expect(seen.query).toEqual({ page: 3, checked: true })
  })

  it('keeps of a name only the spelling that counts, whatever was made of it', async () => {
    const app = express().use((req, _res, next) => {
      const query = { ...req.query, checked: true }
      Object.defineProperty(req, 'query', { value: query, writable: true, configurable: true })
      next()
    })
    const only = compileQueryRule({ only: ['page'] })
    const site = await Site.open(app.use(narrowing(only), show))
    const { seen } = await read(site, '/p?page=3&p%61ge=4&__proto__=5')
    expect(seen.query).toEqual({ page: '3', checked: true })
  })

  it('stays whole where its query is sealed, so that the key can have it all', async () => {
    const app = express().use((req, _res, next) => {
      const value = Object.freeze({ ...req.query })
      Object.defineProperty(req, 'query', { value, writable: false, configurable: false })
      next()
    })
    const site = await Site.open(app.use(narrowing(keeps), show))
    const { seen, original } = await read(site, '/p?a=1&utm_source=x')
    expect(original).toBeUndefined()
    expect(seen).toMatchObject({ url: '/p?a=1&utm_source=x', originalUrl: '/p?a=1&utm_source=x' })
  })

  const words = [
    'a',
    'b',
    '1',
    '=',
    '==',
    '%72ef',
    'ref',
    'utm_x',
    '[',
    ']',
    '[b]',
    '%5B',
    '%',
    '+',
  ]
  const text = fc
    .array(fc.constantFrom(...words, ';', '?', '%zz', '%C3%B6', '__proto__', 'page', ','), {
      maxLength: 4,
    })
    .map((parts) => parts.join(''))
  const rules: QueryRule[] = [{ ignore: ['utm_*', 'ref'] }, { only: ['a', 'page', '__proto__'] }]

  it.each(parsers)('lets the view see the narrowed URL and no more, parser: %s', async (parser) => {
    for (const rule of rules) {
      const test = compileQueryRule(rule)
      const app = express().set('query parser', parser)
      app.use('/plain', show)
      app.use('/narrow', narrowing(test), express.Router().use('/plain', show))
      const site = await Site.open(app)
      const parameters = fc.array(text, { maxLength: 6 })
      await fc.assert(
        fc.asyncProperty(parameters, async (sent) => {
          const target = `/narrow/plain?${sent.join('&')}`
          const narrow = narrowTarget(target, test)
          const { seen } = await read(site, target)
          // What the view would see had the client sent the narrowed URL.
          const { seen: alone } = await read(site, narrow)
          // Nothing is memorised of the URL that was sent.
          const memorised = [undefined, null, narrow, narrow.replace('/narrow/plain', '/')]
          for (const parsed of seen.memorised) expect(memorised).toContain(parsed?._raw)
          expect({ ...seen, memorised: [] }).toEqual({ ...alone, memorised: [] })
          const bare = await read(site, narrow.replace('/narrow', ''))
          expect(seen.query).toEqual(bare.seen.query)
        }),
        { numRuns: 40 },
      )
    }
  })
})
