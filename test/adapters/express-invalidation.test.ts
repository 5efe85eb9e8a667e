import type { RequestHandler } from 'express'
import { createCaches, FragmentCache, LocMemCache, type Cache, type Deadline } from 'fragcache'
import { responseCache, type PageTags, type ResponseCache } from 'fragcache/express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { WriteEntry, WriteOutcome } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { stopClock, watchOutcomes } from '../support/cached-site.js'
import { eventually, oneExpress, Site } from '../support/express.js'
import { gate, settle } from '../support/waiting.js'

const backends: [string, () => Cache][] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

/** Renewing the time of an entry takes until it is let go on. */
class SlowToTouch extends AsyncTestCache {
  isSlow = false
  readonly touching = gate()
  readonly goesOn = gate()

  override async touchEntry(key: string, expiresAtMs: Deadline): Promise<boolean> {
    if (this.isSlow) {
      this.touching.open()
      await this.goesOn.opened
    }
    return super.touchEntry(key, expiresAtMs)
  }
}

/** The answer to a write is lost once, whether it took effect or not. */
class LosesAnAnswer extends AsyncTestCache {
  losesNext = false

  override writeEntries(entries: readonly WriteEntry<Uint8Array>[]): Promise<WriteOutcome[]> {
    if (!this.losesNext) return super.writeEntries(entries)
    this.losesNext = false
    return new Promise(() => undefined)
  }
}

describe.each(oneExpress)('an invalidation in $version', ({ express }) => {
  /** A site whose pages are what `content` is; POST makes it new. */
  async function changingSite(cache: Cache, use: (pages: ResponseCache) => RequestHandler) {
    const pages = responseCache(createCaches({ default: cache }), { staleIfError: 1000 })
    const app = express()
    const state = { content: 'old' }
    app.use(use(pages))
    app.post('/p', (_req, res) => {
      state.content = 'new'
      res.sendStatus(204)
    })
    app.get('/p', (_req, res) => void res.vary('Accept-Language').send(state.content))
    const site = await Site.open(app)
    return { site, pages, state, outcomes: watchOutcomes(site.origin), url: `${site.origin}/p` }
  }

  it('of one variant wins over its page that is being stored', async () => {
    const clock = stopClock()
    const cache = new SlowToTouch()
    const { site, pages, state, outcomes, url } = await changingSite(cache, (made) =>
      made.cachePage(2 * 3600),
    )
    const headers = { 'Accept-Language': 'de' }
    await site.get('/p', { headers })
    await eventually(() => outcomes.length === 1)
    clock.advance(2 * 3600 + 1)
    cache.isSlow = true
    const before = site.get('/p', { headers })
    await cache.touching.opened
    state.content = 'new'
    await pages.invalidate(url, { vary: headers })
    cache.goesOn.open()
    expect((await before).text).toBe('old')
    await eventually(() => outcomes.length === 2)
    const after = await site.get('/p', { headers })
    expect(after.cacheStatus).not.toMatch(/; hit/)
    expect(after.text).toBe('new')
  })

  it('whose answer is lost does not keep its URL out of the cache', async () => {
    const cache = new LosesAnAnswer()
    const { site, pages, state, url } = await changingSite(cache, (made) => made.cacheSite())
    await site.get('/p')
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    cache.losesNext = true
    state.content = 'new'
    const told = expect(pages.invalidate(url)).rejects.toThrow('gave no answer within 2000 ms')
    await vi.advanceTimersByTimeAsync(2000)
    await told
    const after = await site.get('/p')
    expect([after.text, after.cacheStatus]).toEqual(['new', expect.stringMatching(/; stored$/)])
    const hit = await site.get('/p')
    expect([hit.text, hit.cacheStatus]).toEqual(['new', expect.stringMatching(/; hit/)])
  })

  describe('while the cache is down', () => {
    const ways: [string, (site: Site, pages: ResponseCache) => Promise<unknown>][] = [
      ['by POST', (site) => site.get('/p', { method: 'POST' })],
      [
        'by invalidate, which says that it failed',
        (site, pages) => expect(pages.invalidate(`${site.origin}/p`)).rejects.toThrow(),
      ],
    ]

    it.each(ways)('%s: what it was to drop does not come back', async (_name, invalidate) => {
      const cache = new AsyncTestCache()
      const { site, pages, state } = await changingSite(cache, (made) => made.cacheSite())
      await site.get('/p')
      expect((await site.get('/p')).cacheStatus).toMatch(/; hit/)
      cache.failing = true
      state.content = 'new'
      await invalidate(site, pages)
      await settle()
      const down = await site.get('/p')
      expect([down.text, down.cacheStatus]).toEqual([
        'new',
        'fragcache; fwd=bypass; detail=cache-failed',
      ])
      cache.failing = false
      const back = await site.get('/p')
      expect([back.text, back.cacheStatus]).toEqual([
        'new',
        expect.stringMatching(/; stored; detail=removed$/),
      ])
      const hit = await site.get('/p')
      expect([hit.text, hit.cacheStatus]).toEqual(['new', expect.stringMatching(/; hit/)])
    })

    it.each(ways)('%s: other pages are as they were', async (_name, invalidate) => {
      const cache = new AsyncTestCache()
      const { site, pages, outcomes } = await changingSite(cache, (made) => made.cacheSite())
      await site.get('/p?page=2')
      await eventually(() => outcomes.length === 1)
      cache.failing = true
      await invalidate(site, pages)
      await settle()
      cache.failing = false
      expect((await site.get('/p?page=2')).cacheStatus).toMatch(/; hit/)
    })
  })

  describe.each(backends)('by tag, of a page that its view has confirmed, over %s', (_n, make) => {
    async function confirmedSite(
      view: (fragments: FragmentCache) => Promise<string> | string,
      tags?: PageTags,
    ) {
      const clock = stopClock()
      const cache = make()
      const caches = createCaches({ default: cache })
      const fragments = new FragmentCache(caches)
      const pages = responseCache(caches)
      const app = express()
      const state = { content: 'old', confirms: true }
      const page = pages.cachePage(60, tags === undefined ? {} : { tags })
      app.get('/p', page, async (req, res) => {
        if (state.confirms && req.headers['if-none-match'] === '"v1"') return res.status(304).end()
        const text = `${state.content} ${await view(fragments)}`
        return res.set('ETag', '"v1"').end(text)
      })
      const site = await Site.open(app)
      const outcomes = watchOutcomes(site.origin)
      /** Waits until the page is stored, too. */
      const get = async () => {
        const { length } = outcomes
        const answer = await site.get('/p')
        await eventually(() => outcomes.length > length)
        return answer
      }
      return { clock, cache, state, get }
    }

    it.each<[string, PageTags | undefined, boolean]>([
      ['a list', ['t'], false],
      ['a function', () => ['t'], false],
      ['a fragment in the body', undefined, true],
      ['a function and a fragment in the body', () => ['other'], true],
    ])('drops it: %s', async (_name, tags, hasFragment) => {
      const { clock, cache, state, get } = await confirmedSite(
        (fragments) =>
          hasFragment
            ? fragments.render({ name: 'f', timeout: 9000, tags: ['t'] }, () => 'f')
            : 'none',
        tags,
      )
      await get()
      // Each time what the page depends on is handed on.
      for (let times = 0; times < 2; times++) {
        clock.advance(61)
        const confirmed = await get()
        expect(confirmed.cacheStatus).toBe('fragcache; fwd=stale; fwd-status=304; stored')
        expect((await get()).cacheStatus).toMatch(/; hit/)
      }
      state.content = 'new'
      state.confirms = false
      await cache.invalidateTags(['t'])
      const after = await get()
      expect(after.cacheStatus).not.toMatch(/; hit/)
      expect(after.text).toMatch(/^new/)
    })

    it('drops it also while the view says that it is right still', async () => {
      const asked = gate()
      const answers = gate()
      const clock = stopClock()
      const caches = createCaches({ default: make() })
      const fragments = new FragmentCache(caches)
      const pages = responseCache(caches)
      const app = express()
      let content = 'old'
      app.get('/p', pages.cachePage(60), async (req, res) => {
        if (req.headers['if-none-match'] === '"old"' && content === 'old') {
          asked.open()
          await answers.opened
          return res.status(304).end()
        }
        const options = { name: 'f', timeout: 9000, tags: ['t'] }
        const fragment = await fragments.render(options, () => content)
        return res.set('ETag', `"${content}"`).end(fragment)
      })
      const site = await Site.open(app)
      const outcomes = watchOutcomes(site.origin)
      await site.get('/p')
      await eventually(() => outcomes.length === 1)
      clock.advance(61)
      const before = site.get('/p')
      await asked.opened
      await caches.invalidateTags(['t'])
      content = 'new'
      answers.open()
      await before
      await eventually(() => outcomes.length === 2)
      expect((await site.get('/p')).text).toBe('new')
    })
  })
})
