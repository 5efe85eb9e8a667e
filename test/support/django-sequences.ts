import { createHash } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { gunzipSync } from 'node:zlib'
import type { ErrorRequestHandler, Express, Request, RequestHandler, Response } from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import {
  cacheControl,
  conditionalGet,
  neverCache,
  responseCache,
  varyOnCookie,
  type ResponseCache,
} from 'fragcache/express'
import onHeaders from 'on-headers'
import { vi } from 'vitest'
import { compression, type expressVersions } from './express.js'
import { readGolden } from './golden.js'

/** When the clock of every sequence starts, in seconds. */
export const START = 1_700_000_000

/** How a recorded view answers. */
interface RecordedView {
  readonly status?: number
  readonly reason?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly kind?: 'stream' | 'file' | 'json' | 'template' | 'notmodified'
  readonly cookies?: Readonly<Record<string, string>>
  readonly delete_cookies?: readonly string[]
  /** Request headers that the body repeats. */
  readonly echo?: readonly string[]
  readonly session?: 'access' | 'modify'
  readonly activate_lang?: string
  readonly activate_tz?: string
  readonly raise?: true
  readonly raise_after_render?: true
  /** Something hangs on the response that no serializer takes. */
  readonly unpicklable?: true
}

interface RecordedStep {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly cookies?: Readonly<Record<string, string>>
  readonly secure?: true
  /** Seconds that pass before the request. */
  readonly advance?: number
  /** What the view does differently this time. */
  readonly view?: RecordedView
}

/** What a step of Django's gave. */
export interface RecordedResult {
  readonly hit: boolean
  readonly view_ran: boolean
  readonly status: number
  readonly reason?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly set_cookie?: Readonly<Record<string, string>>
  readonly server_error?: { readonly error: string }
  /** What every cache holds afterwards: `page METHOD prefix='…' ttl=SECONDS` and lists. */
  readonly cache: Readonly<Record<string, readonly string[]>>
}

type Decorator =
  | readonly [
      'cache_page',
      { readonly timeout: unknown; readonly key_prefix?: string; readonly cache?: string },
    ]
  | readonly ['cache_control', Readonly<Record<string, unknown>>]
  | readonly ['never_cache' | 'vary_on_cookie', null]

/** A sequence of requests that was recorded from Django. */
export interface Sequence {
  readonly id: string
  readonly group: string
  readonly title: string
  readonly middleware: readonly string[]
  readonly decorators: readonly Decorator[]
  readonly settings: Readonly<Record<string, unknown>>
  readonly view: RecordedView
  readonly steps: readonly RecordedStep[]
  readonly results: readonly RecordedResult[]
}

export const sequences = readGolden<Sequence>('middleware.json')

/** What a step gave, in the terms in which Django and we are compared. */
export interface StepOutcome {
  readonly hit: boolean
  readonly viewRan: boolean
  readonly status: number
  readonly reason: string
  /** Those of {@link COMPARED}, dates as `T+seconds`. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly cookies: Readonly<Record<string, string>>
  /** Whether the answer was put into the cache. */
  readonly stored: boolean
  /** Of a hit: for how many whole seconds the page is kept still. */
  readonly ttl: number | undefined
}

/** Headers that must be there with the same value, or be absent in both. */
const COMPARED = new Set(
  [
    ...['Age', 'Cache-Control', 'Content-Encoding', 'Content-Language', 'Content-Location'],
    ...['Content-Type', 'ETag', 'Expires', 'Last-Modified', 'Link', 'Pragma', 'Vary', 'Warning'],
    'X-Custom',
  ].map((name) => name.toLowerCase()),
)

/** What Express sets where Django sets nothing: compared where Django has a value. */
const COMPARED_IF_THERE = new Set(['content-length', 'date'])

/** The outcome that Django's result stands for. */
export function recordedOutcome(sequence: Sequence, index: number): StepOutcome {
  const { results, steps } = sequence
  const result = results[index]
  const before = results[index - 1]
  if (result === undefined) throw new Error(`${sequence.id}: no step ${index}`)
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(result.headers ?? {})) {
    const lower = name.toLowerCase()
    // Spaces at the ends are no part of a header on its way.
    if (lower !== 'set-cookie') headers[lower] = toRelativeDate(lower, value.trim())
  }
  const { 'content-length': length, ...rest } = headers
  const cookie = result.headers?.['Set-Cookie']
  return {
    hit: result.hit,
    viewRan: result.view_ran,
    status: result.status,
    reason: result.reason ?? http.STATUS_CODES[result.status] ?? '',
    headers: length === undefined || length === '(n)' ? rest : headers,
    body: result.body ?? '',
    cookies: cookie === undefined ? (result.set_cookie ?? {}) : readCookies([cookie]),
    stored: !result.hit && hasNewPage(before, result, steps[index]?.advance ?? 0),
    ttl: result.hit ? shortestTtl(result) : undefined,
  }
}

/** Whether a page is in a cache that was not there before, or was there for a shorter time. */
function hasNewPage(
  before: RecordedResult | undefined,
  { cache }: RecordedResult,
  advance: number,
): boolean {
  const old = pageTtls(before?.cache).map((ttl) => ttl - advance)
  return pageTtls(cache).some((ttl) => {
    const same = old.indexOf(ttl)
    if (same !== -1) old.splice(same, 1)
    return same === -1
  })
}

function pageTtls(cache: RecordedResult['cache'] | undefined): number[] {
  const entries = Object.values(cache ?? {}).flat()
  return entries.flatMap((entry) => {
    const ttl = /^page .* ttl=([\d.]+)$/.exec(entry)?.[1]
    return ttl === undefined ? [] : [Number(ttl)]
  })
}

/** In the sequences, pages that are kept at the same time are kept for the same time, or two are. */
function shortestTtl({ cache }: RecordedResult): number {
  return Math.floor(Math.min(...pageTtls(cache)))
}

/** `T+seconds` for dates within some hours of the start, as the recording has them. */
function toRelativeDate(name: string, value: string): string {
  if (name !== 'expires' && name !== 'last-modified') return value
  const seconds = Date.parse(value) / 1000 - START
  if (!/GMT$/.test(value) || Number.isNaN(seconds)) return value
  return `T${seconds < 0 ? '' : '+'}${seconds}`
}

function readCookies(lines: readonly string[]): Record<string, string> {
  const cookies: Record<string, string> = {}
  for (const line of lines) {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
    cookies[name] = /Expires=Thu, 01 Jan 1970/i.test(line) ? '(deleted)' : value
    if (name === 'sessionid') cookies[name] = '(random)'
  }
  return cookies
}

type ExpressFactory = (typeof expressVersions)[number]['express']

/** A server and a client for one sequence after the other. */
export class Stage {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  #listener: http.RequestListener = () => undefined
  readonly #server = http.createServer((req, res) => this.#listener(req, res))

  constructor(private readonly express: ExpressFactory) {}

  async open(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  async close(): Promise<void> {
    this.#agent.destroy()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  /**
   * Replays a sequence; the clock must be faked.
   *
   * @returns The outcome of every step, or the code or name of what was thrown when the application
   *   was put together.
   */
  async replay(sequence: Sequence): Promise<StepOutcome[] | string> {
    vi.setSystemTime(START * 1000)
    const performance: Performance = { sequence, step: sequence.steps[0], runs: 0 }
    try {
      this.#listener = this.#build(performance) as http.RequestListener
    } catch (error) {
      const { code, name } = error as Error & { readonly code?: string }
      return code ?? name
    }
    const outcomes: StepOutcome[] = []
    for (const step of sequence.steps) {
      performance.step = step
      vi.setSystemTime(Date.now() + (step.advance ?? 0) * 1000)
      const runs = performance.runs
      const outcome = await this.#send(step)
      outcomes.push({ ...outcome, viewRan: performance.runs > runs })
    }
    return outcomes
  }

  #build(performance: Performance): Express {
    const { sequence } = performance
    const app = this.express()
    app.set('env', 'test').set('etag', false)
    if (sequence.steps.some(({ secure }) => secure === true)) app.set('trust proxy', true)
    app.set('view', RecordedTemplate)
    const pages = pagesFor(sequence)
    const layers = sequence.middleware.map((name) => toMiddleware(name, pages, sequence))
    const decorators = sequence.decorators.map((decorator) => toDecorator(decorator, pages))
    app.use(...layers, ...decorators, ((req, res) => perform(performance, req, res)) as Handler)
    app.use(fail)
    return app
  }

  async #send(step: RecordedStep): Promise<StepOutcome> {
    const { port } = this.#server.address() as AddressInfo
    const cookies = Object.entries(step.cookies ?? {}).map(([name, value]) => `${name}=${value}`)
    const headers = {
      Host: 'testserver',
      ...(cookies.length > 0 && { Cookie: cookies.join('; ') }),
      ...(step.secure === true && { 'X-Forwarded-Proto': 'https' }),
      ...step.headers,
    }
    const { method, path } = step
    const request = http.request({ port, agent: this.#agent, method, path, headers }).end()
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    const parts: Buffer[] = []
    for await (const part of response) parts.push(part as Buffer)
    return toOutcome(response, Buffer.concat(parts))
  }
}

type Handler = RequestHandler

/** What an error page looks like is not Django's affair here. */
const fail: ErrorRequestHandler = (_error, _req, res, next) => {
  if (res.headersSent) return next()
  for (const name of res.getHeaderNames()) if (name !== 'cache-status') res.removeHeader(name)
  res.status(500).end()
}

/** A sequence that is being replayed. */
interface Performance {
  readonly sequence: Sequence
  step: RecordedStep | undefined
  runs: number
}

function toOutcome(response: http.IncomingMessage, bytes: Buffer): StepOutcome {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(response.headers)) {
    if (!COMPARED.has(name) && !COMPARED_IF_THERE.has(name)) continue
    headers[name] = toRelativeDate(name, String(value))
  }
  const status = response.statusCode ?? 0
  const gzipped = response.headers['content-encoding'] === 'gzip' && bytes.length > 0
  const cacheStatus = String(response.headers['cache-status'] ?? '')
  const ttl = /^fragcache; hit; ttl=(\d+)/.exec(cacheStatus)?.[1]
  return {
    hit: /^fragcache; hit/.test(cacheStatus),
    viewRan: false,
    status,
    reason: response.statusMessage ?? '',
    headers,
    body: gzipped ? `(gzip) ${gunzipSync(bytes).toString()}` : bytes.toString(),
    cookies: readCookies(response.headers['set-cookie'] ?? []),
    stored: /; stored/.test(cacheStatus),
    ttl: ttl === undefined ? undefined : Number(ttl),
  }
}

/** Leaves out of ours what Django's result does not speak of. */
export function comparable(actual: StepOutcome, expected: StepOutcome): StepOutcome {
  const headers = Object.fromEntries(
    Object.entries(actual.headers).filter(
      ([name]) => !COMPARED_IF_THERE.has(name) || name in expected.headers,
    ),
  )
  return { ...actual, headers }
}

function pagesFor({ settings }: Sequence): ResponseCache {
  const caches = createCaches({ default: new LocMemCache(), other: new LocMemCache() })
  const seconds = settings['CACHE_MIDDLEWARE_SECONDS']
  const keyPrefix = settings['CACHE_MIDDLEWARE_KEY_PREFIX']
  const alias = settings['CACHE_MIDDLEWARE_ALIAS']
  return responseCache<string>(caches, {
    ...(seconds !== undefined && { seconds: seconds as number | null }),
    ...(keyPrefix !== undefined && { keyPrefix: keyPrefix as string }),
    ...(alias !== undefined && { alias: alias as string }),
    ...(settings['USE_I18N'] === true && { language: (req) => localOf(req).language ?? 'en-us' }),
    ...(settings['USE_TZ'] === true && { timeZone: (req) => localOf(req).timeZone ?? 'UTC' }),
  })
}

/** What layers in front of the view have found out about a request. */
interface Local {
  language?: string
  timeZone?: string
  session?: { accessed: boolean; modified: boolean }
}

const LOCALS = new WeakMap<object, Local>()

function localOf(req: Request): Local {
  const local = LOCALS.get(req) ?? {}
  LOCALS.set(req, local)
  return local
}

function toMiddleware(name: string, pages: ResponseCache, { settings }: Sequence): Handler {
  switch (name) {
    case 'update':
      return pages.updateCache()
    case 'fetch':
      return pages.fetchFromCache()
    case 'cache':
      return pages.cacheSite()
    case 'session':
      return session(settings['SESSION_SAVE_EVERY_REQUEST'] === true)
    case 'locale':
      return locale
    case 'gzip':
      return compression({ threshold: 200 })
    case 'condget':
      return conditionalGet()
    case 'common':
      // What it sets, Express sets too.
      return (_req, _res, next) => next()
    default:
      throw new Error(`unknown middleware ${name}`)
  }
}

function toDecorator([name, options]: Decorator, pages: ResponseCache): Handler {
  switch (name) {
    case 'cache_page': {
      const { timeout, key_prefix: keyPrefix, cache } = options
      return pages.cachePage(timeout as number, {
        ...(keyPrefix !== undefined && { keyPrefix }),
        ...(cache !== undefined && { cache }),
      })
    }
    case 'cache_control': {
      const renamed = Object.entries(options).map(([key, value]) => [
        key.replace(/_(\w)/g, (_all, letter: string) => letter.toUpperCase()),
        value,
      ])
      return cacheControl(Object.fromEntries(renamed))
    }
    case 'never_cache':
      return neverCache()
    case 'vary_on_cookie':
      return varyOnCookie()
  }
}

/** Django's session middleware, as far as it speaks to caches: who reads a session depends on it. */
function session(saveEveryRequest: boolean): Handler {
  return (req, res, next) => {
    const isKnown = /sessionid=\$session/.test(req.headers.cookie ?? '')
    const state = { accessed: false, modified: false }
    localOf(req).session = state
    Object.assign(req, { session: { cookie: {}, ...(isKnown && { user: 1 }) } })
    onHeaders(res, () => {
      const saves = state.modified || (saveEveryRequest && isKnown)
      if (state.accessed || saves) res.vary('Cookie')
      if (saves) res.cookie('sessionid', createHash('md5').update(String(Date.now())).digest('hex'))
    })
    next()
  }
}

function locale(req: Request, res: Response, next: () => void): void {
  const language = req.acceptsLanguages(['en', 'de', 'fr']) || 'en'
  localOf(req).language = language
  res.vary('Accept-Language').setHeader('Content-Language', language)
  next()
}

class RecordedTemplate {
  readonly path = 'template'

  render({ text }: { text: string }, done: (error: null, rendered: string) => void): void {
    done(null, `t:${text}`)
  }
}

/** Answers as the recorded view did. */
function perform(performance: Performance, req: Request, res: Response): void {
  const { sequence, step } = performance
  const view: RecordedView = { ...sequence.view, ...step?.view }
  const run = ++performance.runs
  if (view.raise === true) throw new Error('boom')
  act(view, req, res)
  res.status(view.status ?? 200)
  if (view.reason !== undefined) res.statusMessage = view.reason
  for (const [name, value] of Object.entries(view.headers ?? {})) res.setHeader(name, value)
  for (const [name, value] of Object.entries(view.cookies ?? {})) res.cookie(name, value)
  for (const name of view.delete_cookies ?? []) res.clearCookie(name)
  const echoes = (view.echo ?? []).map((name) => ` ${name}=${req.get(name) ?? '(none)'}`)
  const text = view.body ?? `run=${run}${echoes.join('')}`
  if (!res.hasHeader('Content-Type')) {
    const types = { json: 'application/json', file: 'application/octet-stream' }
    const type = view.kind === 'json' || view.kind === 'file' ? types[view.kind] : undefined
    res.setHeader('Content-Type', type ?? 'text/html; charset=utf-8')
  }
  switch (view.kind) {
    case 'notmodified':
      res.removeHeader('Content-Type')
      res.status(304).end()
      return
    case 'json':
      // As Python writes it.
      res.send(Buffer.from(`{"run": ${run}}`))
      return
    case 'template':
      res.render('template', { text }, (_error, html) => {
        if (view.raise_after_render === true) throw new Error('cb')
        res.send(Buffer.from(html))
      })
      return
    case 'file':
      res.setHeader('Content-Length', Buffer.byteLength(text))
      Readable.from([text]).pipe(res)
      return
    case 'stream':
      Readable.from(text.split('')).pipe(res)
      return
    default:
      // Express would say UTF-8 of a text.
      res.send(Buffer.from(text))
  }
}

function act(view: RecordedView, req: Request, res: Response): void {
  const local = localOf(req)
  if (local.session !== undefined && view.session !== undefined) {
    local.session.accessed = true
    if (view.session === 'modify') local.session.modified = true
  }
  if (view.activate_lang !== undefined) local.language = view.activate_lang
  if (view.activate_tz !== undefined) local.timeZone = view.activate_tz
  if (view.unpicklable === true) res.locals['unpicklable'] = () => undefined
}
