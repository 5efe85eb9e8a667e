import { renderMaybeDeferred } from '../../src/fragment/deferred.js'
import { outermostOf } from '../../src/fragment/template-frame.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import { HolesOfPage, renderHole, type HoleSource } from '../../src/fragment/holes.js'
import { nameValues, withValues, type NamedValues } from '../../src/fragment/named-values.js'
import { currentFrame } from '../../src/making/frame.js'
import type { MaybePromise } from '../../src/maybe-promise.js'
import { apartFromBodies, renderBlock } from './body.js'
import type { HoleRef } from '../../src/fragment/hole-parts.js'
import type { BlockFunction, Context, Engine, Runtime, Template } from './engine.js'
import { isTagError, located, original, remember } from './engine-errors.js'
import { contextIn, inPage, pageOf, type Page } from './pages.js'
import { HOLE_BLOCK, type HoleRecord } from './parse-hole.js'
import type { TemplateNames } from './templates.js'

/** The name of this engine in stored holes. */
export const ENGINE = 'nunjucks'

/** Most holes of templates without a name that are remembered. */
const MAX_LOOSE = 1_000

/** A hole that was found. */
interface Hole {
  readonly block: BlockFunction
  readonly record: HoleRecord
  /** Left out: its template has no name, and the hole was met before in this process. */
  readonly template?: Template
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
export class Holes implements HoleSource<Page, Hole> {
  readonly name = ENGINE
  /** Whether a text may contain the mark of a hole. */
  areUsed = false
  readonly #engine: Engine
  readonly #names: TemplateNames
  /** Of templates without a name, by their id, which tells of their source. */
  readonly #loose = new Map<string, BlockFunction>()

  constructor(engine: Engine, names: TemplateNames) {
    this.#engine = engine
    this.#names = names
  }

  /** The holes of the page that a template is run for. */
  of(context: Context, runtime: Runtime): HoleRenderer {
    const page = pageOf(context)
    page.at ??= { context, runtime }
    return (page.holes ??= new HolesOfPage(this, page, false))
  }

  /** Holes in a context that is no render's. */
  in(context: unknown): HoleRenderer {
    return new HolesOfPage<Page, Hole>(this, { variables: context }, true)
  }

  /**
   * What compiled templates call.
   *
   * @param root - The main function of the template.
   * @param discarded - Truthy if what is put out here is not used.
   * @param valuesOf - Gives the values that the hole names.
   */
  run(
    block: BlockFunction,
    context: Context,
    runtime: Runtime,
    root: BlockFunction,
    discarded: unknown,
    valuesOf: () => NamedValues,
  ): string {
    if (discarded) return ''
    try {
      const { id, line, template = this.#names.nameOf(root) } = recordOf(block)
      const outermost = outermostOf(currentFrame())
      if (outermost?.holes !== undefined) this.areUsed = true
      const fragment = outermost?.fragment?.site.fragment
      const position = { template, line, ...(fragment === undefined ? undefined : { fragment }) }
      const holes = this.of(context, runtime)
      const t = this.#refTo(block, id, root)
      const h = nameValues(id, valuesOf(), position)
      const ref = { e: ENGINE, t, h }
      return renderHole(ref, position, () => holes.render(ref) as string, holes.page)
    } catch (error) {
      throw remember(error)
    }
  }

  #refTo(block: BlockFunction, id: string, root: BlockFunction): string {
    const t = this.#names.loadableNameOf(root) ?? ''
    if (t === '') {
      this.#loose.delete(id)
      this.#loose.set(id, block)
      for (const oldest of this.#loose.keys()) {
        if (this.#loose.size <= MAX_LOOSE) break
        this.#loose.delete(oldest)
      }
    }
    return t
  }

  find(name: string, id: string, { at }: Page): Hole | undefined {
    this.areUsed = true
    if (name === '') {
      const block = at && this.#loose.get(id)
      return block && { block, record: recordOf(block) }
    }
    const template = this.#load(name) ?? this.#names.latest(name)
    const block = template?.blocks[`${HOLE_BLOCK}${id}`]
    return template && block && { block, record: recordOf(block), template }
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

  render(hole: Hole, page: Page, _ref: HoleRef, values: NamedValues): MaybePromise<string> {
    const { template } = hole
    const variables = withValues(page.variables, values)
    if (page.at === undefined) return this.#renderAlone(hole, variables)
    const { context, runtime } = page.at
    try {
      return renderIn(contextIn(page, variables, context), runtime, hole)
    } catch (error) {
      if (isTagError(error) || template === undefined) throw error
      throw located(error as Error, template.path, this.#engine.opts.dev)
    }
  }

  /** Where no template of the page was run, the engine makes what its templates are run with. */
  #renderAlone(hole: Hole, variables: unknown): MaybePromise<string> {
    const { constructor, path } = hole.template as Template
    return renderMaybeDeferred(() => {
      let text = ''
      const root: BlockFunction = (_env, context, _frame, runtime, callback) => {
        const page: Page = { variables, at: { context, runtime } }
        text = inPage(page, () => renderIn(context, runtime, hole))
        callback(null, text)
      }
      const alone = new constructor({ type: 'code', obj: { root } }, this.#engine, path)
      try {
        apartFromBodies(() => alone.render(variables))
      } catch (error) {
        throw located(original(error as Error), path, this.#engine.opts.dev)
      }
      return text
    })
  }
}

/** Renders a hole's block, with these variables and nothing around it. */
function renderIn(context: Context, runtime: Runtime, { block, record, template }: Hole): string {
  const position = { template: record.template ?? template?.path, line: record.line }
  return renderBlock(block, context, runtime, new runtime.Frame(), context.ctx, position)
}
