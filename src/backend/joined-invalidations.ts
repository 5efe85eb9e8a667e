import { isPromise, type MaybePromise } from '../maybe-promise.js'
import { settledWithin } from '../time-limit.js'

/** Milliseconds that an invalidation waits for the one before it: a store may never answer that one. */
const WAIT_MS = 250

/** Most tags that are invalidated together: more would take longer than one caller has. */
const MAX_JOINED = 500

interface Waiting {
  readonly tags: Set<string>
  readonly done: Promise<void>
}

/**
 * Invalidations of one kind. Those that are asked for while one is under way are carried out together
 * after it: each of them has to change the clock of the store and the counters of its tags, and where
 * many do at once, each would wait for all others.
 *
 * @remarks What fails, fails for all that were carried out together.
 */
export class JoinedInvalidations {
  readonly #invalidate: (tags: readonly string[]) => MaybePromise<void>
  #running: Promise<void> | undefined
  #waiting: Waiting | undefined

  constructor(invalidate: (tags: readonly string[]) => MaybePromise<void>) {
    this.#invalidate = invalidate
  }

  /** Invalidates tags, by a call that begins after this one. */
  add(tags: readonly string[]): MaybePromise<void> {
    if (this.#running === undefined) return this.#run(tags)
    const size = this.#waiting?.tags.size ?? 0
    if (size + tags.length > MAX_JOINED) return this.#invalidate(tags)
    const waiting = (this.#waiting ??= this.#wait(this.#running))
    for (const tag of tags) waiting.tags.add(tag)
    return waiting.done
  }

  #run(tags: readonly string[]): MaybePromise<void> {
    const result = this.#invalidate(tags)
    if (!isPromise(result)) return result
    const ended = () => {
      if (this.#running === running) this.#running = undefined
    }
    const running = result.then(ended, ended)
    this.#running = running
    return result
  }

  #wait(running: Promise<void>): Waiting {
    const tags = new Set<string>()
    const begin = () => {
      this.#waiting = undefined
      return this.#run([...tags])
    }
    return { tags, done: settledWithin(running, WAIT_MS, () => Promise.resolve()).then(begin) }
  }
}
