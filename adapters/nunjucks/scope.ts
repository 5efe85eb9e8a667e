import type { CompiledBody, Context, NunjucksFrame, Keeper, Runtime } from './engine.js'

/**
 * The variables a body sees. They are its own: what it sets stays inside on a miss, as it does on a
 * hit, and what changes outside afterwards does not reach a body that is put off.
 */
export interface Scope {
  readonly frame: NunjucksFrame
  /** The context's variables. */
  readonly variables: Record<string, unknown>
  /** The variables of the tag's place that are none of the engine's frame or context. */
  readonly held: readonly unknown[]
}

const UNHELD = Symbol('unheld')

/** Where the block that `super()` renders begins its own variables. */
const superFrames = new WeakMap<NunjucksFrame, NunjucksFrame>()

/** What a tag's place holds now. */
export function takeScope(
  context: Context,
  tagFrame: NunjucksFrame,
  runtime: Runtime,
  body: CompiledBody,
  usesSuper: boolean,
): Scope {
  const frame = flatten(tagFrame, runtime)
  frame.topLevel = tagFrame.topLevel
  if (usesSuper) superFrames.set(frame, flatten(aroundBlock(tagFrame), runtime))
  return { frame, variables: freeze(context), held: keepHeld(body) }
}

/** What loops tell of themselves, as it was for one turn. */
const turns = new WeakSet<object>()

/** One frame with the variables of all, as they are now. */
function flatten(inner: NunjucksFrame | undefined, runtime: Runtime): NunjucksFrame {
  const flat = merge(inner, runtime)
  const loop: unknown = Object.getOwnPropertyDescriptor(flat.variables, 'loop')?.value
  // The engine counts up in one object. A tag in the body of another has the same turn as that one.
  if (typeof loop === 'object' && loop !== null && !turns.has(loop)) {
    const turn = { ...loop }
    turns.add(turn)
    flat.variables['loop'] = turn
  }
  return flat
}

/** One frame with the variables of all. */
function merge(inner: NunjucksFrame | undefined, runtime: Runtime): NunjucksFrame {
  const frames: NunjucksFrame[] = []
  for (let at = inner; at !== undefined; at = at.parent) frames.push(at)
  const flat = new runtime.Frame()
  for (const { variables } of frames.reverse()) {
    for (const name in variables) {
      if (variables[name] !== undefined) flat.variables[name] = variables[name]
    }
  }
  return flat
}

/** The frame around the block, since the engine begins `super()` before the block sets anything. */
function aroundBlock(frame: NunjucksFrame): NunjucksFrame | undefined {
  for (let at: NunjucksFrame | undefined = frame; at !== undefined; at = at.parent) {
    const known = superFrames.get(at)
    if (known !== undefined) return known
    if (at.isolateWrites === true) return at.parent
  }
  return undefined
}

/** The frame for the `super()` of a body with this frame. */
export function superFrameOf(frame: NunjucksFrame): NunjucksFrame {
  return superFrames.get(frame) ?? frame
}

/** What the compiled template holds in variables of its own. */
function keepHeld(body: CompiledBody): unknown[] {
  const held: unknown[] = []
  const keeper: Keeper = {
    contextOrFrameLookup: () => UNHELD,
    keep(index, value) {
      held[index] = value === UNHELD ? undefined : value
    },
  }
  body(keeper, keeper)
  return held
}

/** Variables of contexts that are kept for a body, so that a change has to be made in a copy. */
const frozen = new WeakSet<object>()

/** Keeps a context's variables as they are now. */
function freeze(context: Context): Record<string, unknown> {
  frozen.add(context.ctx)
  context.setVariable = setVariable
  return context.ctx
}

function setVariable(this: Context, name: string, value: unknown): void {
  if (frozen.has(this.ctx)) this.ctx = { ...this.ctx }
  this.ctx[name] = value
}
