import { utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Request, Response } from 'express'
import { dependOn, LocMemCache, type Cache } from 'fragcache'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import {
  cachedSite,
  stopClock,
  watchOutcomes,
  type CachedSiteOptions,
  type View,
} from '../support/cached-site.js'
import { eventually, oneExpress } from '../support/express.js'
import { folderOfFile } from '../support/folders.js'
import { gate, settle } from '../support/waiting.js'

const MODIFIED = 'Tue, 14 Nov 2023 00:00:00 GMT'

const CONDITIONS = [
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
] as const

/** The conditions that a view sees, by every way it can see them. */
function conditionsOf(req: Request): Record<string, string> {
  const seen: Record<string, string> = {}
  const raw: Record<string, string> = {}
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    raw[String(req.rawHeaders[i]).toLowerCase()] = String(req.rawHeaders[i + 1])
  }
  for (const name of CONDITIONS) {
    const value = req.headers[name]
    const [distinct] = req.headersDistinct[name] ?? []
    if (value !== raw[name] || value !== req.get(name) || value !== distinct) {
      throw new Error(`${name} is told twice`)
    }
    if (value !== undefined) seen[name] = String(value)
  }
  return seen
}

const folder = folderOfFile()

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

describe.each(oneExpress)('an expired page in $version', ({ express }) => {
  /** A page of 60 seconds, and what its view is asked. */
  async function validatedSite(
    view: View,
    { page = [60], ...options }: CachedSiteOptions = {},
    validators: Record<string, string> = { ETag: '"v1"', 'Last-Modified': MODIFIED },
  ) {
    const clock = stopClock()
    const asked: Record<string, string>[] = []
    const made = await cachedSite(
      express,
      (req, res, next) => {
        asked.push(conditionsOf(req))
        if (asked.length > 1) {
          view(req, res, next)
          return
        }
        res.set(validators).set({ 'X-Run': '1', 'X-Keep': 'kept' }).end('the page')
      },
      { page, ...options },
    )
    return { ...made, asked, clock }
  }

  const confirm: View = (_req, res) => res.status(304).set('X-Run', '2').end()

  describe('the view is asked', () => {
    it.each<[string, Record<string, string>, Record<string, string>]>([
      ['an ETag', { ETag: 'W/"v1"' }, { 'if-none-match': 'W/"v1"' }],
      ['a Last-Modified', { 'Last-Modified': MODIFIED }, { 'if-modified-since': MODIFIED }],
      [
        'both',
        { ETag: '"v1"', 'Last-Modified': MODIFIED },
        { 'if-none-match': '"v1"', 'if-modified-since': MODIFIED },
      ],
    ])(
      'with %s of the page, and with nothing of the client’s',
      async (_name, validators, expected) => {
        const { site, asked, clock } = await validatedSite(confirm, {}, validators)
        await site.get('/p')
        clock.advance(61)
        await site.get('/p', {
          headers: {
            'If-None-Match': '"other"',
            'If-Modified-Since': 'Mon, 13 Nov 2023 00:00:00 GMT',
            'If-Range': '"other"',
          },
        })
        expect(asked).toEqual([{}, expected])
      },
    )

    it('for the whole where the page has no validator, and not in the client’s own words', async () => {
      const { site, asked, clock } = await validatedSite((_req, res) => res.end('new'), {}, {})
      await site.get('/p')
      clock.advance(61)
      const headers = { 'If-None-Match': '"mine"' }
      expect((await site.get('/p', { headers })).text).toBe('new')
      expect(asked).toEqual([{}, {}])
    })

    it('not at all while the page is fresh', async () => {
      const { site, asked, clock } = await validatedSite(confirm)
      await site.get('/p')
      clock.advance(59)
      expect((await site.get('/p')).cacheStatus).toBe('fragcache; hit; ttl=1')
      expect(asked).toHaveLength(1)
    })
  })

  describe.each(backends)('in %s, confirmed', (_name, newCache) => {
    const ways: [string, View][] = [
      ['status(304).end()', confirm],
      ['sendStatus(304)', (_req, res) => res.set('X-Run', '2').sendStatus(304)],
      ['writeHead(304)', (_req, res) => res.set('X-Run', '2').writeHead(304).end()],
      ['writeHead(304, headers)', (_req, res) => res.writeHead(304, { 'X-Run': '2' }).end()],
      ['writeHead(304, list)', (_req, res) => res.writeHead(304, ['X-Run', '2']).end()],
      [
        'flushed headers',
        (_req, res) => {
          res.status(304).set('X-Run', '2').flushHeaders()
          res.end()
        },
      ],
      [
        'Express, which finds that nothing changed',
        (_req, res) => {
          res.set({ ETag: '"v1"', 'Last-Modified': MODIFIED, 'X-Run': '2' }).send('the page')
        },
      ],
    ]

    it.each(ways)('by %s it is sent whole, with the new headers', async (_way, view) => {
      const { site, runs, clock } = await validatedSite(view, { cache: newCache() })
      const outcomes = watchOutcomes(site.origin)
      const cold = await site.get('/p')
      clock.advance(61)
      const confirmed = await site.get('/p')
      expect(confirmed).toMatchObject({ status: 200, statusMessage: 'OK', text: 'the page' })
      expect(confirmed.headers).toMatchObject({
        etag: '"v1"',
        'last-modified': MODIFIED,
        'x-keep': 'kept',
        'x-run': '2',
        'content-length': '8',
        date: 'Tue, 14 Nov 2023 22:14:21 GMT',
      })
      expect(confirmed.headers.age).toBeUndefined()
      expect(confirmed.cacheStatus).toBe('fragcache; fwd=stale; fwd-status=304; stored')
      expect(confirmed.headers['cache-control']).toBe(cold.headers['cache-control'])
      expect(confirmed.headers.expires).toBe('Tue, 14 Nov 2023 22:15:21 GMT')

      // Not before it is stored.
      await eventually(() => outcomes.length === 2)
      clock.advance(59)
      const warm = await site.get('/p')
      expect(warm).toMatchObject({ status: 200, text: 'the page' })
      expect(warm.headers).toMatchObject({ 'x-run': '2', age: '59', 'x-keep': 'kept' })
      expect(warm.headers.expires).toBe('Tue, 14 Nov 2023 22:15:21 GMT')
      expect(warm.cacheStatus).toBe('fragcache; hit; ttl=1')
      expect(runs.count).toBe(2)
      expect(outcomes).toEqual(['miss', 'miss', 'hit'])

      clock.advance(1)
      expect(await site.get('/p')).toMatchObject({ status: 200, text: 'the page' })
      expect(runs.count).toBe(3)
    })
  })

  it('is confirmed by a file that did not change', async () => {
    const clock = stopClock()
    const file = join(folder, 'page.txt')
    writeFileSync(file, 'a file')
    utimesSync(file, 1_600_000_000, 1_600_000_000)
    const { site, runs } = await cachedSite(express, (_req, res) => res.sendFile(file), {
      page: [60],
    })
    await site.get('/p')
    clock.advance(61)
    const confirmed = await site.get('/p')
    expect(confirmed).toMatchObject({ status: 200, text: 'a file' })
    expect(confirmed.headers['content-type']).toMatch(/^text\/plain/)
    expect(confirmed.headers['content-length']).toBe('6')
    expect(confirmed.cacheStatus).toBe('fragcache; fwd=stale; fwd-status=304; stored')
    clock.advance(59)
    expect((await site.get('/p')).cacheStatus).toBe('fragcache; hit; ttl=1')

    writeFileSync(file, 'another')
    utimesSync(file, 1_650_000_000, 1_650_000_000)
    clock.advance(2)
    expect((await site.get('/p')).text).toBe('another')
    expect((await site.get('/p')).text).toBe('another')
    expect(runs.count).toBe(3)
  })

  describe('a client with a copy of its own', () => {
    it.each<[string, Record<string, string>, number]>([
      ['the same', { 'If-None-Match': '"v1"' }, 304],
      ['one of several', { 'If-None-Match': '"v0", W/"v1"' }, 304],
      ['the same by date', { 'If-Modified-Since': MODIFIED }, 304],
      ['another', { 'If-None-Match': '"v0"' }, 200],
      ['an older one', { 'If-Modified-Since': 'Mon, 13 Nov 2023 00:00:00 GMT' }, 200],
      [
        'another, of the same date',
        { 'If-None-Match': '"v0"', 'If-Modified-Since': MODIFIED },
        200,
      ],
    ])('%s, is answered from what the view confirmed', async (_name, headers, status) => {
      const { site, runs, clock } = await validatedSite(confirm)
      await site.get('/p')
      clock.advance(61)
      const answer = await site.get('/p', { headers })
      expect(answer.status).toBe(status)
      expect(answer.text).toBe(status === 304 ? '' : 'the page')
      expect(answer.headers).toMatchObject({
        etag: '"v1"',
        expires: 'Tue, 14 Nov 2023 22:15:21 GMT',
      })
      expect(answer.headers['content-length']).toBe(status === 304 ? undefined : '8')
      // It is the whole that is kept.
      expect(await site.get('/p')).toMatchObject({ status: 200, text: 'the page' })
      expect((await site.get('/p', { headers })).status).toBe(status)
      expect(runs.count).toBe(2)
    })

    it('gets the page that changed, though the view was not asked in its words', async () => {
      const { site, runs, clock } = await validatedSite((_req, res) =>
        res.set('ETag', '"v2"').send('changed'),
      )
      await site.get('/p')
      clock.advance(61)
      const headers = { 'If-None-Match': '"v1"' }
      const changed = await site.get('/p', { headers })
      expect(changed).toMatchObject({ status: 200, text: 'changed' })
      expect(changed.headers.etag).toBe('"v2"')
      expect(changed.headers['x-keep']).toBeUndefined()
      expect(changed.cacheStatus).toBe('fragcache; fwd=stale; fwd-status=200; stored')
      expect((await site.get('/p', { headers })).text).toBe('changed')
      const now = await site.get('/p', { headers: { 'If-None-Match': '"v2"' } })
      expect(now).toMatchObject({ status: 304, text: '' })
      expect(runs.count).toBe(2)
    })
  })

  describe('a 304 that is for one visitor', () => {
    function confirmOrSend(req: Request, res: Response): void {
      if (req.headers['if-none-match'] === '"v1"') res.status(304).end()
      else res.set('ETag', '"v1"').end('the page')
    }

    it('with a cookie is given to that one alone', async () => {
      const { site, runs, clock } = await validatedSite((req, res) => {
        res.cookie('id', String(runs.count)).set('X-Run', String(runs.count))
        confirmOrSend(req, res)
      })
      await site.get('/p')
      clock.advance(61)
      for (const run of ['2', '3']) {
        const answer = await site.get('/p')
        expect(answer).toMatchObject({ status: 200, text: 'the page' })
        expect(answer.headers['set-cookie']).toEqual([`id=${run}; Path=/`])
        expect(answer.headers['x-run']).toBe(run)
        expect(answer.cacheStatus).toMatch(/^fragcache; fwd=.*; detail=set-cookie$/)
        expect(answer.headers['cache-control'] ?? '').not.toContain('max-age=60')
      }
      expect(runs.count).toBe(3)
    })

    it.each(['private', 'no-store', 'no-cache', 'private="x"'])(
      'by Cache-Control: %s is kept by nobody',
      async (value) => {
        const { site, runs, clock } = await validatedSite((req, res) => {
          res.set('Cache-Control', value).set('X-Run', String(runs.count))
          confirmOrSend(req, res)
        })
        await site.get('/p')
        clock.advance(61)
        for (const run of ['2', '3']) {
          const answer = await site.get('/p')
          expect(answer).toMatchObject({ status: 200, text: 'the page' })
          expect(answer.headers['cache-control']).toBe(value)
          expect(answer.headers.expires).toBeUndefined()
          expect(answer.headers['x-run']).toBe(run)
        }
        expect(runs.count).toBe(3)
      },
    )

    it('by Vary: * is kept by nobody', async () => {
      const { site, runs, clock } = await validatedSite((req, res) => {
        res.set('Vary', '*')
        confirmOrSend(req, res)
      })
      await site.get('/p')
      clock.advance(61)
      for (let i = 0; i < 2; i++) expect((await site.get('/p')).text).toBe('the page')
      expect(runs.count).toBe(3)
    })
  })

  describe('requests that cannot validate it', () => {
    it('HEAD asks in its own words and leaves the page as it is', async () => {
      const { site, asked, clock } = await validatedSite((req, res) => {
        if (req.method === 'HEAD') res.set('ETag', '"head"').end()
        else res.status(304).end()
      })
      await site.get('/p')
      clock.advance(61)
      const headers = { 'If-None-Match': '"mine"' }
      const head = await site.get('/p', { method: 'HEAD', headers })
      expect(head.status).toBe(200)
      expect(head.headers.etag).toBe('"head"')
      const get = await site.get('/p')
      expect(get.text).toBe('the page')
      expect(get.headers.etag).toBe('"v1"')
      expect(asked.slice(1)).toEqual([
        { 'if-none-match': '"mine"' },
        { 'if-none-match': '"v1"', 'if-modified-since': MODIFIED },
      ])
    })

    it('a Range is the view’s, and its part is never the page', async () => {
      const { site, asked, clock } = await validatedSite((req, res) => {
        if (req.headers.range === undefined) res.status(304).end()
        else res.status(206).set('Content-Range', 'bytes 0-2/8').end('the')
      })
      await site.get('/p')
      clock.advance(61)
      const part = await site.get('/p', { headers: { Range: 'bytes=0-2' } })
      expect(part).toMatchObject({ status: 206, text: 'the' })
      expect((await site.get('/p')).text).toBe('the page')
      expect(asked.slice(1)).toEqual([
        {},
        { 'if-none-match': '"v1"', 'if-modified-since': MODIFIED },
      ])
      // Now that it is confirmed, the part is cut from it.
      const cut = await site.get('/p', { headers: { Range: 'bytes=4-' } })
      expect(cut).toMatchObject({ status: 206, text: 'page' })
      expect(asked).toHaveLength(3)
    })

    it('one of a visitor who is signed in is its own affair', async () => {
      const { site, asked, runs, clock } = await validatedSite(
        (_req, res) => res.set('X-Run', String(runs.count)).status(304).end(),
        {
          before: [
            (req, _res, next) => (Object.assign(req, { user: req.headers['x-user'] }), next()),
          ],
        },
      )
      await site.get('/p')
      clock.advance(61)
      const headers = { 'X-User': 'ada', 'If-None-Match': '"mine"' }
      expect(await site.get('/p', { headers })).toMatchObject({ status: 304, text: '' })
      expect(asked[1]).toEqual({ 'if-none-match': '"mine"' })
      // Nothing of it got into everybody's page.
      const others = await site.get('/p')
      expect(others.headers['x-run']).toBe('3')
      expect(asked[2]).toEqual({ 'if-none-match': '"v1"', 'if-modified-since': MODIFIED })
    })
  })

  describe('is kept to be validated', () => {
    it.each<[string, number, number | undefined, number]>([
      ['as long as it was fresh', 600, undefined, 600],
      ['a minute at least', 10, undefined, 60],
      ['an hour at most', 90_000, undefined, 3600],
      ['for revalidateSeconds', 60, 7, 7],
      ['for many revalidateSeconds', 60, 90_000, 90_000],
    ])('%s', async (_name, seconds, revalidateSeconds, kept) => {
      const { site, asked, clock } = await validatedSite(
        (_req, res) => res.set('ETag', '"v1"').end('the page'),
        { page: [seconds], revalidateSeconds },
        { ETag: '"v1"' },
      )
      await site.get('/p')
      clock.advance(seconds + kept - 1)
      await site.get('/p')
      clock.advance(seconds + kept)
      await site.get('/p')
      expect(asked).toEqual([{}, { 'if-none-match': '"v1"' }, {}])
    })

    it('not at all with revalidateSeconds: 0', async () => {
      const { site, asked, clock } = await validatedSite((_req, res) => res.end('new'), {
        revalidateSeconds: 0,
      })
      await site.get('/p')
      clock.advance(60)
      expect((await site.get('/p')).text).toBe('new')
      expect(asked).toEqual([{}, {}])
    })
  })

  it('is fresh as long as the 304 says, and so later caches are told', async () => {
    const clock = stopClock()
    const { site, runs } = await cachedSite(express, (req, res) => {
      if (req.headers['if-none-match'] === '"v1"') {
        res.status(304).set('Cache-Control', 'max-age=300').end()
      } else {
        res.set({ ETag: '"v1"', 'Cache-Control': 'max-age=60' }).end('the page')
      }
    })
    await site.get('/p')
    clock.advance(61)
    const confirmed = await site.get('/p')
    expect(confirmed.headers['cache-control']).toBe('max-age=300')
    clock.advance(299)
    expect((await site.get('/p')).cacheStatus).toBe('fragcache; hit; ttl=1')
    clock.advance(1)
    await site.get('/p')
    expect(runs.count).toBe(3)
  })

  it('is still what it was after its view failed', async () => {
    const { site, asked, clock } = await validatedSite((_req, res) => {
      if (asked.length === 2) res.status(500).send('failed')
      else res.status(304).end()
    })
    await site.get('/p')
    clock.advance(61)
    const failed = await site.get('/p')
    expect(failed).toMatchObject({ status: 500, text: 'failed' })
    expect(failed.cacheStatus).toBe('fragcache; fwd=stale; fwd-status=500; detail=status')
    expect(await site.get('/p')).toMatchObject({ status: 200, text: 'the page' })
    expect(asked[2]).toEqual(asked[1])
  })

  it('does not come back where it was invalidated while its view ran', async () => {
    const running = gate()
    const reached = gate()
    const { site, pages, asked, clock } = await validatedSite((_req, res) => {
      if (asked.length > 2) return res.set('ETag', '"v2"').end('new')
      reached.open()
      return running.opened.then(() => res.status(304).end())
    })
    await site.get('/p')
    clock.advance(61)
    const slow = site.get('/p')
    await reached.opened
    await pages.invalidate(`${site.origin}/p`)
    running.open()
    await slow
    expect((await site.get('/p')).text).toBe('new')
    expect(asked[2]).toEqual({})
  })

  it('keeps its tags where its visitor left while its view was asked', async () => {
    const clock = stopClock()
    const [reached, left] = [gate(), gate()]
    const { site, cache, runs } = await cachedSite(
      express,
      async (req, res) => {
        if (runs.count === 1) {
          dependOn(['t'])
          res.set('ETag', '"v1"').end('old')
          return
        }
        if (runs.count === 2) {
          res.once('close', left.open)
          reached.open()
          await left.opened
        }
        if (req.headers['if-none-match'] === '"v1"') res.status(304).end()
        else res.end('new')
      },
      { page: [60] },
    )
    await site.get('/p')
    clock.advance(61)
    const impatient = site.request('/p')
    impatient.on('error', () => undefined).end()
    await reached.opened
    impatient.destroy()
    await left.opened
    await settle()
    expect((await site.get('/p')).text).toBe('old')
    await cache.invalidateTags(['t'])
    expect((await site.get('/p')).text).toBe('new')
  })

  it('of each variant is asked about by itself', async () => {
    const clock = stopClock()
    const asked: unknown[] = []
    const { site } = await cachedSite(
      express,
      (req, res) => {
        const language = String(req.headers['accept-language'])
        asked.push(req.headers['if-none-match'])
        if (req.headers['if-none-match'] === `"${language}"`) res.status(304).end()
        else res.vary('Accept-Language').set('ETag', `"${language}"`).end(language)
      },
      { page: [60] },
    )
    const languages = ['de', 'fr']
    const texts: string[] = []
    for (let round = 0; round < 2; round++) {
      for (const language of languages) {
        const answer = await site.get('/p', { headers: { 'Accept-Language': language } })
        texts.push(`${answer.status} ${answer.text} ${answer.headers.vary}`)
      }
      clock.advance(61)
    }
    const vary = 'Accept-Language'
    expect(texts).toEqual(['de', 'fr', 'de', 'fr'].map((language) => `200 ${language} ${vary}`))
    expect(asked).toEqual([undefined, undefined, '"de"', '"fr"'])
  })
})
