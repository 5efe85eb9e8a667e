import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ErrorRequestHandler } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { cachedSite, type View } from '../support/cached-site.js'
import { compression, expressVersions, Site, type Answer } from '../support/express.js'
import { folderOfFile } from '../support/folders.js'

const folder = folderOfFile()
const file = join(folder, 'file.txt')
const TEXT = 'the text of a file'
writeFileSync(file, TEXT)

const NAMED = 'attachment; filename="Äpfel für 5 £.txt"'

/** The header as its bytes came. */
function disposition({ rawHeaders }: Answer): string | undefined {
  const at = rawHeaders.findIndex((name) => name.toLowerCase() === 'content-disposition')
  return rawHeaders[at + 1]
}

describe.each(expressVersions)('in $version', ({ express }) => {
  describe('letters of Latin-1 in Content-Disposition come back', () => {
    const view: View = (_req, res) => res.set('Content-Disposition', NAMED).sendFile(file)

    it.each<[string, View[]]>([
      ['as they are', []],
      ['with a layer around the cache that compresses', [compression({ threshold: 0 })]],
    ])('%s', async (_way, before) => {
      const { site } = await cachedSite(express, view, { page: [60], before })
      const headers = { 'Accept-Encoding': 'gzip' }
      const cold = await site.get('/p', { headers })
      expect(disposition(cold)).toBe(NAMED)
      const hit = await site.get('/p', { headers })
      expect(hit.cacheStatus).toMatch(/; hit/)
      expect(disposition(hit)).toBe(NAMED)
      expect(hit.body).toEqual(cold.body)
    })

    it('in front of Express, as a whole and as a part', async () => {
      const pages = responseCache(createCaches({ default: new LocMemCache() }))
      const app = express()
      app.use((_req, res) => {
        res.set('Cache-Control', 'max-age=60').set('Content-Disposition', NAMED).sendFile(file)
      })
      const site = await Site.open(pages.listener(app))
      await site.get('/p')
      for (const headers of [{}, { Range: 'bytes=0-2' }]) {
        const hit = await site.get('/p', { headers })
        expect(hit.cacheStatus).toMatch(/; hit/)
        expect(disposition(hit)).toBe(NAMED)
      }
    })

    it('where a page of before stands in for a view that failed', async () => {
      let fails = false
      const { site } = await cachedSite(
        express,
        (req, res, next) => {
          if (fails) res.status(500).send('failed')
          else view(req, res, next)
        },
        { page: [0.001], staleIfError: 60 },
      )
      await site.get('/p')
      fails = true
      const stale = await site.get('/p')
      expect([stale.status, stale.text]).toEqual([200, TEXT])
      expect(disposition(stale)).toBe(NAMED)
    })
  })

  describe('ranges', () => {
    const malformed = ['bytes=5-2', 'bytes=a-b', 'bytes=', 'items=0-1', 'bytes=0-1,5-2']

    it.each(malformed)('that are none (%s) get what the view makes of them', async (range) => {
      const view: View = (_req, res, next) => res.sendFile(file, next)
      const onError = (error: unknown, _req: unknown, res: Parameters<View>[1]) =>
        res.status((error as { status: number }).status).end()
      const plain = express()
      plain.use(view)
      const handler: ErrorRequestHandler = (error, req, res, _next) => void onError(error, req, res)
      plain.use(handler)
      const headers = { Range: range }
      const expected = await (await Site.open(plain)).get('/p', { headers })
      const { site } = await cachedSite(express, view, { page: [60], onError })
      for (const when of ['cold', 'stored']) {
        const { status, text } = await site.get('/p', { headers })
        expect([when, status, text]).toEqual([when, expected.status, expected.text])
        await site.get('/p')
      }
    })

    it('are seen by a view that reads them, where nothing is stored', async () => {
      const { site } = await cachedSite(express, (req, res) => {
        res.set('Cache-Control', 'private').send(`asked ${req.get('Range')}`)
      })
      const headers = { Range: 'bytes=0-1' }
      for (let i = 0; i < 2; i++)
        expect((await site.get('/p', { headers })).text).toBe('asked bytes=0-1')
    })

    it('are not made of a page that says it has none', async () => {
      const { site } = await cachedSite(express, (_req, res) => {
        res.set('Accept-Ranges', 'none').send(TEXT)
      })
      await site.get('/p')
      const whole = await site.get('/p', { headers: { Range: 'bytes=0-1' } })
      expect([whole.status, whole.text]).toEqual([200, TEXT])
      expect(whole.cacheStatus).toMatch(/; hit/)
    })
  })

  describe('a visitor with a long cookie is told what describes a file', () => {
    const Cookie = '_ga=GA1.2.1234567890.1700000000'
    const described = ['accept-ranges', 'etag', 'last-modified'] as const
    const tellsOf = ({ headers }: Answer) => described.map((name) => headers[name])
    const view: View = (_req, res) => res.sendFile(file, { cacheControl: false })

    it.each(['HEAD', 'GET'])('by %s, stored or not', async (method) => {
      const plain = await (await Site.open(express().use(view))).get('/p')
      const { site } = await cachedSite(express, view)
      const cold = await site.get('/p', { method, headers: { Cookie } })
      expect(cold.headers['cache-control']).toBe('private, no-cache')
      expect(tellsOf(cold)).toEqual(tellsOf(plain))
      await site.get('/p')
      expect(tellsOf(await site.get('/p', { method, headers: { Cookie } }))).toEqual(tellsOf(plain))
    })

    it('and by a 304, though it is not stored', async () => {
      const { site } = await cachedSite(express, view)
      const { etag } = (await site.get('/p?1', { headers: { Cookie } })).headers
      const headers = { Cookie, 'If-None-Match': String(etag) }
      const cold = await site.get('/p?2', { headers })
      expect([cold.status, cold.text, cold.headers.etag]).toEqual([304, '', etag])
      expect(cold.cacheStatus).toMatch(/stored$/)
      expect((await site.get('/p?2')).text).toBe(TEXT)
    })
  })

  it('what is sent in chunks keeps no length that it was given beside', async () => {
    const { site } = await cachedSite(express, (_req, res) => {
      res.set({ 'Transfer-Encoding': 'chunked', 'Content-Length': '3' })
      res.write('in ')
      res.end('chunks')
    })
    const cold = await site.get('/p')
    expect([cold.text, cold.headers['content-length']]).toEqual(['in chunks', undefined])
    const hit = await site.get('/p')
    expect(hit.cacheStatus).toMatch(/; hit/)
    expect([hit.text, hit.headers['content-length']]).toEqual(['in chunks', '9'])
    expect(hit.headers).not.toHaveProperty('transfer-encoding')
  })

  it.each<[string, object, string, string]>([
    ['as they come', {}, 'public, max-age=0', 'public, max-age=0'],
    ['cacheControl: false', { cacheControl: false }, 'max-age=60', 'max-age=600'],
    ['maxAge', { maxAge: '1h' }, 'public, max-age=60', 'public, max-age=3600'],
    [
      'immutable',
      { maxAge: '1h', immutable: true },
      'public, max-age=60, immutable',
      'public, max-age=3600, immutable',
    ],
  ])(
    'options of sendFile, %s: what caches after us are told',
    async (_name, options, page, site) => {
      const view: View = (_req, res) => res.sendFile(file, options)
      const behindPage = await cachedSite(express, view, { page: [60] })
      const behindSite = await cachedSite(express, view)
      for (const [expected, cached] of [
        [page, behindPage],
        [site, behindSite],
      ] as const) {
        for (let i = 0; i < 2; i++) {
          expect((await cached.site.get('/p')).headers['cache-control']).toBe(expected)
        }
      }
    },
  )
})
