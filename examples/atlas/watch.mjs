import { AsyncLocalStorage } from 'node:async_hooks'
import { channel, subscribe } from 'node:diagnostics_channel'

/**
 * What one request has cost so far.
 *
 * @typedef {object} Account
 * @property {number} startedAtMs
 * @property {{ name: string, alias: string, key: string, outcome: string, bodyMs?: number }[]} fragments
 *   What the library told about each fragment.
 * @property {string[][]} bodies What the bodies that did run have asked for.
 * @property {{ outcome: string } | undefined} response What the library told about the whole page.
 */

/** Accounts that somebody waits for, by what the request says in the header `Atlas-Account`. */
const awaited = new Map()
let names = 0

/**
 * Collects the accounts of a request that is about to be made: its own, and that of the run by which a
 * page is made again behind an old one.
 *
 * @returns {{ name: string, accounts: Account[], end(): void }} `name` is for its header `Atlas-Account`.
 */
export function awaitAccounts() {
  const name = String(++names)
  const accounts = []
  awaited.set(name, accounts)
  return { name, accounts, end: () => void awaited.delete(name) }
}

/** @type {AsyncLocalStorage<Account>} */
const accounts = new AsyncLocalStorage()

/** Each account when it is opened; it fills while its request is answered. */
const opened = channel('atlas:account')

subscribe('fragcache:fragment', (message) => accounts.getStore()?.fragments.push(message))
subscribe('fragcache:response', (message) => {
  const account = accounts.getStore()
  if (account !== undefined) account.response = message
})

/** Middleware: opens the account of a request. */
export function watch(req, res, next) {
  const account = { startedAtMs: performance.now(), fragments: [], bodies: [], response: undefined }
  res.locals.account = account
  awaited.get(req.get('atlas-account'))?.push(account)
  opened.publish(account)
  accounts.run(account, next)
}

/**
 * Makes one function of many questions that writes down what it is asked. Only bodies of fragments
 * ask, so this counts the bodies that did run, beside what the library says of itself.
 *
 * @param {Record<string, (...args: string[]) => unknown>} questions
 * @returns {(name: string, ...args: string[]) => unknown}
 */
export function counting(questions) {
  return (name, ...args) => {
    accounts.getStore()?.bodies.push([name, ...args])
    return questions[name](...args)
  }
}
