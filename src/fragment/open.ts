import { refusalOf } from '../backend/refusal.js'
import type { Hit } from '../backend/entries.js'
import { UNTIMED } from '../observe/told.js'
import { takeOff } from '../making/find.js'
import type { Frame } from '../making/frame.js'
import { dependOnHit } from '../making/landed.js'
import { toOld, type Old } from '../making/making.js'
import type { Start } from '../making/order.js'
import type { Refresh } from '../making/refreshes.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { fragmentChannel, operationChannel } from '../observe/channels.js'
import type { FragmentReason } from '../observe/reasons.js'
import { mayBeStale, patienceOf, useOf } from '../staleness.js'
import { NO_VERSIONS } from '../tags.js'
import { Attempt } from './attempt.js'
import { faults } from './faults.js'
import { readParts, type Content } from './hole-parts.js'
import type { HoleRenderer } from './hole-parts.js'
import { canShow, showContent, type Shown } from './holes.js'
import { flightToJoin, fragmentMakings } from './makings.js'
import { observer } from './shown.js'
import type { Fragment } from './spec.js'
import {
  publish,
  publishServed,
  tellOfFailure,
  tellOfHit,
  toldFrom,
  toldOfHit,
  type FragmentStart,
  type ServedAs,
} from './telling.js'
import { templateFramesAround } from './template-frame.js'

/** The text of a fragment that was found, or that another caller made. */
export type Found = Shown

export type Opened = Attempt | Found

/**
 * The text of a fragment that is found at once, fresh and whole.
 *
 * @returns `undefined`: it has to be looked up in full, where faults are reported and counted.
 */
export function textAtOnce(fragment: Fragment, parent: Frame | undefined): string | undefined {
  const { cache, variant, tally } = fragment
  if (cache.guard.isFailing || fragment.bypass) return undefined
  if (!isPlain(fragment, parent)) return undefined
  const isSampled = tally.sampler.isTimed()
  const isTimed = isSampled || operationChannel.hasSubscribers || fragmentChannel.hasSubscribers
  const startedMs = isTimed ? performance.now() : UNTIMED
  let hit: Hit | undefined
  try {
    hit = atOnce(cache.entries.findAtOnce(variant.storedKey))
  } catch {
    return undefined
  }
  if (hit === undefined || typeof hit.value !== 'string') return undefined
  const lookupMs = cache.calls.lookedUp('get', variant.key, true, startedMs)
  return showText(fragment, parent, hit, hit.value, isTimed ? { lookupMs, isSampled } : undefined)
}

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
    return new Attempt(fragment, BYPASS, parent, {}, toldFrom(fragment, startedMs))
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
    if (parent?.wantsExpiry === true) atOnce(dependOnHit(cache, variant.storedKey, hit, parent))
    return showText(fragment, parent, hit, hit.value, isTimed ? { lookupMs, isSampled } : undefined)
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
      const told = toldOfHit(fragment, hit)
      publishServed(fragment, told, startedMs)
      return chain(showFor(placed, value, startedMs, told, hit), (opened) =>
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
  const flight = isFirst
    ? takeOff(variant.storedKey, fragment.tags, ageing, makings, parent)
    : undefined
  const start = hasFailed ? undefined : startAtOnce(placed)
  const found = hit === undefined ? undefined : foundOf(hit, old !== undefined)
  const begun = begunWith(placed, start, hasFailed ? 'failed' : found)
  return new Attempt(
    fragment,
    begun,
    parent,
    { flight, old, refresh },
    toldFrom(fragment, startedMs),
    holes,
  )
}

/** How long a look-up took, where anybody asks. */
interface Timed {
  readonly lookupMs: number
  /** Whether it counts for the fragment's own figures. */
  readonly isSampled: boolean
}

/** Shows the text of a fresh entry without holes. */
function showText(
  fragment: Fragment,
  parent: Frame | undefined,
  hit: Hit,
  text: string,
  timed: Timed | undefined,
): string {
  const { cache, tally } = fragment
  parent?.depend(cache, hit.tags)
  tally.outcomes.hit++
  if (timed !== undefined) {
    if (timed.isSampled) tally.timed(timed.lookupMs)
    tellOfHit(fragment, timed.lookupMs)
  }
  observer?.shown({ fragment, parent, text, outcome: 'hit', hit })
  return text
}

/** Whether a fresh entry of it is shown as it is where it is found. */
export function isPlain({ ageing }: Fragment, parent: Frame | undefined): boolean {
  return ageing === undefined && parent?.wantsExpiry !== true
}

/**
 * The text of an entry that is shown as it is.
 *
 * @param hit - May be stale, where others that it was looked up with may be.
 * @returns `undefined`: there is something to be decided, or to be filled.
 */
export function plainTextOf(
  fragment: Fragment,
  parent: Frame | undefined,
  hit: Hit | undefined,
): string | undefined {
  const text = hit?.value
  if (typeof text !== 'string' || hit?.staleSinceMs !== undefined) return undefined
  return isPlain(fragment, parent) ? text : undefined
}

/** Shows the text of an entry that was looked up with others. To be called only where it {@link isPlain}. */
export function showPlain(
  fragment: Fragment,
  parent: Frame | undefined,
  hit: Hit,
  text: string,
  startedMs: number,
): Found {
  publish(fragment, 'hit', startedMs, 0)
  parent?.depend(fragment.cache, hit.tags)
  observer?.shown({ fragment, parent, text, outcome: 'hit', hit })
  return { text }
}

/** @returns `undefined`: the store failed, which must not fail the page. */
function startAtOnce(placed: PlacedFragment): Start | undefined {
  const { cache, variant, tags } = placed.fragment
  const keys = whyNotKept(placed) === undefined ? [variant.storedKey] : NONE
  const beginning = atOnce(cache.tryBegin(keys, NOTHING_FOUND, tags))
  const versions = beginning?.versions
  return versions === undefined ? undefined : { versions, claim: beginning?.claims[0] }
}

/** Why a fragment is not going to be stored, whatever its body gives. */
export function whyNotKept({ fragment, parent }: PlacedFragment): FragmentReason | undefined {
  const { timeout, cache, variant } = fragment
  if (timeout !== null && timeout <= 0) return 'zero-seconds'
  for (const at of templateFramesAround(parent)) {
    // The outer one is written last.
    if (at.cache === cache && at.storedKey === variant.storedKey) return 'inside-itself'
  }
  return undefined
}

/** What a fragment is rendered with whose tag says that it is not cached. */
export const BYPASS: FragmentStart = { refusal: 'if-false' }

/** What a fragment whose stored holes cannot be rendered any more is rendered with. */
const LOST_HOLES: FragmentStart = { refusal: 'holes', found: 'unusable' }

/** @param start - `undefined`: the store failed, or took nothing. */
export function begunWith(
  placed: PlacedFragment,
  start: Start | undefined,
  found: FragmentStart['found'],
): FragmentStart {
  const own = whyNotKept(placed)
  const refusal = start === undefined ? refusalOf(placed.fragment.cache) : undefined
  return { start, refusal: own ?? refusal, found }
}

/** What the look-up found of an entry that is not served as it is. @param isUsable - It could be. */
export function foundOf({ staleSinceMs }: Hit, isUsable: boolean): FragmentStart['found'] {
  if (staleSinceMs !== undefined) return { expiredAtMs: staleSinceMs }
  return isUsable ? 'fresh' : 'unusable'
}

const NONE: readonly string[] = []
const NOTHING_FOUND = { lying: NONE, seen: NO_VERSIONS }

/**
 * The content of an entry, if it is a fragment's and all its holes can still be rendered.
 *
 * @throws CacheTagError: nothing can render its holes.
 */
export function contentOf(
  { value }: Hit,
  { fragment, parent, holes }: PlacedFragment,
): Content | undefined {
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
export interface PlacedFragment {
  readonly fragment: Fragment
  readonly parent: Frame | undefined
  readonly holes: HoleRenderer | undefined
}

/** Renders stored content in its place. If a hole cannot be rendered any more, the body runs and is not stored. */
export function showFor(
  { fragment, parent, holes }: PlacedFragment,
  content: Content,
  startedMs: number,
  told: ServedAs,
  hit?: Hit,
): MaybePromise<Opened> {
  return chain(showContent(content, parent, holes, fragment.site), (shown) => {
    if (shown === undefined) {
      return new Attempt(fragment, LOST_HOLES, parent, {}, startedMs, holes)
    }
    observer?.shown({ fragment, parent, text: shown.text, ...told, hit })
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
