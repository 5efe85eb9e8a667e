import { coreOf, type CacheCore } from '../../backend/core.js'
import type { Cache } from '../../cache.js'
import type { MaybePromise } from '../../maybe-promise.js'

/** The cache that all processes share, behind a tiered one. */
export class Remote {
  readonly core: CacheCore
  readonly #cache: Cache
  readonly #alias: () => string

  /** @param alias - Of the tiered cache. */
  constructor(cache: Cache, alias: () => string) {
    this.core = coreOf(cache)
    this.#cache = cache
    this.#alias = alias
  }

  /** Asks it something: its own time limit, circuit and reports of outages apply. */
  ask<T>(operation: string, action: (core: CacheCore) => MaybePromise<T>): MaybePromise<T> {
    this.name()
    return this.core.guard.run(operation, () => action(this.core))
  }

  /** In messages and at the server it has the name of the tiered cache. */
  name(): void {
    const alias = this.#alias()
    if (this.#cache.alias !== '' || alias === '') return
    ;(this.#cache as { alias: string }).alias = alias
  }

  async close(): Promise<void> {
    await this.#cache.close()
  }
}
