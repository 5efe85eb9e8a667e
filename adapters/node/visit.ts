import type { IncomingMessage, ServerResponse } from 'node:http'
import { currentMs } from '../../src/current-time.js'
import type { HeaderFields } from '../../src/http/header-values.js'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { runAsyncIn } from '../../src/making/frame.js'
import { chain, type MaybePromise } from '../../src/maybe-promise.js'
import { UNSHARED } from '../../src/pages/page-lead.js'
import type { LeftReason, PassReason, StaleReason } from '../../src/pages/reasons.js'
import { VISIT_MARK } from '../../src/pages/visit-mark.js'
import { AnswerHeaders } from './answer-headers.js'
import { forwardOf } from './cache-headers.js'
import { attachInside } from './client-conditions.js'
import { Filling } from './filling.js'
import { hasLayersAround, onLastWord } from './last-word.js'
import { frameAround, PageHoles, PassedFrame, type PageFrame } from './page-holes.js'
import { PageMaking } from './page-making.js'
import { keepCookieToItsOwner, markPerUser } from './per-user.js'
import type { Forwarding, Place } from './place.js'
import { onClosed, onTrailers } from './protocol.js'
import { BodyRecorder, type Substitute } from './recorder.js'
import { endWith, prepareAnswer, prepareFilled, remainingSeconds } from './replay.js'
import { isPersonal } from './request.js'
import { onHead } from './taken-headers.js'
import { Telling, type LookedUp } from './telling.js'
import { Terms } from './terms.js'
import type { VisitorWatch } from './visitor-watch.js'

/**
 * `waiting`: not looked up yet. `making`: the handler answers, and its response may be stored. `passed`: the cache
 * has nothing more to do with the request. `aside`: nothing was found, and nothing here stores. `replaced`: an
 * inner cache handles the request.
 */
type State =
  | { readonly kind: 'waiting' | 'aside' }
  | { readonly kind: 'making'; readonly making: PageMaking }
  | {
      readonly kind: 'passed'
      /** This cache failed. Otherwise what kept the request from it keeps it from inner caches too. */
      readonly isCacheDown: boolean
      readonly shown?: PassedFrame
    }
  | { readonly kind: 'replaced'; readonly frame: PageFrame | undefined }

const WAITING: State = { kind: 'waiting' }
const ASIDE: State = { kind: 'aside' }
const PASSED: State = { kind: 'passed', isCacheDown: false }

const CURRENT = Symbol(VISIT_MARK)

type Answering = ServerResponse & { [CURRENT]?: Visit }

/** One request at one cache, from the look-up to the end of the response. */
export class Visit implements Substitute {
  readonly terms: Terms
  readonly #telling: Telling
  readonly #filling: Filling
  readonly #outerWatch: VisitorWatch | undefined
  #state: State = WAITING
  #isPerUser = false
  /** Set once the response is watched. */
  #headers: AnswerHeaders | undefined
  #recorder: BodyRecorder | undefined
  #hasTrailers = false

  private constructor(
    readonly place: Place,
    private readonly req: IncomingMessage,
    private readonly res: ServerResponse,
    /** No part of the application runs before the cache. */
    private readonly isOutermost: boolean,
    outer: Visit | undefined,
  ) {
    this.terms = new Terms(place)
    this.#telling = new Telling(place, req, res)
    this.#filling = new Filling(req, res, outer && outer.#filling)
    this.#outerWatch = outer && outer.#making?.watch
  }

  /** The visit of the innermost cache that handles a response. */
  static current(res: ServerResponse): Visit | undefined {
    return (res as Answering)[CURRENT]
  }

  /** Begins a visit; it takes over from that of an outer cache. */
  static begin(
    place: Place,
    req: IncomingMessage,
    res: ServerResponse,
    isOutermost = false,
  ): Visit {
    const answering = res as Answering
    const outer = answering[CURRENT]
    const visit = new Visit(place, req, res, isOutermost && outer === undefined, outer)
    if (outer !== undefined) outer.#standBack()
    return (answering[CURRENT] = visit)
  }

  get isWaiting(): boolean {
    return this.#state.kind === 'waiting'
  }

  /** It has left the request to the layers behind it. */
  get isAside(): boolean {
    return this.#state.kind === 'aside'
  }

  get #making(): PageMaking | undefined {
    return this.#state.kind === 'making' ? this.#state.making : undefined
  }

  /** An error handler takes over: a page that was begun is incomplete, whatever ends it. */
  breakOff(): void {
    this.#recorder?.breakOff()
  }

  /** The handler failed: what is sent from now on is not its page. */
  abandon(): void {
    this.breakOff()
    const making = this.#making
    if (making === undefined || this.res.headersSent) return
    this.#state = PASSED
    making.giveUp(undefined)
  }

  #standBack(): void {
    const making = this.#making
    const frame = this.#state.kind === 'passed' ? this.#state.shown : making?.frame
    this.#state = { kind: 'replaced', frame }
    if (frame !== undefined) frame.keeps = false
    making?.giveUp(UNSHARED)
  }

  /**
   * Whether this visit already does what an inner cache would do, so that a page is looked up and stored once, for
   * the shortest of their times.
   *
   * @see Django, `CacheMiddleware`: the outer `cache_page` stores last
   */
  absorbs(place: Place): boolean {
    const state = this.#state
    if (state.kind === 'aside') return false
    // What kept the request from one cache keeps it from all, unless that cache had failed.
    if (state.kind === 'passed' && !state.isCacheDown) return true
    if (state.kind === 'waiting' || this.place.store !== place.store) return false
    this.terms.absorb(place)
    return true
  }

  /**
   * Notes whether the request is per-user now: a layer between the two halves of the cache, or behind it, may
   * remove what tells so.
   */
  noteVisitor(): void {
    this.#isPerUser ||= isPersonal(this.req, this.place.settings)
  }

  /** Whether the request was per-user when the cache was asked. */
  get isPerUser(): boolean {
    return this.#isPerUser
  }

  /** Reads the versions of an inner cache's tags, which the look-up of this one did not read. */
  readTags({ tags, store }: Place): MaybePromise<void> {
    const making = this.#making
    if (typeof tags === 'function' || tags.length === 0 || making === undefined) return
    const { cache } = store
    const read = cache.tryRead(() => cache.entries.currentVersions(tags), 'dependOn')
    return chain(read, (versions) => making.dependOn(versions, tags))
  }

  /** Watches the response from now on. */
  attach(): AnswerHeaders {
    if (this.#headers !== undefined) return this.#headers
    const { req, res, place } = this
    const headers = new AnswerHeaders(res, this.#filling, place.settings)
    this.#headers = headers
    attachInside(res)
    if (hasLayersAround(res)) {
      headers.hasLastWord = onLastWord(res, () => {
        this.#making?.onLastWord()
        // A layer around the cache may have set headers that say otherwise.
        if (headers.isPerUser || this.#filling.hasHeaders) headers.markPerUser()
      })
    }
    onHead(res, () => {
      if (this.#state.kind === 'making') this.#state.making.onHeaders()
      else if (this.#state.kind === 'replaced') this.#tellOfShownHoles(this.#state.frame)
    })
    if (req.method === 'HEAD') return headers
    this.#recorder = new BodyRecorder(
      res,
      place.settings.maxBodyBytes,
      (fault) => this.#making?.refuse(fault),
      (body) => this.#making?.onEnd(body),
      this,
    )
    // They may be added before the copy begins.
    onTrailers(res, () => {
      this.#hasTrailers = true
      this.#recorder?.addTrailers()
    })
    onClosed(res, () => this.#recorder?.giveUp())
    return headers
  }

  beforeHeaders(isEnd: boolean, first?: readonly unknown[]): void {
    this.#making?.beforeHeaders(isEnd, first)
  }

  get substitute(): Substitute['substitute'] {
    return this.#making?.substitute
  }

  /** Leaves the request to the handler: the cache has nothing to do with it. */
  pass(reason: PassReason, next: () => void): void {
    if (this.place.isReadOnly === true) return this.#stepAside(reason, next)
    this.#state = { kind: 'passed', isCacheDown: reason === 'cache-failed' }
    const forward = reason === 'method' ? 'method' : 'bypass'
    onHead(this.res, () => {
      this.#telling.say({ hit: false, forward, stored: false, detail: reason })
    })
    this.#telling.report('bypass', reason)
    this.letThrough(this.place, next)
  }

  /** Goes on to the handler with nothing changed: a middleware that only reads has found no page. */
  #stepAside(reason: PassReason | LeftReason, next: () => void): void {
    this.#state = ASIDE
    onHead(this.res, () => {
      if (this.isAside) this.#telling.report('bypass', reason)
    })
    next()
  }

  /**
   * Goes on to the handler, or to what comes before it. Where the cache has nothing to do with the request, holes
   * are still filled from the same context, and the page is marked as per-user.
   */
  letThrough({ settings, store }: Place, next: () => void): void {
    const state = this.#state
    settings.host.watchGetters?.(this.req)
    const { holes } = settings
    if (state.kind !== 'passed' || holes === undefined || state.shown !== undefined) {
      next()
      return
    }
    const { req, res } = this
    const frame = new PassedFrame(store.cache, frameAround(), undefined)
    this.#state = { ...state, shown: frame }
    res.once('close', () => frame.end())
    const tell = () => {
      // Headers that are set for holes are per-user, also where the page has none.
      if (this.#filling.hasHeaders) frame.hasShownHoles = true
      this.#tellOfShownHoles(frame)
    }
    if (hasLayersAround(res)) onLastWord(res, tell)
    onHead(res, tell)
    const isPassed = () => this.#state.kind === 'passed'
    // The context is asked when a template is rendered: most of these requests change something and show no page.
    const fills = () => this.#filling.of(holes)
    settings.host.watchRender?.(req, res, new PageHoles(res, frame, fills, isPassed))
    runAsyncIn(frame, next)
  }

  /** Marks a page as per-user that shows the text of a hole. */
  #tellOfShownHoles(frame: PageFrame | undefined): void {
    if (frame?.hasShownHoles !== true) return
    if (this.#headers === undefined) markPerUser(this.res)
    else this.#headers.showHoles()
  }

  /** Drops the pages that an unsafe request changes, if it succeeds. */
  watchUnsafe(targetsOf: (headers: HeaderFields) => readonly string[]): void {
    onHead(this.res, () => {
      const { statusCode } = this.res
      if (statusCode < 200 || statusCode >= 400) return
      for (const uri of targetsOf(this.res.getHeaders())) this.place.invalidate(uri)
    })
  }

  /** Fills the holes of a stored response for this request; see {@link Filling.fill}. */
  fill(page: StoredResponse): MaybePromise<Buffer | undefined> {
    return this.#filling.fill(page, this.place.settings)
  }

  /**
   * Answers with a stored response.
   *
   * @param filled - Its body for this request, where it has holes.
   */
  answer(
    found: LookedUp,
    page: StoredResponse,
    outcome: 'hit' | 'joined' | 'stale',
    detail?: StaleReason,
    filled?: Buffer,
  ): void {
    this.#state = PASSED
    this.#telling.about(found)
    const { req, res } = this
    const nowMs = currentMs()
    const { settings } = this.place
    if (hasLayersAround(res)) {
      onLastWord(res, () => {
        keepCookieToItsOwner(res, settings)
        if (filled !== undefined || this.#filling.hasHeaders) markPerUser(res)
      })
    }
    const body =
      filled === undefined
        ? prepareAnswer(req, res, page, nowMs)
        : prepareFilled(req, res, page, filled)
    if (this.#filling.hasHeaders) markPerUser(res)
    keepCookieToItsOwner(res, settings)
    this.#telling.say(
      outcome === 'joined'
        ? { hit: false, forward: forwardOf(found.lookup), stored: false, collapsed: true }
        : { hit: true, ttlSeconds: remainingSeconds(page, nowMs), detail },
    )
    this.#telling.report(outcome, detail)
    endWith(res, body)
  }

  /** Nothing stored answers the request, and no handler is run for it here. */
  leave(reason: LeftReason, found: LookedUp, next: () => void): void {
    if (reason === 'no-update-cache') return this.#stepAside(reason, next)
    this.#state = PASSED
    this.#telling.about(found)
    const { res } = this
    res.statusCode = 504
    res.setHeader('Cache-Control', 'no-store')
    res.setHeader('Content-Length', 0)
    const forward = forwardOf(found.lookup)
    this.#telling.say({ hit: false, forward, stored: false, detail: reason })
    this.#telling.report('bypass', reason)
    res.end()
  }

  /** Runs the handler, and stores its response if it may be stored. */
  forward(forwarding: Forwarding, next: (error?: Error) => void): void {
    const { place, req, res, terms, isOutermost } = this
    const around = {
      place,
      req,
      res,
      terms,
      isOutermost,
      telling: this.#telling,
      headers: this.attach(),
      filling: this.#filling,
      isPerUser: this.#isPerUser,
      outerWatch: this.#outerWatch,
      record: () => this.#record(),
      stopRecording: () => this.#recorder?.stop(),
      hasTrailers: () => this.#hasTrailers,
    }
    const making: PageMaking = new PageMaking(around, forwarding, () => this.#making === making)
    this.#state = { kind: 'making', making }
    making.run(next)
  }

  #record(): void {
    if (this.#recorder === undefined) return
    const { host } = this.place.settings
    host.watchErrors?.(this.req, (failed) => Visit.current(failed)?.breakOff())
    this.#recorder.start(this.res.getHeaders())
  }
}
