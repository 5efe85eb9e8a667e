import type { TagPosition } from '../errors.js'
import { isWithin, type Frame } from '../making/frame.js'
import type { MaybePromise } from '../maybe-promise.js'
import { Attempt } from './attempt.js'
import { faults } from './faults.js'
import type { HoleRef } from './hole-parts.js'
import type { HoleRenderer } from './hole-parts.js'
import { checkStray, isKept } from './holes.js'
import { openMany, type Found, type Opened, type Opening } from './open.js'
import { findStray, Placeholders } from './placeholder.js'
import type { Fragment } from './spec.js'
import { toText } from './text.js'
import { WriteBatch } from './writes.js'

/** A fragment that is put off until its template is done. */
export interface DeferredFragment {
  readonly fragment: Fragment
  readonly parent: Frame | undefined
  /** Renders the body now, possibly leaving placeholders. Not called where an attempt is running. */
  readonly body: () => string
  /** An in-place body that ended with placeholders in it. */
  readonly begun?: Begun
  /** Set if it was opened in place and its holes are still being rendered. */
  readonly opened?: Promise<Opened>
  /** Renders its holes, if nothing around it is stored. */
  readonly holes?: HoleRenderer | undefined
}

/** A text to be changed once its placeholders are filled. */
interface DeferredText {
  readonly text: string
  readonly change: (text: string) => string
}

/** A body that has run, possibly with placeholders in its text. */
interface Begun {
  readonly attempt: Attempt
  readonly text: string
}

/**
 * Whether a fragment inside was put off and its placeholder is in no text: the template dropped it, or a
 * filter or function changed it. Such a text is not stored.
 */
function hasLost({ frame }: Attempt, lost: readonly DeferredFragment[]): boolean {
  return lost.some(({ parent }) => isWithin(parent, frame))
}

/** The fragments that one render puts off, and their placeholders. */
export class DeferredSession {
  #placeholders: Placeholders | undefined
  readonly #deferred: (DeferredFragment | DeferredText)[] = []
  readonly #texts = new Map<DeferredFragment, Promise<string>>()
  readonly #writes = new WriteBatch()
  /** Fragments in holes, to be read together. */
  #soon: Promise<void> | undefined
  readonly #inHoles: DeferredFragment[] = []
  #hasEnded = false

  /** How many were put off so far. */
  get deferredCount(): number {
    return this.#deferred.length
  }

  /** Puts a fragment off. @returns What stands for it until the template is done. */
  defer(deferred: DeferredFragment): string {
    // A template may go on after its render has failed.
    if (this.#hasEnded) deferred.begun?.attempt.abandon()
    this.#placeholders ??= new Placeholders(deferred.fragment.site)
    return this.#placeholders.make(this.#deferred.push(deferred) - 1)
  }

  /**
   * Changes a text, and if placeholders are in it not before they are filled. What is stored for a
   * fragment inside stays as it was.
   *
   * @returns The changed text, or what stands for it until the template is done.
   */
  change(text: string, change: (text: string) => string): string {
    if (this.#placeholders === undefined || !this.holdsPlaceholder(text)) return change(text)
    return this.#placeholders.make(this.#deferred.push({ text, change }) - 1)
  }

  /** Whether a text holds what is left of at least one placeholder. */
  holdsPlaceholder(text: string): boolean {
    return this.#placeholders?.isIn(text) ?? false
  }

  #fragmentsIn(text: string, found = new Set<DeferredFragment>()): Set<DeferredFragment> {
    for (const [, index] of this.#placeholders?.find(text) ?? []) {
      const deferred = this.#deferred[Number(index)]
      if (deferred === undefined) continue
      if ('change' in deferred) this.#fragmentsIn(deferred.text, found)
      else found.add(deferred)
    }
    return found
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
    if (!this.holdsPlaceholder(text)) return this.checkStray(text)
    try {
      this.#start([...this.#fragmentsIn(text)])
      return await this.#fill(text)
    } finally {
      await this.#settle()
      const lost = this.#neverStarted()
      await this.#writes.flush((attempt) => hasLost(attempt, lost))
    }
  }

  /**
   * Starts rendering the fragments of one level and, once their bodies have run, of all they
   * contain together.
   */
  #start(level: readonly DeferredFragment[]): void {
    const fresh = level.filter((deferred) => !this.#texts.has(deferred))
    if (fresh.length === 0) return
    const unopened = fresh.filter(
      ({ begun, opened }) => begun === undefined && opened === undefined,
    )
    const opened = openMany(
      unopened.map(({ fragment }) => fragment),
      unopened.map(({ parent }) => parent),
      unopened.map(({ holes }) => holes),
    )
    const openings = new Map(unopened.map((deferred, i) => [deferred, opened[i] as Opening]))
    const bodies = fresh.map(async (deferred): Promise<Begun | Found> => {
      if (deferred.begun !== undefined) return deferred.begun
      const found = await (deferred.opened ?? (openings.get(deferred) as Opening).opened)
      return found instanceof Attempt ? this.#runBody(found, deferred) : found
    })
    const isJoined = fresh.map((one) => openings.get(one)?.joined ?? one.opened !== undefined)
    // A join must not hold up the others: the body it waits for may wait for one of them.
    const own = Promise.allSettled(bodies.filter((_, i) => !isJoined[i])).then((results) => {
      this.#start(results.flatMap((result) => this.#inside(result)))
    })
    fresh.forEach((deferred, i) => {
      const text = this.#finish(bodies[i] as Promise<Begun | Found>, isJoined[i] ? undefined : own)
      text.catch(() => undefined)
      this.#texts.set(deferred, text)
    })
  }

  #runBody(attempt: Attempt, { fragment, body }: DeferredFragment): Begun {
    const from = this.#deferred.length
    const text = attempt.runSync(() => toText(body(), fragment))
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
    for (let i = from; i < this.#deferred.length; i++) {
      const deferred = this.#deferred[i] as DeferredFragment | DeferredText
      if ('change' in deferred || deferred.begun === undefined) continue
      if (this.#texts.has(deferred)) continue
      kept ??= this.#keptIn(text)
      if (!kept.has(deferred)) deferred.begun.attempt.letGo()
    }
  }

  /** The fragments in a text and in the in-place bodies in it. */
  #keptIn(text: string, kept = new Set<DeferredFragment>()): Set<DeferredFragment> {
    for (const deferred of this.#fragmentsIn(text)) {
      if (kept.has(deferred)) continue
      kept.add(deferred)
      if (deferred.begun !== undefined) this.#keptIn(deferred.begun.text, kept)
    }
    return kept
  }

  #inside(result: PromiseSettledResult<Begun | Found>): DeferredFragment[] {
    if (result.status === 'rejected') return []
    const { value } = result
    return 'attempt' in value ? [...this.#fragmentsIn(value.text)] : this.#inHolesOf(value)
  }

  #inHolesOf({ pieces = [] }: Found): DeferredFragment[] {
    return pieces.flatMap(({ text, isHole }) => (isHole ? [...this.#fragmentsIn(text)] : []))
  }

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
      if (level === undefined) this.#start([...this.#fragmentsIn(begun.text)])
      else await level
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
      this.#start(this.#inHoles.splice(0))
    })
    await this.#soon
  }

  /** Renders holes as a part of this session. */
  renderHole(holes: HoleRenderer, ref: HoleRef): MaybePromise<string | undefined> {
    const from = this.#deferred.length
    const text = holes.render(ref)
    if (typeof text === 'string') this.#letGoOfDropped(text, from)
    return text
  }

  /** After an error others may still be running; they are to be stored and released. */
  async #settle(): Promise<void> {
    for (let known = -1; known !== this.#texts.size;) {
      known = this.#texts.size
      await Promise.allSettled(this.#texts.values())
    }
  }

  async #fill(text: string): Promise<string> {
    if (!this.holdsPlaceholder(text)) return this.checkStray(text)
    let filled = ''
    let end = 0
    for (const match of this.#placeholders?.find(text) ?? []) {
      const deferred = this.#deferred[Number(match[1])]
      // Only the text between placeholders is checked: a fragment's text may hold anything.
      const between = text.slice(end, match.index)
      this.#checkUndamaged(between)
      filled += between
      if (deferred !== undefined) filled += await this.#textOf(deferred)
      end = match.index + match[0].length
    }
    const rest = text.slice(end)
    this.#checkUndamaged(rest)
    return filled + rest
  }

  async #textOf(deferred: DeferredFragment | DeferredText): Promise<string> {
    if ('change' in deferred) return deferred.change(await this.#fill(deferred.text))
    return (await this.#texts.get(deferred)) as string
  }

  #checkUndamaged(text: string): void {
    if (this.holdsPlaceholder(text)) throw faults.altered(this.#siteOfDamaged(text))
    this.checkStray(text)
  }

  /** @throws CacheTagError: a text that is about to be altered holds a placeholder. */
  checkFilled(text: string): void {
    if (this.holdsPlaceholder(text)) throw faults.altered(this.#siteOfDamaged(text))
  }

  /** @throws CacheTagError: the text holds a placeholder of another render. */
  checkStray(text: string): string {
    const stray = findStray(text)
    // Its own placeholder may stand in a body that runs in place.
    if (stray === undefined || this.holdsPlaceholder(text)) return text
    throw faults.stray(stray)
  }

  #siteOfDamaged(text: string): TagPosition {
    const damaged = this.#deferred[this.#placeholders?.indexOfDamaged(text) ?? -1]
    const [fragment] =
      damaged === undefined
        ? this.#neverStarted()
        : 'change' in damaged
          ? this.#fragmentsIn(damaged.text)
          : [damaged]
    return fragment?.fragment.site ?? {}
  }

  /** Those whose placeholder was never found in a text. */
  #neverStarted(): DeferredFragment[] {
    return this.#deferred.filter(
      (deferred): deferred is DeferredFragment =>
        !('change' in deferred) && !this.#texts.has(deferred),
    )
  }

  /** Ends the render: releases those who wait for a body whose placeholder was dropped. */
  end(): void {
    this.#hasEnded = true
    for (const { begun } of this.#neverStarted()) begun?.attempt.abandon()
  }
}
