import type { CompiledBody, Context, Frame, Keeper, Runtime } from './engine.js'

/**
 * The variables a body sees. They are its own: what it sets stays inside on a miss, as it does on a
 * hit, and what changes outside afterwards does not reach a body that is put off.
 */
export interface Scope {
  readonly frame: Frame
  /** The context's variables. */
  readonly variables: Record<string, unknown>
}

const UNBOUND = Symbol('unbound')

/** Where the block that `super()` renders begins its own variables. */
const superFrames = new WeakMap<Frame, Frame>()

/** What a tag's place holds now. */
export function takeScope(
  context: Context,
  tagFrame: Frame,
  runtime: Runtime,
  body: CompiledBody,
  usesSuper: boolean,
): Scope {
  const frame = flatten(tagFrame, runtime)
  frame.topLevel = tagFrame.topLevel
  if (usesSuper) superFrames.set(frame, flatten(aroundBlock(tagFrame), runtime))
  return { frame, variables: keepBound(body, frame, freeze(context)) }
}

/** One frame with the variables of all. */
function flatten(inner: Frame | undefined, runtime: Runtime): Frame {
  const frames: Frame[] = []
  for (let at = inner; at !== undefined; at = at.parent) frames.push(at)
  const flat = new runtime.Frame()
  for (const { variables } of frames.reverse()) {
    for (const name in variables) {
      if (variables[name] !== undefined) flat.variables[name] = variables[name]
    }
  }
  const { loop } = flat.variables
  // The engine counts up in one object.
  if (typeof loop === 'object' && loop !== null) flat.variables['loop'] = { ...loop }
  return flat
}

/** The frame around the block, since the engine begins `super()` before the block sets anything. */
function aroundBlock(frame: Frame): Frame | undefined {
  for (let at: Frame | undefined = frame; at !== undefined; at = at.parent) {
    const known = superFrames.get(at)
    if (known !== undefined) return known
    if (at.isolateWrites === true) return at.parent
  }
  return undefined
}

/** The frame for the `super()` of a body with this frame. */
export function superFrameOf(frame: Frame): Frame {
  return superFrames.get(frame) ?? frame
}

/**
 * Puts into the frame what the compiled template holds in variables of its own: the engine does not
 * tell its frame of `a` and `b` in `for a, b in rows`, nor of an argument that was left out.
 *
 * @returns The context's variables, without those that such an argument hides.
 */
function keepBound(
  body: CompiledBody,
  frame: Frame,
  variables: Record<string, unknown>,
): Record<string, unknown> {
  let visible = variables
  const keeper: Keeper = {
    contextOrFrameLookup: () => UNBOUND,
    keep(name, value) {
      if (value === UNBOUND) return
      if (value !== undefined) {
        frame.variables[name] = value
        return
      }
      delete frame.variables[name]
      if (visible === variables) visible = { ...variables }
      visible[name] = undefined
    },
  }
  body(keeper, keeper)
  return visible
}

/** Variables of contexts that are kept for a body, so that a change has to be made in a copy. */
const frozen = new WeakSet<object>()

/** Keeps a context's variables as they are now. */
export function freeze(context: Context): Record<string, unknown> {
  frozen.add(context.ctx)
  context.setVariable = setVariable
  return context.ctx
}

function setVariable(this: Context, name: string, value: unknown): void {
  if (frozen.has(this.ctx)) this.ctx = { ...this.ctx }
  this.ctx[name] = value
}
