import { describe, expect, it } from 'vitest'
import { isExpired } from '../../src/index.js'
import { ALREADY_EXPIRED, checkTimeout, toDeadline } from '../../src/timeout.js'

const NOW = Date.UTC(2026, 0, 1)

describe('checkTimeout', () => {
  it.each([0, -0, 1, 1.5, -1, 1e-9, 1e12, Number.MAX_VALUE, null])('takes %s', (timeout) => {
    expect(() => checkTimeout(timeout)).not.toThrow()
  })

  it.each([
    undefined,
    NaN,
    Infinity,
    -Infinity,
    '60',
    '',
    true,
    false,
    1n,
    {},
    [],
    [60],
    new Date(),
    () => 60,
    Symbol('s'),
  ])('refuses %s, naming the option, the value and the remedy', (timeout) => {
    expect(() => checkTimeout(timeout, 'timeout')).toThrow(TypeError)
    expect(() => checkTimeout(timeout, 'timeout')).toThrow(
      /^timeout: .* is not a timeout; give seconds/,
    )
  })
})

describe('toDeadline', () => {
  it('gives the millisecond the timeout ends, rounded up', () => {
    expect(toDeadline(1, NOW)).toBe(NOW + 1000)
    expect(toDeadline(1.5, NOW)).toBe(NOW + 1500)
    expect(toDeadline(0.0015, NOW)).toBe(NOW + 2)
  })

  it.each([1e-3, 1e-4, 1e-9, Number.MIN_VALUE])('does not lose %s s to rounding', (timeout) => {
    expect(toDeadline(timeout, NOW)).toBe(NOW + 1)
  })

  it('gives no deadline for null', () => {
    expect(toDeadline(null, NOW)).toBeNull()
  })

  it.each([0, -0, -1e-9, -1, -1e300])('says that %s s is over already', (timeout) => {
    expect(toDeadline(timeout, NOW)).toBe(ALREADY_EXPIRED)
  })

  it.each([3_153_600_000, 1e12, 1e300, Number.MAX_VALUE])(
    'stays an exact number for %s s',
    (timeout) => {
      const deadline = toDeadline(timeout, NOW)
      expect(Number.isSafeInteger(deadline)).toBe(true)
      expect(deadline).toBeGreaterThan(NOW)
    },
  )

  it('goes past 30 days and past the 24.8 days of a timer', () => {
    expect(toDeadline(40 * 86400, NOW)).toBe(Date.UTC(2026, 1, 10))
  })
})

describe('isExpired', () => {
  it('holds an entry gone at its deadline and live one millisecond before', () => {
    expect(isExpired(NOW, NOW - 1)).toBe(false)
    expect(isExpired(NOW, NOW)).toBe(true)
    expect(isExpired(NOW, NOW + 1)).toBe(true)
  })

  it('never holds an entry without deadline gone', () => {
    expect(isExpired(null, Number.MAX_SAFE_INTEGER)).toBe(false)
  })
})
