import type { IncomingMessage, ServerResponse } from 'node:http'
import onHeaders from 'on-headers'
import { CacheBackendError } from '../../src/errors.js'
import type { TemplateFrame } from '../../src/fragment/template-frame.js'
import { currentFrame, runAsyncIn, type Frame } from '../../src/making/frame.js'
import { isConditional } from '../../src/http/conditional.js'
import type { Forward, Handling } from '../../src/http/cache-status.js'
import { freshenHeaders } from '../../src/http/freshen.js'
import type { HeaderFields, HeaderValue } from '../../src/http/header-values.js'
import { formatHttpDate } from '../../src/http/http-date.js'
import {
  judgeResponse,
  storeRefusal,
  type ResponseVerdict,
  type StoreRefusal,
  type Visitor,
} from '../../src/http/policy.js'
import { standsInForError } from '../../src/http/reuse.js'
import { fieldsOf, type StoredResponse } from '../../src/http/stored-response.js'
import { saidOf, tell, TOLD, unsaid } from '../../src/http/told-headers.js'
import { parseVary } from '../../src/http/vary.js'
import { chain, isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import { checkTags, type SeenVersions } from '../../src/tags.js'
import { isUnwatched } from '../../src/unwatched.js'
import {
  responseChannel,
  type ResponseMessage,
  type ResponseOutcome,
} from '../../src/pages/channel.js'
import {
  addToVary,
  appendCacheStatus,
  forwardOf,
  SAYABLE,
  sayable,
  toldHeadersOf,
  type Sayable,
} from './cache-headers.js'
import {
  asksForAny,
  asksForChange,
  attachInside,
  declareLength,
  hasAlready,
  makesEtagInside,
} from './client-conditions.js'
import { toNewPage, type Pending } from './new-page.js'
import type { Forwarding, Place } from './place.js'
import { isLasting, isSuperseding } from '../../src/pages/refusals.js'
import { hasLayersAround, keepCookieToItsOwner, onLastWord } from './last-word.js'
import type { PageHoleOptions } from './settings.js'
import { NOTHING, profileOf, UNDECIDED } from '../../src/pages/page-flights.js'
import { isOfOneFilling, sayForOneVisitor, saysForOneVisitor } from './one-visitor.js'
import { HoleHeaders } from './hole-headers.js'
import {
  holeFault,
  PageFrame,
  PageHoles,
  PassedFrame,
  passedRenderings,
  type HoledBody,
} from './page-holes.js'
import { fillPage, isFillable, VisitorHoles } from './visitor-holes.js'
import { unnoticed } from './unnoticed.js'
import { VisitorWatch } from './visitor-watch.js'
import type { PageLookup, PageRequest } from '../../src/pages/page.js'
import {
  BodyRecorder,
  bytesOf,
  VIEWS_OWN,
  takeHeaders,
  takePairs,
  type OuterHeaders,
  type Substitute,
} from './recorder.js'
import { routeName } from './routes.js'
import { becomeNotModified } from './precondition.js'
import { isPrecompressed } from './precompress.js'
import { endWith, prepareAnswer, prepareFilled, remainingSeconds } from './replay.js'
import { isPersonal, keyPart, requestLineMethod, targetOf, uriOf } from './request.js'
import { replaceConditions, restoreConditions } from './validators.js'
import { warnOfFault, warnOfNonce, warnOfTags, warnOfTrust } from './warnings.js'
import { setStatusMessage, statusMessageOf } from './protocol.js'

/**
 * `waiting`: no lookup yet. `forwarded`: the view answers, and its answer may be stored. `passed`:
 * the cache has nothing to do with it. `aside`: nothing was found, and nothing here stores. `replaced`: a
 * cache further in takes care of it.
 */
type Phase = 'waiting' | 'forwarded' | 'passed' | 'aside' | 'replaced'

const CURRENT = Symbol('fragcache.exchange')

type Answering = ServerResponse & { [CURRENT]?: Exchange }

/** One request and its response, from the lookup to the store. */
export class Exchange implements Substitute {
  #phase: Phase = 'waiting'
  #pageSeconds: number | null | undefined
  #tags: Place['tags']
  #isCacheDown = false
  #request: PageRequest | undefined
  #lookup: PageLookup | undefined
  #forwarding: Forwarding | undefined
  /** What the client asked, where the view is asked something else. */
  #asked: Pick<IncomingMessage, 'headers' | 'rawHeaders'> | undefined
  #isVisitors = false
  #outer: OuterHeaders | undefined
  #recorder: BodyRecorder | undefined
  #pending: Pending | undefined
  /** The headers that the cache speaks in, before it spoke and after. */
  #said: Sayable | undefined
  #saying: Sayable | undefined
  #frame: TemplateFrame | undefined
  /** Tells whom the answer belongs to. */
  #watch: VisitorWatch | undefined
  #outerWatch: VisitorWatch | undefined
  /** Fills the holes for this visitor. */
  #visitor: VisitorHoles | undefined
  /** The holes of the page that the view makes. */
  #holes: PageHoles | undefined
  #holeHeaders: HoleHeaders | undefined
  #innerVary: readonly string[] = []
  #isForOneVisitor = false
  /** Whether it is told when the layers around it have had their say. */
  #hasLastWord = false
  /** The headers before they said that the answer is one visitor's. */
  #saidForAll: HeaderFields | undefined
  /** What the body begins with, where that is known before the headers are sent. */
  #first: { readonly args: readonly unknown[]; readonly isAll: boolean } | undefined
  #isStoring = false
  #isSendingHead = false
  /** When the view was asked, and how long it took; 0: it was not. */
  #askedMs = 0
  #viewMs = 0
  #bytes = 0
  /** No older page stands in: its holes cannot be filled. */
  #isViewsOwn = false
  #forwardedMs = 0
  substitute: Substitute['substitute']

  private constructor(
    readonly place: Place,
    private readonly req: IncomingMessage,
    private readonly res: ServerResponse,
    /** Nothing of the application comes before. */
    private readonly isOutermost: boolean,
  ) {
    this.#pageSeconds = place.pageSeconds
    this.#tags = place.tags
  }

  /** The innermost exchange that has to do with a response. */
  static current(res: ServerResponse): Exchange | undefined {
    return (res as Answering)[CURRENT]
  }

  /** Begins an exchange; one further out stands back. */
  static begin(
    place: Place,
    req: IncomingMessage,
    res: ServerResponse,
    isOutermost = false,
  ): Exchange {
    const answering = res as Answering
    const outer = answering[CURRENT]
    const exchange = new Exchange(place, req, res, isOutermost && outer === undefined)
    if (outer !== undefined) {
      outer.#standBack()
      exchange.#holeHeaders = outer.#holeHeaders
      exchange.#outerWatch = outer.#watch
    }
    return (answering[CURRENT] = exchange)
  }

  get isWaiting(): boolean {
    return this.#phase === 'waiting'
  }

  /** It has left the request to whatever comes behind. */
  get isAside(): boolean {
    return this.#phase === 'aside'
  }

  /** Tags whose versions have to be read before the view runs. */
  get earlyTags(): readonly string[] {
    return typeof this.#tags === 'function' ? [] : this.#tags
  }

  /** An error handler takes over: a page that was begun is not whole, whoever ends it. */
  breakOff(): void {
    this.#recorder?.breakOff()
  }

  /** The handler failed: nothing that is sent from here on is what it was asked for. */
  abandon(): void {
    this.breakOff()
    if (this.#phase !== 'forwarded' || this.res.headersSent) return
    this.#phase = 'passed'
    this.#giveConditionsBack()
    this.#forwarding?.flight?.land(UNDECIDED)
  }

  #standBack(): void {
    this.#phase = 'replaced'
    if (this.#frame !== undefined) this.#frame.keeps = false
    this.#giveConditionsBack()
    this.#forwarding?.flight?.land()
  }

  /**
   * Whether this exchange already does what a middleware further in wants, so that a page is looked
   * up and stored once, for the shortest of the times that views are given.
   *
   * @see Django, `CacheMiddleware`: the outer `cache_page` stores last
   */
  absorbs(place: Place): boolean {
    if (this.#phase === 'aside') return false
    // What kept the request from one cache keeps it from any, unless it was that cache itself.
    if (this.#phase === 'passed' && !this.#isCacheDown) return true
    if (this.#phase === 'waiting' || this.place.store !== place.store) return false
    this.#pageSeconds = shorter(this.#pageSeconds, place.pageSeconds)
    if (typeof place.tags === 'function') this.#tags = place.tags
    return true
  }

  /**
   * Notes whether the site knows the visitor, as it does now: between the two halves of the cache, and
   * behind it, a layer may take away what the visitor came with.
   */
  noteVisitor(): void {
    this.#isVisitors ||= isPersonal(this.req, this.place.settings)
  }

  /** Whether the site knew the visitor when the cache was asked. */
  get isVisitors(): boolean {
    return this.#isVisitors
  }

  /** Reads the versions of a middleware's tags, which the lookup further out did not know of. */
  readTags({ tags, store }: Place): MaybePromise<void> {
    if (typeof tags === 'function' || tags.length === 0 || this.#phase !== 'forwarded') return
    const { cache } = store
    const read = cache.tryRead(() => cache.currentVersions(tags))
    return chain(read, (versions) => {
      if (versions === undefined) this.#dependLate(tags)
      else this.#depend(versions)
    })
  }

  /** Watches what is sent from here on. */
  attach(): void {
    if (this.#outer !== undefined) return
    this.#outer = this.res.getHeaders()
    attachInside(this.res)
    if (hasLayersAround(this.res)) {
      this.#hasLastWord = onLastWord(this.res, () => {
        this.#onLastWord()
        // Whatever a layer around us says of every response.
        if (this.#isForOneVisitor || this.#hasHoleHeaders) this.#sayForOneVisitor()
      })
    }
    onHeaders(this.res, () => this.#onHeaders())
    takePairs(this.res)
    if (this.req.method === 'HEAD') return
    this.#recorder = new BodyRecorder(
      this.res,
      this.place.settings.maxBodyBytes,
      (fault) => this.#refuse(fault),
      (body) => this.#onEnd(body),
      this,
    )
    this.res.on('close', () => {
      this.#recorder?.giveUp()
      // Its client is gone: what the page is, nobody knows yet.
      if (!this.#isStoring) this.#forwarding?.flight?.land(UNDECIDED)
    })
  }

  /** Leaves the request to the view: the cache has nothing to do with it. */
  pass(reason: string, next: () => void): void {
    if (this.place.isReadOnly === true) return this.stepAside(reason, next)
    this.#phase = 'passed'
    this.#isCacheDown = reason === 'cache-failed'
    const forward = reason === 'method' ? 'method' : 'bypass'
    this.#say({ hit: false, forward, stored: false, detail: reason })
    this.#report('bypass', reason)
    this.letThrough(this.place, next)
  }

  /** Goes on to the view with nothing changed: a middleware that only reads has found no page. */
  stepAside(reason: string, next: () => void): void {
    this.#phase = 'aside'
    onHeaders(this.res, () => {
      if (this.#phase === 'aside') this.#report('bypass', reason)
    })
    takePairs(this.res)
    next()
  }

  /**
   * Goes on to the view, or to what comes before it. Where the cache has nothing to do with the request,
   * a page with holes is one visitor's all the same, and says so.
   */
  letThrough({ settings, store }: Place, next: () => void): void {
    if (this.#phase !== 'passed' || settings.holes === undefined || this.#frame !== undefined) {
      next()
      return
    }
    const { req, res } = this
    const frame = new PassedFrame(store.cache, frameAround(), undefined)
    this.#frame = frame
    if (hasLayersAround(res)) onLastWord(res, () => this.#tellOfShownHoles())
    onHeaders(res, () => this.#tellOfShownHoles())
    takePairs(res)
    settings.host.watchRender(
      req,
      res,
      passedRenderings(frame, () => this.#phase === 'passed'),
    )
    runAsyncIn(frame, next)
  }

  /** Holes that were rendered where they stand, in a page that is not kept. */
  #tellOfShownHoles(): void {
    if (this.#frame?.hasShownHoles !== true) return
    this.#isForOneVisitor = true
    sayForOneVisitor(this.res)
  }

  /** Drops the pages that an unsafe request changes, when its answer is a good one. */
  watchUnsafe(targetsOf: (headers: HeaderFields) => readonly string[]): void {
    onHeaders(this.res, () => {
      const { statusCode } = this.res
      if (statusCode < 200 || statusCode >= 400) return
      for (const uri of targetsOf(this.res.getHeaders())) {
        this.place.invalidate(uri)
      }
    })
    takePairs(this.res)
  }

  /**
   * Fills the holes of a stored response for this visitor.
   *
   * @returns `undefined`: one of them is not there any more.
   * @throws What a hole throws, also by promise.
   */
  fill(page: StoredResponse): MaybePromise<Buffer | undefined> {
    const { holes } = this.place.settings
    if (holes === undefined || !isFillable(page, holes)) return undefined
    // HEAD is told nothing of the body.
    if (this.req.method === 'HEAD') return EMPTY
    return fillPage(page, this.#visitorOf(holes))
  }

  /**
   * Answers with a stored response.
   *
   * @param filled - Its body for this visitor, where it has holes.
   */
  answer(
    { request, lookup }: Forwarding,
    page: StoredResponse,
    outcome: 'hit' | 'joined' | 'stale',
    detail?: string,
    filled?: Buffer,
  ): void {
    this.#phase = 'passed'
    this.#request = request
    this.#lookup = lookup
    const { req, res } = this
    const nowMs = Date.now()
    if (hasLayersAround(res)) {
      onLastWord(res, () => {
        this.#keepCookieToItsOwner()
        if (filled !== undefined || this.#hasHoleHeaders) sayForOneVisitor(res)
      })
    }
    const body =
      filled === undefined
        ? prepareAnswer(req, res, page, nowMs)
        : prepareFilled(req, res, page, filled)
    if (this.#hasHoleHeaders) sayForOneVisitor(res)
    this.#keepCookieToItsOwner()
    this.#say(
      outcome === 'joined'
        ? { hit: false, forward: forwardOf(lookup), stored: false, collapsed: true }
        : { hit: true, ttlSeconds: remainingSeconds(page, nowMs), detail },
    )
    this.#report(outcome, detail)
    endWith(res, body)
  }

  /** Answers that nothing stored can answer, to a request that wants nothing else. */
  answerOnlyIfCached({ request, lookup }: Forwarding): void {
    this.#phase = 'passed'
    this.#request = request
    this.#lookup = lookup
    const { res } = this
    res.statusCode = 504
    res.setHeader('Cache-Control', 'no-store')
    res.setHeader('Content-Length', 0)
    this.#say({ hit: false, forward: forwardOf(lookup), stored: false, detail: 'only-if-cached' })
    this.#report('bypass', 'only-if-cached')
    res.end()
  }

  /** Leaves the request to the view; the answer is stored if it may be. */
  forward(forwarding: Forwarding, next: () => void): void {
    const { lookup, stale, validates = false } = forwarding
    // What a layer behind the cache deletes was sent all the same.
    const request = { ...forwarding.request, headers: { ...forwarding.request.headers } }
    this.#phase = 'forwarded'
    this.#request = request
    this.#lookup = lookup
    const isKnownToRead = () => this.place.store.readsCookies(request, this.#route)
    const { req, place } = this
    this.#watch = new VisitorWatch(
      req,
      this.res,
      request,
      place.settings,
      this.#isVisitors,
      this.#outerWatch,
      isKnownToRead,
    )
    this.#forwarding = { ...forwarding, request }
    this.#forwardedMs = Date.now()
    // The whole is wanted, for others too; the client is told afterwards that it has it already.
    const isForAll = forwarding.flight !== undefined && asksForChange(this.req.headers)
    if (validates || isForAll) {
      const { headers, rawHeaders } = this.req
      this.#asked = { headers, rawHeaders }
      replaceConditions(this.req, validates ? stale : undefined)
    }
    const { store, settings } = this.place
    const frame = new PageFrame(store.cache, frameAround(), undefined, settings.bubbleTimeout)
    frame.holdsLease = forwarding.isLeased === true
    this.#frame = frame
    this.#depend(lookup.tags)
    this.#watchHoles(frame)
    this.#watch.begin()
    this.#askedMs = performance.now()
    runAsyncIn(frame, next)
  }

  #watchHoles(frame: TemplateFrame): void {
    const { req, res } = this
    const { holes } = this.place.settings
    frame.holeFault = holeFault(holes)
    if (holes === undefined) return
    this.#holes = new PageHoles(
      res,
      frame,
      this.#visitorOf(holes),
      () => this.#phase === 'forwarded',
      (isForView) => {
        if (isForView) this.#holeHeaders?.handOver()
        this.#forgetConditions()
      },
    )
    this.place.settings.host.watchRender(req, res, this.#holes)
  }

  /** Whoever fills the holes for this visitor; the headers that are set for it are watched. */
  #visitorOf(holes: PageHoleOptions): VisitorHoles {
    this.#holeHeaders ??= new HoleHeaders(this.res)
    return (this.#visitor ??= new VisitorHoles(holes, this.req, this.res))
  }

  /** Whether what fills holes has set headers, though the page may have none: they are one visitor's. */
  get #hasHoleHeaders(): boolean {
    return this.#holeHeaders !== undefined && this.#holeHeaders.names.size > 0
  }

  /** A client's copy is of another filling, whatever it asks. */
  #forgetConditions(): void {
    if (this.res.headersSent) return
    const { headers, rawHeaders } = unnoticed(() => ({
      headers: this.req.headers,
      rawHeaders: this.req.rawHeaders,
    }))
    this.#asked ??= { headers, rawHeaders }
    unnoticed(() => replaceConditions(this.req, undefined))
    this.#watch?.watchHeaders()
  }

  #depend(versions: SeenVersions): void {
    if (versions.size > 0) this.#frame?.depend(this.place.store.cache, versions)
  }

  /** The view's status is known, and nothing is sent yet. */
  beforeHeaders(isEnd: boolean, first?: readonly unknown[]): void {
    if (this.#phase !== 'forwarded' || this.substitute !== undefined) return
    if (first !== undefined) this.#first = { args: first, isAll: isEnd }
    const { stale, validates = false } = this.#forwarding ?? {}
    const { statusCode } = this.res
    if (stale !== undefined && !this.#isViewsOwn) {
      if (statusCode === 304 && validates) this.#confirm(stale)
      else if (statusCode >= 500 && standsInForError(stale, Date.now())) {
        this.#standIn(stale, first !== undefined)
      }
    }
    this.#giveConditionsBack()
    if (first === undefined || this.substitute !== undefined) return
    // Decided before the body is handed on, since with a 304 there must be none.
    if (!this.#hasAlready() && !(this.#isAskedForChange && makesEtagInside(this.res))) return
    this.#isSendingHead = true
    if (isEnd) declareLength(this.res, first)
    this.res.writeHead(statusCode)
  }

  /** Whether the client wants what has changed only, and it is for us to tell it. */
  get #isAskedForChange(): boolean {
    const { statusCode } = this.res
    if (this.#asked === undefined || statusCode < 200 || statusCode >= 300) return false
    return isConditional(this.#asked.headers) && !asksForAny(this.#asked.headers)
  }

  #hasAlready(): boolean {
    const { res } = this
    if (this.#asked === undefined || !this.#isAskedForChange) return false
    return hasAlready(this.#asked.headers, res.getHeaders(), res, Date.now())
  }

  /** The view has read ours; the layers around us want to know what the client asked. */
  #giveConditionsBack(): void {
    if (this.#asked !== undefined) restoreConditions(this.req, this.#asked)
  }

  /** The view says that the older page is right still: it is answered, and kept again. */
  #confirm(stale: StoredResponse): void {
    const { res, place } = this
    const { settings } = place
    const nowMs = Date.now()
    if (!res.hasHeader('Date')) res.setHeader('Date', formatHttpDate(nowMs))
    const taken = takeHeaders(res, this.#outer ?? {}, this.#excluded(), settings.rfc9111)
    const headers = freshenHeaders(unsaid(stale), taken.headers)
    const view = sayable(res)
    for (const name of SAYABLE) {
      // They are the view's no more.
      if (name !== 'Cache-Status') res.removeHeader(name)
    }
    const cookies = this.#ofThePage()['set-cookie']
    const facts = {
      ...fieldsOf({ headers }),
      ...(cookies !== undefined && { 'set-cookie': cookies }),
    }
    const verdict = this.#judge(stale.status, facts, nowMs, this.#watch?.visitor)
    const { pageTags } = this.#lookup ?? {}
    // What is in the body, the view does not make again.
    if (pageTags !== undefined) this.#depend(pageTags)
    const change = this.#request === undefined ? undefined : this.#change(this.#request)
    const reason = change ?? reasonOf(verdict) ?? this.#dependOnTags(verdict)
    const said = verdict.downstream === undefined ? [] : saidOf(headers)
    const told = verdict.downstream === undefined ? headers : tell(headers, verdict.downstream)
    const page: StoredResponse = {
      ...stale,
      headers: told,
      said,
      removed: [...new Set([...stale.removed, ...taken.removed])],
      storedAtMs: nowMs,
      ageSeconds: 0,
    }
    this.#answerInstead(page, nowMs, false)
    if (this.#hasHoleHeaders) sayForOneVisitor(res)
    if (view['Cache-Status'] !== undefined) res.setHeader('Cache-Status', view['Cache-Status'])
    this.#said = undefined
    this.#say({
      hit: false,
      forward: 'stale',
      forwardStatus: 304,
      stored: reason === undefined,
      detail: reason,
    })
    if (verdict.store && reason === undefined) {
      const nominated = stale.nominated.map(([name]) => name)
      // What we added ourselves when it was stored is no header that it was made from.
      const added = ['accept-encoding', 'authorization'].filter((name) => !nominated.includes(name))
      this.#innerVary = this.#withCookie(
        verdict,
        verdict.vary.filter((name) => !added.includes(name)),
      )
      const kept = { headers: told, removed: page.removed }
      const { status, statusMessage } = stale
      const facts = { status, statusMessage, verdict, headers: kept, said, atMs: nowMs }
      const pending = { ...facts, confirmed: stale }
      this.#store(pending, [stale.body])
    } else {
      this.#refuse(reason ?? 'status')
    }
  }

  /**
   * The view failed: the older page answers once more, unless its holes cannot be filled.
   *
   * @param mayWait - What the view writes can be held back: its headers are not on their way yet.
   */
  #standIn(stale: StoredResponse, mayWait: boolean): void {
    const { res } = this
    const status = res.statusCode
    if (stale.holes === undefined) return this.#standInNow(stale, status, undefined)
    let filled: MaybePromise<Buffer | undefined>
    try {
      filled = this.fill(stale)
    } catch (error) {
      return this.#leaveToView(error)
    }
    if (!isPromise(filled)) {
      if (filled === undefined) return this.#leaveToView()
      return this.#standInNow(stale, status, filled)
    }
    if (!mayWait) {
      filled.catch(() => undefined)
      return this.#leaveToView()
    }
    const leave = (error?: unknown): typeof VIEWS_OWN => {
      this.#leaveToView(error)
      return VIEWS_OWN
    }
    const body = filled.then((text) => {
      if (text === undefined || res.headersSent) return leave()
      this.#standInNow(stale, status, text)
      return text
    }, leave)
    this.substitute = { body }
  }

  /** The view's failure is the answer after all. */
  #leaveToView(error?: unknown): void {
    if (error !== undefined) warnOfFault(error)
    this.#isViewsOwn = true
    this.substitute = undefined
  }

  #standInNow(stale: StoredResponse, status: number, filled: Buffer | undefined): void {
    const { res } = this
    this.#isForOneVisitor = filled !== undefined
    const ofHoles = this.#holeHeaders
    const outer = this.#outer ?? {}
    for (const name of res.getHeaderNames()) {
      if (name === 'set-cookie') continue
      if (ofHoles?.names.has(name) === true) continue
      const before = outer[name]
      // Without the view's own, Node adds none: it is of this answer, unless the page has one.
      if (name === 'date') res.setHeader(name, before ?? formatHttpDate(Date.now()))
      else if (before === undefined) res.removeHeader(name)
      else res.setHeader(name, before)
    }
    const cookies = [outer['set-cookie'] ?? [], ofHoles?.cookies ?? []].flat().map(String)
    if (cookies.length === 0) res.removeHeader('Set-Cookie')
    else res.setHeader('Set-Cookie', [...new Set(cookies)])
    const nowMs = Date.now()
    this.#answerInstead(stale, nowMs, true, filled)
    const ttlSeconds = remainingSeconds(stale, nowMs)
    this.#say({ hit: true, ttlSeconds, detail: `view-failed-${status}` })
    this.#report('stale', `view-failed-${status}`)
    this.#forwarding?.flight?.land({ ...NOTHING, page: stale, standsIn: true })
  }

  #answerInstead(page: StoredResponse, nowMs: number, withAge: boolean, filled?: Buffer): void {
    const { req, res } = this
    setStatusMessage(res, '')
    const conditions = this.#asked?.headers ?? req.headers
    const body =
      filled === undefined
        ? prepareAnswer(req, res, page, nowMs, conditions, withAge)
        : prepareFilled(req, res, page, filled)
    this.#keepCookieToItsOwner()
    this.substitute = { body }
  }

  #judge(
    status: number,
    headers: HeaderFields,
    nowMs: number,
    visitor: Visitor | undefined,
  ): ResponseVerdict {
    const { settings } = this.place
    return judgeResponse(
      {
        method: this.#request?.method ?? this.req.method ?? '',
        visitor,
        ranged: this.#request?.headers['range'] !== undefined,
      },
      { status, headers },
      {
        pageSeconds: this.#pageSeconds,
        siteSeconds: settings.seconds,
        maxBodyBytes: settings.maxBodyBytes,
        statuses: settings.statuses,
        rfc9111: settings.rfc9111,
        revalidateSeconds: settings.revalidateSeconds,
        staleIfError: settings.staleIfError,
        staleWhileRevalidate: settings.staleWhileRevalidate,
        endsAtMs: settings.bubbleTimeout ? this.#frame?.bubbledExpiresAtMs : undefined,
      },
      nowMs,
    )
  }

  #onHeaders(): void {
    if (this.#phase === 'replaced') return this.#tellOfShownHoles()
    if (this.#phase !== 'forwarded' || this.#request === undefined) return
    // RFC 9112 §6.2: there is not both, and what is sent in chunks is as long as it is.
    if (this.res.hasHeader('Transfer-Encoding')) this.res.removeHeader('Content-Length')
    if (!this.#isSendingHead) this.beforeHeaders(false)
    if (this.substitute !== undefined) return
    this.#watch?.sendHeaders()
    this.#learnOfCookies()
    const { res } = this
    const nowMs = Date.now()
    const isFilled = this.#holes?.isFilled === true
    // They are of this filling, and keep no page to be validated by them.
    if (isFilled) for (const name of ['ETag', 'Last-Modified']) res.removeHeader(name)
    const visitor = this.#watch?.visitor
    // A layer around us may say yet that the page varies on Cookie: then it is asked once more.
    const known = visitor?.reason === 'cookies-read' && this.#hasLastWord ? undefined : visitor
    const verdict = this.#judge(res.statusCode, this.#ofThePage(), nowMs, known)
    const change = this.#change(this.#request)
    const visitors = this.#isOneVisitors()
    const old = this.#frame?.holdsOld === true ? 'stale-inside' : undefined
    const reason = change ?? reasonOf(verdict) ?? visitors ?? old ?? this.#dependOnTags(verdict)
    this.#said = sayable(res)
    const isForOne = isFilled || visitors !== undefined
    const said = verdict.downstream === undefined || isForOne ? [] : saidOf(toldHeadersOf(res))
    if (isForOne) {
      this.#isForOneVisitor = true
      this.#sayUnlessLater()
    } else if (verdict.downstream !== undefined && change === undefined && old === undefined) {
      const { cacheControl, expires } = verdict.downstream
      res.setHeader('Cache-Control', cacheControl)
      if (expires !== undefined) res.setHeader('Expires', expires)
    }
    if (verdict.store && reason === undefined) this.#expect(verdict, said, nowMs)
    this.#sayForward(reason)
    if (!isForOne && this.#hasHoleHeaders) {
      // The page is everybody's, and this answer is not.
      this.#isForOneVisitor = true
      this.#sayUnlessLater()
    }
    if (!this.#isForOneVisitor) this.#leaveOutBody()
    this.#saying = sayable(res)
    if (reason !== undefined) this.#refuse(reason)
  }

  /**
   * Whether what was read of one visitor may be seen in the page. Where pages have holes, what the page
   * itself reads counts too: a hole is the place for it, unless each visitor has a page of their own.
   */
  get #isUnfit(): boolean {
    if (this.#frame?.isUnfit === true) return true
    if (this.#holes === undefined || this.#frame?.tellsOfUser !== true) return false
    const { names } = parseVary(this.res.getHeader('Vary'))
    return !names.some((name) => name === 'cookie' || name === 'authorization')
  }

  /** Why the page itself is one visitor's, whatever it says. */
  #isOneVisitors(): string | undefined {
    if (this.#isUnfit) return 'undeclared-read'
    if (this.#holes?.isAstray === true) return 'holes'
    if (this.#holes?.isFilled !== true) return undefined
    if (!this.#holes.isOneText || this.#holeHeaders?.mayBeOfText === true) return 'holes'
    if (!this.#mayBeOneText(this.#holes)) return 'holes'
    // By the letter of the RFC cookies are stored.
    return this.#ofThePage()['set-cookie'] === undefined ? undefined : 'set-cookie'
  }

  /** Whether the body may be, to the byte, the text whose holes were filled. */
  #mayBeOneText(holes: PageHoles): boolean {
    const coding = this.res.getHeader('Content-Encoding')
    if (coding !== undefined && coding !== 'identity') return false
    if (this.#first === undefined) return true
    return holes.mayKeep(bytesOf(this.#first.args) ?? EMPTY, this.#first.isAll)
  }

  /** Layers around us say what they have to say of the page first. */
  #sayUnlessLater(): void {
    if (!this.#hasLastWord) this.#sayForOneVisitor()
  }

  #sayForOneVisitor(): void {
    this.#saidForAll ??= this.res.getHeaders()
    sayForOneVisitor(this.res)
  }

  /** The headers without those of the holes, and without what was said of the page with its holes filled. */
  #ofThePage(): HeaderFields {
    const headers: Record<string, HeaderValue | undefined> = { ...this.res.getHeaders() }
    if (this.#holeHeaders?.haveAllCookies === true) delete headers['set-cookie']
    if (this.#saidForAll !== undefined && saysForOneVisitor(this.res)) {
      for (const [name, value] of Object.entries(this.#saidForAll)) {
        if (isOfOneFilling(name)) headers[name] = value
      }
      if (!('cache-control' in this.#saidForAll)) delete headers['cache-control']
    }
    return headers
  }

  /** A client that has the whole already is not sent it again, though the view was asked for it. */
  #leaveOutBody(): void {
    const { res } = this
    if (!this.#hasAlready()) return
    becomeNotModified(res)
    this.substitute = { body: undefined, isRecorded: true }
  }

  /** The answer is this request's alone: nobody need wait for it. */
  #refuse(reason: string): void {
    this.#report('bypass', reason)
    if (this.#forwarding === undefined) return
    const { flight, lookup, request, stale, validates = false } = this.#forwarding
    const { store } = this.place
    const { isKnown, headerList } = lookup
    if (validates && stale !== undefined && this.#supersedes(reason, stale)) {
      store.drop(request, lookup.key, stale).catch(warnOfFault)
    }
    if (this.#watch?.hasReadCookies === true && isKnown && !headerList.includes('cookie')) {
      // A page that was made without reading them must not be found by those who have some.
      store.learn(request, ['cookie'], 0).catch(ignoreFailure)
    }
    if (flight === undefined) return
    if (reason === 'incomplete' && this.req.socket.destroyed) return flight.land(UNDECIDED)
    if (isLasting(reason) && !this.#isChosenByHeaders()) {
      this.place.flights.mark(lookup.key, profileOf(request.headers))
    }
    flight.land()
  }

  /**
   * Whether an answer that is not stored says of an expired page that it is no more: only one that
   * anybody would have got, since the page is everybody's.
   *
   * @see RFC 9111 §4.3.3
   */
  #supersedes(reason: string, stale: StoredResponse): boolean {
    const { request } = this.#forwarding ?? {}
    if (request === undefined || profileOf(request.headers) !== '' || this.#isChosenByHeaders()) {
      return false
    }
    if (stale.freshUntilMs === null || Date.now() < stale.freshUntilMs) return false
    return isSuperseding(reason, this.res.statusCode)
  }

  /** What is private for one choice of the client's may be everybody's for another. */
  #isChosenByHeaders(): boolean {
    const { names } = parseVary(this.res.getHeader('Vary'))
    return names.some((name) => name !== 'cookie' && name !== 'accept-encoding')
  }

  #sayForward(reason: string | undefined): void {
    const forward = this.#forward()
    const { statusCode } = this.res
    const forwardStatus = forward === 'stale' ? statusCode : undefined
    this.#say({ hit: false, forward, forwardStatus, stored: reason === undefined, detail: reason })
  }

  #forward(): Forward {
    if (this.#forwarding?.validates === true) return 'stale'
    if (this.#forwarding?.isPassedOver === true) return 'bypass'
    return forwardOf(this.#lookup)
  }

  /** Takes back what later caches were told if a layer around us made the answer one visitor's. */
  #onLastWord(): void {
    const { res } = this
    if (this.substitute !== undefined) return this.#keepCookieToItsOwner()
    if (this.#said === undefined || this.#saying === undefined) return
    const refusal = this.#refusal()
    if (refusal === undefined) return
    const wasPending = this.#pending !== undefined
    this.#pending = undefined
    this.#recorder?.stop()
    for (const name of SAYABLE) {
      const before = this.#said[name]
      // It is one visitor's in any case.
      if (this.#isForOneVisitor && TOLD.some((told) => told === name)) continue
      // What a layer around us said after us stays.
      if (res.getHeader(name) !== this.#saying[name]) continue
      if (before === undefined) res.removeHeader(name)
      else res.setHeader(name, before)
    }
    this.#sayForward(refusal)
    if (wasPending) this.#refuse(refusal)
  }

  #keepCookieToItsOwner(): void {
    if (!this.place.settings.rfc9111) keepCookieToItsOwner(this.res)
  }

  /** What the layers around us have made of the response may be for one visitor only. */
  #refusal(): StoreRefusal | undefined {
    const { statusCode: status } = this.res
    const { settings } = this.place
    const shown = status === 304 ? 200 : status
    const headers = this.#ofThePage()
    if (this.#isForOneVisitor && headers['set-cookie'] !== undefined) return 'set-cookie'
    return storeRefusal({ status: shown, headers }, this.#watch?.visitor, Date.now(), settings)
  }

  /** Remembers that cookies were read, for pages of the same handler that are made without reading any. */
  #learnOfCookies(): void {
    if (this.#request === undefined || this.#watch?.hasReadCookies !== true) return
    this.place.store.noteCookies(this.#request, this.#route)
  }

  get #route(): object | undefined {
    return (this.req as { readonly route?: object }).route
  }

  /** The names that the page is kept by. */
  #withCookie(verdict: ResponseVerdict, vary: readonly string[]): readonly string[] {
    return this.#lacksVary(verdict, vary) ? [...vary, 'cookie'] : vary
  }

  /** Whether the page is for those without cookies alone, and does not say so. */
  #lacksVary(verdict: ResponseVerdict, vary: readonly string[]): boolean {
    if (!verdict.store || verdict.isPublic || vary.includes('cookie')) return false
    return this.#watch?.isForThoseWithoutCookies === true
  }

  /** What the request was looked up as must be what it is answered as. */
  #change({ method, language, timeZone }: PageRequest): string | undefined {
    const { settings } = this.place
    if (this.#watch?.hasOtherOrigin === true) {
      warnOfTrust()
      return 'trust-changed'
    }
    if (requestLineMethod(this.req) !== method || this.req.method !== method)
      return 'method-changed'
    if (keyPart(settings.language, this.req) !== language) return 'language-changed'
    if (keyPart(settings.timeZone, this.req) !== timeZone) return 'time-zone-changed'
    return undefined
  }

  #expect(verdict: Pending['verdict'], said: Pending['said'], atMs: number): void {
    const { res } = this
    const { settings } = this.place
    // The Date of the answer, not that of a later hit.
    if (res.sendDate && !res.hasHeader('Date')) res.setHeader('Date', formatHttpDate(atMs))
    if (/'nonce-/.test(String(res.getHeader('Content-Security-Policy')))) warnOfNonce()
    this.#innerVary = this.#withCookie(verdict, verdict.vary)
    if (this.#innerVary !== verdict.vary && this.#watch?.isReader === true) addToVary(res, 'Cookie')
    if (this.#request?.headers['authorization'] !== undefined && !verdict.isForAuthorized) {
      // Django, learn_cache_key: later caches are told what our key says.
      addToVary(res, 'Authorization')
    }
    const { rfc9111 } = settings
    const isFilled = this.#holes?.isFilled === true
    if (!isFilled && isPrecompressed(res, settings)) addToVary(res, 'Accept-Encoding')
    const headers = takeHeaders(res, this.#outer ?? {}, this.#excluded(), rfc9111)
    const { statusCode: status } = res
    const statusMessage = statusMessageOf(res)
    this.#pending = { status, statusMessage, verdict, headers, said, atMs }
    if (this.#recorder !== undefined) {
      settings.host.watchErrors(this.req, (failed) => Exchange.current(failed)?.breakOff())
      this.#recorder.start(res.getHeaders())
    }
    this.#forwarding?.flight?.begin()
  }

  /** Headers that are no part of the page. */
  #excluded(): ReadonlySet<string> {
    const { excludeHeaders } = this.place.settings
    if (this.#holeHeaders === undefined) return excludeHeaders
    const isFilled = this.#holes?.isFilled === true
    const names = isFilled ? this.res.getHeaderNames().filter(isOfOneFilling) : []
    return new Set([...excludeHeaders, ...names, ...this.#holeHeaders.names])
  }

  /** @returns Why the response is not stored after all. */
  #dependOnTags(verdict: ResponseVerdict): string | undefined {
    if (!verdict.store || typeof this.#tags !== 'function') return undefined
    const { req, res } = this
    const tags = this.#tags
    try {
      this.#dependLate(checkTags(unnoticed(() => tags(req, res))))
      return undefined
    } catch (error) {
      // The page is not to fail for what only the cache wants to know.
      warnOfTags(routeName(this.req), error)
      return 'tags-unreadable'
    }
  }

  #dependLate(tags: readonly string[]): void {
    const unread = new Map(tags.map((tag) => [tag, undefined] as const))
    this.#frame?.depend(this.place.store.cache, unread)
  }

  #onEnd(body: readonly Buffer[]): void {
    this.#viewEnds()
    const pending = this.#pending
    if (pending === undefined) return
    // The layers around us had the last word: a session may have set its cookie meanwhile.
    this.#learnOfCookies()
    const refusal = this.#refusal()
    if (refusal !== undefined) return this.#refuse(refusal)
    // They were read when it was said already what the page varies on.
    if (this.#lacksVary(pending.verdict, this.#innerVary)) return this.#refuse('cookies-read')
    if (this.#isUnfit) return this.#refuse('undeclared-read')
    if (this.#frame?.holdsOld === true) return this.#refuse('stale-inside')
    if (this.#holes?.isAstray === true) return this.#refuse('holes')
    if (this.#holes?.isFilled !== true) return this.#store(pending, body)
    const kept = this.#holes.keep(Buffer.concat(body))
    if (kept === undefined) return this.#refuse('holes')
    this.#store(pending, [kept.body], kept.holes)
  }

  #viewEnds(): void {
    if (this.#askedMs !== 0 && this.#viewMs === 0) this.#viewMs = performance.now() - this.#askedMs
  }

  #store(pending: Pending, body: readonly Buffer[], holes?: HoledBody['holes']): void {
    const [request, lookup, frame] = [this.#request, this.#lookup, this.#frame]
    if (!request || !lookup || !frame) return
    this.#isStoring = true
    this.#bytes = body.reduce((sum, { length }) => sum + length, 0)
    const { store, flights } = this.place
    const flight = this.#forwarding?.flight
    const { res, isOutermost } = this
    const { settings } = this.place
    const innerVary = this.#innerVary
    const costMs = this.place.earlyRefresh > 0 ? Date.now() - this.#forwardedMs : undefined
    toNewPage({ pending, body, frame, holes, res, settings, innerVary, isOutermost, costMs })
      .then((page) => store.store(request, page, lookup))
      .then(({ outcome, page }) => {
        if (outcome === 'stored') this.#report('miss')
        else this.#report('bypass', outcome)
        if (flight !== undefined && (outcome === 'cache-refused' || outcome === 'cache-failed')) {
          flights.mark(lookup.key, profileOf(request.headers))
        }
        if (page !== undefined && flight !== undefined) {
          flights.unmark(lookup.key, profileOf(request.headers))
        }
        flight?.land(outcome === 'overtaken' ? UNDECIDED : { ...NOTHING, page })
      })
      .catch((error: unknown) => {
        flight?.land()
        warnOfFault(error)
      })
  }

  #say(handling: Handling): void {
    if (this.place.settings.cacheStatus) appendCacheStatus(this.res, handling)
  }

  #report(outcome: ResponseOutcome, reason?: string): void {
    if (isUnwatched(this.res)) return
    const { req } = this
    const { store } = this.place
    const request = this.#request ?? {
      method: req.method ?? '',
      uri: uriOf(req, this.place.settings.host) ?? targetOf(req),
      language: undefined,
      timeZone: undefined,
      headers: req.headers,
    }
    const key = () => store.keyOf(request, this.#lookup?.headerList ?? [])
    const tally = this.place.routes.of(req, request.uri, store.alias)
    tally.count(outcome, reason)
    this.#viewEnds()
    if (this.#viewMs > 0) tally.ran(this.#viewMs)
    if (outcome === 'miss') tally.stored(key(), this.#bytes)
    if (!responseChannel.hasSubscribers) return
    const message: ResponseMessage = {
      method: req.method ?? '',
      url: request.uri,
      key: key(),
      alias: store.alias,
      outcome,
      ...(reason !== undefined && { reason }),
    }
    responseChannel.publish(message)
  }
}

const EMPTY = Buffer.alloc(0)

/** `undefined`: no time is given; `null`: without end. */
function shorter(
  a: number | null | undefined,
  b: number | null | undefined,
): number | null | undefined {
  if (a === undefined || b === undefined) return a === undefined ? b : a
  if (a === null || b === null) return a === null ? b : a
  return Math.min(a, b)
}

/** A page around is not kept once one inside is made, and what fills holes must find the inner one. */
function frameAround(): Frame | undefined {
  const around = currentFrame()
  return around instanceof PageFrame ? undefined : around
}

/** The cache has told of its outage. */
function ignoreFailure(error: unknown): void {
  if (!(error instanceof CacheBackendError)) warnOfFault(error)
}

function reasonOf(verdict: ResponseVerdict): string | undefined {
  return verdict.store ? undefined : verdict.reason
}
