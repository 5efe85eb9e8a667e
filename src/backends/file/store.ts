import { unlink } from 'node:fs/promises'
import { clearInRounds } from '../../backend/clear-rounds.js'
import type { WriteEntry, WriteOutcome } from '../../backend/store.js'
import { currentMs } from '../../current-time.js'
import { isExpired } from '../../timeout.js'
import { EntryCount } from './count.js'
import { excessOf, type Limits } from '../limits.js'
import { Culling } from './culling.js'
import { codeOf, kindAt, peekEntryFile, readEntryFile, removeFile, unless } from './entry-file.js'
import { Folders, isOpenToOthers, UnusableFolderError, type Place } from './folders.js'
import {
  DamagedEntryError,
  encodeEntry,
  MAX_FILE_BYTES,
  sizeOfEntry,
  type Entry,
} from './format.js'
import { Limiter } from './limit.js'
import { Locks, type Turn } from './locks.js'
import { measureUsage, type Usage } from './usage.js'

/** Writers of one cache that are at work at a time. */
const WRITERS = 16

/** How long one call makes room before it leaves the rest to later ones. */
const MAX_CULLING_MS = 1000

/** Hears about a file at an entry's place that could not be read as an entry. */
export type DamageListener = (key: string, error: unknown) => void

/** What {@link FileStore.update} makes of an entry. */
export type Change = (entry: Entry) => Pick<Entry, 'payload' | 'expiresAtMs'> | undefined

/** The entries of one location, on the disk. */
export class FileStore {
  readonly #folders: Folders
  readonly #locks: Locks
  readonly #count: EntryCount
  readonly #culling: Culling
  readonly #writers = new Limiter(WRITERS)
  #opened: Promise<void> | undefined

  /**
   * @param location - An absolute path.
   * @param owner - The key prefix entries are written with.
   */
  constructor(
    location: string,
    private readonly owner: string,
    private readonly limits: Limits,
    private readonly onDamage: DamageListener,
  ) {
    const folders = new Folders(location)
    this.#folders = folders
    this.#locks = new Locks(folders.work, () => folders.make())
    this.#count = new EntryCount(folders.work, excessOf(limits.maxEntries), () =>
      this.#culling.estimate(),
    )
    this.#culling = new Culling(folders, this.#locks, this.#count, limits)
  }

  /** Makes the location, and sweeps what killed writers left, once. */
  async #open(): Promise<void> {
    this.#opened ??= (async () => {
      await this.#folders.make()
      await warnIfOpenToOthers(this.#folders.location)
      await this.#locks.sweep()
    })()
    try {
      await this.#opened
    } catch (error) {
      this.#opened = undefined
      throw error
    }
  }

  /** The live entry of a key. */
  async read(key: string): Promise<Entry | undefined> {
    return this.#named(async () => {
      const place = this.#folders.placeOf(key)
      try {
        return await this.#readLive(place)
      } catch (error) {
        if (!(error instanceof DamagedEntryError)) throw error
        this.#report(place, error)
        await this.#removeDamaged(place)
        return undefined
      }
    })
  }

  /** The entry of a key, if it has expired and was not removed yet. */
  async readExpired(key: string): Promise<Entry | undefined> {
    return this.#named(async () => {
      const place = this.#folders.placeOf(key)
      if ((await this.#look(place)) !== 'file') return undefined
      const entry = await readAny(place)
      return entry?.key === key && isExpired(entry.expiresAtMs, currentMs()) ? entry : undefined
    })
  }

  #report(place: Place, { message }: DamagedEntryError): void {
    this.onDamage(place.key, new DamagedEntryError(`${place.file}: ${message}`))
  }

  /** @throws DamagedEntryError */
  async #readLive(place: Place): Promise<Entry | undefined> {
    const [kind, entry] = await Promise.allSettled([
      kindAt(place.folder),
      readEntryFile(place.file),
    ])
    if (kind.status === 'rejected') throw kind.reason
    if (kind.value === 'link') throw new DamagedEntryError('its folder is a link')
    if (kind.value !== 'folder') return undefined
    if (entry.status === 'rejected') throw entry.reason
    const found = entry.value
    if (found === undefined || found.key !== place.key) return undefined
    return isExpired(found.expiresAtMs, currentMs()) ? undefined : found
  }

  /** A caller that finds damage clears it away, unless it was replaced meanwhile or cannot be. */
  async #removeDamaged(place: Place): Promise<void> {
    try {
      if ((await kindAt(place.folder)) === 'link') {
        await unlink(place.folder)
        return
      }
      if ((await this.#look(place)) !== 'file') return
      await this.#locks.run(place.shard, undefined, async (turn) => {
        const isDamaged = await this.#readLive(place).then(
          () => false,
          (error: unknown) => error instanceof DamagedEntryError,
        )
        if (isDamaged && (await turn.take(place.file))) this.#count.removed(1)
      })
    } catch {
      // It stays, and stays a miss.
    }
  }

  /** What a writer finds: damage is as good as nothing. */
  async #readForWriting(place: Place): Promise<Entry | undefined> {
    try {
      return await this.#readLive(place)
    } catch (error) {
      if (!(error instanceof DamagedEntryError)) throw error
      this.#report(place, error)
      return undefined
    }
  }

  /** Writes an entry under its condition. */
  async write(write: WriteEntry): Promise<WriteOutcome> {
    // What waits for its turn as a whole is judged when that comes: of many that begin one entry, most are refused.
    return this.#named(() => this.#writers.run(() => this.#write(write)))
  }

  async #write(write: WriteEntry): Promise<WriteOutcome> {
    const { key, payload, expiresAtMs } = write
    const entry = { owner: this.owner, key, expiresAtMs, payload }
    if (sizeOfEntry(entry) > MAX_FILE_BYTES) return 'too_large'
    const isConditional = write.ifAbsent === true || write.replacing !== undefined
    const place = this.#folders.placeOf(key)
    // Most refusals need no lock: the entry that refuses was there at some moment of this call.
    if (isConditional && !isAllowed(write, await this.#readForWriting(place))) return 'refused'
    try {
      return await this.#writeCounted(place, encodeEntry(entry), async () => {
        return !isConditional || isAllowed(write, await this.#readForWriting(place))
      })
    } catch (error) {
      // A failed write must not leave the older value behind.
      if (!isConditional) await this.#dropAfterFailure(place)
      throw error
    }
  }

  async #writeCounted(
    place: Place,
    bytes: Uint8Array,
    isAllowedNow: () => Promise<boolean>,
  ): Promise<WriteOutcome> {
    await this.#open()
    const found = await this.#look(place)
    if (found === 'folder') {
      throw new UnusableFolderError(`${place.file} is in the way: it is a folder; remove it`)
    }
    const isNew = found !== 'file'
    if (found === 'no shard') await this.#folders.makeInside(place.folder)
    if (isNew) await this.#reserve()
    let isWritten = false
    try {
      isWritten = await this.#locks.run(place.shard, bytes, async (turn) => {
        if (!(await isAllowedNow())) return false
        await turn.commit(place.file, () => this.#folders.makeInside(place.folder))
        return true
      })
    } finally {
      if (isNew) this.#count.settle(isWritten)
    }
    if (isNew) await this.#count.share()
    return isWritten ? 'stored' : 'refused'
  }

  /**
   * What is in an entry's place. Looked at before every change, since a link that came into the
   * place of a folder must not lead out of the location.
   */
  async #look({ folder, file }: Place): Promise<'file' | 'folder' | 'nothing' | 'no shard'> {
    const [work, shard, there] = await Promise.all([
      kindAt(this.#folders.work),
      kindAt(folder),
      unless(['ENOTDIR'], kindAt(file)),
    ])
    if (work === 'link') await this.#folders.make()
    if (shard !== 'folder') return 'no shard'
    if (there === undefined) return 'nothing'
    // A link, a pipe: as good as a file, for it goes the same way.
    return there === 'folder' ? 'folder' : 'file'
  }

  async #reserve(): Promise<void> {
    await this.#count.load()
    const { maxEntries } = this.limits
    const startMs = performance.now()
    while (this.#count.current >= maxEntries) {
      if (!(await this.#culling.makeRoom())) break
      // A limit that was lowered by much is reached over several calls.
      const isFar = this.#count.current > 2 * maxEntries + excessOf(maxEntries)
      if (isFar && performance.now() - startMs > MAX_CULLING_MS) break
    }
    this.#count.reserve()
  }

  async #turn<T>(place: Place, action: (turn: Turn) => Promise<T>): Promise<T> {
    return this.#writers.run(() => this.#locks.run(place.shard, undefined, action))
  }

  async #dropAfterFailure(place: Place): Promise<void> {
    try {
      if ((await kindAt(place.folder)) === 'folder') await removeFile(place.file)
    } catch {
      // The caller gets the failure itself.
    }
  }

  /**
   * Replaces a live entry by what becomes of it, keeping its owner.
   *
   * @returns `false` if there is none, or the change gave none.
   */
  async update(key: string, change: Change): Promise<boolean> {
    return this.#named(async () => {
      const place = this.#folders.placeOf(key)
      if ((await this.#look(place)) !== 'file') return false
      await this.#open()
      return this.#turn(place, async (turn) => {
        const entry = await this.#readForWriting(place)
        const changed = entry === undefined ? undefined : change(entry)
        if (entry === undefined || changed === undefined) return false
        await turn.write(encodeEntry({ ...entry, ...changed }))
        await turn.commit(place.file, () => this.#folders.makeInside(place.folder))
        return true
      })
    })
  }

  /** Removes an entry. @returns Whether it was live. */
  async remove(key: string): Promise<boolean> {
    return this.#named(async () => {
      const place = this.#folders.placeOf(key)
      if ((await this.#look(place)) !== 'file') return false
      await this.#open()
      let isGone = false
      const wasLive = await this.#turn(place, async (turn) => {
        const entry = await readAny(place)
        if (entry !== undefined && entry.key !== key) return false
        isGone = await turn.take(place.file)
        return isGone && entry !== undefined && !isExpired(entry.expiresAtMs, currentMs())
      })
      if (isGone) {
        this.#count.removed(1)
        await this.#count.share()
      }
      return wasLive
    })
  }

  /** Removes the entries of this owner. */
  async clear(): Promise<void> {
    await this.#named(async () => {
      if ((await kindAt(this.#folders.location)) === undefined) return
      await this.#open()
      await this.#folders.make()
      await clearInRounds(() => this.#culling.clear(this.owner))
    })
  }

  /** The keys of the live entries of this owner, by folders. */
  async *keys(): AsyncGenerator<readonly string[], void, void> {
    for (const shard of await this.#named(() => this.#folders.shards())) {
      yield await this.#named(async () => {
        const files = await this.#folders.entries(shard)
        const peeked = await Promise.all(
          files.map((file) => peekEntryFile(file).catch(unlessDamaged)),
        )
        const nowMs = currentMs()
        return peeked.flatMap((entry) =>
          entry?.owner === this.owner && !isExpired(entry.expiresAtMs, nowMs) ? [entry.key] : [],
        )
      })
    }
  }

  /** Counts the entries, expired ones included, and their bytes; where they are many, by a sample. */
  async measure(): Promise<Usage> {
    return this.#named(() => measureUsage(this.#folders))
  }

  async close(): Promise<void> {
    this.#opened = undefined
    await this.#count.close()
    await this.#locks.close()
  }

  /** Says of every failure which location it is about. */
  async #named<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action()
    } catch (error) {
      const code = codeOf(error)
      const isOurs = error instanceof UnusableFolderError
      if (!isOurs && (code === undefined || code.startsWith('FRAGCACHE_'))) throw error
      throw Object.assign(
        new Error(
          `location ${JSON.stringify(this.#folders.location)}: ${remedyFor(code)}${(error as Error).message}`,
          { cause: error },
        ),
        code === undefined ? {} : { code },
      )
    }
  }
}

function remedyFor(code: string | undefined): string {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return 'it is not writable or not readable for this process; '
    case 'ENOTDIR':
      return 'it is a file, or lies in one, and not a directory; '
    default:
      return ''
  }
}

function isAllowed({ ifAbsent, replacing }: WriteEntry, entry: Entry | undefined): boolean {
  if (entry === undefined) return ifAbsent === true
  return replacing !== undefined && Buffer.compare(entry.payload, replacing) === 0
}

/** An entry that may be expired; damage is none. */
async function readAny(place: Place): Promise<Entry | undefined> {
  try {
    return await readEntryFile(place.file)
  } catch (error) {
    return unlessDamaged(error)
  }
}

function unlessDamaged(error: unknown): undefined {
  if (!(error instanceof DamagedEntryError)) throw error
}

const warned = new Set<string>()

async function warnIfOpenToOthers(location: string): Promise<void> {
  if (warned.has(location) || !(await isOpenToOthers(location))) return
  warned.add(location)
  process.emitWarning(
    `FileBasedCache: other users may write to ${JSON.stringify(location)}, and so choose what is read from the cache; use a directory of this user's own with mode 0700`,
    { type: 'CacheLocationWarning', code: 'FRAGCACHE_SHARED_DIRECTORY' },
  )
}
