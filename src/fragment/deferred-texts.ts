import type { TagPosition } from '../errors.js'
import type { Frame } from '../making/frame.js'
import type { MaybePromise } from '../maybe-promise.js'
import type { Attempt } from './attempt.js'
import { faults } from './faults.js'
import type { HoleRenderer } from './hole-parts.js'
import type { Opened, PlacedFragment } from './open.js'
import { findStray, Placeholders } from './placeholder.js'
import type { Fragment } from './spec.js'

/** How the body of a fragment was begun in its place, before it was put off. */
export interface BegunInPlace {
  /** An in-place body that ended with placeholders in it. */
  readonly begun?: Begun
  /** Set if it was opened in place and its holes are still being rendered. */
  readonly opened?: Promise<Opened>
}

/** Stands for a text that is being looked up. */
export interface PendingText {
  readonly looked: Promise<void>
}

/** A fragment that is put off until its template is done. */
export class DeferredFragment implements PlacedFragment {
  /** `undefined`: its placeholder was found in no text yet. */
  text: MaybePromise<string> | PendingText | undefined

  /**
   * @param holes - Renders its holes, if nothing around it is stored.
   * @param body - Renders the body now, possibly leaving placeholders. Not called where an attempt is running.
   */
  constructor(
    readonly fragment: Fragment,
    readonly parent: Frame | undefined,
    readonly holes: HoleRenderer | undefined,
    readonly body: () => string,
    readonly inPlace?: BegunInPlace,
  ) {}
}

/** A text to be changed once its placeholders are filled. */
export interface DeferredText {
  readonly text: string
  readonly change: (text: string) => string
}

/** A body that has run, possibly with placeholders in its text. */
export interface Begun {
  readonly attempt: Attempt
  readonly text: string
}

/** A text taken apart at the placeholders in it. */
export interface SplitText {
  /** Before, between and behind them: one more than there are. */
  readonly texts: readonly string[]
  /** What they stand for. */
  readonly inside: readonly (DeferredFragment | DeferredText)[]
  /** As of a `Split`. */
  readonly isClean: boolean
}

/** What one render puts off, and the placeholders that stand for it. */
export class DeferredTexts {
  #placeholders: Placeholders | undefined
  readonly #all: (DeferredFragment | DeferredText)[] = []
  #last: { readonly text: string; readonly split: SplitText } | undefined
  readonly #lost: () => readonly DeferredFragment[]

  /** @param lost - Gives those whose placeholder was never found in a text, for messages. */
  constructor(lost: () => readonly DeferredFragment[]) {
    this.#lost = lost
  }

  /** How much was put off so far. */
  get count(): number {
    return this.#all.length
  }

  /** The fragments that were put off since the count was this. */
  since(count: number): DeferredFragment[] {
    return this.#all.slice(count).filter((one) => one instanceof DeferredFragment)
  }

  /** @returns The placeholder for it until the template is done. */
  add(deferred: DeferredFragment): string {
    this.#placeholders ??= new Placeholders(deferred.fragment.site)
    this.#all.push(deferred)
    return this.#placeholders.make()
  }

  /**
   * Changes a text; if it contains placeholders, once they are filled. What is stored for a fragment inside
   * stays as it was.
   *
   * @returns The changed text, or a placeholder for it until the template is done.
   */
  change(text: string, change: (text: string) => string): string {
    if (this.#placeholders === undefined || !this.isIn(text)) return change(text)
    this.#all.push({ text, change })
    return this.#placeholders.make()
  }

  /** Whether a text holds what is left of at least one placeholder. */
  isIn(text: string): boolean {
    return this.#placeholders?.isIn(text) ?? false
  }

  /** The fragments in a text, and in the texts in it that are to be changed. */
  fragmentsIn(text: string, found: DeferredFragment[] = []): DeferredFragment[] {
    for (const deferred of this.split(text).inside) {
      if (deferred instanceof DeferredFragment) found.push(deferred)
      else this.fragmentsIn(deferred.text, found)
    }
    return found
  }

  /** Takes a text apart. The last one is remembered: a text is asked for what is in it, and then filled. */
  split(text: string): SplitText {
    if (text !== this.#last?.text) this.#last = { text, split: this.#split(text) }
    return this.#last.split
  }

  #split(text: string): SplitText {
    if (this.#placeholders === undefined) return { texts: [text], inside: [], isClean: true }
    const { texts, indices, isClean } = this.#placeholders.split(text)
    const inside = indices.map((index) => this.#all[index] as DeferredFragment | DeferredText)
    return { texts, inside, isClean }
  }

  /** @throws CacheTagError: the text holds what is left of a placeholder, or another render's. */
  checkUndamaged(text: string): void {
    this.checkFilled(text)
    this.checkStray(text)
  }

  /** @throws CacheTagError: a text that is about to be altered holds a placeholder. */
  checkFilled(text: string): void {
    if (this.isIn(text)) throw faults.altered(this.#siteOfDamaged(text))
  }

  /** @throws CacheTagError: the text holds a placeholder of another render. */
  checkStray(text: string): string {
    const stray = findStray(text)
    // Its own placeholder may be in a body that runs in place.
    if (stray === undefined || this.isIn(text)) return text
    throw faults.stray(stray)
  }

  #siteOfDamaged(text: string): TagPosition {
    const damaged = this.#all[this.#placeholders?.indexOfDamaged(text) ?? -1]
    const [fragment] =
      damaged === undefined
        ? this.#lost()
        : damaged instanceof DeferredFragment
          ? [damaged]
          : this.fragmentsIn(damaged.text)
    return fragment?.fragment.site ?? {}
  }
}
