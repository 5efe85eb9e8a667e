import { AsyncSlot } from '../../../src/async-slot.js'
import { isWithin, type Frame } from '../../../src/making/frame.js'
import type { Piece } from '../../../src/fragment/hole-parts.js'
import {
  observeFragments,
  type FragmentEnding,
  type ShownFragment,
} from '../../../src/fragment/shown.js'
import type { Fragment } from '../../../src/fragment/spec.js'
import type { MissCause } from '../../../src/observe/miss-cause.js'
import { neverThrowing } from '../../../src/observe/watch.js'
import { Layouts } from './layouts.js'
import type { PutOutNow } from './put-out.js'

interface Note {
  readonly shown: ShownFragment
  inner: Note[]
  readonly known: ReturnType<Layouts['ofFragment']>
  readonly atMs: number
}

interface Ended extends FragmentEnding {
  readonly fragment: Fragment
}

/** What a request put out of the page's own outcome, on the channel `fragcache:response`. */
export interface PageTold {
  readonly url: string
  readonly outcome: string
  readonly reason?: string
  readonly cause?: MissCause
  readonly key: string
  readonly alias: string
}

/** What was found inside of fragments and pages when they were made. */
export const layouts = new Layouts()

/**
 * More are not noted. A request may begin what outlives it, as a timer or a connection does, and that
 * would go on to be noted for as long as the process runs.
 */
export const MAX_NOTED = 10_000

/** What one request puts out. */
export class RequestRecord {
  /** Those that are in nothing, so far. */
  #outer: Note[] = []
  readonly #notes = new Map<Frame, Note>()
  readonly #ended = new Map<Frame, Ended>()
  /** Texts whose holes were filled. */
  readonly #filled: (readonly Piece[])[] = []
  #count = 0
  page: PageTold | undefined
  /** Called when the page's outcome is known. */
  onPage: (() => void) | undefined

  shown(shown: ShownFragment): void {
    if (++this.#count > MAX_NOTED) return
    const { fragment, frame } = shown
    const known = frame === undefined ? layouts.ofFragment(fragment) : undefined
    const note: Note = { shown, inner: [], known, atMs: Date.now() }
    if (frame !== undefined) {
      // What is inside was put out before.
      const isInside = ({ shown: { parent } }: Note) => isWithin(parent, frame)
      note.inner = this.#outer.filter(isInside)
      if (note.inner.length > 0) this.#outer = this.#outer.filter((other) => !isInside(other))
      this.#notes.set(frame, note)
      this.#remember(frame)
    }
    this.#outer.push(note)
  }

  ended(fragment: Fragment, frame: Frame, ending: FragmentEnding): void {
    if (this.#ended.size >= MAX_NOTED) return
    this.#ended.set(frame, { fragment, ...ending })
    this.#remember(frame)
  }

  holesFilled(pieces: readonly Piece[]): void {
    if (this.#filled.length < MAX_NOTED) this.#filled.push(pieces)
  }

  /** Once it is known both what was made and that it is stored. */
  #remember(frame: Frame): void {
    const note = this.#notes.get(frame)
    if (note === undefined || this.#ended.get(frame)?.outcome !== 'miss') return
    layouts.addFragment(this.#toSeen(note))
  }

  tell(page: PageTold): void {
    this.page = page
    this.onPage?.()
  }

  /** Those that are in nothing. */
  get outer(): readonly PutOutNow[] {
    return this.#outer.map((note) => this.#toSeen(note))
  }

  get filled(): readonly (readonly Piece[])[] {
    return this.#filled
  }

  /** Fragments whose body threw and which put out nothing. */
  get failed(): readonly Fragment[] {
    return Array.from(this.#ended).flatMap(([frame, { fragment, outcome }]) =>
      outcome === 'error' && !this.#notes.has(frame) ? [fragment] : [],
    )
  }

  #toSeen({ shown, inner, known, atMs }: Note): PutOutNow {
    const { fragment, frame, text, hit } = shown
    const ended = frame && this.#ended.get(frame)
    const isMade = frame !== undefined
    return {
      fragment,
      text,
      outcome: shown.outcome ?? ended?.outcome ?? 'miss',
      inner: isMade ? inner.map((note) => this.#toSeen(note)) : (known?.inner ?? []),
      madeAtMs: isMade ? atMs : known?.madeAtMs,
      bodyMs: isMade ? ended?.bodyMs : (known?.bodyMs ?? costOf(hit?.stamp?.costMs)),
      reason: ended?.reason ?? shown.reason,
      cause: ended?.cause ?? shown.cause,
      tags: [...new Set([...fragment.tags, ...((frame?.tags ?? hit?.tags)?.keys() ?? [])])],
    }
  }
}

function costOf(costMs: number | undefined): number | undefined {
  return costMs === undefined || costMs === 0 ? undefined : costMs
}

const records = new AsyncSlot<RequestRecord>()
let isObserving = false

/** Runs what answers a request, and notes what it puts out. */
export function recordIn(record: RequestRecord, run: () => void): void {
  if (!isObserving) {
    isObserving = true
    const guarded = neverThrowing('overlay')
    observeFragments({
      shown: guarded((shown: ShownFragment) => records.current?.shown(shown)),
      ended: guarded((...told: Parameters<RequestRecord['ended']>) =>
        records.current?.ended(...told),
      ),
      filled: guarded((pieces: readonly Piece[]) => records.current?.holesFilled(pieces)),
    })
  }
  records.run(record, run)
}

/** The record of the request that is being answered. */
export function currentRecord(): RequestRecord | undefined {
  return records.current
}
