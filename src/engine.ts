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
import { mergePlain } from './fragment/given.js'
import {
  notePersonal,
  noteVaryOnNames,
  noteVaryOnNamesIn,
  personalNames,
} from './fragment/personal.js'
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

/** What {@link EngineCache} needs to know about an engine. */
export interface EngineSettings {
  /** What to call instead if a synchronous render uses an asynchronous cache. Messages show it. */
  readonly remedy: string
  /**
   * The options that the engine's user passed. Default: those of the `FragmentCache`, if you pass one.
   */
  readonly options?: AdapterOptions | undefined
  /**
   * Whether the engine regards a value as true, for the keyword `if`. Default: as in JavaScript.
   */
  readonly isTrue?: ((value: unknown) => boolean) | undefined
}

/** The position and the static facts of a tag. */
export interface TagPlace {
  /** The fragment's name. */
  readonly fragment: string
  /** The name of its template, for messages. */
  readonly template?: string | undefined
  /** The line, counted from 1. */
  readonly line?: number | undefined
  /** `false`: the tag has no keywords, so that none are looked for. Omitted: it may have some. */
  readonly hasKeywords?: boolean | undefined
  /**
   * The variables that the tag's vary-on values name, such as `user.id`; see {@link EngineCache.watch}.
   */
  readonly varyOnNames?: readonly string[] | undefined
}

/** A cache tag of a template, created by {@link EngineCache.tag}. */
export interface CacheTag extends TagPlace {
  readonly remedy: string
}

/**
 * The cache tag of a template engine, over named caches. Create one for each engine and its caches.
 *
 * @see docs/engines-of-your-own.md
 */
export class EngineCache {
  /** Fragments over the same caches, for use from code. */
  readonly fragments: FragmentCache
  /** The options that the engine's user passed. */
  readonly options: AdapterOptions
  /** Whether to pass a digest of the template's source with each tag's values. */
  readonly wantsDigest: boolean
  readonly #personal: PersonalNames | undefined
  readonly #remedy: string
  readonly #isTrue: ((value: unknown) => boolean) | undefined

  /**
   * @param caches - Caches, or a `FragmentCache` made from them.
   * @throws TypeError: `caches` is neither of these, or an option is invalid.
   */
  constructor(caches: Caches | FragmentCache, settings: EngineSettings) {
    const { remedy, options = {}, isTrue } = settings
    if (typeof remedy !== 'string' || remedy === '') {
      throw new TypeError(
        `remedy: ${show(remedy)} is not a string with advice; give one such as "render with renderAsync"`,
      )
    }
    this.fragments = toFragmentCache(caches, options)
    this.options = options
    this.wantsDigest = options.digest ?? false
    this.#personal = personalNames(options.personal)
    notePersonal(this, this.#personal, options.personal)
    this.#remedy = remedy
    this.#isTrue = isTrue
  }

  /** Creates a tag. Call it once, when the tag is compiled or first reached. */
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
   * Wraps the variables of a template for a tag's body. Reads of what differs per visitor (the option
   * `personal`) are noted. If the tag's vary-on values do not name what was read, the fragment is refused or
   * not stored. Call it when a body runs, and not when a fragment is found.
   *
   * @param varyOnNames - Those names of the tag's vary-on values that refer to `variables`, and not to a
   *   variable of the template itself with the same name, such as a loop's. Default: all of them do.
   * @returns A stand-in for the variables, or `variables` itself if nothing is watched.
   */
  watch<T>(variables: T, varyOnNames?: readonly string[]): T {
    if (this.#personal === undefined) return variables
    const personal = this.#personal
    if (varyOnNames === undefined) noteVaryOnNamesIn(variables, personal)
    else noteVaryOnNames(varyOnNames.flatMap((name) => personal.varyOn(variables, name, variables)))
    return personal.watch(variables)
  }

  /** @internal Merges what an included template sees: see {@link PersonalNames.merge}. */
  merge(variables: object, others: Readonly<Record<string, unknown>>, page?: object): object {
    return this.#personal?.merge(variables, others, page) ?? mergePlain(variables, others)
  }

  /**
   * Renders a tag in place. Inside {@link renderDeferred}, it puts the tag off if the cache does not answer
   * at once.
   *
   * @returns The text of the fragment, or a placeholder for it until the template is done.
   * @throws CacheTagError: a value cannot be used; or the cache does not answer at once and the tag cannot be
   *   put off.
   * @throws What the body throws. Then nothing is stored.
   */
  render(tag: CacheTag, values: TagValues, body: TagBody): string {
    return renderTag(this.resolve(tag, values), body)
  }

  /**
   * Renders a tag over any cache, and waits for it: one round trip for a hit, two for a miss.
   *
   * @throws As {@link render}.
   * @remarks One body runs at a time per key in this process. Concurrent renders get its text or its error.
   */
  async renderAsync(tag: CacheTag, values: TagValues, body: AsyncTagBody): Promise<string> {
    return renderTagAsync(this.resolve(tag, values), body)
  }

  /**
   * Renders a template whose tags are put off if a cache does not answer at once. The tags leave
   * placeholders. Once the template is done, all fragments of a level are read in one round trip per cache,
   * the missing bodies run, and everything new is stored in one write per cache.
   *
   * @param render - Renders the template. Its tags call the method `render`.
   * @returns The text.
   * @throws CacheTagError: the template changed the output of a tag before its text was there.
   * @throws What the template throws.
   */
  renderDeferred(render: () => string | Promise<string>): Promise<string> {
    return renderDeferred(render)
  }

  /**
   * @internal Returns the text of a tag if it is found at once, before anything is created for its body.
   *
   * @returns `undefined`: the tag has to be rendered.
   */
  find(fragment: Fragment): string | undefined {
    return textAtOnce(fragment, currentFrame())
  }

  /** @internal For an engine that runs the body with its own code. @throws CacheTagError */
  resolve(tag: CacheTag, values: TagValues): Fragment {
    if (tag.hasKeywords === false) return resolveTag(this.fragments, tag, values)
    refuseUndefinedKeywords(tag, values)
    const isTrue = this.#isTrue
    const given = isTrue && 'if' in values ? { ...values, if: isTrue(values.if) } : values
    return resolveTag(this.fragments, tag, given)
  }
}

/** The position and identity of a nocache block. */
export interface NocachePlace {
  /** The engine's name in stored entries. */
  readonly engine: string
  /** The name by which its template is found again; the empty text if it has none. */
  readonly template: string
  /**
   * Identifies the block in its template: the same id for the same source, another id for another. Without a
   * colon.
   */
  readonly id: string
  /** The line, counted from 1. */
  readonly line?: number | undefined
}

/**
 * Renders a nocache block. Within something that is stored, the block leaves a placeholder, which is filled
 * on every hit. Elsewhere it is rendered in place.
 *
 * @param values - The values that the block names. They are stored with the fragment.
 * @param holes - Renders the block in the context of the current page.
 * @returns A promise only if `holes` renders asynchronously.
 * @throws CacheTagError: a value cannot be stored, or nothing around the block could render it on a hit.
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
