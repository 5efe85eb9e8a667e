/** What turns the order of what is shown around. */
export const BIDI = '\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069'

/** What a terminal obeys instead of showing it; JSON escapes the other control characters by itself. */
const OBEYED = new RegExp(`[\\x7f-\\x9f${BIDI}]`, 'g')

/** JSON on one line that reads as the same in any terminal. */
export function toVisibleJson(value: unknown): string {
  return JSON.stringify(value).replace(
    OBEYED,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
