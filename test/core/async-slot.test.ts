import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { AsyncSlot, ContextHold } from '../../src/async-slot.js'

it('is outside once nobody holds, and starts again', async () => {
  const slot = new AsyncSlot<string>()
  const [first, second] = [new ContextHold(), new ContextHold()]
  let seen: unknown[] = []
  const looks = new EventEmitter()
  const look = async () => {
    for (let i = 0; i < 3; i++) {
      await once(looks, 'look')
      seen.push(slot.current)
    }
  }
  const one = slot.run('one', look, first)
  const two = slot.run('two', look, second)
  const seenNow = async () => {
    seen = []
    looks.emit('look')
    await sleep(1)
    return seen
  }
  expect(await seenNow()).toEqual(['one', 'two'])
  first.release()
  first.release()
  expect(slot.run('in', () => slot.current, first)).toBe('in')
  first.release()
  expect(await seenNow()).toEqual(['one', 'two'])
  second.release()
  expect(await seenNow()).toEqual([undefined, undefined])
  await Promise.all([one, two])
  const again = slot.runUntilSettled('again', async () => {
    await sleep(1)
    return slot.current
  })
  expect([slot.current, await again]).toEqual([undefined, 'again'])
})

it('is outside for good of what runs with a hold that was released', async () => {
  const slot = new AsyncSlot<string>()
  const [hold, unused] = [new ContextHold(), new ContextHold()]
  expect(slot.run('in time', () => slot.current, hold)).toBe('in time')
  hold.release()
  unused.release()
  for (const spent of [hold, unused]) {
    const late = async () => {
      await sleep(1)
      return slot.current
    }
    expect(await slot.run('late', late, spent)).toBe(undefined)
  }
})

it('runs until what it began has settled, whatever becomes of it', async () => {
  const slot = new AsyncSlot<string>()
  expect(slot.runUntilSettled('at once', () => slot.current)).toBe('at once')
  expect(() =>
    slot.runUntilSettled('thrown', () => {
      throw new Error(slot.current)
    }),
  ).toThrow('thrown')
  const late = slot.runUntilSettled('late', async () => {
    await sleep(1)
    throw new Error(slot.current)
  })
  await expect(late).rejects.toThrow('late')
})

it('holds a value across awaits and timers, apart from other slots', async () => {
  const [a, b] = [new AsyncSlot<string>(), new AsyncSlot<number>()]
  expect([a.current, b.current]).toEqual([undefined, undefined])
  const inside = a.run('one', async () => {
    await sleep(1)
    const deeper = b.run(2, async () => {
      await sleep(1)
      return [a.current, b.current]
    })
    return [a.current, b.current, ...(await deeper), a.current, b.current]
  })
  expect(a.current).toBeUndefined()
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
  const looks = new EventEmitter()
  const told: unknown[] = []
  await b.run('kept', async () => {
    const other = once(looks, 'look').then(() => told.push([a.current, b.current]))
    await sleep(1)
    a.enter('entered')
    looks.emit('look')
    await other
    told.push([a.current, b.current])
    a.enter(undefined)
    told.push([a.current, b.current])
  })
  expect(told).toEqual([
    [undefined, 'kept'],
    ['entered', 'kept'],
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
