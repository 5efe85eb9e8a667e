import { createChart } from './chart.js'
import { el, fill, setText, uniqueId } from './dom.js'
import { figures, roundUp, spanOf } from './figures.js'
import {
  bytes,
  clock,
  count,
  duration,
  exact,
  percent,
  plural,
  ratio,
  saved,
  sinceThen,
  time,
} from './format.js'

/**
 * @import {AliasRow, Point, ServerStats} from '../../api.js'
 */

/** @param {Omit<ServerStats, 'backend'>} server */
function serverRows(server) {
  /** @type {[name: string, value: string | undefined][]} */
  const rows = [
    ['Hit ratio', known(percent, ratioOf(server))],
    ['Hits', known(count, server.hits)],
    ['Misses', known(count, server.misses)],
    ['Entries', ofLimit(count, server.entries, server.maxEntries)],
    ['Size', ofLimit(bytes, server.bytes, server.maxBytes)],
    ['Evictions', known(count, server.evictions)],
    [
      'Up for',
      server.uptimeSeconds === undefined ? undefined : duration(server.uptimeSeconds * 1000),
    ],
    ['Version', server.version],
  ]
  return rows.filter(/** @returns {row is [string, string]} */ (row) => row[1] !== undefined)
}

/** @param {Omit<ServerStats, 'backend'>} server */
function ratioOf({ hits, misses }) {
  return hits === undefined || misses === undefined ? undefined : ratio(hits, misses)
}

/**
 * @param {(value: number) => string} format
 * @param {number | undefined} value
 */
function known(format, value) {
  return value === undefined ? undefined : format(value)
}

/**
 * @param {(value: number) => string} format
 * @param {number | undefined} value
 * @param {number | undefined} limit - None, or 0: there is none.
 */
function ofLimit(format, value, limit) {
  if (value === undefined) return undefined
  return limit ? `${format(value)} of ${format(limit)}` : format(value)
}

/**
 * @param {readonly Point[]} history
 * @param {string} span
 */
function ratioSummary(history, span) {
  const shares = history
    .map(({ hits, misses }) => ratio(hits, misses))
    .filter((share) => share !== undefined)
  const last = shares.at(-1)
  if (last === undefined) return `Hit ratio over the last ${span}: nothing was read.`
  return (
    `Hit ratio over the last ${span}: between ${percent(Math.min(...shares))} and ` +
    `${percent(Math.max(...shares))}, lately ${percent(last)}.`
  )
}

/**
 * @param {readonly Point[]} history
 * @param {string} span
 */
function latencySummary(history, span) {
  const read = history.filter(({ meanMs, p99Ms }) => meanMs > 0 || p99Ms > 0)
  const last = read.at(-1)
  if (last === undefined) return `Read latency over the last ${span}: nothing was timed.`
  return (
    `Read latency over the last ${span}: mean lately ${duration(last.meanMs)}, 99th percentile ` +
    `lately ${duration(last.p99Ms)} and at most ${duration(Math.max(...read.map(({ p99Ms }) => p99Ms)))}.`
  )
}

/**
 * Sums up the history by minute, the latest first.
 *
 * @param {readonly Point[]} history
 */
function byMinute(history) {
  /** @type {Map<number, Point[]>} */
  const minutes = new Map()
  for (const point of history) {
    const minute = Math.floor(point.atMs / 60_000) * 60_000
    const points = minutes.get(minute) ?? []
    points.push(point)
    minutes.set(minute, points)
  }
  return [...minutes].reverse().map(([atMs, points]) => {
    const sum = (/** @type {'hits' | 'misses' | 'errors'} */ name) =>
      points.reduce((total, point) => total + point[name], 0)
    const reads = sum('hits') + sum('misses')
    const timed = points.reduce((ms, point) => ms + point.meanMs * (point.hits + point.misses), 0)
    return {
      atMs,
      hits: sum('hits'),
      misses: sum('misses'),
      errors: sum('errors'),
      meanMs: reads === 0 ? undefined : timed / reads,
      p99Ms: reads === 0 ? undefined : Math.max(...points.map(({ p99Ms }) => p99Ms)),
    }
  })
}

/** @param {readonly Point[]} history */
function minuteTable(history) {
  const headings = ['From', 'Hits', 'Misses', 'Hit ratio', 'Errors', 'Mean read', 'Highest p99']
  return el(
    'table',
    {},
    el(
      'thead',
      {},
      el(
        'tr',
        {},
        ...headings.map((text, index) =>
          el('th', { scope: 'col', class: index > 0 && 'number' }, text),
        ),
      ),
    ),
    el(
      'tbody',
      {},
      ...byMinute(history).map(({ atMs, hits, misses, errors, meanMs, p99Ms }) =>
        el(
          'tr',
          {},
          el('th', { scope: 'row' }, clock(atMs)),
          ...[
            count(hits),
            count(misses),
            percent(ratio(hits, misses)),
            count(errors),
            duration(meanMs),
            duration(p99Ms),
          ].map((text) => el('td', { class: 'number' }, text)),
        ),
      ),
    ),
  )
}

/** In place of a figure of nothing. */
const none = 'no samples yet'

/** @param {AliasRow} row */
function degradedText({ outage, server }) {
  if (outage) return `Degraded for ${sinceThen(outage.sinceMs)}: ${outage.error}`
  const failed = server?.servers?.find(({ error }) => error !== undefined)
  return `Degraded: ${failed?.error ?? server?.error ?? 'a part does not answer'}`
}

/**
 * One cache in the overview; it is written again at each poll, so that what is focused, selected or
 * open stays so.
 *
 * @param {string} alias
 */
export function createAliasCard(alias) {
  const headingId = uniqueId('alias')
  const backend = el('span', { class: 'backend' })
  const sharing = el('span', { class: 'badge' })
  const state = el('p', { class: 'state' })
  const ours = figures('figures')
  const servers = el('div', { class: 'servers' })
  const outages = el('div', { class: 'outages' })
  const ratioChart = createChart({
    title: 'Hit ratio',
    format: (share) => percent(share).replace('.0', ''),
    nothing: 'Nothing was read (history begins with the first visit).',
  })
  const latencyChart = createChart({
    title: 'Read latency',
    format: duration,
    nothing: 'No read was timed (history begins with the first visit).',
  })
  const charts = el('div', { class: 'charts' }, ratioChart.element, latencyChart.element)
  const table = el('div', { class: 'scroll-x', tabindex: 0, role: 'region' })
  table.setAttribute('aria-label', `Figures of ${alias} by minute, scrollable`)
  const details = el(
    'details',
    { ontoggle: showMinutes },
    el('summary', {}, 'The charts in figures, by minute'),
    table,
  )
  /** @type {readonly Point[]} */
  let history = []

  function showMinutes() {
    if (!details.open) return
    if (history.length > 0) fill(table, minuteTable(history))
    else fill(table, el('p', {}, 'There are figures five seconds after the first read.'))
  }

  const element = el(
    'section',
    { class: 'card alias', 'aria-labelledby': headingId },
    el('div', { class: 'card-head' }, el('h3', { id: headingId }, alias), backend, sharing, state),
    charts,
    ours.element,
    servers,
    outages,
    details,
  )

  /**
   * @param {AliasRow} row
   * @param {number} now
   */
  function update(row, now) {
    history = row.history
    setText(backend, row.backend)
    setText(sharing, row.isShared ? 'shared by processes' : 'this process only')
    const isUsed =
      row.hits + row.misses + row.sets + row.deletes + row.errors > 0 || row.outages.length > 0
    element.classList.toggle('is-out', row.status === 'down')
    element.classList.toggle('is-unused', !isUsed)
    charts.hidden = !isUsed
    ours.element.hidden = !isUsed
    details.hidden = !isUsed
    element.classList.toggle('is-degraded', row.status === 'degraded')
    const [mark, text] =
      row.status === 'degraded'
        ? ['▲', degradedText(row)]
        : row.outage
          ? ['✕', `Has not answered for ${sinceThen(row.outage.sinceMs)}: ${row.outage.error}`]
          : isUsed
            ? ['✓', 'Answers']
            : ['○', 'Not used yet: open a page of the site that has something in this cache']
    if (state.dataset.text !== text) {
      state.dataset.text = text
      fill(state, el('span', { 'aria-hidden': 'true' }, `${mark} `), text)
    }
    ours.update([
      ['Hit ratio', known(percent, ratio(row.hits, row.misses)) ?? none, 'Hits of all reads'],
      ['Hits', count(row.hits)],
      ['Misses', count(row.misses)],
      ['Sets', count(row.sets)],
      ['Deletes', count(row.deletes)],
      ['Errors', count(row.errors)],
      ['Mean read', row.reads.count === 0 ? none : duration(row.reads.meanMs)],
      [
        'Read p99',
        row.reads.count === 0 ? none : duration(row.reads.p99Ms),
        'Of 100 reads, 99 took no longer',
      ],
      [
        'Written',
        row.sets > 0 && row.bytesWritten === undefined
          ? 'not measured'
          : (known(bytes, row.bytesWritten) ?? none),
        'Payloads whose size is known',
      ],
      ['Time saved', saved(row), 'What the bodies would have taken'],
    ])
    updateCharts(row, now)
    updateServers(row.server)
    updateOutages(row)
    showMinutes()
  }

  /**
   * @param {AliasRow} row
   * @param {number} now
   */
  function updateCharts(row, now) {
    const spanMs = spanOf(history, now)
    const spanText = duration(spanMs)
    const span = {
      fromMs: now - spanMs,
      untilMs: now,
      spanText: `${spanText} ago`,
      bands: row.outages.map(({ sinceMs, untilMs }) => ({
        fromMs: sinceMs,
        untilMs: untilMs ?? now,
      })),
    }
    ratioChart.update({
      ...span,
      top: 1,
      summary: ratioSummary(history, spanText),
      lines: [
        {
          name: 'hit ratio',
          points: history.map(({ atMs, hits, misses }) => ({ atMs, value: ratio(hits, misses) })),
        },
      ],
    })
    const read = history.filter(({ meanMs, p99Ms }) => meanMs > 0 || p99Ms > 0)
    latencyChart.update({
      ...span,
      top: roundUp(Math.max(0.001, ...read.map(({ p99Ms }) => p99Ms))),
      summary: latencySummary(history, spanText),
      lines: [
        { name: 'mean', points: read.map(({ atMs, meanMs }) => ({ atMs, value: meanMs })) },
        { name: 'p99', points: read.map(({ atMs, p99Ms }) => ({ atMs, value: p99Ms })) },
      ],
    })
  }

  /** @param {ServerStats | undefined} server */
  function updateServers(server) {
    const stamp = JSON.stringify(server ?? null)
    if (servers.dataset.stamp === stamp) return
    servers.dataset.stamp = stamp
    if (server === undefined) {
      fill(servers)
      return
    }
    const several = server.servers ?? []
    const parts = [server, ...several].map((part) => ({
      title: 'name' in part ? String(part.name) : `The store’s own figures (${part.backend})`,
      rows: serverRows(part),
      failure: part.error,
    }))
    fill(
      servers,
      ...parts
        .filter(({ rows, failure }) => rows.length > 0 || failure !== undefined)
        .map(({ title, rows, failure }) => {
          const list = figures('figures server')
          list.update(rows)
          return el(
            'div',
            {},
            el('h4', {}, title),
            failure !== undefined && el('p', { class: 'server-failure' }, `✕ ${failure}`),
            rows.length > 0 && list.element,
          )
        }),
    )
  }

  /** @param {AliasRow} row */
  function updateOutages({ outages: list }) {
    const stamp = JSON.stringify(list)
    if (outages.dataset.stamp === stamp) return
    outages.dataset.stamp = stamp
    if (list.length === 0) {
      fill(outages)
      return
    }
    fill(
      outages,
      el('h4', {}, plural(list.length, 'outage')),
      el(
        'ul',
        {},
        ...list
          .toReversed()
          .slice(0, 5)
          .map(({ sinceMs, untilMs, error }) =>
            el(
              'li',
              { title: exact(sinceMs) },
              time(sinceMs),
              untilMs === undefined ? ', lasting: ' : `, for ${duration(untilMs - sinceMs)}: `,
              error,
            ),
          ),
      ),
    )
  }

  return { element, update }
}
