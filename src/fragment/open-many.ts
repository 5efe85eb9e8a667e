import { UNTIMED } from '../observe/told.js'
import type { CacheCore } from '../backend/core.js'
import type { Claim, Lookup } from '../backend/entries.js'
import { findOrMake, Search, takeOff } from '../making/find.js'
import type { Frame } from '../making/frame.js'
import { nextMoment } from '../making/in-flight.js'
import type { Landed } from '../making/landed.js'
import type { Makings } from '../making/makings.js'
import type { Start } from '../making/order.js'
import { isPromise, type MaybePromise } from '../maybe-promise.js'
import { mayBeStale } from '../staleness.js'
import { NO_VERSIONS, type SeenVersions, type TagVersions } from '../tags.js'
import { Attempt } from './attempt.js'
import type { Content, HoleRenderer } from './hole-parts.js'
import { flightToJoin, fragmentMakings, orderOf } from './makings.js'
import {
  BYPASS,
  plainTextOf,
  showPlain,
  type Opened,
  type PlacedFragment,
  whyNotKept,
} from './open.js'
import { FragmentSeeker, type Beginner, type Look } from './seeker.js'
import type { Fragment } from './spec.js'
import { lookupStartedMs } from './telling.js'

/** A fragment that is being looked up together with others. */
class Sought implements Opening {
  opened: MaybePromise<Opened> | undefined
  joined: boolean

  constructor(readonly placed: PlacedFragment) {
    const { ageing } = placed.fragment
    this.joined = ageing !== undefined && ageing.lock !== false
  }
}

/**
 * Fragments over one cache that are looked up in one round trip, and those that were not found are begun in
 * another.
 */
class Round implements Beginner {
  readonly #cache: CacheCore
  readonly #makings: Makings<Landed<Content>>
  readonly #startedMs: number
  readonly #moment = nextMoment()
  readonly #sought: Sought[] = []
  readonly #missing: { readonly placed: PlacedFragment; readonly look: Look }[] = []
  #begun: Promise<readonly Start[] | undefined> | undefined

  /** @param startedMs - When the look-up begins, if anybody asks. */
  constructor(cache: CacheCore, startedMs: number) {
    this.#cache = cache
    this.#makings = fragmentMakings.over(cache)
    this.#startedMs = startedMs
  }

  add(placed: PlacedFragment): Opening {
    const sought = new Sought(placed)
    this.#sought.push(sought)
    return sought
  }

  /** Waits for who is making it already. */
  join(placed: PlacedFragment): Opening {
    const { fragment, parent } = placed
    const seeker = new FragmentSeeker(placed, this, this.#startedMs)
    const find = () => findOrMake(orderOf(fragment), this.#makings, parent, seeker)
    return { opened: settled(find), joined: true }
  }

  /** Looks all up, and opens each as it was found: at once where the cache answers so. */
  look(): MaybePromise<void> {
    let lookup: MaybePromise<Lookup | undefined>
    try {
      lookup = this.#lookUp()
    } catch (error) {
      return this.#failed(error)
    }
    if (!isPromise(lookup)) return this.#looked(lookup)
    return lookup.then(
      (found) => this.#looked(found),
      (error: unknown) => this.#failed(error),
    )
  }

  #lookUp(): MaybePromise<Lookup | undefined> {
    if (this.#sought.length === 0) return undefined
    const keys: string[] = []
    const storedKeys: string[] = []
    const expected = new Set<string>()
    let stale = false
    for (const { placed } of this.#sought) {
      const { variant, tags, ageing } = placed.fragment
      keys.push(variant.key)
      storedKeys.push(variant.storedKey)
      for (const tag of tags) expected.add(tag)
      stale ||= mayBeStale(ageing)
    }
    return this.#cache.tryLookup(keys, storedKeys, [...expected], { stale, toMake: true })
  }

  /** @param lookup - `undefined`: the store failed. */
  #looked(lookup: Lookup | undefined): void {
    this.#sought.forEach((sought, at) => {
      const { fragment, parent } = sought.placed
      const hit = lookup?.hits[at]
      const text = plainTextOf(fragment, parent, hit)
      // Most are found and whole: nothing is to be waited for.
      if (hit !== undefined && text !== undefined) {
        sought.opened = showPlain(fragment, parent, hit, text, this.#startedMs)
      } else {
        sought.opened = settled(() => this.#search(sought, lookup && { lookup, at }))
      }
    })
  }

  #failed(error: unknown): void {
    for (const sought of this.#sought) sought.opened = rejected(error)
  }

  /** Serves what was found and cannot be shown as it is, or has made what was not found. */
  #search(sought: Sought, look: Look | undefined): MaybePromise<Opened> {
    const { placed } = sought
    const { fragment, parent } = placed
    const { variant, tags, ageing } = fragment
    const seeker = new FragmentSeeker(placed, this, this.#startedMs)
    const makings = this.#makings
    const isMissing = look === undefined || seeker.hitOf(look) === undefined
    if (isMissing && this.#isOvertaken(fragment, parent, look)) {
      sought.joined = true
      return findOrMake(orderOf(fragment), makings, parent, seeker)
    }
    const flight = takeOff(variant.storedKey, tags, ageing, makings, parent)
    return new Search(orderOf(fragment), makings, parent, seeker, flight).looked(look)
  }

  /** Whether somebody else is making it, or has made it, since it was asked for. */
  #isOvertaken(fragment: Fragment, parent: Frame | undefined, look: Look | undefined): boolean {
    if (flightToJoin(fragment, parent) !== undefined) return true
    const { flights } = this.#makings
    // Of a store that failed nothing is to be found now either.
    return look !== undefined && flights.haveEndedSince(fragment.variant.storedKey, this.#moment)
  }

  begin(placed: PlacedFragment, look: Look): Promise<Start | undefined> {
    const at = this.#missing.push({ placed, look }) - 1
    this.#begun ??= Promise.resolve().then(() => this.#begin())
    return this.#begun.then((starts) => starts?.[at])
  }

  async #begin(): Promise<readonly Start[] | undefined> {
    const asked = this.#missing.splice(0)
    this.#begun = undefined
    const areKept = asked.map(({ placed }) => whyNotKept(placed) === undefined)
    const kept = asked.filter((_, i) => areKept[i])
    const beginning = await this.#cache.tryBegin(
      kept.map(({ placed }) => placed.fragment.variant.storedKey),
      {
        lying: kept.map(({ look }) => look.lookup.lying[look.at]),
        seen: seenBy(asked.map(({ look }) => look)),
        withClock: asked.every(({ look }) => look.lookup.withClock === true),
      },
      [...new Set(asked.flatMap(({ placed }) => placed.fragment.tags))],
    )
    const versions = beginning?.versions
    if (beginning === undefined || versions === undefined) return undefined
    const claims = beginning.claims.values()
    return asked.map(({ placed }, i) => {
      const claim: Claim = areKept[i] === true ? claims.next().value : undefined
      return startOf(placed.fragment, versions, claim)
    })
  }
}

/** A fragment that is being looked up. */
export interface Opening {
  /** `undefined` until the look-up is {@link Openings.answered}. */
  readonly opened: MaybePromise<Opened> | undefined
  /**
   * It waits, or may wait, for the body of another caller or process, which may in turn wait for what this
   * caller has yet to run.
   */
  readonly joined: boolean
}

/** Fragments that are looked up together. */
export interface Openings {
  readonly all: readonly Opening[]
  /** Resolves when all that nobody else looks up are {@link Opening.opened}; `undefined`: they are. Never rejects. */
  readonly answered: Promise<void> | undefined
}

/**
 * Looks a fragment up in any cache, or joins the caller that is looking it up or rendering it now.
 */
export async function open(
  fragment: Fragment,
  parent: Frame | undefined,
  holes?: HoleRenderer,
): Promise<Opened> {
  const { all, answered } = openMany([{ fragment, parent, holes }])
  if (answered !== undefined) await answered
  return openedOf(all[0] as Opening)
}

/** What came of a look-up that was answered. @throws What it failed with. */
export function openedOf({ opened }: Opening): MaybePromise<Opened> {
  if (opened === undefined) throw new Error('a fragment is looked up still')
  return opened
}

/** Looks several fragments up: one round trip per cache. */
export function openMany(placed: readonly PlacedFragment[]): Openings {
  const startedMs = placed[0] === undefined ? UNTIMED : lookupStartedMs(placed[0].fragment)
  const rounds = new Map<CacheCore, Round>()
  const all = placed.map((one): Opening => {
    const { fragment, parent } = one
    const { cache, bypass, tags } = fragment
    if (bypass) {
      return { opened: new Attempt(fragment, BYPASS, parent, {}, startedMs), joined: false }
    }
    let round = rounds.get(cache)
    if (round === undefined) rounds.set(cache, (round = new Round(cache, startedMs)))
    parent?.announce(tags)
    return flightToJoin(fragment, parent) === undefined ? round.add(one) : round.join(one)
  })
  const looked = [...rounds.values()].map((round) => round.look()).filter(isPromise)
  const answered = looked.length > 1 ? Promise.all(looked).then(() => undefined) : looked[0]
  return { all, answered }
}

/** What an action gives; an error it throws at once as a promise of it. */
function settled<T>(action: () => MaybePromise<T>): MaybePromise<T> {
  try {
    const result = action()
    // Nobody may come to wait for it.
    if (isPromise(result)) result.catch(() => undefined)
    return result
  } catch (error) {
    return rejected(error)
  }
}

function rejected(error: unknown): Promise<never> {
  const promise = Promise.resolve().then(() => {
    throw error
  })
  promise.catch(() => undefined)
  return promise
}

/** The tag versions that some look-ups found: most were looked up together. */
export function seenBy(looks: readonly Look[]): SeenVersions {
  const lookups = new Set(looks.map(({ lookup }) => lookup))
  const [first, ...others] = lookups
  if (others.length === 0) return first?.seen ?? NO_VERSIONS
  return new Map([...lookups].flatMap(({ seen }) => [...seen]))
}

/** @param versions - Of the tags of a whole batch. */
export function startOf(
  { tags }: Pick<Fragment, 'tags'>,
  versions: TagVersions,
  claim: Claim,
): Start {
  const own = new Map<string, string>()
  for (const tag of tags) {
    const version = versions.get(tag)
    if (version !== undefined) own.set(tag, version)
  }
  return { versions: own, claim }
}
