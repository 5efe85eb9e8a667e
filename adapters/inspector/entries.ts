import type { Caches } from '../../src/caches.js'
import { canList, listStored, servedUntilMs, type ListedEntry } from '../../src/pages/listed.js'
import type { EntryList, EntryRow } from './api.js'
import { RequestFault } from './body.js'
import { cutText } from './text.js'

const MAX_ROWS = 200
const MAX_TAGS = 50
/** A store that is walked through for longer is left at that. */
const PATIENCE_MS = 3000

/**
 * Lists what a store keeps, where it can tell: by the beginning of the key, the kind and a tag.
 *
 * @throws RequestFault: there is no such cache.
 * @throws CacheBackendError: the store failed.
 */
export async function listEntries(caches: Caches, query: URLSearchParams): Promise<EntryList> {
  const alias = query.get('alias') ?? ''
  if (!caches.has(alias)) {
    throw new RequestFault(400, `alias: there is no cache ${JSON.stringify(cutText(alias, 200))}.`)
  }
  const cache = caches.get(alias)
  if (!canList(cache)) return { alias, canList: false, rows: [], isWhole: false }
  const prefix = query.get('prefix') ?? ''
  const kind = query.get('kind') ?? ''
  const tag = query.get('tag') ?? ''
  const untilMs = performance.now() + PATIENCE_MS
  let isLate = false
  const isEnough = () => (isLate ||= performance.now() > untilMs)
  // Keys are passed by far more often than entries are read: the time is looked at with each.
  const isMeant = (key: string) => !isEnough() && key.startsWith(prefix)
  const rows: EntryRow[] = []
  let isWhole = true
  for await (const entry of listStored(cache, isMeant, isEnough)) {
    if ((kind !== '' && entry.kind !== kind) || (tag !== '' && !entry.tags.includes(tag))) continue
    if (rows.length < MAX_ROWS) rows.push(toRow(entry))
    else isWhole = false
    if (!isWhole || isLate) break
  }
  rows.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  return { alias, canList: true, rows, isWhole: isWhole && !isLate }
}

function toRow(entry: ListedEntry): EntryRow {
  const { kind, key, version, tags, isStale, bytes } = entry
  return {
    kind,
    key: cutText(key),
    version: String(version),
    tags: tags.slice(0, MAX_TAGS).map((tag) => cutText(tag, 200)),
    expiresAtMs: servedUntilMs(entry),
    isStale,
    ...(bytes !== undefined && { bytes }),
  }
}
