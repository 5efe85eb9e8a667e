import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import {
  addIntegers,
  Cache,
  createCaches,
  FragmentCache,
  InvalidCacheBackendError,
  readInteger,
  type CacheStore,
  type Deadline,
  type WriteEntry,
  type WriteOutcome,
} from '../../src/index.js'

/** Entries without deadlines and conditions, for what these tests ask. */
class Entries implements CacheStore {
  readonly #payloads = new Map<string, Uint8Array>()

  readEntries(keys: readonly string[]) {
    return keys.map((key) => this.#payloads.get(key))
  }
  writeEntries(entries: readonly WriteEntry[]) {
    return entries.map(({ key, payload }): WriteOutcome => {
      this.#payloads.set(key, payload)
      return 'stored'
    })
  }
  removeEntries(keys: readonly string[]) {
    return keys.map((key) => this.#payloads.delete(key))
  }
  touchEntry(key: string) {
    return this.#payloads.has(key)
  }
  incrementEntry(key: string, delta: number) {
    const payload = this.#payloads.get(key)
    if (payload === undefined) return undefined
    const sum = addIntegers(readInteger(payload) ?? 0, delta)
    this.#payloads.set(key, Buffer.from(String(sum)))
    return sum
  }
  readDeadline(key: string): Deadline | undefined {
    return this.#payloads.has(key) ? null : undefined
  }
  removeAll() {
    this.#payloads.clear()
  }
}

class OverEntries extends Cache {
  constructor(store: CacheStore = new Entries()) {
    super({ keyPrefix: 'site', timeout: 60 }, {}, store)
  }
}

it('a cache can be handed its store', async () => {
  const store = new Entries()
  const cache = new OverEntries(store)
  await cache.set('count', 1)
  expect(await cache.incr('count')).toBe(2)
  expect(store.readDeadline('site:1:count')).toBe(null)
  await cache.clear()
  expect(await cache.has('count')).toBe(false)
})

it('a store that lacks a method is refused by the name of the cache', () => {
  const { readEntries, writeEntries } = new Entries()
  expect(() => new OverEntries({ readEntries, writeEntries } as unknown as CacheStore)).toThrow(
    new InvalidCacheBackendError(
      'OverEntries: it has no method removeEntries; a backend implements readEntries, writeEntries, removeEntries, touchEntry, incrementEntry, readDeadline, removeAll',
    ),
  )
  for (const none of [null, 7, 'store']) {
    expect(() => new OverEntries(none as never)).toThrow(
      /^OverEntries: it has no method readEntries/,
    )
  }
})

it('a cache that is its own store and lacks a method is refused', () => {
  class Nothing extends Cache {
    constructor() {
      super()
    }
  }
  expect(() => new Nothing()).toThrow(
    /^Nothing: it has no method readEntries; a backend implements/,
  )
})

it('a cache may keep its methods as a store from its users', async () => {
  const entries = new Entries()
  class Hidden extends Cache {
    constructor() {
      super()
    }
    protected readEntries = entries.readEntries.bind(entries)
  }
  class Reserved extends Cache {
    constructor() {
      super()
    }
    protected readEntries(keys: readonly string[]) {
      return entries.readEntries(keys)
    }
    protected writeEntries(written: readonly WriteEntry[]) {
      return entries.writeEntries(written)
    }
    protected removeEntries(keys: readonly string[]) {
      return entries.removeEntries(keys)
    }
    protected touchEntry(key: string) {
      return entries.touchEntry(key)
    }
    protected incrementEntry(key: string, delta: number) {
      return entries.incrementEntry(key, delta)
    }
    protected readDeadline(key: string) {
      return entries.readDeadline(key)
    }
    protected removeAll() {
      entries.removeAll()
    }
  }
  const cache = new Reserved()
  await cache.set('a', 'b')
  expect(await cache.get('a')).toBe('b')
  // A field is not there yet when the base class asks for the method.
  expect(() => new Hidden()).toThrow(/^Hidden: it has no method readEntries/)
})

it('shows its settings, with the defaults', () => {
  expect(new OverEntries().settings).toMatchObject({ keyPrefix: 'site', timeout: 60, version: 1 })
})

class Answering extends Entries {
  constructor(readonly answer: (entries: readonly WriteEntry[]) => unknown) {
    super()
  }
  override writeEntries(entries: readonly WriteEntry[]) {
    return this.answer(entries) as WriteOutcome[]
  }
}

describe('what a store says of what it did', () => {
  beforeEach(() => {
    const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => spy.mockRestore())
  })

  it.each([
    ['nothing', () => undefined, 'returned undefined for 1'],
    ['an empty list', () => [], 'returned [] for 1'],
    ['more than it was given', () => ['stored', 'stored'], 'returned ["stored", "stored"] for 1'],
    ['other words', () => ['done'], 'returned ["done"] for 1'],
    ['a list in a list', () => [['stored']], 'returned [an object'],
  ])('fails a call, and says what is wrong, if it is %s', async (_what, answer, message) => {
    const cache = new OverEntries(new Answering(answer))
    const failure = { code: 'FRAGCACHE_BACKEND_FAILED', message: expect.stringContaining(message) }
    await expect(cache.set('k', 1)).rejects.toMatchObject(failure)
    await expect(cache.setMany({ k: 1 })).rejects.toMatchObject(failure)
    expect(await cache.getOrSet('k', () => 'made', { lock: { wait: 3600 } })).toBe('made')
  })

  it.each(['not_taken', 'failed', 'too_large'] as const)(
    'lets nobody wait for a lease that nobody could take (%s)',
    async (outcome) => {
      const caches = createCaches({
        default: new OverEntries(new Answering((entries) => entries.map(() => outcome))),
      })
      const lock = { wait: 3600 }
      expect(await caches.default.getOrSet('k', () => 'made', { lock })).toBe('made')
      const fragments = new FragmentCache(caches)
      expect(await fragments.render({ name: 'box', timeout: 60, lock }, () => 'text')).toBe('text')
    },
  )

  it.each([
    ['nothing', () => undefined, 'returned undefined for 1'],
    ['less than was asked for', () => [], 'returned [] for 1'],
    ['numbers', () => [1], 'returned [1] for 1'],
  ])('a store that says %s of what it removed fails the call', async (_what, answer, message) => {
    class Removing extends Entries {
      override removeEntries() {
        return answer() as unknown as boolean[]
      }
    }
    const cache = new OverEntries(new Removing())
    const failure = { code: 'FRAGCACHE_BACKEND_FAILED', message: expect.stringContaining(message) }
    await expect(cache.delete('k')).rejects.toMatchObject(failure)
    await expect(cache.deleteMany(['k'])).rejects.toMatchObject(failure)
  })
})
