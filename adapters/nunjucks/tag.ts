import type { CacheTag, EngineCache, RunEarly, TagBody, TagValues } from '../../src/engine.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import { noteCopyOf } from '../../src/fragment/computed-names.js'
import { addVaryOnNames, personalOf } from '../../src/fragment/personal.js'
import { renderTag } from '../../src/fragment/tag.js'
import { templateFramesAround, type TemplateFrame } from '../../src/fragment/template-frame.js'
import { plainOf } from '../../src/fragment/watched.js'
import type { HeldAt } from '../../src/fragment/personal-names.js'
import { currentFrame } from '../../src/making/frame.js'
import { privateField } from '../../src/private-field.js'
import { renderBody, runAsBody } from './body.js'
import type { Digests } from './digest.js'
import type {
  BlockFunction,
  CompiledBody,
  Context,
  NunjucksFrame,
  Place,
  Runtime,
} from './engine.js'
import { isTagError, located, remember } from './engine-errors.js'
import type { Holes } from './holes.js'
import { pageOf } from './pages.js'
import { isOfContext, Scope } from './scope.js'
import type { CallerUse } from './read-body.js'
import type { TemplateNames } from './templates.js'

/** What a compiled template says of a tag. */
export interface TagRecord {
  readonly name: string
  readonly line: number
  /** Left out: it was compiled without a name, or by itself beforehand. */
  readonly template?: string
  /** A hash of the template's source. It tells the tags of templates without a name from each other. */
  readonly source?: string
  readonly hasKeywords?: true
  /** The variables that its vary-on values name. */
  readonly varyOnNames?: readonly string[]
  readonly usesSuper?: true
  readonly callerUse?: CallerUse
}

interface Tag {
  readonly site: CacheTag
  readonly source: string | undefined
  readonly hasKeywords: boolean
  readonly usesSuper: boolean
  readonly callerUse: CallerUse
}

/** The values of a tag's arguments, in an object of their own. */
type Values = { -readonly [K in keyof TagValues]: TagValues[K] }

/** What to do where a tag cannot wait. */
export const REMEDY =
  'render with renderAsync, which registerCache gives, or give env.render a callback'

const AT = { at: true } as const

/** Most tags that are remembered; templates made up at run time must not fill the memory. */
const MAX_TAGS = 2_000

/** What bodies see, by what is made of them. */
const scopes = privateField<TemplateFrame, Scope>()

/** A variable that is not of a context. */
const variableOf = (name: string): string => `{% ${name}`

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
    frame: NunjucksFrame,
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
      const fragment = cache.resolve(tag.site, values)
      const text = cache.find(fragment)
      if (text !== undefined) return text
      const call = new TagCall(this.#around, tag, context, frame, runtime, root, body)
      return renderTag(fragment, call)
    } catch (error) {
      throw remember(error)
    }
  }

  #makeTag(record: string, root: BlockFunction): Tag {
    const parsed = JSON.parse(record) as TagRecord
    const { cache, names } = this.#around
    const { hasKeywords = false } = parsed
    const place = {
      fragment: parsed.name,
      line: parsed.line,
      template: parsed.template ?? names.nameOf(root),
      hasKeywords,
      varyOnNames: parsed.varyOnNames,
    }
    const tag: Tag = {
      site: cache.tag(place),
      source: parsed.source,
      hasKeywords,
      usesSuper: parsed.usesSuper ?? false,
      callerUse: parsed.callerUse ?? 'none',
    }
    if (this.#tags.size >= MAX_TAGS) this.#tags.clear()
    this.#tags.set(record, tag)
    return tag
  }
}

/** A tag that is being rendered. */
class TagCall implements TagBody {
  readonly #around: TagSurroundings
  readonly #tag: Tag
  readonly #context: Context
  readonly #frame: NunjucksFrame
  readonly #runtime: Runtime
  readonly #root: BlockFunction
  readonly #body: CompiledBody

  constructor(
    around: TagSurroundings,
    tag: Tag,
    context: Context,
    frame: NunjucksFrame,
    runtime: Runtime,
    root: BlockFunction,
    body: CompiledBody,
  ) {
    this.#around = around
    this.#tag = tag
    this.#context = context
    this.#frame = frame
    this.#runtime = runtime
    this.#root = root
    this.#body = body
  }

  get holes(): HoleRenderer {
    return this.#around.holes.of(this.#context, this.#runtime)
  }

  get #path(): string | undefined {
    return this.#around.names.pathOf(this.#root) ?? this.#tag.site.template
  }

  #takeScope(): Scope {
    const { usesSuper } = this.#tag
    return new Scope(this.#context, this.#frame, this.#body, usesSuper)
  }

  renderBody(): string {
    return this.#render(this.#takeScope())
  }

  #render(scope: Scope): string {
    const variables = this.#watchGiven(scope)
    this.#watchVariables(scope)
    return renderBody(this.#body, this.#context, this.#runtime, scope, variables, this.#tag.site)
  }

  /** Watches those of the context. */
  #watchGiven({ variables }: Scope): Record<string, unknown> {
    const { cache } = this.#around
    if (cache.isWatching) noteCopyOf(plainOf(variables), pageOf(this.#context).variables)
    return cache.watch(variables, this.#namesOfGiven)
  }

  /** Watches the variables that are none of the context. */
  #watchVariables(scope: Scope): void {
    const personal = personalOf(this.#around.cache)
    if (personal === undefined) return
    const given = [pageOf(this.#context).variables]
    const [own, ...outer] = templateFramesAround(currentFrame())
    if (own !== undefined) scopes.set(own, scope)
    const heldAt = (name: string, value: unknown): HeldAt => {
      const isTakenIn = (frame: TemplateFrame) => scopes.get(frame)?.inFrame[name] !== value
      return { given, around: new Set(outer.filter(isTakenIn)) }
    }
    const named = this.#tag.site.varyOnNames?.flatMap((written) => {
      const [name = '', ...rest] = written.split('.')
      const value = scope.inFrame[name]
      return personal.varyOnHeld(value, variableOf(name), rest, heldAt(name, value))
    })
    addVaryOnNames(named ?? [])
    scope.see = (value, name) => personal.take(value, variableOf(name), heldAt(name, value))
  }

  /** What the vary-on values name of what the page was given, rather than of a loop's or a macro's variables. */
  get #namesOfGiven(): readonly string[] | undefined {
    return this.#tag.site.varyOnNames?.filter((name) => {
      const [first = ''] = name.split('.')
      return isOfContext(first, this.#frame)
    })
  }

  /** Keeps what the body needs, to render it after its template is done. */
  keepBody(runEarly: RunEarly): () => string {
    const scope = this.#takeScope()
    const render = this.#renderAt(this.#body(AT), scope)
    const { callerUse } = this.#tag
    if (callerUse === 'none') return render
    const { caller } = scope.inFrame
    if (typeof caller !== 'function') return render
    if (callerUse === 'free') return runEarly(render)
    // What a call block puts in is a closure over variables that change.
    const called = runEarly(() => {
      this.#watchGiven(scope)
      return runAsBody(this.#tag.site, caller as () => unknown)
    })
    scope.inFrame = { ...scope.inFrame, caller: called }
    return render
  }

  /** @param place - Of the tag, for errors. */
  #renderAt(place: Place, scope: Scope): () => string {
    const body = this.#body
    return () => {
      body(AT, place)
      try {
        return this.#render(scope)
      } catch (error) {
        if (isTagError(error)) throw error
        const [line, column] = body(AT)
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
