import type { IncomingMessage, ServerResponse } from 'node:http'
import { cachesOf } from '../../../src/fragment/spec.js'
import { listMembers } from '../../../src/http/lists.js'
import type { FragmentOutcome } from '../../../src/observe/channels.js'
import { explainResponse } from '../../../src/pages/explanations.js'
import { listen, neverThrowing } from '../../../src/observe/watch.js'
import { isKeptAround } from '../../../src/pages/visit-mark.js'
import { askAccess } from '../access.js'
import { TOKEN_HEADER } from '../api.js'
import { PageToken, type ExpressRequest } from '../security.js'
import { answerAction, KnownCaches } from './actions.js'
import { draw, newMark, overlayScript, overlayStyle } from './draw.js'
import { originOf, toFacts, toHoleFacts, type PageFacts } from './facts.js'
import { holdPages, valueOf, type HeaderPairs, type HeldPage, type NotHeld } from './held.js'
import { LinkMaker, routeOf } from './links.js'
import { locateHoles } from './locate-holes.js'
import { locate, type Placed } from './locate.js'
import { resolveOverlayOptions, type OverlayOptions, type OverlaySettings } from './options.js'
import { allowing, hashSource, permitOf } from './policy.js'
import { currentRecord, layouts, recordIn, RequestRecord, type PageTold } from './record.js'
import type { PutOut } from './put-out.js'
import { scanHtml, type Scan } from './scan.js'

export type { OverlayOptions, OverlayPosition } from './options.js'

/** An Express middleware, reduced to what the overlay needs. */
export type OverlayMiddleware = (
  req: IncomingMessage,
  res: ServerResponse,
  next: (error?: unknown) => void,
) => void

/**
 * Creates a middleware for development that shows on the pages of a site how each of their fragments came
 * about: an outline by outcome, with a label of name, key, age, remaining time, body time and tags, and a bar
 * with the outcome of the page. Buttons invalidate a fragment, a tag or the URL of the page.
 *
 * Mount it before everything else: `app.use(overlay())`. What is stored, and what all inner layers see, is
 * the same to the byte as without it. The overlay finds fragments in the finished page by their texts, and
 * adds the marks for the browser after all other layers. It draws only on what a browser requests as a
 * document, as HTML in UTF-8. Such a response has `Cache-Control: no-store`.
 *
 * @returns A middleware. If `NODE_ENV` is `production`, it does nothing and warns once.
 * @throws TypeError: an option is unknown or of the wrong kind.
 */
export function overlay(options: OverlayOptions = {}): OverlayMiddleware {
  const settings = resolveOverlayOptions(options)
  if (process.env['NODE_ENV'] === 'production') {
    warnOnce(
      'production',
      'NODE_ENV is production, where the overlay does nothing; leave app.use(overlay()) to development',
    )
    return function overlay(_req, _res, next) {
      next()
    }
  }
  watchPages()
  const drawing = new Drawing(settings)
  return function overlay(req, res, next) {
    drawing.handle(req, res, next)
  }
}

/** Requests that an overlay has seen: of several in an application, the first draws. */
const begun = new WeakSet<IncomingMessage>()

class Drawing {
  readonly #token = new PageToken(undefined)
  readonly #known = new KnownCaches()

  constructor(readonly settings: OverlaySettings) {}

  handle(req: ExpressRequest, res: ServerResponse, next: (error?: unknown) => void): void {
    if (begun.has(req)) {
      next()
      return
    }
    begun.add(req)
    const isAction = pathOf(req) === this.settings.path
    if (!isAction && !wantsDocument(req)) {
      // What is made now may be found in a page later.
      recordIn(new RequestRecord(), next)
      return
    }
    const { authorize } = this.settings
    void askAccess(authorize, req, res).then((access) => {
      if (access === 'answered') return
      if (access === 'allowed' && isAction) {
        void answerAction(req, res, this.#known, this.#token, this.settings.pages)
        return
      }
      const record = new RequestRecord()
      if (access === 'allowed') this.#tryToPrepare(req, res, record)
      else if (authorize === undefined) warnOfStranger(req)
      recordIn(record, next)
    })
  }

  /** Where it fails the page is served as it is. */
  readonly #tryToPrepare = neverThrowing('overlay')(this.#prepare.bind(this))

  #prepare(req: ExpressRequest, res: ServerResponse, record: RequestRecord): void {
    if (isKeptAround(res)) {
      warnOnce(
        'order',
        'a cache of responses comes before the overlay, and would store what is drawn; so nothing is drawn: put app.use(overlay()) before everything else, and let the cache be a middleware, not a listener around the application',
      )
      return
    }
    // The browser's copy has marks of another time: the page has to come whole.
    delete req.headers['if-none-match']
    delete req.headers['if-modified-since']
    const startedMs = performance.now()
    const hash = hashSource(overlayScript())
    // Where the overlay is; a router further in has another one when the page is done.
    const action = `${req.baseUrl ?? ''}${this.settings.path}`
    holdPages(req, res, {
      headers: (pairs) => changeHeaders(pairs, hash),
      draw: (page) => this.#draw(page, req, record, { startedMs, action }),
      onNotHeld: warnOfPage,
    })
  }

  async #draw(
    page: HeldPage,
    req: ExpressRequest,
    record: RequestRecord,
    { startedMs, action }: { readonly startedMs: number; readonly action: string },
  ): Promise<string> {
    const { html, headers } = page
    if (html.includes(OF_INSPECTOR)) return html
    const scan = scanHtml(html)
    const permit = permitIn(headers, scan)
    if (scan.end === undefined) {
      warnOnce('end', 'a page ends inside of a tag, a comment or a script, and is not drawn on')
      return html
    }
    if (!permit.isAllowed) {
      warnOnce(
        'policy',
        'a meta element of a page has a content security policy that allows no script of the overlay, so that nothing is drawn: give it a nonce, or send it as a header in development',
      )
      return html
    }
    const tookMs = performance.now() - startedMs
    await pageTold(record, headers)
    const told = record.page
    const url = `${req.headers.host ?? ''}${req.originalUrl ?? req.url ?? ''}`
    const { outer, route } = contentOf(record, url, html, routeOf(req))
    const placed = locate(html, scan, outer)
    const holes = locateHoles(html, scan, record.filled, placed)
    const isFound = told !== undefined && isHit(told.outcome)
    const outcome = isFound ? (told.outcome as FragmentOutcome) : undefined
    const numberOf = ({ seen }: Placed) => {
      const caches = cachesOf(seen.fragment)
      return caches === undefined ? -1 : this.#known.numberOf(caches)
    }
    const links = new LinkMaker(this.settings, req)
    const fragments = await toFacts(placed, outcome, numberOf, links)
    const data = {
      style: overlayStyle(),
      mark: newMark(),
      position: this.settings.position,
      action,
      tokenHeader: TOKEN_HEADER,
      token: this.#token.text,
      page: {
        ...toPageFacts(page, req, told, tookMs),
        ...(told !== undefined && this.settings.pages !== undefined && { url: told.url }),
        ...(told !== undefined &&
          route !== undefined && { route, ...links.ofRoute(route, told.alias) }),
      },
      fragments,
      holes: toHoleFacts(holes, placed),
      failed: record.failed.map((fragment) => originOf(fragment, links)),
    }
    const places = [...placed, ...holes].map(({ place }) => place)
    return draw(html, places, data, scan.end, permit.nonce)
  }
}

/** In the inspector's own page, which has nothing to draw on. */
const OF_INSPECTOR = '<meta name="fragcache-token"'

/** The fragments of a page and its route; where the page was found, those that it had when it was made. */
function contentOf(
  record: RequestRecord,
  url: string,
  html: string,
  route: string | undefined,
): { readonly outer: readonly PutOut[]; readonly route: string | undefined } {
  const { outer, page } = record
  if (page === undefined) return { outer, route }
  if (!isHit(page.outcome)) {
    layouts.addPage(url, html, outer, route)
    return { outer, route }
  }
  const idOf = ({ fragment }: PutOut) => `${fragment.alias}\n${fragment.variant.storedKey}`
  // This request itself reports what is rendered for each visitor.
  const now = new Set(outer.map(idOf))
  const known = layouts.ofPage(url, html)
  const before = (known?.inner ?? []).filter((seen) => !now.has(idOf(seen)))
  return { outer: [...before, ...outer], route: route ?? known?.route }
}

function isHit(outcome: string): boolean {
  return outcome === 'hit' || outcome === 'stale' || outcome === 'joined'
}

function toPageFacts(
  { status, headers }: HeldPage,
  req: ExpressRequest,
  told: PageTold | undefined,
  tookMs: number,
): PageFacts {
  const explained = told === undefined || told.outcome === 'hit' ? undefined : explainResponse(told)
  const { url: _url, ...outcome } = told ?? {}
  return {
    ...outcome,
    ...(explained && { sentence: explained.sentence, remedy: explained.remedy }),
    method: req.method ?? 'GET',
    status,
    tookMs,
    cacheControl: valueOf(headers, 'cache-control'),
    cacheStatus: valueOf(headers, 'cache-status'),
  }
}

const POLICIES = ['content-security-policy', 'content-security-policy-report-only']

function changeHeaders(pairs: HeaderPairs, hash: string): HeaderPairs {
  const policies = pairs.flatMap(([name, value]) =>
    name.toLowerCase() === POLICIES[0] ? [value].flat() : [],
  )
  const { nonce } = permitOf(policies, hash)
  const changed = pairs
    .filter(([name]) => !['cache-control', 'expires', 'pragma'].includes(name.toLowerCase()))
    .map(([name, value]) =>
      POLICIES.includes(name.toLowerCase())
        ? ([name, [value].flat().map((policy) => allowing(policy, nonce, hash))] as const)
        : ([name, value] as const),
    )
  return [...changed, ['Cache-Control', 'no-store']]
}

/** What headers forbid, {@link changeHeaders} has allowed; what the page forbids stays forbidden. */
function permitIn(headers: HeaderPairs, { policies }: Scan): ReturnType<typeof permitOf> {
  const hash = hashSource(overlayScript())
  const { nonce } = permitOf([valueOf(headers, 'content-security-policy')], hash)
  const own = permitOf(policies, hash)
  return { nonce: nonce ?? own.nonce, isAllowed: own.isAllowed }
}

/** The outcome of a page that is stored is reported after it is stored. */
const MAX_WAIT_MS = 300

async function pageTold(record: RequestRecord, headers: HeaderPairs): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  const isToCome = listMembers(valueOf(headers, 'cache-status')).some(saysStored)
  if (record.page !== undefined || !isToCome) return
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, MAX_WAIT_MS)
    record.onPage = () => {
      clearTimeout(timer)
      resolve()
    }
  })
}

/** Of a member of `Cache-Status`. */
function saysStored(member: string): boolean {
  return member.startsWith('fragcache;') && member.split(/; */).includes('stored')
}

let isWatchingPages = false

function watchPages(): void {
  if (isWatchingPages) return
  isWatchingPages = true
  listen('overlay', { response: (message) => currentRecord()?.tell(message) })
}

/** Whether a browser asks for a document, to show it by itself. */
function wantsDocument({ method, headers }: IncomingMessage): boolean {
  if (method === 'HEAD' || method === 'OPTIONS') return false
  const destination = headers['sec-fetch-dest']
  if (destination !== undefined) {
    return destination === 'document' || destination === 'iframe' || destination === 'frame'
  }
  return (headers.accept ?? '').includes('text/html') && headers['x-requested-with'] === undefined
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0] as string
}

const warned = new Set<string>()

function warnOnce(about: string, message: string): void {
  if (warned.has(about)) return
  warned.add(about)
  process.emitWarning(`overlay: ${message}; reported once`, {
    type: 'CacheOverlayWarning',
    code: 'FRAGCACHE_OVERLAY',
  })
}

function warnOfStranger({ socket }: IncomingMessage): void {
  warnOnce(
    'stranger',
    `a page was asked for from ${String(socket.remoteAddress)}, over a proxy or by another name than localhost, and is not drawn on; give overlay the option authorize: (req) => true for those who may see it`,
  )
}

const NOT_HELD: Readonly<Record<NotHeld, string>> = {
  'too-long': 'a page is longer than 8 MiB, and is not drawn on',
  'too-slow': 'a page did not end within 10 seconds of its beginning, and is not drawn on',
  charset: 'a page is in another charset than UTF-8, and is not drawn on',
  coding: 'a page is in a content coding that Node does not know, and is not drawn on',
  node: 'this version of Node has no place to draw on pages at, and none is drawn on',
}

function warnOfPage(why: NotHeld): void {
  warnOnce(why, NOT_HELD[why])
}
