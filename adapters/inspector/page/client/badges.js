import { el } from './dom.js'

/** Outcomes by their mark; the word says the same, so that nothing hangs on colour alone. */
const marks = {
  hit: '✓',
  miss: '○',
  stale: '◐',
  joined: '↷',
  bypass: '↗',
  error: '✕',
}

/** @param {string} outcome */
export function outcomeBadge(outcome) {
  const mark = /** @type {Readonly<Record<string, string>>} */ (marks)[outcome]
  return el(
    'span',
    { class: `outcome outcome-${mark === undefined ? 'other' : outcome}` },
    mark !== undefined && el('span', { 'aria-hidden': 'true' }, `${mark} `),
    outcome,
  )
}
