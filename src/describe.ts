import type { CacheCore } from './backend/core.js'
import type { Version } from './keys.js'

/** What `Cache.describe` tells of an entry. */
export interface EntryDescription {
  /** As the caller passed it. */
  readonly key: string
  /** What the backend keeps it under. */
  readonly storedKey: string
  readonly version: Version
  /** The name the cache has in its `Caches`; empty for a cache in none. */
  readonly alias: string
  /** A copy. Of a page it is what is kept of the response, head and body together. */
  readonly value: unknown
  /** What `invalidateTags` makes it a miss by, as it was given. */
  readonly tags: readonly string[]
  /** The fragments that it is, or that it holds: to invalidate one of them makes it a miss too. */
  readonly fragments: readonly string[]
  /** When the store drops it: milliseconds since the epoch; `null`: never. */
  readonly expiresAtMs: number | null
  /** Until when it is served to all; after that only to who takes what is stale. `null`: never ends. */
  readonly freshUntilMs: number | null
  /** Whether it is past that time, or was softly invalidated. */
  readonly isStale: boolean
  /** Bytes of what is stored for it, without its key; left out where that is not known. */
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
