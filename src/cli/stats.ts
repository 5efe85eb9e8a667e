import { setTimeout as sleep } from 'node:timers/promises'
import { coreOf } from '../backend/core.js'
import type { NamedServerFigures, ServerFigures, ServerStats } from '../server-stats.js'
import { UsageError } from './faults.js'
import type { Session } from './session.js'
import {
  EXIT_DONE,
  EXIT_FAILED,
  showBytes,
  showCount,
  showDuration,
  table,
  wrap,
  type Column,
  type ExitCode,
} from './terminal.js'

export interface StatsOptions {
  readonly watch?: boolean | undefined
  readonly interval?: string | undefined
}

const DEFAULT_SECONDS = 5

/** @throws UsageError: it is no number of seconds, or has no effect. */
export function toIntervalMs({ interval, watch = false }: StatsOptions): number {
  if (interval === undefined) return DEFAULT_SECONDS * 1000
  const seconds = interval.trim() === '' ? NaN : Number(interval)
  if (!(seconds >= 0.1 && seconds <= 86_400)) {
    throw new UsageError(
      `stats: --interval ${JSON.stringify(interval)} is not a number of seconds from 0.1 to 86400`,
    )
  }
  if (!watch) throw new UsageError('stats: --interval has no effect without --watch')
  return seconds * 1000
}

/** What the servers tell of themselves, once or again and again. */
export async function showStats(
  session: Session,
  { watch = false }: StatsOptions,
  intervalMs: number,
): Promise<ExitCode> {
  if (!watch) {
    const isWhole = await showOnce(session)
    sayWhereTheRestIs(session)
    return isWhole ? EXIT_DONE : EXIT_FAILED
  }
  sayWhereTheRestIs(session)
  const signal = session.untilInterrupted()
  for (let isFirst = true; signal?.aborted !== true; isFirst = false) {
    const stats = await session.caches.serverStats()
    if (!session.isJson && session.isTerminal) session.replaceScreen()
    else if (!session.isJson && !isFirst) session.result(undefined, () => '')
    write(session, stats)
    // An interruption ends the pause, and with it the loop.
    await sleep(intervalMs, undefined, { signal }).catch(() => undefined)
  }
  return EXIT_DONE
}

async function showOnce(session: Session): Promise<boolean> {
  const stats = await session.caches.serverStats()
  write(session, stats)
  return Object.values(stats).every(({ error }) => error === undefined)
}

function sayWhereTheRestIs(session: Session): void {
  session.say(
    "stats: these are the servers' own figures; the hits and misses of the application's processes are in its inspector and its metrics",
  )
}

/** Of memory of this process, which is not the application's, there is nothing to tell. */
function withoutOwnMemory(stats: ServerStats): ServerStats {
  const { backend, scope } = stats
  return scope === 'process' ? { backend, scope } : stats
}

function write(session: Session, all: Readonly<Record<string, ServerStats>>): void {
  const aliases = Object.fromEntries(
    session.caches.aliases.map((alias) => {
      const stats = Object.hasOwn(all, alias) ? all[alias] : undefined
      const backend = coreOf(session.caches.get(alias)).backendName
      return [alias, stats === undefined ? { backend } : withoutOwnMemory(stats)] as const
    }),
  )
  session.result({ atMs: Date.now(), aliases }, () => toText(aliases))
}

const COLUMNS: readonly Column[] = [
  { title: 'CACHE' },
  { title: 'BACKEND' },
  { title: 'ENTRIES', isNumber: true },
  { title: 'SIZE', isNumber: true },
  { title: 'LIMIT', isNumber: true },
  { title: 'HITS', isNumber: true },
  { title: 'EVICTED', isNumber: true },
  { title: 'UP', isNumber: true },
]

function toText(aliases: Readonly<Record<string, ServerStats>>): string {
  const rows: string[][] = []
  const notes: string[] = []
  for (const [alias, stats] of Object.entries(aliases)) {
    const { backend, scope, servers = [], error } = stats
    // What they all end with tells nothing, and takes room.
    rows.push([alias, backend.replace(/(?<=.)Cache$/, ''), ...cellsOf(stats)])
    for (const server of servers)
      rows.push([`  ${server.name}`, versionOf(server), ...cellsOf(server)])
    if (scope === 'process') {
      notes.push(
        `${alias}: in the memory of the application's process, which this command cannot see`,
      )
    }
    if (error !== undefined) notes.push(`${alias}: ${error}`)
  }
  return [
    table(COLUMNS, rows),
    ...(notes.length === 0 ? [] : ['', ...notes.map((note) => wrap('', note))]),
  ].join('\n')
}

function versionOf({ version, error }: NamedServerFigures): string {
  return error === undefined ? (version ?? '') : 'no answer'
}

function cellsOf(figures: ServerFigures): string[] {
  const { entries, bytes, maxBytes, maxEntries, hits, misses, evictions, uptimeSeconds } = figures
  const limit =
    maxBytes !== undefined || maxEntries === undefined ? showBytes(maxBytes) : showCount(maxEntries)
  return [
    showCount(entries),
    showBytes(bytes),
    limit,
    showRatio(hits, misses),
    showCount(evictions),
    showDuration(uptimeSeconds),
  ]
}

function showRatio(hits: number | undefined, misses: number | undefined): string {
  if (hits === undefined || misses === undefined || hits + misses === 0) return '-'
  return `${((100 * hits) / (hits + misses)).toFixed(1)} %`
}
