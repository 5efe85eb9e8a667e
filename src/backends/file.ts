import { resolve } from 'node:path'
import type { WriteEntry, WriteOutcome } from '../backend.js'
import { Cache } from '../cache.js'
import { InvalidCacheBackendError, show } from '../errors.js'
import { reportDamage } from '../observe.js'
import { addIntegers, pack, readInteger } from '../serializer.js'
import type { ServerFigures } from '../server-stats.js'
import { resolveCount, type CacheSettings } from '../settings.js'
import type { Deadline } from '../timeout.js'
import { mapLimited } from './file/limit.js'
import { FileStore } from './file/store.js'

/** Options of {@link FileBasedCache}. */
export interface FileBasedOptions {
  /**
   * Most entries in the directory, of all caches and processes together; it may exceed them by a
   * tenth, at least 32. Default 300.
   */
  readonly maxEntries?: number | undefined
  /**
   * When it is full, one in so many entries goes: expired ones first, then at random. 0: all of
   * them. Default 3.
   */
  readonly cullFrequency?: number | undefined
}

/** Settings of {@link FileBasedCache}. */
export interface FileBasedSettings extends CacheSettings {
  /** The directory, made if it is not there. A relative one counts from where the process started. */
  readonly location: string
  readonly options?: FileBasedOptions | undefined
}

/** Entries of one call that are worked on at a time. */
const BATCH = 16

/**
 * A cache in a directory: one file per entry, shared by all processes that name the directory.
 *
 * Never put the location inside a folder that is served, for instance by `express.static`: every
 * entry could be downloaded. Never put it where other users may write, such as directly into
 * `/tmp`: they could choose what is read from the cache.
 *
 * @remarks Files have mode 0600 and folders 0700, whatever the umask is. A reader never sees half a
 *   file: an entry is written beside its place and renamed. Everything that changes an entry holds
 *   its lock, so `add` has one winner and no `incr` is lost among any number of processes; a holder
 *   that was killed frees it. Entries are not forced to the disk: what a power failure damages is a
 *   miss.
 * @see Django, "Filesystem caching"
 */
export class FileBasedCache extends Cache<Uint8Array> {
  readonly #store: FileStore
  readonly #maxEntries: number

  /** @throws InvalidCacheBackendError: a setting is missing, unknown or of the wrong kind. */
  constructor(settings: FileBasedSettings) {
    super(settings, { options: ['maxEntries', 'cullFrequency'] })
    // Nothing at all has no location either.
    const { location, options = {} }: Partial<FileBasedSettings> = { ...settings }
    const limits = {
      maxEntries: resolveCount('FileBasedCache', 'maxEntries', options.maxEntries, 300, 1),
      cullFrequency: resolveCount('FileBasedCache', 'cullFrequency', options.cullFrequency, 3, 0),
    }
    this.#maxEntries = limits.maxEntries
    this.#store = new FileStore(
      resolve(checkLocation(location)),
      this.settings.keyPrefix,
      limits,
      (key, error) => reportDamage(this, this.backendName, key, error),
    )
  }

  protected override async readEntries(
    keys: readonly string[],
  ): Promise<(Uint8Array | undefined)[]> {
    return mapLimited(keys, BATCH, async (key) => (await this.#store.read(key))?.payload)
  }

  protected override async writeEntries(entries: readonly WriteEntry[]): Promise<WriteOutcome[]> {
    const failures: unknown[] = []
    // Two entries of one key keep their order.
    const isPlain = new Set(entries.map(({ key }) => key)).size === entries.length
    const outcomes = await mapLimited(entries, isPlain ? BATCH : 1, async (entry) => {
      try {
        return await this.#store.write(entry)
      } catch (error) {
        failures.push(error)
        return 'failed'
      }
    })
    if (failures.length > 0 && failures.length === entries.length) throw failures[0]
    return outcomes
  }

  protected override async removeEntries(keys: readonly string[]): Promise<boolean[]> {
    return mapLimited(keys, BATCH, (key) => this.#store.remove(key))
  }

  protected override async touchEntry(key: string, expiresAtMs: Deadline): Promise<boolean> {
    return this.#store.update(key, ({ payload }) => ({ payload, expiresAtMs }))
  }

  protected override async incrementEntry(
    key: string,
    delta: number,
  ): Promise<number | null | undefined> {
    let sum: number | undefined
    let isOther = false
    const isDone = await this.#store.update(key, ({ payload, expiresAtMs }) => {
      const value = integerOf(payload)
      isOther = value === undefined
      if (value === undefined) return undefined
      sum = addIntegers(value, delta)
      return { payload: pack(sum), expiresAtMs }
    })
    if (isDone) return sum
    return isOther ? null : undefined
  }

  protected override async readDeadline(key: string): Promise<Deadline | undefined> {
    return (await this.#store.read(key))?.expiresAtMs
  }

  protected override async removeAll(): Promise<void> {
    await this.#store.clear()
  }

  protected override async readServerStats(): Promise<ServerFigures> {
    return { scope: 'machine', ...(await this.#store.measure()), maxEntries: this.#maxEntries }
  }

  protected override async disconnect(): Promise<void> {
    await this.#store.close()
  }
}

function checkLocation(location: unknown): string {
  if (typeof location === 'string' && location !== '' && !location.includes('\0')) return location
  throw new InvalidCacheBackendError(
    `FileBasedCache: location: ${location === undefined ? 'it is missing' : `${show(location)} is no path`}; name a directory of this application's own, such as "/var/cache/app"`,
  )
}

function integerOf(payload: Uint8Array): number | undefined {
  try {
    return readInteger(payload)
  } catch {
    return undefined
  }
}
