import type { StoreRequest } from '../backend/entries.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import { ageingBy, standsInUntilMs, type AgeingPolicy } from '../staleness.js'
import type { SeenVersions } from '../tags.js'
import type { Deadline } from '../timeout.js'
import { fitnessOf, type Fitness } from './fitness.js'
import type { Flight } from './flight.js'
import type { Frame } from './frame.js'
import type { FoundEntry, Landed } from './landed.js'
import type { Lease } from './lease.js'
import type { Makings } from './makings.js'
import type { Order, Start } from './order.js'
import type { Refresh } from './refreshes.js'

/** What was found, past its time or not, for when the new one cannot be made. */
export interface Old<Value> extends FoundEntry<Value> {
  /** Milliseconds since the epoch. */
  readonly usableUntilMs: number
}

/** Who makes something, and who waits for it. */
export interface Lead<Value> {
  /** Given where others here may wait for it. */
  readonly flight?: Flight<Landed<Value>> | undefined
  /** Given where all others are served the old one meanwhile. */
  readonly refresh?: Refresh | undefined
  /** Given where others in other processes wait for it; it ends with the making. */
  readonly lease?: Lease | undefined
  /** What may stand in if it cannot be made. */
  readonly old?: Old<Value> | undefined
}

/** Whether something may be kept, and what it depends on in either case. */
export interface Judged {
  readonly fitness: Fitness
  readonly tags: SeenVersions
  /** However long it is kept, what contains it is as old as what it contains. */
  readonly expiresAtMs: Deadline
}

/** Something that was not found, or not as it should be, and is made. */
export class Making<Value> {
  /**
   * @param frame - It is made in.
   * @param start - `undefined`: the store failed, or must not be used; nothing is kept.
   */
  constructor(
    readonly order: Order,
    readonly frame: Frame,
    readonly start: Start | undefined,
    private readonly makings: Makings<Landed<Value>>,
    private readonly lead: Lead<Value>,
  ) {
    lead.flight?.beginMaking(frame, start)
    frame.parent?.announce(order.tags)
  }

  /** Whether its key was removed since it began. */
  get isDiscarded(): boolean {
    return this.lead.flight?.isDiscarded === true || this.lead.refresh?.isDiscarded === true
  }

  /**
   * Whether it may be kept.
   *
   * @param deadline - By its own timeout.
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

  /** What it depends on, where the versions are not known. */
  #unreadTags(): SeenVersions {
    const tags = new Map<string, string | undefined>(this.frame.tags)
    for (const tag of this.order.tags) if (!tags.has(tag)) tags.set(tag, undefined)
    return tags
  }

  /** What of it others may be given. */
  toLanded(value: Value, { tags, expiresAtMs }: Judged): Landed<Value> {
    const { holdsOld: isOld, isUnfit: isApart } = this.frame
    return { value, tags, expiresAtMs, isFound: false, isOld, isApart, served: undefined }
  }

  /** What is to be stored of what is kept. Of all that began earlier, nothing takes its place any more. */
  toStore(
    value: Value,
    { tags, freshUntilMs }: Extract<Fitness, { isKept: true }>,
    tookMs: number,
  ): StoreRequest {
    const { storedKey, ageing } = this.order
    this.makings.refreshes.supersede(storedKey, this.lead.refresh)
    const replacing = this.start?.claim
    return { storedKey, value, ...ageingBy(ageing, freshUntilMs, tookMs), tags, replacing }
  }

  /** Nothing is kept of it. */
  giveUp(tookMs: number): MaybePromise<void> {
    const { cache, storedKey } = this.order
    return cache.tryGiveUp(storedKey, this.start?.claim, tookMs)
  }

  /** Lets others begin. @returns Settled once the lease is given up; never rejects. */
  release(): Promise<void> | undefined {
    const { flight, refresh, lease } = this.lead
    if (flight !== undefined) this.makings.flights.release(this.order.storedKey, flight)
    refresh?.end()
    return lease?.release()
  }
}

/** What may stand in for something that cannot be made. */
export function toOld<Value>(
  policy: AgeingPolicy | undefined,
  found: FoundEntry<Value>,
): Old<Value> | undefined {
  if (policy === undefined) return undefined
  return { ...found, usableUntilMs: standsInUntilMs(policy, found.hit) }
}
