import { createAliasCard } from './alias-card.js'
import { el, emptyState, fill, plainTable, setText } from './dom.js'
import { chartRange, figures } from './figures.js'
import { bytes, count, percent, plural, ratio, saved, time } from './format.js'
import { ask } from './notices.js'
import { addressOf, getJson } from './requests.js'

/**
 * @import {Overview, ProcessList, ProcessRow, Risk} from '../../api.js'
 * @import {App} from './app.js'
 */

const severities = {
  high: { mark: '▲', name: 'High risk' },
  medium: { mark: '◆', name: 'Medium risk' },
  low: { mark: '●', name: 'Low risk' },
}

const statusTexts = { up: '✓ up', degraded: '▲ degraded', down: '✕ down' }

/** @param {number} rate */
function rateText(rate) {
  return rate > 0 && rate < 10 ? rate.toFixed(1) : count(rate)
}

/** @param {Risk} risk */
function riskItem({ severity, subject, sentence, href }) {
  const { mark, name } = severities[severity]
  return el(
    'li',
    { class: `risk risk-${severity}` },
    el(
      'p',
      {},
      el(
        'strong',
        { class: 'risk-level' },
        el('span', { 'aria-hidden': 'true' }, `${mark} `),
        name,
      ),
      ' ',
      subject !== sentence && el('code', {}, subject),
    ),
    el(
      'p',
      {},
      sentence,
      ' ',
      el('a', { href: addressOf(href), 'aria-label': `What to do about ${subject}` }, 'What to do'),
    ),
  )
}

/**
 * The caches, how they do, and what is risky about them.
 *
 * @param {App} app
 */
export function createOverview(app) {
  const since = el('p', { class: 'since' })
  const risks = el('section', { class: 'risks', 'aria-label': 'Risky set-ups', hidden: true })
  const totals = figures('figures totals')
  const range = chartRange(() => {
    if (app.overview) update(app.overview)
  })
  const processes = el('section', {
    class: 'card processes',
    'aria-label': 'Processes',
    hidden: true,
  })
  const cards = el('div', { class: 'cards' })
  /** @type {Map<string, ReturnType<typeof createAliasCard>>} */
  const byAlias = new Map()
  const element = el(
    'div',
    {},
    el(
      'div',
      { class: 'toolbar' },
      since,
      range.element,
      el('button', { type: 'button', onclick: () => void reset() }, 'Reset figures'),
    ),
    totals.element,
    processes,
    risks,
    cards,
  )

  async function reset() {
    const answer = await ask({
      title: 'Reset the figures?',
      text: 'All counts of this process start at nought again. What is cached stays.',
      confirm: 'Reset figures',
    })
    if (answer !== undefined) await app.act('api/reset', {})
  }

  /** Where they cannot be told, the overview says the rest all the same. */
  async function readProcesses() {
    /** @type {ProcessList | undefined} */
    const found = await getJson('api/processes').catch(() => undefined)
    processes.hidden = found === undefined || found.rows.length === 0
    if (found === undefined || processes.hidden) return
    const { rows, unreached } = found
    fill(
      processes,
      el('h3', {}, unreached === undefined ? 'All processes' : 'This process'),
      unreached !== undefined &&
        el(
          'p',
          {},
          `The cache “${unreached}” does not answer, so that other processes cannot be reached.`,
        ),
      processTable(rows, unreached === undefined),
    )
  }

  /** @param {Overview} overview */
  function update(overview) {
    void readProcesses()
    range.update()
    if (since.dataset.since !== String(overview.sinceMs)) {
      since.dataset.since = String(overview.sinceMs)
      fill(since, 'Counting began ', time(overview.sinceMs), el('span', { class: 'rate' }))
    }
    const rate = since.querySelector('.rate')
    if (rate) {
      const { fragmentCount, routeCount, eventsPerSecond } = overview
      setText(
        rate,
        ` · ${plural(fragmentCount, 'fragment')} · ${plural(routeCount, 'route')} · ` +
          `${count(eventsPerSecond)} ${Math.round(eventsPerSecond) === 1 ? 'event' : 'events'} a second`,
      )
    }
    const { hits, misses, memory } = overview.totals
    const share = ratio(hits, misses)
    totals.update([
      ['Status', statusTexts[overview.status]],
      ['Hit ratio', share === undefined ? 'no samples yet' : percent(share), 'Over all caches'],
      ['Time saved', saved(overview.totals), 'What bodies and handlers would have taken'],
      ['Requests a second', rateText(overview.requestsPerSecond)],
      [
        'Memory',
        memory === undefined
          ? 'no limit known'
          : `${bytes(memory.bytes)} of ${bytes(memory.maxBytes)}`,
        'Of the stores that tell what they take and have a limit',
      ],
    ])
    totals.element.dataset.status = overview.status
    updateRisks(overview.risks)
    for (const row of overview.aliases) {
      let card = byAlias.get(row.alias)
      if (card === undefined) {
        card = createAliasCard(row.alias)
        byAlias.set(row.alias, card)
        cards.append(card.element)
      }
      card.update(row, overview.nowMs)
    }
    if (overview.aliases.length === 0 && cards.childElementCount === 0) {
      cards.append(
        emptyState('There is no cache.', 'Give createCaches at least one alias, such as default.'),
      )
    }
  }

  /** @param {readonly Risk[]} list */
  function updateRisks(list) {
    const stamp = JSON.stringify(list)
    if (risks.dataset.stamp === stamp) return
    risks.dataset.stamp = stamp
    risks.hidden = list.length === 0
    fill(
      risks,
      el('h3', {}, plural(list.length, 'risky set-up')),
      el('ul', {}, ...list.map(riskItem)),
    )
  }

  return {
    element,
    show() {
      if (app.overview) update(app.overview)
    },
    hide() {},
    update,
  }
}

/**
 * @param {readonly ProcessRow[]} rows
 * @param {boolean} isWhole - Whether they are all there are, so that their sum means something.
 */
function processTable(rows, isWhole) {
  /** @param {'hits' | 'misses' | 'errors' | 'timeSavedMs' | 'rssBytes'} name */
  const sum = (name) => rows.reduce((total, row) => total + row[name], 0)
  const all = {
    hits: sum('hits'),
    misses: sum('misses'),
    errors: sum('errors'),
    timeSavedMs: sum('timeSavedMs'),
    rssBytes: sum('rssBytes'),
  }
  /**
   * @param {string} name
   * @param {typeof all} of
   */
  const line = (name, of) => {
    const share = ratio(of.hits, of.misses)
    return [
      name,
      share === undefined ? 'no samples yet' : percent(share),
      count(of.hits),
      count(of.misses),
      count(of.errors),
      saved(of),
      bytes(of.rssBytes),
    ]
  }
  const names = ['Hit ratio', 'Hits', 'Misses', 'Errors', 'Time saved', 'Memory']
  return plainTable(
    'Processes',
    [{ label: 'Process' }, ...names.map((label) => ({ label, isNumeric: true }))],
    [
      ...rows.map((row) =>
        line(`${row.pid} on ${row.host}${row.isThis ? ' (this one)' : ''}`, row),
      ),
      ...(isWhole ? [line(`All ${count(rows.length)}`, all)] : []),
    ],
  )
}
