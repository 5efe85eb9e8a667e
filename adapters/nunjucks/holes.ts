import { currentFrame } from '../../src/making/frame.js'
import { renderHole, type HoleRef, type HoleRenderer } from '../../src/fragment/holes.js'
import { outermostOf } from '../../src/fragment/template-frame.js'
import type { TagPosition } from '../../src/errors.js'
import { renderBlock } from './body.js'
import type { BlockFunction, Context, Engine, Frame, Keeper, Runtime, Template } from './engine.js'
import { remember } from './engine-errors.js'
import { nunjucksFaults } from './faults.js'
import { NOTHING_HELD } from './held.js'
import { HOLE_BLOCK, type HoleRecord } from './parse-hole.js'
import { addHeld, forbid, freeze, heldBy, hideIn, merge } from './scope.js'
import type { TemplateNames } from './templates.js'
import {
  isBound,
  lookUp,
  namesMadeInside,
  namesSeen,
  nextMoment,
  type TagPlace,
  type Vantage,
} from './vantage.js'

/** The name of this engine in stored holes. */
export const ENGINE = 'nunjucks'

/** Most holes of templates without a name that are remembered. */
const MAX_LOOSE = 1_000

/** A hole that was found. */
export interface Hole {
  readonly block: BlockFunction
  readonly record: HoleRecord
  /** Left out: its template has no name, and the hole was met before in this process. */
  readonly template?: Template
  /** The variables that it must not see. */
  readonly hidden: readonly string[]
}

/** What renders holes in the scope of a tag. */
export interface TagHoles extends HoleRenderer {
  readonly vantage: Vantage
  /** Where the tag stands. */
  readonly place: TagPlace
}

const records = new WeakMap<BlockFunction, HoleRecord>()

/** What a compiled hole says of itself. */
function recordOf(block: BlockFunction): HoleRecord {
  let record = records.get(block)
  if (record === undefined) {
    const tell = block as unknown as (
      env: null,
      context: null,
      frame: { push(): void },
      runtime: null,
      callback: (error: unknown, record: HoleRecord) => void,
    ) => void
    tell(null, null, { push: () => undefined }, null, (_error, told) => (record = told))
    records.set(block, record as unknown as HoleRecord)
  }
  return record as unknown as HoleRecord
}

/** The holes of an environment's templates. */
export class Holes {
  /** Whether a text may hold what stands for a hole. */
  areUsed = false
  readonly #engine: Engine
  readonly #names: TemplateNames
  /** Of templates without a name, by their id, which tells of their source. */
  readonly #loose = new Map<string, BlockFunction>()

  constructor(engine: Engine, names: TemplateNames) {
    this.#engine = engine
    this.#names = names
  }

  /**
   * What compiled templates call.
   *
   * @param root - The main function of the template.
   * @param discarded - Truthy if what is put out here is not used.
   * @param keep - Tells the variables that compiled code holds itself.
   */
  run(
    block: BlockFunction,
    context: Context,
    frame: Frame,
    runtime: Runtime,
    root: BlockFunction,
    discarded: unknown,
    keep: (use: Keeper, runtime: Keeper) => void,
  ): string {
    if (discarded) return ''
    try {
      const record = recordOf(block)
      const { line, template = this.#names.nameOf(root) } = record
      const place = { context, variables: freeze(context), frame, held: heldBy(keep) }
      const outermost = outermostOf(currentFrame())
      const fragment = outermost?.fragment?.site.fragment
      const position = { template, line, ...(fragment === undefined ? undefined : { fragment }) }
      let hidden: readonly string[] = []
      if (outermost?.holes !== undefined) {
        this.areUsed = true
        hidden = this.#check(record, place, outermost.holes, position)
      }
      const ref = this.#refTo(block, record, root, hidden)
      return renderHole(ref, position, () => renderAt(block, place, runtime, position))
    } catch (error) {
      throw remember(error)
    }
  }

  /**
   * Checks that a hole means in the scope that it is rendered in what it means at its place.
   *
   * @returns The names that mean something else there. It does not use them itself, but what it
   *   includes or calls may.
   * @throws CacheTagError: it uses one.
   */
  #check(
    record: HoleRecord,
    place: Vantage,
    renderer: HoleRenderer,
    position: TagPosition,
  ): readonly string[] {
    const host = tagHolesOf(renderer)
    const made = namesMadeInside({ frame: place.frame, moment: nextMoment() }, host)
    for (const name of record.reads) {
      if (!isSame(name, place, host?.vantage, made, this.#names)) {
        const isOutside =
          !made.has(name) && lookUp(place, name) === undefined && this.#names.isApart(place.context)
        throw nunjucksFaults[isOutside ? 'holeOfMacro' : 'holeUses'](name, position)
      }
    }
    return namesToHide(record, place, host?.vantage, made)
  }

  #refTo(
    block: BlockFunction,
    { id }: HoleRecord,
    root: BlockFunction,
    hidden: readonly string[],
  ): HoleRef {
    const t = this.#names.loadableNameOf(root) ?? ''
    if (t === '') {
      this.#loose.delete(id)
      this.#loose.set(id, block)
      for (const oldest of this.#loose.keys()) {
        if (this.#loose.size <= MAX_LOOSE) break
        this.#loose.delete(oldest)
      }
    }
    return { e: ENGINE, t, h: hidden.length === 0 ? id : `${id}:${hidden.join(',')}` }
  }

  /**
   * Finds a hole again.
   *
   * @param root - The main function of the template of the tag that shows it.
   */
  find({ e, t, h }: HoleRef, root?: BlockFunction): Hole | undefined {
    if (e !== ENGINE) return undefined
    this.areUsed = true
    const [id = '', names = ''] = h.split(':')
    const hidden = names === '' ? [] : names.split(',')
    if (t === '') {
      const block = this.#loose.get(id)
      return block && { block, record: recordOf(block), hidden }
    }
    const own = this.#names.loadableNameOf(root) === t ? this.#names.templateOf(root) : undefined
    const template = own ?? this.#load(t)
    const block = template?.blocks[`${HOLE_BLOCK}${id}`]
    return template && block && { block, record: recordOf(block), template, hidden }
  }

  /** @returns The template, compiled; `undefined` if it is not there, or not yet. */
  #load(name: string): Template | undefined {
    let loaded: Template | undefined
    try {
      this.#engine.getTemplate(name, true, (error: unknown, template?: Template) => {
        if (!error) loaded = template
      })
    } catch {
      return undefined
    }
    return loaded
  }

  /**
   * Whether a hole that was stored for a tag inside a body means there what it means in the scope of
   * that body.
   *
   * @param inner - What would render it for the tag.
   * @param host - What renders the holes of the body. `undefined`: it is a page's, or one of code.
   */
  meansTheSame({ record, hidden }: Hole, inner: TagHoles, host: TagHoles | undefined): boolean {
    const { vantage } = inner
    // Where no tag is around every name counts, but none that is made after a tag that is put off.
    const made = namesMadeInside(
      host === undefined ? { ...inner.place, frame: vantage.frame } : inner.place,
      host,
    )
    return (
      record.reads.every((name) => isSame(name, vantage, host?.vantage, made, this.#names)) &&
      namesToHide(record, vantage, host?.vantage, made).every((name) => hidden.includes(name))
    )
  }

  /** Renders a hole in a scope. */
  render(hole: Hole, vantage: Vantage, runtime: Runtime): string {
    const { record, template } = hole
    const position = { template: record.template ?? template?.path, line: record.line }
    return renderAt(hole.block, vantage, runtime, position, hole.hidden, true)
  }
}

/** The tag that a renderer is made for, if it is one's. */
export function tagHolesOf(renderer: HoleRenderer | undefined): TagHoles | undefined {
  let at: unknown = renderer
  while (typeof at === 'object' && at !== null) {
    if ('vantage' in at && 'place' in at) return at as TagHoles
    // A session wraps it.
    at = (at as { readonly original?: unknown }).original
  }
  return undefined
}

/**
 * Whether a variable is the same one at a place and in the scope of a tag.
 *
 * @param scope - `undefined`: a page's, or one made by code, of which nothing is known.
 * @param made - The names made in between.
 */
function isSame(
  name: string,
  place: Vantage,
  scope: Vantage | undefined,
  made: ReadonlySet<string>,
  names: TemplateNames,
): boolean {
  if (made.has(name)) return false
  if (scope === undefined) return !place.held.has(name) && !place.context.exported.includes(name)
  const value = lookUp(place, name)
  if (!Object.is(value, lookUp(scope, name)) || isOfCallOnly(name, place, scope)) return false
  if (value !== undefined) return true
  // Nothing here, and by chance nothing there.
  const isApart = names.isApart(place.context) && !names.isApart(scope.context)
  return !isApart && place.held.has(name) === scope.held.has(name)
}

/**
 * Whether a variable may be one of a loop or macro around a call block, which the engine renders in the
 * frames of the macro that it calls: compiled code alone has it, and on a hit nobody.
 */
function isOfCallOnly(name: string, { frame, held }: Vantage, scope: Vantage): boolean {
  const value = held.get(name)
  if (value === undefined || scope.held.has(name) || Object.is(frame.lookup(name), value)) {
    return false
  }
  return isBound(name, held, frame)
}

function namesToHide(
  { includes, calls }: HoleRecord,
  place: Vantage,
  scope: Vantage | undefined,
  made: ReadonlySet<string>,
): string[] {
  if (includes === undefined && calls === undefined) return []
  if (scope === undefined) return [...made, ...place.context.exported].filter(canBeStored).sort()
  // What is called sees the context alone.
  const [here, there] =
    includes !== undefined ? [place, scope] : [contextOf(place), contextOf(scope)]
  const seen = new Set([...namesSeen(here), ...namesSeen(there)])
  const isOther = (name: string) =>
    (includes !== undefined && made.has(name)) || !haveSame(name, here, there)
  return [...seen].filter((name) => isOther(name) && canBeStored(name)).sort()
}

function haveSame(name: string, here: Vantage, there: Vantage): boolean {
  try {
    return Object.is(lookUp(here, name), lookUp(there, name))
  } catch {
    // It is hidden already.
    return false
  }
}

/** No template can name anything else. */
const canBeStored = (name: string): boolean => !/[,:\s]/.test(name)

const NO_FRAME = { variables: {}, parent: undefined, lookup: () => undefined } as unknown as Frame

const contextOf = ({ context, variables }: Vantage): Vantage => ({
  context,
  variables,
  frame: NO_FRAME,
  held: NOTHING_HELD,
})

/**
 * Renders a hole's block.
 *
 * @param isElsewhere - Whether that is not its own place.
 */
function renderAt(
  block: BlockFunction,
  { context, variables, frame, held }: Vantage,
  runtime: Runtime,
  position: TagPosition,
  hidden: readonly string[] = [],
  isElsewhere = false,
): string {
  let seen = frame
  let known: Record<string, unknown> = variables
  const isOther = [...held].some(([name, value]) => !Object.is(frame.lookup(name), value))
  if (isElsewhere || isOther) {
    seen = merge(frame, runtime)
    addHeld(seen, held, (name) => isBound(name, held, frame))
    for (const [name, value] of held)
      if (value === undefined) known = { ...known, [name]: undefined }
  }
  if (hidden.length > 0) {
    const fault = (name: string) => remember(nunjucksFaults.holeSees(name, position)) as Error
    hideIn(seen, { names: hidden, fault })
    known = { ...known }
    for (const name of hidden) forbid(known, name, fault)
  }
  return renderBlock(block, context, runtime, seen, known, position)
}
