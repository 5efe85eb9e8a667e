import type { CompiledBody, Context, Frame, Keeper, Runtime } from './engine.js'
import { Held } from './held.js'

/**
 * The variables a body sees. They are its own: what it sets stays inside on a miss, as it does on a
 * hit, and what changes outside afterwards does not reach a body that is put off.
 */
export interface Scope {
  readonly frame: Frame
  /** The context's variables. */
  readonly variables: Record<string, unknown>
  /** The variables of the tag's place that are none of the engine's frame or context. */
  readonly held: readonly unknown[]
}

const UNHELD = Symbol('unheld')

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
  return { frame, variables: freeze(context), held: keepHeld(body) }
}

/** A scope of its own for who may change it. */
export function copyScope(scope: Scope, runtime: Runtime): Scope {
  const frame = merge(scope.frame, runtime)
  frame.topLevel = scope.frame.topLevel
  const superFrame = superFrames.get(scope.frame)
  if (superFrame !== undefined) superFrames.set(frame, superFrame)
  return { ...scope, frame }
}

/** Variables that must not be read in a frame, and what to throw if they are. */
interface Hidden {
  readonly names: readonly string[]
  readonly fault: (name: string) => Error
}

const hiddenIn = new WeakMap<Frame, Hidden>()

/** Makes every look-up of some variables an error, in a frame and in what is flattened from it. */
export function hideIn(frame: Frame, hidden: Hidden): void {
  hiddenIn.set(frame, hidden)
  const resolve = frame.resolve.bind(frame)
  // In loops the engine looks there for where to set a variable.
  frame.resolve = (name, forWrite) =>
    hidden.names.includes(name) ? undefined : resolve(name, forWrite)
  for (const name of hidden.names) forbid(frame.variables, name, hidden.fault)
}

/** Makes every look-up of a variable an error. What is copied does not have it. */
export function forbid(
  variables: Record<string, unknown>,
  name: string,
  fault: (name: string) => Error,
): void {
  Object.defineProperty(variables, name, {
    configurable: true,
    enumerable: false,
    get() {
      throw fault(name)
    },
    set(value: unknown) {
      Object.defineProperty(variables, name, {
        configurable: true,
        enumerable: true,
        writable: true,
        value,
      })
    },
  })
}

/** What loops tell of themselves, as it was for one turn. */
const turns = new WeakSet<object>()

/** One frame with the variables of all, as they are now. */
function flatten(inner: Frame | undefined, runtime: Runtime): Frame {
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

/** The names in a merged frame that no frame but that of a whole template had. */
const topNames = new WeakMap<Frame, Set<string>>()

/** Whether a variable is one of its template, rather than of a loop, macro or block in it. */
export function isAtTop(frame: Frame, name: string): boolean {
  return frame.topLevel || topNames.get(frame)?.has(name) === true
}

/** One frame with the variables of all. */
export function merge(inner: Frame | undefined, runtime: Runtime): Frame {
  const frames: Frame[] = []
  for (let at = inner; at !== undefined; at = at.parent) frames.push(at)
  const flat = new runtime.Frame()
  let tops: Set<string> | undefined
  for (const frame of frames.reverse()) {
    const hidden = hiddenIn.get(frame)
    if (hidden !== undefined) hideIn(flat, hidden)
    const { variables } = frame
    for (const name in variables) {
      if (variables[name] === undefined) continue
      flat.variables[name] = variables[name]
      if (isAtTop(frame, name)) (tops ??= new Set()).add(name)
      else tops?.delete(name)
    }
  }
  if (tops !== undefined) topNames.set(flat, tops)
  return flat
}

/**
 * Adds what compiled code holds in variables of its own, which come first, to a merged frame.
 *
 * @param isBound - Whether a variable is one of a loop, macro or call block.
 */
export function addHeld(frame: Frame, held: Held, isBound: (name: string) => boolean): void {
  let tops = topNames.get(frame)
  for (const [name, value] of held) {
    if (value === undefined) {
      // It hides others of its name.
      delete frame.variables[name]
      continue
    }
    // Macros and imports of a whole template are in none of the engine's frames.
    if (!(name in frame.variables) && !isBound(name)) (tops ??= new Set()).add(name)
    frame.variables[name] = value
  }
  if (tops !== undefined) topNames.set(frame, tops)
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

/** What compiled code holds in variables of its own, by name. */
export function heldBy(keep: (use: Keeper, runtime: Keeper) => void): Held {
  const held = new Held()
  const keeper: Keeper = {
    contextOrFrameLookup: () => UNHELD,
    keep(_index, value, name, isInner, id) {
      if (value === UNHELD) return
      held.set(name, value)
      if (isInner) held.inner.add(name)
      // So the engine's compiler names parameters.
      else if (id?.startsWith('l_') === true) held.parameters.add(name)
    },
  }
  keep(keeper, keeper)
  return held
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
