/** How often, at most, a `clear` goes through a store: under load there is always something to find. */
const MOST_ROUNDS = 5

/**
 * Whether a `clear` of a store that it cannot empty at one moment has to go through it again.
 *
 * What is made during a round from an entry that is still to go may be stored where the round has been: the next one
 * removes it. The first may find nothing since somebody else has removed just that entry.
 *
 * @param rounds - How often it went through it.
 * @param found - How many entries the last round found.
 */
export function needsRound(rounds: number, found: number): boolean {
  return rounds < 2 || (rounds < MOST_ROUNDS && found > 0)
}

/** @param round - Removes all that there is. Gives how many entries that were. */
export async function clearInRounds(round: () => Promise<number>): Promise<void> {
  for (let rounds = 0, found = 0; needsRound(rounds, found); rounds++) found = await round()
}
