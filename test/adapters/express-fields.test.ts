import { createHash } from 'node:crypto'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import type { Request, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { oneExpress, Site, type Answer } from '../support/express.js'
import { fc, runsOf } from '../support/random.js'

/** What the cache, or who asks it, reads of a request. */
const READ = [
  'accept',
  'accept-encoding',
  'accept-language',
  'authorization',
  'cache-control',
  'cookie',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'pragma',
  'range',
  'upgrade',
  'x-forwarded-host',
  'x-forwarded-proto',
]

const ETAG = '"the-page"'

const HEADS = [
  '',
  'bytes=0-1',
  'bytes=-5,',
  ETAG,
  `W/${ETAG},`,
  '"',
  'gzip;q=1',
  'br,gzip',
  'max-age=60',
  'max-age="',
  'no-cache',
  'Thu, 01 Jan 1970 00:00:00 GMT',
  'a.test',
  'https',
  'sid=1',
]

const PIECES = [
  ...[' ', '\t', ',', '"', '\\', ';', '=', '-', '*', '.', ':', '/', '%5B', 'a', '0', 'é'],
  ...['0-1', 'W/', '"a"', ';q=', 'private', '\t,', ' \t'],
]

/** Repeats, since that is what a parser may go over again and again. */
const field = (sizes: readonly number[]) =>
  fc
    .record({
      name: fc.constantFrom(...READ),
      head: fc.constantFrom(...HEADS),
      part: fc.array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 3 }),
      size: fc.constantFrom(...sizes),
      tail: fc.constantFrom('', 'b', ',0-1', `,${ETAG}`, ', gzip', '"'),
    })
    .map(({ name, head, part, size, tail }) => {
      const repeated = part.join('').repeat(size).slice(0, size)
      // The server cuts blanks off at the ends.
      return [name, (head + repeated + tail).trim()] as const
    })

/** All of them within the 16 kB that Node takes. */
const fields = fc
  .tuple(field([0, 20, 400, 3000, 9000, 14_000]), fc.option(field([0, 20, 400])))
  .map(([long, short]) => Object.fromEntries(short === null ? [long] : [short, long]))

type Fields = Readonly<Record<string, string>>

const setups: readonly (readonly [name: string, options: ResponseCacheOptions])[] = [
  ['as it comes', {}],
  ['with compressed copies', { precompress: ['br', 'gzip'] }],
  ['by the letter of RFC 9111', { rfc9111: true, query: { ignore: ['utm_*'] } }],
]

const PLAIN = 'all the news '.repeat(100)

const textFor = (cookie: string | undefined) =>
  `${PLAIN}${createHash('md5').update(String(cookie)).digest('hex')}`

function decoded({ body, headers }: Answer): Buffer {
  switch (headers['content-encoding']) {
    case 'br':
      return brotliDecompressSync(body)
    case 'gzip':
      return gunzipSync(body)
    default:
      return body
  }
}

/** What an answer has to be, whatever was asked: the page, or what a field that is there may ask for. */
function checkAnswer(asked: Fields, answer: Answer): void {
  const { status, headers, body } = answer
  const page = Buffer.from(textFor(asked['cookie']))
  const coding = headers['content-encoding']
  if (coding !== undefined)
    expect(asked['accept-encoding']).toMatch(coding === 'br' ? /br|\*/ : /gzip|\*/)
  switch (status) {
    case 200:
      expect(decoded(answer).equals(page)).toBe(true)
      break
    case 206: {
      const [, first, last] = /^bytes (\d+)-(\d+)\/\d+$/.exec(headers['content-range'] ?? '') ?? []
      expect(asked['range']).toMatch(/^bytes=/)
      if (first === undefined) expect(headers['content-type']).toMatch(/^multipart\/byteranges/)
      else expect(body.equals(page.subarray(Number(first), Number(last) + 1))).toBe(true)
      break
    }
    case 304: {
      const tags = asked['if-none-match']
      if (tags === undefined) expect(asked['if-modified-since']).toBeDefined()
      else expect(tags.includes(ETAG) || tags.trim() === '*').toBe(true)
      expect(body).toHaveLength(0)
      break
    }
    default:
      expect(status).toBe(416)
      expect(asked['range']).toMatch(/^bytes=/)
      expect(body).toHaveLength(0)
  }
}

describe.each(oneExpress)('hostile fields of a request, in $version', ({ express }) => {
  describe.each(setups)('the cache %s', (_, options) => {
    it.each(['site', 'listener'] as const)(
      'answers with the page or what the field may ask for, as a %s',
      async (kind) => {
        const pages = responseCache<string>(
          createCaches({ default: new LocMemCache({ options: { maxEntries: 1000 } }) }),
          options,
        )
        const app = express()
        app.set('trust proxy', true)
        app.use(pages.cacheSite())
        app.get('/p', (req: Request, res: Response) => {
          res.vary('Cookie').vary('Accept-Encoding').set('ETag', ETAG)
          res
            .set('Cache-Control', 'public, max-age=600')
            .type('text')
            .send(textFor(req.headers.cookie))
        })
        const site = await Site.open(kind === 'site' ? app : pages.listener(app))
        let hits = 0
        await fc.assert(
          fc.asyncProperty(fields, async (asked) => {
            const headers = { host: 'a.test', ...asked }
            for (let i = 0; i < 2; i++) {
              const answer = await site.get('/p', { headers })
              checkAnswer(asked, answer)
              if (answer.cacheStatus?.includes('; hit') === true) hits++
            }
          }),
          { numRuns: runsOf(80) },
        )
        // Otherwise what reads a request for a stored page was not asked.
        expect(hits).toBeGreaterThan(runsOf(80) / 2)
        const { text } = await site.get('/p', { headers: { host: 'a.test' } })
        expect(text).toBe(textFor(undefined))
      },
    )
  })
})
