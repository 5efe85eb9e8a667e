import { aliasChoices } from './app.js'
import { el, emptyState, field, filterForm, setChoices, setText } from './dom.js'
import { clock, plural } from './format.js'
import { keepInHash } from './hash.js'
import { announceError } from './notices.js'
import { getJson } from './requests.js'
import { createTable, showTable, sorted } from './table.js'

/**
 * @import {Table} from '../../api.js'
 * @import {App, View} from './app.js'
 * @import {Column, Sort, TableSetup} from './table.js'
 */

/** As many rows are read again at each poll while those below are out of sight: to tell of all costs the site more. */
const polledRows = 100

/**
 * What a column is sorted by, where that has another name.
 *
 * @type {Readonly<Record<string, string>>}
 */
const figureOf = {
  body: 'bodyMs',
  view: 'viewMs',
  timeSaved: 'timeSavedMs',
  size: 'meanBytes',
}

/**
 * A view of rows that are read at once, sorted and filtered here. At polls only the first ones are read.
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
  /**
   * The first ones as they were polled, which need not be the first ones of all as those were read earlier.
   *
   * @type {readonly T[]}
   */
  let polled = []
  /** @type {Sort} */
  let sort = { column: 'timeSaved', isDescending: true }

  const filter = el('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' })
  const alias = el('select')
  const shown = el('p', { class: 'shown', role: 'status' })
  const place = el('div', { class: 'table-place' })
  const table = createTable({
    label: setup.noun === 'route' ? 'Routes' : 'Fragments',
    columns,
    keyOf,
    ...(setup.action && { action: setup.action }),
    onSort(next) {
      sort = next
      polled = []
      refresh()
      void poll()
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
      polled = []
      refresh()
      void poll()
    })
  }
  table.element.addEventListener('scroll', () => {
    if (polled.length === 0 || table.rowsDown() <= polledRows) return
    polled = []
    void load()
  })
  filter.addEventListener('input', later)
  alias.addEventListener('change', later)
  /** @type {number | undefined} */
  let readAtMs

  /** @param {T} row */
  function keyOf(row) {
    return `${row.alias}\0${textOf(row)}`
  }

  async function load() {
    try {
      /** @type {Table<T>} */
      const { rows } = await getJson(path)
      all = rows
      polled = []
      readAtMs = Date.now()
      refresh()
    } catch (error) {
      announceError(error)
    }
  }

  /** Reads what is in sight. */
  async function poll() {
    if (all === undefined || table.rowsDown() > polledRows) return load()
    const query = {
      limit: String(polledRows),
      sort: figureOf[sort.column] ?? sort.column,
      order: sort.isDescending ? 'down' : 'up',
      q: filter.value,
      alias: alias.value,
    }
    const now = () => [sort.column, sort.isDescending, filter.value, alias.value].join('\0')
    const asked = now()
    try {
      /** @type {Table<T>} */
      const { rows, total } = await getJson(path, query)
      if (now() !== asked) return
      if (total !== all.length) return load()
      const byKey = new Map(rows.map((row) => [keyOf(row), row]))
      all = all.map((row) => byKey.get(keyOf(row)) ?? row)
      polled = rows
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
    const keys = new Set(polled.map(keyOf))
    const others = matching.filter((row) => !keys.has(keyOf(row)))
    table.setRows([...polled, ...(column ? sorted(others, column, sort.isDescending) : others)])
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
      polled = []
      refresh()
      void load()
    },
    hide() {
      isShown = false
    },
    update() {
      choices()
      void poll()
    },
    reload: () => void load(),
  }
}
