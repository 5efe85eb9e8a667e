import type { Caches } from './caches.js'
import type { MaybePromise } from './maybe-promise.js'
import { show } from './errors.js'
import { currentFrame } from './making/frame.js'
import { renderDeferred } from './fragment/deferred.js'
import type { HoleRenderer } from './fragment/hole-parts.js'
import { renderHole } from './fragment/holes.js'
import { textAtOnce } from './fragment/open.js'
import { nameValues, type NamedValues } from './fragment/named-values.js'
import type { AdapterOptions } from './fragment/options.js'
import { noteVaryOnNames, noteVaryOnNamesIn, personalNames } from './fragment/personal.js'
import type { PersonalNames } from './fragment/watched.js'
import { resolveTag, toFragmentCache, type FragmentCache } from './fragment/render.js'
import {
  refuseUndefinedKeywords,
  type Fragment,
  type TagSite,
  type TagValues,
} from './fragment/spec.js'
import { renderTag, renderTagAsync } from './fragment/tag.js'
import type { AsyncTagBody, TagBody } from './fragment/tag-body.js'

export { compileArguments, parseNamedValues, parseTagArguments } from './fragment/arguments.js'
export type { ArgumentSource, ArgumentSyntax, TagArguments } from './fragment/arguments.js'
export type { Keyword } from './fragment/faults.js'
export { beginVaryOn, endVaryOn } from './fragment/guard.js'
export { HolesOfPage } from './fragment/holes.js'
export type { HoleEngine, HoleSource } from './fragment/holes.js'
export type { HoleRef, HoleRenderer } from './fragment/hole-parts.js'
export { withValues } from './fragment/named-values.js'
export type { NamedValues } from './fragment/named-values.js'
export type { AdapterOptions } from './fragment/options.js'
export { readArguments, readArgumentsAsync } from './fragment/read-arguments.js'
export type { TagValues } from './fragment/spec.js'
export type { AsyncTagBody, RunEarly, TagBody } from './fragment/tag-body.js'

/** What {@link EngineCache} needs to know of an engine. */
export interface EngineSettings {
  /** What to call instead where a synchronous render meets an asynchronous cache, for the message. */
  readonly remedy: string
  /** The options that the engine's user gave. Left out: those of the `FragmentCache`, if one is given. */
  readonly options?: AdapterOptions | undefined
  /** Whether a value is true for the engine, for the keyword `if`. Left out: as in JavaScript. */
  readonly isTrue?: ((value: unknown) => boolean) | undefined
}

/** Where a tag stands. */
export interface TagPlace {
  /** The fragment's name. */
  readonly fragment: string
  /** The name of its template, for messages. */
  readonly template?: string | undefined
  /** Counted from 1. */
  readonly line?: number | undefined
  /** `false`: it has none, which spares a look for each. Left out: it may have. */
  readonly hasKeywords?: boolean | undefined
  /** The variables that its vary-on values name, such as `user.id`; see {@link EngineCache.watch}. */
  readonly varyOnNames?: readonly string[] | undefined
}

/** A cache tag as it stands in a template, made by {@link EngineCache.tag}. */
export interface CacheTag extends TagPlace {
  readonly remedy: string
}

/**
 * The cache tag of a template engine, over named caches. One is made for each engine and its caches.
 *
 * @see docs/engines-of-your-own.md
 */
export class EngineCache {
  /** Fragments over the same caches, for use from code. */
  readonly fragments: FragmentCache
  /** The options that the engine's user gave. */
  readonly options: AdapterOptions
  /** Whether a digest of the template's source is to be given with each tag's values. */
  readonly wantsDigest: boolean
  readonly #personal: PersonalNames | undefined
  readonly #remedy: string
  readonly #isTrue: ((value: unknown) => boolean) | undefined

  /**
   * @param caches - Caches, or a `FragmentCache` made from them.
   * @throws TypeError: something is no `Caches`, or an option is not what it should be.
   */
  constructor(caches: Caches | FragmentCache, settings: EngineSettings) {
    const { remedy, options = {}, isTrue } = settings
    if (typeof remedy !== 'string' || remedy === '') {
      throw new TypeError(
        `remedy: ${show(remedy)} is no advice; give a text such as "render with renderAsync"`,
      )
    }
    this.fragments = toFragmentCache(caches, options)
    this.options = options
    this.wantsDigest = options.digest ?? false
    this.#personal = personalNames(options.personal)
    this.#remedy = remedy
    this.#isTrue = isTrue
  }

  /** A tag, to be made once where it is compiled, or where it is met for the first time. */
  tag({ fragment, template, line, hasKeywords, varyOnNames }: TagPlace): CacheTag {
    // All of one shape, also once it is known where their fragments live: each hit reads them.
    const tag: CacheTag & TagSite = {
      fragment,
      template,
      line,
      hasKeywords,
      varyOnNames,
      remedy: this.#remedy,
      home: undefined,
    }
    return tag
  }

  /** Whether {@link watch} watches anything. */
  get isWatching(): boolean {
    return this.#personal !== undefined
  }

  /**
   * What a tag's body is to see of what its template was given: what differs per visitor (the option
   * `personal`) is noted when it is read, and what the tag's vary-on values do not name is refused, or not stored.
   * To be called where a body runs and not where a fragment is found.
   *
   * @param varyOnNames - Those of the tag's that name a part of `variables`, and not a variable of the template's
   *   own that has the same name, such as a loop's. Left out: all of them do.
   * @returns A stand-in for it; the same as is given, where nothing is watched.
   */
  watch<T>(variables: T, varyOnNames?: readonly string[]): T {
    if (this.#personal === undefined) return variables
    if (varyOnNames === undefined) noteVaryOnNamesIn(variables)
    else noteVaryOnNames(varyOnNames.map((name) => ({ name })))
    return this.#personal.watch(variables)
  }

  /** @internal What an included template is given: see {@link PersonalNames.merge}. */
  merge(variables: object, others: Readonly<Record<string, unknown>>, page?: object): object {
    return this.#personal?.merge(variables, others, page) ?? { ...variables, ...others }
  }

  /**
   * Renders a tag in place or, inside of {@link renderDeferred} where the cache does not answer at once,
   * puts it off.
   *
   * @returns The text of the fragment, or what stands for it until the template is done.
   * @throws CacheTagError: a value cannot be used; or it cannot be put off and the cache does not answer
   *   at once.
   * @throws What the body throws; then nothing is stored.
   */
  render(tag: CacheTag, values: TagValues, body: TagBody): string {
    return renderTag(this.resolve(tag, values), body)
  }

  /**
   * Renders a tag over any cache, and waits for it: one round trip for a hit, two for a miss.
   *
   * @throws As {@link render}.
   * @remarks One body at a time per key in this process; concurrent renders get its text or its error.
   */
  async renderAsync(tag: CacheTag, values: TagValues, body: AsyncTagBody): Promise<string> {
    return renderTagAsync(this.resolve(tag, values), body)
  }

  /**
   * Renders a template whose tags are put off where a cache does not answer at once: they leave
   * placeholders, and once the template is done all fragments of a level are read in one round trip per
   * cache, the missing bodies run, and everything new is stored in one write per cache.
   *
   * @param render - Renders the template; its tags call the method `render`.
   * @returns The text.
   * @throws CacheTagError: what a tag put out was changed before its text was there.
   * @throws What the template throws.
   */
  renderDeferred(render: () => string | Promise<string>): Promise<string> {
    return renderDeferred(render)
  }

  /**
   * @internal The text of a tag that is found at once, before anything is made for its body.
   *
   * @returns `undefined`: it has to be rendered.
   */
  find(fragment: Fragment): string | undefined {
    return textAtOnce(fragment, currentFrame())
  }

  /** @internal For an engine that runs the body by code of its own. @throws CacheTagError */
  resolve(tag: CacheTag, values: TagValues): Fragment {
    if (tag.hasKeywords === false) return resolveTag(this.fragments, tag, values)
    refuseUndefinedKeywords(tag, values)
    const isTrue = this.#isTrue
    const given = isTrue && 'if' in values ? { ...values, if: isTrue(values.if) } : values
    return resolveTag(this.fragments, tag, given)
  }
}

/** Where a nocache block stands. */
export interface NocachePlace {
  /** The engine's name in what is stored. */
  readonly engine: string
  /** The name by which its template is found again; the empty text: it has none. */
  readonly template: string
  /** The block in its template: the same for the same source, another for another. Without a colon. */
  readonly id: string
  /** Counted from 1. */
  readonly line?: number | undefined
}

/**
 * Renders a nocache block. Within something that is kept it leaves what stands for it, which is filled on
 * every hit; elsewhere it is rendered in place.
 *
 * @param values - Those that it names, which are kept with the fragment.
 * @param holes - Renders it in the context of the page that is being rendered.
 * @returns A promise only where `holes` renders asynchronously.
 * @throws CacheTagError: a value cannot be kept, or nothing around could render the block on a hit.
 * @throws What the block throws.
 */
export function renderNocache(
  { engine, template, id, line }: NocachePlace,
  values: NamedValues,
  holes: HoleRenderer,
): MaybePromise<string> {
  const position = { template, line }
  const ref = { e: engine, t: template, h: nameValues(id, values, position) }
  const inPlace = () => holes.render(ref) as MaybePromise<string>
  return renderHole<MaybePromise<string>>(ref, position, inPlace, holes.page)
}
