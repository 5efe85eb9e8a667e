import { el, fill } from './dom.js'

/**
 * @import {Child} from './dom.js'
 */

/**
 * @template T
 * @typedef {object} Column
 * @property {string} id
 * @property {string} label
 * @property {string} [hint] - Says what the figure means.
 * @property {number} width - In rem.
 * @property {boolean} [isNumeric]
 * @property {(row: T) => string | number | undefined} [sortBy] - Without it, the column is not sorted by.
 * @property {(row: T) => Child} show
 * @property {(row: T) => string | undefined} [title] - More exactly.
 */

/**
 * @template T
 * @typedef {object} TableSetup
 * @property {string} label - The table's accessible name.
 * @property {readonly Column<T>[]} columns
 * @property {(row: T) => string} keyOf - Tells rows apart.
 * @property {(row: T) => string} [markOf] - A class for the row.
 * @property {{ readonly label: string, readonly nameOf: (row: T) => string, readonly applies: (row: T) => boolean, readonly run: (row: T) => void }} [action]
 * @property {(sort: Sort) => void} [onSort]
 * @property {boolean} [keepsPlace] - Rows come in above: what is looked at stays where it is.
 */

/** @typedef {{ readonly column: string, readonly isDescending: boolean }} Sort */

/** How many rows are drawn beyond what is seen, so that the keyboard finds the next one. */
const margin = 8

// What of a row can be focused.
const NAME_CONTROL = 'th a'
const ACTION_CONTROL = '.row-action button'

/** @param {Element | null} focused */
const isOfName = (focused) => Boolean(focused?.closest('th'))

/**
 * A table of which only the rows in sight are in the document, whatever their number. A row that was not drawn yet
 * is taken to be one line high. Headings sort; of rows with an action one is reached by Tab, the others by the arrow
 * keys.
 *
 * @template T
 * @param {TableSetup<T>} setup
 */
export function createTable({ label, columns, keyOf, markOf, action, onSort, keepsPlace }) {
  const width = columns.length + (action ? 1 : 0)
  const above = el('td', { colspan: width })
  const below = el('td', { colspan: width })
  const aboveRow = el('tr', { class: 'space', 'aria-hidden': 'true' }, above)
  const belowRow = el('tr', { class: 'space', 'aria-hidden': 'true' }, below)
  const body = el('tbody', {}, aboveRow, belowRow)
  const headings = new Map(columns.map((column) => [column.id, heading(column)]))
  const table = el(
    'table',
    { 'aria-label': label },
    columnGroup(),
    el(
      'thead',
      {},
      el(
        'tr',
        { 'aria-rowindex': 1 },
        ...headings.values(),
        action && el('th', { scope: 'col' }, el('span', { class: 'unseen' }, 'Action')),
      ),
    ),
    body,
  )
  const scroller = el(
    'div',
    { class: 'table-scroller', tabindex: 0, role: 'region', 'aria-label': `${label}, scrollable` },
    table,
  )

  /** @type {readonly T[]} */
  let rows = []
  /** @type {Map<string, { readonly row: T, readonly element: HTMLTableRowElement }>} */
  let drawn = new Map()
  /** The row whose controls Tab reaches, where it is in sight. */
  let activeIndex = 0
  let isDue = false
  /** @type {Map<string, number>} Of rows that were drawn, by their keys. */
  let heights = new Map()
  /** Where each row begins, and where the last one ends. */
  let tops = new Float64Array(1)
  let drawnWidth = 0
  /** The rows that are drawn. */
  let extent = { first: 0, end: 0 }

  function columnGroup() {
    let rem = 0
    const group = el('colgroup')
    for (const [index, size] of [
      ...columns.map((column) => column.width),
      ...(action ? [6.75] : []),
    ].entries()) {
      const column = el('col')
      // The first one stays in sight, and has to leave room for the others.
      column.style.width = index === 0 ? `min(${size}rem, 40vw)` : `${size}rem`
      group.append(column)
      rem += size
    }
    queueMicrotask(() => {
      table.style.minWidth = `${rem}rem`
    })
    return group
  }

  /** @param {Column<T>} column */
  function heading(column) {
    const attributes = {
      scope: 'col',
      class: column.isNumeric && 'number',
      title: column.hint,
    }
    if (!column.sortBy || !onSort) return el('th', attributes, column.label)
    const button = el(
      'button',
      { type: 'button', class: 'sort', onclick: () => sortBy(column) },
      column.label,
      el('span', { class: 'sort-mark', 'aria-hidden': 'true' }),
    )
    return el('th', { ...attributes, 'aria-sort': 'none' }, button)
  }

  /** @param {Column<T>} column */
  function sortBy(column) {
    const now = headings.get(column.id)?.getAttribute('aria-sort')
    const isDescending = now === 'none' ? column.isNumeric === true : now === 'ascending'
    scroller.scrollTop = 0
    activeIndex = 0
    onSort?.({ column: column.id, isDescending })
  }

  /** @param {Sort} sort */
  function showSort({ column, isDescending }) {
    for (const [id, element] of headings) {
      if (!element.hasAttribute('aria-sort')) continue
      const order = id !== column ? 'none' : isDescending ? 'descending' : 'ascending'
      element.setAttribute('aria-sort', order)
      const mark = element.querySelector('.sort-mark')
      if (mark) mark.textContent = order === 'none' ? '' : isDescending ? '▼' : '▲'
    }
  }

  /** How high a row of one line is, as the style sheet has it. */
  function lineHeight() {
    return Number.parseFloat(getComputedStyle(scroller).getPropertyValue('--row-height')) || 40
  }

  function layOut() {
    const line = lineHeight()
    const known = new Map()
    tops = new Float64Array(rows.length + 1)
    for (const [index, row] of rows.entries()) {
      const key = keyOf(row)
      const height = heights.get(key)
      if (height !== undefined) known.set(key, height)
      tops[index + 1] = topOf(index) + (height ?? line)
    }
    heights = known
  }

  /** @param {number} index */
  function topOf(index) {
    return /** @type {number} */ (tops[Math.min(Math.max(index, 0), rows.length)])
  }

  /**
   * The row at a height of the table's body.
   *
   * @param {number} y
   */
  function indexAt(y) {
    let low = 0
    let high = Math.max(rows.length - 1, 0)
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (topOf(middle) <= y) low = middle
      else high = middle - 1
    }
    return low
  }

  function seenHeight() {
    return Math.max(scroller.clientHeight - (table.tHead?.offsetHeight ?? 0), lineHeight())
  }

  function range() {
    const top = scroller.scrollTop
    const bottom = top + seenHeight()
    const firstSeen = indexAt(top)
    const last = indexAt(bottom)
    return {
      firstSeen,
      // One that is seen in part may be the only one.
      lastSeen: topOf(last + 1) > bottom ? Math.max(firstSeen, last - 1) : last,
      first: Math.max(0, firstSeen - margin),
      end: Math.min(rows.length, last + 1 + margin),
    }
  }

  /** What is looked at stays where it is when rows above turn out to be of another height. */
  function measure() {
    const width = table.offsetWidth
    const isOther = width !== drawnWidth
    if (isOther) heights.clear()
    drawnWidth = width
    let isDifferent = isOther
    const line = lineHeight()
    for (const [key, { element }] of drawn) {
      const height = element.offsetHeight
      if (height === (heights.get(key) ?? line)) continue
      heights.set(key, height)
      isDifferent = true
    }
    if (!isDifferent) return
    const index = indexAt(scroller.scrollTop)
    const before = topOf(index)
    layOut()
    space()
    const moved = topOf(index) - before
    if (moved !== 0) scroller.scrollTop += moved
    // More or fewer rows are in sight now.
    schedule()
  }

  /** Stands for the rows that are not drawn. */
  function space() {
    const { first, end } = extent
    above.style.height = `${topOf(first)}px`
    below.style.height = `${topOf(rows.length) - topOf(end)}px`
    aboveRow.hidden = first === 0
    belowRow.hidden = end >= rows.length
  }

  /** @param {T} row */
  function draw(row) {
    const element = el('tr', { class: markOf?.(row) })
    for (const [index, column] of columns.entries()) {
      const attributes = { class: column.isNumeric && 'number', title: column.title?.(row) }
      element.append(
        index === 0
          ? el('th', { scope: 'row', ...attributes }, column.show(row))
          : el('td', attributes, column.show(row)),
      )
    }
    if (action) {
      element.append(
        el(
          'td',
          { class: 'row-action' },
          action.applies(row) &&
            el(
              'button',
              {
                type: 'button',
                tabindex: -1,
                'aria-label': `${action.label} ${action.nameOf(row)}`,
                onclick: () => action.run(row),
              },
              action.label,
            ),
        ),
      )
    }
    return element
  }

  function render() {
    isDue = false
    // Out of sight nothing has a height; it is drawn when it comes back.
    if (scroller.clientHeight === 0) return
    const question = document.querySelector('dialog[open]')
    if (question !== null) {
      // When it closes, the browser gives the focus back to the button that opened it, which must still be there.
      question.addEventListener('close', schedule, { once: true })
      return
    }
    const { first, end, firstSeen, lastSeen } = range()
    const focused = document.activeElement
    const hadFocus = focused !== null && body.contains(focused)
    const focusedKey = hadFocus
      ? [...drawn].find(([, { element }]) => element.contains(focused))?.[0]
      : undefined
    const focusedControl = isOfName(focused) ? NAME_CONTROL : ACTION_CONTROL
    const next = new Map()
    for (let index = first; index < end; index++) {
      const row = /** @type {T} */ (rows[index])
      const key = keyOf(row)
      const before = drawn.get(key)
      const element = before?.row === row ? before.element : draw(row)
      element.setAttribute('aria-rowindex', String(index + 2))
      next.set(key, { row, element })
    }
    for (const [key, { element }] of drawn) {
      if (next.get(key)?.element !== element) element.remove()
    }
    /** @type {Element | null} */
    let place = aboveRow.nextElementSibling
    let index = first
    for (const { element } of next.values()) {
      if (place !== null && element === place) place = place.nextElementSibling
      else body.insertBefore(element, place)
      const reached = Math.min(Math.max(activeIndex, firstSeen), lastSeen)
      for (const control of action ? element.querySelectorAll('a, button') : []) {
        control.setAttribute('tabindex', index === reached ? '0' : '-1')
      }
      index++
    }
    drawn = next
    extent = { first, end }
    space()
    if (hadFocus && !body.contains(document.activeElement)) {
      const again = focusedKey === undefined ? undefined : drawn.get(focusedKey)
      const target = again?.element.querySelector(focusedControl)
      if (target instanceof HTMLElement) target.focus({ preventScroll: true })
      else scroller.focus({ preventScroll: true })
    }
    measure()
  }

  function schedule() {
    if (isDue) return
    isDue = true
    requestAnimationFrame(render)
  }

  /**
   * @param {number} index
   * @param {string} control - A selector.
   */
  function focusRow(index, control) {
    activeIndex = Math.min(Math.max(index, 0), rows.length - 1)
    const [top, end] = [topOf(activeIndex), topOf(activeIndex + 1)]
    const seen = seenHeight()
    if (top < scroller.scrollTop) scroller.scrollTop = top
    else if (end > scroller.scrollTop + seen) scroller.scrollTop = end - seen
    render()
    const row = rows[activeIndex]
    const target = row && drawn.get(keyOf(row))?.element.querySelector(control)
    if (target instanceof HTMLElement) target.focus()
  }

  body.addEventListener('keydown', (event) => {
    const row = event.target instanceof Element ? event.target.closest('tr') : null
    if (!row || !action || event.altKey || event.ctrlKey || event.metaKey) return
    const index = Number(row.getAttribute('aria-rowindex')) - 2
    const { firstSeen, lastSeen } = range()
    const page = Math.max(1, lastSeen - firstSeen - 1)
    /** @type {Readonly<Record<string, number>>} */
    const targets = {
      ArrowDown: index + 1,
      ArrowUp: index - 1,
      PageDown: index + page,
      PageUp: index - page,
      Home: 0,
      End: rows.length - 1,
    }
    const target = targets[event.key]
    if (target === undefined) return
    event.preventDefault()
    focusRow(target, isOfName(document.activeElement) ? NAME_CONTROL : ACTION_CONTROL)
  })
  scroller.addEventListener('scroll', schedule, { passive: true })
  new ResizeObserver(schedule).observe(scroller)

  return {
    element: scroller,
    showSort,
    /** @param {readonly T[]} next */
    setRows(next) {
      const anchorIndex = indexAt(scroller.scrollTop)
      const anchor = keepsPlace && scroller.scrollTop > 0 ? rows[anchorIndex] : undefined
      const before = topOf(anchorIndex)
      rows = next
      table.setAttribute('aria-rowcount', String(rows.length + 1))
      layOut()
      const index = anchor === undefined ? -1 : rows.indexOf(anchor)
      if (index >= 0 && topOf(index) !== before) {
        // The height has to be there before it can be scrolled to.
        below.style.height = `${topOf(rows.length)}px`
        belowRow.hidden = false
        scroller.scrollTop += topOf(index) - before
      }
      schedule()
    },
    /** Draws every row again. */
    redraw() {
      for (const { element } of drawn.values()) element.remove()
      drawn = new Map()
      schedule()
    },
    scrollToTop() {
      scroller.scrollTop = 0
    },
    /** The number of rows down to the last one that is drawn where it is scrolled to now. */
    rowsDown: () => range().end,
  }
}

/**
 * Orders rows by a column; those without a figure come last either way.
 *
 * @template T
 * @param {readonly T[]} rows
 * @param {Column<T>} column
 * @param {boolean} isDescending
 */
export function sorted(rows, column, isDescending) {
  const sign = isDescending ? -1 : 1
  const text = new Intl.Collator('en', { numeric: true })
  const keyed = rows.map((row) => ({ row, key: column.sortBy?.(row) }))
  keyed.sort((a, b) => {
    if (a.key === undefined || b.key === undefined) {
      return (a.key === undefined ? 1 : 0) - (b.key === undefined ? 1 : 0)
    }
    if (typeof a.key === 'number' && typeof b.key === 'number') return sign * (a.key - b.key)
    return sign * text.compare(String(a.key), String(b.key))
  })
  return keyed.map(({ row }) => row)
}

/**
 * Shows the table, or in its place what says that there is nothing.
 *
 * @param {HTMLElement} place
 * @param {HTMLElement} table
 * @param {HTMLElement | undefined} nothing
 */
export function showTable(place, table, nothing) {
  const shown = nothing ?? table
  if (place.firstElementChild === shown && place.childElementCount === 1) return
  fill(place, shown)
}
