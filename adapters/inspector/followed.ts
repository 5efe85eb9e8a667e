import { figuresSince, type Figures, type Tally } from '../../src/observe/tally.js'
import type { SubjectPoint } from './api.js'
import { MAX_POINTS } from './history.js'

/** More fragments and routes are not followed at once; the one that was asked for longest ago goes first. */
const MAX_FOLLOWED = 50

interface Followed {
  readonly points: SubjectPoint[]
  before: Figures
}

/** What becomes of those fragments and routes that somebody has asked for. */
export class FollowedSubjects {
  readonly #followed = new Map<Tally, Followed>()

  /** The latest last. A requested subject is followed from now on. */
  historyOf(tally: Tally): readonly SubjectPoint[] {
    const known = this.#followed.get(tally)
    const one = known ?? { points: [], before: tally.total() }
    // A map keeps its order: the subject that was requested last comes last.
    this.#followed.delete(tally)
    this.#followed.set(tally, one)
    if (this.#followed.size > MAX_FOLLOWED) {
      const [oldest] = this.#followed.keys()
      if (oldest !== undefined) this.#followed.delete(oldest)
    }
    return one.points
  }

  sample(atMs: number): void {
    for (const [tally, followed] of this.#followed) {
      const now = tally.total()
      const { outcomes, sums } = figuresSince(now, followed.before)
      followed.before = now
      const { hit, stale, miss, joined, bypass, error } = outcomes
      followed.points.push({
        atMs,
        hits: hit + stale,
        others: miss + joined + bypass + error,
        ...(sums.made > 0 && { madeMs: sums.madeMs / sums.made }),
      })
      if (followed.points.length > MAX_POINTS) followed.points.shift()
    }
  }

  /** Nobody looks any more. */
  clear(): void {
    this.#followed.clear()
  }
}
