import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AsyncSlot, ContextHold } from '../../src/async-slot.js'
import { neverThrowing, type ResponseTold } from '../../src/observe/watch.js'
import { explainResponse } from '../../src/pages/explanations.js'
import type { RequestEvent, RequestPart } from './api.js'
import type { Happening } from './events.js'
import { cutText } from './text.js'

/** More parts of one request are counted, and not kept. */
const MAX_PARTS = 200

/** Node tells of every request of HTTP/1 here before it is handled. */
const REQUEST_CHANNEL = 'http.server.request.start'

/** What a message of that channel has. */
interface RequestStarted {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/**
 * Tells of every request that this process answers from now on, in the code that answers it.
 *
 * @returns Ends it.
 */
export function onRequest(who: string, listener: (started: RequestStarted) => void): () => void {
  const tell = neverThrowing(who)((message: unknown) => listener(message as RequestStarted))
  const onMessage = (message: unknown) => tell(message)
  subscribe(REQUEST_CHANNEL, onMessage)
  return () => unsubscribe(REQUEST_CHANNEL, onMessage)
}

/** What one request had to do with the caches. */
export class Trace {
  readonly atMs = Date.now()
  readonly #startedMs = performance.now()
  readonly #parts: { readonly what: Part; readonly endMs: number; readonly writeMs: number }[] = []
  /** How long it took to write an entry, by its key, until its fragment is reported. */
  readonly #writes = new Map<string, number>()
  #left = 0
  #response: ResponseTold | undefined
  #durationMs = 0

  constructor(
    readonly method: string,
    readonly url: string,
  ) {}

  add(happening: Happening): void {
    if (happening.kind === 'response') this.#response = happening.message
    else if (happening.kind === 'fragment') {
      const { key } = happening.message
      const writeMs = this.#writes.get(key) ?? 0
      this.#writes.delete(key)
      this.#keep(happening, writeMs)
    } else if (happening.kind === 'operation') {
      const { operation, keys, durationMs } = happening.message
      if (operation === 'set') this.#writes.set(keys[0] ?? '', durationMs)
      this.#keep(happening, 0)
    }
  }

  #keep(what: Part, writeMs: number): void {
    if (this.#parts.length >= MAX_PARTS) this.#left++
    else this.#parts.push({ what, endMs: performance.now() - this.#startedMs, writeMs })
  }

  end(): void {
    this.#durationMs = performance.now() - this.#startedMs
    this.#writes.clear()
  }

  /** Whether it has asked a cache for anything. */
  get isOfCaches(): boolean {
    return this.#response !== undefined || this.#parts.length > 0
  }

  /** What is shown of it. */
  toEvent(id: number): RequestEvent {
    const fragments = new Set(
      this.#parts.flatMap(({ what: { kind, message } }) =>
        kind === 'fragment' ? message.key : [],
      ),
    )
    // What a fragment asked its cache for is a part of its own time.
    const isOwn = ({ what: { kind, message } }: { readonly what: Part }) =>
      kind === 'fragment' || message.keys.length !== 1 || !fragments.has(message.keys[0] ?? '')
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
      waitMs: durationMs,
      bodyMs: 0,
      writeMs: 0,
    }
  }
  const { name, key, outcome, bodyMs, cause } = message
  // A fragment that another one wrote at once with others has no time of its own for that.
  const written = Math.min(writeMs, Math.max(0, durationMs - bodyMs))
  return {
    kind,
    alias,
    title: cutText(name),
    key: cutText(key),
    outcome,
    ...(cause !== undefined && { why: cutText(cause.text) }),
    startMs,
    waitMs: Math.max(0, durationMs - bodyMs - written),
    bodyMs,
    writeMs: written,
  }
}

const traces = new AsyncSlot<Trace>()

/** Says by which request something happens, for as long as it runs. */
export class Tracing {
  readonly #hold = new ContextHold()
  readonly #end: () => void

  /**
   * @param isMeant - By the path of a request.
   * @param ended - A request is answered, or its client has left.
   */
  constructor(isMeant: (url: string) => boolean, ended: (trace: Trace) => void) {
    traces.track(this.#hold)
    this.#end = onRequest('inspector', ({ request, response }) => {
      const { method = '', url = '' } = request
      if (!isMeant(url)) return
      const trace = new Trace(method, url)
      traces.enter(trace)
      response.once('close', () => {
        trace.end()
        if (trace.isOfCaches) ended(trace)
      })
    })
  }

  /** Notes what happens, where a request is being answered. */
  add(happening: Happening): void {
    traces.current?.add(happening)
  }

  close(): void {
    this.#end()
    this.#hold.release()
  }
}
