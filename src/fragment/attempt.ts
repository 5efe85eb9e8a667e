import type { Claim, Hit, Lookup, StoreRequest } from '../backend/entries.js'
import type { CacheCore } from '../backend/core.js'
import { CacheTagError } from '../errors.js'
import { lifetimeOf } from '../get-or-set.js'
import { fitnessOf } from '../making/fitness.js'
import { FAILED, mustNotWait, type Failed } from '../making/flight.js'
import { nextMoment } from '../making/in-flight.js'
import { Lease, leaseOrFind } from '../making/lease.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import {
  fragmentChannel,
  isToldOfFragments,
  isToldOfOperations,
  operationChannel,
  reportRefresh,
  tellFragmentHits,
  tellOfFragment,
  type FragmentMessage,
  type FragmentOutcome,
} from '../observe.js'
import { toAgeing } from '../staleness.js'
import { HITS_OF_SUM } from '../stats/at-once.js'
import { ALREADY_EXPIRED, toDeadline, type Deadline } from '../timeout.js'
import { beginRefresh, mayBeOld, oldOf, refreshesOver, useOf, type Old } from './ageing.js'
import { faults } from './faults.js'
import { APART, FragmentFlight, flightsOver, type Landed } from './flights.js'
import {
  canShow,
  readParts,
  show,
  takeContent,
  type Content,
  type HoleRenderer,
  type Shown,
} from './holes.js'
import { type Frame, isUnderLease, runAsyncIn, runSyncIn } from '../making/frame.js'
import { observer } from './shown.js'
import type { Refresh } from '../making/refreshes.js'
import type { Fragment } from './spec.js'
import { outermostOf, TemplateFrame, templateFramesAround } from './template-frame.js'
import { NO_VERSIONS, type SeenVersions, type TagVersions } from '../tags.js'

/** In place of the moment when something began. */
const UNTIMED = -1

/** What a fragment is begun with, so that it can be kept. */
export interface Start {
  /** Of its own tags. */
  readonly versions: TagVersions
  /** Left out: it is not going to be kept, since its time is over at once. */
  readonly claim: Claim
}

/**
 * A fragment that was not found: whoever opened it runs the body and then calls exactly one of
 * `commit`, `complete`, `abandon`, `withdraw` and `fail`.
 */
export class Attempt {
  readonly frame: TemplateFrame
  #bodyStartedMs = UNTIMED
  #bodyMs = 0
  #old: Old | undefined
  #lease: Lease | undefined
  #refresh: Refresh | undefined
  #hasRecovered = false
  #bytes = 0

  constructor(
    readonly fragment: Fragment,
    /** `undefined`: the store failed, or must not be used; nothing is stored. */
    readonly start: Start | undefined,
    readonly parent: Frame | undefined,
    readonly flight: FragmentFlight | undefined,
    readonly startedMs: number,
    /** Renders the holes inside, if nothing around it is kept. */
    holes?: HoleRenderer,
  ) {
    const isLimited = fragment.settings.bubbleTimeout && !fragment.bypass
    this.frame = new TemplateFrame(fragment.cache, parent, flight, isLimited)
    if (fragment.bypass) this.frame.keeps = false
    else {
      this.frame.fragment = fragment
      this.frame.storedKey = fragment.variant.storedKey
      this.frame.holes = holes
    }
    flight?.beginMaking(this.frame, start && { claims: [start.claim], versions: start.versions })
    if (!fragment.bypass) parent?.announce(fragment.tags)
  }

  /**
   * Makes it again in place of what was found.
   *
   * @param old - What may stand in if the body throws.
   * @param refresh - Given where the old is served to all others meanwhile.
   */
  replace(old: Old | undefined, refresh?: Refresh): this {
    this.#old = old
    this.#refresh = refresh
    return this
  }

  /** Makes it under a lease, which ends with the attempt. */
  under(lease: Lease | undefined): this {
    this.#lease = lease
    this.frame.holdsLease = lease !== undefined
    return this
  }

  /** Whether others wait in other processes, so that it has to be stored as soon as it is made. */
  get isUnderLease(): boolean {
    return this.#lease !== undefined
  }

  /**
   * What is served to all others while this is made.
   *
   * @returns `undefined`: nothing, they wait for it.
   */
  get served(): Old | undefined {
    return this.#refresh === undefined ? undefined : this.#old
  }

  /** The same again as a part of nothing, to be made when whoever asked for it has what was found. */
  apart(holes: HoleRenderer | undefined): Attempt {
    const { fragment, start, startedMs } = this
    const own = holes ?? outermostOf(this.parent)?.holes
    const attempt = new Attempt(fragment, start, undefined, undefined, startedMs, own)
    return attempt.replace(undefined, this.#refresh).under(this.#lease)
  }

  /** Runs a body that ends before it returns. @throws What the body throws, after `fail`. */
  runSync(body: () => string): string {
    this.bodyStarts()
    try {
      const text = runSyncIn(this.frame, body)
      this.bodyEnds()
      return text
    } catch (error) {
      return this.#recoverOrThrow(error)
    }
  }

  /** Runs any body. @throws What the body throws, after `fail`. */
  async runAsync(body: () => string | Promise<string>): Promise<string> {
    this.bodyStarts()
    try {
      const text = await runAsyncIn(this.frame, body)
      this.bodyEnds()
      return text
    } catch (error) {
      return this.#recoverOrThrow(error)
    }
  }

  #recoverOrThrow(error: unknown): string {
    this.bodyEnds()
    const old = this.recover(error)
    if (old !== undefined) return old
    this.fail(error)
    throw error
  }

  /**
   * What stands in for a body that threw, which is reported then. It goes on like a body's text, and is
   * not stored.
   *
   * @returns `undefined`: nothing does, and `fail` must be called.
   */
  recover(error: unknown): string | undefined {
    const { fragment, frame } = this
    const old = this.#old
    // What is wrong with a template would never be seen.
    if (old === undefined || error instanceof CacheTagError) return undefined
    if (Date.now() >= old.usableUntilMs || this.#isDiscarded) return undefined
    if (frame.wasLost(old.hit.tags)) return undefined
    outermostOf(frame)?.marks?.drop(frame)
    const shown = show(old.content, frame, undefined, fragment.site)
    if (shown === undefined || isPromise(shown)) return undefined
    const { alias, cache, variant } = fragment
    reportRefresh({ alias, backend: cache.backendName, key: variant.key, error })
    this.#hasRecovered = true
    // First, since the oldest versions count: those of what the failed body has read are newer.
    this.parent?.depend(cache, old.hit.tags)
    frame.depend(cache, old.hit.tags)
    if (old.hit.staleSinceMs === undefined) this.parent?.limit(old.usableUntilMs)
    else this.parent?.holdOld()
    return shown.text
  }

  /** For bodies that are run by other means inside {@link frame}. */
  bodyStarts(): void {
    this.#bodyStartedMs = performance.now()
  }

  bodyEnds(): void {
    if (this.#bodyStartedMs === UNTIMED) return
    this.#bodyMs = performance.now() - this.#bodyStartedMs
    this.fragment.tally.ran(this.#bodyMs)
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
      if (request === undefined || !this.isStillFit(request)) return this.stored(false)
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
    const deadline = toDeadline(timeout, Date.now())
    const endMs = Math.min(deadline ?? Infinity, this.frame.bubbledExpiresAtMs)
    const { versions, claim } = this.start ?? NOT_BEGUN
    const fitness = fitnessOf({ frame: this.frame, versions, claim, deadline })
    return chain(fitness, (found) => {
      this.#give(content, found.tags ?? this.#unreadVersions(), endMs)
      if (this.#hasRecovered) return undefined
      const { storedKey } = variant
      if (!found.isKept) {
        // A shorter timeout than before must not leave the older text behind.
        const isOver = found.reason === 'no-time'
        return isOver ? { storedKey, value: content, expiresAtMs: ALREADY_EXPIRED } : undefined
      }
      if (this.fragment.ageing !== undefined) {
        refreshesOver(this.fragment.cache).supersede(storedKey, this.#refresh)
      }
      this.#bytes = sizeOf(content)
      const ageing = this.#ageing(found.freshUntilMs)
      return { storedKey, value: content, ...ageing, tags: found.tags, replacing: claim }
    })
  }

  /** Whether what was completed may still be stored: since then what it depends on may have been invalidated. */
  isStillFit({ tags = NO_VERSIONS }: StoreRequest): boolean {
    return !this.frame.isOutdatedBy(tags.keys())
  }

  /** Whether its key was removed since it began. */
  get #isDiscarded(): boolean {
    return this.flight?.isDiscarded === true || this.#refresh?.isDiscarded === true
  }

  #ageing(freshUntilMs: Deadline): Pick<StoreRequest, 'expiresAtMs' | 'stamp'> {
    const { ageing } = this.fragment
    if (ageing === undefined) return { expiresAtMs: freshUntilMs }
    const grace = Math.max(ageing.staleWhileRevalidate, ageing.staleIfError)
    return toAgeing(freshUntilMs, grace, ageing.beta > 0 ? this.#bodyMs : undefined)
  }

  #give(content: Content, tags: SeenVersions, expiresAtMs: number): void {
    const { parent, frame } = this
    parent?.depend(this.fragment.cache, tags)
    parent?.limit(expiresAtMs)
    const isOld =
      frame.holdsOld || (this.#hasRecovered && this.#old?.hit.staleSinceMs !== undefined)
    const landed = { content, tags, hit: false, expiresAtMs, isOld }
    // What must not be stored for others must not be given to them in another way either.
    this.flight?.land(frame.isUnfit && !this.#hasRecovered ? APART : landed)
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
    if (frame.marks === undefined) {
      observer?.shown({ fragment, parent, frame, text })
      return { text }
    }
    return chain(show(takeContent(frame, text), parent, frame.holes, fragment.site), (shown) => {
      if (shown === undefined) throw faults.lostHole(fragment.site)
      observer?.shown({ fragment, parent, frame, text: shown.text })
      return shown
    })
  }

  /** Ends the attempt after {@link complete}. */
  stored(stored: boolean): void {
    const { timeout, variant, tally } = this.fragment
    const isKept = stored && (timeout === null || timeout > 0)
    if (isKept) tally.stored(variant.key, this.#bytes)
    else this.#giveUp()
    if (this.#hasRecovered) this.#end('stale')
    else this.#end(isKept ? 'miss' : 'bypass')
  }

  /** Tells those who wait to look for themselves, while this goes on or is given up. */
  letGo(): void {
    this.flight?.land(undefined)
    this.#release()
  }

  /** The body ran but its text is no fragment, for example because it was left early. */
  abandon(): void {
    this.flight?.land(undefined)
    this.#giveUp()
    this.#end('bypass')
  }

  /** The body is not going to run. */
  withdraw(): void {
    this.flight?.land(undefined)
    this.#giveUp()
    this.#release()
  }

  #giveUp(): void {
    const { cache, variant } = this.fragment
    const isBegun = this.#bodyStartedMs !== UNTIMED
    const tookMs = isBegun ? performance.now() - this.#bodyStartedMs : 0
    void cache.tryGiveUp(variant.storedKey, this.start?.claim, tookMs)
  }

  #release(): void {
    release(this.fragment, this.flight)
    this.#refresh?.end()
    void this.#lease?.release()
    this.#lease = undefined
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
    this.#giveUp()
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
    this.#release()
    this.frame.end()
    publish(this.fragment, outcome, this.startedMs, this.#bodyMs)
    observer?.ended(this.fragment, this.frame, outcome, this.#bodyMs)
  }

  /** What the text depends on, where the versions are not known. */
  #unreadVersions(): SeenVersions {
    const tags = new Map<string, string | undefined>(this.frame.tags)
    for (const tag of this.fragment.tags) if (!tags.has(tag)) tags.set(tag, undefined)
    return tags
  }
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

/** As {@link openSync}, but answers asynchronously where the holes are rendered asynchronously. */
export function openHere(
  fragment: Fragment,
  parent: Frame | undefined,
  shared = false,
  holes?: HoleRenderer,
): MaybePromise<string | Attempt> {
  const { cache, variant, ageing, tally } = fragment
  const isSampled = tally.isTimed()
  const isTimed = isSampled || operationChannel.hasSubscribers || fragmentChannel.hasSubscribers
  const startedMs = isTimed ? performance.now() : UNTIMED
  if (fragment.bypass) {
    return new Attempt(fragment, undefined, parent, undefined, toldFrom(startedMs))
  }
  let hit: Hit | undefined
  let lookupMs = 0
  let hasFailed = false
  const stale = ageing !== undefined && mayBeOld(fragment)
  // The hot path: no lists, no closures, and the clock is read twice at most.
  try {
    hit = atOnce(cache.lookupOne(variant.storedKey, false, stale))
    if (hit !== undefined && !isTimed) cache.counts.hits++
    else lookupMs = noteLookup(fragment, hit !== undefined, startedMs, isSampled)
  } catch (error) {
    cache.reportFailure('get', error)
    tellOfFailure(fragment, startedMs, error)
    hit = undefined
    hasFailed = true
  }
  if (hit !== undefined && ageing === undefined && typeof hit.value === 'string') {
    if (parent !== undefined) {
      parent.depend(cache, hit.tags)
      if (parent.wantsExpiry) atOnce(dependOnHit(fragment, hit, parent))
    }
    tally.hits++
    if (isTimed) {
      if (isSampled) tally.timed(variant.key, lookupMs)
      tellOfHit(fragment, lookupMs)
    }
    observer?.shown({ fragment, parent, text: hit.value, outcome: 'hit', hit })
    return hit.value
  }
  let old: Old | undefined
  let isRefresh = false
  if (hit !== undefined) {
    const content = contentOf(hit, fragment, parent, holes)
    if (content !== undefined) {
      const use = useOf(fragment, hit)
      if (use === 'fresh' || use === 'old') {
        if (parent !== undefined) atOnce(dependOnHit(fragment, hit, parent))
        const outcome = use === 'old' ? 'stale' : 'hit'
        publish(fragment, outcome, startedMs, 0)
        const placed = { fragment, parent, holes }
        return chain(showFor(placed, content, startedMs, outcome, hit), (opened) =>
          opened instanceof Attempt ? opened : opened.text,
        )
      }
      old = oldOf(fragment, hit, content)
      isRefresh = use === 'refresh'
    }
  }
  // Who finds one to join does so; it has none of its own.
  const isFirst = shared && !isRefresh && flightToJoin(fragment, parent) === undefined
  const flight = isFirst ? takeOff(fragment, parent) : undefined
  const start = hasFailed ? undefined : startAtOnce(fragment, parent)
  const attempt = new Attempt(fragment, start, parent, flight, toldFrom(startedMs), holes)
  if (old === undefined) return attempt
  return attempt.replace(old, isRefresh ? beginRefresh(fragment) : undefined)
}

/** Counts a look-up that is no hit which nobody times, and tells of it. @returns How long it took. */
function noteLookup(
  { cache, variant }: Fragment,
  isFound: boolean,
  startedMs: number,
  isSampled: boolean,
): number {
  const { counts } = cache
  const lookupMs = startedMs === UNTIMED ? 0 : performance.now() - startedMs
  if (isFound) counts.hits++
  else counts.misses++
  if (operationChannel.hasSubscribers) {
    if (isSampled) counts.reads.add(lookupMs)
    cache.tellOfLookup(variant.key, isFound, lookupMs)
  } else if (isSampled) cache.timedAtOnce(variant.key, isFound, lookupMs)
  else if (!isFound) cache.tellOfMiss(variant.key)
  return lookupMs
}

function tellOfFailure({ cache, variant }: Fragment, startedMs: number, error: unknown): void {
  if (!isToldOfOperations()) return
  const failedMs = startedMs === UNTIMED ? 0 : performance.now() - startedMs
  cache.tellOfLookup(variant.key, false, failedMs, { error })
}

/** Of what is no hit each is told: its time counts from now on if it was not taken before. */
function toldFrom(startedMs: number): number {
  return startedMs === UNTIMED && isToldOfFragments() ? performance.now() : startedMs
}

/** A store that fails must not fail the page: `undefined`. */
function startAtOnce(fragment: Fragment, parent: Frame | undefined): Start | undefined {
  const { cache, variant, tags } = fragment
  const keys = isToBeKept(fragment, parent) ? [variant.storedKey] : NONE
  const beginning = atOnce(cache.tryBegin(keys, NOTHING_FOUND, tags))
  const versions = beginning?.versions
  return versions === undefined ? undefined : { versions, claim: beginning?.claims[0] }
}

/** Of one that stands in itself only the outer one is kept, as the one that is written last. */
function isToBeKept({ timeout, cache, variant }: Fragment, parent: Frame | undefined): boolean {
  if (timeout !== null && timeout <= 0) return false
  for (const at of templateFramesAround(parent)) {
    if (at.cache === cache && at.storedKey === variant.storedKey) return false
  }
  return true
}

const NONE: readonly string[] = []
const NOT_BEGUN = { versions: undefined, claim: undefined }
const NOT_SEEN: SeenVersions = new Map()
const NOTHING_FOUND = { lying: NONE, seen: NOT_SEEN }

/**
 * Begins several fragments over one cache together: those that are asked for in the same turn, after one
 * look-up of them all.
 */
class Starts {
  readonly #asked: {
    readonly fragment: Fragment
    readonly parent: Frame | undefined
    readonly found: Lookup
    readonly at: number
  }[] = []
  #begun: Promise<ReadonlyMap<Fragment, Start>> | undefined

  constructor(readonly cache: CacheCore) {}

  /** @returns `undefined`: the store failed, and what is made cannot be kept. */
  async of({ fragment, parent }: Placed, found: Lookup, at: number): Promise<Start | undefined> {
    this.#asked.push({ fragment, parent, found, at })
    this.#begun ??= Promise.resolve().then(() => this.#begin())
    return (await this.#begun).get(fragment)
  }

  async #begin(): Promise<ReadonlyMap<Fragment, Start>> {
    const asked = this.#asked.splice(0)
    this.#begun = undefined
    const kept = asked.filter(({ fragment, parent }) => isToBeKept(fragment, parent))
    const tags = [...new Set(asked.flatMap(({ fragment }) => fragment.tags))]
    const beginning = await this.cache.tryBegin(
      kept.map(({ fragment }) => fragment.variant.storedKey),
      {
        lying: kept.map(({ found, at }) => found.lying[at]),
        seen: new Map(asked.flatMap(({ found }) => [...found.seen])),
        withClock: asked.every(({ found }) => found.withClock === true),
      },
      tags,
    )
    const starts = new Map<Fragment, Start>()
    const versions = beginning?.versions
    if (beginning === undefined || versions === undefined) return starts
    const claims = new Map(kept.map(({ fragment }, i) => [fragment, beginning.claims[i]]))
    for (const { fragment } of asked) {
      starts.set(fragment, { versions: pick(versions, fragment.tags), claim: claims.get(fragment) })
    }
    return starts
  }
}

/** What a frame is made of includes what was found. */
export function dependOnHit(
  { cache, variant }: Fragment,
  hit: Hit,
  frame: Frame,
): MaybePromise<void> {
  frame.depend(cache, hit.tags)
  if (hit.staleSinceMs !== undefined) frame.holdOld()
  if (!frame.wantsExpiry) return undefined
  return chain(lifetimeOf(cache, variant.storedKey, hit, frame), (expiresAtMs) =>
    frame.limit(expiresAtMs),
  )
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
  outcome: FragmentOutcome,
  hit?: Hit,
): MaybePromise<Opened> {
  return chain(show(content, parent, holes, fragment.site), (shown) => {
    if (shown === undefined) {
      return new Attempt(fragment, undefined, parent, undefined, startedMs, holes)
    }
    observer?.shown({ fragment, parent, text: shown.text, outcome, hit })
    return shown
  })
}

/** Begins the flight of a fragment that was not found here, or has yet to be looked up. */
function takeOff(fragment: Fragment, parent: Frame | undefined): FragmentFlight {
  const { ageing, cache, variant, tags } = fragment
  const flight = new FragmentFlight(tags)
  // Under a lease it is not going to wait for another.
  flight.mayWait = ageing !== undefined && ageing.lock !== false && !mustNotWait(parent)
  flightsOver(cache).takeOff(variant.storedKey, flight, parent)
  return flight
}

/** The flight a fragment would join, if any. */
export function flightToJoin(
  { cache, variant, bypass }: Fragment,
  parent: Frame | undefined,
): FragmentFlight | undefined {
  if (bypass) return undefined
  return flightsOver(cache).toJoin(variant.storedKey, parent) as FragmentFlight | undefined
}

function atOnce<T>(value: MaybePromise<T>): T {
  if (value instanceof Promise) {
    value.catch(() => undefined)
    throw new TypeError('a cache whose answersAtOnce is true answered asynchronously')
  }
  return value
}

/** A fragment that is being looked up. */
export interface Opening {
  readonly opened: Promise<Opened>
  /**
   * It waits, or may wait, for another's body, here or in another process, which may in turn wait for what
   * the caller has yet to run.
   */
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
  const isTimed = isToldOfFragments() || fragments[0]?.tally.isTimed() === true
  const startedMs = isTimed ? performance.now() : UNTIMED
  const reads = new Map<CacheCore, Reading[]>()
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
      const opened = join(running, { fragment, parent, holes }, startedMs)
      openings[at] = { opened, joined: true }
      return
    }
    parent?.announce(fragment.tags)
    const reading = { fragment, parent, holes, at, flight: takeOff(fragment, parent) }
    const group = reads.get(fragment.cache)
    if (group === undefined) reads.set(fragment.cache, [reading])
    else group.push(reading)
  })
  for (const [cache, group] of reads) {
    const lookup = lookupGroup(cache, group)
    const starts = new Starts(cache)
    group.forEach((reading, i) => {
      const opened = lookup.then((found) => openFound(reading, starts, found, i, startedMs))
      opened.catch((error: unknown) => {
        reading.flight?.fail(error)
        release(reading.fragment, reading.flight)
      })
      const { ageing } = reading.fragment
      const mayWait = ageing !== undefined && ageing.lock !== false
      openings[reading.at] = { opened, joined: mayWait }
    })
  }
  return openings
}

interface Reading extends Placed {
  readonly at: number
  readonly flight: FragmentFlight | undefined
}

async function lookupGroup(
  cache: CacheCore,
  group: readonly Reading[],
): Promise<Lookup | undefined> {
  return cache.tryLookup(
    group.map(({ fragment }) => fragment.variant.key),
    group.map(({ fragment }) => fragment.variant.storedKey),
    [...new Set(group.flatMap(({ fragment }) => fragment.tags))],
    { stale: group.some(({ fragment }) => mayBeOld(fragment)), toMake: true },
  )
}

function openFound(
  reading: Reading,
  starts: Starts,
  found: Lookup | undefined,
  at: number,
  startedMs: number,
): MaybePromise<Opened> {
  const { fragment, parent, holes, flight } = reading
  const hit = found?.hits[at]
  let content: Content | undefined
  try {
    content = hit && contentOf(hit, fragment, parent, holes)
  } catch (error) {
    // Others may be able to render its holes.
    flight?.land(undefined)
    release(fragment, flight)
    throw error
  }
  const begin: Begin = (latest = found, place = at) =>
    latest === undefined ? Promise.resolve(undefined) : starts.of(reading, latest, place)
  if (hit === undefined || content === undefined) {
    return openMissing(reading, begin, found !== undefined, undefined, startedMs)
  }
  const use = useOf(fragment, hit)
  if (use === 'too_old') {
    return openMissing(reading, begin, true, oldOf(fragment, hit, content), startedMs)
  }
  if (use === 'refresh') return openRefresh(reading, begin, hit, content, startedMs)
  return openHit(reading, hit, content, startedMs)
}

/**
 * Begins a fragment that was not found, or not as it should be.
 *
 * @param latest - What was found last; left out: by the first look-up.
 */
type Begin = (latest?: Lookup, place?: number) => Promise<Start | undefined>

function openHit(
  reading: Reading,
  hit: Hit,
  content: Content,
  startedMs: number,
): MaybePromise<Opened> {
  const { fragment, parent } = reading
  landHit(reading, hit, content)
  const noted = parent === undefined ? undefined : dependOnHit(fragment, hit, parent)
  const outcome = hit.staleSinceMs === undefined ? 'hit' : 'stale'
  publish(fragment, outcome, startedMs, 0)
  return chain(noted, () => showFor(reading, content, startedMs, outcome, hit))
}

/** Before its holes are filled, which is for each visitor to do. */
function landHit({ fragment, flight }: Reading, hit: Hit, content: Content): void {
  const { tags, staleSinceMs } = hit
  const expiresAtMs = staleSinceMs ?? hit.stamp?.freshUntilMs
  flight?.land({ content, tags, hit: true, isOld: staleSinceMs !== undefined, expiresAtMs })
  release(fragment, flight)
}

/** Who found it makes it again, if it is nobody else's turn; all others are served the old meanwhile. */
function openRefresh(
  reading: Reading,
  begin: Begin,
  hit: Hit,
  content: Content,
  startedMs: number,
): MaybePromise<Opened> {
  const { fragment, parent, holes } = reading
  const { cache, variant, ageing } = fragment
  const make = (lease: Lease | undefined) =>
    begin().then((start) =>
      new Attempt(fragment, start, parent, undefined, startedMs, holes)
        .replace(oldOf(fragment, hit, content), refresh)
        .under(lease),
    )
  const refresh = beginRefresh(fragment)
  landHit(reading, hit, content)
  if (ageing === undefined || ageing.lock === false || isUnderLease(parent)) return make(undefined)
  return Lease.take(cache, variant.storedKey, ageing.lock.lease).then(
    (lease) => {
      if (lease !== undefined) return make(lease)
      refresh.end()
      return openHit(reading, hit, content, startedMs)
    },
    () => make(undefined),
  )
}

/**
 * @param isRead - Whether the store answered.
 * @param old - What may stand in if the body throws.
 */
async function openMissing(
  reading: Reading,
  begin: Begin,
  isRead: boolean,
  old: Old | undefined,
  startedMs: number,
): Promise<Opened> {
  const { fragment, parent, holes, flight } = reading
  const { cache, variant, ageing } = fragment
  const make = (start: Start | undefined) =>
    new Attempt(fragment, start, parent, flight, startedMs, holes).replace(old)
  // Under a lease nobody waits for another: in a circle, two would wait for each other.
  if (ageing === undefined || ageing.lock === false || !isRead || mustNotWait(parent)) {
    return make(await begin())
  }
  let latest: Lookup | undefined
  const find = async () => {
    // Who held the lease before stored what a replica may not have yet.
    const options = { toMake: true, isCurrent: true }
    latest = await cache.tryLookup([variant.key], [variant.storedKey], fragment.tags, options)
    const hit = latest?.hits[0]
    const content = hit && contentOf(hit, fragment, parent, holes)
    return hit !== undefined && content !== undefined ? { hit, content } : undefined
  }
  const { lease, found } = await leaseOrFind(cache, variant.storedKey, ageing.lock, find)
  if (found !== undefined) return openHit(reading, found.hit, found.content, startedMs)
  return make(await begin(latest, 0)).under(lease)
}

function release({ cache, variant }: Fragment, flight: FragmentFlight | undefined): void {
  if (flight !== undefined) flightsOver(cache).release(variant.storedKey, flight)
}

async function join(running: FragmentFlight, placed: Placed, startedMs: number): Promise<Opened> {
  const { fragment, parent, holes } = placed
  const patience = { askedAt: nextMoment(), limitMs: fragment.cache.settings.producerTimeoutMs }
  const landed = await flightsOver(fragment.cache).join(running, parent, patience, (made) =>
    recheck(running, fragment, made),
  )
  // Its body was left early and gave nothing, or takes too long: look for ourselves.
  if (landed === undefined) return open(fragment, parent, holes)
  const alone = () => new Attempt(fragment, undefined, parent, undefined, startedMs, holes)
  if (landed === APART) return alone()
  const { content } = landed
  // Another engine's holes, or other templates': they are not found in the cache either.
  if (typeof content !== 'string' && !canShow(content, parent, holes, fragment.site)) return alone()
  // Who made, or found, it allows what is old, and this one does not.
  if (landed.isOld === true && !mayBeOld(fragment)) return open(fragment, parent, holes)
  if (parent !== undefined) {
    parent.depend(fragment.cache, landed.tags)
    if (landed.isOld === true) parent.holdOld()
    const { expiresAtMs } = landed
    const isUnknown = expiresAtMs === undefined && parent.wantsExpiry
    const { cache, variant } = fragment
    parent.limit(isUnknown ? await cache.readLifetime(variant.storedKey) : expiresAtMs)
  }
  const outcome = outcomeOf(landed)
  publish(fragment, outcome, startedMs, 0)
  return showFor(placed, content, startedMs, outcome)
}

/** What there is now of what a flight brought; `undefined`: nothing that may be given to others. */
async function recheck(
  flight: FragmentFlight,
  { cache, variant }: Fragment,
  made: Landed | typeof APART | Failed,
): Promise<Landed | typeof APART | Failed | undefined> {
  if (made === APART) return APART
  const { key, storedKey } = variant
  const tags = made === FAILED ? flight.versions : (made.tags ?? NOT_SEEN)
  const now = await cache.tryRecheck(key, storedKey, flight.claim, tags)
  if (typeof now === 'boolean') return now ? made : undefined
  const content = typeof now.value === 'string' ? now.value : readParts(now.value)
  if (content === undefined) return undefined
  const expiresAtMs = now.stamp?.freshUntilMs
  return { content, tags: now.tags, hit: false, expiresAtMs, isOld: false }
}

function outcomeOf({ hit, isOld }: Landed): FragmentOutcome {
  if (!hit) return 'joined'
  return isOld === true ? 'stale' : 'hit'
}

/** Of the versions read for a whole batch, those of one fragment. */
function pick(versions: TagVersions, tags: readonly string[]): TagVersions {
  const own = new Map<string, string>()
  for (const tag of tags) {
    const version = versions.get(tag)
    if (version !== undefined) own.set(tag, version)
  }
  return own
}

/** In bytes. */
function sizeOf(content: Content): number {
  if (typeof content === 'string') return Buffer.byteLength(content)
  let bytes = 0
  for (const part of content) if (typeof part === 'string') bytes += Buffer.byteLength(part)
  return bytes
}

function publish(
  fragment: Fragment,
  outcome: FragmentOutcome,
  startedMs: number,
  bodyMs: number,
): void {
  const { tally, variant } = fragment
  const durationMs = startedMs === UNTIMED ? 0 : performance.now() - startedMs
  tally.count(outcome)
  if (outcome === 'hit') {
    if (startedMs === UNTIMED) return
    tally.timed(variant.key, durationMs)
    tellOfHit(fragment, durationMs)
  } else if (isToldOfFragments()) {
    // In the order in which they came: what hits saved is told by the bodies that ran before.
    tellFragmentHits(tally)
    tellOfFragment(messageOf(fragment, outcome, bodyMs, durationMs))
  }
}

/** Of those that were answered at once, who adds up is told many at a time. */
function tellOfHit(fragment: Fragment, durationMs: number): void {
  const { tally, cache } = fragment
  if (fragmentChannel.hasSubscribers || !cache.answersAtOnce) {
    tally.atOnce.told(1)
    tellOfFragment(messageOf(fragment, 'hit', 0, durationMs))
  } else tellFragmentHits(tally, HITS_OF_SUM)
}

function messageOf(
  { site, variant, alias }: Fragment,
  outcome: FragmentOutcome,
  bodyMs: number,
  durationMs: number,
): FragmentMessage {
  const { fragment: name, template } = site
  const { key } = variant
  const message: FragmentMessage = { name, key, alias, outcome, bodyMs, durationMs }
  return template === undefined ? message : { ...message, template }
}
