/**
 * What the suite has changed since 0.4.5, the version on npm: its repository has corrected tests that
 * asked for the contrary of RFC 9110 and 9111, asks some questions only as checks, and has new tests.
 * Stated here test by test, so that the numbers are those of the suite as it is now. The new tests
 * send the requests that the suite's own new tests send.
 */

/** Tests that are no longer there. */
const GONE = [
  'freshness-max-age-ignore-quoted-all',
  'freshness-max-age-ignore-quoted-all-rev',
  'freshness-max-age-multiple-line',
  'freshness-max-age-multiple-directive',
]

/** Required once; now the suite only shows what a cache does. */
const ONLY_CHECKS = [
  'age-parse-parameter',
  'age-parse-numeric-parameter',
  ...[
    'Content-Encoding',
    'Content-Location',
    'Content-MD5',
    'Content-Range',
    'Content-Security-Policy',
    'Content-Type',
    'Clear-Site-Data',
    'ETag',
    'Expires',
    'Public-Key-Pins',
    'Set-Cookie',
    'Set-Cookie2',
    'X-Frame-Options',
    'X-XSS-Protection',
  ].map((field) => `304-etag-update-response-${field}`),
  ...['POST', 'PUT', 'DELETE', 'M-SEARCH'].flatMap((method) => [
    `invalidate-${method}-location`,
    `invalidate-${method}-cl`,
  ]),
]

/** Only checks once. A date in one of HTTP's three formats counts whatever its case … */
const OPTIMAL_DATES = {
  '32bit': 'Tue, 19 Jan 2038 14:14:08 GMT',
  'far-future': 'Sun, 21 Nov 2286 04:46:39 GMT',
  rfc850: undefined,
  'ansi-c': undefined,
  'wrong-case-weekday': undefined,
  'wrong-case-month': undefined,
  'wrong-case-tz': undefined,
}

/** … and any other is no date, so that the response is stale. */
const REQUIRED_DATES = [
  'utc',
  'aest',
  '2-digit-year',
  'no-comma',
  'multiple-spaces',
  'date-dashes',
  'time-periods',
  '1-digit-hour',
  'multiple-lines',
]

/** Of several values of Age the first counts, and one that is no number is ignored. */
const AGES = [
  ['nonnumeric', 'cached', 'abc'],
  ['negative', 'cached', '-7200'],
  ['float', 'cached', '7200.0'],
  ['large-minus-one', 'not_cached', '2147483647'],
  ['large', 'not_cached', '2147483648'],
  ['larger', 'not_cached', '2147483649'],
  ['suffix', 'not_cached', '7200, 0'],
  ['prefix', 'cached', '0, 7200'],
  ['suffix-twoline', 'not_cached', '7200', '0'],
  ['prefix-twoline', 'cached', '0', '7200'],
  ['dup-0', 'cached', '0, 0'],
  ['dup-0-twoline', 'cached', '0', '0'],
  ['dup-old', 'cached', '1800', '1800'],
]

/**
 * @param {object[]} tests - The suite's, which are changed in place.
 * @returns {object[]} All there are now.
 */
export function amend(tests) {
  const byId = new Map(tests.map((test) => [test.id, test]))
  const change = (id, changes) => {
    const test = byId.get(id)
    if (test === undefined) throw new Error(`the suite has no test ${id} to amend`)
    Object.assign(test, changes)
    return test
  }
  /** A test there is, or a new one. */
  const put = (id, kind, requests) => {
    const test = byId.get(id)
    if (test === undefined) byId.set(id, { id, name: id, kind, requests })
    else Object.assign(test, { kind, requests })
  }

  for (const id of GONE) {
    change(id, {})
    byId.delete(id)
  }
  for (const id of ONLY_CHECKS) change(id, { kind: 'check' })
  change('partial-use-stored-headers', { kind: 'required' })

  for (const [name, date] of Object.entries(OPTIMAL_DATES)) {
    const { requests } = change(`freshness-expires-${name}`, { kind: 'optimal' })
    if (date !== undefined) setHeader(requests[0], 'Expires', date)
  }
  for (const name of REQUIRED_DATES) {
    const { requests } = change(`freshness-expires-invalid-${name}`, { kind: 'required' })
    requests[1].expected_type = 'not_cached'
  }
  for (const [name, type, ...values] of AGES) {
    const ages = values.map((value) => ['Age', value, false])
    put(`age-parse-${name}`, 'required', [
      answer('max-age=3600', ['Date', 0], ...ages),
      { expected_type: type },
    ])
  }

  // A connection that breaks off is answered by the view, which is no answer of the origin.
  for (const name of ['must-revalidate', 'proxy-revalidate', 'no-cache', 's-maxage=2']) {
    change(`stale-close-${name}`, {}).requests[1] = {
      disconnect: true,
      expected_status: 502,
      check_body: false,
      expected_response_headers_missing: ['server-request-count'],
    }
  }
  // The first response is a whole one: its length was that of a part of its body.
  for (const request of change('304-etag-update-response-Content-Length', {}).requests) {
    for (const field of ['response_headers', 'expected_response_headers']) {
      for (const header of request[field] ?? []) if (header[1] === '5') header[1] = '36'
    }
  }
  const understand = 'max-age=3600, no-store, must-understand'
  setHeader(change('status-599-must-understand', {}).requests[0], 'Cache-Control', understand)

  put('status-200-must-understand', 'optimal', [answer(understand), CACHED])
  put('freshness-max-age-stale', 'required', [answer('max-age=2'), { expected_type: 'not_cached' }])
  for (const [name, newer] of [
    ['old-new', 'no-store'],
    ['old-max-age', 'no-store, max-age=0'],
  ]) {
    put(`cc-resp-no-store-${name}`, 'required', [
      answer('max-age=10000', ['Expires', 10_000], ['Date', 0], ['A', '1']),
      answer(newer, ['Date', 0], ['A', '2']),
      { expected_type: 'cached', expected_response_headers: [['a', '1']] },
    ])
  }
  put('stale-while-revalidate', 'optimal', [
    answer('max-age=1, stale-while-revalidate=3600', ['ETag', '"abc"']),
    CACHED,
  ])
  put('stale-while-revalidate-window', 'required', [
    answer('max-age=1, stale-while-revalidate=4', ['ETag', '"abc"']),
    {
      expected_type: 'cached',
      response_headers: [
        ['Cache-Control', 'no-cache', false],
        ['ETag', '"def"', false],
      ],
      setup: true,
      pause_after: true,
    },
    { expected_response_headers: [['client-request-count', '3']] },
  ])
  const month = ['Expires', 30 * 24 * 60 * 60]
  put('other-date-update-expires', 'required', [
    { response_headers: [month, ['Date', 0]], setup: true, pause_after: true },
    { expected_type: 'cached', expected_response_headers: [['Date', 0]] },
  ])

  const link = ['link', '</styles.css>; rel=preload; as=style']
  const hints = [103, [link, ['x-my-header', 'test']]]
  const noHints = { expected_response_headers_missing: ['x-my-header'] }
  put('interim-102', 'optimal', [interim([102]), CACHED])
  put('interim-103', 'optimal', [interim(hints), CACHED])
  put('interim-not-cached', 'required', [
    interim([103, [link]]),
    { ...CACHED, expected_interim_responses: [] },
  ])
  put('interim-no-header-reuse', 'optimal', [
    { ...interim(hints), ...noHints },
    { ...CACHED, ...noHints },
  ])
  return [...byId.values()]
}

/**
 * What the suite's client of 0.4.5 cannot know of.
 *
 * @param {object} test
 * @param {[number, object][][]} received - The interim responses of each request.
 * @returns {string | undefined} What was received amiss.
 */
export function interimFault({ requests }, received) {
  for (const [i, { expected_interim_responses: expected }] of requests.entries()) {
    if (expected === undefined) continue
    const got = received[i] ?? []
    if (got.length !== expected.length) {
      return `Response ${i + 1} came after ${got.length} interim responses, not ${expected.length}`
    }
    for (const [j, [status, headers = []]] of expected.entries()) {
      const [gotStatus, gotHeaders] = got[j]
      if (gotStatus !== status) return `Interim response ${j + 1} is ${gotStatus}, not ${status}`
      for (const [name, value] of headers) {
        if (gotHeaders[name] !== value)
          return `${name} of the interim response is ${gotHeaders[name]}`
      }
    }
  }
  return undefined
}

const CACHED = { expected_type: 'cached' }

/** What the origin answers first, three seconds before the next request. */
function answer(cacheControl, ...headers) {
  const response_headers = [['Cache-Control', cacheControl], ...headers]
  return { response_headers, setup: true, pause_after: true }
}

function interim(...responses) {
  return {
    interim_responses: responses,
    expected_interim_responses: responses,
    response_headers: [
      ['Cache-Control', 'max-age=100000'],
      ['Date', 0],
    ],
    pause_after: true,
  }
}

function setHeader({ response_headers }, name, value) {
  response_headers.find(([field]) => field === name)[1] = value
}
