import type { CacheCore } from './backend/core.js'
import type { Version } from './keys.js'

/** What `Cache.describe` returns for an entry. */
export interface EntryDescription {
  /** The key as the caller passed it. */
  readonly key: string
  /** The key that the backend stores it under. */
  readonly storedKey: string
  readonly version: Version
  /** The name of the cache in its `Caches`; empty if it is in none. */
  readonly alias: string
  /**
   * A copy of the value. For a page it is what is stored of the response, head and body together.
   */
  readonly value: unknown
  /** The tags that `invalidateTags` makes it a miss by, as the caller passed them. */
  readonly tags: readonly string[]
  /** The fragments that it is, or contains. Invalidating one of them makes it a miss too. */
  readonly fragments: readonly string[]
  /** When the store drops it, in milliseconds since the epoch; `null`: never. */
  readonly expiresAtMs: number | null
  /**
   * Until when all calls get it, in milliseconds since the epoch. After that only calls that accept stale
   * entries get it. `null`: no end.
   */
  readonly freshUntilMs: number | null
  /** Whether that time has passed, or the entry was softly invalidated. */
  readonly isStale: boolean
  /** The stored size in bytes, without the key. Absent if unknown. */
  readonly bytes?: number
}

const TAG_OF_USER = 't:'
/** Of this cache, and of the fragments of others. */
const TAGS_OF_FRAGMENTS = ['f:', 'x:']

/** Reads an entry, and what is known of it. */
export async function readDescription(
  { alias, store, entries }: CacheCore,
  { key, storedKey, version }: Pick<EntryDescription, 'key' | 'storedKey' | 'version'>,
): Promise<EntryDescription | undefined> {
  const [hit, expiresAtMs, [payload]] = await Promise.all([
    entries.lookupOne(storedKey, true, true),
    store.readDeadline(storedKey),
    store.readEntries([storedKey]),
  ])
  if (hit === undefined || expiresAtMs === undefined) return undefined
  const bytes = payload === undefined ? undefined : store.sizeOfPayload(payload)
  const stored = [...(hit.tags?.keys() ?? [])]
  const tags = stored.filter((tag) => tag.startsWith(TAG_OF_USER))
  const fragments = stored.filter((tag) => TAGS_OF_FRAGMENTS.some((mark) => tag.startsWith(mark)))
  const { staleSinceMs = Infinity } = hit
  const endMs = Math.min(expiresAtMs ?? Infinity, hit.stamp?.freshUntilMs ?? Infinity, staleSinceMs)
  return {
    key,
    storedKey,
    version,
    alias,
    value: hit.value,
    tags: tags.map((tag) => tag.slice(TAG_OF_USER.length)),
    fragments: [...new Set(fragments.map((tag) => tag.slice(TAG_OF_USER.length)))],
    expiresAtMs,
    freshUntilMs: endMs === Infinity ? null : endMs,
    isStale: hit.staleSinceMs !== undefined,
    ...(bytes === undefined ? undefined : { bytes }),
  }
}
