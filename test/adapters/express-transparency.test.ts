import { utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Express, NextFunction, Request, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { condition, conditionalGet, responseCache } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { stopClock } from '../support/cached-site.js'
import { expressVersions, oneExpress, Site, type Answer } from '../support/express.js'
import { folderOfFile } from '../support/folders.js'

const folder = folderOfFile()
const file = join(folder, 'file.txt')
writeFileSync(file, 'the text of a file')
const MODIFIED = new Date('2023-11-14T20:00:00Z')
utimesSync(file, MODIFIED, MODIFIED)

type View = (req: Request, res: Response, next: NextFunction) => unknown

const INSISTS = 'the ETag, and insists on the whole'

/** How the cache is put in front of an application's views. */
const caches: Readonly<Record<string, () => View>> = {
  'cacheSite()': () => pages().cacheSite(),
  'cacheSite() without a default time': () => pages({ seconds: null }).cacheSite(),
  'cachePage(60)': () => pages().cachePage(60),
}

function pages(options = {}) {
  return responseCache(createCaches({ default: new LocMemCache() }), options)
}

describe.each(expressVersions)('in $version', (version) => {
  const { express } = version
  /** What compares is the cache or Express, whichever way the cache stands in front of it. */
  const ways = Object.entries(caches).slice(0, oneExpress.includes(version) ? undefined : 1)

  type Setup = (app: Express) => unknown
  const sent =
    (headers: Record<string, string>): View =>
    (_req, res) =>
      res.set(headers).send('a string')

  /** What Express, or a middleware inside the cache, compares with what the client has. */
  const views: Readonly<Record<string, Setup>> = {
    'express.static': (app) => app.use(express.static(folder)),
    'express.static without Cache-Control': (app) =>
      app.use(express.static(folder, { cacheControl: false })),
    'express.static for a day': (app) => app.use(express.static(folder, { maxAge: '1d' })),
    sendFile: (app) => app.use((_req, res) => res.sendFile(file)),
    'sendFile, private': (app) =>
      app.use((_req, res) => res.set('Cache-Control', 'private').sendFile(file)),
    download: (app) => app.use((_req, res) => res.download(file)),
    send: (app) => app.use(sent({})),
    'send, with a date': (app) => app.use(sent({ 'Last-Modified': MODIFIED.toUTCString() })),
    json: (app) => app.use((_req, res) => res.json({ a: 1 })),
    'send, max-age=0': (app) => app.use(sent({ 'Cache-Control': 'max-age=0' })),
    'send, no-cache': (app) => app.use(sent({ 'Cache-Control': 'no-cache' })),
    'send, private': (app) => app.use(sent({ 'Cache-Control': 'private' })),
    'send, no-store': (app) => app.use(sent({ 'Cache-Control': 'no-store' })),
    'send, max-age=100': (app) => app.use(sent({ 'Cache-Control': 'max-age=100' })),
    'send, with a cookie': (app) =>
      app.use((_req, res) => res.cookie('a', '1').send('for one visitor')),
    'send, of another status': (app) => app.use((_req, res) => res.status(201).send('made')),
    'send, not found': (app) => app.use((_req, res) => res.status(404).send('not found')),
    'condition() in front of a private view': (app) =>
      app.use(condition({ etag: () => 'v1' }), sent({ 'Cache-Control': 'private' })),
    'condition() in front of a stream': (app) =>
      app.use(condition({ etag: () => 'v1', lastModified: () => MODIFIED }), (_req, res) => {
        res.write('in ')
        setImmediate(() => res.end('pieces'))
      }),
    'conditionalGet() around res.end': (app) =>
      app.disable('etag').use(conditionalGet(), (_req, res) => res.end('without an ETag')),
    'conditionalGet() around a private res.end': (app) =>
      app
        .disable('etag')
        .use(conditionalGet(), (_req, res) =>
          res.set('Cache-Control', 'private').end('without an ETag'),
        ),
    'req.fresh, asked by the view': (app) =>
      app.use((req, res) => {
        res.set({ ETag: '"mine"', 'Cache-Control': 'no-cache' })
        if (req.fresh) res.status(304).end()
        else res.write('many ', () => res.end('bytes'))
      }),
  }

  type Asked = (first: Answer) => Record<string, string>
  const strong = ({ headers }: Answer) => String(headers.etag).replace(/^W\//, '')
  const conditions: Readonly<Record<string, Asked>> = {
    'the ETag': ({ headers }) => ({ 'If-None-Match': String(headers.etag) }),
    'the weak ETag': (first) => ({ 'If-None-Match': `W/${strong(first)}` }),
    'the strong ETag': (first) => ({ 'If-None-Match': strong(first) }),
    'a list of ETags': (first) => ({ 'If-None-Match': `"x", W/"y" ,W/${strong(first)}` }),
    'another ETag': () => ({ 'If-None-Match': 'W/"other"' }),
    'the date': ({ headers }) => ({
      'If-Modified-Since': String(headers['last-modified'] ?? MODIFIED.toUTCString()),
    }),
    'an earlier date': () => ({ 'If-Modified-Since': new Date(+MODIFIED - 9000).toUTCString() }),
    'another ETag and the date': () => ({
      'If-None-Match': '"other"',
      'If-Modified-Since': MODIFIED.toUTCString(),
    }),
    [INSISTS]: ({ headers }) => ({
      'If-None-Match': String(headers.etag),
      'Cache-Control': 'no-cache',
    }),
  }

  /** What a cache has to say itself, and what differs by the second or by the connection. */
  const left = new Set([
    ...['cache-control', 'expires', 'age', 'cache-status', 'date', 'vary'],
    ...['connection', 'keep-alive', 'transfer-encoding'],
  ])

  function seen({ status, text, headers }: Answer) {
    const names = Object.keys(headers).filter((name) => {
      // A 304 need not tell of the body, and what came in pieces has a length once it is stored.
      if (name.startsWith('content-') && (status === 304 || name === 'content-length')) return false
      return !left.has(name)
    })
    return { status, text, headers: Object.fromEntries(names.map((name) => [name, headers[name]])) }
  }

  describe.each(ways)('behind %s', (_cache, makeCache) => {
    async function openBoth(setup: Setup) {
      const plain = express()
      setup(plain)
      const cached = express()
      cached.use(makeCache())
      setup(cached)
      return { plain: await Site.open(plain), cached: await Site.open(cached) }
    }

    it.each(Object.entries(views))('%s answers conditions as without it', async (view, setup) => {
      const { advance } = stopClock()
      const { plain, cached } = await openBoth(setup)
      const first = await plain.get('/file.txt')
      const asked = Object.entries(conditions).map(([name, asks], i) => {
        return { name, path: `/file.txt?${i}`, headers: asks(first) }
      })
      const expected = new Map<string, unknown>()
      for (const { name, path, headers } of asked) {
        expected.set(name, seen(await plain.get(path, { headers })))
      }
      const ask = async (when: string) => {
        for (const { name, path, headers } of asked) {
          // Django's middlewares do not know that one, and the whole is right in any case.
          if (name === INSISTS && /^condition/.test(view)) continue
          const answer = await cached.get(path, { headers })
          expect(seen(answer), `${name}, ${when}`).toEqual(expected.get(name))
        }
      }
      await ask('of what nobody asked for before')
      await ask('again')
      // What was learned of a page that is not kept is forgotten by then.
      advance(11)
      await ask('a while later')
      advance(60)
      await ask('of what has expired')
      for (const { path } of asked) {
        expect(seen(await cached.get(path))).toEqual(seen(first))
      }
      await ask('of what may be stored')
    })
  })
})
