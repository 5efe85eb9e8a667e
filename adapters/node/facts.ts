import { currentMs } from '../../src/current-time.js'
import type { HeaderFields } from '../../src/http/header-values.js'
import { readCopied } from '../../src/fragment/watched-copies.js'
import { parseVary } from '../../src/http/vary.js'
import {
  judge,
  judgeEnd,
  type HolesInside,
  type Inside,
  type Judgement,
} from '../../src/pages/judge.js'
import type { PageRequest } from '../../src/pages/page.js'
import { storeRefusal, type ResponseVerdict, type Visitor } from '../../src/pages/policy.js'
import type { ChangeReason, StoreRefusal, UnkeptReason } from '../../src/pages/reasons.js'
import type { Around } from './around.js'
import type { PageFrame, PageHoles } from './page-holes.js'
import type { Pending } from './new-page.js'
import { keyPart, requestLineMethod } from './request.js'
import { bytesOf } from './sent-body.js'
import { takeHeaders } from './taken-headers.js'
import type { VisitorWatch } from './visitor-watch.js'
import { warnOfTrust } from './warnings.js'

/** The first part of a body, as the handler wrote it. */
export interface First {
  readonly args: readonly unknown[]
  /** Nothing follows. */
  readonly isAll: boolean
}

export type KeptVerdict = Extract<ResponseVerdict, { store: true }>

/** For a page whose body is not rendered again. */
const NOTHING_INSIDE: Inside = { isUnfit: false, holdsOld: false, holes: 'none' }

/** Collects what decides whether a page that is being rendered may be stored. */
export class Facts {
  constructor(
    private readonly around: Around,
    private readonly request: PageRequest,
    private readonly frame: PageFrame,
    private readonly watch: VisitorWatch,
    private readonly holes: PageHoles | undefined,
  ) {}

  /** Judges a response whose headers are about to be sent; it is looked at as far as it is known and would be shared. */
  judgeHeaders(first: First | undefined, nowMs: number): Judgement {
    const judgement = this.#judgeHeaders(first, nowMs)
    const isShared = judgement.keeps || judgement.downstream !== undefined
    // With its holes filled it is not what is stored, and the response is not shared.
    if (!isShared || this.isFilled) return judgement
    const body = first?.isAll === true ? () => bytesOf(first.args) ?? Buffer.alloc(0) : undefined
    const isShown = this.watch.seePage(() => this.takeHeaders().headers, body)
    return isShown ? this.#judgeHeaders(first, nowMs) : judgement
  }

  /** The headers that would be stored with the page. */
  takeHeaders(): ReturnType<typeof takeHeaders> {
    const { res, headers, place } = this.around
    const excluded = headers.excluded(this.isFilled)
    return takeHeaders(res, headers.outer, excluded, place.settings.rfc9111)
  }

  /**
   * Whether a body that later caches may share, and that is not known before the headers are sent, may show a
   * visitor's cookie.
   */
  mayShowCookie(judgement: Judgement, first: First | undefined): boolean {
    if (first?.isAll === true || judgement.downstream === undefined) return false
    const isPublic = judgement.keeps && judgement.verdict.isPublic
    return !isPublic && this.watch.mayShowCookie
  }

  #judgeHeaders(first: First | undefined, nowMs: number): Judgement {
    const { res, headers } = this.around
    const { visitor } = this.watch
    // A layer around the cache may still add `Vary: Cookie`. It is checked again in `refusal`.
    const isAskedAgain = visitor?.reason === 'cookies-read' && headers.hasLastWord
    const inside = this.#inside(this.#holesAtHeaders(first))
    const known = isAskedAgain ? undefined : visitor
    return this.#judge(res.statusCode, headers.ofThePage(), nowMs, known, inside)
  }

  /** Judges a page that its handler has confirmed. */
  judgeConfirmed(status: number, headers: HeaderFields, nowMs: number): Judgement {
    return this.#judge(status, headers, nowMs, this.watch.visitor, NOTHING_INSIDE)
  }

  #judge(
    status: number,
    headers: HeaderFields,
    nowMs: number,
    visitor: Visitor | undefined,
    inside: Inside,
  ): Judgement {
    const { place, terms } = this.around
    const { settings } = place
    const { method, headers: asked } = this.request
    return judge(
      {
        request: { method, ranged: asked['range'] !== undefined },
        response: { status, headers },
        visitor,
        change: this.#change(),
        inside,
      },
      {
        ...settings.storing,
        pageSeconds: terms.seconds,
        endsAtMs: settings.bubbleTimeout ? this.frame.bubbledExpiresAtMs : undefined,
      },
      nowMs,
    )
  }

  /**
   * Why a page whose whole body was sent is not stored after all.
   *
   * @param headers - As they would be stored.
   * @param kept - The body as it would be stored; `undefined`: its holes are lost.
   */
  judgeEnd(
    { verdict, vary, headers }: Pick<Pending, 'verdict' | 'vary' | 'headers'>,
    kept: readonly Buffer[] | undefined,
  ): UnkeptReason | undefined {
    const isLost = kept === undefined || this.holes?.isAstray === true
    const judged = () =>
      judgeEnd(
        this.refusal(),
        this.#lacksVary(verdict, vary),
        this.#inside(isLost ? 'lost' : 'none'),
      )
    const reason = judged()
    if (reason !== undefined || kept === undefined) return reason
    const body = () => Buffer.concat(kept)
    return this.watch.seePage(() => headers.headers, body) ? judged() : undefined
  }

  /** Why the response may not be stored, with the headers that layers around the cache have set since. */
  refusal(): StoreRefusal | undefined {
    const { res, place, headers } = this.around
    const status = res.statusCode === 304 ? 200 : res.statusCode
    const fields = headers.ofThePage()
    if (headers.isPerUser && fields['set-cookie'] !== undefined) return 'set-cookie'
    const response = { status, headers: fields }
    return storeRefusal(response, this.watch.visitor, currentMs(), place.settings)
  }

  /** Whether the page is to be kept for all, going by its headers so far. */
  get isForAll(): boolean {
    return this.refusal() === undefined && !this.#variesOnVisitor
  }

  get isFilled(): boolean {
    return this.holes?.isFilled === true
  }

  #inside(holes: HolesInside): Inside {
    return { isUnfit: this.#isUnfit, holdsOld: this.frame.holdsOld, holes }
  }

  /**
   * Whether per-user inputs that were read, declared by a fragment or not, may show in the page: unless the page
   * varies on the visitor's credentials.
   */
  get #isUnfit(): boolean {
    readCopied(this.frame)
    if (this.frame.isUnfit) return true
    return this.frame.tellsOfUser && !this.#variesOnVisitor
  }

  get #variesOnVisitor(): boolean {
    const { names } = parseVary(this.around.res.getHeader('Vary'))
    return names.some((name) => name === 'cookie' || name === 'authorization')
  }

  #holesAtHeaders(first: First | undefined): HolesInside {
    const { holes } = this
    if (holes === undefined) return 'none'
    if (holes.isAstray) return 'lost'
    if (!holes.isFilled) return 'none'
    const mayBeOfText = this.around.filling.headers?.mayBeOfText === true
    return holes.isOneText && !mayBeOfText && this.#mayBeOneText(holes, first) ? 'filled' : 'lost'
  }

  /** Whether the body may be exactly the text whose holes were filled. */
  #mayBeOneText(holes: PageHoles, first: First | undefined): boolean {
    const coding = this.around.res.getHeader('Content-Encoding')
    if (coding !== undefined && coding !== 'identity') return false
    if (first === undefined) return true
    return holes.mayKeep(bytesOf(first.args) ?? Buffer.alloc(0), first.isAll)
  }

  /** The names of the headers that the page is keyed by. */
  varyOf(verdict: KeptVerdict, names: readonly string[]): readonly string[] {
    return this.#lacksVary(verdict, names) ? [...names, 'cookie'] : names
  }

  /** Whether the page is for requests without cookies alone, and lacks the `Vary: Cookie` that says so. */
  #lacksVary({ isPublic }: KeptVerdict, vary: readonly string[]): boolean {
    return !isPublic && !vary.includes('cookie') && this.watch.isForThoseWithoutCookies
  }

  /** What has changed since the page was looked up, and is part of its key. */
  #change(): ChangeReason | undefined {
    const { req, place } = this.around
    const { method, language, timeZone } = this.request
    if (this.watch.hasOtherOrigin) {
      warnOfTrust()
      return 'trust-changed'
    }
    if (requestLineMethod(req) !== method || req.method !== method) return 'method-changed'
    if (keyPart(place.settings.language, req) !== language) return 'language-changed'
    if (keyPart(place.settings.timeZone, req) !== timeZone) return 'time-zone-changed'
    return undefined
  }
}
