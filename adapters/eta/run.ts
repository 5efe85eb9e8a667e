import type { CacheTagError } from '../../src/errors.js'
import { flightToJoin, openSync } from '../../src/fragment/attempt.js'
import { faults } from '../../src/fragment/faults.js'
import { currentFrame, isWithin } from '../../src/frame.js'
import type { FragmentCache } from '../../src/fragment/render.js'
import { refuseUndefinedKeywords, type TagSite, type TagValues } from '../../src/fragment/spec.js'
import { etaFaults } from './faults.js'
import { OpenFragment } from './open-fragment.js'
import type { CompiledTag } from './rewrite.js'

/** A tag as the run time sees it; made once per compiled template. */
export type EtaSite = TagSite & CompiledTag

/** The variable `__eta` of a template: what it has put out so far. */
export interface EtaBuffer {
  res: string
}

const REMEDY =
  'call renderAsync or renderStringAsync instead of render or renderString, and includeAsync instead of include'

/**
 * One run of a template. All its tags write to one buffer, so that only one of them may be in the
 * making at any time, save those that stand around it. What else writes meanwhile is found:
 *
 * - While a tag waits before its body, nothing may be written.
 * - While a body runs that may wait, nothing may be written that does not come from inside it, which
 *   is told by the asynchronous context.
 */
export class TemplateRun {
  /** Set by the template when it threw. */
  failed = false
  readonly buffer: EtaBuffer
  readonly #fragments: FragmentCache
  readonly #sites: WeakMap<TemplateStringsArray, EtaSite>
  readonly #asynchronous: boolean
  readonly #name: () => string | undefined
  /** The innermost fragment whose body is running. */
  #top: OpenFragment | undefined
  /** The fragment that waits before its body. */
  #waiting: OpenFragment | undefined
  /** The fragments whose bodies may wait, the innermost last. */
  readonly #owners: OpenFragment[] = []
  #conflict: CacheTagError | undefined
  readonly #writes: Promise<void>[] = []

  constructor(
    fragments: FragmentCache,
    sites: WeakMap<TemplateStringsArray, EtaSite>,
    buffer: EtaBuffer,
    asynchronous: boolean,
    name: () => string | undefined,
  ) {
    this.#fragments = fragments
    this.#sites = sites
    this.buffer = buffer
    this.#asynchronous = asynchronous
    this.#name = name
  }

  /* What the code of a template calls. */

  /** The tag whose JSON stands here. */
  site(strings: TemplateStringsArray): EtaSite {
    const known = this.#sites.get(strings)
    if (known !== undefined) return known
    const tag = JSON.parse(strings[0] ?? '') as CompiledTag
    const site = { ...tag, template: this.#name(), remedy: REMEDY }
    this.#sites.set(strings, site)
    return site
  }

  /**
   * A tag begins.
   *
   * @returns `null`: it was found and its text is added.
   * @throws CacheTagError: a value cannot be used, the cache cannot be waited for, or something else
   *   is being rendered into the same buffer.
   */
  open(site: EtaSite, values: TagValues): OpenFragment | null {
    if (this.#waiting !== undefined || this.#conflict !== undefined) throw this.clash(site)
    if (this.#owners.length > 0) this.#checkFlow()
    refuseUndefinedKeywords(site, values)
    const fragment = this.#fragments.resolveTag(site, values)
    const parent = currentFrame()
    if (!fragment.cache.answersAtOnce && !fragment.bypass) {
      if (!this.#asynchronous) throw faults.synchronous(fragment.alias, REMEDY, site)
      return new OpenFragment(this, site, fragment, parent, undefined, 'lookup')
    }
    const mayWait = site.awaits || (site.nests && this.#asynchronous)
    const opened = openSync(fragment, parent, mayWait)
    if (typeof opened === 'string') {
      this.buffer.res += opened
      return null
    }
    const joins =
      this.#asynchronous &&
      opened.flight === undefined &&
      flightToJoin(fragment, parent) !== undefined
    const wait = joins ? 'lookup' : site.awaits ? 'turn' : undefined
    return new OpenFragment(this, site, fragment, parent, opened, wait)
  }

  /** @throws CacheTagError: `layout` or `block` is called inside a fragment. */
  outside(call: string): void {
    if (this.#top !== undefined) throw etaFaults.lost(call, this.#top.site)
  }

  /**
   * The template is left, one way or another.
   *
   * @returns What is still being stored, if anything.
   * @throws CacheTagError: it did not throw, but texts were mixed up, or something is still being
   *   rendered that nobody waited for.
   */
  finish(): Promise<unknown> | undefined {
    const late = this.#waiting ?? this.#top
    if (late !== undefined) this.clash(late.site)
    if (!this.failed && this.#conflict !== undefined) throw this.#conflict
    return this.#writes.length === 0 ? undefined : Promise.all(this.#writes)
  }

  /* What its fragments call. */

  /** Something is being stored. @param write - Never rejects. */
  stores(write: Promise<void>): void {
    this.#writes.push(write)
  }

  get storeCount(): number {
    return this.#writes.length
  }

  /** When everything is stored that began to be since the count was this; never rejects. */
  storedSince(count: number): Promise<unknown> | undefined {
    return count === this.#writes.length ? undefined : Promise.all(this.#writes.slice(count))
  }

  /** A fragment waits. What runs meanwhile is in none of the bodies that are running here. */
  suspend(fragment: OpenFragment): void {
    this.#waiting = fragment
    OpenFragment.lift(this.#top)
  }

  /**
   * A fragment has waited.
   *
   * @returns `false`: something else was rendered meanwhile, and was told so.
   * @throws CacheTagError: something else was written meanwhile.
   */
  resume(fragment: OpenFragment, textBefore: string): boolean {
    if (this.#conflict !== undefined) return false
    if (this.buffer.res !== textBefore) throw this.clash(fragment.site)
    this.#waiting = undefined
    OpenFragment.settle(this.#top)
    return true
  }

  /** A body begins. */
  enter(fragment: OpenFragment): OpenFragment | undefined {
    const below = this.#top
    this.#top = fragment
    return below
  }

  /**
   * A body ends.
   *
   * @returns `false`: texts were mixed up, and somebody was told so.
   * @throws CacheTagError: not in the order in which they began.
   */
  leave(fragment: OpenFragment, below: OpenFragment | undefined): boolean {
    if (this.#conflict !== undefined) return false
    const isInside = currentFrame() === fragment.frame
    if (!isInside || this.#top !== fragment || this.#waiting !== undefined) {
      throw this.clash(fragment.site)
    }
    this.#top = below
    return true
  }

  /** From now on a body may wait. */
  guard(fragment: OpenFragment): void {
    if (this.#owners.push(fragment) > 1) return
    let text = this.buffer.res
    Object.defineProperty(this.buffer, 'res', {
      configurable: true,
      enumerable: true,
      get: () => text,
      set: (value: string) => {
        this.#checkFlow()
        text = value
      },
    })
  }

  unguard(fragment: OpenFragment): void {
    const at = this.#owners.indexOf(fragment)
    if (at >= 0) this.#owners.splice(at, 1)
    if (at === 0 && this.#owners.length === 0) this.#unguardBuffer()
  }

  #unguardBuffer(): void {
    const value = this.buffer.res
    const writable = { configurable: true, enumerable: true, writable: true }
    Object.defineProperty(this.buffer, 'res', { ...writable, value })
  }

  #checkFlow(): void {
    const owner = this.#owners.at(-1)
    if (owner === undefined || isWithin(currentFrame(), owner.frame)) return
    throw this.clash(owner.site)
  }

  /** Texts are mixed up. Nothing more is stored, and whoever noticed throws the error. */
  clash(site: EtaSite): CacheTagError {
    if (this.#conflict === undefined) {
      this.#conflict = etaFaults.concurrent(site)
      this.#top = undefined
      this.#waiting = undefined
      if (this.#owners.length > 0) this.#unguardBuffer()
      this.#owners.length = 0
    }
    return this.#conflict
  }
}
