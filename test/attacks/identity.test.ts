import onHeaders from 'on-headers'
import {
  bobGetsSecret,
  describeAttacks,
  SECRET,
  secretView,
  someoneGetsAnothers,
  type Attack,
} from '../support/attacks.js'
import { session } from '../support/express.js'

interface Visitor {
  user?: string
  session: { token?: string; basket?: string }
}

const visitorOf = (req: object): Visitor => req as Visitor

const [ALICE, BOB] = [{ Authorization: 'Basic alice' }, { Authorization: 'Basic bob' }]

const authorizations: readonly (readonly [string, string | undefined])[] = [
  ['', undefined],
  [', whatever the answer says of max-age', 'max-age=600'],
  [', though the answer may be revalidated', 'must-revalidate'],
  [', though the answer is for shared caches', 's-maxage=600'],
  [', though an unknown directive holds the word', 'x-public, max-age=600'],
]

describeAttacks(
  'who asks',
  [
    ...authorizations.flatMap(([what, cacheControl]): Attack[] =>
      (
        [
          ['a user, then nobody', ALICE, {}],
          ['a user, then another', ALICE, BOB],
          ['a user, then an empty header', ALICE, { Authorization: '' }],
        ] as const
      ).map(([who, alice, bob]) => ({
        name: `Authorization: ${who}${what}`,
        about: 'CVE-2026-35193, RFC 9111 §3.5',
        view: (req, res) => {
          if (cacheControl !== undefined) res.set('Cache-Control', cacheControl)
          res.end(req.headers.authorization === 'Basic alice' ? SECRET : 'nothing')
        },
        succeeds: (target) => bobGetsSecret(target, alice, bob),
      })),
    ),
    {
      name: 'Authorization: nobody, then a user, who is given the page for nobody',
      about: 'RFC 9111 §3.5',
      view: (req, res) => res.end(`for ${req.headers.authorization ?? 'nobody'}`),
      succeeds: async ({ site }) => {
        await site.get('/p')
        return (await site.get('/p', { headers: ALICE })).text !== 'for Basic alice'
      },
    },
    {
      name: 'Authorization: a user, nobody, the user again',
      about: 'CVE-2026-35193: the list of headers is written over by the page for nobody',
      view: (req, res) => res.end(`for ${req.headers.authorization ?? 'nobody'}`),
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: ALICE })
        await site.get('/p')
        const answers = [
          await site.get('/p', { headers: ALICE }),
          await site.get('/p', { headers: BOB }),
          await site.get('/p'),
        ]
        return answers.map(({ text }) => text).join() !== 'for Basic alice,for Basic bob,for nobody'
      },
    },
    {
      name: 'an absent header taken for an empty one',
      about: 'CVE-2026-113593',
      view: (req, res) => {
        res.vary('X-User').end(req.headers['x-user'] === undefined ? SECRET : 'nothing')
      },
      succeeds: (target) => bobGetsSecret(target, {}, { 'X-User': '' }),
      naive: { keyOf: (req) => req.originalUrl + (req.get('x-user') ?? '') },
    },
    {
      name: 'an absent header taken for the mark of an absent one',
      about: 'CVE-2026-113593',
      view: (req, res) => {
        res.vary('X-User').end(req.headers['x-user'] === undefined ? SECRET : 'nothing')
      },
      succeeds: (target) => bobGetsSecret(target, {}, { 'X-User': '-,' }),
      naive: { keyOf: (req) => req.originalUrl + (req.get('x-user') ?? '-,') },
    },
    {
      name: 'values of two headers run together',
      about: "Django's ticket before 6.1: header values were joined without their lengths",
      view: (req, res) => {
        res.vary('X-A, X-B').end(req.headers['x-b'] === '23' ? SECRET : 'nothing')
      },
      succeeds: (target) =>
        bobGetsSecret(target, { 'X-A': '1', 'X-B': '23' }, { 'X-A': '12', 'X-B': '3' }),
      naive: { keyOf: (req) => `${req.originalUrl}${req.get('x-a')}${req.get('x-b')}` },
    },
    {
      name: 'values that hold the lengths of others',
      about: 'a length in a value taken for that of the next',
      view: (req, res) => {
        res.vary('X-A, X-B').end(req.headers['x-b'] === 'y' ? SECRET : 'nothing')
      },
      succeeds: (target) =>
        bobGetsSecret(target, { 'X-A': 'x', 'X-B': 'y' }, { 'X-A': 'x,1:y', 'X-B': '' }),
      naive: {
        keyOf: (req) =>
          [req.originalUrl, req.get('x-a'), req.get('x-b')].filter(Boolean).join(',1:'),
      },
    },
    {
      name: 'a header list that shrinks: an answer without Vary makes the next variant everybody’s',
      about: 'the header list of a URL only grows',
      view: (req, res) => {
        if (req.headers['x-user'] !== undefined) res.vary('X-User')
        res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
      },
      succeeds: async (target) => {
        await target.site.get('/p', { headers: { 'X-User': 'carol' } })
        await target.site.get('/p')
        return someoneGetsAnothers(target, { 'X-User': 'alice' }, { 'X-User': 'bob' })
      },
    },
    {
      name: 'a header list that grows late: the first answers named fewer headers',
      about: 'CVE-2026-103004',
      view: (req, res) => {
        if (req.headers['x-beta'] === '1') res.vary('X-User')
        res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
      },
      succeeds: async (target) => {
        await target.site.get('/p', { headers: { 'X-User': 'carol', 'X-Beta': '1' } })
        return someoneGetsAnothers(
          target,
          { 'X-User': 'alice', 'X-Beta': '1' },
          { 'X-User': 'bob', 'X-Beta': '1' },
        )
      },
    },
    {
      name: 'names that every object has, in Vary',
      about: 'prototype keys',
      view: (req, res) => {
        res.setHeader('Vary', '__proto__, constructor, toString, X-User')
        res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
      },
      succeeds: bobGetsSecret,
    },
    {
      name: 'x_user taken for X-User',
      about: 'CVE-2025-71381: two spellings of a header, one variant',
      view: (req, res) => {
        res.setHeader('Vary', 'X-User, X_User')
        res.end(
          req.headers['x-user'] === 'alice' ? SECRET : `nothing for ${String(req.headers.x_user)}`,
        )
      },
      succeeds: (target) => bobGetsSecret(target, { 'X-User': 'alice' }, { X_User: 'alice' }),
      naive: { keyOf: (req) => `${req.originalUrl} ${req.get('x-user') ?? req.get('x_user')}` },
    },
    {
      name: 'a Vary header of the request that chooses the variant',
      about: 'CVE-2025-71381',
      view: secretView((res) => res.vary('X-User')),
      succeeds: (target) =>
        bobGetsSecret(
          target,
          { 'X-User': 'alice', Vary: 'X-Other' },
          { 'X-User': 'bob', Vary: 'X-Other' },
        ),
      naive: {
        keyOf: (req) => `${req.originalUrl} ${req.get(req.get('vary') ?? 'x-user')}`,
      },
    },
    {
      name: 'the content type that another asked for',
      about: 'CVE-2020-5255',
      view: (_req, res) => {
        res.format({
          'application/json': () => res.json({ x: '<script>' }),
          'text/html': () => res.send('<p>'),
        })
      },
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { Accept: 'application/json' } })
        const answer = await site.get('/p', { headers: { Accept: 'text/html' } })
        return answer.text !== '<p>' || !/html/.test(answer.headers['content-type'] ?? '')
      },
    },
    {
      name: 'the permission that another origin was given',
      about: 'CORS: a layer around the cache says who may read, for each request',
      layers: (app, cache, view) => {
        app.use((req, res, next) => {
          res.set('Access-Control-Allow-Origin', req.get('origin') ?? 'none')
          next()
        })
        app.use(cache, view)
      },
      view: (_req, res) => res.end('page'),
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { Origin: 'https://evil.test' } })
        const { headers } = await site.get('/p', { headers: { Origin: 'https://good.test' } })
        return headers['access-control-allow-origin'] !== 'https://good.test'
      },
    },
    {
      name: 'the page of a signed-in visitor whose handler forgot Vary: Cookie',
      about: 'CVE-2023-30861, CVE-2026-35192',
      layers: (app, cache, view) => {
        app.use((req, _res, next) => {
          const user = /user=(\w+)/.exec(req.headers.cookie ?? '')?.[1]
          if (user !== undefined) Object.assign(req, { user })
          next()
        })
        app.use(cache, view)
      },
      view: (req, res) => res.end(visitorOf(req).user === 'alice' ? SECRET : 'nothing'),
      succeeds: (target) => bobGetsSecret(target, { Cookie: 'user=alice' }, { Cookie: 'user=bob' }),
    },
    {
      name: 'a signed-in visitor is given the page for nobody',
      about: 'CVE-2026-35192',
      layers: (app, cache, view) => {
        app.use((req, _res, next) => {
          if (req.headers.cookie !== undefined) Object.assign(req, { user: req.headers.cookie })
          next()
        })
        app.use(cache, view)
      },
      view: (req, res) => res.end(`for ${visitorOf(req).user ?? 'nobody'}`),
      succeeds: async ({ site }) => {
        await site.get('/p')
        const answer = await site.get('/p', { headers: { Cookie: 'user=bob' } })
        return answer.text !== 'for user=bob'
      },
    },
    {
      name: 'a visitor who is signed in by the view itself',
      about: 'what the view finds out counts as well',
      view: (req, res) => {
        const user = /user=(\w+)/.exec(req.headers.cookie ?? '')?.[1]
        if (user !== undefined) Object.assign(req, { user })
        res.end(user === 'alice' ? SECRET : 'nothing')
      },
      succeeds: (target) => bobGetsSecret(target, { Cookie: 'user=alice' }, { Cookie: 'user=bob' }),
    },
    {
      name: 'a session around the cache that says Vary: Cookie when it is nearly out',
      about: 'CVE-2023-30861, CVE-2026-35192: a session was read and the page does not say so',
      layers: (app, cache, view) => {
        app.use((_req, res, next) => {
          onHeaders(res, () => void res.vary('Cookie'))
          next()
        })
        app.use(cache, view)
      },
      view: (req, res) => res.end(/alice/.test(req.headers.cookie ?? '') ? SECRET : 'nothing'),
      succeeds: (target) => bobGetsSecret(target, { Cookie: 'user=alice' }, { Cookie: 'user=bob' }),
    },
    {
      name: "the token in a form, made from another visitor's session",
      about: 'CVE-2014-0473',
      layers: (app, cache, view) => {
        app.use(session({ secret: 's', resave: false, saveUninitialized: false }))
        app.use((req, res, next) => {
          if (req.path !== '/login') return next()
          visitorOf(req).session.token = `token of ${req.url}`
          res.end()
        })
        app.use(cache, view)
      },
      view: (req, res) => res.end(`<input value="${visitorOf(req).session.token ?? ''}">`),
      succeeds: async ({ site }) => {
        const login = async (user: string) => {
          const { headers } = await site.get(`/login?user=${user}`)
          return { Cookie: headers['set-cookie']?.[0]?.split(';')[0] ?? '' }
        }
        const [alice, bob] = [await login('alice'), await login('bob')]
        await site.get('/form', { headers: alice })
        return (await site.get('/form', { headers: bob })).text.includes('alice')
      },
    },
    {
      name: 'a session that begins while the page is made',
      about: 'CVE-2012-2671: its cookie would go to all',
      layers: (app, cache, view) => {
        app.use(session({ secret: 's', resave: false, saveUninitialized: false }))
        app.use(cache, view)
      },
      view: (req, res) => {
        visitorOf(req).session.basket = req.headers['x-user'] === 'alice' ? SECRET : 'nothing'
        res.end(visitorOf(req).session.basket)
      },
      succeeds: bobGetsSecret,
    },
    {
      name: 'a session whose cookie is set again with each answer, on a page for all',
      about: 'CVE-2023-30861: the cookie of one goes out with the page of another',
      layers: (app, cache, view) => {
        const options = { secret: 's', resave: false, rolling: true, saveUninitialized: true }
        app.use(cache, session(options), view)
      },
      view: (_req, res) => res.end('page'),
      succeeds: async ({ site }) => {
        const alice = await site.get('/p')
        const bob = await site.get('/p')
        return alice.headers['set-cookie']?.[0] === bob.headers['set-cookie']?.[0]
      },
    },
    {
      name: 'a language that holds the mark between the parts of a key',
      about: 'parts of a key that run into each other',
      options: {
        language: (req) => req.get('x-language'),
        timeZone: (req) => req.get('x-zone'),
      },
      view: (req, res) => res.end(req.get('x-zone') === 'UTC' ? SECRET : 'nothing'),
      succeeds: (target) =>
        bobGetsSecret(target, { 'X-Language': 'de', 'X-Zone': 'UTC' }, { 'X-Language': 'de.UTC' }),
      naive: {
        keyOf: (req) =>
          [req.url, req.get('x-language'), req.get('x-zone')].filter(Boolean).join('.'),
      },
    },
    {
      name: 'a language that the view changes',
      about: 'a page stored under another language than it is in',
      options: { language: (req) => (req as { language?: string }).language ?? 'en' },
      view: (req, res) => {
        const language = req.get('x-language') ?? 'en'
        Object.assign(req, { language })
        res.end(`in ${language}`)
      },
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { 'X-Language': 'de' } })
        return (await site.get('/p')).text !== 'in en'
      },
    },
  ],
  { inHalves: true, later: true },
)
