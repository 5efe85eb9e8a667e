import type { CacheTagError, TagPosition } from '../../src/errors.js'
import { ContextHold } from '../../src/async-slot.js'
import { currentFrame, trackFrames, type Frame } from '../../src/making/frame.js'
import { etaFaults } from './faults.js'

/** The variable `__eta` of a template: what it has put out so far. */
export interface EtaBuffer {
  res: string
}

/** What waits before its text is added. */
export interface Waiter {
  readonly site: TagPosition
  /** `false`: a nocache block that is rendered where it is. In no fragment, it writes like any code. */
  readonly isFragment: boolean
}

/** A body that is running. */
export interface Body extends Waiter {
  readonly frame: Frame
  /** Whether the calling code is its. */
  readonly isCalling: boolean
  /** Something inside waits: what runs meanwhile is not in the body. */
  lift(): void
  /** That has waited. */
  settle(): void
}

/**
 * Who writes to the buffer of a template's run. All its tags write to one buffer, so only one of them may be
 * rendered at any time, apart from those around it. Other writes meanwhile are detected:
 *
 * - While a tag waits before its body, nothing may be written.
 * - While a body runs that may wait, nothing may be written that does not come from inside it. The
 * asynchronous context shows that.
 */
export class Writing {
  /** The innermost fragment whose body is running. */
  #top: Body | undefined
  /** The fragment, or the nocache block in one, that waits. */
  #waiting: Waiter | undefined
  /** The fragments whose bodies may wait, the innermost last. */
  readonly #owners: Body[] = []
  /** What is in the buffer while it has an owner. */
  #text = ''
  #conflict: CacheTagError | undefined
  /** Keeps contexts tracked until the template is left. */
  #hold: ContextHold | undefined

  constructor(readonly buffer: EtaBuffer) {}

  /** The innermost fragment whose body is running. */
  get top(): Waiter | undefined {
    return this.#top
  }

  /** @throws CacheTagError: something else is being rendered into the buffer. */
  check(site: TagPosition): void {
    if (this.#waiting !== undefined || this.#conflict !== undefined) throw this.clash(site)
    if (this.#owners.length > 0) this.#checkFlow()
  }

  /**
   * The template is left.
   *
   * @returns What is wrong, if anything: texts were mixed up, or something is still being rendered that
   *   nobody waited for.
   */
  finish(): CacheTagError | undefined {
    this.#hold?.release()
    this.#hold = undefined
    const late = this.#waiting ?? this.#top
    if (late !== undefined) this.clash(late.site)
    return this.#conflict
  }

  /** Something waits. What runs meanwhile is in none of the bodies that are running here. */
  suspend(waiter: Waiter): void {
    if (this.#top === undefined && !waiter.isFragment) return
    this.#waiting = waiter
    if (this.#top === undefined) return
    this.trackFrames()
    this.#top.lift()
  }

  /** Called before something waits behind which a frame is entered. */
  trackFrames(): void {
    this.#hold ??= new ContextHold()
    trackFrames(this.#hold)
  }

  /**
   * It has waited.
   *
   * @returns `false`: something else was rendered meanwhile, and was told so.
   * @throws CacheTagError: something else was written meanwhile.
   */
  resume(waiter: Waiter, textBefore: string): boolean {
    if (this.#conflict !== undefined) return false
    if (this.#waiting !== waiter) return true
    if (this.buffer.res !== textBefore) throw this.clash(waiter.site)
    this.#waiting = undefined
    this.#top?.settle()
    return true
  }

  /** A body begins. */
  enter(body: Body): Body | undefined {
    const below = this.#top
    this.#top = body
    return below
  }

  /**
   * A body ends.
   *
   * @returns `false`: texts were mixed up, and somebody was told so.
   * @throws CacheTagError: not in the order in which they began.
   */
  leave(body: Body, below: Body | undefined): boolean {
    if (this.#conflict !== undefined) return false
    const isInside = currentFrame() === body.frame
    if (!isInside || this.#top !== body || this.#waiting !== undefined) throw this.clash(body.site)
    this.#top = below
    return true
  }

  /** From now on only this may write. */
  guard(owner: Body): void {
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

  unguard(owner: Body): void {
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

  /** Texts are mixed up. Nothing more is stored, and the caller that noticed throws the error. */
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
}
