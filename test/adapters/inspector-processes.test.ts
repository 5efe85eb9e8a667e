import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { inspector, type ProcessRow } from '../../adapters/inspector/index.js'
import { FileBasedCache } from '../../src/backends/file.js'
import { createCaches, LocMemCache } from '../../src/index.js'
import { Inspected } from './inspector-support.js'

/** Inspectors over caches of their own, as several processes have, that share a directory. */
async function openTwo() {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const location = await mkdtemp(join(tmpdir(), 'inspector-processes-'))
  onTestFinished(() => rm(location, { recursive: true, force: true }))
  const open = async () => {
    const caches = createCaches({
      default: new LocMemCache(),
      shared: new FileBasedCache({ location }),
    })
    const inspected = await Inspected.open(caches, { processes: 'shared' })
    const rows = async () => (await inspected.json<{ rows: ProcessRow[] }>('/api/processes')).rows
    return { caches, inspected, rows, shared: caches.shared }
  }
  return [await open(), await open()] as const
}

describe('figures of several processes', () => {
  it('are those of each that tells, this one first, once somebody looks', async () => {
    const [one, two] = await openTwo()
    await one.caches.default.set('key', 1)
    await one.caches.default.get('key')
    await two.caches.default.get('absent')
    expect(await one.rows()).toMatchObject([{ isThis: true, hits: 1, misses: 0, pid: process.pid }])
    vi.advanceTimersByTime(5000)
    let rows = await one.rows()
    for (let i = 0; i < 500 && rows.length < 2; i++) {
      await sleep(10)
      rows = await one.rows()
    }
    expect(rows).toMatchObject([
      { isThis: true, hits: 1, misses: 0 },
      { isThis: false, hits: 0, misses: 1 },
    ])
    // It is counted nowhere that they tell each other.
    expect(one.caches.stats().aliases['shared']).toMatchObject({ hits: 0, misses: 0, sets: 0 })
  })

  it('are not told while nobody looks', async () => {
    const [one] = await openTwo()
    const keys = Array.from({ length: 64 }, (_, i) => `fragcache.inspector.process.${i}`)
    vi.advanceTimersByTime(5000)
    await sleep(50)
    expect((await one.shared.getMany(keys)).size).toBe(0)
  })

  it('leave out what is no such figure', async () => {
    const [one] = await openTwo()
    for (const [place, told] of ['{}', 'nonsense', '{"id":"x","host":"y","pid":"z"}'].entries()) {
      await one.shared.set(`fragcache.inspector.process.${place}`, told)
    }
    expect(await one.rows()).toMatchObject([{ isThis: true }])
  })

  it('are none without the option, and need a cache that processes share', async () => {
    const inspected = await Inspected.open()
    expect(await inspected.json('/api/processes')).toEqual({ rows: [] })
    const caches = createCaches({ default: new LocMemCache() })
    expect(() => inspector(caches, { processes: 'default' })).toThrow(/of this process alone/)
    expect(() => inspector(caches, { processes: 'nowhere' })).toThrow(/is not an alias/)
  })
})
