import assert from 'node:assert/strict'

import { FarCache } from './far-cache.js'
import { check, countBodies, render, withEngine, type Kind, type OpenStore } from './run.js'
import type { EngineUnderTest } from './types.js'

type Define = (name: string, body: () => Promise<void>) => void

/** Concurrent renders, round trips, and what a cache that does not answer at once asks of an engine. */
export function together(engine: EngineUnderTest, it: Define): void {
  const { syntax, differences = {} } = engine
  const { cache, each, show, value } = syntax

  if (differences.noSync === undefined) {
    it('a synchronous render over an asynchronous store is refused, with what to do', async () => {
      const templates = { main: cache('500 "f"', 'x') }
      await withEngine(
        engine,
        () => new FarCache(),
        { templates, options: {} },
        async (instance) => {
          await check(instance, 'sync', {}, { error: /"f".*asynchronous.*render/ })
        },
      )
    })
  }
  if (differences.noAsync !== undefined) return

  it('of concurrent renders one runs the body and the others wait for it', async () => {
    const templates = { main: cache('500 "f"', show('user.name')) }
    await withEngine(
      engine,
      () => new FarCache(),
      { templates, options: {} },
      async (instance) => {
        const pages = () =>
          Promise.all(
            Array.from({ length: 8 }, () => render(instance, 'async', { user: { name: 'bob' } })),
          )
        const { outcome, bodyRuns } = await countBodies(pages)
        assert.deepEqual([...new Set(outcome)], ['bob'])
        assert.equal(bodyRuns, 1)
      },
    )
  })

  it('concurrent renders for several users do not mix', async () => {
    const templates = {
      main: `${show('user.name')}:${cache(`500 "f" ${value('user.name')}`, show('user.name'))}`,
    }
    await withEngine(
      engine,
      () => new FarCache(),
      { templates, options: {} },
      async (instance) => {
        const names = Array.from({ length: 20 }, (_, i) => `user${i % 10}`)
        const pages = names.map((name) => render(instance, 'async', { user: { name } }))
        assert.deepEqual(
          await Promise.all(pages),
          names.map((name) => `${name}:${name}`),
        )
      },
    )
  })

  const { oneByOne } = differences
  const trips = oneByOne === undefined ? 'one round trip' : `a round trip each (${oneByOne})`
  it(`the fragments of a level are found in ${trips}`, async () => {
    const far = new FarCache()
    const templates = {
      main: each('items', 'item', cache(`500 "f" ${value('item.id')}`, show('item.id'))),
    }
    const context = { items: Array.from({ length: 5 }, (_, id) => ({ id })) }
    await withEngine(
      engine,
      () => far,
      { templates, options: {} },
      async (instance) => {
        assert.equal(await render(instance, 'async', context), '01234')
        const before = far.reads
        assert.equal(await render(instance, 'async', context), '01234')
        assert.equal(far.reads - before, oneByOne === undefined ? 1 : 5)
      },
    )
  })
}

/** Digests: a changed template never shows what the one before has put out. */
export function digests(
  engine: EngineUnderTest,
  kinds: readonly { kind: Kind; name: string; store: OpenStore }[],
  it: Define,
): void {
  const { cache, include } = engine.syntax
  const before = { main: cache('500 "f"', `1${include('part')}`), part: 'a' }
  const changes = {
    'the template': { ...before, main: cache('500 "f"', `2${include('part')}`) },
    'what it includes': { ...before, part: 'b' },
  }
  const plain = (templates: typeof before) =>
    `${templates.main.includes('2') ? 2 : 1}${templates.part}`
  for (const { kind, name, store } of kinds) {
    for (const [what, after] of Object.entries(changes)) {
      it(`with a digest ${what} is seen at once, ${name}`, async () => {
        const keys = { options: { digest: true } }
        await withEngine(engine, store, { ...keys, templates: before }, async (first, caches) => {
          await check(first, kind, {}, { output: '1a', bodyRuns: 1 })
          const again = await engine.create({ ...keys, caches, templates: before })
          await check(again, kind, {}, { output: '1a', bodyRuns: 0 })
          const changed = await engine.create({ ...keys, caches, templates: after })
          await check(changed, kind, {}, { output: plain(after), bodyRuns: 1 })
        })
      })
      it(`without one ${what} is not seen, ${name}`, async () => {
        await withEngine(
          engine,
          store,
          { options: {}, templates: before },
          async (first, caches) => {
            await check(first, kind, {}, { output: '1a', bodyRuns: 1 })
            const changed = await engine.create({ options: {}, caches, templates: after })
            await check(changed, kind, {}, { output: '1a', bodyRuns: 0 })
          },
        )
      })
    }
  }
}
