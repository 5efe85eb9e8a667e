import { randomUUID } from 'node:crypto'
import nunjucks from 'nunjucks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { registerCache } from '../../adapters/nunjucks/index.js'
import { FileBasedCache } from '../../src/backends/file.js'
import {
  createCaches,
  DummyCache,
  InvalidCacheBackendError,
  LocMemCache,
  makeTemplateFragmentKey,
  type Cache,
  type CacheSettings,
} from '../../src/index.js'
import { SteppedClock } from '../support/clock.js'
import { differences } from '../support/differences.js'
import { folderOfTest } from '../support/folders.js'

const clock = new SteppedClock()
let folder = ''

beforeEach(() => {
  clock.start()
  folder = folderOfTest()
})
afterEach(() => {
  vi.restoreAllMocks()
})

/** The same in local memory and in files. */
async function inBoth(check: (cache: Cache) => Promise<void>, settings: CacheSettings = {}) {
  const file = new FileBasedCache({ ...settings, location: folder })
  for (const cache of [new LocMemCache({ ...settings, location: undefined }), file]) {
    await check(cache)
    await cache.close()
  }
}

const filled = async (cache: Cache, count: number) => {
  const keys = Array.from({ length: count }, (_, i) => `k${i}`)
  for (const key of keys) await cache.set(key, key)
  return keys
}

/** A test per section of docs/differences-from-django.md, under its heading. */
const tests: Readonly<Record<string, () => Promise<void> | void>> = {
  'A miss': () =>
    inBoth(async (cache) => {
      await cache.set('null', null)
      expect(await cache.get('null')).toBeNull()
      expect(await cache.get('missing')).toBeUndefined()
      await expect(cache.set('k', undefined as never)).rejects.toThrow(/store null instead/)
    }),

  'Kinds of values': () =>
    inBoth(async (cache) => {
      class User {
        name = 'a'
      }
      await expect(cache.set('k', new User())).rejects.toThrow(TypeError)
      await cache.set('k', { ...new User(), visits: new Map([['fr', 2]]) })
      expect(await cache.get('k')).toEqual({ name: 'a', visits: new Map([['fr', 2]]) })
    }),

  'Timeouts that are no numbers': async () => {
    await inBoth(async (cache) => {
      for (const timeout of [true, false, '60']) {
        await expect(cache.set('k', 1, { timeout: timeout as never })).rejects.toThrow(TypeError)
      }
    })
    const wrong = { timeout: 'abc' as never }
    expect(() => new LocMemCache(wrong)).toThrow(InvalidCacheBackendError)
  },

  'The instant of the deadline': () =>
    inBoth(async (cache) => {
      await cache.set('k', 1, { timeout: 60 })
      clock.advance(59.999)
      expect(await cache.has('k')).toBe(true)
      clock.advance(0.001)
      expect(await cache.has('k')).toBe(false)
    }),

  '`incr` and the time left': () =>
    inBoth(async (cache) => {
      await cache.set('n', 1, { timeout: 60 })
      await cache.set('eternal', 1, { timeout: null })
      clock.advance(30)
      await cache.incr('n')
      await cache.incr('eternal')
      clock.advance(30)
      expect(await cache.has('n')).toBe(false)
      clock.advance(1e9)
      expect(await cache.get('eternal')).toBe(2)
    }),

  '`incrVersion` and the time left': () =>
    inBoth(async (cache) => {
      await cache.set('k', 1, { timeout: 1000 })
      await cache.incrVersion('k')
      clock.advance(999)
      expect(await cache.has('k', { version: 2 })).toBe(true)
      clock.advance(1)
      expect(await cache.has('k', { version: 2 })).toBe(false)
    }),

  '`incr` of a boolean': () =>
    inBoth(async (cache) => {
      await cache.set('b', true)
      await expect(cache.incr('b')).rejects.toThrow(TypeError)
      expect(await cache.get('b')).toBe(true)
    }),

  '`incr` beyond 2^53': () =>
    inBoth(async (cache) => {
      await cache.set('n', Number.MAX_SAFE_INTEGER)
      await expect(cache.incr('n')).rejects.toThrow(RangeError)
      await expect(cache.incr('n', 2 ** 70)).rejects.toThrow(TypeError)
      expect(await cache.get('n')).toBe(Number.MAX_SAFE_INTEGER)
    }),

  '`touch` of an expired file': async () => {
    const cache = new FileBasedCache({ location: folder })
    await cache.set('k', 1, { timeout: 1 })
    clock.advance(2.2)
    expect(await cache.touch('k', { timeout: 60 })).toBe(false)
    expect(await cache.has('k')).toBe(false)
  },

  '`getOrSet` by many at once': () =>
    inBoth(async (cache) => {
      let runs = 0
      const produce = async () => ({ run: ++runs })
      const values = await Promise.all(
        Array.from({ length: 50 }, () => cache.getOrSet('k', produce)),
      )
      expect(runs).toBe(1)
      expect(new Set(values).size).toBe(50)
    }),

  '`clear`': async () => {
    const location = randomUUID()
    const pairs = [
      [new LocMemCache({ location }), new LocMemCache({ location, keyPrefix: 'other' })],
      [
        new FileBasedCache({ location: folder }),
        new FileBasedCache({ location: folder, keyPrefix: 'other' }),
      ],
    ] as const
    for (const [own, other] of pairs) {
      await own.set('k', 1)
      await other.set('k', 2)
      await own.clear()
      expect(await own.get('k')).toBeUndefined()
      expect(await other.get('k')).toBe(2)
      await Promise.all([own.close(), other.close()])
    }
  },

  'Unknown settings': () => {
    for (const wrong of [{ max_entries: 5 }, { TIMEOUT: 5 }, { options: { max_entries: 5 } }]) {
      expect(() => new LocMemCache(wrong as never)).toThrow(/unknown (setting|option) "/)
      expect(() => new FileBasedCache({ ...wrong, location: folder } as never)).toThrow(
        /unknown (setting|option) "/,
      )
    }
  },

  'Options as text': () => {
    for (const options of [{ maxEntries: '10' }, { cullFrequency: 'x' }]) {
      expect(() => new LocMemCache({ options: options as never })).toThrow(/is not a whole number/)
    }
  },

  '`maxEntries` of 0': () => {
    expect(() => new LocMemCache({ options: { maxEntries: 0 } })).toThrow(/maxEntries: 0/)
    expect(() => new FileBasedCache({ location: folder, options: { maxEntries: 0 } })).toThrow(
      /maxEntries: 0/,
    )
  },

  'Versions and prefixes of other kinds': async () => {
    for (const wrong of [{ version: null }, { version: true }, { keyPrefix: null }]) {
      expect(() => new LocMemCache(wrong as never)).toThrow(InvalidCacheBackendError)
    }
    await expect(new LocMemCache().get('k', { version: true as never })).rejects.toThrow(TypeError)
  },

  'Keys that are no text': () =>
    inBoth(async (cache) => {
      for (const key of [7, true, null, undefined, {}]) {
        await expect(cache.set(key as never, 1)).rejects.toThrow(/^key: .*is not a key/)
      }
    }),

  'The empty key': () =>
    inBoth(async (cache) => {
      await expect(cache.set('', 1)).rejects.toThrow(/^key: the empty string/)
    }),

  'Length of a key': async () => {
    const codes = await codesWarned(async (cache) => {
      await cache.set('é'.repeat(123), 1)
      expect(warnedCodes()).toEqual([])
      await cache.set('é'.repeat(124), 1)
    })
    expect(codes).toEqual(['FRAGCACHE_KEY_TOO_LONG'])
  },

  'Warnings about keys': async () => {
    const codes = await codesWarned(async (cache) => {
      for (let i = 0; i < 10; i++) {
        await cache.set(`a b ${i}`, 1)
        await cache.get('x'.repeat(300 + i))
      }
    })
    expect(codes).toEqual(['FRAGCACHE_KEY_BAD_CHARACTERS', 'FRAGCACHE_KEY_TOO_LONG'])
  },

  'Lone surrogates in a key': () =>
    inBoth(async (cache) => {
      await expect(cache.set('a\ud800', 1)).rejects.toThrow(/lone surrogate/)
    }),

  'Culling less than one entry': () =>
    inBoth(
      async (cache) => {
        const keys = await filled(cache, 24)
        expect((await cache.getMany(keys)).size).toBe(10)
      },
      { options: { maxEntries: 10, cullFrequency: 20 } },
    ),

  'Culling for nothing': () =>
    inBoth(
      async (cache) => {
        const keys = await filled(cache, 10)
        await cache.set('z', 1, { timeout: 0 })
        expect((await cache.getMany(keys)).size).toBe(10)
      },
      { options: { maxEntries: 10, cullFrequency: 2 } },
    ),

  'Replacing in a full cache': () =>
    inBoth(
      async (cache) => {
        const keys = await filled(cache, 10)
        await cache.set('k3', 'new')
        expect((await cache.getMany(keys)).size).toBe(10)
      },
      { options: { maxEntries: 10, cullFrequency: 2 } },
    ),

  'Culling in local memory': async () => {
    const left = async (options: { maxEntries: number; cullFrequency?: number }) => {
      const cache = new LocMemCache({ options })
      const keys = await filled(cache, 12)
      await cache.set('one-more', 1)
      return (await cache.getMany([...keys, 'one-more'])).size
    }
    expect(await left({ maxEntries: 12 })).toBe(12)
    expect(await left({ maxEntries: 12, cullFrequency: 3 })).toBe(9)
  },

  'Expired entries when it is full': async () => {
    const options = { maxEntries: 10, cullFrequency: 2 }
    const liveLeft = async (cache: Cache) => {
      const keys = await filled(cache, 8)
      await cache.setMany({ soon: 1, 'soon-too': 1 }, { timeout: 1 })
      clock.advance(1)
      await cache.set('new', 1)
      return (await cache.getMany([...keys, 'new'])).size
    }
    expect(await liveLeft(new LocMemCache({ options }))).toBe(9)
    const file = new FileBasedCache({ location: folder, options })
    // Five go, the two that have expired among them.
    expect(await liveLeft(file)).toBe(6)
    await file.close()
  },

  'Lists and objects as vary-on values': () => {
    const key = (value: unknown) => makeTemplateFragmentKey('f', [value])
    expect(key(['a', 1, null, true])).toBe(key('["a",1,null,true]'))
    expect(key({ b: 1, a: [2] })).toBe(key('{"a":[2],"b":1}'))
    expect(key({ a: [2], b: 1 })).toBe(key({ b: 1, a: [2] }))
  },

  'Dates as vary-on values': () => {
    const key = (value: unknown) => makeTemplateFragmentKey('f', [value])
    expect(key(new Date(Date.UTC(2024, 0, 2, 3, 4, 5)))).toBe(key('2024-01-02T03:04:05.000Z'))
  },

  'Whole numbers as vary-on values': () => {
    const key = (value: unknown) => makeTemplateFragmentKey('f', [value])
    expect(key(1.0)).toBe(key('1'))
    expect(key(1.5)).toBe(key('1.5'))
    expect(key(1e16)).toBe(key('10000000000000000'))
  },

  'Fragment names that are no text': () => {
    for (const name of [null, undefined, 7, '']) {
      expect(() => makeTemplateFragmentKey(name as never)).toThrow(/^name: /)
    }
  },

  'Timeouts of the tag that are no whole seconds': async () => {
    const { render } = tagged()
    for (const timeout of ['50.9', 'true', 'false', '"5.5"']) {
      await expect(render(`{% cache ${timeout} f %}x{% endcache %}`)).rejects.toMatchObject({
        code: 'FRAGCACHE_TAG',
      })
    }
  },

  'Quotes around a fragment’s name': async () => {
    const { cache, render } = tagged()
    await render(`{% cache 60 "my-frag" %}x{% endcache %}`)
    expect(await cache.get(makeTemplateFragmentKey('my-frag'))).toBe('x')
    expect(await render(`{% cache 60 my-frag %}y{% endcache %}`)).toBe('x')
    expect(await render(`{% cache 60 'my-frag' %}y{% endcache %}`)).toBe('x')
  },

  'Line ends inside a tag': async () => {
    const { render } = tagged()
    expect(await render('{% cache 60\n f\r\n  "a"\n %}x{% endcache %}')).toBe('x')
  },

  'The name after `endcache`': async () => {
    const { render } = tagged()
    expect(await render('{% cache 60 f %}x{% endcache f %}')).toBe('x')
    await expect(render('{% cache 60 f %}x{% endcache g %}')).rejects.toMatchObject({
      code: 'FRAGCACHE_TAG',
    })
  },

  'Something else under a fragment’s key': async () => {
    const { cache, render } = tagged()
    const key = makeTemplateFragmentKey('f')
    for (const other of [123, null, { a: 1 }, Buffer.from('x')]) {
      await cache.set(key, other)
      expect(await render('{% cache 60 f %}body{% endcache %}')).toBe('body')
      expect(await cache.get(key)).toBe('body')
    }
  },
}

function tagged() {
  const cache = new LocMemCache()
  const environment = new nunjucks.Environment(null)
  const { renderStringAsync } = registerCache(environment, createCaches({ default: cache }))
  return { cache, render: (template: string) => renderStringAsync(template, {}) }
}

const warnedCodes = () =>
  vi.mocked(process.emitWarning).mock.calls.map((call) => (call[1] as { code: string }).code)

/** What a process that has not warned yet warns of. */
async function codesWarned(action: (cache: Cache) => Promise<void>): Promise<string[]> {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  vi.resetModules()
  const fresh = await import('../../src/index.js')
  await action(new fresh.LocMemCache())
  return warnedCodes()
}

describe('docs/differences-from-django.md', () => {
  it('has a test of its name for each section, and a section for each test', () => {
    expect(differences().map(({ what }) => what)).toEqual(Object.keys(tests))
  })

  it('gives both sides and a reason in each section', () => {
    for (const difference of differences()) {
      for (const said of Object.values(difference)) expect(said).toMatch(/\S/)
    }
  })
})

describe('different from Django', () => {
  it.each(Object.entries(tests))('%s', async (_, test) => {
    await test()
  })

  it('keeps nothing where DummyCache is asked for, so that maxEntries 0 is not needed', async () => {
    const cache = new DummyCache()
    await cache.set('k', 1)
    expect(await cache.has('k')).toBe(false)
  })
})
