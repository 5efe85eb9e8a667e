import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'

/**
 * What one request has cost so far.
 *
 * @typedef {object} Account
 * @property {number} startedAtMs
 * @property {{ name: string, alias: string, outcome: string, bodyMs?: number }[]} fragments
 *   What the library told about each fragment.
 * @property {string[]} bodies What the bodies that did run have asked for.
 * @property {{ outcome: string } | undefined} response What the library told about the whole page.
 */

/** @type {AsyncLocalStorage<Account>} */
const accounts = new AsyncLocalStorage()

subscribe('fragcache:fragment', (message) => accounts.getStore()?.fragments.push(message))
subscribe('fragcache:response', (message) => {
  const account = accounts.getStore()
  if (account !== undefined) account.response = message
})

/** Middleware: opens the account of a request. */
export function watch(req, res, next) {
  const account = { startedAtMs: performance.now(), fragments: [], bodies: [], response: undefined }
  res.locals.account = account
  accounts.run(account, next)
}

/**
 * Writes down each call of the functions that only bodies of fragments call. It is a count of our
 * own, beside what the library says of itself.
 *
 * @template {Record<string, (...args: string[]) => unknown>} Queries
 * @param {Queries} queries
 * @returns {Queries}
 */
export function counted(queries) {
  const wrapped = Object.entries(queries).map(([name, query]) => [
    name,
    (...args) => {
      accounts.getStore()?.bodies.push([name, ...args].join(' '))
      return query(...args)
    },
  ])
  return Object.fromEntries(wrapped)
}
