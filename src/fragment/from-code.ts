import { checkKnown } from '../check-known.js'
import { show } from '../errors.js'
import type { Version } from '../keys.js'
import type { LockOptions } from '../staleness.js'
import type { Timeout } from '../timeout.js'
import type { HoleRenderer } from './hole-parts.js'
import type { FragmentRules } from './options.js'

/** Options of `FragmentCache`. */
export interface FragmentCacheOptions extends FragmentRules {
  /** `'django<6.1'`: makes keys as Django did before 6.1, see `makeTemplateFragmentKey`. */
  readonly compat?: 'django<6.1' | undefined
}

const OPTIONS = ['strict', 'bubbleTimeout', 'compat']

/** Each fragment is given them. */
const OF_RENDER = Object.fromEntries(
  Object.entries({
    timeout: '500',
    varyOn: '[user.id]',
    using: "'pages'",
    tags: "['product:7']",
    version: '2',
    staleWhileRevalidate: '60',
    staleIfError: '60',
  }).map(([name, example]) => [
    name,
    `given to each fragment: render({ name: 'sidebar', ${name}: ${example} }, body)`,
  ]),
)

/** @throws TypeError: one is unknown. */
export function checkCodeOptions(options: object): void {
  checkKnown('FragmentCache', options, OPTIONS, OF_RENDER)
}

/** @throws TypeError: it is no place of a fragment, or has a name that the method does not know. */
export function checkPlace(method: string, place: object, ...more: readonly string[]): void {
  checkKnown(`FragmentCache: ${method}`, place, ['using', ...more])
}

/**
 * A fragment that is rendered from code.
 *
 * @typeParam A - The configured aliases.
 */
export interface FragmentOptions<A extends string = string> {
  /** The fragment's name, a part of the key. */
  readonly name: string
  /** Whole seconds, or a text of them. `null`: never expires. Default: the cache's timeout. */
  readonly timeout?: Timeout | string | undefined
  /** The values that distinguish this variant from others. */
  readonly varyOn?: readonly unknown[] | undefined
  /** The alias of a cache. Default: `template_fragments` if there is one, else `default`. */
  readonly using?: A | undefined
  /** `invalidateTags` with any of them makes the fragment, and whatever contains it, a miss. */
  readonly tags?: readonly string[] | undefined
  /** Version of the entry. Default: the cache's. */
  readonly version?: Version | undefined
  /** If present and false, the body runs and nothing is read or stored. */
  readonly if?: unknown
  /** The template that renders it, for messages and the channel `fragcache:fragment`. */
  readonly template?: string | undefined
  /**
   * Whether only one body at a time runs in all processes that share the store, as for `getOrSet`. It has no
   * effect in `renderSync`, which cannot wait. Default: the cache's setting.
   */
  readonly lock?: boolean | LockOptions | undefined
  /**
   * Whether it is rendered again shortly before it expires, as for `getOrSet`. Default: the cache's setting.
   */
  readonly earlyRefresh?: boolean | number | undefined
  /**
   * Seconds after the timeout for which the old text is served while one caller renders the new one. `render`
   * does that in the background. `renderSync` and tags make that caller wait.
   */
  readonly staleWhileRevalidate?: number | undefined
  /** Seconds after the timeout for which the old text is served if the body throws. */
  readonly staleIfError?: number | undefined
  /**
   * Renders the nocache blocks in it for each user: the result of an engine's `holes(context)`. Not needed
   * inside another fragment, whose `holes` apply.
   */
  readonly holes?: HoleRenderer | undefined
  /** The per-user inputs that `varyOn` was built from, such as `['user']`; see `strict`. */
  readonly inputs?: readonly string[] | undefined
}

/** A fragment of `renderMany`. */
export interface FragmentWithBody<A extends string = string> extends FragmentOptions<A> {
  /** Runs if the fragment is not stored. */
  readonly body: () => string | Promise<string>
}

/** The cache and version of a fragment. */
export interface FragmentPlace<A extends string = string> {
  readonly using?: A | undefined
  readonly version?: Version | undefined
}

/** The options of a fragment from code. */
export const FROM_CODE = [
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

export function checkBody(body: unknown): void {
  if (typeof body === 'function') return
  throw new TypeError(`body: ${show(body)} is not a function; give one that makes the text`)
}

/** A text is a list too, of its characters: that would be another variant. */
export function checkVaryOn(varyOn: unknown): void {
  if (Array.isArray(varyOn)) return
  throw new TypeError(`varyOn: ${show(varyOn)} is not a list of values; give an array`)
}

export function checkHoles(holes: HoleRenderer | undefined): void {
  if (holes === undefined) return
  const { has, render } = holes as Partial<HoleRenderer>
  if (typeof has === 'function' && typeof render === 'function') return
  throw new TypeError(
    `holes: ${show(holes)} cannot render holes; give the result of the engine's holes(context)`,
  )
}

export function checkInputs(inputs: unknown): void {
  if (inputs === undefined) return
  if (Array.isArray(inputs) && inputs.every((input) => typeof input === 'string')) return
  throw new TypeError(`inputs: ${show(inputs)} is not a list of names; give an array of strings`)
}
