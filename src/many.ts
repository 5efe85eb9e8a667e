import { ALL_OF_LOOKUP } from './backend/calls.js'
import type { CacheCore } from './backend/core.js'
import {
  checkKeys,
  checkOptions,
  KEY_OPTIONS,
  SET_OPTIONS,
  tagsOf,
  toPairs,
  toRequest,
  type KeyOptions,
  type SetOptions,
} from './cache-options.js'
import { MisuseError, show } from './errors.js'
import { ValueFault } from './value.js'
import { dependOnFound, isOfInterest, versionsFor, type Values } from './values.js'

/** Reads several values in one round trip. @see Cache.getMany */
export async function getMany(
  core: CacheCore,
  keys: Iterable<string>,
  options: KeyOptions,
): Promise<Map<string, unknown>> {
  const asked = [...new Set(checkKeys(keys))]
  checkOptions(options, KEY_OPTIONS)
  const storedKeys = asked.map((key) => core.keys.checked(key, options.version))
  const found = new Map<string, unknown>()
  if (asked.length === 0) return found
  const read = () => core.entries.lookup(storedKeys, [])
  const lookup = await core.calls.run('getMany', asked, read, undefined, ALL_OF_LOOKUP)
  for (const [i, key] of asked.entries()) {
    const hit = lookup?.hits[i]
    if (hit === undefined) continue
    found.set(key, hit.value)
    if (isOfInterest(hit)) await dependOnFound(core, storedKeys[i] as string, hit)
  }
  return found
}

/** As {@link toRequest}; the error of a value says whose it is. */
function requestOf(core: CacheCore, key: string, value: unknown, options: SetOptions) {
  try {
    return toRequest(core, key, value, options)
  } catch (error) {
    if (!(error instanceof ValueFault)) throw error
    throw new MisuseError(`${show(key)}: ${error.message}`, { cause: error.cause })
  }
}

/** Stores several values in one round trip. @see Cache.setMany */
export async function setMany(
  core: CacheCore,
  values: Values,
  entries: unknown,
  options: SetOptions,
): Promise<string[]> {
  const pairs = toPairs(entries)
  checkOptions(options, SET_OPTIONS)
  const requests = pairs.map(([key, value]) => requestOf(core, key, value, options))
  const tags = tagsOf(options)
  const keys = pairs.map(([key]) => key)
  if (keys.length === 0) return []
  const store = async () => {
    const versions = await versionsFor(core, tags)
    const outcomes = await core.storeEntries(requests.map((one) => ({ ...one, tags: versions })))
    for (const { storedKey } of requests) values.detach(storedKey)
    return keys.filter((_, i) => outcomes[i] !== 'stored')
  }
  const sets = (failed: readonly string[]) => keys.length - failed.length
  return core.calls.run('setMany', keys, store, keys, { sets })
}
