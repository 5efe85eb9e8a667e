import { describeAttacks } from '../support/attacks.js'

/** Beside the pages of a URL: its generation, its header list, its variants. */
const RECORDS = 5

describeAttacks('how much is kept', [
  {
    name: 'a variant for every value of a header',
    about: 'TYPO3-CORE-SA-2016-022; variants of one URL are bounded',
    options: { maxVariants: 8 },
    view: (req, res) => res.vary('X-A').end(`for ${req.get('x-a')}`),
    succeeds: async ({ site, keys }) => {
      for (let i = 0; i < 60; i++) await site.get('/p', { headers: { 'X-A': String(i) } })
      return (await keys()).length > 8 + RECORDS
    },
    naive: { keyOf: (req) => `${req.originalUrl} ${req.get('x-a')}` },
  },
  {
    name: 'a variant for every cookie',
    about: 'TYPO3-CORE-SA-2016-022; variants of one URL are bounded',
    options: { maxVariants: 8 },
    view: (_req, res) => res.vary('Cookie').end('page'),
    succeeds: async ({ site, keys }) => {
      for (let i = 0; i < 60; i++) await site.get('/p', { headers: { Cookie: `x=${i}` } })
      return (await keys()).length > 8 + RECORDS
    },
    naive: { keyOf: (req) => `${req.originalUrl} ${req.headers.cookie}` },
  },
  {
    name: 'a variant for every Authorization',
    about: 'TYPO3-CORE-SA-2016-022; variants of one URL are bounded',
    options: { maxVariants: 8 },
    view: (_req, res) => res.end('page'),
    succeeds: async ({ site, keys }) => {
      for (let i = 0; i < 60; i++) {
        await site.get('/p', { headers: { Authorization: `Basic ${i}` } })
      }
      return (await keys()).length > 8 + RECORDS
    },
    naive: { keyOf: (req) => `${req.originalUrl} ${req.headers.authorization}` },
  },
  {
    name: 'a view that names in Vary what the client says, with another name each time',
    about: 'the list of headers grows with each of them, and with it what is kept',
    options: { maxVariants: 8 },
    view: (req, res) => res.vary(req.get('x-name') ?? 'Accept').end('page'),
    succeeds: async ({ site, keys }) => {
      for (let i = 0; i < 60; i++) await site.get('/p', { headers: { 'X-Name': `X-${i}` } })
      return (await keys()).length > 8 + RECORDS
    },
    naive: { keyOf: (req) => `${req.originalUrl} ${req.get('x-name')}` },
  },
  {
    name: 'a compressed copy for every spelling of Accept-Encoding',
    about: 'TYPO3-CORE-SA-2016-022; a copy for each coding, not for each header',
    options: { precompress: ['gzip', 'br'] },
    view: (_req, res) => res.set('Content-Type', 'text/plain').end('x'.repeat(5000)),
    succeeds: async ({ site, keys }) => {
      for (let i = 0; i < 40; i++) {
        await site.get('/p', { headers: { 'Accept-Encoding': `gzip;q=0.${i + 1}, x-${i}` } })
      }
      return (await keys()).length > RECORDS + 3
    },
    naive: { keyOf: (req) => `${req.originalUrl} ${req.get('accept-encoding')}` },
  },
  {
    name: 'a page for every query',
    about: 'TYPO3-CORE-SA-2016-022, CVE-2026-15337: the backend has the last word, not the client',
    view: (_req, res) => res.end('page'),
    succeeds: async ({ site, keys }) => {
      for (let i = 0; i < 320; i++) await site.get(`/p?x=${i}`)
      return (await keys()).length > 300
    },
  },
  {
    name: 'a URL of any length, as part of keys',
    about: 'keys are bounded however long the URL is',
    view: (_req, res) => res.end('page'),
    succeeds: async ({ site, keys }) => {
      await site.get(`/p?${'x'.repeat(12_000)}`)
      return (await keys()).some((key) => key.length > 200)
    },
  },
  {
    name: 'header values of any length, as part of keys',
    about: 'keys are bounded however long the headers are',
    view: (_req, res) => res.vary('X-A').end('page'),
    succeeds: async ({ site, keys }) => {
      await site.get('/p', { headers: { 'X-A': 'x'.repeat(12_000) } })
      return (await keys()).some((key) => key.length > 200)
    },
    naive: { keyOf: (req) => `${req.originalUrl} ${req.get('x-a')}` },
  },
  {
    name: 'a key that tells who asked, and for what',
    about: 'whoever may list the keys of a cache reads no cookie there',
    view: (_req, res) => res.vary('Cookie').end('page'),
    succeeds: async ({ site, keys }) => {
      await site.get('/reset?token=secret', { headers: { Cookie: 'sid=secret' } })
      return (await keys()).some((key) => key.includes('secret'))
    },
  },
])
