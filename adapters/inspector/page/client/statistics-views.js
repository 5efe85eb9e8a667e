import { el } from './dom.js'
import { bytes, count, duration, estimate, percent, saved, short } from './format.js'
import { hashOf } from './hash.js'
import { ask, askToInvalidate } from './notices.js'
import { createStatistics } from './statistics.js'

/**
 * @import {FragmentStats, RouteStats} from '../../api.js'
 * @import {App} from './app.js'
 * @import {Column} from './table.js'
 */

/** The name under which all beyond the most names is counted. */
const others = '(others)'

/**
 * @typedef {object} Outcomes
 * @property {number} hits
 * @property {number} misses
 * @property {number} stale
 * @property {number} joined
 * @property {number} bypasses
 * @property {number} [errors]
 */

/**
 * The share of uses that were answered from the cache at once.
 *
 * @param {Outcomes} row
 */
export function shareOf({ hits, stale, joined, misses, bypasses, errors = 0 }) {
  const all = hits + stale + joined + misses + bypasses + errors
  return all === 0 ? undefined : (hits + stale) / all
}

/** @param {number | undefined} share */
function meter(share) {
  const bar = el('span', { class: 'meter', 'aria-hidden': 'true' }, el('span'))
  if (bar.firstElementChild instanceof HTMLElement) {
    bar.firstElementChild.style.width = `${(share ?? 0) * 100}%`
  }
  return el('span', { class: 'metered' }, bar, percent(share))
}

/**
 * @template T
 * @param {string} id
 * @param {string} label
 * @param {(row: T) => number | undefined} value
 * @param {(value: number | undefined) => string} format
 * @param {string} [hint]
 * @returns {Column<T>}
 */
function figure(id, label, value, format, hint) {
  return {
    id,
    label,
    // As wide as its heading with the mark of its order, and a figure of six places.
    width: Math.max(4.5, label.length * 0.53 + 2.4),
    isNumeric: true,
    sortBy: value,
    show: (row) => format(value(row)),
    ...(format === short && { title: (/** @type {T} */ row) => count(value(row)) }),
    ...(hint !== undefined && { hint }),
  }
}

/**
 * What both kinds of rows count.
 *
 * @template {Outcomes & { alias: string, timeSavedMs: number, variants: number, meanBytes?: number }} T
 * @param {Column<T>} time
 * @returns {Column<T>[]}
 */
function shared(time) {
  return [
    figure('hits', 'Hits', (row) => row.hits, short, 'Answered from the cache'),
    figure('misses', 'Misses', (row) => row.misses, short, 'Made and stored'),
    {
      ...figure('ratio', 'Hit ratio', shareOf, percent, 'Answered from the cache at once, of all'),
      width: 7.5,
      show: (row) => meter(shareOf(row)),
    },
    time,
    { ...figure('timeSaved', 'Time saved', (row) => row.timeSavedMs, duration), show: saved },
    {
      ...figure('variants', 'Variants', (row) => row.variants, short),
      show: (row) => estimate(row.variants),
    },
    figure('size', 'Mean size', (row) => row.meanBytes, bytes),
    nameColumn('alias', 'Cache', 5.5),
    figure(
      'stale',
      'Stale',
      (row) => row.stale,
      short,
      'Answered from the cache, rendered again in the background',
    ),
    figure('bypasses', 'Not stored', (row) => row.bypasses, short, 'Rendered and not stored'),
  ]
}

/**
 * A column of names.
 *
 * @template {string} Id
 * @param {Id} id
 * @param {string} label
 * @param {number} width
 * @returns {Column<Readonly<Record<Id, string>>>}
 */
function nameColumn(id, label, width) {
  const name = (/** @type {Readonly<Record<Id, string>>} */ row) => row[id]
  return { id, label, width, sortBy: name, show: name }
}

/**
 * A column of names that lead to what is known of each.
 *
 * @template {string} Id
 * @param {Column<Readonly<Record<Id, string>>>} column
 * @param {Id} id
 * @param {string} view
 * @returns {Column<Readonly<Record<Id, string>> & { readonly alias: string }>}
 */
function linked(column, id, view) {
  return {
    ...column,
    show: (row) =>
      row[id] === others
        ? row[id]
        : el('a', { href: hashOf(view, { alias: row.alias, [id]: row[id] }) }, row[id]),
  }
}

/** @param {App} app */
export function createFragments(app) {
  /** @type {readonly Column<FragmentStats>[]} */
  const columns = [
    linked(nameColumn('name', 'Fragment', 10), 'name', 'fragment'),
    ...shared(
      figure('body', 'Mean body', (/** @type {FragmentStats} */ row) => row.bodyMs, duration),
    ),
    figure('errors', 'Errors', (row) => row.errors, short, 'The body threw'),
  ]
  return createStatistics(app, {
    view: 'fragments',
    path: 'api/fragments',
    noun: 'fragment',
    filterLabel: 'Filter by name',
    textOf: (row) => row.name,
    columns,
    action: {
      label: 'Invalidate',
      nameOf: (row) => row.name,
      applies: (row) => row.name !== others,
      run: (row) => void invalidate(row),
    },
    note:
      'Hit ratio: the share of uses that were answered from the cache at once, stale ones among them. ' +
      'The arrow keys lead from row to row.',
    nothing: [
      'No fragment was used yet.',
      'Open a page of the site that has a cache tag, then refresh this table.',
    ],
  })

  /** @param {FragmentStats} row */
  async function invalidate({ name, alias }) {
    const body = { fragment: name, using: alias }
    const question = {
      title: 'Invalidate this fragment?',
      text: `All variants of “${name}” in the cache “${alias}” would be rendered again when they are next asked for.`,
      confirm: 'Invalidate',
    }
    if ((await askToInvalidate(question, body)) !== undefined) await app.act('api/invalidate', body)
  }
}

/**
 * How many were not stored, which leads to why.
 *
 * @param {RouteStats} row
 */
function bypassesOf({ alias, route, bypasses }) {
  if (bypasses === 0 || route === others) return short(bypasses)
  return el(
    'a',
    { href: hashOf('route', { alias, route }), 'aria-label': `${count(bypasses)}: why` },
    short(bypasses),
  )
}

/** @param {App} app */
export function createRoutes(app) {
  /** @type {readonly Column<RouteStats>[]} */
  const columns = [
    linked(nameColumn('route', 'Route', 10.5), 'route', 'route'),
    ...shared(
      figure('view', 'Mean handler', (/** @type {RouteStats} */ row) => row.viewMs, duration),
    ).map((column) => (column.id === 'bypasses' ? { ...column, show: bypassesOf } : column)),
  ]
  return createStatistics(app, {
    view: 'routes',
    path: 'api/routes',
    noun: 'route',
    filterLabel: 'Filter by method or path',
    textOf: (row) => row.route,
    columns,
    action: {
      label: 'Invalidate',
      nameOf: (row) => row.route,
      applies: (row) => row.route !== others && app.overview?.canInvalidateUrls === true,
      run: (row) => void invalidate(row),
    },
    note:
      'Hit ratio: the share of requests that were answered from the cache at once, stale ones among ' +
      'them. The arrow keys lead from row to row.',
    nothing: [
      'No route was asked for yet.',
      'Open a page of the site that is behind cacheSite or cachePage, then refresh this table.',
    ],
  })

  /** @param {RouteStats} row */
  async function invalidate({ route }) {
    const path = route.replace(/^[A-Z-]+ /, '')
    const isPattern = /[:*(]/.test(path)
    const url = await ask({
      title: 'Invalidate a URL of this route?',
      text: isPattern
        ? `Put values in place of the parameters of ${path}. All variants of the page go.`
        : 'All variants of the page go; they are rendered again when they are next asked for.',
      confirm: 'Invalidate',
      input: { label: 'URL', type: 'url', value: `${location.origin}${path}` },
    })
    if (url !== undefined) await app.act('api/invalidate', { url })
  }
}
