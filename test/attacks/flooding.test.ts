import { connect } from 'node:net'
import { describeAttacks } from '../support/attacks.js'
import type { Site } from '../support/express.js'

/** Many requests over one connection, one after the other. */
async function flood(
  site: Site,
  count: number,
  request: (i: number) => { readonly path?: string; readonly header?: string },
): Promise<void> {
  const lines: string[] = []
  for (let i = 0; i < count; i++) {
    const { path = '/p', header = 'X-Odd: 1' } = request(i)
    const connection = i === count - 1 ? 'close' : 'keep-alive'
    lines.push(`GET ${path} HTTP/1.1`, 'Host: a.test', header, `Connection: ${connection}`, '', '')
  }
  const socket = connect(site.port, '127.0.0.1')
  socket.write(lines.join('\r\n'))
  let answers = ''
  for await (const part of socket) answers += String(part)
  const fine = answers.match(/HTTP\/1\.1 200 OK/g)?.length
  if (fine !== count) throw new Error(`${fine} of ${count} requests were answered`)
}

/** Beside the pages of a URL: its generation, its header list, its variants. */
const RECORDS = 5

describeAttacks('how much is kept', [
  {
    name: 'a variant for every value of a header',
    about: 'TYPO3-CORE-SA-2016-022; variants of one URL are bounded',
    options: { maxVariants: 8 },
    view: (req, res) => res.vary('X-A').end(`for ${req.get('x-a')}`),
    succeeds: async ({ site, keys }) => {
      await flood(site, 60, (i) => ({ header: `X-A: ${i}` }))
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
      await flood(site, 60, (i) => ({ header: `Cookie: x=${i}` }))
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
      await flood(site, 60, (i) => ({ header: `Authorization: Basic ${i}` }))
      return (await keys()).length > 8 + RECORDS
    },
    naive: { keyOf: (req) => `${req.originalUrl} ${req.headers.authorization}` },
  },
  {
    name: 'a handler that names in Vary what the client says, with another name each time',
    about: 'the list of headers grows with each of them, and with it what is kept',
    options: { maxVariants: 8 },
    view: (req, res) => res.vary(req.get('x-name') ?? 'Accept').end('page'),
    succeeds: async ({ site, keys }) => {
      await flood(site, 60, (i) => ({ header: `X-Name: X-${i}\r\nX-${i - 1}: 1` }))
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
      await flood(site, 40, (i) => ({ header: `Accept-Encoding: gzip;q=0.${i + 1}, x-${i}` }))
      return (await keys()).length > RECORDS + 3
    },
    naive: { keyOf: (req) => `${req.originalUrl} ${req.get('accept-encoding')}` },
  },
  {
    name: 'a page for every query',
    about: 'TYPO3-CORE-SA-2016-022, CVE-2026-15337: the backend has the last word, not the client',
    view: (_req, res) => res.end('page'),
    succeeds: async ({ site, keys }) => {
      await flood(site, 320, (i) => ({ path: `/p?x=${i}` }))
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
