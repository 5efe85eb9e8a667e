import { AsyncSlot } from '../async-slot.js'
import { currentFrame, type Frame } from '../making/frame.js'
import { faults } from './faults.js'
import type { TagValues } from './spec.js'
import { isOfFragment, templateFramesAround, type FragmentFrame } from './template-frame.js'

/** Tags are never nested so deep in each other's values: more are left over from values that threw. */
const MAX_DEPTH = 32

/** The frames of the tags whose vary-on values are being evaluated, the outermost first. */
const framesAround = new Array<Frame | undefined>(MAX_DEPTH).fill(undefined)
/** The per-user inputs that were read for them. Two lists that never grow: every tag passes here, on a hit too. */
const reads = new Array<Set<string> | undefined>(MAX_DEPTH).fill(undefined)
let depth = 0

function forget(): void {
  framesAround.fill(undefined)
  reads.fill(undefined)
  depth = 0
}

/**
 * Call it before you evaluate a tag's vary-on values, and not for its other arguments. The tag varies on the
 * per-user inputs that are read until {@link endVaryOn}. Evaluation must not wait in between; it may render
 * other tags.
 */
export function beginVaryOn(): void {
  if (depth === MAX_DEPTH) forget()
  framesAround[depth++] = currentFrame()
}

/**
 * Call it after you evaluated a tag's vary-on values.
 *
 * @param before - The inputs read by values that were evaluated earlier, if any.
 * @returns All inputs read, if any; for `TagValues.declared`.
 */
export function endVaryOn(before?: ReadonlySet<string>): ReadonlySet<string> | undefined {
  // `forget` may have run since the begin.
  if (depth === 0) return before
  depth--
  // Otherwise the frame would stay in memory.
  framesAround[depth] = undefined
  const read = reads[depth]
  if (read === undefined) return before
  reads[depth] = undefined
  return before === undefined ? read : new Set([...before, ...read])
}

/** Vary-on values whose evaluation waits. */
interface Waiting {
  readonly frame: Frame | undefined
  read: Set<string> | undefined
}

const waiting = new AsyncSlot<Waiting>()

/**
 * Evaluates a tag's vary-on values, and no other argument of it, where that may wait.
 *
 * @returns The values, and the per-user inputs they have read, if any; for `TagValues.declared`.
 */
export async function readVaryOn(
  evaluate: () => Promise<readonly unknown[]>,
): Promise<Pick<TagValues, 'varyOn' | 'declared'>> {
  const own: Waiting = { frame: currentFrame(), read: undefined }
  const varyOn = await waiting.runUntilSettled(own, evaluate)
  return { varyOn, declared: own.read }
}

/**
 * Records that a per-user input was read.
 *
 * Fragments around that did not declare it are not stored, nor is anything around them.
 *
 * @param input - Its name: `user`, `session`, `cookies`, `authorization`, or one of the app's.
 * @throws CacheTagError: there is such a fragment, and its rules are strict.
 */
export function noteRead(input: string): void {
  const frame = currentFrame()
  const last = depth - 1
  // A body rendered while a tag's values are evaluated is in another frame: its reads declare nothing.
  if (last >= 0 && framesAround[last] === frame) (reads[last] ??= new Set()).add(input)
  const own = waiting.current
  if (own !== undefined && own.frame === frame) (own.read ??= new Set()).add(input)
  noteUndeclared(input, ({ fragment }) => fragment.declared?.has(input) === true)
}

/**
 * Keeps what is being made from being stored, as far as it does not declare what was read for it.
 *
 * @param declares - Whether the vary-on of a frame's fragment tells by what was read.
 * @throws CacheTagError: a fragment does not, and its rules are strict.
 */
export function noteUndeclared(input: string, declares: (frame: FragmentFrame) => boolean): void {
  let guilty: Error | undefined
  let isUnfit = false
  for (let at = currentFrame(); at !== undefined; at = at.parent) {
    if (isOfFragment(at) && !declares(at)) {
      const { settings, site } = at.fragment
      isUnfit = true
      if (settings.strict) guilty ??= faults.undeclaredRead(input, site)
    }
    if (isUnfit) at.refuse('undeclared-read')
  }
  refuse(guilty)
}

function refuse(fault: Error | undefined): void {
  if (fault === undefined) return
  // `endVaryOn` is not called for those that the error is thrown through.
  forget()
  throw fault
}

/**
 * Records that a per-user input that was read has a value, which may show in what is being made. The page
 * around is then per-user, even if the fragment declared the input.
 *
 * @param isSure - Otherwise the page is not kept either, but that is no error.
 * @throws CacheTagError: the page is to be kept, and its rules are strict.
 */
export function noteFound(input: string, isSure = true): void {
  let guilty: Error | undefined
  for (const at of templateFramesAround(currentFrame())) {
    at.tellsOfUser = true
    const page = at.framedPage
    if (isSure && page?.isStrict() === true && page.isKept()) guilty ??= faults.readInPage(input)
  }
  refuse(guilty)
}
