import type { ServerResponse } from 'node:http'
import type { Request, Response } from 'express'
import { CacheTagError, type TagPosition } from '../../src/errors.js'
import { takeContent, type Content, type HoleRenderer } from '../../src/fragment/holes.js'
import { isKeptBy, TemplateFrame } from '../../src/fragment/template-frame.js'
import { currentFrame, isWithin, runAsyncIn, type Frame } from '../../src/making/frame.js'
import type { StoredHole } from '../../src/http/stored-response.js'
import { isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import type { PageHoleOptions } from './options.js'
import { isFilling, type VisitorHoles } from './visitor-holes.js'

/** A body as it is kept. */
export interface HoledBody {
  readonly body: Buffer
  readonly holes: readonly StoredHole[]
}

/** What a page is made in. */
export class PageFrame extends TemplateFrame {}

/** What a page is made in that the cache has nothing to do with, but that may have holes. */
export class PassedFrame extends PageFrame {
  override keeps = false

  // The cache, which may be down, is not to be asked for what nobody stores.
  override depend(...dependencies: Parameters<Frame['depend']>): void {
    this.parent?.depend(...dependencies)
  }

  override declare(tags: readonly string[]): PromiseLike<void> {
    return this.parent?.declare(tags) ?? Promise.resolve()
  }

  override limit(...expiry: Parameters<Frame['limit']>): void {
    this.parent?.limit(...expiry)
  }
}

/** What a template made: its texts and holes, and the text that came of them. */
interface Rendered {
  readonly content: Content
  readonly text: string
}

/** What a page is rendered in, by `res.render` alone, while its holes can be filled. */
class RenderFrame extends TemplateFrame {
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

/**
 * Whether the calling code runs inside something that is kept by itself, such as a fragment or a value:
 * what is rendered there is its, and must not have another's holes filled in it.
 */
function isInsideKept(): boolean {
  for (let at = currentFrame(); at !== undefined; at = at.parent) {
    if (at instanceof PageFrame || at instanceof RenderFrame) return false
    if (isKeptBy(at)) return true
  }
  return false
}

type Finish = (error: Error | null, text?: string) => void

type Render = (view: string, options: object, finish: Finish) => void

/** They tell of no body more than that it is one, or are of no page that has holes. */
const OF_ANY_TEXT: ReadonlySet<string> = new Set([
  'cache-control',
  'content-length',
  'content-type',
  'etag',
  'expires',
  'last-modified',
  'vary',
])

/** The headers of a response that are set while its holes are filled: they are one visitor's. */
export class HoleHeaders {
  readonly #names = new Set<string>()
  readonly #cookies = new Set<string>()
  /** The status when a text with filled holes was first given to the view. */
  #statusBefore: number | undefined
  #isAnyOfText = false

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
    const lower = name.toLowerCase()
    if (!isFilling()) return this.#noteOfText(lower, value)
    // A page that varies on more is the safer one.
    if (lower !== 'vary') this.#names.add(lower)
    if (lower !== 'set-cookie') return
    const before = new Set(cookiesOf(this.res))
    for (const line of [value].flat().map(String)) if (!before.has(line)) this.#cookies.add(line)
  }

  #noteOfText(name: string, value: number | string | readonly string[]): void {
    if (this.#statusBefore === undefined || OF_ANY_TEXT.has(name)) return
    if (String(value) !== String(this.res.getHeader(name))) this.#isAnyOfText = true
  }

  /** The view has a text with filled holes from now on, to make of it what it likes. */
  handOver(): void {
    this.#statusBefore ??= this.res.statusCode
  }

  /** Whether the status or a header may have been made of a text with filled holes. */
  get mayBeOfText(): boolean {
    if (this.#statusBefore === undefined) return false
    return this.#isAnyOfText || this.res.statusCode !== this.#statusBefore
  }

  /** In lower case. */
  get names(): ReadonlySet<string> {
    return this.#names
  }

  /** The cookies among them. */
  get cookies(): readonly string[] {
    return cookiesOf(this.res).filter((line) => this.#cookies.has(line))
  }

  /** Whether the response sets cookies, and all of them are those of its holes. */
  get haveAllCookies(): boolean {
    const cookies = cookiesOf(this.res)
    return cookies.length > 0 && cookies.every((line) => this.#cookies.has(line))
  }
}

/**
 * Watches what a view renders in a page that is not kept: where the way from `res.render` to a hole is
 * lost, by a view or by an engine, the page is taken to have one.
 *
 * @param isPassed - Whether no cache further in has taken it over.
 */
export function watchPassed(
  req: Request,
  res: Response,
  frame: PassedFrame,
  isPassed: () => boolean,
): void {
  const render = res.render.bind(res) as Render
  const watched = (view: string, options?: object | Finish, callback?: Finish) => {
    const { given, finish } = renderArguments(req, res, options, callback)
    const isAround = isWithin(currentFrame(), frame)
    if (!isPassed() || (isAround && isInsideKept())) return render(view, given, finish)
    const around = isAround ? currentFrame() : frame
    runAsyncIn(around, () =>
      render(view, given, (error, text) => {
        if (currentFrame() !== around) frame.hasShownHoles = true
        runAsyncIn(around, () => finish(error, text))
      }),
    )
  }
  res.render = watched as Response['render']
}

/** @see Express, `res.render` */
function renderArguments(
  req: Request,
  res: Response,
  options: object | Finish | undefined,
  callback: Finish | undefined,
): { readonly given: object; readonly finish: Finish } {
  const finish = typeof options === 'function' ? (options as Finish) : callback
  return {
    given: typeof options === 'function' ? {} : (options ?? {}),
    finish: finish ?? ((error, text) => sendRendered(req, res, error, text)),
  }
}

/** @see Express, `res.render` */
function sendRendered(
  req: Request,
  res: Response,
  error: Error | null,
  text: string | undefined,
): void {
  if (error) (req as { next?: (error: unknown) => void }).next?.(error)
  else res.send(text)
}

/** The holes of one page that is being made. */
export class PageHoles {
  readonly #rendered: Rendered[] = []
  #isAstray = false

  /**
   * Watches what a view renders: templates may have holes then, and what is handed on is filled.
   *
   * @param isMaking - Whether the page is still being made for this cache.
   * @param onFilled - Called when holes were filled, before the text is handed on: to the client, or
   *   to the view.
   */
  constructor(
    private readonly req: Request,
    private readonly res: Response,
    private readonly frame: TemplateFrame,
    private readonly holes: VisitorHoles,
    isMaking: () => boolean,
    private readonly onFilled: (isForView: boolean) => void,
  ) {
    const render = res.render.bind(res) as Render
    const watched = (view: string, options?: object | Finish, callback?: Finish) => {
      const given = typeof options === 'function' ? {} : (options ?? {})
      const finish = typeof options === 'function' ? (options as Finish) : callback
      if (!isMaking() || isInsideKept()) {
        return render(view, given, finish ?? ((error, text) => this.#send(error, text)))
      }
      const own = new RenderFrame(frame, holes)
      runAsyncIn(own, () =>
        render(view, given, (error, text) => {
          // Where an engine lost the way it was called, holes passed for text.
          if (currentFrame() !== own) this.#isAstray = true
          // What goes on from here is no longer rendered by us.
          runAsyncIn(frame, () => this.#finish(own, error, text, finish))
        }),
      )
    }
    res.render = watched as Response['render']
  }

  /** Whether anything that was rendered is one visitor's. */
  get isFilled(): boolean {
    return this.#rendered.length > 0
  }

  /**
   * Whether something was rendered out of sight, so that nobody knows whether it had holes, or a hole
   * is not in the text it was met in.
   */
  get isAstray(): boolean {
    return this.#isAstray
  }

  /** Whether it is one text: what another may have been put into is one visitor's as a whole. */
  get isOneText(): boolean {
    return this.#rendered.length === 1
  }

  #send(error: Error | null, text: string | undefined): void {
    sendRendered(this.req, this.res, error, text)
  }

  #finish(
    own: TemplateFrame,
    error: Error | null,
    text: string | undefined,
    given: Finish | undefined,
  ): void {
    const finish: Finish = given ?? ((fault, made) => this.#send(fault, made))
    if (error || typeof text !== 'string') return finish(error, text)
    let content: Content
    let filled: MaybePromise<string | undefined>
    try {
      if (own.isUnfit) this.frame.isUnfit = true
      content = takeContent(own, text)
      // Something was made of what stands for a hole.
      if (own.isUnfit && !this.frame.isUnfit) this.#isAstray = true
      if (own.tellsOfUser) this.frame.tellsOfUser = true
      if (typeof content !== 'string' && this.res.headersSent) throw tooLate()
      filled = typeof content === 'string' ? content : this.holes.fill(content)
    } catch (fault) {
      return finish(fault as Error)
    }
    if (typeof content === 'string') return finish(null, content)
    const settle = (made: string | undefined) => {
      if (made === undefined) return finish(notFound())
      this.#rendered.push({ content, text: made })
      this.onFilled(given !== undefined)
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
   * Whether a body that begins so may be kept.
   *
   * @param isAll - Nothing follows.
   */
  mayKeep(first: Buffer, isAll: boolean): boolean {
    const text = Buffer.from(this.#rendered[0]?.text ?? '')
    return isAll ? first.equals(text) : first.equals(text.subarray(0, first.length))
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
