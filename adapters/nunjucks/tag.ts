import type { CacheTag, EngineCache, RunEarly, TagBody, TagValues } from '../../src/engine.js'
import type { HoleRef, HoleRenderer } from '../../src/fragment/holes.js'
import { outermostOf } from '../../src/fragment/template-frame.js'
import { currentFrame } from '../../src/making/frame.js'
import { renderBody } from './body.js'
import type { Digests } from './digest.js'
import type { BlockFunction, CompiledBody, Context, Frame, Place, Runtime } from './engine.js'
import { isTagError, located, remember } from './engine-errors.js'
import { tagHolesOf, type Holes, type TagHoles } from './holes.js'
import { copyScope, freeze, heldBy, takeScope, type Scope } from './scope.js'
import type { CallerUse } from './read-body.js'
import type { TemplateNames } from './templates.js'
import { NOTHING_HELD } from './held.js'
import { nextMoment, noteBody, type TagPlace, type Vantage } from './vantage.js'

/** What a compiled template says of a tag. */
export interface TagRecord {
  readonly name: string
  readonly line: number
  /** Left out: it was compiled without a name, or by itself beforehand. */
  readonly template?: string
  /** A hash of the template's source. It tells the tags of templates without a name from each other. */
  readonly source?: string
  readonly hasKeywords?: true
  readonly usesSuper?: true
  readonly callerUse?: CallerUse
  /** A nocache block stands in its body. */
  readonly hasHoles?: true
}

interface Tag extends CacheTag {
  readonly source: string | undefined
  readonly hasHoles: boolean
  readonly hasKeywords: boolean
  readonly usesSuper: boolean
  readonly callerUse: CallerUse
}

/** The values of a tag's arguments, in an object of their own. */
type Values = { -readonly [K in keyof TagValues]: TagValues[K] }

/** What to do where a tag cannot wait. */
export const REMEDY =
  'render with renderAsync, which registerCache gives, or give env.render a callback'

/** Most tags that are remembered; templates made up at run time must not fill the memory. */
const MAX_TAGS = 2_000

const KEYWORDS = [
  'using',
  'tags',
  'version',
  'lock',
  'staleWhileRevalidate',
  'staleIfError',
] as const

/** What the tags of one environment have in common. */
export interface TagSurroundings {
  readonly cache: EngineCache
  readonly names: TemplateNames
  readonly holes: Holes
  /** Left out: keys have no digest. */
  readonly digests: Digests | undefined
  readonly isDev: () => boolean
}

/** Renders the tags of one environment. */
export class TagRenderer {
  readonly #around: TagSurroundings
  readonly #tags = new Map<string, Tag>()

  constructor(around: TagSurroundings) {
    this.#around = around
  }

  /**
   * What compiled templates call.
   *
   * @param record - A {@link TagRecord} as JSON.
   * @param root - The main function of the template.
   * @param discarded - Truthy if what is put out here is not used.
   */
  run(
    record: string,
    context: Context,
    frame: Frame,
    runtime: Runtime,
    root: BlockFunction,
    discarded: unknown,
    values: Values,
    body: CompiledBody,
  ): string {
    if (discarded) return ''
    try {
      const { cache, digests } = this.#around
      const tag = this.#tags.get(record) ?? this.#makeTag(record, root)
      if (tag.hasKeywords || typeof values.timeout === 'object') unwrap(values)
      if (digests !== undefined) values.digest = digests.of(root, body, tag)
      const call = new TagCall(this.#around, tag, context, frame, runtime, root, body)
      return cache.render(tag, values, call)
    } catch (error) {
      throw remember(error)
    }
  }

  #makeTag(record: string, root: BlockFunction): Tag {
    const parsed = JSON.parse(record) as TagRecord
    const { cache, names } = this.#around
    const place = {
      fragment: parsed.name,
      line: parsed.line,
      template: parsed.template ?? names.nameOf(root),
    }
    const tag: Tag = {
      ...cache.tag(place),
      source: parsed.source,
      hasKeywords: parsed.hasKeywords ?? false,
      usesSuper: parsed.usesSuper ?? false,
      callerUse: parsed.callerUse ?? 'none',
      hasHoles: parsed.hasHoles ?? false,
    }
    if (this.#tags.size >= MAX_TAGS) this.#tags.clear()
    this.#tags.set(record, tag)
    return tag
  }
}

/** A tag that is being rendered: it renders its body, and the holes in it, in the scope of its place. */
class TagCall implements TagBody, TagHoles {
  readonly #around: TagSurroundings
  readonly #tag: Tag
  readonly #context: Context
  readonly place: TagPlace
  readonly #runtime: Runtime
  readonly #root: BlockFunction
  readonly #body: CompiledBody
  /** What the holes see, once the body has begun or is put off. The body has a copy, which it changes. */
  #scope: Scope | undefined
  #isPutOff = false
  #vantage: Vantage | undefined

  constructor(
    around: TagSurroundings,
    tag: Tag,
    context: Context,
    frame: Frame,
    runtime: Runtime,
    root: BlockFunction,
    body: CompiledBody,
  ) {
    this.#around = around
    this.#tag = tag
    this.#context = context
    this.place = { frame, moment: nextMoment() }
    this.#runtime = runtime
    this.#root = root
    this.#body = body
  }

  get holes(): HoleRenderer {
    return this
  }

  has(ref: HoleRef, inner?: HoleRenderer): boolean {
    try {
      const { holes } = this.#around
      const hole = holes.find(ref, this.#root)
      if (hole === undefined) return false
      const tag = tagHolesOf(inner)
      return tag === undefined || tag === this || holes.meansTheSame(hole, tag, this)
    } catch {
      return false
    }
  }

  render(ref: HoleRef): string | undefined {
    const { holes, names, isDev } = this.#around
    const hole = holes.find(ref, this.#root)
    if (hole === undefined) return undefined
    try {
      return holes.render(hole, this.vantage, this.#runtime)
    } catch (error) {
      const isOwn = hole.template === undefined || hole.template === names.templateOf(this.#root)
      if (isTagError(error) || (isOwn && !this.#isPutOff)) throw error
      const path = isOwn ? this.#path : hole.template.path
      throw located(error as Error, path, isDev())
    }
  }

  capture(): HoleRenderer {
    this.#keep()
    void this.vantage
    return this
  }

  get vantage(): Vantage {
    return (this.#vantage ??= {
      context: this.#context,
      // What a body sets in the context it sets in a copy.
      variables: this.#scope?.variables ?? freeze(this.#context),
      frame: this.#scope?.frame ?? this.place.frame,
      held: this.#tag.hasHoles ? heldBy(this.#body) : NOTHING_HELD,
    })
  }

  get #path(): string | undefined {
    return this.#around.names.pathOf(this.#root) ?? this.#tag.template
  }

  #takeScope(): Scope {
    const { usesSuper } = this.#tag
    return takeScope(this.#context, this.place.frame, this.#runtime, this.#body, usesSuper)
  }

  /** Keeps what is needed to render later as now. */
  #keep(): Scope {
    this.#isPutOff = true
    if (this.#scope === undefined) {
      this.#scope = this.#takeScope()
      this.#vantage = undefined
    }
    return this.#scope
  }

  renderBody(): string {
    this.#scope ??= this.#takeScope()
    return this.#render(copyScope(this.#scope, this.#runtime))
  }

  #render(scope: Scope): string {
    const { place } = this
    const host = tagHolesOf(outermostOf(currentFrame())?.holes)
    if (host !== undefined)
      noteBody(scope.frame, { host, around: host === this ? undefined : place, tag: this })
    return renderBody(this.#body, this.#context, this.#runtime, scope, this.#tag)
  }

  /** Keeps what the body needs, to render it after its template is done. */
  keepBody(runEarly: RunEarly): () => string {
    const own = this.#keep()
    const scope = copyScope(own, this.#runtime)
    const render = this.#renderAt(this.#body({ at: true }), scope)
    const { variables } = scope.frame
    const { caller } = variables
    const { callerUse } = this.#tag
    if (typeof caller !== 'function') return render
    // What a call block puts in is a closure over variables that change.
    if (callerUse === 'plain') variables['caller'] = runEarly(caller as () => unknown)
    return callerUse === 'free' ? runEarly(render) : render
  }

  /** @param place - Of the tag, for errors. */
  #renderAt(place: Place, scope: Scope): () => string {
    const body = this.#body
    return () => {
      body({ at: true }, place)
      try {
        return this.#render(scope)
      } catch (error) {
        if (isTagError(error)) throw error
        const [line, column] = body({ at: true })
        const first = this.#runtime.handleError(error, line, column)
        throw located(first, this.#path, this.#around.isDev())
      }
    }
  }
}

/** Makes plain texts of those marked as safe. */
function unwrap(values: Values): void {
  if (typeof values.timeout === 'object') values.timeout = plain(values.timeout)
  for (const keyword of KEYWORDS) {
    if (!(keyword in values)) continue
    const value = plain(values[keyword])
    values[keyword] = Array.isArray(value) ? value.map(plain) : value
  }
  if ('if' in values) values.if = plain(values.if)
}

function plain(value: unknown): unknown {
  return value instanceof String ? value.toString() : value
}
