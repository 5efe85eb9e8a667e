import { outcomeBadge } from './badges.js'
import { checkField, el, emptyState, field, setText } from './dom.js'
import { clock, count, duration, exact, unknown } from './format.js'
import { hashOf, keepInHash } from './hash.js'
import { addressOf } from './requests.js'
import { createRequestList } from './live-requests.js'
import { createTable, showTable } from './table.js'

/**
 * @import {Batch, FeedEvent, FeedKind} from '../../api.js'
 * @import {View} from './app.js'
 * @import {Column} from './table.js'
 */

/** How many events are kept; the oldest go first. */
const limit = 2000

const longestDelayMs = 30_000

/** @type {readonly (readonly [kind: FeedKind, label: string])[]} */
const kinds = [
  ['operation', 'Operations'],
  ['fragment', 'Fragments'],
  ['response', 'Responses'],
  ['refresh', 'Refreshes'],
  ['outage', 'Outages'],
  ['warning', 'Warnings'],
  ['audit', 'Actions'],
]

/** @param {FeedEvent} event */
function titleOf({ title, detail, key }) {
  return [title, detail, key].filter((part) => part !== undefined && part !== '').join('\n')
}

/** @param {FeedEvent} event */
function links({ alias, key, href, title }) {
  // A key that was shortened leads nowhere.
  const isWhole = key !== undefined && key !== '' && !key.endsWith('…')
  return el(
    'span',
    {},
    href !== undefined && el('a', { href: addressOf(href), 'aria-label': `Why: ${title}` }, 'Why'),
    href !== undefined && isWhole && ' ',
    isWhole &&
      el(
        'a',
        { href: hashOf('entry', { alias, key }), 'aria-label': `Entry of ${title}` },
        'Entry',
      ),
  )
}

/** @type {readonly Column<FeedEvent>[]} */
const columns = [
  {
    id: 'time',
    label: 'Time',
    width: 5.5,
    show: ({ atMs }) => el('time', { datetime: new Date(atMs).toISOString() }, clock(atMs)),
    title: ({ atMs }) => exact(atMs),
  },
  { id: 'kind', label: 'Kind', width: 6, show: ({ kind }) => kind },
  {
    id: 'outcome',
    label: 'Outcome',
    width: 6.5,
    show: ({ outcome }) => (outcome === undefined ? unknown : outcomeBadge(outcome)),
  },
  {
    id: 'what',
    label: 'What',
    width: 24,
    show: ({ title, detail }) =>
      el('span', {}, title, detail !== undefined && el('span', { class: 'detail' }, ` ${detail}`)),
    title: titleOf,
  },
  {
    id: 'alias',
    label: 'Cache',
    width: 7,
    show: ({ alias }) => alias,
  },
  {
    id: 'took',
    label: 'Took',
    width: 6,
    isNumeric: true,
    show: ({ durationMs }) => duration(durationMs),
  },
  { id: 'links', label: 'More', width: 6, show: links },
]

/**
 * What happens in the caches as it happens. Events are drawn once a frame, however many come.
 *
 * @returns {View}
 */
export function createLive() {
  /** @type {FeedEvent[]} The latest first. */
  let kept = []
  /** @type {FeedEvent[]} In the order they came, not drawn yet. */
  let pending = []
  let seen = 0
  let dropped = 0
  let isPaused = false
  let isShown = false
  let isDue = false
  /** @type {EventSource | undefined} */
  let source
  let delayMs = 1000
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let retry

  const connection = el('p', { class: 'connection', role: 'status' }, 'Not connected')
  const counter = el('p', { class: 'shown' })
  const pause = el('button', { type: 'button', 'aria-pressed': 'false' }, 'Pause')
  const clear = el('button', { type: 'button' }, 'Clear')
  const filter = el('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' })
  const boxes = new Map(
    kinds.map(([kind]) => [kind, el('input', { type: 'checkbox', checked: true })]),
  )
  const mode = el(
    'select',
    {},
    el('option', { value: 'request' }, 'requests'),
    el('option', { value: 'event' }, 'each event'),
  )
  const byRequest = createRequestList()
  const place = el('div', { class: 'table-place' })
  const table = createTable({
    label: 'Events, the latest first',
    columns,
    keyOf: ({ id }) => String(id),
    markOf: ({ kind }) => `event-${kind}`,
    keepsPlace: true,
  })
  const kindBoxes = el(
    'fieldset',
    { class: 'kinds' },
    el('legend', {}, 'Kinds'),
    ...kinds.map(([kind, label]) =>
      checkField(label, /** @type {HTMLInputElement} */ (boxes.get(kind))),
    ),
  )
  const element = el(
    'div',
    { class: 'live' },
    el(
      'form',
      {
        class: 'toolbar',
        role: 'search',
        onsubmit: (/** @type {Event} */ event) => event.preventDefault(),
      },
      field('Show', mode),
      field('Filter by text', filter),
      pause,
      clear,
    ),
    kindBoxes,
    el('div', { class: 'live-state' }, connection, counter),
    place,
  )

  pause.addEventListener('click', () => {
    isPaused = !isPaused
    pause.setAttribute('aria-pressed', String(isPaused))
    setText(pause, isPaused ? 'Resume' : 'Pause')
    schedule()
  })
  clear.addEventListener('click', () => {
    kept = []
    pending = []
    seen = 0
    dropped = 0
    byRequest.clear()
    schedule()
  })
  mode.addEventListener('change', changeFilter)
  filter.addEventListener('input', changeFilter)
  for (const box of boxes.values()) box.addEventListener('change', changeFilter)

  function changeFilter() {
    const chosen = kinds.map(([kind]) => kind).filter((kind) => boxes.get(kind)?.checked)
    keepInHash('live', {
      by: mode.value === 'request' ? undefined : mode.value,
      q: filter.value,
      kinds:
        chosen.length === kinds.length
          ? undefined
          : chosen.length === 0
            ? 'none'
            : chosen.join(','),
    })
    table.scrollToTop()
    schedule()
  }

  function schedule() {
    if (isDue || !isShown) return
    isDue = true
    requestAnimationFrame(() => {
      isDue = false
      render()
    })
  }

  function render() {
    const isByRequest = mode.value === 'request'
    kindBoxes.hidden = isByRequest
    if (isByRequest) {
      setText(counter, byRequest.render(filter.value, isPaused))
      showTable(place, byRequest.element, undefined)
      return
    }
    if (!isPaused && pending.length > 0) {
      kept = [...pending.toReversed(), ...kept].slice(0, limit)
      pending = []
    }
    const text = filter.value.trim().toLowerCase()
    const shown = kept.filter(
      (event) =>
        boxes.get(event.kind)?.checked !== false &&
        (text === '' || `${titleOf(event)}\n${event.alias}`.toLowerCase().includes(text)),
    )
    table.setRows(shown)
    setText(
      counter,
      [
        `${count(shown.length)} shown`,
        `${count(seen)} seen`,
        `${count(dropped)} left out by sampling`,
        ...(isPaused ? [`paused, ${count(pending.length)} waiting`] : []),
      ].join(' · '),
    )
    const nothing =
      shown.length > 0
        ? undefined
        : kept.length > 0
          ? emptyState('No event matches.', 'Choose more kinds, or shorten the text of the filter.')
          : emptyState(
              'Nothing happened since this view was opened.',
              'Open a page of the site in another window: its reads, fragments and responses appear here.',
            )
    showTable(place, table.element, nothing)
  }

  /** @param {Batch} batch */
  function take(batch) {
    seen += batch.seen
    dropped += batch.dropped
    pending.push(...batch.events)
    byRequest.take(batch)
    if (pending.length > limit) pending = pending.slice(-limit)
    schedule()
  }

  function connect() {
    clearTimeout(retry)
    source?.close()
    setText(connection, 'Connecting…')
    source = new EventSource(addressOf('api/events'))
    const current = source
    source.addEventListener('open', () => {
      delayMs = 1000
      setText(connection, 'Connected')
    })
    source.addEventListener('batch', (message) => {
      take(/** @type {Batch} */ (JSON.parse(message.data)))
    })
    source.addEventListener('error', () => {
      if (current !== source) return
      // A refusal closes it for good, and the browser does not try again by itself.
      if (current.readyState === EventSource.CLOSED) {
        retry = setTimeout(connect, delayMs)
        delayMs = Math.min(delayMs * 2, longestDelayMs)
      }
      setText(connection, 'Connection lost; reconnecting…')
    })
  }

  function disconnect() {
    clearTimeout(retry)
    source?.close()
    source = undefined
    setText(connection, 'Not connected')
  }

  return {
    element,
    show(params) {
      isShown = true
      mode.value = params.get('by') === 'event' ? 'event' : 'request'
      filter.value = params.get('q') ?? ''
      const chosen = params.get('kinds')?.split(',')
      for (const [kind, box] of boxes) box.checked = chosen === undefined || chosen.includes(kind)
      if (source === undefined) connect()
      schedule()
    },
    hide() {
      isShown = false
      disconnect()
    },
  }
}
