import type { Forward } from '../../src/http/cache-status.js'
import { formatHttpDate } from '../../src/http/http-date.js'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { runAsyncIn } from '../../src/making/frame.js'
import type { Judgement } from '../../src/pages/judge.js'
import { profileOf } from '../../src/pages/marks.js'
import { NOBODYS, type LandedPage } from '../../src/pages/page-lead.js'
import type { ContentReason, UnkeptReason } from '../../src/pages/reasons.js'
import { standsInForError } from '../../src/pages/reuse.js'
import { saidOf } from '../../src/pages/told-headers.js'
import { checkTags, NO_VERSIONS, type SeenVersions } from '../../src/tags.js'
import type { Around } from './around.js'
import { AskedConditions } from './asked-conditions.js'
import { addToVary, forwardOf, toldHeadersOf } from './cache-headers.js'
import { asksForChange, declareLength, makesEtagInside } from './client-conditions.js'
import { confirm } from './confirm.js'
import { Facts, type First, type KeptVerdict } from './facts.js'
import type { Filling } from './filling.js'
import { toNewPage, type Pending } from './new-page.js'
import { frameAround, holeFault, PageFrame, PageHoles, type HoledBody } from './page-holes.js'
import type { Forwarding } from './place.js'
import { becomeNotModified } from './precondition.js'
import { isPrecompressed } from './precompress.js'
import { statusMessageOf } from './protocol.js'
import type { Substitute } from './recorder.js'
import { refuse } from './refusing.js'
import { routeName } from './routes.js'
import type { PageHoleOptions } from './settings.js'
import { StandIn } from './stand-in.js'
import { takeHeaders } from './taken-headers.js'
import { unnoticed } from './unnoticed.js'
import { VisitorWatch } from './visitor-watch.js'
import { warnOfFault, warnOfNonce, warnOfPageTags } from './warnings.js'

/**
 * How far an answer has come. `open`: its headers can be changed. `sending`: we send them. `expected`: what
 * comes is to be stored. `storing`: it is.
 */
type Stage =
  | { readonly kind: 'open' | 'sending' | 'refused' | 'storing' }
  | { readonly kind: 'expected'; readonly pending: Pending }

/** The making of one page: its handler was asked, and what it answers is judged, and stored if it may be. */
export class PageMaking {
  readonly watch: VisitorWatch
  readonly conditions: AskedConditions
  readonly forwarding: Forwarding
  readonly frame: PageFrame
  readonly #holes: PageHoles | undefined
  readonly #facts: Facts
  readonly #standIn = new StandIn(this)
  readonly #begunMs = Date.now()
  #stage: Stage = { kind: 'open' }
  #first: First | undefined
  #substitute: Substitute['substitute']

  constructor(
    readonly around: Around,
    forwarding: Forwarding,
    private readonly isCurrent: () => boolean,
  ) {
    const { place, req, res, telling, isVisitors, outerWatch, filling } = around
    const { store, settings } = place
    const { lookup, lead, isLeased = false } = forwarding
    // What a layer behind the cache deletes was sent all the same.
    const request = { ...forwarding.request, headers: { ...forwarding.request.headers } }
    this.forwarding = { ...forwarding, request }
    telling.about({ request, lookup })
    const isKnownToRead = () => store.readsCookies(request, this.#route)
    this.watch = new VisitorWatch(
      req,
      res,
      request,
      settings,
      isVisitors,
      outerWatch,
      isKnownToRead,
    )
    this.conditions = new AskedConditions(req)
    this.frame = new PageFrame(store.cache, frameAround(), lead?.flight, {
      isLeased,
      isLimited: settings.bubbleTimeout,
      holeFault: holeFault(settings.holes),
    })
    lead?.flight.beginMaking(this.frame, { versions: NO_VERSIONS, claim: lookup.lying })
    this.#depend(lookup.tags)
    if (settings.holes !== undefined) this.#holes = this.#watchHoles(settings.holes, filling)
    this.#facts = new Facts(around, request, this.frame, this.watch, this.#holes)
  }

  /** Asks the handler. */
  run(next: () => void): void {
    const { req, telling } = this.around
    const { stale, validates = false, lead } = this.forwarding
    // The whole is wanted, for others too; the client is told afterwards that it has it already.
    const isForAll = lead !== undefined && asksForChange(req.headers)
    if (validates || isForAll) this.conditions.replace(validates ? stale : undefined)
    if (this.#holes !== undefined) {
      const { host } = this.around.place.settings
      host.watchRender(req, this.around.res, this.#holes)
    }
    this.watch.begin()
    telling.handlerBegins()
    runAsyncIn(this.frame, next)
  }

  #watchHoles(holes: PageHoleOptions, filling: Filling): PageHoles {
    return new PageHoles(
      this.around.res,
      this.frame,
      filling.of(holes),
      this.isCurrent,
      (isForHandler) => {
        if (isForHandler) filling.headers?.handOver()
        this.#forgetConditions()
      },
    )
  }

  /** A client's copy is of another filling, whatever it asks. */
  #forgetConditions(): void {
    if (this.around.res.headersSent) return
    this.conditions.replace()
    this.watch.watchHeaders()
  }

  /** Another cache takes over, or the handler has failed: nothing is made here any more. */
  giveUp(landed: LandedPage | undefined): void {
    this.conditions.giveBack()
    this.forwarding.lead?.land(landed)
  }

  /** What is sent instead of what the handler writes. */
  get substitute(): Substitute['substitute'] {
    return this.#substitute
  }

  set substitute(substitute: Substitute['substitute']) {
    this.#substitute = substitute
  }

  #depend(versions: SeenVersions): void {
    if (versions.size > 0) this.frame.depend(this.around.place.store.cache, versions)
  }

  /** Reads the versions of tags that the look-up did not know of, or notes that nobody has. */
  dependOn(versions: SeenVersions | undefined, tags: readonly string[]): void {
    if (versions === undefined) this.#dependLate(tags)
    else this.#depend(versions)
  }

  /** The handler's status is known, and nothing is sent yet. */
  beforeHeaders(isEnd: boolean, first?: readonly unknown[]): void {
    if (this.#substitute !== undefined) return
    if (first !== undefined) this.#first = { args: first, isAll: isEnd }
    const { res } = this.around
    this.#tryStale(first !== undefined)
    this.conditions.giveBack()
    if (first === undefined || this.#hasSubstitute) return
    // Decided before the body is handed on, since with a 304 there must be none.
    const mayBecomeNotModified = this.conditions.isAskedForChange(res) && makesEtagInside(res)
    if (!this.conditions.isMetBy(res) && !mayBecomeNotModified) return
    this.#stage = { kind: 'sending' }
    if (isEnd) declareLength(res, first)
    res.writeHead(res.statusCode)
  }

  get #hasSubstitute(): boolean {
    return this.#substitute !== undefined
  }

  #tryStale(mayWait: boolean): void {
    const { statusCode } = this.around.res
    const { stale, validates = false } = this.forwarding
    if (stale === undefined || this.#standIn.isGivenUp) return
    if (statusCode === 304 && validates) this.#confirm(stale)
    else if (statusCode >= 500 && standsInForError(stale, Date.now())) {
      this.#standIn.answer(stale, mayWait)
    }
  }

  /** The handler says that the older page is right still: it is answered, and kept again. */
  #confirm(stale: StoredResponse): void {
    const { pageTags } = this.forwarding.lookup
    // What is in the body, the handler does not make again.
    if (pageTags !== undefined) this.#depend(pageTags)
    const facts = this.#facts
    const { judgement, body, pending } = confirm(this.around, this.conditions, stale, facts)
    this.#substitute = { body }
    const reason = judgement.keeps ? this.#dependOnTags() : judgement.reason
    this.around.telling.say({
      hit: false,
      forward: 'stale',
      forwardStatus: 304,
      stored: reason === undefined,
      detail: reason,
    })
    if (!judgement.keeps || reason !== undefined) return this.refuse(reason ?? 'status')
    const nominated = stale.nominated.map(([name]) => name)
    // What we added ourselves when it was stored is no header that it was made from.
    const added = ['accept-encoding', 'authorization'].filter((name) => !nominated.includes(name))
    const own = judgement.verdict.vary.filter((name) => !added.includes(name))
    const vary = facts.varyOf(judgement.verdict, own)
    this.#store({ ...pending, verdict: judgement.verdict, vary }, [stale.body])
  }

  /** The headers are about to be sent: what they say is judged, and what the cache has to say is added. */
  onHeaders(): void {
    const { res, headers } = this.around
    // RFC 9112 §6.2: there is not both, and what is sent in chunks is as long as it is.
    if (res.hasHeader('Transfer-Encoding')) res.removeHeader('Content-Length')
    if (this.#stage.kind !== 'sending') this.beforeHeaders(false)
    if (this.#hasSubstitute) return
    this.watch.sendHeaders()
    this.#learnOfCookies()
    const nowMs = Date.now()
    // They are of this filling, and keep no page to be validated by them.
    if (this.#facts.isFilled) for (const name of ['ETag', 'Last-Modified']) res.removeHeader(name)
    const judgement = this.#facts.judgeHeaders(this.#first, nowMs)
    const reason = judgement.keeps ? this.#dependOnTags() : judgement.reason
    headers.speak(() => this.#speak(judgement, reason, nowMs))
    if (reason !== undefined) this.refuse(reason)
  }

  #speak(judgement: Judgement, reason: UnkeptReason | undefined, nowMs: number): void {
    const { res, headers, filling } = this.around
    const { downstream, isForOneVisitor } = judgement
    const said = downstream === undefined ? [] : saidOf(toldHeadersOf(res))
    if (isForOneVisitor) {
      headers.belongToVisitor()
    } else if (downstream !== undefined) {
      res.setHeader('Cache-Control', downstream.cacheControl)
      if (downstream.expires !== undefined) res.setHeader('Expires', downstream.expires)
    }
    if (judgement.keeps && reason === undefined) this.#expect(judgement.verdict, said, nowMs)
    this.#sayForward(reason)
    // The page is everybody's, and this answer is not.
    if (!headers.isForOneVisitor && filling.hasHeaders) headers.belongToVisitor()
    if (!headers.isForOneVisitor) this.#leaveOutBody()
  }

  /** A client that has the whole already is not sent it again, though the handler was asked for it. */
  #leaveOutBody(): void {
    const { res } = this.around
    if (!this.conditions.isMetBy(res)) return
    becomeNotModified(res)
    this.#substitute = { body: undefined, isRecorded: true }
  }

  /** The answer is not kept. */
  refuse(reason: UnkeptReason): void {
    refuse(this.around, this.forwarding, reason, this.watch.hasReadCookies)
  }

  #sayForward(reason: UnkeptReason | undefined): void {
    const { validates, isPassedOver, lookup } = this.forwarding
    const stored = reason === undefined
    let forward: Forward = forwardOf(lookup)
    if (validates === true) forward = 'stale'
    else if (isPassedOver === true) forward = 'bypass'
    const forwardStatus = forward === 'stale' ? this.around.res.statusCode : undefined
    this.around.telling.say({ hit: false, forward, forwardStatus, stored, detail: reason })
  }

  /** Takes back what later caches were told if a layer around us made the answer one visitor's. */
  onLastWord(): void {
    const { headers, stopRecording } = this.around
    if (this.#hasSubstitute) return headers.keepCookieToItsOwner()
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

  /** Remembers that cookies were read, for pages of the same handler that are made without reading any. */
  #learnOfCookies(): void {
    if (!this.watch.hasReadCookies) return
    this.around.place.store.noteCookies(this.forwarding.request, this.#route)
  }

  get #route(): object | undefined {
    return (this.around.req as { readonly route?: object }).route
  }

  #expect(verdict: KeptVerdict, said: Pending['said'], atMs: number): void {
    const { res, place, headers, record } = this.around
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
      // Django, learn_cache_key: later caches are told what our key says.
      addToVary(res, 'Authorization')
    }
    if (!this.#facts.isFilled && isPrecompressed(res, settings)) addToVary(res, 'Accept-Encoding')
    const taken = takeHeaders(
      res,
      headers.outer,
      headers.excluded(this.#facts.isFilled),
      settings.rfc9111,
    )
    const status = res.statusCode
    const statusMessage = statusMessageOf(res)
    const pending = { status, statusMessage, verdict, vary, headers: taken, said, atMs }
    this.#stage = { kind: 'expected', pending }
    record()
    this.forwarding.lead?.begin()
  }

  /** @returns Why the response is not stored after all. */
  #dependOnTags(): ContentReason | undefined {
    const { req, res, terms } = this.around
    const { tags } = terms
    if (typeof tags !== 'function') return undefined
    try {
      this.#dependLate(checkTags(unnoticed(() => tags(req, res))))
      return undefined
    } catch (error) {
      // The page is not to fail for what only the cache wants to know.
      warnOfPageTags(routeName(req), error)
      return 'tags-unreadable'
    }
  }

  #dependLate(tags: readonly string[]): void {
    const unread = new Map(tags.map((tag) => [tag, undefined] as const))
    this.frame.depend(this.around.place.store.cache, unread)
  }

  /** The whole body was handed to the server, and the headers are out. */
  onEnd(body: readonly Buffer[]): void {
    this.around.telling.handlerEnds()
    if (this.#stage.kind !== 'expected') return
    const { pending } = this.#stage
    // The layers around us had the last word: a session may have set its cookie meanwhile.
    this.#learnOfCookies()
    const reason = this.#facts.judgeEnd(pending.verdict, pending.vary)
    if (reason !== undefined) return this.refuse(reason)
    const holes = this.#holes
    if (holes?.isFilled !== true) return this.#store(pending, body)
    const kept = holes.keep(Buffer.concat(body))
    if (kept === undefined) return this.refuse('holes')
    this.#store(pending, [kept.body], kept.holes)
  }

  /** The connection is gone. */
  onClose(): void {
    // Its client is gone: what the page is, nobody knows yet.
    if (this.#stage.kind !== 'storing') this.forwarding.lead?.land(undefined)
  }

  #store(pending: Pending, body: readonly Buffer[], holes?: HoledBody['holes']): void {
    this.#stage = { kind: 'storing' }
    const { place, res, isOutermost, telling } = this.around
    const { store, marks, settings, earlyRefresh } = place
    const { request, lookup, lead } = this.forwarding
    const { frame } = this
    const bytes = body.reduce((sum, { length }) => sum + length, 0)
    const costMs = earlyRefresh > 0 ? Date.now() - this.#begunMs : undefined
    const profile = profileOf(request.headers)
    toNewPage({ pending, body, frame, holes, res, settings, isOutermost, costMs })
      .then((page) => store.store(request, page, lookup))
      .then(({ outcome, page }) => {
        if (outcome === 'stored') telling.report('miss', undefined, bytes)
        else telling.report('bypass', outcome)
        if (lead === undefined) return
        if (outcome === 'cache-refused' || outcome === 'cache-failed') {
          marks.set(lookup.key, profile)
        }
        if (page !== undefined) marks.delete(lookup.key, profile)
        lead.land(outcome === 'overtaken' ? undefined : { page, standsIn: false })
      })
      .catch((error: unknown) => {
        lead?.land(NOBODYS)
        warnOfFault(error)
      })
  }
}
