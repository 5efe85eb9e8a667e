import type { DeferredSession } from '../../src/fragment/session.js'
import { privateField } from '../../src/private-field.js'
import type { Container, ContainerState, DataFrame } from './engine.js'
import { stateOf, type Template } from './template.js'

interface Capture extends ContainerState {
  readonly template: Template
}

/** Runs a body with what was captured put back. */
export type RunAsCaptured = <T>(body: () => T) => T

/** The templates whose code may run in one render. */
class Scope {
  #templates = new Set<Template>()
  #isNested = false
  /** The last capture; most tags of a render find everything as the one before did. */
  #last: readonly Capture[] | undefined
  #runAsCaptured: RunAsCaptured = (body) => body()

  /** Runs a template. */
  run<T>(template: Template, main: () => T): T {
    const templates = this.#templates
    // A partial's blocks end with it. A page's may be kept by a helper for the layout.
    const endsHere = this.#isNested && !templates.has(template)
    templates.add(template)
    try {
      return this.#nest(templates, main)
    } finally {
      if (endsHere) templates.delete(template)
    }
  }

  /**
   * Captures what everything that is rendering now looks partials, helpers and hooks up in, so that
   * a body may run after other renders of the same templates have set theirs.
   *
   * @returns Runs a body with all that put back.
   */
  capture(): RunAsCaptured {
    if (this.#last !== undefined && this.#isStill(this.#last)) return this.#runAsCaptured
    const captures = Array.from(this.#templates, (template) => ({
      template,
      ...stateOf(template.container as Container),
    }))
    this.#last = captures
    this.#runAsCaptured = (body) => {
      const templates = new Set<Template>()
      let runs = () => this.#nest(templates, body)
      for (const { template, ...state } of captures) {
        Object.assign(template.container as Container, state)
        templates.add(template)
        const inner = runs
        runs = () => template.run(inner)
      }
      return runs()
    }
    return this.#runAsCaptured
  }

  #isStill(captures: readonly Capture[]): boolean {
    return (
      captures.length === this.#templates.size &&
      captures.every((one) => this.#templates.has(one.template) && isCurrent(one))
    )
  }

  #nest<T>(templates: Set<Template>, code: () => T): T {
    const outer = [this.#templates, this.#isNested] as const
    this.#templates = templates
    this.#isNested = true
    try {
      return code()
    } finally {
      ;[this.#templates, this.#isNested] = outer
    }
  }
}

const scopes = privateField<DeferredSession, Scope>()

export function scopeOf(session: DeferredSession): Scope {
  let scope = scopes.get(session)
  if (scope === undefined) {
    scope = new Scope()
    scopes.set(session, scope)
  }
  return scope
}

function isCurrent(captured: Capture): boolean {
  const container = captured.template.container as Container
  return (
    captured.helpers === container.helpers &&
    captured.partials === container.partials &&
    captured.decorators === container.decorators &&
    captured.hooks === container.hooks &&
    captured.protoAccessControl === container.protoAccessControl
  )
}

/** Copies a data frame and its parents, since loops change theirs with every turn. */
export function copyFrames(frame: DataFrame): DataFrame {
  const copy = copyFrame(frame)
  if (typeof frame._parent === 'object') copy._parent = copyFrames(frame._parent)
  return copy
}

export function copyFrame(frame: DataFrame): DataFrame {
  const prototype = Object.getPrototypeOf(frame) as object | null
  // Most have the usual one, and are copied quickly.
  return prototype === Object.prototype
    ? { ...frame }
    : (Object.assign(Object.create(prototype), frame) as DataFrame)
}

/**
 * Whether a block is called for its value alone, without a context and the page's data: so does
 * `{{#if @partial-block}}`, to see whether it has a text. Nothing in it is to be stored, since it knows nothing of the
 * page.
 */
export function isCalledForValue(data: DataFrame | undefined): boolean {
  if (data === undefined || 'root' in data) return false
  let first = data
  while (first._parent !== undefined) first = first._parent
  // Data that a helper has made by hand have no parents.
  return '_parent' in first
}
