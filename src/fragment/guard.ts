import { AsyncSlot } from '../async-slot.js'
import { currentFrame, type Frame } from '../making/frame.js'
import { faults } from './faults.js'
import type { TagValues } from './spec.js'
import { TemplateFrame, templateFramesAround } from './template-frame.js'

/** More tags are not in one another's values: they are left from values that threw. */
const MAX_DEPTH = 32

/** Of the tags whose vary-on values are being evaluated, the outermost first: in which frame. */
const framesAround = new Array<Frame | undefined>(MAX_DEPTH).fill(undefined)
/** What of one user was read for them. Two lists that do not grow, since every tag comes here, also on a hit. */
const reads = new Array<Set<string> | undefined>(MAX_DEPTH).fill(undefined)
let depth = 0

function forget(): void {
  framesAround.fill(undefined)
  reads.fill(undefined)
  depth = 0
}

/**
 * Called before a tag's vary-on values are evaluated, and no other argument of it: the per-visitor
 * inputs that are read until {@link endVaryOn} are those the tag tells apart. Evaluation must not
 * wait in between; it may render other tags.
 */
export function beginVaryOn(): void {
  if (depth === MAX_DEPTH) forget()
  framesAround[depth++] = currentFrame()
}

/**
 * Called after a tag's vary-on values are evaluated.
 *
 * @param before - What others of its values have read, where some are evaluated earlier.
 * @returns What they have read, if anything; for `TagValues.declared`.
 */
export function endVaryOn(before?: ReadonlySet<string>): ReadonlySet<string> | undefined {
  // What threw may have left none.
  if (depth === 0) return before
  depth--
  // A frame that is kept here would be kept in memory.
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
 * @returns The values, and what they have read of one user, if anything; for `TagValues.declared`.
 */
export async function readVaryOn(
  evaluate: () => Promise<readonly unknown[]>,
): Promise<Pick<TagValues, 'varyOn' | 'declared'>> {
  const own: Waiting = { frame: currentFrame(), read: undefined }
  const varyOn = await waiting.run(own, evaluate)
  return { varyOn, declared: own.read }
}

/**
 * Notes that something was read that differs per visitor.
 *
 * Fragments around that did not declare it are not stored, nor is anything around them.
 *
 * @param input - Its name: `user`, `session`, `cookies`, `authorization`, or one of the app's.
 * @throws CacheTagError: there is such a fragment, and its rules are strict.
 */
export function noteRead(input: string): void {
  const frame = currentFrame()
  const last = depth - 1
  // What a body reads that is rendered while a tag's values are evaluated does not tell users apart.
  if (last >= 0 && framesAround[last] === frame) (reads[last] ??= new Set()).add(input)
  const own = waiting.current
  if (own !== undefined && own.frame === frame) (own.read ??= new Set()).add(input)
  let guilty: Error | undefined
  let isUnfit = false
  for (let at = frame; at !== undefined; at = at.parent) {
    const fragment = at instanceof TemplateFrame ? at.fragment : undefined
    if (fragment !== undefined && fragment.declared?.has(input) !== true) {
      isUnfit = true
      if (fragment.settings.strict) guilty ??= faults.undeclaredRead(input, fragment.site)
    }
    if (isUnfit) at.isUnfit = true
  }
  if (guilty === undefined) return
  // Nobody ends those that it is thrown through.
  forget()
  throw guilty
}

/**
 * Notes that what was read of one visitor is there, and so may be seen in what is being made. A text of
 * a fragment that did declare it is one visitor's in a page too.
 */
export function noteFound(): void {
  for (const at of templateFramesAround(currentFrame())) at.tellsOfUser = true
}
