/**
 * How often, at most, a `clear` goes through a store that it cannot empty at one moment.
 *
 * What is made during a round from an entry that is still to go may be stored where the round has been: the next one
 * removes it. A round that finds nothing is the last one. Only where each of so many values is made from the one
 * before, and each within one round, is one left: under load there is always something to find.
 */
export const CLEAR_ROUNDS = 5

/** @param round - Removes all that there is. Gives how many entries that were. */
export async function clearInRounds(round: () => Promise<number>): Promise<void> {
  for (let i = 0; i < CLEAR_ROUNDS; i++) if ((await round()) === 0) return
}
