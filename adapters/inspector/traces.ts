import { explainFragment } from '../../src/observe/reasons.js'
import { told } from '../../src/observe/told.js'
import type { ResponseTold } from '../../src/observe/watch.js'
import { explainResponse } from '../../src/pages/explanations.js'
import { kindOf } from '../../src/pages/listed.js'
import type { RequestEvent, RequestPart } from './api.js'
import type { Happening } from './events.js'
import { cutText } from './text.js'

/** More parts of one request are counted, and not kept. */
const MAX_PARTS = 200

const WRITES: ReadonlySet<string> = new Set(['set', 'setMany', 'add', 'touch', 'delete'])

/** Whether a cache was asked for something. */
export function isOfCaches({ kind }: Happening): boolean {
  return kind === 'response' || kind === 'fragment' || kind === 'operation'
}

/** Chooses the requests that are traced, and takes them. */
export interface TraceTaker {
  /** Whether a request that begins now is traced. */
  beginsTrace(): boolean
  /** One that is not traced has asked a cache for something. */
  countRequest(): void
  /** A request is answered and its page stored, or its client has left. */
  endTrace(trace: Trace): void
}

/** What one request had to do with the caches. */
export class Trace {
  readonly atMs = Date.now()
  readonly #startedMs = performance.now()
  readonly #parts: { readonly what: Part; readonly endMs: number; readonly writeMs: number }[] = []
  /** How long it took to write an entry, by its key, until its fragment is reported. */
  readonly #writes = new Map<string, number>()
  #left = 0
  #isOfCaches = false
  #hasAskedForPage = false
  #response: ResponseTold | undefined
  #durationMs = 0

  /**
   * @param ended - Called once: it is answered, and what becomes of its page is known.
   */
  constructor(
    readonly method: string,
    readonly url: string,
    private ended: ((trace: Trace) => void) | undefined,
  ) {}

  add(happening: Happening): void {
    this.#isOfCaches ||= isOfCaches(happening)
    if (happening.kind === 'response') {
      this.#response = happening.message
      if (this.#durationMs > 0) this.end()
    } else if (happening.kind === 'fragment') {
      const { key } = happening.message
      const writeMs = this.#writes.get(key) ?? 0
      this.#writes.delete(key)
      this.#keep(happening, writeMs)
    } else if (happening.kind === 'operation') {
      const { operation, keys, durationMs } = happening.message
      this.#hasAskedForPage ||= keys.some((key) => kindOf(key) === 'page')
      if (WRITES.has(operation)) for (const key of keys) this.#writes.set(key, durationMs)
      this.#keep(happening, 0)
    }
  }

  #keep(what: Part, writeMs: number): void {
    if (this.#parts.length >= MAX_PARTS) this.#left++
    else this.#parts.push({ what, endMs: told.endedMs - this.#startedMs, writeMs })
  }

  /** Notes that its response has been sent, or that its client has left. */
  answered(): void {
    this.#durationMs = performance.now() - this.#startedMs
  }

  /** Whether a response cache was asked and has not said yet what became of it, since the page is being stored. */
  get isWaiting(): boolean {
    return this.#hasAskedForPage && this.#response === undefined
  }

  end(): void {
    const { ended } = this
    this.ended = undefined
    this.#writes.clear()
    ended?.(this)
  }

  /** Whether it has asked a cache for anything. */
  get isOfCaches(): boolean {
    return this.#isOfCaches
  }

  /** What is shown of it. */
  toEvent(id: number): RequestEvent {
    const fragments = new Set(
      this.#parts.flatMap(({ what: { kind, message } }) =>
        kind === 'fragment' ? message.key : [],
      ),
    )
    // What fragments asked their cache for is a part of their own time.
    const isOwn = ({ what: { kind, message } }: { readonly what: Part }) =>
      kind === 'fragment' ||
      message.keys.length === 0 ||
      !message.keys.every((key) => fragments.has(key))
    const response = this.#response
    return {
      id,
      atMs: this.atMs,
      method: cutText(this.method),
      url: cutText(response?.url ?? this.url),
      durationMs: this.#durationMs,
      ...(response !== undefined && responseFacts(response)),
      parts: this.#parts
        .filter(isOwn)
        .map(({ what, endMs, writeMs }) => toPart(what, endMs, writeMs)),
      left: this.#left,
    }
  }
}

type Part = Extract<Happening, { readonly kind: 'fragment' | 'operation' }>

function responseFacts(response: ResponseTold): Pick<RequestEvent, 'outcome' | 'why' | 'href'> {
  const { outcome } = response
  if (outcome === 'hit') return { outcome }
  const { code, sentence } = explainResponse(response)
  return { outcome, why: sentence, href: `help#${code}` }
}

function toPart({ kind, message }: Part, endMs: number, writeMs: number): RequestPart {
  const { alias, durationMs } = message
  const startMs = Math.max(0, endMs - durationMs)
  if (kind === 'operation') {
    const { operation, keys, hits, misses, error } = message
    return {
      kind,
      alias,
      title: keys.length > 1 ? `${operation} of ${keys.length} keys` : operation,
      key: cutText(keys[0] ?? ''),
      ...(error !== undefined
        ? { outcome: 'error' }
        : hits + misses > 0 && { outcome: misses === 0 ? 'hit' : hits === 0 ? 'miss' : 'mixed' }),
      startMs,
      waitMs: WRITES.has(operation) ? 0 : durationMs,
      bodyMs: 0,
      writeMs: WRITES.has(operation) ? durationMs : 0,
    }
  }
  const { name, key, outcome, bodyMs } = message
  const why = explainFragment(message)
  // A fragment that another one wrote at once with others has no time of its own for that.
  const written = Math.min(writeMs, Math.max(0, durationMs - bodyMs))
  return {
    kind,
    alias,
    title: cutText(name),
    key: cutText(key),
    outcome,
    ...(why !== undefined && { why: cutText(why) }),
    startMs,
    waitMs: Math.max(0, durationMs - bodyMs - written),
    bodyMs,
    writeMs: written,
  }
}
