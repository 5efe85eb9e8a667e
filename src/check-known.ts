import { didYouMean, type Elsewhere } from './did-you-mean.js'
import { show } from './errors.js'

/**
 * Refuses options that nobody knows.
 *
 * @param caller - The beginning of the message.
 * @param elsewhere - Options that belong in another place, for advice.
 * @throws TypeError: the options are not an object, or have an unknown name.
 */
export function checkKnown(
  caller: string,
  options: unknown,
  known: readonly string[],
  elsewhere?: Elsewhere,
): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    // Django and other libraries take a default, and a timeout, without its name.
    const mayBeTimeout = options === null || typeof options === 'number'
    const bare = known.find((name) => name === 'default' || (name === 'timeout' && mayBeTimeout))
    const hint = bare === undefined ? '' : `; did you mean { ${bare}: … }?`
    throw new TypeError(
      `${caller}: ${show(options)} is not an object of options; known are ${known.join(', ')}${hint}`,
    )
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    throw new TypeError(
      `${caller}: unknown option ${show(name)}; known are ${known.join(', ')}${didYouMean(name, known, elsewhere)}`,
    )
  }
}
