import { STATUS_CODES } from 'node:http'
import type { Request, Response } from 'express'
import onHeaders from 'on-headers'
import { currentFrame, Frame, runAsyncIn } from '../../src/fragment/frame.js'
import { parseCacheControl } from '../../src/http/cache-control.js'
import { formatCacheStatus, type Handling } from '../../src/http/cache-status.js'
import type { HeaderFields, HeaderValue } from '../../src/http/header-values.js'
import { formatHttpDate } from '../../src/http/http-date.js'
import {
  judgeResponse,
  storeRefusal,
  type ResponseVerdict,
  type StoreRefusal,
} from '../../src/http/policy.js'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { responseChannel, type ResponseMessage, type ResponseOutcome } from './channel.js'
import { onLastWord } from './last-word.js'
import type { Settings } from './options.js'
import type { PageLookup, PageRequest, PageStore } from './page-store.js'
import { BodyRecorder, takeHeaders, type OuterHeaders } from './recorder.js'
import { remainingSeconds, replay } from './replay.js'
import { isPersonal, keyPart, requestLineMethod, uriOf } from './request.js'

/** Where a middleware looks and stores, and for how long. */
export interface Place {
  readonly settings: Settings
  readonly store: PageStore
  /** Of `cachePage`; `undefined` for the site's. */
  readonly pageSeconds: number | null | undefined
}

/** A response that will be stored if it ends whole. */
interface Pending {
  readonly verdict: Extract<ResponseVerdict, { store: true }>
  readonly headers: ReturnType<typeof takeHeaders>
  readonly atMs: number
}

/**
 * `waiting`: no lookup yet. `forwarded`: the view answers, and its answer may be stored. `passed`:
 * the cache has nothing to do with it. `replaced`: a cache further in takes care of it.
 */
type Phase = 'waiting' | 'forwarded' | 'passed' | 'replaced'

const SAYABLE = ['Cache-Control', 'Expires', 'Cache-Status'] as const

type Sayable = Readonly<Record<(typeof SAYABLE)[number], HeaderValue | undefined>>

function sayable(res: Response): Sayable {
  return {
    'Cache-Control': res.getHeader('Cache-Control'),
    Expires: res.getHeader('Expires'),
    'Cache-Status': res.getHeader('Cache-Status'),
  }
}

const CURRENT = Symbol('fragcache.exchange')

type Answering = Response & { [CURRENT]?: Exchange }

/** One request and its response, from the lookup to the store. */
export class Exchange {
  #phase: Phase = 'waiting'
  #pageSeconds: number | null | undefined
  #isCacheDown = false
  #request: PageRequest | undefined
  #lookup: PageLookup | undefined
  #outer: OuterHeaders | undefined
  #recorder: BodyRecorder | undefined
  #pending: Pending | undefined
  /** The headers that the cache speaks in, before it spoke and after. */
  #said: Sayable | undefined
  #saying: Sayable | undefined
  #frame: Frame | undefined

  private constructor(
    readonly place: Place,
    private readonly req: Request,
    private readonly res: Response,
  ) {
    this.#pageSeconds = place.pageSeconds
  }

  /** The innermost exchange that has to do with a response. */
  static current(res: Response): Exchange | undefined {
    return (res as Answering)[CURRENT]
  }

  /** Begins an exchange; one further out stands back. */
  static begin(place: Place, req: Request, res: Response): Exchange {
    const answering = res as Answering
    const outer = answering[CURRENT]
    if (outer !== undefined) outer.#phase = 'replaced'
    return (answering[CURRENT] = new Exchange(place, req, res))
  }

  get isWaiting(): boolean {
    return this.#phase === 'waiting'
  }

  /**
   * Whether this exchange already does what a middleware further in wants, so that a page is looked
   * up and stored once. The time of the innermost counts.
   */
  absorbs(place: Place): boolean {
    // What kept the request from one cache keeps it from any, unless it was that cache itself.
    if (this.#phase === 'passed' && !this.#isCacheDown) return true
    if (this.#phase === 'waiting' || this.place.store !== place.store) return false
    if (place.pageSeconds !== undefined) this.#pageSeconds = place.pageSeconds
    return true
  }

  /** Watches what is sent from here on. */
  attach(): void {
    if (this.#outer !== undefined) return
    this.#outer = this.res.getHeaders()
    onLastWord(this.res, () => this.#onLastWord())
    onHeaders(this.res, () => this.#onHeaders())
    if (this.req.method === 'HEAD') return
    this.#recorder = new BodyRecorder(
      this.res,
      this.place.settings.maxBodyBytes,
      (fault) => this.#report('bypass', fault),
      (body) => this.#onEnd(body),
    )
    if (responseChannel.hasSubscribers) this.res.on('close', () => this.#recorder?.giveUp())
  }

  /** Leaves the request to the view: the cache has nothing to do with it. */
  pass(reason: string): void {
    this.#phase = 'passed'
    this.#isCacheDown = reason === 'cache-failed'
    const forward = reason === 'method' ? 'method' : 'bypass'
    this.#say({ hit: false, forward, stored: false, detail: reason })
    this.#report('bypass', reason)
  }

  /** Answers with a stored response. */
  answer(request: PageRequest, lookup: PageLookup, page: StoredResponse): void {
    this.#phase = 'passed'
    this.#request = request
    this.#lookup = lookup
    const nowMs = Date.now()
    onLastWord(this.res, () => this.#keepCookieToItsOwner())
    replay(this.req, this.res, page, nowMs, () =>
      this.#say({ hit: true, ttlSeconds: remainingSeconds(page, nowMs) }),
    )
    this.#report('hit')
  }

  /** Leaves the request to the view; the answer is stored if it may be. */
  forward(request: PageRequest, lookup: PageLookup, next: () => void): void {
    this.#phase = 'forwarded'
    this.#request = request
    this.#lookup = lookup
    this.#frame = new Frame(this.place.store.cache, currentFrame(), undefined)
    runAsyncIn(this.#frame, next)
  }

  #onHeaders(): void {
    if (this.#phase !== 'forwarded' || this.#request === undefined) return
    const { res, place, req } = this
    const { settings } = place
    const nowMs = Date.now()
    const verdict = judgeResponse(
      { method: this.#request.method, personal: isPersonal(req, settings) },
      { status: res.statusCode, headers: res.getHeaders() },
      {
        pageSeconds: this.#pageSeconds,
        siteSeconds: settings.seconds,
        maxBodyBytes: settings.maxBodyBytes,
      },
      nowMs,
    )
    const change = this.#change(this.#request)
    const reason = change ?? (verdict.store ? undefined : verdict.reason)
    this.#said = sayable(res)
    if (verdict.downstream !== undefined && change === undefined) {
      const { cacheControl, expires } = verdict.downstream
      res.setHeader('Cache-Control', cacheControl)
      if (expires !== undefined) res.setHeader('Expires', expires)
    }
    if (verdict.store && change === undefined) this.#expect(verdict, nowMs)
    this.#sayForward(reason)
    this.#saying = sayable(res)
    if (reason !== undefined) this.#report('bypass', reason)
  }

  #sayForward(reason: string | undefined): void {
    const forward = this.#lookup?.headerList.length ? 'vary-miss' : 'uri-miss'
    this.#say({ hit: false, forward, stored: reason === undefined, detail: reason })
  }

  /** Takes back what later caches were told if a layer around us made the answer one visitor's. */
  #onLastWord(): void {
    const { res } = this
    if (this.#said === undefined || this.#saying === undefined) return
    const refusal = this.#refusal()
    if (refusal === undefined) return
    const wasPending = this.#pending !== undefined
    this.#pending = undefined
    this.#recorder?.stop()
    for (const name of SAYABLE) {
      const before = this.#said[name]
      // What a layer around us said after us stays.
      if (res.getHeader(name) !== this.#saying[name]) continue
      if (before === undefined) res.removeHeader(name)
      else res.setHeader(name, before)
    }
    this.#sayForward(refusal)
    if (wasPending) this.#report('bypass', refusal)
  }

  /** The page is everybody's, a cookie that a layer around us sends with it is not. */
  #keepCookieToItsOwner(): void {
    const { res } = this
    if (!res.hasHeader('Set-Cookie')) return
    const { directives } = parseCacheControl(res.getHeader('Cache-Control'))
    const maxAge = directives.find(({ name }) => name === 'max-age')?.value
    res.setHeader('Cache-Control', maxAge === undefined ? 'private' : `private, max-age=${maxAge}`)
    res.removeHeader('Expires')
  }

  /** What the layers around us have made of the response may be for one visitor only. */
  #refusal(): StoreRefusal | undefined {
    const { statusCode: status } = this.res
    const shown = status === 304 ? 200 : status
    const headers = this.res.getHeaders() as HeaderFields
    return storeRefusal({ status: shown, headers }, isPersonal(this.req, this.place.settings))
  }

  /** What the request was looked up as must be what it is answered as. */
  #change({ method, language, timeZone }: PageRequest): string | undefined {
    const { settings } = this.place
    if (requestLineMethod(this.req) !== method || this.req.method !== method)
      return 'method-changed'
    if (keyPart(settings.language, this.req) !== language) return 'language-changed'
    if (keyPart(settings.timeZone, this.req) !== timeZone) return 'time-zone-changed'
    return undefined
  }

  #expect(verdict: Pending['verdict'], atMs: number): void {
    const { res } = this
    // The Date of the answer, not that of a later hit.
    if (res.sendDate && !res.hasHeader('Date')) res.setHeader('Date', formatHttpDate(atMs))
    if (/'nonce-/.test(String(res.getHeader('Content-Security-Policy')))) warnOfNonce()
    const headers = takeHeaders(res, this.#outer ?? {}, this.place.settings.excludeHeaders)
    this.#pending = { verdict, headers, atMs }
    this.#recorder?.start(res.getHeaders())
  }

  #onEnd(body: readonly Buffer[]): void {
    const pending = this.#pending
    const [request, lookup, frame] = [this.#request, this.#lookup, this.#frame]
    if (!pending || !request || !lookup || !frame) return
    // The layers around us had the last word: a session may have set its cookie meanwhile.
    const refusal = this.#refusal()
    if (refusal !== undefined) return this.#report('bypass', refusal)
    const { verdict, headers, atMs } = pending
    const { statusCode: status, statusMessage } = this.res
    const head = {
      status,
      statusMessage: statusMessage === STATUS_CODES[status] ? undefined : statusMessage,
      ...headers,
      storedAtMs: atMs,
      ageSeconds: verdict.ageSeconds,
      freshUntilMs: verdict.keepSeconds === null ? null : atMs + verdict.keepSeconds * 1000,
      isPublic: verdict.isPublic,
    }
    const page = { head, body, vary: verdict.vary, frame }
    this.place.store.store(request, page, lookup).then((outcome) => {
      if (outcome === 'stored') this.#report('miss')
      else this.#report('bypass', outcome)
    }, warnOfFault)
  }

  /** Appends to `Cache-Status`: the member nearest to the origin comes first. */
  #say(handling: Handling): void {
    if (!this.place.settings.cacheStatus) return
    const member = formatCacheStatus(handling)
    const present = this.res.getHeader('Cache-Status')
    const before = present === undefined ? '' : `${[present].flat().join(', ')}, `
    this.res.setHeader('Cache-Status', before + member)
  }

  #report(outcome: ResponseOutcome, reason?: string): void {
    if (!responseChannel.hasSubscribers) return
    const { store } = this.place
    const { req } = this
    const request = this.#request ?? {
      method: req.method,
      uri: uriOf(req) ?? req.originalUrl,
      language: undefined,
      timeZone: undefined,
      headers: req.headers,
    }
    const message: ResponseMessage = {
      method: req.method,
      url: request.uri,
      key: store.keyOf(request, this.#lookup?.headerList ?? []),
      alias: store.alias,
      outcome,
      ...(reason !== undefined && { reason }),
    }
    responseChannel.publish(message)
  }
}

const warned = new Set<string>()

function warnOnce(code: string, message: string): void {
  if (warned.has(code)) return
  warned.add(code)
  process.emitWarning(`responseCache: ${message}; said once`, {
    type: 'ResponseCacheWarning',
    code,
  })
}

/** The page is out already, or its view is asked: a fault of ours is told and not thrown. */
export function warnOfFault(error: unknown): void {
  const message = `an unexpected error, pages may not be cached: ${String(error)}`
  warnOnce('FRAGCACHE_RESPONSE_CACHE', message)
}

function warnOfNonce(): void {
  const message =
    'a page with a nonce in its Content-Security-Policy is stored, and a nonce that many get is none; use hashes instead'
  warnOnce('FRAGCACHE_CSP_NONCE', message)
}
