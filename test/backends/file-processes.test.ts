import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bundleSources, type Bundle } from '../support/bundle.js'
import { entryFiles, entryPath, openFileCache } from '../support/file-location.js'
import { folderOfTest } from '../support/folders.js'
import { runWorker, startWorker, Workers } from '../support/worker.js'

let bundle: Bundle
let processes: Workers
let location: string

beforeAll(async () => {
  bundle = await bundleSources()
  processes = new Workers(bundle)
})
afterAll(async () => {
  await processes.close()
  await bundle.remove()
})
beforeEach(async () => {
  location = folderOfTest()
})

/** Runs the same script in so many processes, begun together. @returns What each sends. */
async function inParallel(count: number, script: string, maxEntries = 10_000): Promise<unknown[]> {
  const whole = `
    const cache = new FileBasedCache({ location: args[0], options: { maxEntries: ${maxEntries} } })
    const me = Number(args[1])
    const go = new Promise((resolve) => process.once('message', resolve))
    process.send('ready')
    await go
    ${script}
    await cache.close()`
  const workers = await Promise.all(
    Array.from({ length: count }, (_, i) => processes.start(whole, [location, String(i)])),
  )
  await Promise.all(workers.map((worker) => worker.message()))
  for (const { child } of workers) child.send('go')
  const answers = await Promise.all(workers.map((worker) => worker.message()))
  await Promise.all(workers.map(({ ended }) => ended))
  return answers
}

const open = (options = { maxEntries: 10_000 }) => openFileCache({ location, options })
/** What lies in the location besides entries and their count. */
const passing = async () =>
  (await readdir(join(location, '.fragcache'))).filter((name) => !/^count-\d+$/.test(name))
const shardOf = (key: string) => entryPath('', `:1:${key}`).slice(0, 2)

describe('many processes', { timeout: 60_000 }, () => {
  it('lose no update of a counter', async () => {
    await open().set('n', 0)
    const sums = await inParallel(
      4,
      `const sums = []
       for (let i = 0; i < 80; i++) sums.push(await cache.incr('n'))
       sums.push(...(await Promise.all(Array.from({ length: 20 }, () => cache.incr('n')))))
       process.send(sums)`,
    )
    expect(await open().get('n')).toBe(400)
    // Each sum was given to one caller.
    expect(new Set(sums.flat()).size).toBe(400)
  })

  it('lose no update of a counter with tags', async () => {
    await open().set('n', 0, { tags: ['t'] })
    await inParallel(4, `for (let i = 0; i < 20; i++) await cache.incr('n'); process.send(1)`)
    expect(await open().get('n')).toBe(80)
  })

  it('have one winner per add', async () => {
    const wins = (await inParallel(
      4,
      `const wins = []
       for (let i = 0; i < 60; i++) if (await cache.add('k' + i, me)) wins.push([i, me])
       process.send(wins)`,
    )) as [number, number][][]
    const winners = new Map(wins.flat())
    expect(wins.flat()).toHaveLength(60)
    const kept = await open().getMany<number>(Array.from({ length: 60 }, (_, i) => `k${i}`))
    for (const [key, winner] of kept) expect(winner).toBe(winners.get(Number(key.slice(1))))
  })

  it('have one winner per add over an entry that has expired or was invalidated', async () => {
    const cache = open()
    const dead = Array.from({ length: 20 }, (_, i) => [`dead${i}`, 'old'] as const)
    const stale = Array.from({ length: 20 }, (_, i) => [`stale${i}`, 'old'] as const)
    await cache.setMany(dead, { timeout: 0.001 })
    await cache.setMany(stale, { tags: ['t'] })
    await cache.invalidateTags(['t'])
    const wins = (await inParallel(
      4,
      `let wins = 0
       for (const kind of ['dead', 'stale']) {
         for (let i = 0; i < 20; i++) if (await cache.add(kind + i, me)) wins++
       }
       process.send(wins)`,
    )) as number[]
    expect(wins.reduce((sum, one) => sum + one, 0)).toBe(40)
  })

  it('lose no set under a count or a touch that read the older value', async () => {
    await open().set('n', 0)
    const answers = await inParallel(
      4,
      `if (me === 0) {
         const lost = []
         for (let i = 1; i <= 60; i++) {
           await cache.set('n', i * 1e6)
           const seen = await cache.get('n')
           if (Math.floor(seen / 1e6) !== i) lost.push([i, seen])
         }
         await cache.set('done', true)
         process.send(lost)
       } else {
         let counts = 0
         while (!(await cache.has('done'))) {
           if (me < 3) await cache.incr('n')
           else await cache.touch('n')
           counts++
         }
         process.send(counts > 0)
       }`,
    )
    expect(answers).toEqual([[], true, true, true])
  })

  it('undo no delete by a count or a touch that read the older value', async () => {
    const answers = await inParallel(
      4,
      `if (me === 0) {
         let undone = 0
         for (let i = 1; i <= 60; i++) {
           await cache.set('n', i)
           await cache.delete('n')
           if (await cache.has('n')) undone++
         }
         await cache.set('done', true)
         process.send(undone)
       } else {
         while (!(await cache.has('done'))) {
           if (me < 3) await cache.incr('n').catch(() => {})
           else await cache.touch('n')
         }
         process.send('helped')
       }`,
    )
    expect(answers).toEqual([0, 'helped', 'helped', 'helped'])
  })

  it('tell one of them that it deleted an entry', async () => {
    await open().setMany(Array.from({ length: 40 }, (_, i) => [`k${i}`, i] as const))
    const deleted = (await inParallel(
      4,
      `let deleted = 0
       for (let i = 0; i < 40; i++) if (await cache.delete('k' + i)) deleted++
       process.send(deleted)`,
    )) as number[]
    expect(deleted.reduce((sum, one) => sum + one, 0)).toBe(40)
  })

  it('never read half an entry', async () => {
    const torn = (await inParallel(
      4,
      `let torn = 0
       const until = Date.now() + 1500
       let reads = 0
       for (let i = 0; Date.now() < until; i++) {
         if (me < 2) await cache.set('k', String.fromCharCode(97 + (i % 26)).repeat(100_000 + i))
         else {
           const value = await cache.get('k')
           if (value === undefined) { if (reads > 0) torn++; continue }
           reads++
           if (value !== value[0].repeat(value.length)) torn++
         }
       }
       process.send(torn)`,
    )) as number[]
    expect(torn).toEqual([0, 0, 0, 0])
  })

  it('keep within the limit together', async () => {
    await inParallel(
      4,
      `for (let i = 0; i < 100; i++) await cache.set('k' + me + '.' + i, i)
       process.send(1)`,
      60,
    )
    const kept = (await entryFiles(location)).length
    expect(kept).toBeLessThanOrEqual(60 + 32)
    expect(kept).toBeGreaterThan(15)
  })

  it('make one location at the same time', async () => {
    const deep = join(location, 'a', 'b', 'c')
    const got = await Promise.all(
      Array.from({ length: 4 }, (_, i) =>
        runWorker(
          bundle,
          `const cache = new FileBasedCache({ location: args[0] })
           await cache.set('k' + args[1], 1)
           process.send(await cache.get('k' + args[1]))`,
          { args: [deep, String(i)] },
        ),
      ),
    )
    expect(got).toEqual([1, 1, 1, 1])
  })
})

describe('a process that was killed', { timeout: 60_000 }, () => {
  it('while it held a lock frees it', async () => {
    await open().set('n', 1)
    const worker = await startWorker(
      bundle,
      `const locks = new Locks(args[0] + '/.fragcache', async () => {})
       await locks.run(args[1], undefined, async () => {
         process.send('held')
         await new Promise((resolve) => setTimeout(resolve, 60_000))
       })`,
      { args: [location, shardOf('n')] },
    )
    expect(await worker.message()).toBe('held')
    const waiting = open().incr('n')
    await new Promise((resolve) => setTimeout(resolve, 100))
    worker.child.kill('SIGKILL')
    await worker.ended
    expect(await waiting).toBe(2)
    await open().set('n', 5)
    expect(await open().get('n')).toBe(5)
  })

  it('while it wrote leaves the older value whole, and its leftovers are swept', async () => {
    const cache = open()
    for (let round = 0; round < 5; round++) {
      await cache.set('k', 'a'.repeat(1000))
      const worker = await startWorker(
        bundle,
        `const cache = new FileBasedCache({ location: args[0] })
         const value = 'b'.repeat(30_000_000)
         process.send('ready')
         for (;;) await cache.set('k', value)`,
        { args: [location] },
      )
      await worker.message()
      await new Promise((resolve) => setTimeout(resolve, 20 + round * 15))
      worker.child.kill('SIGKILL')
      await worker.ended
      const value = await cache.get<string>('k')
      expect(['a'.repeat(1000), 'b'.repeat(30_000_000)].includes(value as string)).toBe(true)
    }
    await cache.close()
    await cache.set('other', 1)
    await cache.close()
    expect(await passing()).toEqual([])
  })

  it('in the middle of everything leaves a cache that works', async () => {
    const workers = await Promise.all(
      Array.from({ length: 4 }, () =>
        startWorker(
          bundle,
          `const cache = new FileBasedCache({ location: args[0], options: { maxEntries: 40 } })
           await cache.add('n', 0)
           process.send('ready')
           for (let i = 0; ; i++) {
             await Promise.allSettled([
               cache.incr('n'), cache.set('k' + (i % 50), i), cache.touch('k' + (i % 7)),
               cache.delete('k' + (i % 11)), cache.add('a' + (i % 13), i),
               i % 20 === 0 ? cache.clear() : undefined,
             ])
           }`,
          { args: [location] },
        ),
      ),
    )
    await Promise.all(workers.map((worker) => worker.message()))
    await new Promise((resolve) => setTimeout(resolve, 500))
    for (const { child } of workers) child.kill('SIGKILL')
    await Promise.all(workers.map(({ ended }) => ended))
    const cache = open()
    for (let i = 0; i < 50; i++) {
      await cache.set(`k${i}`, i)
      expect(await cache.get(`k${i}`)).toBe(i)
    }
    await cache.set('n', 1)
    expect(await cache.incr('n')).toBe(2)
    await cache.clear()
    expect(await entryFiles(location)).toEqual([])
    await cache.close()
    expect(await passing()).toEqual([])
  })
})

describe('a process that was only slow', { timeout: 60_000 }, () => {
  it('counts on what was written meanwhile', async () => {
    await open().set('n', 10)
    const worker = await startWorker(
      bundle,
      `const store = new FileStore(args[0], '', { maxEntries: 300, cullFrequency: 3 }, () => {})
       let runs = 0
       await store.update(':1:n', ({ payload, expiresAtMs }) => {
         if (++runs === 1) {
           process.send('read')
           // The whole process stands still, longer than the others wait for it.
           Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500)
         }
         return { payload: Buffer.from(String(Number(payload.toString()) + 1)), expiresAtMs }
       })
       process.send(runs)`,
      { args: [location] },
    )
    expect(await worker.message()).toBe('read')
    expect(await open().incr('n', 100)).toBe(110)
    expect(await worker.message()).toBe(2)
    await worker.ended
    expect(await open().get('n')).toBe(111)
  })
})

describe('a process that takes every holder for dead', { timeout: 60_000 }, () => {
  it('slows the others down, and makes them lose nothing', async () => {
    await open().set('n', 0)
    const revoker = await startWorker(
      bundle,
      `const { readdir, rename, rm } = await import('node:fs/promises')
       const work = args[0] + '/.fragcache/'
       let revoked = 0
       process.on('message', () => { process.send(revoked); process.exit() })
       process.send('ready')
       for (let i = 0; ; i++) {
         for (const lock of (await readdir(work)).filter((name) => name.startsWith('lock-'))) {
           for (const holder of await readdir(work + lock).catch(() => [])) {
             await rename(work + lock + '/' + holder, work + 'trash-x' + i).then(() => revoked++, () => {})
             await rm(work + 'trash-x' + i, { recursive: true, force: true })
           }
         }
         await new Promise((resolve) => setTimeout(resolve, 3))
       }`,
      { args: [location] },
    )
    await revoker.message()
    const wins = await inParallel(
      4,
      `let wins = 0
       for (let i = 0; i < 50; i++) {
         await cache.incr('n')
         if (await cache.add('k' + i, me)) wins++
       }
       process.send(wins)`,
    )
    revoker.child.send('enough')
    expect(await revoker.message()).toBeGreaterThan(0)
    await revoker.ended
    expect(await open().get('n')).toBe(200)
    expect((wins as number[]).reduce((sum, one) => sum + one, 0)).toBe(50)
  })
})

describe('a process that is done', () => {
  it('ends by itself, without close', { timeout: 60_000 }, async () => {
    const worker = await startWorker(
      bundle,
      `const cache = new FileBasedCache({ location: args[0] })
       await cache.set('a', 1)
       await cache.incr('a')
       process.send('done')`,
      { args: [location] },
    )
    await worker.message()
    await worker.ended
    expect(worker.child.exitCode).toBe(0)
    expect((await readFile(entryPath(location, ':1:a'))).includes(':1:a')).toBe(true)
  })
})
