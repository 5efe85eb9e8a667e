import { describe, expect, it } from 'vitest'
import { toPlan } from '../../scripts/chaos/arguments.mjs'

describe('the command line of npm run chaos', () => {
  it('goes through every store with every fault and eight processes unless told otherwise', () => {
    const { stores, faults, seconds, workers, seed, plant } = toPlan([])
    expect(stores).toContain('memory')
    expect(stores).toContain('redis-cluster')
    expect(faults).toContain('kill')
    expect(faults).toContain('failover')
    expect({ seconds, workers, seed, plant }).toEqual({
      seconds: 20,
      workers: 8,
      seed: 1,
      plant: undefined,
    })
  })

  it('is short where that is asked for, over every store all the same', () => {
    const short = toPlan(['--short'])
    expect(short.stores).toEqual(toPlan([]).stores)
    expect(short.seconds).toBeLessThan(5)
    expect(toPlan(['--short', '--seconds', '7']).seconds).toBe(7)
  })

  it('takes some stores and some faults, in the order of all', () => {
    const { stores, faults } = toPlan(['--store', 'redis,files', '--faults', 'flush,kill'])
    expect(stores).toEqual(['files', 'redis'])
    expect(faults).toEqual(['kill', 'flush'])
    expect(toPlan(['--faults', 'none']).faults).toEqual([])
  })

  it('takes a seed and a planted fault', () => {
    expect(toPlan(['--seed', '42', '--plant', '8'])).toMatchObject({ seed: 42, plant: 8 })
  })

  it.each([
    [['--store', 'redis,oracle'], '--store oracle is unknown; there are memory, files,'],
    [['--faults', 'rain'], '--faults rain is unknown; there are kill, stop,'],
    [['--seconds', 'ten'], '--seconds ten is no number from 0 to'],
    [['--seconds', ''], '--seconds  is no number'],
    [['--workers', '1'], '--workers 1 is no whole number from 2 to 64'],
    [['--seed', '1.5'], '--seed 1.5 is no whole number'],
    [['--plant', '11'], '--plant 11 is no whole number from 1 to 10'],
    [['--fast'], "Unknown option '--fast'"],
  ])('refuses %j', (args, message) => {
    expect(() => toPlan(args)).toThrow(message)
  })
})
