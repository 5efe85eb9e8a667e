import { InvalidCacheKeyError, show } from './errors.js'

/** An entry's version: part of its stored key. */
export type Version = number | string

/**
 * Makes a stored key from the key that the caller passes.
 *
 * @see Django, "Cache key transformation" (`KEY_FUNCTION`)
 */
export type KeyFunction = (key: string, keyPrefix: string, version: Version) => string

/** Longest stored key, in bytes of UTF-8, that every backend takes. */
export const MAX_KEY_BYTES = 250

/** One process may load two copies of this package. Each tells by identity which caches have the default. */
const DEFAULT = Symbol.for('fragcache.keys.default.1')

const scope = globalThis as { [DEFAULT]?: KeyFunction }

/** `prefix:version:key`, byte for byte Django's. */
export const defaultKeyFunction: KeyFunction = (scope[DEFAULT] ??= (key, keyPrefix, version) =>
  `${keyPrefix}:${version}:${key}`)

/** Why a stored key is not portable. */
export type KeyFault = 'too_long' | 'bad_characters'

/**
 * Looks for what makes a stored key unusable in Memcached.
 *
 * @returns The faults, none for a portable key.
 * @throws TypeError: the key holds a lone surrogate, which has no UTF-8, so that two keys would
 *   become one in every backend that stores bytes.
 * @remarks Django counts characters, this counts bytes, as Memcached itself does.
 */
export function findKeyFaults(storedKey: string): readonly KeyFault[] {
  if (isPortable(storedKey, MAX_KEY_BYTES)) return NO_FAULTS
  if (!storedKey.isWellFormed()) {
    throw new TypeError(
      `key: ${show(storedKey)} holds a lone surrogate, which has no UTF-8 form; remove it (String.prototype.toWellFormed) or encode the key`,
    )
  }
  const faults: KeyFault[] = []
  if (Buffer.byteLength(storedKey) > MAX_KEY_BYTES) faults.push('too_long')
  if (BAD_CHARACTER.test(storedKey)) faults.push('bad_characters')
  return faults
}

/** Whether a key is a text of visible ASCII of at most so many bytes: nothing else to check. */
export function isPortable(key: unknown, maxBytes: number): boolean {
  // An expression: to read one character after the other takes about three times as long.
  return (
    typeof key === 'string' && key !== '' && key.length <= maxBytes && !NOT_VISIBLE_ASCII.test(key)
  )
}

const NOT_VISIBLE_ASCII = /[^!-~]/

const BAD_CHARACTER = /[\0-\x20\x7f]/

const NO_FAULTS: readonly KeyFault[] = Object.freeze([])

const warned = new Set<KeyFault>()

/** Says once per kind of fault and process that a key would not work with Memcached. */
export function warnOfKey(storedKey: string, faults: readonly KeyFault[]): void {
  for (const fault of faults) {
    if (warned.has(fault)) continue
    warned.add(fault)
    process.emitWarning(describeKeyFault(storedKey, fault), {
      type: 'CacheKeyWarning',
      code: fault === 'too_long' ? 'FRAGCACHE_KEY_TOO_LONG' : 'FRAGCACHE_KEY_BAD_CHARACTERS',
    })
  }
}

/**
 * Refuses keys that Memcached cannot take.
 *
 * @throws InvalidCacheKeyError
 */
export function refuseKey(storedKey: string, faults: readonly KeyFault[]): void {
  const fault = faults[0]
  if (fault !== undefined) throw new InvalidCacheKeyError(describeKeyFault(storedKey, fault))
}

function describeKeyFault(storedKey: string, fault: KeyFault): string {
  return fault === 'too_long'
    ? `the stored key ${show(storedKey)} is longer than ${MAX_KEY_BYTES} bytes and would fail with Memcached; shorten or hash it`
    : `the stored key ${show(storedKey)} holds a space or control character and would fail with Memcached; encode it`
}

/** @throws TypeError: no string, or empty. */
export function checkKey(key: unknown): asserts key is string {
  if (typeof key === 'string' && key !== '') return
  throw new TypeError(
    `key: ${key === '' ? 'the empty string' : show(key)} is not a key; give a string of at least one character`,
  )
}

/** @throws TypeError: neither a number nor a text. */
export function checkVersion(version: unknown): asserts version is Version {
  if (typeof version === 'string') return
  if (typeof version === 'number' && Number.isFinite(version)) return
  throw new TypeError(`version: ${show(version)} is not a version; give a number (or a string)`)
}
