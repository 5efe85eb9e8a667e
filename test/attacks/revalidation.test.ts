import { conditionalGet } from 'fragcache/express'
import {
  bobGetsSecret,
  describeAttacks,
  SECRET,
  type Attack,
  type FreshView,
} from '../support/attacks.js'
import { pause } from '../support/waiting.js'

const ALICE = { 'X-User': 'alice' }
const BOB = { 'X-User': 'bob' }

/** After this time the pages have expired, and may be validated still. */
const EXPIRED = 601

const REVALIDATING = { seconds: 600, revalidates: true } as const

/** A page that is published again by a request for `/publish`, with the version as its ETag. */
const PUBLISHED: FreshView = {
  make: () => {
    let version = 1
    return (req, res) => {
      if (req.path === '/publish') return res.end(`published ${++version}`)
      res.set('ETag', `"${version}"`)
      if (req.headers['if-none-match'] === `"${version}"`) return res.status(304).end()
      return res.end(`version ${version}`)
    }
  },
}

/** A page that is broken by a request for `/break`, or by an odd header for one request. */
const BREAKABLE: FreshView = {
  make: () => {
    let [isBroken, version] = [false, 'old']
    return (req, res) => {
      if (req.path === '/break') isBroken = true
      if (req.path === '/change') version = 'new'
      if (isBroken || req.headers['x-odd'] !== undefined) return res.status(500).end('broken')
      return res.end(version)
    }
  },
}

const firstConditions: readonly (readonly [string, Record<string, string>, number])[] = [
  ['If-None-Match', { 'If-None-Match': '"1"' }, 304],
  ['If-None-Match: *', { 'If-None-Match': '*' }, 304],
  ['If-Modified-Since', { 'If-Modified-Since': 'Sun, 06 Nov 2044 08:49:37 GMT' }, 304],
  ['If-Match', { 'If-Match': '"other"' }, 412],
  ['If-Unmodified-Since', { 'If-Unmodified-Since': 'Sun, 06 Nov 1994 08:49:37 GMT' }, 412],
]

describeAttacks(
  'validation',
  [
    ...firstConditions.map(([name, headers, status]): Attack => ({
      name: `the ${status} that one client asked for with ${name}, for everybody`,
      about: 'RFC 9111 §4.3: it answers the condition of one',
      view: (req, res) => {
        res.set({ ETag: '"1"', 'Last-Modified': 'Sun, 06 Nov 2004 08:49:37 GMT' })
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
    {
      name: 'the 304 that a layer around the cache makes for one client, for everybody',
      about: 'what is stored is the answer of the view, not what became of it for one client',
      layers: (app, cache, view) => {
        app.use(conditionalGet(), cache, view)
      },
      view: (_req, res) => res.set('ETag', '"1"').end('the whole'),
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { 'If-None-Match': '"1"' } })
        return (await site.get('/p')).text !== 'the whole'
      },
    },
    {
      name: 'a 304 that nobody asked for, for everybody',
      about: 'RFC 9111 §3: a 304 is no page',
      view: (req, res) => {
        if (req.headers['x-odd'] === undefined) return res.end('the whole')
        return res.status(304).end()
      },
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { 'X-Odd': '1' } })
        return (await site.get('/p')).text !== 'the whole'
      },
    },
    {
      name: 'two variants with one ETag, of which the 304 for the second makes the first fresh',
      about: 'RFC 9111 §4.3.4: an ETag tells the variants of one URL apart, or should',
      view: (req, res) => {
        res.vary('X-User').set('ETag', '"1"')
        if (req.headers['if-none-match'] === '"1"') return res.status(304).end()
        return res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
      },
      succeeds: async (target) => {
        await target.site.get('/p', { headers: ALICE })
        target.advance(EXPIRED)
        return bobGetsSecret(target, BOB, BOB)
      },
      naive: REVALIDATING,
    },
    {
      name: 'a 304 to an ETag of the client, which makes another version fresh',
      about: 'RFC 9111 §4.3.4: it speaks of what the client has, not of what the cache has',
      view: PUBLISHED,
      succeeds: async ({ site, advance }) => {
        await site.get('/p')
        await site.get('/publish')
        advance(EXPIRED)
        await site.get('/p', { headers: { 'If-None-Match': '"2"' } })
        return (await site.get('/p')).text !== 'version 2'
      },
      naive: REVALIDATING,
    },
    {
      name: 'the cookie in a 304, replayed to others',
      about: 'CVE-2026-48588: the headers of a 304 become those of the page',
      view: (req, res) => {
        res.set('ETag', '"1"')
        if (req.headers['if-none-match'] !== '"1"') return res.end('page')
        return res
          .cookie('sid', req.get('x-user') === 'alice' ? SECRET : 'x')
          .status(304)
          .end()
      },
      succeeds: async ({ site, advance }) => {
        await site.get('/p')
        advance(EXPIRED)
        await site.get('/p', { headers: ALICE })
        const bob = await site.get('/p', { headers: BOB })
        return decodeURIComponent(JSON.stringify(bob.headers)).includes(SECRET)
      },
      naive: REVALIDATING,
    },
    ...(
      [
        ['Content-Length', '3'],
        ['Content-Encoding', 'gzip'],
      ] as const
    ).map(([name, value]): Attack => ({
      name: `the ${name} in a 304, which breaks the page`,
      about: 'RFC 9111 §3.2: it describes a body that did not come',
      view: (req, res) => {
        res.set('ETag', '"1"')
        if (req.headers['if-none-match'] !== '"1"') return res.end('the whole')
        return res.set(name, value).status(304).end()
      },
      succeeds: async ({ site, advance }) => {
        await site.get('/p')
        advance(EXPIRED)
        await site.get('/p')
        const answer = await site.get('/p').catch(() => undefined)
        return answer?.text !== 'the whole' || answer.headers['content-encoding'] !== undefined
      },
      naive: REVALIDATING,
    })),
    {
      name: 'a private answer to the request that validates, for everybody',
      about: 'CVE-2026-94544',
      view: (req, res) => {
        res.set('ETag', '"1"')
        if (req.get('x-user') === undefined) return res.end('page')
        return res.set('Cache-Control', 'private').end(SECRET)
      },
      succeeds: async ({ site, advance }) => {
        await site.get('/p')
        advance(EXPIRED)
        await site.get('/p', { headers: ALICE })
        return (await site.get('/p')).text.includes(SECRET)
      },
      naive: REVALIDATING,
    },
    {
      name: 'what a view made for a signed-in visitor while the old page was served, for everybody',
      about: 'stale-while-revalidate: the view runs with the request of one visitor',
      options: { staleWhileRevalidate: 300 },
      layers: (app, cache, view) => {
        app.use((req, _res, next) => {
          if (req.headers['x-user'] === 'alice') Object.assign(req, { user: 'alice' })
          next()
        })
        app.use(cache, view)
      },
      view: (req, res) => res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing'),
      succeeds: async ({ site, advance }) => {
        await site.get('/p')
        advance(EXPIRED)
        await site.get('/p', { headers: ALICE })
        await pause(30)
        const answers = [await site.get('/p', { headers: BOB }), await site.get('/p')]
        return answers.some(({ text }) => text.includes(SECRET))
      },
      naive: { seconds: 600 },
    },
    {
      name: 'an error that one request provokes while the old page is served, for everybody',
      about: 'stale-while-revalidate, CPDoS',
      options: { staleWhileRevalidate: 300 },
      view: BREAKABLE,
      succeeds: async ({ site, advance }) => {
        await site.get('/p')
        advance(EXPIRED)
        await site.get('/p', { headers: { 'X-Odd': '1' } })
        await pause(30)
        return (await site.get('/p')).text === 'broken'
      },
      naive: { seconds: 600 },
    },
    {
      name: 'errors that one client provokes, which keep an old page for ever',
      about: 'stale-if-error',
      options: { staleIfError: 300 },
      view: BREAKABLE,
      succeeds: async ({ site, advance }) => {
        await site.get('/p')
        await site.get('/change')
        advance(EXPIRED)
        for (let i = 0; i < 5; i++) {
          await site.get('/p', { headers: { 'X-Odd': '1' } })
          advance(200)
        }
        return (await site.get('/p')).text === 'old'
      },
      naive: { seconds: 600, staleIfError: true },
    },
    {
      name: 'an old page served long after its time, while the view fails',
      about: 'stale-if-error has an end: RFC 5861 §4',
      options: { staleIfError: 300 },
      view: BREAKABLE,
      succeeds: async ({ site, advance }) => {
        await site.get('/p')
        await site.get('/break')
        advance(EXPIRED + 300)
        const answers = [await site.get('/p'), await site.get('/p')]
        return answers.some(({ text }) => text === 'old')
      },
      naive: { seconds: 600, staleIfError: true },
    },
    {
      name: 'a page that was dropped, served again when the handler fails',
      about: 'never after an invalidation',
      options: { staleIfError: 3000 },
      view: BREAKABLE,
      succeeds: async ({ site, advance, invalidate }) => {
        await site.get('/p')
        await site.get('/break')
        await invalidate('/p')
        const answers = [await site.get('/p')]
        advance(EXPIRED)
        answers.push(await site.get('/p'), await site.get('/p'))
        return answers.some(({ text }) => text === 'old')
      },
      naive: { seconds: 600, staleIfError: true },
    },
    {
      name: 'a page that must be validated, served past its time when the view fails',
      about: 'RFC 9111 §5.2.2.2: must-revalidate',
      options: { staleIfError: 3000, staleWhileRevalidate: 3000 },
      view: {
        make: () => {
          const view = BREAKABLE.make()
          return (req, res) => {
            res.set('Cache-Control', 'must-revalidate')
            return view(req, res)
          }
        },
      },
      succeeds: async ({ site, advance }) => {
        await site.get('/p')
        await site.get('/break')
        advance(EXPIRED)
        const answers = [await site.get('/p'), await site.get('/p')]
        return answers.some(({ text }) => text === 'old')
      },
      naive: { seconds: 600, staleIfError: true },
    },
    {
      name: 'the page for nobody, given to a user when the view fails for him',
      about: 'RFC 9111 §3.5',
      options: { staleIfError: 3000 },
      view: BREAKABLE,
      succeeds: async ({ site, advance }) => {
        await site.get('/p')
        await site.get('/break')
        advance(EXPIRED)
        const headers = { Authorization: 'Basic bob' }
        const answers = [await site.get('/p', { headers }), await site.get('/p', { headers })]
        return answers.some(({ text }) => text === 'old')
      },
      naive: { seconds: 600, staleIfError: true },
    },
  ],
  { later: true },
)
