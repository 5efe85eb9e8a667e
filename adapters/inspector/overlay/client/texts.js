/* global duration */
/* exported OUTCOMES, SENTENCE_OF_HOLE, UNPLACED, countsOf, labelOf, rowsOf, savedOf, sentenceOf, timeOf, whyOf, wordOf */

/** The worst first. */
const OUTCOMES = ['error', 'miss', 'bypass', 'stale', 'joined', 'hit']
/** As people say it: of one, and of several. @type {Readonly<Record<string, [string, string]>>} */
const WORDS = {
  hit: ['hit', 'hits'],
  miss: ['miss', 'misses'],
  stale: ['stale', 'stale'],
  joined: ['shared', 'shared'],
  bypass: ['not stored', 'not stored'],
  error: ['failed', 'failed'],
}
/** @type {Readonly<Record<string, string>>} */
const SENTENCES = {
  hit: 'It was in the cache.',
  miss: 'It was not in the cache, so it was rendered and stored.',
  stale: 'It is stale.',
  joined: 'Another request was rendering it, and both show its text.',
  bypass: 'It was rendered and not stored.',
  error: 'Its body threw an error; what it had written until then is here.',
}
const SENTENCE_OF_HOLE = 'It is rendered for each visitor and never stored.'
/** @type {Readonly<Record<string, string>>} */
const UNPLACED = {
  empty: 'it has no text',
  changed: 'its text is not on the page, or was changed after it was rendered',
  closed: 'it is in an attribute, a script, a title or the like',
  hidden: 'it takes no room in the window',
}

/** @param {string} outcome @param {number} [count] */
function wordOf(outcome, count = 1) {
  return WORDS[outcome]?.[count === 1 ? 0 : 1] ?? outcome
}

/** @param {string} cameIn */
function partOf(cameIn) {
  return cameIn === 'page' ? 'part of the page' : `part of ${cameIn}`
}

/** @param {FragmentFacts} facts */
function sentenceOf({ cameIn, outcome }) {
  if (cameIn === undefined) return SENTENCES[outcome] ?? outcome
  const what = cameIn === 'page' ? 'the page' : `“${cameIn}”`
  return `It came with ${what} (${wordOf(outcome)}) and was not looked up itself.`
}

/** Why it has its outcome, and where it has none, its outline. @param {FragmentFacts} facts */
function whyOf({ why, cameIn, unplaced }) {
  const reason = why ?? (cameIn === undefined ? '' : `It is ${partOf(cameIn)}.`)
  const place = unplaced === undefined ? '' : `No outline: ${UNPLACED[unplaced] ?? unplaced}.`
  return `${reason} ${place}`.trim()
}

/** How many there are of each outcome. @param {readonly { readonly outcome: string }[]} all */
function countsOf(all) {
  return OUTCOMES.toReversed().flatMap((outcome) => {
    const count = all.filter((one) => one.outcome === outcome).length
    return count === 0 ? [] : [{ outcome, count, text: `${count} ${wordOf(outcome, count)}` }]
  })
}

/**
 * Milliseconds of bodies that did not have to run.
 *
 * @param {readonly FragmentFacts[]} all
 */
function savedOf(all) {
  // What is inside of something found took its time as part of that.
  const isFound = (/** @type {FragmentFacts} */ { outcome, cameIn, around }) =>
    (outcome === 'hit' || outcome === 'stale') &&
    (cameIn === undefined || (cameIn === 'page' && around === undefined))
  const found = all.filter(isFound)
  const known = found.flatMap(({ bodyMs }) => (bodyMs === undefined ? [] : [bodyMs]))
  return {
    ms: known.reduce((sum, ms) => sum + ms, 0),
    known: known.length,
    unknown: found.length - known.length,
  }
}

/** What it took, or else what it saved. @param {readonly FragmentFacts[]} all */
function timeOf(all) {
  const made = all.filter(
    ({ outcome, cameIn }) => cameIn === undefined && ['miss', 'bypass', 'error'].includes(outcome),
  )
  const times = made.flatMap(({ bodyMs }) => (bodyMs === undefined ? [] : [bodyMs]))
  if (times.length > 0) return duration(times.reduce((sum, ms) => sum + ms, 0))
  const saved = savedOf(all)
  return saved.known > 0 ? `saved ${duration(saved.ms)}` : ''
}

/** @param {readonly FragmentFacts[]} all - Equal neighbours; the first gives the name. */
function labelOf(all) {
  const [first] = all
  if (first === undefined) return ''
  const { name, cameIn } = first
  const isPart = cameIn !== undefined && all.every((one) => one.cameIn === cameIn)
  const word = isPart ? partOf(cameIn) : wordOf(first.outcome)
  const counts = countsOf(all).map(({ text }) => text)
  const what =
    all.length === 1
      ? `${name} · ${word}`
      : `${name} × ${all.length}, ${isPart ? word : counts.join(', ')}`
  const time = timeOf(all)
  return time === '' ? what : `${what} · ${time}`
}

/**
 * @param {FragmentFacts} facts
 * @param {number} passedMs - Since the page was loaded.
 * @returns {[string, string, boolean?][]}
 */
function rowsOf(facts, passedMs) {
  const { ageMs, remainingMs, bodyMs, bytes, tags } = facts
  /** @type {[string, string, boolean?][]} */
  const rows = [
    ['Key', facts.key, true],
    ['Alias', facts.alias],
    ['Age', ageMs === undefined ? 'not known' : duration(ageMs + passedMs)],
  ]
  if (facts.isStored === undefined) rows.push(['Time left', 'not known'])
  else if (!facts.isStored) rows.push(['Time left', 'not in the cache'])
  else if (facts.isStale) rows.push(['Time left', 'expired'])
  else if (remainingMs === null) rows.push(['Time left', 'never expires'])
  else if (remainingMs !== undefined) {
    const leftMs = remainingMs - passedMs
    rows.push(['Time left', leftMs > 0 ? duration(leftMs) : 'expired'])
  }
  rows.push(['Body', bodyMs === undefined ? 'not known' : duration(bodyMs)])
  if (bytes !== undefined) rows.push(['Size', `${bytes} bytes`])
  rows.push(['Tags', tags.length === 0 ? 'none' : tags.join(', ')])
  return rows
}
