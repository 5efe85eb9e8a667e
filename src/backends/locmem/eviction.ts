import { Ghosts } from './ghosts.js'
import type { EntryList, MemoryEntry, OwnedEntries } from './owned-entries.js'

/** The names of the policies, the default first. */
export const POLICIES = ['s3-fifo', 'lru'] as const

/** Which live entries are removed first when a cache is full. */
export type EvictionPolicy = (typeof POLICIES)[number]

/** Decides which live entry goes when there is no room for another. */
export interface Eviction {
  readonly policy: EvictionPolicy
  /** The list of its owner that a new entry belongs to. */
  listFor(home: OwnedEntries, key: string): EntryList
  /** Takes note that an entry was read or written again. Called on every hit. */
  used(entry: MemoryEntry): void
  /** Chooses the entry that has to go now; `undefined`: there is none. */
  next(homes: Iterable<OwnedEntries>): MemoryEntry | undefined
}

export function newEviction(policy: EvictionPolicy): Eviction {
  return policy === 'lru' ? new LeastRecentlyUsed() : new S3Fifo()
}

/** The entry goes that has not been used for the longest time. */
class LeastRecentlyUsed implements Eviction {
  readonly policy = 'lru'

  listFor({ proven }: OwnedEntries): EntryList {
    return proven
  }

  used(entry: MemoryEntry): void {
    const { list } = entry
    if (list.isLatest(entry)) return
    list.unlink(entry)
    list.append(entry)
  }

  next(homes: Iterable<OwnedEntries>): MemoryEntry | undefined {
    return oldestOf(homes, provenOf)
  }
}

/** Uses of an entry that are counted. */
const MOST_USES = 3

/** Uses by which an entry has proven itself, once half of all have. */
const ENOUGH_USES = 2

/** Entries that are looked at in one call, which would otherwise take longer the more there are. */
const MOST_STEPS = 1000

/**
 * New entries are tried in a queue that is a tenth of all: those that nobody uses there go, and what
 * comes back soon after it went, or was used twice, is proven. Of the proven, those go that have not been
 * used since they were last looked at.
 *
 * So what is asked for once drives nothing out that is asked for again and again, and a hit costs no more
 * than to count it.
 *
 * @see Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction" (SOSP 2023). As
 *   there, but for one thing: until half of the entries are proven, one use is enough. A cache that was
 *   never full before would else give up what was used in favour of what was not.
 */
class S3Fifo implements Eviction {
  readonly policy = 's3-fifo'
  readonly #ghosts = new Ghosts()

  listFor({ untried, proven }: OwnedEntries, key: string): EntryList {
    return this.#ghosts.take(key) ? proven : untried
  }

  used(entry: MemoryEntry): void {
    if (entry.uses < MOST_USES) entry.uses++
  }

  next(homes: Iterable<OwnedEntries>): MemoryEntry | undefined {
    let all = 0
    let provenCount = 0
    for (const { size, proven } of homes) {
      all += size
      provenCount += proven.size
    }
    const mostProven = all - Math.floor(all / 10)
    for (let steps = MOST_STEPS; ; steps--) {
      const isProven = provenCount > mostProven || provenCount === all
      const entry = isProven ? oldestOf(homes, provenOf) : oldestOf(homes, untriedOf)
      if (entry === undefined) return undefined
      const enough = isProven || provenCount < all / 2 ? 1 : ENOUGH_USES
      if (entry.uses < enough || steps === 0) {
        if (!isProven) this.#ghosts.note(entry.key, mostProven)
        return entry
      }
      entry.uses = isProven ? entry.uses - 1 : 0
      if (!isProven) provenCount++
      const { home } = entry.list
      entry.list.unlink(entry)
      home.proven.append(entry)
    }
  }
}

const provenOf = ({ proven }: OwnedEntries): EntryList => proven
const untriedOf = ({ untried }: OwnedEntries): EntryList => untried

/** What was appended first, in either queue. */
function oldestOf(
  homes: Iterable<OwnedEntries>,
  listOf: (home: OwnedEntries) => EntryList,
): MemoryEntry | undefined {
  let found: MemoryEntry | undefined
  for (const home of homes) {
    const { oldest } = listOf(home)
    if (oldest !== undefined && (found === undefined || oldest.turn < found.turn)) found = oldest
  }
  return found
}
