import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ErrorRequestHandler } from 'express'
import { Readable } from 'node:stream'
import { describeAttacks, type Attack } from '../support/attacks.js'
import { settle } from '../support/waiting.js'

const ODD = { 'X-Odd': 'x'.repeat(1000) }

describeAttacks('what went wrong', [
  ...[204, 301, 302, 400, 403, 404, 410, 413, 431, 500, 503].map((status): Attack => ({
    name: `a ${status} that one request provoked, for everybody`,
    about: 'CVE-2025-49826, CPDoS by oversize and odd headers',
    view: (req, res) => {
      if (req.headers['x-odd'] === undefined) return res.end('fine')
      return res.status(status).location('/elsewhere').end()
    },
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: ODD })
      return (await site.get('/p')).text !== 'fine'
    },
  })),
  {
    name: 'an error of the handler, for everybody',
    about: 'CPDoS',
    view: (req, res) => {
      if (req.headers['x-odd'] !== undefined) throw new Error('odd')
      res.end('fine')
    },
    layers: (app, cache, view) => {
      app.use(cache, view)
      const fail: ErrorRequestHandler = (_error, _req, res, _next) => {
        res.status(500).end('broken')
      }
      app.use(fail)
    },
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: ODD })
      return (await site.get('/p')).text !== 'fine'
    },
  },
  {
    name: 'an error that says it may be kept, for everybody',
    about: 'CPDoS: a max-age on every answer, errors too',
    view: (req, res) => {
      res.set('Cache-Control', 'public, max-age=600')
      if (req.headers['x-odd'] !== undefined) return res.status(500).end('broken')
      return res.end('fine')
    },
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: ODD })
      return (await site.get('/p')).text !== 'fine'
    },
  },
  {
    name: 'a redirect to where one request wants, for everybody',
    about: 'CVE-2025-49826: a Location made from a header',
    view: (req, res) => {
      const target = req.get('x-original-url')
      return target === undefined ? res.end('fine') : res.redirect(308, target)
    },
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: { 'X-Original-URL': 'https://evil.test/' } })
      return (await site.get('/p')).text !== 'fine'
    },
  },
  ...([206, 200] as const).map((status): Attack => ({
    name: `a part answered as ${status}, for the whole`,
    about: 'RFC 9111 §3.3',
    view: (req, res) => {
      if (req.headers.range === undefined) return res.end('the whole')
      return res.status(status).set('Content-Range', 'bytes 0-2/9').end('the')
    },
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: { Range: 'bytes=0-2' } })
      return (await site.get('/p')).text !== 'the whole'
    },
  })),
  {
    name: 'a part that does not say so, for the whole',
    about: 'RFC 9111 §3.3',
    view: (req, res) => res.end('the whole'.slice(0, req.headers.range === undefined ? 9 : 3)),
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: { Range: 'bytes=0-2' } })
      return (await site.get('/p')).text !== 'the whole'
    },
  },
  {
    name: 'a range that nothing satisfies, for the whole',
    about: 'CPDoS: a 416 kept',
    view: (req, res) => {
      if (req.headers.range === undefined) return res.end('the whole')
      return res.status(416).set('Content-Range', 'bytes */9').end()
    },
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: { Range: 'bytes=99-' } })
      return (await site.get('/p')).text !== 'the whole'
    },
  },
  {
    name: 'a hundred ranges that are all of the page',
    about: 'CVE-2011-3192: many overlapping ranges, each of them large',
    view: (_req, res) => res.end('x'.repeat(10_000)),
    succeeds: async ({ site }) => {
      await site.get('/p')
      const ranges = Array.from({ length: 100 }, (_, i) => `${i}-`)
      const answer = await site.get('/p', { headers: { Range: `bytes=${ranges.join()}` } })
      return answer.body.length > 3 * 10_000
    },
    naive: { ranges: true },
  },
  {
    name: 'a part of a page that has changed, taken for a part of the new one',
    about: 'RFC 9110 §13.1.5: If-Range names another version',
    view: (_req, res) => res.set('ETag', '"new"').end('the new one'),
    succeeds: async ({ site }) => {
      await site.get('/p')
      const headers = { Range: 'bytes=4-', 'If-Range': '"old"' }
      return (await site.get('/p', { headers })).text !== 'the new one'
    },
    naive: { ranges: true },
  },
  {
    name: 'a truncated answer, for everybody',
    about: 'RFC 9112 §8',
    view: (req, res) => {
      res.set('Content-Length', '9')
      if (req.headers['x-odd'] === undefined) return res.end('the whole')
      res.end('the')
      return setTimeout(() => req.socket.destroy(), 5)
    },
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: { 'X-Odd': '1' } }).catch(() => undefined)
      return (await site.get('/p').catch(() => ({ text: '' }))).text !== 'the whole'
    },
  },
  {
    name: 'a source that breaks off, for everybody',
    about: 'RFC 9112 §8: chunked and cut short',
    view: (req, res) => {
      const source = new Readable({ read: () => undefined })
      source.push('the ')
      source.pipe(res)
      if (req.headers['x-odd'] === undefined) {
        source.push('whole')
        source.push(null)
        return
      }
      source.on('error', () => res.end())
      setTimeout(() => source.destroy(new Error('gone')), 5)
    },
    succeeds: async ({ site }) => {
      await site.get('/p', { headers: { 'X-Odd': '1' } }).catch(() => undefined)
      return (await site.get('/p')).text !== 'the whole'
    },
  },
  {
    name: 'an answer whose client has gone, for everybody',
    about: 'RFC 9112 §8: nobody saw its end',
    view: (req, res) => {
      if (req.headers['x-odd'] === undefined) return res.end('the whole')
      res.write('the ')
      return res.on('close', () => res.end())
    },
    succeeds: async ({ site }) => {
      const request = site.request('/p', { headers: { 'X-Odd': '1' } })
      request.on('error', () => undefined).end()
      request.on('response', (response) => response.once('data', () => request.destroy()))
      const [, res] = (await once(site.server, 'request')) as [IncomingMessage, ServerResponse]
      await once(res, 'close')
      await settle()
      return (await site.get('/p')).text !== 'the whole'
    },
  },
  {
    name: 'headers that cannot be read, which break the page for all',
    about: 'malformed Age, Date, Expires, ETag and max-age never throw, and are no freshness',
    only: 'site',
    view: (req, res) => {
      if (req.headers['x-odd'] !== undefined) {
        res.set({
          Age: '99999999999999999999',
          Date: 'yesterday',
          Expires: '-1',
          ETag: '"',
          'Last-Modified': 'Sun, 99 Foo 2026 99:99:99 GMT',
          'Cache-Control': 'max-age=1e9, s-maxage=-1, max-age="',
          'Content-Length': '4',
        })
      }
      res.end('fine')
    },
    succeeds: async ({ site }) => {
      const answers = [
        await site.get('/p', { headers: { 'X-Odd': '1' } }),
        await site.get('/p', { headers: { 'If-None-Match': '"', 'If-Modified-Since': 'x' } }),
        await site.get('/p'),
      ]
      const isFine = answers.every(({ status, text }) => status === 200 && text === 'fine')
      return !isFine || answers[2]?.headers['etag'] === '"'
    },
  },
  {
    name: 'a body of any length, kept in memory',
    about: 'the copy is bounded',
    options: { maxBodyBytes: 1000 },
    view: (req, res) => res.end('x'.repeat(Number(req.query['length']))),
    succeeds: async ({ site, keys }) => {
      await site.get('/p?length=100000')
      return (await keys()).some((key) => /GET|length=/.test(key))
    },
  },
])
