import { describe, expect, it } from 'vitest'
import type { StoredResponse } from '../../src/http/stored-response.js'
import {
  decide,
  decideJoined,
  mayAnswerPerUser,
  type Asking,
  type FoundPage,
} from '../../src/pages/decide.js'
import { requestDirectives } from '../../src/pages/reuse.js'

const NOW_MS = 1_700_000_000_000

/** A page that is fresh for another minute, unless told otherwise. */
function pageWith(changes: Partial<StoredResponse> = {}): StoredResponse {
  return {
    status: 200,
    headers: [['ETag', '"1"']],
    said: [],
    removed: [],
    storedAtMs: NOW_MS - 60_000,
    ageSeconds: 0,
    freshUntilMs: NOW_MS + 60_000,
    ifErrorSeconds: 0,
    whileRevalidateSeconds: 0,
    uri: 'http://a.test/',
    generation: 'g',
    nominated: [],
    isPublic: false,
    isForAuthorized: false,
    mustValidate: false,
    mayBeStale: true,
    isWhole: false,
    codings: [],
    body: Buffer.from('page'),
    encoded: [],
    ...changes,
  }
}

const ended = { freshUntilMs: NOW_MS - 10_000 }

function asks(changes: Partial<Asking> & { readonly control?: string } = {}): Asking {
  const { control, ...others } = changes
  return {
    method: 'GET',
    headers: {},
    directives: requestDirectives(control === undefined ? {} : { 'cache-control': control }),
    isPerUser: false,
    isDetached: false,
    isReadOnly: false,
    waits: true,
    ...others,
  }
}

interface Row {
  readonly says: string
  readonly page?: StoredResponse
  readonly found?: Partial<FoundPage>
  readonly asking?: Asking
  /** Of the decision. */
  readonly is: Readonly<Record<string, unknown>>
}

const rows: readonly Row[] = [
  {
    says: 'a fresh page answers, and may be made again early',
    page: pageWith(),
    is: { kind: 'answer', outcome: 'hit', refresh: 'by-chance' },
  },
  { says: 'without a page one waits for whoever makes it', is: { kind: 'wait', validates: false } },
  {
    says: 'where nobody waits, each goes to the handler',
    asking: asks({ waits: false }),
    is: { kind: 'forward' },
  },
  {
    says: 'RFC 5861 §3: a page in its grace answers while it is made again',
    page: pageWith({ ...ended, whileRevalidateSeconds: 60 }),
    is: { kind: 'answer', outcome: 'stale', reason: 'stale-while-revalidate', refresh: 'now' },
  },
  {
    says: 'RFC 9111 §4.3: one past its grace is validated',
    page: pageWith({ ...ended, whileRevalidateSeconds: 5 }),
    is: { kind: 'wait', validates: true },
  },
  {
    says: 'RFC 9111 §5.2.1.2: max-stale takes it as it is',
    page: pageWith(ended),
    asking: asks({ control: 'max-stale=60' }),
    is: { kind: 'answer', outcome: 'stale', reason: 'max-stale', refresh: 'no' },
  },
  {
    says: 'RFC 9111 §5.2.1.4: no-cache asks the handler, and waits for nobody',
    page: pageWith(),
    asking: asks({ control: 'no-cache' }),
    is: { kind: 'forward', validates: true },
  },
  {
    says: 'RFC 9111 §5.2.1.7: only-if-cached asks no handler',
    asking: asks({ control: 'only-if-cached' }),
    is: { kind: 'leave', reason: 'only-if-cached' },
  },
  {
    says: 'a middleware that only reads leaves it to what comes behind',
    asking: asks({ isReadOnly: true }),
    is: { kind: 'leave', reason: 'no-update-cache' },
  },
  {
    says: 'a run in the background is not answered with what it is to make again',
    page: pageWith(),
    asking: asks({ isDetached: true }),
    is: { kind: 'wait' },
  },
  {
    says: 'a page that was softly invalidated is not to be confirmed',
    page: pageWith(ended),
    found: { isSoft: true },
    is: { kind: 'wait', validates: false },
  },
  {
    says: 'nor is one with holes',
    page: pageWith({ ...ended, holes: [[0, 'e', 't', 'h']] }),
    is: { kind: 'wait', validates: false },
  },
  {
    says: 'If-Match is for the handler',
    page: pageWith(ended),
    asking: asks({ headers: { 'if-match': '"2"' } }),
    is: { kind: 'wait', validates: false },
  },
  {
    says: 'a part confirms no whole, and is waited for by nobody',
    page: pageWith(ended),
    asking: asks({ headers: { range: 'bytes=0-1' } }),
    is: { kind: 'forward', validates: false },
  },
  {
    says: 'HEAD brings no page that others could wait for',
    page: pageWith(ended),
    asking: asks({ method: 'HEAD' }),
    is: { kind: 'forward', validates: false },
  },
  {
    says: 'credentials wait for nobody',
    asking: asks({ headers: { authorization: 'Bearer 1' } }),
    is: { kind: 'forward' },
  },
  {
    says: 'nor does a visitor whom the site knows',
    asking: asks({ isPerUser: true }),
    is: { kind: 'forward' },
  },
  {
    says: 'that a page is there for others is handed on',
    found: { isPassedOver: true },
    is: { kind: 'wait', isPassedOver: true, stale: undefined },
  },
]

describe('what becomes of a request', () => {
  it.each(rows)('$says', ({ page, found, asking = asks(), is }) => {
    const known = { page, isPassedOver: false, isSoft: false, ...found }
    expect(decide(known, asking, NOW_MS)).toMatchObject(is)
  })
})

describe('what becomes of a request that waited', () => {
  const directives = requestDirectives({})

  it.each([
    ['a fresh page', pageWith(), false, { kind: 'answer', outcome: 'joined' }],
    ['one that has ended meanwhile', pageWith(ended), false, { kind: 'forward' }],
    [
      'an older page that stands in for a handler that failed',
      pageWith({ ...ended, ifErrorSeconds: 60 }),
      true,
      { kind: 'answer', outcome: 'stale', reason: 'view-failed' },
    ],
    [
      'one that stands in no longer',
      pageWith({ ...ended, ifErrorSeconds: 5 }),
      true,
      { kind: 'forward' },
    ],
  ])('%s', (_what, page, standsIn, is) => {
    expect(decideJoined(page, standsIn, directives, NOW_MS)).toEqual(is)
  })

  it('asks the handler where it wants what was made for it alone', () => {
    const own = requestDirectives({ 'cache-control': 'no-cache' })
    expect(decideJoined(pageWith(), false, own, NOW_MS)).toEqual({ kind: 'forward' })
  })
})

describe('a visitor whom the site knows', () => {
  it.each([
    ['is given what is public', pageWith({ isPublic: true }), true],
    ['is not given what does not say so', pageWith(), false],
    [
      'is given what was made for the same cookie',
      pageWith({ nominated: [['cookie', 'a=1']] }),
      true,
    ],
    ['is not given what was made without one', pageWith({ nominated: [['cookie', null]] }), false],
  ])('%s', (_what, page, isGiven) => {
    expect(mayAnswerPerUser(page)).toBe(isGiven)
  })
})
