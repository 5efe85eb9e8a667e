import { currentFrame } from '../making/frame.js'
import { isPromise } from '../maybe-promise.js'
import { Attempt } from './attempt.js'
import { currentSession, renderInSession } from './deferred.js'
import { faults } from './faults.js'
import type { HoleRenderer } from './holes.js'
import { open, openSync } from './open.js'
import { toText, WriteBatch } from './render.js'
import type { Fragment } from './spec.js'

/** The body of a cache tag, rendered at once. */
export interface TagBody {
  /** Gives the body's text, here and now. A hit never calls it. */
  renderBody(): string
  /**
   * Called where the body is put off until its template is done: gives what renders then what
   * `renderBody` would render now, with copies of the variables that may change. Left out: it is
   * `renderBody` itself.
   */
  keepBody?(): () => string
  /** Fills the nocache blocks in the body, if nothing around it is kept. */
  readonly holes?: HoleRenderer | undefined
}

/** The body of a cache tag that may wait. */
export interface AsyncTagBody {
  /** Gives the body's text. A hit never calls it. */
  renderBody(): string | Promise<string>
  /** Fills the nocache blocks in the body, if nothing around it is kept. */
  readonly holes?: HoleRenderer | undefined
}

/**
 * Renders a tag in place or, inside of `renderDeferred` where the cache does not answer at once, puts it
 * off.
 *
 * @throws CacheTagError: it cannot be put off, and the cache does not answer at once.
 */
export function renderTag(fragment: Fragment, body: TagBody): string {
  const session = currentSession()
  if (session !== undefined) {
    return renderInSession(
      session,
      fragment,
      () => body.renderBody(),
      () => body.keepBody?.() ?? (() => body.renderBody()),
      body.holes,
    )
  }
  const opened = openTag(fragment, body.holes)
  // Nothing more is made for the body before it has to run.
  if (typeof opened === 'string') return opened
  const text = opened.runSync(() => toText(body.renderBody(), fragment))
  void opened.commit(text)
  const filled = opened.fillHoles(text)
  if (!isPromise(filled)) return filled
  filled.catch(() => undefined)
  throw faults.asynchronousHole(fragment.site)
}

function openTag(fragment: Fragment, holes: HoleRenderer | undefined): string | Attempt {
  const { cache, alias, site } = fragment
  if (!cache.answersAtOnce && !fragment.bypass) throw faults.synchronous(alias, site.remedy, site)
  return openSync(fragment, currentFrame(), false, holes)
}

/** Renders a tag over any cache, and waits for it. */
export async function renderTagAsync(fragment: Fragment, body: AsyncTagBody): Promise<string> {
  const found = await open(fragment, currentFrame(), body.holes)
  if (!(found instanceof Attempt)) return found.text
  const text = await found.runAsync(async () => toText(await body.renderBody(), fragment))
  const writes = new WriteBatch()
  await writes.complete(found, text)
  await writes.flush()
  return found.fillHoles(text)
}
