import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { ServerResponse } from 'node:http'
import type { Request, Response } from 'express'
import { CacheTagError, MisuseError, show, type TagPosition } from '../../src/errors.js'
import {
  fillContent,
  takeContent,
  type Content,
  type HoleEngine,
  type HoleRef,
  type HoleRenderer,
} from '../../src/fragment/holes.js'
import { currentFrame, Frame, runAsyncIn } from '../../src/frame.js'
import { hasDirective, parseCacheControl } from '../../src/http/cache-control.js'
import type { StoredHole, StoredResponse } from '../../src/http/stored-response.js'
import { chain, isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import type { PageHoleOptions } from './options.js'

/** What a response says that is filled for one visitor. */
const FOR_ONE_VISITOR = 'private, no-cache'

/** They tell of a body, or for how long it is good: each filling is another one. */
const OF_ONE_FILLING: ReadonlySet<string> = new Set([
  'accept-ranges',
  'age',
  'cdn-cache-control',
  'content-digest',
  'content-length',
  'content-md5',
  'date',
  'digest',
  'etag',
  'expires',
  'last-modified',
  'repr-digest',
  'surrogate-control',
])

/** Whether a header is of one filling of a page, and not of the page. */
export function isOfOneFilling(name: string): boolean {
  return name === 'cache-control' || OF_ONE_FILLING.has(name)
}

/** Makes a response say that it is one visitor's. */
export function sayForOneVisitor(res: ServerResponse): void {
  for (const name of OF_ONE_FILLING) if (name !== 'content-length') res.removeHeader(name)
  const control = parseCacheControl(res.getHeader('Cache-Control'))
  if (!hasDirective(control, 'no-store')) res.setHeader('Cache-Control', FOR_ONE_VISITOR)
}

/** Whether it says so. */
export function saysForOneVisitor(res: ServerResponse): boolean {
  return res.getHeader('Cache-Control') === FOR_ONE_VISITOR
}

/** Whose headers are set while something runs: those of the holes, and of what they need. */
const whileFilling = new AsyncLocalStorage<boolean>()

/** Fills the holes of pages for one request, in the context it came in. */
export class VisitorHoles implements HoleRenderer {
  readonly #context: MaybePromise<object> | { readonly fault: unknown }
  readonly #outside = new AsyncResource('fragcache.holes')
  #renderer: HoleRenderer | undefined

  /** Asks for the variables of the holes, which are those there are before the view. */
  constructor(
    private readonly options: PageHoleOptions,
    req: Request,
    res: Response,
  ) {
    this.#context = contextOf(options, req, res)
    // Mostly nobody asks for it.
    if (isPromise(this.#context)) this.#context.catch(() => undefined)
  }

  has(...asked: Parameters<HoleRenderer['has']>): boolean {
    return probeOf(this.options).has(...asked)
  }

  render(ref: HoleRef): MaybePromise<string | undefined> {
    if (this.#renderer !== undefined) return this.#renderer.render(ref)
    const context = this.#context
    if ('fault' in context) throw context.fault
    return chain(context, (made) => {
      this.#renderer ??= renderersOf(this.options.engines, made)
      return this.#renderer.render(ref)
    })
  }

  /** @returns `undefined`: a hole is not there any more. */
  fill(content: Content): MaybePromise<string | undefined> {
    const fill = () => fillContent(content, this, undefined)
    return this.#outside.runInAsyncScope(() =>
      runAsyncIn(undefined, () => whileFilling.run(true, fill)),
    )
  }
}

function contextOf(
  { context }: PageHoleOptions,
  req: Request,
  res: Response,
): MaybePromise<object> | { readonly fault: unknown } {
  try {
    return chain(
      whileFilling.run(true, () => context(req, res)),
      checkContext,
    )
  } catch (fault) {
    return { fault }
  }
}

function checkContext(context: unknown): object {
  if (typeof context !== 'object' || context === null) {
    throw new MisuseError(
      `responseCache: holes.context gave ${show(context)}; give an object with the variables of the holes`,
    )
  }
  const prototype: unknown = Object.getPrototypeOf(context)
  // What the view adds later, to `res.locals` for example, is not there on a hit either.
  return prototype === Object.prototype || prototype === null ? { ...context } : context
}

/** Of several engines with one name, the one that has the hole. */
function renderersOf(engines: readonly HoleEngine[], context: object): HoleRenderer {
  const renderers = engines.map((engine) => [engine.name, engine.holes(context)] as const)
  const of = (ref: HoleRef) =>
    renderers.filter(([name]) => name === ref.e).map(([, renderer]) => renderer)
  return {
    has: (ref, ...inside) => of(ref).some((renderer) => renderer.has(ref, ...inside)),
    render: (ref) =>
      of(ref)
        .find((renderer) => renderer.has(ref))
        ?.render(ref),
  }
}

const probes = new WeakMap<PageHoleOptions, HoleRenderer>()

/** Tells which holes there are; the context is of no matter for that. */
function probeOf(options: PageHoleOptions): HoleRenderer {
  let probe = probes.get(options)
  if (probe === undefined) probes.set(options, (probe = renderersOf(options.engines, {})))
  return probe
}

const contents = new WeakMap<StoredResponse, Content>()

/** A page as its texts and what stands between them. */
function contentOf(page: StoredResponse): Content {
  let content = contents.get(page)
  if (content !== undefined) return content
  const parts: (string | HoleRef)[] = []
  let end = 0
  for (const [at, e, t, h] of page.holes ?? []) {
    parts.push(page.body.toString('utf8', end, at), { e, t, h })
    end = at
  }
  parts.push(page.body.toString('utf8', end))
  content = parts
  contents.set(page, content)
  return content
}

/** Whether every hole of a page can still be filled. */
export function isFillable(page: StoredResponse, options: PageHoleOptions | undefined): boolean {
  if (page.holes === undefined) return true
  if (options === undefined) return false
  const probe = probeOf(options)
  return page.holes.every(([, e, t, h]) => probe.has({ e, t, h }))
}

/**
 * A page with its holes filled for one visitor.
 *
 * @returns `undefined`: a hole is not there any more.
 * @throws What the holes throw, also by promise.
 */
export function fillPage(
  page: StoredResponse,
  holes: VisitorHoles,
): MaybePromise<Buffer | undefined> {
  return chain(holes.fill(contentOf(page)), (text) =>
    text === undefined ? undefined : Buffer.from(text),
  )
}

/** A body as it is kept. */
export interface HoledBody {
  readonly body: Buffer
  readonly holes: readonly StoredHole[]
}

/** What a template made: its texts and holes, and the text that came of them. */
interface Rendered {
  readonly content: Content
  readonly text: string
}

/** What a page is rendered in, by `res.render` alone, while its holes can be filled. */
class RenderFrame extends Frame {
  constructor(
    readonly page: Frame,
    holes: HoleRenderer,
  ) {
    // Nothing around it: it is the outermost that is kept.
    super(page.cache, undefined, undefined, page.isLimited)
    this.holes = holes
    this.holdsLease = page.holdsLease
  }

  override depend(...dependencies: Parameters<Frame['depend']>): void {
    this.page.depend(...dependencies)
  }

  override holdOld(): void {
    this.page.holdOld()
  }

  override limit(...expiry: Parameters<Frame['limit']>): void {
    this.page.limit(...expiry)
  }
}

type Finish = (error: Error | null, text?: string) => void

/** The headers of a response that are set while its holes are filled: they are one visitor's. */
export class HoleHeaders {
  readonly #names = new Set<string>()
  readonly #cookies = new Set<string>()

  /** Watches from now on. */
  constructor(private readonly res: Response) {
    const setHeader = res.setHeader.bind(res)
    const appendHeader = res.appendHeader.bind(res)
    res.setHeader = (name, value) => {
      this.#note(name, value)
      return setHeader(name, value)
    }
    res.appendHeader = (name, value) => {
      this.#note(name, value)
      return appendHeader(name, value)
    }
  }

  #note(name: string, value: number | string | readonly string[]): void {
    if (whileFilling.getStore() !== true) return
    const lower = name.toLowerCase()
    // A page that varies on more is the safer one.
    if (lower !== 'vary') this.#names.add(lower)
    if (lower !== 'set-cookie') return
    const before = new Set(cookiesOf(this.res))
    for (const line of [value].flat().map(String)) if (!before.has(line)) this.#cookies.add(line)
  }

  /** In lower case. */
  get names(): ReadonlySet<string> {
    return this.#names
  }

  /** Whether the response sets cookies, and all of them are those of its holes. */
  get haveAllCookies(): boolean {
    const cookies = cookiesOf(this.res)
    return cookies.length > 0 && cookies.every((line) => this.#cookies.has(line))
  }
}

/** The holes of one page that is being made. */
export class PageHoles {
  readonly #rendered: Rendered[] = []
  #isAstray = false

  /**
   * Watches what a view renders: templates may have holes then, and what is handed on is filled.
   *
   * @param isMaking - Whether the page is still being made for this cache.
   * @param onFilled - Called when holes were filled, before the text is handed on.
   */
  constructor(
    private readonly req: Request,
    private readonly res: Response,
    private readonly frame: Frame,
    private readonly holes: VisitorHoles,
    isMaking: () => boolean,
    private readonly onFilled: () => void,
  ) {
    const render = res.render.bind(res) as (view: string, options: object, finish: Finish) => void
    const watched = (view: string, options?: object | Finish, callback?: Finish) => {
      const given = typeof options === 'function' ? {} : (options ?? {})
      const finish = typeof options === 'function' ? (options as Finish) : callback
      const whole = finish ?? ((error, text) => this.#send(error, text))
      if (!isMaking()) return render(view, given, whole)
      const own = new RenderFrame(frame, holes)
      runAsyncIn(own, () =>
        render(view, given, (error, text) => {
          // Where an engine lost the way it was called, holes passed for text.
          if (currentFrame() !== own) this.#isAstray = true
          // What goes on from here is no longer rendered by us.
          runAsyncIn(frame, () => this.#finish(own, error, text, whole))
        }),
      )
    }
    res.render = watched as Response['render']
  }

  /** Whether anything that was rendered is one visitor's. */
  get isFilled(): boolean {
    return this.#rendered.length > 0
  }

  /** Whether something was rendered out of sight, so that nobody knows whether it had holes. */
  get isAstray(): boolean {
    return this.#isAstray
  }

  /** Whether it is one text: what another may have been put into is one visitor's as a whole. */
  get isOneText(): boolean {
    return this.#rendered.length === 1
  }

  /** @see Express, `res.render` */
  #send(error: Error | null, text: string | undefined): void {
    if (error) (this.req as { next?: (error: unknown) => void }).next?.(error)
    else this.res.send(text)
  }

  #finish(own: Frame, error: Error | null, text: string | undefined, finish: Finish): void {
    if (error || typeof text !== 'string') return finish(error, text)
    let content: Content
    let filled: MaybePromise<string | undefined>
    try {
      content = takeContent(own, text)
      if (own.isUnfit) this.frame.isUnfit = true
      if (typeof content !== 'string' && this.res.headersSent) throw tooLate()
      filled = typeof content === 'string' ? content : this.holes.fill(content)
    } catch (fault) {
      return finish(fault as Error)
    }
    if (typeof content === 'string') return finish(null, content)
    const settle = (made: string | undefined) => {
      if (made === undefined) return finish(notFound())
      this.#rendered.push({ content, text: made })
      this.onFilled()
      finish(null, made)
    }
    if (!isPromise(filled)) return settle(filled)
    filled
      .then(settle, (fault: unknown) => finish(fault as Error))
      .catch((fault: unknown) => {
        this.#send(fault as Error, undefined)
      })
  }

  /**
   * The body of a page as it is kept.
   *
   * @param body - As it was sent.
   * @returns `undefined` if it is not, to the byte, what one `res.render` gave: what else was made of
   *   a text with filled holes is one visitor's.
   */
  keep(body: Buffer): HoledBody | undefined {
    const [rendered] = this.#rendered
    if (rendered === undefined || !this.isOneText) return undefined
    if (!body.equals(Buffer.from(rendered.text))) return undefined
    const parts: Buffer[] = []
    const holes: StoredHole[] = []
    let length = 0
    for (const part of rendered.content) {
      if (typeof part !== 'string') {
        holes.push([length, part.e, part.t, part.h])
        continue
      }
      const bytes = Buffer.from(part)
      parts.push(bytes)
      length += bytes.length
    }
    return { body: Buffer.concat(parts), holes }
  }
}

function cookiesOf(res: ServerResponse): readonly string[] {
  const cookies = res.getHeader('Set-Cookie')
  return cookies === undefined ? [] : [cookies].flat().map(String)
}

function tooLate(): CacheTagError {
  return new CacheTagError(
    'a nocache block came into a cached page after its headers were sent, which may have said that it is for everybody; call res.render before anything is written',
  )
}

function notFound(): CacheTagError {
  return new CacheTagError(
    'a nocache block of this page was not found by the engines in `holes.engines` of responseCache; name there every engine that renders pages',
  )
}

/** What a `nocache` block is told that a page cannot keep. */
export function holeFault(
  options: PageHoleOptions | undefined,
): (at: TagPosition) => CacheTagError {
  const remedy =
    options === undefined
      ? 'give responseCache the option `holes`, or render this page without a cache'
      : 'render it by res.render, which alone can leave it out of the page (option `holes` of responseCache)'
  return (position) =>
    new CacheTagError(`a nocache block would be kept in a cached page; ${remedy}`, position)
}
