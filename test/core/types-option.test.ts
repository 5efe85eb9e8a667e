import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MapCache, type Store } from '../../examples/custom-backend/map-cache.js'
import { createCacheTable, DatabaseCache } from '../../src/backends/database.js'
import { FileBasedCache } from '../../src/backends/file.js'
import { MemcachedCache } from '../../src/backends/memcached.js'
import { RedisCache } from '../../src/backends/redis.js'
import { TieredCache } from '../../src/backends/tiered.js'
import {
  type Cache,
  createCaches,
  DummyCache,
  InvalidCacheBackendError,
  LocMemCache,
  type ValueType,
} from '../../src/index.js'
import type { CompressSettings } from '../../src/payload-format.js'
import { binaryFormat, pack } from '../../src/serializer.js'
import { ValueTypes } from '../../src/value-types.js'
import { newTable, openBetterSqlite3, openMysql, openPostgres } from '../support/databases.js'
import { MemoryBus } from '../support/memory-bus.js'
import { sharedServer } from '../support/servers.js'

class Decimal {
  readonly #digits: string

  constructor(digits: string) {
    if (!/^-?\d+(\.\d+)?$/.test(digits)) throw new RangeError(`${digits} is not a decimal`)
    this.#digits = digits
  }

  plus(other: Decimal): Decimal {
    return new Decimal((Number(this.#digits) + Number(other.#digits)).toFixed(2))
  }

  toString(): string {
    return this.#digits
  }
}

/** As an ORM gives it: the columns are behind getters of the prototype, and it knows its session. */
class Row {
  readonly #columns: Map<string, unknown>
  readonly session = { query: () => undefined }

  constructor(columns: Readonly<Record<string, unknown>>) {
    this.#columns = new Map(Object.entries(columns))
  }

  get id(): number {
    return this.#columns.get('id') as number
  }

  get price(): Decimal {
    return this.#columns.get('price') as Decimal
  }

  toPlain(): Record<string, unknown> {
    return Object.fromEntries(this.#columns)
  }
}

/** Knows where it hangs: its parent knows its children, and each of them its parent. */
class Tree {
  readonly children: Tree[] = []

  constructor(
    readonly name: string,
    readonly parent?: Tree,
  ) {
    parent?.children.push(this)
  }
}

class Rows extends Array<unknown> {
  total = 0
}

function rowsOf(rows: Iterable<unknown>): Rows {
  const made = new Rows()
  for (const row of rows) made.push(row)
  return made
}

class Day extends Date {
  get isWeekend(): boolean {
    return this.getUTCDay() % 6 === 0
  }
}

class Bytes extends Buffer {}

type Branch = readonly [name: string, children: readonly Branch[]]
const branchOf = ({ name, children }: Tree): Branch => [name, children.map(branchOf)]
const grow = ([name, children]: Branch, parent?: Tree): Tree => {
  const tree = new Tree(name, parent)
  for (const child of children) grow(child, tree)
  return tree
}

const decimal: ValueType<Decimal, string> = {
  name: 'Decimal',
  is: (value) => value instanceof Decimal,
  encode: String,
  decode: (digits) => new Decimal(digits),
}

const types: readonly ValueType[] = [
  decimal,
  {
    name: 'URL',
    is: (value) => value instanceof URL,
    encode: (url: URL) => url.href,
    decode: (href: string) => new URL(href),
  },
  {
    name: 'Row',
    is: (value) => value instanceof Row,
    encode: (row: Row) => row.toPlain(),
    decode: (columns: Record<string, unknown>) => new Row(columns),
  },
  {
    name: 'Tree',
    is: (value) => value instanceof Tree,
    encode: branchOf,
    decode: (branch: Branch) => grow(branch),
  },
  {
    name: 'Rows',
    is: (value) => value instanceof Rows,
    encode: (rows: Rows) => ({ rows: [...rows], total: rows.total }),
    decode: ({ rows, total }: { rows: unknown[]; total: number }) =>
      Object.assign(rowsOf(rows), { total }),
  },
  {
    name: 'Day',
    is: (value) => value instanceof Day,
    encode: (day: Day) => day.getTime(),
    decode: (ms: number) => new Day(ms),
  },
  {
    name: 'Bytes',
    is: (value) => value instanceof Bytes,
    encode: (bytes: Bytes) => Buffer.from(bytes),
    decode: (bytes: Buffer) => Object.setPrototypeOf(bytes, Bytes.prototype) as Bytes,
  },
]

/** A value with an instance of each, in each place that a value has. */
function made() {
  const price = new Decimal('1.50')
  const rows = rowsOf([new Row({ id: 1, price }), new Row({ id: 2, price: new Decimal('2') })])
  rows.total = 2
  const bytes = Object.setPrototypeOf(Buffer.from([1, 2, 3]), Bytes.prototype) as Bytes
  const value = {
    list: [price, 'text', price],
    map: new Map<unknown, unknown>([[new URL('https://example.com/a?b=c'), new Day(86_400_000)]]),
    set: new Set([new Tree('alone')]),
    rows,
    tree: grow([
      'root',
      [
        ['left', []],
        ['right', [['leaf', []]]],
      ],
    ]),
    bytes,
    plain: { since: new Date(0), text: 'long enough to be worth it, '.repeat(100) },
    self: undefined as unknown,
  }
  value.self = value
  return value
}

function check(got: ReturnType<typeof made> | undefined): void {
  if (got === undefined) throw new Error('it was not found')
  const [first, text, last] = got.list
  expect(first).toBeInstanceOf(Decimal)
  expect((first as Decimal).plus(new Decimal('1')).toString()).toBe('2.50')
  expect([text, last]).toEqual(['text', first])
  expect(last).toBe(first)
  const [[url, day] = []] = [...got.map]
  expect((url as URL).searchParams.get('b')).toBe('c')
  expect(day).toBeInstanceOf(Day)
  expect([(day as Day).getTime(), (day as Day).isWeekend]).toEqual([86_400_000, false])
  const [alone] = [...got.set]
  expect(alone?.name).toBe('alone')
  expect(got.rows).toBeInstanceOf(Rows)
  expect([got.rows.length, got.rows.total]).toEqual([2, 2])
  expect((got.rows[1] as Row).id).toBe(2)
  expect((got.rows[0] as Row).price.plus((got.rows[1] as Row).price).toString()).toBe('3.50')
  const leaf = got.tree.children[1]?.children[0]
  expect([leaf?.name, leaf?.parent?.parent?.name]).toEqual(['leaf', 'root'])
  expect(leaf?.parent?.parent).toBe(got.tree)
  expect(got.bytes).toBeInstanceOf(Bytes)
  expect([...got.bytes]).toEqual([1, 2, 3])
  expect(Object.getPrototypeOf(got.plain.since)).toBe(Date.prototype)
  expect(got.self).toBe(got)
}

const [redis, memcached, postgres, mysql] = await Promise.all([
  sharedServer('redis'),
  sharedServer('memcached'),
  sharedServer('postgres'),
  sharedServer('mysql'),
])

const ends: (() => unknown)[] = []
afterAll(async () => {
  for (const end of ends) await end()
})

const opened: Cache[] = []
const warnings: string[] = []

beforeEach(() => {
  warnings.length = 0
  vi.spyOn(process, 'emitWarning').mockImplementation((text) => void warnings.push(String(text)))
})

afterEach(async () => {
  vi.restoreAllMocks()
  for (const cache of opened.splice(0)) await cache.close()
})

function keep<T extends Cache>(cache: T): T {
  opened.push(cache)
  return cache
}

// What takes long on a busy machine is no failure here.
const timeLimitMs = 10_000

/** Two caches over one store, the second with other types if these are given. */
type Open = (known?: readonly ValueType[]) => Cache

const table = async (
  open: () => { database: object; end: () => Promise<void> },
  compress: CompressSettings | undefined,
): Promise<Open> => {
  const { database, end } = open()
  ends.push(end)
  const location = newTable()
  const openTable: Open = (known = types) =>
    new DatabaseCache({ location, database, compress, options: { types: known, timeLimitMs } })
  await createCacheTable(openTable())
  return openTable
}

const folder = mkdtempSync(join(tmpdir(), 'types-'))
ends.push(() => rmSync(folder, { recursive: true }))

/** Each over an empty store, or `undefined` where the machine has no such server. */
const stores: readonly (readonly [string, () => Promise<Open> | Open, boolean])[] = [
  [
    'local memory',
    () => {
      const location = randomUUID()
      return (known = types) => new LocMemCache({ location, options: { types: known } })
    },
    false,
  ],
  [
    'a backend of one’s own',
    () => {
      const store: Store = new Map()
      return (known = types) => {
        const options = { store, types: known }
        return new MapCache({ options })
      }
    },
    false,
  ],
  [
    'files, compressed',
    () => {
      const location = join(folder, randomUUID())
      const compress = { threshold: 100 }
      return (known = types) =>
        new FileBasedCache({ location, compress, options: { types: known } })
    },
    false,
  ],
  ...([undefined, { threshold: 100 }] as const).flatMap((compress) => {
    const name = (database: string) => `${database}${compress === undefined ? '' : ', compressed'}`
    return [
      [name('SQLite'), () => table(() => openBetterSqlite3(), compress), false],
      [
        name('PostgreSQL'),
        () => table(() => openPostgres(postgres?.url ?? ''), compress),
        postgres === undefined,
      ],
      [
        name('MySQL'),
        () => table(() => openMysql(mysql?.url ?? ''), compress),
        mysql === undefined,
      ],
    ] as const
  }),
  ...(['binary', 'json'] as const).flatMap((serializer) => [
    [
      `Redis, ${serializer}`,
      () => {
        const keyPrefix = randomUUID()
        const location = redis?.url ?? ''
        return (known = types) =>
          new RedisCache({
            location,
            keyPrefix,
            serializer,
            options: { types: known, timeLimitMs },
          })
      },
      redis === undefined,
    ] as const,
    [
      `Memcached, ${serializer}, compressed`,
      () => {
        const keyPrefix = randomUUID()
        const settings = { location: memcached?.url ?? '', keyPrefix, serializer }
        const compress = { threshold: 100 }
        return (known = types) =>
          new MemcachedCache({ ...settings, compress, options: { types: known, timeLimitMs } })
      },
      memcached === undefined,
    ] as const,
  ]),
  [
    'memory before Redis',
    () => {
      const keyPrefix = randomUUID()
      const location = redis?.url ?? ''
      const bus = new MemoryBus()
      return (known = types) =>
        new TieredCache({
          local: new LocMemCache(),
          remote: new RedisCache({ location, keyPrefix, options: { types: known, timeLimitMs } }),
          bus: bus.end,
        })
    },
    redis === undefined,
  ],
]

describe.each(stores)('instances of types in %s', (_, openStore, isMissing) => {
  it.skipIf(isMissing)('come back as instances, whatever stored them', async () => {
    const open = await openStore()
    const cache = keep(open())
    await cache.set('set', made(), { tags: ['t'] })
    await cache.setMany({ many: made(), other: new Decimal('7') })
    expect(await cache.add('add', made())).toBe(true)
    check(await cache.getOrSet('getOrSet', () => made()))
    check(await cache.getOrSet('value', made()))
    // Once more, since a copy of it is at hand by then.
    for (let i = 0; i < 2; i++) {
      for (const key of ['set', 'add', 'value', 'getOrSet']) check(await cache.get(key))
      const many = await cache.getMany(['many', 'other'])
      check(many.get('many') as ReturnType<typeof made>)
      expect(String(many.get('other'))).toBe('7')
      check(await cache.getOrSet('getOrSet', () => Promise.reject(new Error('it is there'))))
    }
    check((await cache.describe('set'))?.value as ReturnType<typeof made>)
    await cache.incrVersion('add')
    check(await cache.get('add', { version: 2 }))
    const again = keep(open())
    check(await again.get('set'))
    await again.invalidateTags(['t'])
    expect(await again.get('set')).toBeUndefined()
    expect(warnings).toEqual([])
  })

  it.skipIf(isMissing)('are a miss where their type is unknown, and stand in no way', async () => {
    const open = await openStore()
    const cache = keep(open())
    for (const key of ['a', 'b', 'c', 'd']) await cache.set(key, [new Decimal('1'), 'text'])
    await cache.set('e', { plain: new Date(5) })
    const other = keep(open([]))
    expect(await other.get('a')).toBeUndefined()
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('the type "Decimal" is none of this cache\'s options.types')
    expect(await other.has('a')).toBe(false)
    expect(await other.getMany(['a', 'e'])).toEqual(new Map([['e', { plain: new Date(5) }]]))
    expect(await other.getOrSet('a', () => 'made')).toBe('made')
    expect(await other.add('b', 'added')).toBe(true)
    expect(await other.get('b')).toBe('added')
    await expect(other.incr('c')).rejects.toThrow('is not there')
    await other.delete('d')
    expect(await cache.get('d')).toBeUndefined()
    expect(String((await cache.get<unknown[]>('c'))?.[0])).toBe('1')
    expect(warnings).toHaveLength(1)
  })

  it.skipIf(isMissing)('are a miss where their decode throws', async () => {
    const open = await openStore()
    await keep(open()).set('k', { price: new Decimal('1') })
    const decode = () => {
      throw new Error('no decimals today')
    }
    const cache = keep(open([{ ...decimal, decode }]))
    expect(await cache.get('k')).toBeUndefined()
    expect(await cache.getOrSet('k', () => 1)).toBe(1)
    expect(warnings).toEqual([
      expect.stringContaining('decode of the type "Decimal" threw Error: no decimals today'),
    ])
  })
})

/** A type whose functions are as usual but for some of them. */
const odd = (more: Partial<ValueType>): ValueType[] => [{ ...decimal, ...more }]
const fails = () => {
  throw new Error('not today')
}

describe('what a type does wrong', () => {
  it.each<[string, Partial<ValueType>, string]>([
    ['is throws', { is: fails }, 'value.a[0]: is of the type "Decimal" threw Error: not today'],
    [
      'is is asynchronous',
      { is: (() => Promise.resolve(true)) as never },
      'value.a[0]: is of the type "Decimal" gave an object (Promise); make it give true or false',
    ],
    [
      'encode throws',
      { encode: fails },
      'value.a[0]: encode of the type "Decimal" threw Error: not today',
    ],
    [
      'encode gives nothing',
      { encode: () => undefined },
      'value.a[0]: encode of the type "Decimal" gave what cannot be stored: undefined; let it give null',
    ],
    [
      'encode is asynchronous',
      { encode: () => Promise.resolve('1') },
      'value.a[0]: encode of the type "Decimal" gave what cannot be stored (data: a promise cannot be stored',
    ],
    [
      'encode gives what has no type',
      { encode: () => ({ at: [new Tree('t')] }) },
      'value.a[0]: encode of the type "Decimal" gave what cannot be stored (data.at[0]: an instance of Tree',
    ],
    [
      'encode gives the instance again',
      { encode: (instance: unknown) => ({ inner: instance }) },
      'data.inner: encode of the type "Decimal" gives what holds the same instance again',
    ],
    [
      'encode gives ever more instances',
      { encode: () => [new Decimal('1')] },
      'more than 100 instances lie inside of the data of one another',
    ],
  ])('%s: every call that stores says so', async (_, more, message) => {
    for (const Kind of [LocMemCache, DummyCache]) {
      const cache = new Kind({ options: { types: odd(more) } })
      const value = { a: [new Decimal('1')] }
      const calls = [
        cache.set('k', value),
        cache.add('k', value),
        cache.setMany({ k: value }),
        cache.getOrSet('k', () => value),
      ]
      for (const call of await Promise.allSettled(calls)) {
        const { reason } = call as { reason?: Error }
        expect(reason).toBeInstanceOf(TypeError)
        expect(reason?.message).toContain(message)
      }
      expect(await cache.has('k')).toBe(false)
    }
  })

  it('the cause is what the function threw, and an old value may be served instead', async () => {
    const cache = new LocMemCache({ options: { types: odd({ encode: fails }) } })
    await expect(cache.set('k', new Decimal('1'))).rejects.toMatchObject({
      cause: new Error('not today'),
    })
    await cache.set('old', 'old', { timeout: 10, staleIfError: 60 })
    await cache.expire('old')
    const made = () => new Decimal('1')
    expect(await cache.getOrSet('old', made, { staleIfError: 60 })).toBe('old')
  })

  it.each<[string, Partial<ValueType>]>([
    ['gives no instance', { decode: (digits: string) => ({ digits }) }],
    ['gives a text', { decode: (digits: string) => digits, is: () => true }],
    ['is asynchronous', { decode: (digits: string) => Promise.resolve(new Decimal(digits)) }],
  ])('decode %s: a miss', async (_, more) => {
    const cache = new LocMemCache({ options: { types: odd(more) } })
    await cache.set('k', new Decimal('1'))
    expect(await cache.get('k')).toBeUndefined()
    expect(warnings).toEqual([
      expect.stringMatching(/decode of the type "Decimal" gave .*does not/),
    ])
    await expect(cache.getOrSet('k', () => new Decimal('1'))).rejects.toThrow(/decode .* gave/)
  })

  it('encode fails for the copy in memory: the value is given all the same', async () => {
    const encode = vi.fn(String)
    const remote = new MapCache({ options: { types: odd({ encode }) } as object })
    const cache = new TieredCache({ local: new LocMemCache(), remote })
    await remote.set('k', new Decimal('1'))
    encode.mockImplementation(fails)
    expect(String(await cache.get('k'))).toBe('1')
    expect(warnings).toEqual([expect.stringContaining('encode of the type "Decimal" threw')])
  })
})

describe('a type', () => {
  it('is asked only of what could not be stored otherwise', async () => {
    const is = vi.fn(() => false)
    const cache = new LocMemCache({ options: { types: odd({ is }) } })
    const plain = [1, 'a', null, new Date(0), new Map([[1, new Set([2n])]]), /x/, new Error('e')]
    await cache.set('k', { plain, bytes: Buffer.from('a'), none: Object.create(null) as object })
    await expect(cache.set('p', Promise.resolve(1) as unknown)).rejects.toThrow('await it first')
    await expect(cache.set('p', new Proxy({}, {}))).rejects.toThrow('a proxy')
    expect(is).not.toHaveBeenCalled()
    await expect(cache.set('p', [new URL('https://example.com/')])).rejects.toThrow(
      'value[0]: an instance of URL cannot be stored',
    )
    expect(is).toHaveBeenCalledTimes(1)
  })

  it('never takes a promise or a proxy', async () => {
    const cache = new LocMemCache({ options: { types: odd({ is: () => true }) } })
    await expect(cache.set('p', Promise.resolve(1) as unknown)).rejects.toThrow('await it first')
    await expect(cache.set('p', new Proxy(new Decimal('1'), {}))).rejects.toThrow('a proxy')
  })

  it('costs a hit on other values nothing: none of its functions is called', async () => {
    const spies = { is: vi.fn(decimal.is), encode: vi.fn(String), decode: vi.fn(decimal.decode) }
    const cache = new LocMemCache({ options: { types: odd(spies) } })
    await cache.set('k', { a: [1, new Map([[1, new Date(0)]])] })
    expect(await cache.get('k')).toEqual({ a: [1, new Map([[1, new Date(0)]])] })
    for (const spy of Object.values(spies)) expect(spy).not.toHaveBeenCalled()
  })

  it('writes what has no instance to the byte as without it', () => {
    const typed = binaryFormat(new ValueTypes('TestCache', { types }))
    const values = [1, 'a', null, { a: [1] }, [new Date(0)], Buffer.from('a'), new Uint8Array(2)]
    for (const value of values) expect(typed.write(value)).toEqual(pack(value))
  })

  it('comes first that is first in the list, and may be a class of its own', async () => {
    class Dated implements ValueType<Date, number> {
      readonly name = 'Dated'
      is(value: unknown): boolean {
        return value instanceof Date
      }
      encode(date: Date): number {
        return date.getTime()
      }
      decode(ms: number): Date {
        return new Day(ms + 1)
      }
    }
    const cache = new LocMemCache({ options: { types: [new Dated(), ...types] } })
    await cache.set('k', [new Day(1), new Date(1)])
    const [day, date] = (await cache.get<Date[]>('k')) ?? []
    expect([day?.getTime(), date?.getTime()]).toEqual([2, 1])
  })

  it('stores an instance as it is when it is stored, for each caller its own', async () => {
    class Basket {
      items: string[] = []
    }
    const basket: ValueType<Basket, string[]> = {
      name: 'Basket',
      is: (value) => value instanceof Basket,
      encode: ({ items }) => items,
      decode: (items) => Object.assign(new Basket(), { items }),
    }
    const cache = new LocMemCache({ options: { types: [basket] } })
    const mine = new Basket()
    mine.items.push('a')
    await cache.set('k', mine)
    mine.items.push('b')
    const [one, two] = [await cache.get<Basket>('k'), await cache.get<Basket>('k')]
    one?.items.push('c')
    expect([one?.items, two?.items]).toEqual([['a', 'c'], ['a']])
    const joined = await Promise.all([1, 2].map(() => cache.getOrSet('j', () => new Basket())))
    expect(joined[0]).toBeInstanceOf(Basket)
    expect(joined[0]).not.toBe(joined[1])
  })

  it('of hostile bytes makes no more than they say, however deep', async () => {
    const { read } = binaryFormat(new ValueTypes('TestCache', { types: odd({ is: () => true }) }))
    let bytes = Buffer.alloc(0)
    for (let i = 0; i < 5000; i++) {
      const json = Buffer.from(JSON.stringify([[1], ['T', 'Decimal', bytes.length]]))
      const length = Buffer.alloc(4)
      length.writeUInt32LE(json.length)
      bytes = Buffer.concat([length, json, bytes])
    }
    expect(() => read(Buffer.concat([Buffer.from([6]), bytes]), 0)).toThrow('damaged graph')
  })
})

describe('options.types', () => {
  const type = { ...decimal }
  it.each<[unknown, string]>([
    [{ Decimal: type }, 'options.types: an object is not a list; give for example [{'],
    [[Decimal], 'options.types[0]: a function is not a type; give { name, is, encode, decode }'],
    [[{ ...type, name: '' }], 'options.types[0].name: "" is not a name; give a string'],
    [[{ ...type, name: Decimal }], 'options.types[0].name: a function is not a name'],
    [[type, { ...type }], 'options.types[1].name: "Decimal" is the name of another type, too'],
    [[{ ...type, is: undefined }], 'options.types[0].is: it is missing; give a function'],
    [[{ ...type, encode: 'toString' }], 'options.types[0].encode: "toString" is not a function'],
    [
      [{ ...type, deserialize: String }],
      'options.types[0]: unknown name "deserialize"; a type has name, is, encode, decode; did you mean "decode"?',
    ],
    [[{ ...type, isApplicable: String }], 'did you mean "is"?'],
  ])('%#', (given, message) => {
    for (const Kind of [LocMemCache, DummyCache, FileBasedCache]) {
      const open = () => new Kind({ location: 'x', options: { types: given as ValueType[] } })
      expect(open).toThrow(InvalidCacheBackendError)
      expect(open).toThrow(`${Kind.name}: options.types`)
      expect(open).toThrow(message)
    }
  })

  it('is meant where it is misspelt, or given as a setting', () => {
    expect(() => new LocMemCache({ types: [] } as never)).toThrow('did you mean "options.types"?')
    expect(() => new LocMemCache({ options: { transformers: [] } as never })).toThrow(
      'did you mean "types"?',
    )
  })

  it('goes with no serializer of one’s own, which writes all values by itself', () => {
    const serializer = { serialize: JSON.stringify, deserialize: () => null }
    const location = 'redis://127.0.0.1:1'
    expect(() => new RedisCache({ location, serializer, options: { types } })).toThrow(
      'RedisCache: options.types: a serializer of your own',
    )
    new RedisCache({ location, serializer, options: { types: [] } })
  })

  it('goes with a client of one’s own, to which it is not handed on', () => {
    const client = new Redis({ lazyConnect: true })
    expect(new RedisCache({ client, options: { types } })).toBeInstanceOf(RedisCache)
    client.disconnect()
  })

  it('goes with no packValue of a backend of one’s own', () => {
    class Packing extends MapCache {
      packValue(value: unknown): Uint8Array {
        return pack(value)
      }
    }
    const options: object = { types }
    expect(() => new Packing({ options })).toThrow('Packing: options.types: its packValue')
  })

  it('of a tiered cache is that of its remote cache', () => {
    const local = new LocMemCache()
    const remote = new MapCache()
    const options = { types }
    expect(() => new TieredCache({ local, remote, options } as never)).toThrow(
      'TieredCache: unknown option "types"; it has none of its own: give it to remote',
    )
    expect(() => new TieredCache({ local: new LocMemCache({ options }), remote })).toThrow(
      'TieredCache: local: options.types: the types of remote are for both; give them there',
    )
  })

  it('is named, as recipe, by the error for a value that cannot be stored', async () => {
    const { default: cache } = createCaches({ default: new LocMemCache() })
    await expect(cache.set('k', [{ price: new Decimal('1') }])).rejects.toThrow(
      'value[0].price: an instance of Decimal cannot be stored, it would lose its methods; store a plain object or an array, or say how it is stored: options: { types: [{ name: "Decimal", is, encode, decode }] }, see docs/values.md',
    )
  })
})
