import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { AsyncSlot } from '../../src/async-slot.js'

it('holds a value across awaits and timers, apart from other slots', async () => {
  const [a, b] = [new AsyncSlot<string>(), new AsyncSlot<number>()]
  expect([a.isUsed, a.current, b.current]).toEqual([false, undefined, undefined])
  const inside = a.run('one', async () => {
    await sleep(1)
    const deeper = b.run(2, async () => {
      await sleep(1)
      return [a.current, b.current]
    })
    return [a.current, b.current, ...(await deeper), a.current, b.current]
  })
  expect([a.isUsed, a.current]).toEqual([true, undefined])
  expect(await inside).toEqual(['one', undefined, 'one', 2, 'one', undefined])
})

it('hides the value around, and gives it back', () => {
  const slot = new AsyncSlot<string>()
  const seen = slot.run('out', () => [
    slot.run('in', () => slot.current),
    slot.run(undefined, () => slot.current),
    slot.current,
  ])
  expect(seen).toEqual(['in', undefined, 'out'])
})

it('is entered for the rest of the code, without a word to others', async () => {
  const [a, b] = [new AsyncSlot<string>(), new AsyncSlot<string>()]
  const told: unknown[] = []
  await b.run('kept', async () => {
    const other = sleep(2).then(() => told.push([a.current, b.current]))
    await sleep(1)
    a.enter('entered')
    await Promise.resolve()
    told.push([a.current, b.current])
    a.enter(undefined)
    told.push([a.current, b.current])
    await other
  })
  expect(told).toEqual([
    ['entered', 'kept'],
    [undefined, 'kept'],
    [undefined, 'kept'],
  ])
})

it('made after another was used holds its value too', () => {
  const first = new AsyncSlot<string>()
  first.run('a', () => {
    const late = new AsyncSlot<string>()
    expect(late.current).toBeUndefined()
    late.run('b', () => expect([first.current, late.current]).toEqual(['a', 'b']))
  })
})
