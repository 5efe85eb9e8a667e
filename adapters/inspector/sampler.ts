import type { Batch } from './api.js'
import { toFeedEvent, type Happening } from './events.js'
import { Reservoir } from './reservoir.js'
import type { Trace, TraceTaker } from './traces.js'

/** Most events of one batch. */
export const MAX_EVENTS = 50

/** Most requests of one batch. */
export const MAX_REQUESTS = 10

/** More requests of one batch are traced only if fewer were in those before. */
const NEW_TRACES = 2

/** Places that are kept for each kind that comes later, where there are any of it. */
const KEPT_PLACES = 5

/** What is rare comes before what is many. */
const TIERS: readonly (readonly Happening['kind'][])[] = [
  ['outage', 'refresh', 'warning', 'audit'],
  ['response'],
  ['fragment'],
  ['operation'],
]

/** Collects what happens until it is sent: a sample of bounded size, the rare before the many. */
export class Sampler implements TraceTaker {
  readonly #tiers: readonly Reservoir<Happening>[]
  readonly #tierOf = new Map<Happening['kind'], Reservoir<Happening>>()
  readonly #requests: Reservoir<Trace>
  #requestsSeen = 0
  #tracesLeft = MAX_REQUESTS
  #id = 0

  constructor(random: () => number = Math.random) {
    this.#requests = new Reservoir<Trace>(MAX_REQUESTS, random)
    this.#tiers = TIERS.map((kinds) => {
      const reservoir = new Reservoir<Happening>(MAX_EVENTS, random)
      for (const kind of kinds) this.#tierOf.set(kind, reservoir)
      return reservoir
    })
  }

  add(happening: Happening, atMs: number): void {
    this.#tierOf.get(happening.kind)?.add(++this.#id, atMs, happening)
  }

  beginsTrace(): boolean {
    if (this.#tracesLeft === 0) return false
    this.#tracesLeft--
    return true
  }

  countRequest(): void {
    this.#requestsSeen++
  }

  endTrace(trace: Trace): void {
    if (trace.isOfCaches) {
      this.countRequest()
      this.#requests.add(++this.#id, trace.atMs, trace)
    } else {
      this.#tracesLeft++
    }
  }

  /** @returns `undefined` if nothing has happened. */
  take(): Batch | undefined {
    const seen = this.#tiers.reduce((sum, tier) => sum + tier.seen, 0)
    this.#tracesLeft = Math.min(MAX_REQUESTS, this.#tracesLeft + NEW_TRACES)
    const requestsSeen = this.#requestsSeen
    this.#requestsSeen = 0
    if (seen + requestsSeen === 0) return undefined
    let left = MAX_EVENTS
    const taken = this.#tiers.flatMap((tier, i) => {
      const later = this.#tiers.slice(i + 1).filter((one) => one.seen > 0).length
      const part = tier.take(Math.max(0, left - KEPT_PLACES * later))
      left -= part.length
      return part
    })
    const events = taken
      .sort((a, b) => a.id - b.id)
      .map(({ id, atMs, what }) => toFeedEvent(id, atMs, what))
    const requests = this.#requests
      .take(MAX_REQUESTS)
      .toSorted((a, b) => a.id - b.id)
      .map(({ id, what }) => what.toEvent(id))
    return { events, seen, dropped: seen - events.length, requests, requestsSeen }
  }
}
