import type { CacheCore } from '../backend/core.js'
import type { Lookup } from '../backend/entries.js'
import { BoundedMemo, bytesOfText } from '../bounded-memo.js'
import { invalidationsSoFar } from '../invalidations.js'
import { findOrMake, Search, takeOff } from '../making/find.js'
import { nextMoment } from '../making/in-flight.js'
import type { Start } from '../making/order.js'
import type { MaybePromise } from '../maybe-promise.js'
import { mayBeStale } from '../staleness.js'
import { currentTurn } from '../turn.js'
import type { Content } from './hole-parts.js'
import { flightToJoin, fragmentMakings, orderOf } from './makings.js'
import { seenBy, startOf } from './open-many.js'
import { plainTextOf, showPlain, whyNotKept, type Opened, type PlacedFragment } from './open.js'
import { FragmentSeeker, type Look } from './seeker.js'
import type { Fragment } from './spec.js'
import { lookupStartedMs } from './telling.js'

/** What is asked of a store about a fragment. */
export type Asked = Pick<Fragment, 'cache' | 'variant' | 'tags' | 'ageing'>

/** Most fragments that are looked up together before they are asked for. */
const MAX_AHEAD = 200

/** A page that has not made by then what it claimed does not make it, or claims it again. */
const GIVE_UP_MS = 1_000

const NONE: readonly Asked[] = []

/** At most, without the cache, which lives anyway. */
const bytesOfTrail = (trail: readonly Asked[]): number =>
  trail.reduce(
    (sum, { variant, tags }) =>
      sum + 100 + bytesOfText(variant.key) + bytesOfText(variant.storedKey) + 64 * tags.length,
    0,
  )

/** What pages asked for behind a fragment when they last had to look that up. */
export class Trails extends BoundedMemo<readonly Asked[]> {
  constructor() {
    super(bytesOfTrail)
  }
}

/** What was asked for together. */
class Batch {
  readonly moment = nextMoment()
  readonly invalidations = invalidationsSoFar()
  readonly removals: number
  /** The turn in which it was answered. */
  turn = 0
  lookup!: Lookup

  constructor(cache: CacheCore) {
    this.removals = cache.removals
  }

  answered(lookup: Lookup): void {
    this.lookup = lookup
    this.turn = currentTurn()
  }
}

/** What was asked for and answered. */
class Known implements Look {
  constructor(
    readonly batch: Batch,
    readonly asked: Asked,
    readonly at: number,
    /** The template itself told that it is going to ask for it. */
    readonly isTold: boolean,
  ) {}

  get lookup(): Lookup {
    return this.batch.lookup
  }

  get isFound(): boolean {
    return this.batch.lookup.hits[this.at] !== undefined
  }
}

/** What is known of the entries of one cache, and what was claimed of those that are missing. */
class Answers {
  readonly #cache: CacheCore
  #known = new Map<string, Known>()
  readonly #starts = new Map<string, Start>()
  #giveUp: NodeJS.Timeout | undefined

  constructor(cache: CacheCore) {
    this.#cache = cache
  }

  /** Asks for entries in one round trip. @returns Of the first; `undefined`: the store failed. */
  async ask(
    first: Fragment,
    told: readonly Asked[],
    trail: readonly Asked[],
  ): Promise<Look | undefined> {
    const cache = this.#cache
    const batch = new Batch(cache)
    const places = new Map<string, Known>()
    const keys: string[] = []
    const tags = new Set<string>()
    let stale = false
    const add = (asked: Asked, isTold: boolean) => {
      const { variant, ageing } = asked
      const { storedKey } = variant
      if (asked.cache !== cache || places.size > MAX_AHEAD || places.has(storedKey)) return
      places.set(storedKey, new Known(batch, asked, places.size, isTold))
      keys.push(variant.key)
      for (const tag of asked.tags) tags.add(tag)
      stale ||= mayBeStale(ageing)
    }
    add(first, false)
    for (const one of told) add(one, true)
    for (const one of trail) add(one, false)
    const lookup = await cache.tryLookup(keys, [...places.keys()], [...tags], {
      stale,
      toMake: true,
    })
    if (lookup === undefined) return undefined
    batch.answered(lookup)
    // The first is about to be made, if it is missing.
    if (lookup.hits[0] === undefined) places.delete(first.variant.storedKey)
    if (this.#known.size === 0) this.#known = places
    else for (const [storedKey, known] of places) this.#known.set(storedKey, known)
    return { lookup, at: 0 }
  }

  /** What is known and still holds, of an entry that was found: until it is forgotten. */
  take(storedKey: string): Known | undefined {
    const known = this.#known.get(storedKey)
    if (known === undefined) return undefined
    if (known.isFound) {
      if (this.#isFresh(known)) return known
      this.#known.delete(storedKey)
      return undefined
    }
    // It is rendered once, and the next caller looks whether it is there.
    this.#known.delete(storedKey)
    if (!this.#isFresh(known) && !this.#starts.has(storedKey)) return undefined
    const { flights } = fragmentMakings.over(this.#cache)
    return flights.haveEndedSince(storedKey, known.batch.moment) ? undefined : known
  }

  #isFresh({ batch: { turn, invalidations, removals } }: Known): boolean {
    return (
      turn === currentTurn() &&
      invalidations === invalidationsSoFar() &&
      removals === this.#cache.removals
    )
  }

  /**
   * What the making of an entry begins with. What is missing is claimed together, in one round trip.
   *
   * @returns `undefined`: the store failed.
   */
  begin(placed: PlacedFragment, look: Look): MaybePromise<Start | undefined> {
    const { fragment } = placed
    const { storedKey } = fragment.variant
    const start = this.#starts.get(storedKey)
    this.#starts.delete(storedKey)
    if (start !== undefined && fragment.tags.every((tag) => start.versions.has(tag))) {
      return startOf(fragment, start.versions, isKept(placed) ? start.claim : undefined)
    }
    return this.#begin(placed, look)
  }

  async #begin(placed: PlacedFragment, look: Look): Promise<Start | undefined> {
    const { fragment } = placed
    const others = [...this.#known.values()].filter(
      (known) => !known.isFound && this.#isFresh(known),
    )
    const { lookup, at } = look
    const own = isKept(placed) ? [{ asked: fragment as Asked, lookup, at }] : []
    const wanted = [...own, ...others.filter(({ asked }) => !this.#starts.has(keyOf(asked)))]
    const looks = [look, ...wanted]
    const beginning = await this.#cache.tryBegin(
      wanted.map(({ asked }) => keyOf(asked)),
      {
        lying: wanted.map(({ lookup, at }) => lookup.lying[at]),
        seen: seenBy(looks),
        withClock: looks.every(({ lookup }) => lookup.withClock === true),
      },
      [...new Set([...fragment.tags, ...wanted.flatMap(({ asked }) => asked.tags)])],
    )
    const versions = beginning?.versions
    if (beginning === undefined || versions === undefined) return undefined
    wanted.forEach(({ asked }, i) => {
      const claim = beginning.claims[i]
      if (asked !== fragment) this.#starts.set(keyOf(asked), startOf(asked, versions, claim))
    })
    if (this.#starts.size > 0) {
      // Later claims of the same page are given up later.
      clearTimeout(this.#giveUp)
      this.#giveUp = setTimeout(() => {
        this.#giveUpAll()
      }, GIVE_UP_MS).unref()
    }
    const claim = own.length === 0 ? undefined : beginning.claims[0]
    return startOf(fragment, versions, claim)
  }

  /** Gives up what was claimed, and not made. */
  #giveUpAll(): void {
    for (const [storedKey, { claim }] of this.#starts) {
      void this.#cache.tryGiveUp(storedKey, claim, 0)
      this.#known.delete(storedKey)
    }
    this.#starts.clear()
  }
}

/**
 * What the tags of one page ask for, where they wait one after the other: each look-up asks for what is
 * expected to be asked for next too. A wrong guess costs another look-up, and nothing else.
 *
 * What was found is shown only in the turn of the event loop in which it was answered, and if nothing was
 * invalidated since: later it is asked for again. What was missing is claimed together, and stays claimed.
 */
export class Ahead {
  readonly #trails: Trails
  readonly #root: string
  readonly #answers = new Map<CacheCore, Answers>()
  /** In the order in which they were asked for, without those that their template tells ahead. */
  readonly #asked: Asked[] = []
  /** Where a look-up was needed, by the name of the trail that follows. */
  readonly #waits: { readonly name: string; readonly at: number }[] = []
  #notedCount = 0

  /** @param root - Tells pages that begin with the same fragment from each other. */
  constructor(trails: Trails, root: string) {
    this.#trails = trails
    this.#root = root
  }

  /**
   * Opens a fragment of which it is known what the store has.
   *
   * @returns `undefined`: it is not known, or no longer, and {@link open} asks.
   */
  openKnown(placed: PlacedFragment): MaybePromise<Opened> | undefined {
    const { fragment, parent } = placed
    const answers = this.#answers.get(fragment.cache)
    if (answers === undefined || flightToJoin(fragment, parent) !== undefined) return undefined
    const known = answers.take(fragment.variant.storedKey)
    if (known === undefined) return undefined
    const startedMs = lookupStartedMs(fragment)
    if (!known.isTold) this.#asked.push(fragment)
    parent?.announce(fragment.tags)
    const hit = known.lookup.hits[known.at]
    const text = plainTextOf(fragment, parent, hit)
    if (hit !== undefined && text !== undefined) {
      return showPlain(fragment, parent, hit, text, startedMs)
    }
    return search(placed, answers, startedMs).looked(known)
  }

  /**
   * Looks a fragment up, together with others, or joins the caller that is rendering it now.
   *
   * @param told - What its template is going to ask for.
   */
  async open(placed: PlacedFragment, told: () => readonly Asked[]): Promise<Opened> {
    const { fragment, parent } = placed
    const { cache, variant } = fragment
    let answers = this.#answers.get(cache)
    if (answers === undefined) this.#answers.set(cache, (answers = new Answers(cache)))
    parent?.announce(fragment.tags)
    const startedMs = lookupStartedMs(fragment)
    if (flightToJoin(fragment, parent) !== undefined) {
      const seeker = new FragmentSeeker(placed, answers, startedMs)
      return findOrMake(orderOf(fragment), fragmentMakings.over(cache), parent, seeker)
    }
    const name = `${this.#root}\n${variant.storedKey}`
    this.#asked.push(fragment)
    this.#waits.push({ name, at: this.#asked.length })
    const searched = search(placed, answers, startedMs)
    let look: Look | undefined
    try {
      look = await answers.ask(fragment, told(), this.#trails.get(name) ?? NONE)
    } catch (error) {
      throw searched.failed(error)
    }
    return searched.looked(look)
  }

  /** Notes what was asked for, for the next time, where that has changed. */
  note(): void {
    if (this.#notedCount === this.#asked.length) return
    this.#notedCount = this.#asked.length
    for (const { name, at } of this.#waits) {
      const trail = this.#asked.slice(at, at + MAX_AHEAD)
      if (!areSame(this.#trails.get(name) ?? NONE, trail))
        this.#trails.set(name, trail.map(asAsked))
    }
  }
}

function search(
  placed: PlacedFragment,
  answers: Answers,
  startedMs: number,
): Search<Look, Content, Opened> {
  const { fragment, parent } = placed
  const makings = fragmentMakings.over(fragment.cache)
  const order = orderOf(fragment)
  const flight = takeOff(order.storedKey, order.tags, order.ageing, makings, parent)
  return new Search(order, makings, parent, new FragmentSeeker(placed, answers, startedMs), flight)
}

function isKept(placed: PlacedFragment): boolean {
  return whyNotKept(placed) === undefined
}

function keyOf({ variant }: Asked): string {
  return variant.storedKey
}

/** Without the rest of a fragment, which would be kept with it. */
function asAsked({ cache, variant, tags, ageing }: Asked): Asked {
  return { cache, variant, tags, ageing }
}

function areSame(one: readonly Asked[], other: readonly Asked[]): boolean {
  return (
    one.length === other.length &&
    one.every((asked, i) => keyOf(asked) === keyOf(other[i] as Asked))
  )
}
