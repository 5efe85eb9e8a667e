import { AsyncSlot, ContextHold } from '../async-slot.js'
import type { CacheCore } from '../backend/core.js'
import { checkTags, type SeenVersions } from '../tags.js'
import type { UnstoredReason } from '../observe/reasons.js'
import type { Deadline } from '../timeout.js'
import { Dependencies } from './dependencies.js'
import type { InFlight } from './in-flight.js'

/** Why the output of a frame is for one visitor, or is not whole. */
export type UnfitReason = Extract<UnstoredReason, 'undeclared-read' | 'holes' | 'incomplete'>

/**
 * A value, fragment or page that is being made. It collects the tags of everything inside it, at any
 * depth, hit or miss, so that an invalidation of an inner entry reaches the outer one too.
 */
export class Frame {
  /** Whether a stale entry was served inside: then the result must not be stored as if it were fresh. */
  holdsOld = false
  /** Why it must not be stored, whatever else speaks for it. */
  #unfitFor: UnfitReason | undefined
  readonly dependencies: Dependencies
  /** Whether this frame, or one around it, must know when the entries inside expire. */
  readonly wantsExpiry: boolean
  /** Keeps the frame the asynchronous context of what runs in it, until it ends. */
  readonly hold: ContextHold = new ContextHold()

  constructor(
    readonly cache: CacheCore,
    readonly parent: Frame | undefined,
    /** What others wait for while it is made. */
    readonly flight: InFlight | undefined,
    /** Whether the result must expire no later than any entry inside. */
    readonly isLimited = false,
    private readonly isLeased = false,
  ) {
    this.dependencies = new Dependencies(cache)
    this.wantsExpiry = isLimited || (parent?.wantsExpiry ?? false)
    if (isLimited) anyIsLimited = true
  }

  /** Keeps its result from being stored. */
  refuse(reason: UnfitReason): void {
    this.#unfitFor ??= reason
  }

  get unfitFor(): UnfitReason | undefined {
    return this.#unfitFor
  }

  /** Whether it must not be stored, nor be given to others. */
  get isUnfit(): boolean {
    return this.#unfitFor !== undefined
  }

  /** Whether it is being made under a lease: then nothing inside may wait for another one. */
  get holdsLease(): boolean {
    return this.isLeased && !this.dependencies.isClosed
  }

  /** Records when an entry inside expires. */
  limit(expiresAtMs: Deadline | undefined): void {
    if (this.hasEnded) this.parent?.limit(expiresAtMs)
    else this.dependencies.limit(expiresAtMs)
  }

  /** Records that a stale entry was served inside. */
  holdOld(): void {
    this.holdsOld = true
    this.parent?.holdOld()
  }

  /** Whether its output becomes part of the output of the frame around it. */
  get isPart(): boolean {
    return true
  }

  /** When the first entry inside expires, in milliseconds since the epoch; `Infinity`: none is known to. */
  get bubbledExpiresAtMs(): number {
    return this.dependencies.expiresAtMs
  }

  /** Adds what an inner entry depends on. */
  depend(cache: CacheCore, tags: SeenVersions | undefined): void {
    if (this.hasEnded) this.parent?.depend(cache, tags)
    else this.dependencies.add(cache, tags)
  }

  /**
   * Announces, to this frame and those around it, the tags of an entry that is about to be made inside.
   * If one of them is invalidated, later callers must not be given what is being made now.
   */
  announce(tags: readonly string[]): void {
    if (tags.length === 0) return
    this.dependencies.announce(tags)
    this.parent?.announce(tags)
  }

  /**
   * Records tags whose versions have not been read yet.
   *
   * @returns Awaiting it reads their versions; if it is never awaited, they are read at the end. The result
   *   is kept only if none of them was invalidated since this frame began.
   */
  declare(tags: readonly string[]): PromiseLike<void> {
    return this.dependencies.declare(tags)
  }

  /**
   * Ends the frame. What a body leaves running (a pool of connections, a timer) may keep this frame as its
   * asynchronous context, but no longer adds to it: what comes from there may still become part of the frame around.
   */
  end(): void {
    this.dependencies.close()
    this.hold.release()
  }

  get hasEnded(): boolean {
    return this.dependencies.isClosed
  }

  get tags(): SeenVersions | undefined {
    return this.dependencies.tags
  }
}

const asynchronous = new AsyncSlot<Frame>()
let anyIsLimited = false
let synchronous: Frame | undefined

/**
 * The frame that the calling code runs in: the innermost that has not ended. One that has keeps nothing any more, and
 * a producer that has itself called again would otherwise leave a chain of frames behind that only grows.
 */
export function currentFrame(): Frame | undefined {
  let frame = synchronous ?? asynchronous.current
  while (frame?.hasEnded === true) frame = frame.parent
  return frame
}

/** Whether any frame of this process ever had to know when the entries inside expire. */
export function mayWantExpiry(): boolean {
  return anyIsLimited
}

/** Whether a frame, or one around it, is made under a lease. */
export function isUnderLease(frame: Frame | undefined): boolean {
  for (let at = frame; at !== undefined; at = at.parent) if (at.holdsLease) return true
  return false
}

/**
 * The innermost flight around a frame that has not ended. What a body leaves running (a pool of connections,
 * a timer) stays inside its frame, but nobody waits for an ended flight.
 */
export function flightAround(frame: Frame | undefined): InFlight | undefined {
  for (let at = frame; at !== undefined; at = at.parent) {
    if (at.flight?.hasEnded === false) return at.flight
  }
  return undefined
}

/** All flights around a frame that have not ended, from the inside out. */
export function flightsAround(frame: Frame | undefined): InFlight[] {
  const flights: InFlight[] = []
  for (let at = frame; at !== undefined; at = at.parent) {
    if (at.flight?.hasEnded === false) flights.push(at.flight)
  }
  return flights
}

/**
 * Declares that the result being produced depends on data outside the cache. The fragments, pages and values
 * around the calling code are then invalidated together with any of the tags. Outside a body or producer it
 * does nothing.
 *
 *     await dependOn(['product:7'])
 *     const product = await db.product(7)
 *
 * @param tags - Tags as for `invalidateTags`.
 * @returns Await it before you read the data. The result is then stored, and every later invalidation, in any
 *   process, makes it a miss. It never rejects. Awaited or not, nothing is stored if one of the tags was
 *   invalidated between the start of the body or producer and this call.
 * @throws TypeError: `tags` is not a list of texts, or a text is empty.
 * @remarks It works across `await`, timers and streams that begin inside the body.
 */
export function dependOn(tags: readonly string[]): PromiseLike<void> {
  const stored = checkTags(tags)
  return currentFrame()?.declare(stored) ?? Promise.resolve()
}

/** Runs synchronous code in a frame. */
export function runSyncIn<T>(frame: Frame | undefined, action: () => T): T {
  const before = synchronous
  synchronous = frame
  try {
    return action()
  } finally {
    synchronous = before
  }
}

/** Runs code in a frame that may go on asynchronously after it returned. */
export function runAsyncIn<T>(frame: Frame | undefined, action: () => T): T {
  // Otherwise the asynchronous code would count as part of a synchronous body further out.
  return runSyncIn(undefined, () => asynchronous.run(frame, action, frame?.hold))
}

/**
 * Enters a frame without a callback, for code that cannot be passed as one and ends before anything else
 * runs.
 *
 * @returns The frame to restore with the same function.
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
 * Has contexts tracked before a frame is entered by {@link enterAsyncFrame}: in a context that the runtime does
 * not know yet, the frame would be entered for everything that runs outside of any.
 *
 * @param hold - Released when nothing that is entered runs any more.
 */
export function trackFrames(hold: ContextHold): void {
  asynchronous.track(hold)
}

/**
 * Enters a frame without a callback, for code that cannot be passed as one and may wait in between. Call it
 * only right after an `await` that began after {@link trackFrames}: otherwise the caller's own context would
 * change too.
 */
export function enterAsyncFrame(frame: Frame | undefined): void {
  asynchronous.enter(frame)
}

/** Whether a frame is another one, or part of it. */
export function isWithin(frame: Frame | undefined, outer: Frame): boolean {
  for (let at = frame; at !== undefined; at = at.isPart ? at.parent : undefined) {
    if (at === outer) return true
  }
  return false
}
