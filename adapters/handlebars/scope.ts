import type { DeferredSession } from '../../src/fragment/deferred.js'
import type { Container, ContainerState, DataFrame } from './engine.js'

interface Capture extends ContainerState {
  readonly container: Container
}

/** The templates that code of one render may look something up in. */
class Scope {
  #containers = new Set<Container>()
  #isNested = false
  /** The last capture; most tags of a render find everything as the one before did. */
  #last: readonly Capture[] = []

  /** Runs a template. */
  run(container: Container, main: () => unknown): unknown {
    const containers = this.#containers
    // A partial's blocks end with it. A page's may be kept by a helper for the layout.
    const endsHere = this.#isNested && !containers.has(container)
    const wasNested = this.#isNested
    containers.add(container)
    this.#isNested = true
    try {
      return main()
    } finally {
      this.#isNested = wasNested
      if (endsHere) containers.delete(container)
    }
  }

  /**
   * Captures what everything that is rendering now looks partials, helpers and hooks up in, so that
   * a body may run after other renders of the same templates have set theirs.
   *
   * @returns Runs a body with all that put back.
   */
  capture(): <T>(body: () => T) => T {
    if (
      this.#last.length !== this.#containers.size ||
      !this.#last.every((one) => this.#containers.has(one.container) && isCurrent(one))
    ) {
      this.#last = Array.from(this.#containers, (container) => ({
        container,
        ...stateOf(container),
      }))
    }
    const captures = this.#last
    return (body) => {
      const outer = this.#containers
      this.#containers = new Set()
      for (const { container, ...state } of captures) {
        Object.assign(container, state)
        this.#containers.add(container)
      }
      const wasNested = this.#isNested
      this.#isNested = true
      try {
        return body()
      } finally {
        this.#isNested = wasNested
        this.#containers = outer
      }
    }
  }
}

const scopes = new WeakMap<DeferredSession, Scope>()

export function scopeOf(session: DeferredSession): Scope {
  let scope = scopes.get(session)
  if (scope === undefined) {
    scope = new Scope()
    scopes.set(session, scope)
  }
  return scope
}

function stateOf(container: Container): ContainerState {
  const { helpers, partials, decorators, hooks, protoAccessControl } = container
  return { helpers, partials, decorators, hooks, protoAccessControl }
}

function isCurrent(capture: Capture): boolean {
  const { container } = capture
  return (
    capture.helpers === container.helpers &&
    capture.partials === container.partials &&
    capture.decorators === container.decorators &&
    capture.hooks === container.hooks &&
    capture.protoAccessControl === container.protoAccessControl
  )
}

/** Copies a data frame and its parents, since loops change theirs with every turn. */
export function copyFrames(frame: DataFrame): DataFrame {
  const copy = Object.assign(
    Object.create(Object.getPrototypeOf(frame) as object | null),
    frame,
  ) as DataFrame
  if (typeof frame._parent === 'object') copy._parent = copyFrames(frame._parent)
  return copy
}
