import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { conditionalGet } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { cachedSite, stopClock, type View } from '../support/cached-site.js'
import { eventually, oneExpress } from '../support/express.js'

const SINCE = 'Tue, 14 Nov 2023 20:00:00 GMT'
const HELLO = `"${createHash('md5').update('hello').digest('hex')}"`
const TAGGED = { 'If-None-Match': '"v"' }

describe.each(oneExpress)('in $version', ({ express }) => {
  describe('a client that has what the view makes', () => {
    it('gets its 304 where that comes in pieces, and the others get the page', async () => {
      const view: View = (_req, res) => {
        res.set('ETag', '"v"').write('in ')
        setImmediate(() => res.end('pieces'))
      }
      const { site, runs } = await cachedSite(express, view)
      const first = await site.get('/p', { headers: TAGGED })
      expect([first.status, first.text]).toEqual([304, ''])
      expect(first.cacheStatus).toBe('fragcache; fwd=uri-miss; stored')
      expect(await site.get('/p')).toMatchObject({ status: 200, text: 'in pieces' })
      expect(runs.count).toBe(1)
    })

    it('gets what the view makes of the headers that Node tells apart', async () => {
      const { site } = await cachedSite(express, ({ headersDistinct }, res) => {
        res.send(JSON.stringify([headersDistinct['x-last'], headersDistinct['if-none-match']]))
      })
      const { status, text } = await site.get('/p', { headers: { ...TAGGED, 'X-Last': 'z' } })
      expect([status, text]).toEqual([200, '[["z"],null]'])
    })

    it('gets the page where a layer in front has dropped raw headers, which Node counts', async () => {
      const { site } = await cachedSite(express, (_req, res) => void res.send('the page'), {
        before: [
          (req, _res, next) => {
            req.rawHeaders = []
            next()
          },
        ],
      })
      expect(await site.get('/p', { headers: TAGGED })).toMatchObject({
        status: 200,
        text: 'the page',
      })
    })

    it('gets it where the view sends its headers first', async () => {
      const { site } = await cachedSite(express, (_req, res) => {
        res.writeHead(200, { ETag: '"v"', 'Cache-Control': 'private' }).end('mine')
      })
      const first = await site.get('/p', { headers: TAGGED })
      expect([first.status, first.text]).toEqual([304, ''])
    })

    it('gets it where an expired page has become what it has', async () => {
      const { advance } = stopClock()
      let version = 'u'
      const { site } = await cachedSite(express, (_req, res) => {
        res.set('ETag', `"${version}"`).send(version)
      })
      await site.get('/p')
      advance(601)
      version = 'v'
      const changed = await site.get('/p', { headers: TAGGED })
      expect([changed.status, changed.text]).toEqual([304, ''])
      expect((await site.get('/p')).text).toBe('v')
    })

    it('is not waited with for the end of what nobody keeps', async () => {
      let made = 0
      let isClosed = false
      const piece = Buffer.alloc(10_000)
      const { site } = await cachedSite(
        express,
        (_req, res) => {
          const endless = Readable.from(
            (function* () {
              for (;;) {
                made++
                yield piece
              }
            })(),
          )
          res.on('close', () => {
            isClosed = true
            endless.destroy()
          })
          endless.pipe(res.set({ ETag: '"v"', 'Cache-Control': 'private' }))
        },
        { maxBodyBytes: 50_000 },
      )
      expect((await site.get('/p', { headers: TAGGED })).status).toBe(304)
      await eventually(() => isClosed)
      expect(made).toBeLessThan(100)
    })

    it('runs the callback of sendFile once, without an error', async () => {
      const calls: unknown[] = []
      const { site } = await cachedSite(express, (_req, res) => {
        res.sendFile(import.meta.filename, (error) => calls.push(error))
      })
      const { etag } = (await site.get('/p')).headers
      const headers = { 'If-None-Match': etag }
      expect((await site.get('/other', { headers })).status).toBe(304)
      expect((await site.get('/other', { headers })).status).toBe(304)
      await eventually(() => calls.length >= 3)
      expect(calls).toEqual([undefined, undefined, undefined])
    })
  })

  it.each<[string, View]>([
    ['send', (_req, res) => res.send('page')],
    ['end', (_req, res) => res.set('ETag', '"v"').end('page')],
    ['pieces', (_req, res) => res.set('ETag', '"v"').write('page', () => res.end())],
  ])('who has any version (*) gets a 304 of what is stored only: %s', async (_way, view) => {
    const { site } = await cachedSite(express, view)
    const headers = { 'If-None-Match': '*' }
    expect(await site.get('/p', { headers })).toMatchObject({ status: 200, text: 'page' })
    expect(await site.get('/p', { headers })).toMatchObject({ status: 304, text: '' })
  })

  describe('what the view is asked itself', () => {
    it.each([{ 'If-Match': '"u"' }, { 'If-Unmodified-Since': 'Sat, 01 Jan 2000 00:00:00 GMT' }])(
      'of an expired file is %j',
      async (headers) => {
        const { advance } = stopClock()
        const view: View = (_req, res, next) => res.sendFile(import.meta.filename, next)
        const onError = (error: unknown, _req: unknown, res: Parameters<View>[1]) =>
          res.status((error as { status: number }).status).end()
        const { site } = await cachedSite(express, view, { page: [60], onError })
        await site.get('/p')
        advance(61)
        expect((await site.get('/p', { headers })).status).toBe(412)
      },
    )
  })

  describe('a 304 has the ETag that the 200 has', () => {
    it('where a layer around the cache makes it', async () => {
      const { site } = await cachedSite(
        () => express().disable('etag'),
        (_req, res) => res.set('Last-Modified', SINCE).end('hello'),
        { before: [conditionalGet()] },
      )
      const headers = { 'If-Modified-Since': SINCE }
      for (const when of ['cold', 'stored']) {
        const answer = await site.get('/p', { headers })
        expect([when, answer.status, answer.headers.etag]).toEqual([when, 304, HELLO])
      }
      expect((await site.get('/p')).headers.etag).toBe(HELLO)
    })

    it('where the 200 is compressed', async () => {
      const { site } = await cachedSite(
        express,
        (_req, res) => res.set('ETag', '"v"').send('words '.repeat(1000)),
        { precompress: ['gzip'] },
      )
      await site.get('/p')
      const headers = { 'Accept-Encoding': 'gzip' }
      const whole = await site.get('/p', { headers })
      expect(whole.headers['content-encoding']).toBe('gzip')
      const again = await site.get('/p', { headers: { ...headers, ...TAGGED } })
      expect([again.status, again.headers.etag]).toEqual([304, whole.headers.etag])
    })
  })
})
