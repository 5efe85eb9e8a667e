import type { CacheCore } from '../backend/core.js'
import { BoundedMemo } from '../bounded-memo.js'
import { currentMs } from '../current-time.js'
import { isPortable, MAX_KEY_BYTES } from '../keys.js'
import { nodeCrypto } from '../node-crypto.js'
import type { Lock } from '../staleness.js'

/** What the keys of all leases begin with. */
export const LEASE_KEY_PREFIX = 'fragcache.lock.'

/** Leases are of one version for all, like the counters of tags. */
const LEASE_VERSION = 1

/** How long the entry that says the lease is free is kept. */
const FREE_MS = 1_000

/** Milliseconds between two looks while waiting: at first, and at most. */
const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 200

/**
 * The right to make one entry, held by one process at a time: an entry of its own, written by `add`,
 * with a token by which only its holder gives it up. It ends by itself.
 *
 * @remarks As exact as the store's `add`. If making the entry takes longer than the lease lasts, another
 *   process may begin too.
 */
export class Lease {
  #released: Promise<void> | undefined

  private constructor(
    readonly cache: CacheCore,
    readonly key: string,
    readonly token: number,
  ) {}

  /**
   * Takes a lease.
   *
   * @returns `undefined`: another process holds it.
   * @throws CacheBackendError: the store failed.
   */
  static async take(
    cache: CacheCore,
    storedKey: string,
    seconds: number,
  ): Promise<Lease | undefined> {
    const lease = new Lease(cache, leaseKey(cache, storedKey), nodeCrypto().randomInt(1, MAX_TOKEN))
    const isTaken = await cache.writeNumber('lock', {
      storedKey: lease.key,
      value: lease.token,
      expiresAtMs: currentMs() + Math.ceil(seconds * 1000),
      ifAbsent: true,
      replacing: leftOver.get(cache)?.get(lease.key) ?? FREE,
    })
    leftOver.get(cache)?.delete(lease.key)
    return isTaken ? lease : undefined
  }

  /** Gives it up, unless it has expired and belongs to another by now. Never rejects: it expires by itself. */
  release(): Promise<void> {
    return (this.#released ??= this.#giveUp())
  }

  async #giveUp(): Promise<void> {
    const releases = releasing.get(this.cache) ?? new Set<Promise<void>>()
    releasing.set(this.cache, releases)
    const release = this.#release()
    releases.add(release)
    await release
    releases.delete(release)
  }

  async #release(): Promise<void> {
    try {
      await this.cache.writeNumber('unlock', {
        storedKey: this.key,
        value: FREE,
        expiresAtMs: currentMs() + FREE_MS,
        replacing: this.token,
      })
    } catch {
      // The store's failure is reported elsewhere, and must not fail what was made.
      leaveOver(this)
    }
  }
}

/*
 * Whole numbers, which bypass the user's serializer: that may write the same value differently each time.
 */
const FREE = 0
const MAX_TOKEN = 2 ** 48 - 1

/**
 * The tokens of leases that could not be given up, since the store failed. This process takes them over: it would wait for
 * a holder that is not there.
 */
const leftOver = new WeakMap<CacheCore, BoundedMemo<number>>()

const BYTES_OF_TOKEN = 8

function leaveOver({ cache, key, token }: Lease): void {
  const tokens = leftOver.get(cache) ?? new BoundedMemo<number>(() => BYTES_OF_TOKEN)
  leftOver.set(cache, tokens)
  tokens.set(key, token)
}

function leaseKey(cache: CacheCore, storedKey: string): string {
  const room = MAX_KEY_BYTES - cache.keys.make(LEASE_KEY_PREFIX, LEASE_VERSION).length
  const name = isPortable(storedKey, room)
    ? storedKey
    : `md5.${nodeCrypto().createHash('md5').update(storedKey).digest('hex')}`
  return cache.checkedKey(LEASE_KEY_PREFIX + name, LEASE_VERSION)
}

const releasing = new WeakMap<CacheCore, Set<Promise<void>>>()

/** Waits until all leases that are being given up are released. Never rejects. */
export async function releasesOver(cache: CacheCore): Promise<void> {
  for (const release of [...(releasing.get(cache) ?? [])]) await release
}

/** The result of {@link leaseOrFind}: at most one of both. */
export interface LeaseOrFound<T> {
  readonly lease?: Lease | undefined
  readonly found?: T | undefined
}

/**
 * Takes the lease of an entry, or waits for what its holder makes.
 *
 * @param find - Looks for the entry; `undefined`: it is not there.
 * @returns Neither lease nor entry if the wait is over or the store fails: then the caller makes it without a
 *   lease.
 * @throws What `find` throws.
 */
export async function leaseOrFind<T>(
  cache: CacheCore,
  storedKey: string,
  { wait, lease: seconds }: Exclude<Lock, false>,
  find: () => Promise<T | undefined>,
): Promise<LeaseOrFound<T>> {
  // How long somebody waits has nothing to do with the time of day, which may be set back meanwhile.
  const endMs = performance.now() + wait * 1000
  let pauseMs = FIRST_PAUSE_MS
  for (;;) {
    let lease: Lease | undefined
    try {
      lease = await Lease.take(cache, storedKey, seconds)
    } catch {
      return {}
    }
    let found: T | undefined
    try {
      // Also with the lease: its previous holder may have stored the entry since the last look.
      found = await find()
    } catch (error) {
      await lease?.release()
      throw error
    }
    if (found !== undefined) {
      await lease?.release()
      return { found }
    }
    if (lease !== undefined) return { lease }
    const leftMs = endMs - performance.now()
    if (leftMs <= 0) return {}
    // Random, so that those who wait do not all come at once.
    await pause(Math.min(leftMs, pauseMs * (0.5 + Math.random())))
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
