import type {
  Attributes,
  BatchObservableResult,
  Meter,
  ObservableCounter,
} from '@opentelemetry/api'
import type { FragmentMessage, OperationMessage } from '../../src/observe/channels.js'
import { RESULTS } from '../../src/observe/counts.js'
import { OUTCOMES } from '../../src/observe/tally.js'
import type { Watched } from '../../src/observe/watch.js'
import { errorType } from './error-type.js'
import { SECONDS } from './options.js'
import type { Session } from './sessions.js'
import { MetricTally, type CacheTally, type FragmentTally } from './tally.js'

/** Mean number of operations of a cache that answers at once, of which the duration of one is recorded. */
const MEAN_GAP = 1024

/** The metrics of one meter. */
export class MetricsSession implements Session {
  readonly #tally: MetricTally
  readonly #end: () => void
  #gap = 0

  constructor(
    meter: Meter,
    readonly settings: { readonly maxNames: number },
  ) {
    const advice = { explicitBucketBoundaries: [...SECONDS] }
    const durations = meter.createHistogram('fragcache.operation.duration', {
      description: 'How long calls of the low-level API took.',
      unit: 's',
      advice,
    })
    const bodies = meter.createHistogram('fragcache.fragment.body.duration', {
      description: 'How long the bodies of fragments ran.',
      unit: 's',
      advice,
    })
    const operation = (message: OperationMessage, cache: CacheTally, count: number) => {
      const isFailure = message.error !== undefined
      if (cache.answersAtOnce && !isFailure) {
        this.#gap -= count
        if (this.#gap >= 0) return
        // By chance, since pages ask in patterns.
        this.#gap = Math.floor(Math.random() * (2 * MEAN_GAP - 1))
      }
      durations.record(message.durationMs / 1000, {
        ...attributesOf(cache),
        'fragcache.operation': message.operation,
        ...(isFailure && { 'error.type': errorType(message.error) }),
      })
    }
    const fragment = ({ bodyMs }: FragmentMessage, { name, alias }: FragmentTally) => {
      if (bodyMs === 0) return
      bodies.record(bodyMs / 1000, { 'fragcache.alias': alias, 'fragcache.fragment.name': name })
    }
    // The buckets of the tally are not asked for here.
    this.#tally = new MetricTally('openTelemetry', [], settings.maxNames, { operation, fragment })
    this.#end = observe(meter, this.#tally)
  }

  add(watched: Watched): void {
    this.#tally.add(watched)
  }

  remove(watched: Watched): void {
    this.#tally.remove(watched)
  }

  end(): void {
    this.#tally.end()
    this.#end()
  }
}

/** Counters that are asked for their sums when metrics are exported. */
function observe(meter: Meter, tally: MetricTally): () => void {
  const counter = (name: string, unit: string, description: string): ObservableCounter =>
    meter.createObservableCounter(`fragcache.${name}`, { unit, description })
  const operations = counter('operations', '{operation}', 'Calls of the low-level API.')
  const hits = counter('hits', '{key}', 'Keys that were looked up and found.')
  const misses = counter('misses', '{key}', 'Keys that were looked up and not found.')
  const fragments = counter('fragments', '{fragment}', 'Fragments rendered.')
  const saved = counter('time_saved', 's', 'What hits of fragments saved.')
  const responses = counter('responses', '{response}', 'Requests that came by a response cache.')
  const outages = counter('outages', '{outage}', 'How often a store stopped answering.')
  const refreshes = counter(
    'refresh_failures',
    '{refresh}',
    'How often something could not be refreshed, so that the old entry was served.',
  )
  const lasting = meter.createObservableUpDownCounter('fragcache.outages.active', {
    unit: '{outage}',
    description: 'Outages that last.',
  })
  const all = [operations, hits, misses, fragments, saved, responses, outages, refreshes, lasting]
  const collect = (result: BatchObservableResult) => {
    for (const cache of tally.caches()) {
      const attributes = attributesOf(cache)
      result.observe(hits, cache.keys.hits, attributes)
      result.observe(misses, cache.keys.misses, attributes)
      result.observe(outages, cache.outages, attributes)
      result.observe(refreshes, cache.failedRefreshes, attributes)
      result.observe(lasting, cache.lasting, attributes)
      for (const [operation, { results }] of cache.operations) {
        for (const one of RESULTS) {
          if (results[one] === 0) continue
          const told = { 'fragcache.operation': operation, 'fragcache.result': one }
          result.observe(operations, results[one], { ...attributes, ...told })
        }
      }
    }
    for (const { name, alias, outcomes, savedMs } of tally.fragments()) {
      const attributes = { 'fragcache.alias': alias, 'fragcache.fragment.name': name }
      result.observe(saved, savedMs / 1000, attributes)
      for (const outcome of OUTCOMES) {
        if (outcomes[outcome] === 0) continue
        result.observe(fragments, outcomes[outcome], {
          ...attributes,
          'fragcache.outcome': outcome,
        })
      }
    }
    for (const { alias, outcome, reason, count } of tally.responses()) {
      const attributes = { 'fragcache.alias': alias, 'fragcache.outcome': outcome }
      const why = reason === '' ? undefined : { 'fragcache.reason': reason }
      result.observe(responses, count, { ...attributes, ...why })
    }
  }
  meter.addBatchObservableCallback(collect, all)
  return () => meter.removeBatchObservableCallback(collect, all)
}

function attributesOf({ alias, backend }: CacheTally): Attributes {
  return { 'fragcache.alias': alias, 'fragcache.backend': backend }
}
