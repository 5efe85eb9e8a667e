import { recordedOutcome, type Sequence, type StepOutcome } from './django-sequences.js'

/** What is other than Django's in one step; a header that is `undefined` is not there. */
export type Change = Partial<Omit<StepOutcome, 'headers'>> & {
  readonly headers?: Readonly<Record<string, string | undefined>>
}

export interface Difference {
  readonly cases: readonly string[]
  /** What we do. */
  readonly here: string
  readonly because: string
  /** By the number of the step. */
  readonly steps?: Readonly<Record<number, Change>>
  /** In place of `steps`: how making the middleware fails, where in Django every request does. */
  readonly throws?: string
}

const UNSAID = { expires: undefined, 'cache-control': undefined }

/** The view answers, and its answer is stored. */
function stored(body: string, headers: Change['headers'] = {}): Change {
  const outcome = { hit: false, viewRan: true, body, stored: true, ttl: undefined }
  return { ...outcome, headers: { age: undefined, ...headers } }
}

/** The view answers and nothing is stored, nor are later caches told to store it. */
function passed(body: string, headers: Change['headers'] = {}): Change {
  return { ...stored(body, { ...UNSAID, ...headers }), stored: false }
}

/** The cache answers. */
function hit(body: string, age: number, ttl: number, headers: Change['headers'] = {}): Change {
  const outcome = { hit: true, viewRan: false, body, stored: false, ttl }
  return { ...outcome, headers: { age: String(age), ...headers } }
}

/** The cache says that the client has the page. */
const NOT_MODIFIED = {
  status: 304,
  reason: 'Not Modified',
  body: '',
  headers: { 'content-type': undefined },
}

const aged = (seconds: number): Change => ({ headers: { age: String(seconds) } })

/** Of a page, not of an error as in Django. */
const FINE = { status: 200, reason: 'OK' }

const HTML = { 'content-type': 'text/html; charset=utf-8' }

/** Where we do otherwise than Django, and why: what is not here is compared to the letter. */
export const differences: readonly Difference[] = [
  {
    cases: ['mw005', 'mw006'],
    here: 'A bare question mark is part of the URL.',
    because: 'The view sees it in req.url.',
    steps: { 5: stored('run=5') },
  },
  {
    cases: ['mw009'],
    here: 'Two spellings of a path are two pages.',
    because: 'The view sees the path as sent: a page must not depend on what its key leaves out.',
    steps: { 1: stored('run=2'), 2: stored('run=3') },
  },
  {
    cases: ['mw013', 'mw014'],
    here: 'Dots in a path are not resolved.',
    because: 'Express does not resolve them, so that the view sees them: cache deception.',
    steps: { 1: stored('run=2'), 2: stored('run=3') },
  },
  {
    cases: ['mw017', 'mw022'],
    here: 'HEAD makes no page.',
    because: 'RFC 9110 §9.3.2: it is answered from the page of GET, which alone has a body.',
    steps: { 0: { stored: false } },
  },
  {
    cases: ['mw019'],
    here: 'HEAD makes no page.',
    because: 'RFC 9110 §9.3.2: it is answered from the page of GET, which alone has a body.',
    steps: {
      0: { stored: false },
      1: { ...stored(''), stored: false },
      2: stored('run=3'),
      4: hit('run=3', 0, 600),
    },
  },
  {
    cases: ['mw025', 'mw026', 'mw030'],
    here: 'A good answer to an unsafe method drops the pages of its URL.',
    because: 'RFC 9111 §4.4',
    steps: { 3: stored('run=4') },
  },
  {
    cases: ['mw061'],
    here: 'A 304 has no Content-Type.',
    because: 'Express takes it away; RFC 9110 §15.4.5.',
    steps: {
      0: { headers: { 'content-type': undefined } },
      1: { headers: { 'content-type': undefined } },
    },
  },
  {
    cases: ['mw141'],
    here: 'With a max-age that is none, later caches are told nothing more.',
    because: 'RFC 9111 §4.2.1: it counts as stale.',
    steps: {
      0: { headers: { expires: undefined } },
      1: { headers: { expires: undefined } },
      2: { headers: { expires: undefined } },
    },
  },
  {
    cases: ['mw379'],
    here: 'With a max-age that is none, later caches are told nothing more.',
    because: 'RFC 9111 §4.2.1: it counts as stale.',
    steps: { 0: { headers: { expires: undefined } }, 1: { headers: { expires: undefined } } },
  },
  {
    cases: ['mw142', 'mw154', 'mw160', 'mw168', 'mw170'],
    here: 'Age is the true age.',
    because: 'RFC 9111 §4.2.3; Django says 0 where the view named a shorter max-age.',
    steps: { 1: aged(4), 2: aged(6) },
  },
  {
    cases: ['mw174'],
    here: 'Age is the true age.',
    because: 'RFC 9111 §4.2.3; Django says 0 where the view named a shorter max-age.',
    steps: { 1: aged(29), 2: aged(31) },
  },
  {
    cases: ['mw186'],
    here: 'The age that the view names is part of Age.',
    because: 'RFC 9111 §4.2.3',
    steps: { 1: aged(110) },
  },
  {
    cases: ['mw144'],
    here: 'A max-age that is not a number does not break the page.',
    because: 'Malformed headers never throw; cachePage names its own time.',
    steps: {
      0: {
        ...FINE,
        ...stored('run=1', { ...HTML, 'cache-control': 'max-age=abc', expires: 'T+600' }),
      },
      1: {
        ...FINE,
        ...hit('run=1', 4, 596, { ...HTML, 'cache-control': 'max-age=abc', expires: 'T+600' }),
      },
      2: {
        ...FINE,
        ...hit('run=1', 6, 594, { ...HTML, 'cache-control': 'max-age=abc', expires: 'T+600' }),
      },
    },
  },
  {
    cases: ['mw146'],
    here: 'An empty max-age does not break the page.',
    because: 'Malformed headers never throw; cachePage names its own time.',
    steps: {
      0: {
        ...FINE,
        ...stored('run=1', { ...HTML, 'cache-control': 'max-age=', expires: 'T+600' }),
      },
      1: {
        ...FINE,
        ...hit('run=1', 4, 596, { ...HTML, 'cache-control': 'max-age=', expires: 'T+600' }),
      },
      2: {
        ...FINE,
        ...hit('run=1', 6, 594, { ...HTML, 'cache-control': 'max-age=', expires: 'T+600' }),
      },
    },
  },
  {
    cases: ['mw158'],
    here: 'A quoted max-age is read.',
    because: 'RFC 9111 §5.2: recipients accept both forms.',
    steps: {
      0: {
        ...FINE,
        ...stored('run=1', { ...HTML, 'cache-control': 'max-age=5', expires: 'T+600' }),
      },
      1: {
        ...FINE,
        ...hit('run=1', 4, 596, { ...HTML, 'cache-control': 'max-age=5', expires: 'T+600' }),
      },
      2: {
        ...FINE,
        ...hit('run=1', 6, 594, { ...HTML, 'cache-control': 'max-age=5', expires: 'T+600' }),
      },
    },
  },
  {
    cases: ['mw145'],
    here: 'An empty max-age counts as stale and does not break the page.',
    because: 'Malformed headers never throw; RFC 9111 §4.2.1',
    steps: {
      0: { ...FINE, ...passed('run=1', { ...HTML, 'cache-control': 'max-age=' }) },
      1: { ...FINE, ...passed('run=2', { ...HTML, 'cache-control': 'max-age=' }) },
      2: { ...FINE, ...passed('run=3', { ...HTML, 'cache-control': 'max-age=' }) },
    },
  },
  {
    cases: ['mw155'],
    here: 'A max-age with a fraction counts as stale and does not break the page.',
    because: 'Malformed headers never throw; RFC 9111 §4.2.1',
    steps: {
      0: { ...FINE, ...passed('run=1', { ...HTML, 'cache-control': 'max-age=5.5' }) },
      1: { ...FINE, ...passed('run=2', { ...HTML, 'cache-control': 'max-age=5.5' }) },
      2: { ...FINE, ...passed('run=3', { ...HTML, 'cache-control': 'max-age=5.5' }) },
    },
  },
  {
    cases: ['mw148'],
    here: 'A bare max-age stays as it is.',
    because: 'It names no time; Django makes 1 of it.',
    steps: {
      0: { headers: { 'cache-control': 'max-age' } },
      1: { headers: { 'cache-control': 'max-age', age: '4' } },
      2: { headers: { 'cache-control': 'max-age', age: '6' } },
    },
  },
  {
    cases: ['mw151'],
    here: 'Of two max-age the shorter counts.',
    because: 'RFC 9111 §4.2.1: the first, or stale.',
    steps: {
      0: passed('run=1', { 'cache-control': 'max-age=0, max-age=5' }),
      1: passed('run=2', { 'cache-control': 'max-age=0, max-age=5' }),
      2: passed('run=3', { 'cache-control': 'max-age=0, max-age=5' }),
    },
  },
  {
    cases: ['mw152'],
    here: 'Of two max-age the shorter counts; Age is the true age.',
    because: 'RFC 9111 §4.2.1, §4.2.3',
    steps: {
      0: { headers: { 'cache-control': 'max-age=0' } },
      1: { headers: { 'cache-control': 'max-age=0', age: '4' } },
      2: { headers: { 'cache-control': 'max-age=0', age: '6' } },
    },
  },
  {
    cases: ['mw178'],
    here: 'A later Expires is cut to what we keep.',
    because: 'No cache behind us should keep a page for longer.',
    steps: {
      0: { headers: { expires: 'T+600' } },
      1: { headers: { expires: 'T+600', age: '10' } },
    },
  },
  {
    cases: ['mw179'],
    here: 'An Expires that is not a date counts as stale.',
    because: 'RFC 9111 §5.3',
    steps: {
      0: { stored: false, headers: { 'cache-control': undefined } },
      1: passed('run=2', { expires: '0' }),
    },
  },
  {
    cases: ['mw200'],
    here: 'What a request for a part is answered is not stored.',
    because: 'RFC 9111 §3.3: it may be a part without saying so.',
    steps: { 0: { stored: false }, 1: { ...stored('run=2'), stored: false }, 2: stored('run=3') },
  },
  {
    cases: ['mw203'],
    here: 'A client that names any copy as its own is told to use it, once there is a stored page.',
    because: 'RFC 9110 §13.1.2',
    steps: { 1: NOT_MODIFIED },
  },
  {
    cases: ['mw225', 'mw226'],
    here: 'A page for nobody is not given to a request with Authorization.',
    because: 'RFC 9111 §3.5; the view may have answered otherwise.',
    steps: {
      1: stored('run=2 Authorization=Basic YTph', { vary: 'Authorization' }),
      2: stored('run=3 Authorization=Basic Yjpi', { vary: 'Authorization' }),
    },
  },
  {
    cases: ['mw233', 'mw234'],
    here: 'An empty Authorization is not the same as none.',
    because: 'CVE-2026-113593',
    steps: { 0: { headers: { vary: 'Authorization' } }, 1: stored('run=2 Authorization=(none)') },
  },
  {
    cases: ['mw452'],
    here: 'A page for nobody is not given to a request with Authorization, whoever came first.',
    because: 'RFC 9111 §3.5; CVE-2026-35193',
    steps: {
      3: hit('run=1 Authorization=Basic YTph', 0, 600, { vary: 'Authorization' }),
      4: stored('run=3 Authorization=Basic Yjpi', { vary: 'Authorization' }),
    },
  },
  {
    cases: ['mw241', 'mw251', 'mw255', 'mw256', 'mw260'],
    here: 'What sets a cookie is not stored.',
    because: 'CVE-2026-48588: everybody would get the cookie of one.',
    steps: { 0: { stored: false, headers: UNSAID }, 1: passed('run=2') },
  },
  {
    cases: ['mw243'],
    here: 'What sets a cookie is not stored.',
    because: 'CVE-2026-48588: everybody would get the cookie of one.',
    steps: { 0: { stored: false, headers: UNSAID }, 1: passed('run=2'), 2: passed('run=3') },
  },
  {
    cases: ['mw267'],
    here: 'An empty header is not the same as none.',
    because: 'CVE-2026-113593',
    steps: { 1: stored('run=2 Cookie=') },
  },
  {
    cases: ['mw270'],
    here: 'An empty header is not the same as none.',
    because: 'CVE-2026-113593',
    steps: { 1: stored('run=2 X-T=') },
  },
  {
    cases: ['mw272'],
    here: 'An empty header is not the same as none.',
    because: 'CVE-2026-113593',
    steps: { 1: stored('run=2 X-T=(none)') },
  },
  {
    cases: ['mw274'],
    here: 'What a layer around the cache says of Vary counts, though it says so late.',
    because: 'CVE-2026-35192: the view has read the session.',
    steps: { 1: { headers: { vary: 'cookie' } }, 2: stored('run=2', { vary: 'Cookie' }) },
  },
  {
    cases: ['mw415'],
    here: 'What a layer around the cache says of Vary counts, though it says so late.',
    because: 'Otherwise the second visitor is given the page of the first.',
    steps: { 1: stored('run=2 Cookie=a=2') },
  },
  {
    cases: ['mw276'],
    here: 'A page is not stored if a session around the cache sets its cookie with it.',
    because: 'The view has changed the session, so that the page is one visitor’s.',
    steps: Object.fromEntries(
      [1, 2, 3, 4].map((run) => [
        run - 1,
        { ...passed(`run=${run}`, { vary: 'Cookie' }), cookies: { sessionid: '(random)' } },
      ]),
    ),
  },
  {
    cases: ['mw303'],
    here: 'The headers that a URL varies on stay known when an answer names none.',
    because: 'It would make the next variant everybody’s.',
    steps: { 4: hit('run=2', 0, 600, { vary: 'X-A' }) },
  },
  {
    cases: ['mw304'],
    here: 'The headers that a URL varies on stay known when an answer names fewer.',
    because: 'It would make the next variant everybody’s.',
    // Django stores the third too, under the key of the first.
    steps: { 2: { stored: true }, 3: hit('run=2', 0, 600, { vary: 'X-A, X-B' }) },
  },
  {
    cases: ['mw306'],
    here: 'The list of headers lives as long as the longest-lived page.',
    because: 'Pages would be lost before their time.',
    steps: { 2: hit('run=1', 6, 594, { expires: 'T+600' }) },
  },
  {
    cases: ['mw321'],
    here: 'A page whose view changes the language is not stored, rather than under another key.',
    because: 'Nobody would look for it where it is, and whoever did would get the wrong one.',
    steps: {
      0: { stored: false, headers: UNSAID },
      1: { headers: UNSAID },
      2: { headers: UNSAID },
    },
  },
  {
    cases: ['mw324'],
    here: 'A page whose view changes the time zone is not stored, rather than under another key.',
    because: 'Nobody would look for it where it is, and whoever did would get the wrong one.',
    steps: { 0: { stored: false, headers: UNSAID }, 1: { headers: UNSAID } },
  },
  {
    cases: ['mw328', 'mw329'],
    here: 'What is written in pieces is stored.',
    because: 'In Express nearly every answer may be; the copy is bounded.',
    steps: {
      0: { stored: true, headers: { 'cache-control': 'max-age=600', expires: 'T+600' } },
      1: hit('run=1', 0, 600, { 'cache-control': 'max-age=600', expires: 'T+600' }),
    },
  },
  {
    cases: ['mw348'],
    here: 'Only what goes out is stored, not the object that says it.',
    because: 'What hangs on a response is not a part of the page.',
    steps: {
      0: {
        ...FINE,
        ...stored('run=1', { ...HTML, 'cache-control': 'max-age=600', expires: 'T+600' }),
      },
      1: {
        ...FINE,
        ...hit('run=1', 0, 600, { ...HTML, 'cache-control': 'max-age=600', expires: 'T+600' }),
      },
    },
  },
  {
    cases: ['mw360'],
    here: 'Without seconds for the site only what says for how long is kept.',
    because: 'In Django such a setting is an error with every request.',
    steps: {
      0: { ...FINE, ...passed('run=1', HTML) },
      1: { ...FINE, ...passed('run=2', HTML) },
      2: { ...FINE, ...passed('run=3', HTML) },
    },
  },
  {
    cases: ['mw362', 'mw369', 'mw370'],
    here: 'A time that is not a number is refused when the middleware is made.',
    because: 'A setting that is wrong shows before the first request.',
    throws: 'TypeError',
  },
  {
    cases: ['mw368'],
    here: 'max-age is a whole number of seconds, and so is Age.',
    because: 'RFC 9111 §1.2.2',
    steps: {
      0: { headers: { 'cache-control': 'max-age=1' } },
      1: { headers: { 'cache-control': 'max-age=1', age: '0' } },
      2: { headers: { 'cache-control': 'max-age=1' } },
    },
  },
  {
    cases: ['mw387', 'mw388'],
    here: 'An alias that no cache has is refused when the middleware is made.',
    because: 'A setting that is wrong shows before the first request.',
    throws: 'FRAGCACHE_INVALID_BACKEND',
  },
  {
    cases: ['mw397'],
    here: 'Of two nested times the inner one counts, for our keeping too.',
    because: 'Who is nearest to the view knows best; a page is not kept for longer than is said.',
    steps: {
      1: { ttl: 60 },
      2: stored('run=2', { expires: 'T+121' }),
      3: hit('run=2', 0, 60, { expires: 'T+121' }),
    },
  },
  {
    cases: ['mw399'],
    here: 'A page is stored once, in the innermost cache.',
    because: 'Two copies with two times outlive each other.',
    steps: {
      0: { headers: { 'cache-control': 'max-age=600' } },
      1: { ttl: 600, headers: { 'cache-control': 'max-age=600' } },
    },
  },
  {
    cases: ['mw404'],
    here: 'What a layer around the cache makes private is not stored.',
    because: 'What goes out counts.',
    steps: {
      0: { stored: false, headers: { expires: undefined } },
      1: passed('run=2', { 'cache-control': 'max-age=600, private' }),
    },
  },
  {
    cases: ['mw426'],
    here: 'A 304 to a hit has an Age.',
    because: 'RFC 9111 §5.1',
    steps: { 2: { headers: { age: '0' } } },
  },
  {
    cases: ['mw454'],
    here: 'A 304 to a hit has an Age.',
    because: 'RFC 9111 §5.1',
    steps: { 1: { headers: { age: '50' } } },
  },
  {
    cases: ['mw430'],
    here: 'A 304 has the headers that do not describe a body, and a hit’s has an Age.',
    because: 'As Express does by itself.',
    steps: { 1: { headers: { age: '0', 'x-custom': '1' } } },
  },
  {
    cases: ['mw429'],
    here: 'What sets a cookie is not stored.',
    because: 'CVE-2026-48588: everybody would get the cookie of one.',
    steps: {
      0: { stored: false, headers: UNSAID },
      1: { hit: false, viewRan: true, ttl: undefined, headers: UNSAID },
    },
  },
  {
    cases: ['mw437'],
    here: 'The cache answers conditions by itself.',
    because: 'RFC 9111 §4.3.2; Express does so without a cache.',
    steps: Object.fromEntries([1, 3, 4, 5, 6].map((step) => [step, NOT_MODIFIED])),
  },
  {
    cases: ['mw439'],
    here: 'The cache answers conditions by itself.',
    because: 'RFC 9111 §4.3.2; Express does so without a cache.',
    steps: { 1: NOT_MODIFIED, 3: NOT_MODIFIED },
  },
  {
    cases: ['mw441'],
    here: 'What sets a cookie is not stored.',
    because: 'CVE-2026-48588: everybody would get the cookie of one.',
    steps: {
      0: { stored: false, headers: UNSAID },
      1: {
        ...passed(''),
        ...NOT_MODIFIED,
        headers: { ...UNSAID, 'content-type': undefined, age: undefined },
      },
    },
  },
]

/** What Django's steps gave, but for what is other here. */
export function expectedOutcomes(
  sequence: Sequence,
  difference: Difference | undefined,
): StepOutcome[] {
  return sequence.results.map((_result, i) => {
    const { headers, ...recorded } = recordedOutcome(sequence, i)
    const { headers: otherHeaders, ...other } = difference?.steps?.[i] ?? {}
    const all = Object.entries({ ...headers, ...otherHeaders })
    const present = all.filter((header): header is [string, string] => header[1] !== undefined)
    return { ...recorded, ...other, headers: Object.fromEntries(present) }
  })
}
