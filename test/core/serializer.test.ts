import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { addIntegers, pack, readInteger, unpack } from '../../src/index.js'
import { checkValue } from '../../src/serializer.js'
import { ownTime } from '../support/own-time.js'

const roundTrip = (value: unknown): unknown => unpack(pack(value)).value
/** A graph of these JSON parts and bytes, as a payload. */
function graph(parts: unknown, bytes: readonly number[] = []): Uint8Array {
  const json = Buffer.from(typeof parts === 'string' ? parts : JSON.stringify(parts))
  return Uint8Array.from([6, json.length % 256, json.length >> 8, 0, 0, ...json, ...bytes])
}

describe('pack', () => {
  it('writes whole numbers as raw ASCII, so that a server can count with them', () => {
    expect(Buffer.from(pack(0)).toString()).toBe('0')
    expect(Buffer.from(pack(-42)).toString()).toBe('-42')
    expect(Buffer.from(pack(Number.MAX_SAFE_INTEGER)).toString()).toBe('9007199254740991')
    expect(Buffer.from(pack(Number.MIN_SAFE_INTEGER)).toString()).toBe('-9007199254740991')
  })

  it.each([-0, 1.5, NaN, Infinity, -Infinity, 2 ** 53, -(2 ** 53), 1e300, 5e-324])(
    'keeps the number %s, which is not a safe whole number',
    (value) => {
      expect(readInteger(pack(value))).toBeUndefined()
      expect(Object.is(roundTrip(value), value)).toBe(true)
    },
  )

  it('writes a text in one byte more than its UTF-8', () => {
    expect(pack('héllo')).toHaveLength(1 + 6)
    expect(pack('')).toHaveLength(1)
  })

  it('keeps texts that look like numbers or markers apart from them', () => {
    for (const text of ['0', '-5', '\u0001', '\u0005abc', '']) expect(roundTrip(text)).toBe(text)
  })

  it('keeps lone surrogates', () => {
    for (const text of ['\ud800', 'a\udc00b', '\udc00\ud800']) expect(roundTrip(text)).toBe(text)
  })

  it('keeps a Buffer a Buffer and a Uint8Array a Uint8Array', () => {
    const buffer = roundTrip(Buffer.from([0, 255, 49]))
    expect(Buffer.isBuffer(buffer)).toBe(true)
    expect(buffer).toEqual(Buffer.from([0, 255, 49]))
    const bytes = roundTrip(new Uint8Array([0, 255, 49]))
    expect(Object.getPrototypeOf(bytes)).toBe(Uint8Array.prototype)
    expect(bytes).toEqual(new Uint8Array([0, 255, 49]))
  })

  it('keeps the tag versions beside the value, in order', () => {
    const tags = new Map([
      ['t:é"\n', 'v1'],
      ['f:x', ''],
    ])
    for (const value of [1, 'text', null, { a: 1 }, Buffer.from('x')]) {
      const unpacked = unpack(pack(value, tags))
      expect(unpacked.value).toEqual(value)
      expect([...(unpacked.tags ?? [])]).toEqual([...tags])
    }
  })

  it('keeps a structure too deep for the stack', () => {
    let value: unknown = 'deepest'
    for (let i = 0; i < 200_000; i++) value = i % 2 === 0 ? [value] : { value }
    checkValue(value)
    let read = roundTrip(value)
    for (let depth = 200_000; depth > 0; depth--) {
      read = Array.isArray(read) ? (read as unknown[])[0] : (read as { value: unknown }).value
    }
    expect(read).toBe('deepest')
  })

  it.each<readonly [string, () => unknown]>([
    ['a match of a regular expression', () => /(.)b/.exec('xab')],
    ['a hole and a property', () => Object.assign([1, , 3], { extra: [undefined] })], // eslint-disable-line no-sparse-arrays -- the case
    ['undefined among elements', () => [undefined, 1, undefined]],
    ['holes at the end', () => Object.assign(new Array<number>(5), { 0: 1 })],
    ['one element far out', () => Object.assign([], { 3_000_000_000: { x: 1 } })],
    [
      'a property called __proto__',
      () =>
        Object.defineProperty([1], '__proto__', {
          value: 2,
          enumerable: true,
          writable: true,
          configurable: true,
        }),
    ],
    [
      'an error with a cause',
      () => new TypeError('outer', { cause: new Error('inner', { cause: 1 }) }),
    ],
    ['an error without message', () => new SyntaxError()],
    ['every number JSON lacks', () => [NaN, Infinity, -Infinity, -0, [0]]],
    ['bigints of both signs', () => [0n, 255n, -255n, 2n ** 300n, -(2n ** 300n)]],
    [
      'keys of every kind in a Map',
      () =>
        new Map<unknown, unknown>([
          [NaN, -0],
          [{ a: 1 }, [2n]],
          [new Date(1), /x/],
          [undefined, null],
        ]),
    ],
    [
      'an object whose keys look like marks',
      () => ({ u: undefined, '#': NaN, n: 1n, toJSON: 1, length: 2 }),
    ],
    [
      'texts that look like marks',
      () => [undefined, 'u', '#', 'A', '[1]', ['u'], [1], ['n', 'ff']],
    ],
    ['lone surrogates everywhere', () => [{ '\ud800': ['\udc00', undefined] }]],
    [
      'several views one after the other',
      () => [
        Buffer.from('ab'),
        new Uint16Array([1, 2]),
        new DataView(new ArrayBuffer(3)),
        new ArrayBuffer(2),
        Buffer.alloc(0),
      ],
    ],
  ])('keeps %s', (_, make) => {
    expect(roundTrip(make())).toStrictEqual(make())
    expect(roundTrip({ in: new Set([make()]) })).toStrictEqual({ in: new Set([make()]) })
  })

  it('keeps what occurs twice, and what contains itself, in one piece', () => {
    const shared = [1]
    const set = new Set<unknown>()
    const value = { a: shared, b: { c: shared }, set, map: new Map<unknown, unknown>() }
    set.add(value)
    value.map.set(set, value).set(value, value.map)
    const read = roundTrip(value) as typeof value
    expect(read.a).toBe(read.b.c)
    expect([...read.set]).toEqual([read])
    expect(read.map.get(read.set)).toBe(read)
    expect(read.map.get(read)).toBe(read.map)
  })

  it('writes plain data as JSON, which any language reads', () => {
    const value = { a: [1, 'é', null, { b: true }] }
    expect(Buffer.from(pack(value)).subarray(1).toString()).toBe(JSON.stringify(value))
  })

  it('refuses a function that nobody checked', () => {
    expect(() => pack({ f: () => 1 })).toThrow(TypeError)
    expect(() => pack(Symbol('s'))).toThrow(TypeError)
  })
})

describe('what unpack gives', () => {
  it('does not lie in the bytes read: changing it changes no payload', () => {
    const value = {
      bytes: new Uint8Array([1, 2, 3]),
      buffer: Buffer.from('abc'),
      doubles: new Float64Array([1.5, 2.5]),
      view: new DataView(new ArrayBuffer(8), 2, 4),
    }
    const payload = pack(value)
    const before = Buffer.from(payload)
    const first = unpack(payload).value as typeof value
    first.bytes.fill(9)
    first.buffer.fill(9)
    first.doubles.fill(9)
    first.view.setInt32(0, -1)
    expect(Buffer.compare(payload, before)).toBe(0)
    expect(unpack(payload).value).toEqual(value)
  })

  it('shows nothing of what lay beside it', () => {
    const value = { bytes: new Uint8Array([1, 2, 3]), view: new DataView(new ArrayBuffer(4)) }
    const read = roundTrip(value) as typeof value
    expect(read.bytes.buffer.byteLength).toBe(3)
    expect(read.view.buffer.byteLength).toBe(4)
  })

  it('keeps every kind of typed array', () => {
    const values = [
      new Int8Array([-1]),
      new Uint8ClampedArray([255]),
      new Int16Array([-300, 300]),
      new Uint16Array([65535]),
      new Int32Array([-70000]),
      new Uint32Array([4294967295]),
      new Float32Array([0.5, NaN]),
      new BigInt64Array([-(2n ** 63n)]),
      new BigUint64Array([2n ** 64n - 1n]),
    ]
    // Each at the top, inside, and at an offset that is not aligned to its elements.
    for (const value of values) {
      expect(roundTrip(value)).toStrictEqual(value)
      expect(roundTrip({ pad: 'x', value })).toStrictEqual({ pad: 'x', value })
      expect(roundTrip({ pad: 'xy', value })).toStrictEqual({ pad: 'xy', value })
    }
  })
})

describe('unpack', () => {
  it.each([
    ['nothing at all', []],
    ['an unknown kind', [0x7f, 1, 2]],
    ['text that is not an UTF-8', [1, 0x61, 0xff]],
    ['text cut inside a character', [1, 0xc3]],
    ['digits and more', [...Buffer.from('12abc')]],
    ['a number with a leading zero', [...Buffer.from('007')]],
    ['minus zero as text', [...Buffer.from('-0')]],
    ['a number that is not exact', [...Buffer.from('9007199254740993')]],
    ['a number of a thousand digits', [...Buffer.from('9'.repeat(1000))]],
    ['a sign alone', [0x2d]],
    ['no JSON', [4]],
    ['JSON cut off', [4, ...Buffer.from('{"a":1')]],
    ['JSON with more behind it', [4, ...Buffer.from('{} x')]],
    ['JSON that is not an UTF-8', [4, 0x22, 0xff, 0x22]],
    ['what V8 serializes', [4, 0xff, 0x0f, 0x6f, 0x7b, 0x00]],
    ['a graph cut off', [6, 1, 0]],
    ['a graph longer than it is', [6, 255, 255, 255, 255, 0x5b, 0x5d]],
    ['a graph that is not a list', graph({ a: 1 })],
    ['an empty graph', graph([])],
    ['a graph that is not a JSON', graph('[')],
    ['the value undefined', graph([['u']])],
    ['an object that is not there', graph([[1]])],
    ['an object before the first', graph([[0], {}])],
    ['half an object', graph([[1.5], {}, {}])],
    ['an object inside a value', graph([{}])],
    ['a list inside a value', graph([[[1]], {}])],
    ['a node that is a number', graph([[1], 7])],
    ['a node that is null', graph([[1], null])],
    ['a node of an unknown kind', graph([[1], ['Z']])],
    ['a number that is none', graph([['#', '7']])],
    ['a bigint that is none', graph([['n', 'xyz']])],
    ['a bigint without digits', graph([['n', '-']])],
    ['a date that is text', graph([[1], ['D', 'now']])],
    ['a regular expression that is none', graph([[1], ['R', '(', '']])],
    ['flags that are none', graph([[1], ['R', 'x', 'zz']])],
    ['half a pair of a Map', graph([[1], ['M', 1]])],
    ['an array of a negative length', graph([[1], ['S', -1]])],
    ['an array that is too long', graph([[1], ['S', 2 ** 32]])],
    ['an array without length', graph([[1], ['S', 'x']])],
    ['an element beyond the length', graph([[1], ['S', 1, ['1', 2]]])],
    ['the length as a property', graph([[1], ['S', 1, ['length', 9]]])],
    ['an element that is not a pair', graph([[1], ['S', 1, 7]])],
    ['an error without name', graph([[1], ['X', null, 'm', null, null]])],
    ['a box around an object', graph([[1], ['P', [2]], {}])],
    ['a box around nothing', graph([[1], ['P', null]])],
    ['a view of more than there is', graph([[1], ['B', 'Buffer', 3]], [1, 2])],
    ['a view of less than there is', graph([[1], ['B', 'Buffer', 1]], [1, 2])],
    ['a view of a negative length', graph([[1], ['B', 'Buffer', -1]])],
    ['a view of half a byte', graph([[1], ['B', 'Buffer', 0.5]])],
    ['a view of an unknown kind', graph([[1], ['B', 'Function', 1]], [1])],
    ['a view of three halves of its elements', graph([[1], ['B', 'Uint16Array', 3]], [1, 2, 3])],
    ['bytes that nothing refers to', graph([1], [1])],
    ['a tag header cut off', [5, 1, 0]],
    ['a tag header longer than the rest', [5, 255, 255, 255, 255, 0x5b, 0x5d, 1]],
    ['a tag header that is not a JSON', [5, 2, 0, 0, 0, 0x5b, 0x7b, 1]],
    ['a tag header that is not a list', [5, 2, 0, 0, 0, 0x7b, 0x7d, 1]],
    ['a tag header of numbers', [5, 5, 0, 0, 0, ...Buffer.from('[[1]]'), 1]],
    ['tags inside tags', [5, 2, 0, 0, 0, 0x5b, 0x5d, 5, 2, 0, 0, 0, 0x5b, 0x5d, 1]],
  ])('throws for %s', (_, bytes) => {
    expect(() => unpack(Uint8Array.from(bytes))).toThrow(Error)
  })

  it('takes a view into a larger buffer', () => {
    const payload = pack({ a: 'x' })
    const larger = new Uint8Array(payload.length + 20)
    larger.set(payload, 7)
    expect(unpack(larger.subarray(7, 7 + payload.length)).value).toEqual({ a: 'x' })
  })
})

describe('hostile bytes', () => {
  it('run nothing and reach no prototype', () => {
    const parts = [[1], JSON.parse('{"__proto__":[2],"a":1}'), JSON.parse('{"polluted":true}')]
    const read = unpack(graph(parts)).value as object
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype)
    expect(Object.keys(read)).toEqual(['__proto__', 'a'])
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
    const array = unpack(graph([[1], ['S', 0, ['__proto__', [2]]], {}])).value
    expect(Object.getPrototypeOf(array)).toBe(Array.prototype)
  })

  it('take no more memory than a small multiple of their length', () => {
    const before = process.memoryUsage()
    const arrays = Array.from({ length: 2000 }, () => ['S', 30_000_000, ['29999999', 1]])
    const many = unpack(graph([[1], ...arrays])).value as number[]
    expect([many.length, many[29_999_999]]).toEqual([30_000_000, 1])
    const views = Array.from({ length: 2000 }, () => ['B', 'Uint8Array', 10_000])
    expect(() => unpack(graph([[1], ...views], new Array<number>(10_000).fill(7)))).toThrow()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    expect(heapUsed + arrayBuffers - before.heapUsed - before.arrayBuffers).toBeLessThan(100e6)
  })

  it('take no time out of proportion: a number of a million digits, nested lists', () => {
    const started = ownTime.now()
    expect(unpack(graph([['n', 'f'.repeat(60_000)]])).value).toBe(16n ** 60_000n - 1n)
    const nested = Buffer.from(`${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`)
    unpack(Buffer.concat([Buffer.from([4]), nested]))
    expect(ownTime.now() - started).toBeLessThan(5000)
  })
})

describe('readInteger', () => {
  it.each(['12abc', '1.5', '-', '', '+1', ' 1', '1e3', '0x10', '9007199254740993', '00'])(
    'sees no whole number in %j',
    (text) => {
      expect(readInteger(Buffer.from(text))).toBeUndefined()
    },
  )

  it('reads what pack wrote', () => {
    for (const value of [0, 7, -7, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
      expect(readInteger(pack(value))).toBe(value)
    }
  })
})

describe('addIntegers', () => {
  it('refuses what would no longer be exact', () => {
    expect(addIntegers(Number.MAX_SAFE_INTEGER - 1, 1)).toBe(Number.MAX_SAFE_INTEGER)
    expect(() => addIntegers(Number.MAX_SAFE_INTEGER, 1)).toThrow(RangeError)
    expect(() => addIntegers(Number.MIN_SAFE_INTEGER, -1)).toThrow(RangeError)
  })
})

class Point {
  constructor(readonly x = 1) {}
}

describe('checkValue', () => {
  const refused: readonly (readonly [string, unknown])[] = [
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a promise', Promise.resolve(1)],
    ['a class instance', new Point()],
    ['an instance of a class that extends null', Object.create(nullClass().prototype as object)],
    ['an object with a prototype of its own', Object.create({ inherited: 1 })],
    ['an instance of a subclass of Array', class_(Array)],
    ['an instance of a subclass of Map', class_(Map)],
    ['an instance of a subclass of Set', class_(Set)],
    ['an instance of a subclass of Date', class_(Date)],
    ['an instance of a subclass of Error', class_(Error)],
    ['an instance of a subclass of Uint8Array', class_(Uint8Array)],
    ['an instance of a subclass of Buffer', subclassedBuffer()],
    ['a WeakMap', new WeakMap()],
    ['a URL', new URL('https://example.com/')],
    ['a generator', (function* () {})()],
    ['a boxed symbol', Object(Symbol('s'))],
    ['shared memory', new SharedArrayBuffer(1)],
    ['a proxy of an object', new Proxy({}, {})],
    ['a proxy of an array', new Proxy([], {})],
  ]

  it.each(refused)('refuses %s with a TypeError, at any depth', (_, value) => {
    expect(() => checkValue(value)).toThrow(TypeError)
    expect(() => checkValue([1, [value]])).toThrow(TypeError)
    expect(() => checkValue({ a: { b: value } })).toThrow(TypeError)
    expect(() => checkValue(new Map([[{ k: value }, 1]]))).toThrow(TypeError)
    expect(() => checkValue(new Map([[1, value]]))).toThrow(TypeError)
    expect(() => checkValue(new Set([value]))).toThrow(TypeError)
  })

  it('says what to do instead', () => {
    expect(() => checkValue(undefined)).toThrow(/store null instead/)
    expect(() => checkValue([Promise.resolve()])).toThrow(/await it first/)
    expect(() => checkValue(new Point())).toThrow(/instance of Point .* plain object/)
  })

  it('lets pass what comes back as it went in, of this realm or another', () => {
    const cycle: Record<string, unknown> = {}
    cycle['self'] = cycle
    const passing = [
      null,
      1n,
      { a: undefined },
      [1, , 3], // eslint-disable-line no-sparse-arrays -- a hole is the case
      Object.create(null),
      { [Symbol.toStringTag]: 'Map' },
      new Date(NaN),
      /x/gi,
      new RangeError('r'),
      Object(1n),
      new DataView(new ArrayBuffer(1)),
      cycle,
      runInNewContext('({ a: [new Date(0), new Map([[1, { b: 2 }]]), new Uint8Array(2)] })'),
    ]
    for (const value of passing) expect(() => checkValue(value)).not.toThrow()
  })

  it('walks a long empty array in no time', () => {
    const sparse: unknown[] = []
    sparse[4_000_000_000] = 1
    checkValue(sparse)
    sparse[3_000_000_000] = new Point()
    expect(() => checkValue(sparse)).toThrow(TypeError)
  })
})

function class_(parent: new () => object): object {
  return new (class Sub extends parent {})()
}

function nullClass(): { readonly prototype: unknown } {
  return class extends (null as unknown as typeof Object) {}
}

function subclassedBuffer(): Buffer {
  const buffer = Buffer.from('a')
  Object.setPrototypeOf(buffer, Object.create(Buffer.prototype) as object)
  return buffer
}
