import type { Attributes, Span, Tracer } from '@opentelemetry/api'
import type { FragmentMessage, OperationMessage } from '../../src/observe/channels.js'
import { shownKey, type ShownKeys } from '../../src/shown-key.js'
import { resultOf } from '../../src/observe/counts.js'
import { MAX_NAME_LENGTH } from '../../src/observe/tally.js'
import { told } from '../../src/observe/told.js'
import { listen, type ResponseTold, type Watched } from '../../src/observe/watch.js'
import { errorType } from './error-type.js'
import type { Session } from './sessions.js'
import { OTHER_LABELS } from './tally.js'

type Api = typeof import('@opentelemetry/api')

/** Of which messages spans are made. */
export interface SpanKinds {
  readonly operations: boolean
  readonly fragments: boolean
  readonly responses: boolean
}

export interface SpanSettings extends SpanKinds {
  readonly keys: ShownKeys
  readonly maxNames: number
}

/** Makes spans of messages, which tell of what is over: by then it is known how long it took. */
export class SpansSession implements Session {
  readonly #api: Api
  readonly #tracer: Tracer
  readonly #watched: Watched[] = []
  readonly #names = new Set<string>()
  readonly #end: () => void

  constructor(
    api: Api,
    tracer: Tracer,
    readonly settings: Readonly<SpanSettings> & Readonly<Record<string, unknown>>,
  ) {
    this.#api = api
    this.#tracer = tracer
    const { operations, fragments, responses } = settings
    this.#end = listen('openTelemetry', {
      ...(operations && { operation: (message: OperationMessage) => this.#operation(message) }),
      ...(fragments && { fragment: (message: FragmentMessage) => this.#fragment(message) }),
      ...(responses && { response: (message: ResponseTold) => this.#response(message) }),
    })
  }

  add(watched: Watched): void {
    this.#watched.push(watched)
  }

  remove(watched: Watched): void {
    this.#watched.splice(this.#watched.indexOf(watched), 1)
  }

  end(): void {
    this.#end()
  }

  #operation(message: OperationMessage): void {
    const parent = this.#parent()
    if (parent === undefined) return
    const { alias, backend, operation, keys, hits, misses, durationMs, error } = message
    if (!this.#watched.some((one) => one.owns(alias, backend))) return
    this.#span(`${operation} ${alias}`, told.endedMs, durationMs, error, {
      'fragcache.alias': alias,
      'fragcache.backend': backend,
      'fragcache.operation': operation,
      'fragcache.result': resultOf(message),
      'fragcache.hits': hits,
      'fragcache.misses': misses,
      ...this.#keys(keys),
    })
  }

  #fragment(message: FragmentMessage): void {
    const parent = this.#parent()
    if (parent === undefined) return
    const { name, key, alias, outcome, bodyMs, durationMs, template } = message
    if (!this.#owns(alias)) return
    const error = outcome === 'error' ? outcome : undefined
    this.#span(`fragment ${this.#nameOf(name)}`, told.endedMs, durationMs, error, {
      'fragcache.alias': alias,
      'fragcache.fragment.name': name,
      'fragcache.outcome': outcome,
      ...(bodyMs > 0 && { 'fragcache.fragment.body.duration': bodyMs / 1000 }),
      ...(template !== undefined && { 'fragcache.fragment.template': template }),
      ...this.#keys([key]),
    })
  }

  /**
   * It has no duration of its own: it is reported on the span of the request, or after that has ended.
   */
  #response({ alias, outcome, reason }: ResponseTold): void {
    const parent = this.#parent()
    if (parent === undefined || !this.#owns(alias)) return
    const attributes = {
      'fragcache.response.alias': alias,
      'fragcache.response.outcome': outcome,
      ...(reason !== undefined && { 'fragcache.response.reason': reason }),
    }
    if (parent.isRecording()) parent.setAttributes(attributes)
    else this.#span(`response ${alias}`, performance.now(), 0, undefined, attributes)
  }

  /** The span around, if its trace is recorded: caches begin no traces. */
  #parent(): Span | undefined {
    const { context, trace, TraceFlags } = this.#api
    const parent = trace.getSpan(context.active())
    if (parent === undefined) return undefined
    return (parent.spanContext().traceFlags & TraceFlags.SAMPLED) === 0 ? undefined : parent
  }

  #owns(alias: string): boolean {
    return this.#watched.some(({ aliases }) => aliases.has(alias))
  }

  #span(
    name: string,
    endMs: number,
    durationMs: number,
    error: unknown,
    attributes: Attributes,
  ): void {
    const { SpanKind, SpanStatusCode, context } = this.#api
    const span = this.#tracer.startSpan(
      name,
      { kind: SpanKind.INTERNAL, startTime: endMs - durationMs, attributes },
      context.active(),
    )
    if (error !== undefined) {
      // Not the message: it shows keys.
      const type = errorType(error)
      span.setAttribute('error.type', type)
      span.setStatus({ code: SpanStatusCode.ERROR, message: type })
    }
    span.end(endMs)
  }

  #keys(keys: readonly string[]): Attributes | undefined {
    const way = this.settings.keys
    if (way === 'none') return undefined
    return { 'fragcache.keys': keys.slice(0, 10).map((key) => shownKey(key, way)) }
  }

  #nameOf(name: string): string {
    if (this.#names.has(name)) return name
    if (this.#names.size >= this.settings.maxNames || name.length > MAX_NAME_LENGTH)
      return OTHER_LABELS
    this.#names.add(name)
    return name
  }
}
