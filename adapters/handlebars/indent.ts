import type { HoleRef } from '../../src/fragment/hole-parts.js'
import { changeHoles } from '../../src/fragment/holes.js'
import type { Frame } from '../../src/making/frame.js'

/**
 * How a hole's text is indented, depending on the character before the indent. The indents are in front of the
 * hole's reference, the outermost first: what a reference ends with are its named values.
 *
 * `+`: each line but the first. `.`: the same, and the hole ends the partial. `=`: each line, since the hole
 * is all there is on the partial's last line.
 */
const INDENT = /[+.=][ \t]*/g
const INDENTS = /^(?:[+.=][ \t]*)*/

/**
 * Indents a partial's text as Handlebars does: every line, but not what follows the last line's end.
 * The texts of its holes are indented when they are there.
 *
 * @param frame - What the text was made in.
 */
export function indentText(frame: Frame | undefined, text: string, indent: string): string {
  let isLastLineHole = false
  const marked = changeHoles(frame, text, (ref, start, end) => {
    const endsText = end === text.length
    isLastLineHole = endsText && (start === 0 || text[start - 1] === '\n')
    return { ...ref, h: `${isLastLineHole ? '=' : endsText ? '.' : '+'}${indent}${ref.h}` }
  })
  const lines = marked.split('\n')
  const last = lines.length - 1
  return lines
    .map((line, i) => (i === last && (line === '' || isLastLineHole) ? line : indent + line))
    .join('\n')
}

/** What a stored hole says without its indents. */
export function withoutIndents(stored: string): string {
  return stored.replace(INDENTS, '')
}

/** Indents a hole's text by what its reference says. */
export function indentHole({ h }: HoleRef, text: string): string {
  const [indents = ''] = INDENTS.exec(h) ?? []
  const fromInside = Array.from(indents.matchAll(INDENT), ([one]) => one).reverse()
  return fromInside.reduce((indented, one) => indentBy(one.charAt(0), one.slice(1), indented), text)
}

function indentBy(kind: string, indent: string, text: string): string {
  const lines = text.split('\n')
  const last = lines.length - 1
  return lines
    .map((line, i) => {
      if (kind !== '+' && i === last && line === '') return line
      return i > 0 || kind === '=' ? indent + line : line
    })
    .join('\n')
}
