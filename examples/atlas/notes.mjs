/** Longest note that is kept, in characters. */
export const NOTE_LENGTH = 280

/**
 * Notes on countries, which anybody may change; kept in memory until the server stops.
 */
export function createNotes() {
  const notes = new Map([
    ['LIE', 'One of only two countries that are landlocked by landlocked countries.'],
    ['LSO', 'Its only neighbour lies all around it.'],
    ['RUS', 'Eleven time zones, and neighbours on both ends.'],
    ['UZB', 'Landlocked by landlocked countries, like Liechtenstein.'],
    ['VAT', 'The smallest of them all.'],
  ])
  /** @type {Map<string, number>} */
  const revisions = new Map()
  return {
    /**
     * Part of the key of the fragment with a country's note, such as `r1`.
     *
     * @param {string} code
     */
    revision: (code) => `r${revisions.get(code) ?? 1}`,
    /** @param {string} code - The country whose note gets a new key. */
    renew: (code) => revisions.set(code, (revisions.get(code) ?? 1) + 1),
    /** @param {string} code */
    get: (code) => notes.get(code) ?? '',
    /**
     * @param {string} code - A country's code.
     * @param {unknown} text - As it came from the form; white space runs become one space.
     */
    set(code, text) {
      const line = String(text ?? '')
        .replace(/\s+/gu, ' ')
        .trim()
      notes.set(code, Array.from(line).slice(0, NOTE_LENGTH).join(''))
    },
  }
}
