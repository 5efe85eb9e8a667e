import { currentMs } from '../../src/current-time.js'
import type { Forward } from '../../src/http/cache-status.js'
import { formatHttpDate } from '../../src/http/http-date.js'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { ProducerTimeoutError } from '../../src/errors.js'
import { runAsyncIn } from '../../src/making/frame.js'
import type { Judgement } from '../../src/pages/judge.js'
import { profileOf } from '../../src/pages/marks.js'
import { UNSHARED, type LandedPage } from '../../src/pages/page-lead.js'
import type { ContentReason, UnkeptReason } from '../../src/pages/reasons.js'
import { isLasting } from '../../src/pages/refusals.js'
import { standsInForError } from '../../src/pages/reuse.js'
import { saidOf } from '../../src/pages/told-headers.js'
import { ownLimitOf } from '../../src/staleness.js'
import { checkTags, NO_VERSIONS, type SeenVersions } from '../../src/tags.js'
import type { Around } from './around.js'
import { AskedConditions } from './asked-conditions.js'
import { addToVary, forwardOf } from './cache-headers.js'
import { asksForChange, makesEtagInside } from './client-conditions.js'
import { confirm } from './confirm.js'
import { isDetached } from './detached.js'
import { Facts, type First, type KeptVerdict } from './facts.js'
import type { Filling } from './filling.js'
import { dropLateWrites } from './late-handler.js'
import { toNewPage, type Pending } from './new-page.js'
import { frameAround, holeFault, PageFrame, PageHoles, type HoledBody } from './page-holes.js'
import type { Forwarding } from './place.js'
import { becomeNotModified } from './precondition.js'
import { isPrecompressed } from './precompress.js'
import { isGone, onClosed, statusMessageOf } from './protocol.js'
import type { Substitute } from './recorder.js'
import { refuse } from './refusing.js'
import { routeName } from './routes.js'
import type { PageHoleOptions } from './settings.js'
import { declareLength } from './sent-body.js'
import { StandIn } from './stand-in.js'
import { unnoticed } from './unnoticed.js'
import { VisitorWatch } from './visitor-watch.js'
import { warnOfFault, warnOfNonce, warnOfPageTags } from './warnings.js'

/**
 * How far a response has come. `open`: its headers can be changed. `sending`: the cache sends them. `expected`:
 * its body will be stored. `storing`: it is being stored. `refused`: it will not be.
 */
type Stage =
  | { readonly kind: 'open' | 'sending' | 'refused' | 'storing' }
  | { readonly kind: 'expected'; readonly pending: Pending }

/** Stages in which the response may still be stored. */
const MAY_KEEP: ReadonlySet<Stage['kind']> = new Set(['open', 'expected'])

/** Has a handler render one page, judges its response, and stores it if it may be stored. */
export class PageMaking {
  readonly watch: VisitorWatch
  readonly conditions: AskedConditions
  readonly forwarding: Forwarding
  readonly frame: PageFrame
  readonly #holes: PageHoles | undefined
  readonly #facts: Facts
  readonly #standIn = new StandIn(this)
  readonly #begunMs = currentMs()
  #stage: Stage = { kind: 'open' }
  #first: First | undefined
  /** What is sent instead of what the handler writes. */
  substitute: Substitute['substitute']

  constructor(
    readonly around: Around,
    forwarding: Forwarding,
    private readonly isCurrent: () => boolean,
  ) {
    const { place, req, telling, filling } = around
    const { store, settings } = place
    const { lookup, lead, isLeased = false } = forwarding
    // A copy: a layer behind the cache may delete headers that the client did send.
    const request = { ...forwarding.request, headers: { ...forwarding.request.headers } }
    this.forwarding = { ...forwarding, request }
    telling.about({ request, lookup })
    const isKnownToRead = () => store.cookieReaders.has(request.uri, this.#route)
    this.watch = new VisitorWatch(around, request, isKnownToRead)
    this.conditions = new AskedConditions(req)
    this.frame = new PageFrame(store.cache, frameAround(), lead?.flight, {
      isLeased,
      isLimited: settings.bubbleTimeout,
      holeFault: holeFault(settings),
      page: {
        watcher: settings.personal,
        isStrict: () => settings.strict && this.#stage.kind === 'open',
        isKept: () => MAY_KEEP.has(this.#stage.kind) && isCurrent() && this.#facts.isForAll,
        route: () => routeName(req),
      },
    })
    lead?.flight.beginMaking(this.frame, { versions: NO_VERSIONS, claim: lookup.lying })
    this.#depend(lookup.tags)
    if (settings.holes !== undefined) this.#holes = this.#watchHoles(settings.holes, filling)
    this.#facts = new Facts(around, request, this.frame, this.watch, this.#holes)
  }

  /** Runs the handler. */
  run(next: (error?: Error) => void): void {
    const { req, telling } = this.around
    const { stale, validates, lead } = this.forwarding
    // The handler renders the whole page, for others too; this client is sent a 304 afterwards.
    const isForAll = lead !== undefined && asksForChange(req.headers)
    if (validates || isForAll) this.conditions.replace(validates ? stale : undefined)
    const { host } = this.around.place.settings
    host.watchGetters?.(req)
    if (this.#holes !== undefined) host.watchRender?.(req, this.around.res, this.#holes)
    this.watch.begin()
    telling.handlerBegins()
    onClosed(this.around.res, () => {
      if (this.#stage.kind === 'storing') return
      // Without a client the handler may not finish; those who wait look the page up again.
      this.forwarding.lead?.land(undefined)
      this.frame.end()
    })
    this.#limitTime(next)
    runAsyncIn(this.frame, next)
  }

  /** Lets the request fail once its handler has taken too long; an older page may then be served instead. */
  #limitTime(next: (error: Error) => void): void {
    const { place, req, res } = this.around
    const limitMs = ownLimitOf(place.settings.producerTimeoutMs)
    // In the background nobody waits.
    if (limitMs === Infinity || isDetached(req)) return
    const timer = setTimeout(() => {
      if (this.#stage.kind !== 'open' || res.headersSent || isGone(res) || !this.isCurrent()) return
      dropLateWrites(res)
      const { uri } = this.forwarding.request
      next(new ProducerTimeoutError('responseCache: the handler', uri, limitMs))
    }, limitMs)
    res.once('close', () => clearTimeout(timer))
  }

  #watchHoles(holes: PageHoleOptions, filling: Filling): PageHoles {
    // Asked now, before the handler runs, as on a hit.
    filling.of(holes)
    return new PageHoles(
      this.around.res,
      this.frame,
      () => filling.of(holes),
      this.isCurrent,
      (isForHandler) => {
        if (isForHandler) filling.headers?.handOver()
        this.#forgetConditions()
      },
    )
  }

  /** A client's copy of the page was filled for another request, so that its conditions do not count. */
  #forgetConditions(): void {
    if (this.around.res.headersSent) return
    this.conditions.replace()
    this.watch.watchHeaders()
  }

  /** Another cache takes over, or the handler has failed: nothing is stored here. */
  giveUp(landed: LandedPage | undefined): void {
    this.conditions.giveBack()
    this.forwarding.lead?.land(landed)
  }

  #depend(versions: SeenVersions): void {
    if (versions.size > 0) this.frame.depend(this.around.place.store.cache, versions)
  }

  /** Adds tags that the look-up did not read; without their versions these are read when the page is stored. */
  dependOn(versions: SeenVersions | undefined, tags: readonly string[]): void {
    if (versions === undefined) this.#dependLate(tags)
    else this.#depend(versions)
  }

  /** The handler's status is known, and nothing is sent yet. */
  beforeHeaders(isEnd: boolean, first?: readonly unknown[]): void {
    if (this.substitute !== undefined) return
    if (first !== undefined) this.#first = { args: first, isAll: isEnd }
    const { res } = this.around
    this.#tryStale(first !== undefined)
    this.conditions.giveBack()
    if (first === undefined || this.substitute !== undefined) return
    // Decided before the body is passed on, since a 304 has none.
    const mayBecomeNotModified = this.conditions.isAskedForChange(res) && makesEtagInside(res)
    if (!this.conditions.isMetBy(res) && !mayBecomeNotModified) return
    this.#stage = { kind: 'sending' }
    if (isEnd) declareLength(res, first)
    res.writeHead(res.statusCode)
  }

  #tryStale(mayWait: boolean): void {
    const { statusCode } = this.around.res
    const { stale, validates } = this.forwarding
    if (stale === undefined || this.#standIn.isGivenUp) return
    if (statusCode === 304 && validates) this.#confirm(stale)
    else if (statusCode >= 500 && standsInForError(stale, currentMs())) {
      this.#standIn.answer(stale, mayWait)
    }
  }

  /** The handler says that the older page is still current: it answers the request, and is stored again. */
  #confirm(stale: StoredResponse): void {
    const { pageTags } = this.forwarding.lookup
    // The handler does not render the body again, which depends on these.
    if (pageTags !== undefined) this.#depend(pageTags)
    const facts = this.#facts
    const { judgement, body, pending } = confirm(this.around, this.conditions, stale, facts)
    this.substitute = { body }
    // What is declared once the connection is gone is not heard.
    const fault = isGone(this.around.res) ? 'incomplete' : undefined
    const reason = (judgement.keeps ? fault : undefined) ?? this.#whyUnkept(judgement)
    this.around.telling.say({
      hit: false,
      forward: 'stale',
      forwardStatus: 304,
      stored: reason === undefined,
      detail: reason,
    })
    if (!judgement.keeps || reason !== undefined) return this.refuse(reason ?? 'status')
    const nominated = stale.nominated.map(([name]) => name)
    // The cache itself added these when it stored the page.
    const added = ['accept-encoding', 'authorization'].filter((name) => !nominated.includes(name))
    const own = judgement.verdict.vary.filter((name) => !added.includes(name))
    const vary = facts.varyOf(judgement.verdict, own)
    this.#store({ ...pending, verdict: judgement.verdict, vary }, [stale.body])
  }

  /** Judges the headers that are about to be sent, and adds those of the cache. */
  onHeaders(): void {
    const { res, headers } = this.around
    // RFC 9112 §6.2: a response has only one of the two.
    if (res.hasHeader('Transfer-Encoding')) res.removeHeader('Content-Length')
    if (this.#stage.kind !== 'sending') this.beforeHeaders(false)
    if (this.substitute !== undefined) return
    this.watch.sendHeaders()
    this.#learnOfCookies()
    const nowMs = currentMs()
    // They describe the page with its holes filled, which is not what is stored.
    if (this.#facts.isFilled) for (const name of ['ETag', 'Last-Modified']) res.removeHeader(name)
    const judgement = this.#facts.judgeHeaders(this.#first, nowMs)
    const reason = this.#whyUnkept(judgement)
    headers.speak(() => this.#speak(judgement, reason, nowMs))
    if (reason !== undefined) this.refuse(reason)
  }

  #speak(judgement: Judgement, reason: UnkeptReason | undefined, nowMs: number): void {
    const { res, headers, filling } = this.around
    const { downstream, isPerUser } = judgement
    const said = downstream === undefined ? [] : saidOf(res.getHeaders())
    if (isPerUser) {
      headers.becomePerUser(true)
    } else if (downstream !== undefined) {
      res.setHeader('Cache-Control', downstream.cacheControl)
      if (downstream.expires !== undefined) res.setHeader('Expires', downstream.expires)
    }
    if (judgement.keeps && reason === undefined) this.#expect(judgement.verdict, said, nowMs)
    this.#sayForward(reason)
    // The page may be shared; this response, with headers of what fills holes or a body that nobody knows yet, may not.
    const isForOne = filling.hasHeaders || this.#facts.mayShowCookie(judgement, this.#first)
    if (!headers.isPerUser && isForOne) headers.becomePerUser(false)
    if (!headers.isFilled) this.#leaveOutBody()
  }

  /** A client that already has the page gets a 304, though the handler rendered the whole. */
  #leaveOutBody(): void {
    const { res } = this.around
    if (!this.conditions.isMetBy(res)) return
    becomeNotModified(res)
    this.substitute = { body: undefined, isRecorded: true }
  }

  /** The response is not stored. */
  refuse(reason: UnkeptReason): void {
    refuse(this.around, this.forwarding, reason, this.watch)
  }

  #sayForward(reason: UnkeptReason | undefined): void {
    const { validates, isPassedOver, lookup } = this.forwarding
    const stored = reason === undefined && this.around.place.store.keeps
    let forward: Forward = forwardOf(lookup)
    if (validates) forward = 'stale'
    else if (isPassedOver) forward = 'bypass'
    const forwardStatus = forward === 'stale' ? this.around.res.statusCode : undefined
    this.around.telling.say({ hit: false, forward, forwardStatus, stored, detail: reason })
  }

  /** Undoes what later caches were told, if a layer around the cache has made the response per-user since. */
  onLastWord(): void {
    const { headers, stopRecording } = this.around
    if (this.substitute !== undefined) return headers.keepCookieToItsOwner()
    if (!headers.hasSpoken) return
    const refusal = this.#facts.refusal()
    if (refusal === undefined) return
    const wasExpected = this.#stage.kind === 'expected'
    this.#stage = { kind: 'refused' }
    stopRecording()
    headers.takeBack()
    this.#sayForward(refusal)
    if (wasExpected) this.refuse(refusal)
  }

  /** Remembers that the handler reads cookies, for pages that it renders without reading any. */
  #learnOfCookies(): void {
    if (!this.watch.hasReadCookies) return
    const { store } = this.around.place
    store.cookieReaders.note(this.forwarding.request.uri, this.#route)
  }

  get #route(): object | undefined {
    return (this.around.req as { readonly route?: object }).route
  }

  #expect(verdict: KeptVerdict, said: Pending['said'], atMs: number): void {
    const { res, place, record } = this.around
    const { settings } = place
    // The Date of the answer, not that of a later hit.
    if (res.sendDate && !res.hasHeader('Date')) res.setHeader('Date', formatHttpDate(atMs))
    if (/'nonce-/.test(String(res.getHeader('Content-Security-Policy')))) warnOfNonce()
    const vary = this.#facts.varyOf(verdict, verdict.vary)
    if (vary !== verdict.vary && this.watch.isReader) addToVary(res, 'Cookie')
    if (
      this.forwarding.request.headers['authorization'] !== undefined &&
      !verdict.isForAuthorized
    ) {
      // Django, learn_cache_key: later caches have to key the page as this one does.
      addToVary(res, 'Authorization')
    }
    if (!this.#facts.isFilled && isPrecompressed(res, settings)) addToVary(res, 'Accept-Encoding')
    const taken = this.#facts.takeHeaders()
    const status = res.statusCode
    const statusMessage = statusMessageOf(res)
    const pending = { status, statusMessage, verdict, vary, headers: taken, said, atMs }
    this.#stage = { kind: 'expected', pending }
    record()
    this.forwarding.lead?.begin()
  }

  /** Why a response that was judged by its headers is not stored, as far as it is known then. */
  #whyUnkept(judgement: Judgement): UnkeptReason | undefined {
    if (!judgement.keeps) return judgement.reason
    const { place, hasTrailers } = this.around
    if (hasTrailers()) return 'trailers'
    const { store } = place
    return store.refusalOf(this.forwarding.lookup) ?? this.#dependOnTags()
  }

  /** Adds the tags that a function of the site gives. @returns Why the response is not stored after all. */
  #dependOnTags(): ContentReason | undefined {
    const { req, res, terms } = this.around
    const { tags } = terms
    if (typeof tags !== 'function') return undefined
    try {
      this.#dependLate(checkTags(unnoticed(() => tags(req, res))))
      return undefined
    } catch (error) {
      // A fault in what only the cache needs must not fail the page.
      warnOfPageTags(routeName(req), error)
      return 'tags-unreadable'
    }
  }

  #dependLate(tags: readonly string[]): void {
    const unread = new Map(tags.map((tag) => [tag, undefined] as const))
    this.frame.depend(this.around.place.store.cache, unread)
  }

  /** The whole body was passed to the server, and the headers are sent. */
  onEnd(body: readonly Buffer[]): void {
    this.around.telling.handlerEnds()
    if (this.#stage.kind !== 'expected') return
    const { pending } = this.#stage
    const holed = this.#facts.isFilled ? this.#holes?.keep(Buffer.concat(body)) : undefined
    const kept = this.#facts.isFilled ? holed && [holed.body] : body
    // Layers around the cache have changed the headers: a session may have set its cookie.
    this.#learnOfCookies()
    const reason = this.#facts.judgeEnd(pending, kept)
    if (kept === undefined || reason !== undefined) return this.refuse(reason ?? 'holes')
    this.#store(pending, kept, holed?.holes)
  }

  #store(pending: Pending, body: readonly Buffer[], holes?: HoledBody['holes']): void {
    this.#stage = { kind: 'storing' }
    const { place, telling } = this.around
    const { store, marks, earlyRefresh } = place
    const { request, lookup, lead } = this.forwarding
    const { frame } = this
    const bytes = body.reduce((sum, { length }) => sum + length, 0)
    const costMs = earlyRefresh > 0 ? currentMs() - this.#begunMs : undefined
    const profile = profileOf(request.headers)
    toNewPage(this.around, pending, frame, { body, holes }, costMs)
      .then((page) => store.store(request, page, lookup))
      .then(({ outcome, page }) => {
        if (outcome === 'stored') telling.report('miss', undefined, bytes)
        else telling.report('bypass', outcome)
        if (lead === undefined) return
        if (outcome !== 'stored' && isLasting(outcome)) marks.set(lookup.key, profile)
        if (page !== undefined) marks.delete(lookup.key, profile)
        lead.land(outcome === 'overtaken' ? undefined : { page, standsIn: false })
      })
      .catch((error: unknown) => {
        lead?.land(UNSHARED)
        warnOfFault(error)
      })
      .finally(() => frame.end())
  }
}
