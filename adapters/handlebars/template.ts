import type { CacheTag } from '../../src/engine.js'
import type { Container, ContainerState, Render, TemplateSpec } from './engine.js'
import type { HoleFacts, TemplateFacts } from './facts.js'

/** A tag, and where in its line it is. */
interface Site {
  readonly tag: CacheTag
  readonly column: number | undefined
}

/** A compiled template of an instance with the tag. */
export class Template {
  /** Known once it began for the first time. */
  container: Container | undefined
  /** The name it was first called by as a partial. */
  name: string | undefined
  /** Its tags by fragment name. */
  readonly sites = new Map<string, Site[]>()
  /** `undefined`: it was precompiled without the tag. */
  readonly facts: TemplateFacts | undefined
  /** Its partials look up names in what is around their caller too. */
  readonly isCompat: boolean
  /** What its partials are compiled with. */
  readonly compilerOptions: object | undefined
  /** Known once it is made. */
  render: Render | undefined
  #running = 0

  constructor(spec: TemplateSpec = {}, facts?: TemplateFacts) {
    this.facts = facts
    this.isCompat = spec.compat === true
    this.compilerOptions = spec.compilerOptions
  }

  /** What its holes are found by: its name as a partial, or its source. */
  get ref(): string {
    return this.name ?? `~${this.facts?.hash ?? ''}`
  }

  isMeant(ref: string): boolean {
    return this.name === ref || (this.facts !== undefined && ref === `~${this.facts.hash}`)
  }

  hole(id: string): HoleFacts | undefined {
    const holes = this.facts?.holes
    if (holes === undefined || !Object.hasOwn(holes, id)) return undefined
    const hole = holes[id]
    return hole !== undefined && hole.program >= 0 ? hole : undefined
  }

  /**
   * Runs code of this template.
   *
   * Handlebars keeps what a render looks partials and helpers up in on the template and does not put
   * it back when a partial has called itself, so that its caller goes on with the inner one's inline
   * partials. Then a fragment that was a hit would show other text than one whose body ran.
   */
  run<T>(code: () => T): T {
    const { container } = this
    const outer = this.#running > 0 && container !== undefined ? stateOf(container) : undefined
    this.#running++
    try {
      return code()
    } finally {
      this.#running--
      if (outer !== undefined) Object.assign(container as Container, outer)
    }
  }
}

/** What a render looks things up in. */
export function stateOf(container: Container): ContainerState {
  const { helpers, partials, decorators, hooks, protoAccessControl } = container
  return { helpers, partials, decorators, hooks, protoAccessControl }
}
