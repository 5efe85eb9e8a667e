import type { Hit } from '../backend/entries.js'
import type { MaybePromise } from '../maybe-promise.js'
import { mayServe, patienceOf, useOf, type Lock } from '../staleness.js'
import { NO_VERSIONS } from '../tags.js'
import { FAILED, Flight, mustNotWait, type Failed } from './flight.js'
import type { Frame } from './frame.js'
import { nextMoment } from './in-flight.js'
import { toLanded, type FoundEntry, type Landed } from './landed.js'
import { leaseOrFind } from './lease.js'
import { toOld, type Lead } from './making.js'
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
  look(isCurrent: boolean): Promise<Look | undefined>
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
  /** Serves the entry found and has it made again; until `refresh` ends, all others are served that entry. */
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
 * @throws What the seeker throws, and what the flight that was joined failed with.
 */
export async function findOrMake<Look, Value, Out>(
  order: Order,
  makings: Makings<Landed<Value>>,
  parent: Frame | undefined,
  seeker: Seeker<Look, Value, Out>,
): Promise<Out> {
  const patience = { askedAt: nextMoment(), limitMs: order.producerTimeoutMs }
  for (;;) {
    const running = makings.flights.toJoin(order.storedKey, parent)
    if (running === undefined) return lead(order, makings, parent, seeker)
    const look = (made: Landed<Value> | Failed) => recheck(order, running, made, seeker)
    const landed = await makings.flights.join(running, parent, patience, look)
    if (landed === undefined) continue
    // The caller who led allows a staler entry than this one does.
    if (landed.served !== undefined && !mayServe(order.ageing, landed.served)) continue
    const out = landed.isApart ? undefined : seeker.serveJoined(landed)
    return out ?? seeker.make(undefined, {})
  }
}

/** Begins a flight, where there is none to join. */
export function takeOff<Value>(
  { storedKey, tags, ageing }: Order,
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
async function lead<Look, Value, Out>(
  order: Order,
  makings: Makings<Landed<Value>>,
  parent: Frame | undefined,
  seeker: Seeker<Look, Value, Out>,
): Promise<Out> {
  const { storedKey, ageing } = order
  const flight = takeOff(order, makings, parent)
  const release = () => makings.flights.release(storedKey, flight)
  const land = (found: FoundEntry<Value>) => {
    flight.land(toLanded(found))
    release()
  }
  try {
    const look = await seeker.look(false)
    const found = look && foundIn(look, seeker, flight)
    if (look !== undefined && found !== undefined) {
      const use = useOf(ageing, found.hit, makings.refreshes.has(storedKey))
      if (use === 'refresh') {
        const refresh = makings.refreshes.begin(storedKey, patienceOf(ageing?.lock ?? false))
        land(found)
        return await seeker.refresh(look, found, refresh)
      }
      if (use !== 'too-old') {
        land(found)
        return await seeker.serve(found)
      }
    }
    const old = found && toOld(ageing, found)
    const lock = ageing?.lock
    if (look === undefined || !mayWait(flight, lock, parent)) {
      return await seeker.make(look, { flight, old })
    }
    let latest: Look | undefined
    const taken = await leaseOrFind(order.cache, storedKey, lock, async () => {
      // A replica may not have yet what the previous holder of the lease stored.
      latest = await seeker.look(true)
      return latest && foundIn(latest, seeker, flight)
    })
    if (taken.found === undefined) {
      return await seeker.make(latest ?? look, { flight, old, lease: taken.lease })
    }
    land(taken.found)
    return await seeker.serve(taken.found)
  } catch (error) {
    // If it has landed already, this does nothing.
    flight.fail(error)
    release()
    throw error
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
