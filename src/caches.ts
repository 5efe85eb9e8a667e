import { didYouMean } from './did-you-mean.js'
import { coreOf, type CacheCore, hasCore } from './backend/core.js'
import { stillThere } from './backend/still-there.js'
import type { Cache } from './cache.js'
import type { Invalidating } from './backend/late-invalidations.js'
import { toInvalidating, type InvalidateOptions } from './cache-options.js'
import { messageOfError } from './error-text.js'
import { InvalidCacheBackendError, show } from './errors.js'
import type { ServerStats } from './server-stats.js'
import { toDependents, type Dependents } from './observe/dependents.js'
import type { RememberedEntries } from './observe/remembered.js'
import { statsOf, visitStats, type CachesStats, type StatsVisitor } from './observe/stats.js'
import { CachesTallies } from './observe/tally.js'
import { warnOfLocalMemory } from './several-processes.js'
import { checkTags } from './tags.js'
import { withinLimit } from './time-limit.js'

/** One process may load two copies of this package. */
const TALLIES = Symbol.for('fragcache.caches.tallies.1')

/** What the language itself reads of an object that is awaited, or written as JSON. */
const ASKED_OF_ANYTHING: readonly (string | symbol)[] = ['then', 'toJSON']

/**
 * Caches by alias. Each is also a property of the object under its alias. To read a property whose name is
 * like an alias, but is none, throws as `get` does.
 *
 * @typeParam A - The aliases. Default: any text, for aliases that come from a configuration.
 * @see Django, `django.core.cache.caches`
 */
export class Caches<A extends string = string> {
  static {
    const above = new Proxy(Object.prototype, {
      get(target, name, receiver: unknown): unknown {
        if (isObject(receiver) && #caches in receiver) receiver.#refuseMisspelt(name)
        return Reflect.get(target, name, receiver)
      },
    })
    // Asked for what is neither an alias nor a member: these cost no more than without it.
    Object.setPrototypeOf(this.prototype, above)
  }

  readonly #caches = new Map<string, Cache>()
  readonly #tallies = new CachesTallies()
  readonly #self = new WeakRef<Caches>(this)

  /**
   * @throws InvalidCacheBackendError: an alias is the name of a method, or a value is not a cache.
   */
  constructor(caches: Readonly<Record<A, Cache>>) {
    if (typeof caches !== 'object' || (caches as unknown) === null) {
      throw new InvalidCacheBackendError(
        `createCaches: ${show(caches)} is not a set of caches; give an object such as { default: new LocMemCache() }`,
      )
    }
    if (Array.isArray(caches)) {
      throw new InvalidCacheBackendError(
        'createCaches: a list gives the caches no names; give { default: …, pages: … }',
      )
    }
    if (isCache(caches)) {
      throw new InvalidCacheBackendError(
        `createCaches: ${show(caches)} is a cache without a name; give { default: … }`,
      )
    }
    for (const [alias, cache] of Object.entries(caches)) this.#add(alias, cache)
    const kept = [...this.#caches].map(([alias, cache]) => {
      return { alias, backend: coreOf(cache).backendName, isShared: cache.isShared }
    })
    warnOfLocalMemory(kept)
    Object.defineProperty(this, TALLIES, { value: this.#tallies })
    open.add(this.#self)
    forgotten.register(this, this.#self)
  }

  #add(alias: string, cache: unknown): void {
    if (alias === '' || alias in this) {
      throw new InvalidCacheBackendError(
        `createCaches: the alias ${JSON.stringify(alias)} is not free; choose another name`,
      )
    }
    if (!isCache(cache)) {
      throw new InvalidCacheBackendError(
        `createCaches: ${alias}: ${show(cache)} is not a cache; give an instance such as ${exampleFor(cache)}`,
      )
    }
    // A cache under two aliases keeps the first as its name in messages.
    if (cache.alias === '') (cache as { alias: string }).alias = alias
    this.#caches.set(alias, cache)
    Object.defineProperty(this, alias, { value: cache, enumerable: true })
  }

  /** @throws InvalidCacheBackendError: no cache has this alias. */
  get(alias: A): Cache {
    const cache = this.#caches.get(alias)
    if (cache !== undefined) return cache
    const known = this.aliases.map((one) => JSON.stringify(one)).join(', ')
    throw new InvalidCacheBackendError(
      `unknown cache ${show(alias)}; the caches are ${known === '' ? '(none)' : known}${didYouMean(alias, this.aliases)}`,
    )
  }

  /** Others ask any object for what it may have: only what is like an alias was meant to be one. */
  #refuseMisspelt(name: string | symbol): void {
    if (name in Object.prototype || ASKED_OF_ANYTHING.includes(name)) return
    if (didYouMean(name, this.aliases) !== '') this.get(name as A)
  }

  /** Whether a cache has this alias. */
  has(alias: string): boolean {
    return this.#caches.has(alias)
  }

  /** The aliases, in the order in which the caches were passed. */
  get aliases(): A[] {
    return [...this.#caches.keys()] as A[]
  }

  /**
   * Invalidates tags in every cache.
   *
   * @param options.soft - Makes entries stale instead of gone, see `Cache.invalidateTags`.
   * @throws The first failure, after all caches were tried.
   * @remarks It works in rounds, at most one per cache, if a store is not in this process: see
   *   `docs/consistency-how.md`, "Several caches".
   */
  async invalidateTags(tags: readonly string[], options: InvalidateOptions = {}): Promise<void> {
    await inEach(this, (cache) => cache.invalidateTags(tags, options))
    await invalidateAgain(this, () => checkTags(tags), toInvalidating(options))
  }

  /**
   * Returns what {@link invalidateTags} would drop, as far as this process knows: the entries that it stored
   * and remembers, and that are still there. It asks the stores for their keys, and reads no entry.
   *
   * @throws TypeError: `tags` is not a list of texts, or a text is empty.
   */
  async explainTags(tags: readonly string[]): Promise<Dependents> {
    const stored = checkTags(tags)
    return explainStoredTags(this, () => stored)
  }

  /**
   * Asks the stores for their own figures: entries, bytes, hits and misses of all their clients.
   *
   * @returns By alias, the figures of all stores that have any. If a store fails, or does not answer in time,
   *   its figures have `error`. The promise never rejects.
   */
  async serverStats(): Promise<Readonly<Record<string, ServerStats>>> {
    const asked = new Map<Cache, Promise<ServerStats | undefined>>()
    for (const cache of eachOf(this)) asked.set(cache, serverStatsOf(cache))
    const found: [string, ServerStats][] = []
    for (const [alias, cache] of this.#caches) {
      const stats = await asked.get(cache)
      if (stats !== undefined) found.push([alias, stats])
    }
    return Object.fromEntries(found)
  }

  /**
   * Returns what the caches, fragments and pages did in this process: hits, misses, the time of bodies and
   * reads, and the time saved. Counting is always on, and costs a hit next to nothing.
   *
   * @returns A snapshot. It distinguishes at most 10 000 fragment names and as many routes; all others count
   *   under `(others)`.
   */
  stats(): CachesStats {
    return statsOf(coresOf(this), this.#tallies)
  }

  /** Restarts counting: the figures of {@link stats} are zero from now on. */
  resetStats(): void {
    this.#tallies.reset()
    for (const cache of this.#caches.values()) coreOf(cache).counts.reset()
  }

  /** Closes every cache. @throws The first failure, after all caches were tried. */
  async close(): Promise<void> {
    open.delete(this.#self)
    await inEach(this, (cache) => cache.close())
  }
}

const open = new Set<WeakRef<Caches>>()
const forgotten = new FinalizationRegistry<WeakRef<Caches>>((self) => open.delete(self))

/** Those of this process that are in use and were not closed. */
export function cachesInUse(): Caches[] {
  return [...open].flatMap((self) => self.deref() ?? [])
}

/** Whatever the number of its aliases, each cache once. */
export function eachOf(caches: Caches): Cache[] {
  return [...new Set(caches.aliases.map((alias) => caches.get(alias)))]
}

/** @throws The first failure, after all were tried. */
async function inEach(caches: Caches, action: (cache: Cache) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(eachOf(caches).map(action))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/** Invalidates in each cache the stored tags that are to be invalidated there. */
export async function invalidateStoredTags(
  caches: Caches,
  tagsFor: (cache: Cache) => readonly string[],
  how: Invalidating = {},
): Promise<void> {
  await inEach(caches, (cache) => coreOf(cache).invalidateStoredTags(tagsFor(cache), how))
  await invalidateAgain(caches, tagsFor, how)
}

/** What the process remembers of each of the caches. */
export function rememberedOf(caches: Caches): RememberedEntries[] {
  return eachOf(caches).map((cache) => coreOf(cache).remembered)
}

/** What {@link invalidateStoredTags} would drop. */
export async function explainStoredTags(
  caches: Caches,
  tagsFor: (cache: Cache) => readonly string[],
): Promise<Dependents> {
  const asked = eachOf(caches).map((cache) => {
    const tags = tagsFor(cache)
    return stillThere(coreOf(cache), (entry) => tags.some((tag) => entry.tags.has(tag)))
  })
  return toDependents(await Promise.all(asked))
}

/**
 * What is stored in one cache may be made from what is in another, and that from a third. While a slow one is
 * being invalidated, others may make something from its old entries: the next round reaches that.
 */
async function invalidateAgain(
  caches: Caches,
  tagsFor: (cache: Cache) => readonly string[],
  how: Invalidating,
): Promise<void> {
  const each = eachOf(caches)
  const late = each.filter((cache) => cache.isShared || !cache.answersAtOnce).length
  const rounds = Math.min(each.length, 1 + late)
  for (let round = 2; round <= rounds; round++) {
    await inEach(caches, (cache) => coreOf(cache).invalidateAgain(tagsFor(cache), how))
  }
}

/** What is counted of the fragments and the pages in caches. */
export function talliesOf(caches: Caches): CachesTallies {
  return (caches as unknown as { readonly [TALLIES]: CachesTallies })[TALLIES]
}

function coresOf(caches: Caches): ReadonlyMap<string, CacheCore> {
  return new Map(caches.aliases.map((alias) => [alias, coreOf(caches.get(alias))] as const))
}

/** What {@link Caches.stats} returns, with each row of fragments and routes given to a visitor instead. */
export function visitStatsOf(
  caches: Caches,
  visitor: StatsVisitor = {},
): Pick<CachesStats, 'sinceMs' | 'aliases'> {
  return visitStats(coresOf(caches), talliesOf(caches), visitor)
}

async function serverStatsOf(cache: Cache): Promise<ServerStats | undefined> {
  const core = coreOf(cache)
  try {
    return await withinLimit(core.readOwnServerStats())
  } catch (error) {
    return { backend: core.backendName, error: messageOfError(error) }
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function isCache(value: unknown): value is Cache {
  return hasCore(value)
}

/** Structural, since one process may load two copies of this package. A cache alone has no aliases. */
export function isCaches(value: unknown): value is Caches {
  if (value instanceof Caches) return true
  if (typeof value !== 'object' || value === null) return false
  const { aliases, get, has, invalidateTags } = value as Partial<Caches>
  return (
    Array.isArray(aliases) &&
    [get, has, invalidateTags].every((method) => typeof method === 'function')
  )
}

/**
 * Creates named caches.
 *
 * @example
 * const caches = createCaches({ default: new LocMemCache() })
 * await caches.default.set('greeting', 'hello')
 */
export function createCaches<const C extends Readonly<Record<string, Cache>>>(
  caches: C,
): NamedCaches<C>
export function createCaches(
  caches: Readonly<Record<string, Cache>>,
  ...more: readonly unknown[]
): Caches {
  if (more.length > 0) {
    throw new InvalidCacheBackendError(
      `createCaches: a second argument, ${show(more[0])}, was given, and it takes one; give settings to each cache, such as { default: new LocMemCache({ timeout: 60 }) }`,
    )
  }
  return new Caches(caches)
}

type AliasOf<C> = `${Exclude<keyof C, symbol>}`

/** What {@link createCaches} returns: it knows the aliases, and the type of each cache. */
export type NamedCaches<C> = (string extends AliasOf<C> ? unknown : KnowsAliases<AliasOf<C>>) &
  Caches<AliasOf<C>> &
  C

interface KnowsAliases<A extends string> {
  /** Whether a cache has this alias. If so, you can pass the alias to `get`. */
  has(alias: string): alias is A
}

/** How a cache is written for what was given in its place: a class, or an object as other frameworks take it. */
function exampleFor(given: unknown): string {
  const { backend, BACKEND = backend } = Object(given) as Readonly<Record<string, unknown>>
  const named = typeof given === 'function' ? given : BACKEND
  const path: unknown = typeof named === 'function' ? named.name : named
  const name = typeof path === 'string' ? path.slice(path.lastIndexOf('.') + 1) : ''
  return /^[A-Z]\w*Cache$/.test(name)
    ? `new ${name}({ location, timeout, options })`
    : 'new LocMemCache()'
}
