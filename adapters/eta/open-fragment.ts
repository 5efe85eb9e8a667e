import { Attempt } from '../../src/fragment/attempt.js'
import { flightToJoin, unfinishedOf } from '../../src/fragment/makings.js'
import type { Opened } from '../../src/fragment/open.js'
import {
  asyncFrame,
  currentFrame,
  enterAsyncFrame,
  type Frame,
  isWithin,
  swapSyncFrame,
} from '../../src/making/frame.js'
import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import { isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import type { TagPosition } from '../../src/errors.js'
import type { Fragment } from '../../src/fragment/spec.js'
import { etaFaults } from './faults.js'
import type { EtaSite } from './site.js'
import type { Tells } from './told.js'
import { WaitingText } from './waiting.js'
import type { Body, Writing } from './writing.js'

/**
 * Why a fragment waits before its body: it is looked up, or joins another's body; or its body may
 * wait, and so begins in a turn, and thereby in an asynchronous context, of its own.
 */
export type Wait = 'lookup' | 'turn'

/** The run of a template that a fragment is in. */
export interface Run {
  readonly writing: Writing
  /** Renders the nocache blocks of the page. */
  readonly holes: HoleRenderer
  /** Looks a fragment up, or joins the caller that is rendering it. */
  lookUp(fragment: Fragment, parent: Frame | undefined, tells: Tells): Promise<Opened>
  /** How much has begun to be stored. */
  readonly storeCount: number
  /** When everything is stored that began to be since the count was this; never rejects. */
  storedSince(count: number): Promise<unknown> | undefined
  /** Something is being stored. @param write - Never rejects. */
  stores(write: Promise<void>): void
  /** Whether a text has surely no per-user output in it. @throws CacheTagError: it surely has some. */
  mayStore(text: string, site: EtaSite): boolean
  takes(site: EtaSite, values: Readonly<Record<string, () => unknown>>): void
}

/** How a running body has its frame: not at all, as code that does not wait, or by its context. */
type Entry =
  | { readonly kind: 'none' }
  | { readonly kind: 'synchronous' | 'asynchronous'; readonly before: Frame | undefined }

const NOT_ENTERED: Entry = { kind: 'none' }

/** How a look-up or a body came to a bad end, and what there is all the same. */
type Trouble =
  /** What was stored before is shown instead of a body that threw. */
  | { readonly kind: 'recovered'; readonly text: string }
  /** @param unfinished - What the body that threw had put out by then, if it was another's. */
  | { readonly kind: 'failed'; readonly error: unknown; readonly unfinished?: string | undefined }

/** A body that has begun. */
interface Begun {
  /** The fragment around it. */
  readonly below: Body | undefined
  /** How much had been stored when it began. */
  readonly mark: number
}

/** A fragment that was not found at once. The code of its tag calls it, from its begin to its end. */
export class OpenFragment implements Body {
  /** Set by the template when the body has run to its end. */
  done = false
  /** The text with its nocache blocks, where the template is to wait for it after the end. */
  filling: WaitingText | undefined
  readonly isFragment = true
  /** Whether the template is to await {@link wait}. */
  readonly waits: boolean
  readonly #run: Run
  readonly #site: EtaSite
  readonly #fragment: Fragment
  readonly #parent: Frame | undefined
  readonly #wait: Wait | undefined
  readonly #opening: Promise<string | Attempt> | undefined
  #opened: Opened | undefined
  #trouble: Trouble | undefined
  #hasWaited = false
  #entry: Entry = NOT_ENTERED
  #begun: Begun | undefined
  #textBefore = ''

  constructor(
    run: Run,
    site: EtaSite,
    fragment: Fragment,
    parent: Frame | undefined,
    opened: Attempt | Promise<string | Attempt> | undefined,
    wait: Wait | undefined,
  ) {
    this.#run = run
    this.#site = site
    this.#fragment = fragment
    this.#parent = parent
    if (opened instanceof Attempt) this.#opened = opened
    this.#opening = isPromise(opened) ? opened : undefined
    // Nobody may come to wait for it.
    this.#opening?.catch(() => undefined)
    this.#wait = wait
    this.waits = wait !== undefined
  }

  /** See {@link TemplateRun.takes}. */
  takes(values: Readonly<Record<string, () => unknown>>): void {
    this.#run.takes(this.#site, values)
  }

  get site(): TagPosition {
    return this.#site.tag
  }

  get #attempt(): Attempt {
    return this.#opened as Attempt
  }

  get #writing(): Writing {
    return this.#run.writing
  }

  get frame(): Frame {
    return this.#attempt.frame
  }

  get isCalling(): boolean {
    return isWithin(currentFrame(), this.frame)
  }

  /** Never rejects. Where the tag is in a function that is not async, it is not called. */
  async wait(tells: Tells): Promise<void> {
    // Its body enters its frame behind this.
    if (this.#site.awaits) this.#writing.trackFrames()
    this.#textBefore = this.#writing.buffer.res
    this.#writing.suspend(this)
    if (this.#opening !== undefined) {
      try {
        const opened = await this.#opening
        this.#opened = typeof opened === 'string' ? { text: opened } : opened
      } catch (error) {
        this.#trouble = { kind: 'failed', error }
      }
    } else if (this.#wait === 'lookup') {
      await this.#lookUp(tells)
    }
    this.#hasWaited = true
  }

  async #lookUp(tells: Tells): Promise<void> {
    const flight = flightToJoin(this.#fragment, this.#parent)
    try {
      this.#opened = await this.#run.lookUp(this.#fragment, this.#parent, tells)
    } catch (error) {
      this.#trouble = { kind: 'failed', error }
      if (flight === undefined) return
      try {
        const unfinished = await unfinishedOf(flight, this.#parent, this.#run.holes, this.site)
        this.#trouble = { kind: 'failed', error, unfinished }
      } catch {
        // The body's own error goes before that of a block in it.
      }
    }
  }

  /**
   * The body is to begin.
   *
   * @returns `false`: there is a text, which is added, or there is no sense in it any more.
   * @throws CacheTagError: the cache cannot be waited for here, or texts were mixed up.
   * @throws What another body threw whose text was waited for.
   */
  begin(): boolean {
    if (this.#hasWaited) {
      if (!this.#resume()) return false
    } else if (this.#opened === undefined) {
      throw etaFaults.inFunction(this.#fragment.alias, this.site)
    }
    this.#begun = { below: this.#writing.enter(this), mark: this.#run.storeCount }
    this.#attempt.bodyStarts()
    if (this.#hasWaited && this.#site.awaits) this.#enterAsync()
    else this.#enterSync()
    this.#textBefore = this.#writing.buffer.res
    if (!this.#site.exposed) this.#writing.buffer.res = ''
    return true
  }

  /** @returns Whether the body is to run. */
  #resume(): boolean {
    let isAlone = false
    try {
      isAlone = this.#writing.resume(this, this.#textBefore)
    } finally {
      if (!isAlone && this.#opened instanceof Attempt) this.#opened.withdraw()
    }
    if (!isAlone) return false
    if (this.#trouble?.kind === 'failed') {
      this.#writing.buffer.res += this.#trouble.unfinished ?? ''
      throw this.#trouble.error
    }
    if (this.#opened instanceof Attempt) return true
    this.#writing.buffer.res += this.#opened?.text ?? ''
    return false
  }

  /** The body threw. @returns Whether what was stored before is shown instead. */
  fail(error: unknown): boolean {
    const text = this.#attempt.recover(error)
    this.#trouble = text === undefined ? { kind: 'failed', error } : { kind: 'recovered', text }
    return text !== undefined
  }

  /**
   * The body was left, one way or another.
   *
   * @throws CacheTagError: texts were mixed up.
   */
  end(): void {
    const attempt = this.#attempt
    attempt.bodyEnds()
    let isAlone = false
    const trouble = this.#trouble
    try {
      isAlone = this.#writing.leave(this, this.#begun?.below)
    } catch (error) {
      if (trouble?.kind !== 'failed') throw error
    } finally {
      if (!isAlone) this.#drop()
    }
    if (!isAlone) return
    const put = this.#takeText()
    const text = trouble?.kind === 'recovered' ? trouble.text : put
    this.#leaveFrame()
    if (trouble?.kind === 'failed') attempt.fail(trouble.error, text)
    else if (this.done || trouble !== undefined) this.#commit(text)
    else attempt.abandon()
    this.#putOut(text)
  }

  /** Takes what the body has put out from the buffer. */
  #takeText(): string {
    const { buffer } = this.#writing
    const { res } = buffer
    buffer.res = this.#textBefore
    return this.#site.exposed ? res.slice(this.#textBefore.length) : res
  }

  /** Adds a text, with its nocache blocks if nothing around is kept. */
  #putOut(text: string): void {
    const hasFailed = this.#trouble?.kind === 'failed'
    let filled: MaybePromise<string>
    try {
      filled = this.#attempt.fillHoles(text)
    } catch (error) {
      // The body's own error goes before that of a block in it.
      if (!hasFailed) throw error
      return
    }
    if (!isPromise(filled)) {
      this.#writing.buffer.res = this.#textBefore + filled
      return
    }
    const late = hasFailed ? filled.catch(() => '') : filled
    this.filling = new WaitingText(this.#writing, this.site, true, late)
  }

  /** Stores the text in the background, after what is inside, which may have the same key. */
  #commit(text: string): void {
    const mark = this.#begun?.mark ?? 0
    const inner = this.#fragment.cache.answersAtOnce ? undefined : this.#run.storedSince(mark)
    const attempt = this.#attempt
    if (!this.#fragment.bypass) {
      try {
        if (!this.#run.mayStore(text, this.#site)) attempt.frame.refuse('undeclared-read')
      } catch (error) {
        attempt.fail(error)
        throw error
      }
    }
    const stored = attempt.commit(copy(text), inner)
    if (stored instanceof Promise) this.#run.stores(stored.catch(() => attempt.written()))
  }

  #drop(): void {
    this.#leaveFrame()
    if (this.#trouble?.kind === 'failed') this.#attempt.fail(this.#trouble.error)
    else this.#attempt.abandon()
  }

  #enterSync(): void {
    this.#entry = { kind: 'synchronous', before: swapSyncFrame(this.frame) }
  }

  #enterAsync(): void {
    this.#entry = { kind: 'asynchronous', before: asyncFrame() }
    enterAsyncFrame(this.frame)
    this.#writing.guard(this)
  }

  #leaveFrame(): void {
    const isInside = currentFrame() === this.frame
    const entry = this.#entry
    this.#entry = NOT_ENTERED
    if (entry.kind === 'synchronous' && isInside) swapSyncFrame(entry.before)
    if (entry.kind !== 'asynchronous') return
    this.#writing.unguard(this)
    if (isInside) enterAsyncFrame(entry.before)
  }

  lift(): void {
    const entry = this.#entry
    if (entry.kind !== 'synchronous') return
    this.#entry = NOT_ENTERED
    swapSyncFrame(entry.before)
    this.#begun?.below?.lift()
  }

  settle(): void {
    if (this.#entry.kind !== 'none') return
    this.#begun?.below?.settle()
    this.#enterAsync()
  }
}

/**
 * A text of its own: what a template puts out may be a part of a longer text, which would be kept
 * for as long as the fragment.
 */
function copy(text: string): string {
  return ` ${text}`.slice(1)
}
