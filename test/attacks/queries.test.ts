import type { Request } from 'express'
import { describeAttacks, type Attack } from '../support/attacks.js'

/** A cache that leaves campaign parameters out of its keys, however they are spelled. */
const naive: NonNullable<Attack['naive']> = {
  keyOf: (req) => {
    const [path = '', query = ''] = req.originalUrl.split('?')
    const kept = decodeURIComponent(query)
      .split(/[&;]/)
      .filter((one) => !/^(?:utm_|callback)/i.test(one))
    return `${path}?${kept.join('&')}`
  },
}

const places: readonly (readonly [string, (req: Request) => unknown])[] = [
  ['req.query', (req) => req.query],
  ['req.url', (req) => req.url],
  ['req.originalUrl', (req) => req.originalUrl],
  ['a link to itself', (req) => new URL(req.originalUrl, 'http://a.test').href],
  [
    'what was parsed of the URL before',
    (req) => {
      const { _parsedUrl, _parsedOriginalUrl } = req as Request & Record<string, unknown>
      return [_parsedUrl, _parsedOriginalUrl]
    },
  ],
]

const spellings = [
  'utm_source=evil',
  'q=1&utm_source=evil',
  'utm_source=evil&utm_source=evil',
  'utm%5Fsource=evil',
  '%75tm_source=evil',
  'utm_source[]=evil',
  'utm_source[a]=evil',
  'utm_source%5B%5D=evil',
  'UTM_SOURCE=evil',
  'utm_=evil',
  'a;utm_source=evil',
  'utm_source=%65vil',
  'utm_source',
]

describeAttacks(
  'queries that are left out of keys',
  [
    ...places.map(([place, read]): Attack => ({
      name: `a parameter that is not a part of the key and comes into the page through ${place}`,
      about: 'what the key ignores, the view must not see',
      options: { query: { ignore: ['utm_*'] } },
      view: (req, res) => res.end(JSON.stringify(read(req))),
      succeeds: async ({ site }) => {
        await site.get('/p?q=1&utm_source=evil')
        return (await site.get('/p?q=1')).text.includes('evil')
      },
      naive,
    })),
    ...spellings.map((query): Attack => ({
      name: `?${query} in the page for all`,
      about: 'CVE-2021-23336: two readers of a query that do not agree',
      options: { query: { ignore: ['utm_*'] } },
      view: (req, res) =>
        res.end(JSON.stringify({ query: req.query, url: decodeURIComponent(req.originalUrl) })),
      succeeds: async ({ site }) => {
        await site.get(`/p?${query}`)
        const rest = query.startsWith('q=1') ? 'q=1' : query.startsWith('a;') ? 'a' : ''
        const answers = [await site.get(`/p?${rest}`), await site.get('/p')]
        return answers.some(({ text }) => /evil|utm/i.test(text))
      },
      naive,
    })),
    {
      name: 'the callback of a script, where only other parameters are part of the key',
      about: 'res.jsonp reads the query by itself',
      options: { query: { only: ['q'] } },
      view: (_req, res) => res.jsonp({ secret: 1 }),
      succeeds: async ({ site }) => {
        await site.get('/p?q=1&callback=evil')
        return (await site.get('/p?q=1')).text.includes('evil')
      },
      naive,
    },
    {
      name: 'a parameter that an earlier layer has read already',
      about: 'what the key ignores, the view must not see',
      options: { query: { ignore: ['utm_*'] } },
      layers: (app, cache, view) => {
        app.use((req, _res, next) => {
          Object.defineProperty(req, 'query', {
            value: { ...req.query },
            configurable: true,
            writable: true,
          })
          next()
        })
        app.use(cache, view)
      },
      view: (req, res) => res.end(JSON.stringify(req.query)),
      succeeds: async ({ site }) => {
        await site.get('/p?q=1&utm_source=evil')
        return (await site.get('/p?q=1')).text.includes('evil')
      },
      naive,
    },
    {
      name: 'a redirect that the router makes of the whole URL',
      about: 'what the key ignores, the view must not see',
      options: { query: { ignore: ['utm_*'] }, statuses: [200, 301] },
      view: (req, res) => res.redirect(301, `/new${req.url}`),
      succeeds: async ({ site }) => {
        await site.get('/p?utm_source=evil')
        const answers = [await site.get('/p?'), await site.get('/p')]
        return answers.some(({ headers }) => headers.location?.includes('evil') === true)
      },
      naive,
    },
  ],
  { later: true },
)
