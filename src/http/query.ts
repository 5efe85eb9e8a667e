import { unescape } from 'node:querystring'
import { didYouMean } from '../did-you-mean.js'
import { MisuseError, show } from '../errors.js'

/**
 * Selects the query parameters that are part of a page's key. The others are removed before the handler runs,
 * so that it cannot put into a page what is not in the key.
 *
 * @remarks A name ending in `*` means every name with that beginning. With both lists, a parameter has to be
 *   in `only` and not in `ignore`.
 */
export interface QueryRule {
  /** These parameters are removed. */
  readonly ignore?: readonly string[] | undefined
  /** All other parameters are removed. An empty list removes all. */
  readonly only?: readonly string[] | undefined
}

/**
 * Query parameters that say where a visitor came from, by campaign, click or mail. Scripts in the browser
 * read them; a page is the same without them. For `query: { ignore: TRACKING_PARAMETERS }`.
 *
 * @remarks It does not contain names that also have other uses, such as `ref`, `source`, `si` or `cid`.
 * @see Google Analytics, "URL builders: Collect campaign data with custom URLs" (`utm_*`);
 *   github.com/mpchadwick/tracking-query-params-registry; the AdGuard URL Tracking filter
 */
export const TRACKING_PARAMETERS: readonly string[] = Object.freeze([
  // Google: campaigns, Ads, Marketing Platform, Merchant Center, Analytics across domains
  'utm_*',
  'gclid',
  'gclsrc',
  'gbraid',
  'wbraid',
  'gad_source',
  'gad_campaignid',
  'dclid',
  'srsltid',
  '_ga',
  '_gl',
  // Meta, Microsoft, X, TikTok, LinkedIn, Pinterest, Reddit, Snapchat, Yandex
  'fbclid',
  'igsh',
  'igshid',
  'msclkid',
  'twclid',
  'ttclid',
  'li_fat_id',
  'epik',
  'rdt_cid',
  'ScCid',
  'yclid',
  'ysclid',
  '_openstat',
  // Senders of mail: Mailchimp, HubSpot, Klaviyo, Marketo, Omeda, Vero
  'mc_cid',
  'mc_eid',
  '_hsenc',
  '_hsmi',
  '_kx',
  'mkt_tok',
  'oly_anon_id',
  'oly_enc_id',
  'vero_id',
  // Matomo, once Piwik
  'mtm_*',
  'matomo_*',
  'pk_*',
  'piwik_*',
])

const LISTS = ['ignore', 'only']

/**
 * Checks a rule and makes a test of it.
 *
 * @returns Whether the parameter of a name, as sent, is kept.
 * @throws TypeError: not a rule, an unknown list, or a list of anything but names.
 * @remarks A handler sees a parameter under its decoded name, and an extended parser gives `a[b]` to
 *   `a`. So what is ignored goes in every spelling: as listed, percent-encoded (in part, too), and
 *   with brackets. What is kept by `only` is taken narrowly: as listed, or encoded as browsers do,
 *   with or without brackets after it; any other spelling goes. Names are case-sensitive.
 */
export function compileQueryRule(rule: QueryRule): (name: string) => boolean {
  if (typeof rule !== 'object' || (rule as unknown) === null || Array.isArray(rule)) {
    throw new MisuseError(
      `responseCache: query: ${show(rule)} is not a rule; give one such as { ignore: ['utm_*'] }`,
    )
  }
  for (const name of Object.keys(rule)) {
    if (LISTS.includes(name)) continue
    throw new MisuseError(
      `responseCache: query: unknown list ${show(name)}; known lists are ${LISTS.join(', ')}${didYouMean(name, LISTS)}`,
    )
  }
  const ignores = compileNames('ignore', rule.ignore, (name) => [name])
  const wants = compileNames('only', rule.only, sentForms)
  return (name) =>
    (wants === undefined || wants(name) || wants(withoutBrackets(name))) &&
    !(ignores !== undefined && ignoredForms(name).some(ignores))
}

/** A name as it may be in a request line. */
function sentForms(name: string): readonly string[] {
  const form = new URLSearchParams([[name, '']]).toString().slice(0, -1)
  return [name, encodeURIComponent(name), form]
}

/** What a parser may take a name for. */
function ignoredForms(name: string): readonly string[] {
  if (!/[%+[\]]/.test(name)) return [name]
  // Also where the percent signs are not right, which this reads as far as it can.
  const decoded = unescape(name.replaceAll('+', ' '))
  return [name, decoded, ownerOf(name), ownerOf(decoded)]
}

/** To an extended parser `a[b]`, `a]b` and `[a]` are all about `a`. */
function ownerOf(name: string): string {
  return /^\[?([^[\]]*)/.exec(name)?.[1] ?? name
}

/** The name before its brackets, plain or percent-encoded, if there is one. */
function withoutBrackets(name: string): string {
  return /^(.+?)(?:\[|%5B)/i.exec(name)?.[1] ?? name
}

function compileNames(
  list: 'ignore' | 'only',
  names: unknown,
  formsOf: (name: string) => readonly string[],
): ((name: string) => boolean) | undefined {
  if (names === undefined) return undefined
  if (!Array.isArray(names)) refuse(list, names, "a list of names such as ['page', 'filter_*']")
  const exact = new Set<string>()
  const beginnings: string[] = []
  for (const name of names as readonly unknown[]) {
    if (typeof name !== 'string' || name === '') {
      refuse(list, name, 'the name of a query parameter; give a string that is not empty')
    }
    if (!name.isWellFormed())
      refuse(list, name, 'the name of a query parameter; it has half a pair')
    const isBeginning = name.endsWith('*')
    const text = isBeginning ? name.slice(0, -1) : name
    if (text.includes('*')) {
      refuse(list, name, 'the name of a query parameter; a * can only be at the end')
    }
    for (const form of formsOf(text)) {
      if (isBeginning) beginnings.push(form)
      else exact.add(form)
    }
  }
  return (name) => exact.has(name) || beginnings.some((beginning) => name.startsWith(beginning))
}

function refuse(list: 'ignore' | 'only', value: unknown, wanted: string): never {
  throw new MisuseError(`responseCache: query.${list}: ${show(value)} is not ${wanted}`)
}

/**
 * A request target with only those query parameters that are kept, in their order, byte for byte.
 *
 * @param target - Path and query, as sent.
 * @param keeps - Asked with each parameter's name as sent, without its value.
 * @returns The same text if nothing goes. The `?` goes with the last parameter.
 * @remarks `&` alone separates: `a=1;b=2` is one parameter, since no parser of Express splits it
 *   (CVE-2021-23336 came of a cache and a handler that differed in this). Whatever a handler takes for
 *   parameters, it reads them from the result, as the key does.
 */
export function narrowTarget(target: string, keeps: (name: string) => boolean): string {
  const start = target.indexOf('?')
  if (start === -1) return target
  const parameters = target.slice(start + 1).split('&')
  const kept = parameters.filter((parameter) => keeps(nameOf(parameter)))
  if (kept.length === parameters.length) return target
  const query = kept.join('&')
  return query === '' ? target.slice(0, start) : `${target.slice(0, start)}?${query}`
}

function nameOf(parameter: string): string {
  const end = parameter.indexOf('=')
  return end === -1 ? parameter : parameter.slice(0, end)
}
