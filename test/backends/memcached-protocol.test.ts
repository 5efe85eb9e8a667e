import { isDeepStrictEqual } from 'node:util'
import { describe, expect, it } from 'vitest'
import { BinaryProtocol } from '../../src/backends/memcached/binary.js'
import { MemcachedReplyError } from '../../src/backends/memcached/faults.js'
import type { Protocol } from '../../src/backends/memcached/protocol.js'
import { VALUE, type Request } from '../../src/backends/memcached/request.js'
import { ClassicDialect, MetaDialect, TextProtocol } from '../../src/backends/memcached/text.js'
import { fc } from '../support/random.js'

type Kind = 'get' | 'look' | 'set' | 'remove' | 'count' | 'flush'

/** A request, and what settled it. */
interface Asked {
  readonly request: Request
  readonly settled: unknown[]
}

function ask(kind: Kind, key = 'k'): Asked {
  const settled: unknown[] = []
  const done = (error: Error | undefined, reply: unknown) => void settled.push(error ?? reply)
  const wish = { withValue: true, withCas: true, withSecondsLeft: true }
  const value = Buffer.from('v')
  const stored = { mode: 'set', value, flags: 1, exptime: 0, cas: '0' } as const
  const requests: Readonly<Record<Kind, Request>> = {
    get: { type: 'get', key, wish, done },
    look: { type: 'get', key, wish: { ...wish, withValue: false }, done },
    set: { type: 'store', key, ...stored, done },
    remove: { type: 'remove', key, done },
    count: { type: 'count', key, delta: 1n, done },
    flush: { type: 'flush', done },
  }
  return { request: requests[kind], settled }
}

/** Lets a protocol take chunks as the answers to requests. */
function receive(
  protocol: Protocol,
  asked: readonly Asked[],
  chunks: readonly Buffer[],
): unknown[] {
  let answered = 0
  for (const chunk of chunks) {
    protocol.receive(
      chunk,
      () => asked[answered]?.request,
      () => void answered++,
    )
  }
  expect(answered).toBe(asked.filter(({ settled }) => settled.length > 0).length)
  return asked.flatMap(({ settled }) => settled)
}

const meta = () => new TextProtocol(new MetaDialect())
const classic = () => new TextProtocol(new ClassicDialect())

const item = (value: Buffer, flags: number, cas?: string, secondsLeft?: number) => ({
  value,
  flags,
  cas,
  secondsLeft,
})

/** One answer as a server would write it, and what is to become of it. */
interface Answer {
  readonly kind: Kind
  readonly bytes: Buffer
  readonly reply: unknown
}

/** Values that look like the protocol. */
const values = fc.oneof(
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  fc
    .array(fc.constantFrom('\r\n', 'END', 'EN', 'VA 3 f0', '\r', '\n', 'HD', 'SERVER_ERROR x', ' '))
    .map((parts) => Buffer.from(parts.join(''))),
  fc.integer({ min: 4000, max: 9000 }).map((length) => Buffer.alloc(length, '\r\n')),
)
const flags = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const tokens = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n })
const sums = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const line = (kind: Kind, text: string, reply: unknown): Answer => ({
  kind,
  bytes: Buffer.from(`${text}\r\n`),
  reply,
})

const metaAnswers: fc.Arbitrary<Answer> = fc.oneof(
  fc.tuple(values, flags, tokens, fc.integer({ min: -1, max: 1e6 })).map(([value, f, c, t]) => ({
    kind: 'get' as const,
    bytes: Buffer.concat([
      Buffer.from(`VA ${value.length} O? f${f} c${c} t${t}\r\n`),
      value,
      Buffer.from('\r\n'),
    ]),
    reply: item(value, f, String(c), t),
  })),
  sums.map((sum) => line('count', `VA ${String(sum).length} O?\r\n${sum}`, sum)),
  fc.constantFrom(
    line('get', 'EN O?', undefined),
    line('look', 'HD O? f7 c3 t-1', item(Buffer.alloc(0), 7, '3', -1)),
    line('look', 'EN O?', undefined),
    line('set', 'HD O?', 'stored'),
    line('set', 'NS O?', 'refused'),
    line('set', 'EX O?', 'refused'),
    line('set', 'NF O?', 'missing'),
    line('set', 'SERVER_ERROR object too large for cache', 'too_large'),
    line(
      'set',
      'SERVER_ERROR out of memory',
      new MemcachedReplyError('SERVER_ERROR out of memory'),
    ),
    line('remove', 'HD O?', true),
    line('remove', 'NF O?', false),
    line('count', 'NF O?', undefined),
    line('count', 'CLIENT_ERROR cannot increment or decrement non-numeric value', null),
    line('flush', 'OK', 'OK'),
  ),
)

const classicAnswers: fc.Arbitrary<Answer> = fc.oneof(
  fc.tuple(values, flags, tokens).map(([value, f, c]) => ({
    kind: 'get' as const,
    bytes: Buffer.concat([
      Buffer.from(`VALUE k ${f} ${value.length} ${c}\r\n`),
      value,
      Buffer.from('\r\nEND\r\n'),
    ]),
    reply: item(value, f, String(c)),
  })),
  sums.map((sum) => line('count', String(sum), sum)),
  fc.constantFrom(
    line('get', 'END', undefined),
    line('set', 'STORED', 'stored'),
    line('set', 'NOT_STORED', 'refused'),
    line('set', 'EXISTS', 'refused'),
    line('set', 'NOT_FOUND', 'missing'),
    line('remove', 'DELETED', true),
    line('remove', 'NOT_FOUND', false),
    line('count', 'NOT_FOUND', undefined),
  ),
)

/** A reply of the binary protocol; the opaque is filled in by its place. */
function binary(opcode: number, status: number, extras: Buffer, value: Buffer, cas = 0n): Buffer {
  const header = Buffer.alloc(24)
  header[0] = 0x81
  header[1] = opcode
  header[4] = extras.length
  header.writeUInt16BE(status, 6)
  header.writeUInt32BE(extras.length + value.length, 8)
  header.writeBigUInt64BE(cas, 16)
  return Buffer.concat([header, extras, value])
}

const none = Buffer.alloc(0)
const u32 = (number: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(number)
  return bytes
}
const u64 = (number: bigint) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(number)
  return bytes
}

const binaryAnswers: fc.Arbitrary<Answer> = fc.oneof(
  fc.tuple(values, flags, tokens).map(([value, f, c]) => ({
    kind: 'get' as const,
    bytes: binary(0x00, 0, u32(f), value, c),
    reply: item(value, f, String(c)),
  })),
  sums.map((sum) => ({
    kind: 'count' as const,
    bytes: binary(0x05, 0, none, u64(sum)),
    reply: sum,
  })),
  fc
    .constantFrom<[Kind, number, number, unknown]>(
      ['get', 0x00, 1, undefined],
      ['set', 0x01, 0, 'stored'],
      ['set', 0x01, 1, 'missing'],
      ['set', 0x01, 2, 'refused'],
      ['set', 0x01, 3, 'too_large'],
      ['set', 0x01, 5, 'refused'],
      ['remove', 0x04, 0, true],
      ['remove', 0x04, 1, false],
      ['count', 0x05, 1, undefined],
      ['count', 0x05, 6, null],
      ['get', 0x00, 0x82, new MemcachedReplyError('said')],
    )
    .map(([kind, opcode, status, reply]) => ({
      kind,
      bytes: binary(opcode, status, none, status === 0 ? none : Buffer.from('said')),
      reply,
    })),
)

/** An answer to the command of this number on its connection. */
function numbered(protocol: Protocol, bytes: Buffer, number: number): Buffer {
  if (protocol instanceof BinaryProtocol) {
    const copy = Buffer.from(bytes)
    copy.writeUInt32BE(number, 12)
    return copy
  }
  const place = bytes.indexOf(' O?')
  if (place === -1 || place > bytes.indexOf('\r\n')) return bytes
  const parts = [bytes.subarray(0, place + 2), Buffer.from(`${number}`), bytes.subarray(place + 3)]
  return Buffer.concat(parts)
}

/** @param places - Left out: between all bytes. */
function cut(bytes: Buffer, places?: readonly number[]): Buffer[] {
  if (places === undefined) return Array.from(bytes, (byte) => Buffer.from([byte]))
  const cuts = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...cuts].map((start, i) => bytes.subarray(start, cuts[i] ?? bytes.length))
}

describe.each([
  ['meta commands', meta, metaAnswers],
  ['the classic commands', classic, classicAnswers],
  ['the binary protocol', () => new BinaryProtocol(), binaryAnswers],
] as const)('what is read of %s', (_, make, arbitrary) => {
  it('is the same wherever the bytes are cut, and goes to the calls in their order', () => {
    fc.assert(
      fc.property(
        fc.array(arbitrary, { minLength: 1, maxLength: 12 }),
        fc.oneof(fc.array(fc.nat(200_000), { maxLength: 20 }), fc.constant(undefined)),
        (answers, places) => {
          const protocol = make()
          const asked = answers.map(({ kind }) => ask(kind))
          const out = { text: () => undefined, bytes: () => undefined }
          for (const { request } of asked) protocol.encode([request], out as never)
          const parts = answers.map(({ bytes }, i) => numbered(protocol, bytes, i))
          const settled = receive(protocol, asked, cut(Buffer.concat(parts), places))
          const isSame = isDeepStrictEqual(
            settled,
            answers.map(({ reply }) => reply),
          )
          expect(isSame).toBe(true)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('is an answer or an error, whatever bytes come', () => {
    const junk = fc.oneof(
      fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
      fc.tuple(arbitrary, fc.nat(5000), fc.nat(255)).map(([{ bytes }, place, byte]) => {
        const damaged = Buffer.from(bytes)
        damaged[place % damaged.length] = byte
        return damaged
      }),
    )
    fc.assert(
      fc.property(
        fc.array(junk, { maxLength: 5 }),
        fc.constantFrom<Kind>('get', 'set', 'remove', 'count'),
        (chunks, kind) => {
          const asked = [ask(kind), ask(kind), ask(kind)]
          let answered = 0
          try {
            const protocol = make()
            for (const chunk of chunks) {
              protocol.receive(
                chunk,
                () => asked[answered]?.request,
                () => void answered++,
              )
            }
          } catch (error) {
            expect(error).toBeInstanceOf(Error)
          }
          // None is settled twice, and none before one that was asked earlier.
          asked.forEach(({ settled }, i) => {
            expect(settled).toHaveLength(i < answered ? 1 : 0)
          })
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('an answer that cannot be one', () => {
  it.each([
    ['to nothing that was asked', [], 'HD O0\r\n'],
    ['of another command', ['get'], 'OK\r\n'],
    ['of another command', ['flush'], 'HD O0\r\n'],
    ['to the next command', ['get', 'get'], 'VA 1 O1 f0\r\na\r\n'],
    ['that does not say to which command', ['get'], 'EN\r\n'],
    ['to an earlier command that wrote', ['set'], 'HD O7\r\n'],
    ['to an earlier command that counted', ['count'], 'VA 1 O7 c1\r\n5\r\n'],
    ['without the value that was asked for', ['get'], 'HD O0 f0\r\n'],
    ['without carriage return', ['get'], 'EN O0\n'],
    ['with a value longer than announced', ['get'], 'VA 1 O0 f0\r\nab\r\n'],
    ['with a length that is not a number', ['get'], 'VA x O0 f0\r\n'],
    ['with a length beyond every limit', ['get'], 'VA 9999999999 O0 f0\r\n'],
    ['with flags that are no number', ['get'], 'VA 1 O0 fx\r\na\r\n'],
    ['with a sum that is not a number', ['count'], 'VA 3 O0\r\nabc\r\n'],
    ['that says we spoke wrongly', ['get'], 'CLIENT_ERROR bad command line format\r\n'],
    ['that says nothing', ['get'], 'ERROR\r\n'],
  ] as const)('%s ends the connection', (_, kinds, bytes) => {
    const asked = kinds.map((kind) => ask(kind))
    expect(() => receive(meta(), asked, [Buffer.from(bytes)])).toThrow()
    expect(asked.flatMap(({ settled }) => settled)).toEqual([])
  })

  it('of another key ends the connection', () => {
    const bytes = Buffer.from('VALUE other 0 1\r\nv\r\nEND\r\n')
    expect(() => receive(classic(), [ask('get')], [bytes])).toThrow('unexpected answer')
  })

  it('with an endless line ends the connection before it fills the memory', () => {
    expect(() => receive(meta(), [ask('get')], [Buffer.alloc(5000, 'x')])).toThrow('endless line')
  })

  it('with the opaque or opcode of another request ends a binary connection', () => {
    const other = binary(0x00, 1, none, none)
    other.writeUInt32BE(7, 12)
    expect(() => receive(new BinaryProtocol(), [ask('get')], [other])).toThrow('nothing that was')
    const opcode = binary(0x01, 0, none, none)
    expect(() => receive(new BinaryProtocol(), [ask('get')], [opcode])).toThrow('another command')
  })
})

describe.each([
  ['meta commands', meta],
  ['the classic commands', classic],
] as const)('reads of several keys among %s', (_, make) => {
  const value = (key: string, text: string) => `VALUE ${key} 7 ${text.length}\r\n${text}\r\n`
  const found = (text: string) => item(Buffer.from(text), 7)

  /** Asks for all of them together. */
  function askAll(protocol: Protocol, keys: readonly string[]) {
    let sent = ''
    const asked = keys.map((key): Asked => {
      const settled: unknown[] = []
      const done = (error: Error | undefined, reply: unknown) => {
        settled.push(error === undefined ? reply : error.message)
      }
      return { request: { type: 'get', key, wish: VALUE, done }, settled }
    })
    const out = { text: (text: string) => void (sent += text) }
    protocol.encode(
      asked.map(({ request }) => request),
      out as never,
    )
    return { asked, sent }
  }

  it('are one command, whose values find their keys wherever the bytes are cut', () => {
    const keys = ['a', 'b', 'b', 'c', 'dd', 'd']
    const answer = `${value('a', 'END')}${value('b', '1')}${value('d', '')}END\r\n`
    for (const chunks of [[Buffer.from(answer)], cut(Buffer.from(answer))]) {
      const protocol = make()
      const { asked, sent } = askAll(protocol, keys)
      // What is asked twice is sent once.
      expect(sent).toBe('get a b c dd d\r\n')
      expect(receive(protocol, asked, chunks)).toEqual(
        ['END', '1', '1', undefined, undefined, ''].map((text) =>
          text === undefined ? undefined : found(text),
        ),
      )
    }
  })

  it('are several commands where a line would be too long', () => {
    const keys = Array.from({ length: 25 }, (_, i) => `${'k'.repeat(200)}${i}`)
    const protocol = make()
    const { asked, sent } = askAll(protocol, keys)
    const lines = sent.split('\r\n')
    expect(lines.slice(0, -1).map((line) => line.split(' ').length - 1)).toEqual([9, 9, 7])
    const settled = receive(protocol, asked, [Buffer.from('END\r\n'.repeat(3))])
    expect(settled).toEqual(keys.map(() => undefined))
  })

  it.each([
    ['of a key that was not asked for', value('x', '1')],
    ['of a key that begins like one', value('ab', '1')],
    ['out of order', value('b', '1') + value('a', '1')],
    ['once more', value('a', '1') + value('a', '1')],
    ['without flags', 'VALUE a x 1\r\n1\r\nEND\r\n'],
    ['without a length', 'VALUE a 1\r\n1\r\nEND\r\n'],
  ])('end the connection when a value comes %s', (_, answer) => {
    const protocol = make()
    const { asked } = askAll(protocol, ['a', 'b'])
    expect(() => receive(protocol, asked, [Buffer.from(`${answer}END\r\n`)])).toThrow()
    expect(asked.every(({ settled }) => settled.length === 0)).toBe(true)
  })

  it('all fail where the server could not answer', () => {
    const protocol = make()
    const { asked } = askAll(protocol, ['a', 'b'])
    const error = 'SERVER_ERROR out of memory'
    const settled = receive(protocol, asked, [Buffer.from(`${value('a', '1')}${error}\r\n`)])
    expect(settled).toEqual([error, error])
  })
})
