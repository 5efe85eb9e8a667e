import { currentSession, renderInSession } from '../../src/fragment/deferred.js'
import { faults } from '../../src/fragment/faults.js'
import { currentFrame, runSyncIn, type Frame as FragmentFrame } from '../../src/frame.js'
import { LateFrame } from '../../src/fragment/late-frame.js'
import type { FragmentCache } from '../../src/fragment/render.js'
import type { Fragment, TagSite, TagValues } from '../../src/fragment/spec.js'
import { renderBody } from './body.js'
import type { BlockFunction, CompiledBody, Context, Frame, Runtime } from './engine.js'
import { isTagError, located, remember } from './engine-errors.js'
import { takeScope } from './scope.js'
import type { CallerUse } from './syntax-tree.js'
import type { TemplateNames } from './templates.js'

/** What a compiled template says of a tag. */
export interface TagRecord {
  readonly name: string
  readonly line: number
  /** Left out: it was compiled without a name, or by itself beforehand. */
  readonly template?: string
  /** What tells the tags of templates without a name from each other. */
  readonly source?: string
  readonly hasKeywords?: true
  readonly usesSuper?: true
  readonly callerUse?: CallerUse
}

interface Tag extends TagSite {
  readonly hasKeywords: boolean
  readonly usesSuper: boolean
  readonly callerUse: CallerUse
}

/** The values of a tag's arguments, in an object of their own. */
type Values = { -readonly [K in keyof TagValues]: TagValues[K] }

/** Where a tag is being rendered. */
interface TagCall {
  readonly tag: Tag
  readonly context: Context
  readonly frame: Frame
  readonly runtime: Runtime
  readonly root: BlockFunction
  readonly body: CompiledBody
}

const REMEDY = 'render with renderAsync, which registerCache gives, or give env.render a callback'

/** Most tags that are remembered; templates made up at run time must not fill the memory. */
const MAX_TAGS = 2_000

const KEYWORDS = ['using', 'tags', 'version'] as const

/** Renders the tags of one environment. */
export class TagRenderer {
  readonly #fragments: FragmentCache
  readonly #names: TemplateNames
  readonly #isDev: () => boolean
  readonly #tags = new Map<string, Tag>()

  constructor(fragments: FragmentCache, names: TemplateNames, isDev: () => boolean) {
    this.#fragments = fragments
    this.#names = names
    this.#isDev = isDev
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
      const tag = this.#tags.get(record) ?? this.#makeTag(record, root)
      if (tag.hasKeywords || typeof values.timeout === 'object') checkValues(values, tag)
      const fragment = this.#fragments.resolveTag(tag, values)
      const session = currentSession()
      if (session !== undefined) {
        const call = { tag, context, frame, runtime, root, body }
        return renderInSession(
          session,
          fragment,
          () => renderNow(call),
          () => this.#putOff(fragment, call),
        )
      }
      const opened = this.#fragments.openTagSync(fragment)
      // Nothing is made for the body before it has to run.
      if (typeof opened === 'string') return opened
      const text = opened.runSync(() => renderNow({ tag, context, frame, runtime, root, body }))
      void opened.commit(text)
      return text
    } catch (error) {
      throw remember(error)
    }
  }

  #makeTag(record: string, root: BlockFunction): Tag {
    const parsed = JSON.parse(record) as TagRecord
    const tag: Tag = {
      fragment: parsed.name,
      line: parsed.line,
      template: parsed.template ?? this.#names.nameOf(root),
      remedy: REMEDY,
      hasKeywords: parsed.hasKeywords ?? false,
      usesSuper: parsed.usesSuper ?? false,
      callerUse: parsed.callerUse ?? 'none',
    }
    if (this.#tags.size >= MAX_TAGS) this.#tags.clear()
    this.#tags.set(record, tag)
    return tag
  }

  /** Keeps what the body needs, to render it after its template is done. */
  #putOff(fragment: Fragment, call: TagCall): () => string {
    const { tag, context, frame, runtime, body, root } = call
    const scope = takeScope(context, frame, runtime, body, tag.usesSuper)
    // What a macro's caller puts in is a closure over variables that change.
    const late =
      tag.callerUse === 'none' ? undefined : new LateFrame(fragment.cache, currentFrame())
    if (tag.callerUse === 'free') {
      const text = runSyncIn(late, () => renderBody(body, context, runtime, scope, tag))
      return () => {
        attach(late)
        return text
      }
    }
    const { caller } = scope.frame.variables
    if (late !== undefined && typeof caller === 'function') {
      const text: unknown = runSyncIn(late, () => (caller as () => unknown)())
      scope.frame.variables['caller'] = () => text
    }
    const place = body({ at: true })
    return () => {
      attach(late)
      body({ at: true }, place)
      try {
        return renderBody(body, context, runtime, scope, tag)
      } catch (error) {
        if (isTagError(error)) throw error
        const [line, column] = body({ at: true })
        const path = this.#names.pathOf(root) ?? tag.template
        throw located(runtime.handleError(error, line, column), path, this.#isDev())
      }
    }
  }
}

function renderNow({ tag, context, frame, runtime, body }: TagCall): string {
  const scope = takeScope(context, frame, runtime, body, tag.usesSuper)
  return renderBody(body, context, runtime, scope, tag)
}

/** Makes what was rendered early a part of the fragment that is rendered now. */
function attach(late: LateFrame | undefined): void {
  const own: FragmentFrame | undefined = currentFrame()
  if (own !== undefined) late?.attach(own)
}

/**
 * Makes plain texts of those marked as safe.
 *
 * @throws CacheTagError: a keyword's value is undefined. It is a misspelt variable and must not pass
 *   for left out.
 */
function checkValues(values: Values, tag: TagSite): void {
  if (typeof values.timeout === 'object') values.timeout = plain(values.timeout)
  for (const keyword of KEYWORDS) {
    if (!(keyword in values)) continue
    const value = plain(values[keyword])
    if (value === undefined) throw faults[keyword](value, tag)
    values[keyword] = Array.isArray(value) ? value.map(plain) : value
  }
  if ('if' in values) values.if = plain(values.if)
}

function plain(value: unknown): unknown {
  return value instanceof String ? value.toString() : value
}
