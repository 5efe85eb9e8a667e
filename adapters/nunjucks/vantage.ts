import type { Context, Frame } from './engine.js'
import type { Held } from './held.js'
import { isAtTop } from './scope.js'

/** Where a variable is looked up: at a hole, or at the tag in whose scope it is rendered. */
export interface Vantage {
  readonly context: Context
  /** The context's variables. */
  readonly variables: Readonly<Record<string, unknown>>
  readonly frame: Frame
  /** The variables that compiled code holds in variables of its own; these come first. */
  readonly held: Held
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
  readonly tag: { readonly vantage: Vantage; readonly place: TagPlace }
  /** What renders the holes of the outermost body around. */
  readonly host: object
  /** Where the tag stands; `undefined`: it is the outermost one. */
  readonly around: TagPlace | undefined
  /** What the body has set so far, and when first. */
  readonly made: Map<string, number>
}

/** The place of a tag in its template. */
export interface TagPlace {
  readonly frame: Frame
  /** When the tag was met, by {@link nextMoment}. */
  readonly moment: number
}

let moments = 0

/** Tells what is set before a tag from what is set after it, since bodies may run later. */
export const nextMoment = (): number => ++moments

/** Notes that the body of a tag is rendered in a frame, before it begins. */
export function noteBody(frame: Frame, body: Omit<BodyFrame, 'made'>): void {
  const made = new Map<string, number>()
  bodies.set(frame, { ...body, made })
  const set = frame.set.bind(frame)
  frame.set = (name, ...rest) => {
    const [variable = name] = name.split('.')
    if (!made.has(variable)) made.set(variable, nextMoment())
    set(name, ...rest)
  }
}

/**
 * The names of the variables that are made between a place and the outermost body around it, also
 * where they happen to have the values that they have outside.
 *
 * @param place - Where to begin; a tag's place, or a hole's, which is met now.
 * @param host - What renders the holes of that body. `undefined`: what is around it is no tag's body,
 *   so that all is made inside.
 */
export function namesMadeInside(place: TagPlace, host: object | undefined): Set<string> {
  const inner = new Set<string>()
  // Where the place is in a macro's caller, these are outside: the values tell.
  const atTops = new Set<string>()
  let { moment } = place
  for (let at: Frame | undefined = place.frame; at !== undefined;) {
    const body = bodies.get(at)
    if (body !== undefined && body.host === host) {
      for (const [name, since] of body.made) if (since < moment) inner.add(name)
      if (body.around === undefined) return new Set([...inner, ...atTops])
      at = body.around.frame
      moment = body.around.moment
      continue
    }
    for (const name in at.variables) (isAtTop(at, name) ? atTops : inner).add(name)
    at = at.parent
  }
  return host === undefined ? new Set([...inner, ...atTops]) : inner
}

/**
 * Whether a variable that compiled code holds is one of a loop, macro or call block, rather than a macro
 * or an import of the whole template.
 */
export function isBound(name: string, held: Held, frame: Frame): boolean {
  if (held.inner.has(name)) return true
  if (!held.parameters.has(name)) return false
  for (let at: Frame | undefined = frame; at !== undefined; at = at.parent) {
    const { tag } = bodies.get(at) ?? {}
    if (tag === undefined) continue
    const around = tag.vantage.held
    return !around.has(name) || isBound(name, around, tag.place.frame)
  }
  return true
}

/** Every name that a frame or its context knows. */
export function namesSeen({ frame, variables, held }: Vantage): Set<string> {
  const names = new Set([...Object.keys(variables), ...held.keys()])
  for (let at: Frame | undefined = frame; at !== undefined; at = at.parent) {
    for (const name in at.variables) names.add(name)
  }
  return names
}
