import { el, field, fill, setText } from './dom.js'
import { plural } from './format.js'

/** A chart shows no less, so that its first minute is no single step. */
const shortestSpanMs = 60_000
const longestSpanMs = 15 * 60_000

/** What somebody wants the charts to show at most. */
let chartRangeMs = longestSpanMs

/**
 * Chooses the range of all charts.
 *
 * @param {() => void} changed
 */
export function chartRange(changed) {
  const select = el(
    'select',
    {},
    ...[15, 5, 1].map((minutes) =>
      el('option', { value: minutes * 60_000 }, plural(minutes, 'minute')),
    ),
  )
  select.addEventListener('change', () => {
    chartRangeMs = Number(select.value)
    changed()
  })
  return {
    element: field('Charts show', select),
    /** It may have been chosen in another view. */
    update() {
      select.value = String(chartRangeMs)
    },
  }
}

/**
 * How long a time the charts show.
 *
 * @param {readonly { readonly atMs: number }[]} history
 * @param {number} now
 */
export function spanOf([first], now) {
  const known = first === undefined ? 0 : now - first.atMs
  // The oldest point of a full history is a little younger than the whole time.
  const spanMs = known > longestSpanMs - 30_000 ? longestSpanMs : known
  return Math.max(shortestSpanMs, Math.min(chartRangeMs, spanMs))
}

/**
 * A list of names and figures whose texts change while its elements stay.
 *
 * @param {string} className
 */
export function figures(className) {
  const element = el('dl', { class: className })
  /** @type {Map<string, HTMLElement>} */
  const values = new Map()
  /** @param {readonly (readonly [name: string, value: string, hint?: string])[]} rows */
  function update(rows) {
    if ([...values.keys()].join('\n') !== rows.map(([name]) => name).join('\n')) {
      values.clear()
      fill(
        element,
        ...rows.map(([name, , hint]) => {
          const value = el('dd')
          values.set(name, value)
          return el('div', { title: hint }, el('dt', {}, name), value)
        }),
      )
    }
    for (const [name, value] of rows) {
      const place = values.get(name)
      if (place) setText(place, value)
    }
  }
  return { element, update }
}

/**
 * The upper edge of a chart that has to hold a value.
 *
 * @param {number} value
 */
export function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value))
  const step = [1, 1.5, 2, 3, 4, 6, 8, 10].find((factor) => factor * power >= value) ?? 10
  return step * power
}
