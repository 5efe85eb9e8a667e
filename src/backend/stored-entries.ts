import type { ClockTime } from '../clock.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { reportDamage } from '../observe/channels.js'
import { isClaim } from '../stamp.js'
import type { Counts } from '../observe/counts.js'
import {
  currentUntil,
  INVALIDATED,
  NO_VERSIONS,
  type SeenVersions,
  type TagVersions,
} from '../tags.js'
import { Claims } from './claims.js'
import type { CompleteStore } from './complete-store.js'
import type {
  Beginning,
  Claim,
  Entries,
  Hit,
  Lookup,
  LookupOptions,
  StoredTags,
  StoreRequest,
} from './entries.js'
import type { Guard } from './guard.js'
import { isUnchanged } from './known-entries.js'
import { JoinedInvalidations } from './joined-invalidations.js'
import { standingOf, judgeEntry, lostOf } from './judge.js'
import type { NeededVersions } from './needed-versions.js'
import { RecalledTags } from './recalled-tags.js'
import type { WriteOutcome } from './store.js'
import type { StoredKeys } from './stored-keys.js'
import { TagCounters } from './tag-counters.js'
import { writeRequest, writeRequests } from './write-requests.js'

/** What entries need of the cache that they are of. */
export interface EntriesOf {
  readonly backendName: string
  readonly answersAtOnce: boolean
  readonly isShared: boolean
  readonly keys: StoredKeys
  readonly store: CompleteStore
  readonly counts: Counts
  readonly guard: Guard
}

/** Entries in a store that knows nothing of tags: their versions are entries like others. */
export class StoredEntries implements Entries {
  readonly mayAnswerAtOnce = false
  readonly #of: EntriesOf
  readonly #counters: TagCounters
  readonly #claims: Claims
  readonly #recalled = new RecalledTags()
  readonly #hardened = this.#joined(false, false)
  readonly #softened = this.#joined(true, false)
  readonly #softenedAgain = this.#joined(true, true)

  constructor(of: EntriesOf) {
    this.#of = of
    this.#counters = new TagCounters(of)
    this.#claims = new Claims(of.store, this.#counters)
  }

  get isAlone(): boolean {
    return !this.#of.isShared
  }

  get clockTime(): ClockTime | undefined {
    return this.#counters.clock.time
  }

  forgetClock(): void {
    this.#counters.clock.forget()
  }

  findAtOnce(storedKey: string): MaybePromise<Hit | undefined> {
    return this.#of.answersAtOnce ? this.lookupOne(storedKey) : undefined
  }

  lookupOne(storedKey: string, toWrite = false, stale = false): MaybePromise<Hit | undefined> {
    const { store } = this.#of
    const counters = this.#recalled.of(storedKey)
    const needed = counters.length === 0 ? undefined : this.#need(counters, toWrite)
    const keys = needed?.keys ?? NO_KEYS
    const use = (payloads: readonly unknown[], at: number) =>
      this.#toHit(storedKey, payloads, at, needed, stale)
    if (toWrite || !store.readsMayLag) return store.readAmong([storedKey, ...keys], use)
    return chain(store.readCopies([storedKey], keys), (payloads) => use(payloads, 0))
  }

  #need(tags: readonly string[], readsAll: boolean, readsClock = false): NeededVersions {
    if (tags.length > 0) this.#of.guard.requireStore()
    return this.#counters.need(tags, readsAll, readsClock)
  }

  /**
   * Turns what was read for `lookupOne` into a hit.
   *
   * @param at - Where the entry's payload lies; what is needed of the counters follows it.
   */
  #toHit(
    storedKey: string,
    payloads: readonly unknown[],
    at: number,
    needed: NeededVersions | undefined,
    stale: boolean,
  ): MaybePromise<Hit | undefined> {
    needed?.take(payloads, at + 1)
    const hit = this.#unpack(storedKey, payloads[at])
    if (hit?.tags === undefined) return hit?.stamp === undefined ? hit : standingOf(hit, stale)
    if (needed?.settles(hit.tags) === true) return standingOf(hit, stale, needed.current)
    const current = needed?.current ?? new Map<string, string | undefined>()
    this.#remember(storedKey, hit.tags)
    return chain(this.#readVersions(unsettled(hit.tags, needed), current), () =>
      standingOf(hit, stale, current),
    )
  }

  lookup(
    storedKeys: readonly string[],
    expected: readonly string[],
    { stale = false, toMake = false, isCurrent = false, toCopy = false, known }: LookupOptions = {},
  ): MaybePromise<Lookup> {
    const { store } = this.#of
    const tags = this.#recalled.with(storedKeys, expected)
    const readsAll = isCurrent || toCopy
    const needed = this.#need(tags, readsAll, toMake && this.#counters.clock.isDue)
    const { keys, current } = needed
    const read = isCurrent
      ? store.readEntries([...storedKeys, ...keys])
      : store.readCopies(storedKeys, keys, known)
    return chain(read, (payloads) => {
      const unread = new Set(needed.take(payloads, storedKeys.length))
      const found = storedKeys.map((key, i) => {
        const had = known?.(key)
        const isSame = had !== undefined && isUnchanged(payloads[i], had)
        const hit = isSame ? had.hit : this.#unpack(key, payloads[i])
        if (hit?.tags === undefined || needed.settles(hit.tags)) return hit
        const before = unread.size
        for (const tag of unsettled(hit.tags, needed)) unread.add(tag)
        if (unread.size > before) this.#remember(key, hit.tags)
        return hit
      })
      const finish = (): Lookup => {
        const hits = found.map((hit) => hit && judgeEntry(hit, stale, current))
        const isLost = found.some((hit, i) => hit !== undefined && hits[i] === undefined)
        return {
          hits,
          lost: isLost
            ? found.map((hit, i) =>
                hits[i] === undefined && hit !== undefined ? lostOf(hit, current) : undefined,
              )
            : undefined,
          lying: payloads,
          seen:
            tags === expected ? current : new Map(expected.map((tag) => [tag, current.get(tag)])),
          withClock: needed.withClock,
        }
      }
      return unread.size === 0 ? finish() : chain(this.#readVersions([...unread], current), finish)
    })
  }

  /** Damaged or foreign bytes are a miss that is reported, never a crash. */
  #unpack(storedKey: string, payload: unknown): Hit | undefined {
    if (payload === undefined || payload === null) return undefined
    try {
      const hit = this.#of.store.unpackPayload(payload)
      return isClaim(hit.tags) ? undefined : hit
    } catch (error) {
      reportDamage(this.#of, this.#of.backendName, storedKey, error)
      return undefined
    }
  }

  #remember(storedKey: string, tags: TagVersions): void {
    if (!this.#of.answersAtOnce) this.#recalled.note(storedKey, tags)
  }

  #readVersions(
    tags: readonly string[],
    into: Map<string, string | undefined>,
  ): MaybePromise<void> {
    this.#of.guard.requireStore()
    return chain(this.#counters.read(tags), (seen) => {
      for (const [tag, version] of seen) into.set(tag, version)
    })
  }

  begin(
    storedKeys: readonly string[],
    lying: readonly unknown[],
    seen: SeenVersions,
    withClock = false,
  ): MaybePromise<Beginning> {
    this.#of.guard.requireStore()
    const begun = this.#claims.begin(storedKeys, lying, seen, withClock)
    const isTold = withClock && this.#counters.clock.time !== undefined
    const heard = this.#of.isShared && !isTold ? this.#counters.beforeMaking() : undefined
    return isPromise(heard) ? Promise.all([begun, heard]).then(([beginning]) => beginning) : begun
  }

  giveUp(storedKey: string, claim: Claim, tookMs: number): MaybePromise<void> {
    return this.#claims.giveUp(storedKey, claim, tookMs)
  }

  isStillClaimed(claim: Claim, lying: unknown): boolean {
    return this.#claims.isStill(claim, lying)
  }

  storeOne(request: StoreRequest): MaybePromise<WriteOutcome> {
    return writeRequest(request, this.#of.store, this.#of.counts)
  }

  store(requests: readonly StoreRequest[]): MaybePromise<readonly WriteOutcome[]> {
    return writeRequests(requests, this.#of.store, this.#of.counts)
  }

  currentVersions(tags: readonly string[], isMade = false): MaybePromise<TagVersions | undefined> {
    return this.#versions(tags, () => this.#counters.current(tags, isMade))
  }

  declaredVersions(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined> {
    return this.#versions(tags, () => this.#counters.declared(tags, time))
  }

  versionsSince(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined> {
    return this.#versions(tags, () => this.#counters.since(tags, time))
  }

  #versions(
    tags: readonly string[],
    ask: () => MaybePromise<TagVersions | undefined>,
  ): MaybePromise<TagVersions | undefined> {
    if (tags.length === 0) return NO_VERSIONS
    this.#of.guard.requireStore()
    return ask()
  }

  forgetCopies(): void {
    // There are none.
  }

  isCurrentVersion(_tag: string, made: string | undefined, now: string | undefined): boolean {
    return made !== undefined && made === now
  }

  areThere(stored: readonly StoredTags[]): MaybePromise<readonly boolean[]> {
    const keys = stored.map(({ storedKey }) => storedKey)
    const tags = [...new Set(stored.flatMap(({ tags }) => [...tags.keys()]))]
    // No store has to know how to read nothing.
    const versions = (): MaybePromise<SeenVersions> =>
      tags.length === 0
        ? NO_VERSIONS
        : chain(this.lookup([], tags, { isCurrent: true }), ({ seen }) => seen)
    return chain(this.#of.store.readDeadlines(keys), (deadlines) =>
      chain(versions(), (seen) =>
        stored.map(
          ({ tags }, i) => deadlines[i] !== undefined && currentUntil(tags, seen) !== INVALIDATED,
        ),
      ),
    )
  }

  bumpTags(tags: readonly string[], soft = false, isAgain = false): MaybePromise<void> {
    if (tags.length === 0) return undefined
    // Of several servers one may be down, and the invalidations on others do not fail with it.
    if (this.#of.store.isPartitioned) return this.#invalidate(tags, soft, isAgain)
    const joined = soft ? (isAgain ? this.#softenedAgain : this.#softened) : this.#hardened
    return joined.add(tags)
  }

  #joined(soft: boolean, isAgain: boolean): JoinedInvalidations {
    return new JoinedInvalidations((tags) => this.#invalidate(tags, soft, isAgain))
  }

  #invalidate(tags: readonly string[], soft: boolean, isAgain: boolean): MaybePromise<void> {
    return chain(this.#counters.invalidate(tags, soft, isAgain), () =>
      this.#of.store.confirmInvalidation('invalidateTags'),
    )
  }
}

const NO_KEYS: readonly string[] = []

/** Of an entry's tags those whose counters have to be read. */
function unsettled(tags: TagVersions, needed: NeededVersions | undefined): string[] {
  if (needed === undefined) return [...tags.keys()]
  const unread: string[] = []
  for (const [tag, version] of tags) if (!needed.settlesOne(tag, version)) unread.push(tag)
  return unread
}
