import { AssertionError } from 'node:assert'
import { coreOf, type CacheCore } from '../../src/backend/core.js'
import type { Cache } from '../../src/cache.js'
import { checkOptions } from '../../src/cache-options.js'
import { didYouMean } from '../../src/did-you-mean.js'
import { show } from '../../src/errors.js'
import { nodeCrypto } from '../../src/node-crypto.js'
import { checkTags, userTag } from '../../src/tags.js'
import { eachCache, nameOfCache, type TestedCaches } from './caches.js'

/** Options of {@link expectDropped}. */
export interface DroppedOptions {
  /**
   * Whether it is enough that entries with the tag are stale, and may be served once more. Default `false`.
   */
  readonly soft?: boolean | undefined
}

/** An entry that is stored to see what becomes of it. */
interface Probe {
  readonly cache: Cache
  readonly key: string
  readonly tag: string
}

/** Seconds; longer than any test takes. */
const PROBE_SECONDS = 3600

/** As many round trips are more than an invalidation takes that was not awaited. */
const LATE_READS = 50

/**
 * Runs an action that changes data, and fails unless every entry with a tag is gone from the caches when the
 * action has ended.
 *
 * It stores an entry with the tag in each of the caches before the action, and looks for it afterwards. So it
 * works for every store, for `clear`, and whether this process or another invalidates the tag.
 *
 * @param tags - One or several tags. Each must be dropped.
 * @param action - What the site does, such as saving a product.
 * @returns What `action` returned.
 * @throws AssertionError: an entry with a tag is still served from a cache, or was dropped only after the
 *   promise of `action` had resolved.
 * @throws What `action` throws.
 */
export async function expectDropped<T>(
  caches: TestedCaches,
  tags: string | readonly string[],
  action: () => T | Promise<T>,
  options: DroppedOptions = {},
): Promise<T> {
  const all = eachCache('expectDropped', caches)
  checkOptions(options, ['soft'])
  const listed = typeof tags === 'string' ? [tags] : tags
  if (checkTags(listed).length === 0) {
    throw new TypeError('expectDropped: tags: give at least one, such as "product:7"')
  }
  if (typeof action !== 'function') {
    throw new TypeError(
      `expectDropped: ${show(action)} is not a function; give what changes the data`,
    )
  }
  const probes = await storeProbes(all, [...new Set(listed)])
  const heard = all.map((cache) => hear(coreOf(cache)))
  try {
    const result = await action()
    const left = await findLeft(probes, options.soft === true)
    if (left.length > 0) await complain(left, heard.map(({ told }) => told).flat())
    return result
  } finally {
    for (const { end } of heard) end()
    for (const { cache, key } of probes) await cache.delete(key).catch(() => undefined)
  }
}

async function storeProbes(caches: readonly Cache[], tags: readonly string[]): Promise<Probe[]> {
  const probes: Probe[] = []
  for (const cache of caches) {
    for (const tag of tags) {
      const key = `fragcache.testing.${nodeCrypto().randomUUID()}`
      const timeout = PROBE_SECONDS
      await cache.set(key, tag, { timeout, tags: [tag], staleWhileRevalidate: timeout })
      if ((await cache.get(key)) !== tag) {
        throw new AssertionError({
          message: `expectDropped: the cache ${nameOfCache(cache)} does not keep what is stored in it, so that it cannot be told what is dropped; take a LocMemCache in tests, or see whether its store is up`,
          operator: 'expectDropped',
          stackStartFn: expectDropped,
        })
      }
      probes.push({ cache, key, tag })
    }
  }
  return probes
}

/** A probe that is still there. */
interface Left extends Probe {
  /** It was softly invalidated. */
  readonly isStale: boolean
}

async function findLeft(probes: readonly Probe[], isSoftEnough: boolean): Promise<Left[]> {
  const left: Left[] = []
  for (const probe of probes) {
    const { cache, key } = probe
    const isServed = (await cache.get(key)) !== undefined
    if (!isServed && (isSoftEnough || (await cache.describe(key)) === undefined)) continue
    left.push({ ...probe, isStale: !isServed })
  }
  return left
}

async function complain(left: readonly Left[], told: readonly string[]): Promise<never> {
  const tags = [...new Set(left.map(({ tag }) => tag))]
  const where = [...new Set(left.map(({ cache }) => nameOfCache(cache)))].join(', ')
  const list = `[${tags.map((tag) => JSON.stringify(tag)).join(', ')}]`
  const isStale = left.every((one) => one.isStale)
  const isLate = !isStale && (await isDroppedLate(left))
  const what = tags.length === 1 ? `the tag ${JSON.stringify(tags[0])}` : `the tags ${list}`
  const lines = [
    isStale
      ? `expectDropped: what has ${what} is stale and not dropped: ${where}`
      : `expectDropped: what has ${what} is still served when the function has ended: ${where}`,
  ]
  if (isStale) {
    lines.push(
      'It was invalidated with `soft`: callers that allow stale entries get it once more.',
      'What to do: leave `soft` out where the data changes, or give { soft: true } here if that is meant.',
    )
  } else if (isLate) {
    lines.push(
      'It was dropped a moment later: the promise of the function resolves before the invalidation is carried out.',
      'What to do: await `invalidateTags` in what the function calls.',
    )
  } else {
    const others = [...new Set(told)].filter((tag) => !tags.includes(tag))
    lines.push(
      others.length === 0
        ? told.length === 0
          ? 'Nothing was invalidated in this process meanwhile.'
          : 'It was invalidated in another cache, or before the function had changed the data.'
        : `Invalidated meanwhile: ${others.map((tag) => JSON.stringify(tag)).join(', ')}${others.map((tag) => didYouMean(tag, tags)).join('')}`,
      `What to do: \`await caches.invalidateTags(${list})\` where the data changes: of \`caches\`, so that it is done in each of them.`,
    )
  }
  throw new AssertionError({
    message: lines.join('\n  '),
    operator: 'expectDropped',
    stackStartFn: expectDropped,
  })
}

async function isDroppedLate(left: readonly Left[]): Promise<boolean> {
  for (let read = 0; read < LATE_READS; read++) {
    if ((await findLeft(left, true)).length === 0) return true
  }
  return false
}

type Listener = (tags: readonly string[]) => void

/** Who listens to the invalidations of a cache. */
const listeners = new WeakMap<CacheCore, Set<Listener>>()

/** Notes the tags of users that are invalidated in a cache, until the end. */
function hear(core: CacheCore): { readonly told: string[]; readonly end: () => void } {
  const told: string[] = []
  const prefix = userTag('')
  const listener: Listener = (tags) => {
    for (const tag of tags) if (tag.startsWith(prefix)) told.push(tag.slice(prefix.length))
  }
  const heard = listeners.get(core) ?? openTo(core)
  heard.add(listener)
  return { told, end: () => heard.delete(listener) }
}

function openTo(core: CacheCore): Set<Listener> {
  const heard = new Set<Listener>()
  const invalidate = core.invalidateStoredTags.bind(core)
  core.invalidateStoredTags = (tags, how) => {
    for (const listener of heard) listener(tags)
    return invalidate(tags, how)
  }
  listeners.set(core, heard)
  return heard
}
