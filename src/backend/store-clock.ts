import { firstTime, isSameLife, laterOf, type ClockTime } from '../clock.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import { CLOCK_KEY } from '../tags.js'
import type { CompleteStore } from './complete-store.js'
import type { WriteEntry, WriteOutcome } from './store.js'
import { COUNTER_VERSION, type StoredKeys } from './stored-keys.js'

/** What the tag counters of a cache need of it. */
export interface CounterStore {
  readonly store: Pick<
    CompleteStore,
    | 'readEntries'
    | 'writeEntries'
    | 'incrementEntry'
    | 'packValue'
    | 'unpackPayload'
    | 'isPartitioned'
  >
  readonly backendName: string
  readonly keys: Pick<StoredKeys, 'counterKey' | 'checked'>
}

/** For so long what the clock showed is good enough; read again it costs one key of a look-up. */
const CLOCK_MS = 1_000

/** How often a clock that is lost again and again is begun. */
const MAX_BEGINNINGS = 3

interface BegunClock {
  readonly time: ClockTime | undefined
  readonly isOwn: boolean
}

/** The clock of a store: a number among its entries, which every invalidation counts on. */
export class StoreClock {
  readonly #of: CounterStore
  #time: ClockTime | undefined
  #readAtMs = -Infinity

  constructor(of: CounterStore) {
    this.#of = of
  }

  /**
   * What the clock showed when it was last heard of: it shows no less now. `undefined`: nothing was heard
   * of it yet.
   */
  get time(): ClockTime | undefined {
    return this.#time
  }

  /** Whether the next look-up is to read the clock along. */
  get isDue(): boolean {
    return performance.now() - this.#readAtMs > CLOCK_MS
  }

  get key(): string {
    return this.#of.keys.checked(CLOCK_KEY, COUNTER_VERSION)
  }

  /** The store was cleared, and the clock with it. */
  forget(): void {
    this.#time = undefined
    this.#readAtMs = -Infinity
  }

  /** Whatever was made at a time had seen the clock there. */
  wasSeenAt(time: ClockTime): void {
    if (this.#time === undefined || !isSameLife(time, this.#time)) return
    this.#time = Math.max(this.#time, time)
  }

  /** Takes in what a look-up read of the clock. Where there is none, it is begun with the next births. */
  hear(payload: unknown): ClockTime | undefined {
    const time = this.#timeIn(payload)
    if (time === undefined) this.#time = undefined
    this.#advance(time)
    return time
  }

  #advance(time: ClockTime | undefined): void {
    if (time !== undefined) this.#time = laterOf(this.#time, time)
    this.#readAtMs = performance.now()
  }

  #timeIn(payload: unknown): ClockTime | undefined {
    const value = valueIn(this.#of.store, payload)
    return Number.isSafeInteger(value) ? (value as ClockTime) : undefined
  }

  /** Reads the clock, or begins it. */
  read(): MaybePromise<void> {
    return chain(this.#of.store.readEntries([this.key]), ([payload]) => {
      if (this.hear(payload) !== undefined) return undefined
      return chain(this.#begin(), () => undefined)
    })
  }

  /**
   * Counts an invalidation, before it is carried out.
   *
   * @returns `undefined`: the clock is lost again and again.
   */
  tick(beginnings = 0): MaybePromise<ClockTime | undefined> {
    return chain(this.#of.store.incrementEntry(this.key, 1), (time) => {
      if (typeof time === 'number') {
        this.#advance(time)
        return time
      }
      if (beginnings >= MAX_BEGINNINGS) return undefined
      // A clock that was begun just now shows a time that nothing else has.
      return chain(this.#begin(), ({ isOwn, time: first }) =>
        isOwn ? first : this.tick(beginnings + 1),
      )
    })
  }

  #begin(): MaybePromise<BegunClock> {
    const time = firstTime()
    const written = this.#of.store.writeEntries([this.beginning(time)])
    return chain(written, ([outcome]) => this.settle(time, outcome))
  }

  /** What is to be written for a clock to begin, if there is none. */
  beginning(time: ClockTime): WriteEntry<unknown> {
    const payload = this.#of.store.packValue(time, undefined)
    return { key: this.key, payload, expiresAtMs: null, ifAbsent: true }
  }

  /** @param outcome - Of writing the {@link beginning}. */
  settle(time: ClockTime, outcome: WriteOutcome | undefined): MaybePromise<BegunClock> {
    if (outcome === 'stored') return this.#hasBegun(time)
    const { store } = this.#of
    return chain(store.readEntries([this.key]), ([there]) => {
      const heard = this.#timeIn(there)
      if (heard !== undefined) this.#advance(heard)
      if (heard !== undefined || there === undefined) return { time: heard, isOwn: false }
      // Damaged, it would count nothing for ever.
      const mended = { ...this.beginning(time), ifAbsent: false, replacing: there }
      return chain(store.writeEntries([mended]), ([again]) =>
        again === 'stored' ? this.#hasBegun(time) : { time: undefined, isOwn: false },
      )
    })
  }

  #hasBegun(time: ClockTime): BegunClock {
    this.#advance(time)
    return { time, isOwn: true }
  }
}

/** The value in a payload; `undefined`: none, or damaged. */
export function valueIn(store: CounterStore['store'], payload: unknown): unknown {
  if (payload === undefined || payload === null) return undefined
  try {
    return store.unpackPayload(payload).value
  } catch {
    return undefined
  }
}
