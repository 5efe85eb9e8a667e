import { AsyncSlot } from '../../src/async-slot.js'
import { beginVaryOn, endVaryOn, type CacheTag, type TagValues } from '../../src/engine.js'
import { flightToJoin } from '../../src/fragment/makings.js'
import { openHere } from '../../src/fragment/open.js'
import { faults } from '../../src/fragment/faults.js'
import { renderHole } from '../../src/fragment/holes.js'
import { outermostOf } from '../../src/fragment/template-frame.js'
import type { HoleRef } from '../../src/fragment/hole-parts.js'
import { findStray } from '../../src/fragment/placeholder.js'
import type { CacheTagError, TagPosition } from '../../src/errors.js'
import { currentFrame, runAsyncIn } from '../../src/making/frame.js'
import { isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import { digestOf, type Digest } from './digest.js'
import { etaFaults } from './faults.js'
import { ENGINE, findGiven, runHole, TagHoles, type HoleClosures } from './holes.js'
import { OpenFragment } from './open-fragment.js'
import type { CompiledHole } from './compiled-hole.js'
import type { CompiledTag } from './rewrite.js'
import type { Runtime } from './runtime.js'
import {
  findHole,
  holesIn,
  type Engine,
  type FoundHole,
  type Given,
  type Placed,
  type RunOptions,
  type Template,
} from './templates.js'

/** A tag as the run time sees it; made once per compiled template. */
export interface EtaSite extends CacheTag, Omit<CompiledTag, 'hasKeywords'> {
  readonly fragment: string
  readonly line?: number | undefined
  /** Of the template, as it was when the tag was last run. */
  digest?: Digest
}

/** Whoever alone may write to a buffer. */
export interface Owner {
  readonly site: TagPosition
  /** Whether the calling code is its. */
  readonly isCalling: boolean
}

/** The nocache block that is being rendered asynchronously. */
const captures = new AsyncSlot<Owner>()
const AsyncFunction = (async () => undefined).constructor

/** The variable `__eta` of a template: what it has put out so far. */
export interface EtaBuffer {
  res: string
}

/** What to do where a tag cannot wait. */
export const REMEDY =
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
  /** The nocache block that is rendered in place of the whole template. */
  readonly asked: string | undefined
  /** What the includes around were given inside of cached bodies. */
  readonly given: Given | undefined
  /** Whether a nocache block was met in a fragment of this run. */
  hasHoles = false
  readonly #runtime: Runtime
  readonly #engine: Engine
  readonly #filepath: string | undefined
  readonly #placed: Placed | undefined
  readonly #reach: (wantsTemplate: boolean) => unknown
  readonly #tagHoles = new TagHoles(this, undefined, {})
  #name: string | undefined
  #hasName = false
  #digest: Digest | undefined
  /** The innermost fragment whose body is running. */
  #top: OpenFragment | undefined
  /** The fragment that waits before its body. */
  #waiting: OpenFragment | undefined
  /** The fragments whose bodies may wait, the innermost last. */
  readonly #owners: Owner[] = []
  /** What is in the buffer while it has an owner. */
  #text = ''
  #conflict: CacheTagError | undefined
  readonly #writes: Promise<void>[] = []

  /** @param reach - Gives the compiled template, or its data; throws for the first in strict code. */
  constructor(
    runtime: Runtime,
    engine: Engine,
    readonly buffer: EtaBuffer,
    options: RunOptions | undefined,
    readonly asynchronous: boolean,
    reach: (wantsTemplate: boolean) => unknown,
  ) {
    this.#runtime = runtime
    this.#engine = engine
    this.#reach = reach
    this.#filepath = options?.filepath
    this.given = options?.fragcacheGiven
    this.#placed = options?.fragcachePlaced
    this.asked = options?.fragcacheHole
    // What the block includes is rendered as a whole.
    if (this.asked !== undefined) delete (options as RunOptions).fragcacheHole
  }

  /* What the code of a template calls. */

  /** The tag whose JSON stands here. */
  site(strings: TemplateStringsArray): EtaSite {
    return this.#runtime.sites.get(strings) ?? this.#makeSite(strings)
  }

  /** A tag's vary-on values are evaluated next, without waiting. */
  beginVaryOn(): void {
    beginVaryOn()
  }

  /** They were. @returns What they have read of a visitor. */
  endVaryOn(): ReadonlySet<string> | undefined {
    return endVaryOn()
  }

  #makeSite(strings: TemplateStringsArray): EtaSite {
    const tag = JSON.parse(strings[0] ?? '') as CompiledTag
    const { fragment, line, hasKeywords = false } = tag
    const place = { fragment, line, hasKeywords, template: this.#templateName }
    const site = { ...tag, ...this.#runtime.cache.tag(place) }
    this.#runtime.sites.set(strings, site)
    return site
  }

  /**
   * A tag begins.
   *
   * @param closures - The nocache blocks in it.
   * @returns `null`: it was found and its text is added.
   * @throws CacheTagError: a value cannot be used, the cache cannot be waited for, or something else
   *   is being rendered into the same buffer.
   */
  open(site: EtaSite, values: TagValues, closures?: HoleClosures): OpenFragment | null {
    if (this.#waiting !== undefined || this.#conflict !== undefined) throw this.clash(site)
    if (this.#owners.length > 0) this.#checkFlow()
    const digest = site.source === undefined ? undefined : this.#digestOf(site)
    const given = digest === undefined ? values : { ...values, digest }
    const fragment = this.#runtime.cache.resolve(site, given)
    const parent = currentFrame()
    const holes = closures === undefined ? this.#tagHoles : new TagHoles(this, closures, site)
    if (!fragment.cache.answersAtOnce && !fragment.bypass) {
      if (!this.asynchronous) throw faults.synchronous(fragment.alias, REMEDY, site)
      return new OpenFragment(this, site, fragment, parent, holes, undefined, 'lookup')
    }
    const mayWait = site.awaits || (site.nests && this.asynchronous)
    const opened = openHere(fragment, parent, mayWait, { holes })
    if (typeof opened === 'string') {
      this.buffer.res += opened
      return null
    }
    if (isPromise(opened)) {
      if (!this.asynchronous) {
        opened.catch(() => undefined)
        throw faults.asynchronousHole(site)
      }
      return new OpenFragment(this, site, fragment, parent, holes, opened, 'lookup')
    }
    const joins =
      this.asynchronous &&
      opened.flight === undefined &&
      flightToJoin(fragment, parent) !== undefined
    const wait = joins ? 'lookup' : site.awaits ? 'turn' : undefined
    return new OpenFragment(this, site, fragment, parent, holes, opened, wait)
  }

  /**
   * A nocache block begins.
   *
   * @returns What stands for it; the empty text: nothing around is kept, and it is rendered in place.
   * @throws CacheTagError: on a hit it could not be rendered, or would show something else.
   */
  hole(strings: TemplateStringsArray): string {
    const host = outermostOf(currentFrame())
    if (host === undefined) {
      if (this.#placed !== undefined) this.#placed.any = true
      return ''
    }
    const hole = this.#runtime.holeAt(strings)
    const position = { template: this.#templateName, line: hole.line }
    if (host.holes !== undefined) {
      const holes = host.holes instanceof TagHoles ? host.holes : undefined
      if (holes?.run !== this || !holes.holds(hole.id)) {
        this.#checkHole(hole, holes?.run, position)
      }
    }
    return renderHole({ e: ENGINE, t: this.holeName, h: hole.id }, position, () => '')
  }

  /** @throws CacheTagError: a block cannot be rendered in the scope of another tag's. */
  #checkHole(hole: CompiledHole, outermost: TemplateRun | undefined, position: TagPosition): void {
    if (hole.lost !== undefined) throw etaFaults.lostFromHole(hole.lost, position)
    if (hole.outer !== undefined) throw etaFaults.madeOutsideTag(hole.outer, position)
    if (outermost === this) return
    if (this.holeName === '') throw etaFaults.nameless(position)
    const given = findGivenUnnoted(hole, this, outermost)
    if (given === undefined) return
    throw hole.uses === undefined
      ? etaFaults.allGivenInside(given, position)
      : etaFaults.givenInside(given, position)
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
    if (this.hasHoles && !this.failed) this.#checkStray()
    return this.#writes.length === 0 ? undefined : Promise.all(this.#writes)
  }

  /* What its fragments call. */

  /** @throws CacheTagError: a text holds what a layout was given with the blocks of one visitor in it. */
  checkPlaced(text: string, site: EtaSite): void {
    if (this.#placed?.texts.some((placed) => text.includes(placed)) === true) {
      throw etaFaults.placedBefore(site)
    }
  }

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

  /** From now on only this may write. */
  guard(owner: Owner): void {
    if (this.#owners.push(owner) > 1) return
    this.#text = this.buffer.res
    Object.defineProperty(this.buffer, 'res', {
      configurable: true,
      enumerable: true,
      get: () => this.#text,
      set: (value: string) => {
        this.#checkFlow()
        this.#text = value
      },
    })
  }

  unguard(owner: Owner): void {
    const at = this.#owners.indexOf(owner)
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
    if (owner === undefined || owner.isCalling) return
    throw this.clash(owner.site)
  }

  /** Texts are mixed up. Nothing more is stored, and whoever noticed throws the error. */
  clash(site: TagPosition): CacheTagError {
    if (this.#conflict === undefined) {
      this.#conflict = etaFaults.concurrent(site)
      this.#top = undefined
      this.#waiting = undefined
      if (this.#owners.length > 0) this.#unguardBuffer()
      this.#owners.length = 0
    }
    return this.#conflict
  }

  /* What its nocache blocks need. */

  /** The template's data. */
  get data(): object | undefined {
    return this.#reach(false) as object | undefined
  }

  /** The template's name for what is stored; the empty text: it has none. */
  get holeName(): string {
    return this.#templateName ?? ''
  }

  get #templateName(): string | undefined {
    if (!this.#hasName) {
      this.#name = this.#runtime.nameOf(this.#engine, this.#filepath, this.#template)
      this.#hasName = true
    }
    return this.#name
  }

  get #template(): Template | undefined {
    try {
      return this.#reach(true) as Template
    } catch {
      // The user's function header made the code strict.
      return undefined
    }
  }

  /** Finds a block, of this template or of another. */
  findHole({ t, h }: HoleRef): FoundHole | undefined {
    const template = t === this.holeName ? this.#template : undefined
    if (template === undefined) return findHole(this.#engine, t, h, this.asynchronous)
    const hole = holesIn(template).get(h)
    return hole && { template, path: undefined, hole }
  }

  /** Renders a block with this template's data. */
  renderHole(found: FoundHole): MaybePromise<string> {
    return runHole(found, this.#engine, this.data, this.#filepath)
  }

  /** Runs code that writes to the buffer, for what it writes. */
  capture(block: () => void | Promise<void>, site: TagPosition): MaybePromise<string> {
    // Whoever looks the fragment up waits now, which is for the others; the block may hold tags.
    const waiting = this.#waiting
    this.#waiting = undefined
    const before = this.#swapText('')
    const end = (): string => {
      const text = this.#swapText(before)
      if (this.#conflict !== undefined) throw this.#conflict
      this.#waiting = waiting
      return text
    }
    if (!(block instanceof AsyncFunction)) {
      try {
        void block()
      } catch (error) {
        end()
        throw error
      }
      return end()
    }
    const owner: Owner = {
      site,
      get isCalling() {
        return captures.current === owner
      },
    }
    this.guard(owner)
    return captures.run(owner, async () => {
      try {
        await block()
      } catch (error) {
        this.unguard(owner)
        end()
        throw error
      }
      this.unguard(owner)
      return end()
    })
  }

  #swapText(text: string): string {
    if (this.#owners.length > 0) {
      const before = this.#text
      this.#text = text
      return before
    }
    const before = this.buffer.res
    this.buffer.res = text
    return before
  }

  /** @throws CacheTagError: what stands for a nocache block was carried out of its fragment. */
  #checkStray(): void {
    if (outermostOf(currentFrame()) !== undefined) return
    const stray = findStray(this.buffer.res, 'hOlE')
    if (stray !== undefined) throw faults.strayHole(stray)
  }

  #digestOf(site: EtaSite): string {
    const known = (this.#digest ??= site.digest?.isCurrent === true ? site.digest : undefined)
    const onDynamic = (name: string | undefined) =>
      this.#runtime.warnOfDynamic(name ?? this.#templateName)
    const digest =
      known ??
      digestOf(
        site.source as NonNullable<EtaSite['source']>,
        this.#engine,
        this.#filepath,
        this.asynchronous,
        onDynamic,
      )
    this.#digest = digest
    site.digest = digest
    return digest.text
  }
}

/** As {@link findGiven}; what it reads of the data, the template has not read. */
function findGivenUnnoted(
  hole: CompiledHole,
  run: TemplateRun,
  outermost: TemplateRun | undefined,
): string | undefined {
  return runAsyncIn(undefined, () => findGiven(hole, run, outermost))
}
