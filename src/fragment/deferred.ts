import { AsyncSlot } from '../async-slot.js'
import { currentFrame } from '../making/frame.js'
import { isPromise, type MaybePromise } from '../maybe-promise.js'
import { DeferredFragment, type BegunInPlace } from './deferred-texts.js'
import type { HoleRef, HoleRenderer } from './hole-parts.js'
import { flightToJoin } from './makings.js'
import { openHere, textAtOnce, type Found, type HoleGiver } from './open.js'
import { DeferredSession, runningSession } from './session.js'
import type { Fragment } from './spec.js'
import { keepBody, type TagBody } from './tag-body.js'
import { toText } from './text.js'

type Render = () => string | null | Promise<string | null>

const sessions = new AsyncSlot<DeferredSession>()

/** The session of the asynchronous render that is going on. */
export function currentSession(): DeferredSession | undefined {
  return runningSession() ?? sessions.current
}

/**
 * Renders with fragments over any cache: tags leave placeholders, and once the template is done all
 * fragments of a level are read in one round trip per cache, the missing bodies run, and everything
 * new is stored in one write per cache.
 *
 * @param render - Renders the template; tags inside use {@link renderInSession}.
 * @remarks Inside another such render it is a part of that one: a page and its layout may be
 *   rendered one after the other, and what a helper carries from one to the other is filled there.
 */
export function renderDeferred(render: Render): Promise<string> {
  return complete(render, (session, finish) =>
    sessions.runUntilSettled(session, () => finish(render)),
  )
}

/**
 * As {@link renderDeferred}, of a template of which no code runs once `render` has returned. Until Node 24 that
 * spares each promise of a page what it costs to track asynchronous contexts.
 */
export function renderDeferredAtOnce(render: Render): Promise<string> {
  return complete(render, (session, finish) => finish(() => session.run(render)))
}

/** @param runIn - Makes a render a part of a session, and finishes it. */
async function complete(
  render: Render,
  runIn: (
    session: DeferredSession,
    finish: (render: Render) => Promise<string>,
  ) => MaybePromise<string>,
): Promise<string> {
  const outer = currentSession()
  if (outer !== undefined) return outer.resolve((await render()) ?? '')
  const session = new DeferredSession()
  return runIn(session, async (own) => {
    try {
      return await session.resolve((await own()) ?? '')
    } finally {
      session.end()
    }
  })
}

/**
 * Renders what may hold fragments over any cache, such as a hole's body.
 *
 * @param render - Renders at once; tags inside use {@link renderInSession}.
 * @returns The text, at once where nothing was put off. Inside another such render, what is put off is
 *   filled there.
 */
export function renderMaybeDeferred(render: () => string): MaybePromise<string> {
  if (currentSession() !== undefined) return render()
  const session = new DeferredSession()
  let resolved: Promise<string> | undefined
  try {
    const text = session.run(render)
    if (!session.deferred.isIn(text)) return session.deferred.checkStray(text)
    resolved = session.resolve(text)
    return resolved.finally(() => {
      session.end()
    })
  } finally {
    if (resolved === undefined) session.end()
  }
}

/**
 * Renders a tag inside a session: in place where the cache answers at once, otherwise by a
 * placeholder.
 */
export function renderInSession(
  session: DeferredSession,
  fragment: Fragment,
  body: TagBody,
): string {
  const parent = currentFrame()
  const inPlace = fragment.cache.answersAtOnce || fragment.bypass
  const near = inPlace ? undefined : textAtOnce(fragment, parent)
  if (near !== undefined) return near
  if (!inPlace || flightToJoin(fragment, parent) !== undefined) {
    const holes = capturedBy(session, body.holes)
    return session.defer(new DeferredFragment(fragment, parent, holes, keepBody(fragment, body)))
  }
  const putOff = (kept: () => string, begun: BegunInPlace) =>
    session.defer(new DeferredFragment(fragment, parent, undefined, kept, begun))
  const opened = openHere(fragment, parent, true, new SessionGiver(session, body))
  if (typeof opened === 'string') return opened
  if (isPromise(opened)) {
    // What is still to come may be anywhere in it.
    const found = opened.then((late) => (typeof late === 'string' ? whole(late) : late))
    return putOff(keepBody(fragment, body), { opened: found })
  }
  const before = session.deferred.count
  const text = opened.runSync(() =>
    session.deferred.checkStray(toText(body.renderBody(), fragment)),
  )
  if (session.deferred.isIn(text)) {
    opened.frame.holes = capturedBy(session, body.holes)
    return putOff(hasRun, { begun: { attempt: opened, text } })
  }
  // What was put off inside and is not in the text was measured, or dropped.
  if (session.deferred.count > before) opened.frame.refuse('incomplete')
  void opened.commit(text)
  const shown = opened.showHoles(text)
  if (!isPromise(shown)) return shown.text
  return putOff(hasRun, { opened: shown })
}

/** The body of what runs, or ran, in its place already. */
function hasRun(): never {
  throw new Error('a body that has run is not run again')
}

/** Gives holes that are rendered as a part of a session. */
class SessionGiver implements HoleGiver {
  constructor(
    readonly session: DeferredSession,
    readonly original: HoleGiver,
  ) {}

  get holes(): HoleRenderer | undefined {
    const { holes } = this.original
    return holes && new SessionHoles(this.session, holes)
  }
}

function capturedBy(
  session: DeferredSession,
  holes: HoleRenderer | undefined,
): HoleRenderer | undefined {
  return holes && new SessionHoles(session, holes.capture?.() ?? holes)
}

/** Holes that are rendered as a part of a session. */
class SessionHoles implements HoleRenderer {
  constructor(
    readonly session: DeferredSession,
    private readonly original: HoleRenderer,
  ) {}

  has(ref: HoleRef): boolean {
    return this.original.has(ref)
  }

  get page(): object | undefined {
    return this.original.page
  }

  render(ref: HoleRef): MaybePromise<string | undefined> {
    return this.session.renderHole(this.original, ref)
  }
}

function whole(text: string): Found {
  return { text, pieces: [{ text, isHole: true }] }
}
