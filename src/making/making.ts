import type { StoreRequest } from '../backend/entries.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import { ageingBy, patienceOf, standsInUntilMs, type AgeingPolicy } from '../staleness.js'
import type { SeenVersions } from '../tags.js'
import { ALREADY_EXPIRED, type Deadline } from '../timeout.js'
import { fitnessOf, type Fitness } from './fitness.js'
import type { Flight } from './flight.js'
import type { Frame } from './frame.js'
import type { FoundEntry, Landed } from './landed.js'
import type { Lease } from './lease.js'
import type { Makings } from './makings.js'
import type { Order, Start } from './order.js'
import type { Refresh } from './refreshes.js'

/** The entry found, stale or not, to be served if the new one cannot be made. */
export interface Old<Value> extends FoundEntry<Value> {
  /** Milliseconds since the epoch. */
  readonly usableUntilMs: number
}

/** Who waits for something that is being made. */
export interface Lead<Value> {
  /** Set if other callers in this process may wait for it. */
  readonly flight?: Flight<Landed<Value>> | undefined
  /** Set if all others are served the old entry meanwhile. */
  readonly refresh?: Refresh | undefined
  /** Set if other processes may wait for it. It ends with the making. */
  readonly lease?: Lease | undefined
  /** What is served if it cannot be made. */
  readonly old?: Old<Value> | undefined
}

/** Whether the result may be stored, and what it depends on in either case. */
export interface Judged {
  readonly fitness: Fitness
  readonly tags: SeenVersions
  /** When its content expires, which counts for what contains it even if it is not stored. */
  readonly expiresAtMs: Deadline
}

/** An entry that was not found, or cannot be used, and is being made. */
export class Making<Value> {
  /**
   * @param frame - The frame it is made in.
   * @param start - `undefined`: the store failed, or must not be used; nothing is stored.
   */
  constructor(
    readonly order: Order,
    readonly frame: Frame,
    readonly start: Start | undefined,
    private readonly makings: Makings<Landed<Value>>,
    private lead: Lead<Value>,
  ) {
    lead.flight?.beginMaking(frame, start)
    frame.parent?.announce(order.tags)
  }

  /** Whether its key was removed since it began. */
  get isDiscarded(): boolean {
    return this.lead.flight?.isDiscarded === true || this.lead.refresh?.isDiscarded === true
  }

  /**
   * Whether the result may be stored.
   *
   * @param deadline - From its own timeout.
   */
  judge(deadline: Deadline): MaybePromise<Judged> {
    const { frame, start } = this
    const end = Math.min(deadline ?? Infinity, frame.bubbledExpiresAtMs)
    const expiresAtMs = end === Infinity ? null : end
    const made = { frame, versions: start?.versions, claim: start?.claim, deadline }
    return chain(fitnessOf(made), (fitness) => ({
      fitness,
      tags: fitness.tags ?? this.#unreadTags(),
      expiresAtMs,
    }))
  }

  /** Its tags, where their versions are not known. */
  #unreadTags(): SeenVersions {
    const tags = new Map<string, string | undefined>(this.frame.tags)
    for (const tag of this.order.tags) if (!tags.has(tag)) tags.set(tag, undefined)
    return tags
  }

  /** What other callers are given. */
  toLanded(value: Value, { tags, expiresAtMs }: Judged): Landed<Value> {
    const { holdsOld: isOld, isUnfit: isApart } = this.frame
    return { value, tags, expiresAtMs, isFound: false, isOld, isApart, served: undefined }
  }

  /** The entry to store. From now on no making that began earlier may overwrite it. */
  toStore(
    value: Value,
    { tags, freshUntilMs }: Extract<Fitness, { isKept: true }>,
    tookMs: number,
  ): StoreRequest {
    const { storedKey, ageing, subject } = this.order
    this.makings.refreshes.supersede(storedKey, this.lead.refresh)
    const replacing = this.start?.claim
    const age = ageingBy(ageing, freshUntilMs, tookMs)
    return { storedKey, value, ...age, tags, replacing, subject }
  }

  /** What removes the older entry: the new one is not kept, and must not leave that one behind. */
  toRemoval(): StoreRequest {
    const { storedKey } = this.order
    this.makings.refreshes.supersede(storedKey, this.lead.refresh)
    return { storedKey, value: '', expiresAtMs: ALREADY_EXPIRED, replacing: this.start?.claim }
  }

  /** Nothing is stored: gives up its claim. */
  giveUp(tookMs: number): MaybePromise<void> {
    const { cache, storedKey } = this.order
    return cache.tryGiveUp(storedKey, this.start?.claim, tookMs)
  }

  /** Nobody waits for it any more: it goes on in the background, and others may begin. */
  toBackground(): void {
    const { storedKey, ageing } = this.order
    const lock = ageing?.lock ?? false
    const refresh = this.makings.refreshes.begin(storedKey, patienceOf(lock))
    if (this.isDiscarded) refresh.discard()
    void this.release()
    this.lead = { refresh }
  }

  /** Lets others begin. @returns Resolves once the lease is given up; never rejects. */
  release(): Promise<void> | undefined {
    const { flight, refresh, lease } = this.lead
    if (flight !== undefined) this.makings.flights.release(this.order.storedKey, flight)
    refresh?.end()
    return lease?.release()
  }
}

/** The entry to serve if a new one cannot be made. */
export function toOld<Value>(
  policy: AgeingPolicy | undefined,
  found: FoundEntry<Value>,
): Old<Value> | undefined {
  if (policy === undefined) return undefined
  return { ...found, usableUntilMs: standsInUntilMs(policy, found.hit) }
}
