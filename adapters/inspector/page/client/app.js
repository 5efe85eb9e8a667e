/**
 * What views share.
 *
 * @import {Overview} from '../../api.js'
 *
 * @typedef {object} App
 * @property {Overview | undefined} overview - As it was polled last.
 * @property {(path: string, body: object) => Promise<boolean>} act - Sends an action, announces what
 *   came of it, and has the view read again. `false`: it failed.
 */

/**
 * @typedef {object} View
 * @property {HTMLElement} element
 * @property {(params: URLSearchParams) => string} [titleOf] - Of a view of one thing: its heading.
 * @property {(params: URLSearchParams) => void} show - It is seen from now on, with these filters.
 * @property {() => void} hide
 * @property {(overview: Overview) => void} [update] - The overview was polled.
 * @property {() => void} [reload] - An action may have changed what is shown.
 */

/**
 * The choices of a `select` of caches.
 *
 * @param {App} app
 * @returns {[value: string, label: string][]}
 */
export function aliasChoices(app) {
  return (app.overview?.aliases ?? []).map(({ alias }) => [alias, alias])
}
