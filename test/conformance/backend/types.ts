import type { Cache, CacheSettings } from '../../../src/index.js'

/** The settings that the suite sets. The backend's author sets the others. */
export type SuiteSettings = Pick<
  CacheSettings,
  'timeout' | 'keyPrefix' | 'version' | 'keyFunction' | 'ignoreErrors' | 'lock'
>

/** The sets of settings that the suite runs with. */
export type VariantName = 'plain' | 'prefix' | 'version' | 'keyFunction'

/**
 * What a backend cannot do although others can. Declare each difference with its reason, which the names of
 * the tests show.
 */
export interface BackendDifferences {
  /** The backend stores nothing; the suite checks only the arguments. */
  readonly keepsNothing?: string | undefined
  /** Deadlines are whole seconds, so that an entry may live up to a second longer. */
  readonly wholeSecondClock?: string | undefined
  /** Keys over 250 bytes, or with a space or control character, are an `InvalidCacheKeyError`. */
  readonly portableKeysOnly?: string | undefined
  /** A value of 2 MiB is refused as too large. */
  readonly refusesLargeValues?: string | undefined
}

/** Makes the store of a backend fail, and work again. */
export interface BackendOutage {
  /** When it has ended, the store fails. */
  readonly begin: () => void | Promise<void>
  /** When it has ended, the store works again. */
  readonly end: () => void | Promise<void>
  /** Maximum number of seconds a call may take to fail. Default 1.5. */
  readonly limitSeconds?: number | undefined
}

/** A backend as the suite sees it. */
export interface BackendUnderTest {
  /** Empties the store, or switches to a new one. Called before each test. */
  readonly reset: () => void | Promise<void>
  /** Creates a cache over the store. All caches of one test share it. The suite closes them. */
  readonly create: (settings: SuiteSettings) => Cache | Promise<Cache>
  /** Called after each test. */
  readonly release?: (() => void | Promise<void>) | undefined
  /**
   * Lets time pass for the store, at once, as with a fake clock. Default: the suite really waits, a second or
   * two at a time and about a minute in all, and skips what only a clock can show.
   */
  readonly advance?: ((seconds: number) => void | Promise<void>) | undefined
  /** Default: failures are not tested. */
  readonly outage?: BackendOutage | undefined
  /** Replaces the stored bytes of the entry with a stored key. Default: damage is not tested. */
  readonly damage?: ((storedKey: string, bytes: Uint8Array) => void | Promise<void>) | undefined
  readonly differences?: BackendDifferences | undefined
  /** The variants to test. Default: all. */
  readonly variants?: readonly VariantName[] | undefined
}
