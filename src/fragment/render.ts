import { toInvalidating, type InvalidateOptions } from '../cache-options.js'
import type { Cache } from '../cache.js'
import { explainStoredTags, invalidateStoredTags, isCaches, type Caches } from '../caches.js'
import { show } from '../errors.js'
import { currentFrame, runAsyncIn } from '../making/frame.js'
import { dependOnHit } from '../making/landed.js'
import type { Old } from '../making/making.js'
import type { Dependents } from '../observe/dependents.js'
import { reportRefresh } from '../observe/channels.js'
import { checkEntryTags, foreignTag, fragmentTag } from '../tags.js'
import { Attempt } from './attempt.js'
import { faults } from './faults.js'
import {
  checkBody,
  checkHoles,
  checkInputs,
  checkCodeOptions,
  checkVaryOn,
  FROM_CODE,
  type FragmentCacheOptions,
  type FragmentOptions,
  type FragmentPlace,
  type FragmentWithBody,
  checkPlace,
} from './from-code.js'
import type { Content } from './hole-parts.js'
import type { HoleRenderer } from './hole-parts.js'
import { showContent } from './holes.js'
import { checkName, makeTemplateFragmentKey } from './key.js'
import { openedOf, openMany } from './open-many.js'
import { textAtOnce } from './open.js'
import { checkAdapterOptions, toSettings, type AdapterOptions } from './options.js'
import { observer } from './shown.js'
import { FragmentResolver, type CodeValues, type Fragment, type TagSite } from './spec.js'
import { openInPlace, runInPlace } from './tag.js'
import { publishServed, toldOfHit } from './telling.js'
import { toText } from './text.js'
import { WriteBatch } from './writes.js'

const NONE: readonly unknown[] = []

/** One process may load two copies of this package. */
const RESOLVER = Symbol.for('fragcache.fragments.resolver.1')

/**
 * Fragments over named caches: a part of a page is looked up, or rendered once and stored.
 *
 * A cache that fails never fails a page: the body runs and nothing is stored.
 *
 * @typeParam A - The configured aliases. Default: any text.
 * @see Django, "Template fragment caching"
 */
export class FragmentCache<A extends string = string> {
  readonly caches: Caches<A>
  /** The options that were passed to the constructor. */
  readonly options: FragmentCacheOptions
  readonly #compat: 'django<6.1' | undefined
  readonly #resolver: FragmentResolver

  /** @throws TypeError: `caches` is not a `Caches`, or an option is invalid. */
  constructor(caches: Caches<A>, options: FragmentCacheOptions = {}) {
    if (!isCaches(caches)) {
      throw new TypeError(
        `caches: ${show(caches)} is not a set of caches; give the result of createCaches`,
      )
    }
    checkCodeOptions(options)
    const { compat } = options
    if (compat !== undefined && (compat as string) !== 'django<6.1') {
      throw new TypeError(`compat: ${show(compat)} is unknown; the only value is "django<6.1"`)
    }
    const settings = toSettings(options)
    this.caches = caches
    this.options = options
    this.#compat = compat
    this.#resolver = new FragmentResolver(caches, compat !== undefined, settings)
    Object.defineProperty(this, RESOLVER, { value: this.#resolver })
  }

  /**
   * Returns the fragment's text: from the cache, or from the body, whose text is then stored.
   *
   * @param body - Renders the text. A hit never runs it.
   * @throws What the body throws. Then nothing is stored.
   * @throws CacheTagError: the timeout, the tags or the version cannot be used.
   * @throws CacheTagError: it contains a nocache block that nothing can fill; see `holes`.
   * @throws InvalidCacheBackendError: no cache has the alias `using`.
   * @remarks One body runs at a time per key in this process. Concurrent callers get its text or its error.
   */
  async render(options: FragmentOptions<A>, body: () => string | Promise<string>): Promise<string> {
    checkBody(body)
    const fragment = this.#fragment(options)
    const found = textAtOnce(fragment, currentFrame())
    if (found !== undefined) return found
    const [text] = await this.#renderAll([fragment], [body], [options.holes])
    return text as string
  }

  /**
   * Returns the fragment's text without waiting.
   *
   * @param body - Renders the text at once.
   * @throws CacheTagError: the cache answers asynchronously; use {@link render}.
   * @throws Otherwise as {@link render}.
   */
  renderSync(options: FragmentOptions<A>, body: () => string): string {
    const opened = openInPlace(this.#fragment(options), options)
    return typeof opened === 'string' ? opened : runInPlace(opened, body)
  }

  /**
   * Renders many fragments with one read and one write per cache.
   *
   * @returns The texts, in the order of the fragments.
   * @throws What the first body to fail throws. The texts of the others are stored all the same.
   * @remarks The missing bodies run concurrently. Bodies of the same key run only once.
   */
  async renderMany(fragments: Iterable<FragmentWithBody<A>>): Promise<string[]> {
    const given = [...fragments]
    for (const { body } of given) checkBody(body)
    return this.#renderAll(
      given.map(({ body: _, ...options }) => this.#fragment(options)),
      given.map(({ body }) => body),
      given.map(({ holes }) => holes),
    )
  }

  async #renderAll(
    fragments: readonly Fragment[],
    bodies: readonly (() => string | Promise<string>)[],
    holes: readonly (HoleRenderer | undefined)[],
  ): Promise<string[]> {
    const parent = currentFrame()
    const writes = new WriteBatch()
    const { all, answered } = openMany(
      fragments.map((fragment, i) => ({ fragment, parent, holes: holes[i] })),
    )
    if (answered !== undefined) await answered
    const texts = await Promise.allSettled(
      all.map(async (opening, i) => {
        const found = await openedOf(opening)
        if (!(found instanceof Attempt)) return found.text
        const body = bodies[i] as () => string | Promise<string>
        const run = async () => toText(await body(), fragments[i] as Fragment)
        const { served } = found
        if (served !== undefined) {
          const shown = await showOld(found, served, holes[i])
          if (shown !== undefined) {
            const { fragment, parent, startedMs } = found
            const { hit } = served
            const told = toldOfHit(fragment, hit)
            publishServed(fragment, told, startedMs)
            observer?.shown({ fragment, parent, text: shown, ...told, hit })
            refresh(found.apart(holes[i]), run)
            return shown
          }
        }
        const text = await found.runAsync(run)
        await writes.complete(found, text)
        return found.fillHoles(text)
      }),
    )
    await writes.flush()
    return texts.map((result) => {
      if (result.status === 'rejected') throw result.reason
      return result.value
    })
  }

  /**
   * Removes one variant.
   *
   * @returns `true` if it was there.
   * @throws TypeError: `varyOn` is not an array, or contains a value without a text.
   * @throws CacheBackendError: the store failed.
   */
  async delete(
    name: string,
    varyOn: readonly unknown[] = [],
    place: FragmentPlace<A> = {},
  ): Promise<boolean> {
    checkPlace('delete', place, 'version')
    const key = this.makeKey(name, varyOn)
    return this.#cacheOf(place).delete(key, { version: place.version })
  }

  /**
   * Makes one variant stale: calls that accept stale text get it while it is rendered again.
   *
   * @returns `true` if it was there and fresh.
   * @throws TypeError: `varyOn` is not an array, or contains a value without a text.
   * @throws CacheBackendError: the store failed.
   */
  async expire(
    name: string,
    varyOn: readonly unknown[] = [],
    place: FragmentPlace<A> = {},
  ): Promise<boolean> {
    checkPlace('expire', place, 'version')
    const key = this.makeKey(name, varyOn)
    return this.#cacheOf(place).expire(key, { version: place.version })
  }

  /**
   * Makes every variant of a fragment a miss, and whatever contains one, including what is being rendered
   * now.
   *
   * @param place.soft - Makes them stale instead, see `Cache.invalidateTags`.
   * @param place.later - While the store is down, the invalidation may be sent later.
   * @throws CacheBackendError: the store failed.
   * @remarks One write per cache, whatever the number of variants.
   */
  async invalidate(
    name: string,
    place: Pick<FragmentPlace<A>, 'using'> & InvalidateOptions = {},
  ): Promise<void> {
    checkPlace('invalidate', place, 'soft', 'later')
    const { using: _, ...options } = place
    const tagsFor = this.#tagsOf(name, place)
    await invalidateStoredTags(this.caches, tagsFor, toInvalidating(options))
  }

  /**
   * Returns what {@link invalidate} would drop, as far as this process knows: the entries that it stored and
   * remembers, and that are still there.
   *
   * @throws TypeError: the name is not text, or is empty.
   */
  async explain(name: string, place: Pick<FragmentPlace<A>, 'using'> = {}): Promise<Dependents> {
    checkPlace('explain', place)
    return explainStoredTags(this.caches, this.#tagsOf(name, place))
  }

  /** The stored tags of a fragment in each cache: what contains it may live in any of them. */
  #tagsOf(
    name: string,
    place: Pick<FragmentPlace<A>, 'using'>,
  ): (cache: Cache) => readonly string[] {
    checkName(name)
    const own = this.#cacheOf(place)
    const tag = fragmentTag(name)
    return (cache) => (cache === own ? [tag, foreignTag(tag)] : [foreignTag(tag)])
  }

  /**
   * Returns the key of a variant, for use with the low-level API.
   *
   * @throws TypeError: `varyOn` is not an array, or contains a value without a text.
   */
  makeKey(name: string, varyOn: readonly unknown[] = []): string {
    checkVaryOn(varyOn)
    return makeTemplateFragmentKey(name, varyOn, { compat: this.#compat })
  }

  #cacheOf({ using }: FragmentPlace<A>): Cache {
    const caches: Caches = this.caches
    return caches.get(using ?? this.#resolver.defaultAlias)
  }

  #fragment(options: FragmentOptions): Fragment {
    if (typeof options !== 'object' || (options as unknown) === null) {
      throw new TypeError(`options: ${show(options)} is not an object; write { name: 'sidebar' }`)
    }
    const { name, varyOn = NONE, template } = options
    checkName(name)
    const site: TagSite = {
      fragment: name,
      template,
      remedy: 'use render instead of renderSync',
      fromCode: true,
      varyOnNames: options.inputs,
    }
    // Without a list of the options and a copy of them: each hit comes here.
    for (const option in options) {
      if (!FROM_CODE.includes(option)) throw faults.unknownOption(option, FROM_CODE, site)
    }
    checkVaryOn(varyOn)
    if (options.tags !== undefined) checkEntryTags(options.tags)
    checkHoles(options.holes)
    checkInputs(options.inputs)
    const values = options.varyOn === undefined ? { ...options, varyOn } : options
    return this.#resolver.resolve(site, values as CodeValues)
  }
}

/** What is served in place of what an attempt is going to make. @returns `undefined`: it cannot be. */
async function showOld(
  attempt: Attempt,
  { hit, value }: Old<Content>,
  holes: HoleRenderer | undefined,
): Promise<string | undefined> {
  const { fragment, parent } = attempt
  try {
    if (parent !== undefined)
      await dependOnHit(fragment.cache, fragment.variant.storedKey, hit, parent)
    return (await showContent(value, parent, holes, fragment.site))?.text
  } catch (error) {
    // A hole threw: the next caller may begin again.
    attempt.withdraw()
    throw error
  }
}

/** Makes a fragment again in the background. */
function refresh(attempt: Attempt, body: () => Promise<string>): void {
  const { cache, variant, alias } = attempt.fragment
  const run = async () => {
    const text = await attempt.runAsync(body)
    await attempt.commit(text)
  }
  runAsyncIn(undefined, run).catch((error: unknown) => {
    reportRefresh({ alias, backend: cache.backendName, key: variant.key, error })
  })
}

/**
 * What an adapter is given: caches, or fragments made from them.
 *
 * @param options - Those given go before those of the fragments.
 * @throws TypeError: an option is not what it should be.
 */
export function toFragmentCache(
  caches: Caches | FragmentCache,
  options: AdapterOptions = {},
): FragmentCache {
  checkAdapterOptions(options)
  const { strict, bubbleTimeout } = options
  if (!isFragmentCache(caches)) return new FragmentCache(caches, { strict, bubbleTimeout })
  if (strict === undefined && bubbleTimeout === undefined) return caches
  return new FragmentCache(caches.caches, {
    ...caches.options,
    ...(strict === undefined ? undefined : { strict }),
    ...(bubbleTimeout === undefined ? undefined : { bubbleTimeout }),
  })
}

function isFragmentCache(value: unknown): value is FragmentCache {
  return typeof value === 'object' && value !== null && RESOLVER in value
}

/** Turns the values of a tag into a fragment. @throws CacheTagError */
export function resolveTag(fragments: FragmentCache, site: TagSite, values: CodeValues): Fragment {
  return (fragments as unknown as { readonly [RESOLVER]: FragmentResolver })[RESOLVER].resolve(
    site,
    values,
  )
}
