import type { TagPosition } from '../../src/errors.js'
import type { BlockFunction, CompiledBody, Context, NunjucksFrame, Runtime } from './engine.js'
import { nunjucksFaults } from './faults.js'
import { inPage, pageOf } from './pages.js'
import { superFrameOf, type Scope } from './scope.js'

/** For the part of a compiled body that tells of variables it makes. */
const UNHEARD = { set: () => undefined, setVariable: () => undefined, addExport: () => undefined }

/** What went wrong in a body without being thrown. */
interface BodyRun {
  readonly site: TagPosition
  /** What the body was told. */
  told?: { readonly error: unknown }
  /** What a template inside, or around, was told. */
  noted?: { readonly error: unknown }
}

let running: BodyRun | undefined

/**
 * Renders a tag's body.
 *
 * @param variables - Of the scope, as the body is to see them.
 * @returns What it renders, escaped where it has to be.
 * @throws What it throws, also where the engine would go on and put out what it has.
 */
export function renderBody(
  body: CompiledBody,
  context: Context,
  runtime: Runtime,
  scope: Scope,
  variables: Record<string, unknown>,
  site: TagPosition,
): string {
  return runIn(context, variables, site, (done) => {
    const frame = scope.makeFrame(runtime)
    const macro = body(UNHEARD, runtime, context, frame, (error) => done(error))
    return macro(...scope.seeHeld()).toString()
  })
}

/**
 * Renders a block by itself.
 *
 * @param variables - Of the context.
 * @throws As {@link renderBody}.
 */
export function renderBlock(
  block: BlockFunction,
  context: Context,
  runtime: Runtime,
  frame: NunjucksFrame,
  variables: Record<string, unknown>,
  position: TagPosition,
): string {
  return runIn(context, variables, position, (done) => {
    let text: string | null | undefined
    block(context.env, context, frame, runtime, (error, rendered) => {
      text ??= rendered
      done(error)
    })
    return text ?? ''
  })
}

/**
 * Runs compiled code with other variables in its context, which it leaves as it was.
 *
 * @param start - Calls `done` at its end, with the error if there was one.
 */
function runIn(
  context: Context,
  variables: Record<string, unknown>,
  site: TagPosition,
  start: (done: (error: unknown) => void) => string,
): string {
  const { ctx, exported } = context
  const exportedBefore = exported.length
  const outer = running
  const run: BodyRun = { site }
  let ended = false
  running = run
  context.ctx = variables
  try {
    const text = inPage(pageOf(context), () =>
      start((error) => {
        if (error === null || error === undefined) ended = true
        else run.told ??= { error }
      }),
    )
    const failure = run.told ?? run.noted
    if (failure !== undefined) throw failure.error
    if (!ended) throw nunjucksFaults.asynchronousBody(site)
    return text
  } finally {
    running = outer
    context.ctx = ctx
    // What a hit does not export a miss must not either.
    exported.length = exportedBefore
  }
}

/**
 * Runs a part of a body by itself.
 *
 * @throws What went wrong in it, also without being thrown.
 */
export function runAsBody<T>(site: TagPosition, action: () => T): T {
  const outer = running
  const run: BodyRun = { site }
  running = run
  try {
    const result = action()
    if (run.noted !== undefined) throw run.noted.error
    return result
  } finally {
    running = outer
  }
}

/**
 * Notes an error that a template hands on by callback. Inside a macro the engine hands it past the
 * body to the page, goes on, and gives the body a text with a hole.
 */
export function noteFailure(error: unknown): void {
  if (running !== undefined) running.noted ??= { error }
}

/** Whether the body of a tag runs. */
export function isBodyRunning(): boolean {
  return running !== undefined
}

/** Runs a separate render, whose errors reach its caller. */
export function apartFromBodies<T>(render: () => T): T {
  const outer = running
  running = undefined
  try {
    return render()
  } finally {
    running = outer
  }
}

/**
 * Renders the block that `super()` in a body means.
 *
 * @param frame - The frame of the body.
 */
export function renderSuper(
  env: unknown,
  context: Context,
  name: string,
  block: BlockFunction,
  runtime: Runtime,
  frame: NunjucksFrame,
): unknown {
  let told: { readonly error: unknown } | undefined
  let text: string | null | undefined
  context.getSuper(env, name, block, superFrameOf(frame), runtime, (error, rendered) => {
    if (error === null || error === undefined) text ??= rendered
    else told ??= { error }
  })
  if (told !== undefined) throw told.error
  if (typeof text === 'string') return runtime.markSafe(text)
  throw nunjucksFaults.asynchronousBody(running?.site ?? {})
}
