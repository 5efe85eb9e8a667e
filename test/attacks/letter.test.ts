import {
  bobGetsSecret,
  describeAttacks,
  SECRET,
  secretView,
  type Attack,
} from '../support/attacks.js'

const FRESH = 'max-age=600'

const letter = { rfc9111: true } as const

const conditions: readonly (readonly [number, Record<string, string>])[] = [
  [412, { 'If-Match': '"other"' }],
  [412, { 'If-Unmodified-Since': 'Sun, 06 Nov 1994 08:49:37 GMT' }],
  [416, { Range: 'bytes=99-' }],
  [304, { 'If-None-Match': '"1"' }],
]

describeAttacks("the RFC's letter", [
  ...['private', 'no-store', 'private="x"', 'max-age=600, private'].map((spelling): Attack => ({
    name: `Cache-Control: ${spelling}, to the letter`,
    about: 'RFC 9111 §5.2.2',
    options: letter,
    view: secretView((res) => res.set({ 'Cache-Control': spelling, Expires: 'x' })),
    succeeds: bobGetsSecret,
  })),
  {
    name: 'Vary: *, to the letter',
    about: 'RFC 9111 §4.1',
    options: letter,
    view: secretView((res) => res.set({ 'Cache-Control': FRESH, Vary: 'Accept, *' })),
    succeeds: bobGetsSecret,
  },
  {
    name: 'Authorization of an answer that says nothing of shared caches, to the letter',
    about: 'RFC 9111 §3.5',
    options: letter,
    view: (req, res) => {
      res.set('Cache-Control', FRESH)
      res.end(req.headers.authorization === 'Basic alice' ? SECRET : 'nothing')
    },
    succeeds: (target) =>
      bobGetsSecret(target, { Authorization: 'Basic alice' }, { Authorization: 'Basic bob' }),
  },
  ...conditions.map(([status, headers]): Attack => ({
    name: `the ${status} that one client asked for with ${Object.keys(headers).join()}, to the letter`,

    about: 'RFC 9111 §4.3: it answers the condition of one',
    options: letter,
    view: (req, res) => {
      res.set({ 'Cache-Control': FRESH, ETag: '"1"' })
      if (Object.keys(headers).some((one) => req.headers[one.toLowerCase()] !== undefined)) {
        return res.status(status).end()
      }
      return res.end('the whole')
    },
    succeeds: async ({ site }) => {
      await site.get('/p', { headers })
      return (await site.get('/p')).text !== 'the whole'
    },
  })),
  ...[302, 400, 413, 431, 500, 503].map((status): Attack => ({
    name: `a ${status} that says nothing of how long it is fresh, on a view with seconds`,
    about: 'CPDoS: the seconds are those of good answers',
    options: letter,
    only: 'view',
    view: (req, res) => {
      if (req.headers['x-odd'] === undefined) return res.end('fine')
      return res.status(status).end('odd')
    },
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: { 'X-Odd': '1' } })
      return (await site.get('/p')).text !== 'fine'
    },
  })),
  {
    name: 'a cookie in an answer that says nothing of how long it is fresh, on a view with seconds',
    about: 'CVE-2026-48588',
    options: letter,
    only: 'view',
    view: (_req, res) => res.cookie('sid', SECRET).end('page'),
    succeeds: async ({ site, keys }) => {
      await site.get('/p')
      return (await keys()).length > 0
    },
  },
  {
    name: 'two cookies that differ in a blank, to the letter',
    about: 'RFC 9111 §4.1: what may be spelled in two ways is for the header to say',
    options: letter,
    view: (req, res) => {
      res.set({ 'Cache-Control': FRESH, Vary: 'Cookie' })
      res.end(req.headers.cookie === 's=a,b' ? SECRET : 'nothing')
    },
    succeeds: (target) => bobGetsSecret(target, { Cookie: 's=a,b' }, { Cookie: 's=a, b' }),
  },
])
