import { currentFrame } from '../frame.js'
import { faults } from './faults.js'

/** Whether a tag's vary-on values are being evaluated, and what they have read so far. */
let isOpen = false
let inputs: Set<string> | undefined

/**
 * Called before a tag's vary-on values are evaluated, and no other argument of it: the per-visitor
 * inputs that are read until {@link endVaryOn} are those the tag tells apart. Evaluation must not
 * wait in between.
 */
export function beginVaryOn(): void {
  isOpen = true
  inputs = undefined
}

/**
 * Called after a tag's vary-on values are evaluated.
 *
 * @param before - What others of its values have read, where some are evaluated earlier.
 * @returns What they have read, if anything; for `TagValues.declared`. Nothing where another
 *   tag was met in between.
 */
export function endVaryOn(before?: ReadonlySet<string>): ReadonlySet<string> | undefined {
  const read = isOpen ? inputs : undefined
  closeVaryOn()
  if (before === undefined || read === undefined) return read ?? before
  return new Set([...before, ...read])
}

function closeVaryOn(): void {
  isOpen = false
  inputs = undefined
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
  if (isOpen) (inputs ??= new Set()).add(input)
  let guilty: Error | undefined
  let isUnfit = false
  for (let at = currentFrame(); at !== undefined; at = at.parent) {
    const { fragment } = at
    if (fragment !== undefined && fragment.declared?.has(input) !== true) {
      isUnfit = true
      if (fragment.settings.strict) guilty ??= faults.undeclaredRead(input, fragment.site)
    }
    if (isUnfit) at.isUnfit = true
  }
  if (guilty === undefined) return
  closeVaryOn()
  throw guilty
}

/**
 * Notes that what was read of one visitor is there, and so may be seen in what is being made. A text of
 * a fragment that did declare it is one visitor's in a page too.
 */
export function noteFound(): void {
  for (let at = currentFrame(); at !== undefined; at = at.parent) at.tellsOfVisitor = true
}
