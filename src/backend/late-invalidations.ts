import { currentMs } from '../current-time.js'
import { noteInvalidation } from '../invalidations.js'
import type { MaybePromise } from '../maybe-promise.js'
import type { ResolvedSettings } from '../settings.js'
import { isStoreFailure } from './calls.js'
import type { Entries } from './entries.js'
import type { Debt, Guard } from './guard.js'

/** How something is invalidated. */
export interface Invalidating {
  /** Stale instead of gone. */
  readonly soft?: boolean
  /** While the store is down, the invalidation may be sent later. */
  readonly later?: boolean
}

/** An invalidation that the store has not confirmed. Plain data, so that a log may keep it outside of the process. */
export type Unsent =
  | { readonly kind: 'tag'; readonly tag: string; readonly soft: boolean }
  /** A record that takes the place of pages; text, as it is stored. */
  | {
      readonly kind: 'record'
      readonly storedKey: string
      readonly value: string
      readonly seconds: number
    }

/** Where invalidations are kept until the store has confirmed them. */
export interface InvalidationLog {
  readonly size: number
  /**
   * Keeps one, in place of an earlier one of the same tag or key.
   *
   * @returns `false`: there is no room, and it is not kept.
   */
  add(one: Unsent): boolean
  /** The oldest ones. */
  next(count: number): readonly Unsent[]
  /** The store has confirmed these. What has taken the place of one meanwhile stays. */
  remove(sent: readonly Unsent[]): void
}

/** Invalidations that are kept in one process at most. */
const MAX_UNSENT = 10_000

/** In memory: what was not sent when the process ends is lost. */
export class InvalidationQueue implements InvalidationLog {
  readonly #unsent = new Map<string, Unsent>()

  get size(): number {
    return this.#unsent.size
  }

  add(one: Unsent): boolean {
    const id = idOf(one)
    const before = this.#unsent.get(id)
    if (before === undefined && this.#unsent.size >= MAX_UNSENT) return false
    // What is to be gone does not become only stale. The one before may be on its way, and ends what was made until then.
    const isSofter = one.kind === 'tag' && one.soft && before?.kind === 'tag' && !before.soft
    this.#unsent.set(id, isSofter ? { ...before } : one)
    return true
  }

  next(count: number): readonly Unsent[] {
    return [...this.#unsent.values()].slice(0, count)
  }

  remove(sent: readonly Unsent[]): void {
    for (const one of sent) {
      const id = idOf(one)
      if (this.#unsent.get(id) === one) this.#unsent.delete(id)
    }
  }
}

const idOf = (one: Unsent): string =>
  one.kind === 'tag' ? `tag ${one.tag}` : `record ${one.storedKey}`

export function unsentTags(tags: readonly string[], soft: boolean): Unsent[] {
  return tags.map((tag) => ({ kind: 'tag', tag, soft }))
}

/** The cache that invalidations are sent through. */
interface Sender {
  readonly guard: Guard
  readonly entries: Pick<Entries, 'bumpTags' | 'store'>
  readonly store: { confirmInvalidation(operation: string): MaybePromise<void> }
  readonly settings: ResolvedSettings
  /** The store that all processes share, where this cache is in front of it. */
  readonly shared: { readonly guard: Guard; readonly settings: ResolvedSettings }
}

/** Invalidations that are sent together. */
const BATCH = 500

/** Milliseconds between two attempts. */
const PAUSE_MS = 250

/**
 * The invalidations of one cache that its store was not there for. They are sent as soon as it answers again; until
 * then nothing is read from it in this process.
 *
 * @remarks Its timer does not keep the process alive.
 */
export class LateInvalidations implements Debt {
  #settling: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  /**
   * @param core - The cache they are sent through, so that all hear of them whom it tells.
   * @param log - What is in it already is sent before anything is read.
   */
  constructor(
    private readonly core: Sender,
    private readonly log: InvalidationLog = new InvalidationQueue(),
  ) {
    if (log.size > 0) this.#owe()
  }

  /**
   * Tells the store of an invalidation, or keeps it for when the store is back.
   *
   * @returns Whether the store has been told.
   * @throws CacheBackendError: the store failed, and nobody said that later will do.
   */
  async orLater(
    unsent: readonly Unsent[],
    { later = false }: Invalidating,
    send: () => MaybePromise<unknown>,
  ): Promise<boolean> {
    const { settings, shared } = this.core
    try {
      await send()
      return true
    } catch (error) {
      if (!isStoreFailure(error)) throw error
      const isKept = (later || shared.settings.retryInvalidations) && this.#keep(unsent)
      if (!settings.ignoreErrors && !(later && isKept)) throw error
      return false
    }
  }

  /** @returns Whether all are kept; for those that found room nothing is read until they are sent. */
  #keep(unsent: readonly Unsent[]): boolean {
    const { log } = this
    const isKept = unsent.every((one) => log.add(one))
    if (log.size > 0) this.#owe()
    return isKept
  }

  #owe(): void {
    const { guard } = this.core.shared
    guard.owe(this)
    this.#timer ??= setInterval(() => {
      if (!guard.isOutOfReach) this.settle().catch(() => undefined)
    }, PAUSE_MS).unref()
  }

  /** Sends all. @throws CacheBackendError: the store is not back, or failed again. */
  settle(): Promise<void> {
    return (this.#settling ??= this.#send().finally(() => {
      this.#settling = undefined
    }))
  }

  async #send(): Promise<void> {
    const { core, log } = this
    for (let batch = log.next(BATCH); batch.length > 0; batch = log.next(BATCH)) {
      const sent = batch
      await core.guard.run('invalidateTags', () => this.#sendBatch(sent))
      log.remove(sent)
    }
    core.shared.guard.settled(this)
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #sendBatch(batch: readonly Unsent[]): Promise<void> {
    const { entries, store } = this.core
    for (const soft of [false, true]) {
      const tags = batch.flatMap((one) =>
        one.kind === 'tag' && one.soft === soft ? [one.tag] : [],
      )
      if (tags.length === 0) continue
      await entries.bumpTags(tags, soft)
      noteInvalidation(tags, soft)
    }
    const records = batch.filter((one) => one.kind === 'record')
    if (records.length === 0) return
    const outcomes = await entries.store(
      records.map(({ storedKey, value, seconds }) => ({
        storedKey,
        value,
        expiresAtMs: currentMs() + seconds * 1000,
      })),
    )
    if (!outcomes.every((outcome) => outcome === 'stored')) throw new Error('it was not written')
    await store.confirmInvalidation('invalidate')
  }
}
