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

/** As much of OpenTelemetry's `MeterProvider` as is used here. */
export interface MeterSource {
  /** As that of OpenTelemetry. */
  getMeter(name: string): object
}

/** As much of OpenTelemetry's `TracerProvider` as is used here. */
export interface TracerSource {
  /** As that of OpenTelemetry. */
  getTracer(name: string): object
}

/** The parts of `@opentelemetry/api` that are used here. */
export interface OpenTelemetryApi {
  /** As there. */
  readonly metrics: object
  /** As there. */
  readonly trace: object
  /** As there. */
  readonly context: object
  /** As there. */
  readonly SpanKind: object
  /** As there. */
  readonly SpanStatusCode: object
  /** As there. */
  readonly TraceFlags: object
}

/** Options of {@link openTelemetry}. */
export interface OpenTelemetryOptions {
  /**
   * The package `@opentelemetry/api` as it was imported: `import * as api from '@opentelemetry/api'`. Default:
   * it is looked for where the application was started, which a bundle is not.
   */
  readonly api?: OpenTelemetryApi | undefined
  /** Default: the one that is set with `metrics.setGlobalMeterProvider`, which must be there by then. */
  readonly meterProvider?: MeterSource | undefined
  /** Default: the one that is set with `trace.setGlobalTracerProvider`, which may come later. */
  readonly tracerProvider?: TracerSource | undefined
  /**
   * Of what spans are made: of all, of nothing, or of what is named here. Responses are told of on the
   * span around, as long as that has not ended. Default `true`.
   */
  readonly spans?:
    | boolean
    | {
        readonly operations?: boolean | undefined
        readonly fragments?: boolean | undefined
        readonly responses?: boolean | undefined
      }
    | undefined
  /** How keys are shown on spans, as for `logAccess`; metrics have none. Default `'none'`. */
  readonly keys?: ShownKeys | undefined
  /** Fragment names that are told apart; all others are `(others)`. Default 200. */
  readonly maxNames?: number | undefined
}

/** What {@link openTelemetry} gives. */
export interface OpenTelemetry {
  /** Ends it. More than once is no error. */
  close(): void
}

const OPTIONS = ['meterProvider', 'tracerProvider', 'spans', 'keys', 'maxNames', 'api']

const KINDS = ['operations', 'fragments', 'responses'] as const

/**
 * Tells OpenTelemetry what caches do: as metrics, and as spans within the trace that is active.
 *
 * @param caches - What `createCaches` gave. Of two sets of caches in one process the outages and failed
 *   refreshes of those with the same alias and the same backend cannot be told apart.
 * @returns To end it.
 * @throws FragcacheError `FRAGCACHE_MISSING_PEER`: @opentelemetry/api is not installed.
 * @throws TypeError: an option is unknown or not what it should be, or differs from an earlier call's for
 *   the same `MeterProvider`.
 * @remarks Counters are added up here and asked for when metrics are exported. Of caches that answer at
 *   once the duration of about one operation in 1024 is recorded. Caches begin no traces: without an active
 *   span, or where its trace is not sampled, there are no spans.
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
    `${caller}: api: ${show(api)} is not the package @opentelemetry/api; give what import * as api from '@opentelemetry/api' gives`,
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
