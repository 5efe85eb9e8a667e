import { copyOf, plainOf } from '../../src/fragment/watched.js'
import type { CompiledBody, Context, NunjucksFrame, Keeper, Runtime } from './engine.js'

type Variables = Readonly<Record<string, unknown>>

/** Where no frame around a tag has any, as around most. */
const NO_VARIABLES: Variables = Object.freeze(Object.create(null) as Variables)

/** A variable that the compiled template holds. */
interface Held {
  readonly name: string
  readonly value: unknown
}

/** What a body sees of a variable's value. */
export type See = (value: unknown, name: string) => unknown

const NONE_HELD: readonly (Held | undefined)[] = []
const UNHELD = Symbol('unheld')
const HOLDS = { holds: true } as const

/** Where the block that `super()` renders begins its own variables. */
const superFrames = new WeakMap<NunjucksFrame, NunjucksFrame>()

/**
 * The variables a body sees. They are its own: what it sets stays inside on a miss, as it does on a
 * hit, and what changes outside afterwards does not reach a body that is put off.
 */
export class Scope {
  /** The context's variables. */
  readonly variables: Record<string, unknown>
  /** Left out: it sees its variables as they are. */
  see: See | undefined
  /** The variables of the tag's place that are none of the engine's frame or context. */
  readonly #held: readonly (Held | undefined)[]
  /** Those of the frames around the tag. */
  inFrame: Variables
  readonly #isTopLevel: boolean
  readonly #inSuper: Variables | undefined

  /** What a tag's place holds now. */
  constructor(context: Context, frame: NunjucksFrame, body: CompiledBody, usesSuper: boolean) {
    this.variables = freeze(context)
    this.#held = body(HOLDS) ? keepHeld(body) : NONE_HELD
    this.inFrame = flatten(frame)
    this.#isTopLevel = frame.topLevel
    this.#inSuper = usesSuper ? flatten(aroundBlock(frame)) : undefined
  }

  /** What the body sees of the variables that are none of the engine's frame or context. */
  seeHeld(): unknown[] {
    const { see } = this
    return this.#held.map((one) => (one && see ? see(one.value, one.name) : one?.value))
  }

  /** A frame of its own for a body. */
  makeFrame(runtime: Runtime): NunjucksFrame {
    const frame = frameOf(this.inFrame, runtime, this.see)
    frame.topLevel = this.#isTopLevel
    const { see } = this
    if (this.#inSuper !== undefined) superFrames.set(frame, frameOf(this.#inSuper, runtime, see))
    return frame
  }
}

/** Whether a name means a variable of the page rather than a loop's, a macro's or an included template's. */
export function isOfContext(name: string, inner: NunjucksFrame): boolean {
  for (let at: NunjucksFrame | undefined = inner; at !== undefined; at = at.parent) {
    // What is set for a whole page is a variable of its context too; an included template has one of its own.
    if (at.variables[name] !== undefined) return at.topLevel && at.parent === undefined
  }
  return true
}

function frameOf(variables: Variables, runtime: Runtime, see: See | undefined): NunjucksFrame {
  const frame = new runtime.Frame()
  for (const name in variables) frame.variables[name] = variables[name]
  if (see === undefined) return frame
  const lookup = frame.lookup.bind(frame)
  // The frames of loops and of what is included ask this one.
  frame.lookup = (name) => {
    const value = lookup(name)
    // What the body has set by now is its own.
    return value !== undefined && value === variables[name] ? see(value, name) : value
  }
  return frame
}

/** What loops tell of themselves, as it was for one turn. */
const turns = new WeakSet<object>()

/** The variables of a frame and of all around it, as they are now. */
function flatten(inner: NunjucksFrame | undefined): Variables {
  let flat: Record<string, unknown> | undefined
  for (let at = inner; at !== undefined; at = at.parent) {
    const { variables } = at
    for (const name in variables) {
      if (variables[name] === undefined) continue
      flat ??= Object.create(null) as Record<string, unknown>
      // A variable further in hides it.
      if (!(name in flat)) flat[name] = variables[name]
    }
  }
  if (flat === undefined) return NO_VARIABLES
  const { loop } = flat
  // The engine counts up in one object. A tag in the body of another has the same turn as that one.
  if (typeof loop === 'object' && loop !== null && !turns.has(loop)) {
    const turn = { ...loop }
    turns.add(turn)
    flat['loop'] = turn
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
function keepHeld(body: CompiledBody): (Held | undefined)[] {
  const held: (Held | undefined)[] = []
  const keeper: Keeper = {
    contextOrFrameLookup: () => UNHELD,
    keep(index, value, name) {
      held[index] = value === UNHELD ? undefined : { name, value }
    },
  }
  body(keeper, keeper)
  return held
}

/** Variables of contexts that are kept for a body, so that a change has to be made in a copy. */
const frozen = new WeakSet<object>()

/** Keeps a context's variables as they are now. */
function freeze(context: Context): Record<string, unknown> {
  frozen.add(plainOf(context.ctx))
  context.setVariable = setVariable
  return context.ctx
}

function setVariable(this: Context, name: string, value: unknown): void {
  if (frozen.has(plainOf(this.ctx))) this.ctx = copyOf(this.ctx)
  this.ctx[name] = value
}
