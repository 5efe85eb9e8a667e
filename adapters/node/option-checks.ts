import { didYouMean, type Elsewhere } from '../../src/did-you-mean.js'
import { MisuseError, show } from '../../src/errors.js'

/** Looks for a fault in the value of an option, and says what is wrong with it. */
export type Check = (value: unknown) => string | undefined

/** The options that there are, each with its check. */
export type Checks = Readonly<Record<string, Check>>

/** @param wanted - Completes "… is not". */
export function must(isRight: (value: unknown) => boolean, wanted: string): Check {
  return (value) => (isRight(value) ? undefined : `${show(value)} is not ${wanted}`)
}

/** @param example - Such as `[200, 404]`. */
export function listOf(member: Check, example: string): Check {
  const isList = must(Array.isArray, `a list such as ${example}`)
  return (value) =>
    Array.isArray(value) ? value.map(member).find((fault) => fault !== undefined) : isList(value)
}

/** As {@link listOf}, of at least one member. */
export function filledListOf(member: Check, example: string): Check {
  const isRight = listOf(member, example)
  return (value) =>
    Array.isArray(value) && value.length === 0
      ? `the list is empty; give one such as ${example}`
      : isRight(value)
}

/** For what another function checks. */
export const anything: Check = () => undefined

export const isText = must((value) => typeof value === 'string', 'a string')

export const isBoolean = must((value) => typeof value === 'boolean', 'true or false')

export function isFunction(example: string): Check {
  return must((value) => typeof value === 'function', `a function such as ${example}`)
}

/**
 * Checks the options of a caller. An option that is `undefined` counts as omitted.
 *
 * @param elsewhere - Options that belong in another place, for advice.
 * @throws TypeError: an option is unknown or of the wrong kind, or the options are not an object.
 */
export function checkEachOption(
  caller: string,
  options: unknown,
  checks: Checks,
  elsewhere?: Elsewhere,
): void {
  if (typeof options !== 'object' || options === null) {
    throw new MisuseError(`${caller}: ${show(options)} are not options; give an object`)
  }
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(checks, name)) continue
    const known = Object.keys(checks)
    throw new MisuseError(
      `${caller}: unknown option ${show(name)}; known options are ${known.join(', ')}${didYouMean(name, known, elsewhere)}`,
    )
  }
  for (const [name, check] of Object.entries(checks)) {
    const value = (options as Record<string, unknown>)[name]
    if (value !== undefined) checkOption(caller, name, value, check)
  }
}

/** @throws TypeError: the value is of the wrong kind. */
export function checkOption(caller: string, name: string, value: unknown, check: Check): void {
  const fault = check(value)
  if (fault === undefined) return
  throw new MisuseError(`${caller}: ${name}: ${fault}`)
}
