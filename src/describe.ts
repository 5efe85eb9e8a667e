import type { Hit } from './backend/entries.js'
import type { Version } from './keys.js'
import type { Deadline } from './timeout.js'

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

/** What was read of an entry. */
interface Found extends Pick<EntryDescription, 'key' | 'storedKey' | 'version' | 'alias'> {
  readonly hit: Hit
  readonly expiresAtMs: Deadline
  readonly bytes: number | undefined
}

const TAG_OF_USER = 't:'
/** Of this cache, and of the fragments of others. */
const TAGS_OF_FRAGMENTS = ['f:', 'x:']

/** Puts together what was read of an entry. */
export function toDescription(found: Found): EntryDescription {
  const { key, storedKey, version, alias, hit, expiresAtMs, bytes } = found
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
