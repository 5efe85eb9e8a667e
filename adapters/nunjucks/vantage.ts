import type { Context, Frame } from './engine.js'

/** Where a variable is looked up: at a hole, or at the tag in whose scope it is rendered. */
export interface Vantage {
  readonly context: Context
  /** The context's variables. */
  readonly variables: Readonly<Record<string, unknown>>
  readonly frame: Frame
  /** The variables that compiled code holds in variables of its own; these come first. */
  readonly held: ReadonlyMap<string, unknown>
}

/** The value a variable has there. */
export function lookUp({ context, variables, frame, held }: Vantage, name: string): unknown {
  if (held.has(name)) return held.get(name)
  const value = frame.lookup(name)
  return value === undefined ? lookUpIn(context, variables, name) : value
}

function lookUpIn(
  { env }: Context,
  variables: Readonly<Record<string, unknown>>,
  name: string,
): unknown {
  return name in env.globals && !(name in variables) ? env.globals[name] : variables[name]
}

/** The frames of bodies. */
const bodies = new WeakMap<Frame, BodyFrame>()

interface BodyFrame {
  /** What renders the holes of the outermost body around. */
  readonly host: object
  /** The frame of the tag; `undefined`: it is the outermost one. */
  readonly around: Frame | undefined
}

/** Notes that the body of a tag is rendered in a frame. */
export function noteBody(frame: Frame, body: BodyFrame): void {
  bodies.set(frame, body)
}

/**
 * The names of the variables that are made between a place and the outermost body around it. Of what is
 * set in the body itself only the values can tell.
 *
 * @param host - What renders the holes of that body. `undefined`: what is around it is no tag's body,
 *   so that all is made inside.
 */
export function namesMadeInside(place: Frame, host: object | undefined): Set<string> {
  const inner = new Set<string>()
  // Where the place is in a macro's caller, these are outside: the values tell.
  const atTops = new Set<string>()
  for (let at: Frame | undefined = place; at !== undefined;) {
    const body = bodies.get(at)
    if (body !== undefined && body.host === host) {
      if (body.around === undefined) return new Set([...inner, ...atTops])
      at = body.around
      continue
    }
    const names = at.topLevel ? atTops : inner
    for (const name in at.variables) names.add(name)
    at = at.parent
  }
  return host === undefined ? new Set([...inner, ...atTops]) : inner
}

/** Every name that a frame or its context knows. */
export function namesSeen({ frame, variables, held }: Vantage): Set<string> {
  const names = new Set([...Object.keys(variables), ...held.keys()])
  for (let at: Frame | undefined = frame; at !== undefined; at = at.parent) {
    for (const name in at.variables) names.add(name)
  }
  return names
}
