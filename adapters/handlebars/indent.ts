import type { HoleRef } from '../../src/fragment/hole-parts.js'
import { changeHoles } from '../../src/fragment/holes.js'
import type { Frame } from '../../src/making/frame.js'

/**
 * How a hole's text is indented, depending on the character before the indent in its reference.
 *
 * `+`: each line but the first. `.`: the same, and the hole ends the partial. `=`: each line, since the hole
 * is all there is on the partial's last line.
 */
const INDENTS = /[+.=][ \t]*/g

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
    return { ...ref, h: `${ref.h}${isLastLineHole ? '=' : endsText ? '.' : '+'}${indent}` }
  })
  const lines = marked.split('\n')
  const last = lines.length - 1
  return lines
    .map((line, i) => (i === last && (line === '' || isLastLineHole) ? line : indent + line))
    .join('\n')
}

/** What a stored hole says without its indents. */
export function withoutIndents(stored: string): string {
  const end = stored.search(/[+.=]/)
  return end < 0 ? stored : stored.slice(0, end)
}

/** Indents a hole's text by what its reference says. */
export function indentHole({ h }: HoleRef, text: string): string {
  let indented = text
  for (const [one] of h.matchAll(INDENTS))
    indented = indentBy(one[0] as string, one.slice(1), indented)
  return indented
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
