import type { Cache, CacheSettings } from '../../../src/index.js'

/** What the suite sets; the rest of a backend's settings are its author's. */
export type SuiteSettings = Pick<
  CacheSettings,
  'timeout' | 'keyPrefix' | 'version' | 'keyFunction' | 'ignoreErrors' | 'lock'
>

/** Which settings the suite runs under. */
export type VariantName = 'plain' | 'prefix' | 'version' | 'keyFunction'

/**
 * Where a backend cannot do what others do. Each is declared with its reason, which stands in the
 * names of the tests.
 */
export interface BackendDifferences {
  /** Nothing is stored; only the arguments are checked. */
  readonly keepsNothing?: string | undefined
  /** Deadlines are whole seconds, so that an entry may live up to a second longer. */
  readonly wholeSecondClock?: string | undefined
  /** Keys over 250 bytes, or with a space or control character, are an `InvalidCacheKeyError`. */
  readonly portableKeysOnly?: string | undefined
  /** A value of 2 MiB is refused as too large. */
  readonly refusesLargeValues?: string | undefined
}

/** How to make the store of a backend fail and work again. */
export interface BackendOutage {
  /** From its end on the store fails. */
  readonly begin: () => void | Promise<void>
  /** From its end on the store works again. */
  readonly end: () => void | Promise<void>
  /** Most seconds a call may take to fail. Default 1.5. */
  readonly limitSeconds?: number | undefined
}

/** A backend as the suite sees it. */
export interface BackendUnderTest {
  /** Empties the store, or takes a new one. Called before each test. */
  readonly reset: () => void | Promise<void>
  /** Makes a cache over the store. All caches of one test share it. The suite closes them. */
  readonly create: (settings: SuiteSettings) => Cache | Promise<Cache>
  /** Called after each test. */
  readonly release?: (() => void | Promise<void>) | undefined
  /**
   * Lets time pass for the store, at once, as with a fake clock. Left out: the suite really waits,
   * a second or two at a time and about a minute in all, and leaves out what only a clock can show.
   */
  readonly advance?: ((seconds: number) => void | Promise<void>) | undefined
  /** Left out: failures are not tested. */
  readonly outage?: BackendOutage | undefined
  /** Puts bytes where the entry of a stored key lies. Left out: damage is not tested. */
  readonly damage?: ((storedKey: string, bytes: Uint8Array) => void | Promise<void>) | undefined
  readonly differences?: BackendDifferences | undefined
  /** Default: all. */
  readonly variants?: readonly VariantName[] | undefined
}
