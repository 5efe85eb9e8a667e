import { describe, expect, it } from 'vitest'
import {
  historyAround,
  judge,
  type Event,
  type Promised,
  type Read,
} from '../../scripts/chaos/checker.mjs'

/** An invalidation of x by tag, to this number, that resolved 10 ms after it began. */
const promised = (number: number, end: number, more: Partial<Promised> = {}): Promised => ({
  kind: 'promise',
  thing: 'x',
  number,
  handle: 'tag:x',
  begin: end - 10,
  end,
  ...more,
})

/** A read of an entry made from x alone, which took 5 ms. */
const read = (number: number, begin: number, more: Partial<Read> = {}): Read => ({
  kind: 'read',
  entry: 'e',
  gave: 'e',
  parts: [{ thing: 'x', number, known: 99, handles: ['tag:x', 'key:e'] }],
  begin,
  end: begin + 5,
  ...more,
})

const kinds = (...[events, bounds]: Parameters<typeof judge>) =>
  judge(events, bounds).violations.map(({ kind }) => kind)

describe('the checker of histories', () => {
  it('has nothing against a read that gives what an invalidation promised, or more', () => {
    expect(kinds([promised(3, 100), read(3, 101), read(4, 102)])).toEqual([])
  })

  it('finds a read that began after an invalidation resolved and gave what was before', () => {
    const { violations, worstMs } = judge([promised(3, 100), read(2, 130)])
    expect(violations).toMatchObject([{ kind: 'stale', staleMs: 30, promise: { number: 3 } }])
    expect(worstMs).toBe(30)
  })

  it('has nothing against a read that began before, however late it ended', () => {
    expect(kinds([promised(3, 100), read(2, 100), read(2, 99, { end: 5000 })])).toEqual([])
  })

  it('takes events in any order', () => {
    const events = [read(2, 130), promised(9, 300), promised(3, 100), promised(1, 20)]
    expect(judge(events).violations).toMatchObject([{ staleMs: 30, promise: { number: 3 } }])
  })

  it('measures staleness from the first promise that was broken', () => {
    const events = [promised(2, 50), promised(3, 100), promised(4, 120), read(2, 130)]
    expect(judge(events).worstMs).toBe(30)
  })

  it('does not mind that a higher number was promised before a lower one', () => {
    const events = [promised(5, 100), promised(4, 110), read(4, 120), read(5, 120)]
    expect(judge(events).violations).toMatchObject([{ staleMs: 20, promise: { number: 5 } }])
  })

  it('expects nothing of an invalidation that failed', () => {
    const failed: Event = { kind: 'failed', text: 'no connection', begin: 90, end: 100 }
    const { violations, failures, promises } = judge([failed, read(0, 130)])
    expect({ violations, failures, promises }).toEqual({ violations: [], failures: 1, promises: 0 })
  })

  it('holds an invalidation against what its handle reaches, and nothing else', () => {
    const byKey = promised(3, 100, { handle: 'key:other' })
    const ofAnother = promised(3, 100, { thing: 'y' })
    expect(kinds([byKey, ofAnother, read(2, 130)])).toEqual([])
    expect(kinds([promised(3, 100, { handle: 'key:e' }), read(2, 130)])).toEqual(['stale'])
  })

  it('judges each thing that an entry is made from', () => {
    const inner = { thing: 'y', number: 1, known: 9, handles: ['tag:y'] }
    const outer = { thing: 'x', number: 3, known: 9, handles: ['tag:x'] }
    const nested = read(3, 130, { parts: [outer, inner] })
    const ofInner = promised(2, 100, { thing: 'y', handle: 'tag:y' })
    expect(judge([promised(3, 100), ofInner, nested]).violations).toMatchObject([
      { kind: 'stale', promise: { thing: 'y' } },
    ])
  })

  it('lets soft invalidations be served as old to who allows it, and hard ones to nobody', () => {
    const soft = promised(3, 100, { soft: true })
    const old = read(2, 130, { mayBeStale: true })
    expect(kinds([soft, old])).toEqual([])
    expect(kinds([soft, read(2, 130)])).toEqual(['stale'])
    expect(kinds([soft, promised(3, 100), old])).toEqual(['stale'])
  })

  it('finds a number from the future, and what is no number', () => {
    const parts = [{ thing: 'x', number: 7, known: 6, handles: [] }]
    expect(kinds([read(0, 1, { parts })])).toEqual(['future'])
    expect(kinds([read(NaN, 1)])).toEqual(['future'])
  })

  it("finds another entry's value, and does not judge what is in it", () => {
    expect(kinds([promised(3, 100), read(2, 130, { gave: 'f' })])).toEqual(['mixed up'])
  })

  it('passes on what a scenario found', () => {
    const broken: Event = { kind: 'broken', entry: 'e', text: 'made twice', begin: 1, end: 1 }
    expect(judge([broken]).violations).toMatchObject([{ kind: 'broken', text: 'made twice' }])
  })

  it('counts what it saw', () => {
    const fault: Event = { kind: 'fault', name: 'kill', begin: 1, end: 2 }
    expect(judge([fault, promised(3, 100), read(3, 101), read(3, 102)])).toEqual({
      reads: 2,
      promises: 1,
      faults: 1,
      failures: 0,
      worstMs: 0,
      violations: [],
    })
  })
})

describe('bounds', () => {
  it('excuse what is old for no longer than they say', () => {
    const events = [promised(3, 100), read(2, 1100)]
    expect(kinds(events, { after: 1000 })).toEqual([])
    expect(kinds([...events, read(2, 1101)], { after: 1000 })).toEqual(['stale'])
  })

  it('of one kind of handle leave the others alone', () => {
    const bounds = { handles: { key: 1000 } }
    expect(kinds([promised(3, 100, { handle: 'key:e' }), read(2, 130)], bounds)).toEqual([])
    expect(kinds([promised(3, 100), read(2, 130)], bounds)).toEqual(['stale'])
  })

  it('excuse who joined a look-up that was sent before, as long as a round trip', () => {
    const joined = read(2, 130, { since: 90, end: 150 })
    expect(kinds([promised(3, 100), joined], { joiner: 20 })).toEqual([])
    expect(kinds([promised(3, 100), joined], { joiner: 19 })).toEqual(['stale'])
  })

  it('do not excuse who joined what began after the invalidation, or joined nobody', () => {
    const joined = read(2, 130, { since: 101 })
    expect(kinds([promised(3, 100), joined], { joiner: 1000 })).toEqual(['stale'])
    expect(kinds([promised(3, 100), read(2, 130)], { joiner: 1000 })).toEqual(['stale'])
  })
})

describe('the history around a violation', () => {
  it('has the promise, the reads of the entry and the faults, in order', () => {
    const fault: Event = { kind: 'fault', name: 'flush', begin: 80, end: 85 }
    const [promise, bad] = [promised(3, 100), read(2, 130)]
    const events = [
      bad,
      read(2, 110, { entry: 'f', gave: 'f' }),
      promise,
      read(2, 60),
      fault,
      read(3, 5000),
    ]
    const [violation] = judge(events).violations
    if (violation === undefined) throw new Error('nothing was found')
    expect(historyAround(violation, events)).toEqual([read(2, 60), fault, promise, bad])
  })

  it('has the promise also where there is much else', () => {
    const many = Array.from({ length: 40 }, (_, i) => read(3, 101 + i))
    const promise = promised(3, 100)
    const events = [promise, ...many, read(2, 150)]
    const [violation] = judge(events).violations
    if (violation === undefined) throw new Error('nothing was found')
    const around = historyAround(violation, events)
    expect(around).toHaveLength(12)
    expect(around[0]).toBe(promise)
    expect(around.at(-1)).toEqual(read(2, 150))
  })
})
