import type { StoredEntry } from '../observe/remembered.js'
import { chain, type MaybePromise } from '../maybe-promise.js'
import type { CacheCore } from './core.js'
import type { Entries } from './entries.js'

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
 * @remarks No entry is read: a question costs a key, the counters of tags, and of a page the record of its URL, which
 *   another process may have dropped. What is remembered has a limit, and so has the number of questions. Of a store
 *   that fails there is nothing.
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
    const found = await core.tryRead(() =>
      chain(stored.areThere(some), (areThere) => withRecords(stored, some, areThere)),
    )
    isWhole &&= found !== undefined
    entries.push(...some.filter((_, j) => found?.[j]))
  }
  return { entries, isWhole }
}

/** Which of entries that are there can be found by what is stored under other keys. */
function withRecords(
  stored: Entries,
  some: readonly StoredEntry[],
  areThere: readonly boolean[],
): MaybePromise<readonly boolean[]> {
  const keys = new Set<string>()
  for (const [i, { subject }] of some.entries()) {
    if (areThere[i] === true && subject.record !== undefined) keys.add(subject.record.storedKey)
  }
  if (keys.size === 0) return areThere
  return chain(stored.lookup([...keys], [], { isCurrent: true }), ({ hits }) => {
    const values = new Map([...keys].map((key, i) => [key, hits[i]?.value]))
    return some.map(
      ({ subject: { record } }, i) =>
        areThere[i] === true && record?.fits(values.get(record.storedKey)) !== false,
    )
  })
}
