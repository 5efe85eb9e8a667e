import type { CacheCore } from '../../backend/core.js'
import type { Hit } from '../../backend/entries.js'
import type { ChangeListener } from '../../backend/store.js'
import { currentMs } from '../../current-time.js'
import { defaultKeyFunction } from '../../keys.js'
import { isPromise, type MaybePromise } from '../../maybe-promise.js'
import { TAG_KEY_PREFIX } from '../../tags.js'
import type { Deadline } from '../../timeout.js'
import type { MemoryEntries } from '../locmem/entries.js'
import type { BusOutage } from './bus-outage.js'
import type { BusEnd } from './bus.js'

/** Seconds an entry is served from local memory where nobody tells of changes. */
const DEFAULT_LOCAL_TIMEOUT = 1

/** Milliseconds without reports of changes, after which that is an outage: most connections are back sooner. */
const UNTOLD_MS = 5000

const NOT_TOLD = `it has not been up for ${UNTOLD_MS / 1000} seconds; until it is, nothing is kept in local memory`

/** Entries that are on their way here, and which of them changed meanwhile. */
class Reading {
  readonly #lost = new Set<string>()
  #hasLostAll = false

  /** @param count - How often tags had been invalidated when it began. */
  constructor(readonly count: number) {}

  lose(keys: readonly string[]): void {
    for (const key of keys) this.#lost.add(key)
  }

  loseAll(): void {
    this.#hasLostAll = true
  }

  hasLost(key: string): boolean {
    return this.#hasLostAll || this.#lost.has(key)
  }
}

/** What copies are kept of, and how it is known that they are outdated. */
export interface NearSettings {
  readonly local: CacheCore
  readonly remote: CacheCore
  readonly bus: BusEnd | undefined
  readonly outage: BusOutage
  /** Seconds. */
  readonly localTimeout: number | undefined
  /** Called before the remote cache is listened to. */
  readonly starting: () => void
}

/** The copies that this process has of entries of the remote cache, and which of them are lost. */
export class NearMemory {
  readonly #settings: NearSettings
  readonly #entries: MemoryEntries
  readonly #localTimeoutMs: number | undefined
  /** What the keys of tags' counters begin with; `undefined` where that cannot be told. */
  readonly #counterPrefix: string | undefined
  readonly #readings = new Set<Reading>()
  /** Whether the bus or the remote cache can tell of changes at all. */
  readonly #canBeTold: boolean
  /** Whether changes are being reported, or are never reported by anybody. */
  #isTold: boolean
  #stop: (() => MaybePromise<void>) | undefined
  /** Runs while changes should be reported, and are not. */
  #untold: NodeJS.Timeout | undefined
  /** Of changes that failed: to tell of them again. */
  readonly #doubts = new Set<NodeJS.Timeout>()
  #doubtfulUntilMs = 0

  constructor(settings: NearSettings) {
    this.#settings = settings
    const { local, remote, bus, localTimeout } = settings
    this.#entries = local.entries as MemoryEntries
    this.#entries.takeTypes(remote.types)
    this.#canBeTold = bus !== undefined || remote.store.watchChanges !== undefined
    this.#isTold = !this.#canBeTold
    const seconds = localTimeout ?? (this.#canBeTold ? undefined : DEFAULT_LOCAL_TIMEOUT)
    this.#localTimeoutMs = seconds === undefined ? undefined : seconds * 1000
    if (remote.settings.keyFunction === defaultKeyFunction) {
      this.#counterPrefix = remote.keys.make(TAG_KEY_PREFIX, 1)
    }
  }

  /** Whether nothing changes here without a report. */
  get isUsable(): boolean {
    if (this.#stop === undefined) this.#start()
    return this.#isTold
  }

  find(storedKey: string): Hit | undefined {
    return this.#entries.lookupOne(storedKey)
  }

  /**
   * Runs a reading of the remote cache.
   *
   * @param read - Told which of what it reads has changed meanwhile.
   */
  reading<T>(read: (reading: Reading) => MaybePromise<T>): MaybePromise<T> {
    const reading = this.#beginReading()
    const end = () => this.#readings.delete(reading)
    let result: MaybePromise<T>
    try {
      result = read(reading)
    } catch (error) {
      end()
      throw error
    }
    if (isPromise(result)) return result.finally(end)
    end()
    return result
  }

  #beginReading(): Reading {
    const reading = new Reading(this.#entries.clockTime)
    this.#readings.add(reading)
    return reading
  }

  /** Keeps a copy of an entry that was read or written, unless it may have changed since. */
  keep(storedKey: string, hit: Hit, expiresAtMs: Deadline, reading: Reading): void {
    if (reading.hasLost(storedKey)) return
    if (!this.#isTold || this.#doubtfulUntilMs > performance.now()) return
    const { keys } = this.#settings.remote
    const counters =
      hit.tags === undefined ? [] : [...hit.tags.keys()].map((tag) => keys.counterKey(tag))
    const deadline = this.#localDeadline(expiresAtMs)
    this.#entries.keepCopy(storedKey, hit, deadline, counters, reading.count)
  }

  #localDeadline(expiresAtMs: Deadline): Deadline {
    // What lags may show the old entry once more after the change was told.
    const { readsMayLag } = this.#settings.remote.store
    const limitMs = this.#localTimeoutMs ?? (readsMayLag ? DEFAULT_LOCAL_TIMEOUT * 1000 : undefined)
    if (limitMs === undefined) return expiresAtMs
    return Math.min(expiresAtMs ?? Infinity, currentMs() + limitMs)
  }

  /**
   * Changes entries in the remote cache. Local memory gives them up afterwards, and so does what is
   * being read meanwhile; also where it failed, since it may have been carried out all the same.
   *
   * @param keys - `null`: all.
   */
  change<T>(
    keys: readonly string[] | null,
    action: () => MaybePromise<T>,
    succeeded?: (result: T, reading: Reading) => void,
  ): MaybePromise<T> {
    this.#start()
    const reading = this.#beginReading()
    const finish = (): void => {
      // First, since what this change itself makes others lose is not lost to it.
      this.#readings.delete(reading)
      this.#lose(keys)
    }
    const done = (value: T): Promise<void> | undefined => {
      finish()
      // Before others hear about it: from here on their changes are lost as usual.
      succeeded?.(value, reading)
      return this.#settings.bus?.tell(keys)
    }
    const failed = (error: unknown): never => {
      finish()
      this.#doubt(keys)
      throw error
    }
    let result: MaybePromise<T>
    try {
      result = action()
    } catch (error) {
      return failed(error)
    }
    if (!isPromise(result)) {
      void done(result)
      return result
    }
    return result.then(async (value) => {
      await done(value)
      return value
    }, failed)
  }

  /** A change that failed may still be carried out: until then, and once more after it, all is lost. */
  #doubt(keys: readonly string[] | null): void {
    const { bus, remote } = this.#settings
    if (bus === undefined) return
    void bus.tell(keys)
    const ms = 2 * remote.settings.timeLimitMs
    this.#doubtfulUntilMs = performance.now() + ms
    const again = setTimeout(() => {
      this.#doubts.delete(again)
      this.#lose(keys)
      void bus.tell(keys)
    }, ms).unref()
    this.#doubts.add(again)
  }

  #start(): void {
    if (this.#stop !== undefined || !this.#canBeTold) return
    const { starting, bus, outage, remote } = this.#settings
    starting()
    this.#awaitReports()
    const listener: ChangeListener = {
      up: () => {
        this.#endUntold()
        outage.succeeded('subscribe')
        this.#loseAll()
        this.#isTold = true
      },
      down: () => {
        this.#awaitReports()
        this.#lost()
      },
      changed: (keys) => this.#lose(keys),
      changedAll: () => this.#loseAll(),
    }
    this.#stop = bus?.listen(listener) ?? remote.store.watchChanges?.(listener)
  }

  /** Without reports everything is asked of the remote cache, which nobody would notice but by the load. */
  #awaitReports(): void {
    this.#untold ??= setTimeout(() => {
      this.#untold = undefined
      const { outage, remote } = this.#settings
      // That the remote cache does not answer, it reports itself.
      if (remote.guard.isFailing) this.#awaitReports()
      else outage.failed('subscribe', new Error(NOT_TOLD))
    }, UNTOLD_MS).unref()
  }

  #endUntold(): void {
    clearTimeout(this.#untold)
    this.#untold = undefined
  }

  /** Stops listening. The next use begins again. */
  async close(): Promise<void> {
    const stop = this.#stop
    this.#stop = undefined
    this.#endUntold()
    this.#settings.bus?.close()
    for (const doubt of this.#doubts) clearTimeout(doubt)
    this.#doubts.clear()
    if (stop === undefined) {
      this.#loseAll()
      return
    }
    this.#lost()
    await stop()
  }

  #lost(): void {
    this.#isTold = false
    this.#loseAll()
  }

  /** Gives up what has a tag. */
  forgetTagged(tag: string): void {
    this.#lose([this.#settings.remote.keys.counterKey(tag)])
  }

  #lose(keys: readonly string[] | null): void {
    if (keys === null) {
      this.#loseAll()
      return
    }
    for (const reading of this.#readings) reading.lose(keys)
    void this.#settings.local.store.removeEntries(keys)
    const counters = keys.filter((key) => this.#mayBeCounter(key))
    if (counters.length > 0) this.#entries.bumpTags(counters)
  }

  #loseAll(): void {
    for (const reading of this.#readings) reading.loseAll()
    void this.#settings.local.store.removeAll()
  }

  #mayBeCounter(storedKey: string): boolean {
    return this.#counterPrefix === undefined || storedKey.startsWith(this.#counterPrefix)
  }
}
