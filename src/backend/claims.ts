import { currentMs } from '../current-time.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import { isClaim, newClaim } from '../stamp.js'
import { NO_VERSIONS, type SeenVersions } from '../tags.js'
import type { Beginning, Claim } from './entries.js'
import type { CompleteStore } from './complete-store.js'
import type { WriteEntry, WriteOutcome } from './store.js'
import type { TagCounters } from './tag-counters.js'

/**
 * How long a claim lies there if nothing comes of it. What takes longer to make is not kept by stores that
 * other processes write to.
 */
const CLAIM_MS = 3_600_000

/** How long at least a claim lies there that was given up. */
const LEAST_GIVEN_UP_MS = 1_000

/** What lies under the keys of things that are being made. */
export class Claims {
  readonly #store: CompleteStore
  readonly #counters: TagCounters

  constructor(store: CompleteStore, counters: TagCounters) {
    this.#store = store
    this.#counters = counters
  }

  /** Claims keys, together with the counters that are begun. */
  begin(
    storedKeys: readonly string[],
    lying: readonly unknown[],
    seen: SeenVersions,
    withClock: boolean,
  ): MaybePromise<Beginning> {
    return chain(this.#counters.prepareBirths(seen, withClock), (births) => {
      const claims = storedKeys.map((_, i) => lying[i])
      const open = storedKeys.map((_, i) => i).filter((i) => this.#isOpen(lying[i]))
      const writes = open.map((i) => this.#claimOf(storedKeys[i] as string, lying[i]))
      const all = [...writes, ...births.writes]
      const settle = (outcomes: readonly WriteOutcome[]) =>
        chain(this.#counters.settleBirths(births, outcomes.slice(open.length)), (versions) => ({
          claims,
          versions,
        }))
      if (all.length === 0) return settle([])
      return chain(this.#store.writeEntries(all), (outcomes) => {
        const taken: number[] = []
        open.forEach((i, at) => {
          claims[i] = outcomes[at] === 'stored' ? writes[at]?.payload : undefined
          if (outcomes[at] === 'refused') taken.push(i)
        })
        if (taken.length === 0) return settle(outcomes)
        // Others were faster: what they put there counts. Where nothing is read, it is gone again, or is
        // nothing that could be read, which would refuse every claim: nothing counts.
        const keys = taken.map((i) => storedKeys[i] as string)
        return chain(this.#store.readEntries(keys), (payloads) => {
          const isRead = (_: unknown, at: number) => payloads[at] !== undefined
          const there = taken.filter(isRead)
          const again = this.begin(keys.filter(isRead), payloads.filter(isRead), NO_VERSIONS, true)
          return chain(again, (begun) => {
            there.forEach((i, at) => (claims[i] = begun.claims[at]))
            return settle(outcomes)
          })
        })
      })
    })
  }

  giveUp(key: string, claim: Claim, tookMs: number): MaybePromise<void> {
    if (!this.#isClaim(claim)) return undefined
    // Others may have begun with the same one, and it takes them about as long. It must not lie there for
    // longer: where many things cannot be made, their claims would take the room of those that can.
    const inMs = Math.ceil(Math.max(LEAST_GIVEN_UP_MS, Math.min(2 * tookMs, CLAIM_MS)))
    const expiresAtMs = currentMs() + inMs
    const entry = { key, payload: claim, expiresAtMs, replacing: claim }
    return chain(this.#store.writeEntries([entry]), () => undefined)
  }

  /** Whether what lies under a key is still a claim. */
  isStill(claim: Claim, lying: unknown): boolean {
    if (lying === undefined) return false
    if (typeof claim === 'string' && lying instanceof Uint8Array) {
      // Some write texts and read the bytes that they stand for.
      return Buffer.compare(Buffer.from(claim), lying) === 0
    }
    if (claim instanceof Uint8Array && lying instanceof Uint8Array) {
      return Buffer.compare(claim, lying) === 0
    }
    return Object.is(claim, lying)
  }

  /** Whether a key has yet to be claimed, or what claims it may end before long. */
  #isOpen(lying: unknown): boolean {
    return lying === undefined || this.#isClaim(lying)
  }

  #claimOf(key: string, lying: unknown): WriteEntry<unknown> {
    const expiresAtMs = currentMs() + CLAIM_MS
    if (lying === undefined) {
      return { key, payload: this.#store.packValue(0, newClaim()), expiresAtMs, ifAbsent: true }
    }
    return { key, payload: lying, expiresAtMs, replacing: lying }
  }

  #isClaim(payload: unknown): boolean {
    try {
      return isClaim(this.#store.unpackPayload(payload).tags)
    } catch {
      return false
    }
  }
}
