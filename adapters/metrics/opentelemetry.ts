import type { MeterProvider, TracerProvider } from '@opentelemetry/api'
import type { Caches } from '../../src/caches.js'
import { show } from '../../src/errors.js'
import { checkShownKeys, type ShownKeys } from '../../src/shown-key.js'
import { checkKnown } from '../../src/check-known.js'
import { Watched } from '../../src/observe/watch.js'
import { MetricsSession } from './opentelemetry-metrics.js'
import { SpansSession, type SpanKinds } from './opentelemetry-spans.js'
import { checkMaxNames, MAX_LABELS } from './options.js'
import { loadPeer } from './peer.js'
import { join } from './sessions.js'

/** The part of OpenTelemetry's `MeterProvider` that is used here. */
export interface MeterSource {
  /** Like `getMeter` of OpenTelemetry. */
  getMeter(name: string): object
}

/** The part of OpenTelemetry's `TracerProvider` that is used here. */
export interface TracerSource {
  /** Like `getTracer` of OpenTelemetry. */
  getTracer(name: string): object
}

/** The parts of `@opentelemetry/api` that are used here. */
export interface OpenTelemetryApi {
  /** Like `metrics` of `@opentelemetry/api`. */
  readonly metrics: object
  /** Like `trace` of `@opentelemetry/api`. */
  readonly trace: object
  /** Like `context` of `@opentelemetry/api`. */
  readonly context: object
  /** Like `SpanKind` of `@opentelemetry/api`. */
  readonly SpanKind: object
  /** Like `SpanStatusCode` of `@opentelemetry/api`. */
  readonly SpanStatusCode: object
  /** Like `TraceFlags` of `@opentelemetry/api`. */
  readonly TraceFlags: object
}

/** Options of {@link openTelemetry}. */
export interface OpenTelemetryOptions {
  /**
   * The imported package: `import * as api from '@opentelemetry/api'`. Default: it is resolved from where the
   * application was started, which a bundle cannot do.
   */
  readonly api?: OpenTelemetryApi | undefined
  /**
   * Default: the one set with `metrics.setGlobalMeterProvider`, which must be set before this call.
   */
  readonly meterProvider?: MeterSource | undefined
  /** Default: the one set with `trace.setGlobalTracerProvider`, which may be set later. */
  readonly tracerProvider?: TracerSource | undefined
  /**
   * What gets spans: everything, nothing, or only the kinds named here. Responses are described on the
   * surrounding span, unless it has ended. Default `true`.
   */
  readonly spans?:
    | boolean
    | {
        readonly operations?: boolean | undefined
        readonly fragments?: boolean | undefined
        readonly responses?: boolean | undefined
      }
    | undefined
  /** How spans show keys, as for `logAccess`. Metrics have no keys. Default `'none'`. */
  readonly keys?: ShownKeys | undefined
  /** Maximum number of distinct fragment names; all others are `(others)`. Default 200. */
  readonly maxNames?: number | undefined
}

/** What {@link openTelemetry} returns. */
export interface OpenTelemetry {
  /** Stops reporting. Calling it more than once is not an error. */
  close(): void
}

const OPTIONS = ['meterProvider', 'tracerProvider', 'spans', 'keys', 'maxNames', 'api']

const KINDS = ['operations', 'fragments', 'responses'] as const

/**
 * Reports what caches do to OpenTelemetry: as metrics, and as spans within the active trace.
 *
 * @param caches - What `createCaches` returned. If one process has two sets of caches, the outages and failed
 *   refreshes of those with the same alias and the same backend cannot be distinguished.
 * @returns An object whose `close` stops reporting.
 * @throws FragcacheError `FRAGCACHE_MISSING_PEER`: @opentelemetry/api is not installed.
 * @throws TypeError: an option is unknown or invalid, or differs from an earlier call's for the same
 *   `MeterProvider`.
 * @remarks Counters are summed up here and read when metrics are exported. For caches that answer at once,
 *   the duration of about one operation in 1024 is recorded. Caches start no traces: without an active span,
 *   or if its trace is not sampled, there are no spans.
 * @see OpenTelemetry, semantic conventions: there are none for caches; `error.type` is theirs
 */
export function openTelemetry(caches: Caches, options: OpenTelemetryOptions = {}): OpenTelemetry {
  const caller = 'openTelemetry'
  checkKnown(caller, options, OPTIONS)
  const { keys = 'none', maxNames = MAX_LABELS } = options
  const watched = new Watched(caller, caches)
  checkMaxNames(caller, maxNames)
  checkShownKeys(caller, keys)
  const kinds = toKinds(caller, options.spans)
  const api = options.api === undefined ? load() : checkApi(caller, options.api)
  const meters = options.meterProvider ?? api.metrics.getMeterProvider()
  const tracers = options.tracerProvider ?? api.trace.getTracerProvider()
  checkSource(caller, 'meterProvider', meters, 'getMeter')
  checkSource(caller, 'tracerProvider', tracers, 'getTracer')
  const metrics = { maxNames }
  const ends = [
    join(caller, meters, 'metrics', watched, metrics, () => {
      return new MetricsSession((meters as MeterProvider).getMeter('fragcache'), metrics)
    }),
  ]
  if (KINDS.some((kind) => kinds[kind])) {
    const settings = { ...kinds, keys, maxNames }
    const begin = () => {
      const tracer = (tracers as TracerProvider).getTracer('fragcache')
      return new SpansSession(api, tracer, settings)
    }
    try {
      ends.push(join(caller, tracers, 'spans', watched, settings, begin))
    } catch (error) {
      for (const end of ends) end()
      throw error
    }
  }
  return {
    close() {
      for (const end of ends) end()
    },
  }
}

/** Only here, so that the subpath loads without it. */
function load(): typeof import('@opentelemetry/api') {
  const name = '@opentelemetry/api'
  return loadPeer('openTelemetry', name, 'api') as typeof import('@opentelemetry/api')
}

const PARTS = ['metrics', 'trace', 'context', 'SpanKind', 'SpanStatusCode', 'TraceFlags'] as const

function checkApi(caller: string, api: OpenTelemetryApi): typeof import('@opentelemetry/api') {
  const given = Object(api) as Partial<OpenTelemetryApi>
  if (PARTS.every((part) => given[part] !== undefined))
    return api as typeof import('@opentelemetry/api')
  throw new TypeError(
    `${caller}: api: ${show(api)} is not the package @opentelemetry/api; write import * as api from '@opentelemetry/api'`,
  )
}

function toKinds(caller: string, spans: OpenTelemetryOptions['spans'] = true): SpanKinds {
  if (typeof spans === 'boolean') {
    return { operations: spans, fragments: spans, responses: spans }
  }
  checkKnown(`${caller}: spans`, spans, KINDS)
  for (const kind of KINDS) {
    if (spans[kind] === undefined || typeof spans[kind] === 'boolean') continue
    throw new TypeError(`${caller}: spans: ${kind}: ${show(spans[kind])} is neither true nor false`)
  }
  const { operations = false, fragments = false, responses = false } = spans
  return { operations, fragments, responses }
}

function checkSource(caller: string, option: string, source: object, method: string): void {
  if (typeof (Object(source) as Readonly<Record<string, unknown>>)[method] === 'function') return
  throw new TypeError(`${caller}: ${option}: ${show(source)} has no method ${method}`)
}
