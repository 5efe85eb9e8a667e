import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { addIntegers, pack, readInteger, unpack } from '../../src/index.js'
import { checkValue } from '../../src/serializer.js'

const roundTrip = (value: unknown): unknown => unpack(pack(value)).value
const STRUCTURED = 4
const V8_HEADER = [0xff, 0x0f]

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

  it('refuses a structure too deep for the stack with a TypeError', () => {
    let value: unknown = 0
    for (let i = 0; i < 200_000; i++) value = [value]
    checkValue(value)
    expect(() => pack(value)).toThrow(TypeError)
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
    ['text that is no UTF-8', [1, 0x61, 0xff]],
    ['text cut inside a character', [1, 0xc3]],
    ['digits and more', [...Buffer.from('12abc')]],
    ['a number with a leading zero', [...Buffer.from('007')]],
    ['minus zero as text', [...Buffer.from('-0')]],
    ['a number that is not exact', [...Buffer.from('9007199254740993')]],
    ['a number of a thousand digits', [...Buffer.from('9'.repeat(1000))]],
    ['a sign alone', [0x2d]],
    ['a structure without its header', [STRUCTURED]],
    ['a structure cut off', [STRUCTURED, ...V8_HEADER, 0x22]],
    ['the value undefined', [STRUCTURED, ...V8_HEADER, 0x5f]],
    ['an unknown host object', [STRUCTURED, ...V8_HEADER, 0x5c, 0x7f, 1, 0]],
    ['a tag header cut off', [5, 1, 0]],
    ['a tag header longer than the rest', [5, 255, 255, 255, 255, 0x5b, 0x5d, 1]],
    ['a tag header that is no JSON', [5, 2, 0, 0, 0, 0x5b, 0x7b, 1]],
    ['a tag header that is no list', [5, 2, 0, 0, 0, 0x7b, 0x7d, 1]],
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
