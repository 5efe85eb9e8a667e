import { composed } from '../backend/core.js'
import type { OwnStore, WriteEntry, WriteOutcome } from '../backend/store.js'
import { Cache } from '../cache.js'
import type { CacheSettings } from '../settings.js'

/**
 * A cache that stores nothing, for development. It answers at once.
 *
 * @see Django, "Dummy caching (for development)"
 */
export class DummyCache extends Cache {
  /** Written out, because minifiers shorten the names of classes. */
  static override readonly name: string = 'DummyCache'
  override readonly answersAtOnce = true
  override readonly isShared = false

  /** @throws InvalidCacheBackendError: a setting is unknown or of the wrong kind. */
  constructor(settings: CacheSettings = {}) {
    super(
      settings,
      {},
      composed(() => ({ store: NOTHING })),
    )
  }
}

const NOTHING: OwnStore<unknown> = {
  keepsNothing: true,
  readEntries: (keys) => keys.map(() => undefined),
  writeEntries: (entries: readonly WriteEntry<unknown>[]): WriteOutcome[] =>
    entries.map(() => 'stored'),
  removeEntries: (keys) => keys.map(() => false),
  touchEntry: () => false,
  incrementEntry: () => undefined,
  readDeadline: () => undefined,
  removeAll: () => undefined,
}
