import { aliasChoices } from './app.js'
import { el, emptyState, field, filterForm, setChoices, setText } from './dom.js'
import { clock, plural } from './format.js'
import { keepInHash } from './hash.js'
import { announceError } from './notices.js'
import { getJson } from './requests.js'
import { createTable, showTable, sorted } from './table.js'

/**
 * @import {Rows} from '../../api.js'
 * @import {App, View} from './app.js'
 * @import {Column, Sort, TableSetup} from './table.js'
 */

/**
 * A view of rows that are read at once, sorted and filtered here.
 *
 * @template {{ readonly alias: string }} T
 * @param {App} app
 * @param {object} setup
 * @param {string} setup.view - Its name in the address.
 * @param {string} setup.path
 * @param {string} setup.noun
 * @param {string} setup.filterLabel
 * @param {(row: T) => string} setup.textOf - What the filter looks at.
 * @param {readonly Column<T>[]} setup.columns
 * @param {TableSetup<T>['action']} setup.action
 * @param {string} setup.note - What the figures mean.
 * @param {readonly [what: string, next: string]} setup.nothing - Of an empty table.
 * @returns {View}
 */
export function createStatistics(app, setup) {
  const { view, path, noun, textOf, columns } = setup
  /** @type {readonly T[] | undefined} */
  let all
  /** @type {Sort} */
  let sort = { column: 'timeSaved', isDescending: true }

  const filter = el('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' })
  const alias = el('select')
  const shown = el('p', { class: 'shown', role: 'status' })
  const place = el('div', { class: 'table-place' })
  const table = createTable({
    label: setup.noun === 'route' ? 'Routes' : 'Fragments',
    columns,
    keyOf: (row) => `${row.alias}\0${textOf(row)}`,
    ...(setup.action && { action: setup.action }),
    onSort(next) {
      sort = next
      refresh()
    },
  })
  const element = el(
    'div',
    {},
    filterForm([field(setup.filterLabel, filter), field('Cache', alias)], () => void load()),
    shown,
    place,
    el('p', { class: 'hint' }, setup.note),
  )
  let isShown = false
  let isDue = false
  const later = () => {
    if (isDue) return
    isDue = true
    requestAnimationFrame(() => {
      isDue = false
      table.element.scrollTop = 0
      refresh()
    })
  }
  filter.addEventListener('input', later)
  alias.addEventListener('change', later)
  /** @type {number | undefined} */
  let readAtMs

  async function load() {
    try {
      /** @type {Rows<T>} */
      const { rows } = await getJson(path)
      all = rows
      readAtMs = Date.now()
      refresh()
    } catch (error) {
      announceError(error)
    }
  }

  function choices() {
    setChoices(alias, [['', 'all'], ...aliasChoices(app)])
  }

  function refresh() {
    if (!isShown) return
    keepInHash(view, {
      q: filter.value,
      alias: alias.value,
      sort: sort.column === 'timeSaved' && sort.isDescending ? undefined : sort.column,
      order: sort.isDescending ? undefined : 'up',
    })
    table.showSort(sort)
    if (all === undefined) return
    const text = filter.value.trim().toLowerCase()
    const matching = all.filter(
      (row) =>
        (alias.value === '' || row.alias === alias.value) &&
        (text === '' || textOf(row).toLowerCase().includes(text)),
    )
    const column = columns.find(({ id }) => id === sort.column)
    table.setRows(column ? sorted(matching, column, sort.isDescending) : matching)
    const total = plural(all.length, noun)
    const as = readAtMs === undefined ? '' : `, as of ${clock(readAtMs)}`
    setText(
      shown,
      matching.length === all.length ? `${total}${as}` : `${matching.length} of ${total}${as}`,
    )
    const [what, next] =
      all.length === 0
        ? setup.nothing
        : [`No ${noun} matches.`, 'Shorten the text of the filter, or choose all caches.']
    showTable(place, table.element, matching.length === 0 ? emptyState(what, next) : undefined)
  }

  return {
    element,
    show(params) {
      isShown = true
      choices()
      filter.value = params.get('q') ?? ''
      const wanted = params.get('alias') ?? ''
      if (wanted !== '' && ![...alias.options].some(({ value }) => value === wanted)) {
        alias.append(el('option', { value: wanted }, wanted))
      }
      alias.value = wanted
      const id = params.get('sort') ?? 'timeSaved'
      const column = columns.some((one) => one.id === id) ? id : 'timeSaved'
      sort = { column, isDescending: params.get('order') !== 'up' }
      refresh()
      void load()
    },
    hide() {
      isShown = false
    },
    update() {
      choices()
      void load()
    },
    reload: () => void load(),
  }
}
