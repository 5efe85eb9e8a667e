/* exported OUTCOMES, SENTENCES, UNPLACED */

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
