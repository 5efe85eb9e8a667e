import type { Response } from 'express'
import {
  bobGetsSecret,
  describeAttacks,
  SECRET,
  secretView,
  type Attack,
} from '../support/attacks.js'

const privateSpellings = [
  'private',
  'PRIVATE',
  'public, Private',
  'max-age=60,private',
  'private="x-user"',
  'private="x',
  'private = x',
  '"private"',
  'ext="a, private',
  'private; max-age=60',
  'max-age=60 private',
  's-maxage=60, private',
  'no-store',
  'No-Store, max-age=60',
  'no_store',
  'no-cache',
  'no-cache="set-cookie", max-age=60',
]

describeAttacks(
  'what is private',
  [
    ...privateSpellings.map((spelling): Attack => ({
      name: `Cache-Control: ${spelling}`,
      about: 'CVE-2026-8404, CVE-2026-9678, CVE-2026-13697: private answers stored by spelling',
      view: secretView((res) => res.setHeader('Cache-Control', spelling)),
      succeeds: bobGetsSecret,
    })),
    {
      name: 'private in a second Cache-Control header',
      about: 'RFC 9110 §5.3',
      view: secretView((res) => res.setHeader('Cache-Control', ['max-age=60', 'private'])),
      succeeds: bobGetsSecret,
    },
    {
      name: 'private given to writeHead',
      about: 'RFC 9111 §5.2.2.7',
      view: (req, res) => {
        res.writeHead(200, ['cache-CONTROL', 'private'])
        res.end(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
      },
      succeeds: bobGetsSecret,
    },
    {
      name: 'private set by a layer around the cache, when it is nearly out',
      about: 'what goes out counts, not what the view said',
      layers: (app, cache, view) => {
        app.use((_req, res, next) => {
          const writeHead = res.writeHead.bind(res) as (...args: unknown[]) => Response
          res.writeHead = (...args: unknown[]) => {
            res.setHeader('Cache-Control', 'private')
            return writeHead(...args)
          }
          next()
        })
        app.use(cache, view)
      },
      view: secretView(() => undefined),
      succeeds: bobGetsSecret,
    },
    {
      name: 'a draft that only its editor may see',
      about: 'previews and drafts cached for all',
      view: (req, res) => {
        const isEditor = req.query['preview'] !== undefined || req.headers['x-user'] === 'alice'
        if (isEditor) res.set('Cache-Control', 'no-store, must-revalidate')
        res.end(isEditor ? SECRET : 'published')
      },
      succeeds: bobGetsSecret,
    },
    ...['*', ' * ', 'Cookie, *', '*,Accept', 'Accept,*;q=1'].map((vary): Attack => ({
      name: `Vary: ${vary}`,
      about: 'CVE-2026-6907, CVE-2026-48587',
      view: secretView((res) => res.setHeader('Vary', vary)),
      succeeds: bobGetsSecret,
    })),
    {
      name: 'an asterisk in a second Vary header',
      about: 'CVE-2026-6907; RFC 9110 §5.3',
      view: secretView((res) => res.setHeader('Vary', ['Accept', '*'])),
      succeeds: bobGetsSecret,
    },
    {
      name: 'a Vary that cannot be read',
      about: 'RFC 9110 §12.5.5; fail closed',
      view: secretView((res) => res.setHeader('Vary', 'X User')),
      succeeds: bobGetsSecret,
    },
    ...(
      [
        ['cookie', (res) => res.cookie('sid', SECRET).end('x')],
        ['clearCookie', (res) => res.clearCookie('sid').set('X', SECRET).end('x')],
        ['append', (res) => res.append('Set-Cookie', `sid=${SECRET}`).end('x')],
        ['setHeader with a list', (res) => res.setHeader('SET-COOKIE', [`sid=${SECRET}`]).end('x')],
        [
          'writeHead with an object',
          (res) => res.writeHead(200, { 'set-cookie': SECRET }).end('x'),
        ],
        ['writeHead with an array', (res) => res.writeHead(200, ['Set-Cookie', SECRET]).end('x')],
        [
          'under Cache-Control: public',
          (res) => res.set('Cache-Control', 'public, max-age=9').cookie('sid', SECRET).end('x'),
        ],
      ] as [string, (res: Response) => unknown][]
    ).map(([how, answer]): Attack => ({
      name: `Set-Cookie by ${how}`,
      about: 'CVE-2012-2671, CVE-2022-24894, CVE-2026-48588: cookies replayed to others',
      view: (req, res) => (req.headers['x-user'] === 'alice' ? answer(res) : res.end('x')),
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { 'X-User': 'alice' } })
        const bob = await site.get('/p', { headers: { 'X-User': 'bob' } })
        return decodeURIComponent(JSON.stringify(bob.headers)).includes(SECRET)
      },
    })),
    {
      name: 'a header for one hop, replayed to others',
      about: 'RFC 9110 §7.6.1: what Connection names is for the next hop alone',
      view: (req, res) => {
        if (req.headers['x-user'] === 'alice') {
          res.set({ Connection: 'X-Hop', 'X-Hop': SECRET, 'Proxy-Authenticate': SECRET })
        }
        res.end('x')
      },
      succeeds: async ({ site }) => {
        await site.get('/p', { headers: { 'X-User': 'alice' } })
        const bob = await site.get('/p', { headers: { 'X-User': 'bob' } })
        return JSON.stringify(bob.headers).includes(SECRET)
      },
    },
    {
      name: 'what a view says of one visitor in an event stream',
      about: 'an event stream has no end and one reader',
      view: (req, res) => {
        res.set('Content-Type', 'text/event-stream')
        res.end(req.headers['x-user'] === 'alice' ? `data: ${SECRET}\n\n` : 'data: nothing\n\n')
      },
      succeeds: bobGetsSecret,
    },
    {
      name: 'private in trailers',
      about: 'RFC 9110 §6.5: they come when everything is said',
      view: (req, res) => {
        res.set({ Trailer: 'Cache-Control' })
        res.write(req.headers['x-user'] === 'alice' ? SECRET : 'nothing')
        res.addTrailers({ 'Cache-Control': 'private' })
        res.end()
      },
      succeeds: bobGetsSecret,
    },
  ],
  { inHalves: true },
)
