import type { EngineCache } from '../../src/engine.js'
import { mergeWatched } from '../../src/fragment/watched.js'
import { checkCacheTags } from './check.js'
import type { Instance } from './engine.js'
import type { TemplateFacts } from './facts.js'
import { callForHole, templateOf } from './instrument.js'
import type { Node } from './syntax.js'
import type { Template } from './template.js'

/** Most sources, and most templates with holes, that are remembered. */
const MAX_REMEMBERED = 1_000

/** What one Handlebars instance knows of its templates. */
export class TemplateRegistry {
  readonly instance: Instance
  /** What was registered last. */
  cache: EngineCache | undefined
  readonly #parse: Instance['parse']
  readonly #withHoles = new Map<string, Template>()
  /** By a partial's name and one of its holes: those that only a render was given, too. */
  readonly #partialsWithHoles = new Map<string, Template>()
  readonly #facts = new Map<string, TemplateFacts | undefined>()
  /** The sources of templates that are compiled when they are first rendered. */
  readonly #sources = new WeakMap<object, string>()
  readonly #templates = new WeakMap<object, Template>()

  /** @param parse - The instance's own. */
  constructor(instance: Instance, parse: Instance['parse']) {
    this.instance = instance
    this.#parse = parse
  }

  /** What Handlebars itself made, of which no code runs once it has returned. */
  readonly #atOnce = new WeakSet()

  /** Notes a function that renders at once. */
  addRender<R extends object>(render: R): R {
    this.#atOnce.add(render)
    return render
  }

  rendersAtOnce(render: object): boolean {
    return this.#atOnce.has(render)
  }

  /** What a partial with values of its own is given; `undefined`: nothing of a page's variables is watched in it. */
  merge(
    context: unknown,
    own: Readonly<Record<string, unknown>>,
    root: unknown,
  ): object | undefined {
    // Handlebars copies the letters of a text too.
    const variables = Object(context) as object
    const merged = mergeWatched(variables, own)
    if (merged !== undefined || this.cache?.isWatching !== true) return merged
    const isKnown = typeof root === 'object' && root !== null
    return isKnown ? this.cache.merge(variables, own, root) : undefined
  }

  /** Notes a template that was made. */
  add(template: Template): void {
    const { facts } = template
    if (facts === undefined || Object.keys(facts.holes).length === 0) return
    if (this.#withHoles.size >= MAX_REMEMBERED) this.#withHoles.clear()
    this.#withHoles.set(template.ref, template)
  }

  /** Notes the name that a template with holes was called by. */
  addName(name: string, template: Template): void {
    for (const hole of Object.keys(template.facts?.holes ?? {})) {
      if (this.#partialsWithHoles.size >= MAX_REMEMBERED) this.#partialsWithHoles.clear()
      this.#partialsWithHoles.set(JSON.stringify([name, hole]), template)
    }
  }

  /** A partial with a hole that this process has rendered, registered or not. */
  byName(name: string, hole: string): Template | undefined {
    return this.#partialsWithHoles.get(JSON.stringify([name, hole]))
  }

  /** Notes what a template was compiled from. */
  addSource(render: object, source: unknown): void {
    if (typeof source === 'string') this.#sources.set(render, source)
  }

  /** A template with holes that this process has made, by its source. */
  bySource(ref: string): Template | undefined {
    return this.#withHoles.get(ref)
  }

  /**
   * What is known of a partial.
   *
   * @returns `undefined`: it is a function of another kind, or precompiled without the tag.
   */
  factsOf(partial: unknown): TemplateFacts | undefined {
    if (typeof partial === 'string') return this.#factsOfSource(partial)
    if (typeof partial !== 'function') return undefined
    const template = templateOf(partial)
    if (template !== undefined) return template.facts
    const source = this.#sources.get(partial)
    return source === undefined ? undefined : this.#factsOfSource(source)
  }

  #factsOfSource(source: string): TemplateFacts | undefined {
    if (this.#facts.has(source)) return this.#facts.get(source)
    if (this.#facts.size >= MAX_REMEMBERED) this.#facts.clear()
    let facts: TemplateFacts | undefined
    try {
      const tree = this.#parse?.call(this.instance, source) as Node | undefined
      facts =
        tree &&
        checkCacheTags({
          tree,
          source,
          options: {},
          template: undefined,
          isTag: (name) => name in this.instance.helpers,
        })
    } catch {
      // Its faults are reported when it is rendered.
    }
    this.#facts.set(source, facts)
    return facts
  }

  /**
   * A partial that is a template of its own, ready to be called. As Handlebars does, it replaces the source
   * with the compiled template.
   */
  compiled(
    partials: Record<string, unknown> | undefined,
    name: string,
    options: object | undefined,
  ): object | undefined {
    if (partials === undefined || !Object.hasOwn(partials, name)) return undefined
    const partial = partials[name]
    if (typeof partial === 'function') return isInline(partial) ? undefined : partial
    if (typeof partial !== 'string' || this.instance.compile === undefined) return undefined
    const compiled = this.instance.compile(partial, options)
    partials[name] = compiled
    return compiled
  }

  /** The template behind a partial; it is compiled for that, but nothing of it runs. */
  templateOf(partial: object, call: () => unknown): Template | undefined {
    const known = templateOf(partial) ?? this.#templates.get(partial)
    if (known !== undefined) return known
    // Any other function would render something.
    if (!('_setup' in partial)) return undefined
    const { template } = callForHole(undefined, call)
    if (template !== undefined) this.#templates.set(partial, template)
    return template
  }
}

/** Whether a partial is a part of a template rather than one of its own. */
export function isInline(partial: unknown): partial is object {
  return typeof partial === 'function' && 'program' in partial
}
