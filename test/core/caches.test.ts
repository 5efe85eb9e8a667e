import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import {
  type Cache,
  Caches,
  createCaches,
  DummyCache,
  FragmentCache,
  InvalidCacheBackendError,
  LocMemCache,
} from '../../src/index.js'
import {
  createCacheTable,
  DatabaseCache,
  type DatabaseSettings,
} from '../../src/backends/database.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { newTable, openBetterSqlite3 } from '../support/databases.js'
import { coreOf } from '../../src/backend/core.js'

describe('createCaches', () => {
  it('gives each cache under its alias, in order', async () => {
    const own = new LocMemCache()
    const caches = createCaches({ default: own, 'with dash-and space': new DummyCache() })
    expect(caches.default).toBe(own)
    expect(caches.get('default')).toBe(own)
    expect(caches['with dash-and space']).toBeInstanceOf(DummyCache)
    expect(caches.aliases).toEqual(['default', 'with dash-and space'])
    expect([caches.has('default'), caches.has('other')]).toEqual([true, false])
    expect(caches).toBeInstanceOf(Caches)
    expect(own.alias).toBe('default')
  })

  it('gives the same cache where its keys have types', async () => {
    const { default: cache } = createCaches({ default: new LocMemCache() })
    const typed = cache.typed<{ visits: number }>()
    expect(typed).toBe(cache)
    await typed.set('visits', 1)
    expect(await typed.incr('visits')).toBe(2)
    expect(await typed.get('visits', { default: 0 })).toBe(2)
  })

  it('refuses an unknown alias, naming it and those there are', () => {
    const caches = createCaches({ default: new DummyCache(), local: new DummyCache() })
    expect(() => caches.get('x' as never)).toThrow(InvalidCacheBackendError)
    expect(() => caches.get('x' as never)).toThrow(
      'unknown cache "x"; the caches are "default", "local"',
    )
    expect(() => createCaches({}).get('default' as never)).toThrow('the caches are (none)')
  })

  describe('read by a property that is no alias', () => {
    const caches = createCaches({
      default: new DummyCache(),
      json: new DummyCache(),
      them: new DummyCache(),
    })
    const read = (name: string): unknown => Reflect.get(caches, name)

    it.each(['defualt', 'Default', 'jsn'])('refuses %s, which was meant to be one', (name) => {
      expect(() => read(name)).toThrow(InvalidCacheBackendError)
      expect(() => read(name)).toThrow(
        /^unknown cache ".*"; the caches are "default", "json", "them"; did you mean "\w+"\?$/,
      )
    })

    it('has nothing under other names, such as those that libraries ask any object for', () => {
      const names = ['other', 'length', 'nodeType', '$$typeof', 'asymmetricMatch', 'onModuleInit']
      expect(names.map(read)).toEqual(names.map(() => undefined))
      expect('defualt' in caches).toBe(false)
    })

    it('can be awaited, written as JSON, shown, compared and inherited from', async () => {
      expect(await Promise.resolve(caches)).toBe(caches)
      expect(JSON.parse(JSON.stringify({ caches }))).toHaveProperty('caches.them')
      expect(inspect(caches, { depth: 0, showHidden: true })).toContain('Caches {')
      expect(caches).not.toEqual({ caches })
      const heir = Object.create(caches) as typeof caches
      expect([heir.json === caches.json, Reflect.get(heir, 'jsn')]).toEqual([true, undefined])
    })
  })

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'get', 'has', 'aliases'])(
    'does not find %s where nobody put it',
    (alias) => {
      const caches = createCaches({ default: new DummyCache() })
      expect(caches.has(alias)).toBe(false)
      expect(() => caches.get(alias as never)).toThrow(InvalidCacheBackendError)
    },
  )

  it.each([
    'get',
    'has',
    'aliases',
    'close',
    'invalidateTags',
    'constructor',
    'toString',
    'hasOwnProperty',
    '__proto__',
    '__defineGetter__',
    '',
  ])('refuses the alias %j, which is taken', (alias) => {
    const caches = JSON.parse(`{${JSON.stringify(alias)}: null}`) as Record<string, DummyCache>
    Object.defineProperty(caches, alias, { value: new DummyCache(), enumerable: true })
    expect(() => createCaches(caches)).toThrow(InvalidCacheBackendError)
    expect(() => createCaches(caches)).toThrow(`the alias ${JSON.stringify(alias)} is not free`)
  })

  it.each([null, undefined, {}, 'redis://localhost', 7, LocMemCache, { get: () => 1 }])(
    'refuses %s, which is not a cache, naming its alias',
    (wrong) => {
      const make = () => createCaches({ default: new DummyCache(), wrong: wrong as never })
      expect(make).toThrow(InvalidCacheBackendError)
      expect(make).toThrow(/createCaches: wrong: .* is not a cache; give an instance/)
    },
  )

  it('refuses a list, which gives no names', () => {
    expect(() => createCaches([new LocMemCache()] as never)).toThrow(
      'createCaches: a list gives the caches no names; give { default: …, pages: … }',
    )
  })

  it('refuses a second argument, which would be ignored', () => {
    const make = createCaches as (...given: unknown[]) => unknown
    expect(() => make({ default: new LocMemCache() }, { ttl: 1 })).toThrow(
      /createCaches: a second argument, an object.*, was given.*new LocMemCache\(\{ timeout: 60 \}\)/,
    )
  })

  it('refuses a cache alone, and says how to name it', () => {
    expect(() => createCaches(new LocMemCache() as never)).toThrow(InvalidCacheBackendError)
    expect(() => createCaches(new LocMemCache() as never)).toThrow(
      /^createCaches: .* is a cache without a name; give \{ default: … \}$/,
    )
  })

  it.each([null, undefined, 'abc', 7])('refuses %s, which is not a set of caches', (wrong) => {
    expect(() => createCaches(wrong as never)).toThrow(/is not a set of caches; give an object/)
  })

  it('does not let an alias be given another cache', () => {
    const caches = createCaches({ default: new DummyCache() })
    expect(() => {
      ;(caches as { default: unknown }).default = new LocMemCache()
    }).toThrow(TypeError)
  })

  it('can be awaited and printed like any object', async () => {
    const caches = createCaches({ default: new DummyCache(), then: new DummyCache() })
    expect(await Promise.resolve(caches)).toBe(caches)
    expect(Object.keys(caches)).toEqual(['default', 'then'])
  })

  it('lets one cache have two aliases; the first is its name', async () => {
    const cache = new AsyncTestCache()
    const caches = createCaches({ default: cache, template_fragments: cache })
    expect(caches.template_fragments).toBe(cache)
    expect(cache.alias).toBe('default')
    await caches.invalidateTags(['t'])
    const once = cache.writes
    await cache.invalidateTags(['t'])
    const again = cache.writes - once
    await caches.invalidateTags(['t'])
    expect(cache.writes - once).toBe(2 * again)
  })

  it('is what FragmentCache is made of', async () => {
    const fragments = new FragmentCache(createCaches({ default: new LocMemCache() }))
    expect(await fragments.render({ name: 'f', timeout: 60 }, () => 'text')).toBe('text')
  })
})

describe('all caches at once', () => {
  class Failing extends AsyncTestCache {
    closed = 0
    async disconnect(): Promise<void> {
      this.closed++
      if (this.failing) throw new Error(`close of ${this.alias} failed`)
    }
  }

  it('close: each is closed once, also when one fails, and the first failure is thrown', async () => {
    const [a, b, c] = [new Failing(), new Failing(), new Failing()]
    a.failing = b.failing = true
    await expect(createCaches({ a, b, c, d: c }).close()).rejects.toThrow('close of a failed')
    expect([a.closed, b.closed, c.closed]).toEqual([1, 1, 1])
  })

  it('invalidateTags: reaches every cache, also when one fails', async () => {
    const [a, b] = [new Failing(), new LocMemCache()]
    const caches = createCaches({ a, b })
    await b.set('k', 1, { tags: ['t'] })
    a.failing = true
    await expect(caches.invalidateTags(['t'])).rejects.toMatchObject({
      code: 'FRAGCACHE_BACKEND_FAILED',
    })
    expect(await b.has('k')).toBe(false)
    await expect(caches.invalidateTags('t' as never)).rejects.toThrow(TypeError)
  })
})

/** Runs something before each invalidation is carried out. */
function tellLate(cache: Cache, before: () => Promise<void> | void): void {
  const { entries } = coreOf(cache)
  const bumpTags = entries.bumpTags.bind(entries)
  entries.bumpTags = async (...invalidation) => {
    await before()
    await bumpTags(...invalidation)
  }
}

/** A store whose invalidations are carried out when the test says so. */
class SlowToTell extends AsyncTestCache {
  /** Called before an invalidation is carried out. */
  before: () => Promise<void> | void = () => undefined

  constructor() {
    super()
    tellLate(this, () => this.before())
  }
}

describe('invalidation of what lies in several caches', () => {
  /** Each is made from the one before it, in another cache. */
  const chained = (caches: readonly Cache[], value: () => string): Promise<unknown> => {
    const [last, ...others] = [...caches].reverse()
    const key = `made-in-${caches.length}`
    if (last === undefined) return Promise.resolve(value())
    const tags = others.length === 0 ? ['price'] : []
    return last.getOrSet(key, () => chained(caches.slice(0, -1), value), { timeout: 60, tags })
  }

  it.each([
    ['of local memory', () => new LocMemCache()],
    ['of other processes too', () => new AsyncTestCache()],
  ])('keeps stale as many times what is invalidated softly: caches %s', async (_, make) => {
    const caches = createCaches({ a: new AsyncTestCache(), b: new AsyncTestCache(), c: make() })
    const options = { timeout: 60, staleIfError: 600, tags: ['t'] }
    await caches.c.set('k', 'old', options)
    for (let time = 0; time < 7; time++) await caches.invalidateTags(['t'], { soft: true })
    const fail = () => {
      throw new Error('the data is gone')
    }
    expect(await caches.c.getOrSet('k', fail, options)).toBe('old')
  })

  it('reaches what another process makes while caches of SQLite are told', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fragcache-caches-'))
    const [first, second] = [newTable(), newTable()]
    const file = join(folder, 'caches.sqlite')
    const ended: (() => Promise<unknown>)[] = []
    const process = async (Inner: typeof DatabaseCache) => {
      const { database, end } = openBetterSqlite3(file)
      ended.push(end)
      const caches = createCaches({
        outer: new DatabaseCache({ location: first, database }),
        inner: new Inner({ location: second, database }),
      })
      await createCacheTable(caches)
      return caches
    }
    let price = 'old'
    const page = ({ outer, inner }: Awaited<ReturnType<typeof process>>) =>
      outer.getOrSet('page', () => inner.getOrSet('price', () => price, { tags: ['price'] }))
    const there = await process(DatabaseCache)
    class ToldLast extends DatabaseCache {
      constructor(settings: DatabaseSettings) {
        super(settings)
        tellLate(this, async () => void (await page(there)))
      }
    }
    const here = await process(ToldLast)
    await page(here)
    price = 'new'
    await here.invalidateTags(['price'])
    expect(await page(there)).toBe('new')
    for (const end of [() => here.close(), () => there.close(), ...ended]) await end()
    rmSync(folder, { recursive: true })
  })

  it.each([
    ['of memory, from a slow one', () => [new SlowToTell(), new LocMemCache({ location: 'o2' })]],
    ['from a slow one, from a slow one', () => [new SlowToTell(), new SlowToTell()]],
    [
      'of memory, from a slow one, from a slow one',
      () => [new SlowToTell(), new SlowToTell(), new LocMemCache({ location: 'o3' })],
    ],
    [
      'three that are slow',
      () => [new SlowToTell(), new SlowToTell(), new SlowToTell(), new LocMemCache()],
    ],
  ] as const)('reaches what is made while caches are told: one %s', async (_, make) => {
    const list: readonly Cache[] = make()
    const caches = createCaches(Object.fromEntries(list.map((one, i) => [`c${i}`, one])))
    await caches.c0?.clear()
    let price = 'old'
    await chained(list, () => price)
    price = 'new'
    // In each round, the inner a cache is, the later it is told; before, each outer one is asked.
    for (const [i, cache] of list.entries()) {
      if (!(cache instanceof SlowToTell)) continue
      cache.before = async () => {
        for (let turn = 0; turn < 60 * (list.length - i); turn++) await nextTurn()
        for (let depth = i + 1; depth <= list.length; depth++) {
          await chained(list.slice(0, depth), () => price)
        }
      }
    }
    await caches.invalidateTags(['price'])
    for (const cache of list) if (cache instanceof SlowToTell) cache.before = () => undefined
    for (let depth = 1; depth <= list.length; depth++) {
      expect(await chained(list.slice(0, depth), () => price)).toBe('new')
    }
    await caches.close()
  })
})

describe('clear', () => {
  it.each([['a key'], [{ prefix: 'a' }]])('removes nothing where it is given %j', async (given) => {
    const cache = new LocMemCache()
    await cache.set('a', 1)
    const clear = (value: unknown) =>
      Reflect.apply(cache.clear.bind(cache), undefined, [value]) as Promise<void>
    await expect(clear(given)).rejects.toThrow(
      /^clear: .* was given, and clear removes everything; remove one entry by delete\(key\)/,
    )
    expect(await cache.get('a')).toBe(1)
    await clear(undefined)
    expect(await cache.has('a')).toBe(false)
  })
})
