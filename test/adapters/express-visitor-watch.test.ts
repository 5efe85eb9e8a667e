import { createHmac } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { request, type IncomingMessage, type RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { inspect } from 'node:util'
import v8 from 'node:v8'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import type { Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import onHeaders from 'on-headers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isPlainObject } from '../../src/value.js'
import { watchOutcomes } from '../support/cached-site.js'
import { compression, cookieParser, eventually, oneExpress, Site } from '../support/express.js'

const ANN = { headers: { Cookie: 'user=ann' } }
const BEN = { headers: { Cookie: 'user=ben' } }

const newCaches = () => createCaches({ default: new LocMemCache(), special: new LocMemCache() })
const newPages = (options?: ResponseCacheOptions) => responseCache<string>(newCaches(), options)
const userOf = (req: Request) => /user=(\w+)/.exec(req.headers.cookie ?? '')?.[1] ?? 'nobody'
/** As cookie-parser reads it. */
function signed(text: string): string {
  const signature = createHmac('sha256', 'secret').update(text).digest('base64')
  return encodeURIComponent(`s:${text}.${signature.replace(/=+$/, '')}`)
}

const greet: RequestHandler = (req, res) => void res.send(`for ${userOf(req)}`)

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fragcache-watch-'))
  writeFileSync(join(folder, 'page.njk'), 'Hello {% nocache %}{{ user }}{% endnocache %}')
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.each(oneExpress)('who reads cookies, on $version', ({ express }) => {
  const opened = (...layers: RequestHandler[]) => Site.open(express().use(...layers))

  it('is told by its reason, and says what its pages vary on', async () => {
    const site = await opened(newPages().cacheSite(), greet)
    const own = await site.get('/p', ANN)
    expect(own.cacheStatus).toBe('fragcache; fwd=uri-miss; detail=cookies-read')
    expect(own.headers).not.toHaveProperty('expires')
    const shared = await site.get('/p')
    expect(shared.cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
    expect(shared.headers.vary).toBe('Cookie')
    const hit = await site.get('/p')
    expect(hit.cacheStatus).toMatch(/^fragcache; hit/)
    expect(hit.headers.vary).toBe('Cookie')
    expect((await site.get('/p', BEN)).text).toBe('for ben')
  })

  describe('in front of the cache', () => {
    const TOKEN = '0123456789abcdef'
    const keepToken: RequestHandler = (req, res, next) => {
      res.locals['token'] = /token=([^;]+)/.exec(req.headers.cookie ?? '')?.[1]
      next()
    }
    const sendAtOnce = (res: Response, text: string) => void res.send(text)
    const sendInParts = (res: Response, text: string) => {
      res.write(text.slice(0, 12))
      res.end(text.slice(12))
    }
    const asking = (cookie: string) => ({ headers: { Cookie: cookie } })

    it.each([
      ['at once', 'a token', `token=${TOKEN}`, sendAtOnce],
      ['in parts', 'a token', `token=${TOKEN}`, sendInParts],
      ['at once', 'a part of one that is encoded', `theme=dark; token=${TOKEN}%7Chash`, sendAtOnce],
      ['at once', 'a token that is encoded', `token=%30${TOKEN.slice(1)}`, sendAtOnce],
      ['at once', 'one of Base64', `token=${TOKEN}%2B/%3D%3D`, sendAtOnce],
    ])('is seen where the page shows, %s, %s', async (_how, _what, cookie, send) => {
      const site = await opened(keepToken, newPages().cacheSite(), (_req, res) => {
        const told: unknown = res.locals['token']
        send(res, `a form with ${decodeURIComponent(String(told)).split('|').join(' and ')}`)
      })
      for (let i = 0; i < 2; i++) {
        const { text, cacheStatus } = await site.get('/p', asking(cookie))
        expect(text).toContain(TOKEN)
        // What is sent in parts is judged after the headers.
        expect(cacheStatus).toMatch(send === sendInParts ? /fwd=/ : /detail=cookies-read$/)
      }
    })

    it.each<[string, Record<string, string>, (text: string) => Buffer]>([
      ['gzip', { 'Content-Encoding': 'gzip' }, (text) => gzipSync(text)],
      ['Brotli', { 'Content-Encoding': 'BR' }, (text) => brotliCompressSync(text)],
      ['deflate', { 'Content-Encoding': 'deflate' }, (text) => deflateSync(text)],
      ['a coding that is not known', { 'Content-Encoding': 'rot13' }, (text) => Buffer.from(text)],
      ['gzip that is none', { 'Content-Encoding': 'gzip' }, (text) => Buffer.from(text)],
      [
        'characters of two bytes',
        { 'Content-Type': 'text/html; charset=UTF-16LE' },
        (text) => Buffer.from(text, 'utf16le'),
      ],
    ])('is seen in %s, too', async (_what, headers, encode) => {
      let runs = 0
      const site = await opened(keepToken, newPages().cacheSite(), (_req, res) => {
        runs++
        res.set(headers).end(encode(`a form with ${String(res.locals['token'])}`))
      })
      // The client does not understand all of them.
      const ask = async (token: string) => {
        const { port } = new URL(site.origin)
        const asked = request({ port, path: '/p', headers: { Cookie: `token=${token}` } })
        asked.end()
        const [answer] = (await once(asked, 'response')) as [IncomingMessage]
        answer.resume()
        return answer.headers['cache-status']
      }
      for (const token of [TOKEN, `${TOKEN}1`]) {
        expect(await ask(token)).toBe('fragcache; fwd=uri-miss; detail=cookies-read')
      }
      expect(runs).toBe(2)
    })

    it.each<[string, string, string, (token: string) => string | Buffer]>([
      ['a link', 'ab/cd+ef', '12345678', encodeURIComponent],
      [
        'a script',
        'ab/cd+ef',
        '12345678',
        (token) => JSON.stringify(token).replaceAll('/', '\\u002F'),
      ],
      ['HTML', 'ab/cd+ef', '12345678', (token) => token.replaceAll('/', '&#x2F;')],
      ['capitals', 'abcdef', '12345678', (token) => token.toUpperCase()],
      ['short parts', 'a1b2c3d4.e5f6', 'a7b8.c9d0e1f2', (token) => token],
      ['two bytes each', 'abcdef', '12345678', (token) => Buffer.from(token, 'utf16le')],
    ])('is seen in %s, however it is escaped', async (_what, begin, end, show) => {
      const token = begin + end
      const site = await opened(keepToken, newPages().cacheSite(), (_req, res) => {
        const shown = show(String(res.locals['token']))
        res.end(Buffer.concat([Buffer.from('for '), Buffer.from(shown)]))
      })
      const { cacheStatus } = await site.get('/p', asking(`token=${token}`))
      expect(cacheStatus).toMatch(/detail=cookies-read$/)
    })

    it('is seen in a header of the page, and in none that a layer in front sets again', async () => {
      const site = await opened(
        keepToken,
        (_req, res, next) => {
          res.set('X-Front', String(res.locals['token']))
          next()
        },
        newPages().cacheSite(),
        (req, res) => {
          if (req.path === '/own') res.set('X-Csrf-Token', String(res.locals['token']))
          if (req.path === '/parts')
            res.append('Link', `</${String(res.locals['token'])}>`).write('a')
          res.end('page')
        },
      )
      const visit = async (path: string) =>
        (await site.get(path, asking(`token=${TOKEN}`))).cacheStatus
      expect(await visit('/own')).toMatch(/detail=cookies-read$/)
      expect(await visit('/parts')).toMatch(/detail=cookies-read$/)
      expect(await visit('/front')).toMatch(/stored$/)
    })

    it('does not keep a page from being stored that a layer in front compresses', async () => {
      let runs = 0
      const site = await opened(
        compression({ threshold: 0 }),
        newPages().cacheSite(),
        (_req, res) => {
          runs++
          res.type('html')
          sendInParts(res, 'a long page for all')
        },
      )
      for (const visitor of ['a', 'b', 'c']) {
        const { text } = await site.get('/p', asking(`token=${TOKEN}${visitor}`))
        expect(text).toBe('a long page for all')
      }
      expect(runs).toBe(1)
    })

    it('and not in a compressed page that does not show it', async () => {
      const site = await opened(newPages().cacheSite(), (_req, res) => {
        res.set('Content-Encoding', 'gzip').end(gzipSync('page'))
      })
      expect((await site.get('/p', asking(`token=${TOKEN}`))).cacheStatus).toMatch(/stored$/)
    })

    it('lets no shared cache have what is sent before it is whole, and keeps the page', async () => {
      const site = await opened(newPages().cacheSite(), (_req, res) => {
        sendInParts(res, 'a long page for all')
      })
      const first = await site.get('/p', asking(`token=${TOKEN}`))
      expect(first.headers['cache-control']).toBe('private, no-cache')
      const hit = await site.get('/p', asking(`token=${TOKEN}1`))
      expect(hit.cacheStatus).toMatch(/^fragcache; hit/)
      expect(hit.headers['cache-control']).toMatch(/^max-age=/)
      const ofAnn = await site.get('/other', ANN)
      expect(ofAnn.headers['cache-control']).toMatch(/^max-age=/)
    })

    it('decides of the request alone that shows a word of the page in its cookie', async () => {
      const word = 'shipping-2026'
      const site = await opened(keepToken, newPages().cacheSite(), (_req, res) => {
        res.send(`${word} from today`)
      })
      const own = await site.get('/p', asking(`a=${word}`))
      expect(own.cacheStatus).toBe('fragcache; fwd=uri-miss; detail=cookies-read')
      expect((await site.get('/p', ANN)).cacheStatus).toMatch(/stored$/)
      expect((await site.get('/p', BEN)).cacheStatus).toMatch(/^fragcache; hit/)
    })

    it('keeps nobody else from waiting for one page', async () => {
      let runs = 0
      const site = await opened(newPages().cacheSite(), (_req, res) => {
        runs++
        setTimeout(() => res.send(`${TOKEN} in the page`), 50)
      })
      const crafted = site.get('/p', asking(`c=${TOKEN}`))
      await eventually(() => runs === 1)
      await Promise.all(Array.from({ length: 20 }, (_, i) => site.get('/p', asking(`u=${i}`))))
      expect((await crafted).cacheStatus).toMatch(/detail=cookies-read$/)
      expect(runs).toBe(2)
    })

    it.each([
      ['a word', 'theme=high-contrast-dark'],
      ['the name of a cookie', 'cookie-consent-2026=yes'],
    ])('is not taken for %s of the page', async (_what, cookie) => {
      const site = await opened(newPages().cacheSite(), (_req, res) => {
        res.send('high-contrast-dark, cookie-consent-2026')
      })
      expect((await site.get('/p', asking(cookie))).cacheStatus).toMatch(/stored$/)
      expect((await site.get('/p', ANN)).cacheStatus).toMatch(/^fragcache; hit/)
    })

    it('is not looked for in what is too large, which is then not shared', async () => {
      const site = await opened(newPages({ maxBodyBytes: 10 }).cacheSite(), (_req, res) => {
        res.end('too large to be stored')
      })
      const control = async (cookie: string) =>
        (await site.get('/p', asking(cookie))).headers['cache-control']
      expect(await control('user=ann')).toMatch(/max-age/)
      expect(await control(`token=${TOKEN}`)).toBeUndefined()
    })

    it('is looked for in a bounded number of cookies, and more are not shared', async () => {
      const many = (count: number) =>
        asking(Array.from({ length: count }, (_, i) => `c${i}=${TOKEN}${i}`).join('; '))
      const site = await opened(newPages().cacheSite(), (_req, res) => void res.send('page'))
      expect((await site.get('/p', many(65))).cacheStatus).toMatch(/detail=cookies-read$/)
      expect((await site.get('/p', many(64))).cacheStatus).toMatch(/stored$/)
    })
  })

  it.each<[string, ResponseCacheOptions, (res: Response) => unknown]>([
    ['says public', {}, (res) => res.set('Cache-Control', 'public, max-age=60')],
    ['varies on Cookie', {}, (res) => res.vary('Cookie')],
    ['is nobody’s, as the site says', { isPersonal: () => false }, () => undefined],
    ['is nobody’s in any case', { isPersonal: false }, () => undefined],
  ])('is of no matter where the page %s', async (_name, options, say) => {
    let runs = 0
    const site = await opened(newPages(options).cacheSite(), (req, res) => {
      say(res)
      res.send(`run ${++runs}, ${userOf(req).length > 0}`)
    })
    const first = await site.get('/p', ANN)
    expect(first.cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
    expect((await site.get('/p', ANN)).text).toBe(first.text)
  })

  it.each(['in front', 'behind'])('fails no page where req.user throws %s', async (place) => {
    const app = express()
    const give: RequestHandler = (req, _res, next) => {
      Object.defineProperty(req, 'user', {
        get: () => {
          throw new Error(`no session for ${userOf(req)}`)
        },
      })
      next()
    }
    if (place === 'in front') app.use(give)
    app.use(newPages({ isPersonal: false }).cacheSite())
    if (place === 'behind') app.use(give)
    app.get('/p', (_req, res) => void res.send('page'))
    const site = await Site.open(app)
    const { status, text, cacheStatus } = await site.get('/p', ANN)
    expect([status, text]).toEqual([200, 'page'])
    // Who is made known behind, and how, is not known: the page is not for others.
    expect(cacheStatus).toMatch(place === 'behind' ? /detail=personal$/ : /stored$/)
  })

  it.each(['cachePage', 'cacheSite'])(
    'is remembered of its route, for pages that are made without (%s)',
    async (kind) => {
      const pages = newPages()
      const app = express()
      if (kind === 'cacheSite') app.use(pages.cacheSite())
      const view: RequestHandler = (req, res) => {
        res.send(req.params['id'] === '2' ? `for ${userOf(req)}` : `run for ${req.url}`)
      }
      if (kind === 'cacheSite') app.get('/i/:id', view)
      else app.get('/i/:id', pages.cachePage(60), view)
      const site = await Site.open(app)
      await site.get('/i/1')
      expect((await site.get('/i/1', ANN)).cacheStatus).toMatch(/^fragcache; hit/)
      await site.get('/i/2', ANN)
      expect((await site.get('/i/1', ANN)).cacheStatus).toBe(
        'fragcache; fwd=bypass; detail=cookies-read',
      )
      expect((await site.get('/i/3')).headers.vary).toBe('Cookie')
      expect((await site.get('/i/3', ANN)).cacheStatus).toMatch(/detail=cookies-read$/)
    },
  )

  const onDemand: RequestHandler = (req, res) => {
    if (req.headers['x-read'] === undefined) res.send('for all')
    else res.send(`for ${userOf(req)}`)
  }

  it('is remembered of its URL where there is no route', async () => {
    const site = await opened(newPages().cacheSite(), onDemand)
    await site.get('/p', { headers: { ...ANN.headers, 'X-Read': '1' } })
    expect((await site.get('/p')).headers.vary).toBe('Cookie')
    expect((await site.get('/p', ANN)).cacheStatus).toMatch(/detail=cookies-read$/)
  })

  it('is told to other processes where they have a page already', async () => {
    const caches = newCaches()
    const options = { honorRequestDirectives: true }
    const [here, there] = [responseCache(caches, options), responseCache(caches, options)]
    const site = await opened(here.cacheSite(), onDemand)
    const other = await opened(there.cacheSite(), onDemand)
    const headers = { ...ANN.headers, Host: 'a.test' }
    await site.get('/p', { headers: { Host: 'a.test' } })
    expect((await site.get('/p', { headers })).cacheStatus).toMatch(/^fragcache; hit/)
    await other.get('/p', { headers: { ...headers, 'X-Read': '1', 'Cache-Control': 'no-cache' } })
    expect((await site.get('/p', { headers })).cacheStatus).not.toMatch(/^fragcache; hit/)
  })

  it('after the first bytes are out keeps the page from being stored', async () => {
    const site = await opened(newPages().cacheSite(), (req, res) => {
      res.write('for ')
      setImmediate(() => res.end(userOf(req)))
    })
    const outcomes = watchOutcomes(site.origin)
    await site.get('/p')
    await eventually(() => outcomes.length === 1)
    expect((await site.get('/p', ANN)).text).toBe('for ann')
    await eventually(() => outcomes.length === 2)
    expect(outcomes).toEqual(['bypass cookies-read', 'bypass cookies-read'])
  })

  it('around the cache, while the headers are made, is not the page', async () => {
    const site = await opened(
      (req, res, next) => {
        onHeaders(res, () => void res.setHeader('X-User', userOf(req)))
        next()
      },
      newPages().cacheSite(),
      (_req, res) => void res.send('page'),
    )
    expect((await site.get('/p', ANN)).cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
    expect((await site.get('/p', BEN)).cacheStatus).toMatch(/^fragcache; hit/)
  })

  it('and knows a visitor without any gives no page that was made for those without', async () => {
    const site = await opened(
      (req, _res, next) => {
        if (req.headers['x-user'] !== undefined) Object.assign(req, { user: req.headers['x-user'] })
        next()
      },
      newPages().cacheSite(),
      (req, res) => {
        void userOf(req)
        res.send(`for ${String((req as { user?: string }).user)}`)
      },
    )
    await site.get('/p')
    expect((await site.get('/p', { headers: { 'X-User': 'ann' } })).text).toBe('for ann')
  })

  it.each([
    ['for the holes of a page', ANN, BEN],
    [
      'that holds a token for a hole',
      { headers: { Cookie: 'user=0123456789abcdef' } },
      { headers: { Cookie: 'user=fedcba9876543210' } },
    ],
  ])('%s does not make the page a visitor’s', async (_what, ann, ben) => {
    const nameIn = ({ headers }: typeof ANN) => headers.Cookie.replace('user=', '')
    const caches = newCaches()
    const env = new nunjucks.Environment(new nunjucks.FileSystemLoader(folder))
    const engine = registerCache(env, caches)
    const app = express()
    env.express(app)
    const pages = responseCache(caches, {
      holes: { engines: [engine], context: (req) => ({ user: userOf(req) }) },
    })
    app.use(pages.cacheSite(), (_req, res) => res.render('page.njk'))
    const site = await Site.open(app)
    const outcomes = watchOutcomes(site.origin)
    expect((await site.get('/p', ann)).text).toBe(`Hello ${nameIn(ann)}`)
    await eventually(() => outcomes.length === 1)
    expect((await site.get('/p', ben)).text).toBe(`Hello ${nameIn(ben)}`)
    expect(outcomes).toEqual(['miss', 'hit'])
  })

  it('in front of one cache and behind another makes pages of neither for all', async () => {
    const pages = newPages()
    const site = await opened(
      pages.cacheSite(),
      (req, res, next) => {
        res.locals['user'] = userOf(req)
        next()
      },
      pages.cachePage(60, { cache: 'special' }),
      (_req, res) => void res.send(`for ${String(res.locals['user'])}`),
    )
    for (let round = 0; round < 2; round++) {
      expect((await site.get('/p', ANN)).text).toBe('for ann')
      expect((await site.get('/p')).text).toBe('for nobody')
      expect((await site.get('/p', BEN)).text).toBe('for ben')
    }
  })

  it.each([
    ['that is there', cookieParser(), ANN],
    ['that is missing', cookieParser(), { headers: { Cookie: 'theme=dark' } }],
    ['that is signed', cookieParser('secret'), { headers: { Cookie: `user=${signed('ann')}` } }],
    [
      'of a frozen object',
      ((req, _res, next) => {
        req.cookies = Object.freeze({ user: req.get('Cookie')?.slice('user='.length) })
        next()
      }) as RequestHandler,
      ANN,
    ],
  ])(
    'is seen where a layer in front has put what it parsed elsewhere: %s',
    async (what, parse, first) => {
      const site = await opened(
        parse,
        (req, res, next) => {
          res.locals['cookies'] = what === 'that is signed' ? req.signedCookies : req.cookies
          next()
        },
        newPages().cacheSite(),
        (_req, res) => {
          const { user = 'nobody' } = res.locals['cookies'] as { user?: string }
          res.send(`for ${user}`)
        },
      )
      const second = what === 'that is signed' ? `user=${signed('ben')}` : 'user=ben'
      const expected = what === 'that is missing' ? 'for nobody' : 'for ann'
      for (let round = 0; round < 2; round++) {
        expect((await site.get('/p', first)).text).toBe(expected)
        expect((await site.get('/p')).text).toBe('for nobody')
        expect((await site.get('/p', { headers: { Cookie: second } })).text).toBe('for ben')
      }
    },
  )

  it.each([
    ['a parser gives to several requests', true],
    ['two caches watch', false],
  ])('is seen in an object of cookies that %s', async (_who, isKept) => {
    const parsed = new Map<string, object>()
    const site = await opened(
      (req, res, next) => {
        const { cookie = '' } = req.headers
        const known = (isKept && parsed.get(cookie)) || Object.fromEntries([cookie.split('=')])
        parsed.set(cookie, known)
        res.locals['cookies'] = req.cookies = known
        next()
      },
      newPages().cacheSite(),
      newPages().cachePage(60),
      (_req, res) => {
        const { user = 'nobody' } = res.locals['cookies'] as { user?: string }
        res.send(`for ${user}`)
      },
    )
    for (let round = 0; round < 3; round++) {
      expect((await site.get(`/${round}`, ANN)).text).toBe('for ann')
      expect((await site.get(`/${round}`, BEN)).text).toBe('for ben')
    }
    const [shared] = parsed.values()
    let depth = 0
    for (let at = shared; at !== undefined && at !== null; depth++)
      at = Object.getPrototypeOf(at) as object
    expect(depth).toBeLessThan(6)
  })

  it('is not taken for granted where two caches watch the same object', async () => {
    const pages = newPages()
    let runs = 0
    const site = await opened(
      cookieParser(),
      pages.cacheSite(),
      pages.cachePage(60, { cache: 'special' }),
      (_req, res) => void res.send(`run ${++runs}`),
    )
    expect((await site.get('/p', ANN)).text).toBe('run 1')
    expect((await site.get('/p', BEN)).text).toBe('run 1')
    expect((await site.get('/p')).text).toBe('run 1')
  })

  it('is seen where a layer in front had Node make headersDistinct', async () => {
    const site = await opened(
      (req, _res, next) => {
        void req.headersDistinct
        next()
      },
      newPages().cacheSite(),
      (req, res) => void res.send(`for ${req.headersDistinct['cookie']?.[0] ?? 'nobody'}`),
    )
    expect((await site.get('/p', ANN)).text).toBe('for user=ann')
    expect((await site.get('/p')).text).toBe('for nobody')
    expect((await site.get('/p', BEN)).text).toBe('for user=ben')
  })

  it('in a copy of all headers keeps pages apart, and leaves Vary to whom it is handed to', async () => {
    const site = await opened(newPages().cacheSite(), (req, res) => {
      const copy = new Map(Object.entries(req.headers))
      res.send(`for ${String(copy.get('cookie') ?? 'nobody')}`)
    })
    expect((await site.get('/p')).headers).not.toHaveProperty('vary')
    expect((await site.get('/p')).cacheStatus).toMatch(/^fragcache; hit/)
    expect((await site.get('/p', ANN)).text).toBe('for user=ann')
    expect((await site.get('/p', BEN)).text).toBe('for user=ben')
  })

  it('is the answer’s to say by the letter of the RFC', async () => {
    const site = await opened(newPages({ rfc9111: true }).cacheSite(), (req, res) => {
      void userOf(req)
      res.set('Cache-Control', 'max-age=60').send('page')
    })
    const first = await site.get('/p', ANN)
    expect(first.headers).not.toHaveProperty('vary')
    expect((await site.get('/p', BEN)).cacheStatus).toMatch(/hit/)
  })

  it('is not the cache itself, when a view asks for its key', async () => {
    const pages = newPages()
    const site = await opened(pages.cacheSite(), (req, res, next) => {
      pages.getCacheKey(req).then(() => res.send('page'), next)
    })
    expect((await site.get('/p', ANN)).cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
    expect((await site.get('/p', BEN)).cacheStatus).toMatch(/^fragcache; hit/)
  })

  it('is judged in front of Express by what was received', async () => {
    const pages = newPages()
    const listener = pages.listener(
      express().use((req, res) => void res.send(`for ${String((req as { who?: string }).who)}`)),
    )
    const stripping: RequestListener = (req, res) => {
      Object.assign(req, { who: req.headers.cookie ?? 'nobody' })
      delete req.headers.cookie
      listener(req, res)
    }
    const site = await Site.open(stripping)
    expect((await site.get('/p', ANN)).text).toBe('for user=ann')
    expect((await site.get('/p')).text).toBe('for nobody')
    expect((await site.get('/p', BEN)).text).toBe('for user=ben')
  })

  describe('harms nothing that a view does with its request', () => {
    /** What a view makes of its request, with the cache and without. */
    async function compared(
      see: (req: Request) => unknown,
      front: RequestHandler = (_q, _r, next) => next(),
    ) {
      const view: RequestHandler = (req, res) => void res.json({ seen: see(req) })
      const plain = await opened(front, view)
      const site = await opened(front, newPages().cacheSite(), view)
      for (const cookie of [undefined, 'user=ann']) {
        const headers = {
          Host: 'a.test',
          'X-A': '1',
          ...(cookie !== undefined && { Cookie: cookie }),
        }
        const expected = await plain.get('/p', { headers })
        expect(expected.status).toBe(200)
        const { status, text } = await site.get('/p', { headers })
        expect([status, text]).toEqual([200, expected.text])
      }
    }

    it.each<[string, (req: Request) => unknown]>([
      ['structuredClone', (req) => structuredClone(req.headers)],
      ['v8.serialize', (req) => v8.deserialize(v8.serialize(req.headers)) as unknown],
      [
        'postMessage',
        (req) => {
          const { port1, port2 } = new MessageChannel()
          port1.postMessage(req.headers)
          port1.close()
          port2.close()
        },
      ],
      ['inspect', (req) => inspect(req.headers)],
      ['JSON', (req) => req.headers],
      ['keys', (req) => [Object.keys(req.headers), Object.entries(req.headers)]],
      ['in', (req) => ['cookie' in req.headers, 'host' in req.headers, 'toString' in req.headers]],
      ['hasOwn', (req) => Object.hasOwn(req.headers, 'x-a')],
      ['new Headers', (req) => [...new Headers(req.headers as Record<string, string>)]],
      ['symbols', (req) => Object.getOwnPropertySymbols(req.headers)],
      [
        'writing',
        (req) => {
          req.headers['x-a'] = '2'
          req.headers['x-b'] = '3'
          delete req.headers.host
          return [req.headers, req.get('X-A'), req.get('Host')]
        },
      ],
      [
        'replacing',
        (req) => {
          req.headers = { 'x-a': '4' }
          req.rawHeaders = ['X-A', '4']
          return [req.headers, req.rawHeaders, req.get('X-A')]
        },
      ],
      ['rawHeaders', (req) => req.rawHeaders],
      ['headersDistinct', (req) => req.headersDistinct],
    ])('%s', async (_name, see) => compared(see))

    it('frozen headers', async () => {
      await compared(
        (req) => req.headers,
        (req, _res, next) => (Object.freeze(req.headers), next()),
      )
    })

    it.each<[string, (req: Request) => unknown]>([
      ['structuredClone', (req) => structuredClone(req.cookies as object)],
      ['inspect', (req) => inspect(req.cookies)],
      ['JSON', (req) => req.cookies as unknown],
      ['keys', (req) => Object.entries(req.cookies as object)],
      ['missing', (req) => [(req.cookies as { a?: string }).a, 'a' in (req.cookies as object)]],
      ['writing', (req) => Object.assign(req.cookies as object, { user: 'ben', a: '1' })],
      ['a value of the cache', (req) => isPlainObject(req.cookies as object)],
    ])('req.cookies, %s', async (_name, see) => compared(see, cookieParser()))

    const cookies = () => new Map([['a', '1']])
    it.each<[string, (req: Request) => void]>([
      ['a Map', (req) => Object.assign(req, { cookies: cookies() })],
      ['a getter', (req) => Object.defineProperty(req, 'cookies', { get: cookies })],
      [
        'a getter that can be changed',
        (req) => Object.defineProperty(req, 'cookies', { get: cookies, configurable: true }),
      ],
      ['read-only', (req) => Object.defineProperty(req, 'cookies', { value: cookies() })],
    ])('req.cookies as %s', async (_name, put) => {
      await compared(
        (req) => (req as unknown as { cookies: Map<string, string> }).cookies.get('a'),
        (req, _res, next) => (put(req), next()),
      )
    })
  })
})

describe.each(oneExpress)('a cache that only reads, on $version', ({ express }) => {
  it.each(['cacheSite', 'cachePage'] as const)(
    'takes nothing from a %s around it',
    async (kind) => {
      const [around, inside] = [newPages(), newPages()]
      let runs = 0
      const outer = kind === 'cacheSite' ? around.cacheSite() : around.cachePage(60)
      const site = await Site.open(
        express().use(
          outer,
          inside.fetchFromCache(),
          (_req, res) => void res.send(`run ${++runs}`),
        ),
      )
      expect((await site.get('/p')).cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
      expect((await site.get('/p')).text).toBe('run 1')
    },
  )
})
