import { whyUnwritten, type CacheRefusal } from '../backend/refusal.js'
import type { StoreRequest } from '../backend/entries.js'
import type { WriteOutcome } from '../backend/store.js'
import { CacheTagError, ProducerTimeoutError, show } from '../errors.js'
import { runAsyncIn, runSyncIn, type Frame } from '../making/frame.js'
import { Making, type Judged, type Lead, type Old } from '../making/making.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { reportRefresh, type FragmentOutcome } from '../observe/channels.js'
import type { MissCause } from '../observe/miss-cause.js'
import type { FragmentReason } from '../observe/reasons.js'
import { ownLimitOf } from '../staleness.js'
import { NO_VERSIONS } from '../tags.js'
import { settledWithin } from '../time-limit.js'
import { toDeadline } from '../timeout.js'
import { faults } from './faults.js'
import type { Content } from './hole-parts.js'
import type { HoleRenderer } from './hole-parts.js'
import { showContent, takeContent, type Shown } from './holes.js'
import { readCopied } from './watched-copies.js'
import { fragmentMakings, leaveUnfinished, orderOf, type FragmentFlight } from './makings.js'
import { observer } from './shown.js'
import type { Fragment } from './spec.js'
import { UNTIMED } from '../observe/told.js'
import { currentMs } from '../current-time.js'
import { causeOf, publish, type FragmentStart } from './telling.js'
import { outermostOf, TemplateFrame } from './template-frame.js'
import { PRINTED_PROMISE, warnOfPromise } from './warnings.js'

/**
 * A fragment that was not found. Its caller runs the body and then calls exactly one of
 * `commit`, `complete`, `abandon`, `withdraw` and `fail`.
 */
export class Attempt {
  readonly frame: TemplateFrame
  readonly #making: Making<Content>
  readonly #cause: MissCause | undefined
  /** Why it is not stored, as far as it is known. */
  #refusal: FragmentReason | undefined
  #bodyStartedMs = UNTIMED
  #bodyMs = 0
  #hasRecovered = false
  #bytes = 0

  /**
   * @param holes - Renders the holes inside, if nothing around it is stored.
   */
  constructor(
    readonly fragment: Fragment,
    private readonly begun: FragmentStart,
    readonly parent: Frame | undefined,
    private readonly lead: Lead<Content>,
    readonly startedMs: number,
    holes?: HoleRenderer,
  ) {
    const { cache, bypass, settings, variant } = fragment
    const isLimited = settings.bubbleTimeout
    const { storedKey } = variant
    const isLeased = this.isUnderLease
    const purpose = bypass ? { isLeased } : { isLeased, isLimited, fragment, storedKey, holes }
    const frame = new TemplateFrame(cache, parent, lead.flight, purpose)
    if (bypass) frame.keeps = false
    this.frame = frame
    const order = orderOf(fragment)
    this.#cause = causeOf(fragment, begun.found)
    this.#refusal = begun.refusal
    this.#making = new Making(order, frame, begun.start, fragmentMakings.over(cache), lead)
  }

  /** What other callers in this process may wait for. */
  get flight(): FragmentFlight | undefined {
    return this.lead.flight
  }

  /** Whether other processes may wait for it, so that it must be stored as soon as it is made. */
  get isUnderLease(): boolean {
    return this.lead.lease !== undefined
  }

  /**
   * What is served to all others while this is made.
   *
   * @returns `undefined`: nothing, they wait for it.
   */
  get served(): Old<Content> | undefined {
    return this.lead.refresh === undefined ? undefined : this.lead.old
  }

  /** The same as a part of no frame, to be made in the background once the caller has the old text. */
  apart(holes: HoleRenderer | undefined): Attempt {
    const { fragment, begun, startedMs } = this
    const { refresh, lease } = this.lead
    const own = holes ?? outermostOf(this.parent)?.holes
    return new Attempt(fragment, begun, undefined, { refresh, lease }, startedMs, own)
  }

  /** Runs a body that ends before it returns. @throws What the body throws, after `fail`. */
  runSync(body: () => string): string {
    this.bodyStarts()
    try {
      const text = runSyncIn(this.frame, body)
      this.bodyEnds()
      return text
    } catch (error) {
      return this.#recoverOrThrow(error)
    }
  }

  /**
   * Runs any body.
   *
   * @throws What the body throws, after `fail`.
   * @throws ProducerTimeoutError: it took too long, after `fail`. What it still puts out belongs to a page that has
   *   gone on without it, and is dropped.
   */
  async runAsync(body: () => string | Promise<string>): Promise<string> {
    this.bodyStarts()
    try {
      const running = runAsyncIn(this.frame, body)
      const text = isPromise(running) ? await inTime(running, this.fragment, this.lead) : running
      this.bodyEnds()
      return text
    } catch (error) {
      return this.#recoverOrThrow(error)
    }
  }

  #recoverOrThrow(error: unknown): string {
    this.bodyEnds()
    const old = this.recover(error)
    if (old !== undefined) return old
    this.fail(error)
    throw error
  }

  /**
   * The old text to serve for a body that threw; the error is reported. It goes on like a body's text, but is
   * not stored.
   *
   * @returns `undefined`: there is none, and `fail` must be called.
   */
  recover(error: unknown): string | undefined {
    const { fragment, frame } = this
    const { old } = this.lead
    // A mistake in a template would never be seen.
    if (old === undefined || error instanceof CacheTagError) return undefined
    if (currentMs() >= old.usableUntilMs || this.#making.isDiscarded) return undefined
    if (frame.dependencies.wasLost(old.hit.tags)) return undefined
    outermostOf(frame)?.marks?.drop(frame)
    const shown = showContent(old.value, frame, undefined, fragment.site)
    if (shown === undefined || isPromise(shown)) return undefined
    const { alias, cache, variant } = fragment
    reportRefresh({ alias, backend: cache.backendName, key: variant.key, error })
    this.#hasRecovered = true
    this.parent?.depend(cache, old.hit.tags)
    frame.depend(cache, old.hit.tags)
    if (old.hit.staleSinceMs === undefined) this.parent?.limit(old.usableUntilMs)
    else this.parent?.holdOld()
    return shown.text
  }

  /** For bodies that the caller runs itself inside {@link frame}. */
  bodyStarts(): void {
    this.#bodyStartedMs = performance.now()
  }

  bodyEnds(): void {
    if (this.#bodyStartedMs === UNTIMED) return
    this.#bodyMs = performance.now() - this.#bodyStartedMs
    this.fragment.tally.ran(this.#bodyMs)
  }

  /**
   * Stores the text; synchronously if the cache answers at once.
   *
   * @param after - Stores it only after this has settled, which never rejects.
   * @throws CacheTagError: the mark of a hole was altered; after `fail`.
   */
  commit(text: string, after?: Promise<unknown>): MaybePromise<void> {
    let completed: MaybePromise<StoreRequest | undefined>
    try {
      completed = this.complete(text)
    } catch (error) {
      this.fail(error)
      throw error
    }
    return chain(after === undefined ? completed : after.then(() => completed), (request) => {
      const unfitness = this.unfitness(request)
      if (request === undefined || unfitness !== undefined) return this.unstored(unfitness)
      const { cache, variant } = this.fragment
      return chain(cache.tryStore([variant.key], [request]), (outcomes) =>
        this.written(outcomes[0]),
      )
    })
  }

  /**
   * Hands the text to those who wait, without storing it yet.
   *
   * @returns What is to be stored, if anything. Then `written` must be called, or else `unstored`.
   * @throws CacheTagError: the mark of a hole was altered, or a copy reveals the visitor. Then `fail` must be
   *   called.
   */
  complete(text: string): MaybePromise<StoreRequest | undefined> {
    // What a body read that failed is not in the old text.
    if (!this.#hasRecovered) readCopied(this.frame)
    const { timeout, bypass } = this.fragment
    const content = bypass ? text : takeContent(this.frame, text)
    const deadline = toDeadline(timeout, currentMs())
    return chain(this.#making.judge(deadline), (judged) => {
      this.#give(content, judged)
      if (this.#hasRecovered) return undefined
      const { fitness } = judged
      if (!fitness.isKept) {
        this.#refusal ??= fitness.reason
        // A shorter timeout than before must not leave the older text behind.
        return fitness.reason === 'zero-seconds' ? this.#making.toRemoval() : undefined
      }
      this.#bytes = sizeOf(content)
      if (text.includes(PRINTED_PROMISE)) warnOfPromise(this.fragment.site)
      return this.#making.toStore(content, fitness, this.#bodyMs)
    })
  }

  /** Why a completed text must not be stored any more: its dependencies may have been invalidated since. */
  unfitness({ tags = NO_VERSIONS }: Partial<StoreRequest> = {}): FragmentReason | undefined {
    const { unfitFor, dependencies } = this.frame
    return unfitFor ?? (dependencies.isOutdatedBy(tags.keys()) ? 'invalidated' : undefined)
  }

  #give(content: Content, judged: Judged): void {
    const { parent, frame, lead } = this
    parent?.depend(this.fragment.cache, judged.tags)
    parent?.limit(judged.expiresAtMs)
    const landed = this.#making.toLanded(content, judged)
    if (!this.#hasRecovered) return lead.flight?.land(landed)
    const staleSinceMs = lead.old?.hit.staleSinceMs
    const served = staleSinceMs === undefined ? undefined : { staleSinceMs, afterError: true }
    const isOld = frame.holdsOld || served !== undefined
    lead.flight?.land({ ...landed, isOld, isApart: false, served })
  }

  /**
   * The output for the body's text, whether it was completed or the body failed. `holes` fills its holes if
   * nothing around is stored.
   *
   * @returns A promise only if the holes are rendered asynchronously.
   * @throws CacheTagError: the mark of a hole was altered.
   * @throws What a hole throws.
   */
  fillHoles(text: string): MaybePromise<string> {
    return chain(this.showHoles(text), (shown) => shown.text)
  }

  /** As {@link fillHoles}, with the parts it is made of. */
  showHoles(text: string): MaybePromise<Shown> {
    const { frame, parent, fragment } = this
    // Only the outermost frame has marks.
    if (frame.marks === undefined) {
      observer?.shown({ fragment, parent, frame, text })
      return { text }
    }
    return chain(
      showContent(takeContent(frame, text), parent, frame.holes, fragment.site),
      (shown) => {
        if (shown === undefined) throw faults.lostHole(fragment.site)
        observer?.shown({ fragment, parent, frame, text: shown.text })
        return shown
      },
    )
  }

  /** Ends the attempt: what {@link complete} gave was to be written. */
  written(outcome: WriteOutcome | CacheRefusal = 'failed'): void {
    const { variant, tally } = this.fragment
    const refusal = this.#refusal ?? whyUnwritten(outcome)
    if (refusal !== undefined) return this.unstored(refusal)
    tally.stored(variant.key, this.#bytes)
    this.#end('miss')
  }

  /** Ends the attempt: nothing is stored. @param refusal - Why not, unless it was known before. */
  unstored(refusal?: FragmentReason): void {
    this.#refusal ??= refusal
    this.#giveUp()
    if (this.#hasRecovered) this.#end('stale', 'body-failed')
    else this.#end('bypass', this.#refusal)
  }

  /** Those who wait have to look for themselves, whether this goes on or not. */
  letGo(): void {
    this.lead.flight?.land(undefined)
    this.#release()
  }

  /** The body ran, but its text is not a whole fragment, for example because it was left early. */
  abandon(): void {
    this.lead.flight?.land(undefined)
    this.unstored('incomplete')
  }

  /** The body is not going to run. */
  withdraw(): void {
    this.lead.flight?.land(undefined)
    this.#giveUp()
    this.#release()
  }

  #giveUp(): void {
    const isBegun = this.#bodyStartedMs !== UNTIMED
    void this.#making.giveUp(isBegun ? performance.now() - this.#bodyStartedMs : 0)
  }

  #release(): void {
    void this.#making.release()
  }

  /**
   * The body threw.
   *
   * @param unfinished - Its output up to then, if that stays in the page.
   */
  fail(error: unknown, unfinished?: string): void {
    const { flight } = this.lead
    // Per-user output must not reach another user's page.
    if (flight !== undefined && unfinished !== undefined && !this.frame.isUnfit) {
      leaveUnfinished(flight, contentSoFar(this.frame, unfinished))
    }
    flight?.fail(error)
    this.#giveUp()
    this.#end('error')
  }

  #end(outcome: FragmentOutcome, reason?: FragmentReason): void {
    this.#release()
    this.frame.end()
    const cause = this.#cause
    publish(this.fragment, outcome, this.startedMs, this.#bodyMs, cause, reason)
    observer?.ended(this.fragment, this.frame, { outcome, reason, cause, bodyMs: this.#bodyMs })
  }
}

/** What a body gives, if it does so in time. @throws ProducerTimeoutError */
function inTime(
  running: Promise<string>,
  { cache, site, variant }: Fragment,
  { refresh }: Lead<Content>,
): Promise<string> {
  // Nobody waits for a fragment that is rendered again in the background.
  const limitMs = refresh === undefined ? ownLimitOf(cache.settings.producerTimeoutMs) : Infinity
  return settledWithin(running, limitMs, () => {
    const what = `the body of the fragment ${show(site.fragment)},`
    return Promise.reject(new ProducerTimeoutError(what, variant.key, limitMs))
  })
}

/** What a body that failed had put out; nothing where the mark of a hole was cut in two. */
function contentSoFar(frame: TemplateFrame, text: string): Content {
  try {
    return takeContent(frame, text)
  } catch {
    return ''
  }
}

/** In bytes. */
function sizeOf(content: Content): number {
  if (typeof content === 'string') return Buffer.byteLength(content)
  let bytes = 0
  for (const part of content) if (typeof part === 'string') bytes += Buffer.byteLength(part)
  return bytes
}
