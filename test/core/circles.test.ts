import { describe, expect, it } from 'vitest'
import { createCaches, FragmentCache, LocMemCache, type Cache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { gate, settle } from '../support/waiting.js'

/** So long that a test which waits for it is ended by its own time limit. */
const lock = { wait: 1000, lease: 1000 }

type Ask = (name: string, make: () => Promise<string>, isLocked?: boolean) => Promise<string>

const value =
  (cache: Cache): Ask =>
  (name, make, isLocked = false) =>
    cache.getOrSet(name, make, isLocked ? { lock } : {})

const fragment = (cache: Cache): Ask => {
  const fragments = new FragmentCache(createCaches({ default: cache }))
  return (name, make, isLocked = false) =>
    fragments.render({ name, timeout: 60, lock: isLocked ? lock : false }, make)
}

/** The outermost and what is joined inside may be of different kinds. */
const kinds: [string, (cache: Cache) => { outer: Ask; inner: Ask }][] = [
  ['values', (cache) => ({ outer: value(cache), inner: value(cache) })],
  ['fragments', (cache) => ({ outer: fragment(cache), inner: fragment(cache) })],
  ['values in fragments', (cache) => ({ outer: fragment(cache), inner: value(cache) })],
  ['fragments in values', (cache) => ({ outer: value(cache), inner: fragment(cache) })],
]

let locations = 0

describe.each(kinds)('%s', (_, open) => {
  it('under leases do not wait for what others come to wait for in the other process', async () => {
    const location = `circles ${++locations}`
    const sides = [
      { asks: open(new AsyncTestCache({ location })), own: 'x', other: 'y', between: 'z' },
      { asks: open(new AsyncTestCache({ location })), own: 'y', other: 'x', between: 'w' },
    ].map((side) => ({ ...side, holds: gate(), joins: gate(), leads: gate(), goesOn: gate() }))
    const asked = sides.flatMap(({ asks, own, other, between, ...gates }) => {
      const { outer, inner } = asks
      // Made without a lease of its own, it asks for what the other process holds the lease of.
      const led = inner(between, async () => {
        gates.leads.open()
        await gates.goesOn.opened
        return outer(other, async () => 'made beside', true)
      })
      const held = outer(
        own,
        async () => {
          gates.holds.open()
          await gates.joins.opened
          return inner(between, async () => 'not asked for')
        },
        true,
      )
      return [led, held]
    })
    for (const { holds, leads } of sides) await Promise.all([holds.opened, leads.opened])
    for (const { joins } of sides) joins.open()
    await settle()
    for (const { goesOn } of sides) goesOn.open()
    expect(await Promise.all(asked)).toEqual(asked.map(() => 'made beside'))
  })
})

describe.each<[string, () => Cache]>([
  ['LocMemCache', () => new LocMemCache()],
  ['AsyncTestCache', () => new AsyncTestCache()],
])('a value and a fragment in %s that ask for each other', (_, create) => {
  it('do not wait for each other', async () => {
    const cache = create()
    const [getOrSet, render] = [value(cache), fragment(cache)]
    const both = gate()
    const asked = [
      getOrSet('v', async () => {
        await both.opened
        return `v(${await render('f', async () => 'f')})`
      }),
      render('f', async () => {
        await both.opened
        return `f(${await getOrSet('v', async () => 'v')})`
      }),
    ]
    await settle()
    both.open()
    const texts = await Promise.all(asked)
    expect(texts.map((text) => text[0])).toEqual(['v', 'f'])
  })
})

describe.each<[string, () => Cache]>([
  ['LocMemCache', () => new LocMemCache()],
  ['AsyncTestCache', () => new AsyncTestCache()],
])('what is made beside one that it could not wait for, in %s', (_, create) => {
  it.each<[string, (cache: Cache) => Ask]>([
    ['values', value],
    ['fragments', fragment],
  ])('is not waited for by what it waits for itself: %s', async (__, open) => {
    const ask = open(create())
    const gates = { first: gate(), outer: gate(), inner: gate() }
    const first = ask('first', async () => {
      await gates.first.opened
      return ask('outer', async () => 'not asked for')
    })
    const outer = ask('outer', async () => {
      await gates.outer.opened
      const beside = async () => `beside(${await ask('inner', async () => 'not asked for')})`
      return `outer(${await ask('first', beside)})`
    })
    const inner = ask('inner', async () => {
      await gates.inner.opened
      return `inner(${await ask('outer', async () => 'made again')})`
    })
    for (const { open: goOn } of [gates.first, gates.outer, gates.inner]) {
      await settle()
      goOn()
    }
    const [, , text] = await Promise.all([first, outer, inner])
    expect(text).toBe('inner(made again)')
  })
})
