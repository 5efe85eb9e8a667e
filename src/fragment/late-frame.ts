import type { CacheCore } from '../backend/core.js'
import type { Frame } from '../making/frame.js'
import type { Deadline } from '../timeout.js'
import type { HoleRenderer } from './hole-parts.js'
import type { Fragment } from './spec.js'
import { TemplateFrame } from './template-frame.js'

/**
 * What is rendered before it is known whether the fragment around it is needed at all. Once it is,
 * the late frame hands on to the fragment's own frame what it has gathered and goes on gathering.
 */
export class LateFrame extends TemplateFrame {
  #own: TemplateFrame | undefined

  /**
   * @param fragment - The one around.
   * @param holes - What it is rendered with.
   */
  constructor(
    cache: CacheCore,
    parent: Frame | undefined,
    fragment?: Fragment,
    holes?: HoleRenderer,
  ) {
    super(cache, parent, undefined, { fragment, holes })
  }

  override get isPart(): boolean {
    return this.#own !== undefined
  }

  /** Makes this frame a part of the fragment's own. */
  attach(own: TemplateFrame): void {
    this.#own = own
    ;(this as { parent: Frame | undefined }).parent = own
    // Marks in its text are those of the outermost frame, which it was itself if there is none further out.
    own.marks ??= this.marks
    if (this.isUnfit) own.isUnfit = true
    own.dependencies.beginWith(this.dependencies)
    own.depend(this.cache, this.tags)
    own.limit(this.bubbledExpiresAtMs)
    if (this.holdsOld) own.holdOld()
  }

  override limit(expiresAtMs: Deadline | undefined): void {
    if (this.#own === undefined) super.limit(expiresAtMs)
    else this.#own.limit(expiresAtMs)
  }

  override depend(...dependencies: Parameters<Frame['depend']>): void {
    if (this.#own === undefined) super.depend(...dependencies)
    else this.#own.depend(...dependencies)
  }

  override declare(tags: readonly string[]): PromiseLike<void> {
    return this.#own === undefined ? super.declare(tags) : this.#own.declare(tags)
  }
}
