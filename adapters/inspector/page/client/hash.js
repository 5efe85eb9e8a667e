/**
 * The view and its filters, as the address has them: `#fragments?q=menu&sort=hits`.
 *
 * @typedef {{ readonly view: string, readonly params: URLSearchParams }} Place
 */

/** @returns {Place} */
export function readHash() {
  const [view = '', query = ''] = location.hash.slice(1).split('?', 2)
  return { view, params: new URLSearchParams(query) }
}

/**
 * @param {string} view
 * @param {Readonly<Record<string, string | undefined>>} params - What is empty is left out.
 */
export function hashOf(view, params) {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== '') query.set(name, value)
  }
  const text = query.toString()
  return `#${view}${text === '' ? '' : `?${text}`}`
}

/**
 * Keeps a view's filters in the address, without a step in the history.
 *
 * @param {string} view
 * @param {Readonly<Record<string, string | undefined>>} params
 */
export function keepInHash(view, params) {
  history.replaceState(null, '', hashOf(view, params))
}
