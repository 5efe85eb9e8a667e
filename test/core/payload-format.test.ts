import { deflateSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { PayloadFormat, type FormatSettings } from '../../src/payload-format.js'
import { pack, unpack } from '../../src/serializer.js'
import type { TagVersions } from '../../src/tags.js'

const format = (settings: FormatSettings = {}) => new PayloadFormat('TestCache', settings)
const text = (payload: Uint8Array) => Buffer.from(payload).toString()
/** As it is written by a store that answers at once. */
const stored = (writer: PayloadFormat, value: unknown, tags?: TagVersions) =>
  writer.compress(writer.pack(value, tags)) as Uint8Array
const LONG = 'the same again and again '.repeat(100)

describe('binary', () => {
  it('is what the base class writes', () => {
    for (const value of ['text', 42, { a: [1] }, new Map([[1, 2]]), Buffer.from('b'), null]) {
      const payload = format().pack(value)
      expect(payload).toEqual(pack(value))
      expect(format().unpack(payload).value).toEqual(value)
    }
  })

  it('has a text for what is text', () => {
    const tags = new Map([['t:a', 'v1']])
    for (const value of ['text', 'ünï', 42, { a: 'é' }, null]) {
      for (const some of [undefined, tags]) {
        const written = format().packText(value, some)
        expect(Buffer.from(written ?? '')).toEqual(Buffer.from(format().pack(value, some)))
      }
    }
    for (const value of [Buffer.from('b'), new Map(), 1n, 'a\ud800', -0]) {
      expect(format().packText(value)).toBe(undefined)
    }
    // Beyond 127 bytes the length of the header is no text.
    const long = new Map([['t:a', 'v'.repeat(200)]])
    expect(format().packText('x', long)).toBe(undefined)
    expect(format().unpack(format().pack('x', long)).tags).toEqual(long)
  })
})

describe('json', () => {
  const json = format({ serializer: 'json' })

  it.each([
    ['text', '"text"'],
    ['42', '"42"'],
    [42, '42'],
    [-1.5, '-1.5'],
    [null, 'null'],
    [true, 'true'],
    [{ a: [1, 'é', null] }, '{"a":[1,"é",null]}'],
  ])('%j is plain JSON', (value, written) => {
    expect(text(json.pack(value))).toBe(written)
    expect(json.unpack(json.pack(value))).toEqual({ value, tags: undefined })
  })

  it('reads what others write', () => {
    for (const written of [' {"a": 1}\n', '[1, 2]', '"x"', '1e3', '0', '-7']) {
      expect(json.unpack(Buffer.from(written)).value).toEqual(JSON.parse(written))
    }
  })

  it('keeps what JSON cannot say, in the binary format', () => {
    const values = [new Map([[1, 2]]), Buffer.from('b'), 7n, -0, NaN, { a: undefined }, new Date(0)]
    for (const value of values) {
      expect(json.pack(value)).toEqual(pack(value))
      expect(json.unpack(json.pack(value)).value).toEqual(value)
    }
  })

  it('has the tags in front', () => {
    const tags = new Map([['t:a', 'v1']])
    const payload = json.pack({ a: 1 }, tags)
    expect(json.unpack(payload)).toEqual({ value: { a: 1 }, tags })
    expect(text(payload).endsWith('{"a":1}')).toBe(true)
  })

  it.each([[''], ['hello'], ['{"a":'], ['\ufffd'], ['undefined'], ['\u0004{"a"'], ['01']])(
    '%j is damage',
    (written) => {
      expect(() => json.unpack(Buffer.from(written))).toThrow()
    },
  )

  it('takes no bytes that are no UTF-8 for text', () => {
    expect(() => json.unpack(Buffer.from([0x22, 0xff, 0x22]))).toThrow('damaged text')
  })
})

describe('a serializer of the user’s', () => {
  const seen: unknown[] = []
  const own = format({
    serializer: {
      serialize: (value) => {
        seen.push(value)
        return typeof value === 'string' ? value : Buffer.from(JSON.stringify(value))
      },
      deserialize: (bytes) => `read ${Buffer.from(bytes).toString()}`,
    },
  })

  it('writes and reads everything but whole numbers', () => {
    seen.length = 0
    expect(text(own.pack('abc'))).toBe('abc')
    expect(text(own.pack({ a: 1 }))).toBe('{"a":1}')
    expect(own.unpack(own.pack('abc')).value).toBe('read abc')
    expect(text(own.pack(42))).toBe('42')
    expect(own.unpack(Buffer.from('42')).value).toBe(42)
    expect(seen).not.toContain(42)
  })

  it('is given back what it wrote, also if that looks like something else', () => {
    for (const value of ['42', '-7', '', '\u0005header', '\u0007wrapped']) {
      expect(own.unpack(own.pack(value)).value).toBe(`read ${value}`)
    }
  })

  it('never gives bytes that a server would count with', () => {
    const countable = ['0012', '12 ', ' 12', '\t\n12', '+12', ' +0012   ', '9'.repeat(20), '00']
    for (const value of countable) {
      expect(own.pack(value)[0]).toBe(7)
      expect(own.unpack(own.pack(value)).value).toBe(`read ${value}`)
    }
    for (const value of ['12x', 'x12', '1 2', '1.5', '9'.repeat(21), ' ', '+', '\u00a012']) {
      expect(text(own.pack(value))).toBe(value)
    }
  })

  it('may have tags and compression', () => {
    const tags = new Map([['t:a', 'v1']])
    const both = format({
      serializer: { serialize: String, deserialize: (bytes) => Buffer.from(bytes).toString() },
      compress: { threshold: 100 },
    })
    const payload = stored(both, LONG, tags)
    expect(payload.length).toBeLessThan(200)
    expect(both.unpack(payload)).toEqual({ value: LONG, tags })
  })

  it.each<[string, (value: unknown) => unknown, RegExp]>([
    [
      'throws',
      () => {
        throw new Error('no')
      },
      /value: the serializer cannot write it: Error: no/,
    ],
    ['gives nothing', () => undefined, /serialize gave undefined; make it give a string or bytes/],
    ['gives an object', () => ({}), /serialize gave an object/],
  ])('that %s is the caller’s fault', (_, serialize, message) => {
    const faulty = format({
      serializer: { serialize: serialize as () => string, deserialize: String },
    })
    expect(() => faulty.pack('x')).toThrow(TypeError)
    expect(() => faulty.pack('x')).toThrow(message)
  })

  it('that reads undefined has read damage', () => {
    const forgetful = format({ serializer: { serialize: String, deserialize: () => undefined } })
    expect(() => forgetful.unpack(Buffer.from('x'))).toThrow('undefined')
  })
})

describe('compress', () => {
  const compressing = format({ compress: { threshold: 1000 } })

  it('makes what is long enough smaller, and leaves the rest', () => {
    expect(stored(compressing, 'x'.repeat(998))).toEqual(pack('x'.repeat(998)))
    expect(compressing.packText('x'.repeat(998))).toBe(`\u0001${'x'.repeat(998)}`)
    const payload = stored(compressing, 'x'.repeat(999))
    expect(payload.length).toBeLessThan(100)
    expect(compressing.packText('x'.repeat(999))).toBe(undefined)
    expect(compressing.unpack(payload).value).toBe('x'.repeat(999))
  })

  it('leaves what does not get smaller', () => {
    const noise = Buffer.from(Array.from({ length: 2000 }, (_, i) => (i * 7919 * i) % 251))
    const squeezed = deflateSync(pack(noise))
    const payload = stored(compressing, squeezed)
    expect(payload).toEqual(pack(squeezed))
  })

  it('is read whatever the settings say', () => {
    const value = { text: LONG }
    for (const serializer of ['binary', 'json'] as const) {
      const payload = stored(format({ serializer, compress: { threshold: 10 } }), value)
      expect(format({ serializer }).unpack(payload).value).toEqual(value)
    }
  })

  const wrapped = (method: number, length: number, body: Uint8Array) => {
    const head = Buffer.from([7, method, 0, 0, 0, 0])
    head.writeUInt32LE(length, 2)
    return Buffer.concat([head, body])
  }

  it('reads no bombs', () => {
    const bomb = deflateSync(Buffer.alloc(50_000_000))
    expect(bomb.length).toBeLessThan(60_000)
    // It says it is small, and is not.
    expect(() => format().unpack(wrapped(1, 1000, bomb))).toThrow(/larger|too large|Cannot create/i)
    // It says how large it is.
    expect(() => format().unpack(wrapped(1, 2 ** 31, bomb))).toThrow('inflate to more')
    expect(() => format().unpack(wrapped(1, 0, bomb))).toThrow()
  })

  it.each([
    ['nothing', Buffer.from([7])],
    ['half a head', Buffer.from([7, 1, 0, 0])],
    ['no zlib', wrapped(1, 3, Buffer.from('abc'))],
    ['another length', wrapped(1, 99, deflateSync(pack('x')))],
    ['an unknown method', wrapped(9, 3, Buffer.from('abc'))],
    ['another length of plain bytes', wrapped(0, 4, Buffer.from('abc'))],
    ['wrapped once more', wrapped(0, 9, wrapped(0, 3, Buffer.from('abc')))],
  ])('%s after the sign of compression is damage', (_, payload) => {
    expect(() => format().unpack(payload)).toThrow()
  })

  it('is damage to who knows nothing of it', () => {
    expect(() => unpack(stored(compressing, LONG))).toThrow('unknown kind')
  })
})
