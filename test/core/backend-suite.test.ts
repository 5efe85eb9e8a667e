import { beforeAll, describe, expect, it, vi } from 'vitest'
import { MapCache, type Store } from '../../examples/custom-backend/map-cache.js'
import type {
  CacheSettings,
  Deadline,
  KeyFunction,
  WriteEntry,
  WriteOutcome,
} from '../../src/index.js'
import { testBackend, type BackendUnderTest } from '../conformance/backend-suite.js'
import { SteppedClock } from '../support/clock.js'

beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

type Options = { readonly options: { readonly store: Store } }
type Make = new (settings: CacheSettings & Options) => MapCache

/** Runs the suite over a backend and gives the names of the tests that failed. */
async function failuresOf(
  Backend: Make,
  more: Partial<BackendUnderTest> = {},
  wanted?: RegExp,
): Promise<string[]> {
  let store: Store = new Map()
  const clock = new SteppedClock()
  const titles: string[] = []
  const tests: (readonly [string, () => Promise<void>])[] = []
  testBackend(
    'broken',
    {
      reset: () => {
        store = new Map()
        clock.start()
      },
      create: (settings) => new Backend({ ...settings, options: { store } }),
      advance: clock.advance,
      release: clock.stop,
      variants: ['prefix'],
      ...more,
    },
    {
      describe: (title, body) => {
        titles.push(title)
        body()
        titles.pop()
      },
      it: (title, body) => tests.push([`${titles.slice(2).join(' ')}: ${title}`, body]),
    },
  )
  const failed: string[] = []
  for (const [title, body] of tests) {
    await body().catch(() => failed.push(title))
    // What is broken may make later tests wait for what never comes.
    if (wanted !== undefined && failed.some((one) => wanted.test(one))) break
  }
  return failed
}

const later = () => new Promise<void>((resolve) => setImmediate(resolve))

const broken: Readonly<Record<string, readonly [Make, RegExp]>> = {
  'adds by reading first': [
    class extends MapCache {
      override writeEntries(entries: readonly WriteEntry[]): WriteOutcome[] {
        const found = this.readEntries(entries.map(({ key }) => key))
        const wanted = entries.map(({ ifAbsent }, i) => !ifAbsent || found[i] === undefined)
        return later().then(() => {
          super.writeEntries(entries.filter((_, i) => wanted[i]).map(unconditional))
          return wanted.map((one) => (one ? 'stored' : 'refused'))
        }) as never
      }
    },
    /of fifty callers at once, over two caches, one adds/,
  ],
  'ignores the condition of a replacement': [
    class extends MapCache {
      override writeEntries(entries: readonly WriteEntry[]): WriteOutcome[] {
        const tried = entries.map((one) => (one.replacing ? unconditional(one) : one))
        return later().then(() => super.writeEntries(tried)) as never
      }
    },
    /tags: of (fifty callers that add over|twenty calls that count)/,
  ],
  'counts by reading first': [
    class extends MapCache {
      override incrementEntry(key: string, delta: number): number | null | undefined {
        const [payload] = this.readEntries([key])
        const sum = Number(Buffer.from(payload ?? []).toString()) + delta
        if (payload === undefined || !Number.isSafeInteger(sum)) {
          return super.incrementEntry(key, delta)
        }
        const expiresAtMs = this.readDeadline(key) ?? null
        return later().then(() => {
          super.writeEntries([{ key, payload: Buffer.from(String(sum)), expiresAtMs }])
          return sum
        }) as never
      }
    },
    /of fifty calls at once, over two caches, none is lost/,
  ],
  'counts past 2^53': [
    class extends MapCache {
      override incrementEntry(key: string, delta: number): number | null | undefined {
        try {
          return super.incrementEntry(key, delta)
        } catch {
          return Number.MAX_SAFE_INTEGER + delta
        }
      }
    },
    /beyond 2\^53/,
  ],
  'gives the default time to a number that was counted': [
    class extends MapCache {
      override incrementEntry(key: string, delta: number): number | null | undefined {
        const sum = super.incrementEntry(key, delta)
        this.touchEntry(key, Date.now() + 300_000)
        return sum
      }
    },
    /counters: the time that is left stays/,
  ],
  'keeps an entry for one millisecond too long': [
    class extends MapCache {
      override writeEntries(entries: readonly WriteEntry[]): WriteOutcome[] {
        return super.writeEntries(entries.map((one) => shifted(one, 1)))
      }
    },
    /timeouts: set: an entry is live until its timeout ends, and gone then/,
  ],
  'lets an entry go one millisecond too soon': [
    class extends MapCache {
      override writeEntries(entries: readonly WriteEntry[]): WriteOutcome[] {
        return super.writeEntries(entries.map((one) => shifted(one, -1)))
      }
    },
    /timeouts: set: an entry is live until its timeout ends, and gone then/,
  ],
  'holds a timeout over thirty days for a date': [
    class extends MapCache {
      override writeEntries(entries: readonly WriteEntry[]): WriteOutcome[] {
        const most = Date.now() + 30 * 86_400_000
        return super.writeEntries(
          entries.map((one) => (Number(one.expiresAtMs) > most ? { ...one, expiresAtMs: 1 } : one)),
        )
      }
    },
    /forty days are forty days/,
  ],
  'says that it touched and did not': [
    class extends MapCache {
      override touchEntry(key: string): boolean {
        return super.readDeadline(key) !== undefined
      }
    },
    /entries: touch can shorten the time that is left/,
  ],
  'knows no deadlines': [
    class extends MapCache {
      override readDeadline(key: string): Deadline | undefined {
        return super.readDeadline(key) === undefined ? undefined : null
      }
    },
    /separation: they keep the time that is left/,
  ],
  'empties the whole store in clear': [
    class extends MapCache {
      constructor(private readonly own: CacheSettings & Options) {
        super(own)
      }
      override removeAll(): void {
        this.own.options.store.clear()
      }
    },
    /spares a neighbour/,
  ],
  'clears keys that begin with the prefix': [
    class extends MapCache {
      constructor(private readonly own: CacheSettings & Options) {
        super(own)
      }
      override removeAll(): void {
        const { store } = this.own.options
        for (const key of store.keys()) {
          if (key.startsWith(this.settings.keyPrefix)) store.delete(key)
        }
      }
    },
    /clear with the key prefix neigh spares a neighbour/,
  ],
  'says that it removed what was not there': [
    class extends MapCache {
      override removeEntries(keys: readonly string[]): boolean[] {
        super.removeEntries(keys)
        return keys.map(() => true)
      }
    },
    /of fifty callers at once, over two caches, one deletes/,
  ],
  'gives a batch in the order of the store': [
    class extends MapCache {
      override readEntries(keys: readonly string[]) {
        return super.readEntries(keys.toSorted())
      }
    },
    /getMany gives what is live, in the order asked/,
  ],
  'keeps bytes as text': [
    class extends MapCache {
      override writeEntries(entries: readonly WriteEntry[]): WriteOutcome[] {
        return super.writeEntries(
          entries.map((one) => ({
            ...one,
            payload: Buffer.from(Buffer.from(one.payload).toString('utf8')),
          })),
        )
      }
    },
    /a Buffer of any bytes: comes back as it went in/,
  ],
  'takes keys without regard to case': [
    class extends MapCache {
      constructor(own: CacheSettings & Options) {
        super({ ...own, keyFunction: (...parts) => keyOf(own, parts).toLowerCase() })
      }
    },
    /hostile and long keys work, and each is another/,
  ],
  'cuts keys off': [
    class extends MapCache {
      constructor(own: CacheSettings & Options) {
        super({ ...own, keyFunction: (...parts) => keyOf(own, parts).slice(0, 255) })
      }
    },
    /hostile and long keys work, and each is another/,
  ],
  'keeps the value it was given': [
    class extends MapCache {
      packValue(value: unknown): Uint8Array {
        return value as Uint8Array
      }
      unpackPayload(payload: Uint8Array) {
        return { value: payload, tags: undefined }
      }
    },
    /changing a value after storing it changes nothing in the cache/,
  ],
  'forgets tags': [
    class extends MapCache {
      override async invalidateTags(): Promise<void> {
        // Nothing happens.
      }
    },
    /tags: set: an entry is gone when one of its tags is invalidated/,
  ],
  'cannot be used after close': [
    class extends MapCache {
      #closed = false
      disconnect(): undefined {
        this.#closed = true
      }
      override readEntries(keys: readonly string[]) {
        if (this.#closed) throw new Error('closed')
        return super.readEntries(keys)
      }
    },
    /after close a cache opens again on use/,
  ],
}

function keyOf({ keyFunction }: CacheSettings, parts: Parameters<KeyFunction>): string {
  const [key, keyPrefix, version] = parts
  return keyFunction?.(...parts) ?? `${keyPrefix}:${version}:${key}`
}

function unconditional({ key, payload, expiresAtMs }: WriteEntry): WriteEntry {
  return { key, payload, expiresAtMs }
}

function shifted(entry: WriteEntry, ms: number): WriteEntry {
  const { expiresAtMs } = entry
  return { ...entry, expiresAtMs: expiresAtMs === null ? null : expiresAtMs + ms }
}

describe('the conformance suite', () => {
  it('finds no fault in the example of the documentation', async () => {
    expect(await failuresOf(MapCache as Make)).toEqual([])
  })

  it.each(Object.entries(broken))('finds a backend that %s', async (_, [Backend, test]) => {
    expect(await failuresOf(Backend, {}, test)).toContainEqual(expect.stringMatching(test))
  })

  it('asks a difference for its reason, and names the reason', () => {
    const suite = (reason: string) => () =>
      testBackend(
        'x',
        {
          reset: () => undefined,
          create: () => new MapCache(),
          differences: { portableKeysOnly: reason },
        },
        { describe: (title, body) => (titles.push(title), body()), it: () => undefined },
      )
    const titles: string[] = []
    expect(suite('  ')).toThrow(/differences.portableKeysOnly: give the reason/)
    suite('its protocol ends keys at a space')()
    expect(titles).toContain('takes portable keys only: its protocol ends keys at a space')
  })

  it('leaves out what a real clock cannot show, and still finds an entry that stays', async () => {
    class Staying extends MapCache {
      override writeEntries(entries: readonly WriteEntry[]): WriteOutcome[] {
        return super.writeEntries(entries.map((one) => ({ ...one, expiresAtMs: null })))
      }
    }
    let store: Store = new Map()
    const tests = new Map<string, () => Promise<void>>()
    testBackend(
      'real',
      {
        reset: () => {
          store = new Map()
        },
        create: (settings) => new Staying({ ...settings, options: { store } }),
        variants: ['plain'],
      },
      { describe: (_, body) => body(), it: (title, body) => tests.set(title, body) },
    )
    const title = 'set: an entry is live until its timeout ends, and gone then'
    await expect(tests.get(title)?.()).rejects.toThrow()
    await tests.get('set: forty days are forty days')?.()
  })
})
