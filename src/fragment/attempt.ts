import type { Hit, Lookup, StoreRequest, TagSnapshot } from '../backend.js'
import type { Cache } from '../cache.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import {
  fragmentChannel,
  operationChannel,
  type FragmentMessage,
  type FragmentOutcome,
} from '../observe.js'
import { ALREADY_EXPIRED, toDeadline } from '../timeout.js'
import { faults } from './faults.js'
import { Flight, flightsOver, needFrom } from './flights.js'
import {
  canShow,
  readParts,
  show,
  takeContent,
  type Content,
  type HoleRenderer,
  type Shown,
} from './holes.js'
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
    /** Renders the holes inside, if nothing around it is kept. */
    holes?: HoleRenderer,
  ) {
    this.frame = new Frame(fragment.cache, parent, flight)
    if (fragment.bypass) this.frame.keeps = false
    else {
      this.frame.fragment = fragment
      this.frame.holes = holes
    }
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
   * @throws CacheTagError: what stands for a hole was altered; after `fail`.
   */
  commit(text: string, after?: Promise<unknown>): MaybePromise<void> {
    let completed: MaybePromise<StoreRequest | undefined>
    try {
      completed = this.complete(text)
    } catch (error) {
      this.fail(error)
      throw error
    }
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
   * @throws CacheTagError: what stands for a hole was altered. Then `fail` must be called.
   */
  complete(text: string): MaybePromise<StoreRequest | undefined> {
    const { timeout, variant, bypass } = this.fragment
    const content = bypass ? text : takeContent(this.frame, text)
    if (this.snapshot === undefined) {
      this.#give(content, this.#unreadDependencies())
      return undefined
    }
    return chain(this.#dependencies(this.snapshot), (tags) => {
      this.#give(content, tags?.versions ?? this.#unreadDependencies(), tags?.unborn)
      // Without all its versions an invalidation could not reach it; and a deletion wins.
      if (tags === undefined || this.flight?.isDiscarded === true) return undefined
      if (this.frame.isUnfit) return undefined
      if (timeout !== null && timeout <= 0) {
        // A shorter timeout than before must not leave the older text behind.
        return { storedKey: variant.storedKey, value: content, expiresAtMs: ALREADY_EXPIRED }
      }
      const expiresAtMs = toDeadline(timeout, Date.now())
      return { storedKey: variant.storedKey, value: content, expiresAtMs, tags }
    })
  }

  #give(content: Content, tags: Dependencies, unborn?: readonly string[]): void {
    this.parent?.depend(this.fragment.cache, tags, unborn)
    // What must not be stored for others must not be given to them in another way either.
    this.flight?.land(this.frame.isUnfit ? undefined : { content, tags, unborn, hit: false })
  }

  /**
   * What is put out for the body's text, whether it was completed or the body failed: with its holes
   * filled if nothing around is kept, which is what `holes` were given for.
   *
   * @returns A promise only where the holes are rendered asynchronously.
   * @throws CacheTagError: what stands for a hole was altered.
   * @throws What a hole throws.
   */
  fillHoles(text: string): MaybePromise<string> {
    return chain(this.showHoles(text), (shown) => shown.text)
  }

  /** As {@link fillHoles}, and tells which part is which. */
  showHoles(text: string): MaybePromise<Shown> {
    const { frame, parent, fragment } = this
    // Only the outermost has any.
    if (frame.marks === undefined) return { text }
    return chain(show(takeContent(frame, text), parent, frame.holes, fragment.site), (shown) => {
      if (shown === undefined) throw faults.lostHole(fragment.site)
      return shown
    })
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
    if (this.flight !== undefined) {
      // What one visitor's body put out must not reach another's page.
      const left = unfinished !== undefined && !this.frame.isUnfit
      this.flight.fail(error, left ? this.#unfinished(unfinished) : undefined)
    }
    this.#end('error')
  }

  #unfinished(text: string): Content {
    try {
      return takeContent(this.frame, text)
    } catch {
      return ''
    }
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
export type Found = Shown

export type Opened = Attempt | Found

/**
 * Looks a fragment up in a cache that answers at once.
 *
 * @param shared - Whether its body may go on after it returned, so that others are to join it.
 * @param holes - Renders its holes, if nothing around it is kept.
 * @throws CacheTagError: its holes are rendered asynchronously, or nothing can render them.
 * @throws What a hole throws.
 */
export function openSync(
  fragment: Fragment,
  parent: Frame | undefined,
  shared = false,
  holes?: HoleRenderer,
): string | Attempt {
  const opened = openHere(fragment, parent, shared, holes)
  if (typeof opened === 'string' || !isPromise(opened)) return opened
  opened.catch(() => undefined)
  throw faults.asynchronousHole(fragment.site)
}

/** As {@link openSync}, but answers by promise where the holes are rendered asynchronously. */
export function openHere(
  fragment: Fragment,
  parent: Frame | undefined,
  shared = false,
  holes?: HoleRenderer,
): MaybePromise<string | Attempt> {
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
  if (hit !== undefined) {
    const content = contentOf(hit, fragment, parent, holes)
    if (content !== undefined) {
      parent?.depend(cache, hit.tags)
      publish(fragment, 'hit', startedMs, 0)
      return chain(showFor({ fragment, parent, holes }, content, startedMs), (opened) =>
        opened instanceof Attempt ? opened : opened.text,
      )
    }
    snapshot ??= atOnce(cache.readTags(fragment.tags))
  }
  const flight = shared ? takeOff(fragment, parent) : undefined
  return new Attempt(fragment, snapshot, parent, flight, startedMs, holes)
}

/**
 * What was found, if it is a fragment's and all its holes are still there.
 *
 * @throws CacheTagError: nothing can render its holes.
 */
function contentOf(
  { value }: Hit,
  fragment: Fragment,
  parent: Frame | undefined,
  holes: HoleRenderer | undefined,
): Content | undefined {
  if (typeof value === 'string') return value
  const parts = readParts(value)
  return parts && canShow(parts, parent, holes, fragment.site) ? parts : undefined
}

/** A fragment and where it stands. */
interface Placed {
  readonly fragment: Fragment
  readonly parent: Frame | undefined
  readonly holes: HoleRenderer | undefined
}

/** What a stored text is in its place. If a hole has gone meanwhile, its body runs and is not stored. */
function showFor(
  { fragment, parent, holes }: Placed,
  content: Content,
  startedMs: number,
): MaybePromise<Opened> {
  return chain(
    show(content, parent, holes, fragment.site),
    (shown) => shown ?? new Attempt(fragment, undefined, parent, undefined, startedMs, holes),
  )
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
export async function open(
  fragment: Fragment,
  parent: Frame | undefined,
  holes?: HoleRenderer,
): Promise<Opened> {
  const [opening] = openMany([fragment], [parent], [holes])
  return (opening as Opening).opened
}

/** Looks several fragments up: one round trip per cache. */
export function openMany(
  fragments: readonly Fragment[],
  parents: readonly (Frame | undefined)[],
  renderers: readonly (HoleRenderer | undefined)[] = [],
): Opening[] {
  const startedMs = fragmentChannel.hasSubscribers ? performance.now() : 0
  const reads = new Map<Cache, Reading[]>()
  const openings: Opening[] = []
  fragments.forEach((fragment, at) => {
    const parent = parents[at]
    const holes = renderers[at]
    if (fragment.bypass) {
      const attempt = new Attempt(fragment, undefined, parent, undefined, startedMs)
      openings[at] = { opened: Promise.resolve(attempt), joined: false }
      return
    }
    const running = flightToJoin(fragment, parent)
    if (running !== undefined) {
      needFrom(parent, running)
      const opened = join(running, { fragment, parent, holes }, startedMs)
      openings[at] = { opened, joined: true }
      return
    }
    const reading = { fragment, parent, holes, at, flight: takeOff(fragment, parent) }
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

interface Reading extends Placed {
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
  reading: Reading,
  found: Lookup | undefined,
  at: number,
  startedMs: number,
): MaybePromise<Opened> {
  const { fragment, parent, holes, flight } = reading
  const hit = found?.hits[at]
  const content = hit && contentOf(hit, fragment, parent, holes)
  if (hit === undefined || content === undefined) {
    const snapshot = found && pick(found.snapshot, fragment.tags)
    return new Attempt(fragment, snapshot, parent, flight, startedMs, holes)
  }
  parent?.depend(cache, hit.tags)
  // Before its holes are filled, which is for each visitor to do.
  flight?.land({ content, tags: hit.tags, hit: true })
  release(fragment, flight)
  publish(fragment, 'hit', startedMs, 0)
  return showFor(reading, content, startedMs)
}

function release(fragment: Fragment, flight: Flight | undefined): void {
  if (flight === undefined) return
  const flights = flightsOver(fragment.cache)
  const { storedKey } = fragment.variant
  if (flights.get(storedKey) === flight) flights.delete(storedKey)
}

async function join(running: Flight, placed: Placed, startedMs: number): Promise<Opened> {
  const { fragment, parent, holes } = placed
  const landed = await running.landed
  // Its body was left early and gave nothing: look for ourselves.
  if (landed === undefined) return open(fragment, parent, holes)
  const { content } = landed
  if (typeof content !== 'string' && !canShow(content, parent, holes, fragment.site)) {
    // Another engine's, or other templates': they are not found in the cache either.
    return new Attempt(fragment, undefined, parent, undefined, startedMs, holes)
  }
  parent?.depend(fragment.cache, landed.tags, landed.unborn)
  publish(fragment, landed.hit ? 'hit' : 'joined', startedMs, 0)
  return showFor(placed, content, startedMs)
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
