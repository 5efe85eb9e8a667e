import { AsyncSlot } from '../async-slot.js'
import type { CacheCore } from '../backend/core.js'
import { checkTags, type SeenVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import { Dependencies } from './dependencies.js'
import type { InFlight } from './in-flight.js'

/**
 * What is being rendered and, later, stored: it collects the tags of everything inside it, at any
 * depth, hit or miss, so that an invalidation of an inner part reaches the outer one too.
 */
export class Frame {
  /** Whether something inside is past its time: what is made of it must not be stored as if it were new. */
  holdsOld = false
  /** It must not be stored: it holds what only one user may see. */
  isUnfit = false
  readonly dependencies: Dependencies
  /** Whether this or something around it asks how long what is inside lives. */
  readonly wantsExpiry: boolean

  constructor(
    readonly cache: CacheCore,
    readonly parent: Frame | undefined,
    /** What others wait for while it is made. */
    readonly flight: InFlight | undefined,
    /** Whether it must not live longer than anything inside. */
    readonly isLimited = false,
    private readonly isLeased = false,
  ) {
    this.dependencies = new Dependencies(cache)
    this.wantsExpiry = isLimited || (parent?.wantsExpiry ?? false)
    if (isLimited) anyIsLimited = true
  }

  /** Whether it is being made under a lease: then nothing inside may wait for another one. */
  get holdsLease(): boolean {
    return this.isLeased && !this.dependencies.isClosed
  }

  /** Notes until when something inside lives. */
  limit(expiresAtMs: Deadline | undefined): void {
    this.dependencies.limit(expiresAtMs)
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
    return this.dependencies.expiresAtMs
  }

  /** Adds what an inner part depends on. The oldest version of a tag stays. */
  depend(cache: CacheCore, tags: SeenVersions | undefined): void {
    this.dependencies.add(cache, tags)
  }

  /**
   * Tells this and what is around it of tags of something that is about to be made inside: who asks for
   * one of these after an invalidation must not be given what is being made now.
   */
  announce(tags: readonly string[]): void {
    if (tags.length === 0) return
    this.dependencies.announce(tags)
    this.parent?.announce(tags)
  }

  /**
   * Notes tags whose versions nobody has read yet.
   *
   * @returns Once waited for, their versions are read; where nobody waits, at the end. They count only if
   *   nobody invalidated them since this began.
   */
  declare(tags: readonly string[]): PromiseLike<void> {
    return this.dependencies.declare(tags)
  }

  /**
   * Ends it: what a body leaves behind (a pool of connections, a timer) runs inside its frame for ever, but
   * is no part of it any more.
   */
  end(): void {
    this.dependencies.close()
  }

  get tags(): SeenVersions | undefined {
    return this.dependencies.tags
  }
}

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
  return currentFrame()?.declare(stored) ?? Promise.resolve()
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
