import type { Cache } from '../cache.js'
import { Frame } from '../frame.js'

/**
 * What is rendered before it is known whether the fragment around it is needed at all. Once it is,
 * the late frame hands on to the fragment's own frame what it has gathered and goes on gathering.
 */
export class LateFrame extends Frame {
  #own: Frame | undefined

  constructor(cache: Cache, parent: Frame | undefined) {
    super(cache, parent, undefined)
  }

  /** Makes this frame a part of the fragment's own. */
  attach(own: Frame): void {
    this.#own = own
    ;(this as { parent: Frame | undefined }).parent = own
    own.depend(this.cache, this.tags, this.unborn)
  }

  override depend(...dependencies: Parameters<Frame['depend']>): void {
    if (this.#own === undefined) super.depend(...dependencies)
    else this.#own.depend(...dependencies)
  }
}
