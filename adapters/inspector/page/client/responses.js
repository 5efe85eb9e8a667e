import { outcomeBadge } from './badges.js'
import { el, emptyState, field, filterForm, fill, setChoices, setText } from './dom.js'
import { plural, time } from './format.js'
import { hashOf, keepInHash } from './hash.js'
import { announceError } from './notices.js'
import { addressOf, getJson } from './requests.js'

/**
 * @import {ResponseRow, Rows} from '../../api.js'
 * @import {View} from './app.js'
 */

/** @param {ResponseRow} row */
function responseItem({ atMs, method, url, route, alias, outcome, reason, sentence, href, key }) {
  return el(
    'li',
    { class: 'response' },
    el(
      'p',
      { class: 'response-head' },
      outcomeBadge(outcome),
      ' ',
      el('code', { title: route }, `${method} ${url}`),
      ' ',
      time(atMs),
    ),
    el(
      'p',
      {},
      sentence,
      ' ',
      el(
        'a',
        { href: addressOf(href) },
        'Why',
        el('span', { class: 'unseen' }, ` ${reason ?? outcome}`),
      ),
      key !== '' && ' · ',
      key !== '' &&
        el(
          'a',
          { href: hashOf('entry', { alias, key }) },
          'Entry',
          el('span', { class: 'unseen' }, ` of ${method} ${url} in ${alias}`),
        ),
    ),
  )
}

/**
 * The latest responses that were not answered from the cache, each with the reason.
 *
 * @returns {View}
 */
export function createResponses() {
  const filter = el('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' })
  const outcome = el('select')
  const shown = el('p', { class: 'shown', role: 'status' })
  const list = el('ol', { class: 'responses' })
  const place = el('div')
  const element = el(
    'div',
    {},
    filterForm(
      [field('Filter by URL or reason', filter), field('Outcome', outcome)],
      () => void load(),
    ),
    shown,
    place,
  )
  filter.addEventListener('input', refresh)
  outcome.addEventListener('change', refresh)

  /** @type {readonly ResponseRow[] | undefined} */
  let all
  let isShown = false
  /** @type {Map<number, HTMLElement>} */
  let items = new Map()

  async function load() {
    try {
      /** @type {Rows<ResponseRow>} */
      const { rows } = await getJson('api/responses')
      all = rows
      refresh()
    } catch (error) {
      announceError(error)
    }
  }

  function refresh() {
    if (!isShown) return
    keepInHash('responses', { q: filter.value, outcome: outcome.value })
    if (all === undefined) return
    const outcomes = new Set([...all.map((row) => row.outcome), ...chosen()])
    setChoices(outcome, [
      ['', 'all'],
      ...[...outcomes].sort().map((name) => /** @type {[string, string]} */ ([name, name])),
    ])
    const text = filter.value.trim().toLowerCase()
    const matching = all.filter(
      (row) =>
        (outcome.value === '' || row.outcome === outcome.value) &&
        [row.method, row.url, row.reason ?? '', row.sentence]
          .join(' ')
          .toLowerCase()
          .includes(text),
    )
    const next = new Map(matching.map((row) => [row.id, items.get(row.id) ?? responseItem(row)]))
    for (const [id, item] of items) if (!next.has(id)) item.remove()
    items = next
    /** @type {Element | null} */
    let at = list.firstElementChild
    for (const item of next.values()) {
      if (item === at) at = at.nextElementSibling
      else list.insertBefore(item, at)
    }
    const total = plural(all.length, 'response')
    setText(
      shown,
      matching.length === all.length ? `The latest ${total}` : `${matching.length} of ${total}`,
    )
    if (matching.length > 0) fill(place, list)
    else if (all.length > 0) {
      fill(place, emptyState('No response matches.', 'Shorten the text of the filter.'))
    } else {
      fill(
        place,
        emptyState(
          'No response since the inspector was first opened that did not come from the cache.',
          'Open a page of the site that is behind cacheSite or cachePage: if it is not answered ' +
            'from the cache, it is listed here with the reason.',
        ),
      )
    }
  }

  function chosen() {
    return outcome.value === '' ? [] : [outcome.value]
  }

  return {
    element,
    show(params) {
      isShown = true
      filter.value = params.get('q') ?? ''
      const wanted = params.get('outcome') ?? ''
      setChoices(outcome, [
        ['', 'all'],
        ...(wanted === '' ? [] : [/** @type {[string, string]} */ ([wanted, wanted])]),
      ])
      outcome.value = wanted
      refresh()
      void load()
    },
    hide() {
      isShown = false
    },
    update: () => void load(),
    reload: () => void load(),
  }
}
