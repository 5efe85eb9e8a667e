import type { CacheCore } from '../backend/core.js'
import { invalidationsSoFar, wereInvalidatedSince, wereLostSince } from '../invalidations.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import { foreignTag, MAX_TAGS, type SeenVersions, type TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'

/** What something that is being made depends on: tags with the versions that were seen, and until when. */
export class Dependencies {
  #tags: Map<string, string | undefined> | undefined
  /** What is still to be added to the tags, in order. */
  #unmerged: SeenVersions[] | undefined
  /** Of what is still being made inside; no more are kept than tells that there are too many. */
  #announced: Set<string> | undefined
  /** Tags that were declared without a version more than once: only at the end it is read. */
  #late: Set<string> | undefined
  #isClosed = false
  #expiresAtMs = Infinity
  /** Whether the tags are somebody else's by now, and must not be changed. */
  #isHandedOver = false
  readonly #begunAt = invalidationsSoFar()
  /** What the clock of invalidations showed in the store when it began. */
  #begunTime: number | undefined

  constructor(readonly cache: CacheCore) {
    this.#begunTime = cache.clockTime
  }

  /** Adds what an inner part depends on. The oldest version of a tag stays. */
  add(cache: CacheCore, tags: SeenVersions | undefined): void {
    if (tags === undefined || this.#isClosed) return
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

  /** Notes tags of something that is about to be made inside. */
  announce(tags: readonly string[]): void {
    if (!this.#isClosed) for (const tag of tags) this.#expect(tag)
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

  /** Nothing is added any more. */
  close(): void {
    this.#isClosed = true
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Notes until when something inside lives. */
  limit(expiresAtMs: Deadline | undefined): void {
    if (typeof expiresAtMs === 'number') {
      this.#expiresAtMs = Math.min(this.#expiresAtMs, expiresAtMs)
    }
  }

  /** When the first thing inside ends; `Infinity`: none is known to. Milliseconds since the epoch. */
  get expiresAtMs(): number {
    return this.#expiresAtMs
  }

  /** See `Frame.declare`. */
  declare(tags: readonly string[]): PromiseLike<void> {
    if (this.#isClosed) return Promise.resolve()
    const { cache } = this
    const own = this.#merged()
    const fresh: string[] = []
    for (const tag of tags) {
      if (this.#add(own, tag)) fresh.push(tag)
      // Its version is read later, and an invalidation may come before.
      this.#expect(tag)
    }
    return new Declaration(async () => {
      const versions = await cache.tryRead(() =>
        cache.entries.declaredVersions(fresh, this.#begunTime),
      )
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
  beginWith(earlier: Dependencies): void {
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

const NONE: readonly string[] = []
const NONE_OF: readonly SeenVersions[] = []
const NO_NAMES: ReadonlySet<string> = new Set()

/** After so many it is cheaper to merge them than to keep them. */
const MAX_UNMERGED = 1_000

/**
 * The tag versions to store with what was made: its own and those of everything inside it.
 *
 * @param own - Read before it was made.
 * @param parent - What it was made in.
 * @returns `undefined` if one was, or may have been, invalidated meanwhile.
 */
export function tagsToStore(
  dependencies: Dependencies,
  own: TagVersions,
  parent: { depend(cache: CacheCore, tags: SeenVersions): void } | undefined,
): MaybePromise<TagVersions | undefined> {
  if (dependencies.tags === undefined) return own
  if (dependencies.isOutdatedBy(NONE)) return undefined
  const known = dependencies.handOver(own)
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
  parent?.depend(dependencies.cache, known)
  const { cache, begunTime } = dependencies
  const read = cache.tryRead(() => cache.entries.versionsSince(unread, begunTime))
  return chain(read, (versions) => {
    if (versions === undefined || dependencies.isOutdated(unread)) return undefined
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
