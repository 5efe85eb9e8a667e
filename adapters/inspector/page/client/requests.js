/**
 * @import {ActionResult, Failure} from '../../api.js'
 */

/** The place the inspector is mounted at, with a slash at its end. */
const mount = location.pathname.endsWith('/') ? location.pathname : `${location.pathname}/`

/**
 * The address of what the server names relative to the page.
 *
 * @param {string} path
 */
export function addressOf(path) {
  return new URL(path, location.origin + mount).href
}

/** @param {Response} response */
async function failureOf(response) {
  /** @type {Partial<Failure>} */
  const body = await response.json().catch(() => ({}))
  if (typeof body.error === 'string') return new Error(body.error)
  return new Error(`The inspector answered ${response.status} ${response.statusText}.`)
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 */
async function send(path, init) {
  let response
  try {
    response = await fetch(addressOf(path), {
      cache: 'no-store',
      credentials: 'same-origin',
      ...init,
    })
  } catch (error) {
    throw new Error('The inspector does not answer: is the site running?', { cause: error })
  }
  if (!response.ok) throw await failureOf(response)
  return response.json()
}

/**
 * @template T
 * @param {string} path
 * @param {Readonly<Record<string, string>>} [query]
 * @returns {Promise<T>}
 */
export function getJson(path, query) {
  return send(query === undefined ? path : `${path}?${new URLSearchParams(query).toString()}`)
}

/** @param {string} name */
function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute('content') ?? ''
}

/**
 * Sends an action with the page's token.
 *
 * @param {string} path
 * @param {object} body
 * @returns {Promise<ActionResult>}
 */
export function postJson(path, body) {
  return send(path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      [meta('fragcache-token-header')]: meta('fragcache-token'),
    },
    body: JSON.stringify(body),
  })
}
