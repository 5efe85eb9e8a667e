import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { gunzipSync } from 'node:zlib'
import type { NextFunction, Request, Response } from 'express'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { FileBasedCache } from 'fragcache/file'
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import {
  comparable,
  compression,
  eventually,
  expressVersions,
  session,
  Site,
} from '../support/express.js'
import { folderOfFile } from '../support/folders.js'

type View = (req: Request, res: Response, next: NextFunction) => unknown

const folder = folderOfFile()

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['FileBasedCache', () => new FileBasedCache({ location: mkdtempSync(join(folder, 'cache-')) })],
  ['a cache that answers late', () => new AsyncTestCache()],
]

/** Moves the clock; everything but `Date` stays real. */
function stopClock(): { advance(seconds: number): void } {
  vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
  onTestFinished(() => void vi.useRealTimers())
  return { advance: (seconds) => vi.setSystemTime(Date.now() + seconds * 1000) }
}

describe.each(expressVersions)('$version', ({ express }) => {
  /** A site of one view behind `cachePage`, and how often it ran. */
  async function siteOf(
    view: View,
    {
      cache = new LocMemCache(),
      seconds = 600,
      before = [] as View[],
      ...options
    }: ResponseCacheOptions & { cache?: Cache; before?: View[] } = {},
  ) {
    const runs = { count: 0 }
    const app = express()
    const pages = responseCache<string>(createCaches({ default: cache }), options)
    for (const middleware of before) app.use(middleware)
    app.all(/.*/, pages.cachePage(seconds), (req, res, next) => {
      runs.count++
      return view(req, res, next)
    })
    return { site: await Site.open(app), runs, pages, app }
  }

  describe.each(backends)('a page in %s', (_name, newCache) => {
    it('is made once, and then has the same status, headers and bytes', async () => {
      const { site, runs } = await siteOf(
        (_req, res) => {
          res.set('X-Custom', 'é').append('Link', '</a>; rel=next')
          res.append('Link', '</b>; rel=prev').send(`<p>${'ü'.repeat(5000)}</p>`)
        },
        { cache: newCache() },
      )
      const cold = await site.get('/p')
      const warm = await site.get('/p')
      expect(runs.count).toBe(1)
      expect(warm.status).toBe(200)
      expect(warm.body.equals(cold.body)).toBe(true)
      expect(comparable(warm)).toEqual(comparable(cold))
      expect(comparable(warm).filter((line) => line.startsWith('Link'))).toEqual([
        'Link: </a>; rel=next',
        'Link: </b>; rel=prev',
      ])
      expect(cold.cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
      expect(warm.cacheStatus).toMatch(/^fragcache; hit; ttl=(600|599)$/)
      expect(cold.headers.age).toBeUndefined()
      expect(warm.headers.age).toBe('0')
    })

    it('varies as the response says, and keeps absent and empty apart', async () => {
      const { site, runs } = await siteOf(
        (req, res) => {
          res.vary('X-T').send(`T=${String(req.headers['x-t'])}`)
        },
        { cache: newCache() },
      )
      const asked = [{ 'X-T': '1' }, { 'X-T': '2' }, {}, { 'X-T': '' }]
      for (const headers of asked) await site.get('/p', { headers })
      const texts = []
      for (const headers of asked) texts.push((await site.get('/p', { headers })).text)
      expect(texts).toEqual(['T=1', 'T=2', 'T=undefined', 'T='])
      expect(runs.count).toBe(4)
    })

    it('is dropped by invalidate in every variant, and no other page is', async () => {
      const { site, runs, pages } = await siteOf(
        (req, res) => {
          res.vary('X-T').send(`run ${runs.count} ${req.url}`)
        },
        { cache: newCache() },
      )
      for (const path of ['/p', '/q']) {
        for (const t of ['1', '2']) await site.get(path, { headers: { 'X-T': t } })
      }
      expect(runs.count).toBe(4)
      await pages.invalidate(`${site.origin}/p`)
      expect((await site.get('/p', { headers: { 'X-T': '1' } })).text).toBe('run 5 /p')
      expect((await site.get('/p', { headers: { 'X-T': '2' } })).text).toBe('run 6 /p')
      expect((await site.get('/q', { headers: { 'X-T': '2' } })).text).toBe('run 4 /q')
      expect((await site.get('/p', { headers: { 'X-T': '1' } })).text).toBe('run 5 /p')
      expect(runs.count).toBe(6)
    })

    it('is live until its second, and not in it', async () => {
      const clock = stopClock()
      const { site, runs } = await siteOf((_req, res) => res.send(`run ${runs.count}`), {
        cache: newCache(),
      })
      const cold = await site.get('/p')
      expect(cold.headers.expires).toBe('Tue, 14 Nov 2023 22:23:20 GMT')
      clock.advance(599)
      const warm = await site.get('/p')
      expect(warm.text).toBe('run 1')
      expect(warm.cacheStatus).toBe('fragcache; hit; ttl=1')
      clock.advance(1)
      expect((await site.get('/p')).text).toBe('run 2')
    })
  })

  describe('every way of answering', () => {
    const ways: Record<string, View> = {
      'send a text': (_req, res) => res.send('<p>ü</p>'),
      'send bytes': (_req, res) => res.send(Buffer.from([0, 1, 254, 255])),
      'send nothing': (_req, res) => res.send(),
      json: (_req, res) => res.json({ a: 'ü' }),
      jsonp: (_req, res) => res.jsonp({ a: 1 }),
      render: (_req, res) => res.render('page', { name: 'ü' }),
      sendStatus: (_req, res) => res.sendStatus(200),
      sendFile: (_req, res) => res.sendFile(join(folder, 'file.txt')),
      end: (_req, res) => res.end('ü'),
      'end without a body': (_req, res) => res.end(),
      'end in another encoding': (_req, res) => res.end('fffe00', 'hex'),
      'end with a callback': (_req, res) => res.end('x', () => undefined),
      'write in pieces': (_req, res) => {
        res.write('a')
        res.write(Buffer.from('b'), () => undefined)
        res.write('w7w=', 'base64')
        setTimeout(() => {
          res.write(new Uint8Array([100]))
          res.end('e')
        }, 5)
      },
      'writeHead with an object': (_req, res) => {
        res.writeHead(200, { 'Content-Type': 'text/x', 'X-A': ['1', '2'] }).end('x')
      },
      'writeHead with an array': (_req, res) => {
        res.writeHead(200, ['Content-Type', 'text/x', 'X-A', '1', 'X-B', '2']).end('x')
      },
      'writeHead with a message': (_req, res) => {
        res.writeHead(200, 'Fine', { 'Content-Length': '1' }).end('x')
      },
      'a status message': (_req, res) => {
        res.statusMessage = 'Fine'
        res.send('x')
      },
      'headers flushed first': (_req, res) => {
        res.type('text/x').flushHeaders()
        res.end('x')
      },
      'early hints first': (_req, res) => {
        res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
        res.send('x')
      },
      pipe: (_req, res) => Readable.from(['a', Buffer.from('b'), 'ü']).pipe(res),
      pipeline: (_req, res) => pipeline(Readable.from(['a', 'b']), res),
      'pipes one after another': async (_req, res) => {
        await pipeline(Readable.from(['a', 'b']), res, { end: false })
        await pipeline(Readable.from(['c']), res)
      },
      'a transfer coding of its own accord': (_req, res) => {
        res.set('Transfer-Encoding', 'chunked').end('x')
      },
      'a buffer used again': (_req, res) => {
        const buffer = Buffer.from('aaa')
        res.write(buffer, () => {
          buffer.fill('b')
          res.end(buffer)
        })
      },
    }

    beforeAll(() => {
      writeFileSync(join(folder, 'file.txt'), 'a file')
    })

    it.each(Object.entries(ways))('%s', async (_name, view) => {
      const app = express()
      app.engine('x', (_path, options, done) =>
        done(null, `Hello ${(options as { name: string }).name}`),
      )
      app.set('view engine', 'x').set('views', folder)
      writeFileSync(join(folder, 'page.x'), '')
      const pages = responseCache(createCaches({ default: new LocMemCache() }))
      let runs = 0
      app.get(/.*/, pages.cachePage(600), (req, res, next) => {
        runs++
        return view(req, res, next)
      })
      // The same view without the cache.
      app.use((req, res, next) => view(req, res, next) as void)
      const bare = express()
      bare.engine('x', (_path, options, done) =>
        done(null, `Hello ${(options as { name: string }).name}`),
      )
      bare.set('view engine', 'x').set('views', folder)
      bare.use((req, res, next) => view(req, res, next) as void)
      const site = await Site.open(app)
      const without = await (await Site.open(bare)).get('/p')
      const cold = await site.get('/p')
      const warm = await site.get('/p')
      expect(runs).toBe(1)
      for (const answer of [cold, warm]) {
        expect(answer.status).toBe(without.status)
        expect(answer.statusMessage).toBe(without.statusMessage)
        expect(answer.body.equals(without.body)).toBe(true)
      }
      const own = /^(cache-control|expires|date|content-length):/i
      const lines = (answer: typeof cold) => comparable(answer).filter((line) => !own.test(line))
      expect(lines(cold)).toEqual(lines(without))
      expect(lines(warm)).toEqual(lines(without))
      expect(warm.headers.date).toBe(cold.headers.date)
      expect(warm.headers['content-length']).toBe(String(warm.body.length))
      expect(warm.headers['transfer-encoding']).toBeUndefined()
    })

    it('gives the client the first bytes before the view is done', async () => {
      let finish = () => undefined as void
      const { site } = await siteOf((_req, res) => {
        res.write('first')
        finish = () => void res.end('last')
      })
      const request = site.request('/p').end()
      const pieces: string[] = []
      await new Promise<void>((resolve) => {
        request.on('response', (response) => {
          response.on('data', (piece: Buffer) => {
            pieces.push(piece.toString())
            // Nothing more comes unless the first piece did.
            if (pieces.length === 1) finish()
          })
          response.on('end', resolve)
        })
      })
      expect(pieces).toEqual(['first', 'last'])
      expect((await site.get('/p')).text).toBe('firstlast')
    })

    it('keeps what write and end answer, and calls back', async () => {
      const answers: unknown[] = []
      const { site } = await siteOf((_req, res) => {
        answers.push(res.write('x', () => void answers.push('written')))
        answers.push(res.end(() => void answers.push('ended')) === res)
      })
      await site.get('/p')
      await eventually(() => answers.length === 4)
      expect(answers).toEqual([true, true, 'written', 'ended'])
    })

    it('passes on what a view throws at write, and stores nothing of it', async () => {
      const { site, runs } = await siteOf((_req, res) => {
        expect(() => res.write(7)).toThrow(TypeError)
        res.end('x')
      })
      await site.get('/p')
      expect((await site.get('/p')).text).toBe('x')
      expect(runs.count).toBe(1)
    })
  })

  describe('compression', () => {
    const text = 'words and more words, '.repeat(200)

    it.each(['before', 'after'])('%s the cache', async (place) => {
      const app = express()
      const pages = responseCache(createCaches({ default: new LocMemCache() }))
      let runs = 0
      if (place === 'before') app.use(compression())
      app.use(pages.cacheSite())
      if (place === 'after') app.use(compression())
      app.use((_req, res) => {
        runs++
        res.send(text)
      })
      const site = await Site.open(app)
      for (let round = 0; round < 2; round++) {
        const zipped = await site.get('/p', { headers: { 'Accept-Encoding': 'gzip' } })
        expect(zipped.headers['content-encoding']).toBe('gzip')
        expect(zipped.headers.vary).toBe('Accept-Encoding')
        expect(gunzipSync(zipped.body).toString()).toBe(text)
        const plain = await site.get('/p')
        expect(plain.headers['content-encoding']).toBeUndefined()
        expect(plain.text).toBe(text)
      }
      // Inside the cache each encoding is a page of its own; outside it encodes the one page.
      expect(runs).toBe(place === 'before' ? 1 : 2)
    })
  })

  describe('HEAD', () => {
    it("is answered from GET's page with its headers and no body", async () => {
      const { site, runs } = await siteOf((_req, res) => res.send('body'))
      const get = await site.get('/p')
      const head = await site.get('/p', { method: 'HEAD' })
      expect(runs.count).toBe(1)
      expect(comparable(head)).toEqual(comparable(get))
      expect(head.headers['content-length']).toBe('4')
      expect(head.body).toHaveLength(0)
      expect(head.cacheStatus).toMatch(/^fragcache; hit/)
    })

    it('never makes a page, and says the same as GET to later caches', async () => {
      const { site, runs } = await siteOf((_req, res) => res.send('body'))
      const head = await site.get('/p', { method: 'HEAD' })
      expect(head.cacheStatus).toBe('fragcache; fwd=uri-miss; detail=head')
      expect(head.headers['cache-control']).toBe('max-age=600')
      expect((await site.get('/p')).text).toBe('body')
      expect(runs.count).toBe(2)
    })
  })

  describe('headers on a hit', () => {
    it('leave out what belonged to the connection', async () => {
      const { site } = await siteOf((_req, res) => {
        res.set({ Connection: 'close, X-Hop', 'X-Hop': '1', Upgrade: 'h2c', 'Keep-Alive': 'x' })
        res.set('X-End', '1').send('x')
      })
      await site.get('/p')
      const warm = await site.get('/p')
      expect(warm.headers).not.toHaveProperty('x-hop')
      expect(warm.headers).not.toHaveProperty('upgrade')
      expect(warm.headers['keep-alive']).not.toBe('x')
      expect(warm.headers['x-end']).toBe('1')
    })

    it('of the layers around the cache are those of this request', async () => {
      let id = 0
      const before: View[] = [
        (_req, res, next) => {
          res.set({ 'X-Request-Id': String(++id), 'X-Frame-Options': 'DENY', 'X-Gone': '1' })
          next()
        },
      ]
      const { site } = await siteOf(
        (_req, res) => {
          res.removeHeader('X-Gone')
          res.set('X-Frame-Options', 'SAMEORIGIN').send('x')
        },
        { before },
      )
      const cold = await site.get('/p')
      const warm = await site.get('/p')
      expect([cold.headers['x-request-id'], warm.headers['x-request-id']]).toEqual(['1', '2'])
      for (const { headers } of [cold, warm]) {
        expect(headers['x-frame-options']).toBe('SAMEORIGIN')
        expect(headers).not.toHaveProperty('x-gone')
      }
    })

    it('describe the page that was stored, whatever a layer around the cache guessed', async () => {
      const before: View[] = [
        (req, res, next) => {
          res.type(req.headers.accept === 'text/plain' ? 'text/plain' : 'text/html')
          next()
        },
      ]
      const { site } = await siteOf((_req, res) => res.type('text/html').end('<p>'), { before })
      await site.get('/p')
      const warm = await site.get('/p', { headers: { Accept: 'text/plain' } })
      expect(warm.headers['content-type']).toBe('text/html; charset=utf-8')
    })

    it('leave a policy with a nonce to the layer around, and warn of one that is stored', async () => {
      const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      onTestFinished(() => void warn.mockRestore())
      let nonce = 0
      const policy = () => ({ 'Content-Security-Policy': `script-src 'nonce-${++nonce}'` })
      const before: View[] = [
        (_req, res, next) => {
          res.set(policy())
          next()
        },
      ]
      const { site } = await siteOf((_req, res) => res.send('x'), { before })
      await site.get('/p')
      const warm = await site.get('/p')
      expect(warm.headers['content-security-policy']).toBe("script-src 'nonce-2'")
      const warnings = warn.mock.calls.map(([text]) => String(text))
      // Once per process, and the same test ran on the other version of Express.
      if (express === expressVersions[0].express) {
        expect(warnings).toEqual([expect.stringContaining('a nonce that many get is none')])
      }
    })

    it('leave out what the site excludes', async () => {
      const { site } = await siteOf(
        (_req, res) => res.set({ 'X-Request-Id': '7', 'X-Other': '1' }).send('x'),
        { excludeHeaders: ['x-request-ID'] },
      )
      expect((await site.get('/p')).headers['x-request-id']).toBe('7')
      const warm = await site.get('/p')
      expect(warm.headers).not.toHaveProperty('x-request-id')
      expect(warm.headers['x-other']).toBe('1')
    })

    it('tell the age, from the time the answer was made', async () => {
      const clock = stopClock()
      const { site } = await siteOf((_req, res) => res.set('Age', '30').send('x'))
      const cold = await site.get('/p')
      clock.advance(100.9)
      const warm = await site.get('/p')
      expect(warm.headers.age).toBe('130')
      expect(warm.headers.date).toBe(cold.headers.date)
      expect(warm.headers.date).toBe('Tue, 14 Nov 2023 22:13:20 GMT')
      expect(warm.headers['cache-control']).toBe('max-age=600')
      expect(warm.headers.expires).toBe('Tue, 14 Nov 2023 22:23:20 GMT')
      clock.advance(-1000)
      expect((await site.get('/p')).headers.age).toBe('30')
    })

    it('keep the Cache-Status of caches nearer to the origin in front', async () => {
      const { site } = await siteOf((_req, res) => res.set('Cache-Status', 'origin; hit').send('x'))
      expect((await site.get('/p')).cacheStatus).toBe(
        'origin; hit, fragcache; fwd=uri-miss; stored',
      )
      expect((await site.get('/p')).cacheStatus).toMatch(/^origin; hit, fragcache; hit; ttl=/)
    })

    it('have no Cache-Status where it is switched off', async () => {
      const { site } = await siteOf((_req, res) => res.send('x'), { cacheStatus: false })
      expect((await site.get('/p')).headers).not.toHaveProperty('cache-status')
      expect((await site.get('/p')).headers).not.toHaveProperty('cache-status')
      const post = await site.get('/p', { method: 'POST' })
      expect(post.headers).not.toHaveProperty('cache-status')
    })
  })

  describe('conditional requests', () => {
    it('get a 304 with the headers it must have, from the stored page', async () => {
      const { site, runs } = await siteOf((_req, res) => {
        res.vary('Accept').set('Content-Location', '/p.html').set('X-Custom', '1').send('body')
      })
      const cold = await site.get('/p')
      const warm = await site.get('/p', { headers: { 'If-None-Match': cold.headers.etag } })
      expect(runs.count).toBe(1)
      expect(warm.status).toBe(304)
      expect(warm.body).toHaveLength(0)
      for (const name of ['cache-control', 'content-location', 'date', 'etag', 'expires', 'vary']) {
        expect([name, warm.headers[name]]).toEqual([name, cold.headers[name]])
      }
      for (const name of ['content-type', 'content-length', 'transfer-encoding']) {
        expect(warm.headers).not.toHaveProperty(name)
      }
      expect(warm.headers.age).toBe('0')
      expect((await site.get('/p', { headers: { 'If-None-Match': '"other"' } })).status).toBe(200)
    })

    it('fill a cold page with the whole, and get their 304', async () => {
      const { site, runs } = await siteOf((_req, res) => {
        res.set('ETag', '"v"').send('body')
      })
      const first = await site.get('/p', { headers: { 'If-None-Match': '"v"' } })
      expect([first.status, first.text]).toEqual([304, ''])
      expect(first.cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
      expect(first.headers['cache-control']).toBe('max-age=600')
      expect(first.headers.etag).toBe('"v"')
      const second = await site.get('/p')
      expect([second.status, second.text]).toEqual([200, 'body'])
      const other = await site.get('/p', { headers: { 'If-None-Match': '"other"' } })
      expect([other.status, other.text]).toEqual([200, 'body'])
      expect(runs.count).toBe(1)
    })

    it('are the view’s own affair once it is known that its answers are for one visitor each', async () => {
      const { site } = await siteOf((req, res) => {
        if (req.headers['if-none-match'] === '"v"') return res.status(304).end()
        return res.set('Cache-Control', 'private').set('ETag', '"v"').send('mine')
      })
      const headers = { 'If-None-Match': '"v"' }
      const first = await site.get('/p', { headers })
      expect([first.status, first.text]).toEqual([304, ''])
      expect(first.cacheStatus).toBe('fragcache; fwd=uri-miss; detail=private')
      const again = await site.get('/p', { headers })
      expect([again.status, again.cacheStatus]).toEqual([
        304,
        'fragcache; fwd=uri-miss; detail=status',
      ])
    })
  })

  describe('what does not end whole is not stored', () => {
    /** Asks twice; the second answer must not come from what the first left behind. */
    async function expectUnstored(view: View, ask?: (site: Site) => Promise<unknown>) {
      const { site, runs } = await siteOf((req, res, next) =>
        runs.count === 1 ? view(req, res, next) : res.send('second'),
      )
      await (ask?.(site) ?? site.get('/p').catch(() => undefined))
      expect((await site.get('/p')).text).toBe('second')
      expect(runs.count).toBe(2)
    }

    it('the client is gone while the view writes on', async () => {
      let gone = false
      await expectUnstored(
        (_req, res) => {
          res.write('first')
          res.on('close', () => {
            gone = true
            res.end('last')
          })
        },
        async (site) => {
          const request = site.request('/p').end()
          request.on('error', () => undefined)
          request.on('response', (response) => response.on('data', () => request.destroy()))
          await eventually(() => gone)
        },
      )
    })

    it('the response is destroyed', () =>
      expectUnstored((_req, res) => {
        res.write('first')
        res.destroy()
      }))

    it('an error after the headers', () =>
      expectUnstored((_req, res, next) => {
        res.write('first')
        next(new Error('late'))
      }))

    it('a source that breaks off, though the view then ends the response', () =>
      expectUnstored((_req, res) => {
        const source = new Readable({ read: () => undefined })
        source.on('error', () => res.end('</html>'))
        source.pipe(res, { end: false })
        source.push('first')
        setTimeout(() => source.destroy(new Error('broken')), 5)
      }))

    it('a source that is closed early, though the view then ends the response', () =>
      expectUnstored((_req, res) => {
        const source = new Readable({ read: () => undefined })
        source.on('close', () => res.end('</html>'))
        source.pipe(res)
        source.push('first')
        setTimeout(() => source.destroy(), 5)
      }))

    it('fewer bytes than Content-Length says', () =>
      expectUnstored((req, res) => {
        res.set('Content-Length', '10').write('first')
        res.end()
        setTimeout(() => req.socket.destroy(), 5)
      }))

    it('more bytes than Content-Length says', () =>
      expectUnstored((req, res) => {
        res.set('Content-Length', '3').end('first')
        setTimeout(() => req.socket.destroy(), 5)
      }))

    it('trailers', () =>
      expectUnstored((_req, res) => {
        res.write('first')
        res.addTrailers({ 'X-Sum': '1' })
        res.end()
      }))

    it('trailers that are added before the body begins', () =>
      expectUnstored((_req, res) => {
        res.addTrailers({ 'X-Sum': '1' })
        res.write('first')
        res.end()
      }))

    it('more than maxBodyBytes, in one piece or several', async () => {
      for (const write of [
        (res: Response) => res.send('x'.repeat(101)),
        (res: Response) => {
          for (let i = 0; i < 11; i++) res.write('0123456789')
          res.end()
        },
      ]) {
        const { site, runs } = await siteOf((_req, res) => write(res), { maxBodyBytes: 100 })
        const cold = await site.get('/p')
        expect((await site.get('/p')).text).toBe(cold.text)
        expect(runs.count).toBe(2)
      }
    })

    it('up to maxBodyBytes it is stored', async () => {
      const { site, runs } = await siteOf((_req, res) => res.send('x'.repeat(100)), {
        maxBodyBytes: 100,
      })
      await site.get('/p')
      await site.get('/p')
      expect(runs.count).toBe(1)
    })
  })

  describe('event streams', () => {
    it('reach the client event by event, end with it, and are never stored', async () => {
      let closed = 0
      const { site, runs } = await siteOf((_req, res) => {
        res.set('Content-Type', 'text/event-stream; charset=utf-8').write('data: 1\n\n')
        res.on('close', () => closed++)
      })
      for (let i = 1; i <= 2; i++) {
        const request = site.request('/events').end()
        const first = await new Promise<string>((resolve) => {
          request.on('response', (response) => {
            response.once('data', (piece: Buffer) => resolve(piece.toString()))
            response.on('error', () => undefined)
          })
        })
        expect(first).toBe('data: 1\n\n')
        request.destroy()
        await eventually(() => closed === i)
      }
      expect(runs.count).toBe(2)
    })
  })

  describe('a session around or inside the cache', () => {
    it.each(['around', 'inside'])(
      '%s: an answer that sets a cookie is not stored',
      async (place) => {
        const app = express()
        const pages = responseCache(createCaches({ default: new LocMemCache() }))
        const sessions = session({ secret: 's', resave: false, saveUninitialized: true })
        let runs = 0
        if (place === 'around') app.use(sessions)
        app.use(pages.cacheSite())
        if (place === 'inside') app.use(sessions)
        app.use((_req, res) => {
          runs++
          res.send(`run ${runs}`)
        })
        const site = await Site.open(app)
        const first = await site.get('/p')
        expect(first.headers['set-cookie']).toHaveLength(1)
        const second = await site.get('/p')
        expect(second.text).toBe('run 2')
        expect(second.headers['set-cookie']).not.toEqual(first.headers['set-cookie'])
      },
    )
  })
})
