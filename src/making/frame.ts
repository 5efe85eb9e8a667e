import { AsyncSlot } from '../async-slot.js'
import type { CacheCore } from '../backend/core.js'
import { invalidationsSoFar, wereInvalidatedSince, wereLostSince } from '../invalidations.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import { checkTags, foreignTag, MAX_TAGS, type SeenVersions, type TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import type { InFlight } from './in-flight.js'

/**
 * Per-visitor inputs that vary-on values have read while they are being evaluated: those of a tag, and
 * after them those of the tags that they render. See `beginVaryOn`.
 */
export const varyOnReads: (Set<string> | undefined)[] = []

/**
 * What is being rendered and, later, stored: it collects the tags of everything inside it, at any
 * depth, hit or miss, so that an invalidation of an inner part reaches the outer one too.
 */
export class Frame {
  /** Whether it is made under a lease: then nothing inside may wait for another one. */
  holdsLease = false
  /** Whether something inside is past its time: what is made of it must not be stored as if it were new. */
  holdsOld = false
  #tags: Map<string, string | undefined> | undefined
  /** What is still to be added to the tags, in order. */
  #unmerged: SeenVersions[] | undefined
  /** Of what is still being made inside; no more are kept than tells that there are too many. */
  #announced: Set<string> | undefined
  /** Tags that were declared without a version more than once: only at the end it is read. */
  #late: Set<string> | undefined
  #hasEnded = false
  /** Whether the tags are somebody else's by now, and must not be changed. */
  #isHandedOver = false
  readonly #begunAt = invalidationsSoFar()
  /** What the clock of invalidations showed in the store when it began. */
  #begunTime: number | undefined
  /** It must not be stored: it holds what only one visitor may see. */
  isUnfit = false
  /** How many tags around were having their vary-on values evaluated when it began. */
  readonly varyOnDepth = varyOnReads.length

  constructor(
    readonly cache: CacheCore,
    readonly parent: Frame | undefined,
    /** What others wait for while it is made. */
    readonly flight: InFlight | undefined,
    /** Whether it must not live longer than anything inside. */
    readonly isLimited = false,
  ) {
    this.#begunTime = cache.clockTime
    this.wantsExpiry = isLimited || (parent?.wantsExpiry ?? false)
    if (isLimited) anyIsLimited = true
  }

  /** Whether this or something around it asks how long what is inside lives. */
  readonly wantsExpiry: boolean
  #expiresAtMs = Infinity

  /** Notes until when something inside lives. */
  limit(expiresAtMs: Deadline | undefined): void {
    if (typeof expiresAtMs === 'number')
      this.#expiresAtMs = Math.min(this.#expiresAtMs, expiresAtMs)
  }

  /** Notes that something inside is past its time. */
  holdOld(): void {
    this.holdsOld = true
    this.parent?.holdOld()
  }

  /** Whether what is rendered in it comes into what is around it. */
  get isPart(): boolean {
    return true
  }

  /** When the first thing inside ends; `Infinity`: none is known to. Milliseconds since the epoch. */
  get bubbledExpiresAtMs(): number {
    return this.#expiresAtMs
  }

  /** Adds what an inner part depends on. The oldest version of a tag stays. */
  depend(cache: CacheCore, tags: SeenVersions | undefined): void {
    if (tags === undefined || this.#hasEnded) return
    if (cache === this.cache) {
      // Most of what is made is asked for its tags once, at its end, or never.
      if (this.#unmerged === undefined) this.#unmerged = [tags]
      else if (this.#unmerged.push(tags) >= MAX_UNMERGED) this.#merged()
      return
    }
    const own = this.#merged()
    for (const tag of tags.keys()) {
      // Versions are counted per cache: in another one this tag has a version of its own.
      const ownTag = foreignTag(tag)
      if (this.#add(own, ownTag)) this.#expect(ownTag)
    }
  }

  /**
   * Tells this and what is around it of tags of something that is about to be made inside: who asks for
   * one of these after an invalidation must not be given what is being made now.
   */
  announce(tags: readonly string[]): void {
    if (tags.length === 0) return
    if (!this.#hasEnded) for (const tag of tags) this.#expect(tag)
    this.parent?.announce(tags)
  }

  #expect(tag: string): void {
    const announced = (this.#announced ??= new Set())
    if (announced.size <= MAX_TAGS) announced.add(tag)
  }

  /** Whether something it is made from was invalidated in this process since it began. */
  isOutdatedBy(tags: Iterable<string>): boolean {
    if (invalidationsSoFar() === this.#begunAt) return false
    const announced = this.#announced ?? NO_NAMES
    // Of too many not all are known: it may be any of them.
    if (announced.size > MAX_TAGS || this.hasTooManyTags) return true
    return (
      this.isOutdated(tags) ||
      this.isOutdated(this.tags?.keys() ?? NONE) ||
      this.isOutdated(announced)
    )
  }

  /** Whether it depends on more than can be stored. Then it is not known on what all. */
  get hasTooManyTags(): boolean {
    return (this.tags?.size ?? 0) > MAX_TAGS
  }

  /**
   * Ends it: what a body leaves behind (a pool of connections, a timer) runs inside its frame for ever, but
   * is no part of it any more.
   */
  end(): void {
    this.#hasEnded = true
    this.holdsLease = false
  }

  /**
   * Notes tags whose versions nobody has read yet.
   *
   * @returns Once waited for, their versions are read; where nobody waits, at the end. They count only if
   *   nobody invalidated them since this began.
   */
  declare(tags: readonly string[]): PromiseLike<void> {
    if (this.#hasEnded) return READ
    const { cache } = this
    const own = this.#merged()
    const fresh: string[] = []
    for (const tag of tags) {
      if (this.#add(own, tag)) fresh.push(tag)
      // Its version is read later, and an invalidation may come before.
      this.#expect(tag)
    }
    return new Declaration(async () => {
      const versions = await cache.tryRead(() => cache.declaredVersions(fresh, this.#begunTime))
      if (versions === undefined) return
      const known = this.#merged()
      for (const tag of fresh) {
        const isStill = known.get(tag) === undefined && this.#late?.has(tag) !== true
        // Nobody knows what was read before this was waited for.
        if (isStill && !this.isOutdated([tag])) known.set(tag, versions.get(tag))
      }
    })
  }

  /** What is around something that is made, and began before it did, is as old as that. */
  beginWith(earlier: Frame): void {
    this.#begunTime = earlier.#begunTime
  }

  /** What the clock of invalidations showed when it began; `undefined`: not known. */
  get begunTime(): number | undefined {
    return this.#begunTime
  }

  #merged(): Map<string, string | undefined> {
    if (this.#isHandedOver) this.#tags = new Map(this.#tags)
    this.#isHandedOver = false
    const own = (this.#tags ??= new Map<string, string | undefined>())
    const unmerged = this.#unmerged
    this.#unmerged = undefined
    for (const tags of unmerged ?? NONE_OF) {
      tags.forEach((version, tag) => this.#add(own, tag, version))
    }
    return own
  }

  /** @returns Whether it was not there: the oldest version stays, and one that is not known is the oldest. */
  #add(own: Map<string, string | undefined>, tag: string, version?: string): boolean {
    if (own.has(tag)) {
      if (version === undefined) {
        own.set(tag, undefined)
        this.#late ??= new Set()
        this.#late.add(tag)
      }
      return false
    }
    // What cannot be stored any more needs no more of them.
    if (own.size > MAX_TAGS) return false
    own.set(tag, version)
    return true
  }

  /**
   * Gives the tags away to be stored, together with others.
   *
   * @param others - Their versions go before its own.
   */
  handOver(others: TagVersions): Map<string, string | undefined> {
    const own = this.#merged()
    others.forEach((version, tag) => own.set(tag, version))
    this.#isHandedOver = true
    return own
  }

  /** Whether one of these tags was invalidated for good in this process since it began. */
  wasLost(tags: SeenVersions | undefined): boolean {
    return tags !== undefined && wereLostSince(tags.keys(), this.#begunAt)
  }

  /**
   * Whether one of these tags, whose versions are read only after the body, was invalidated in this
   * process since it began.
   */
  isOutdated(unread: Iterable<string>): boolean {
    return wereInvalidatedSince(unread, this.#begunAt)
  }

  get tags(): SeenVersions | undefined {
    return this.#unmerged === undefined ? this.#tags : this.#merged()
  }
}

/** Tags whose versions are read once somebody waits for that. */
class Declaration implements PromiseLike<void> {
  #reading: Promise<void> | undefined

  constructor(private readonly read: () => Promise<void>) {}

  then<A = void, B = never>(
    fulfilled?: ((value: void) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#reading ??= this.read()
    return this.#reading.then(fulfilled, rejected)
  }
}

const READ = Promise.resolve()

const NONE: readonly string[] = []
const NONE_OF: readonly SeenVersions[] = []
const NO_NAMES: ReadonlySet<string> = new Set()

/** After so many it is cheaper to merge them than to keep them. */
const MAX_UNMERGED = 1_000

const asynchronous = new AsyncSlot<Frame>()
let anyIsLimited = false
let synchronous: Frame | undefined

/** The frame the calling code is rendered in. */
export function currentFrame(): Frame | undefined {
  if (synchronous !== undefined) return synchronous
  return asynchronous.current
}

/** Whether anybody in this process ever asked how long what is inside lives. */
export function mayWantExpiry(): boolean {
  return anyIsLimited
}

/** Whether something around the calling code is made under a lease. */
export function isUnderLease(frame: Frame | undefined): boolean {
  for (let at = frame; at !== undefined; at = at.parent) if (at.holdsLease) return true
  return false
}

/**
 * What others wait for while the calling code's frame is made. What a body leaves behind (a pool of
 * connections, a timer) calls from inside its frame for ever, but nobody waits for that any more.
 */
export function flightAround(frame: Frame | undefined): InFlight | undefined {
  for (let at = frame; at !== undefined; at = at.parent) {
    if (at.flight?.hasEnded === false) return at.flight
  }
  return undefined
}

/** All that are, from the inside out. */
export function flightsAround(frame: Frame | undefined): InFlight[] {
  const flights: InFlight[] = []
  for (let at = frame; at !== undefined; at = at.parent) {
    if (at.flight?.hasEnded === false) flights.push(at.flight)
  }
  return flights
}

/**
 * Says that what is being made depends on something that is in no cache: the fragments, pages and
 * values around the calling code are invalidated with any of the tags. Where nothing is being made, it
 * does nothing.
 *
 *     await dependOn(['product:7'])
 *     const product = await db.product(7)
 *
 * @param tags - As for `invalidateTags`.
 * @returns To wait for, which is best done before the data is read: then what is made is kept, and every
 *   invalidation from there on makes it a miss, in any process. It never rejects. Waited for or not, nothing
 *   is kept if one of the tags was invalidated between the beginning of the making and this call.
 * @throws TypeError: not a list of texts, or an empty text.
 * @remarks Holds across `await`, timers and streams that begin inside the body.
 */
export function dependOn(tags: readonly string[]): PromiseLike<void> {
  const stored = checkTags(tags)
  return currentFrame()?.declare(stored) ?? READ
}

/**
 * The tag versions to store with what was made in a frame: its own and those of everything inside it.
 *
 * @param own - Read before it was made.
 * @returns `undefined` if one was, or may have been, invalidated meanwhile.
 */
export function tagsToStore(frame: Frame, own: TagVersions): MaybePromise<TagVersions | undefined> {
  if (frame.tags === undefined) return own
  if (frame.isOutdatedBy(NONE)) return undefined
  const known = frame.handOver(own)
  if (known.size > MAX_TAGS) {
    warnOfTags()
    return undefined
  }
  const unread: string[] = []
  known.forEach((version, tag) => {
    if (version === undefined) unread.push(tag)
  })
  if (unread.length === 0) return known as Map<string, string>
  // What contains this must know of the tags at once: it may be done before they are read.
  frame.parent?.depend(frame.cache, known)
  const { cache, begunTime } = frame
  const read = cache.tryRead(() => cache.versionsSince(unread, begunTime))
  return chain(read, (versions) => {
    if (versions === undefined || frame.isOutdated(unread)) return undefined
    return new Map([...(known as Map<string, string>), ...versions])
  })
}

let hasWarnedOfTags = false

/** Tells once in this process that something is not stored since it depends on too much. */
export function warnOfTags(): void {
  if (hasWarnedOfTags) return
  hasWarnedOfTags = true
  process.emitWarning(
    `something depends on more than ${MAX_TAGS} tags, and is not stored; give what is inside fewer, coarser tags; reported once`,
    { type: 'CacheTagsWarning', code: 'FRAGCACHE_TOO_MANY_TAGS' },
  )
}

/** Runs code that ends before it returns. */
export function runSyncIn<T>(frame: Frame | undefined, action: () => T): T {
  const before = synchronous
  synchronous = frame
  try {
    return action()
  } finally {
    synchronous = before
  }
}

/** Runs code that may go on after it returned. */
export function runAsyncIn<T>(frame: Frame | undefined, action: () => T): T {
  if (frame === undefined && !asynchronous.isUsed) return runSyncIn(undefined, action)
  // What runs now must not be taken for a part of a synchronous body further out.
  return runSyncIn(undefined, () => asynchronous.run(frame, action))
}

/**
 * Enters a frame by hand, for code that cannot be run by a callback and ends before anything else
 * runs.
 *
 * @returns The frame to come back to, by the same function.
 */
export function swapSyncFrame(frame: Frame | undefined): Frame | undefined {
  const before = synchronous
  synchronous = frame
  return before
}

/** The frame of the asynchronous context alone. */
export function asyncFrame(): Frame | undefined {
  return asynchronous.current
}

/**
 * Enters a frame by hand, for code that cannot be run by a callback and may wait in between. Only
 * to be called right after an `await`: before it, the caller would be taken along.
 */
export function enterAsyncFrame(frame: Frame | undefined): void {
  asynchronous.enter(frame)
}

/** Whether a frame is another one or a part of it. */
export function isWithin(frame: Frame | undefined, outer: Frame): boolean {
  for (let at = frame; at !== undefined; at = at.isPart ? at.parent : undefined) {
    if (at === outer) return true
  }
  return false
}
