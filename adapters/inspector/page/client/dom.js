/**
 * What an element can hold: text is always set as text, never read as HTML.
 *
 * @typedef {Node | string | number | null | undefined | false} Child
 */

/**
 * Makes an element. An attribute that is `false` or `undefined` is left out, `true` gives an empty
 * one, and a function is a listener of the event named behind `on`.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Readonly<Record<string, unknown>>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue
    if (typeof value === 'function') {
      element.addEventListener(attribute.slice(2), /** @type {EventListener} */ (value))
    } else {
      element.setAttribute(attribute, value === true ? '' : String(value))
    }
  }
  element.append(...present(children))
  return element
}

const svgSpace = 'http://www.w3.org/2000/svg'

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Readonly<Record<string, string | number>>} [attributes]
 * @param {...Node} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(svgSpace, name)
  for (const [attribute, value] of Object.entries(attributes)) {
    element.setAttribute(attribute, String(value))
  }
  element.append(...children)
  return element
}

/** @param {readonly Child[]} children */
function present(children) {
  /** @type {(Node | string)[]} */
  const nodes = []
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue
    nodes.push(child instanceof Node ? child : String(child))
  }
  return nodes
}

/**
 * Replaces what `element` holds.
 *
 * @param {Element} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...present(children))
}

/**
 * Sets a text unless it is there already, so that nothing is announced or drawn twice.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

let lastId = 0

/**
 * An id that no other element has.
 *
 * @param {string} prefix
 */
export function uniqueId(prefix) {
  return `${prefix}-${++lastId}`
}

/**
 * A form control with its label above.
 *
 * @param {string} label
 * @param {HTMLInputElement | HTMLSelectElement} control
 * @param {string} [hint]
 */
export function field(label, control, hint) {
  if (control.id === '') control.id = uniqueId('field')
  const hintId = `${control.id}-hint`
  if (hint !== undefined) control.setAttribute('aria-describedby', hintId)
  return el(
    'div',
    { class: 'field' },
    el('label', { for: control.id }, label),
    control,
    hint !== undefined && el('p', { class: 'hint', id: hintId }, hint),
  )
}

/**
 * Suggests what is known while somebody types.
 *
 * @param {HTMLInputElement} input
 * @returns {{ readonly element: HTMLElement, readonly set: (texts: readonly string[]) => void }}
 */
export function suggestions(input) {
  const element = el('datalist', { id: uniqueId('known') })
  input.setAttribute('list', element.id)
  return {
    element,
    set: (texts) => fill(element, ...texts.map((value) => el('option', { value }))),
  }
}

/**
 * Narrows what is listed below it while somebody types.
 *
 * @param {readonly HTMLElement[]} fields
 * @param {() => void} refresh
 */
export function filterForm(fields, refresh) {
  return el(
    'form',
    {
      class: 'toolbar',
      role: 'search',
      onsubmit: (/** @type {Event} */ event) => event.preventDefault(),
    },
    ...fields,
    el('button', { type: 'button', onclick: refresh }, 'Refresh'),
  )
}

/**
 * A check box with its label behind.
 *
 * @param {string} label
 * @param {HTMLInputElement} box
 */
export function checkField(label, box) {
  return el('label', { class: 'check' }, box, el('span', {}, label))
}

/**
 * A table of all of its rows, which scrolls sideways. The first cell of a row names it.
 *
 * @param {string} label
 * @param {readonly { readonly label: string, readonly isNumeric?: boolean, readonly isWide?: boolean }[]} columns
 * @param {readonly (readonly Child[])[]} rows
 */
export function plainTable(label, columns, rows) {
  /** @param {number} index */
  const classOf = (index) =>
    columns[index]?.isNumeric === true ? 'number' : columns[index]?.isWide === true && 'wide'
  const table = el(
    'table',
    { class: 'plain' },
    el(
      'thead',
      {},
      el(
        'tr',
        {},
        ...columns.map((column, index) =>
          el('th', { scope: 'col', class: classOf(index) }, column.label),
        ),
      ),
    ),
    el(
      'tbody',
      {},
      ...rows.map(([name, ...cells]) =>
        el(
          'tr',
          {},
          el('th', { scope: 'row' }, name),
          ...cells.map((cell, index) => el('td', { class: classOf(index + 1) }, cell)),
        ),
      ),
    ),
  )
  const attributes = { tabindex: 0, role: 'region', 'aria-label': `${label}, scrollable` }
  return el('div', { class: 'scroll-x', ...attributes }, table)
}

/**
 * A line that says that there is nothing, and what to do next.
 *
 * @param {string} what
 * @param {string} next
 */
export function emptyState(what, next) {
  return el('div', { class: 'empty' }, el('p', { class: 'empty-what' }, what), el('p', {}, next))
}

/**
 * Sets the choices of a `select`, and keeps what is chosen where it is still among them.
 *
 * @param {HTMLSelectElement} select
 * @param {readonly (readonly [value: string, label: string])[]} choices
 */
export function setChoices(select, choices) {
  const stamp = JSON.stringify(choices)
  if (select.dataset.choices === stamp) return
  const chosen = select.value
  select.dataset.choices = stamp
  fill(select, ...choices.map(([value, label]) => el('option', { value }, label)))
  if (choices.some(([value]) => value === chosen)) select.value = chosen
}
