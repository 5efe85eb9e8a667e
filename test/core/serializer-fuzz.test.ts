import { describe, expect, it } from 'vitest'
import { LocMemCache, pack, unpack, type Unpacked } from '../../src/index.js'
import { checkValue } from '../../src/serializer.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { fc } from '../support/random.js'

const { tree } = fc.letrec<{ tree: unknown; leaf: unknown }>((tie) => ({
  leaf: fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({
      unit: fc.integer({ min: 0xd7ff, max: 0xe000 }).map((unit) => String.fromCharCode(unit)),
    }),
    fc.double(),
    fc.maxSafeInteger(),
    fc.bigInt(),
    fc.boolean(),
    fc.constantFrom(null, -0, NaN, Infinity),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array(),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.float64Array(),
    fc.bigInt64Array(),
  ),
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('leaf'),
    fc.array(tie('tree')),
    fc.dictionary(fc.string({ unit: 'binary' }), tie('tree')),
    fc.array(fc.tuple(tie('leaf'), tie('tree'))).map((pairs) => new Map(pairs)),
    fc.array(tie('leaf')).map((parts) => new Set(parts)),
  ),
}))

const tags = fc.option(
  fc.dictionary(fc.string({ minLength: 1, unit: 'binary' }), fc.string({ unit: 'binary' })),
  { nil: undefined },
)

/** What comes of bytes: a value, or an error; nothing else may happen. */
function readOrThrow(bytes: Uint8Array): Unpacked | Error {
  try {
    return unpack(bytes)
  } catch (error) {
    expect(error).toBeInstanceOf(Error)
    return error as Error
  }
}

describe('the serializer', () => {
  it('gives back any structure as it was', () => {
    fc.assert(
      fc.property(tree, (value) => {
        checkValue(value)
        const { value: read, tags: none } = unpack(pack(value))
        expect(read).toStrictEqual(plain(value))
        expect(none).toBeUndefined()
      }),
      { numRuns: 300 },
    )
  })

  it('gives back any tags beside it', () => {
    fc.assert(
      fc.property(tree, tags, (value, record) => {
        const versions = record && new Map(Object.entries(record))
        const read = unpack(pack(value, versions))
        expect(read.value).toStrictEqual(plain(value))
        expect(read.tags && [...read.tags]).toEqual(versions && [...versions])
      }),
      { numRuns: 300 },
    )
  })

  it('reads random bytes as a value or throws an Error', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 0, max: 5 }),
        (bytes, kind) => {
          readOrThrow(bytes)
          readOrThrow(Buffer.concat([Buffer.from([kind]), bytes]))
          readOrThrow(Buffer.concat([Buffer.from([4, 0xff, 0x0f]), bytes]))
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('reads mutated payloads as a value or throws an Error, and never undefined', () => {
    const mutation = fc.record({
      at: fc.nat(),
      byte: fc.nat(255),
      how: fc.constantFrom('change', 'cut', 'drop', 'double'),
    })
    fc.assert(
      fc.property(
        tree,
        tags,
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        (value, record, mutations) => {
          let bytes = Buffer.from(pack(value, record && new Map(Object.entries(record))))
          for (const { at, byte, how } of mutations) {
            const i = at % Math.max(bytes.length, 1)
            if (how === 'change' && bytes.length > 0) bytes[i] = byte
            if (how === 'cut') bytes = bytes.subarray(0, i)
            if (how === 'drop') bytes = Buffer.concat([bytes.subarray(0, i), bytes.subarray(i + 1)])
            if (how === 'double') bytes = Buffer.concat([bytes.subarray(0, i), bytes])
          }
          const read = readOrThrow(bytes)
          if (!(read instanceof Error)) expect(read.value).not.toBeUndefined()
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('does not change what it is given', () => {
    fc.assert(
      fc.property(tree, (value) => {
        const before = pack(value)
        checkValue(value)
        expect(Buffer.compare(pack(value), before)).toBe(0)
      }),
      { numRuns: 200 },
    )
  })
})

describe('a cache over hostile bytes', () => {
  it('has a miss or a value, never a rejection', async () => {
    const cache = new AsyncTestCache()
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 60 }),
        fc.integer({ min: 0, max: 60 }),
        async (bytes, first) => {
          cache.plant(':1:k', Buffer.concat([Buffer.from([first]), bytes]))
          const value = await cache.get('k')
          expect(await cache.has('k')).toBe(value !== undefined)
          expect(await cache.getOrSet('k', 'made')).toEqual(value ?? 'made')
          await cache.set('k', 1)
          expect(await cache.incr('k')).toBe(2)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('keeps local memory apart from what is done to its values', async () => {
    const cache = new LocMemCache()
    await fc.assert(
      fc.asyncProperty(tree, async (value) => {
        await cache.set('k', value)
        const first = await cache.get('k')
        spoil(first)
        expect(await cache.get('k')).toStrictEqual(plain(value))
      }),
      { numRuns: 300 },
    )
  })
})

/** An object without prototype comes back as a plain one, as from structuredClone. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map) return new Map([...value].map(([key, one]) => [key, plain(one)]))
  if (typeof value !== 'object' || value === null || !isRecord(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}

function isRecord(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

function spoil(value: unknown): void {
  if (ArrayBuffer.isView(value))
    new Uint8Array(value.buffer, value.byteOffset, value.byteLength).fill(7)
  else if (value instanceof Date) value.setTime(7)
  else if (value instanceof Map) {
    for (const one of value.values()) spoil(one)
    value.clear()
  } else if (value instanceof Set) value.clear()
  else if (typeof value === 'object' && value !== null) {
    for (const one of Object.values(value)) spoil(one)
    for (const key of Object.keys(value)) delete (value as Record<string, unknown>)[key]
  }
}
