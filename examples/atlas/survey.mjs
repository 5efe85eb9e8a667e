import { once } from 'node:events'
import { get } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { buffer } from 'node:stream/consumers'
import { channel } from 'node:diagnostics_channel'
import { neighboursOf } from './data/borders.mjs'
import { countryOf, findRegion, sortedByName } from './data/countries.mjs'
import { nameIn } from './data/languages.mjs'
import { labelOf } from './foot.mjs'
import { awaitAccounts } from './watch.mjs'

/** Reports that are remembered, to be shown on the page that the form leads to. */
const MOST_REPORTS = 100
/** Longer lists of what was made are folded. */
const LONG = 12
/** Milliseconds between two looks whether a page is stored, and how often to look. */
const PAUSE_MS = 5
const MOST_PAUSES = 1000

/** Each report when it is ready. */
const reported = channel('atlas:report')

/**
 * Looks at the pages around a country before and after a change, as the visitor who made it would see
 * them: through the server, so that whole pages are looked at too.
 */
export function createSurveys() {
  const reports = new Map()
  let ids = 0
  /** One at a time: else what one drops would be made again in the report of another. */
  let last = Promise.resolve()

  const survey = async (req, { engine, code, lang, says, change, reason }) => {
    const pages = pagesAround(code, lang)
    const before = []
    for (const { path } of pages) before.push(await visit(req, engine, path))
    await change(before[0].fragments)
    const shown = []
    for (const page of pages) {
      const seen = await visit(req, engine, page.path)
      shown.push({ ...page, ...describe(seen, (body) => reason(body, code)) })
    }
    const id = String(++ids)
    const report = { engine, code, says, pages: shown }
    reports.set(id, report)
    if (reports.size > MOST_REPORTS) reports.delete(reports.keys().next().value)
    reported.publish(report)
    return id
  }

  return {
    /**
     * @param {import('express').Request} req - Of the visitor who changes something.
     * @returns {Promise<string>} Under which the report is remembered.
     */
    look(req, change) {
      const next = last.then(() => survey(req, change))
      last = next.catch(() => undefined)
      return next
    },
    /** @param {unknown} id */
    get: (id) => reports.get(id),
  }
}

/** Pages that show the country's note, and some that do not. */
function pagesAround(code, lang) {
  const country = countryOf(code)
  const region = findRegion(country.region.toLowerCase())
  const query = lang === 'en' ? '' : `?lang=${lang}`
  const [neighbour] = sortedByName(neighboursOf(code).map(countryOf), lang)
  const other = countryOf(country.region === 'Americas' ? 'THA' : 'PER')
  const pageOf = (place, role) => ({
    path: `/country/${place.cca3}${query}`,
    name: nameIn(place, lang),
    lang,
    role,
  })
  return [
    pageOf(country, 'shows the note'),
    { path: `/region/${region.slug}${query}`, name: region.name, role: 'shows it on a card' },
    ...(neighbour === undefined ? [] : [pageOf(neighbour.country, 'mentions it')]),
    pageOf(other, 'does not show it'),
    { path: `/stats${query}`, name: 'Statistics', role: 'does not show it' },
  ]
}

/**
 * Asks for a page.
 *
 * @returns What came of it once everything is stored: the outcome for the whole page, if it is kept
 *   whole; what the library told of its fragments; and the bodies that did run, also behind an old page.
 */
async function visit(req, engine, path) {
  const { localAddress, localPort } = req.socket
  const { name, accounts, end } = awaitAccounts()
  const headers = {
    host: req.headers.host,
    cookie: req.headers.cookie ?? '',
    'atlas-account': name,
    'atlas-foot': 'off',
  }
  try {
    const request = get({
      host: localAddress,
      port: localPort,
      path: `/${engine}${path}`,
      headers,
      agent: false,
    })
    const [response] = await once(request, 'response')
    await buffer(response)
    const [account] = accounts
    if (response.headers['cache-status'] !== undefined) await untilStored(accounts, 1)
    const outcome = account.response?.outcome
    if (outcome === 'stale') await untilStored(accounts, 2)
    return {
      outcome,
      fragments: accounts.flatMap(({ fragments }) => fragments),
      bodies: accounts.flatMap(({ bodies }) => bodies),
    }
  } finally {
    end()
  }
}

/** A whole page is stored after it was sent, and one behind an old page later still. */
async function untilStored(accounts, count) {
  for (let paused = 0; paused < MOST_PAUSES; paused++) {
    if (accounts.length >= count && accounts.every(({ response }) => response !== undefined)) return
    await setTimeout(PAUSE_MS)
  }
}

const wholes = {
  hit: 'The whole page came from the cache.',
  joined: 'The whole page came from the cache.',
  miss: 'The whole page was made again.',
  bypass: 'The whole page was made, and is not kept.',
  stale: 'The whole page was shown as it was, and made again behind it.',
}

function describe({ outcome, fragments, bodies }, reason) {
  const made = bodies.map((body) => ({
    body,
    label: labelOf(body),
    reason: reason(body) ?? 'was not there',
  }))
  const counts = new Map()
  for (const fragment of fragments) {
    if (fragment.outcome !== 'hit') continue
    counts.set(fragment.name, (counts.get(fragment.name) ?? 0) + 1)
  }
  const kept = [...counts]
    .sort()
    .map(([name, count]) => (count > 1 ? `${name} ×\u00a0${count}` : name))
  return {
    outcome,
    whole: wholes[outcome] ?? '',
    made,
    summary: made.length > LONG ? `${made.length} fragments were made again` : '',
    kept,
    isUntouched: made.length === 0,
  }
}
