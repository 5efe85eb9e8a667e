import { brotliDecompressSync, gunzipSync } from 'node:zlib'
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
import { comparable, compression, eventually, oneExpress } from '../support/express.js'

const TEXT = 'wörds and more words, '.repeat(200)

const decoders: Record<string, (body: Buffer) => Buffer> = {
  br: brotliDecompressSync,
  gzip: gunzipSync,
  identity: (body) => body,
}

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

describe.each(oneExpress)('pages kept compressed in $version', ({ express }) => {
  /** A site whose page is stored by now. */
  async function storedSite(view: View, options: CachedSiteOptions = {}) {
    const made = await cachedSite(express, view, { precompress: ['br', 'gzip'], ...options })
    const outcomes = watchOutcomes(made.site.origin)
    const cold = await made.site.get('/p')
    await eventually(() => outcomes.length === 1)
    return {
      ...made,
      cold,
      accepting: (coding: string, headers = {}, method = 'GET') =>
        made.site.get('/p', { method, headers: { 'Accept-Encoding': coding, ...headers } }),
    }
  }

  const page: View = (_req, res) => res.set('ETag', '"v1"').send(TEXT)

  describe.each(backends)('in %s', (_name, newCache) => {
    it.each([
      ['br', 'br'],
      ['gzip', 'gzip'],
      ['x-gzip', 'gzip'],
      ['gzip, br', 'br'],
      ['gzip, deflate, br, zstd', 'br'],
      ['br;q=0.5, gzip', 'gzip'],
      ['*', 'br'],
      ['br;q=0, *', 'gzip'],
      ['deflate', 'identity'],
      ['identity', 'identity'],
      ['gzip;q=0', 'identity'],
      ['gzip;q=0.2, identity', 'identity'],
      ['', 'identity'],
      ['gzip;q=oops', 'identity'],
    ])('%j gets %s', async (accepted, coding) => {
      const { cold, runs, accepting } = await storedSite(page, { cache: newCache() })
      expect(cold.text).toBe(TEXT)
      expect(cold.headers.vary).toBe('Accept-Encoding')
      const { status, headers, body, cacheStatus } = await accepting(accepted)
      expect(status).toBe(200)
      expect(cacheStatus).toMatch(/^fragcache; hit/)
      expect(headers['content-encoding'] ?? 'identity').toBe(coding)
      expect(headers['content-length']).toBe(String(body.length))
      expect(headers['content-type']).toBe('text/html; charset=utf-8')
      expect(headers.vary).toBe('Accept-Encoding')
      // Other bytes are another representation.
      expect(headers.etag).toBe(coding === 'identity' ? '"v1"' : 'W/"v1"')
      expect(decoders[coding]?.(body).toString()).toBe(TEXT)
      if (coding !== 'identity') expect(body.length).toBeLessThan(TEXT.length / 4)
      expect(runs.count).toBe(1)
    })
  })

  it('are one page, whoever comes first', async () => {
    const { site, runs } = await cachedSite(express, page, { precompress: ['gzip'] })
    const outcomes = watchOutcomes(site.origin)
    const headers = { 'Accept-Encoding': 'gzip' }
    const cold = await site.get('/p', { headers })
    expect(decoders[cold.headers['content-encoding'] ?? 'identity']?.(cold.body).toString()).toBe(
      TEXT,
    )
    await eventually(() => outcomes.length === 1)
    expect((await site.get('/p')).text).toBe(TEXT)
    expect((await site.get('/p', { headers })).headers['content-encoding']).toBe('gzip')
    expect(runs.count).toBe(1)
  })

  it('answer conditions as the whole does', async () => {
    const { accepting, runs } = await storedSite(page)
    for (const tag of ['"v1"', 'W/"v1"', '"v0", W/"v1"', '*']) {
      for (const coding of ['gzip', 'identity']) {
        const same = await accepting(coding, { 'If-None-Match': tag })
        expect(same).toMatchObject({ status: 304, text: '' })
        expect(same.headers['content-encoding']).toBeUndefined()
        expect(same.headers.vary).toBe('Accept-Encoding')
      }
    }
    expect((await accepting('gzip', { 'If-None-Match': '"v0"' })).status).toBe(200)
    expect(runs.count).toBe(1)
  })

  it('give parts of the whole as it is', async () => {
    const { accepting } = await storedSite(page)
    const part = await accepting('gzip, br', { Range: 'bytes=0-4' })
    expect(part.status).toBe(206)
    expect(part.headers['content-encoding']).toBeUndefined()
    expect(part.headers['content-range']).toBe(`bytes 0-4/${Buffer.byteLength(TEXT)}`)
    expect(part.body.equals(Buffer.from(TEXT).subarray(0, 5))).toBe(true)
  })

  it('answer HEAD with the headers of GET', async () => {
    const { accepting } = await storedSite(page)
    for (const coding of ['br', 'gzip', 'identity']) {
      const head = await accepting(coding, {}, 'HEAD')
      expect(comparable(head)).toEqual(comparable(await accepting(coding)))
      expect(head.body).toHaveLength(0)
    }
  })

  it('are still there after the view confirmed the page', async () => {
    const clock = stopClock()
    const { accepting, runs } = await storedSite(
      (req, res) => {
        if (req.headers['if-none-match'] === '"v1"') res.status(304).end()
        else res.set('ETag', '"v1"').end(TEXT)
      },
      { page: [60], inside: [(_req, res, next) => (res.type('text/plain'), next())] },
    )
    clock.advance(61)
    const confirmed = await accepting('br')
    const warm = await accepting('br')
    for (const answer of [confirmed, warm]) {
      expect(answer.status).toBe(200)
      expect(answer.headers['content-encoding']).toBe('br')
      expect(decoders['br']?.(answer.body).toString()).toBe(TEXT)
    }
    expect(runs.count).toBe(2)
  })

  it('vary with what else the page varies on', async () => {
    const { site } = await cachedSite(
      express,
      (req, res) => res.vary('X-T').send(`${String(req.headers['x-t'])} ${TEXT}`),
      { precompress: ['gzip'] },
    )
    const outcomes = watchOutcomes(site.origin)
    for (const t of ['1', '2']) await site.get('/p', { headers: { 'X-T': t } })
    await eventually(() => outcomes.length === 2)
    for (const t of ['1', '2']) {
      const answer = await site.get('/p', { headers: { 'X-T': t, 'Accept-Encoding': 'gzip' } })
      expect(gunzipSync(answer.body).toString()).toBe(`${t} ${TEXT}`)
      expect(answer.headers.vary).toBe('X-T, Accept-Encoding')
    }
  })

  describe('is only what gets smaller', () => {
    it.each<[string, View]>([
      ['a small page', (_req, res) => res.send('small')],
      ['a picture', (_req, res) => res.type('png').send(Buffer.alloc(5000, 'a'))],
      ['an archive', (_req, res) => res.type('application/zip').send(Buffer.alloc(5000, 'a'))],
      ['what has no type', (_req, res) => res.end(TEXT)],
      [
        'what must not be transformed',
        (_req, res) => res.set('Cache-Control', 'max-age=60, no-transform').send(TEXT),
      ],
    ])('%s stays as it is', async (_name, view) => {
      const { cold, accepting, runs } = await storedSite(view)
      const answer = await accepting('gzip, br')
      expect(answer.headers['content-encoding']).toBeUndefined()
      expect(answer.body.equals(cold.body)).toBe(true)
      expect(runs.count).toBe(1)
    })

    it.each(['json', 'svg', 'js', 'css', 'xml'])('%s does', async (type) => {
      const { accepting } = await storedSite((_req, res) => res.type(type).send(TEXT))
      expect((await accepting('gzip')).headers['content-encoding']).toBe('gzip')
    })

    it('what the view encoded itself stays so', async () => {
      const { site, runs } = await cachedSite(
        express,
        (_req, res) => res.set({ 'Content-Encoding': 'x-rot' }).type('text').end(TEXT),
        { precompress: ['gzip'] },
      )
      for (let i = 0; i < 2; i++) {
        const answer = await site.get('/p', { headers: { 'Accept-Encoding': 'gzip' } })
        expect(answer.headers['content-encoding']).toBe('x-rot')
        expect(answer.text).toBe(TEXT)
      }
      expect(runs.count).toBe(1)
    })
  })

  it.each(['outside', 'inside'])('go together with compression %s', async (place) => {
    const { site } = await cachedSite(express, (_req, res) => res.type('text').send(TEXT), {
      precompress: ['br', 'gzip'],
      [place === 'outside' ? 'before' : 'inside']: [compression()],
    })
    const outcomes = watchOutcomes(site.origin)
    for (let round = 0; round < 3; round++) {
      for (const coding of ['gzip', 'identity', 'br']) {
        const before = outcomes.length
        const answer = await site.get('/p', { headers: { 'Accept-Encoding': coding } })
        await eventually(() => outcomes.length > before)
        const encoded = answer.headers['content-encoding'] ?? 'identity'
        // What can be told of it is true.
        expect(['identity', coding]).toContain(encoded)
        expect(decoders[encoded]?.(answer.body).toString()).toBe(TEXT)
        expect(answer.headers.vary).toBe('Accept-Encoding')
        if (round > 0) {
          expect(answer.cacheStatus).toMatch(/^fragcache; hit/)
          expect(encoded).toBe(coding)
        }
      }
    }
  })

  it.each(['gzip', 'deflate', 7])('precompress: %j is refused', async (precompress) => {
    await expect(
      cachedSite(express, page, { precompress: precompress as unknown as ['gzip'] }),
    ).rejects.toThrow(/responseCache: precompress: .* is not a list such as/)
    await expect(
      cachedSite(express, page, { precompress: ['deflate'] as unknown as ['gzip'] }),
    ).rejects.toThrow(/responseCache: precompress: .*deflate.* is not one of br, gzip, zstd/)
  })
})
