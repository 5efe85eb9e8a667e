/* global duration, make, makeButton, makeLinks, memory, whyOf, wordOf */
/* exported makeTable */

/** @type {readonly { id: string, title: string, of: (facts: FragmentFacts) => string | number | undefined, show?: (facts: FragmentFacts) => string }[]} */
const COLUMNS = [
  { id: 'name', title: 'Name', of: ({ name }) => name },
  { id: 'outcome', title: 'Outcome', of: ({ outcome }) => wordOf(outcome) },
  { id: 'why', title: 'Why', of: whyOf },
  { id: 'body', title: 'Body time', of: ({ bodyMs }) => bodyMs, show: ({ bodyMs }) => ms(bodyMs) },
  { id: 'age', title: 'Age', of: ({ ageMs }) => ageMs, show: ({ ageMs }) => ms(ageMs) },
  { id: 'size', title: 'Size', of: ({ bytes }) => bytes, show: ({ bytes }) => sizeOf(bytes) },
  { id: 'tags', title: 'Tags', of: ({ tags }) => tags.join(', ') },
]
const UNKNOWN = '–'

/** @param {number | undefined} time */
function ms(time) {
  return time === undefined ? UNKNOWN : duration(time)
}

/** @param {number | undefined} bytes */
function sizeOf(bytes) {
  if (bytes === undefined) return UNKNOWN
  return bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} kB`
}

/**
 * A table of fragments that is sorted by its headings.
 *
 * @param {readonly FragmentFacts[]} all - In the order of the page.
 * @param {(facts: FragmentFacts) => (() => void) | undefined} showOf - What shows one on the page, if it has an outline.
 */
function makeTable(all, showOf) {
  const body = make('tbody')
  const head = make('tr')
  // What is read from the tab may be of another version.
  let { by, isDown } = parseOrder(memory.get('order'))

  /** @param {FragmentFacts} facts */
  function rowOf(facts) {
    const row = make('tr', facts.outcome)
    for (const { id, of, show } of COLUMNS) {
      const text = show === undefined ? String(of(facts) ?? '') : show(facts)
      if (id === 'name') row.append(headOf(facts))
      else if (id === 'outcome') {
        row.append(make('td', '', make('span', `word ${facts.outcome}`, text)))
      } else row.append(make('td', id, text))
    }
    return row
  }

  /** @param {FragmentFacts} facts */
  function headOf(facts) {
    const go = showOf(facts)
    const name = go === undefined ? facts.name : makeButton(facts.name, go)
    const cell = make('th', '', name, makeLinks(facts))
    cell.scope = 'row'
    return cell
  }

  const rows = new Map(all.map((facts) => [facts, rowOf(facts)]))

  function sort() {
    const column = COLUMNS.find(({ id }) => id === by)
    const sorted =
      column === undefined ? all : all.toSorted((a, b) => compare(column.of(a), column.of(b)))
    body.replaceChildren(
      ...sorted.flatMap((facts) => {
        const row = rows.get(facts)
        return row === undefined ? [] : [row]
      }),
    )
    for (const [at, { id }] of COLUMNS.entries()) {
      const order = id !== by ? 'none' : isDown ? 'descending' : 'ascending'
      head.children[at]?.setAttribute('aria-sort', order)
    }
  }

  /** What is not known comes last. @param {string | number | undefined} a @param {string | number | undefined} b */
  function compare(a, b) {
    if (a === undefined || a === '') return b === undefined || b === '' ? 0 : 1
    if (b === undefined || b === '') return -1
    const order =
      typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b))
    return isDown ? -order : order
  }

  for (const { id, title, show } of COLUMNS) {
    const heading = make('th')
    heading.scope = 'col'
    heading.append(
      makeButton(title, () => {
        // Of numbers the largest are looked for.
        isDown = by === id ? !isDown : show !== undefined
        by = id
        memory.set('order', `${by} ${isDown ? 'down' : 'up'}`)
        sort()
      }),
    )
    head.append(heading)
  }
  sort()
  const scroller = make('div', 'scroller', make('table', '', make('thead', '', head), body))
  scroller.tabIndex = 0
  scroller.setAttribute('role', 'region')
  scroller.setAttribute('aria-label', 'Fragments of the page')
  return scroller
}

/** @param {string | null} text */
function parseOrder(text) {
  const [by = '', direction] = (text ?? '').split(' ')
  return { by, isDown: direction === 'down' }
}
