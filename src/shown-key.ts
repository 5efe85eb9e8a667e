import { show } from './errors.js'
import { nodeCrypto } from './node-crypto.js'

/**
 * How keys are shown to others. `none`: not at all. `hash`: as a hash, which distinguishes them. `short`: the
 * first twenty characters and a hash of the whole. `full`: unchanged.
 */
export type ShownKeys = 'none' | 'hash' | 'short' | 'full'

const WAYS: readonly unknown[] = ['none', 'hash', 'short', 'full']

/** Characters of a key that the short form keeps. */
const HEAD = 20

/** @throws TypeError: not one of the four ways. */
export function checkShownKeys(caller: string, keys: ShownKeys): ShownKeys {
  if (WAYS.includes(keys)) return keys
  throw new TypeError(
    `${caller}: keys: ${show(keys)} is unknown; known are "none", "hash", "short" and "full"`,
  )
}

/** @returns `undefined` for a key that is not to be shown. */
export function shownKey(key: string, way: ShownKeys): string | undefined {
  switch (way) {
    case 'none':
      return undefined
    case 'hash':
      return `#${hashOf(key)}`
    case 'short':
      return key.length <= HEAD ? key : `${key.slice(0, HEAD)}…#${hashOf(key)}`
    case 'full':
      return key
  }
}

/** A page's address, shown in the same way; the short form is its path, since queries carry secrets. */
export function shownUrl(url: string, way: ShownKeys): string | undefined {
  if (way !== 'short') return shownKey(url, way)
  const path = url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').replace(/[?#].*/s, '')
  return path === '' ? '/' : path
}

/** A text in which these keys may be, for example an error's: they are shown in the same way. */
export function withShownKeys(text: string, keys: readonly string[], way: ShownKeys): string {
  if (way === 'full') return text
  let safe = text
  for (const key of keys) {
    const shown = shownKey(key, way) ?? '…'
    safe = safe.replaceAll(JSON.stringify(key), () => JSON.stringify(shown))
    // Shorter ones would be found within words.
    if (key.length > 5) safe = safe.replaceAll(key, () => shown)
  }
  return safe
}

function hashOf(key: string): string {
  return nodeCrypto().createHash('sha256').update(key).digest('hex').slice(0, 10)
}
