import type { Hit, Lookup, StoreRequest, TagSnapshot } from '../backend.js'
import type { Cache } from '../cache.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import {
  fragmentChannel,
  operationChannel,
  type FragmentMessage,
  type FragmentOutcome,
} from '../observe.js'
import { ALREADY_EXPIRED, toDeadline } from '../timeout.js'
import { Flight, flightsOver, needFrom } from './flights.js'
import { Frame, runAsyncIn, runSyncIn, type Dependencies } from '../frame.js'
import type { Fragment } from './spec.js'

/**
 * A fragment that was not found: whoever opened it runs the body and then calls exactly one of
 * `commit`, `complete`, `abandon`, `withdraw` and `fail`.
 */
export class Attempt {
  readonly frame: Frame
  #bodyStartedMs = 0
  #bodyMs = 0

  constructor(
    readonly fragment: Fragment,
    /** `undefined`: the store could not be read, or must not be used; nothing is stored. */
    readonly snapshot: TagSnapshot | undefined,
    readonly parent: Frame | undefined,
    readonly flight: Flight | undefined,
    readonly startedMs: number,
  ) {
    this.frame = new Frame(fragment.cache, parent, flight)
    if (flight !== undefined) flight.frame = this.frame
  }

  /** Runs a body that ends before it returns. @throws What the body throws, after `fail`. */
  runSync<T>(body: () => T): T {
    this.bodyStarts()
    try {
      const text = runSyncIn(this.frame, body)
      this.bodyEnds()
      return text
    } catch (error) {
      this.bodyEnds()
      this.fail(error)
      throw error
    }
  }

  /** Runs any body. @throws What the body throws, after `fail`. */
  async runAsync<T>(body: () => T | Promise<T>): Promise<T> {
    this.bodyStarts()
    try {
      const text = await runAsyncIn(this.frame, body)
      this.bodyEnds()
      return text
    } catch (error) {
      this.bodyEnds()
      this.fail(error)
      throw error
    }
  }

  /** For bodies that are run by other means inside {@link frame}. */
  bodyStarts(): void {
    if (fragmentChannel.hasSubscribers) this.#bodyStartedMs = performance.now()
  }

  bodyEnds(): void {
    if (this.#bodyStartedMs !== 0) this.#bodyMs = performance.now() - this.#bodyStartedMs
  }

  /**
   * Stores the text. At once where the cache answers at once.
   *
   * @param after - Stores it only then; never rejects.
   */
  commit(text: string, after?: Promise<unknown>): MaybePromise<void> {
    const completed = this.complete(text)
    return chain(after === undefined ? completed : after.then(() => completed), (request) => {
      if (request === undefined) return this.stored(false)
      const { cache, variant } = this.fragment
      return chain(cache.tryStore([variant.key], [request]), (outcomes) =>
        this.stored(outcomes?.[0] === 'stored'),
      )
    })
  }

  /**
   * Gives those who wait the text, without storing it yet.
   *
   * @returns What is to be stored, if anything. In either case `stored` must be called.
   */
  complete(text: string): MaybePromise<StoreRequest | undefined> {
    const { timeout, variant } = this.fragment
    if (this.snapshot === undefined) {
      this.#give(text, this.#unreadDependencies())
      return undefined
    }
    return chain(this.#dependencies(this.snapshot), (tags) => {
      this.#give(text, tags?.versions ?? this.#unreadDependencies(), tags?.unborn)
      // Without all its versions an invalidation could not reach it; and a deletion wins.
      if (tags === undefined || this.flight?.isDiscarded === true) return undefined
      if (timeout !== null && timeout <= 0) {
        // A shorter timeout than before must not leave the older text behind.
        return { storedKey: variant.storedKey, value: text, expiresAtMs: ALREADY_EXPIRED }
      }
      const expiresAtMs = toDeadline(timeout, Date.now())
      return { storedKey: variant.storedKey, value: text, expiresAtMs, tags }
    })
  }

  #give(text: string, tags: Dependencies, unborn?: readonly string[]): void {
    this.parent?.depend(this.fragment.cache, tags, unborn)
    this.flight?.land({ text, tags, unborn, hit: false })
  }

  /** Ends the attempt after {@link complete}. */
  stored(stored: boolean): void {
    const { timeout } = this.fragment
    this.#end(stored && (timeout === null || timeout > 0) ? 'miss' : 'bypass')
  }

  /** Tells those who wait to look for themselves, while this goes on or is given up. */
  letGo(): void {
    this.flight?.land(undefined)
    release(this.fragment, this.flight)
  }

  /** The body ran but its text is no fragment, for example because it was left early. */
  abandon(): void {
    this.flight?.land(undefined)
    this.#end('bypass')
  }

  /** The body is not going to run. */
  withdraw(): void {
    this.flight?.land(undefined)
    release(this.fragment, this.flight)
  }

  /**
   * The body threw.
   *
   * @param unfinished - What it had put out by then, where that stays in the page.
   */
  fail(error: unknown, unfinished?: string): void {
    this.flight?.fail(error, unfinished)
    this.#end('error')
  }

  #end(outcome: FragmentOutcome): void {
    release(this.fragment, this.flight)
    publish(this.fragment, outcome, this.startedMs, this.#bodyMs)
  }

  /** What the text depends on, where the versions are not known. */
  #unreadDependencies(): Dependencies {
    const tags = new Map<string, string | undefined>(this.frame.tags)
    for (const tag of this.fragment.tags) if (!tags.has(tag)) tags.set(tag, undefined)
    return tags
  }

  /**
   * The tag versions to store: the fragment's own and those of everything inside it; `undefined`
   * if they cannot be read.
   */
  #dependencies(own: TagSnapshot): MaybePromise<TagSnapshot | undefined> {
    const inner = this.frame.tags
    if (inner === undefined) return own
    const versions = new Map(own.versions)
    const unread: string[] = []
    for (const [tag, version] of inner) {
      if (versions.has(tag)) continue
      if (version === undefined) unread.push(tag)
      else versions.set(tag, version)
    }
    const unborn = [...new Set([...own.unborn, ...this.frame.unborn])]
    if (unread.length === 0) return { versions, unborn }
    // What contains this must know of the tags at once: it may be done before they are read.
    const known = new Map<string, string | undefined>(versions)
    for (const tag of unread) known.set(tag, undefined)
    this.parent?.depend(this.fragment.cache, known, unborn)
    return chain(readTags(this.fragment.cache, unread), (read) => {
      if (read === undefined || this.frame.isOutdated(unread)) return undefined
      for (const [tag, version] of read.versions) versions.set(tag, version)
      return { versions, unborn: [...unborn, ...read.unborn] }
    })
  }
}

/** A store that fails must not fail the page: `undefined`. */
function readTags(cache: Cache, tags: readonly string[]): MaybePromise<TagSnapshot | undefined> {
  return chain(cache.tryLookup([], [], tags), (found) => found?.snapshot)
}

/** A fragment that was found, or taken from another's body. */
export interface Found {
  readonly text: string
}

export type Opened = Attempt | Found

/**
 * Looks a fragment up in a cache that answers at once.
 *
 * @param shared - Whether its body may go on after it returned, so that others are to join it.
 */
export function openSync(
  fragment: Fragment,
  parent: Frame | undefined,
  shared = false,
): string | Attempt {
  const startedMs = fragmentChannel.hasSubscribers ? performance.now() : 0
  const { cache, variant } = fragment
  if (fragment.bypass) return new Attempt(fragment, undefined, parent, undefined, startedMs)
  let hit: Hit | undefined
  let snapshot: TagSnapshot | undefined
  if (operationChannel.hasSubscribers) {
    const found = atOnce(cache.tryLookup([variant.key], [variant.storedKey], fragment.tags))
    hit = found?.hits[0]
    snapshot = found?.snapshot
  } else {
    // The hot path: no lists, no closures.
    try {
      hit = atOnce(cache.lookupOne(variant.storedKey))
      snapshot = hit === undefined ? atOnce(cache.readTags(fragment.tags)) : undefined
    } catch (error) {
      cache.reportFailure('get', error)
      hit = undefined
      snapshot = undefined
    }
  }
  if (hit !== undefined && typeof hit.value === 'string') {
    parent?.depend(cache, hit.tags)
    publish(fragment, 'hit', startedMs, 0)
    return hit.value
  }
  if (hit !== undefined) snapshot ??= atOnce(cache.readTags(fragment.tags))
  const flight = shared ? takeOff(fragment, parent) : undefined
  return new Attempt(fragment, snapshot, parent, flight, startedMs)
}

/** Starts a flight, unless one that could not be joined is already there. */
function takeOff(fragment: Fragment, parent: Frame | undefined): Flight | undefined {
  const flights = flightsOver(fragment.cache)
  const { storedKey } = fragment.variant
  if (flights.get(storedKey)?.isOutdated === false) return undefined
  const flight = new Flight(fragment.tags)
  flights.set(storedKey, flight)
  needFrom(parent, flight)
  return flight
}

/** The flight a fragment would join, if any. */
export function flightToJoin(fragment: Fragment, parent: Frame | undefined): Flight | undefined {
  if (fragment.bypass) return undefined
  const running = flightsOver(fragment.cache).get(fragment.variant.storedKey)
  if (running === undefined || running.isOutdated || running.dependsOn(parent)) return undefined
  return running
}

function atOnce<T>(value: MaybePromise<T>): T {
  if (value instanceof Promise) {
    value.catch(() => undefined)
    throw new TypeError('a cache whose answersAtOnce is true answered by promise')
  }
  return value
}

/** A fragment that is being looked up. */
export interface Opening {
  readonly opened: Promise<Opened>
  /** It waits for another's body, which may in turn wait for what the caller has yet to run. */
  readonly joined: boolean
}

/** Looks a fragment up in any cache, or joins whoever is looking it up or rendering it now. */
export async function open(fragment: Fragment, parent: Frame | undefined): Promise<Opened> {
  const [opening] = openMany([fragment], [parent])
  return (opening as Opening).opened
}

/** Looks several fragments up: one round trip per cache. */
export function openMany(
  fragments: readonly Fragment[],
  parents: readonly (Frame | undefined)[],
): Opening[] {
  const startedMs = fragmentChannel.hasSubscribers ? performance.now() : 0
  const reads = new Map<Cache, Reading[]>()
  const openings: Opening[] = []
  fragments.forEach((fragment, at) => {
    const parent = parents[at]
    if (fragment.bypass) {
      const attempt = new Attempt(fragment, undefined, parent, undefined, startedMs)
      openings[at] = { opened: Promise.resolve(attempt), joined: false }
      return
    }
    const running = flightToJoin(fragment, parent)
    if (running !== undefined) {
      needFrom(parent, running)
      openings[at] = { opened: join(running, fragment, parent, startedMs), joined: true }
      return
    }
    const reading = { fragment, parent, at, flight: takeOff(fragment, parent) }
    const group = reads.get(fragment.cache)
    if (group === undefined) reads.set(fragment.cache, [reading])
    else group.push(reading)
  })
  for (const [cache, group] of reads) {
    const lookup = lookupGroup(cache, group)
    group.forEach((reading, i) => {
      const opened = lookup.then((found) => openFound(cache, reading, found, i, startedMs))
      opened.catch((error: unknown) => {
        reading.flight?.fail(error)
        release(reading.fragment, reading.flight)
      })
      openings[reading.at] = { opened, joined: false }
    })
  }
  return openings
}

interface Reading {
  readonly fragment: Fragment
  readonly parent: Frame | undefined
  readonly at: number
  readonly flight: Flight | undefined
}

async function lookupGroup(cache: Cache, group: readonly Reading[]): Promise<Lookup | undefined> {
  return cache.tryLookup(
    group.map(({ fragment }) => fragment.variant.key),
    group.map(({ fragment }) => fragment.variant.storedKey),
    [...new Set(group.flatMap(({ fragment }) => fragment.tags))],
  )
}

function openFound(
  cache: Cache,
  { fragment, parent, flight }: Reading,
  found: Lookup | undefined,
  at: number,
  startedMs: number,
): Opened {
  const hit = found?.hits[at]
  if (hit === undefined || typeof hit.value !== 'string') {
    const snapshot = found && pick(found.snapshot, fragment.tags)
    return new Attempt(fragment, snapshot, parent, flight, startedMs)
  }
  parent?.depend(cache, hit.tags)
  flight?.land({ text: hit.value, tags: hit.tags, hit: true })
  release(fragment, flight)
  publish(fragment, 'hit', startedMs, 0)
  return { text: hit.value }
}

function release(fragment: Fragment, flight: Flight | undefined): void {
  if (flight === undefined) return
  const flights = flightsOver(fragment.cache)
  const { storedKey } = fragment.variant
  if (flights.get(storedKey) === flight) flights.delete(storedKey)
}

async function join(
  running: Flight,
  fragment: Fragment,
  parent: Frame | undefined,
  startedMs: number,
): Promise<Opened> {
  const landed = await running.landed
  // Its body was left early and gave nothing: look for ourselves.
  if (landed === undefined) return open(fragment, parent)
  parent?.depend(fragment.cache, landed.tags, landed.unborn)
  publish(fragment, landed.hit ? 'hit' : 'joined', startedMs, 0)
  return { text: landed.text }
}

/** Of the versions read for a whole batch, those of one fragment. */
function pick(snapshot: TagSnapshot, tags: readonly string[]): TagSnapshot {
  const versions = new Map<string, string>()
  for (const tag of tags) {
    const version = snapshot.versions.get(tag)
    if (version !== undefined) versions.set(tag, version)
  }
  return { versions, unborn: snapshot.unborn.filter((tag) => versions.has(tag)) }
}

function publish(
  { site, variant, alias }: Fragment,
  outcome: FragmentOutcome,
  startedMs: number,
  bodyMs: number,
): void {
  if (!fragmentChannel.hasSubscribers) return
  fragmentChannel.publish({
    name: site.fragment,
    key: variant.key,
    alias,
    outcome,
    bodyMs,
    durationMs: startedMs === 0 ? 0 : performance.now() - startedMs,
    ...(site.template === undefined ? undefined : { template: site.template }),
  } satisfies FragmentMessage)
}
