import type { CacheCore } from '../backend/core.js'
import { isFailing } from '../backend/refusal.js'
import { invalidationsSoFar, wereInvalidatedSince, wereLostSince } from '../invalidations.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import type { UnstoredReason } from '../observe/reasons.js'
import { foreignTag, MAX_TAGS, type SeenVersions, type TagVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'

/** What something that is being made depends on: tags with the versions that were seen, and until when. */
export class Dependencies {
  #tags: Map<string, string | undefined> | undefined
  /** To be merged into the tags, in this order. */
  #unmerged: SeenVersions[] | undefined
  /** Tags of entries still being made inside. Once there are too many, no more are added. */
  #announced: Set<string> | undefined
  /** Tags whose version is read only at the end, with the one that was seen of them before. */
  #late: Map<string, string | undefined> | undefined
  #isTorn = false
  #isClosed = false
  #expiresAtMs = Infinity
  /** Whether the map of tags was given away and must be copied before a change. */
  #isHandedOver = false
  readonly #begunAt = invalidationsSoFar()
  /** The store's clock of invalidations when it began. */
  #begunTime: number | undefined

  constructor(readonly cache: CacheCore) {
    this.#begunTime = cache.clockTime
  }

  /** Adds what an inner entry depends on. */
  add(cache: CacheCore, tags: SeenVersions | undefined): void {
    if (tags === undefined || this.#isClosed) return
    if (cache === this.cache) {
      // The tags are mostly asked for once, at the end, or never.
      if (this.#unmerged === undefined) this.#unmerged = [tags]
      else if (this.#unmerged.push(tags) >= MAX_UNMERGED) this.#merged()
      return
    }
    const own = this.#merged()
    for (const tag of tags.keys()) {
      // Versions are counted per cache: this tag has another version in another cache.
      const ownTag = foreignTag(tag)
      if (this.#add(own, ownTag)) this.#expect(ownTag)
    }
  }

  /** Records the tags of an entry that is about to be made inside. */
  announce(tags: readonly string[]): void {
    if (!this.#isClosed) for (const tag of tags) this.#expect(tag)
  }

  #expect(tag: string): void {
    const announced = (this.#announced ??= new Set())
    if (announced.size <= MAX_TAGS) announced.add(tag)
  }

  /** Whether any of its dependencies was invalidated in this process since it began. */
  isOutdatedBy(tags: Iterable<string>): boolean {
    if (invalidationsSoFar() === this.#begunAt) return false
    const announced = this.#announced ?? NO_NAMES
    // Not all of too many are known: any of them may have been invalidated.
    if (announced.size > MAX_TAGS || this.hasTooManyTags) return true
    return (
      this.isOutdated(tags) ||
      this.isOutdated(this.tags?.keys() ?? NONE) ||
      this.isOutdated(announced)
    )
  }

  /** Whether there are more tags than can be stored. Then not all of them are known. */
  get hasTooManyTags(): boolean {
    return (this.tags?.size ?? 0) > MAX_TAGS
  }

  /** From now on nothing is added. */
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
      // Its version is read later; it may be invalidated before that.
      this.#expect(tag)
    }
    return new Declaration(async () => {
      const versions = await cache.tryRead(
        () => cache.entries.declaredVersions(fresh, this.#begunTime),
        'dependOn',
      )
      if (versions === undefined) return
      const known = this.#merged()
      for (const tag of fresh) {
        const isStill = known.get(tag) === undefined && this.#late?.has(tag) !== true
        // An invalidation since it began may have come after the data was read.
        const version = versions.get(tag)
        if (isStill && version !== undefined && !this.isOutdated([tag])) known.set(tag, version)
      }
    })
  }

  /** Takes over the earlier start of what runs around it. */
  beginWith(earlier: Dependencies): void {
    this.#begunTime = earlier.#begunTime
  }

  /** The store's clock of invalidations when it began; `undefined`: not known. */
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

  /** @returns Whether it is new. Of several versions of a tag an unknown one is kept: it is read at the end. */
  #add(own: Map<string, string | undefined>, tag: string, version?: string): boolean {
    if (own.has(tag)) {
      const known = own.get(tag)
      this.#compare(own, tag, version)
      if (version === undefined || known === undefined) {
        this.#late ??= new Map<string, string | undefined>()
        this.#late.set(tag, this.#late.get(tag) ?? known ?? version)
        own.set(tag, undefined)
      }
      return false
    }
    // There are too many to be stored anyway.
    if (own.size > MAX_TAGS) return false
    own.set(tag, version)
    return true
  }

  /** Compares a version with the one that was seen of the same tag before. */
  #compare(own: SeenVersions, tag: string, version: string | undefined): void {
    const seen = own.get(tag) ?? this.#late?.get(tag)
    if (seen === undefined || version === undefined || seen === version) return
    const { entries } = this.cache
    const isSame = (made: string, now: string) => entries.isCurrentVersion(tag, made, now)
    if (isSame(seen, version) && isSame(version, seen)) return
    this.#isTorn = true
    entries.forgetCopies(tag)
  }

  /**
   * Whether a tag was invalidated between two of its versions that were seen: what is made holds content from before
   * and from after. Known once the tags were handed over.
   */
  get isTorn(): boolean {
    return this.#isTorn
  }

  /**
   * Gives the tags away to be stored, together with others.
   *
   * @param others - Their versions, read before it began, go before its own.
   */
  handOver(others: TagVersions): Map<string, string | undefined> {
    const own = this.#merged()
    this.check(others)
    others.forEach((version, tag) => own.set(tag, version))
    this.#isHandedOver = true
    return own
  }

  /** Compares versions that were read now with those that were seen before. */
  check(versions: TagVersions): void {
    const own = this.#merged()
    versions.forEach((version, tag) => this.#compare(own, tag, version))
  }

  /** Tags whose version is read only at the end, with the one that was seen of them before. */
  get late(): SeenVersions | undefined {
    return this.#late
  }

  /** Whether one of these tags was invalidated, and not only softly, in this process since it began. */
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

/** Tags whose versions are read when it is awaited. */
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

/** From this many on, merging is cheaper than keeping them apart. */
const MAX_UNMERGED = 1_000

/** Why there are no tag versions to store something with. */
type UntaggedReason = Extract<UnstoredReason, 'invalidated' | 'too-many-tags' | 'cache-failed'>

/**
 * The tag versions to store with what was made: its own and those of everything inside it.
 *
 * @param own - Its own tags' versions, read before it was made.
 * @param parent - The frame around it.
 * @returns Otherwise why there are none: without all versions an invalidation could not reach it.
 */
export function tagsToStore(
  dependencies: Dependencies,
  own: TagVersions,
  parent: { depend(cache: CacheCore, tags: SeenVersions | undefined): void } | undefined,
): MaybePromise<TagVersions | UntaggedReason> {
  if (dependencies.tags === undefined) return own
  if (!dependencies.hasTooManyTags && dependencies.isOutdatedBy(NONE)) return 'invalidated'
  const known = dependencies.handOver(own)
  if (known.size > MAX_TAGS) {
    warnOfTags()
    return 'too-many-tags'
  }
  const unread: string[] = []
  known.forEach((version, tag) => {
    if (version === undefined) unread.push(tag)
  })
  if (unread.length === 0) return known as Map<string, string>
  // The frame around may be done before the versions are read.
  parent?.depend(dependencies.cache, known)
  parent?.depend(dependencies.cache, dependencies.late)
  const { cache, begunTime } = dependencies
  const read = cache.tryRead(() => cache.entries.versionsSince(unread, begunTime), 'dependOn')
  return chain(read, (versions) => {
    if (versions === undefined && isFailing(cache)) return 'cache-failed'
    if (versions === undefined || dependencies.isOutdated(unread)) return 'invalidated'
    dependencies.check(versions)
    return new Map([...(known as Map<string, string>), ...versions])
  })
}

let hasWarnedOfTags = false

/** Warns, once per process, that something is not stored because it has too many tags. */
function warnOfTags(): void {
  if (hasWarnedOfTags) return
  hasWarnedOfTags = true
  process.emitWarning(
    `something depends on more than ${MAX_TAGS} tags, and is not stored; give what is inside fewer, coarser tags; reported once`,
    { type: 'CacheTagsWarning', code: 'FRAGCACHE_TOO_MANY_TAGS' },
  )
}
