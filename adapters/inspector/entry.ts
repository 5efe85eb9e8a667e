import type { Caches } from '../../src/caches.js'
import { toVersion } from './actions.js'
import type { Entry } from './api.js'
import { RequestFault } from './body.js'
import { previewOf } from './preview.js'

/**
 * Looks at one entry, whatever wrote it.
 *
 * @throws RequestFault: something is missing or of the wrong kind.
 * @throws CacheBackendError: the store failed.
 */
export async function describeEntry(caches: Caches, query: URLSearchParams): Promise<Entry> {
  const alias = query.get('alias') ?? ''
  if (!caches.has(alias)) {
    throw new RequestFault(400, `alias: there is no cache ${JSON.stringify(alias)}.`)
  }
  const key = query.get('key') ?? ''
  if (key === '') throw new RequestFault(400, 'key: give a string of at least one character.')
  const given = query.get('version') ?? ''
  const version = given === '' ? undefined : toVersion(given)
  const cache = caches.get(alias)
  const found = await cache.describe(key, { version })
  if (found === undefined) {
    return {
      found: false,
      alias,
      key,
      version: given,
      storedKey: cache.makeKey(key, version),
      tags: [],
      fragments: [],
      expiresAtMs: null,
      freshUntilMs: null,
      isStale: false,
      previewKind: 'text',
      isTruncated: false,
    }
  }
  const { value, version: itsVersion, ...described } = found
  return {
    ...described,
    ...previewOf(value),
    found: true,
    alias,
    version: String(itsVersion),
  }
}
