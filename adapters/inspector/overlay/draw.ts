import { randomBytes } from 'node:crypto'
import { readAsset } from '../assets.js'
import type { OverlayData } from './facts.js'
import type { Unplaced } from './locate.js'
import type { Span } from './scan.js'

const read = (file: string): string => readAsset(`overlay/client/${file}`)

/** Each knows the names of those before it. */
const FILES = [
  'dom.js',
  'texts.js',
  'groups.js',
  'labels.js',
  'panel.js',
  'invalidate.js',
  'card.js',
  'bar.js',
  'overlay.js',
]

let script: string | undefined
let style: string | undefined

/** The script that draws, read when it is first asked for. The page sees no name of it. */
export function overlayScript(): string {
  return (script ??= `;(() => {\n${FILES.map(read).join('')}})()`)
}

/** Its style sheet, for the same script to put into its shadow. */
export function overlayStyle(): string {
  return (style ??= read('overlay.css'))
}

/** Something that no page can hold by chance or by intent. */
export function newMark(): string {
  return randomBytes(9).toString('base64url').replaceAll('-', '_')
}

/**
 * Puts marks around the fragments of a page, and adds what draws them.
 *
 * @param places - Of each fragment, then of each hole: by its number.
 * @param end - Where scripts are added.
 * @param nonce - For the script; left out: the page needs none.
 */
export function draw(
  html: string,
  places: readonly (Span | Unplaced)[],
  data: OverlayData,
  end: number,
  nonce: string | undefined,
): string {
  const { mark } = data
  const inserts: (readonly [at: number, order: number, text: string])[] = []
  places.forEach((place, id) => {
    if (typeof place === 'string') return
    // At one place what ends comes before what begins: the inner ends first, the outer begins first.
    inserts.push([place.start, places.length + id, `<!--${mark} ${id}-->`])
    inserts.push([place.end, -id, `<!--/${mark} ${id}-->`])
  })
  const attribute = nonce === undefined ? '' : ` nonce="${nonce}"`
  const scripts =
    `<script type="application/json" data-fragcache-overlay>${inScript(data)}</script>` +
    `<script${attribute}>${overlayScript()}</script>`
  inserts.push([end, Infinity, scripts])
  inserts.sort(([at, order], [otherAt, otherOrder]) => at - otherAt || order - otherOrder)
  let drawn = ''
  let from = 0
  for (const [at, , text] of inserts) {
    drawn += html.slice(from, at) + text
    from = at
  }
  return drawn + html.slice(from)
}

/** JSON that no parser of HTML takes for markup. */
function inScript(data: OverlayData): string {
  return JSON.stringify(data).replaceAll('<', '\\u003c')
}
