import type { FragmentStats, RouteStats, Table } from './api.js'
import { RequestFault } from './body.js'

type Row = FragmentStats | RouteStats
type Order = (a: Row, b: Row) => number

/**
 * Answers for a table: all rows, or so many of those that match as the `limit` says, in the order asked for. Of
 * ten thousand, the others are never there at once.
 *
 * @param each - Gives every row to what it is called with.
 * @throws RequestFault: `limit` is no positive integer.
 */
export function tableOf<R extends Row>(
  each: (visit: (row: R) => void) => void,
  nameOf: (row: R) => string,
  query: URLSearchParams,
): Table<R> {
  const limit = limitOf(query)
  const isMeant = filterOf(nameOf, query)
  const order = orderOf(query)
  const rows: R[] = []
  let total = 0
  let matching = 0
  /** What comes after it is beyond the limit. */
  let last: R | undefined
  const cut = () => {
    rows.sort(order)
    if (rows.length > limit) rows.length = limit
  }
  each((row) => {
    total++
    if (!isMeant(row)) return
    matching++
    if (last !== undefined && order(row, last) >= 0) return
    rows.push(row)
    if (rows.length < 2 * limit) return
    cut()
    last = rows.at(-1)
  })
  cut()
  return { rows, total, matching }
}

function limitOf(query: URLSearchParams): number {
  const text = query.get('limit')
  if (text === null) return Infinity
  const limit = Number(text)
  if (Number.isSafeInteger(limit) && limit > 0) return limit
  throw new RequestFault(400, 'limit: give a positive integer.')
}

function filterOf<R extends Row>(
  nameOf: (row: R) => string,
  query: URLSearchParams,
): (row: R) => boolean {
  const text = (query.get('q') ?? '').trim().toLowerCase()
  const alias = query.get('alias') ?? ''
  return (row) =>
    (alias === '' || row.alias === alias) &&
    (text === '' || nameOf(row).toLowerCase().includes(text))
}

const texts = new Intl.Collator('en', { numeric: true })

/** Rows without the figure come last either way, and equal ones stay in their order. */
function orderOf(query: URLSearchParams): Order {
  const sort = query.get('sort') ?? ''
  const sign = query.get('order') === 'up' ? 1 : -1
  return (one, other) => {
    const a = keyOf(one, sort)
    const b = keyOf(other, sort)
    if (a === undefined || b === undefined) {
      return (a === undefined ? 1 : 0) - (b === undefined ? 1 : 0)
    }
    if (typeof a === 'number' && typeof b === 'number') return sign * (a - b)
    return sign * texts.compare(String(a), String(b))
  }
}

function keyOf(row: Row, sort: string): number | string | undefined {
  if (sort === 'ratio') return shareOf(row)
  const key = (row as unknown as Readonly<Record<string, unknown>>)[sort]
  return typeof key === 'number' || typeof key === 'string' ? key : undefined
}

/** Those that were answered from the cache at once. */
function shareOf({ hits, stale, joined, misses, bypasses, errors }: Row): number {
  return (hits + stale) / (hits + stale + joined + misses + bypasses + errors)
}
