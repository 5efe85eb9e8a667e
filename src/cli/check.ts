import { coreOf } from '../backend/core.js'
import type { Cache } from '../cache.js'
import type { ServerStats } from '../server-stats.js'
import { findingsOf, type Finding, type Level } from './findings.js'
import { failureOf, makeRoundTrip, newCheckKey } from './round-trip.js'
import type { Session } from './session.js'
import { EXIT_DONE, EXIT_FAILED, table, visibleName, wrap, type ExitCode } from './terminal.js'

/** What was found out about one alias. */
interface Report {
  readonly alias: string
  readonly backend: string
  readonly roundTripMs: number | null
  readonly findings: readonly Finding[]
}

/** Connects to every cache, uses it, and says what is wrong and what is risky. */
export async function checkCaches(session: Session): Promise<ExitCode> {
  const { caches } = session
  const { aliases } = caches
  // First, since a full store makes room for what is written here.
  const stats = await caches.serverStats()
  const together = await sharedStores(aliases.map((alias) => [alias, caches.get(alias)]))
  const trips = await Promise.all(
    aliases.map((alias) => makeRoundTrip(caches.get(alias), newCheckKey())),
  )
  const reports = aliases.map((alias, i): Report => {
    const cache = caches.get(alias)
    const { ms, findings: ofTrip = [] } = trips[i] ?? {}
    const findings = ofTrip.map((one) => withCause(one, stats[alias]))
    const works = findings.every(({ level }) => level !== 'wrong')
    const told = Object.hasOwn(stats, alias) ? stats[alias] : undefined
    const judged = works || told?.error === undefined ? judgeCache(cache, told) : []
    return {
      alias,
      backend: coreOf(cache).backendName,
      roundTripMs: ms === undefined ? null : Math.round(ms * 100) / 100,
      findings: sorted([...findings, ...judged, ...(together.get(alias) ?? [])]),
    }
  })
  const general = ofAll(aliases)
  const all = [...reports.flatMap(({ findings }) => findings), ...general]
  const count = (level: Level) => all.filter((one) => one.level === level).length
  const counts = { wrong: count('wrong'), risks: count('risk'), notes: count('note') }
  session.result({ ok: counts.wrong === 0, ...counts, aliases: reports, findings: general }, () =>
    toText(reports, general, counts),
  )
  return counts.wrong === 0 ? EXIT_DONE : EXIT_FAILED
}

/** Where failures are ignored, only the figures say why nothing is kept. */
function withCause(finding: Finding, stats: ServerStats | undefined): Finding {
  const isUnexplained = finding.code === 'keeps-nothing' && finding.level === 'wrong'
  return isUnexplained && stats?.error !== undefined ? failureOf(stats.error) : finding
}

function judgeCache(cache: Cache, stats: ServerStats | undefined): Finding[] {
  const { settings, backendName: backend } = coreOf(cache)
  return findingsOf({ backend, settings, stats, hasSeveralProcesses: hasSeveralProcesses() })
}

/** As process managers and hosters say it. */
function hasSeveralProcesses(): boolean {
  const { WEB_CONCURRENCY, NODE_APP_INSTANCE, NODE_UNIQUE_ID } = process.env
  return (
    Number(WEB_CONCURRENCY) > 1 || NODE_APP_INSTANCE !== undefined || NODE_UNIQUE_ID !== undefined
  )
}

/** Finds out, by a look through each other's eyes, which caches are one store with the same keys. */
async function sharedStores(
  caches: readonly (readonly [string, Cache])[],
): Promise<Map<string, Finding[]>> {
  const found = new Map<string, Finding[]>()
  const marks = await Promise.all(
    caches.map(async ([, cache]) => {
      const key = newCheckKey()
      const isSet = await cache.set(key, 1, { timeout: 60 }).then(
        () => true,
        () => false,
      )
      return isSet ? key : undefined
    }),
  )
  await Promise.all(
    caches.map(async ([alias, cache], i) => {
      for (const [j, [other, otherCache]] of caches.entries()) {
        const mark = marks[j]
        if (j >= i || mark === undefined || marks[i] === undefined || otherCache === cache) continue
        if (!(await cache.has(mark).catch(() => false))) continue
        found.set(alias, [...(found.get(alias) ?? []), sameStore(other)])
      }
    }),
  )
  await Promise.all(
    caches.map(async ([, cache], i) => {
      const mark = marks[i]
      if (mark !== undefined) await cache.delete(mark).catch(() => undefined)
    }),
  )
  return found
}

function sameStore(other: string): Finding {
  return {
    level: 'risk',
    code: 'same-store',
    sentence: `${other} is the same store with the same keys: if you clear one, both are empty`,
    remedy: 'give each its own keyPrefix',
  }
}

function ofAll(aliases: readonly string[]): Finding[] {
  if (aliases.includes('default')) return []
  return [
    {
      level: 'risk',
      code: 'no-default',
      sentence:
        'no cache is called default: fragments and pages that name no cache cannot be stored',
      remedy: 'call one of them default',
    },
  ]
}

const LEVELS: readonly Level[] = ['wrong', 'risk', 'note']

function sorted<F extends Finding>(findings: readonly F[]): F[] {
  return LEVELS.flatMap((level) => findings.filter((one) => one.level === level))
}

function toText(
  reports: readonly Report[],
  general: readonly Finding[],
  { wrong, risks, notes }: Readonly<Record<'wrong' | 'risks' | 'notes', number>>,
): string {
  const rows = reports.map(({ alias, backend, roundTripMs, findings }) => [
    alias,
    backend,
    findings[0]?.level === 'wrong' ? 'WRONG' : 'works',
    roundTripMs === null ? '-' : `${roundTripMs.toFixed(1)} ms`,
  ])
  const columns = [
    { title: 'CACHE' },
    { title: 'BACKEND' },
    { title: 'RESULT' },
    { title: 'ROUND TRIP', isNumber: true },
  ]
  const named = new Map<string, Finding & { readonly who: string[] }>()
  const note = (who: string, finding: Finding) => {
    const same = named.get(finding.code + finding.sentence)
    if (same === undefined) named.set(finding.code + finding.sentence, { ...finding, who: [who] })
    else same.who.push(who)
  }
  for (const { alias, findings } of reports) for (const one of findings) note(alias, one)
  for (const one of general) note('all', one)
  const paragraphs = sorted([...named.values()]).map(({ level, who, sentence, remedy }) =>
    [
      wrap(`${level.padEnd(5)}  `, `${visibleName(who.join(', '))}: ${visibleName(sentence)}`),
      wrap('       -> ', visibleName(remedy)),
    ].join('\n'),
  )
  const count = (number: number, word: string) => `${number} ${word}${number === 1 ? '' : 's'}`
  const summary = `${wrong} wrong, ${count(risks, 'risk')}, ${count(notes, 'note')}`
  return [table(columns, rows), ...paragraphs, summary].join('\n\n')
}
