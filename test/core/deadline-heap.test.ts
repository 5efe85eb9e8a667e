import { describe, expect, it, vi } from 'vitest'
import { DeadlineHeap, type Due } from '../../src/backends/locmem/deadline-heap.js'
import { fc } from '../support/random.js'

interface Item extends Due {
  expiresAtMs: number | null
}

const itemOf = (expiresAtMs: number | null): Item => ({ expiresAtMs, deadlineAt: -1 })

/** By then everything has expired. */
const ALL = Number.MAX_SAFE_INTEGER

/** All deadlines, in the order the heap gives them. */
function drain(heap: DeadlineHeap<Item>): (number | null)[] {
  const deadlines: (number | null)[] = []
  for (let item = heap.expired(ALL); item !== undefined; item = heap.expired(ALL)) {
    deadlines.push(item.expiresAtMs)
    heap.remove(item)
  }
  return deadlines
}

const byNumber = (a: number, b: number) => a - b

describe('DeadlineHeap', () => {
  it('is empty at first', () => {
    const heap = new DeadlineHeap()
    expect([heap.size, heap.expired(ALL)]).toEqual([0, undefined])
  })

  it('gives items in the order of their deadlines, whatever the order they came in', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 50 })), (deadlines) => {
        const heap = new DeadlineHeap<Item>()
        for (const deadline of deadlines) heap.put(itemOf(deadline))
        expect(heap.size).toBe(deadlines.length)
        expect(drain(heap)).toEqual(deadlines.toSorted(byNumber))
        expect(heap.size).toBe(0)
      }),
    )
  })

  it('knows what has expired first after any additions, removals and other deadlines', () => {
    const step = fc.record({
      what: fc.constantFrom('add', 'add', 'change', 'remove'),
      at: fc.nat(),
      deadline: fc.option(fc.nat(99), { nil: null }),
      nowMs: fc.nat(120),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const heap = new DeadlineHeap<Item>()
        const items: Item[] = []
        for (const { what, at, deadline, nowMs } of steps) {
          const item = items[at % Math.max(1, items.length)]
          if (what === 'add' || item === undefined) {
            const added = itemOf(deadline)
            items.push(added)
            heap.put(added)
          } else if (what === 'change') {
            item.expiresAtMs = deadline
            heap.put(item)
          } else {
            items.splice(items.indexOf(item), 1)
            heap.remove(item)
          }
          const due = items.flatMap(({ expiresAtMs }) => expiresAtMs ?? []).sort(byNumber)
          expect(heap.size).toBe(due.length)
          const first = due.find((one) => one <= nowMs)
          expect(heap.expired(nowMs)?.expiresAtMs).toBe(first)
        }
      }),
    )
  })

  it('looks in one call at no more than a part of what was put off', () => {
    const heap = new DeadlineHeap<Item>()
    const items = Array.from({ length: 3000 }, () => itemOf(10))
    for (const item of [...items, itemOf(20)]) heap.put(item)
    for (const item of items) {
      item.expiresAtMs = 30
      heap.put(item)
    }
    const found = Array.from({ length: 5 }, () => heap.expired(25)?.expiresAtMs)
    expect(found).toEqual([undefined, undefined, undefined, 20, 20])
  })

  it('keeps the order of tens of thousands', () => {
    const heap = new DeadlineHeap<Item>()
    const items = Array.from({ length: 20_000 }, (_, i) => itemOf((i * 7919) % 20_011))
    for (const item of items) heap.put(item)
    for (const item of items.slice(0, 10_000)) heap.remove(item)
    const left = items.slice(10_000).map(({ expiresAtMs }) => expiresAtMs as number)
    expect(drain(heap)).toEqual(left.sort(byNumber))
  })
})

it('does not make room anew for each item where its size goes up and down by one', () => {
  const heap = new DeadlineHeap<{ expiresAtMs: number; deadlineAt: number }>()
  const itemOf = (expiresAtMs: number) => ({ expiresAtMs, deadlineAt: -1 })
  for (let i = 0; i < 4096; i++) heap.put(itemOf(i))
  let count = 0
  const counted = class extends Float64Array {
    constructor(length: number) {
      super(length)
      count++
    }
  }
  vi.stubGlobal('Float64Array', counted)
  for (let i = 0; i < 100; i++) {
    const item = itemOf(i)
    heap.put(item)
    heap.remove(item)
  }
  vi.unstubAllGlobals()
  expect([count, heap.size]).toEqual([1, 4096])
})
