import { coreOf, type CacheCore } from '../../src/backend/core.js'
import { expiredAt } from '../../src/backend/expired.js'
import { rememberedOf, type Caches } from '../../src/caches.js'
import { describeEntryOf, kindOf } from '../../src/pages/listed.js'
import type { MissCause } from '../../src/observe/miss-cause.js'
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
  const found = await describeEntryOf(cache, key, { version })
  if (found === undefined) {
    const storedKey = cache.makeKey(key, version)
    const cause = await causeOfMissing(caches, coreOf(cache), key, storedKey)
    return {
      found: false,
      alias,
      key,
      version: given,
      storedKey,
      ...(cause !== undefined && { cause }),
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

/**
 * Why there is no entry, by what the store still has of it and by what this process remembers.
 *
 * @returns `undefined`: neither knows.
 */
async function causeOfMissing(
  caches: Caches,
  core: CacheCore,
  key: string,
  storedKey: string,
): Promise<MissCause | undefined> {
  const looked = await core.tryRead(() => core.entries.lookup([storedKey], [], { isCurrent: true }))
  const expiredAtMs = await core.tryRead(() => expiredAt(core, storedKey))
  const lost = looked?.lost?.[0] ?? (expiredAtMs === undefined ? undefined : { expiredAtMs })
  const kind = kindOf(key)
  const elsewhere = [...core.remembered.all()].find(({ subject }) => subject.key === key)
  const subject = elsewhere?.subject ?? { kind, name: key, key, variant: [] }
  const siblings = rememberedOf(caches)
  const cause = core.remembered.causeOf(subject, storedKey, lost, true, siblings)
  // Values without tags are not remembered.
  return kind === 'value' && cause.code === 'not-stored' ? undefined : cause
}
