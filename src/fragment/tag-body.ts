import { currentFrame, runSyncIn } from '../making/frame.js'
import type { HoleRenderer } from './hole-parts.js'
import { LateFrame } from './late-frame.js'
import type { Fragment } from './spec.js'
import { TemplateFrame } from './template-frame.js'

/**
 * Runs a part of a deferred body at once, because that part cannot run later.
 *
 * @returns A function that returns the part's result, or throws its error, each time.
 */
export type RunEarly = <T>(action: () => T) => () => T

/** The body of a cache tag, rendered synchronously. */
export interface TagBody {
  /** Renders the body synchronously. A hit never calls it. */
  renderBody(): string
  /**
   * Called when the body is put off until its template is done. Returns a function that later renders what
   * `renderBody` would render now, from copies of the variables that may change. Omitted: `renderBody` is
   * called later.
   *
   * @param runEarly - For what cannot run later. Call it before this method returns.
   */
  keepBody?(runEarly: RunEarly): () => string
  /** Fills the nocache blocks in the body if nothing around it is stored. */
  readonly holes?: HoleRenderer | undefined
}

/** The body of a cache tag that may wait. */
export interface AsyncTagBody {
  /** Renders the body. A hit never calls it. */
  renderBody(): string | Promise<string>
  /** Fills the nocache blocks in the body if nothing around it is stored. */
  readonly holes?: HoleRenderer | undefined
}

/** A body that renders later what it would render now. */
export function keepBody(fragment: Fragment, body: TagBody): () => string {
  let late: LateFrame | undefined
  const kept = body.keepBody?.((action) => {
    late ??= new LateFrame(fragment.cache, currentFrame(), fragment, body.holes)
    return settle(() => runSyncIn(late, action))
  })
  if (kept === undefined) return () => body.renderBody()
  if (late === undefined) return kept
  return () => {
    const own = currentFrame()
    if (own instanceof TemplateFrame) late?.attach(own)
    return kept()
  }
}

function settle<T>(action: () => T): () => T {
  try {
    const result = action()
    return () => result
  } catch (error) {
    return () => {
      throw error
    }
  }
}
