import { createCaches } from 'fragcache'
import { FileBasedCache } from 'fragcache/file'
import { expect, it, vi } from 'vitest'
import { listEntries } from '../../adapters/inspector/entries.js'
import { coreOf } from '../../src/backend/core.js'
import { folderOfTest } from '../support/folders.js'

it('leaves a store alone that takes too long, also where no key of it is meant', async () => {
  const caches = createCaches({ default: new FileBasedCache({ location: folderOfTest() }) })
  let nowMs = performance.now()
  let parts = 0
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
  const { store } = coreOf(caches.default)
  Object.assign(store, {
    async *listKeys() {
      for (; parts < 100; parts++) {
        nowMs += 1000
        yield await Promise.resolve([`:1:key${parts}`])
      }
    },
  })
  const query = new URLSearchParams({ alias: 'default', prefix: 'other' })
  expect(await listEntries(caches, query)).toMatchObject({ rows: [], isWhole: false })
  vi.restoreAllMocks()
  expect(parts).toBeLessThan(10)
})
