import { explainFragmentReason } from '../../src/observe/reasons.js'
import { explainReason } from '../../src/pages/explanations.js'
import { isLocalMemory } from '../../src/several-processes.js'
import type { AliasRow, FragmentStats, Risk, RouteStats } from './api.js'
import { isRiskCode, riskText } from './risk-texts.js'
import { cutText } from './text.js'
import type { Warned } from './warnings.js'

/** So many reads without a hit are no accident. */
const MANY_READS = 100
const MANY_VARIANTS = 1000
/** So many answers that were never stored are no accident. */
const MANY_BYPASSES = 20
/** More are not listed. */
const MAX_RISKS = 200

/** Where something counts that has no name of its own. */
const OTHERS = '(others)'

/** Reasons that the author of the view or the request intended. */
const MEANT: ReadonlySet<string> = new Set([
  'method',
  'upgrade',
  'event-stream',
  'no-store',
  'private',
  'head',
  'range',
  'only-if-cached',
  'request-no-store',
])

/** Warnings of what is a risk of its own for as long as it lasts, as a status, a set-up or the reason of a route. */
const TOLD_OTHERWISE: ReadonlySet<string> = new Set([
  'FRAGCACHE_OUTAGE',
  'FRAGCACHE_LOCAL_MEMORY',
  'FRAGCACHE_SET_COOKIE',
])

/** What risks are looked for in. */
export interface RiskFacts {
  readonly aliases: readonly Pick<
    AliasRow,
    'alias' | 'backend' | 'hits' | 'misses' | 'sets' | 'isShared' | 'outage'
  >[]
  /** What {@link fragmentRisks} and {@link routeRisks} have found. */
  readonly found: readonly Risk[]
  readonly warnings: readonly Warned[]
  /** Whether this process is one of several of the application. */
  readonly isOneOfMany: boolean
}

/** Lists set-ups that are likely to harm, the worst first. */
export function findRisks(facts: RiskFacts): readonly Risk[] {
  const risks = [
    ...aliasRisks(facts),
    ...facts.found,
    ...facts.warnings.filter(({ code }) => !TOLD_OTHERWISE.has(code)).map(warningRisk),
  ]
  const rank = { high: 0, medium: 1, low: 2 }
  return risks.sort((a, b) => rank[a.severity] - rank[b.severity]).slice(0, MAX_RISKS)
}

function risk(
  code: string,
  subject: string,
  sentence: string,
  severity = riskText(code).severity,
): Risk {
  return { code, severity, subject: cutText(subject, 200), sentence, href: `help#${code}` }
}

function aliasRisks({ aliases, isOneOfMany }: RiskFacts): Risk[] {
  return aliases.flatMap((row) => {
    const subject = `cache ${row.alias}`
    const risks: Risk[] = []
    if (row.outage !== undefined) {
      const { error } = row.outage
      risks.push(risk('outage', subject, `${row.backend} does not answer: ${error}`))
    }
    const isUsed = row.hits + row.misses + row.sets > 0
    if (isOneOfMany && isUsed && isLocalMemory(row)) {
      const sentence = `${row.backend} is the memory of this process alone, and this is one of several processes.`
      risks.push(risk('local-memory-in-cluster', subject, sentence))
    }
    if (row.hits === 0 && row.misses >= MANY_READS && row.backend !== 'DummyCache') {
      const sentence = `Hit ratio 0 % in ${row.misses} reads.`
      risks.push(risk('hit-ratio-zero', subject, sentence))
    }
    return risks
  })
}

type Made = FragmentStats | RouteStats

function sharedRisks(one: Made, subject: string): Risk[] {
  const { hits, misses, stale, joined, variants } = one
  const risks: Risk[] = []
  if (hits + stale === 0 && misses >= MANY_READS) {
    const sentence = `Hit ratio 0 %, rendered ${misses} times.`
    risks.push(risk('hit-ratio-zero', subject, sentence))
  }
  if (variants >= MANY_VARIANTS) {
    const isWorthIt = hits + stale + joined > misses
    const sentence = `About ${variants} variants of it were stored.`
    risks.push(risk('many-variants', subject, sentence, isWorthIt ? 'low' : undefined))
  }
  return risks
}

export function fragmentRisks(one: FragmentStats): readonly Risk[] {
  const subject = `fragment ${one.name}`
  if (one.name === OTHERS) {
    const sentence = 'There are more than 10 000 fragment names; the others are counted together.'
    return [risk('names-past-limit', 'fragments', sentence)]
  }
  const risks = sharedRisks(one, subject)
  const { hitMs, bodyMs, hits, bypasses } = one
  if (hitMs !== undefined && hits >= MANY_READS && bodyMs > 0 && hitMs > bodyMs) {
    const sentence = `A hit takes ${ms(hitMs)}, its body ${ms(bodyMs)}.`
    risks.push(risk('slower-cached', subject, sentence))
  }
  if (bypasses >= MANY_BYPASSES && isNeverStored(one)) {
    const [reason] = mostFrequent(one.reasons)
    const why = reason === undefined ? '' : ` ${explainFragmentReason(reason)}`
    risks.push(
      risk('never-stored', subject, `Rendered ${bypasses} times, never stored.${why}`, 'low'),
    )
  }
  return risks
}

export function routeRisks(one: RouteStats): readonly Risk[] {
  const subject = one.route
  if (subject === OTHERS) {
    const sentence = 'There are more than 10 000 routes; the others are counted together.'
    return [risk('names-past-limit', 'routes', sentence)]
  }
  const risks = sharedRisks(one, subject)
  const reads = one.reasons['undeclared-read'] ?? 0
  if (reads > 0) {
    const sentence = `${reads} of its pages read something of one visitor in a cached body that does not vary on it.`
    risks.push(risk('visitor-in-body', subject, sentence))
  }
  const [reason, count] = mostFrequent(one.reasons)
  const isMeant = reason === undefined || MEANT.has(reason) || reason === 'undeclared-read'
  if (one.bypasses >= MANY_BYPASSES && isNeverStored(one) && !isMeant) {
    const { sentence } = explainReason('bypass', reason)
    const share = count === one.bypasses ? '' : `, in ${count} of them for this reason`
    const why = `Never stored in ${one.bypasses} requests${share}: ${sentence}`
    risks.push({
      ...risk('never-stored', subject, why),
      href: `help#${explainReason('bypass', reason).code}`,
    })
  }
  return risks
}

function isNeverStored({ hits, misses, stale, joined }: Made): boolean {
  return hits + misses + stale + joined === 0
}

function mostFrequent(
  reasons: Readonly<Record<string, number>>,
): readonly [string | undefined, number] {
  let most: readonly [string | undefined, number] = [undefined, 0]
  for (const [reason, count] of Object.entries(reasons)) if (count > most[1]) most = [reason, count]
  return most
}

function warningRisk({ code, message }: Warned): Risk {
  const { severity } = riskText(code)
  const [subject = ''] = message.split(': ')
  const found = { code, severity, subject: cutText(subject, 200), sentence: cutText(message) }
  return { ...found, href: isRiskCode(code) ? `help#${code}` : 'help' }
}

function ms(value: number): string {
  return value < 0.1 ? `${Number((value * 1000).toPrecision(2))} µs` : `${value.toFixed(1)} ms`
}
