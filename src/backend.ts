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
import { IntegerOverflowError, pack, unpack, type Unpacked } from './serializer.js'
import type { ServerFigures } from './server-stats.js'
import { withStamp, type Stamp } from './stamp.js'
import type { Lock } from './staleness.js'
import {
  resolveSettings,
  type CacheSettings,
  type KnownSettings,
  type ResolvedSettings,
} from './settings.js'
import { Counts } from './stats/counts.js'
import {
  agreeOnBirths,
  currentUntil,
  hardPart,
  INVALIDATED,
  isBirthVersion,
  newTagVersion,
  NO_TAGS,
  softened,
  tagKey,
  takeSnapshot,
  type TagSnapshot,
  type TagVersions,
} from './tags.js'
import { TimeLimit } from './time-limit.js'
import type { Deadline, Timeout } from './timeout.js'

export { NO_TAGS, type TagSnapshot }

/** One entry to write. */
export interface WriteEntry<Payload = Uint8Array> {
  readonly key: string
  readonly payload: Payload
  readonly expiresAtMs: Deadline
  /** Write only if no live entry is there. */
  readonly ifAbsent?: boolean
  /**
   * Write only if the live entry is exactly this payload, or, together with `ifAbsent`, also if
   * there is none (compare and set).
   */
  readonly replacing?: Payload
}

/**
 * What became of a {@link WriteEntry}: written; refused by its condition; too large for the
 * backend; or lost with a part of the store (the whole store failing rejects instead).
 */
export type WriteOutcome = 'stored' | 'refused' | 'too_large' | 'failed'

/** A live entry that was looked up. */
export interface Hit {
  readonly value: unknown
  /** The versions it was stored with; `undefined` without tags. */
  readonly tags: TagVersions | undefined
  /** Only of entries that may be served past their time, or are to be made again ahead of it. */
  readonly stamp?: Stamp | undefined
  /** Milliseconds since the epoch; `undefined`: it is fresh. Only told to who asks for stale ones. */
  readonly staleSinceMs?: number | undefined
  /**
   * Where the value itself is kept in memory: the same object for as long as the entry has this value,
   * and given up with it.
   */
  readonly entry?: object | undefined
}

/** What is told to somebody who keeps copies of entries. */
export interface ChangeListener {
  /** From now on every change is told. What was kept until now may be outdated. */
  up(): void
  /** From now on changes may go untold. */
  down(): void
  /** Entries, or counters of tags, were written or removed. */
  changed(storedKeys: readonly string[]): void
  /** Anything may have changed. */
  changedAll(): void
}

/** What {@link Backend.lookup} answers, in the order asked. */
export interface Lookup {
  readonly hits: readonly (Hit | undefined)[]
  readonly snapshot: TagSnapshot
}

/** An entry for {@link Backend.store}. */
export interface StoreRequest {
  readonly storedKey: string
  readonly value: unknown
  readonly expiresAtMs: Deadline
  readonly tags?: TagSnapshot | undefined
  readonly stamp?: Stamp | undefined
  readonly ifAbsent?: boolean
  /** As in {@link WriteEntry}. */
  readonly replacing?: unknown
}

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

  /** Whether the primitives answer at once instead of by promise, so that templates can render synchronously. */
  readonly answersAtOnce: boolean = false

  /** @internal Whether a lookup may answer at once, from a memory in front of the store. */
  readonly mayAnswerAtOnce: boolean = false

  /** The settings with their defaults. */
  protected readonly settings: ResolvedSettings

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

  /** @internal */
  get defaultLock(): Lock {
    return this.settings.lock
  }

  /** @internal Beta of XFetch; 0: never early. */
  get defaultBeta(): number {
    return this.settings.earlyRefresh
  }

  /** @internal The default timeout in seconds. */
  get defaultTimeout(): Timeout {
    return this.settings.timeout
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
      : this.readCopies(keys, this.counterKeys(counters))
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
      current.set(tag, this.readVersion(payloads[at + 1 + i] ?? undefined))
    })
    const unread = [...hit.tags.keys()].filter((tag) => !current.has(tag))
    if (unread.length === 0) return judge(hit, stale, current)
    this.rememberTags(storedKey, hit.tags)
    return chain(this.readVersions(unread, current), () => judge(hit, stale, current))
  }

  /** The tags an entry had when it was last read, to ask for their counters with it. */
  protected recallTags(storedKey: string): readonly string[] {
    return this.#tagsOf?.get(storedKey) ?? NO_TAGS.unborn
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
   * @param stale - What is past its time is wanted too, as long as it was not invalidated.
   * @internal
   */
  lookup(
    storedKeys: readonly string[],
    expected: readonly string[],
    stale = false,
  ): MaybePromise<Lookup> {
    const counters = this.#withRecalled(storedKeys, expected)
    if (counters.length > 0) this.#requireStore()
    return chain(this.readCopies(storedKeys, this.counterKeys(counters)), (payloads) => {
      const entries = storedKeys.map((key, i) => this.unpackEntry(key, payloads[i]))
      const isPlain = (entry: Hit | undefined) =>
        entry?.tags === undefined && entry?.stamp === undefined
      if (expected.length === 0 && entries.every(isPlain)) {
        return { hits: entries, snapshot: NO_TAGS }
      }
      const current = new Map<string, string | undefined>()
      counters.forEach((tag, i) => {
        current.set(tag, this.readVersion(payloads[storedKeys.length + i]))
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
        hits: entries.map((entry) => entry && judge(entry, stale, current)),
        snapshot: takeSnapshot(expected, current),
      })
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

  /** @internal The versions as they are now. */
  readTags(tags: readonly string[]): MaybePromise<TagSnapshot> {
    if (tags.length === 0) return NO_TAGS
    const current = new Map<string, string | undefined>()
    return chain(this.readVersions(tags, current), () => takeSnapshot(tags, current))
  }

  private readVersions(
    tags: readonly string[],
    into: Map<string, string | undefined>,
  ): MaybePromise<void> {
    this.#requireStore()
    return chain(this.readEntries(this.counterKeys(tags)), (payloads) => {
      tags.forEach((tag, i) => into.set(tag, this.readVersion(payloads[i])))
    })
  }

  private counterKeys(tags: readonly string[]): readonly string[] {
    return tags.map((tag) => this.counterKey(tag))
  }

  /**
   * Of one version for all, so that a cache with another default version knows the same tags.
   *
   * @internal
   */
  counterKey(tag: string): string {
    return this.checkedKey(tagKey(tag), COUNTER_VERSION)
  }

  private readVersion(payload: Payload | undefined): string | undefined {
    if (payload === undefined) return undefined
    try {
      const { value } = this.unpackPayload(payload)
      return typeof value === 'string' ? value : undefined
    } catch {
      return undefined
    }
  }

  /** Damaged or foreign bytes are a miss that is reported, never a crash. */
  protected unpackEntry(storedKey: string, payload: Payload | undefined): Hit | undefined {
    if (payload === undefined) return undefined
    try {
      return this.unpackPayload(payload)
    } catch (error) {
      reportDamage(this, this.backendName, storedKey, error)
      return undefined
    }
  }

  /**
   * Writes entries and the counters their tags still lack, in one batch.
   *
   * @internal
   */
  store(requests: readonly StoreRequest[]): MaybePromise<readonly WriteOutcome[]> {
    const [only] = requests
    if (only !== undefined && requests.length === 1 && isSimple(only)) return this.storeSimple(only)
    const gone: string[] = []
    const writes: TaggedWrite<Payload>[] = []
    const places = new Map<StoreRequest, number>()
    const births = new Map<string, string>()
    for (const request of requests) {
      const { storedKey, value, expiresAtMs, tags = NO_TAGS, stamp, ifAbsent = false } = request
      const replacing = request.replacing as Payload | undefined
      if (expiresAtMs !== null && expiresAtMs <= 0) {
        gone.push(storedKey)
        continue
      }
      const versions = agreeOnBirths(tags, births)
      places.set(request, writes.length)
      const payload = this.packValue(value, withStamp(versions, stamp))
      this.#countBytes(payload)
      const condition = { ifAbsent, ...(replacing === undefined ? undefined : { replacing }) }
      writes.push({ key: storedKey, payload, expiresAtMs, ...condition, value, versions, stamp })
    }
    const counters = [...births].map(([tag, version]) => this.newCounter(tag, version, true))
    const removed = gone.length === 0 ? undefined : this.removeEntries(gone)
    return chain(removed as MaybePromise<unknown>, () => {
      if (writes.length === 0) return requests.map(() => 'stored')
      return chain(this.writeEntries([...writes.map(asWriteEntry), ...counters]), (outcomes) => {
        const born = [...births.keys()]
        const late = born.filter((_, i) => outcomes[writes.length + i] === 'refused')
        const oversize = writes.filter((write, i) => outcomes[i] === 'too_large' && !write.ifAbsent)
        const swept =
          oversize.length === 0 ? undefined : this.removeEntries(oversize.map(({ key }) => key))
        const finish = () =>
          requests.map((request) => {
            const place = places.get(request)
            return place === undefined ? 'stored' : (outcomes[place] ?? 'failed')
          })
        return chain(swept as MaybePromise<unknown>, () => {
          if (late.length === 0) return finish()
          const stored = writes.filter((_, i) => outcomes[i] === 'stored')
          return chain(this.adoptBirths(stored, late), finish)
        })
      })
    })
  }

  #countBytes(payload: Payload): void {
    const bytes = this.sizeOfPayload(payload)
    if (bytes !== undefined) this.counts.bytesWritten = (this.counts.bytesWritten ?? 0) + bytes
  }

  /** The usual one: to be kept, with nothing to be written but itself. */
  private storeSimple(request: StoreRequest): MaybePromise<readonly WriteOutcome[]> {
    const { storedKey, value, expiresAtMs, tags = NO_TAGS, stamp, ifAbsent = false } = request
    const payload = this.packValue(value, withStamp(tags.versions, stamp))
    this.#countBytes(payload)
    const written = this.writeEntries([{ key: storedKey, payload, expiresAtMs, ifAbsent }])
    return chain(written, (outcomes) => {
      if (outcomes[0] !== 'too_large' || ifAbsent) return outcomes
      return chain(this.removeEntries([storedKey]), () => outcomes)
    })
  }

  private newCounter(tag: string, version: string, ifAbsent: boolean): WriteEntry<Payload> {
    const payload = this.packValue(version, undefined)
    return { key: this.counterKey(tag), payload, expiresAtMs: null, ifAbsent }
  }

  /**
   * Another writer made a tag's counter between our reading and our writing: without its version,
   * what we stored would never be found. What was invalidated meanwhile stays so.
   */
  private adoptBirths(
    writes: readonly TaggedWrite<Payload>[],
    late: readonly string[],
  ): MaybePromise<unknown> {
    const current = new Map<string, string | undefined>()
    return chain(this.readVersions(late, current), () => {
      const again: WriteEntry<Payload>[] = []
      for (const { value, versions, stamp, ...write } of writes) {
        const own = late.filter((tag) => versions.has(tag))
        if (own.length === 0 || !own.every((tag) => isBirthVersion(current.get(tag)))) continue
        if (own.every((tag) => current.get(tag) === versions.get(tag))) continue
        const adopted = new Map(versions)
        // What was softly invalidated meanwhile is to count as stale.
        for (const tag of own) adopted.set(tag, hardPart(current.get(tag) ?? ''))
        const payload = this.packValue(value, withStamp(adopted, stamp))
        again.push({ ...write, payload, ifAbsent: false, replacing: write.payload })
      }
      return again.length === 0 ? undefined : this.writeEntries(again)
    })
  }

  /**
   * Makes every entry stored with one of the tags a miss.
   *
   * @param soft - Stale instead.
   * @internal
   */
  bumpTags(tags: readonly string[], soft = false): MaybePromise<void> {
    if (tags.length === 0) return undefined
    if (soft) return this.#softenTags(tags)
    const writes = tags.map((tag) => this.newCounter(tag, newTagVersion(), false))
    return chain(this.writeEntries(writes), (outcomes) => {
      if (outcomes.every((outcome) => outcome === 'stored')) return
      throw new CacheBackendError(`${this.backendName}: a tag could not be invalidated`, {
        backend: this.backendName,
        operation: 'invalidateTags',
      })
    })
  }

  /** Compare and set, so that a hard invalidation by somebody else is not taken for ours. */
  async #softenTags(tags: readonly string[]): Promise<void> {
    let left = tags
    for (let attempt = 0; left.length > 0 && attempt < MAX_SOFT_CONFLICTS; attempt++) {
      const payloads = await this.readEntries(this.counterKeys(left))
      const outcomes = await this.writeEntries(
        left.map((tag, i) => {
          const payload = payloads[i]
          const version = this.readVersion(payload)
          if (payload === undefined) return this.newCounter(tag, newTagVersion(), true)
          const next = version === undefined ? newTagVersion() : softened(version, Date.now())
          return { ...this.newCounter(tag, next, false), replacing: payload }
        }),
      )
      left = left.filter((_, i) => outcomes[i] !== 'stored')
    }
    // Others were always faster, or it cannot be written so: gone is safer than as if nothing was.
    if (left.length > 0) await this.bumpTags(left)
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

/** How often a tag is tried again to be softly invalidated when another was faster. */
const MAX_SOFT_CONFLICTS = 20

/** What an entry is to who reads it now: fresh; stale, where that is wanted; or a miss. */
export function judge(
  hit: Hit,
  stale: boolean,
  current?: ReadonlyMap<string, string | undefined>,
): Hit | undefined {
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

/** What a cache that stands on another cache needs of it: primitives and settings. */
export interface Primitives<Payload> {
  readonly settings: ResolvedSettings
  readEntries(keys: readonly string[]): MaybePromise<readonly (Payload | undefined)[]>
  writeEntries(entries: readonly WriteEntry<Payload>[]): MaybePromise<readonly WriteOutcome[]>
  removeEntries(keys: readonly string[]): MaybePromise<readonly boolean[]>
  touchEntry(key: string, expiresAtMs: Deadline): MaybePromise<boolean>
  incrementEntry(key: string, delta: number): MaybePromise<number | null | undefined>
  readDeadline(key: string): MaybePromise<Deadline | undefined>
  readDeadlines(keys: readonly string[]): MaybePromise<readonly (Deadline | undefined)[]>
  removeAll(): MaybePromise<void>
  readServerStats(): MaybePromise<ServerFigures | undefined>
  sizeOfPayload(payload: Payload): number | undefined
  onKeyFaults(storedKey: string, faults: readonly KeyFault[]): void
  packValue(value: unknown, tags: TagVersions | undefined): Payload
  unpackPayload(payload: Payload): Unpacked
}

/** What others must not call, for a cache that stands on this one. */
export function primitivesOf<Payload>(backend: Backend<Payload>): Primitives<Payload> {
  return backend as unknown as Primitives<Payload>
}

const NO_KEYS: readonly string[] = []

/** Operations that a store with copies may answer from one. */
const READS = new Set(['get', 'getMany', 'has', 'getOrSet'])

/** Never stored. */
const PROBE_KEY = 'fragcache.probe'

/** A write with what it was made of, to make it anew. */
interface TaggedWrite<Payload> extends WriteEntry<Payload> {
  readonly value: unknown
  readonly versions: TagVersions
  readonly stamp: Stamp | undefined
}

function isSimple({ expiresAtMs, tags = NO_TAGS, replacing }: StoreRequest): boolean {
  if (tags.unborn.length > 0 || replacing !== undefined) return false
  return expiresAtMs === null || expiresAtMs > 0
}

function asWriteEntry<Payload>(write: TaggedWrite<Payload>): WriteEntry<Payload> {
  const { key, payload, expiresAtMs, ifAbsent = false, replacing } = write
  const entry = { key, payload, expiresAtMs, ifAbsent }
  return replacing === undefined ? entry : { ...entry, replacing }
}

/** Errors that tell of the call, not of the store. */
function isMisuse(error: unknown): error is Error {
  if (error instanceof IntegerOverflowError || error instanceof MisuseError) return true
  return (
    error instanceof FragcacheError &&
    (!(error instanceof CacheBackendError) || error.code === 'FRAGCACHE_VALUE_TOO_LARGE')
  )
}
