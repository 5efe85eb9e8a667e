import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { EntryList } from '../../adapters/inspector/index.js'
import { FileBasedCache } from '../../src/backends/file.js'
import {
  createCaches,
  DummyCache,
  FragmentCache,
  LocMemCache,
  type Cache,
} from '../../src/index.js'
import { Inspected } from './inspector-support.js'

const stores: readonly (readonly [string, () => Promise<Cache>])[] = [
  [
    'files',
    async () => {
      const location = await mkdtemp(join(tmpdir(), 'inspector-entries-'))
      onTestFinished(() => rm(location, { recursive: true, force: true }))
      return new FileBasedCache({ location, options: { maxEntries: 10_000 } })
    },
  ],
  [
    'local memory',
    async () => {
      // Of another key prefix, and so of another cache.
      const location = randomUUID()
      await new LocMemCache({ location, keyPrefix: 'other' }).set('user:3', 1)
      return new LocMemCache({ location, options: { maxEntries: 10_000 } })
    },
  ],
]

async function openOver(store: () => Promise<Cache>) {
  const caches = createCaches({ default: await store(), none: new DummyCache() })
  const inspected = await Inspected.open(caches)
  const list = (query: Readonly<Record<string, string>>) =>
    inspected.json<EntryList>(`/api/entries?${new URLSearchParams(query).toString()}`)
  return { caches, inspected, list }
}

describe.each(stores)('the list of entries of %s', (_name, store) => {
  const open = () => openOver(store)

  it('has those whose key begins with a text, by kind and tag, without values and counters', async () => {
    const { caches, list } = await open()
    const cache = caches.default
    for (const key of ['user:2', 'user:1', 'page:1']) {
      await cache.set(key, 'secret', { tags: [`tag-of-${key}`] })
    }
    await new FragmentCache(caches).render({ name: 'menu' }, () => 'secret')
    await caches.invalidateTags(['other'])
    const all = await list({ alias: 'default' })
    expect(all).toMatchObject({ canList: true, isWhole: true })
    expect(all.rows.map(({ kind }) => kind)).toEqual(['value', 'fragment', 'value', 'value'])
    expect(JSON.stringify(all)).not.toContain('secret')
    const keysOf = async (query: Readonly<Record<string, string>>) =>
      (await list({ alias: 'default', ...query })).rows.map(({ key }) => key)
    expect(await keysOf({ prefix: 'user:' })).toEqual(['user:1', 'user:2'])
    expect(await keysOf({ prefix: 'user:', tag: 'tag-of-user:2' })).toEqual(['user:2'])
    expect(await keysOf({ kind: 'fragment' })).toEqual([
      expect.stringMatching(/^template\.cache\.menu\./),
    ])
    // To look at them is no use of them.
    expect(caches.stats().aliases['default']?.hits).toBe(0)
  })

  it('ends at 200, and says so', async () => {
    // However long a busy machine takes to read them.
    vi.useFakeTimers({ toFake: ['performance'] })
    onTestFinished(() => void vi.useRealTimers())
    const { caches, list } = await open()
    for (let i = 0; i < 250; i++) await caches.default.set(`key-${i}`, i)
    const { rows, isWhole } = await list({ alias: 'default' })
    expect([rows.length, isWhole]).toEqual([200, false])
    // Local memory spreads many keys over several tables.
    for (let i = 0; i < 3000; i++) await caches.default.set(`more-${i}`, i)
    expect((await list({ alias: 'default', prefix: 'more-29' })).rows).toHaveLength(111)
  })

  it('says of a store that cannot tell, and of a cache that is none', async () => {
    const { inspected, list } = await open()
    expect(await list({ alias: 'none' })).toMatchObject({ canList: false, rows: [] })
    expect((await inspected.get('/api/entries?alias=nowhere')).status).toBe(400)
  })
})
