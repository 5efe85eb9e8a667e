import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createCaches, dependOn, FragmentCache, LocMemCache, type Cache } from 'fragcache'
import { createCacheTable, DatabaseCache } from 'fragcache/database'
import { FileBasedCache } from 'fragcache/file'
import { MemcachedCache } from 'fragcache/memcached'
import { RedisCache } from 'fragcache/redis'
import { TieredCache, type Bus } from 'fragcache/tiered'
import { PageStore } from '../../src/pages/page-store.js'
import type { NewPage, PageLookup, PageRequest } from '../../src/pages/page.js'
import { Frame } from '../../src/making/frame.js'
import { coreOf } from '../../src/backend/core.js'
import { userTag } from '../../src/tags.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { newTable, openBetterSqlite3 } from '../support/databases.js'
import { sharedServer } from '../support/servers.js'

/*
 * Two caches over one store are what two processes have: neither knows anything of the other's making but
 * what the store tells. Everything happens in an order that the tests decide; none waits for time.
 */

const [redis, memcached] = await Promise.all([sharedServer('redis'), sharedServer('memcached')])
const folder = mkdtempSync(join(tmpdir(), 'fragcache-consistency-'))
const open: Cache[] = []
const ended: (() => Promise<unknown>)[] = []
let stores = 0
/** Nothing here is about slow servers. */
const options = { timeLimitMs: 10_000 }

afterAll(async () => {
  for (const cache of open) await cache.close()
  for (const end of ended) await end()
  rmSync(folder, { recursive: true, force: true })
})

type Pair = readonly [Cache, Cache]

/** In this process every cache is told what another invalidates: here the store alone is. */
async function invalidateElsewhere(
  there: Cache,
  tags: readonly string[],
  { soft = false } = {},
): Promise<void> {
  await coreOf(there).entries.bumpTags(tags.map(userTag), soft)
}

function pairOf(make: () => Cache): Pair {
  const pair = [make(), make()] as const
  open.push(...pair)
  return pair
}

async function sqlite(): Promise<Pair> {
  const file = join(folder, `${++stores}.sqlite`)
  const location = newTable()
  const databases = [openBetterSqlite3(file), openBetterSqlite3(file)]
  ended.push(...databases.map(({ end }) => end))
  const pair = databases.map(({ database }) => new DatabaseCache({ location, database }))
  await createCacheTable(pair[0])
  open.push(...pair)
  return pair as unknown as Pair
}

const kinds: readonly (readonly [string, () => Pair | Promise<Pair>])[] = [
  [
    'a store that answers later',
    () => {
      const location = `consistency-${++stores}`
      return pairOf(() => new AsyncTestCache({ location }))
    },
  ],
  [
    'tiers without a bus over one',
    () => {
      const location = `consistency-${++stores}`
      return pairOf(
        () =>
          new TieredCache({
            local: new LocMemCache(),
            remote: new AsyncTestCache({ location }),
            // So short that nothing is served from it here.
            localTimeout: 0.001,
          }),
      )
    },
  ],
  ['SQLite', sqlite],
  [
    'files',
    () => {
      const location = join(folder, String(++stores))
      return pairOf(() => new FileBasedCache({ location }))
    },
  ],
  ...(redis === undefined
    ? []
    : [
        [
          'Redis',
          () => {
            const keyPrefix = newTable()
            return pairOf(() => new RedisCache({ location: redis.url, keyPrefix, options }))
          },
        ] as const,
      ]),
  ...(memcached === undefined
    ? []
    : [
        [
          'Memcached',
          () => {
            const keyPrefix = newTable()
            return pairOf(() => new MemcachedCache({ location: memcached.url, keyPrefix, options }))
          },
        ] as const,
      ]),
]

/** A promise that is kept by hand. */
function signal() {
  let give: () => void = () => undefined
  const given = new Promise<void>((resolve) => (give = resolve))
  return { given, give }
}

/** Something that is being made, and the two moments that tests come in between. */
function slow<T>(value: () => T, begin: () => unknown = () => undefined) {
  const begun = signal()
  const end = signal()
  return {
    begun: begun.given,
    end: end.give,
    make: async () => {
      await begin()
      const made = value()
      begun.give()
      await end.given
      return made
    },
  }
}

/** The same of what cannot be made. */
function failing() {
  const { make, ...moments } = slow(() => 'made')
  return {
    ...moments,
    make: async (): Promise<string> => {
      throw new Error(`the data is gone, though ${await make()}`)
    },
  }
}

const removals: readonly (readonly [string, (cache: Cache) => Promise<unknown>])[] = [
  ['delete', (cache) => cache.delete('k')],
  ['deleteMany', (cache) => cache.deleteMany(['k'])],
  ['expire', (cache) => cache.expire('k')],
  ['clear', (cache) => cache.clear()],
]

describe.each(kinds)('over %s, what another process invalidates', (_, create) => {
  it.each(removals)('by %s wins over a producer that is running', async (__, remove) => {
    const [here, there] = await create()
    const old = slow(() => 'old')
    const made = here.getOrSet('k', old.make, { timeout: 60 })
    await old.begun
    await remove(there)
    old.end()
    expect(await made).toBe('old')
    expect(await there.get('k')).toBeUndefined()
    expect(await here.getOrSet('k', () => 'new')).toBe('new')
    expect(await there.get('k')).toBe('new')
  })

  it.each(removals)('by %s wins over a refresh that is running', async (__, remove) => {
    const [here, there] = await create()
    const stale = { timeout: 60, staleWhileRevalidate: 60, tags: ['t'] }
    await here.getOrSet('k', () => 'first', stale)
    await invalidateElsewhere(there, ['t'], { soft: true })
    const old = slow(() => 'old')
    expect(await here.getOrSet('k', old.make, stale)).toBe('first')
    await old.begun
    await remove(there)
    old.end()
    // What is made in the background is over once a look-up of this process finds none on its way.
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(await there.get('k')).toBeUndefined()
  })

  it('by fragments.delete wins over a body that is running', async () => {
    const [here, there] = await create()
    const [near, far] = [here, there].map(
      (cache) => new FragmentCache(createCaches({ default: cache })),
    ) as [FragmentCache, FragmentCache]
    const options = { name: 'f', varyOn: ['x'], timeout: 60 }
    const old = slow(() => 'old')
    const made = near.render(options, old.make)
    await old.begun
    await far.delete('f', ['x'])
    old.end()
    expect(await made).toBe('old')
    expect(await far.render(options, () => 'new')).toBe('new')
  })

  it('stays so when the counter is lost before the value is stored', async () => {
    const [here, there] = await create()
    const old = slow(() => 'old')
    const made = here.getOrSet('k', old.make, { timeout: 60, tags: ['t'] })
    await old.begun
    await invalidateElsewhere(there, ['t'])
    const { store, keys } = coreOf(there)
    await store.removeEntries([keys.counterKey('t:t')])
    old.end()
    await made
    expect(await there.get('k')).toBeUndefined()
    await there.set('other', 1, { tags: ['t'] })
    expect(await there.get('k')).toBeUndefined()
    expect(await here.getOrSet('k', () => 'new', { tags: ['t'] })).toBe('new')
    expect(await there.get('k')).toBe('new')
  })

  it('wins over what declared it while it was made, before reading and after', async () => {
    const [here, there] = await create()
    const ways: readonly (() => unknown)[] = [
      () => dependOn(['t']),
      () => void dependOn(['t']),
      async () => {
        await dependOn(['t'])
      },
    ]
    for (const declare of ways) {
      const old = slow(() => 'old', declare)
      const made = here.getOrSet('k', old.make, { timeout: 60 })
      await old.begun
      await invalidateElsewhere(there, ['t'])
      old.end()
      expect(await made).toBe('old')
      expect(await there.get('k')).toBeUndefined()
    }
  })

  it.each([
    ['waited for', (tag: string) => dependOn([tag])],
    ['not waited for', (tag: string) => void dependOn([tag])],
  ])('wins over what was read before it was declared, %s', async (_, declare) => {
    const [here, there] = await create()
    for (const tag of ['t', 't', 'new']) {
      for (const isElsewhere of [true, false]) {
        const begun = signal()
        const end = signal()
        const made = here.getOrSet('k', async () => {
          begun.give()
          await end.given
          await declare(tag)
          return 'old'
        })
        await begun.given
        if (isElsewhere) await invalidateElsewhere(there, [tag])
        else await here.invalidateTags([tag])
        const joined = here.getOrSet('k', () => 'new', { timeout: 60 })
        end.give()
        expect(await made).toBe('old')
        expect(await joined).toBe('new')
        await here.delete('k')
      }
    }
  })

  it('is kept at once where it was invalidated elsewhere just before', async () => {
    const [here, there] = await create()
    const make = () =>
      here.getOrSet('k', async () => {
        await dependOn(['t'])
        return 'made'
      })
    await make()
    for (let round = 0; round < 3; round++) {
      await invalidateElsewhere(there, ['t'])
      await make()
      expect(await there.get('k')).toBe('made')
    }
  })

  it('is kept at once after a clear', async () => {
    const [here, there] = await create()
    for (const declare of [() => dependOn(['t']), () => void dependOn(['t'])]) {
      const make = () =>
        here.getOrSet('k', async () => {
          await declare()
          return 'made'
        })
      await make()
      await here.clear()
      await make()
      expect(await there.get('k')).toBe('made')
    }
  })

  it('is stored with what declared it, if nobody invalidated it meanwhile', async () => {
    const [here, there] = await create()
    await invalidateElsewhere(there, ['t'])
    for (const [key, declare] of [
      ['late', () => void dependOn(['t', 'new'])],
      ['awaited', async () => dependOn(['t', 'newer'])],
    ] as const) {
      expect(
        await here.getOrSet(key, async () => {
          await declare()
          return 'made'
        }),
      ).toBe('made')
      expect(await there.get(key)).toBe('made')
      await invalidateElsewhere(there, ['t'])
      expect(await here.get(key)).toBeUndefined()
    }
  })

  it('is not given to callers who ask afterwards and find the making on its way', async () => {
    const [here, there] = await create()
    const fragments = new FragmentCache(createCaches({ default: here }))
    const tags = ['t']
    const old = [slow(() => 'old'), slow(() => 'old')] as const
    const first = [
      here.getOrSet('k', old[0].make, { timeout: 60, tags }),
      fragments.render({ name: 'f', timeout: 60, tags }, old[1].make),
    ]
    await Promise.all(old.map(({ begun }) => begun))
    await invalidateElsewhere(there, tags)
    let runs = 0
    const produce = () => `new ${++runs}`
    const later = Array.from({ length: 20 }, () => here.getOrSet('k', produce, { tags }))
    const bodies = Array.from({ length: 20 }, () =>
      fragments.render({ name: 'f', timeout: 60, tags }, produce),
    )
    for (const { end } of old) end()
    await Promise.all(first)
    const given = new Set(await Promise.all([...later, ...bodies]))
    expect([...given].sort()).toEqual(['new 1', 'new 2'])
  })

  it('is made again for callers who ask afterwards if what they join fails', async () => {
    const [here, there] = await create()
    const fragments = new FragmentCache(createCaches({ default: here }))
    const tags = ['t']
    const old = [failing(), failing()] as const
    const first = [
      here.getOrSet('k', old[0].make, { timeout: 60, tags }),
      fragments.render({ name: 'f', timeout: 60, tags }, old[1].make),
    ]
    const ended = Promise.allSettled(first)
    await Promise.all(old.map(({ begun }) => begun))
    await invalidateElsewhere(there, tags)
    const later = [
      here.getOrSet('k', () => 'new', { tags }),
      fragments.render({ name: 'f', timeout: 60, tags }, () => 'new'),
    ]
    for (const { end } of old) end()
    expect(await Promise.all(later)).toEqual(['new', 'new'])
    expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  })

  it('is not run again for all who waited for one that fails, if nothing was invalidated', async () => {
    const [here] = await create()
    const old = failing()
    const first = here.getOrSet('k', old.make, { timeout: 60, tags: ['t'] })
    await old.begun
    let runs = 0
    const joined = Array.from({ length: 5 }, () =>
      here.getOrSet('k', () => ++runs, { tags: ['t'] }),
    )
    old.end()
    const ended = await Promise.allSettled([first, ...joined])
    expect(ended.map(({ status }) => status)).toEqual(Array(6).fill('rejected'))
    expect(runs).toBe(0)
  })
})

describe.each(kinds)('over %s, a making that began earlier', (_, create) => {
  it('does not overwrite what a later one has stored', async () => {
    const [here, there] = await create()
    const [near, far] = [here, there].map(
      (cache) => new FragmentCache(createCaches({ default: cache })),
    ) as [FragmentCache, FragmentCache]
    const options = { name: 'f', timeout: 60, tags: ['t'] }
    const old = slow(() => 'old')
    const made = near.render(options, old.make)
    await old.begun
    await invalidateElsewhere(there, ['t'])
    expect(await far.render(options, () => 'new')).toBe('new')
    old.end()
    expect(await made).toBe('old')
    expect(await far.render(options, () => 'made again')).toBe('new')
  })

  it('is not waited for longer than producerTimeoutMs, and then one makes it for all', async () => {
    const [here] = await create()
    const hanging = slow(() => 'old')
    const made = here.getOrSet('k', hanging.make)
    await hanging.begun
    let runs = 0
    const callers = Array.from({ length: 10 }, () =>
      here.getOrSet('k', () => `new ${++runs}`, { producerTimeoutMs: 300 }),
    )
    expect(new Set(await Promise.all(callers))).toEqual(new Set(['new 1']))
    hanging.end()
    await made
    expect(await here.get('k')).toBe('new 1')
  })
})

/** Tells nobody of anything, and says that it would. */
const SILENT: Bus = {
  publish: () => undefined,
  subscribe: ({ up }) => {
    up()
    return () => undefined
  },
}

describe.each(kinds)('pages over %s', (_, create) => {
  const request: PageRequest = {
    method: 'GET',
    uri: 'http://a.test/p',
    language: undefined,
    timeZone: undefined,
    headers: {},
  }

  function page(store: PageStore, text: string): NewPage {
    return {
      head: {
        status: 200,
        headers: [],
        removed: [],
        storedAtMs: Date.now(),
        ageSeconds: 0,
        freshUntilMs: Date.now() + 60_000,
        ifErrorSeconds: 0,
        whileRevalidateSeconds: 0,
        said: [],
        isPublic: false,
        isForAuthorized: false,
        mustValidate: false,
        mayBeStale: true,
        isWhole: false,
      },
      keptUntilMs: Date.now() + 60_000,
      body: [Buffer.from(text)],
      vary: [],
      frame: new Frame(store.cache, undefined, undefined),
    }
  }

  const begin = async (store: PageStore): Promise<PageLookup> =>
    store.begin(request, await store.lookup(request))

  async function sites() {
    const [here, there] = await create()
    return [new PageStore(here, 'default', ''), new PageStore(there, 'default', '')] as const
  }

  it('are not stored if their URL was invalidated, also if all trace of that is lost', async () => {
    for (const isLost of [false, true]) {
      const [near, far] = await sites()
      const seen = await begin(near)
      const old = page(near, 'old')
      await far.invalidate(request.uri)
      if (isLost) await far.api.clear()
      await near.store(request, old, seen)
      expect((await far.lookup(request)).page).toBeUndefined()
    }
  })

  it('are not stored if their variant was invalidated', async () => {
    const [near, far] = await sites()
    await far.store(request, page(far, 'first'), await begin(far))
    await far.invalidateVariant(request)
    const seen = await begin(near)
    await far.invalidateVariant(request)
    expect(await near.store(request, page(near, 'old'), seen)).toMatchObject({
      outcome: 'overtaken',
    })
    expect((await far.lookup(request)).page).toBeUndefined()
  })

  it('are not stored if their variant was invalidated before its key was known', async () => {
    const [near, far] = await sites()
    const lookUp = async (store: PageStore, of: PageRequest) =>
      store.begin(of, await store.lookup(of))
    const de = { ...request, headers: { 'x-language': 'de', 'x-more': '1' } }
    const en = { ...request, headers: { 'x-language': 'en', 'x-more': '1' } }
    // At first nobody knows what the URL varies on, and then one name more.
    for (const vary of [['x-language'], ['x-language', 'x-more']]) {
      const seen = await lookUp(near, de)
      const other = { ...page(far, 'other'), vary: ['x-language'] }
      await far.store(en, other, await lookUp(far, en))
      await far.invalidateVariant(de)
      const old = { ...page(near, 'old'), vary }
      expect(await near.store(de, old, seen)).toMatchObject({ outcome: 'overtaken' })
      expect((await far.lookup(de)).page).toBeUndefined()
      const next = { ...page(near, 'next'), vary }
      expect(await near.store(de, next, await lookUp(near, de))).toMatchObject({
        outcome: 'stored',
      })
      expect((await near.lookup(de)).page?.body.toString()).toBe('next')
    }
  })

  it('are gone if their variant is invalidated where fewer names that it varies on were known', async () => {
    const [here, there] = await create()
    // What it has read it takes for current for a minute.
    const tierOver = (remote: Cache) =>
      new TieredCache({ local: new LocMemCache(), remote, localTimeout: 60, bus: SILENT })
    const near = new PageStore(here, 'default', '')
    const far = new PageStore(tierOver(there), 'default', '')
    const of = { ...request, headers: { 'x-language': 'de', 'x-more': '1' } }
    const store = async (at: PageStore, text: string, vary: string[]) =>
      at.store(of, { ...page(at, text), vary }, await at.begin(of, await at.lookup(of)))
    await store(far, 'first', ['x-language'])
    await far.lookup(of)
    await store(near, 'second', ['x-language', 'x-more'])
    // As it is now, also where copies lag.
    const current = async () => (await near.lookup(of, [], true)).page?.body.toString()
    expect(await current()).toBe('second')
    await far.invalidateVariant(of)
    expect(await current()).toBeUndefined()
  })

  it('do not overwrite what a later handler has stored', async () => {
    const [near, far] = await sites()
    const seen = await begin(near)
    const old = page(near, 'old')
    expect(await far.store(request, page(far, 'new'), await begin(far))).toMatchObject({
      outcome: 'stored',
    })
    expect(await near.store(request, old, seen)).toMatchObject({ outcome: 'overtaken' })
    expect((await near.lookup(request)).page?.body.toString()).toBe('new')
  })
})
