import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { Moments } from '../../src/moments.js'
import { spellingsOf } from '../support/digests.js'

/** So many are remembered one by one. */
const KEPT = 10_000

describe('moments', () => {
  it('tell when something last happened to a name', () => {
    const moments = new Moments()
    moments.note('a', 1)
    moments.note('b', 2)
    moments.note('a', 3)
    expect([moments.of('a'), moments.of('b'), moments.of('c')]).toEqual([3, 2, 0])
  })

  it('never tell an earlier moment than the true one, however many names there are', () => {
    const moments = new Moments()
    const latest = new Map<string, number>()
    for (let i = 1; i <= 5 * KEPT; i++) {
      // Some again and again, so that they are old and new by turns.
      const name = i % 3 === 0 ? `again ${i % 1000}` : `name ${i}`
      moments.note(name, i)
      latest.set(name, i)
    }
    for (const [name, at] of latest) expect(moments.of(name)).toBeGreaterThanOrEqual(at)
    const ofLate = [...latest].filter(([, at]) => at > 4 * KEPT)
    expect(ofLate.map(([name]) => moments.of(name))).toEqual(ofLate.map(([, at]) => at))
    expect(moments.of('never')).toBeLessThanOrEqual(4 * KEPT + 1)
  })

  it('take no more memory for the same few names, however often it happens to them', () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const moments = new Moments()
    const noteMany = (from: number) => {
      for (let i = from; i < from + 200_000; i++) moments.note(`name ${i % 10}`, i)
      collect()
      return process.memoryUsage().heapUsed
    }
    const before = noteMany(1)
    expect(noteMany(200_001) - before).toBeLessThan(2e6)
    expect(moments.of('name 1')).toBe(399_991)
  })

  it('tell long names apart', () => {
    const moments = new Moments()
    const long = 'x'.repeat(10_000)
    moments.note(`${long}a`, 1)
    moments.note(`${long}b`, 2)
    expect([moments.of(`${long}a`), moments.of(`${long}b`), moments.of(long)]).toEqual([1, 2, 0])
  })

  it('take no short name for a long one, however it is spelt', () => {
    const moments = new Moments()
    const long = 'x'.repeat(10_000)
    moments.note(long, 1)
    for (const spelling of spellingsOf(long)) expect(moments.of(spelling), spelling).toBe(0)
  })
})
