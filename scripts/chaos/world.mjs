/** What reads and invalidations of one process have in common: the caches, the truth, the record. */
import { setTimeout as sleep } from 'node:timers/promises'
import { nowMs } from './history.mjs'
import { dependOn, FragmentCache } from './product.mjs'
import { Random } from './random.mjs'
import { startSite } from './site.mjs'

/**
 * @typedef {object} Entry - Something that is cached.
 * @property {string} name
 * @property {Readonly<Record<string, readonly string[]>>} handles - By which each thing that it is made
 *   from can be invalidated.
 * @property {() => Promise<Made>} look - Reads it, or has it made.
 * @property {boolean} [mayBeStale]
 *
 * @typedef {object} Made - What is stored of an entry.
 * @property {string} entry
 * @property {Readonly<Record<string, number>>} numbers - By thing.
 */

/** How a producer says what it depends on, apart from tags that are declared. */
export const DECLARED = 'declared'
export const AWAITED = 'awaited'
export const EARLY = 'early'
export const LATE = 'late'

export class World {
  /** When the reads of an entry began that are on their way. */
  #onTheirWay = new Map()

  constructor({ store, truth, recorder, seed }) {
    this.caches = store.caches
    this.cache = store.caches.default
    this.fragments = new FragmentCache(store.caches)
    this.truth = truth
    this.recorder = recorder
    this.seed = seed
    this.random = new Random(seed, 'producers')
    this.store = store
    this.site = undefined
    this.ending = new AbortController()
  }

  /** What goes on at random comes to its end. */
  finish() {
    this.ending.abort()
  }

  async open() {
    this.site = await startSite(this.caches)
    // Connections are there before anything is measured.
    for (const alias of this.caches.aliases) {
      await this.caches
        .get(alias)
        .get('warm')
        .catch(() => undefined)
    }
    return this
  }

  async close() {
    this.site.close()
    await this.store.close()
  }

  /**
   * What a producer does: takes its time, reads the truth, takes its time again.
   *
   * @param {string} entry
   * @param {string} thing
   * @param {string} [declaring] - Default: its tag is declared with the entry.
   * @returns {Promise<Made>}
   */
  async make(entry, thing, declaring = DECLARED) {
    await this.takeTime()
    if (declaring === AWAITED) await dependOn([tagOf(thing)])
    if (declaring === EARLY) dependOn([tagOf(thing)])
    const number = this.truth.read(thing)
    await this.takeTime()
    if (declaring === LATE) dependOn([tagOf(thing)])
    return { entry, numbers: { [thing]: number } }
  }

  /** Mostly none, and up to 300 ms. */
  async takeTime() {
    if (this.random.next() < 0.7) return
    await sleep(300 * this.random.next() ** 2)
  }

  /**
   * Reads an entry, and remembers what it gave. Never rejects.
   *
   * @param {Entry} entry
   */
  async read(entry) {
    const begin = nowMs()
    const since = Math.min(...(this.#onTheirWay.get(entry.name) ?? []))
    const asked = { entry: entry.name, begin }
    try {
      const { entry: gave, numbers } = await this.look(entry, begin)
      const end = nowMs()
      const parts = Object.entries(entry.handles).map(([thing, handles]) => {
        return { thing, number: numbers[thing], known: this.truth.read(thing), handles }
      })
      const { mayBeStale } = entry
      const joined = since === Infinity ? {} : { since }
      this.recorder.add({ kind: 'read', ...asked, gave, parts, end, mayBeStale, ...joined })
    } catch (error) {
      this.recorder.add({ kind: 'failed', ...asked, end: nowMs(), text: String(error) })
    }
  }

  /** The same for what is inside another entry: it is judged there. */
  async look(entry, begin = nowMs()) {
    const begins = this.#onTheirWay.get(entry.name) ?? new Set()
    this.#onTheirWay.set(entry.name, begins)
    // Two may begin at the same time.
    const own = begins.has(begin) ? begin + 1e-6 : begin
    begins.add(own)
    try {
      return await entry.look()
    } finally {
      begins.delete(own)
    }
  }

  /**
   * Changes a thing, and then invalidates what is made from it. Never rejects.
   *
   * @param {string} thing
   * @param {{ handle: string, soft?: boolean, run: () => Promise<unknown> }} way
   */
  async invalidate(thing, { handle, soft, run }) {
    const number = this.truth.raise(thing)
    return this.promise({ thing, number, handle, soft }, run)
  }

  /**
   * Records that something holds from when a call has resolved. Never rejects.
   *
   * @returns Whether it resolved.
   */
  async promise(what, run) {
    const begin = nowMs()
    try {
      await run()
      this.recorder.add({ kind: 'promise', ...what, begin, end: nowMs() })
      return true
    } catch (error) {
      const text = String(error)
      this.recorder.add({ kind: 'failed', ...what, begin, end: nowMs(), text })
      return false
    }
  }

  /** Records something wrong that no read shows: with an entry, or with all. */
  broken(text, entry) {
    const at = nowMs()
    this.recorder.add({ kind: 'broken', entry: entry?.name, text, begin: at, end: at })
  }
}

export function tagOf(thing) {
  return `thing:${thing}`
}
