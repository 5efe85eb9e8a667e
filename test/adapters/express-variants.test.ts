import { LocMemCache, type Cache } from 'fragcache'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { cachedSite, stopClock, watchOutcomes, type View } from '../support/cached-site.js'
import { eventually, oneExpress, type Site } from '../support/express.js'
import { gate } from '../support/waiting.js'

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache({ options: { maxEntries: 100_000 } })],
  ['a cache that answers late', () => new AsyncTestCache()],
]

describe.each(oneExpress)('the variants of a URL in $version', ({ express }) => {
  const varied: View = (req, res) => {
    res.vary('X-T').send(`for ${String(req.headers['x-t'])}`)
  }

  /** Asks for a variant, and waits until what came of it is settled. */
  function asker(site: Site, path = '/p') {
    const outcomes = watchOutcomes(site.origin)
    return async (t: string) => {
      const before = outcomes.length
      const answer = await site.get(path, { headers: { 'X-T': t } })
      await eventually(() => outcomes.length > before)
      expect(answer.text).toBe(`for ${t}`)
      return /^fragcache; hit/.test(String(answer.cacheStatus))
    }
  }

  describe.each(backends)('in %s', (_name, newCache) => {
    it('are no more than maxVariants, and the oldest goes', async () => {
      const cache = newCache()
      const { site } = await cachedSite(express, varied, { cache, maxVariants: 3 })
      const isHit = asker(site)
      for (const t of ['1', '2', '3', '4']) expect(await isHit(t)).toBe(false)
      for (const t of ['2', '3', '4']) expect(await isHit(t)).toBe(true)
      // The second is the oldest now.
      expect(await isHit('1')).toBe(false)
      for (const t of ['3', '4', '1']) expect(await isHit(t)).toBe(true)
      expect(await isHit('2')).toBe(false)
    })

    it('are as many as are given room', async () => {
      const { site, runs } = await cachedSite(express, varied, {
        cache: newCache(),
        maxVariants: 20,
      })
      const isHit = asker(site)
      for (let i = 0; i < 20; i++) await isHit(String(i))
      for (let i = 0; i < 20; i++) expect(await isHit(String(i))).toBe(true)
      expect(runs.count).toBe(20)
    })

    it('made again do not push out others', async () => {
      const clock = stopClock()
      const { site } = await cachedSite(
        express,
        (req, res) => {
          const t = String(req.headers['x-t'])
          res.vary('X-T').set('Cache-Control', `max-age=${t === 'short' ? 10 : 600}`)
          res.send(`for ${t}`)
        },
        { cache: newCache(), maxVariants: 3 },
      )
      const isHit = asker(site)
      for (const t of ['a', 'b', 'short']) await isHit(t)
      for (let i = 0; i < 5; i++) {
        clock.advance(11)
        expect(await isHit('short')).toBe(false)
      }
      for (const t of ['a', 'b']) expect(await isHit(t)).toBe(true)
    })

    it('of other URLs do not count', async () => {
      const { site } = await cachedSite(express, varied, { cache: newCache(), maxVariants: 2 })
      const [p, q] = [asker(site, '/p'), asker(site, '/q')]
      for (const t of ['1', '2']) {
        await p(t)
        await q(t)
      }
      for (const t of ['1', '2']) expect([await p(t), await q(t)]).toEqual([true, true])
    })

    it('one of which is enough push out one another', async () => {
      const { site } = await cachedSite(express, varied, { cache: newCache(), maxVariants: 1 })
      const isHit = asker(site)
      expect([await isHit('1'), await isHit('1')]).toEqual([false, true])
      expect([await isHit('2'), await isHit('2')]).toEqual([false, true])
      expect(await isHit('1')).toBe(false)
    })
  })

  it('are bounded however many are asked for', async () => {
    const cache = new AsyncTestCache()
    const { site, runs } = await cachedSite(express, varied, { cache, maxVariants: 10 })
    for (let batch = 0; batch < 4; batch++) {
      await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          site.get('/p', { headers: { 'X-T': String(batch * 50 + i) } }),
        ),
      )
    }
    expect(runs.count).toBe(200)
    // The pages, and what is known of the URL.
    await eventually(() => cache.storedKeys.length <= 10 + 4)
    const isHit = asker(site)
    await isHit('last')
    expect(await isHit('last')).toBe(true)
  })

  it('are bounded without an option too', async () => {
    const cache = new AsyncTestCache()
    const { site } = await cachedSite(express, varied, { cache })
    for (let batch = 0; batch < 6; batch++) {
      await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          site.get('/p', { headers: { 'X-T': String(batch * 50 + i) } }),
        ),
      )
    }
    await eventually(() => cache.storedKeys.length <= 256 + 4)
  })

  it('that end at the same time are bounded as well', async () => {
    const cache = new AsyncTestCache()
    const ready = gate()
    const { site, runs } = await cachedSite(
      express,
      async (req, res) => {
        await ready.opened
        varied(req, res, () => undefined)
      },
      { cache, maxVariants: 5, waitSeconds: 0 },
    )
    const asked = Array.from({ length: 16 }, (_, i) =>
      site.get('/p', { headers: { 'X-T': String(i) } }),
    )
    await eventually(() => runs.count === 16)
    ready.open()
    const texts = (await Promise.all(asked)).map(({ text }) => text)
    expect(texts).toEqual(Array.from({ length: 16 }, (_, i) => `for ${i}`))
    await eventually(() => cache.storedKeys.length <= 5 + 4)
  })

  it.each([0, -1, 1.5, NaN, '3', null])('maxVariants: %j is refused', async (maxVariants) => {
    await expect(
      cachedSite(express, varied, { maxVariants: maxVariants as number }),
    ).rejects.toThrow(/responseCache: maxVariants: .* is not a whole number, 1 or more/)
  })
})
