import { currentMs } from '../current-time.js'
import { MisuseError, show } from '../errors.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import type { RememberedEntries } from '../observe/remembered.js'
import { addIntegers } from '../serializer.js'
import { withStamp, type Stamp } from '../stamp.js'
import { toAgeing } from '../staleness.js'
import type { Deadline } from '../timeout.js'
import type { CompleteStore } from './complete-store.js'
import type { Entries, Hit, StoreRequest } from './entries.js'
import type { WriteOutcome } from './store.js'

/** How often an entry is tried again when another writer was faster. */
const MAX_CONFLICTS = 10_000

/** Of an entry without stamp: fresh while it is there, kept no longer, of unknown cost. */
const UNSTAMPED: Stamp = { freshUntilMs: Infinity, graceMs: 0, costMs: 0 }

/** What changes are made in. */
export interface Changed {
  readonly store: CompleteStore
  readonly entries: Entries
  readonly remembered: Pick<RememberedEntries, 'touched' | 'copied'>
  /** Called before and after an entry is removed. */
  removing(storedKey: string): void
}

/** Changes of single entries that depend on what is there: by compare and set, since others write too. */
export class Changes {
  readonly #of: Changed

  constructor(of: Changed) {
    this.#of = of
  }

  /** Stores an entry if there is none that is live. @param request - One that says `ifAbsent`. */
  add(request: StoreRequest): MaybePromise<WriteOutcome> {
    const { storedKey, expiresAtMs } = request
    if (expiresAtMs !== null && expiresAtMs <= 0) {
      return chain(this.#of.entries.lookupOne(storedKey, true), (hit) =>
        hit === undefined ? 'stored' : 'refused',
      )
    }
    const added = this.#of.entries.storeOne(request)
    if (isPromise(added)) return added.then((outcome) => this.#orOverInvalidated(request, outcome))
    return this.#orOverInvalidated(request, added)
  }

  #orOverInvalidated(request: StoreRequest, outcome: WriteOutcome): MaybePromise<WriteOutcome> {
    return outcome === 'refused' ? this.#addOverInvalidated(request) : outcome
  }

  /** An entry that its tags made a miss still lies in the store: replace exactly that one. */
  async #addOverInvalidated(request: StoreRequest): Promise<WriteOutcome> {
    const { storedKey } = request
    const [payload] = await this.#of.store.readEntries([storedKey])
    const { entries } = this.#of
    if (payload === undefined) return entries.storeOne(request)
    if (!(await this.#isInvalidated(storedKey, payload))) return 'refused'
    return entries.storeOne({ ...request, replacing: payload })
  }

  async #isInvalidated(storedKey: string, payload: unknown): Promise<boolean> {
    try {
      const { tags, stamp } = this.#of.store.unpackPayload(payload)
      if (tags === undefined && stamp === undefined) return false
    } catch {
      return true
    }
    return (await this.#current(storedKey)) === undefined
  }

  async #current(storedKey: string): Promise<Hit | undefined> {
    return this.#of.entries.lookupOne(storedKey, true)
  }

  /** Gives a live entry a new deadline. @returns Whether there was one. */
  async touch(storedKey: string, expiresAtMs: Deadline): Promise<boolean> {
    if (expiresAtMs !== null && expiresAtMs <= 0) return this.delete(storedKey)
    const wasTouched = await this.#touch(storedKey, expiresAtMs)
    if (wasTouched) this.#of.remembered.touched(storedKey, expiresAtMs)
    return wasTouched
  }

  async #touch(storedKey: string, expiresAtMs: Deadline): Promise<boolean> {
    const { entries, store } = this.#of
    // Where the second fails at once, somebody still has to wait for the first.
    const touching = async () => store.touchEntry(storedKey, expiresAtMs)
    // Both at once: an invalidated entry that lives on by this stays a miss.
    const [hit, touched] = await Promise.all([entries.lookupOne(storedKey, true, true), touching()])
    if (hit?.staleSinceMs !== undefined) {
      await this.#untouch(storedKey, hit)
      return false
    }
    if (hit?.stamp === undefined) return hit !== undefined && touched
    return this.#restamp('touch', storedKey, ({ graceMs, costMs }) => {
      const ageing = toAgeing(expiresAtMs, graceMs / 1000, costMs)
      return ageing.stamp === undefined ? undefined : { ...ageing, stamp: ageing.stamp }
    })
  }

  /** What is past its time is kept no longer, and no shorter, than it was to be. */
  async #untouch(storedKey: string, { stamp }: Hit): Promise<void> {
    if (stamp === undefined) return
    const endMs = stamp.freshUntilMs + stamp.graceMs
    if (endMs > currentMs() && endMs < Infinity) await this.#of.store.touchEntry(storedKey, endMs)
    else if (endMs <= currentMs()) await this.#of.store.removeEntries([storedKey])
  }

  /** Makes an entry stale. @returns Whether it was there and fresh. */
  async expire(storedKey: string): Promise<boolean> {
    const wasFresh = await this.#restamp('expire', storedKey, (stamp, expiresAtMs) => ({
      stamp: { ...stamp, freshUntilMs: currentMs(), isExpired: true },
      expiresAtMs,
    }))
    if (wasFresh) return true
    const { entries, store } = this.#of
    // What is about to be written in place of what lies there was begun before.
    const lies = await entries.lookupOne(storedKey, true, true)
    if (lies?.stamp === undefined || lies.stamp.isExpired === true) {
      await store.removeEntries([storedKey])
      return false
    }
    const [payload] = await store.readEntries([storedKey])
    const expiresAtMs = await store.readDeadline(storedKey)
    if (payload === undefined || expiresAtMs === undefined) return false
    const stamp = { ...lies.stamp, isExpired: true }
    const value = await store.packToWrite(lies.value, withStamp(lies.tags, stamp))
    const entry = { key: storedKey, payload: value, expiresAtMs, replacing: payload }
    const [outcome] = await store.writeEntries([entry])
    // What has taken its place since may have been begun before, too.
    if (outcome !== 'stored') await store.removeEntries([storedKey])
    return false
  }

  async delete(storedKey: string): Promise<boolean> {
    this.#of.removing(storedKey)
    const hit = await this.#current(storedKey)
    const [removed] = await this.#of.store.removeEntries([storedKey])
    // Who asks from now on must not be given what was found in between.
    this.#of.removing(storedKey)
    return hit !== undefined && removed === true
  }

  /** Adds to a whole number. @returns The sum; `undefined`: there is no live entry. */
  count(operation: string, storedKey: string, delta: number): MaybePromise<number | undefined> {
    const counted = this.#of.store.incrementEntry(storedKey, delta)
    const orOther = (sum: number | null | undefined) =>
      sum === null ? this.#addToOther(operation, storedKey, delta) : sum
    if (isPromise(counted)) return counted.then(orOther)
    return counted === null ? this.#addToOther(operation, storedKey, delta) : counted
  }

  /** What is no raw whole number may still be one stored with tags: compare and set. */
  async #addToOther(
    operation: string,
    storedKey: string,
    delta: number,
  ): Promise<number | undefined> {
    let sum = 0
    const found = await this.#rewrite(operation, storedKey, (hit, expiresAtMs) => {
      if (!Number.isSafeInteger(hit.value)) {
        throw new MisuseError(`${operation}: the entry ${show(storedKey)} is not a whole number`)
      }
      sum = addIntegers(hit.value as number, delta)
      const payload = this.#of.store.packValue(sum, withStamp(hit.tags, hit.stamp))
      return { payload, expiresAtMs }
    })
    return found ? sum : undefined
  }

  /** Moves an entry to another key. @returns What became of it; `undefined`: there is none. */
  async move(from: string, to: string): Promise<WriteOutcome | undefined> {
    const hit = await this.#current(from)
    const expiresAtMs = await this.#of.store.readDeadline(from)
    if (hit === undefined || expiresAtMs === undefined) return undefined
    if (from === to) return 'stored'
    this.#of.removing(from)
    const { value, tags, stamp } = hit
    const moved = { storedKey: to, value, expiresAtMs, tags, stamp }
    const outcome = await this.#of.entries.storeOne(moved)
    if (outcome !== 'stored') return outcome
    this.#of.remembered.copied(from, to)
    await this.#of.store.removeEntries([from])
    this.#of.removing(from)
    return outcome
  }

  /**
   * Gives a fresh entry another stamp, and another deadline with it.
   *
   * @param change - `undefined`: the entry stays as it is.
   * @returns Whether it was there.
   */
  async #restamp(
    operation: string,
    storedKey: string,
    change: (
      stamp: Stamp,
      expiresAtMs: Deadline,
    ) => { readonly stamp: Stamp; readonly expiresAtMs: Deadline } | undefined,
  ): Promise<boolean> {
    return this.#rewrite(operation, storedKey, async ({ value, tags, stamp }, deadline) => {
      const changed = change(stamp ?? UNSTAMPED, deadline)
      if (changed === undefined) return undefined
      const payload = await this.#of.store.packToWrite(value, withStamp(tags, changed.stamp))
      return { payload, expiresAtMs: changed.expiresAtMs }
    })
  }

  /**
   * Changes a fresh entry.
   *
   * @returns `false` if there is none.
   */
  async #rewrite(
    operation: string,
    storedKey: string,
    change: (
      hit: Hit,
      expiresAtMs: Deadline,
    ) => MaybePromise<{ readonly payload: unknown; readonly expiresAtMs: Deadline } | undefined>,
  ): Promise<boolean> {
    const { store } = this.#of
    for (let i = 0; i < MAX_CONFLICTS; i++) {
      const [payload] = await store.readEntries([storedKey])
      const expiresAtMs = await store.readDeadline(storedKey)
      const hit = await this.#current(storedKey)
      if (payload === undefined || hit === undefined || expiresAtMs === undefined) return false
      const changed = await change(hit, expiresAtMs)
      if (changed === undefined) return true
      const entry = { key: storedKey, ...changed, replacing: payload }
      const [outcome] = await store.writeEntries([entry])
      if (outcome === 'stored') return true
    }
    throw new Error(`${operation}: other writers were always faster`)
  }
}
