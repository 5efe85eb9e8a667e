import type { Hit, Lookup } from '../backend/entries.js'
import type { Seeker } from '../making/find.js'
import { isUnderLease } from '../making/frame.js'
import { dependOnHit, dependOnLanded, type FoundEntry, type Landed } from '../making/landed.js'
import { Lease } from '../making/lease.js'
import { toOld, type Lead } from '../making/making.js'
import type { Start } from '../making/order.js'
import type { Refresh } from '../making/refreshes.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import { mayBeStale } from '../staleness.js'
import { Attempt } from './attempt.js'
import type { Content } from './hole-parts.js'
import { canShow } from './holes.js'
import { begunWith, contentOf, foundOf, showFor, type Opened, type PlacedFragment } from './open.js'
import {
  JOINED,
  publishServed,
  toldOf,
  toldOfHit,
  type FragmentStart,
  type ServedAs,
} from './telling.js'

/** One of those that were looked up together. */
export interface Look {
  readonly lookup: Lookup
  readonly at: number
}

/** Says what the making of what was not found begins with. */
export interface Beginner {
  /** @returns `undefined`: the store failed, and what is made cannot be kept. */
  begin(placed: PlacedFragment, look: Look): MaybePromise<Start | undefined>
}

/** How a fragment is looked up, served and made. */
export class FragmentSeeker implements Seeker<Look, Content, Opened> {
  readonly #placed: PlacedFragment
  readonly #beginner: Beginner
  readonly #startedMs: number

  /** @param startedMs - When its look-up began, if anybody asks. */
  constructor(placed: PlacedFragment, beginner: Beginner, startedMs: number) {
    this.#placed = placed
    this.#beginner = beginner
    this.#startedMs = startedMs
  }

  /** Looks up what was not found together with others. */
  look(isCurrent: boolean): MaybePromise<Look | undefined> {
    const { cache, variant, tags, ageing } = this.#placed.fragment
    const { key, storedKey } = variant
    const options = isCurrent ? { isCurrent } : { stale: mayBeStale(ageing) }
    const lookup = cache.tryLookup([key], [storedKey], tags, { ...options, toMake: true })
    return chain(lookup, (found) => found && { lookup: found, at: 0 })
  }

  hitOf({ lookup, at }: Look): Hit | undefined {
    return lookup.hits[at]
  }

  valueOf(hit: Hit): Content | undefined {
    return contentOf(hit, this.#placed)
  }

  serve({ hit, value }: FoundEntry<Content>): MaybePromise<Opened> {
    const { fragment, parent } = this.#placed
    const { cache, variant } = fragment
    const noted = parent && dependOnHit(cache, variant.storedKey, hit, parent)
    return chain(noted, () => this.#show(value, toldOfHit(fragment, hit), hit))
  }

  serveJoined(landed: Landed<Content>): MaybePromise<Opened> | undefined {
    const { fragment, parent, holes } = this.#placed
    const { value, isFound, served } = landed
    // Holes of another engine or of other templates: such an entry counts as a miss too.
    if (typeof value !== 'string' && !canShow(value, parent, holes, fragment.site)) {
      return undefined
    }
    const { cache, variant } = fragment
    const noted = parent && dependOnLanded(cache, variant.storedKey, landed, parent)
    return chain(noted, () => this.#show(value, isFound ? toldOf(fragment, served) : JOINED))
  }

  #show(content: Content, told: ServedAs, hit?: Hit): MaybePromise<Opened> {
    publishServed(this.#placed.fragment, told, this.#startedMs)
    return showFor(this.#placed, content, this.#startedMs, told, hit)
  }

  async refresh(look: Look, found: FoundEntry<Content>, refresh: Refresh): Promise<Opened> {
    const { fragment, parent } = this.#placed
    const { cache, variant, ageing } = fragment
    const old = toOld(ageing, found)
    const lock = ageing?.lock ?? false
    if (lock === false || isUnderLease(parent)) return this.make(look, { refresh, old })
    try {
      const lease = await Lease.take(cache, variant.storedKey, lock.lease)
      if (lease !== undefined) return await this.make(look, { refresh, old, lease })
    } catch {
      return this.make(look, { refresh, old })
    }
    // Another process is making it.
    refresh.end()
    return this.serve(found)
  }

  make(look: Look | undefined, lead: Lead<Content>): MaybePromise<Attempt> {
    if (look === undefined) return this.#attempt(undefined, 'failed', lead)
    const found = foundIn(look, lead.old !== undefined)
    return chain(this.#beginner.begin(this.#placed, look), (start) =>
      this.#attempt(start, found, lead),
    )
  }

  #attempt(start: Start | undefined, found: FragmentStart['found'], lead: Lead<Content>): Attempt {
    const { fragment, parent, holes } = this.#placed
    const begun = begunWith(this.#placed, start, found)
    return new Attempt(fragment, begun, parent, lead, this.#startedMs, holes)
  }
}

/** What a look-up found that is not served as it is. */
function foundIn({ lookup, at }: Look, isUsable: boolean): FragmentStart['found'] {
  const hit = lookup.hits[at]
  return lookup.lost?.[at] ?? (hit && foundOf(hit, isUsable))
}
