import type { CacheCore } from '../backend/core.js'
import type { Frame } from '../making/frame.js'
import type { Deadline } from '../timeout.js'
import type { HoleRenderer } from './hole-parts.js'
import type { Fragment } from './spec.js'
import { TemplateFrame } from './template-frame.js'

/**
 * The frame of code that runs before it is known whether the fragment around it has to be made. Once it is,
 * this frame passes to the fragment's own frame what it has collected, and what it collects from then on.
 */
export class LateFrame extends TemplateFrame {
  #own: TemplateFrame | undefined

  /**
   * @param fragment - The fragment around it.
   * @param holes - Fills the holes inside, if nothing around it is stored.
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
    // The marks belong to the outermost frame, which this may have been.
    own.marks ??= this.marks
    if (this.unfitFor !== undefined) own.refuse(this.unfitFor)
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
