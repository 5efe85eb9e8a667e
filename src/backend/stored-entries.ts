import type { ClockTime } from '../clock.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { reportDamage } from '../observe/channels.js'
import { isClaim } from '../stamp.js'
import type { Counts } from '../observe/counts.js'
import { NO_VERSIONS, type SeenVersions, type TagVersions } from '../tags.js'
import { Claims } from './claims.js'
import type { CompleteStore } from './complete-store.js'
import type {
  Beginning,
  Claim,
  Entries,
  Hit,
  Lookup,
  LookupOptions,
  StoreRequest,
} from './entries.js'
import type { Guard } from './guard.js'
import { isUnchanged } from './known-entries.js'
import { standingOf, judgeEntry } from './judge.js'
import { RecalledTags } from './recalled-tags.js'
import type { WriteOutcome } from './store.js'
import type { StoredKeys } from './stored-keys.js'
import { TagCounters } from './tag-counters.js'
import { writeRequests } from './write-requests.js'

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

  constructor(of: EntriesOf) {
    this.#of = of
    this.#counters = new TagCounters(of)
    this.#claims = new Claims(of.store, this.#counters)
  }

  get clockTime(): ClockTime | undefined {
    return this.#counters.clock.time
  }

  forgetClock(): void {
    this.#counters.clock.forget()
  }

  findAtOnce(storedKey: string): Hit | undefined {
    const hit = this.#of.answersAtOnce ? this.lookupOne(storedKey) : undefined
    return isPromise(hit) ? undefined : hit
  }

  lookupOne(storedKey: string, toWrite = false, stale = false): MaybePromise<Hit | undefined> {
    const { store } = this.#of
    const counters = this.#recalled.of(storedKey)
    if (counters.length > 0) this.#of.guard.requireStore()
    const use = (payloads: readonly unknown[], at: number) =>
      this.#toHit(storedKey, payloads, at, counters, stale)
    const keys = this.#counters.keysOf(counters)
    if (toWrite || !store.readsMayLag) return store.readAmong([storedKey, ...keys], use)
    return chain(store.readCopies([storedKey], keys), (payloads) => use(payloads, 0))
  }

  /**
   * Turns what was read for `lookupOne` into a hit.
   *
   * @param at - Where the entry's payload lies; those of the counters follow it.
   * @param counters - The tags whose counters were read with it.
   */
  #toHit(
    storedKey: string,
    payloads: readonly unknown[],
    at: number,
    counters: readonly string[],
    stale: boolean,
  ): MaybePromise<Hit | undefined> {
    const hit = this.#unpack(storedKey, payloads[at])
    if (hit?.tags === undefined) return hit?.stamp === undefined ? hit : standingOf(hit, stale)
    const current = new Map<string, string | undefined>()
    counters.forEach((tag, i) => {
      current.set(tag, this.#counters.versionIn(payloads[at + 1 + i]))
    })
    const unread = [...hit.tags.keys()].filter((tag) => !current.has(tag))
    if (unread.length === 0) return standingOf(hit, stale, current)
    this.#remember(storedKey, hit.tags)
    return chain(this.#readVersions(unread, current), () => standingOf(hit, stale, current))
  }

  lookup(
    storedKeys: readonly string[],
    expected: readonly string[],
    { stale = false, toMake = false, isCurrent = false, known }: LookupOptions = {},
  ): MaybePromise<Lookup> {
    const { store } = this.#of
    const counters = this.#recalled.with(storedKeys, expected)
    if (counters.length > 0) this.#of.guard.requireStore()
    const keys = this.#counters.keysOf(counters)
    const readsClock = toMake && this.#counters.clock.isDue
    const asked = readsClock ? [...keys, this.#counters.clock.key] : keys
    const read = isCurrent
      ? store.readEntries([...storedKeys, ...asked])
      : store.readCopies(storedKeys, asked, known)
    return chain(read, (payloads) => {
      const count = storedKeys.length
      const current = new Map<string, string | undefined>()
      counters.forEach((tag, i) => {
        current.set(tag, this.#counters.versionIn(payloads[count + i]))
      })
      if (readsClock) this.#counters.clock.hear(payloads.at(-1))
      const found: (Hit | undefined)[] = []
      let unread: Set<string> | undefined
      storedKeys.forEach((key, i) => {
        const before = known?.(key)
        const isSame = before !== undefined && isUnchanged(payloads[i], before)
        const hit = isSame ? before.hit : this.#unpack(key, payloads[i])
        found.push(hit)
        if (hit?.tags === undefined || hasAll(current, hit.tags)) return
        unread ??= new Set()
        for (const tag of hit.tags.keys()) if (!current.has(tag)) unread.add(tag)
        this.#remember(key, hit.tags)
      })
      const finish = (): Lookup => ({
        hits: found.map((hit) => hit && judgeEntry(hit, stale, current)),
        lying: payloads,
        seen: counters === expected ? current : new Map(expected.map((t) => [t, current.get(t)])),
        withClock: readsClock,
      })
      return unread === undefined
        ? finish()
        : chain(this.#readVersions([...unread], current), finish)
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

  isCurrentVersion(_tag: string, made: string | undefined, now: string | undefined): boolean {
    return made !== undefined && made === now
  }

  bumpTags(tags: readonly string[], soft = false, isAgain = false): MaybePromise<void> {
    if (tags.length === 0) return undefined
    return chain(this.#counters.invalidate(tags, soft, isAgain), () =>
      this.#of.store.confirmInvalidation('invalidateTags'),
    )
  }
}

function hasAll(seen: SeenVersions, tags: TagVersions): boolean {
  for (const tag of tags.keys()) if (!seen.has(tag)) return false
  return true
}
