import { expect, it, vi } from 'vitest'
import { isUnchanged, UNCHANGED } from '../../src/backend/known-entries.js'
import { defaultKeyFunction } from '../../src/keys.js'

it('a copy of the package tells what another one says by identity', async () => {
  vi.resetModules()
  const keys = await import('../../src/keys.js')
  const entries = await import('../../src/backend/known-entries.js')
  expect(entries.isUnchanged).not.toBe(isUnchanged)
  expect(keys.defaultKeyFunction).toBe(defaultKeyFunction)
  expect(entries.isUnchanged(UNCHANGED, { start: Buffer.alloc(1), length: 1 })).toBe(true)
})
