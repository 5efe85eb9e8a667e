import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createCaches, FragmentCache, LocMemCache, type Caches } from '../../src/index.js'
import type { FragmentMessage, OperationMessage, Sum } from '../../src/observe.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { coreOf } from '../../src/backend/core.js'

const ends: (() => void)[] = []

function listen<Message>(channel: string, tell: (message: Message) => void): () => void {
  const listener = (message: unknown) => tell(message as Message)
  subscribe(channel, listener)
  const end = () => void unsubscribe(channel, listener)
  ends.push(end)
  return end
}

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})
afterEach(() => {
  for (const end of ends.splice(0)) end()
  vi.restoreAllMocks()
})

/** Adds up what is told from now on, and takes away what was counted before. */
function addUp(caches: Caches) {
  caches.tellSums()
  const sums = new Map<string, number>()
  const add = (name: string, count: number) => {
    if (count > 0) sums.set(name, (sums.get(name) ?? 0) + count)
  }
  let messages = 0
  listen<Sum<OperationMessage>>('fragcache:operation-sum', ({ message, count }) => {
    messages++
    const { alias, hits, misses, error } = message
    // Where it stands for several, they are hits of one key each.
    if (count > 1) expect([hits, misses]).toEqual([count, 0])
    add(`${alias} hits`, hits)
    add(`${alias} misses`, misses)
    add(`${alias} errors`, error === undefined ? 0 : 1)
  })
  listen<Sum<FragmentMessage>>('fragcache:fragment-sum', ({ message, count }) => {
    messages++
    add(`${message.alias} ${message.name} ${message.outcome}`, count)
  })
  return {
    sums: () => {
      caches.tellSums()
      return Object.fromEntries([...sums].sort())
    },
    get messages() {
      return messages
    },
  }
}

function countedBy(caches: Caches): Readonly<Record<string, number>> {
  const { aliases, fragments } = caches.stats()
  const found = Object.entries(aliases).flatMap(([alias, { hits, misses, errors }]) => [
    [`${alias} hits`, hits] as const,
    [`${alias} misses`, misses] as const,
    [`${alias} errors`, errors] as const,
  ])
  const shown = fragments.flatMap(({ alias, name, hits, misses, bypasses }) => [
    [`${alias} ${name} hit`, hits] as const,
    [`${alias} ${name} miss`, misses] as const,
    [`${alias} ${name} bypass`, bypasses] as const,
  ])
  return Object.fromEntries([...found, ...shown].filter(([, count]) => count > 0).sort())
}

class Shaky extends LocMemCache {
  failing = false
  constructor() {
    super()
    const { entries } = coreOf(this)
    const lookupOne = entries.lookupOne.bind(entries)
    entries.lookupOne = (...asked) => {
      if (this.failing) throw new Error('gone')
      return lookupOne(...asked)
    }
  }
}

describe('who adds up', () => {
  it('is told of hits in local memory many at a time, of all in the end', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    await caches.default.set('a', 1)
    const made = () => 'menu'
    fragments.renderSync({ name: 'menu' }, made)
    const told = addUp(caches)
    for (let i = 0; i < 10_000; i++) {
      await caches.default.get('a')
      await caches.default.getOrSet('a', 2)
      fragments.renderSync({ name: 'menu' }, made)
    }
    expect(told.messages).toBeLessThan(200)
    expect(told.sums()).toEqual({ 'default hits': 30_000, 'default menu hit': 10_000 })
    expect(told.sums()).toEqual({ 'default hits': 30_000, 'default menu hit': 10_000 })
  })

  it('is told of the key and the time of one of them', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    await caches.default.set('a', 1)
    const told: Sum<OperationMessage>[] = []
    listen<Sum<OperationMessage>>('fragcache:operation-sum', (sum) => told.push(sum))
    for (let i = 0; i < 4000; i++) await caches.default.get('a')
    expect(told.length).toBeGreaterThan(1)
    for (const { message, count } of told) {
      expect(message).toMatchObject({ alias: 'default', backend: 'LocMemCache', keys: ['a'] })
      expect(message.operation).toBe('get')
      expect(message.hits).toBe(count)
      expect(message.durationMs).toBeGreaterThan(0)
    }
  })

  it('is told of the rest at once, with its own time', async () => {
    const caches = createCaches({ default: new LocMemCache(), late: new AsyncTestCache() })
    const told: Sum<OperationMessage>[] = []
    listen<Sum<OperationMessage>>('fragcache:operation-sum', (sum) => told.push(sum))
    await caches.default.get('not there')
    await caches.default.set('a', 1)
    await caches.late.set('a', 1)
    await caches.late.get('a')
    expect(told.map(({ message, count }) => [message.alias, message.operation, count])).toEqual([
      ['default', 'get', 1],
      ['default', 'set', 1],
      ['late', 'set', 1],
      ['late', 'get', 1],
    ])
  })

  it('begins late, and is told of nothing earlier', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    await caches.default.set('a', 1)
    const use = async () => {
      for (let i = 0; i < 300; i++) await caches.default.get('a')
      for (let i = 0; i < 300; i++) fragments.renderSync({ name: 'menu' }, () => 'menu')
    }
    await use()
    const first = addUp(caches)
    await use()
    const second = addUp(caches)
    await use()
    const once = { 'default hits': 600, 'default menu hit': 300 }
    expect(second.sums()).toEqual(once)
    expect(first.sums()).toEqual({ 'default hits': 1200, 'default menu hit': 600 })
  })

  it.each([1, 2, 3, 4, 5])('is told of what stats count, whatever happens (%i)', async (seed) => {
    let state = seed
    const random = (below: number) => (state = (state * 48271) % 2147483647) % below
    const local = new Shaky()
    const caches = createCaches({ default: local, late: new AsyncTestCache() })
    const fragments = new FragmentCache(caches)
    const told = addUp(caches)
    let endFull: (() => void) | undefined
    const keys = ['a', 'b', 'c']
    for (let i = 0; i < 1500; i++) {
      const using = random(4) === 0 ? 'late' : 'default'
      const cache = caches.get(using)
      const key = keys[random(3)] as string
      switch (random(12)) {
        case 0:
          await cache.set(key, i)
          break
        case 1:
          await cache.getMany([key, 'd'])
          break
        case 2:
          await cache.getOrSet(key, () => i)
          break
        case 3:
          if (random(8) === 0) await cache.delete(key)
          break
        case 4:
          if (random(8) === 0) await fragments.delete('menu', [key], { using })
          break
        case 5:
          await fragments.render({ name: 'menu', varyOn: [key], using }, () => 'menu')
          break
        case 6:
          fragments.renderSync({ name: 'menu', varyOn: [key] }, () => 'menu')
          break
        case 7:
          fragments.renderSync({ name: 'menu', varyOn: [key], if: false }, () => 'menu')
          break
        case 8:
          local.failing = random(3) === 0
          await local.get(key).catch(() => undefined)
          local.failing = false
          break
        case 9:
          if (random(3) === 0) {
            endFull ??= listen('fragcache:operation', () => undefined)
            listen('fragcache:fragment', () => undefined)
          } else {
            endFull?.()
            endFull = undefined
          }
          break
        default:
          for (let n = random(40); n > 0; n--) await cache.get(key)
      }
    }
    expect(told.sums()).toEqual(countedBy(caches))
  })

  it('is told of what was counted before that begins again', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    await caches.default.set('a', 1)
    const told = addUp(caches)
    for (let i = 0; i < 10; i++) await caches.default.get('a')
    caches.resetStats()
    for (let i = 0; i < 10; i++) await caches.default.get('a')
    expect(told.sums()).toEqual({ 'default hits': 20 })
    expect(caches.stats().aliases.default?.hits).toBe(10)
  })

  it('is told of values by the name of the call that found them', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    await caches.default.set('a', 1)
    const told = new Map<string, number>()
    caches.tellSums()
    listen<Sum<OperationMessage>>('fragcache:operation-sum', ({ message, count }) => {
      told.set(message.operation, (told.get(message.operation) ?? 0) + count)
    })
    for (let i = 0; i < 3000; i++) await caches.default.getOrSet('a', 2)
    for (let i = 0; i < 100; i++) await caches.default.get('a')
    caches.tellSums()
    expect(Object.fromEntries(told)).toEqual({ getOrSet: 3000, get: 100 })
  })

  it('is told of the time that hits took of late, not of others', async () => {
    let nowMs = 1000
    const now = vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
    const disk = new LocMemCache()
    let tookMs = 0
    const { entries } = coreOf(disk)
    const lookupOne = entries.lookupOne.bind(entries)
    entries.lookupOne = (...asked) => {
      nowMs += tookMs
      return lookupOne(...asked)
    }
    const caches = createCaches({ default: disk })
    await disk.set('a', 1)
    for (let i = 0; i < 10_000; i++) await disk.get('a')
    caches.tellSums()
    const told: number[] = []
    listen<Sum<OperationMessage>>('fragcache:operation-sum', ({ message }) => {
      told.push(message.durationMs)
    })
    tookMs = 8
    for (let times = 0; times < 3; times++) {
      for (let i = 0; i < 200; i++) await disk.get('a')
      caches.tellSums()
    }
    now.mockRestore()
    expect(told).toEqual([8, 8, 8])
  })

  it('is told of hits before what is made after them', () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    fragments.renderSync({ name: 'menu' }, () => 'menu')
    caches.tellSums()
    const told: string[] = []
    listen<Sum<FragmentMessage>>('fragcache:fragment-sum', ({ message, count }) => {
      told.push(`${count} ${message.outcome}`)
    })
    for (let i = 0; i < 100; i++) fragments.renderSync({ name: 'menu' }, () => 'menu')
    fragments.renderSync({ name: 'menu', varyOn: ['other'] }, () => 'menu')
    expect(told).toEqual(['100 hit', '1 miss'])
  })

  it('is told of names past the limit under one name', () => {
    const caches = createCaches({ default: new LocMemCache({ options: { maxEntries: 20_000 } }) })
    const fragments = new FragmentCache(caches)
    const use = (name: string) => fragments.renderSync({ name }, () => 'text')
    for (let i = 0; i < 10_000; i++) use(`name-${i}`)
    use('late-a')
    use('late-b')
    caches.tellSums()
    const told = new Map<string, number>()
    listen<Sum<FragmentMessage>>('fragcache:fragment-sum', ({ message, count }) => {
      told.set(message.name, (told.get(message.name) ?? 0) + count)
    })
    for (let i = 0; i < 3000; i++) {
      use('late-a')
      use('late-b')
    }
    caches.tellSums()
    expect(Object.fromEntries(told)).toEqual({ '(others)': 6000 })
  })

  it('is told of any of the keys that are asked for in turn', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    for (const key of ['hot', 'last']) await caches.default.set(key, 1)
    const told = new Set<unknown>()
    listen<Sum<OperationMessage>>('fragcache:operation-sum', ({ message }) => {
      told.add(message.keys[0])
    })
    for (let page = 0; page < 16_000; page++) {
      for (let i = 0; i < 3; i++) await caches.default.get('hot')
      await caches.default.get('last')
    }
    // About 62 are told of, of which one in four is "last".
    expect(told).toEqual(new Set(['hot', 'last']))
  })

  it('changes no counts by listening', async () => {
    const use = async (watch: () => void) => {
      const caches = createCaches({ default: new LocMemCache() })
      watch()
      await caches.default.set('a', 1)
      for (let i = 0; i < 50; i++) {
        await Promise.all([1, 2, 3].map(() => caches.default.getOrSet('a', 2)))
      }
      await caches.default.get('b')
      const { hits, misses, errors } = caches.stats().aliases.default ?? {}
      return { hits, misses, errors }
    }
    const unwatched = await use(() => undefined)
    expect(unwatched).toEqual({ hits: 150, misses: 1, errors: 0 })
    expect(await use(() => listen('fragcache:operation-sum', () => undefined))).toEqual(unwatched)
    expect(await use(() => listen('fragcache:operation', () => undefined))).toEqual(unwatched)
  })
})
