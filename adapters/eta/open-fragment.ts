import { Attempt } from '../../src/fragment/attempt.js'
import { flightToJoin, unfinishedOf } from '../../src/fragment/makings.js'
import { open, type Opened } from '../../src/fragment/open.js'
import {
  asyncFrame,
  currentFrame,
  enterAsyncFrame,
  Frame,
  isWithin,
  runAsyncIn,
  swapSyncFrame,
} from '../../src/making/frame.js'
import { isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import type { Fragment } from '../../src/fragment/spec.js'
import { etaFaults } from './faults.js'
import type { TagHoles } from './holes.js'
import type { EtaSite, Owner, TemplateRun } from './run.js'

/**
 * Why a fragment waits before its body: it is looked up, or joins another's body; or its body may
 * wait, and so begins in a turn, and thereby in an asynchronous context, of its own.
 */
export type Wait = 'lookup' | 'turn'

/** How a running body has its frame: not at all, as code that does not wait, or by its context. */
type Mode = 'none' | 'synchronous' | 'asynchronous'

interface Failure {
  readonly error: unknown
  /** What the body that threw had put out by then, if it was another's. */
  readonly unfinished?: string | undefined
}

/** A fragment that was not found at once. The code of its tag calls it, from its begin to its end. */
export class OpenFragment implements Owner {
  /** Set by the template when the body has run to its end. */
  done = false
  /** Whether the template is to await {@link fill} after the end. */
  fills = false
  /** Whether the template is to await {@link wait}. */
  readonly waits: boolean
  readonly site: EtaSite
  readonly #run: TemplateRun
  readonly #fragment: Fragment
  readonly #parent: Frame | undefined
  readonly #holes: TagHoles
  readonly #wait: Wait | undefined
  readonly #opening: Promise<string | Attempt> | undefined
  #opened: Opened | undefined
  #filling: Promise<string> | undefined
  #filled: string | undefined
  #recovered: string | undefined
  #hasWaited = false
  #failure: Failure | undefined
  #mode: Mode = 'none'
  #below: OpenFragment | undefined
  #frameBefore: Frame | undefined
  #textBefore = ''
  /** How much had been stored when the body began. */
  #mark = 0

  constructor(
    run: TemplateRun,
    site: EtaSite,
    fragment: Fragment,
    parent: Frame | undefined,
    holes: TagHoles,
    opened: Attempt | Promise<string | Attempt> | undefined,
    wait: Wait | undefined,
  ) {
    this.#run = run
    this.site = site
    this.#fragment = fragment
    this.#parent = parent
    this.#holes = holes
    if (opened instanceof Attempt) this.#opened = opened
    this.#opening = isPromise(opened) ? opened : undefined
    // Nobody may come to wait for it.
    this.#opening?.catch(() => undefined)
    this.#wait = wait
    this.waits = wait !== undefined
  }

  get #attempt(): Attempt {
    return this.#opened as Attempt
  }

  get frame(): Frame {
    return this.#attempt.frame
  }

  get isCalling(): boolean {
    return isWithin(currentFrame(), this.frame)
  }

  /** Never rejects. Where the tag stands in a function that is not async, it is not called. */
  async wait(): Promise<void> {
    trackContexts(this.#fragment)
    this.#textBefore = this.#run.buffer.res
    this.#run.suspend(this)
    if (this.#opening !== undefined) {
      try {
        const opened = await this.#opening
        this.#opened = typeof opened === 'string' ? { text: opened } : opened
      } catch (error) {
        this.#failure = { error }
      }
    } else if (this.#wait === 'lookup') {
      await this.#lookUp()
    }
    this.#hasWaited = true
  }

  async #lookUp(): Promise<void> {
    const flight = flightToJoin(this.#fragment, this.#parent)
    try {
      this.#opened = await open(this.#fragment, this.#parent, this.#holes)
    } catch (error) {
      this.#failure = { error }
      if (flight === undefined) return
      try {
        const unfinished = await unfinishedOf(flight, this.#parent, this.#holes, this.site)
        this.#failure = { error, unfinished }
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
    this.#below = this.#run.enter(this)
    this.#mark = this.#run.storeCount
    this.#attempt.bodyStarts()
    if (this.#hasWaited && this.site.awaits) this.#enterAsync()
    else this.#enterSync()
    this.#textBefore = this.#run.buffer.res
    if (!this.site.exposed) this.#run.buffer.res = ''
    return true
  }

  /** @returns Whether the body is to run. */
  #resume(): boolean {
    let isAlone = false
    try {
      isAlone = this.#run.resume(this, this.#textBefore)
    } finally {
      if (!isAlone && this.#opened instanceof Attempt) this.#opened.withdraw()
    }
    if (!isAlone) return false
    if (this.#failure !== undefined) {
      this.#run.buffer.res += this.#failure.unfinished ?? ''
      throw this.#failure.error
    }
    if (this.#opened instanceof Attempt) return true
    this.#run.buffer.res += this.#opened?.text ?? ''
    return false
  }

  /** The body threw. @returns Whether what was stored before stands in for it. */
  fail(error: unknown): boolean {
    this.#recovered = this.#attempt.recover(error)
    if (this.#recovered !== undefined) return true
    this.#failure = { error }
    return false
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
    try {
      isAlone = this.#run.leave(this, this.#below)
    } catch (error) {
      if (this.#failure === undefined) throw error
    } finally {
      if (!isAlone) this.#drop()
    }
    if (!isAlone) return
    const text = this.#recovered ?? this.#takeText()
    if (this.#recovered !== undefined) this.#run.buffer.res = this.#textBefore
    this.#leaveFrame()
    if (this.#failure !== undefined) attempt.fail(this.#failure.error, text)
    else if (this.done || this.#recovered !== undefined) this.#commit(text)
    else attempt.abandon()
    this.#putOut(text)
  }

  /** Takes what the body has put out from the buffer. */
  #takeText(): string {
    const { buffer } = this.#run
    const { res } = buffer
    buffer.res = this.#textBefore
    return this.site.exposed ? res.slice(this.#textBefore.length) : res
  }

  /** Adds a text, with its nocache blocks if nothing around is kept. */
  #putOut(text: string): void {
    let filled: MaybePromise<string>
    try {
      filled = this.#attempt.fillHoles(text)
    } catch (error) {
      // The body's own error goes before that of a block in it.
      if (this.#failure === undefined) throw error
      return
    }
    if (!isPromise(filled)) {
      this.#run.buffer.res = this.#textBefore + filled
      return
    }
    // Nobody may come to wait for it.
    filled.catch(() => undefined)
    this.#filling = filled
    this.fills = true
  }

  /** Never rejects. Where the tag stands in a function that is not async, it is not called. */
  async fill(): Promise<void> {
    this.#run.suspend(this)
    try {
      this.#filled = await this.#filling
    } catch (error) {
      this.#failure ??= { error }
      this.#filled = ''
    }
  }

  /**
   * The nocache blocks are rendered.
   *
   * @throws CacheTagError: they cannot be waited for here, or texts were mixed up.
   * @throws What a block threw.
   */
  filled(): void {
    const isFailed = this.#failure !== undefined
    if (this.#filled === undefined) throw etaFaults.holeInFunction(this.site)
    if (!this.#run.resume(this, this.#textBefore)) return
    this.#run.buffer.res += this.#filled
    if (isFailed && this.#failure !== undefined) throw this.#failure.error
  }

  /** Stores the text in the background, after what is inside, which may have the same key. */
  #commit(text: string): void {
    const inner = this.#fragment.cache.answersAtOnce ? undefined : this.#run.storedSince(this.#mark)
    const attempt = this.#attempt
    if (!this.#fragment.bypass) {
      try {
        this.#run.checkPlaced(text, this.site)
      } catch (error) {
        attempt.fail(error)
        throw error
      }
    }
    const stored = attempt.commit(copy(text), inner)
    if (stored instanceof Promise) this.#run.stores(stored.catch(() => attempt.stored(false)))
  }

  #drop(): void {
    this.#leaveFrame()
    if (this.#failure === undefined) this.#attempt.abandon()
    else this.#attempt.fail(this.#failure.error)
  }

  #enterSync(): void {
    this.#mode = 'synchronous'
    this.#frameBefore = swapSyncFrame(this.frame)
  }

  #enterAsync(): void {
    this.#mode = 'asynchronous'
    this.#frameBefore = asyncFrame()
    enterAsyncFrame(this.frame)
    this.#run.guard(this)
  }

  #leaveFrame(): void {
    const isInside = currentFrame() === this.frame
    if (this.#mode === 'synchronous' && isInside) swapSyncFrame(this.#frameBefore)
    if (this.#mode === 'asynchronous') {
      this.#run.unguard(this)
      if (isInside) enterAsyncFrame(this.#frameBefore)
    }
    this.#mode = 'none'
  }

  /** Bodies that were not expected to wait are about to: a tag inside waits. */
  static lift(top: OpenFragment | undefined): void {
    let lowest: OpenFragment | undefined
    for (let at = top; at !== undefined && at.#mode === 'synchronous'; at = at.#below) {
      at.#mode = 'none'
      lowest = at
    }
    if (lowest !== undefined) swapSyncFrame(lowest.#frameBefore)
  }

  /** They have waited, and go on in a turn of their own. */
  static settle(top: OpenFragment | undefined): void {
    const lifted: OpenFragment[] = []
    for (let at = top; at !== undefined && at.#mode === 'none'; at = at.#below) lifted.push(at)
    for (const fragment of lifted.reverse()) fragment.#enterAsync()
  }
}

let tracksContexts = false

/**
 * Makes the runtime track asynchronous contexts before one is entered by hand: in a context that it
 * does not know yet, the frame would be entered for everything that runs outside of any.
 */
function trackContexts({ cache }: Fragment): void {
  if (tracksContexts) return
  tracksContexts = true
  runAsyncIn(new Frame(cache, undefined, undefined), () => undefined)
}

/**
 * A text of its own: what a template puts out may be a part of a longer text, which would be kept
 * for as long as the fragment.
 */
function copy(text: string): string {
  return ` ${text}`.slice(1)
}
