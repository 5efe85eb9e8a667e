import { currentFrame, runSyncIn } from '../making/frame.js'
import { isPromise } from '../maybe-promise.js'
import { Attempt } from './attempt.js'
import { currentSession, renderInSession } from './deferred.js'
import { faults } from './faults.js'
import type { HoleRenderer } from './hole-parts.js'
import { LateFrame } from './late-frame.js'
import { open } from './open-many.js'
import { openSync, type HoleGiver } from './open.js'
import type { Fragment } from './spec.js'
import { TemplateFrame } from './template-frame.js'
import { toText } from './text.js'
import { WriteBatch } from './writes.js'

/**
 * Runs at once a part of a body that is put off, because that part cannot run later.
 *
 * @returns What gives its result, or throws its error, each time.
 */
export type RunEarly = <T>(action: () => T) => () => T

/** The body of a cache tag, rendered at once. */
export interface TagBody {
  /** Renders the body synchronously. A hit never calls it. */
  renderBody(): string
  /**
   * Called where the body is put off until its template is done. Returns a function that later renders what
   * `renderBody` would render now, from copies of the variables that may change. Left out: `renderBody` is
   * called later.
   *
   * @param runEarly - To be called before this returns, for what cannot run later.
   */
  keepBody?(runEarly: RunEarly): () => string
  /** Fills the nocache blocks in the body, if nothing around it is stored. */
  readonly holes?: HoleRenderer | undefined
}

/** The body of a cache tag that may wait. */
export interface AsyncTagBody {
  /** Renders the body. A hit never calls it. */
  renderBody(): string | Promise<string>
  /** Fills the nocache blocks in the body, if nothing around it is stored. */
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
      () => keep(fragment, body),
      body,
    )
  }
  const opened = openInPlace(fragment, body)
  // Nothing more is made for the body before it has to run.
  return typeof opened === 'string' ? opened : runInPlace(opened, () => body.renderBody())
}

function keep(fragment: Fragment, body: TagBody): () => string {
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

/** Looks a fragment up at once. @throws CacheTagError: the cache answers asynchronously. */
export function openInPlace(fragment: Fragment, giver: HoleGiver): string | Attempt {
  const { cache, alias, site } = fragment
  if (!cache.answersAtOnce && !fragment.bypass) throw faults.synchronous(alias, site.remedy, site)
  return openSync(fragment, currentFrame(), false, giver)
}

/** Runs the body of a fragment that was not found at once, and stores its text. */
export function runInPlace(attempt: Attempt, body: () => string): string {
  const { fragment } = attempt
  const text = attempt.runSync(() => toText(body(), fragment))
  void attempt.commit(text)
  const filled = attempt.fillHoles(text)
  if (!isPromise(filled)) return filled
  filled.catch(() => undefined)
  throw faults.asynchronousHole(fragment.site)
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
