/* global duration */
/* exported OUTCOMES, UNPLACED, rowsOf, sentenceOf, wordOf */

/** @typedef {import('../facts.js').FragmentFacts} FragmentFacts */

const OUTCOMES = ['hit', 'miss', 'stale', 'joined', 'bypass', 'error']
/** @type {Readonly<Record<string, string>>} */
const SENTENCES = {
  hit: 'Found in the cache.',
  miss: 'Not in the cache: the body ran, and its text is stored.',
  stale: 'Past its time: served while it is made again, or since its body failed.',
  joined: 'Another request was making it, and its text is shared.',
  bypass: 'The body ran and nothing is stored: the tag says so, or its text is not to be kept.',
  error: 'The body threw; what it had put out until then stands here.',
}
/** @type {Readonly<Record<string, string>>} */
const UNPLACED = {
  empty: 'it has no text',
  changed: 'its text is not on the page, or was changed after it was put out',
  closed: 'it stands in an attribute, a script, a title or the like',
  hidden: 'it takes no room in the window',
}

/** @param {FragmentFacts} facts */
function wordOf({ outcome, cameIn }) {
  return cameIn === undefined ? outcome : `${outcome}, inside`
}

/** @param {string | undefined} cameIn @param {string} outcome */
function sentenceOf(cameIn, outcome) {
  if (cameIn === undefined) return SENTENCES[outcome] ?? outcome
  const what = cameIn === 'page' ? 'the page' : `“${cameIn}”`
  return `Came along in ${what} (${outcome}); it was not looked up itself.`
}

/**
 * @param {FragmentFacts} facts
 * @param {number} passedMs - Since the page was loaded.
 * @returns {[string, string, boolean?][]}
 */
function rowsOf(facts, passedMs) {
  const { ageMs, remainingMs, bodyMs, bytes, template, line, tags } = facts
  /** @type {[string, string, boolean?][]} */
  const rows = [
    ['Key', facts.key, true],
    ['Alias', facts.alias],
  ]
  if (template !== undefined) {
    rows.push(['Template', line === undefined ? template : `${template}, line ${line}`])
  }
  rows.push(['Age', ageMs === undefined ? 'not known' : duration(ageMs + passedMs)])
  if (facts.isStored === undefined) rows.push(['Time left', 'not known'])
  else if (!facts.isStored) rows.push(['Time left', 'not in the cache'])
  else if (facts.isStale) rows.push(['Time left', 'past its time'])
  else if (remainingMs === null) rows.push(['Time left', 'never expires'])
  else if (remainingMs !== undefined) {
    const leftMs = remainingMs - passedMs
    rows.push(['Time left', leftMs > 0 ? duration(leftMs) : 'past its time'])
  }
  rows.push(['Body', bodyMs === undefined ? 'not run here' : duration(bodyMs)])
  if (bytes !== undefined) rows.push(['Size', `${bytes} bytes`])
  rows.push(['Tags', tags.length === 0 ? 'none' : tags.join(', ')])
  return rows
}
