import type { ClockTime } from '../../clock.js'
import type {
  Beginning,
  Claim,
  Entries,
  Hit,
  Lookup,
  LookupOptions,
  StoredTags,
  StoreRequest,
} from '../../backend/entries.js'
import type { WriteOutcome } from '../../backend/store.js'
import { chain, isPromise, type MaybePromise } from '../../maybe-promise.js'
import { NO_VERSIONS, type SeenVersions, type TagVersions } from '../../tags.js'
import type { NearMemory } from './near-memory.js'
import type { Remote } from './remote.js'

const NOT_SEEN: SeenVersions = new Map()

/** Entries of the remote cache, of which copies lie in local memory. */
export class TieredEntries implements Entries {
  readonly mayAnswerAtOnce = true
  readonly #remote: Remote
  readonly #near: NearMemory

  constructor(remote: Remote, near: NearMemory) {
    this.#remote = remote
    this.#near = near
  }

  get isAlone(): boolean {
    return this.#remote.core.entries.isAlone
  }

  get clockTime(): ClockTime | undefined {
    return this.#remote.core.clockTime
  }

  forgetClock(): void {
    this.#remote.core.entries.forgetClock()
  }

  findAtOnce(storedKey: string): Hit | undefined {
    return this.#near.isUsable ? this.#near.find(storedKey) : undefined
  }

  lookupOne(storedKey: string, toWrite = false, stale = false): MaybePromise<Hit | undefined> {
    if (toWrite) {
      return this.#remote.ask('get', ({ entries }) => entries.lookupOne(storedKey, true, stale))
    }
    return (
      this.findAtOnce(storedKey) ??
      chain(this.#read([storedKey], [], { stale }), ({ hits }) => hits[0])
    )
  }

  lookup(
    storedKeys: readonly string[],
    expected: readonly string[],
    options: LookupOptions = {},
  ): MaybePromise<Lookup> {
    if (options.isCurrent === true) {
      return this.#remote.ask('get', ({ entries }) => entries.lookup(storedKeys, expected, options))
    }
    if (!this.#near.isUsable) return this.#read(storedKeys, expected, options)
    const found = storedKeys.map((key) => this.#near.find(key))
    const missing = storedKeys.filter((_, i) => found[i] === undefined)
    if (missing.length === 0 && storedKeys.length > 0) {
      // Nobody asks for versions where everything was found.
      return { hits: found, lying: [], seen: NOT_SEEN }
    }
    return chain(
      this.#read(missing, expected, options),
      ({ hits, lying, seen, withClock, lost }) => {
        let next = 0
        const at = found.map((hit) => (hit === undefined ? next++ : -1))
        return {
          hits: found.map((hit, i) => hit ?? hits[at[i] as number]),
          lying: at.map((i) => lying[i]),
          seen,
          withClock: withClock === true,
          lost: lost && at.map((i) => lost[i]),
        }
      },
    )
  }

  /** Reads from the remote cache, and keeps what it finds unless it changes meanwhile. */
  #read(
    storedKeys: readonly string[],
    expected: readonly string[],
    options: LookupOptions,
  ): MaybePromise<Lookup> {
    if (!this.#near.isUsable || storedKeys.length === 0) {
      return this.#remote.ask('get', ({ entries }) => entries.lookup(storedKeys, expected, options))
    }
    return this.#near.reading((reading) => {
      const answer = this.#remote.ask('get', ({ entries, store }) => {
        // Sent together. The other way round, a deadline could be that of an entry not read.
        const deadlines = store.readDeadlines(storedKeys)
        // Where it fails at once nobody waits for what was sent before.
        if (isPromise(deadlines)) deadlines.catch(() => undefined)
        return both(entries.lookup(storedKeys, expected, { ...options, toCopy: true }), deadlines)
      })
      return chain(answer, ([lookup, deadlines]) => {
        storedKeys.forEach((key, i) => {
          const hit = lookup.hits[i]
          const expiresAtMs = deadlines[i]
          // Stale entries are about to be produced again.
          if (hit === undefined || hit.staleSinceMs !== undefined || expiresAtMs === undefined)
            return
          this.#near.keep(key, hit, expiresAtMs, reading)
        })
        return lookup
      })
    })
  }

  storeOne(request: StoreRequest): MaybePromise<WriteOutcome> {
    return chain(this.store([request]), ([outcome = 'failed']) => outcome)
  }

  store(requests: readonly StoreRequest[]): MaybePromise<readonly WriteOutcome[]> {
    const keys = requests.map(({ storedKey }) => storedKey)
    return this.#near.change(
      keys,
      () => this.#remote.ask('set', ({ entries }) => entries.store(requests)),
      (outcomes, reading) => {
        requests.forEach((request, i) => {
          const { storedKey, value, expiresAtMs, tags = NO_VERSIONS, stamp } = request
          // With tags it has to be read first: whether they are still current, the store decides.
          if (outcomes[i] !== 'stored' || tags.size > 0) return
          if (expiresAtMs !== null && expiresAtMs <= 0) return
          this.#near.keep(storedKey, { value, tags: undefined, stamp }, expiresAtMs, reading)
        })
      },
    )
  }

  /** It changes no copies, and so nobody hears about it. */
  begin(
    storedKeys: readonly string[],
    lying: readonly unknown[],
    seen: SeenVersions,
    withClock = false,
  ): MaybePromise<Beginning> {
    return this.#remote.ask('set', ({ entries }) =>
      entries.begin(storedKeys, lying, seen, withClock),
    )
  }

  giveUp(storedKey: string, claim: Claim, tookMs: number): MaybePromise<void> {
    return this.#remote.ask('set', ({ entries }) => entries.giveUp(storedKey, claim, tookMs))
  }

  isStillClaimed(claim: Claim, lying: unknown): boolean {
    return this.#remote.core.entries.isStillClaimed(claim, lying)
  }

  currentVersions(tags: readonly string[], isMade = false): MaybePromise<TagVersions | undefined> {
    return this.#remote.ask('get', ({ entries }) => entries.currentVersions(tags, isMade))
  }

  declaredVersions(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined> {
    return this.#remote.ask('get', ({ entries }) => entries.declaredVersions(tags, time))
  }

  versionsSince(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined> {
    return this.#remote.ask('get', ({ entries }) => entries.versionsSince(tags, time))
  }

  forgetCopies(tag: string): void {
    this.#near.forgetTagged(tag)
  }

  isCurrentVersion(tag: string, made: string | undefined, now: string | undefined): boolean {
    return this.#remote.core.entries.isCurrentVersion(tag, made, now)
  }

  areThere(stored: readonly StoredTags[]): MaybePromise<readonly boolean[]> {
    return this.#remote.ask('get', ({ entries }) => entries.areThere(stored))
  }

  bumpTags(tags: readonly string[], soft = false, isAgain = false): MaybePromise<void> {
    const counters = tags.map((tag) => this.#remote.core.keys.counterKey(tag))
    return this.#near.change(counters, () =>
      this.#remote.ask('invalidateTags', ({ entries }) => entries.bumpTags(tags, soft, isAgain)),
    )
  }
}

function both<A, B>(a: MaybePromise<A>, b: MaybePromise<B>): MaybePromise<[A, B]> {
  return isPromise(a) || isPromise(b) ? Promise.all([a, b]) : [a, b]
}
