import { describe, expect, it } from 'vitest'
import {
  fromCounter,
  fromUnsigned,
  toCounter,
  toUnsigned,
} from '../../src/backends/memcached/counter.js'
import {
  advance,
  generationIn,
  namespaceOf,
  newGenerations,
  parseGenerations,
} from '../../src/backends/memcached/generations.js'
import {
  isCounter,
  isForeign,
  isOfGeneration,
  isPast,
  makeStamp,
  readStampedDeadline,
} from '../../src/backends/memcached/stamp.js'
import { fc } from '../support/random.js'

const NOW = 1_790_000_000_123
const DAY = 86_400_000
const MINUTE = 60_000

const nows = fc.integer({ min: 1_600_000_000_000, max: 1_999_000_000_000 })
const generations = fc.integer({ min: 0, max: 2 ** 40 })
/** Milliseconds to a deadline, of every order of magnitude. */
const times = fc
  .tuple(fc.integer({ min: 0, max: 38 }), fc.double({ min: 1, max: 2, noNaN: true }))
  .map(([power, factor]) => Math.ceil(2 ** power * factor))

/** What is left, by the flags alone, of a stamp that was made `agoMs` ago. */
function leftOf(flags: number, nowMs: number): number {
  return (readStampedDeadline(flags, undefined, nowMs) ?? Infinity) - nowMs
}

describe('the deadline in the flags', () => {
  it('is never late, and early by little: four parts in a thousand to 17 minutes', () => {
    fc.assert(
      fc.property(nows, times, generations, fc.boolean(), (nowMs, leftMs, generation, counts) => {
        const { flags } = makeStamp(nowMs + leftMs, nowMs, counts, generation)
        expect(flags).toBeGreaterThanOrEqual(2 ** 29)
        expect(flags).toBeLessThan(2 ** 32)
        expect(isCounter(flags)).toBe(counts)
        expect(isOfGeneration(flags, generation)).toBe(true)
        expect(isForeign(flags)).toBe(false)
        const read = leftOf(flags, nowMs)
        if (read === Infinity) {
          expect(leftMs).toBeGreaterThan(2 * 365 * DAY)
          return
        }
        expect(read).toBeLessThanOrEqual(leftMs)
        const part = leftMs <= 2 ** 20 ? 0.004 : 0.0625
        expect(read).toBeGreaterThan(leftMs - Math.max(4, leftMs * part) - 1)
      }),
    )
  })

  it('stays what it is while time passes, and for a while after', () => {
    fc.assert(
      fc.property(
        nows,
        times,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (nowMs, leftMs, part) => {
          const expiresAtMs = nowMs + leftMs
          const { flags } = makeStamp(expiresAtMs, nowMs, false, 1)
          const deadline = readStampedDeadline(flags, undefined, nowMs)
          if (deadline === null || deadline === undefined) return
          const laterMs = Math.floor(nowMs + leftMs * part)
          expect(readStampedDeadline(flags, undefined, laterMs)).toBe(deadline)
          // The server lets go of it within two seconds after.
          expect(isPast(flags, expiresAtMs + 3000)).toBe(leftMs <= 2 ** 20)
        },
      ),
    )
  })

  it('is to 4 ms where it is near, and enforced to 17 minutes', () => {
    for (const leftMs of [250, 1500, 4000, 4096]) {
      const { flags } = makeStamp(NOW + leftMs, NOW, false, 1)
      expect(isPast(flags, NOW)).toBe(false)
      expect(isPast(flags, NOW + leftMs - 1 - 4 * Math.ceil(leftMs / 4096))).toBe(false)
      expect(isPast(flags, NOW + leftMs)).toBe(true)
    }
    const { flags } = makeStamp(NOW + 17 * MINUTE, NOW, false, 1)
    expect(isPast(flags, NOW + 17 * MINUTE)).toBe(true)
    const hours = makeStamp(NOW + 600 * MINUTE, NOW, false, 1)
    expect(isPast(hours.flags, NOW + 600 * MINUTE)).toBe(false)
  })

  it('is not taken for the past by a clock that is a little behind', () => {
    const { flags } = makeStamp(NOW + 4000, NOW, false, 1)
    expect(isPast(flags, NOW - 900)).toBe(false)
  })

  it('gives way to what the server says where that is closer', () => {
    const { flags } = makeStamp(NOW + 40 * DAY, NOW, false, 1)
    const byFlags = readStampedDeadline(flags, undefined, NOW) ?? 0
    expect(NOW + 40 * DAY - byFlags).toBeGreaterThan(MINUTE)
    expect(readStampedDeadline(flags, 40 * 86_400, NOW)).toBe(NOW + 40 * DAY - 1000)
    // Another program's entry has only the server's.
    expect(readStampedDeadline(2, 60, NOW)).toBe(NOW + 59_000)
    expect(readStampedDeadline(2, -1, NOW)).toBeNull()
    expect(readStampedDeadline(2, undefined, NOW)).toBeUndefined()
  })

  it('may be none', () => {
    const { flags, exptime } = makeStamp(null, NOW, true, 5)
    expect(exptime).toBe(0)
    expect(isPast(flags, NOW + 1e15)).toBe(false)
    expect(readStampedDeadline(flags, -1, NOW)).toBeNull()
  })
})

describe('the low bits of the flags', () => {
  it('tell no client of another language to unpack an object, and Python’s that a number is one', () => {
    fc.assert(
      fc.property(nows, times, generations, fc.boolean(), (nowMs, leftMs, generation, counts) => {
        for (const deadline of [nowMs + leftMs, null]) {
          const { flags } = makeStamp(deadline, nowMs, counts, generation)
          expect(flags % 64).toBe(counts ? 2 : 0)
        }
      }),
    )
  })
})

describe('what the server is told of the deadline', () => {
  const exptime = (leftMs: number) => makeStamp(NOW + leftMs, NOW, false, 1).exptime

  it('is not early where the flags have it', () => {
    // With n seconds the server keeps an entry for n - 1 at the least.
    expect(exptime(1)).toBe(2)
    expect(exptime(1000)).toBe(2)
    expect(exptime(1001)).toBe(3)
    expect(exptime(300_000)).toBe(301)
  })

  it('is not late where the flags do not have it', () => {
    expect(exptime(3_600_999)).toBe(3600)
    expect(exptime(30 * DAY)).toBe(30 * 86_400)
  })

  it('is a date beyond 30 days', () => {
    expect(exptime(30 * DAY + 1000)).toBe(Math.floor(NOW / 1000) + 30 * 86_400)
    expect(exptime(40 * DAY)).toBe(Math.floor(NOW / 1000) + 40 * 86_400 - 1)
  })

  it('is never beyond the dates that fit into 31 bits', () => {
    expect(exptime(2_147_483_000_000 - NOW)).toBe(2_147_482_999)
    for (const leftMs of [3_153_600_000_000, 1e15, Number.MAX_SAFE_INTEGER - NOW]) {
      expect(exptime(leftMs)).toBe(0)
    }
  })
})

describe('generations', () => {
  it('make what was written before a clear dead, however often it is cleared', () => {
    let record = newGenerations(undefined)
    const mine = namespaceOf('shop')
    const other = namespaceOf('blog')
    const otherFlags = makeStamp(NOW + 60_000, NOW, false, generationIn(record, other)).flags
    for (let i = 0; i < 300; i++) {
      const flags = [60_000, null].map((leftMs) => {
        const deadline = leftMs === null ? null : NOW + leftMs
        return makeStamp(deadline, NOW, i % 2 === 0, generationIn(record, mine)).flags
      })
      const next = advance(record, [mine])
      for (const one of flags) {
        expect(isOfGeneration(one, generationIn(record, mine))).toBe(true)
        expect(isOfGeneration(one, generationIn(next, mine))).toBe(false)
      }
      record = next
    }
    expect(isOfGeneration(otherFlags, generationIn(record, other))).toBe(true)
  })

  it('that were lost are followed by one that none of them has in its stamps', () => {
    const mine = namespaceOf('shop')
    let record = newGenerations(undefined)
    for (let i = 0; i < 200; i++) record = advance(record, [mine, namespaceOf(`p${i}`)])
    const stamps = [record.base, ...record.cleared.values()].flatMap((generation) =>
      [NOW + 60_000, NOW + DAY, null].map((ms) => makeStamp(ms, NOW, false, generation).flags),
    )
    for (let i = 0; i < 200; i++) {
      const later = newGenerations(record)
      for (const one of [later, advance(later, [mine])]) {
        expect(stamps.some((flags) => isOfGeneration(flags, generationIn(one, mine)))).toBe(false)
      }
    }
  })

  it('that were lost and are remembered as of long ago are followed by none that was cleared since', () => {
    const mine = namespaceOf('shop')
    const remembered = newGenerations(undefined)
    const cleared: number[] = []
    let record = remembered
    for (let i = 0; i < 10; i++) {
      record = advance(record, [mine])
      cleared.push(makeStamp(NOW + 60_000, NOW, false, generationIn(record, mine)).flags)
    }
    let revived = 0
    for (let i = 0; i < 200; i++) {
      const generation = generationIn(newGenerations(remembered), mine)
      if (cleared.some((flags) => isOfGeneration(flags, generation))) revived++
    }
    // By chance: one in 400.
    expect(revived).toBeLessThan(20)
  })

  it('of more key prefixes than the record may name begin again, and revive nothing', () => {
    let record = newGenerations(undefined)
    const names = Array.from({ length: 300 }, (_, i) => namespaceOf(`prefix${i}`))
    for (const name of names) {
      const before = record
      record = advance(record, [name])
      expect(generationIn(record, name)).not.toBe(generationIn(before, name))
      expect(record.text.length).toBeLessThan(8192)
    }
    const last = record
    for (const name of names) {
      expect(generationIn(last, name)).toBeGreaterThanOrEqual(generationIn(last, 'another'))
    }
  })

  it('are read back as they were written, and nothing else is taken for them', () => {
    const record = advance(newGenerations(undefined), [namespaceOf(''), namespaceOf('é')])
    expect(parseGenerations(record.text)).toEqual(record)
    for (const text of ['', '1', '1 x', '2 5', '1 5 a=1', '1 5  ', '1 5\n', `${record.text} `]) {
      expect(parseGenerations(text)).toBeUndefined()
    }
  })

  it('are those of a key prefix, and no two share them by chance of writing', () => {
    const names = [namespaceOf(''), namespaceOf('a'), namespaceOf('a', 'b'), namespaceOf('ab')]
    expect(new Set([...names, namespaceOf('', 'ab')]).size).toBe(5)
  })
})

describe('numbers as the server counts them', () => {
  it('come back, below zero too', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const bytes = toCounter(Buffer.from(String(value)))
        expect(bytes?.toString()).toMatch(/^\d+$/)
        expect(String(fromCounter(Buffer.from(bytes ?? [])))).toBe(String(value))
      }),
    )
  })

  it('are added to modulo 2^64, through zero', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.maxSafeInteger(), (value, delta) => {
        const sum = BigInt.asUintN(64, toUnsigned(value) + toUnsigned(delta))
        const expected = Number.isSafeInteger(value + delta) ? value + delta : undefined
        expect(fromUnsigned(sum)).toBe(expected)
      }),
    )
  })

  it('lose the spaces the server leaves behind', () => {
    expect(String(fromCounter(Buffer.from('9  ')))).toBe('9')
    expect(String(fromCounter(Buffer.from('12')))).toBe('12')
  })

  it('beyond 2^53 stay as they are, and what is not a number, too', () => {
    for (const text of ['9007199254740993', '9223372036854775808', '', '-3', '1 2', 'abc ']) {
      expect(String(fromCounter(Buffer.from(text)))).toBe(text)
    }
    expect(toCounter(Buffer.from('abc'))).toBeUndefined()
    expect(toCounter(Buffer.from('01'))).toBeUndefined()
  })
})
