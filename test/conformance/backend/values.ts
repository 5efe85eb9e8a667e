import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { assertCode, assertMissing, assertTypeError, type Define, type Section } from './fixture.js'
import type { BackendDifferences } from './types.js'

class Point {
  readonly x = 1
}

/** What comes back as it went in; made again for each use. */
const kept: Readonly<Record<string, () => unknown>> = {
  null: () => null,
  true: () => true,
  false: () => false,
  zero: () => 0,
  'minus zero': () => -0,
  NaN: () => NaN,
  Infinity: () => Infinity,
  '-Infinity': () => -Infinity,
  'a fraction': () => 1.5,
  'the largest exact number': () => Number.MAX_SAFE_INTEGER,
  'the smallest exact number': () => Number.MIN_SAFE_INTEGER,
  'a number beyond 2^53': () => 2 ** 60,
  'the smallest number above zero': () => Number.MIN_VALUE,
  bigints: () => [0n, -1n, 2n ** 64n, -(2n ** 200n)],
  'the empty text': () => '',
  'texts that look like something else': () => ['-5', '1.5', 'null', 'None', 'true', '{}', '\0'],
  'a text that looks like a number': () => '42',
  'a text with line ends': () => 'line\r\nbreak\n',
  'a text with a NUL': () => 'a\0b',
  'a text outside the basic plane': () => '日本 🎉 é',
  'lone surrogates': () => 'a\ud800b\udc00',
  'lone surrogates inside': () => ({ '\udfff': ['\ud83d'] }),
  'the empty object': () => ({}),
  'the empty array': () => [],
  'nested objects': () => ({ a: { b: [true, false, null, { c: 'd' }] } }),
  'a property that is undefined': () => ({ a: undefined, b: [undefined] }),
  'keys that are dangerous elsewhere': () =>
    JSON.parse('{"__proto__":{"x":1},"constructor":2}') as unknown,
  'an array with holes': () => Object.assign(new Array<number>(3), { 1: 1 }),
  dates: () => [new Date(0), new Date('2024-01-02T03:04:05.678Z')],
  'a regular expression': () => /a(b)?/giu,
  'a Map of anything': () =>
    new Map<unknown, unknown>([
      [{ k: 1 }, new Set([1])],
      ['', null],
    ]),
  'a Set of anything': () => new Set<unknown>([1, '1', null, [2]]),
  'an Error': () => new RangeError('out of range'),
  'boxed primitives': () => [Object(1), Object('s'), Object(true), Object(1n)] as unknown[],
  'an ArrayBuffer': () => new Uint8Array([1, 2, 3]).buffer,
  'an empty Buffer': () => Buffer.alloc(0),
  'a Buffer of any bytes': () => Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
  'a Buffer of digits': () => Buffer.from('123'),
  'a Uint8Array': () => new Uint8Array([0, 255, 128]),
  'typed arrays': () => [
    new Int8Array([-1]),
    new Uint8ClampedArray([255]),
    new Int16Array([-2]),
    new Uint16Array([65535]),
    new Int32Array([-3]),
    new Uint32Array([4294967295]),
    new Float32Array([0.5]),
    new Float64Array([NaN, -0]),
    new BigInt64Array([-1n]),
    new BigUint64Array([2n ** 64n - 1n]),
  ],
  'a part of a buffer': () => new Uint8Array([1, 2, 3, 4]).subarray(1, 3),
  'a DataView': () => new DataView(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2),
}

const refused: Readonly<Record<string, () => unknown>> = {
  'a function': () => () => 1,
  'a class': () => Point,
  'a symbol': () => Symbol('s'),
  'a promise': () => Promise.resolve(1),
  'an instance of a class': () => new Point(),
  'an instance of a subclass of Array': () => new (class extends Array {})(),
  'an instance of a subclass of Map': () => new (class extends Map {})(),
  'an instance of a subclass of Date': () => new (class extends Date {})(),
  'an instance of a subclass of Error': () => new (class extends Error {})(),
  'a WeakMap': () => new WeakMap(),
  'a URL': () => new URL('https://example.com/'),
  'a proxy': () => new Proxy({}, {}),
}

export function values(test: Define): void {
  for (const [name, make] of Object.entries(kept)) {
    test(`${name}: comes back as it went in`, async (t) => {
      const cache = await t.open()
      await cache.set('k', make())
      assert.deepStrictEqual(await cache.get('k'), make())
      assert.deepStrictEqual(await cache.get('k', { default: 'DEFAULT' }), make())
      assert.equal(await cache.has('k'), true)
      assert.deepStrictEqual((await cache.getMany(['k'])).get('k'), make())
      assert.deepStrictEqual(await cache.getOrSet('k', 'other'), make())
      await cache.setMany({ inside: { deep: [make()] } })
      assert.deepStrictEqual(await cache.get('inside'), { deep: [make()] })
    })
  }

  test('a cycle, and an object that occurs twice, keep their shape', async (t) => {
    const cache = await t.open()
    const shared = { s: 1 }
    const value: Record<string, unknown> = { a: shared, b: [shared] }
    value['self'] = value
    await cache.set('k', value)
    const found = await cache.get<{ self: unknown; a: unknown; b: unknown[] }>('k')
    assert.ok(found)
    assert.equal(found.self, found)
    assert.equal(found.a, found.b[0])
    assert.deepEqual(found.a, { s: 1 })
  })

  test('an object without prototype comes back as a plain one, as from structuredClone', async (t) => {
    const cache = await t.open()
    await cache.set('k', Object.assign(Object.create(null) as object, { a: 1 }))
    assert.deepStrictEqual(await cache.get('k'), { a: 1 })
  })

  test('an invalid date comes back as one', async (t) => {
    const cache = await t.open()
    await cache.set('k', { date: new Date(NaN) })
    const found = await cache.get<{ date: Date }>('k')
    assert.ok(found?.date instanceof Date)
    assert.ok(Number.isNaN(found.date.getTime()))
  })

  test('a stored null is not a miss', async (t) => {
    const cache = await t.open()
    await cache.setMany({ a: null, b: 1 })
    assert.equal(await cache.get('a', { default: 'd' }), null)
    assert.deepEqual(
      [...(await cache.getMany(['a', 'b', 'c']))],
      [
        ['a', null],
        ['b', 1],
      ],
    )
    let produced = 0
    assert.equal(await cache.getOrSet('a', () => ++produced), null)
    assert.equal(produced, 0)
  })

  test('an undefined value is a TypeError that says what to do', async (t) => {
    const cache = await t.open()
    await assertTypeError(cache.set('k', undefined as never), /null/)
    await assertTypeError(cache.add('k', undefined as never), /null/)
    await assertTypeError(cache.setMany({ k: undefined as never }), /null/)
    await assertTypeError(cache.getOrSet('k', undefined), /null/)
    await assertTypeError(
      cache.getOrSet('k', () => undefined),
      /null/,
    )
    await assertMissing(cache, 'k')
  })

  for (const [name, make] of Object.entries(refused)) {
    test(`${name}: is a TypeError at any depth, and leaves the old value`, async (t) => {
      const cache = await t.open()
      await cache.set('k', 'old')
      const inside = [
        make(),
        [make()],
        { a: { b: [make()] } },
        new Map([[1, make()]]),
        new Map([[{ k: make() }, 1]]),
        new Set([make()]),
      ]
      for (const value of inside) {
        await assertTypeError(cache.set('k', value), /value/)
        await assertTypeError(cache.add('absent', value), /value/)
        await assertTypeError(cache.setMany({ k: value }), /value/)
        await assertTypeError(
          cache.getOrSet('absent', () => ({ value })),
          /value/,
        )
      }
      assert.equal(await cache.get('k'), 'old')
      await assertMissing(cache, 'absent')
    })
  }

  test('changing a value after storing it changes nothing in the cache', async (t) => {
    const cache = await t.open()
    const value = { list: [1], bytes: Buffer.from('abc'), map: new Map([['a', { b: 1 }]]) }
    await cache.set('set', value)
    await cache.add('add', value)
    await cache.setMany({ many: value })
    const made = await cache.getOrSet('made', () => value)
    for (const one of [value, made]) {
      one.list.push(2)
      one.bytes[0] = 0
      one.map.clear()
    }
    const whole = { list: [1], bytes: Buffer.from('abc'), map: new Map([['a', { b: 1 }]]) }
    for (const key of ['set', 'add', 'many', 'made']) {
      assert.deepStrictEqual(await cache.get(key), whole)
    }
  })

  test('changing what came back changes nothing in the cache', async (t) => {
    const cache = await t.open()
    const make = () => ({
      list: [{ a: 1 }],
      bytes: new Uint8Array([1, 2]),
      buffer: Buffer.from('abc'),
      floats: new Float64Array([1]),
      date: new Date(0),
      map: new Map([['a', 1]]),
    })
    await cache.set('k', make())
    await cache.set('bytes', make().bytes)
    await cache.set('buffer', make().buffer)
    type Made = ReturnType<typeof make>
    const change = (value: Made | undefined) => {
      assert.ok(value)
      value.list.push({ a: 2 })
      value.bytes.fill(9)
      value.buffer.fill(9)
      value.floats.fill(9)
      value.date.setTime(9)
      value.map.clear()
    }
    change(await cache.get<Made>('k'))
    change((await cache.getMany<Made>(['k'])).get('k'))
    change(await cache.getOrSet<Made>('k', make))
    ;(await cache.get<Uint8Array>('bytes'))?.fill(9)
    ;(await cache.get<Buffer>('buffer'))?.fill(9)
    assert.deepStrictEqual(await cache.get('k'), make())
    assert.deepStrictEqual(await cache.get('bytes'), make().bytes)
    assert.deepStrictEqual(await cache.get('buffer'), make().buffer)
  })

  test('two calls never give the same object', async (t) => {
    const cache = await t.open()
    await cache.set('k', { a: {} })
    const [one, two] = [await cache.get<{ a: object }>('k'), await cache.get<{ a: object }>('k')]
    assert.notEqual(one, two)
    assert.notEqual(one?.a, two?.a)
  })
}

/** Bytes that neither compress nor repeat. */
function noise(length: number): Buffer {
  return createHash('shake256', { outputLength: length }).update('noise').digest()
}

export function sizes({ refusesLargeValues }: BackendDifferences): Section {
  return (test) => {
    for (const length of [1, 250, 4096, 65_535, 65_536, 900_000]) {
      test(`${length} bytes, as bytes, as text and inside an object`, async (t) => {
        const cache = await t.open()
        const bytes = noise(length)
        const text = bytes.toString('latin1').slice(0, Math.ceil(length / 2))
        await cache.set('bytes', bytes)
        await cache.set('text', text)
        await cache.set('object', { text })
        assert.equal((await cache.get<Buffer>('bytes'))?.equals(bytes), true)
        assert.equal((await cache.get('text')) === text, true)
        assert.equal((await cache.get<{ text: string }>('object'))?.text === text, true)
        await cache.set('bytes', Buffer.from('short'))
        assert.deepEqual(await cache.get('bytes'), Buffer.from('short'))
      })
    }

    if (refusesLargeValues === undefined) return

    test(`too large a value is an error, and no older one is left: ${refusesLargeValues}`, async (t) => {
      const cache = await t.open()
      const large = noise(2 * 1024 * 1024)
      await cache.setMany({ a: 'old', b: 'old' })
      await assertCode(cache.set('a', large), 'FRAGCACHE_VALUE_TOO_LARGE')
      await assertMissing(cache, 'a')
      assert.deepEqual(await cache.setMany({ b: large, c: 'small' }), ['b'])
      await assertMissing(cache, 'b')
      assert.equal(await cache.get('c'), 'small')
      await assertCode(cache.add('d', large), 'FRAGCACHE_VALUE_TOO_LARGE')
      await assertMissing(cache, 'd')
      const asked = cache.getOrSet('e', () => large, { strict: true })
      await assertCode(asked, 'FRAGCACHE_VALUE_TOO_LARGE')
      assert.deepEqual(await cache.getOrSet('e', () => large), large)
      await assertMissing(cache, 'e')
    })
  }
}
