import { BoundedMemo, bytesOfText } from '../bounded-memo.js'
import { coreOf, type CacheCore } from '../backend/core.js'
import { talliesOf, type Caches } from '../caches.js'
import type { InvalidCacheBackendError, TagPosition } from '../errors.js'
import type { Version } from '../keys.js'
import { toBeta, toGrace, toLock, type AgeingPolicy, type Lock } from '../staleness.js'
import type { Subject } from '../observe/remembered.js'
import type { Tally } from '../observe/tally.js'
import { MAX_GIVEN_TAGS, userTag } from '../tags.js'
import type { Timeout } from '../timeout.js'
import { faults } from './faults.js'
import { varyOnText } from './key.js'
import type { FragmentSettings } from './options.js'
import { VariantTable, type Variant } from './variants.js'
import { warnOfUndefined } from './warnings.js'

/** A cache tag of a template: what is known before anything is rendered. */
export interface TagSite extends TagPosition {
  /** The fragment's name. */
  readonly fragment: string
  /** What to call instead if synchronous rendering uses an asynchronous cache. */
  readonly remedy: string
  /**
   * Whether it is called from code and not from a template. Then errors are plain, and a timeout is optional.
   */
  readonly fromCode?: boolean
  /** `false`: it has no keywords for sure. */
  readonly hasKeywords?: boolean | undefined
  /** The variables that its vary-on values name, such as `user.id`. */
  readonly varyOnNames?: readonly string[] | undefined
  /** @internal Where the tag's fragments live unless its values say otherwise. */
  home?: Home | undefined
}

/** Where fragments live. */
interface Home {
  readonly resolver: FragmentResolver
  readonly alias: string
  readonly cache: CacheCore
  readonly table: VariantTable
}

/** The values of a tag's arguments, evaluated by the engine. */
export interface TagValues {
  /**
   * Whole seconds, or a text of them; `null`: never expires. `undefined` is a fault: a misspelt variable.
   */
  readonly timeout: unknown
  readonly varyOn: readonly unknown[]
  readonly using?: unknown
  readonly tags?: unknown
  readonly version?: unknown
  /** Omitted: cached. Present and falsy: rendered, not cached. */
  readonly if?: unknown
  readonly lock?: unknown
  readonly staleWhileRevalidate?: unknown
  readonly staleIfError?: unknown
  /** A digest of the template's source. */
  readonly digest?: string | undefined
  /** The per-user inputs that were read while `varyOn` was evaluated. */
  readonly declared?: ReadonlySet<string> | undefined
}

/** The values of a fragment that is rendered from code. */
export interface CodeValues extends Omit<TagValues, 'timeout'> {
  /** Left out: the cache's. */
  readonly timeout?: unknown
  readonly earlyRefresh?: unknown
  /** The per-user inputs that `varyOn` was made from. */
  readonly inputs?: readonly string[] | undefined
}

/** A fragment that is about to be rendered. */
export interface Fragment {
  readonly site: TagSite
  readonly alias: string
  readonly cache: CacheCore
  readonly variant: Variant
  readonly timeout: Timeout
  /** The stored tags: that of the name, and those of the tag. */
  readonly tags: readonly string[]
  /** Whether it is rendered without the cache. */
  readonly bypass: boolean
  /** The per-user inputs that its vary-on values were built from. */
  readonly declared: ReadonlySet<string> | undefined
  readonly settings: FragmentSettings
  /** Absent if it is produced once per process and never served stale. */
  readonly ageing: AgeingPolicy | undefined
  /** Counts its hits, misses and so on. */
  readonly tally: Tally
}

/** Names made up at run time must not fill the memory. */
const bytesOfTable = ({ name }: VariantTable): number => 1000 + 2 * bytesOfText(name)

/** By the settings that all fragments of one resolver share, so that no fragment has to carry it. */
const cachesBySettings = new WeakMap<FragmentSettings, Caches>()

/** The caches that a fragment's alias is one of. */
export function cachesOf({ settings }: Fragment): Caches | undefined {
  return cachesBySettings.get(settings)
}

/** What a fragment is remembered as. */
export function subjectOf({ site, variant }: Fragment): Subject {
  const { fragment: name, template, line } = site
  return { kind: 'fragment', key: variant.key, name, variant: variant.texts, template, line }
}

/** Turns the values of a tag into a {@link Fragment}, with the same faults for every engine. */
export class FragmentResolver {
  readonly #caches: Caches
  readonly #colliding: boolean
  readonly #tables = new Map<CacheCore, BoundedMemo<VariantTable>>()
  /** For fragments with a version: in one memo a name could look like another name with its version. */
  readonly #versioned = new Map<CacheCore, BoundedMemo<VariantTable>>()
  readonly #settings: FragmentSettings

  constructor(caches: Caches, colliding: boolean, settings: FragmentSettings) {
    this.#caches = caches
    this.#colliding = colliding
    this.#settings = settings
    cachesBySettings.set(settings, caches)
  }

  /** The alias that fragments use unless told otherwise. */
  get defaultAlias(): string {
    return this.#caches.has('template_fragments') ? 'template_fragments' : 'default'
  }

  /** @throws CacheTagError: a value cannot be used. */
  resolve(site: TagSite, values: CodeValues): Fragment {
    const { fromCode = false, home } = site
    if (site.hasKeywords === false && home?.resolver === this && values.digest === undefined) {
      return this.#resolvePlain(site, home, values)
    }
    const declared = fromCode ? toInputs(values.inputs) : values.declared
    const { alias, cache, table } =
      values.using === undefined && values.version === undefined
        ? this.#homeOf(site)
        : this.#findHome(site, values.using, values.version)
    const timeout =
      values.timeout === undefined && fromCode
        ? cache.settings.timeout
        : toTimeout(values.timeout, site)
    const tags = values.tags === undefined ? table.tags : toTags(values.tags, table.tags, site)
    return {
      site,
      alias,
      cache,
      variant: this.#variant(table, values, site),
      timeout,
      tags,
      // From code, undefined is left out; in a template it is a variable that is not there.
      bypass: 'if' in values && !values.if && !(fromCode && values.if === undefined),
      declared,
      settings: this.#settings,
      ageing: toAgeing(cache, values, site),
      tally: table.tally,
    }
  }

  /** A tag without keywords: of one variant it is mostly the fragment that it was the last time. */
  #resolvePlain(site: TagSite, { alias, cache, table }: Home, values: CodeValues): Fragment {
    const { timeout, declared } = values
    const variant = this.#variant(table, values, site)
    const last = variant.last as Fragment | undefined
    if (last?.site === site && last.timeout === timeout && last.declared === declared) return last
    const fragment = {
      site,
      alias,
      cache,
      variant,
      timeout: toTimeout(timeout, site),
      tags: table.tags,
      bypass: false,
      declared,
      settings: this.#settings,
      ageing: toAgeing(cache, values, site),
      tally: table.tally,
    }
    variant.last = fragment
    return fragment
  }

  #homeOf(site: TagSite): Home {
    const { home } = site
    if (home !== undefined && home.resolver === this) return home
    const found = this.#findHome(site, undefined, undefined)
    // A call from code makes a site of its own each time.
    if (site.fromCode !== true) site.home = found
    return found
  }

  #findHome(site: TagSite, using: unknown, givenVersion: unknown): Home {
    const alias = using === undefined ? this.defaultAlias : toAlias(using, site)
    const cache = this.#cache(alias, site)
    const version = givenVersion === undefined ? undefined : toVersion(givenVersion, site)
    const table = this.#table(alias, cache, site.fragment, version)
    return { resolver: this, alias, cache, table }
  }

  #cache(alias: string, site: TagSite): CacheCore {
    try {
      return coreOf(this.#caches.get(alias))
    } catch (error) {
      if (site.fromCode === true) throw error
      const { message } = error as InvalidCacheBackendError
      throw faults.unknownCache(message, site, error)
    }
  }

  #table(
    alias: string,
    cache: CacheCore,
    name: string,
    version: Version | undefined,
  ): VariantTable {
    const memos = version === undefined ? this.#tables : this.#versioned
    let memo = memos.get(cache)
    if (memo === undefined) {
      memo = new BoundedMemo(bytesOfTable)
      memos.set(cache, memo)
    }
    const id = version === undefined ? name : `${name.length}:${name}${typeof version}${version}`
    const known = memo.get(id)
    if (known !== undefined) return known
    // A cache under two aliases is counted under the first.
    const tally = talliesOf(this.#caches).fragments.of(alias, name)
    const table = new VariantTable(cache, name, version, this.#colliding, tally)
    memo.set(id, table)
    return table
  }

  #variant(table: VariantTable, { varyOn, digest }: CodeValues, site: TagSite): Variant {
    try {
      if (digest !== undefined) return table.find(textsOf(varyOn, site), digest)
      // Most tags have one value, or none: those are spared the list.
      if (varyOn.length === 1) return table.findOne(textOf(varyOn[0], 0, site))
      if (varyOn.length === 0) return table.find(NO_TEXTS)
      return table.find(textsOf(varyOn, site))
    } catch (error) {
      if (site.fromCode === true) throw error
      throw faults.varyOn((error as Error).message, site, error)
    }
  }
}

function textsOf(varyOn: readonly unknown[], site: TagSite): string[] {
  return varyOn.map((value, at) => textOf(value, at, site))
}

function textOf(value: unknown, at: number, site: TagSite): string {
  if (typeof value === 'string') return value
  if (value === undefined) warnOfUndefined(site, at)
  return varyOnText(value)
}

/**
 * Refuses keywords that were given and are undefined: a misspelt variable must not pass for left out.
 *
 * @throws CacheTagError
 */
export function refuseUndefinedKeywords(site: TagSite, values: TagValues): void {
  if ('using' in values && values.using === undefined) throw faults.using(undefined, site)
  if ('tags' in values && values.tags === undefined) throw faults.tags(undefined, site)
  if ('version' in values && values.version === undefined) throw faults.version(undefined, site)
  if ('lock' in values && values.lock === undefined) throw faults.lock(undefined, site)
  for (const name of GRACES) {
    if (name in values && values[name] === undefined) throw faults.grace(name, undefined, site)
  }
}

const GRACES = ['staleWhileRevalidate', 'staleIfError'] as const

function toAgeing(cache: CacheCore, values: CodeValues, site: TagSite): AgeingPolicy | undefined {
  const { lock, earlyRefresh, staleWhileRevalidate, staleIfError } = values
  const { lock: defaultLock, earlyRefresh: defaultBeta } = cache.settings
  if (
    lock === undefined &&
    earlyRefresh === undefined &&
    staleWhileRevalidate === undefined &&
    staleIfError === undefined &&
    defaultLock === false &&
    defaultBeta === 0
  ) {
    return undefined
  }
  return {
    lock: lock === undefined ? defaultLock : toTagLock(lock, site),
    beta: earlyRefresh === undefined ? defaultBeta : toBeta(earlyRefresh),
    staleWhileRevalidate: toTagGrace('staleWhileRevalidate', staleWhileRevalidate, site),
    staleIfError: toTagGrace('staleIfError', staleIfError, site),
  }
}

function toTagLock(value: unknown, site: TagSite): Lock {
  if (site.fromCode === true) return toLock(value)
  if (typeof value === 'boolean') return toLock(value)
  throw faults.lock(value, site)
}

function toTagGrace(name: (typeof GRACES)[number], value: unknown, site: TagSite): number {
  if (value === undefined) return 0
  if (site.fromCode === true) return toGrace(name, value)
  try {
    const isNumeral = typeof value === 'string' && /^\s*\d{1,10}\s*$/.test(value)
    return toGrace(name, isNumeral ? Number(value) : value)
  } catch {
    throw faults.grace(name, value, site)
  }
}

function toInputs(inputs: readonly string[] | undefined): ReadonlySet<string> | undefined {
  return inputs === undefined ? undefined : new Set(inputs)
}

const NO_TEXTS: readonly string[] = Object.freeze([])

/**
 * Reads a tag's timeout.
 *
 * @returns Whole seconds, or `null` for never.
 * @throws CacheTagError: neither whole seconds, nor text that reads as such, nor none.
 */
export function toTimeout(value: unknown, position: TagPosition): Timeout {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value
  if (value === null) return null
  if (typeof value === 'string') {
    if (/^\s*none\s*$/i.test(value)) return null
    if (/^\s*[+-]?\d{1,15}\s*$/.test(value)) return Number(value)
  }
  if (typeof value === 'bigint' && Number.isSafeInteger(Number(value))) return Number(value)
  throw faults.timeout(value, position)
}

function toAlias(value: unknown, position: TagPosition): string {
  if (typeof value === 'string' && value !== '') return value
  throw faults.using(value, position)
}

function toVersion(value: unknown, position: TagPosition): Version {
  if (typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value))) {
    return value
  }
  throw faults.version(value, position)
}

function toTags(value: unknown, own: readonly string[], position: TagPosition): readonly string[] {
  const given: unknown = typeof value === 'string' ? [value] : value
  if (!Array.isArray(given)) throw faults.tags(value, position)
  const tags = new Set(own)
  for (const tag of given as unknown[]) {
    if (typeof tag !== 'string' || tag === '' || !tag.isWellFormed()) {
      throw faults.tags(tag, position)
    }
    tags.add(userTag(tag))
  }
  const count = tags.size - own.length
  if (count > MAX_GIVEN_TAGS) throw faults.tooManyTags(count, MAX_GIVEN_TAGS, position)
  return [...tags]
}
