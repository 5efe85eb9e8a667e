import type { MaybePromise } from '../../src/maybe-promise.js'
import type { HoleRef } from '../../src/fragment/hole-parts.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import type { TagPosition } from '../../src/errors.js'
import type { CompiledHole } from './compiled-hole.js'
import type { TemplateRun } from './run.js'
import { findHole, type Engine, type FoundHole, type Given } from './templates.js'

/** The name by which holes are stored as this engine's. */
export const ENGINE = 'eta'

/** The nocache blocks in a cache tag, in the scope of its template. */
export type HoleClosures = Readonly<Record<string, Closure>>

type Closure = () => void | Promise<void>

const AsyncFunction = (async () => undefined).constructor

const DONE = Promise.resolve()

/** Renders the nocache blocks inside a cache tag, on a hit as on a miss. */
export class TagHoles implements HoleRenderer {
  #last: Promise<unknown> = DONE

  constructor(
    readonly run: TemplateRun,
    /** Those in the tag itself. */
    readonly closures: HoleClosures | undefined,
    readonly site: TagPosition,
  ) {}

  /** Whether a block of the tag's own template stands in it. */
  holds(id: string): boolean {
    return this.closures !== undefined && Object.hasOwn(this.closures, id)
  }

  has(ref: HoleRef, inner?: HoleRenderer): boolean {
    if (ref.e !== ENGINE) return false
    this.run.hasHoles = true
    const run = inner instanceof TagHoles ? inner.run : this.run
    if (run === this.run && this.#closure(ref) !== undefined) return true
    const found = this.run.findHole(ref)
    if (found === undefined || !isStorable(found.hole)) return false
    // What is stored for a tag may have been made where nothing around it was kept.
    return run === this.run || findGiven(found.hole, run, this.run) === undefined
  }

  render(ref: HoleRef): MaybePromise<string | undefined> {
    const closure = this.#closure(ref)
    if (closure !== undefined) return this.#capture(closure)
    const found = this.run.findHole(ref)
    return found && this.run.renderHole(found)
  }

  #closure({ t, h }: HoleRef): Closure | undefined {
    return this.holds(h) && t === this.run.holeName ? this.closures?.[h] : undefined
  }

  /** One after the other, since they write to the buffer of their template. */
  #capture(closure: Closure): MaybePromise<string> {
    const { run, site } = this
    if (!(closure instanceof AsyncFunction)) return run.capture(closure, site)
    const captured = this.#last.then(() => run.capture(closure, site))
    this.#last = captured.catch(() => undefined)
    return captured
  }
}

/** Renders nocache blocks by their templates' names, with data given for all of them. */
export class ContextHoles implements HoleRenderer {
  constructor(
    readonly engines: Iterable<Engine>,
    readonly context: object,
  ) {}

  has(ref: HoleRef, inner?: HoleRenderer): boolean {
    const found = this.#find(ref)
    if (found === undefined || !isStorable(found.hole)) return false
    const run = inner instanceof TagHoles ? inner.run : undefined
    return run === undefined || findGiven(found.hole, run, undefined) === undefined
  }

  render(ref: HoleRef): MaybePromise<string | undefined> {
    const found = this.#find(ref)
    return found && runHole(found, found.engine, this.context, undefined)
  }

  #find({ e, t, h }: HoleRef): (FoundHole & { readonly engine: Engine }) | undefined {
    if (e !== ENGINE) return undefined
    for (const engine of this.engines) {
      const found = findHole(engine, t, h, true)
      if (found !== undefined) return { ...found, engine }
    }
    return undefined
  }
}

/** Whether a block can be rendered without the rest of its template. */
export function isStorable({ outer, lost }: CompiledHole): boolean {
  return outer === undefined && lost === undefined
}

/** Renders a nocache block alone. */
export function runHole(
  { template, path, hole }: FoundHole,
  engine: Engine,
  data: object | undefined,
  filepath: string | undefined,
): MaybePromise<string> {
  return template.call(engine, data, { filepath: path ?? filepath, fragcacheHole: hole.id })
}

/**
 * What a block uses that was given to its template inside of a cached body.
 *
 * @param run - Of the template that the block stands in, or that includes it.
 * @param outermost - Of the template whose tag is the outermost around; `undefined`: what is kept is a
 *   page.
 */
export function findGiven(
  { uses }: CompiledHole,
  run: TemplateRun,
  outermost: TemplateRun | undefined,
): string | undefined {
  const given = givenSince(run.given, outermost?.given)
  if (outermost !== undefined) {
    // What code rendered in between hands on nothing of what it was given.
    const [own, outer] = [run.data ?? {}, outermost.data ?? {}]
    for (const name of uses ?? namesOf(own, outer)) if (differ(own, outer, name)) given.add(name)
  }
  // A page's blocks have data of their own, whatever the view gives.
  if (uses === undefined && outermost === undefined) return undefined
  if (uses === undefined) return given.values().next().value
  return uses.find((name) => given.has(name))
}

function namesOf(...objects: readonly object[]): Set<string> {
  return new Set(objects.flatMap((object) => Object.keys(object)))
}

function differ(own: object, outer: object, name: string): boolean {
  return !Object.is(
    (own as Record<string, unknown>)[name],
    (outer as Record<string, unknown>)[name],
  )
}

function givenSince(from: Given | undefined, until: Given | undefined): Set<string> {
  const names = new Set<string>()
  for (let at = from; at !== undefined && at !== until; at = at.up) {
    const { data, of } = at
    const keys = Object.keys(data)
    // The data of the template around, handed on as a whole with something added.
    const isSpread = Object.keys(of).every((name) => Object.hasOwn(data, name))
    for (const name of keys) if (!isSpread || differ(data, of, name)) names.add(name)
  }
  return names
}
