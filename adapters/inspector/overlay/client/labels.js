/* global innerHeight, innerWidth, NodeFilter, Text */
/* exported placeLabel, textsInWindow */

/** @typedef {{ readonly left: number, readonly top: number, readonly right: number, readonly bottom: number }} Area */

/** More are not kept clear. */
const MAX_TEXTS = 3000

/** Where the page has text, as far as it is in the window. @returns {Area[]} */
function textsInWindow() {
  /** @type {Area[]} */
  const texts = []
  if (document.body === null) return texts
  const range = document.createRange()
  const walker = document.createTreeWalker(
    document.body,
    NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT,
    (node) => {
      if (node instanceof Text) {
        return node.data.trim() === '' ? NodeFilter.FILTER_SKIP : NodeFilter.FILTER_ACCEPT
      }
      const element = /** @type {Element} */ (node)
      if (element.matches('input, select, textarea, button')) return NodeFilter.FILTER_ACCEPT
      const { top, bottom, height } = element.getBoundingClientRect()
      const isOutside = height > 0 && (bottom < 0 || top > innerHeight)
      return isOutside ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_SKIP
    },
  )
  while (walker.nextNode() !== null && texts.length < MAX_TEXTS) {
    range.selectNode(walker.currentNode)
    for (const rect of range.getClientRects()) {
      if (rect.width > 0 && rect.bottom >= 0 && rect.top <= innerHeight) texts.push(rect)
    }
  }
  return texts
}

/**
 * Finds a place for a label at the edges of an outline where nothing is covered.
 *
 * @param {Area} rect - Of the outline.
 * @param {number} width
 * @param {number} height
 * @param {readonly Area[]} taken - What must not be covered.
 * @returns {Area | undefined}
 */
function placeLabel(rect, width, height, taken) {
  const top = Math.max(rect.top, 0)
  const bottom = Math.min(rect.bottom, innerHeight)
  const left = Math.max(rect.left, 0)
  const right = Math.min(rect.right, innerWidth)
  const tops = [top - height, top + 3, bottom - height - 3, bottom]
  const lefts = [left, right - width, (left + right - width) / 2]
  const places = tops.flatMap((y) => lefts.map((x) => ({ x, y })))
  places.push({ x: right + 2, y: top }, { x: left - width - 2, y: top })
  for (const { x, y } of places) {
    const place = { left: x, top: y, right: x + width, bottom: y + height }
    const isInWindow = x >= 0 && y >= 0 && place.right <= innerWidth && place.bottom <= innerHeight
    if (isInWindow && !taken.some((other) => overlap(place, other))) return place
  }
  return undefined
}

/** @param {Area} one @param {Area} other */
function overlap(one, other) {
  return (
    one.left < other.right &&
    one.right > other.left &&
    one.top < other.bottom &&
    one.bottom > other.top
  )
}
