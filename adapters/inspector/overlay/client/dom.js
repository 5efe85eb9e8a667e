/* global sessionStorage */
/* exported duration, make, makeButton, makeLinks, memory */

/** @typedef {import('../facts.js').OverlayData} OverlayData */
/** @typedef {import('../facts.js').FragmentFacts} FragmentFacts */
/** @typedef {import('../facts.js').HoleFacts} HoleFacts */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {string} [className]
 * @param {...(string | Node)} content
 * @returns {HTMLElementTagNameMap[K]}
 */
function make(name, className = '', ...content) {
  const element = document.createElement(name)
  if (className !== '') element.className = className
  element.append(...content)
  return element
}

/** @param {string} text @param {() => void} onClick */
function makeButton(text, onClick) {
  const button = make('button', '', text)
  button.type = 'button'
  button.addEventListener('click', onClick)
  return button
}

/**
 * Leads to a template in the editor, and to what the inspector knows.
 *
 * @param {Pick<FragmentFacts, 'template' | 'line' | 'inEditor' | 'inInspector'>} origin
 */
function makeLinks({ template, line, inEditor, inInspector }) {
  const links = make('p', 'links')
  const place = line === undefined ? (template ?? '') : `${template ?? ''}:${line}`
  if (inEditor !== undefined) links.append(makeLink(place, inEditor))
  else if (template !== undefined) links.append(make('span', 'note', place))
  if (inInspector !== undefined) {
    const link = makeLink('Inspector', inInspector)
    link.target = '_blank'
    links.append(link)
  }
  return links
}

/** @param {string} text @param {string} href */
function makeLink(text, href) {
  const link = make('a', '', text)
  link.href = href
  return link
}

/** @param {number} ms */
function duration(ms) {
  if (ms < 10) return `${Math.round(ms * 10) / 10} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  const s = Math.round(ms / 1000)
  if (s < 120) return `${s} s`
  if (s < 7200) return `${Math.floor(s / 60)} min ${s % 60} s`
  if (s < 172_800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
  return `${Math.floor(s / 86_400)} days`
}

/** What lasts over a reload of this tab; a page may forbid it. */
const memory = {
  /** @param {string} name */
  get(name) {
    try {
      return sessionStorage.getItem(`fragcache-overlay ${name}`)
    } catch {
      return null
    }
  },
  /** @param {string} name @param {string} value */
  set(name, value) {
    try {
      sessionStorage.setItem(`fragcache-overlay ${name}`, value)
    } catch {
      // Then it does not last.
    }
  },
}
