import type { TagPosition } from '../../src/errors.js'
import { currentSession, renderMaybeDeferred } from '../../src/fragment/deferred.js'
import type { HoleRef } from '../../src/fragment/hole-parts.js'
import { isKept, renderHole, type HoleRenderer } from '../../src/fragment/holes.js'
import { templateFramesAround } from '../../src/fragment/template-frame.js'
import { currentFrame, type Frame } from '../../src/making/frame.js'
import { chain, type MaybePromise } from '../../src/maybe-promise.js'
import type { Container, DataFrame, HelperOptions, Program, Render } from './engine.js'
import { holeFaults } from './faults.js'
import type { HoleUses } from './hole-uses.js'
import { indentHole, withoutIndents } from './indent.js'
import { blockParamsOf, callForHole, depthsOf, isOfOneRender, templateOf } from './instrument.js'
import type { TemplateRegistry } from './partials.js'
import { findDifference, findLocal, isInline, type Place } from './places.js'
import { copyFrames, scopeOf } from './scope.js'
import type { Template } from './template.js'

export const ENGINE = 'handlebars'

type Partials = Record<string, unknown> | undefined

/** The partials that can be called in a template now. */
export function partialsOf(template: Template | undefined): Partials {
  return template?.container?.partials as Partials
}

/** What a block's helper is told of its place. */
export interface TagOptions {
  readonly fn: Program
  readonly data?: DataFrame | undefined
}

/** What each tag's {@link TagHoles} becomes where it is put off. */
const captures = new WeakMap<TagHoles, TagHoles>()

/**
 * Renders holes where a cache tag stands. One is made for each tag that is met, hit or miss, and seldom
 * used: hence few fields, and no private ones, which cost more to set.
 */
export class TagHoles implements HoleRenderer {
  constructor(
    private readonly registry: TemplateRegistry,
    private readonly template: Template | undefined,
    private readonly context: unknown,
    private readonly options: TagOptions,
    /** As they are at the tag; inside its body there may be others. */
    private readonly partials: Partials,
  ) {}

  /** Renders the tag's own body. */
  renderBody(): unknown {
    const { fn, data } = this.options
    return this.run(() => (data === undefined ? fn(this.context) : fn(this.context, { data })))
  }

  /** Runs code with all that it is looked up in as it was at the tag. */
  protected run<T>(code: () => T): T {
    return code()
  }

  has(ref: HoleRef, inner?: HoleRenderer, parent?: Frame): boolean {
    try {
      const uses = this.#usesOf(withoutIndents(ref))
      return uses !== undefined && isSameAround(uses, inner, parent)
    } catch {
      // A partial cannot be compiled any more.
      return false
    }
  }

  render(ref: HoleRef): string | undefined {
    const text = this.#render(withoutIndents(ref))
    return text && indentLate(ref, text)
  }

  #render({ e, t, h }: HoleRef): string | undefined {
    if (e !== ENGINE) return undefined
    return this.run(() => {
      const template = this.template
      const container = template?.container
      if (container === undefined) return undefined
      if (template?.isMeant(t) === true) {
        const hole = template.hole(h)
        if (hole !== undefined) return this.#renderOwn(container, hole.program, hole.level)
      }
      const call = this.#callOf(container, t)
      return call && callForHole(h, call).text
    })
  }

  capture(): TagHoles {
    const known = captures.get(this)
    if (known !== undefined) return known
    const session = currentSession()
    if (session === undefined) return this
    const { registry, template, context, options, partials } = this
    const data = options.data && copyFrames(options.data)
    const late = new LateTagHoles(registry, template, context, { ...options, data }, partials)
    late.runAsThen = scopeOf(session).capture()
    captures.set(this, late)
    return late
  }

  get #place(): Place {
    return placeOf(this.registry, this.template, this.context, this.options, this.partials)
  }

  #usesOf({ e, t, h }: HoleRef): HoleUses | undefined {
    const template = this.template
    const container = template?.container
    if (e !== ENGINE || container === undefined) return undefined
    if (template?.isMeant(t) === true) {
      const hole = template.hole(h)
      if (hole !== undefined) return hole.uses
    }
    return this.#foreign(container, t)?.hole(h)?.uses
  }

  #foreign(container: Container, name: string): Template | undefined {
    const partial = this.registry.compiled(this.partials, name, this.template?.compilerOptions)
    if (partial === undefined) return this.registry.bySource(name)
    return this.registry.templateOf(partial, () => this.#callPartial(container, name, partial))
  }

  #renderOwn(container: Container, program: number, level: number): string {
    const params = blockParamsOf(this.options.fn)
    const padded = params && [
      ...new Array<undefined>(Math.max(level - params.length, 0)).fill(undefined),
      ...params.slice(Math.max(params.length - level, 0)),
    ]
    const body = container.program(program, this.options.data, 0, padded, depthsOf(this.options.fn))
    return '' + (body(this.context) as string)
  }

  /** How another template is called from here, as a partial. */
  #callOf(container: Container, name: string): (() => unknown) | undefined {
    const partial = this.registry.compiled(this.partials, name, this.template?.compilerOptions)
    if (partial !== undefined) {
      if (this.#foreign(container, name) === undefined) return undefined
      return () => this.#callPartial(container, name, partial)
    }
    const render = this.registry.bySource(name)?.render
    return (
      render && (() => render(this.context, { ...this.#partialOptions(container), partial: true }))
    )
  }

  #callPartial(container: Container, name: string, partial: object): unknown {
    const { helpers, decorators } = container
    return container.invokePartial(partial, this.context, {
      name,
      helpers,
      partials: this.partials ?? {},
      decorators,
      data: this.options.data,
      ...this.#depths,
    })
  }

  #partialOptions(container: Container) {
    const { helpers, decorators, hooks, protoAccessControl } = container
    const data = this.options.data
    const partials = this.partials
    return { helpers, partials, decorators, hooks, protoAccessControl, data, ...this.#depths }
  }

  /** Partials see them only with the compile option `compat`. */
  get #depths(): { readonly depths?: readonly unknown[] } {
    const depths = this.template?.isCompat === true ? depthsOf(this.options.fn) : undefined
    return depths === undefined ? {} : { depths }
  }

  /** Compares this tag's place, where a hole means what it means, with all around it that is kept. */
  findAround(uses: HoleUses, parent: Frame | undefined): string | undefined {
    return findAround(uses, this.#place, parent)
  }

  /** Compares the place where a hole stands with this tag's. */
  findDifference(uses: HoleUses, inner: Place): string | undefined {
    return findDifference(uses, inner, this.#place)
  }
}

/** The same, where the tag was put off. */
class LateTagHoles extends TagHoles {
  runAsThen: (<T>(code: () => T) => T) | undefined

  protected override run<T>(code: () => T): T {
    return this.runAsThen === undefined ? code() : this.runAsThen(code)
  }
}

/** Renders holes in a context, where no tag is around them. */
export class ContextHoles implements HoleRenderer {
  readonly #registry: TemplateRegistry
  readonly #context: unknown
  readonly #options: ContextOptions

  constructor(registry: TemplateRegistry, context: unknown, options: ContextOptions) {
    this.#registry = registry
    this.#context = context
    this.#options = options
  }

  has(ref: HoleRef, inner?: HoleRenderer, parent?: Frame): boolean {
    try {
      if (ref.e !== ENGINE) return false
      const { t, h } = withoutIndents(ref)
      const uses = this.#find(t, h)?.template.hole(h)?.uses
      return uses !== undefined && isSameAround(uses, inner, parent)
    } catch {
      return false
    }
  }

  render(ref: HoleRef): MaybePromise<string | undefined> {
    const { h } = withoutIndents(ref)
    const found = ref.e === ENGINE ? this.#find(ref.t, h) : undefined
    if (found?.template.hole(h)?.uses.blockParams.length !== 0) return undefined
    // There may be cache tags in it, over any cache.
    const rendered = renderMaybeDeferred(() => callForHole(h, found.call).text ?? '')
    return chain(rendered, (text) => indentLate(ref, text))
  }

  #find(name: string, hole: string): Found | undefined {
    const registry = this.#registry
    const partial =
      registry.compiled(this.#options.partials, name, undefined) ??
      registry.compiled(registry.instance.partials, name, undefined)
    const found = this.#toFound(partial as Render | undefined, {})
    if (found?.template.hole(hole) !== undefined) return found
    // View engines give each render its partials, and register none.
    const known = registry.bySource(name) ?? registry.byName(name, hole)
    return this.#toFound(known?.render, { partials: templatesIn(partialsOf(known)) })
  }

  #toFound(render: Render | undefined, defaults: ContextOptions): Found | undefined {
    if (render === undefined) return undefined
    const call = () => render(this.#context, { ...defaults, ...this.#options })
    const template = this.#registry.templateOf(render, call)
    return template && { template, call }
  }
}

/** A template, and how it is called. */
interface Found {
  readonly template: Template
  readonly call: () => unknown
}

/** The partials of a render that was another visitor's: what is no template may be one's own. */
function templatesIn(partials: Partials): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(partials ?? {}).filter(
      ([, partial]) =>
        typeof partial === 'function' &&
        '_setup' in partial &&
        !isInline(partial) &&
        !isOfOneRender(partial),
    ),
  )
}

/** Handlebars' runtime options that a hole outside of all tags is rendered with. */
export interface ContextOptions {
  readonly helpers?: Record<string, unknown>
  readonly partials?: Record<string, unknown>
  readonly decorators?: Record<string, unknown>
  readonly data?: unknown
}

function placeOf(
  registry: TemplateRegistry,
  template: Template | undefined,
  context: unknown,
  { fn, data }: TagOptions,
  partials: Partials,
): Place {
  const container = template?.container
  return {
    template,
    context,
    data,
    depths: depthsOf(fn),
    blockParams: blockParamsOf(fn),
    partials,
    helper: (name) =>
      registry.instance.helpers[name] ??
      (container?.helpers as Record<string, unknown> | undefined)?.[name],
    usesLoopData: (names) => usesLoopData(registry, partials, names),
  }
}

function usesLoopData(
  registry: TemplateRegistry,
  partials: Partials,
  names: readonly string[],
): boolean {
  const seen = new Set(names)
  for (const name of seen) {
    const partial = partials?.[name]
    if (partial === undefined) continue
    const facts = registry.factsOf(partial)
    if (facts === undefined || facts.namesByExpression || facts.usesLoopData) return true
    for (const inner of facts.partials) seen.add(inner)
  }
  return false
}

/**
 * Whether a stored hole means the same in the body it is put into.
 *
 * @param inner - Renders the holes of the tag it was stored for; left out: it is put into no body.
 */
function isSameAround(
  uses: HoleUses,
  inner: HoleRenderer | undefined,
  parent: Frame | undefined,
): boolean {
  if (inner === undefined) return true
  const own = inner.original ?? inner
  // Other engines see other things.
  return own instanceof TagHoles && own.findAround(uses, parent) === undefined
}

/** Compares a place with all around it that is kept. */
function findAround(
  uses: HoleUses,
  inner: Place,
  innermost: Frame | undefined,
): string | undefined {
  for (const frame of templateFramesAround(innermost)) {
    if (!frame.keeps || frame.holes === undefined) continue
    const holes = frame.holes.original ?? frame.holes
    const found =
      holes instanceof TagHoles ? holes.findDifference(uses, inner) : findLocal(uses, inner)
    if (found !== undefined) return found
  }
  return undefined
}

/** Indents a hole's text once the fragments in it are there. */
function indentLate(ref: HoleRef, text: string): string {
  const session = currentSession()
  const indent = (full: string): string => indentHole(ref, full)
  return session === undefined ? indent(text) : session.change(text, indent)
}

/** The helper `nocache`. */
export function makeHoleHelper(
  registry: TemplateRegistry,
  positionOf: (options: HelperOptions | undefined, template: Template | undefined) => TagPosition,
): (this: unknown, ...args: unknown[]) => string {
  return function nocache(...args) {
    const options = args.pop() as HelperOptions | undefined
    const body = options?.fn
    if (options === undefined || typeof body !== 'function') {
      throw holeFaults.inline(positionOf(options, undefined))
    }
    const template = templateOf(body)
    const context = this === template?.container?.nullContext ? undefined : this
    const inPlace = (): string => '' + (body(context) as string)
    if (!isKept()) return inPlace()
    const position = positionOf(options, template)
    const [id] = args
    const hole = typeof id === 'string' ? template?.hole(id) : undefined
    if (template === undefined || hole === undefined) throw holeFaults.unknown(position)
    const partials = partialsOf(template)
    const place = placeOf(registry, template, context, { fn: body, data: options.data }, partials)
    const different = findAround(hole.uses, place, currentFrame())
    if (different !== undefined) throw holeFaults.elsewhere(different, position)
    return renderHole({ e: ENGINE, t: template.ref, h: id as string }, position, inPlace)
  }
}
