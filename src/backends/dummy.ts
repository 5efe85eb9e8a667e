import type { Hit, WriteEntry, WriteOutcome } from '../backend.js'
import { Cache } from '../cache.js'
import type { CacheSettings } from '../settings.js'

/**
 * A cache that checks its arguments and stores nothing, for development. It answers at once.
 *
 * @see Django, "Dummy caching (for development)"
 */
export class DummyCache extends Cache {
  override readonly answersAtOnce = true
  override readonly isShared = false

  /** @throws InvalidCacheBackendError: a setting is unknown or of the wrong kind. */
  constructor(settings: CacheSettings = {}) {
    super(settings)
  }

  override lookupOne(): Hit | undefined {
    return undefined
  }

  protected override readEntries(keys: readonly string[]): undefined[] {
    return keys.map(() => undefined)
  }

  protected override writeEntries(entries: readonly WriteEntry<unknown>[]): WriteOutcome[] {
    return entries.map(() => 'stored')
  }

  protected override removeEntries(keys: readonly string[]): boolean[] {
    return keys.map(() => false)
  }

  protected override touchEntry(): boolean {
    return false
  }

  protected override incrementEntry(): undefined {
    return undefined
  }

  protected override readDeadline(): undefined {
    return undefined
  }

  protected override removeAll(): void {
    return undefined
  }
}
