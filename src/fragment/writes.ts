import type { CacheCore } from '../backend/core.js'
import type { CacheRefusal } from '../backend/refusal.js'
import type { StoreRequest } from '../backend/entries.js'
import type { WriteOutcome } from '../backend/store.js'
import type { Attempt } from './attempt.js'

/** What a batch of attempts stores: inner before outer, one write per cache. */
export class WriteBatch {
  readonly #writes = new Map<CacheCore, Write[]>()

  /**
   * Ends an attempt's body; its text is stored by {@link flush}, or at once where others wait for it.
   *
   * @param isUnfit - Whether its text must not be stored after all, where it is stored at once.
   */
  async complete(attempt: Attempt, text: string, isUnfit = false): Promise<void> {
    let request: StoreRequest | undefined
    try {
      request = await attempt.complete(text)
    } catch (error) {
      attempt.fail(error)
      throw error
    }
    if (request === undefined) return attempt.unstored()
    const { cache } = attempt.fragment
    if (attempt.isUnderLease) {
      if (isUnfit) attempt.unstored('incomplete')
      else await store(cache, [{ attempt, request }])
      return
    }
    const writes = this.#writes.get(cache)
    if (writes === undefined) this.#writes.set(cache, [{ attempt, request }])
    else writes.push({ attempt, request })
  }

  /** @param isUnfit - Whether the text of an attempt must not be stored after all. */
  async flush(isUnfit: (attempt: Attempt) => boolean = () => false): Promise<void> {
    const writes = [...this.#writes]
    this.#writes.clear()
    await Promise.all(
      writes.map(async ([cache, batch]) => {
        const fit = batch.filter(({ attempt, request }) => {
          const unfitness =
            attempt.unfitness(request) ?? (isUnfit(attempt) ? 'incomplete' : undefined)
          if (unfitness !== undefined) attempt.unstored(unfitness)
          return unfitness === undefined
        })
        if (fit.length > 0) await store(cache, fit)
      }),
    )
  }
}

interface Write {
  readonly attempt: Attempt
  readonly request: StoreRequest
}

async function store(cache: CacheCore, writes: readonly Write[]): Promise<void> {
  let outcomes: readonly (WriteOutcome | CacheRefusal)[] | undefined
  try {
    outcomes = await cache.tryStore(
      writes.map(({ attempt }) => attempt.fragment.variant.key),
      writes.map(({ request }) => request),
    )
  } finally {
    // Whatever happened, nobody may join these any more.
    writes.forEach(({ attempt }, i) => attempt.written(outcomes?.[i]))
  }
}
