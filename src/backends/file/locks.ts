import { createHash, randomBytes } from 'node:crypto'
import {
  lstat,
  mkdir,
  chmod,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  rmdir,
  utimes,
} from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, FOLDER_MODE, kindAt, removeFile, unless, writeNewFile } from './entry-file.js'
import { MAX_ATTEMPTS, modifiedAtMs } from './folders.js'
import { inTurn, mapLimited } from './limit.js'

/*
 * A lock is a folder `lock-NAME` that holds one folder named by its holder's token. Each writer has
 * folders of its own, `own-TOKEN/TOKEN`, kept for its next turns.
 *
 *   take       rename own-TOKEN to lock-NAME: fails while a folder that is not empty is there
 *   commit     rename lock-NAME/TOKEN/new to the entry's place
 *   remove     rename the entry to lock-NAME/TOKEN/gone
 *   give back  rename lock-NAME to own-TOKEN
 *   revoke     rename lock-NAME/TOKEN away
 *
 * Whatever a holder does to an entry uses a path with its token in it. So a holder that was
 * taken for dead and was only slow changes nothing any more: its rename fails, and it starts again.
 * That is why a revocation needs no proof of death, and why one that hits the wrong holder (by a
 * late give-back) costs that one a second try and nothing else. A token never comes back once it
 * was revoked.
 */

/** A holder that shows no sign of life for so long, while it is watched, is taken for dead. */
const LEASE_MS = 1000
/**
 * The time between two looks counts for no more: a process that was held up meanwhile saw nothing of it.
 */
const MAX_UNWATCHED_MS = 100
/** How long a call waits for one lock before it fails. */
const MAX_WAIT_MS = 10_000
/** How often a call that lost its lock starts again. */
const MAX_STARTS = 100
/** Leftovers of writers that are not known to be dead are swept at this age. */
export const SAFE_AGE_MS = 5 * 60_000

const OWN = 'own-'
const LOCK = 'lock-'

/** The lock was taken away, or its folder is gone. */
class LostLockError extends Error {
  override readonly name = 'LostLockError'
}

/** Others held the lock for as long as a call waits. */
export class BusyLockError extends Error {
  override readonly name = 'BusyLockError'
}

/** What a holder of a lock may do. */
export interface Turn {
  /**
   * Puts the draft in place of a file.
   *
   * @param restore - Makes the folder of the target, should it be gone.
   */
  commit(target: string, restore: () => Promise<void>): Promise<void>
  /** Takes a file away. @returns `false` if there is none. */
  take(target: string): Promise<boolean>
  /** Writes the draft: the content to commit. */
  write(bytes: Uint8Array): Promise<void>
  /** Shows that a long turn is still alive. */
  showLife(): Promise<void>
}

/** A writer's folder. */
interface Own {
  readonly token: string
  readonly path: string
}

/** The locks of one location. */
export class Locks {
  readonly #idle: Own[] = []

  /**
   * @param work - The folder that holds them.
   * @param ensure - Makes it.
   */
  constructor(
    private readonly work: string,
    private readonly ensure: () => Promise<void>,
  ) {}

  /**
   * Runs an action while nobody else holds the lock, in any process.
   *
   * @param draft - Content to commit, written before the lock is taken.
   * @remarks The action runs again when the lock was lost before it came to its end: what it
   *   committed or took until then stays.
   */
  async run<T>(
    name: string,
    draft: Uint8Array | undefined,
    action: (turn: Turn) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(name, draft, action)
      } catch (error) {
        if (!(error instanceof LostLockError) || attempt >= MAX_STARTS) throw error
      }
    }
  }

  async #attempt<T>(
    name: string,
    draft: Uint8Array | undefined,
    action: (turn: Turn) => Promise<T>,
  ): Promise<T> {
    const own = this.#idle.pop() ?? (await this.#make())
    let reusable = false
    try {
      const hold = new Hold(own, join(this.work, LOCK + name))
      await hold.prepare(draft)
      const result = await inTurn(hold.lock, async () => {
        await this.#take(own, hold.lock)
        let isDone = false
        try {
          const given = await action(hold)
          isDone = true
          return given
        } finally {
          // What is lost is another's by now.
          if (isDone || (await hold.isHeld())) {
            reusable = (await failureOf(rename(hold.lock, own.path))) === undefined
          }
        }
      })
      if (reusable) await hold.cleanUp()
      return result
    } catch (error) {
      reusable = false
      throw error
    } finally {
      if (reusable) this.#idle.push(own)
      else await this.#discard(own.path)
    }
  }

  async #make(): Promise<Own> {
    const token = await newToken()
    const path = join(this.work, OWN + token)
    for (let attempt = 0; ; attempt++) {
      try {
        for (const folder of [path, join(path, token)]) {
          await mkdir(folder, { mode: FOLDER_MODE })
          await chmod(folder, FOLDER_MODE)
        }
        return { token, path }
      } catch (error) {
        // On a full disk the first of the two may be there: it would take what the next call needs.
        await this.#discard(path)
        if (codeOf(error) !== 'ENOENT' || attempt >= MAX_ATTEMPTS) throw error
        await this.ensure()
      }
    }
  }

  async #take(own: Own, lock: string): Promise<void> {
    const untilMs = performance.now() + MAX_WAIT_MS
    const watch = new Watch()
    for (let attempt = 0; ; attempt++) {
      const code = await failureOf(rename(own.path, lock))
      if (code === undefined) return
      if (code === 'ENOENT') throw new LostLockError('its folder is gone')
      const holder = await this.#holderOf(lock, code)
      if (holder === undefined) {
        watch.begin()
      } else {
        const quietMs = await watch.look(async () => {
          return `${holder} ${await signOfLife(join(lock, holder))}`
        })
        if (quietMs >= LEASE_MS || (await isDead(holder))) {
          await this.#revoke(lock, holder)
          continue
        }
      }
      if (performance.now() > untilMs) throw new BusyLockError(`${lock} was always held by others`)
      // At random, so that waiting processes do not come back all at once.
      await sleep(1 + Math.random() * Math.min(16, 2 + attempt))
    }
  }

  /** @returns The holder's token, or `undefined` if the lock was given back meanwhile. */
  async #holderOf(lock: string, code: string): Promise<string | undefined> {
    if (code === 'ENOTDIR') {
      // Not ours: a file or a link in the lock's place.
      await removeFile(lock)
      return undefined
    }
    const isHeld = code === 'ENOTEMPTY' || code === 'EEXIST'
    // Windows says so of any folder in the way.
    const isRefused = code === 'EPERM' || code === 'EACCES'
    const holders =
      isHeld || isRefused ? await unless(['ENOENT', 'ENOTDIR'], readdir(lock)) : undefined
    if (holders === undefined) {
      if (isHeld) return undefined
      throw Object.assign(new Error(`${code}: ${lock} cannot be taken`), { code })
    }
    // Linux replaces an empty folder, Windows does not.
    if (holders[0] === undefined) await failureOf(rmdir(lock))
    return holders[0]
  }

  async #revoke(lock: string, holder: string): Promise<void> {
    const trash = join(this.work, `trash-${await newToken()}`)
    await unless(['ENOENT'], rename(join(lock, holder), trash))
    await failureOf(rmdir(lock))
    await this.#discard(trash)
  }

  async #discard(path: string): Promise<void> {
    await failureOf(rm(path, { recursive: true, force: true }))
  }

  /** Removes what killed writers left: folders of their own, and locks they held. */
  async sweep(): Promise<void> {
    const names = (await unless(['ENOENT'], readdir(this.work))) ?? []
    // What cannot be looked at, such as another user's, is left to those who can: no reason to fail a call.
    await mapLimited(names, 8, (name) => failureOf(this.#sweepOne(name)))
  }

  async #sweepOne(name: string): Promise<void> {
    const path = join(this.work, name)
    if (name.startsWith(LOCK)) {
      const [holder] = (await unless(['ENOENT', 'ENOTDIR'], readdir(path))) ?? []
      if (holder === undefined) await failureOf(rmdir(path))
      else if (await isLeftover(holder, join(path, holder))) await this.#revoke(path, holder)
    } else if (/^(own|trash)-/.test(name)) {
      const token = name.slice(name.indexOf('-') + 1)
      if (await isLeftover(token, path, join(path, token))) await this.#discard(path)
    }
  }

  /** Removes the folders kept for the next turns. */
  async close(): Promise<void> {
    await mapLimited(this.#idle.splice(0), 8, ({ path }) => this.#discard(path))
  }
}

/**
 * How long nothing changed while somebody looked repeatedly.
 *
 * @remarks A process that was stopped, or got no processor, has seen nothing of that time: what it watches
 *   was stopped too, or is just about to show the next sign.
 */
class Watch {
  #seen: string | undefined
  #sinceMs = 0
  #quietMs = 0

  /** Forgets what was seen. */
  begin(): void {
    this.#seen = undefined
  }

  /** @returns The milliseconds for which it is known that nothing changed. */
  async look(read: () => Promise<string>): Promise<number> {
    // When exactly it was as it was read nobody knows: the first time counts late, later ones early.
    const beforeMs = performance.now()
    const sign = await read()
    if (sign === this.#seen) {
      this.#quietMs += Math.min(beforeMs - this.#sinceMs, MAX_UNWATCHED_MS)
      this.#sinceMs = beforeMs
    } else {
      this.#seen = sign
      this.#quietMs = 0
      this.#sinceMs = performance.now()
    }
    return this.#quietMs
  }
}

/** One turn of one writer. */
class Hold implements Turn {
  readonly #inside: string
  #drafted = false
  #taken = 0

  constructor(
    private readonly own: Own,
    readonly lock: string,
  ) {
    this.#inside = join(lock, own.token)
  }

  /** Also finds out whether the folder is still this writer's own. */
  async prepare(draft: Uint8Array | undefined): Promise<void> {
    const inside = join(this.own.path, this.own.token)
    if (draft !== undefined) {
      await this.#draft(join(inside, 'new'), draft)
    } else if ((await kindAt(inside)) !== 'folder') {
      throw new LostLockError('its folder is gone')
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#draft(join(this.#inside, 'new'), bytes)
  }

  async #draft(path: string, bytes: Uint8Array): Promise<void> {
    try {
      await writeNewFile(path, bytes)
      this.#drafted = true
    } catch (error) {
      throw codeOf(error) === 'ENOENT' ? new LostLockError('its folder is gone') : error
    }
  }

  async isHeld(): Promise<boolean> {
    return (await kindAt(this.#inside)) === 'folder'
  }

  async commit(target: string, restore: () => Promise<void>): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await rename(join(this.#inside, 'new'), target)
        this.#drafted = false
        return
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw error
        if (attempt >= MAX_ATTEMPTS || !(await this.isHeld())) {
          throw new LostLockError('the lock was lost')
        }
        await restore()
      }
    }
  }

  async take(target: string): Promise<boolean> {
    const code = await failureOf(rename(target, join(this.#inside, `gone-${this.#taken++}`)))
    if (code === undefined) return true
    if (code !== 'ENOENT') throw Object.assign(new Error(`${code}: ${target} stays`), { code })
    if (!(await this.isHeld())) throw new LostLockError('the lock was lost')
    return false
  }

  async showLife(): Promise<void> {
    const now = new Date()
    await unless(['ENOENT'], utimes(this.#inside, now, now))
  }

  /** Empties the folder, once the lock is given back. */
  async cleanUp(): Promise<void> {
    const inside = join(this.own.path, this.own.token)
    if (this.#drafted) await removeFile(join(inside, 'new'))
    const gone = Array.from({ length: this.#taken }, (_, i) => join(inside, `gone-${i}`))
    await mapLimited(gone, 8, removeFile)
  }
}

async function failureOf(action: Promise<unknown>): Promise<string | undefined> {
  try {
    await action
    return undefined
  } catch (error) {
    return codeOf(error) ?? 'UNKNOWN'
  }
}

/** Changes while a holder writes its draft or takes files away. */
async function signOfLife(inside: string): Promise<string> {
  const stats = await Promise.all(
    [inside, join(inside, 'new')].map((path) => unless(['ENOENT', 'ENOTDIR'], lstat(path))),
  )
  return stats.map((one) => (one === undefined ? '' : `${one.mtimeMs}/${one.size}`)).join(' ')
}

let host: Promise<string> | undefined

/** Tells the processes apart whose numbers can be asked about: one machine, one start, one container. */
async function hostId(): Promise<string> {
  host ??= (async () => {
    const parts = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => ''),
      readlink('/proc/self/ns/pid').catch(() => ''),
    ])
    return createHash('sha256')
      .update([hostname(), ...parts].join('\0'))
      .digest('hex')
      .slice(0, 12)
  })()
  return host
}

/** A name no other writer has. */
export async function newToken(): Promise<string> {
  return `${await hostId()}-${process.pid}-${randomBytes(9).toString('hex')}`
}

/** Whether a token's process is known to be gone. `false` where that cannot be known. */
async function isDead(token: string): Promise<boolean> {
  const [, tokenHost, pid] = /^([0-9a-f]{12})-([1-9][0-9]*)-/.exec(token) ?? []
  if (tokenHost === undefined || tokenHost !== (await hostId())) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return codeOf(error) === 'ESRCH'
  }
}

async function isLeftover(token: string, ...paths: string[]): Promise<boolean> {
  if (await isDead(token)) return true
  // The draft's time is that of its last byte, the folder's that of its first.
  const drafts = paths.map((path) => join(path, 'new'))
  const times = await Promise.all([...paths, ...drafts].map(modifiedAtMs))
  const changedAtMs = Math.max(...times.map((time) => time ?? 0))
  return changedAtMs > 0 && Date.now() - changedAtMs > SAFE_AGE_MS
}
