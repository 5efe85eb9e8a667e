import type { StoreRequest } from '../backend/entries.js'
import type { WriteOutcome } from '../backend/store.js'
import type { CacheCore } from '../backend/core.js'
import type { Cache } from '../cache.js'
import { isSoft, type InvalidateOptions } from '../cache-options.js'
import { isCaches, type Caches } from '../caches.js'
import { show } from '../errors.js'
import type { Version } from '../keys.js'
import { isPromise } from '../maybe-promise.js'
import { checkEntryTags, foreignTag, fragmentTag } from '../tags.js'
import type { LockOptions } from '../staleness.js'
import type { Timeout } from '../timeout.js'
import { Attempt } from './attempt.js'
import { openMany, openSync } from './open.js'
import { dependOnHit } from '../making/landed.js'
import type { Old } from '../making/making.js'
import { faults } from './faults.js'
import { currentFrame, runAsyncIn } from '../making/frame.js'
import { reportRefresh } from '../observe.js'
import type { Content } from './hole-parts.js'
import { show as showContent, type HoleRenderer } from './holes.js'
import { checkName, makeTemplateFragmentKey } from './key.js'
import {
  checkAdapterOptions,
  toSettings,
  type AdapterOptions,
  type FragmentSettings,
  type FragmentRules,
} from './options.js'
import { observer } from './shown.js'
import { FragmentResolver, type CodeValues, type Fragment, type TagSite } from './spec.js'

/** Options of {@link FragmentCache}. */
export interface FragmentCacheOptions extends FragmentRules {
  /** `'django<6.1'`: keys as Django made them before 6.1, see `makeTemplateFragmentKey`. */
  readonly compat?: 'django<6.1' | undefined
}

const OPTIONS = ['strict', 'bubbleTimeout', 'compat']

function checkOptions(options: object): void {
  for (const name of Object.keys(options)) {
    if (OPTIONS.includes(name)) continue
    const isAlias = ['alias', 'using', 'cache'].includes(name)
    const remedy = isAlias
      ? "; to choose the cache of a fragment give it `using`: render({ name: 'sidebar', using: 'pages' }, body)"
      : ''
    throw new TypeError(
      `FragmentCache: unknown option ${show(name)}; known are ${OPTIONS.join(', ')}${remedy}`,
    )
  }
}

/** A fragment that is rendered from code. */
export interface FragmentOptions {
  /** Part of the key. */
  readonly name: string
  /** Whole seconds, or text that reads as such. `null`: never expires. Left out: the cache's default. */
  readonly timeout?: Timeout | string | undefined
  /** The values that tell this variant from others. */
  readonly varyOn?: readonly unknown[] | undefined
  /** The alias of a cache. Left out: `template_fragments` if there is one, else `default`. */
  readonly using?: string | undefined
  /** `invalidateTags` with any of them makes the fragment, and whatever contains it, a miss. */
  readonly tags?: readonly string[] | undefined
  /** Version of the entry. Left out: the cache's. */
  readonly version?: Version | undefined
  /** Given and false: the body runs and nothing is read or stored. */
  readonly if?: unknown
  /** Where it is rendered, for messages and the channel `fragcache:fragment`. */
  readonly template?: string | undefined
  /**
   * One body at a time in all processes that share the store, as for `getOrSet`. It has no effect in
   * `renderSync`, which cannot wait. Left out: the cache's setting.
   */
  readonly lock?: boolean | LockOptions | undefined
  /** Whether it is made again a little ahead of its time, as for `getOrSet`. Left out: the cache's setting. */
  readonly earlyRefresh?: boolean | number | undefined
  /**
   * Seconds after the timeout for which the old text is served while one makes the new one: `render` when
   * nobody waits for it, `renderSync` and tags while that one waits.
   */
  readonly staleWhileRevalidate?: number | undefined
  /** Seconds after the timeout for which the old text is served if the body throws. */
  readonly staleIfError?: number | undefined
  /**
   * Renders the nocache blocks in it, in each visitor's context; what an engine's `holes(context)`
   * gives. Not needed inside another fragment, whose own is used.
   */
  readonly holes?: HoleRenderer | undefined
  /** The per-visitor inputs that `varyOn` was made from, such as `['user']`; see `strict`. */
  readonly inputs?: readonly string[] | undefined
}

/** A fragment of {@link FragmentCache.renderMany}. */
export interface FragmentWithBody extends FragmentOptions {
  /** Runs where the fragment is not stored. */
  readonly body: () => string | Promise<string>
}

/** Where a fragment lives. */
export interface FragmentPlace {
  readonly using?: string | undefined
  readonly version?: Version | undefined
}

const FROM_CODE = [
  'name',
  'timeout',
  'varyOn',
  'using',
  'tags',
  'version',
  'if',
  'template',
  'lock',
  'earlyRefresh',
  'staleWhileRevalidate',
  'staleIfError',
  'holes',
  'inputs',
]

/**
 * Fragments over named caches: a part of a page is looked up, or rendered once and stored.
 *
 * A cache that fails never fails a page: the body runs and nothing is stored.
 *
 * @see Django, "Template fragment caching"
 */
export class FragmentCache {
  readonly caches: Caches
  /** The options it was made with. */
  readonly options: FragmentCacheOptions
  readonly #compat: 'django<6.1' | undefined
  readonly #resolver: FragmentResolver

  /** @throws TypeError: something is no `Caches`, or an option is not what it should be. */
  constructor(caches: Caches, options: FragmentCacheOptions = {}) {
    if (!isCaches(caches)) {
      throw new TypeError(`caches: ${show(caches)} is none; give what createCaches returned`)
    }
    checkOptions(options)
    const { compat } = options
    if (compat !== undefined && (compat as string) !== 'django<6.1') {
      throw new TypeError(`compat: ${show(compat)} is unknown; the only value is "django<6.1"`)
    }
    const settings: FragmentSettings = toSettings(options)
    this.caches = caches
    this.options = options
    this.#compat = compat
    this.#resolver = new FragmentResolver(caches, compat !== undefined, settings)
  }

  /**
   * Gives the fragment's text: from the cache, or from the body, which is then stored.
   *
   * @param body - Makes the text. A hit never runs it.
   * @throws What the body throws; then nothing is stored.
   * @throws CacheTagError: the timeout, the tags or the version cannot be used.
   * @throws CacheTagError: there is a nocache block in it that nothing can fill; see `holes`.
   * @throws InvalidCacheBackendError: no cache has the alias `using`.
   * @remarks One body at a time per key in this process; concurrent callers get its text or its
   *   error.
   */
  async render(options: FragmentOptions, body: () => string | Promise<string>): Promise<string> {
    checkBody(body)
    const [text] = await this.#renderAll([this.#fragment(options)], [body], [options.holes])
    return text as string
  }

  /**
   * Gives the fragment's text without waiting.
   *
   * @param body - Makes the text at once.
   * @throws CacheTagError: the cache answers asynchronously; use {@link render}.
   * @throws Otherwise as {@link render}.
   */
  renderSync(options: FragmentOptions, body: () => string): string {
    return this.renderTagSync(this.#fragment(options), body, options.holes)
  }

  /**
   * Renders many fragments with one read and one write per cache.
   *
   * @returns The texts, in the order given.
   * @throws What the first body to fail throws; the texts of the others are stored all the same.
   * @remarks The missing bodies run concurrently, two of one key only once.
   */
  async renderMany(fragments: Iterable<FragmentWithBody>): Promise<string[]> {
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
    const openings = openMany(
      fragments,
      fragments.map(() => parent),
      holes,
    )
    const texts = await Promise.allSettled(
      openings.map(async ({ opened }, i) => {
        const found = await opened
        if (!(found instanceof Attempt)) return found.text
        const body = bodies[i] as () => string | Promise<string>
        const run = async () => toText(await body(), fragments[i] as Fragment)
        const { served } = found
        if (served !== undefined) {
          const shown = await showOld(found, served, holes[i])
          if (shown !== undefined) {
            const { fragment, parent } = found
            observer?.shown({ fragment, parent, text: shown, outcome: 'stale', hit: served.hit })
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
   * @throws TypeError: `varyOn` is no array, or holds what has no text.
   * @throws CacheBackendError: the store failed.
   */
  async delete(
    name: string,
    varyOn: readonly unknown[] = [],
    place: FragmentPlace = {},
  ): Promise<boolean> {
    const key = this.makeKey(name, varyOn)
    return this.#cacheOf(place).delete(key, { version: place.version })
  }

  /**
   * Makes one variant stale: those who allow it are served it while it is made again.
   *
   * @returns `true` if it was there and fresh.
   * @throws TypeError: `varyOn` is no array, or holds what has no text.
   * @throws CacheBackendError: the store failed.
   */
  async expire(
    name: string,
    varyOn: readonly unknown[] = [],
    place: FragmentPlace = {},
  ): Promise<boolean> {
    const key = this.makeKey(name, varyOn)
    return this.#cacheOf(place).expire(key, { version: place.version })
  }

  /**
   * Makes every variant of a fragment a miss, and whatever contains one, also what is being
   * rendered now.
   *
   * @param place.soft - Makes them stale instead, see `Cache.invalidateTags`.
   * @throws CacheBackendError: the store failed.
   * @remarks One write per cache, whatever the number of variants.
   */
  async invalidate(
    name: string,
    place: Pick<FragmentPlace, 'using'> & InvalidateOptions = {},
  ): Promise<void> {
    checkName(name)
    const { using: _, ...options } = place
    const soft = isSoft(options)
    const own = this.#cacheOf(place)
    const tag = fragmentTag(name)
    // What contains it may live in any of the caches.
    await this.caches.invalidateStoredTags(
      (cache) => (cache === own ? [tag, foreignTag(tag)] : [foreignTag(tag)]),
      soft,
    )
  }

  /**
   * The key of a variant, for use with the low-level API.
   *
   * @throws TypeError: `varyOn` is no array, or holds what has no text.
   */
  makeKey(name: string, varyOn: readonly unknown[] = []): string {
    checkVaryOn(varyOn)
    return makeTemplateFragmentKey(name, varyOn, { compat: this.#compat })
  }

  #cacheOf({ using }: FragmentPlace): Cache {
    return this.caches.get(using ?? this.#resolver.defaultAlias)
  }

  #fragment(options: FragmentOptions): Fragment {
    if (typeof options !== 'object' || (options as unknown) === null) {
      throw new TypeError(`options: ${show(options)} is no object; write { name: 'sidebar' }`)
    }
    const { name, timeout, varyOn = [], template } = options
    checkName(name)
    const site: TagSite = {
      fragment: name,
      template,
      remedy: 'use render instead of renderSync',
      fromCode: true,
    }
    for (const option of Object.keys(options)) {
      if (!FROM_CODE.includes(option)) throw faults.unknownOption(option, FROM_CODE, site)
    }
    checkVaryOn(varyOn)
    if (options.tags !== undefined) checkEntryTags(options.tags)
    checkHoles(options.holes)
    checkInputs(options.inputs)
    return this.resolveTag(site, { ...options, timeout, varyOn })
  }

  /** @internal Turns the values of a tag into a fragment. @throws CacheTagError */
  resolveTag(site: TagSite, values: CodeValues): Fragment {
    return this.#resolver.resolve(site, values)
  }

  /**
   * @internal Renders a tag in place.
   * @param holes - Renders its holes, if nothing around it is kept.
   * @throws CacheTagError: the cache answers asynchronously.
   */
  renderTagSync(fragment: Fragment, body: () => string, holes?: HoleRenderer): string {
    const opened = this.openTagSync(fragment, holes)
    if (typeof opened === 'string') return opened
    const text = opened.runSync(() => toText(body(), fragment))
    void opened.commit(text)
    const filled = opened.fillHoles(text)
    if (!isPromise(filled)) return filled
    filled.catch(() => undefined)
    throw faults.asynchronousHole(fragment.site)
  }

  /** @internal Looks a tag up in place. @throws CacheTagError: the cache answers asynchronously. */
  openTagSync(fragment: Fragment, holes?: HoleRenderer): string | Attempt {
    const { cache, alias, site } = fragment
    if (!cache.answersAtOnce && !fragment.bypass) {
      throw faults.synchronous(alias, site.remedy, site)
    }
    return openSync(fragment, currentFrame(), false, holes)
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
    // A hole of one visitor's threw: the next may begin again.
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

/** What a batch of attempts stores: inner before outer, one write per cache. */
export class WriteBatch {
  readonly #writes = new Map<CacheCore, Write[]>()

  /**
   * Ends an attempt's body; its text is stored by {@link flush}, or at once where others wait for it.
   *
   * @param isUnfit - Whether its text must not be stored after all, where it is stored at once.
   */
  async complete(attempt: Attempt, text: string, isUnfit = false): Promise<void> {
    let request: StoreRequest | undefined
    try {
      request = await attempt.complete(text)
    } catch (error) {
      attempt.fail(error)
      throw error
    }
    if (request === undefined) {
      attempt.stored(false)
      return
    }
    const { cache } = attempt.fragment
    if (attempt.isUnderLease) {
      if (isUnfit) attempt.stored(false)
      else await store(cache, [{ attempt, request }])
      return
    }
    const writes = this.#writes.get(cache)
    if (writes === undefined) this.#writes.set(cache, [{ attempt, request }])
    else writes.push({ attempt, request })
  }

  /** @param isUnfit - Whether the text of an attempt must not be stored after all. */
  async flush(isUnfit: (attempt: Attempt) => boolean = () => false): Promise<void> {
    const writes = [...this.#writes]
    this.#writes.clear()
    await Promise.all(
      writes.map(async ([cache, batch]) => {
        const fit = batch.filter(
          ({ attempt, request }) =>
            !attempt.frame.isUnfit && attempt.isStillFit(request) && !isUnfit(attempt),
        )
        for (const write of batch) if (!fit.includes(write)) write.attempt.stored(false)
        if (fit.length > 0) await store(cache, fit)
      }),
    )
  }
}

interface Write {
  readonly attempt: Attempt
  readonly request: StoreRequest
}

async function store(cache: CacheCore, writes: readonly Write[]): Promise<void> {
  let outcomes: readonly WriteOutcome[] | undefined
  try {
    outcomes = await cache.tryStore(
      writes.map(({ attempt }) => attempt.fragment.variant.key),
      writes.map(({ request }) => request),
    )
  } finally {
    // Whatever happened, nobody may go on joining these.
    writes.forEach(({ attempt }, i) => attempt.stored(outcomes?.[i] === 'stored'))
  }
}

/** A body's text. @throws TypeError: it gave none, which would store "undefined" for everyone. */
export function toText(value: unknown, { site }: Fragment): string {
  if (typeof value === 'string') return value
  if (value instanceof String) return value.toString()
  throw new TypeError(
    `the body of the fragment ${JSON.stringify(site.fragment)} gave ${show(value)} instead of a text`,
  )
}

function checkBody(body: unknown): void {
  if (typeof body === 'function') return
  throw new TypeError(`body: ${show(body)} is no function; give one that makes the text`)
}

/** A text is a list too, of its characters: that would be another variant. */
function checkVaryOn(varyOn: unknown): void {
  if (Array.isArray(varyOn)) return
  throw new TypeError(`varyOn: ${show(varyOn)} is no list of values; give an array`)
}

function checkHoles(holes: HoleRenderer | undefined): void {
  if (holes === undefined) return
  const { has, render } = holes as Partial<HoleRenderer>
  if (typeof has === 'function' && typeof render === 'function') return
  throw new TypeError(
    `holes: ${show(holes)} cannot render holes; give what the engine's holes(context) gives`,
  )
}

function checkInputs(inputs: unknown): void {
  if (inputs === undefined) return
  if (Array.isArray(inputs) && inputs.every((input) => typeof input === 'string')) return
  throw new TypeError(`inputs: ${show(inputs)} is no list of names; give an array of texts`)
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

/** Structural, since one process may load two copies of this package. */
function isFragmentCache(value: Caches | FragmentCache): value is FragmentCache {
  return (
    value instanceof FragmentCache ||
    typeof (value as Partial<FragmentCache> | null)?.renderTagSync === 'function'
  )
}
