import type { IncomingMessage, ServerResponse } from 'node:http'
import { AsyncResource } from 'node:async_hooks'
import { AsyncSlot, ContextHold } from '../../src/async-slot.js'
import { MisuseError, show } from '../../src/errors.js'
import type { Content, HoleRef } from '../../src/fragment/hole-parts.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import { fillContent, type HoleEngine } from '../../src/fragment/holes.js'
import { runAsyncIn } from '../../src/making/frame.js'
import type { StoredResponse } from '../../src/http/stored-response.js'
import { chain, isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import type { PageHoleOptions } from './settings.js'

/** Set while holes, or their context, are rendered: headers that are set then are per-user. */
const whileFilling = new AsyncSlot<boolean>()

/** Whether the calling code fills holes. */
export function isFilling(): boolean {
  return whileFilling.current === true
}

/** An error that the function `context` threw; it is thrown when a hole needs the context. */
class Fault {
  constructor(readonly error: unknown) {}
}

/** Fills the holes of pages for one request, in the asynchronous context of that request. */
export class VisitorHoles implements HoleRenderer {
  /** Until the response is closed: whatever is begun to fill holes may set headers as long as it is open. */
  readonly #hold = new ContextHold()
  readonly #context: MaybePromise<object | Fault>
  readonly #outside = new AsyncResource('fragcache.holes')
  #renderer: HoleRenderer | undefined

  /** Asks for the variables of the holes now, before the handler runs. */
  constructor(
    private readonly options: PageHoleOptions,
    req: IncomingMessage,
    res: ServerResponse,
  ) {
    res.once('close', () => this.#hold.release())
    this.#context = contextOf(options, req, res, this.#hold)
    // Most pages have no holes, and then nothing else handles a rejection.
    if (isPromise(this.#context)) this.#context.catch(() => undefined)
  }

  has(...asked: Parameters<HoleRenderer['has']>): boolean {
    return probeOf(this.options).has(...asked)
  }

  render(ref: HoleRef): MaybePromise<string | undefined> {
    if (this.#renderer !== undefined) return this.#renderer.render(ref)
    const context = this.#context
    if (context instanceof Fault) throw context.error
    return chain(context, (made) => {
      this.#renderer ??= renderersOf(this.options.engines, made)
      return this.#renderer.render(ref)
    })
  }

  /** @returns `undefined`: no engine has one of the holes any more. */
  fill(content: Content): MaybePromise<string | undefined> {
    const fill = () => fillContent(content, this, undefined)
    return this.#outside.runInAsyncScope(() =>
      runAsyncIn(undefined, () => whileFilling.run(true, fill, this.#hold)),
    )
  }
}

function contextOf(
  { context }: PageHoleOptions,
  req: IncomingMessage,
  res: ServerResponse,
  hold: ContextHold,
): MaybePromise<object | Fault> {
  try {
    return chain(
      whileFilling.run(true, () => context(req, res), hold),
      checkContext,
    )
  } catch (error) {
    return new Fault(error)
  }
}

function checkContext(context: unknown): object {
  if (typeof context !== 'object' || context === null) {
    throw new MisuseError(
      `responseCache: holes.context gave ${show(context)}; give an object with the variables of the holes`,
    )
  }
  const prototype: unknown = Object.getPrototypeOf(context)
  // A copy: what the handler adds later, to `res.locals` for example, is not there on a hit.
  return prototype === Object.prototype || prototype === null ? { ...context } : context
}

/** Renders each hole by the engine of its name that has it. */
function renderersOf(engines: readonly HoleEngine[], context: object): HoleRenderer {
  const renderers = engines.map((engine) => [engine.name, engine.holes(context)] as const)
  const of = (ref: HoleRef) =>
    renderers.filter(([name]) => name === ref.e).map(([, renderer]) => renderer)
  return {
    has: (ref, ...inside) => of(ref).some((renderer) => renderer.has(ref, ...inside)),
    render: (ref) =>
      of(ref)
        .find((renderer) => renderer.has(ref))
        ?.render(ref),
  }
}

const probes = new WeakMap<PageHoleOptions, HoleRenderer>()

/** Tells which holes there are, for which the context does not matter. */
function probeOf(options: PageHoleOptions): HoleRenderer {
  let probe = probes.get(options)
  if (probe === undefined) probes.set(options, (probe = renderersOf(options.engines, {})))
  return probe
}

const contents = new WeakMap<StoredResponse, Content>()

/** A page as texts and the holes between them. */
function contentOf(page: StoredResponse): Content {
  let content = contents.get(page)
  if (content !== undefined) return content
  const parts: (string | HoleRef)[] = []
  let end = 0
  for (const [at, e, t, h] of page.holes ?? []) {
    parts.push(page.body.toString('utf8', end, at), { e, t, h })
    end = at
  }
  parts.push(page.body.toString('utf8', end))
  content = parts
  contents.set(page, content)
  return content
}

/** Whether every hole of a page can still be filled. */
export function isFillable(page: StoredResponse, options: PageHoleOptions | undefined): boolean {
  if (page.holes === undefined) return true
  if (options === undefined) return false
  const probe = probeOf(options)
  return page.holes.every(([, e, t, h]) => probe.has({ e, t, h }))
}

/**
 * A page with its holes filled.
 *
 * @returns `undefined`: no engine has one of the holes any more.
 * @throws What the holes throw or reject with.
 */
export function fillPage(
  page: StoredResponse,
  holes: VisitorHoles,
): MaybePromise<Buffer | undefined> {
  return chain(holes.fill(contentOf(page)), (text) =>
    text === undefined ? undefined : Buffer.from(text),
  )
}
