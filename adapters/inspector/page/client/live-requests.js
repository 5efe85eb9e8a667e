import { outcomeBadge } from './badges.js'
import { el, emptyState, fill } from './dom.js'
import { clock, count, duration, exact, plural } from './format.js'
import { hashOf } from './hash.js'
import { addressOf } from './requests.js'

/**
 * @import {Batch, RequestEvent, RequestPart} from '../../api.js'
 */

/** How many requests are kept; the oldest go first. */
const requestLimit = 200

/**
 * Outcomes in a sentence: of one, and of several.
 *
 * @type {Readonly<Record<string, readonly [one: string, many: string]>>}
 */
const words = {
  hit: ['hit', 'hits'],
  miss: ['miss', 'misses'],
  stale: ['stale', 'stale'],
  joined: ['joined', 'joined'],
  bypass: ['not stored', 'not stored'],
  error: ['failed', 'failed'],
}

/** @type {readonly (readonly [name: 'waitMs' | 'bodyMs' | 'writeMs', label: string])[]} */
const stretches = [
  ['waitMs', 'wait'],
  ['bodyMs', 'body'],
  ['writeMs', 'write'],
]

/** The latest requests, each with what it asked the caches for. */
export function createRequestList() {
  /** @type {RequestEvent[]} The latest first. */
  let kept = []
  /** @type {RequestEvent[]} In the order they came. */
  let pending = []
  let seen = 0
  let leftOut = 0
  const list = el('ol', { class: 'requests' })
  const nothing = el('div')
  const element = el('div', {}, list, nothing)
  /** @type {Map<number, HTMLElement>} */
  let items = new Map()

  return {
    element,
    /** @param {Batch} batch */
    take({ requests, requestsSeen }) {
      seen += requestsSeen
      leftOut += requestsSeen - requests.length
      pending.push(...requests)
      if (pending.length > requestLimit) pending = pending.slice(-requestLimit)
    },
    clear() {
      kept = []
      pending = []
      seen = 0
      leftOut = 0
    },
    /**
     * @param {string} filter
     * @param {boolean} isPaused
     * @returns {string} What is shown, in words.
     */
    render(filter, isPaused) {
      if (!isPaused && pending.length > 0) {
        kept = [...pending.toReversed(), ...kept].slice(0, requestLimit)
        pending = []
      }
      const text = filter.trim().toLowerCase()
      const shown = kept.filter((request) => searchText(request).includes(text))
      const next = new Map(
        shown.map((request) => [request.id, items.get(request.id) ?? requestItem(request)]),
      )
      for (const [id, item] of items) if (!next.has(id)) item.remove()
      items = next
      /** @type {Element | null} */
      let at = list.firstElementChild
      for (const item of next.values()) {
        if (item === at) at = at.nextElementSibling
        else list.insertBefore(item, at)
      }
      const isEmpty = shown.length === 0
      if (isEmpty !== nothing.hasChildNodes() || (isEmpty && nothing.dataset.of !== text)) {
        nothing.dataset.of = text
        fill(nothing, isEmpty && emptyRequests(kept.length))
      }
      return [
        `${count(shown.length)} shown`,
        `${count(seen)} seen`,
        ...(leftOut > 0 ? [`${count(leftOut)} left out by sampling`] : []),
        ...(isPaused ? [`paused, ${count(pending.length)} waiting`] : []),
      ].join(' · ')
    },
  }
}

/** @param {number} known */
function emptyRequests(known) {
  return known > 0
    ? emptyState('No request matches.', 'Shorten the text of the filter.')
    : emptyState(
        'No request has asked a cache since this view was opened.',
        'Open a page of the site in another window: it appears here with its fragments.',
      )
}

/** @param {RequestEvent} request */
function searchText({ method, url, outcome = '', parts }) {
  return [method, url, outcome, ...parts.map(({ title }) => title)].join(' ').toLowerCase()
}

/** @param {RequestEvent} request */
function requestItem(request) {
  const { atMs, method, url, outcome, why, href, durationMs, parts, left } = request
  const inside = el('div')
  const details = el(
    'details',
    {
      ontoggle: () => {
        if (details.open && !inside.hasChildNodes()) fill(inside, ...waterfall(request))
      },
    },
    el(
      'summary',
      {},
      el('time', { datetime: new Date(atMs).toISOString(), title: exact(atMs) }, clock(atMs)),
      ' ',
      outcome !== undefined && outcomeBadge(outcome),
      ' ',
      el('code', {}, `${method} ${pathOfUrl(url)}`),
      ' ',
      el('span', { class: 'request-facts' }, `${duration(durationMs)} · ${partsText(parts, left)}`),
    ),
    why !== undefined &&
      el(
        'p',
        {},
        why,
        ' ',
        href !== undefined &&
          el('a', { href: addressOf(href), 'aria-label': `Why: ${method} ${url}` }, 'Why'),
      ),
    inside,
  )
  return el('li', { class: 'request' }, details)
}

/** @param {string} url */
function pathOfUrl(url) {
  return url.startsWith(`${location.origin}/`) ? url.slice(location.origin.length) : url
}

/**
 * @param {readonly RequestPart[]} parts
 * @param {number} left
 */
function partsText(parts, left) {
  const fragments = parts.filter(({ kind }) => kind === 'fragment')
  const calls = parts.length - fragments.length
  /** @type {Map<string, number>} */
  const outcomes = new Map()
  for (const { outcome = '' } of fragments) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  const became = [...outcomes]
    .map(([outcome, times]) => plural(times, ...(words[outcome] ?? [outcome, outcome])))
    .join(', ')
  return [
    ...(fragments.length > 0 ? [`${plural(fragments.length, 'fragment')}: ${became}`] : []),
    ...(calls > 0 ? [plural(calls, 'cache call')] : []),
    ...(left > 0 ? [`${count(left)} more`] : []),
    ...(parts.length === 0 ? ['the whole page'] : []),
  ].join(' · ')
}

/** @param {RequestEvent} request */
function waterfall({ parts, durationMs }) {
  if (parts.length === 0) return [el('p', { class: 'hint' }, 'It asked for no fragment.')]
  const endMs = Math.max(durationMs, ...parts.map(endOf), 0.001)
  const inOrder = parts.toSorted((a, b) => a.startMs - b.startMs || endOf(b) - endOf(a))
  return [
    el(
      'p',
      { class: 'waterfall-key', 'aria-hidden': 'true' },
      ...stretches.map(([, label]) =>
        el('span', {}, el('span', { class: `part-${label}` }), label),
      ),
    ),
    el('ol', { class: 'waterfall' }, ...inOrder.map((part) => partItem(part, endMs))),
  ]
}

/** @param {RequestPart} part */
function endOf({ startMs, waitMs, bodyMs, writeMs }) {
  return startMs + waitMs + bodyMs + writeMs
}

/**
 * @param {RequestPart} part
 * @param {number} endMs - Of the request.
 */
function partItem(part, endMs) {
  const { kind, alias, title, key, outcome, why, startMs } = part
  const track = el('span', { class: 'track', 'aria-hidden': 'true' })
  let at = startMs
  for (const [name, label] of stretches) {
    const ms = part[name]
    if (ms > 0) {
      const bar = el('span', { class: `part-${label}` })
      bar.style.left = `${(at / endMs) * 100}%`
      bar.style.width = `${(ms / endMs) * 100}%`
      track.append(bar)
    }
    at += ms
  }
  const times = stretches
    .filter(([name]) => part[name] > 0)
    .map(([name, label]) => `${label} ${duration(part[name])}`)
  return el(
    'li',
    {},
    el(
      'span',
      { class: 'what' },
      kind === 'fragment'
        ? el('a', { href: hashOf('fragment', { alias, name: title }) }, title)
        : el('span', { title: key }, title, ' ', el('code', {}, key)),
    ),
    el('span', {}, outcome !== undefined && outcomeBadge(outcome)),
    track,
    el('span', { class: 'times' }, [`at ${duration(startMs)}`, ...times].join(' · ')),
    why !== undefined && el('span', { class: 'why' }, why),
  )
}
