import { isWithin } from '../making/frame.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { Attempt } from './attempt.js'
import {
  DeferredFragment,
  DeferredTexts,
  type Begun,
  type DeferredText,
  type PendingText,
} from './deferred-texts.js'
import type { HoleRef, HoleRenderer } from './hole-parts.js'
import { checkStray, isKept } from './holes.js'
import { openedOf, openMany, type Openings } from './open-many.js'
import type { Found, Opened } from './open.js'
import { toText } from './text.js'
import { WriteBatch } from './writes.js'

/** What a fragment has in place of its text while it is being asked for. */
const NOT_YET: PendingText = { looked: Promise.resolve() }

/** A fragment that was not found, or not whole. */
interface Rendered {
  readonly deferred: DeferredFragment
  readonly joined: boolean
  readonly body: Promise<Begun | Found>
}

/** Whether something was found, and nothing in it is still to be filled. */
function isWhole(opened: MaybePromise<Opened> | undefined): opened is Found {
  if (opened === undefined || opened instanceof Attempt || isPromise(opened)) return false
  return opened.pieces === undefined
}

/** @throws What the first text that fails, in their order, fails with. */
async function joinLate(
  texts: readonly string[],
  inside: readonly MaybePromise<string>[],
): Promise<string> {
  let filled = ''
  for (const [i, text] of texts.entries()) filled += text + ((await inside[i]) ?? '')
  return filled
}

/**
 * Whether a fragment inside was put off and its placeholder is in no text: the template dropped it, or a
 * filter or function changed it. Such a text is not stored.
 */
function hasLost({ frame }: Attempt, lost: readonly DeferredFragment[]): boolean {
  return lost.some(({ parent }) => isWithin(parent, frame))
}

let running: DeferredSession | undefined

/** The session whose templates run now. */
export function runningSession(): DeferredSession | undefined {
  return running
}

function runAs<T>(session: DeferredSession, action: () => T): T {
  const outer = running
  running = session
  try {
    return action()
  } finally {
    running = outer
  }
}

/** The fragments that one render puts off, and their placeholders. */
export class DeferredSession {
  readonly deferred = new DeferredTexts(() => this.#neverStarted())
  /** The texts that are, or were, being rendered. */
  readonly #running = new Set<Promise<string>>()
  readonly #writes = new WriteBatch()
  /** Fragments in holes, to be read together. */
  #soon: Promise<void> | undefined
  readonly #inHoles: DeferredFragment[] = []
  #hasEnded = false

  /** Runs code of this session's templates, as far as it does not wait. */
  run<T>(action: () => T): T {
    return runAs(this, action)
  }

  /** Puts a fragment off. @returns The placeholder for it until the template is done. */
  defer(deferred: DeferredFragment): string {
    // A template may go on after its render has failed.
    if (this.#hasEnded) deferred.inPlace?.begun?.attempt.abandon()
    return this.deferred.add(deferred)
  }

  /**
   * Replaces every placeholder in a rendered template.
   *
   * @throws CacheTagError: a placeholder was altered on its way into the text, or is another
   *   render's.
   * @throws What the first body to fail throws; what else was finished is stored all the same.
   */
  async resolve(text: string): Promise<string> {
    this.#letGoOfDropped(text, 0)
    // Inside a body that is stored, marks of holes belong in the text.
    if (!isKept()) checkStray(text)
    if (!this.deferred.isIn(text)) return this.deferred.checkStray(text)
    try {
      const started = this.#start(this.deferred.fragmentsIn(text))
      if (started !== undefined) await started
      return await this.#fill(text)
    } finally {
      // Where all was found, there is nothing to wait for.
      if (this.#running.size > 0) await this.#settle()
    }
  }

  /**
   * Looks up the fragments of one level, starts rendering those that are missing and, once their bodies have
   * run, all that they contain together.
   *
   * @returns Resolves when they were looked up; `undefined`: they are.
   */
  #start(level: readonly DeferredFragment[]): Promise<void> | undefined {
    const fresh: DeferredFragment[] = []
    const unopened: DeferredFragment[] = []
    for (const deferred of level) {
      if (deferred.text !== undefined) continue
      deferred.text = NOT_YET
      fresh.push(deferred)
      if (deferred.inPlace === undefined) unopened.push(deferred)
    }
    if (fresh.length === 0) return undefined
    const { all, answered } = openMany(unopened)
    if (answered === undefined) {
      this.#render(fresh, all)
      return undefined
    }
    const looked = answered.then(() => {
      this.#render(fresh, all)
    })
    const pending: PendingText = { looked }
    for (const deferred of fresh) deferred.text = pending
    return looked
  }

  /**
   * Takes the texts of those that were found, and renders the others.
   *
   * @param openings - Of those that were not begun in their place, in their order.
   */
  #render(fresh: readonly DeferredFragment[], openings: Openings['all']): void {
    const others: Rendered[] = []
    let next = 0
    for (const deferred of fresh) {
      const opening = deferred.inPlace === undefined ? openings[next++] : undefined
      const opened = opening && openedOf(opening)
      // Most are found: nothing has to be waited for, nor to be filled.
      if (isWhole(opened)) deferred.text = opened.text
      else {
        const joined = opening?.joined ?? deferred.inPlace?.opened !== undefined
        others.push({ deferred, joined, body: this.#bodyOf(deferred, opened) })
      }
    }
    if (others.length === 0) return
    // A join must not hold up the others: the body it waits for may wait for one of them.
    const own = others.filter(({ joined }) => !joined).map(({ body }) => body)
    const inside = Promise.allSettled(own).then((results) =>
      this.#start(results.flatMap((result) => this.#inside(result))),
    )
    for (const { deferred, joined, body } of others) {
      const text = this.#finish(body, joined ? undefined : inside)
      text.catch(() => undefined)
      deferred.text = text
      this.#running.add(text)
    }
  }

  async #bodyOf(
    deferred: DeferredFragment,
    opened: MaybePromise<Opened> | undefined,
  ): Promise<Begun | Found> {
    const { inPlace } = deferred
    if (inPlace?.begun !== undefined) return inPlace.begun
    const found = await ((inPlace?.opened ?? opened) as MaybePromise<Opened>)
    return found instanceof Attempt ? this.#runBody(found, deferred) : found
  }

  #runBody(attempt: Attempt, { fragment, body }: DeferredFragment): Begun {
    const from = this.deferred.count
    const text = this.run(() => attempt.runSync(() => toText(body(), fragment)))
    this.#letGoOfDropped(text, from)
    return { attempt, text }
  }

  /**
   * Releases those who wait for an in-place body whose placeholder was dropped: it is filled late or never,
   * and the render that would fill it may wait for them.
   *
   * @param from - The first that the text may have dropped.
   */
  #letGoOfDropped(text: string, from: number): void {
    let kept: Set<DeferredFragment> | undefined
    for (const deferred of this.deferred.since(from)) {
      const begun = deferred.inPlace?.begun
      if (begun === undefined || deferred.text !== undefined) continue
      kept ??= this.#keptIn(text)
      if (!kept.has(deferred)) begun.attempt.letGo()
    }
  }

  /** The fragments in a text and in the in-place bodies in it. */
  #keptIn(text: string, kept = new Set<DeferredFragment>()): Set<DeferredFragment> {
    for (const deferred of this.deferred.fragmentsIn(text)) {
      if (kept.has(deferred)) continue
      kept.add(deferred)
      const begun = deferred.inPlace?.begun
      if (begun !== undefined) this.#keptIn(begun.text, kept)
    }
    return kept
  }

  #inside(result: PromiseSettledResult<Begun | Found>): DeferredFragment[] {
    if (result.status === 'rejected') return []
    const { value } = result
    return 'attempt' in value ? this.deferred.fragmentsIn(value.text) : this.#inHolesOf(value)
  }

  #inHolesOf({ pieces = [] }: Found): DeferredFragment[] {
    return pieces.flatMap(({ text, isHole }) => (isHole ? this.deferred.fragmentsIn(text) : []))
  }

  /** @param level - Settles when what its whole level contains was looked up; `undefined`: it joined. */
  async #finish(body: Promise<Begun | Found>, level: Promise<void> | undefined): Promise<string> {
    const begun = await body
    if (!('attempt' in begun)) {
      // Fragments in its holes are read together with those in the bodies of its level.
      if (begun.pieces !== undefined) await level
      return this.#fillFound(begun)
    }
    const { attempt } = begun
    let text: string
    try {
      await (level ?? this.#start(this.deferred.fragmentsIn(begun.text)))
      text = await this.#fill(begun.text)
    } catch (error) {
      const old = attempt.recover(error)
      if (old === undefined) {
        attempt.fail(error)
        throw error
      }
      text = old
    }
    const isUnfit = attempt.isUnderLease && hasLost(attempt, this.#neverStarted())
    await this.#writes.complete(attempt, text, isUnfit)
    return this.#fillFound(await attempt.showHoles(text))
  }

  /** Fills the placeholders in holes only: the stored text around them may hold anything. */
  async #fillFound(found: Found): Promise<string> {
    if (found.pieces === undefined) return found.text
    await this.#startSoon(this.#inHolesOf(found))
    let filled = ''
    for (const { text, isHole } of found.pieces) filled += isHole ? await this.#fill(text) : text
    return filled
  }

  /** Starts fragments together with what other holes bring at the same time. */
  async #startSoon(fragments: readonly DeferredFragment[]): Promise<void> {
    if (fragments.length === 0) return
    this.#inHoles.push(...fragments)
    this.#soon ??= Promise.resolve().then(() => {
      this.#soon = undefined
      return this.#start(this.#inHoles.splice(0))
    })
    await this.#soon
  }

  /** Renders holes as a part of this session. */
  renderHole(holes: HoleRenderer, ref: HoleRef): MaybePromise<string | undefined> {
    const from = this.deferred.count
    const text = this.run(() => holes.render(ref))
    if (typeof text === 'string') this.#letGoOfDropped(text, from)
    return text
  }

  /** Stores what was rendered. After an error others may still be running; they are to be stored and released. */
  async #settle(): Promise<void> {
    for (let known = 0; known !== this.#running.size;) {
      known = this.#running.size
      await Promise.allSettled(this.#running)
    }
    const lost = this.#neverStarted()
    await this.#writes.flush((attempt) => hasLost(attempt, lost))
  }

  /** @returns A promise only where a text is still being rendered. */
  #fill(text: string): MaybePromise<string> {
    if (!this.deferred.isIn(text)) return this.deferred.checkStray(text)
    const { texts, inside: found, isClean } = this.deferred.split(text)
    // Only the text between placeholders is checked: a fragment's text may hold anything.
    if (!isClean) for (const between of texts) this.deferred.checkUndamaged(between)
    const inside = found.map((deferred) => this.#textOf(deferred))
    return inside.some(isPromise)
      ? joinLate(texts, inside)
      : texts.reduce((filled, between, i) => filled + (inside[i - 1] as string) + between)
  }

  #textOf(deferred: DeferredFragment | DeferredText): MaybePromise<string> {
    if (!(deferred instanceof DeferredFragment)) {
      return chain(this.#fill(deferred.text), deferred.change)
    }
    const text = deferred.text as MaybePromise<string> | PendingText
    if (typeof text === 'string' || !('looked' in text)) return text
    return text.looked.then(() => this.#textOf(deferred))
  }

  /** Those whose placeholder was never found in a text. */
  #neverStarted(): DeferredFragment[] {
    return this.deferred.since(0).filter(({ text }) => text === undefined)
  }

  /** Ends the render: releases those who wait for a body whose placeholder was dropped. */
  end(): void {
    this.#hasEnded = true
    for (const { inPlace } of this.#neverStarted()) inPlace?.begun?.attempt.abandon()
  }
}
