import { describe, expect, it } from 'vitest'
import { judge, judgeEnd, type Came, type Inside } from '../../src/pages/judge.js'
import type { StoreOptions } from '../../src/pages/policy.js'

const NOW_MS = 1_700_000_000_000

const nothing: Inside = { isUnfit: false, holdsOld: false, holes: 'none' }

const options: StoreOptions = { siteSeconds: 600, maxBodyBytes: 1000 }

type Changes = Partial<Omit<Came, 'inside'>> & { readonly inside?: Partial<Inside> }

function came({ inside, ...others }: Changes = {}): Came {
  return {
    request: { method: 'GET', ranged: false },
    response: { status: 200, headers: {} },
    visitor: undefined,
    change: undefined,
    inside: { ...nothing, ...inside },
    ...others,
  }
}

interface Row {
  readonly says: string
  readonly came?: Changes
  readonly reason: string | undefined
  readonly isPerUser?: boolean
  /** Whether caches after us are told the time that is kept. */
  readonly tells?: boolean
}

const setsCookie = { status: 200, headers: { 'set-cookie': ['a=1'] } }

const rows: readonly Row[] = [
  { says: 'a plain page is kept', reason: undefined, tells: true },
  {
    says: 'an error is not',
    came: { response: { status: 500, headers: {} } },
    reason: 'status',
  },
  {
    says: 'what says private is not',
    came: { response: { status: 200, headers: { 'cache-control': 'private' } } },
    reason: 'private',
  },
  { says: 'a cookie is its owner’s', came: { response: setsCookie }, reason: 'set-cookie' },
  {
    says: 'a page of a visitor whom the site knows is theirs',
    came: { visitor: { reason: 'personal', hasCookie: true } },
    reason: 'personal',
  },
  {
    says: 'HEAD makes no page, and tells what GET would',
    came: { request: { method: 'HEAD', ranged: false } },
    reason: 'head',
    tells: true,
  },
  {
    says: 'what was asked for as a part may be one',
    came: { request: { method: 'GET', ranged: true } },
    reason: 'range',
    tells: true,
  },
  {
    says: 'what is answered in another language was not looked up, whatever else it is',
    came: { change: 'language-changed', response: { status: 500, headers: {} } },
    reason: 'language-changed',
  },
  {
    says: 'an undeclared read makes it the visitor’s',
    came: { inside: { isUnfit: true } },
    reason: 'undeclared-read',
    isPerUser: true,
  },
  {
    says: 'what the headers say comes before what is inside',
    came: { inside: { isUnfit: true }, response: { status: 404, headers: {} } },
    reason: 'status',
    isPerUser: true,
  },
  {
    says: 'something past its time inside keeps it from being stored, and nothing is told of it',
    came: { inside: { holdsOld: true } },
    reason: 'stale-inside',
  },
  {
    says: 'filled holes make the answer the visitor’s, and the page is kept',
    came: { inside: { holes: 'filled' } },
    reason: undefined,
    isPerUser: true,
  },
  {
    says: 'lost holes keep it from being stored',
    came: { inside: { holes: 'lost' } },
    reason: 'holes',
    isPerUser: true,
  },
]

describe('what becomes of what came back', () => {
  it.each(rows)('$says', ({ came: changes, reason, isPerUser = false, tells = false }) => {
    const judgement = judge(came(changes), options, NOW_MS)
    expect({
      reason: judgement.keeps ? undefined : judgement.reason,
      isPerUser: judgement.isPerUser,
      tells: judgement.downstream !== undefined,
    }).toEqual({ reason, isPerUser, tells })
  })

  it('by the letter of the RFC keeps a cookie, but not beside filled holes', () => {
    const letter = { ...options, rfc9111: true }
    const response = { status: 200, headers: { 'set-cookie': 'a=1', 'cache-control': 'max-age=9' } }
    expect(judge(came({ response }), letter, NOW_MS).keeps).toBe(true)
    expect(judge(came({ response, inside: { holes: 'filled' } }), letter, NOW_MS)).toMatchObject({
      keeps: false,
      reason: 'set-cookie',
    })
  })

  it('keeps a page no longer than what is in it', () => {
    const endsAtMs = NOW_MS + 5000
    expect(judge(came(), { ...options, endsAtMs }, NOW_MS)).toMatchObject({
      keeps: true,
      verdict: { keepSeconds: 5 },
    })
  })
})

describe('what becomes of a page that has ended whole', () => {
  it.each([
    ['it is kept', undefined, false, nothing, undefined],
    ['a layer around set a cookie at last', 'set-cookie', false, nothing, 'set-cookie'],
    ['cookies were read after the headers', undefined, true, nothing, 'cookies-read'],
    ['an undeclared read', undefined, false, { ...nothing, isUnfit: true }, 'undeclared-read'],
    ['something past its time', undefined, false, { ...nothing, holdsOld: true }, 'stale-inside'],
    ['holes that were lost', undefined, false, { ...nothing, holes: 'lost' }, 'holes'],
    ['the headers first', 'private', true, { ...nothing, holes: 'lost' }, 'private'],
  ] as const)('%s', (_what, refusal, lacksVary, inside, reason) => {
    expect(judgeEnd(refusal, lacksVary, inside)).toBe(reason)
  })
})
