import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { inspector, type ProcessRow } from '../../adapters/inspector/index.js'
import { FileBasedCache } from '../../src/backends/file.js'
import { createCaches, LocMemCache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { bundleSources, type Bundle } from '../support/bundle.js'
import { folderOfTest } from '../support/folders.js'
import { startWorker } from '../support/worker.js'
import { Inspected } from './inspector-support.js'

/** Where processes tell. */
const places = Array.from({ length: 64 }, (_, i) => `fragcache.inspector.process.${i}`)

let bundle: Bundle

beforeAll(async () => {
  bundle = await bundleSources(['src', 'adapters/inspector', 'adapters/node'])
}, 120_000)
afterAll(() => bundle.remove())

/** A process with an inspector that tells at once, over a shared folder, and with one miss. */
const script = `
  const begin = setInterval
  globalThis.setInterval = (action) => begin(action, 20)
  const { createCaches, LocMemCache } = await import('./src/index.js')
  const { inspector } = await import('./adapters/inspector/index.js')
  const caches = createCaches({ default: new LocMemCache(), shared: new FileBasedCache({ location: args[0] }) })
  await caches.default.get('absent')
  const inspected = inspector(caches, { processes: 'shared' })
  process.send('ready')
  await new Promise((go) => process.once('message', go))
  inspected.close()
`

/** An inspector over caches that share a directory, which is opened again as another process would. */
async function openInspected(location = folderOfTest(), near = new LocMemCache()) {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const caches = createCaches({ default: near, shared: new FileBasedCache({ location }) })
  const inspected = await Inspected.open(caches, { processes: 'shared' })
  const rows = async () => (await inspected.json<{ rows: ProcessRow[] }>('/api/processes')).rows
  // What is read by this one is counted by none that is looked at.
  return { caches, location, rows, shared: new FileBasedCache({ location }) }
}

describe('figures of several processes', () => {
  it('are those of each that tells, this one first, once somebody looks', async () => {
    const one = await openInspected()
    await one.caches.default.set('key', 1)
    await one.caches.default.get('key')
    expect(await one.rows()).toMatchObject([{ isThis: true, hits: 1, misses: 0, pid: process.pid }])
    const other = await startWorker(bundle, script, { args: [one.location] })
    expect(await other.message()).toBe('ready')
    expect(await untilTold(one.rows, 2)).toMatchObject([
      { isThis: true, hits: 1, misses: 0 },
      { isThis: false, hits: 0, misses: 1, pid: other.child.pid },
    ])
    // It is counted nowhere that they tell each other.
    expect(one.caches.stats().aliases['shared']).toMatchObject({ hits: 0, misses: 0, sets: 0 })
    other.child.send('go')
    await other.ended
  })

  it('have a process once, with all caches that its inspectors watch, each once', async () => {
    const one = await openInspected()
    const again = await openInspected(one.location, one.caches.default)
    const two = await openInspected(one.location)
    for (const { caches } of [one, two]) await caches.default.set('key', 1)
    for (const { caches } of [one, two, two]) await caches.default.get('key')
    for (const { rows } of [one, again, two]) {
      expect(await rows()).toMatchObject([{ isThis: true, hits: 3, pid: process.pid }])
    }
    vi.advanceTimersByTime(5000)
    const told = async () => [...(await one.shared.getMany(places)).values()].map(String)
    await expect.poll(told).not.toEqual([])
    const ids = (await told()).map((text) => (JSON.parse(text) as ProcessRow).id)
    expect(new Set(ids).size).toBe(1)
  })

  it('have a process once that told twice', async () => {
    const one = await openInspected()
    const figures = { sinceMs: 1, hits: 2, misses: 3, errors: 4, timeSavedMs: 5, rssBytes: 6 }
    const told = JSON.stringify({ ...figures, id: 'x', pid: 7, host: 'y' })
    for (const place of places.slice(3, 5)) await one.shared.set(place, told)
    expect((await one.rows()).slice(1)).toEqual([
      { ...figures, id: 'x', pid: 7, host: 'y', isThis: false },
    ])
  })

  it('are not told while nobody looks', async () => {
    const one = await openInspected()
    vi.advanceTimersByTime(5000)
    await sleep(50)
    expect((await one.shared.getMany(places)).size).toBe(0)
  })

  it('leave out what is no such figure', async () => {
    const one = await openInspected()
    for (const [place, told] of ['{}', 'nonsense', '{"id":"x","host":"y","pid":"z"}'].entries()) {
      await one.shared.set(`fragcache.inspector.process.${place}`, told)
    }
    expect(await one.rows()).toMatchObject([{ isThis: true }])
  })

  it('are those of this one alone while the shared cache does not answer, which is said', async () => {
    const far = new AsyncTestCache()
    const caches = createCaches({ default: new LocMemCache(), far })
    onTestFinished(() => caches.close())
    const inspected = await Inspected.open(caches, { processes: 'far' })
    far.failing = true
    expect(await inspected.json('/api/processes')).toMatchObject({
      rows: [{ isThis: true }],
      unreached: 'far',
    })
  })

  it('are whole in an answer that is on its way while the inspector is closed', async () => {
    const far = new AsyncTestCache()
    const caches = createCaches({ default: new LocMemCache(), far })
    onTestFinished(() => caches.close())
    const inspected = await Inspected.open(caches, { processes: 'far' })
    far.hanging = true
    const before = far.reads
    const answer = inspected.json<{ rows: ProcessRow[] }>('/api/processes')
    await expect.poll(() => far.reads).toBeGreaterThan(before)
    inspected.inspector.close()
    far.hanging = false
    expect((await answer).rows[0]?.sinceMs).toEqual(expect.any(Number))
  })

  it('are none without the option, and need a cache that processes share', async () => {
    const inspected = await Inspected.open()
    expect(await inspected.json('/api/processes')).toEqual({ rows: [] })
    const caches = createCaches({ default: new LocMemCache() })
    expect(() => inspector(caches, { processes: 'default' })).toThrow(/of this process alone/)
    expect(() => inspector(caches, { processes: 'nowhere' })).toThrow(/is not an alias/)
  })
})

/** Waits until so many processes are listed. */
async function untilTold(rows: () => Promise<ProcessRow[]>, count: number): Promise<ProcessRow[]> {
  let found = await rows()
  for (let i = 0; i < 500 && found.length < count; i++) {
    await sleep(10)
    found = await rows()
  }
  return found
}
