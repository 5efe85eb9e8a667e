import { coreOf } from '../backend/core.js'
import type { Invalidating, Unsent } from '../backend/late-invalidations.js'
import { shortKey, type ShortKey } from '../bounded-memo.js'
import type { Cache } from '../cache.js'
import { currentMs } from '../current-time.js'
import { CacheBackendError } from '../errors.js'
import { generationKey } from '../http/page-key.js'
import { Moments } from '../moments.js'
import { newTagVersion } from '../tags.js'
import { answeredInTime } from './ask-cache.js'
import { encodeGeneration } from './page-records.js'

/** For at least so long an invalidation counts against handlers that began before it. */
const INVALIDATION_SECONDS = 300

/** Failed invalidations that are remembered. */
const MAX_OUTSTANDING = 10_000

const NOT_INVALIDATED = 'an invalidation of this page failed, and it may be outdated'

/** Counts the events of pages, so that it is known which of them happened after a handler began. */
interface Counter {
  moment: number
}

/** The invalidations of pages in one cache, under one key prefix. */
export class Drops {
  /** Invalidations that the cache has not confirmed yet, by URI. */
  readonly #running = new Map<string, Promise<unknown>>()
  /** Invalidations that failed. They are tried again, so that old pages do not come back with the cache. */
  readonly #outstanding = new Set<ShortKey>()
  /** When variants and URIs were dropped, so that a handler that was running then does not store one. */
  readonly #dropped = new Moments()
  /** When all pages were dropped at once. */
  #clearedAt = 0

  constructor(
    private readonly cache: Cache,
    private readonly keyPrefix: string,
    private readonly counter: Counter,
  ) {
    coreOf(cache).removalListeners.push((storedKey) => {
      if (storedKey === undefined) this.#clearedAt = ++counter.moment
    })
  }

  /** Whether an invalidation is to be waited for, or tried again, before the page is looked up. */
  isPending(uri: string): boolean {
    return this.#running.has(uri) || this.#isOutstanding(uri)
  }

  #isOutstanding(uri: string): boolean {
    return this.#outstanding.size > 0 && this.#outstanding.has(shortKey(uri))
  }

  /**
   * Waits for the invalidation of a URI, or tries it again if it failed.
   *
   * @throws CacheBackendError: it failed, or the cache took too long.
   */
  async settle(uri: string): Promise<void> {
    const running = this.#running.get(uri)
    if (running === undefined) return this.invalidate(uri)
    await answeredInTime(running)
    if (this.#isOutstanding(uri)) throw new CacheBackendError(NOT_INVALIDATED)
  }

  /** Waits for an invalidation of a URI that is on its way, whether it succeeds or not. */
  async runningOver(uri: string): Promise<void> {
    await this.#running.get(uri)
  }

  /** Whether one of these names, of variants and URIs, was dropped since a moment. */
  wereDropped(names: readonly string[], moment: number): boolean {
    return this.#clearedAt > moment || names.some((name) => this.#dropped.of(name) > moment)
  }

  /**
   * Drops every page of a URI.
   *
   * @throws CacheBackendError: the cache failed; the pages may still be there.
   */
  async invalidate(uri: string, how: Invalidating = {}): Promise<void> {
    const expiresAtMs = currentMs() + INVALIDATION_SECONDS * 1000
    const record = { generation: newTagVersion(), invalidated: true, expiresAtMs }
    const value = encodeGeneration(record)
    const key = generationKey({ keyPrefix: this.keyPrefix, uri })
    const storedKey = coreOf(this.cache).checkedKey(key)
    this.#dropped.note(uri, ++this.counter.moment)
    coreOf(this.cache).remembered.removedPages(storedKey)
    const timeout = INVALIDATION_SECONDS
    const drop = async () => {
      await this.cache.set(key, value, { timeout })
      await coreOf(this.cache).store.confirmInvalidation('invalidate')
    }
    const done = answeredInTime(drop())
    const settled = done.then(ignore, ignore)
    this.#running.set(uri, settled)
    try {
      const unsent = recordOf(storedKey, value)
      const isSent = await coreOf(this.cache).late.orLater([unsent], how, () => done)
      if (isSent) this.#outstanding.delete(shortKey(uri))
      else this.#rememberFailed(shortKey(uri))
    } catch (error) {
      // The next look-up of its pages tries again first.
      this.#rememberFailed(shortKey(uri))
      throw error
    } finally {
      if (this.#running.get(uri) === settled) this.#running.delete(uri)
    }
  }

  /** The stored key of the record that all pages of a URI need, and that is replaced to drop them. */
  recordKey(uri: string): string {
    return coreOf(this.cache).checkedKey(generationKey({ keyPrefix: this.keyPrefix, uri }))
  }

  #rememberFailed(uri: ShortKey): void {
    const outstanding = this.#outstanding
    outstanding.delete(uri)
    outstanding.add(uri)
    if (outstanding.size <= MAX_OUTSTANDING) return
    for (const oldest of outstanding) return void outstanding.delete(oldest)
  }

  /**
   * Drops the pages under some keys.
   *
   * @throws CacheBackendError: the cache failed; the pages may still be there.
   */
  async dropKeys(keys: readonly string[], how: Invalidating): Promise<void> {
    const moment = ++this.counter.moment
    for (const key of keys) this.#dropped.note(key, moment)
    // A mark is stored in place of each page: so a handler in another process that found no page cannot store one.
    const marks = keys.map((key) => [key, newMark()] as const)
    const core = coreOf(this.cache)
    const unsent = marks.map(([key, mark]) => recordOf(core.checkedKey(key), mark))
    await core.late.orLater(unsent, how, async () => {
      const failed = await this.cache.setMany(marks, { timeout: INVALIDATION_SECONDS })
      if (failed.length > 0) throw new CacheBackendError(NOT_INVALIDATED)
      await core.store.confirmInvalidation('invalidate')
    })
  }
}

const MARK = 'dropped '

/** Is stored in place of a page and reads as no page; each mark is unique. */
function newMark(): string {
  return `${MARK}${newTagVersion()}`
}

export function isMark(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith(MARK)
}

function ignore(): void {
  // The caller of `invalidate` gets the error.
}

function recordOf(storedKey: string, value: string): Unsent {
  return { kind: 'record', storedKey, value, seconds: INVALIDATION_SECONDS }
}
