/**
 * What differs in Express' own tests with the cache in front, because a cache has something to say: see
 * docs/express-files.md.
 */

const SAYS_HOW_LONG =
  'the view says nothing of how long its answer is good, and the cache tells what it keeps it for'
const SHORTER = 'what cachePage keeps for 600 seconds is told to be good for no longer'
const PER_REQUEST = 'Cache-Status and Age are of one request: HEAD makes no page'

/** By the beginning of the test's file and title; `caches`: with which of them, both unless told. */
const DIFFERENCES = [
  { test: 'app.head.js: HEAD should output the same headers as GET requests', why: PER_REQUEST },
  { test: 'express.static.js: express.static() cacheControl when false', why: SAYS_HOW_LONG },
  {
    test: 'res.sendFile.js: res .sendFile(path, options) with "cacheControl" option when false',
    why: SAYS_HOW_LONG,
  },
  {
    test: 'res.sendFile.js: res .sendFile(path, options) with "maxAge" option when cacheControl: false',
    why: SAYS_HOW_LONG,
  },
  ...[
    'express.static.js: express.static() immutable should set immutable directive',
    'express.static.js: express.static() maxAge should',
    'res.download.js: res .download(path, options) should allow options to res.sendFile()',
    'res.download.js: res .download(path, filename, options, fn) should allow options to res.sendFile()',
    'res.sendFile.js: res .sendFile(path, options) with "maxAge" option should',
    'res.sendFile.js: res .sendFile(path, options) with "maxAge" option when string should',
  ].map((test) => ({ test, caches: ['page'], why: SHORTER })),
]

/**
 * @param {string} id - The test's file and title.
 * @param {string} cache - `site` or `page`.
 * @returns {string | undefined} Why it may differ.
 */
export function reasonOf(id, cache) {
  return DIFFERENCES.find(
    ({ test, caches }) => id.startsWith(test) && (caches === undefined || caches.includes(cache)),
  )?.why
}
