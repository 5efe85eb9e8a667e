import { AsyncLocalStorage } from 'node:async_hooks'
import type { Cache } from './cache.js'
import { invalidationsSoFar, wereInvalidatedSince } from './invalidations.js'
import { foreignTag } from './tags.js'
import type { Flight } from './fragment/flights.js'

/** Tags and their versions; `undefined` where a version still has to be read. */
export type Dependencies = ReadonlyMap<string, string | undefined>

/**
 * What is being rendered and, later, stored: it collects the tags of everything inside it, at any
 * depth, hit or miss, so that an invalidation of an inner part reaches the outer one too.
 */
export class Frame {
  #tags: Map<string, string | undefined> | undefined
  #unborn: Set<string> | undefined
  readonly #begunAt = invalidationsSoFar()

  constructor(
    readonly cache: Cache,
    readonly parent: Frame | undefined,
    readonly flight: Flight | undefined,
  ) {}

  /**
   * Adds what an inner part depends on. The oldest version of a tag stays.
   *
   * @param unborn - Tags whose counter was not there when their version was read.
   */
  depend(cache: Cache, tags: Dependencies | undefined, unborn: readonly string[] = []): void {
    if (tags === undefined) return
    const own = (this.#tags ??= new Map<string, string | undefined>())
    for (const [tag, version] of tags) {
      // Versions are counted per cache: in another one this tag has a version of its own.
      const isForeign = cache !== this.cache
      const ownTag = isForeign ? foreignTag(tag) : tag
      const ownVersion = isForeign ? undefined : version
      // A version that is still to be read may have been read meanwhile.
      if (own.get(ownTag) !== undefined || (own.has(ownTag) && ownVersion === undefined)) continue
      own.set(ownTag, ownVersion)
      if (!isForeign && unborn.includes(tag)) (this.#unborn ??= new Set()).add(tag)
    }
  }

  /**
   * Whether one of these tags, whose versions are read only after the body, was invalidated in this
   * process since it began.
   */
  isOutdated(unread: Iterable<string>): boolean {
    return wereInvalidatedSince(unread, this.#begunAt)
  }

  get tags(): Dependencies | undefined {
    return this.#tags
  }

  /** Those of the tags whose counter may have been made meanwhile, with another version. */
  get unborn(): readonly string[] {
    return this.#unborn === undefined ? [] : [...this.#unborn]
  }
}

const asynchronous = new AsyncLocalStorage<Frame | undefined>()
let asynchronousUsed = false
let synchronous: Frame | undefined

/** The frame the calling code is rendered in. */
export function currentFrame(): Frame | undefined {
  if (synchronous !== undefined) return synchronous
  return asynchronousUsed ? asynchronous.getStore() : undefined
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
export function runAsyncIn<T>(frame: Frame, action: () => T): T {
  asynchronousUsed = true
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
  return asynchronousUsed ? asynchronous.getStore() : undefined
}

/**
 * Enters a frame by hand, for code that cannot be run by a callback and may wait in between. Only
 * to be called right after an `await`: before it, the caller would be taken along.
 */
export function enterAsyncFrame(frame: Frame | undefined): void {
  asynchronousUsed = true
  asynchronous.enterWith(frame)
}

/** Whether a frame is another one or inside it. */
export function isWithin(frame: Frame | undefined, outer: Frame): boolean {
  for (let at = frame; at !== undefined; at = at.parent) if (at === outer) return true
  return false
}
