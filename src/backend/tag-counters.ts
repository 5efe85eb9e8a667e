import { firstTime, isSameLife, type ClockTime } from '../clock.js'
import { currentMs } from '../current-time.js'
import { CacheBackendError } from '../errors.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import {
  clockTimeOf,
  hardened,
  hardPart,
  isBirthVersion,
  isUnchangedSince,
  newBirthVersion,
  newTagVersion,
  softened,
  type SeenVersions,
  type TagVersions,
} from '../tags.js'
import { KnownVersions } from './known-versions.js'
import { NeededVersions } from './needed-versions.js'
import type { WriteEntry, WriteOutcome } from './store.js'
import { StoreClock, valueIn, type CounterStore } from './store-clock.js'

/** How often an invalidation is tried again where others were faster. */
const MAX_CONFLICTS = 20

/**
 * The versions of tags in one store, and its clock.
 *
 * @remarks A counter is written before anything is made that depends on it, and every version is unlike
 *   any other: a counter that was lost and begun again never makes anything current again.
 */
export class TagCounters {
  readonly clock: StoreClock
  readonly #of: CounterStore
  readonly #known = new KnownVersions()
  /** Whether something was declared while it was made: then more will be. */
  #isTimeWanted = false

  constructor(of: CounterStore) {
    this.#of = of
    this.clock = new StoreClock(of)
  }

  /**
   * Reads the clock ahead of a making, where something that is made in this process is compared with the
   * time at which its making began.
   */
  beforeMaking(): MaybePromise<void> {
    if (!this.#isTimeWanted) return undefined
    return this.clock.read()
  }

  /**
   * The versions of tags that a look-up needs.
   *
   * @param readsAll - Nothing that is known will do.
   * @param readsClock - The clock is wanted even where no tag is.
   */
  need(tags: readonly string[], readsAll: boolean, readsClock: boolean): NeededVersions {
    // Of several servers the clock's may be down, and the others go on.
    const known = this.#of.store.isPartitioned ? undefined : this.#known
    return new NeededVersions(this, known, tags, readsAll, readsClock)
  }

  keysOf(tags: readonly string[]): readonly string[] {
    return tags.map((tag) => this.#of.keys.counterKey(tag))
  }

  /** The version in a counter; `undefined`: none, or damaged. */
  versionIn(payload: unknown): string | undefined {
    const value = valueIn(this.#of.store, payload)
    if (typeof value !== 'string') return undefined
    const time = clockTimeOf(value)
    // The process that made this version had seen the clock at least there.
    if (time !== undefined) this.clock.wasSeenAt(time)
    return value
  }

  /** Reads counters. */
  read(tags: readonly string[]): MaybePromise<Map<string, string | undefined>> {
    if (tags.length === 0) return new Map<string, string | undefined>()
    return chain(this.#of.store.readEntries(this.keysOf(tags)), (payloads) =>
      this.#seenIn(tags, payloads),
    )
  }

  /** Reads counters, and what the clock shows at the same time. */
  #readWithClock(
    tags: readonly string[],
  ): MaybePromise<{ readonly seen: SeenVersions; readonly time: ClockTime | undefined }> {
    const keys = [...this.keysOf(tags), this.clock.key]
    return chain(this.#of.store.readEntries(keys), (payloads) => ({
      seen: this.#seenIn(tags, payloads),
      time: this.clock.hear(payloads[tags.length]),
    }))
  }

  #seenIn(tags: readonly string[], payloads: readonly unknown[]): Map<string, string | undefined> {
    return new Map(tags.map((tag, i) => [tag, this.versionIn(payloads[i])]))
  }

  /**
   * The versions of tags as they are now; counters that are not there are begun.
   *
   * @param isMade - What depends on them is made already: an invalidation while a counter is begun wins.
   * @returns `undefined`: one cannot be written, or is lost at once.
   */
  current(tags: readonly string[], isMade: boolean): MaybePromise<TagVersions | undefined> {
    return chain(this.read(tags), (seen) =>
      chain(this.prepareBirths(seen), (births) => {
        if (births.writes.length === 0) return births.seen as TagVersions
        const written = this.#of.store.writeEntries(births.writes)
        return chain(written, (outcomes) => this.settleBirths(births, outcomes, isMade))
      }),
    )
  }

  /**
   * As {@link current}, without those that were invalidated since the clock showed a time.
   */
  declared(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined> {
    this.#isTimeWanted = true
    return chain(this.current(tags, false), (versions) => {
      if (versions === undefined) return undefined
      return new Map([...versions].filter(([, version]) => isUnchangedSince(version, time)))
    })
  }

  /**
   * What is to be written for the counters that were not there, and for the clock if that is not.
   *
   * @param withClock - Whether the clock was read together with them.
   */
  prepareBirths(seen: SeenVersions, withClock = false): MaybePromise<Births> {
    const absent = absentOf(seen)
    if (absent.length === 0 || withClock) return this.#birthsOf(seen, seen)
    // Read once more with the clock: nobody is to take a counter for older than it is.
    return chain(this.#readWithClock(absent), ({ seen: again }) => this.#birthsOf(seen, again))
  }

  #birthsOf(seen: SeenVersions, again: SeenVersions): Births {
    const first = this.clock.time === undefined ? firstTime() : undefined
    const time = this.clock.time ?? first
    const versions = absentOf(again).map((tag) => [tag, newBirthVersion(time)] as const)
    const births = versions.map(([tag, version]) => ({
      ...this.#entry(tag, version),
      ifAbsent: true,
    }))
    return {
      seen: new Map([...seen, ...again]),
      versions,
      first,
      writes: first === undefined ? births : [...births, this.clock.beginning(first)],
    }
  }

  /**
   * @param outcomes - Of the writes that were prepared.
   * @returns `undefined`: a counter cannot be written, or was lost at once.
   */
  settleBirths(
    { seen, versions, first }: Births,
    outcomes: readonly WriteOutcome[],
    isMade = false,
  ): MaybePromise<TagVersions | undefined> {
    const clock = first && this.clock.settle(first, outcomes[versions.length])
    return chain(clock as MaybePromise<unknown>, () =>
      this.#settle({ seen, versions }, outcomes, isMade),
    )
  }

  #settle(
    { seen, versions }: Pick<Births, 'seen' | 'versions'>,
    outcomes: readonly WriteOutcome[],
    isMade: boolean,
  ): MaybePromise<TagVersions | undefined> {
    const all = new Map(seen)
    const late: string[] = []
    versions.forEach(([tag, version], i) => {
      all.set(tag, version)
      if (outcomes[i] !== 'stored') late.push(tag)
    })
    return chain(this.read(late), (read) => {
      for (const [tag, version] of read) {
        if (!isMade) all.set(tag, version)
        // Invalidated meanwhile, it keeps a version of its own, and is never found.
        else if (version !== undefined && isBirthVersion(version)) all.set(tag, hardPart(version))
      }
      return absentOf(all).length === 0 ? (all as Map<string, string>) : undefined
    })
  }

  /**
   * The versions of tags that were not invalidated since the clock showed a time.
   *
   * @returns `undefined`: one was, or may have been. Missing records are begun, so that the next caller gets
   *   more.
   */
  since(
    tags: readonly string[],
    time: ClockTime | undefined,
  ): MaybePromise<TagVersions | undefined> {
    this.#isTimeWanted = true
    return chain(this.#readWithClock(tags), ({ seen, time: now }) => {
      const isCertain = [...seen.values()].every((version) => isUnchanged(version, time, now))
      const births = this.#birthsOf(seen, seen)
      if (births.writes.length === 0) return isCertain ? (seen as TagVersions) : undefined
      return chain(this.#of.store.writeEntries(births.writes), (outcomes) =>
        chain(this.settleBirths(births, outcomes), (versions) => {
          // Others may have begun one meanwhile, or invalidated it.
          const areStill = births.versions.every(([tag]) =>
            isUnchanged(versions?.get(tag), time, now),
          )
          return isCertain && areStill ? versions : undefined
        }),
      )
    })
  }

  /**
   * Makes every entry stored with one of the tags a miss.
   *
   * @param soft - Stale instead.
   * @param isAgain - Repeated for what was made since the last time, which a soft one makes a miss too.
   * @throws CacheBackendError: a counter could not be written.
   */
  invalidate(tags: readonly string[], soft: boolean, isAgain = false): MaybePromise<void> {
    const how = { soft, isAgain }
    const keys = this.keysOf(tags)
    const ticked = this.clock.tick()
    const replaced = isPromise(ticked)
      ? Promise.all([ticked, this.#of.store.readEntries(keys)]).then(([time, payloads]) =>
          this.#replace(tags, how, time, payloads, 0),
        )
      : this.#replace(tags, how, ticked, undefined, 0)
    // Who read a counter since the first time took it for current as long as the clock stands still.
    return chain(
      chain(replaced, () => this.clock.tick()),
      () => undefined,
    )
  }

  /** By compare and set: a version must not take the place of one that is later. */
  #replace(
    tags: readonly string[],
    how: { readonly soft: boolean; readonly isAgain: boolean },
    time: ClockTime | undefined,
    lying: readonly unknown[] | undefined,
    conflicts: number,
  ): MaybePromise<void> {
    if (tags.length === 0) return undefined
    const { store } = this.#of
    const read = lying ?? store.readEntries(this.keysOf(tags))
    return chain(read, (payloads) => {
      const due: string[] = []
      const writes: WriteEntry<unknown>[] = []
      tags.forEach((tag, i) => {
        const payload = payloads[i] ?? undefined
        const version = this.versionIn(payload)
        if (this.#isDone(version, time)) return
        due.push(tag)
        // Others were always faster: gone, and as if it were later than everything, is safe.
        if (conflicts >= MAX_CONFLICTS) {
          writes.push(this.#entry(tag, newTagVersion()))
          return
        }
        const next =
          how.soft && version !== undefined
            ? softened(version, time, currentMs(), how.isAgain)
            : hardened(version, time)
        const entry = this.#entry(tag, next)
        writes.push(
          payload === undefined ? { ...entry, ifAbsent: true } : { ...entry, replacing: payload },
        )
      })
      if (due.length === 0) return undefined
      return chain(store.writeEntries(writes), (outcomes) => {
        if (!outcomes.every((outcome) => outcome === 'stored' || outcome === 'refused')) {
          throw this.#failure()
        }
        const left = due.filter((_, i) => outcomes[i] === 'refused')
        if (left.length > 0 && conflicts >= MAX_CONFLICTS) throw this.#failure()
        return this.#replace(left, how, time, undefined, conflicts + 1)
      })
    })
  }

  /**
   * Whether another invalidation, which began after this one, has been carried out: nothing from before either is found
   * any more. Where many invalidate one tag at once, each would otherwise wait for all others.
   */
  #isDone(version: string | undefined, time: ClockTime | undefined): boolean {
    // Of several servers each confirms only what was written to it.
    if (version === undefined || time === undefined || this.#of.store.isPartitioned) return false
    const hard = hardPart(version)
    const own = clockTimeOf(hard)
    return own !== undefined && !isBirthVersion(hard) && isSameLife(own, time) && own > time
  }

  #failure(): CacheBackendError {
    const { backendName } = this.#of
    return new CacheBackendError(`${backendName}: a tag could not be invalidated`, {
      backend: backendName,
      operation: 'invalidateTags',
    })
  }

  #entry(tag: string, version: string): WriteEntry<unknown> {
    const payload = this.#of.store.packValue(version, undefined)
    return { key: this.#of.keys.counterKey(tag), payload, expiresAtMs: null }
  }
}

/** Whether a version is none that was made after a time. */
function isUnchanged(
  version: string | undefined,
  since: ClockTime | undefined,
  now: ClockTime | undefined,
): boolean {
  if (since === undefined || now === undefined || !isSameLife(since, now)) return false
  // One that is not there may have been lost.
  if (version === undefined) return since === now
  const own = clockTimeOf(version)
  return own !== undefined && (!isSameLife(own, now) || own <= since)
}

/** Counters that are about to be begun. */
export interface Births {
  readonly seen: SeenVersions
  /** What the clock is begun with; left out: there is one. */
  readonly first: ClockTime | undefined
  readonly versions: readonly (readonly [tag: string, version: string])[]
  readonly writes: readonly WriteEntry<unknown>[]
}

function absentOf(seen: SeenVersions): string[] {
  const absent: string[] = []
  for (const [tag, version] of seen) if (version === undefined) absent.push(tag)
  return absent
}
