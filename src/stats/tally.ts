import { AtOnce } from './at-once.js'
import { Distinct } from './distinct.js'

/** What became of a fragment or of a request for a page. */
export type Outcome = 'hit' | 'miss' | 'stale' | 'joined' | 'bypass' | 'error'

/** What became of one fragment's renderings, or of one route's requests, counted in place. */
export class Tally {
  hits = 0
  misses = 0
  stale = 0
  joined = 0
  bypasses = 0
  errors = 0
  /** How often, and how long, the body or the view ran. */
  made = 0
  madeMs = 0
  /** Of the hits that were timed. */
  timedHits = 0
  hitMs = 0
  readonly atOnce = new AtOnce()
  /** Of what was stored. */
  sized = 0
  bytes = 0
  readonly variants = new Distinct()
  /** Why it was not stored, or not looked for; made with the first. */
  reasons: Map<string, number> | undefined

  constructor(
    readonly alias: string,
    readonly name: string,
  ) {}

  /** Whether this one, if it is a hit, is one of those that are timed. */
  isTimed(): boolean {
    return this.atOnce.isTimed(this.hits)
  }

  count(outcome: Outcome, reason?: string): void {
    this[FIELDS[outcome]]++
    if (reason === undefined) return
    this.reasons ??= new Map<string, number>()
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1)
  }

  ran(ms: number): void {
    this.made++
    this.madeMs += ms
  }

  stored(key: string, bytes: number): void {
    this.variants.add(key)
    this.sized++
    this.bytes += bytes
  }

  timed(key: string, hitMs: number): void {
    this.timedHits++
    this.hitMs += hitMs
    this.atOnce.timed(key, hitMs)
  }

  /** Of the hits that were timed. */
  get meanHitMs(): number {
    return this.timedHits === 0 ? 0 : this.hitMs / this.timedHits
  }

  get total(): number {
    return this.hits + this.misses + this.stale + this.joined + this.bypasses + this.errors
  }

  /** What those who were spared a body would have waited for it, at its mean. */
  get timeSavedMs(): number {
    if (this.made === 0) return 0
    return (this.hits + this.stale + this.joined) * (this.madeMs / this.made)
  }

  reset(): void {
    this.hits = this.misses = this.stale = this.joined = this.bypasses = this.errors = 0
    this.made = this.madeMs = this.timedHits = this.hitMs = this.sized = this.bytes = 0
    this.atOnce.reset()
    this.reasons = undefined
    this.variants.reset()
  }
}

const FIELDS = {
  hit: 'hits',
  miss: 'misses',
  stale: 'stale',
  joined: 'joined',
  bypass: 'bypasses',
  error: 'errors',
} as const

/** Under this name counts what is past the limit. */
export const OTHERS = '(others)'

/** Most names that are told apart. */
export const MAX_NAMES = 10_000

/** Longer names count as others: a path that a router is mounted at may have any part of a URL in it. */
export const MAX_NAME_LENGTH = 256

/** Tallies by alias and name, in bounded memory whatever the number of names. */
export class Tallies {
  readonly #byAlias = new Map<string, Map<string, Tally>>()
  #size = 0

  of(alias: string, name: string): Tally {
    let byName = this.#byAlias.get(alias)
    if (byName === undefined) {
      byName = new Map<string, Tally>()
      this.#byAlias.set(alias, byName)
    }
    const known = byName.get(name)
    if (known !== undefined) return known
    const isRefused = this.#size >= MAX_NAMES || name.length > MAX_NAME_LENGTH
    if (isRefused && name !== OTHERS) return this.of(alias, OTHERS)
    const tally = new Tally(alias, name)
    byName.set(name, tally)
    this.#size++
    return tally
  }

  *[Symbol.iterator](): Iterator<Tally> {
    for (const byName of this.#byAlias.values()) yield* byName.values()
  }

  /** Whoever holds a tally goes on counting in it. */
  reset(): void {
    for (const tally of this) tally.reset()
  }
}

/** What is counted of all that stands on one set of caches. */
export class CachesTallies {
  sinceMs = Date.now()
  readonly fragments = new Tallies()
  readonly routes = new Tallies()

  reset(): void {
    this.sinceMs = Date.now()
    this.fragments.reset()
    this.routes.reset()
  }
}
