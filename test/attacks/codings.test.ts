import {
  bobGetsSecret,
  describeAttacks,
  SECRET,
  secretView,
  type Attack,
} from '../support/attacks.js'
import { compression } from '../support/express.js'

const GZIP = { 'Accept-Encoding': 'gzip' }
const TEXT = 'a text that can be compressed '.repeat(100)

const cdnSpellings = [
  'private',
  'no-store',
  'no-cache',
  'max-age=60, private',
  'Private',
  'private=?1',
  'max-age=60, private="x',
  'no-store;x=1',
]

describeAttacks('codings and other caches', [
  {
    name: 'a compressed copy of what is one visitor’s',
    about: 'codings are copies of a variant, not variants',
    options: { precompress: ['gzip'] },
    view: (req, res) => {
      const text = req.headers['x-user'] === 'alice' ? `${SECRET} ${TEXT}` : TEXT
      res.vary('X-User').set('Content-Type', 'text/plain').end(text)
    },
    succeeds: async ({ site }) => {
      const lengths: string[] = []
      for (const user of ['alice', 'alice', 'bob', 'bob', 'alice']) {
        const headers = { ...GZIP, 'X-User': user }
        const { body } = await site.get('/p', { headers })
        lengths.push(`${user} ${body.toString('base64')}`)
      }
      const bobs = lengths.filter((one) => one.startsWith('bob ')).map((one) => one.slice(4))
      const alices = lengths.filter((one) => one.startsWith('alice ')).map((one) => one.slice(6))
      return bobs.some((bytes) => alices.includes(bytes))
    },
  },
  ...(
    [
      ['nothing', {}],
      ['gzip;q=0', { 'Accept-Encoding': 'gzip;q=0, identity' }],
      ['identity', { 'Accept-Encoding': 'identity' }],
    ] as const
  ).map(([what, headers]): Attack => ({
    name: `a compressed answer to a client that accepts ${what}`,
    about: 'RFC 9110 §12.5.3: bytes that it cannot read, for as long as they are kept',
    options: { precompress: ['gzip'] },
    layers: (app, cache, view) => {
      app.use(cache, compression({ threshold: 0 }), view)
    },
    view: (_req, res) => res.set('Content-Type', 'text/plain').end(TEXT),
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: GZIP })
      await site.get('/p', { headers: GZIP })
      return (await site.get('/p', { headers })).text !== TEXT
    },
  })),
  {
    name: 'an answer that is compressed twice',
    about: 'what has a coding already is left alone',
    options: { precompress: ['gzip'] },
    layers: (app, cache, view) => {
      app.use(compression({ threshold: 0 }), cache, compression({ threshold: 0 }), view)
    },
    view: (_req, res) => res.set('Content-Type', 'text/plain').end(TEXT),
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: GZIP })
      const { headers } = await site.get('/p')
      return headers['content-encoding'] !== undefined
    },
  },
  ...cdnSpellings.map((spelling): Attack => ({
    name: `CDN-Cache-Control: ${spelling}, beside a Cache-Control for browsers`,
    about: 'RFC 9213: what is said to shared caches counts for this one; in doubt it is not stored',
    view: secretView((res) =>
      res.set({ 'Cache-Control': 'max-age=60', 'CDN-Cache-Control': spelling }),
    ),
    succeeds: bobGetsSecret,
  })),
  {
    name: 'a CDN-Cache-Control that cannot be read, beside Cache-Control: private',
    about: 'RFC 9213 §2.1: it counts for nothing, and what is left is private',
    view: secretView((res) =>
      res.set({ 'Cache-Control': 'private', 'CDN-Cache-Control': 'max-age=' }),
    ),
    succeeds: bobGetsSecret,
  },
  {
    name: 'the key of a page, told to anybody who asks',
    about: 'RFC 9211: Cache-Status says how an answer came about, and nothing of whom it is for',
    view: (_req, res) => res.vary('Cookie').end('page'),
    succeeds: async ({ site }) => {
      const headers = { Cookie: 'sid=secret' }
      await site.get('/p', { headers })
      const answers = [await site.get('/p', { headers }), await site.get('/p')]
      return answers.some((answer) =>
        /secret|key=|cache_page|[0-9a-f]{32}/.test(JSON.stringify(answer.headers)),
      )
    },
    naive: { tellsKey: true, keyOf: (req) => `${req.originalUrl} ${req.headers.cookie}` },
  },
])
