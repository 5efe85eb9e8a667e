import type { StoredEntry } from '../observe/remembered.js'
import type { CacheCore } from './core.js'

/** What a store has of what a process knows. */
export interface StillThere {
  readonly entries: readonly StoredEntry[]
  /** Whether the store can have nothing else of the kind. */
  readonly isWhole: boolean
}

/** Entries that a store is asked for at once. */
const AT_ONCE = 1000

/**
 * Asks the store which of the entries that this process stored it still has, fresh or stale.
 *
 * @remarks No entry is read: a question costs a key and the counters of tags. What is remembered has a limit,
 *   and so has the number of questions. Of a store that fails there is nothing.
 */
export async function stillThere(
  core: CacheCore,
  isMeant: (entry: StoredEntry) => boolean,
): Promise<StillThere> {
  const { remembered, store, entries: stored } = core
  const known = [...remembered.all()].filter(isMeant)
  const entries: StoredEntry[] = []
  let isWhole = store.keepsNothing || (stored.isAlone && remembered.isWhole)
  for (let i = 0; i < known.length; i += AT_ONCE) {
    const some = known.slice(i, i + AT_ONCE)
    const found = await core.tryRead(() => stored.areThere(some))
    isWhole &&= found !== undefined
    entries.push(...some.filter((_, j) => found?.[j]))
  }
  return { entries, isWhole }
}
