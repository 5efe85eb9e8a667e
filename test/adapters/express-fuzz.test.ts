import { createHash } from 'node:crypto'
import http from 'node:http'
import { Readable } from 'node:stream'
import { gunzipSync } from 'node:zlib'
import type { NextFunction, Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { expressVersions, Site } from '../support/express.js'
import { naiveCache } from '../support/naive-cache.js'
import { fc } from '../support/random.js'

/** At most so long each; more finds more: `FUZZ_SECONDS=60`. */
const FUZZ_SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 2)

/**
 * Begins no run once the time is up. The last one comes to its end: one that was left to itself would
 * go on to move the clock while the next test runs, and what it finds would be lost.
 */
const upTo =
  (seconds: number): fc.Plugin<unknown> =>
  () => {
    const untilMs = performance.now() + seconds * 1000
    return {
      decorateRun: (run) => (value) =>
        performance.now() < untilMs ? run(value) : new fc.PreconditionFailure(true),
    }
  }

const LIMITS = {
  numRuns: 20 * FUZZ_SECONDS,
  plugins: [upTo(FUZZ_SECONDS)],
}
const TEST_MS = FUZZ_SECONDS * 2000 + 20_000

const SITE_SECONDS = 600

/** `Cache-Control`, and what it means: seconds, if it says any (`null`: none that can be read). */
const CONTROLS = [
  { control: undefined },
  { control: 'max-age=60', seconds: 60 },
  { control: 'public, max-age=60', seconds: 60, isPublic: true },
  { control: 'Public', isPublic: true },
  { control: 's-maxage=60, max-age=1', seconds: 60 },
  { control: 'must-revalidate, max-age=60', seconds: 60 },
  { control: 'max-age="60"', seconds: 60 },
  { control: 'max-age=0', seconds: 0 },
  { control: 'max-age=-1', seconds: null },
  { control: 'max-age=1.5', seconds: null },
  { control: 'private', isForOne: true },
  { control: 'max-age=60, PRIVATE', isForOne: true },
  { control: 'private="set-cookie", max-age=60', isForOne: true },
  { control: 'public, private', isForOne: true },
  { control: 'no-store', isForOne: true },
  { control: 'public, No-Store', isForOne: true },
  { control: 'no-cache', isForOne: true },
] as {
  control: string | undefined
  seconds?: number | null
  isPublic?: true
  isForOne?: true
}[]

const READ = ['x-a', 'accept-language', 'cookie'] as const

const often = <T>(weight: number, usual: T[], ...others: T[]) =>
  fc.oneof(
    { weight, arbitrary: fc.constantFrom(...usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  )

/** How a view answers one request. It names in `Vary` what it reads. */
const spec = fc.record({
  control: often(3, CONTROLS.slice(0, 3), ...CONTROLS),
  reads: fc.oneof(fc.constant<(typeof READ)[number][]>([]), fc.subarray([...READ])),
  variesOnAll: often(20, [false], true),
  status: often(8, [200], 204, 206, 301, 404, 500),
  setsCookie: often(20, [false], true),
  way: often(5, ['send', 'pieces', 'writeHead', 'stream', 'late'], 'throw', 'broken', 'cut'),
  hasEtag: fc.boolean(),
  isLong: fc.boolean(),
})

type Spec = typeof spec extends fc.Arbitrary<infer T> ? T : never

const perhaps = <T>(...values: T[]) => often<T | undefined>(6, [undefined], ...values)

const request = fc.record({
  method: often(6, ['GET'], 'HEAD', 'POST', 'DELETE', 'OPTIONS'),
  path: often(3, ['/u0'], '/u0?a=1', '/u0?utm_x=9', '/u0?a=1&utm_y', '/u1', '/u1?'),
  host: often(6, ['a.test'], 'b.test'),
  hasBody: often(20, [false], true),
  headers: fc.record({
    authorization: perhaps('Bearer alice', 'Bearer bob', ''),
    cookie: perhaps('sid=alice', 'sid=bob', 'theme=dark', ''),
    'x-a': perhaps('1', '2', ''),
    'accept-language': perhaps('de', 'en'),
    'accept-encoding': perhaps('gzip', 'gzip;q=0', '*'),
    range: perhaps('bytes=0-4', 'bytes=5-', 'bytes=-3', 'bytes=0-1,4-5', 'bytes=99999-', 'x=1'),
    'if-none-match': perhaps('"other"', '*', 'W/"x'),
    'if-modified-since': perhaps('Thu, 01 Jan 1970 00:00:00 GMT', 'soon'),
    'if-range': perhaps('"other"'),
    'cache-control': perhaps('no-cache', 'no-store', 'max-age=0', 'only-if-cached', '"'),
    pragma: perhaps('no-cache'),
    vary: perhaps('*', 'x-a'),
    'x-forwarded-host': perhaps('evil.test'),
    'x-forwarded-proto': perhaps('https'),
    'x-http-method-override': perhaps('POST', 'GET'),
    'x-original-url': perhaps('/u1'),
    connection: perhaps('x-a'),
  }),
})

type Asked = typeof request extends fc.Arbitrary<infer T> ? T : never

/** Requests at once, and seconds that pass before. */
const step = fc.record({
  seconds: often(3, [0], 30, 61, 700),
  requests: fc.array(request, { minLength: 1, maxLength: 4 }),
})

const setup = fc.record({
  middleware: fc.constantFrom<'site' | 'halves' | 'page' | 'naive'>('site', 'halves', 'page'),
  isInFront: fc.boolean(),
  isLateCache: fc.boolean(),
  isNarrow: fc.boolean(),
  precompresses: fc.boolean(),
  maxVariants: fc.constantFrom(256, 2),
  honorRequestDirectives: fc.boolean(),
  statuses: fc.constantFrom<number[]>([200], [200, 204, 301, 404]),
  serves: fc.constantFrom<'stale' | 'fresh'>('fresh', 'fresh', 'stale'),
})

type Setup = typeof setup extends fc.Arbitrary<infer T> ? T : never

/** One call of the view. */
interface Run {
  readonly id: string
  readonly url: string
  readonly method: string
  readonly headers: http.IncomingHttpHeaders
  readonly isPersonal: boolean
  readonly spec: Spec
  readonly body: Buffer
  readonly atMs: number
}

interface Got {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
  /** It did not end as it should. */
  readonly isBroken: boolean
}

const agent = new http.Agent({ keepAlive: true })

function ask(port: number, asked: Asked, id: string): Promise<Got> {
  const headers: http.OutgoingHttpHeaders = { host: asked.host, 'x-id': id }
  for (const [name, value] of Object.entries(asked.headers)) {
    if (value !== undefined) headers[name] = value
  }
  if (asked.hasBody) headers['content-length'] = 6
  return new Promise((resolve, reject) => {
    const hang = setTimeout(() => reject(new Error(`request ${id} hangs`)), 8000)
    const settle = (got: Got) => {
      clearTimeout(hang)
      resolve(got)
    }
    const { method, path } = asked
    const sent = http.request({ host: '127.0.0.1', port, method, path, headers, agent }, (res) => {
      const parts: Buffer[] = []
      const { statusCode: status = 0, headers } = res
      const end = (isBroken: boolean) =>
        settle({ status, headers, body: Buffer.concat(parts), isBroken })
      res.on('data', (part: Buffer) => parts.push(part))
      res.on('end', () => end(false))
      res.on('error', () => end(true))
    })
    sent.on('error', () => settle({ status: 0, headers: {}, body: Buffer.of(), isBroken: true }))
    sent.end(asked.hasBody ? 'a body' : undefined)
  })
}

interface Sent {
  readonly user: string | undefined
  readonly headers: http.IncomingHttpHeaders
}

const sessionOf = (cookie: string | undefined) => /sid=(\w+)/.exec(cookie ?? '')?.[1]

/** Something came that must never be. */
class Violation extends Error {}

/** An application with a cache, its view, and everything that must never be. */
class World {
  readonly runs: Run[] = []
  /** By URL: pages made before this run were dropped. */
  readonly #dropped = new Map<string, number>()
  #requests = 0
  #sawIgnored = false
  readonly app: http.RequestListener

  constructor(
    readonly setup: Setup,
    readonly specs: readonly Spec[],
    express: (typeof expressVersions)[number]['express'],
  ) {
    const cache = setup.isLateCache ? new AsyncTestCache() : new LocMemCache()
    const options: ResponseCacheOptions = {
      seconds: SITE_SECONDS,
      maxVariants: setup.maxVariants,
      honorRequestDirectives: setup.honorRequestDirectives,
      statuses: setup.statuses,
      ...(setup.isNarrow && { query: { ignore: ['utm_*'] } }),
      ...(setup.precompresses && { precompress: ['gzip'] }),
      ...(setup.serves === 'stale' && { staleWhileRevalidate: 20, staleIfError: 20 }),
    }
    const pages = responseCache<string>(createCaches({ default: cache }), options)
    const app = express().set('env', 'test')
    const session: RequestHandler = (req, _res, next) => {
      const user = sessionOf(req.headers.cookie)
      Object.assign(req, { session: user === undefined ? { cookie: {} } : { cookie: {}, user } })
      // What the test wants to know is nothing that the view reads.
      Object.assign(req, { sent: { user, headers: { ...req.headers } } })
      next()
    }
    const view: RequestHandler = (req, res, next) => this.#view(req, res, next)
    app.use(session)
    if (setup.middleware === 'site') app.use(pages.cacheSite(), view)
    else if (setup.middleware === 'naive') app.use(naiveCache().middleware, view)
    else if (setup.middleware === 'page') app.use(pages.cachePage(SITE_SECONDS), view)
    else app.use(pages.updateCache(), pages.fetchFromCache(), view)
    this.app = setup.isInFront ? pages.listener(app) : app
  }

  #view(req: Request, res: Response, next: NextFunction): void {
    const n = this.runs.length
    const spec = this.specs[n % this.specs.length]
    if (spec === undefined) throw new Error('there is nothing to answer')
    const id = String(req.headers['x-id'])
    const { user, headers } = (req as unknown as { sent: Sent }).sent
    const isLookedUp = /^(GET|HEAD)$/.test(req.method) && !('content-length' in req.headers)
    if (this.setup.isNarrow && isLookedUp) {
      this.#sawIgnored ||= /utm/.test(JSON.stringify([req.originalUrl, req.url, req.query]))
    }
    const seen = { authorization: req.headers.authorization, user }
    const read = spec.reads.map((name): unknown => [name, req.headers[name]])
    const pad = spec.isLong ? 'pad '.repeat(500) : ''
    const body = Buffer.from(`${JSON.stringify({ n, id, seen, read, url: req.originalUrl })}${pad}`)
    this.runs.push({
      ...{ id, spec, body, url: this.#keyUrl(req.originalUrl), method: req.method },
      ...{ headers, isPersonal: user !== undefined, atMs: Date.now() },
    })
    const vary = [...spec.reads, ...(spec.variesOnAll ? ['*'] : [])]
    if (vary.length > 0) res.set('Vary', vary.join(', '))
    if (spec.control.control !== undefined) res.set('Cache-Control', spec.control.control)
    if (spec.setsCookie) res.append('Set-Cookie', `for=${id}`)
    if (spec.hasEtag) {
      // Equal only where the same would be said.
      const hash = createHash('sha1')
        .update(JSON.stringify([seen, read, spec]))
        .digest('hex')
      res.set('ETag', `"${hash}"`)
      if (spec.status === 200 && req.headers['if-none-match'] === `"${hash}"`) {
        res.status(304).end()
        return
      }
    }
    // Express takes the status of the error page from here if it is one.
    res.set('X-Run', String(n)).status(spec.way === 'throw' ? 500 : spec.status)
    if (spec.way === 'throw') throw new Error('the view fails')
    if (spec.status === 204) res.end()
    else answer(spec, body, res, next)
  }

  /** What the key is made of: byte for byte, without what is ignored. */
  #keyUrl(url: string): string {
    const [path = '', query] = url.split('?')
    if (!this.setup.isNarrow || query === undefined) return url
    const kept = query.split('&').filter((parameter) => !parameter.startsWith('utm_'))
    return kept.length === 0 ? path : `${path}?${kept.join('&')}`
  }

  async play(port: number, { seconds, requests }: { seconds: number; requests: Asked[] }) {
    vi.setSystemTime(Date.now() + seconds * 1000)
    const before = this.runs.length
    const got = await Promise.all(
      requests.map(async (asked) => {
        const id = `r${this.#requests++}`
        return { asked, id, got: await ask(port, asked, id) }
      }),
    )
    if (this.#sawIgnored) throw new Error('the view saw what the key ignores')
    for (const each of got) this.#check(each.asked, each.id, each.got)
    for (const { asked, got: answered } of got) {
      const isUnsafe = asked.method === 'POST' || asked.method === 'DELETE'
      if (!isUnsafe || answered.status < 200 || answered.status >= 400) continue
      this.#dropped.set(`${asked.host}${this.#keyUrl(asked.path)}`, before)
    }
  }

  #check(asked: Asked, id: string, got: Got): void {
    const { headers } = got
    for (const cookie of headers['set-cookie'] ?? []) {
      if (cookie !== `for=${id}`) this.#fail('a cookie came to another', asked, got)
    }
    const n = headers['x-run']
    if (n === undefined) {
      if (/"n":\d/.test(got.body.toString())) this.#fail('a body came without its run', asked, got)
      return
    }
    const run = this.runs[Number(n)]
    if (run === undefined) return this.#fail('a run that never was', asked, got)
    if (got.isBroken && (run.id !== id || !isIncomplete(run.spec))) {
      this.#fail('the answer broke off', asked, got)
    }
    this.#checkBytes(asked, got, run)
    if (run.id !== id) this.#checkShared(asked, got, run, Number(n))
  }

  /** What came are bytes of one run, and those that the status says. */
  #checkBytes(asked: Asked, got: Got, run: Run): void {
    const { status, headers } = got
    const isCoded = headers['content-encoding'] === 'gzip'
    if (asked.method === 'HEAD' || status === 304 || status === 204) {
      if (got.body.length > 0) this.#fail('a body where there is none', asked, got)
    } else if (status === 206 && run.spec.status === 200) {
      const [, first, last] = /^bytes (\d+)-(\d+)\/\d+$/.exec(headers['content-range'] ?? '') ?? []
      if (isCoded) return
      if (first !== undefined) {
        const part = run.body.subarray(Number(first), Number(last) + 1)
        if (!part.equals(got.body)) this.#fail('other bytes of the range', asked, got)
      } else {
        for (const [, from, to, bytes = ''] of got.body
          .toString('latin1')
          .matchAll(/Content-Range: bytes (\d+)-(\d+)\/\d+\r\n\r\n(.*?)\r\n--/gis)) {
          const part = run.body.subarray(Number(from), Number(to) + 1).toString('latin1')
          if (part !== bytes) this.#fail('other bytes of a part', asked, got)
        }
      }
    } else if (status !== 500 && status === run.spec.status && !isIncomplete(run.spec)) {
      const body = isCoded ? gunzipSync(got.body) : got.body
      if (!body.equals(run.body)) this.#fail('other bytes', asked, got)
    }
  }

  /** A run's answer came to a request that is not its own. */
  #checkShared(asked: Asked, got: Got, run: Run, n: number): void {
    const { spec } = run
    const { isPublic = false, isForOne = false, seconds } = spec.control
    const refuse = (why: string) => this.#fail(why, asked, got)
    if (!['GET', 'HEAD'].includes(asked.method) || asked.hasBody) refuse('a method that passes')
    if (run.method !== 'GET' || run.headers['content-length'] !== undefined) refuse('not of a GET')
    if (run.headers.host !== asked.host) refuse('of another host')
    if (run.url !== this.#keyUrl(asked.path)) refuse('of another URL')
    if (!this.setup.statuses.includes(spec.status) || spec.way === 'throw')
      refuse('of another status')
    if (isIncomplete(spec)) refuse('broken off')
    if (isForOne || spec.setsCookie || spec.variesOnAll) refuse('for one request alone')
    for (const name of spec.reads) {
      if (run.headers[name] !== asked.headers[name]) refuse(`made for another ${name}`)
    }
    if (!isPublic) {
      if (run.headers.authorization !== asked.headers.authorization) refuse('for another user')
      const isOfSession = run.isPersonal || sessionOf(asked.headers.cookie) !== undefined
      if (isOfSession && !spec.reads.includes('cookie')) refuse('for another session')
    }
    // A page with an ETag may have been confirmed since.
    const lifetime = this.setup.middleware === 'page' ? SITE_SECONDS : seconds
    if (lifetime === null || lifetime === 0) refuse('without freshness')
    const extra = this.setup.serves === 'stale' ? 20 : 0
    const ageSeconds = (Date.now() - run.atMs) / 1000
    if (!spec.hasEtag && ageSeconds > (lifetime ?? SITE_SECONDS) + extra) refuse('stale')
    const dropped = this.#dropped.get(`${asked.host}${this.#keyUrl(asked.path)}`) ?? 0
    if (n < dropped) refuse('dropped before')
  }

  #fail(why: string, asked: Asked, { status, headers, body }: Got): void {
    const run = this.runs[Number(headers['x-run'])]
    const text = body.toString().slice(0, 200)
    const known = run && { ...run, body: undefined }
    throw new Violation(
      `${why}: ${JSON.stringify({ asked, status, headers, text, run: known }, null, 1)}`,
    )
  }
}

const isIncomplete = ({ way, status }: Spec) =>
  status !== 204 && (way === 'broken' || way === 'cut')

function answer(
  { way, status, isLong }: Spec,
  body: Buffer,
  res: Response,
  next: NextFunction,
): void {
  const half = body.length >> 1
  if (status === 206) res.set('Content-Range', `bytes 0-${body.length - 1}/${body.length + 1}`)
  switch (way) {
    case 'pieces':
      res.write(body.subarray(0, half))
      setImmediate(() => res.end(body.subarray(half)))
      break
    case 'writeHead':
      res.writeHead(status, { 'Content-Type': 'text/plain', 'Content-Length': body.length })
      res.end(body)
      break
    case 'stream':
      Readable.from([body.subarray(0, half), body.subarray(half)])
        .on('error', next)
        .pipe(res.type('text'))
      break
    case 'late':
      setTimeout(() => res.type('text').send(body), 2)
      break
    case 'cut': {
      const source = Readable.from(
        (function* () {
          yield body.subarray(0, half)
          throw new Error('the source fails')
        })(),
      )
      source.on('error', () => res.end()).pipe(res.type('text'))
      break
    }
    case 'broken':
      if (isLong) res.set('Content-Length', String(body.length))
      res.write(body.subarray(0, half))
      setImmediate(() => res.destroy())
      break
    default:
      res.type('text').send(body.toString())
  }
}

function stopClock() {
  vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
  onTestFinished(() => void vi.useRealTimers())
}

/** One server for many applications. */
async function switchable(): Promise<{ app: http.RequestListener; readonly port: number }> {
  const site = {
    app: (() => undefined) as http.RequestListener,
    port: 0,
  }
  const { port } = await Site.open((req: http.IncomingMessage, res: http.ServerResponse) => {
    site.app(req, res)
  })
  return Object.assign(site, { port })
}

describe.each(expressVersions)('whatever is asked, in whichever order, in $version', (version) => {
  /** Plays random requests to random applications, and counts those that did not run a view. */
  async function play(
    setups: fc.Arbitrary<Setup>,
    limits: typeof LIMITS | { endOnFailure: true },
    head = 'HEAD',
  ) {
    stopClock()
    const site = await switchable()
    let hits = 0
    await fc.assert(
      fc.asyncProperty(
        setups,
        fc.array(spec, { minLength: 3, maxLength: 12 }),
        fc.array(step, { minLength: 4, maxLength: 12 }),
        async (options, specs, steps) => {
          const world = new World(options, specs, version.express)
          site.app = world.app
          let count = 0
          for (const each of steps) {
            const requests = each.requests.map((asked) =>
              asked.method === 'HEAD' ? { ...asked, method: head } : asked,
            )
            await world.play(site.port, { ...each, requests })
            count += requests.length
          }
          hits += count - world.runs.length
        },
      ),
      limits,
    )
    return hits
  }

  it(
    'nobody gets what is not for them, or another page, or none at all',
    async () => {
      const hits = await play(setup, LIMITS)
      // Otherwise nothing was shown.
      expect(hits).toBeGreaterThan(0)
    },
    TEST_MS,
  )

  it('somebody would, of a cache by URL alone', async () => {
    const naive = setup.map((options) => ({
      ...options,
      middleware: 'naive' as const,
      isInFront: false,
      isNarrow: false,
    }))
    // A HEAD that fills GET would leave a client waiting, as here too.
    const failure: unknown = await play(naive, { endOnFailure: true }, 'GET').catch(
      (error: unknown) => error,
    )
    expect((failure as Error).cause).toBeInstanceOf(Violation)
  })

  it(
    'equal requests get the same page as long as it is fresh',
    async () => {
      stopClock()
      const site = await switchable()
      const steady = fc.record({
        control: fc.constantFrom(...CONTROLS.slice(0, 3)),
        reads: fc.subarray([...READ]),
        way: fc.constantFrom('send', 'pieces', 'writeHead', 'stream', 'late'),
        hasEtag: fc.boolean(),
        isLong: fc.boolean(),
      })
      const ordinary = fc.record({
        path: fc.constantFrom('/u0', '/u0?a=1', '/u0?utm_x=9'),
        cookie: perhaps('theme=dark', 'theme=light'),
        'x-a': perhaps('1', '2'),
        'accept-language': perhaps('de', 'en'),
        at: fc.integer({ min: 1, max: 4 }),
      })
      await fc.assert(
        fc.asyncProperty(
          setup,
          steady,
          fc.array(ordinary, { minLength: 5, maxLength: 15 }),
          async (options, same, sequence) => {
            const spec = { ...same, variesOnAll: false, setsCookie: false, status: 200 } as Spec
            const world = new World({ ...options, maxVariants: 256 }, [spec], version.express)
            site.app = world.app
            const known = new Map<string, string>()
            for (const { path, at, ...headers } of sequence) {
              const asked = {
                method: 'GET',
                path,
                host: 'a.test',
                hasBody: false,
                headers,
              } as Asked
              const answers = await Promise.all(
                Array.from({ length: at }, (_, i) => ask(site.port, asked, `r${i}`)),
              )
              const url = options.isNarrow ? path.replace('?utm_x=9', '') : path
              const key = JSON.stringify([url, same.reads.map((name) => headers[name])])
              for (const { status, headers } of answers) {
                expect(status).toBe(200)
                const run = String(headers['x-run'])
                expect(known.get(key) ?? run, `the page of ${key}`).toBe(run)
                known.set(key, run)
              }
            }
            expect(world.runs.length).toBe(known.size)
          },
        ),
        LIMITS,
      )
    },
    TEST_MS,
  )
})
