import { currentFrame } from '../frame.js'
import { faults } from './faults.js'

/** Whether a tag's arguments are being evaluated, and what they have read so far. */
let isOpen = false
let inputs: Set<string> | undefined

/**
 * Called before a tag's arguments are evaluated: the per-visitor inputs that are read from now on, and
 * until the tag is resolved, are those its vary-on tells apart. Evaluation must not wait in between.
 */
export function beginArguments(): void {
  isOpen = true
  inputs = undefined
}

/** What was read since {@link beginArguments} counts for no tag. */
export function cancelArguments(): void {
  isOpen = false
  inputs = undefined
}

/** Ends the evaluation of a tag's arguments. @returns What they read, if anything. */
export function endArguments(): ReadonlySet<string> | undefined {
  if (!isOpen) return undefined
  isOpen = false
  const read = inputs
  inputs = undefined
  return read
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
  cancelArguments()
  throw guilty
}
