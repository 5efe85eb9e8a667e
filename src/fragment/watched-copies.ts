import { currentFrame, runSyncIn } from '../making/frame.js'
import { privateField } from '../private-field.js'
import { isSameAlias, readWhole, type Name } from './personal-names.js'
import { templateFramesAround, type TemplateFrame } from './template-frame.js'

type Variables = Readonly<Record<string, unknown>>

/** A value that was taken into a copy, of which it is not known yet who reads it. */
interface Copied {
  readonly key: string
  readonly name: Name
  readonly value: unknown
  /** Where it was copied from. */
  readonly from: object
}

/** What was copied while a body runs, by its frame. */
const copied = privateField<TemplateFrame, Copied[] | undefined>()

/**
 * A copy that is being made, as by `{ ...variables }`, of which it is not known yet what becomes: all keys are asked for, and then of
 * each, in their order, the descriptor and the value.
 *
 * @see ECMA-262, CopyDataProperties
 */
export class Copying {
  #at = 0
  #isDescribed = false

  constructor(readonly keys: (string | symbol)[]) {}

  /** @returns `false`: this is something else. */
  describes(key: string | symbol, isEnumerable: boolean): boolean {
    if (this.#isDescribed || this.keys[this.#at] !== key) return false
    if (isEnumerable) this.#isDescribed = true
    else this.#at++
    return true
  }

  /** Whether a value is read for the copy. */
  takes(key: string | symbol): boolean {
    if (!this.#isDescribed || this.keys[this.#at] !== key) return false
    this.#at++
    this.#isDescribed = false
    return true
  }
}

/** Notes a value that was taken into a copy. */
export function noteCopied(
  name: Name | undefined,
  key: string | symbol,
  value: unknown,
  from: object,
): void {
  const [frame] = templateFramesAround(currentFrame())
  if (name === undefined || frame === undefined) return
  const all = copied.get(frame) ?? []
  all.push({ key: key as string, name, value, from })
  copied.set(frame, all)
}

/**
 * What was copied into these, as `{ ...it }`, is watched in what is given them, and need not be where it was copied.
 *
 * @param nameOf - Gives the names of the variables beside which they are given.
 * @param around - What is being made, from the inside out.
 * @returns The names of what is the same as there.
 */
export function forgetCopied(
  nameOf: (key: string) => Name | undefined,
  others: Variables,
  around: readonly TemplateFrame[],
): ReadonlySet<string> {
  const same = new Set<string>()
  for (const frame of around) {
    const all = copied.get(frame)
    if (all === undefined) continue
    // Of several copies it is the latest: what became of those before is not known.
    for (let at = all.length - 1; at >= 0; at--) {
      const one = all[at] as Copied
      const { key, name, value } = one
      if (same.has(key) || others[key] !== value) continue
      const own = nameOf(key)
      const isSame = own?.path === name.path && isSameAlias(own?.alias, name.alias)
      if (!isSame) continue
      same.add(key)
      // What has the value under another name too is read by that.
      if (!isRenamed(one, others)) all.splice(at, 1)
    }
  }
  return same
}

/** Whether an object has another name too, where it did not before. */
function isRenamed({ key, value, from }: Copied, others: Variables): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.keys(others).some(
    (other) => other !== key && others[other] === value && Reflect.get(from, other) !== value,
  )
}

/**
 * What was copied and is not watched in what it was copied into counts as read: called once a body has ended.
 *
 * @throws CacheTagError: the fragment does not vary on it, and its rules are strict.
 */
export function readCopied(frame: TemplateFrame): void {
  const left = copied.get(frame)
  if (left === undefined) return
  copied.set(frame, undefined)
  runSyncIn(frame, () => {
    for (const { name, value } of left) readWhole(name, value)
  })
}
