import { resolve } from 'node:path'
import { composed } from '../backend/core.js'
import { Cache } from '../cache.js'
import { InvalidCacheBackendError, show } from '../errors.js'
import { reportDamage } from '../observe/channels.js'
import { PayloadFormat, type CompressSettings } from '../payload-format.js'
import type { CacheSettings } from '../settings.js'
import type { ValueOptions } from '../value-types.js'
import { FilePrimitives } from './file/primitives.js'
import { FileStore } from './file/store.js'
import { LIMIT_OPTIONS, resolveLimits } from './limits.js'

export type { CompressSettings } from '../payload-format.js'

/** Options of {@link FileBasedCache}. */
export interface FileBasedOptions extends ValueOptions {
  /**
   * Maximum number of entries in the directory, of all caches and processes together. It may be exceeded by a
   * tenth, at least 32. Default 300.
   */
  readonly maxEntries?: number | undefined
  /**
   * When the directory is full, one in this many entries is removed: expired ones first, then at random. 0:
   * all of them. Default 3.
   */
  readonly cullFrequency?: number | undefined
}

/** Settings of {@link FileBasedCache}. */
export interface FileBasedSettings extends CacheSettings {
  /**
   * The directory. It is created if it does not exist. A relative path starts from the process's working
   * directory at the start.
   */
  readonly location: string
  readonly options?: FileBasedOptions | undefined
  /**
   * Which values are compressed. Compressed values can be read whatever this option says. Default: nothing is
   * compressed.
   */
  readonly compress?: CompressSettings | undefined
}

/**
 * A cache in a directory: one file per entry, shared by all processes that use the directory.
 *
 * Never put the location inside a folder that is served, for instance by `express.static`: every entry could
 * be downloaded. Never put it where other users may write, such as directly into `/tmp`: they could choose
 * what is read from the cache.
 *
 * @remarks Files have mode 0600 and folders 0700, whatever the umask is. A reader never sees half a file: an
 *   entry is written under another name and renamed. Everything that changes an entry holds its lock, so
 *   `add` has one winner and no `incr` is lost among any number of processes. If the holder of a lock is
 *   killed, the lock is released. Entries are not forced to the disk: what a power failure damages is a miss.
 * @see Django, "Filesystem caching"
 */
export class FileBasedCache extends Cache {
  /** Written out, because minifiers shorten the names of classes. */
  static override readonly name: string = 'FileBasedCache'
  /** @throws InvalidCacheBackendError: a setting is missing, unknown or of the wrong kind. */
  constructor(settings: FileBasedSettings) {
    super(
      settings,
      { settings: ['compress'], options: LIMIT_OPTIONS },
      composed((core) => {
        // Nothing at all has no location either.
        const { location, options = {}, compress }: Partial<FileBasedSettings> = { ...settings }
        const limits = resolveLimits('FileBasedCache', options)
        const files = new FileStore(
          resolve(checkLocation(location)),
          core.settings.keyPrefix,
          limits,
          (key, error) => reportDamage(core, core.backendName, key, error),
        )
        const format = new PayloadFormat('FileBasedCache', { compress }, core.types)
        return { store: new FilePrimitives(files, limits.maxEntries, format) }
      }),
    )
  }
}

function checkLocation(location: unknown): string {
  if (typeof location === 'string' && location !== '' && !location.includes('\0')) return location
  throw new InvalidCacheBackendError(
    `FileBasedCache: location: ${location === undefined ? 'it is missing' : `${show(location)} is not a path`}; name a directory of this application's own, such as "/var/cache/app"`,
  )
}
