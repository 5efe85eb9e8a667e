import type { Hit } from '../backend/entries.js'
import { ProducerTimeoutError } from '../errors.js'
import { isPromise, type MaybePromise } from '../maybe-promise.js'
import {
  mayBeStale,
  mayServe,
  ownLimitOf,
  patienceOf,
  useOf,
  waitLimitOf,
  type Lock,
} from '../staleness.js'
import { NO_VERSIONS } from '../tags.js'
import { FAILED, Flight, mustNotWait, type Failed } from './flight.js'
import type { Frame } from './frame.js'
import { nextMoment } from './in-flight.js'
import { toLanded, type FoundEntry, type Landed } from './landed.js'
import { leaseOrFind } from './lease.js'
import { toOld, type Lead, type Old } from './making.js'
import type { Makings } from './makings.js'
import type { Order } from './order.js'
import type { Refresh } from './refreshes.js'

/**
 * How one kind of entry (values, fragments) is looked up, served and made.
 *
 * @typeParam Look - The result of a look-up.
 * @typeParam Value - The value of an entry.
 * @typeParam Out - What the caller gets.
 */
export interface Seeker<Look, Value, Out> {
  /**
   * Looks it up.
   *
   * @param isCurrent - Another process may have stored it just now: do not answer from a replica or a local
   *   copy, nor with a stale entry.
   * @returns `undefined`: the store failed.
   */
  look(isCurrent: boolean): MaybePromise<Look | undefined>
  hitOf(look: Look): Hit | undefined
  /** @returns `undefined`: it is of the wrong kind, and counts as a miss. */
  valueOf(hit: Hit): Value | undefined
  /** Serves what was found. */
  serve(found: FoundEntry<Value>): MaybePromise<Out>
  /**
   * Serves what another caller found or made.
   *
   * @returns `undefined`: it cannot be used here, and this caller has to make its own.
   */
  serveJoined(landed: Landed<Value>): MaybePromise<Out> | undefined
  /**
   * Serves the entry found and has it produced again. Until `refresh` ends, all others get that entry.
   */
  refresh(look: Look, found: FoundEntry<Value>, refresh: Refresh): MaybePromise<Out>
  /**
   * Makes it, and ends the flight, refresh or lease of `lead`.
   *
   * @param look - `undefined`: the store failed, or must not be used, and nothing is kept.
   */
  make(look: Look | undefined, lead: Lead<Value>): MaybePromise<Out>
}

/**
 * Finds an entry or has it made, by one caller for all others: within this process always, across processes
 * with a lease.
 *
 * @param parent - The frame of the calling code.
 * @returns A promise only where something was waited for.
 * @throws What the seeker throws, and what the flight that was joined failed with.
 */
export function findOrMake<Look, Value, Out>(
  order: Order,
  makings: Makings<Landed<Value>>,
  parent: Frame | undefined,
  seeker: Seeker<Look, Value, Out>,
): MaybePromise<Out> {
  const running = makings.flights.toJoin(order.storedKey, parent)
  if (running !== undefined) return joinOrLead(running, order, makings, parent, seeker)
  return lead(order, makings, parent, seeker)
}

async function joinOrLead<Look, Value, Out>(
  first: Flight<Landed<Value>>,
  order: Order,
  makings: Makings<Landed<Value>>,
  parent: Frame | undefined,
  seeker: Seeker<Look, Value, Out>,
): Promise<Out> {
  const ownLimitMs = ownLimitOf(order.producerTimeoutMs)
  let late = 0
  const patience = {
    askedAt: nextMoment(),
    limitMs: waitLimitOf(order.producerTimeoutMs),
    instead: () => {
      late++
      return inPlaceOfNew(order, seeker)
    },
  }
  const nextToJoin = () => makings.flights.toJoin(order.storedKey, parent)
  let next: Flight<Landed<Value>> | undefined = first
  for (; next !== undefined; next = nextToJoin()) {
    // Those who wait would make it one after the other, and the last would wait for all before them.
    if (late === MOST_LATE && ownLimitMs < Infinity) {
      throw new ProducerTimeoutError('what other callers make', order.key, ownLimitMs)
    }
    const running: Flight<Landed<Value>> = next
    const look = (made: Landed<Value> | Failed) => recheck(order, running, made, seeker)
    const landed = await makings.flights.join(running, parent, patience, look)
    if (landed === undefined) continue
    // The caller who led allows a staler entry than this one does.
    if (landed.served !== undefined && !mayServe(order.ageing, landed.served)) continue
    const out = landed.isApart ? undefined : seeker.serveJoined(landed)
    return out ?? seeker.make(undefined, {})
  }
  return lead(order, makings, parent, seeker)
}

/** How many others are waited for in vain that each take too long. */
const MOST_LATE = 2

/** What may be served to somebody who has waited too long for the new one. */
async function inPlaceOfNew<Look, Value>(
  { ageing }: Order,
  seeker: Seeker<Look, Value, unknown>,
): Promise<Landed<Value> | undefined> {
  if (!mayBeStale(ageing)) return undefined
  const look = await seeker.look(false)
  const hit = look && seeker.hitOf(look)
  const value = hit && seeker.valueOf(hit)
  return hit === undefined || value === undefined ? undefined : toLanded({ hit, value }, true)
}

/** Begins a flight, where there is none to join. */
export function takeOff<Value>(
  storedKey: string,
  tags: readonly string[],
  ageing: Order['ageing'],
  { flights }: Makings<Landed<Value>>,
  parent: Frame | undefined,
): Flight<Landed<Value>> {
  const flight = new Flight<Landed<Value>>(tags)
  flights.takeOff(storedKey, flight, parent)
  flight.mayWait = mayWait(flight, ageing?.lock, parent)
  return flight
}

/** Whether to wait for another process's lease. Never under a lease: two could wait for each other. */
function mayWait(
  { isUrgent }: { readonly isUrgent: boolean },
  lock: Lock | undefined,
  parent: Frame | undefined,
): lock is Exclude<Lock, false> {
  return lock !== undefined && lock !== false && !isUrgent && !mustNotWait(parent)
}

/** Looks up, and if need be makes, what nobody in this process is at yet. */
function lead<Look, Value, Out>(
  order: Order,
  makings: Makings<Landed<Value>>,
  parent: Frame | undefined,
  seeker: Seeker<Look, Value, Out>,
): MaybePromise<Out> {
  const flight = takeOff(order.storedKey, order.tags, order.ageing, makings, parent)
  const search = new Search(order, makings, parent, seeker, flight)
  let look: MaybePromise<Look | undefined>
  try {
    look = seeker.look(false)
  } catch (error) {
    throw search.failed(error)
  }
  if (!isPromise(look)) return search.looked(look)
  return look.then(
    (answer) => search.looked(answer),
    (error: unknown) => {
      throw search.failed(error)
    },
  )
}

/**
 * A search for what nobody in this process is at yet, to be told what the look-up has found: so that many can
 * be looked up together. Until then others wait for it.
 */
export class Search<Look, Value, Out> {
  readonly #order: Order
  readonly #makings: Makings<Landed<Value>>
  readonly #parent: Frame | undefined
  readonly #seeker: Seeker<Look, Value, Out>
  readonly #flight: Flight<Landed<Value>>

  /** @param flight - Took off before the look-up. */
  constructor(
    order: Order,
    makings: Makings<Landed<Value>>,
    parent: Frame | undefined,
    seeker: Seeker<Look, Value, Out>,
    flight: Flight<Landed<Value>>,
  ) {
    this.#order = order
    this.#makings = makings
    this.#parent = parent
    this.#seeker = seeker
    this.#flight = flight
  }

  /**
   * Serves what was found, or has it made.
   *
   * @param look - `undefined`: the store failed.
   */
  looked(look: Look | undefined): MaybePromise<Out> {
    let out: MaybePromise<Out>
    try {
      out = this.#looked(look)
    } catch (error) {
      throw this.failed(error)
    }
    if (!isPromise(out)) return out
    return out.catch((error: unknown) => {
      throw this.failed(error)
    })
  }

  /** Ends the search. @returns The error. */
  failed(error: unknown): unknown {
    // If it has landed already, this does nothing.
    this.#flight.fail(error)
    this.#release()
    return error
  }

  #looked(look: Look | undefined): MaybePromise<Out> {
    const { ageing, storedKey } = this.#order
    const { refreshes } = this.#makings
    const seeker = this.#seeker
    const found = look && foundIn(look, seeker, this.#flight)
    if (look !== undefined && found !== undefined) {
      const use = useOf(ageing, found.hit, refreshes.has(storedKey))
      if (use === 'refresh') {
        const refresh = refreshes.begin(storedKey, patienceOf(ageing?.lock ?? false))
        this.#land(found)
        return seeker.refresh(look, found, refresh)
      }
      if (use !== 'too-old') {
        this.#land(found)
        return seeker.serve(found)
      }
    }
    const old = found && toOld(ageing, found)
    const flight = this.#flight
    const lock = ageing?.lock
    if (look === undefined || !mayWait(flight, lock, this.#parent)) {
      return seeker.make(look, { flight, old })
    }
    return this.#leaseOrFind(look, lock, old)
  }

  async #leaseOrFind(
    look: Look,
    lock: Exclude<Lock, false>,
    old: Old<Value> | undefined,
  ): Promise<Out> {
    const flight = this.#flight
    const seeker = this.#seeker
    const { cache, storedKey } = this.#order
    let latest: Look | undefined
    const taken = await leaseOrFind(cache, storedKey, lock, async () => {
      // A replica may not have yet what the previous holder of the lease stored.
      latest = await seeker.look(true)
      return latest && foundIn(latest, seeker, flight)
    })
    if (taken.found === undefined) {
      return seeker.make(latest ?? look, { flight, old, lease: taken.lease })
    }
    this.#land(taken.found)
    return seeker.serve(taken.found)
  }

  #land(found: FoundEntry<Value>): void {
    this.#flight.land(toLanded(found))
    this.#release()
  }

  #release(): void {
    this.#makings.flights.release(this.#order.storedKey, this.#flight)
  }
}

function foundIn<Look, Value>(
  look: Look,
  seeker: Seeker<Look, Value, unknown>,
  flight: Flight<Landed<Value>>,
): FoundEntry<Value> | undefined {
  const hit = seeker.hitOf(look)
  if (hit === undefined) return undefined
  try {
    const value = seeker.valueOf(hit)
    return value === undefined ? undefined : { hit, value }
  } catch (error) {
    // Other callers may be able to use it.
    flight.land(undefined)
    throw error
  }
}

/** What is stored now of what a flight brought; `undefined`: nothing that others may be served. */
async function recheck<Look, Value>(
  { cache, key, storedKey }: Order,
  flight: Flight<Landed<Value>>,
  made: Landed<Value> | Failed,
  seeker: Seeker<Look, Value, unknown>,
): Promise<Landed<Value> | Failed | undefined> {
  if (made !== FAILED && made.isApart) return made
  const tags = made === FAILED ? flight.versions : (made.tags ?? NO_VERSIONS)
  const now = await cache.tryRecheck(key, storedKey, flight.claim, tags)
  if (typeof now === 'boolean') return now ? made : undefined
  const value = seeker.valueOf(now)
  return value === undefined ? undefined : toLanded({ hit: now, value })
}
