import { UNTIMED } from '../backend/calls.js'
import type { CacheCore } from '../backend/core.js'
import type { Hit, Lookup } from '../backend/entries.js'
import { findOrMake, takeOff, type Seeker } from '../making/find.js'
import { isUnderLease, type Frame } from '../making/frame.js'
import { dependOnHit, dependOnLanded, type FoundEntry } from '../making/landed.js'
import { Lease } from '../making/lease.js'
import { toOld, type Lead, type Old } from '../making/making.js'
import type { Start } from '../making/order.js'
import type { Refresh } from '../making/refreshes.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { fragmentChannel, operationChannel, type FragmentOutcome } from '../observe/channels.js'
import { mayBeStale, patienceOf, useOf } from '../staleness.js'
import { NO_VERSIONS, type TagVersions } from '../tags.js'
import { Attempt } from './attempt.js'
import { faults } from './faults.js'
import { readParts, type Content } from './hole-parts.js'
import type { HoleRenderer } from './hole-parts.js'
import { canShow, showContent, type Shown } from './holes.js'
import { flightToJoin, fragmentMakings, orderOf } from './makings.js'
import { observer } from './shown.js'
import type { Fragment } from './spec.js'
import { isTold, publish, tellOfFailure, tellOfHit, toldFrom } from './telling.js'
import { templateFramesAround } from './template-frame.js'

/** The text of a fragment that was found, or that another caller made. */
export type Found = Shown

export type Opened = Attempt | Found

/**
 * Looks a fragment up in a cache that answers at once.
 *
 * @param shared - Whether its body may go on asynchronously, so that other callers should join it.
 * @param giver - Asked for the renderer of its holes only if it has any.
 * @throws CacheTagError: its holes are rendered asynchronously, or nothing can render them.
 * @throws What a hole throws.
 */
export function openSync(
  fragment: Fragment,
  parent: Frame | undefined,
  shared = false,
  giver: HoleGiver = NO_HOLES,
): string | Attempt {
  const opened = openHere(fragment, parent, shared, giver)
  if (typeof opened === 'string' || !isPromise(opened)) return opened
  opened.catch(() => undefined)
  throw faults.asynchronousHole(fragment.site)
}

/** As {@link openSync}, but returns a promise where the holes are rendered asynchronously. */
export function openHere(
  fragment: Fragment,
  parent: Frame | undefined,
  shared = false,
  giver: HoleGiver = NO_HOLES,
): MaybePromise<string | Attempt> {
  const { cache, variant, ageing, tally } = fragment
  const isSampled = tally.sampler.isTimed()
  const isTimed = isSampled || operationChannel.hasSubscribers || fragmentChannel.hasSubscribers
  const startedMs = isTimed ? performance.now() : UNTIMED
  if (fragment.bypass) {
    return new Attempt(fragment, undefined, parent, {}, toldFrom(fragment, startedMs))
  }
  let hit: Hit | undefined
  let lookupMs = 0
  let hasFailed = false
  const stale = ageing !== undefined && mayBeStale(ageing)
  // The hot path: no lists, no closures, and the clock is read at most twice.
  try {
    hit = atOnce(cache.entries.lookupOne(variant.storedKey, false, stale))
    lookupMs = cache.calls.lookedUp('get', variant.key, hit !== undefined, startedMs)
  } catch (error) {
    cache.guard.reportFailure('get', error)
    tellOfFailure(fragment, startedMs, error)
    hit = undefined
    hasFailed = true
  }
  if (hit !== undefined && ageing === undefined && typeof hit.value === 'string') {
    if (parent !== undefined) {
      parent.depend(cache, hit.tags)
      if (parent.wantsExpiry) atOnce(dependOnHit(cache, variant.storedKey, hit, parent))
    }
    tally.outcomes.hit++
    if (isTimed) {
      if (isSampled) tally.timed(lookupMs)
      tellOfHit(fragment, lookupMs)
    }
    observer?.shown({ fragment, parent, text: hit.value, outcome: 'hit', hit })
    return hit.value
  }
  const { holes } = giver
  const placed = { fragment, parent, holes }
  const makings = fragmentMakings.over(cache)
  const value = hit && contentOf(hit, placed)
  let old: Old<Content> | undefined
  let refresh: Refresh | undefined
  if (hit !== undefined && value !== undefined) {
    const use = useOf(ageing, hit, makings.refreshes.has(variant.storedKey))
    if (use === 'fresh' || use === 'stale') {
      if (parent !== undefined) atOnce(dependOnHit(cache, variant.storedKey, hit, parent))
      const outcome = hit.staleSinceMs === undefined ? 'hit' : 'stale'
      publish(fragment, outcome, startedMs, 0)
      return chain(showFor(placed, value, startedMs, outcome, hit), (opened) =>
        opened instanceof Attempt ? opened : opened.text,
      )
    }
    old = toOld(ageing, { hit, value })
    if (use === 'refresh') {
      refresh = makings.refreshes.begin(variant.storedKey, patienceOf(ageing?.lock ?? false))
    }
  }
  // Who can join a running one has no flight of its own.
  const isFirst = shared && refresh === undefined && flightToJoin(fragment, parent) === undefined
  const flight = isFirst ? takeOff(orderOf(fragment), makings, parent) : undefined
  const start = hasFailed ? undefined : startAtOnce(placed)
  return new Attempt(
    fragment,
    start,
    parent,
    { flight, old, refresh },
    toldFrom(fragment, startedMs),
    holes,
  )
}

/** @returns `undefined`: the store failed, which must not fail the page. */
function startAtOnce(placed: Placed): Start | undefined {
  const { cache, variant, tags } = placed.fragment
  const keys = isToBeKept(placed) ? [variant.storedKey] : NONE
  const beginning = atOnce(cache.tryBegin(keys, NOTHING_FOUND, tags))
  const versions = beginning?.versions
  return versions === undefined ? undefined : { versions, claim: beginning?.claims[0] }
}

/** Of a fragment inside itself only the outer one is stored, which is written last. */
function isToBeKept({ fragment, parent }: Placed): boolean {
  const { timeout, cache, variant } = fragment
  if (timeout !== null && timeout <= 0) return false
  for (const at of templateFramesAround(parent)) {
    if (at.cache === cache && at.storedKey === variant.storedKey) return false
  }
  return true
}

const NONE: readonly string[] = []
const NOTHING_FOUND = { lying: NONE, seen: NO_VERSIONS }

/** One of those that were looked up together. */
interface Look {
  readonly lookup: Lookup
  readonly at: number
}

/**
 * Fragments over one cache that are looked up in one round trip, and those that were not found are begun in
 * another.
 */
class Round {
  readonly #asked: Fragment[] = []
  #lookup: Promise<Lookup | undefined> | undefined
  readonly #missing: { readonly placed: Placed; readonly look: Look }[] = []
  #begun: Promise<ReadonlyMap<Fragment, Start>> | undefined

  constructor(readonly cache: CacheCore) {}

  /** @returns `undefined`: the store failed. */
  async look(fragment: Fragment): Promise<Look | undefined> {
    const at = this.#asked.push(fragment) - 1
    this.#lookup ??= Promise.resolve().then(() => this.#lookUp())
    const lookup = await this.#lookup
    return lookup && { lookup, at }
  }

  #lookUp(): MaybePromise<Lookup | undefined> {
    const asked = this.#asked
    return this.cache.tryLookup(
      asked.map(({ variant }) => variant.key),
      asked.map(({ variant }) => variant.storedKey),
      [...new Set(asked.flatMap(({ tags }) => tags))],
      { stale: asked.some(({ ageing }) => mayBeStale(ageing)), toMake: true },
    )
  }

  /** @returns `undefined`: the store failed, and what is made cannot be kept. */
  async begin(placed: Placed, look: Look): Promise<Start | undefined> {
    this.#missing.push({ placed, look })
    this.#begun ??= Promise.resolve().then(() => this.#begin())
    return (await this.#begun).get(placed.fragment)
  }

  async #begin(): Promise<ReadonlyMap<Fragment, Start>> {
    const asked = this.#missing.splice(0)
    this.#begun = undefined
    const kept = asked.filter(({ placed }) => isToBeKept(placed))
    const beginning = await this.cache.tryBegin(
      kept.map(({ placed }) => placed.fragment.variant.storedKey),
      {
        lying: kept.map(({ look }) => look.lookup.lying[look.at]),
        seen: new Map(asked.flatMap(({ look }) => [...look.lookup.seen])),
        withClock: asked.every(({ look }) => look.lookup.withClock === true),
      },
      [...new Set(asked.flatMap(({ placed }) => placed.fragment.tags))],
    )
    const starts = new Map<Fragment, Start>()
    const versions = beginning?.versions
    if (beginning === undefined || versions === undefined) return starts
    const claims = new Map(kept.map(({ placed }, i) => [placed.fragment, beginning.claims[i]]))
    for (const { placed } of asked) {
      const { fragment } = placed
      starts.set(fragment, { versions: pick(versions, fragment.tags), claim: claims.get(fragment) })
    }
    return starts
  }
}

/**
 * The content of an entry, if it is a fragment's and all its holes can still be rendered.
 *
 * @throws CacheTagError: nothing can render its holes.
 */
function contentOf({ value }: Hit, { fragment, parent, holes }: Placed): Content | undefined {
  if (typeof value === 'string') return value
  const parts = readParts(value)
  return parts && canShow(parts, parent, holes, fragment.site) ? parts : undefined
}

/** Gives the renderer of a fragment's holes, used if nothing around it is stored. Most hits do not ask. */
export interface HoleGiver {
  readonly holes?: HoleRenderer | undefined
}

const NO_HOLES: HoleGiver = {}

/** A fragment in its place. */
interface Placed {
  readonly fragment: Fragment
  readonly parent: Frame | undefined
  readonly holes: HoleRenderer | undefined
}

/** Renders stored content in its place. If a hole cannot be rendered any more, the body runs and is not stored. */
function showFor(
  { fragment, parent, holes }: Placed,
  content: Content,
  startedMs: number,
  outcome: FragmentOutcome,
  hit?: Hit,
): MaybePromise<Opened> {
  return chain(showContent(content, parent, holes, fragment.site), (shown) => {
    if (shown === undefined) {
      return new Attempt(fragment, undefined, parent, {}, startedMs, holes)
    }
    observer?.shown({ fragment, parent, text: shown.text, outcome, hit })
    return shown
  })
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
   * It waits, or may wait, for the body of another caller or process, which may in turn wait for what this
   * caller has yet to run.
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
  const tally = fragments[0]?.tally
  const isTimed = tally !== undefined && (isTold(tally) || tally.sampler.isTimed())
  const startedMs = isTimed ? performance.now() : UNTIMED
  const rounds = new Map<CacheCore, Round>()
  return fragments.map((fragment, at): Opening => {
    const parent = parents[at]
    const { cache, ageing, bypass, tags } = fragment
    if (bypass) {
      const attempt = new Attempt(fragment, undefined, parent, {}, startedMs)
      return { opened: Promise.resolve(attempt), joined: false }
    }
    let round = rounds.get(cache)
    if (round === undefined) rounds.set(cache, (round = new Round(cache)))
    const waits = flightToJoin(fragment, parent) !== undefined
    const mayWait = ageing !== undefined && ageing.lock !== false
    parent?.announce(tags)
    const seeker = seekerOf({ fragment, parent, holes: renderers[at] }, round, startedMs)
    const opened = findOrMake(orderOf(fragment), fragmentMakings.over(cache), parent, seeker)
    return { opened, joined: waits || mayWait }
  })
}

function seekerOf(placed: Placed, round: Round, startedMs: number): Seeker<Look, Content, Opened> {
  const { fragment, parent, holes } = placed
  const { cache, variant, ageing } = fragment
  const make = async (look: Look | undefined, lead: Lead<Content>): Promise<Attempt> => {
    const start = look === undefined ? undefined : await round.begin(placed, look)
    return new Attempt(fragment, start, parent, lead, startedMs, holes)
  }
  const serve = (content: Content, outcome: FragmentOutcome, hit?: Hit) => {
    publish(fragment, outcome, startedMs, 0)
    return showFor(placed, content, startedMs, outcome, hit)
  }
  const serveFound = ({ hit, value }: FoundEntry<Content>): MaybePromise<Opened> => {
    const noted = parent && dependOnHit(cache, variant.storedKey, hit, parent)
    const outcome = hit.staleSinceMs === undefined ? 'hit' : 'stale'
    return chain(noted, () => serve(value, outcome, hit))
  }
  return {
    look: (isCurrent) => (isCurrent ? lookAgain(fragment) : round.look(fragment)),
    hitOf: ({ lookup, at }) => lookup.hits[at],
    valueOf: (hit) => contentOf(hit, placed),
    serve: serveFound,
    serveJoined(landed) {
      const { value, isFound, isOld } = landed
      // Holes of another engine or of other templates: such an entry counts as a miss too.
      if (typeof value !== 'string' && !canShow(value, parent, holes, fragment.site)) {
        return undefined
      }
      const noted = parent && dependOnLanded(cache, variant.storedKey, landed, parent)
      const outcome = isFound ? (isOld ? 'stale' : 'hit') : 'joined'
      return chain(noted, () => serve(value, outcome))
    },
    async refresh(look, found, refresh) {
      const old = toOld(ageing, found)
      const lock = ageing?.lock ?? false
      if (lock === false || isUnderLease(parent)) return make(look, { refresh, old })
      try {
        const lease = await Lease.take(cache, variant.storedKey, lock.lease)
        if (lease !== undefined) return await make(look, { refresh, old, lease })
      } catch {
        return make(look, { refresh, old })
      }
      // Another process is making it.
      refresh.end()
      return serveFound(found)
    },
    make,
  }
}

/** Looks again, for what another process may have just stored. */
async function lookAgain({ cache, variant, tags }: Fragment): Promise<Look | undefined> {
  const { key, storedKey } = variant
  const options = { toMake: true, isCurrent: true }
  const lookup = await cache.tryLookup([key], [storedKey], tags, options)
  return lookup && { lookup, at: 0 }
}

/** Picks the versions of one fragment's tags from those of a whole batch. */
function pick(versions: TagVersions, tags: readonly string[]): TagVersions {
  const own = new Map<string, string>()
  for (const tag of tags) {
    const version = versions.get(tag)
    if (version !== undefined) own.set(tag, version)
  }
  return own
}
