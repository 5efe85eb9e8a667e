import { exposeCore, type CacheCore } from './backend/core.js'
import { BoundedMemo, bytesOfTexts } from './bounded-memo.js'
import { Circuit } from './circuit.js'
import { messageOfError } from './error-text.js'
import { CacheBackendError, FragcacheError, MisuseError } from './errors.js'
import {
  checkKey,
  checkVersion,
  defaultKeyFunction,
  findKeyFaults,
  isPortable,
  MAX_KEY_BYTES,
  warnOfKey,
  type KeyFault,
  type Version,
} from './keys.js'
import { chain, isPromise, type MaybePromise } from './maybe-promise.js'
import { OutageReporter, RefusalReporter, reportDamage } from './observe.js'
import type { ClockTime } from './clock.js'
import { primitivesOf, type WriteEntry, type WriteOutcome } from './primitives.js'
import { IntegerOverflowError, pack, unpack, type Unpacked } from './serializer.js'
import type { ServerFigures } from './server-stats.js'
import { isClaim, newClaim, withStamp } from './stamp.js'
import {
  resolveSettings,
  type CacheSettings,
  type KnownSettings,
  type ResolvedSettings,
} from './settings.js'
import { Counts } from './stats/counts.js'
import { TagCounters } from './tag-counters.js'
import {
  CLOCK_KEY,
  currentUntil,
  INVALIDATED,
  NO_VERSIONS,
  tagKey,
  type SeenVersions,
  type TagVersions,
} from './tags.js'
import { TimeLimit } from './time-limit.js'
import type { Deadline } from './timeout.js'

import type {
  Beginning,
  ChangeListener,
  Claim,
  Hit,
  Lookup,
  LookupOptions,
  StoreRequest,
} from './backend/entries.js'

export type * from './backend/entries.js'
export type { Primitives, WriteEntry, WriteOutcome } from './primitives.js'

/**
 * The lower half of a cache: what a backend implements, and how keys, values and tag versions are
 * turned into what it sees. A backend sees stored keys, payloads and deadlines, nothing else.
 *
 * @typeParam Payload - What the backend keeps for a value. Bytes, unless {@link packValue} and
 *   {@link unpackPayload} are overridden.
 */
export abstract class Backend<Payload = unknown> {
  /** The name this cache has in its `Caches`; empty for a cache in none. */
  readonly alias: string = ''

  /** Whether the primitives answer synchronously, so that templates can be rendered synchronously. */
  readonly answersAtOnce: boolean = false

  /**
   * Whether other processes read and write the same entries. Then what this process knows of its own
   * changes is not all that happened.
   */
  readonly isShared: boolean = true

  /** @internal Whether a lookup may answer at once, from a memory in front of the store. */
  readonly mayAnswerAtOnce: boolean = false

  /** The settings with their defaults. */
  protected readonly settings: ResolvedSettings

  readonly #counters: TagCounters<Payload>

  /** By stored key, the tags that entries were last read with, oldest first. */
  #tagsOf: BoundedMemo<readonly string[]> | undefined

  /** @internal */
  readonly counts = new Counts()

  readonly #outages = new OutageReporter()
  readonly #refusals = new RefusalReporter()

  /** Only where the store is a server, which can be down or hang. */
  readonly #circuit: Circuit | undefined
  readonly #timeLimit: TimeLimit | undefined
  #failures = 0
  #recoveries = 0
  #isClosed = false

  /** What the default key function puts in front of a key, if that is portable: the usual case. */
  readonly #portablePrefix: string | undefined = undefined

  protected constructor(settings: CacheSettings = {}, known: KnownSettings = {}) {
    this.settings = resolveSettings(new.target.name, settings, known)
    exposeCore(this, this as unknown as CacheCore)
    this.#counters = new TagCounters<Payload>({
      primitives: primitivesOf<Payload>(this),
      backendName: new.target.name,
      counterKey: (tag) => this.counterKey(tag),
      clockKey: () => this.checkedKey(CLOCK_KEY, COUNTER_VERSION),
    })
    const { keyFunction, keyPrefix, version, timeLimitMs } = this.settings
    if (known.server === true) {
      this.#timeLimit = new TimeLimit(timeLimitMs)
      this.#circuit = new Circuit(
        () => this.#probe(),
        () => this.#reportSuccess(),
      )
    }
    if (keyFunction !== defaultKeyFunction) return
    const prefix = keyFunction('', keyPrefix, version)
    if (isPortable(prefix, MAX_KEY_BYTES)) this.#portablePrefix = prefix
  }

  /* What a backend implements. */

  /** Gives the payloads of the live entries, in the order asked, `undefined` for a miss. */
  protected abstract readEntries(
    keys: readonly string[],
  ): MaybePromise<readonly (Payload | undefined)[]>

  /**
   * Reads entries for a lookup, and the counters of tags behind them, as {@link readEntries} does.
   * A store with copies that lag may take the entries from one, but never the counters: what was
   * invalidated would come back.
   */
  protected readCopies(
    keys: readonly string[],
    counterKeys: readonly string[],
  ): MaybePromise<readonly (Payload | undefined)[]> {
    return this.readEntries(counterKeys.length === 0 ? keys : [...keys, ...counterKeys])
  }

  /**
   * Writes entries, each with its own deadline (always in the future) and condition, and says what
   * became of each. Conditions are atomic, also against other processes that share the store.
   */
  protected abstract writeEntries(
    entries: readonly WriteEntry<Payload>[],
  ): MaybePromise<readonly WriteOutcome[]>

  /** Removes entries; `true` for each that was live. */
  protected abstract removeEntries(keys: readonly string[]): MaybePromise<readonly boolean[]>

  /** Gives a live entry a new deadline (always in the future); `false` if there is none. Atomic. */
  protected abstract touchEntry(key: string, expiresAtMs: Deadline): MaybePromise<boolean>

  /**
   * Adds to a live entry that is a raw whole number (see `readInteger`, `addIntegers`), keeping its
   * deadline. Atomic.
   *
   * @returns The new number; `undefined` if there is no live entry; `null` if it is no raw whole
   *   number.
   */
  protected abstract incrementEntry(
    key: string,
    delta: number,
  ): MaybePromise<number | null | undefined>

  /** The deadline of a live entry; `undefined` if there is none. */
  protected abstract readDeadline(key: string): MaybePromise<Deadline | undefined>

  /** The deadlines of several entries. A backend that can read them in one round trip overrides it. */
  protected readDeadlines(
    keys: readonly string[],
  ): MaybePromise<readonly (Deadline | undefined)[]> {
    const deadlines: (Deadline | undefined)[] = []
    const pending: Promise<void>[] = []
    keys.forEach((key, i) => {
      const deadline = this.readDeadline(key)
      if (isPromise(deadline)) {
        pending.push(deadline.then((value) => void (deadlines[i] = value)))
      } else {
        deadlines[i] = deadline
      }
    })
    return pending.length === 0 ? deadlines : Promise.all(pending).then(() => deadlines)
  }

  /**
   * Whether what is read may be older than what was last written, as from a replica.
   *
   * @internal
   */
  get readsMayLag(): boolean {
    return false
  }

  /** @internal Whether {@link watchChanges} does anything. */
  get tellsOfChanges(): boolean {
    return false
  }

  /**
   * Tells of every change of an entry, by whomever, where the store does that by itself.
   *
   * @returns Ends it. After it nothing is told.
   * @internal
   */
  watchChanges(listener: ChangeListener): () => MaybePromise<void> {
    listener.down()
    return () => undefined
  }

  /** Removes everything this cache could have written. */
  protected abstract removeAll(): MaybePromise<void>

  /** Lets go of connections and timers. The next call opens them again. */
  protected disconnect(): MaybePromise<void> {
    return undefined
  }

  /**
   * What the store tells of itself, for `caches.serverStats()`: a few round trips, whatever it holds.
   * Default: nothing.
   */
  protected readServerStats(): MaybePromise<ServerFigures | undefined> {
    return undefined
  }

  /** Bytes that are kept for a payload; `undefined`: not known. Default: of bytes and texts their own. */
  protected sizeOfPayload(payload: Payload): number | undefined {
    if (typeof payload === 'string') return Buffer.byteLength(payload)
    return payload instanceof Uint8Array ? payload.byteLength : undefined
  }

  /** What to do about a stored key that is not portable. Default: warn once per kind of fault. */
  protected onKeyFaults(storedKey: string, faults: readonly KeyFault[]): void {
    warnOfKey(storedKey, faults)
  }

  /** Turns a checked value into what this backend keeps. */
  protected packValue(value: unknown, tags: TagVersions | undefined): Payload {
    return pack(value, tags) as Payload
  }

  /** @throws Error: the payload is damaged. */
  protected unpackPayload(payload: Payload): Unpacked {
    return unpack(payload as Uint8Array)
  }

  /* What the upper half, the fragments and the pages use. */

  /** @internal */
  get backendName(): string {
    return this.constructor.name
  }

  /**
   * Makes the stored key of a key.
   *
   * @throws TypeError: the key is no text or empty, or the version is none.
   */
  makeKey(key: string, version?: Version): string {
    checkKey(key)
    if (version === undefined) return this.storedKeyOf(key, this.settings.version)
    checkVersion(version)
    return this.storedKeyOf(key, version)
  }

  private storedKeyOf(key: string, version: Version): string {
    const storedKey: unknown = this.settings.keyFunction(key, this.settings.keyPrefix, version)
    if (typeof storedKey === 'string' && storedKey !== '') return storedKey
    throw new TypeError('keyFunction: it gave no text; make it return the stored key')
  }

  /** @internal Like {@link makeKey}, and checked for what this backend can take. */
  checkedKey(key: string, version?: Version): string {
    if (version === undefined && this.#portablePrefix !== undefined) {
      if (isPortable(key, MAX_KEY_BYTES - this.#portablePrefix.length)) {
        return this.#portablePrefix + key
      }
    }
    const storedKey = this.makeKey(key, version)
    const faults = findKeyFaults(storedKey)
    if (faults.length > 0) this.onKeyFaults(storedKey, faults)
    return storedKey
  }

  /**
   * Looks up one key; the hot path of a cache that answers at once overrides it.
   *
   * @internal
   * @param toWrite - The answer decides about a write, or about what a write is said to have done:
   *   it must not come from a copy.
   * @param stale - What is past its time is wanted too, as long as it was not invalidated.
   */
  lookupOne(storedKey: string, toWrite = false, stale = false): MaybePromise<Hit | undefined> {
    const keys = [storedKey]
    const counters = toWrite ? NO_KEYS : this.recallTags(storedKey)
    if (counters.length > 0) this.#requireStore()
    const read = toWrite
      ? this.readEntries(keys)
      : this.readCopies(keys, this.#counters.keysOf(counters))
    return chain(read, (payloads) => this.toHit(storedKey, payloads, 0, counters, stale))
  }

  /**
   * Turns what was read for `lookupOne` into a hit.
   *
   * @param at - Where the entry's payload lies; those of the counters follow it.
   * @param counters - The tags whose counters were read with it.
   */
  protected toHit(
    storedKey: string,
    payloads: readonly (Payload | null | undefined)[],
    at: number,
    counters: readonly string[],
    stale: boolean,
  ): MaybePromise<Hit | undefined> {
    const hit = this.unpackEntry(storedKey, payloads[at] ?? undefined)
    if (hit?.tags === undefined) return hit?.stamp === undefined ? hit : judge(hit, stale)
    const current = new Map<string, string | undefined>()
    counters.forEach((tag, i) => {
      current.set(tag, this.#counters.versionIn(payloads[at + 1 + i]))
    })
    const unread = [...hit.tags.keys()].filter((tag) => !current.has(tag))
    if (unread.length === 0) return judge(hit, stale, current)
    this.rememberTags(storedKey, hit.tags)
    return chain(this.readVersions(unread, current), () => judge(hit, stale, current))
  }

  /** The tags an entry had when it was last read, to ask for their counters with it. */
  protected recallTags(storedKey: string): readonly string[] {
    return this.#tagsOf?.get(storedKey) ?? NO_TAGS
  }

  private rememberTags(storedKey: string, tags: TagVersions): void {
    if (this.answersAtOnce || tags.size > MAX_RECALLED_TAGS) return
    this.#tagsOf ??= new BoundedMemo(bytesOfTexts)
    const known = this.#tagsOf.get(storedKey)
    if (known?.length === tags.size && known.every((tag) => tags.has(tag))) return
    this.#tagsOf.set(storedKey, [...tags.keys()])
  }

  /**
   * Reads entries and, in the same round trip, the versions of the tags they are expected to have.
   * Tags that only the entries themselves name, and did not when they were last read, cost one
   * round trip more.
   *
   * @internal
   */
  lookup(
    storedKeys: readonly string[],
    expected: readonly string[],
    { stale = false, toMake = false, isCurrent = false }: LookupOptions = {},
  ): MaybePromise<Lookup> {
    const counters = this.#withRecalled(storedKeys, expected)
    if (counters.length > 0) this.#requireStore()
    const keys = this.#counters.keysOf(counters)
    const readsClock = toMake && this.#counters.isClockDue
    const asked = readsClock ? [...keys, this.#counters.clockKey] : keys
    const read = isCurrent
      ? this.readEntries([...storedKeys, ...asked])
      : this.readCopies(storedKeys, asked)
    return chain(read, (payloads) => {
      const lying = payloads.slice(0, storedKeys.length)
      const entries = storedKeys.map((key, i) => this.unpackEntry(key, lying[i]))
      const current = new Map<string, string | undefined>()
      counters.forEach((tag, i) => {
        current.set(tag, this.#counters.versionIn(payloads[storedKeys.length + i]))
      })
      const learned = new Set<string>()
      entries.forEach((entry, i) => {
        const before = learned.size
        for (const tag of entry?.tags?.keys() ?? []) if (!current.has(tag)) learned.add(tag)
        if (learned.size > before && entry?.tags !== undefined) {
          this.rememberTags(storedKeys[i] as string, entry.tags)
        }
      })
      const finish = (): Lookup => ({
        hits: entries.map((entry) => entry && judgeEntry(entry, stale, current)),
        lying,
        seen: new Map(expected.map((tag) => [tag, current.get(tag)])),
        withClock: readsClock,
      })
      if (readsClock) this.#counters.hearClock(payloads.at(-1))
      return learned.size === 0 ? finish() : chain(this.readVersions([...learned], current), finish)
    })
  }

  #withRecalled(storedKeys: readonly string[], expected: readonly string[]): readonly string[] {
    if (this.#tagsOf === undefined) return expected
    let all: string[] | undefined
    for (const storedKey of storedKeys) {
      for (const tag of this.recallTags(storedKey)) {
        if ((all ?? expected).includes(tag)) continue
        all ??= [...expected]
        if (all.length - expected.length < MAX_RECALLED_TAGS) all.push(tag)
      }
    }
    return all ?? expected
  }

  /**
   * The versions of tags as they are now.
   *
   * @param isMade - What depends on them is made already: an invalidation meanwhile wins.
   * @returns `undefined`: a counter cannot be written. What depends on it cannot be kept.
   * @internal
   */
  currentVersions(tags: readonly string[], isMade = false): MaybePromise<TagVersions | undefined> {
    if (tags.length === 0) return NO_VERSIONS
    this.#requireStore()
    return this.#counters.current(tags, isMade)
  }

  /**
   * The versions of tags that are declared while something is made, as they are now: of those that were
   * not invalidated since the clock showed a time.
   *
   * @returns `undefined`: a counter cannot be written. What depends on it cannot be kept.
   * @internal
   */
  declaredVersions(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined> {
    if (tags.length === 0) return NO_VERSIONS
    this.#requireStore()
    return this.#counters.declared(tags, time)
  }

  /**
   * What the store's clock of invalidations showed when it was last heard of.
   *
   * @internal
   */
  get clockTime(): ClockTime | undefined {
    return this.#counters.time
  }

  /**
   * Called once everything was removed from the store.
   *
   * @internal
   */
  forgetClock(): void {
    this.#counters.forgetClock()
  }

  /**
   * The versions of tags that were not invalidated since the clock showed a time, by whomever.
   *
   * @returns `undefined`: one was, or may have been.
   * @internal
   */
  versionsSince(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined> {
    if (tags.length === 0) return NO_VERSIONS
    this.#requireStore()
    return this.#counters.since(tags, time)
  }

  /**
   * Whether a version of a tag is current.
   *
   * @param made - `undefined`: it is not known.
   * @param now - As it was read now.
   * @internal
   */
  isCurrentVersion(_tag: string, made: string | undefined, now: string | undefined): boolean {
    return made !== undefined && made === now
  }

  /**
   * Whether what lies under a key is still a claim.
   *
   * @internal
   */
  isStillClaimed(claim: Claim, lying: unknown): boolean {
    if (lying === undefined) return false
    if (typeof claim === 'string' && lying instanceof Uint8Array) {
      // Some write texts and read the bytes that they stand for.
      return Buffer.compare(Buffer.from(claim), lying) === 0
    }
    if (claim instanceof Uint8Array && lying instanceof Uint8Array) {
      return Buffer.compare(claim, lying) === 0
    }
    return Object.is(claim, lying)
  }

  /**
   * Called before things are made: claims their keys, and begins the counters of their tags that are not
   * there. One write, where there is anything to be written.
   *
   * @param lying - What a look-up found under the keys.
   * @param seen - The versions of their tags, as a look-up found them.
   * @param withClock - Whether it read the clock of invalidations together with them.
   * @remarks What another one claimed before is a claim for this one too: the first that is made is kept,
   *   unless the entry is removed meanwhile; then none is that was begun before.
   * @internal
   */
  begin(
    storedKeys: readonly string[],
    lying: readonly unknown[],
    seen: SeenVersions,
    withClock = false,
  ): MaybePromise<Beginning> {
    this.#requireStore()
    const begun = this.#begin(storedKeys, lying, seen, withClock)
    const isTold = withClock && this.#counters.time !== undefined
    const heard = this.isShared && !isTold ? this.#counters.beforeMaking() : undefined
    return isPromise(heard) ? Promise.all([begun, heard]).then(([beginning]) => beginning) : begun
  }

  #begin(
    storedKeys: readonly string[],
    lying: readonly unknown[],
    seen: SeenVersions,
    withClock: boolean,
  ): MaybePromise<Beginning> {
    return chain(this.#counters.prepareBirths(seen, withClock), (births) => {
      const claims = storedKeys.map((_, i) => lying[i])
      const open = storedKeys.map((_, i) => i).filter((i) => this.#isOpen(lying[i]))
      const writes = open.map((i) => this.#claimOf(storedKeys[i] as string, lying[i]))
      const all = [...writes, ...births.writes]
      const settle = (outcomes: readonly WriteOutcome[]) =>
        chain(this.#counters.settleBirths(births, outcomes.slice(open.length)), (versions) => ({
          claims,
          versions,
        }))
      if (all.length === 0) return settle([])
      return chain(this.writeEntries(all), (outcomes) => {
        const taken: number[] = []
        open.forEach((i, at) => {
          claims[i] = outcomes[at] === 'stored' ? writes[at]?.payload : undefined
          if (outcomes[at] === 'refused') taken.push(i)
        })
        if (taken.length === 0) return settle(outcomes)
        // Others were faster: what they put there counts, or, if it is gone again, nothing does.
        const keys = taken.map((i) => storedKeys[i] as string)
        return chain(this.readEntries(keys), (payloads) =>
          chain(this.#begin(keys, payloads, NO_VERSIONS, true), (again) => {
            taken.forEach((i, at) => (claims[i] = again.claims[at]))
            return settle(outcomes)
          }),
        )
      })
    })
  }

  /** Whether a key has yet to be claimed, or what claims it may end before long. */
  #isOpen(lying: unknown): boolean {
    return lying === undefined || this.#isClaim(lying as Payload)
  }

  #claimOf(key: string, lying: unknown): WriteEntry<Payload> {
    const expiresAtMs = Date.now() + CLAIM_MS
    if (lying === undefined) {
      return { key, payload: this.packValue(0, newClaim()), expiresAtMs, ifAbsent: true }
    }
    const payload = lying as Payload
    return { key, payload, expiresAtMs, replacing: payload }
  }

  /**
   * Gives a claim up, of which nothing came.
   *
   * @param tookMs - What it took to make.
   * @internal
   */
  giveUp(storedKey: string, claim: Claim, tookMs: number): MaybePromise<void> {
    if (!this.#isClaim(claim as Payload)) return undefined
    const payload = claim as Payload
    // Others may have begun with the same one, and it takes them about as long. It must not lie there for
    // longer: where many things cannot be made, their claims would take the room of those that can.
    const expiresAtMs = Date.now() + Math.max(LEAST_GIVEN_UP_MS, Math.min(2 * tookMs, CLAIM_MS))
    const entry = { key: storedKey, payload, expiresAtMs, replacing: payload }
    return chain(this.writeEntries([entry]), () => undefined)
  }

  #isClaim(payload: Payload): boolean {
    try {
      return isClaim(this.unpackPayload(payload).tags)
    } catch {
      return false
    }
  }

  private readVersions(
    tags: readonly string[],
    into: Map<string, string | undefined>,
  ): MaybePromise<void> {
    this.#requireStore()
    return chain(this.#counters.read(tags), (seen) => {
      for (const [tag, version] of seen) into.set(tag, version)
    })
  }

  /**
   * Of one version for all, so that a cache with another default version knows the same tags.
   *
   * @internal
   */
  counterKey(tag: string): string {
    return this.checkedKey(tagKey(tag), COUNTER_VERSION)
  }

  /** Damaged or foreign bytes are a miss that is reported, never a crash. */
  protected unpackEntry(storedKey: string, payload: Payload | undefined): Hit | undefined {
    if (payload === undefined) return undefined
    try {
      const hit = this.unpackPayload(payload)
      return isClaim(hit.tags) ? undefined : hit
    } catch (error) {
      reportDamage(this, this.backendName, storedKey, error)
      return undefined
    }
  }

  /**
   * Writes entries.
   *
   * @internal
   */
  store(requests: readonly StoreRequest[]): MaybePromise<readonly WriteOutcome[]> {
    const isKept = ({ expiresAtMs }: StoreRequest) => expiresAtMs === null || expiresAtMs > 0
    const kept = requests.filter(isKept)
    const gone = requests.filter((request) => !isKept(request)).map(({ storedKey }) => storedKey)
    const removed = gone.length === 0 ? undefined : this.removeEntries(gone)
    return chain(removed as MaybePromise<unknown>, () => {
      if (kept.length === 0) return requests.map(() => 'stored')
      return chain(this.writeEntries(kept.map((one) => this.#toWrite(one))), (outcomes) => {
        const refused = kept.filter((one, i) => outcomes[i] === 'too_large' && !isConditional(one))
        const swept =
          refused.length === 0
            ? undefined
            : this.removeEntries(refused.map(({ storedKey }) => storedKey))
        return chain(swept as MaybePromise<unknown>, () => {
          if (kept.length === requests.length) return outcomes
          let next = 0
          return requests.map((one) => (isKept(one) ? (outcomes[next++] ?? 'failed') : 'stored'))
        })
      })
    })
  }

  #toWrite(request: StoreRequest): WriteEntry<Payload> {
    const { storedKey: key, value, expiresAtMs, tags, stamp, ifAbsent = false } = request
    const payload = this.packValue(value, withStamp(tags, stamp))
    this.#countBytes(payload)
    const entry = { key, payload, expiresAtMs, ifAbsent }
    return request.replacing === undefined
      ? entry
      : { ...entry, replacing: request.replacing as Payload }
  }

  #countBytes(payload: Payload): void {
    const bytes = this.sizeOfPayload(payload)
    if (bytes !== undefined) this.counts.bytesWritten = (this.counts.bytesWritten ?? 0) + bytes
  }

  /**
   * Makes every entry stored with one of the tags a miss.
   *
   * @param soft - Stale instead.
   * @param isAgain - Repeated for what was made since the last time, which a soft one makes a miss too.
   * @internal
   */
  bumpTags(tags: readonly string[], soft = false, isAgain = false): MaybePromise<void> {
    return tags.length === 0 ? undefined : this.#counters.invalidate(tags, soft, isAgain)
  }

  /**
   * Waits until an invalidation is as durable as the settings ask for. Default: it is once it was carried
   * out.
   *
   * @throws CacheBackendError: it was carried out, and may be lost.
   * @internal
   */
  confirmInvalidation(_operation: string): MaybePromise<void> {
    return undefined
  }

  /**
   * Whether a failure says that the store cannot be reached or does not work, as opposed to an
   * answer of a store that is alive. Only the former make calls fail at once for a while.
   */
  protected isOutage(error: unknown): boolean {
    return !(error instanceof CacheBackendError)
  }

  /**
   * Runs a call against the store: failures become `CacheBackendError`s and are reported once per
   * outage. Where the store is a server, the call has its time limit, and fails at once while the
   * server is known to be down.
   *
   * @internal
   */
  guarded<T>(operation: string, action: () => MaybePromise<T>): MaybePromise<T> {
    const circuit = this.#circuit
    this.#isClosed = false
    // Copies may still answer where the store they are of does not, and say nothing of it.
    const isOfCopies = this.readsMayLag && READS.has(operation)
    if (circuit?.isOpen === true && !isOfCopies) {
      this.counts.errors++
      throw this.#notAsked(operation, circuit.lastError)
    }
    const failuresBefore = this.#failures
    const recoveriesBefore = this.#recoveries
    const succeeded = (value: T) => {
      // What was asked before the last failure says nothing of the time since.
      if (this.#failures === failuresBefore && !isOfCopies) {
        this.#reportSuccess()
        circuit?.succeeded()
      }
      return value
    }
    // Nor does the failure of what was asked in an outage that is over begin another one.
    const toFailure = (error: unknown) =>
      this.toFailure(operation, error, recoveriesBefore !== this.#recoveries)
    let result: MaybePromise<T>
    try {
      result = action()
    } catch (error) {
      throw toFailure(error)
    }
    if (!isPromise(result)) return succeeded(result)
    // To go through a large store takes its time; each of its round trips is limited.
    const limit = operation === 'clear' ? undefined : this.#timeLimit
    if (limit !== undefined) return limit.race(result, succeeded, toFailure)
    return Promise.resolve(result).then(succeeded, (error: unknown) => {
      throw toFailure(error)
    })
  }

  /** What only the store itself can say fails at once while it is down, also where copies answer. */
  #requireStore(): void {
    if (this.#circuit?.isOpen === true) throw this.#notAsked('get', this.#circuit.lastError)
  }

  #notAsked(operation: string, cause: unknown): CacheBackendError {
    return new CacheBackendError(
      `${this.backendName}: ${operation} failed: not asked, since it fails again and again (${messageOfError(cause)})`,
      { cause, backend: this.backendName, operation },
    )
  }

  /** Any answer will do. */
  async #probe(): Promise<void> {
    const answer = Promise.resolve(this.readEntries([this.checkedKey(PROBE_KEY)]))
    await (this.#timeLimit?.race(answer) ?? answer)
  }

  /** Lets the next call find out by itself how the store is; until then nobody asks it. */
  protected forgetOutage(): void {
    this.#isClosed = true
    this.#circuit?.close()
  }

  /** @internal Whether the last call failed: the next one that succeeds has an end to report. */
  get isFailing(): boolean {
    return this.#outages.isLasting
  }

  /** @internal Reports a failure that is going to count as a miss. @throws What is no failure of the store. */
  reportFailure(operation: string, error: unknown): void {
    const failure = this.toFailure(operation, error)
    if (!(failure instanceof CacheBackendError)) throw failure
  }

  #reportSuccess(): void {
    if (this.#outages.isLasting) this.#recoveries++
    this.#outages.succeeded(this.alias, this.backendName)
  }

  /**
   * What a failed call rejects with; reports the outage.
   *
   * @internal
   * @param isLeftOver - The call began in an outage that is over, and says nothing of the time since.
   */
  protected toFailure(operation: string, error: unknown, isLeftOver = false): Error {
    if (isMisuse(error)) return error
    this.counts.errors++
    const failure =
      error instanceof CacheBackendError
        ? error
        : new CacheBackendError(
            `${this.backendName}: ${operation} failed: ${messageOfError(error)}`,
            {
              cause: error,
              backend: this.backendName,
              operation,
            },
          )
    if (this.#circuit !== undefined && !this.isOutage(error)) {
      this.#refusals.add(this.alias, this.backendName, failure)
      return failure
    }
    if (isLeftOver) return failure
    this.#failures++
    this.#outages.failed(this.alias, this.backendName, failure)
    if (!this.#isClosed) this.#circuit?.failed(error)
    return failure
  }
}

const COUNTER_VERSION = 1

/** Most tags of an entry that are remembered. */
const MAX_RECALLED_TAGS = 50

/**
 * How long a claim lies there if nothing comes of it. What takes longer to make is not kept by stores that
 * other processes write to.
 */
const CLAIM_MS = 3_600_000

/** How long at least a claim lies there that was given up. */
const LEAST_GIVEN_UP_MS = 1_000

const NO_TAGS: readonly string[] = []

/** What an entry is to who reads it now: fresh; stale, where that is wanted; or a miss. */
export function judge(hit: Hit, stale: boolean, current?: SeenVersions): Hit | undefined {
  const { stamp } = hit
  const softMs = current === undefined ? Infinity : currentUntil(hit.tags, current)
  if (softMs === INVALIDATED) return undefined
  if (softMs === Infinity && stamp === undefined) return hit
  return judgeAge(hit, stale, softMs)
}

/** @param softMs - When one of its tags was softly invalidated; `Infinity`: none was. */
export function judgeAge(hit: Hit, stale: boolean, softMs: number): Hit | undefined {
  const nowMs = Date.now()
  const { freshUntilMs = Infinity, isExpired = false } = hit.stamp ?? {}
  const hasEnded = isExpired || freshUntilMs <= nowMs
  const untilMs = hasEnded ? Math.min(freshUntilMs, softMs) : softMs
  if (untilMs === Infinity) return hit
  // The clock of who invalidated it may be ahead of ours.
  return stale ? { ...hit, staleSinceMs: Math.min(untilMs, nowMs) } : undefined
}

function judgeEntry(hit: Hit, stale: boolean, current: SeenVersions): Hit | undefined {
  return hit.tags === undefined && hit.stamp === undefined ? hit : judge(hit, stale, current)
}

const NO_KEYS: readonly string[] = []

/** Operations that a store with copies may answer from one. */
const READS = new Set(['get', 'getMany', 'has', 'getOrSet'])

/** Never stored. */
const PROBE_KEY = 'fragcache.probe'

function isConditional({ ifAbsent, replacing }: StoreRequest): boolean {
  return ifAbsent === true || replacing !== undefined
}

/** Errors that tell of the call, not of the store. */
function isMisuse(error: unknown): error is Error {
  if (error instanceof IntegerOverflowError || error instanceof MisuseError) return true
  return (
    error instanceof FragcacheError &&
    (!(error instanceof CacheBackendError) || error.code === 'FRAGCACHE_VALUE_TOO_LARGE')
  )
}
