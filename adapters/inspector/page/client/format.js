import { el } from './dom.js'

const space = '\u00a0'
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const rough = new Intl.NumberFormat('en', { maximumSignificantDigits: 2 })
const fine = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const exactTime = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })
const clockTime = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })

/** In place of what is not known. */
export const unknown = '–'

/** How far this machine's clock is behind the server's, in milliseconds. */
let clockOffsetMs = 0

/** @param {number} serverNowMs */
export function setServerTime(serverNowMs) {
  clockOffsetMs = serverNowMs - Date.now()
}

/** The server's time, in milliseconds since the epoch. */
export function nowMs() {
  return Date.now() + clockOffsetMs
}

/** @param {number | undefined} number */
export function count(number) {
  return number === undefined ? unknown : whole.format(number)
}

/**
 * A count that takes little room, whatever it is.
 *
 * @param {number | undefined} number
 */
export function short(number) {
  if (number === undefined || number < 1e6) return count(number)
  return number < 1e9
    ? `${fine.format(number / 1e6)}${space}M`
    : `${fine.format(number / 1e9)}${space}G`
}

/** @param {number | undefined} ms */
export function duration(ms) {
  if (ms === undefined) return unknown
  if (ms > 0 && ms < 0.1) return `${rough.format(ms * 1000)}${space}µs`
  if (ms < 1000) return `${fine.format(ms)}${space}ms`
  if (ms < 60_000) return `${fine.format(ms / 1000)}${space}s`
  return elapsed(ms / 1000)
}

/**
 * What hits saved; none of it is known as long as nothing was made here.
 *
 * @param {{ readonly hits: number, readonly timeSavedMs: number }} of
 */
export function saved({ hits, timeSavedMs }) {
  return hits > 0 && timeSavedMs === 0 ? 'not known' : duration(timeSavedMs)
}

/**
 * The number of variants, which is estimated by what was hashed to the same.
 *
 * @param {number} number
 */
export function estimate(number) {
  return number < 10 ? count(number) : `about ${short(number)}`
}

/**
 * The two largest units that a time has.
 *
 * @param {number} seconds
 * @param {...[size: number, unit: string]} units
 */
function two(seconds, ...units) {
  let rest = Math.round(seconds)
  const parts = []
  for (const [size, unit] of units) {
    const n = Math.floor(rest / size)
    rest -= n * size
    if (n > 0 || parts.length > 0) parts.push(n > 0 ? `${whole.format(n)}${space}${unit}` : '')
    if (parts.length === 2) break
  }
  return parts.filter((part) => part !== '').join(' ')
}

/** @param {number | undefined} number */
export function bytes(number) {
  if (number === undefined) return unknown
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = number
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? whole.format(value) : fine.format(value)}${space}${units[unit]}`
}

/**
 * A share of 1 in percent; a share of nothing is unknown.
 *
 * @param {number | undefined} share
 */
export function percent(share) {
  if (share === undefined || Number.isNaN(share)) return unknown
  const hundred = share * 100
  // What is not all must not read as all, nor what is not nothing as nothing.
  if (hundred > 99.9 && hundred < 100) return `>${space}99.9${space}%`
  if (hundred > 0 && hundred < 0.1) return `<${space}0.1${space}%`
  return `${hundred.toFixed(hundred === 0 || hundred === 100 ? 0 : 1)}${space}%`
}

/**
 * How much of `part + rest` is `part`; `undefined` where both are nothing.
 *
 * @param {number} part
 * @param {number} rest
 */
export function ratio(part, rest) {
  return part + rest === 0 ? undefined : part / (part + rest)
}

/**
 * A number with its noun.
 *
 * @param {number} number
 * @param {string} one
 * @param {string} [many]
 */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`
}

/** @param {number} atMs */
export function relative(atMs) {
  const seconds = Math.round((nowMs() - atMs) / 1000)
  if (seconds === 0) return 'now'
  return seconds > 0 ? `${elapsed(seconds)} ago` : `in ${elapsed(-seconds)}`
}

/** @param {number} seconds */
function elapsed(seconds) {
  return two(seconds, [86_400, 'd'], [3600, 'h'], [60, 'min'], [1, 's'])
}

/** @param {number} atMs */
export function sinceThen(atMs) {
  return elapsed(Math.max(1, Math.round((nowMs() - atMs) / 1000)))
}

/** @param {number} atMs */
export function exact(atMs) {
  return exactTime.format(atMs)
}

/** @param {number} atMs */
export function clock(atMs) {
  return clockTime.format(atMs)
}

/**
 * A time as it lies behind or ahead, exact in its title. {@link refreshTimes} keeps it true.
 *
 * @param {number} atMs
 */
export function time(atMs) {
  return el(
    'time',
    { datetime: new Date(atMs).toISOString(), title: exact(atMs), 'data-at': atMs },
    relative(atMs),
  )
}

/** Writes again how far each time on the page lies behind or ahead. */
export function refreshTimes() {
  for (const element of document.querySelectorAll('time[data-at]')) {
    const text = relative(Number(/** @type {HTMLElement} */ (element).dataset.at))
    if (element.textContent !== text) element.textContent = text
  }
}
