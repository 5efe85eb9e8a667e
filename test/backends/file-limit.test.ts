import { describe, expect, it } from 'vitest'
import { inTurn, Limiter, mapLimited } from '../../src/backends/file/limit.js'

const tick = () => new Promise((resolve) => setImmediate(resolve))

/** Counts how many are at work at a time. */
function gauge() {
  const seen = { now: 0, most: 0, begun: 0 }
  const work = async () => {
    seen.begun++
    seen.most = Math.max(seen.most, ++seen.now)
    await tick()
    seen.now--
  }
  return { seen, work }
}

describe('mapLimited', () => {
  it('runs so many at a time and keeps the order', async () => {
    const { seen, work } = gauge()
    const items = Array.from({ length: 100 }, (_, i) => i)
    const doubled = await mapLimited(items, 7, async (item) => {
      await work()
      return item * 2
    })
    expect(seen.most).toBe(7)
    expect(doubled).toEqual(items.map((item) => item * 2))
    expect(await mapLimited([], 7, work)).toEqual([])
  })

  it('begins none after a failure, and throws once all have ended', async () => {
    const { seen, work } = gauge()
    const items = Array.from({ length: 100 }, (_, i) => i)
    const failing = mapLimited(items, 5, async (item) => {
      await work()
      if (item === 10) throw new Error('the tenth')
    })
    await expect(failing).rejects.toThrow('the tenth')
    expect(seen.now).toBe(0)
    expect(seen.begun).toBeLessThan(20)
  })
})

describe('a limiter', () => {
  it('lets so many run at a time, whoever calls and however they end', async () => {
    const { seen, work } = gauge()
    const limiter = new Limiter(3)
    const calls = Array.from({ length: 30 }, (_, i) =>
      limiter.run(async () => {
        await work()
        if (i % 3 === 0) throw new Error('failed')
        return i
      }),
    )
    const ended = await Promise.allSettled(calls)
    expect(seen.most).toBe(3)
    expect(ended.filter(({ status }) => status === 'rejected')).toHaveLength(10)
    expect(await limiter.run(async () => 'free')).toBe('free')
  })
})

describe('inTurn', () => {
  it('runs actions of one name in the order they came, those of others beside them', async () => {
    const log: string[] = []
    const begin = (name: string, what: string) =>
      inTurn(name, async () => {
        log.push(`${what} begins`)
        await tick()
        log.push(`${what} ends`)
        if (what === 'a1') throw new Error('failed')
      }).catch(() => undefined)
    await Promise.all([begin('a', 'a1'), begin('a', 'a2'), begin('b', 'b1')])
    expect(log.filter((line) => line.startsWith('a'))).toEqual([
      'a1 begins',
      'a1 ends',
      'a2 begins',
      'a2 ends',
    ])
    expect(log.indexOf('b1 begins')).toBeLessThan(log.indexOf('a1 ends'))
  })
})
