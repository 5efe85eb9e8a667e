import type { TagPosition } from '../../src/errors.js'
import { currentSession, renderMaybeDeferred } from '../../src/fragment/deferred.js'
import type { HoleRef } from '../../src/fragment/hole-parts.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import { HolesOfPage, isKept, renderHole, type HoleSource } from '../../src/fragment/holes.js'
import {
  nameValues,
  readNamed,
  withValues,
  type NamedValues,
} from '../../src/fragment/named-values.js'
import { outermostOf } from '../../src/fragment/template-frame.js'
import { currentFrame } from '../../src/making/frame.js'
import { chain, type MaybePromise } from '../../src/maybe-promise.js'
import type { HelperOptions, Render } from './engine.js'
import { handlebarsHoleFaults } from './faults.js'
import { indentHole, withoutIndents } from './indent.js'
import { callForHole, isOfOneRender, templateOf } from './instrument.js'
import { currentPage, inPage, type Page, type PageOptions } from './pages.js'
import { isInline, type TemplateRegistry } from './partials.js'
import type { Template } from './template.js'

export const ENGINE = 'handlebars'

type Partials = Record<string, unknown> | undefined

/** The partials that can be called in a template now. */
export function partialsOf(template: Template | undefined): Partials {
  return template?.container?.partials as Partials
}

/** A hole that was found. */
interface Hole {
  readonly id: string
  /** Renders its template. */
  readonly render: Render
  /** What it is rendered with, where the page's options say nothing. */
  readonly defaults: PageOptions
}

/** Finds and renders the holes of an instance's templates. */
export class Holes implements HoleSource<Page, Hole> {
  readonly name = ENGINE
  readonly #registry: TemplateRegistry

  constructor(registry: TemplateRegistry) {
    this.#registry = registry
  }

  /** The holes of a page that is rendered. */
  of(page: Page): HoleRenderer {
    return (page.holes ??= new HolesOfPage(this, page, false))
  }

  /** Holes in a context that is no render's. */
  in(context: unknown, options: PageOptions): HoleRenderer {
    return new HolesOfPage<Page, Hole>(this, { context, options }, true)
  }

  find(name: string, id: string, page: Page): Hole | undefined {
    const registry = this.#registry
    const { template, options } = page
    if (template?.isMeant(name) === true && template.hole(withoutIndents(id)) !== undefined) {
      return toHole(withoutIndents(id), template.render)
    }
    const compile = (partials: Partials) =>
      registry.compiled(partials, name, template?.compilerOptions) as Render | undefined
    const partial = compile(options?.partials) ?? compile(registry.instance.partials)
    const found = this.#holeOf(partial, withoutIndents(id), page, {})
    if (found !== undefined) return found
    // View engines give each render its partials, and register none.
    const known = registry.bySource(name) ?? registry.byName(name, withoutIndents(id))
    const partials = template === undefined ? templatesIn(partialsOf(known)) : undefined
    return this.#holeOf(known?.render, withoutIndents(id), page, partials && { partials })
  }

  #holeOf(
    render: Render | undefined,
    id: string,
    { context, options }: Page,
    defaults: PageOptions = {},
  ): Hole | undefined {
    if (render === undefined) return undefined
    const call = () => render(context, { ...defaults, ...options })
    const template = this.#registry.templateOf(render, call)
    return template?.hole(id) && toHole(id, render, defaults)
  }

  render(
    { id, render, defaults }: Hole,
    page: Page,
    ref: HoleRef,
    values: NamedValues,
  ): MaybePromise<string> {
    const call = () =>
      render(withValues(page.context, values), { ...defaults, ...page.options }) as unknown
    const start = () => inPage(page, () => callForHole(id, call).text ?? '')
    // Nothing waits for the cache tags in it where no template is being rendered.
    const rendered = page.template === undefined ? renderMaybeDeferred(start) : start()
    return chain(rendered, (text) => indentLate(ref, text))
  }

  /**
   * What the helper of a nocache block gives.
   *
   * @param values - Those that it names.
   */
  run(template: Template, id: string, page: Page, values: NamedValues, at: TagPosition): string {
    const fragment = outermostOf(currentFrame())?.fragment?.site.fragment
    const position = fragment === undefined ? at : { ...at, fragment }
    const ref = { e: ENGINE, t: template.ref, h: nameValues(id, values, position) }
    const inPlace = () => {
      // Where no template of the page's own is being rendered, a view engine's partials are this one's.
      const partials = page.template === undefined ? templatesIn(partialsOf(template)) : undefined
      const hole = toHole(id, template.render, partials && { partials }) as Hole
      return this.render(hole, page, ref, readNamed(ref.h).values) as string
    }
    return renderHole(ref, position, inPlace, page)
  }
}

function toHole(
  id: string,
  render: Render | undefined,
  defaults: PageOptions = {},
): Hole | undefined {
  return render && { id, render, defaults }
}

/** The partials of another visitor's render: what is not a template may belong to that visitor. */
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

/** Indents a hole's text once the fragments in it are there. */
function indentLate(ref: HoleRef, text: string): string {
  const session = currentSession()
  const indent = (full: string): string => indentHole(ref, full)
  return session === undefined ? indent(text) : session.deferred.change(text, indent)
}

/** The helper `nocache`. */
export function makeHoleHelper(
  holes: Holes,
  positionOf: (options: HelperOptions | undefined, template: Template | undefined) => TagPosition,
): (this: unknown, ...args: unknown[]) => string {
  return function nocache(...args) {
    const options = args.pop() as HelperOptions | undefined
    const body = options?.fn
    if (options === undefined || typeof body !== 'function') {
      throw handlebarsHoleFaults.inline(positionOf(options, undefined))
    }
    const template = templateOf(body)
    const position = positionOf(options, template)
    const [id] = args
    const page = currentPage()
    const isKnown = typeof id === 'string' && template?.hole(id) !== undefined
    if (!isKnown || page === undefined) {
      if (isKept()) throw handlebarsHoleFaults.unknown(position)
      return '' + (body(this) as string)
    }
    return holes.run(template, id, page, options.hash, position)
  }
}
