import type { ClockTime } from '../clock.js'
import type { TagVersions } from '../tags.js'
import type { KnownVersions } from './known-versions.js'
import type { StoreClock } from './store-clock.js'

/** What is needed of the counters of one store. */
export interface CounterReader {
  readonly clock: StoreClock
  keysOf(tags: readonly string[]): readonly string[]
  versionIn(payload: unknown): string | undefined
}

/** The tag versions that one look-up needs: those that are read with it, and those that are known. */
export class NeededVersions {
  /** What is to be read: counters, and the clock behind them. */
  readonly keys: readonly string[]
  /** As they were read, or are known; `undefined`: there is no counter. */
  readonly current = new Map<string, string | undefined>()
  readonly #counters: CounterReader
  readonly #known: KnownVersions | undefined
  /** Tags whose counters are read with the entries. */
  readonly #asked: readonly string[]
  /** Tags whose versions were not read. */
  #recalled: Set<string> | undefined
  readonly #time: ClockTime | undefined
  readonly #nowMs = performance.now()
  /** Whether the clock is read. */
  readonly withClock: boolean

  /**
   * @param known - `undefined`: all are read.
   * @param readsAll - Nothing that is known will do.
   * @param readsClock - The clock is wanted even where no tag is.
   */
  constructor(
    counters: CounterReader,
    known: KnownVersions | undefined,
    tags: readonly string[],
    readsAll: boolean,
    readsClock: boolean,
  ) {
    this.#counters = counters
    this.#known = known
    this.#time = readsAll ? undefined : known?.timeAt(this.#nowMs)
    this.#asked = this.#time === undefined ? tags : this.#takeKnown(tags, this.#time)
    this.withClock = readsClock || (known !== undefined && tags.length > 0)
    const keys = counters.keysOf(this.#asked)
    this.keys = this.withClock ? [...keys, counters.clock.key] : keys
  }

  /** @returns Those that are not known. */
  #takeKnown(tags: readonly string[], time: ClockTime): readonly string[] {
    const unknown: string[] = []
    for (const tag of tags) {
      const version = this.#known?.of(tag, time, this.#nowMs)
      if (version === undefined) unknown.push(tag)
      else {
        this.#recalled ??= new Set()
        this.#recalled.add(tag)
        this.current.set(tag, version)
      }
    }
    return unknown
  }

  /**
   * Takes in what was read.
   *
   * @param at - Where it begins in the payloads.
   * @returns The tags whose versions are known no longer.
   */
  take(payloads: readonly unknown[], at: number): readonly string[] {
    const isStill = this.withClock && this.#hears(payloads[at + this.#asked.length])
    const outdated = isStill || this.#recalled === undefined ? NONE : [...this.#recalled]
    for (const tag of outdated) this.current.delete(tag)
    this.#asked.forEach((tag, i) => {
      const version = this.#counters.versionIn(payloads[at + i])
      this.current.set(tag, version)
      if (isStill && version !== undefined) {
        this.#known?.note(tag, version, this.#time as ClockTime, this.#nowMs)
      }
    })
    return outdated
  }

  /** Takes in what was read of the clock. @returns Whether it stands still. */
  #hears(payload: unknown): boolean {
    const time = this.#counters.clock.hear(payload)
    this.#known?.hear(time, performance.now())
    return time !== undefined && time === this.#time
  }

  /**
   * Whether it is known of each of an entry's tags whether its version is current. What was not read can only
   * confirm one: a counter may have been lost and begun again.
   */
  settles(tags: TagVersions): boolean {
    for (const [tag, version] of tags) if (!this.settlesOne(tag, version)) return false
    return true
  }

  settlesOne(tag: string, version: string): boolean {
    const now = this.current.get(tag)
    if (now === version) return true
    return this.current.has(tag) && this.#recalled?.has(tag) !== true
  }
}

const NONE: readonly string[] = []
