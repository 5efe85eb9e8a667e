import { el, fill, setText, svg, uniqueId } from './dom.js'
import { clock } from './format.js'

/**
 * @typedef {object} Line
 * @property {string} name
 * @property {readonly { readonly atMs: number, readonly value: number | undefined }[]} points
 */

/**
 * @typedef {object} ChartData
 * @property {readonly Line[]} lines
 * @property {number} fromMs
 * @property {number} untilMs
 * @property {number} top - The value at the upper edge; the lower one is 0.
 * @property {readonly { readonly fromMs: number, readonly untilMs: number }[]} bands - Outages.
 * @property {string} spanText - How long ago the left edge is.
 * @property {string} summary - The chart in a sentence.
 */

const width = 600
const height = 100

/** Above this, what lies between two points is not known. */
const longestGapMs = 11_000

/**
 * A chart of lines over time. It is an image to who cannot see it, named by a sentence that says what
 * it shows.
 *
 * @param {{ title: string, format: (value: number) => string, nothing: string }} setup - `nothing`
 *   is in a chart without a point.
 */
export function createChart({ title, format, nothing }) {
  const titleId = uniqueId('chart')
  const bands = svg('g', { class: 'bands' })
  const lines = svg('g', { class: 'lines' })
  const image = svg(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img' },
    svg(
      'g',
      { class: 'grid' },
      ...[0, 0.5, 1].map((share) =>
        svg('line', { x1: 0, x2: width, y1: share * height, y2: share * height }),
      ),
    ),
    bands,
    lines,
  )
  const start = el('span')
  const tip = el('span', { class: 'chart-tip' })
  const mark = svg('line', { class: 'chart-mark', x1: 0, x2: 0, y1: 0, y2: height })
  mark.setAttribute('visibility', 'hidden')
  image.append(mark)
  /** @type {ChartData | undefined} */
  let shown
  const empty = el('p', { class: 'plot-empty', 'aria-hidden': 'true' }, nothing)
  const scale = [el('span'), el('span'), el('span')]
  const legend = el('ul', { class: 'legend', 'aria-hidden': 'true' })
  const element = el(
    'figure',
    { class: 'chart', 'aria-labelledby': titleId },
    el('figcaption', {}, el('span', { id: titleId }, title), legend),
    el(
      'div',
      { class: 'plot' },
      el('div', { class: 'scale', 'aria-hidden': 'true' }, ...scale),
      image,
      empty,
    ),
    el('div', { class: 'span', 'aria-hidden': 'true' }, start, tip, el('span', {}, 'now')),
  )

  /** @param {PointerEvent} event */
  function point(event) {
    if (shown === undefined) return
    const { left, width: seen } = image.getBoundingClientRect()
    const { fromMs, untilMs, lines: drawn } = shown
    const atMs = fromMs + ((event.clientX - left) / seen) * (untilMs - fromMs)
    const near = nearestTo(drawn[0]?.points ?? [], atMs)
    const values = drawn.flatMap(({ name, points }) => {
      const value = points.find((one) => one.atMs === near)?.value
      return value === undefined ? [] : `${name} ${format(value)}`
    })
    if (near === undefined || values.length === 0) {
      leave()
      return
    }
    const x = ((near - fromMs) / (untilMs - fromMs)) * width
    mark.setAttribute('x1', String(x))
    mark.setAttribute('x2', String(x))
    mark.setAttribute('visibility', 'visible')
    setText(tip, `${clock(near)}: ${values.join(' · ')}`)
  }

  function leave() {
    mark.setAttribute('visibility', 'hidden')
    setText(tip, '')
  }

  image.addEventListener('pointermove', point)
  image.addEventListener('pointerleave', leave)

  /** @param {ChartData} given */
  function update(given) {
    const data = {
      ...given,
      lines: given.lines.map(({ name, points }) => ({
        name,
        points: points.filter(({ atMs }) => atMs >= given.fromMs),
      })),
    }
    shown = data
    const { fromMs, untilMs, top, summary } = data
    const x = (/** @type {number} */ ms) =>
      Math.min(width, Math.max(0, ((ms - fromMs) / (untilMs - fromMs)) * width))
    const y = (/** @type {number} */ value) => height - (Math.min(value, top) / top) * height
    image.setAttribute('aria-label', summary)
    setText(start, data.spanText)
    const isEmpty = data.lines.every(({ points }) =>
      points.every(({ value }) => value === undefined),
    )
    empty.hidden = !isEmpty
    for (const [index, label] of scale.entries()) {
      setText(label, isEmpty ? '' : format(top * (1 - index / 2)))
    }
    fill(
      bands,
      ...data.bands
        .filter((band) => band.untilMs > fromMs)
        .map((band) =>
          svg('rect', {
            x: x(band.fromMs),
            y: 0,
            width: Math.max(2, x(band.untilMs) - x(band.fromMs)),
            height,
          }),
        ),
    )
    fill(
      lines,
      ...data.lines.flatMap(({ points }, index) => {
        const { line, dots } = pathsOf(points, x, y)
        return [
          svg('path', { class: `line line-${index + 1}`, d: line }),
          svg('path', { class: `line line-${index + 1} dots`, d: dots }),
        ]
      }),
    )
    const names = [
      ...(data.lines.length > 1
        ? data.lines.map(({ name }, index) => ({ name, mark: `key key-${index + 1}` }))
        : []),
      ...(bands.childElementCount > 0 ? [{ name: 'outage', mark: 'key key-outage' }] : []),
    ]
    fill(legend, ...names.map(({ name, mark }) => el('li', {}, el('span', { class: mark }), name)))
  }

  return { element, update }
}

/**
 * @param {Line['points']} points
 * @param {number} atMs
 */
function nearestTo(points, atMs) {
  /** @type {number | undefined} */
  let nearest
  for (const one of points) {
    if (one.value === undefined) continue
    const distance = Math.abs(one.atMs - atMs)
    if (distance > longestGapMs) continue
    if (nearest === undefined || distance < Math.abs(nearest - atMs)) nearest = one.atMs
  }
  return nearest
}

/**
 * Lines through points that follow each other, and a dot for each that stands alone.
 *
 * @param {Line['points']} points
 * @param {(ms: number) => number} x
 * @param {(value: number) => number} y
 */
function pathsOf(points, x, y) {
  /** @type {string[][]} */
  const runs = []
  let lastMs = -Infinity
  for (const { atMs, value } of points) {
    if (value === undefined) continue
    if (atMs - lastMs > longestGapMs) runs.push([])
    runs.at(-1)?.push(`${x(atMs).toFixed(1)} ${y(value).toFixed(1)}`)
    lastMs = atMs
  }
  const alone = runs.filter(({ length }) => length === 1)
  return {
    line: runs.map((run) => (run.length > 1 ? `M${run.join('L')}` : '')).join(''),
    // A line of no length is drawn as a dot, as wide as it is thick.
    dots: alone.map(([at]) => `M${at}h0`).join(''),
  }
}
