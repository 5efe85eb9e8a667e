/* global SENTENCE_OF_HOLE, make, makeInvalidation, makeLinks, rowsOf, sentenceOf, targetsOf, wordOf */
/* exported partsOfFragment, partsOfHole */

/**
 * What a card says of a fragment.
 *
 * @param {OverlayData} data
 * @param {FragmentFacts} facts
 * @param {number} passedMs - Since the page was loaded.
 * @param {() => void} onSaid - Called when what it says may take more room.
 * @returns {HTMLElement[]}
 */
function partsOfFragment(data, facts, passedMs, onSaid) {
  const word = make('span', `word ${facts.outcome}`, wordOf(facts.outcome))
  const list = make('dl')
  for (const [name, value, isCode] of rowsOf(facts, passedMs)) {
    list.append(make('dt', '', name), make('dd', isCode ? 'mono' : '', value))
  }
  const sentence = make('p', 'note', sentenceOf(facts))
  if (facts.why !== undefined) sentence.append(` ${facts.why}`)
  if (!facts.isSure) {
    sentence.append(' The same text is on this page more than once; this may be another.')
  }
  const targets = makeInvalidation(data, targetsOf(facts), onSaid)
  return [make('p', 'title', word, facts.name), sentence, list, makeLinks(facts), targets]
}

/** What a card says of a hole. @returns {HTMLElement[]} */
function partsOfHole() {
  const word = make('span', 'word hole', 'hole')
  return [make('p', 'title', word), make('p', 'note', SENTENCE_OF_HOLE)]
}
