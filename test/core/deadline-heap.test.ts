import { describe, expect, it } from 'vitest'
import { DeadlineHeap } from '../../src/backends/deadline-heap.js'
import { fc } from '../support/random.js'

/** All keys, as the heap gives them. */
function drain(heap: DeadlineHeap): string[] {
  const keys: string[] = []
  for (let key = heap.pop(); key !== undefined; key = heap.pop()) keys.push(key)
  return keys
}

describe('DeadlineHeap', () => {
  it('is empty at first', () => {
    const heap = new DeadlineHeap()
    expect([heap.size, heap.earliest, heap.pop()]).toEqual([0, Infinity, undefined])
  })

  it('gives keys in the order of their deadlines, whatever the order they came in', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 50 })), (deadlines) => {
        const heap = new DeadlineHeap()
        deadlines.forEach((deadline, i) => heap.push(deadline, `${deadline}:${i}`))
        expect(heap.size).toBe(deadlines.length)
        const drained = drain(heap).map((key) => Number(key.split(':')[0]))
        expect(drained).toEqual(deadlines.toSorted((a, b) => a - b))
      }),
    )
  })

  it('knows the earliest deadline after any pushes and pops', () => {
    const step = fc.option(fc.integer({ min: 0, max: 99 }), { nil: 'pop' as const })
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const heap = new DeadlineHeap()
        const model: number[] = []
        for (const one of steps) {
          if (one === 'pop') {
            const popped = heap.pop()
            expect(popped === undefined ? undefined : Number(popped)).toBe(model.shift())
          } else {
            heap.push(one, String(one))
            model.push(one)
            model.sort((a, b) => a - b)
          }
          expect(heap.earliest).toBe(model[0] ?? Infinity)
          expect(heap.size).toBe(model.length)
        }
      }),
    )
  })

  it('starts anew with what rebuild is given', () => {
    const heap = new DeadlineHeap()
    heap.push(1, 'old')
    heap.rebuild([
      ['b', 5],
      ['a', 3],
    ])
    expect(heap.earliest).toBe(3)
    expect(drain(heap)).toEqual(['a', 'b'])
    heap.rebuild([])
    expect(heap.size).toBe(0)
  })
})
