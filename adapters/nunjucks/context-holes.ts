import { renderDeferred } from '../../src/fragment/deferred.js'
import type { HoleRef, HoleRenderer } from '../../src/fragment/holes.js'
import { apartFromBodies } from './body.js'
import type { BlockFunction, Engine, Template } from './engine.js'
import { located, original } from './engine-errors.js'
import { NOTHING_HELD } from './held.js'
import { tagHolesOf, type Hole, type Holes } from './holes.js'

/** Renders holes with the variables of a context that is no template's, as a page's is. */
export class ContextHoles implements HoleRenderer {
  readonly #engine: Engine
  readonly #holes: Holes
  readonly #context: unknown

  constructor(engine: Engine, holes: Holes, context: unknown) {
    this.#engine = engine
    this.#holes = holes
    this.#context = context
  }

  has(ref: HoleRef, inner?: HoleRenderer): boolean {
    try {
      const hole = this.#holes.find(ref)
      if (hole?.template === undefined) return false
      const tag = tagHolesOf(inner)
      return tag === undefined || this.#holes.meansTheSame(hole, tag, undefined)
    } catch {
      return false
    }
  }

  render(ref: HoleRef): Promise<string> | undefined {
    const hole = this.#holes.find(ref)
    const template = hole?.template
    if (hole === undefined || template === undefined) return undefined
    return renderDeferred(() => this.#render(hole, template))
  }

  #render(hole: Hole, template: Template): string {
    let text = ''
    const root: BlockFunction = (_env, context, frame, runtime, callback) => {
      const { ctx: variables } = context
      text = this.#holes.render(hole, { context, variables, frame, held: NOTHING_HELD }, runtime)
      callback(null, text)
    }
    // A template that is nothing but the hole: the engine makes its context and frame.
    const alone = new template.constructor(
      { type: 'code', obj: { root } },
      this.#engine,
      template.path,
    )
    try {
      apartFromBodies(() => alone.render(this.#context))
    } catch (error) {
      throw located(original(error as Error), template.path, this.#engine.opts.dev)
    }
    return text
  }
}
