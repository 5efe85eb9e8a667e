import { BoundedMemo, bytesOfText } from '../bounded-memo.js'
import {
  checkKey,
  checkVersion,
  defaultKeyFunction,
  findKeyFaults,
  isPortable,
  MAX_KEY_BYTES,
  type KeyFault,
  type Version,
} from '../keys.js'
import type { ResolvedSettings } from '../settings.js'
import { tagKey } from '../tags.js'

/** Counters are of one version for all, so that a cache with another default version knows the same tags. */
export const COUNTER_VERSION = 1

/** Makes the stored keys of one cache. */
export class StoredKeys {
  readonly #settings: ResolvedSettings
  readonly #onFaults: (storedKey: string, faults: readonly KeyFault[]) => void
  /** What the default key function puts in front of a key, if that is portable: the usual case. */
  readonly #portablePrefix: string | undefined
  /** Each look-up of an entry asks for the counters of its tags. */
  readonly #counterKeys = new BoundedMemo(bytesOfText)

  constructor(
    settings: ResolvedSettings,
    onFaults: (storedKey: string, faults: readonly KeyFault[]) => void,
  ) {
    this.#settings = settings
    this.#onFaults = onFaults
    const { keyFunction, keyPrefix, version } = settings
    if (keyFunction !== defaultKeyFunction) return
    const prefix = keyFunction('', keyPrefix, version)
    if (isPortable(prefix, MAX_KEY_BYTES)) this.#portablePrefix = prefix
  }

  /** @throws TypeError: the key is no text or empty, or the version is none. */
  make(key: string, version?: Version): string {
    checkKey(key)
    if (version !== undefined) checkVersion(version)
    const { keyFunction, keyPrefix, version: usual } = this.#settings
    const storedKey: unknown = keyFunction(key, keyPrefix, version ?? usual)
    if (typeof storedKey === 'string' && storedKey !== '') return storedKey
    throw new TypeError('keyFunction: it did not return a string; make it return the stored key')
  }

  /** Like {@link make}, and checked for what the store can take. */
  checked(key: string, version?: Version): string {
    const prefix = this.#portablePrefix
    if (version === undefined && prefix !== undefined) {
      if (isPortable(key, MAX_KEY_BYTES - prefix.length)) return prefix + key
    }
    const storedKey = this.make(key, version)
    const faults = findKeyFaults(storedKey)
    if (faults.length > 0) this.#onFaults(storedKey, faults)
    return storedKey
  }

  counterKey(tag: string): string {
    const known = this.#counterKeys.get(tag)
    if (known !== undefined) return known
    const key = this.checked(tagKey(tag), COUNTER_VERSION)
    this.#counterKeys.set(tag, key)
    return key
  }
}
