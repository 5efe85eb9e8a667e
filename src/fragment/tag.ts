import { currentFrame } from '../making/frame.js'
import { isPromise } from '../maybe-promise.js'
import { Attempt } from './attempt.js'
import { currentSession, renderInSession } from './deferred.js'
import { faults } from './faults.js'
import { open } from './open-many.js'
import { openSync, type HoleGiver } from './open.js'
import type { Fragment } from './spec.js'
import type { AsyncTagBody, TagBody } from './tag-body.js'
import { toText } from './text.js'
import { WriteBatch } from './writes.js'

/**
 * Renders a tag in place or, inside of `renderDeferred` where the cache does not answer at once, puts it
 * off.
 *
 * @throws CacheTagError: it cannot be put off, and the cache does not answer at once.
 */
export function renderTag(fragment: Fragment, body: TagBody): string {
  const session = currentSession()
  if (session !== undefined) return renderInSession(session, fragment, body)
  const opened = openInPlace(fragment, body)
  // Nothing more is made for the body before it has to run.
  return typeof opened === 'string' ? opened : runInPlace(opened, () => body.renderBody())
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
