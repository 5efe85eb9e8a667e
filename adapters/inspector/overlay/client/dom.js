/* global sessionStorage */
/* exported duration, make, makeButton, memory */

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
