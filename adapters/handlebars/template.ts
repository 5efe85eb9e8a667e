import type { TagSite } from '../../src/fragment/spec.js'
import type { Container, ContainerState } from './engine.js'

/** A compiled template of an instance with the tag. */
export class Template {
  /** Known once it began for the first time. */
  container: Container | undefined
  /** The name it was first called by as a partial. */
  name: string | undefined
  /** Its tags by fragment name. */
  readonly sites = new Map<string, TagSite[]>()
  #running = 0

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
