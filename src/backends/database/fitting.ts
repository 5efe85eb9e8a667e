import { chain, type MaybePromise } from '../../maybe-promise.js'
import { isTooLarge } from './failures.js'
import { inTurn, rescue, split } from './in-turn.js'

/**
 * Does something with all items at once, or in halves where they are more than the database takes with one
 * statement: what it takes is up to who runs it.
 *
 * @returns What each part gave, in the order of the items.
 * @throws Error: one item alone is too large, or something else failed.
 */
export function inFitting<T, U>(
  items: readonly T[],
  action: (some: readonly T[]) => MaybePromise<U>,
): MaybePromise<readonly U[]> {
  return rescue<readonly U[]>(
    () => chain(action(items), (result) => [result]),
    (error) => {
      if (items.length <= 1 || !isTooLarge(error)) throw error
      const halves = split(items, Math.ceil(items.length / 2))
      return chain(
        inTurn(halves, (half) => inFitting(half, action)),
        (results) => results.flat(),
      )
    },
  )
}
