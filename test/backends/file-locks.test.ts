import { execFile } from 'node:child_process'
import {
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { Locks, newToken } from '../../src/backends/file/locks.js'
import { folderOfTest } from '../support/folders.js'

let work: string
let target: string
let locks: Locks
/** As another process sees it: calls of one process wait for each other by the name of the lock. */
let others: Locks

beforeEach(async () => {
  const folder = folderOfTest()
  work = join(folder, 'work')
  target = join(folder, 'target')
  await mkdir(work)
  locks = new Locks(work, async () => {})
  others = await elsewhere()
})

let places = 0

async function elsewhere(): Promise<Locks> {
  const alias = join(work, '..', `alias-${places++}`)
  await symlink(work, alias)
  return new Locks(alias, async () => {})
}

const restore = async () => {}
const bytes = (text: string) => Buffer.from(text)
const text = () => readFile(target, 'utf8')

/** The token of whoever holds a lock. */
async function holderOf(name: string): Promise<string> {
  const [token] = await readdir(join(work, `lock-${name}`))
  return token as string
}

/** What another process does that takes the holder for dead. */
async function revoke(name: string): Promise<void> {
  const holder = join(work, `lock-${name}`, await holderOf(name))
  await rename(holder, join(work, 'trash-by-another'))
  await rm(join(work, 'trash-by-another'), { recursive: true })
}

/** The token of a process of this machine that has ended. */
async function deadToken(): Promise<string> {
  const pid = await new Promise<number>((resolve, reject) => {
    const child = execFile(process.execPath, ['-e', ''], (error) => {
      if (error === null) resolve(child.pid as number)
      else reject(new Error('it did not end well', { cause: error }))
    })
  })
  return (await newToken()).replace(/-\d+-/, `-${pid}-`)
}

/** A token of another machine, of which nothing is known. */
const strangeToken = async () => (await newToken()).replace(/^[0-9a-f]+/, '0123456789ab')

/** Leaves a lock as a holder that went away leaves it. */
async function hold(name: string, token: string): Promise<string> {
  const inside = join(work, `lock-${name}`, token)
  await mkdir(inside, { recursive: true })
  return inside
}

async function age(path: string, minutes: number): Promise<void> {
  const then = new Date(Date.now() - minutes * 60_000)
  await utimes(path, then, then)
}

describe('a lock', () => {
  it('has one holder at a time', async () => {
    let inside = 0
    let most = 0
    await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        (i % 2 === 0 ? locks : others).run('x', undefined, async () => {
          most = Math.max(most, ++inside)
          await stat(work)
          inside--
        }),
      ),
    )
    expect(most).toBe(1)
  })

  it('gives what the action gives, and its error', async () => {
    expect(await locks.run('x', undefined, async () => 7)).toBe(7)
    await expect(
      locks.run('x', undefined, async () => {
        throw new RangeError('too much')
      }),
    ).rejects.toThrow(RangeError)
    expect(await locks.run('x', undefined, async () => 8)).toBe(8)
  })

  it('keeps its folder for the next turn, and close removes it', async () => {
    await locks.run('x', bytes('1'), (turn) => turn.commit(target, restore))
    const [own] = await readdir(work)
    await locks.run('y', bytes('2'), (turn) => turn.commit(target, restore))
    expect(await readdir(work)).toEqual([own])
    expect(await text()).toBe('2')
    await locks.close()
    expect(await readdir(work)).toEqual([])
  })

  it('takes files away, and says whether they were there', async () => {
    await writeFile(target, 'x')
    const taken = await locks.run('x', undefined, async (turn) => [
      await turn.take(target),
      await turn.take(target),
    ])
    expect(taken).toEqual([true, false])
    await locks.close()
    expect(await readdir(work)).toEqual([])
  })

  it('makes the folder of the target again where it is gone', async () => {
    const folder = join(work, '..', 'shard')
    const place = join(folder, 'entry')
    await locks.run('x', bytes('1'), (turn) =>
      turn.commit(place, async () => void (await mkdir(folder, { recursive: true }))),
    )
    expect(await readFile(place, 'utf8')).toBe('1')
  })
})

describe('a holder that was taken for dead and was not', () => {
  it('commits nothing, and starts again', async () => {
    const runs: string[] = []
    await locks.run('x', bytes('mine'), async (turn) => {
      runs.push(await text().catch(() => 'nothing'))
      if (runs.length === 1) {
        await revoke('x')
        await others.run('x', bytes('theirs'), (other) => other.commit(target, restore))
      }
      await turn.commit(target, restore)
    })
    expect(runs).toEqual(['nothing', 'theirs'])
    expect(await text()).toBe('mine')
  })

  it('takes nothing away, and starts again', async () => {
    await writeFile(target, 'old')
    let runs = 0
    const taken = await locks.run('x', undefined, async (turn) => {
      if (++runs === 1) {
        await revoke('x')
        await writeFile(target, 'new')
        await expect(turn.take(target)).rejects.toThrow('lost')
        expect(await text()).toBe('new')
      }
      return turn.take(target)
    })
    expect(taken).toBe(true)
    expect(runs).toBe(2)
  })

  it('writes no draft, and starts again', async () => {
    let runs = 0
    await locks.run('x', undefined, async (turn) => {
      if (++runs === 1) await revoke('x')
      await turn.write(bytes(`run ${runs}`))
      await turn.commit(target, restore)
    })
    expect(await text()).toBe('run 2')
  })

  it('loses nothing that it had committed before', async () => {
    await locks.run('x', bytes('mine'), async (turn) => {
      await turn.commit(target, restore)
      await revoke('x')
    })
    expect(await text()).toBe('mine')
    expect(await locks.run('x', undefined, async () => 'free')).toBe('free')
  })

  it('that gives back the lock of its successor costs that one a second try', async () => {
    let runs = 0
    await locks.run('x', bytes('mine'), async (turn) => {
      if (++runs === 1) await rename(join(work, 'lock-x'), join(work, 'own-late'))
      await turn.commit(target, restore)
    })
    expect(runs).toBe(2)
    expect(await text()).toBe('mine')
  })
})

describe('a lock whose holder is gone', () => {
  it('is free at once if its process is known to have ended, whatever else it shows', async () => {
    const inside = await hold('x', await deadToken())
    let isDone = false
    const signs = (async () => {
      for (let i = 0; !isDone; i++) {
        await writeFile(join(inside, 'new'), `${i}`, { flag: 'a' }).catch(() => {})
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    })()
    expect(await locks.run('x', undefined, async () => 'mine')).toBe('mine')
    isDone = true
    await signs
  })

  it('is free after a second without a sign of life if nothing is known of it', async () => {
    await hold('x', await strangeToken())
    const startMs = performance.now()
    expect(await locks.run('x', undefined, async () => 'mine')).toBe('mine')
    expect(performance.now() - startMs).toBeGreaterThan(950)
  })

  it('is waited for as long as it shows signs of life', async () => {
    const inside = await hold('x', await strangeToken())
    let isReleased = false
    const signs = (async () => {
      for (let i = 0; i < 8; i++) {
        // A large draft grows, other turns take file after file away.
        await writeFile(join(inside, i % 2 === 0 ? 'new' : `gone-${i}`), `${i}`, { flag: 'a' })
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
      isReleased = true
      // In one step, as any holder does: into a folder that is empty already others move.
      await rename(join(work, 'lock-x'), join(work, 'own-by-another'))
    })()
    expect(await locks.run('x', undefined, async () => isReleased)).toBe(true)
    await signs
  })

  it('is not taken for free by a process that was stopped and could not look', async () => {
    const token = await strangeToken()
    const inside = await hold('x', token)
    let [nowMs, stepMs] = [0, 0]
    let onLook = () => {}
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => {
      onLook()
      return (nowMs += stepMs)
    })
    onTestFinished(() => clock.mockRestore())
    const taken = locks.run('x', undefined, async () => 'mine')
    const someLooks = async () => {
      let left = 20
      const looks = new Promise<void>((done) => (onLook = () => void (--left === 0 && done())))
      await Promise.race([looks, taken])
    }
    await someLooks()
    nowMs += 5000
    await someLooks()
    expect(await holderOf('x')).toBe(token)
    // Half of its time, then a sign: the watch begins again.
    stepMs = 25
    await someLooks()
    await writeFile(join(inside, 'new'), 'a sign')
    const signAtMs = nowMs
    expect(await taken).toBe('mine')
    expect(nowMs - signAtMs).toBeGreaterThan(950)
  })

  it('has one successor, however many wait for it', async () => {
    await hold('x', await strangeToken())
    let inside = 0
    let most = 0
    const waiting = [locks, others, await elsewhere(), await elsewhere()]
    await Promise.all(
      waiting.map((one) =>
        one.run('x', undefined, async () => {
          most = Math.max(most, ++inside)
          await new Promise((resolve) => setTimeout(resolve, 20))
          inside--
        }),
      ),
    )
    expect(most).toBe(1)
  })
})

describe('a sweep', () => {
  const names = async () => (await readdir(work)).sort()

  it('removes what writers left that are known to have ended', async () => {
    const dead = await deadToken()
    await mkdir(join(work, `own-${dead}`, dead), { recursive: true })
    await writeFile(join(work, `own-${dead}`, dead, 'new'), 'half an entry')
    await mkdir(join(work, `trash-${dead}`))
    await hold('ab', dead)
    await mkdir(join(work, 'lock-of-nobody'))
    await locks.sweep()
    expect(await names()).toEqual([])
  })

  it('removes what unknown writers left only at a safe age', async () => {
    const [young, old] = [await strangeToken(), await strangeToken()]
    for (const token of [young, old])
      await mkdir(join(work, `own-${token}`, token), { recursive: true })
    for (const path of [join(`own-${old}`, old), `own-${old}`]) await age(join(work, path), 6)
    await hold('aa', young)
    await age(await hold('bb', old), 6)
    await locks.sweep()
    expect(await names()).toEqual(['lock-aa', `own-${young}`])
  })

  it('spares a large entry that is still being written', async () => {
    const token = await strangeToken()
    const inside = join(work, `own-${token}`, token)
    await mkdir(inside, { recursive: true })
    await writeFile(join(inside, 'new'), 'growing')
    for (const path of [inside, join(work, `own-${token}`)]) await age(path, 60)
    await locks.sweep()
    expect(await names()).toEqual([`own-${token}`])
    await age(join(inside, 'new'), 60)
    await locks.sweep()
    expect(await names()).toEqual([])
  })

  it('spares the living and what is not ours', async () => {
    const living = await newToken()
    await mkdir(join(work, `own-${living}`, living), { recursive: true })
    await mkdir(join(work, 'count-1'))
    await writeFile(join(work, 'notes.txt'), 'precious')
    for (const name of ['count-1', 'notes.txt']) await age(join(work, name), 60)
    await locks.sweep()
    expect(await names()).toEqual(['count-1', 'notes.txt', `own-${living}`])
  })

  it('that hits a writer in the middle costs it a second try', async () => {
    await locks.run('x', undefined, async () => {})
    const [own] = await names()
    await rm(join(work, own as string), { recursive: true })
    await locks.run('x', bytes('mine'), (turn) => turn.commit(target, restore))
    expect(await text()).toBe('mine')
  })
})
