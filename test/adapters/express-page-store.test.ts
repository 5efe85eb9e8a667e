import {
  CacheBackendError,
  LocMemCache,
  type CacheSettings,
  type WriteEntry,
  type WriteOutcome,
} from 'fragcache'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { NewPage, PageLookup, PageRequest } from '../../src/pages/page.js'
import { PageStore } from '../../src/pages/page-store.js'
import { coreOf } from '../../src/backend/core.js'
import { Frame } from '../../src/making/frame.js'
import { generationKey, headerListKey } from '../../src/http/page-key.js'
import { decodeHeaderList, encodeList } from '../../src/pages/page-records.js'
import { AsyncTestCache } from '../support/async-cache.js'

const T = 1_700_000_000_000

function stopClock(...also: ('setTimeout' | 'clearTimeout' | 'performance')[]) {
  vi.useFakeTimers({ toFake: ['Date', ...also], now: T })
  onTestFinished(() => void vi.useRealTimers())
}

const request = (headers: Record<string, string> = {}): PageRequest => ({
  method: 'GET',
  uri: 'http://a.test/p',
  language: undefined,
  timeZone: undefined,
  headers,
})

function page(
  store: PageStore,
  text: string,
  { vary = [] as string[], seconds = 600 } = {},
): NewPage {
  return {
    head: {
      status: 200,
      headers: [],
      removed: [],
      storedAtMs: Date.now(),
      ageSeconds: 0,
      freshUntilMs: Date.now() + seconds * 1000,
      ifErrorSeconds: 0,
      whileRevalidateSeconds: 0,
      said: [],
      isPublic: false,
      isForAuthorized: false,
      mustValidate: false,
      mayBeStale: true,
      isWhole: false,
    },
    keptUntilMs: Date.now() + seconds * 1000,
    body: [Buffer.from(text)],
    vary,
    frame: new Frame(store.cache, undefined, undefined),
  }
}

/** Looks up, as before a handler runs. */
async function begun(store: PageStore, of: PageRequest): Promise<PageLookup> {
  return store.begin(of, await store.lookup(of))
}

/** Looks up, and stores if nothing was found, as a request does. */
async function visit(store: PageStore, of: PageRequest, made: NewPage): Promise<string> {
  const found = await store.lookup(of)
  if (found.page !== undefined) return found.page.body.toString()
  return (await store.store(of, made, await store.begin(of, found))).outcome
}

/** It answers reads, and never writes. */
class SlowlyWritingCache extends AsyncTestCache {
  isSlow = false

  override writeEntries(entries: readonly WriteEntry<Uint8Array>[]): Promise<WriteOutcome[]> {
    return this.isSlow ? new Promise(() => undefined) : super.writeEntries(entries)
  }
}

/** Another process writes beside it, and what is read is from before that. */
class LaggingCache extends AsyncTestCache {
  constructor(settings: CacheSettings) {
    super(settings)
    const { store } = coreOf(this)
    Object.defineProperty(store, 'readsMayLag', { value: true })
    store.readCopies = (keys, counterKeys) =>
      this.readEntries([...keys.map((key) => `before ${key}`), ...counterKeys])
  }
}

it('a page whose replica does not know of its URI yet is made beside others, not in their stead', async () => {
  const location = 'lagging'
  const here = new PageStore(new AsyncTestCache({ location }), 'default', '')
  const there = new PageStore(new LaggingCache({ location }), 'default', '')
  const seen = await begun(here, request())
  expect((await begun(there, request())).generation).toBe(seen.generation)
  expect(await here.store(request(), page(here, 'made'), seen)).toMatchObject({ outcome: 'stored' })
  expect((await here.lookup(request())).page?.body.toString()).toBe('made')
})

const address = { keyPrefix: '', uri: 'http://a.test/p' }

describe.each([
  ['local memory', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
])('pages in %s', (_name, newCache) => {
  const newStore = () => new PageStore(newCache(), 'default', '')

  it('are not stored if the cache was cleared since their handler began, also the first of a URI', async () => {
    const store = newStore()
    const seen = await begun(store, request())
    const made = page(store, 'old')
    await store.api.clear()
    expect(await store.store(request(), made, seen)).toMatchObject({ outcome: 'invalidated' })
    expect((await store.lookup(request())).page).toBeUndefined()
  })

  it('are found by the headers their URI varies on, which only become more', async () => {
    const store = newStore()
    expect(await visit(store, request({ a: '1' }), page(store, 'one', { vary: ['a'] }))).toBe(
      'stored',
    )
    expect(await visit(store, request({ a: '1' }), page(store, ''))).toBe('one')
    expect(await visit(store, request({ a: '2' }), page(store, 'two'))).toBe('stored')
    expect(await visit(store, request({ a: '2' }), page(store, ''))).toBe('two')
    expect(await visit(store, request({ a: '1' }), page(store, ''))).toBe('one')
    const grown = page(store, 'three', { vary: ['b'] })
    expect(await visit(store, request({ a: '3', b: '1' }), grown)).toBe('stored')
    expect(await visit(store, request({ a: '3', b: '1' }), page(store, ''))).toBe('three')
    expect(await visit(store, request({ a: '3', b: '2' }), page(store, 'four'))).toBe('stored')
    expect((await store.lookup(request())).headerList).toEqual(['a', 'b'])
  })

  it('live as long as they were given, whatever the others of their URI were given', async () => {
    stopClock()
    const store = newStore()
    const of = (a: string) => request({ a })
    await visit(store, of('1'), page(store, 'long', { vary: ['a'], seconds: 600 }))
    await visit(store, of('2'), page(store, 'short', { vary: ['a'], seconds: 5 }))
    await visit(store, of('3'), page(store, 'longest', { vary: ['a'], seconds: 900 }))
    vi.setSystemTime(T + 5000)
    expect((await store.lookup(of('2'))).page).toBeUndefined()
    expect((await store.lookup(of('1'))).page?.body.toString()).toBe('long')
    vi.setSystemTime(T + 600_000)
    expect((await store.lookup(of('1'))).page).toBeUndefined()
    expect((await store.lookup(of('3'))).page?.body.toString()).toBe('longest')
    vi.setSystemTime(T + 900_000)
    expect((await store.lookup(of('3'))).page).toBeUndefined()
  })

  it('are not stored when their time is up, or their URI was invalidated meanwhile', async () => {
    stopClock()
    const store = newStore()
    const late = page(store, 'late', { seconds: 0 })
    expect(await visit(store, request(), late)).toBe('stale')
    const before = await begun(store, request())
    await store.invalidate('http://a.test/p')
    expect(await store.store(request(), page(store, 'old'), before)).toMatchObject({
      outcome: 'invalidated',
    })
    const after = await begun(store, request())
    expect(await store.store(request(), page(store, 'new'), after)).toMatchObject({
      outcome: 'stored',
    })
    // What another request made of the URI since changes nothing for the one before.
    expect(await store.store(request(), page(store, 'old'), before)).toMatchObject({
      outcome: 'invalidated',
    })
    expect(await visit(store, request(), page(store, ''))).toBe('new')
  })

  it('do not come back when the records of their URI are gone', async () => {
    for (const key of [generationKey(address), headerListKey(address)]) {
      const store = newStore()
      await visit(store, request({ a: '1' }), page(store, 'old', { vary: ['a'] }))
      await store.api.delete(key)
      expect((await store.lookup(request({ a: '1' }))).page).toBeUndefined()
      // The page of another variant brings the list back, in a generation of its own if need be.
      const seen = await begun(store, request({ a: '2' }))
      await store.store(request({ a: '2' }), page(store, 'new', { vary: ['a'] }), seen)
      const found = (await store.lookup(request({ a: '1' }))).page?.body.toString()
      expect(found).toBe(key === generationKey(address) ? undefined : 'old')
    }
  })

  it('are not given for another although the keys are the same', async () => {
    const store = newStore()
    await visit(store, request({ a: '1' }), page(store, 'for a', { vary: ['a'] }))
    // Another process, which had learned something else at the same time, wrote its list last.
    const list = decodeHeaderList(await store.api.get(headerListKey(address)))
    await store.api.set(
      headerListKey(address),
      encodeList({
        expiresAtMs: null,
        generation: list?.generation ?? '',
        list: ['b'],
      }),
    )
    expect(store.keyOf(request({ b: '1' }), ['b'])).toBe(store.keyOf(request({ a: '1' }), ['a']))
    expect((await store.lookup(request({ b: '1' }))).page).toBeUndefined()
  })

  it('that cannot be read are misses, and are replaced', async () => {
    for (const rubbish of ['', 'rubbish', Buffer.from('FCR1'), { status: 200 }, 7]) {
      const store = newStore()
      for (const key of [
        generationKey(address),
        headerListKey(address),
        store.keyOf(request(), []),
      ]) {
        await visit(store, request(), page(store, 'old'))
        await store.api.set(key, rubbish)
        const found = await begun(store, request())
        expect(found.page).toBeUndefined()
        expect(await store.store(request(), page(store, 'new'), found)).toMatchObject({
          outcome: 'stored',
        })
        expect((await store.lookup(request())).page?.body.toString()).toBe('new')
      }
    }
  })
})

describe('a page that is being stored', () => {
  it('is waited for by the next request of this process', async () => {
    const store = new PageStore(new AsyncTestCache(), 'default', '')
    const seen = await begun(store, request())
    const stored = store.store(request(), page(store, 'new'), seen)
    expect((await store.lookup(request())).page?.body.toString()).toBe('new')
    await stored
  })

  it('is waited for half a second at most', async () => {
    stopClock('setTimeout', 'clearTimeout', 'performance')
    const cache = new SlowlyWritingCache()
    const store = new PageStore(cache, 'default', '')
    const seen = await begun(store, request())
    cache.isSlow = true
    const stored = store.store(request(), page(store, 'new'), seen)
    let found: string | undefined
    void Promise.resolve(store.lookup(request())).then(({ page }) => {
      found = page === undefined ? 'nothing' : 'a page'
    })
    await vi.advanceTimersByTimeAsync(499)
    expect(found).toBeUndefined()
    await vi.advanceTimersByTimeAsync(1)
    await vi.waitFor(() => expect(found).toBe('nothing'), { interval: 1, timeout: 10_000 })
    await vi.advanceTimersByTimeAsync(1500)
    expect(await stored).toMatchObject({ outcome: 'cache-failed' })
  })

  it('one of many of its URI, beyond a number, is not', async () => {
    const store = new PageStore(new AsyncTestCache(), 'default', '')
    const seen = await begun(store, request())
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, () => store.store(request(), page(store, 'x'), seen)),
    )
    expect(outcomes.filter(({ outcome }) => outcome === 'busy')).toHaveLength(4)
    expect(outcomes.filter(({ outcome }) => outcome === 'stored')).toHaveLength(1)
    expect(outcomes.filter(({ outcome }) => outcome === 'overtaken')).toHaveLength(15)
    const later = await begun(store, request())
    expect(await store.store(request(), page(store, 'x'), later)).toMatchObject({
      outcome: 'stored',
    })
  })
})

describe('a cache that fails', () => {
  it('makes a lookup fail and a page unstored', async () => {
    const cache = new AsyncTestCache()
    const store = new PageStore(cache, 'default', '')
    const seen = await begun(store, request())
    cache.failing = true
    await expect(Promise.resolve(store.lookup(request()))).rejects.toThrow(CacheBackendError)
    expect(await store.store(request(), page(store, 'x'), seen)).toMatchObject({
      outcome: 'cache-failed',
    })
    await expect(store.invalidate('http://a.test/p')).rejects.toThrow(CacheBackendError)
  })

  it('and one that hangs, within two seconds', async () => {
    stopClock('setTimeout', 'clearTimeout')
    const cache = new AsyncTestCache()
    const store = new PageStore(cache, 'default', '')
    const seen = await begun(store, request())
    cache.hanging = true
    const found = expect(Promise.resolve(store.lookup(request()))).rejects.toThrow(
      CacheBackendError,
    )
    const outcome = store.store(request(), page(store, 'x'), seen)
    await vi.advanceTimersByTimeAsync(2000)
    await found
    expect(await outcome).toMatchObject({ outcome: 'cache-failed' })
  })

  it('a page it will not take is not stored', async () => {
    const cache = new AsyncTestCache()
    const store = new PageStore(cache, 'default', '')
    cache.maxPayloadBytes = 300
    expect(await visit(store, request(), page(store, 'x'.repeat(300)))).toBe('entry-too-large')
    expect((await store.lookup(request())).page).toBeUndefined()
  })
})

describe('round trips', () => {
  it('one to find a page whose headers are known, two to store one', async () => {
    const cache = new AsyncTestCache()
    const store = new PageStore(cache, 'default', '')
    const seen = await begun(store, request())
    // The generation of a URI that nothing is known of, and once the clock, are begun before its handler runs.
    expect([cache.reads, cache.writes]).toEqual([1, 2])
    await store.store(request(), page(store, 'x'), seen)
    const { reads, writes } = cache
    expect([reads, writes]).toEqual([2, 3])
    await store.lookup(request())
    expect([cache.reads, cache.writes]).toEqual([3, 3])
  })

  it('two to find one that varies on headers, and one from then on', async () => {
    const cache = new AsyncTestCache()
    const process1 = new PageStore(cache, 'default', '')
    const varying = page(process1, 'x', { vary: ['a'] })
    await process1.store(request(), varying, await begun(process1, request()))
    const process2 = new PageStore(cache, 'default', '')
    const before = cache.reads
    expect((await process2.lookup(request())).page).toBeDefined()
    expect(cache.reads - before).toBe(2)
    expect((await process2.lookup(request())).page).toBeDefined()
    expect(cache.reads - before).toBe(3)
  })
})
