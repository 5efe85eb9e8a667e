import { coreOf } from '../backend/core.js'
import type { Cache } from '../cache.js'
import { canList, listStored, servedUntilMs, type ListedEntry } from '../pages/listed.js'
import { CommandError, UsageError } from './faults.js'
import type { Session } from './session.js'
import {
  EXIT_DONE,
  showBytes,
  showCount,
  showDuration,
  table,
  type Column,
  type ExitCode,
} from './terminal.js'

/**
 * {@link listStored}, of a store that can.
 *
 * @throws CommandError: the store cannot tell them.
 */
export function listEntries(
  session: Session,
  alias: string,
  cache: Cache,
  isEnough?: () => boolean,
): AsyncGenerator<ListedEntry, void, void> {
  if (canList(cache)) return listStored(cache, undefined, isEnough)
  throw new CommandError(
    `${session.command}: ${alias} (${coreOf(cache).backendName}) cannot list its entries; use fragcache get for one key, and fragcache stats for figures`,
  )
}

export interface ListOptions {
  readonly tag?: string | undefined
  readonly limit?: string | undefined
}

const DEFAULT_LIMIT = 100

/** @throws UsageError: it is no number of entries. */
function toLimit(limit: string | undefined): number {
  if (limit === undefined) return DEFAULT_LIMIT
  if (!/^\d{1,9}$/.test(limit)) {
    throw new UsageError(
      `list: --limit ${JSON.stringify(limit)} is not a number of entries; 0 lists all`,
    )
  }
  return limit === '0' ? Infinity : Number(limit)
}

const COLUMNS: readonly Column[] = [
  { title: 'KEY' },
  { title: 'KIND' },
  { title: 'EXPIRES IN', isNumber: true },
  { title: 'SIZE', isNumber: true },
  { title: 'TAGS' },
]

/** Shows which entries a cache has. */
export async function showEntries(
  session: Session,
  alias: string,
  { tag, limit }: ListOptions,
): Promise<ExitCode> {
  const most = toLimit(limit)
  const cache = await session.reachable(alias)
  const entries: ListedEntry[] = []
  let isWhole = true
  await session.strictly(async () => {
    for await (const entry of listEntries(session, alias, cache)) {
      if (tag !== undefined && !entry.tags.includes(tag)) continue
      if (entries.length < most) entries.push(entry)
      else isWhole = false
      if (!isWhole) break
    }
  })
  entries.sort((a, b) => compare(a.key, b.key))
  session.result({ alias, entries, isWhole }, () =>
    entries.length === 0
      ? `${alias}: there is no entry${tag === undefined ? '' : ` with the tag ${JSON.stringify(tag)}`}`
      : table(COLUMNS, entries.map(cellsOf)),
  )
  if (!isWhole) session.say(`list: there are more than ${most}; --limit 0 lists all`)
  return EXIT_DONE
}

function cellsOf(entry: ListedEntry): string[] {
  const { key, kind, isStale, bytes, tags } = entry
  const endMs = servedUntilMs(entry)
  const left = endMs === null ? 'never' : showDuration((endMs - Date.now()) / 1000)
  return [
    key,
    isStale ? `${kind}, stale` : kind,
    left,
    showBytes(bytes),
    tags.length === 0 ? '-' : tags.join(', '),
  ]
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Shows which tags the entries of a cache have, the most frequent ones first. */
export async function showTags(session: Session, alias: string): Promise<ExitCode> {
  const cache = await session.reachable(alias)
  const counts = new Map<string, number>()
  await session.strictly(async () => {
    for await (const { tags } of listEntries(session, alias, cache)) {
      for (const tag of tags) counts.set(tag, (counts.get(tag) ?? 0) + 1)
    }
  })
  const tags = [...counts]
    .map(([tag, entries]) => ({ tag, entries }))
    .sort((a, b) => b.entries - a.entries || compare(a.tag, b.tag))
  session.result({ alias, tags }, () =>
    tags.length === 0
      ? `${alias}: no entry has a tag`
      : table(
          [{ title: 'TAG' }, { title: 'ENTRIES', isNumber: true }],
          tags.map(({ tag, entries }) => [tag, showCount(entries)]),
        ),
  )
  return EXIT_DONE
}

/** How many entries of a cache there are of a kind; `null`: the store cannot tell, or not in that time. */
export async function countEntries(
  session: Session,
  alias: string,
  isMeant: (entry: ListedEntry) => boolean,
  withinMs = Infinity,
): Promise<number | null> {
  const cache = session.cache(alias)
  if (!canList(cache)) return null
  const untilMs = performance.now() + withinMs
  let isLate = false
  const isEnough = () => (isLate ||= performance.now() > untilMs)
  let count = 0
  await session.strictly(async () => {
    for await (const entry of listEntries(session, alias, cache, isEnough)) {
      if (isEnough()) return
      if (isMeant(entry)) count++
    }
  })
  return isLate ? null : count
}

/** A number of entries in a sentence. */
export function showEntryCount(count: number | null): string {
  if (count === null) return 'a number of entries that the store cannot count'
  return count === 1 ? '1 entry' : `${count === 0 ? 'no' : showCount(count)} entries`
}
