import type { ServerResponse } from 'node:http'
import type { ContextHold } from '../../src/async-slot.js'
import { CacheTagError, type TagPosition } from '../../src/errors.js'
import type { Content } from '../../src/fragment/hole-parts.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import { takeContent } from '../../src/fragment/holes.js'
import { readCopied } from '../../src/fragment/watched-copies.js'
import { isKeptBy, TemplateFrame } from '../../src/fragment/template-frame.js'
import { currentFrame, runAsyncIn, type Frame } from '../../src/making/frame.js'
import type { StoredHole } from '../../src/http/stored-response.js'
import { isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import type { RenderedText, RenderWatcher } from './host.js'
import type { Settings } from './settings.js'
import type { VisitorHoles } from './visitor-holes.js'

/** A body as it is stored. */
export interface HoledBody {
  readonly body: Buffer
  readonly holes: readonly StoredHole[]
}

/** The frame that a handler makes a page in. */
export class PageFrame extends TemplateFrame {}

/** The frame of a page that the cache does not handle, but that may have holes. */
export class PassedFrame extends PageFrame {
  override keeps = false

  // Nothing is stored, so the cache, which may be down, is not asked.
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

/** The frame around, unless it is a page's: of a page inside a page only the inner one is stored. */
export function frameAround(): Frame | undefined {
  const around = currentFrame()
  return around instanceof PageFrame ? undefined : around
}

/** What a template rendered: its texts and holes, and the text with the holes filled. */
interface Rendered {
  readonly content: Content
  readonly text: string
}

/** The frame of `res.render` within a page, which can fill the holes of its template. */
class RenderFrame extends TemplateFrame {
  override readonly hold: ContextHold

  constructor(
    readonly page: TemplateFrame,
    holes: HoleRenderer,
  ) {
    // It has no parent: it is the outermost frame that is stored.
    super(page.cache, undefined, undefined, {
      isLimited: page.isLimited,
      isLeased: page.holdsLease,
      holes,
      mayShowHoles: !page.keeps,
      page: page.framedPage,
    })
    this.hold = page.hold
  }

  override depend(...dependencies: Parameters<Frame['depend']>): void {
    this.page.depend(...dependencies)
  }

  override declare(tags: readonly string[]): PromiseLike<void> {
    return this.page.declare(tags)
  }

  override announce(tags: readonly string[]): void {
    this.page.announce(tags)
  }

  override holdOld(): void {
    this.page.holdOld()
  }

  override limit(...expiry: Parameters<Frame['limit']>): void {
    this.page.limit(...expiry)
  }
}

/**
 * Whether the calling code runs inside something that is stored by itself, such as a fragment or a value:
 * what is rendered there belongs to that, and the page's holes must not be filled in it.
 */
function isInsideKept(): boolean {
  for (let at = currentFrame(); at !== undefined; at = at.parent) {
    if (at instanceof PageFrame || at instanceof RenderFrame) return false
    if (isKeptBy(at)) return true
  }
  return false
}

/** The holes of one page that a handler makes: its templates may have some, and the texts handed on are filled. */
export class PageHoles implements RenderWatcher {
  readonly #rendered: Rendered[] = []
  #isAstray = false

  /**
   * @param holes - What fills them for this request.
   * @param isOurs - Whether no other cache has taken the page over.
   * @param onFilled - Called when holes were filled, before the text is handed on: to the client, or
   *   to the handler. Default: nothing depends on that, since nothing is stored.
   */
  constructor(
    private readonly res: ServerResponse,
    private readonly frame: TemplateFrame,
    private readonly holes: () => VisitorHoles,
    private readonly isOurs: () => boolean,
    private readonly onFilled: (isForView: boolean) => void = () => undefined,
  ) {}

  enter(): Frame | undefined {
    if (!this.isOurs() || isInsideKept()) return undefined
    return new RenderFrame(this.frame, this.holes())
  }

  leave(own: TemplateFrame, rendered: RenderedText): void {
    // The engine lost the asynchronous context, so its holes were rendered as plain text.
    if (currentFrame() !== own) this.#goAstray()
    // What runs from here on is no part of the render.
    runAsyncIn(this.frame, () => this.#finish(own, rendered))
  }

  /** Whether anything that was rendered has per-user output in its holes. */
  get isFilled(): boolean {
    return this.#rendered.length > 0
  }

  /**
   * Whether something was rendered unobserved, so that it is not known whether it had holes, or a hole is
   * missing from the text it was rendered in.
   */
  get isAstray(): boolean {
    return this.#isAstray
  }

  /** Whether there is just one text. If one may have been put into another, the whole is per-user. */
  get isOneText(): boolean {
    return this.#rendered.length === 1
  }

  #goAstray(): void {
    this.#isAstray = true
    this.frame.hasShownHoles = true
  }

  #finish(own: TemplateFrame, { error, text, isForHandler, finish, fail }: RenderedText): void {
    if (error || typeof text !== 'string') return finish(error, text)
    let content: Content
    let filled: MaybePromise<string | undefined>
    try {
      readCopied(own)
      if (own.unfitFor !== undefined) this.frame.refuse(own.unfitFor)
      content = takeContent(own, text)
      // The mark of a hole was changed or dropped.
      if (own.isUnfit && !this.frame.isUnfit) this.#goAstray()
      if (own.tellsOfUser) this.frame.tellsOfUser = true
      if (own.hasShownHoles) this.frame.hasShownHoles = true
      if (typeof content !== 'string' && this.frame.keeps && this.res.headersSent) throw tooLate()
      filled = typeof content === 'string' ? content : this.holes().fill(content)
    } catch (fault) {
      return finish(fault as Error)
    }
    if (typeof content === 'string') return finish(null, content)
    const settle = (made: string | undefined) => {
      if (made === undefined) return finish(notFound())
      this.#rendered.push({ content, text: made })
      this.frame.hasShownHoles = true
      this.onFilled(isForHandler)
      finish(null, made)
    }
    if (!isPromise(filled)) return settle(filled)
    filled
      .then(settle, (fault: unknown) => finish(fault as Error))
      .catch((fault: unknown) => fail(fault as Error))
  }

  /**
   * Whether a body that begins like this may be stored.
   *
   * @param isAll - Whether this is the whole body.
   */
  mayKeep(first: Buffer, isAll: boolean): boolean {
    const text = Buffer.from(this.#rendered[0]?.text ?? '')
    return isAll ? first.equals(text) : first.equals(text.subarray(0, first.length))
  }

  /**
   * The body of a page as it is stored.
   *
   * @param body - As it was sent.
   * @returns `undefined` if it is not, to the byte, the text of one `res.render`: anything else made from a
   *   text with filled holes is per-user.
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

/** The error for a `nocache` block that a page cannot store. */
export function holeFault(
  settings: Pick<Settings, 'holes' | 'host'>,
): (at: TagPosition) => CacheTagError {
  const remedy = remedyOf(settings)
  return (position) =>
    new CacheTagError(`a nocache block would be kept in a cached page; ${remedy}`, position)
}

function remedyOf({ holes, host }: Pick<Settings, 'holes' | 'host'>): string {
  // Only where the cache sees what templates render there is an option `holes` to give.
  if (host.watchRender === undefined) {
    return 'render this page without a cache, or by res.render behind the cache of fragcache/express, which can leave the block out of the page'
  }
  return holes === undefined
    ? 'give responseCache the option `holes`, with the engines that registerCache or cacheEngine gave and a `context`, or render this page without a cache'
    : 'render it by res.render, which alone can leave it out of the page (option `holes` of responseCache)'
}
