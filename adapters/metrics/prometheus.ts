import type { MetricValue } from 'prom-client'
import type { Caches } from '../../src/caches.js'
import { show } from '../../src/errors.js'
import { RESULTS } from '../../src/observe/counts.js'
import { OUTCOMES } from '../../src/observe/tally.js'
import { checkKnown } from '../../src/check-known.js'
import { Watched } from '../../src/observe/watch.js'
import { checkMaxNames, MAX_LABELS, SECONDS } from './options.js'
import { loadPeer } from './peer.js'
import { join, type Session } from './sessions.js'
import { MetricTally } from './tally.js'

/** The part of prom-client's `Registry` that is used here. */
export interface PrometheusRegister {
  /** Like `registerMetric` of prom-client. */
  registerMetric(metric: never): void
  /** Like `getSingleMetric` of prom-client. */
  getSingleMetric(name: string): unknown
  /** Like `removeSingleMetric` of prom-client. */
  removeSingleMetric(name: string): void
}

/** Options of {@link prometheusMetrics}. */
export interface PrometheusOptions {
  /** Where the metrics are registered. Default: prom-client's `register`. */
  readonly register?: PrometheusRegister | undefined
  /** The prefix of the metrics' names. Default `'fragcache_'`. */
  readonly prefix?: string | undefined
  /** Maximum number of distinct fragment names; all others are `(others)`. Default 200. */
  readonly maxNames?: number | undefined
  /** Upper bounds of the duration buckets, in seconds. Default: 17 from a microsecond to 2.5 s. */
  readonly buckets?: readonly number[] | undefined
}

/** What {@link prometheusMetrics} returns. */
export interface PrometheusMetrics {
  /**
   * Stops counting. Once every caller of `prometheusMetrics` has closed, the metrics are removed from the
   * register. Calling it more than once is not an error.
   */
  close(): void
}

/**
 * Counts what caches do, as metrics of prom-client.
 *
 * @param caches - What `createCaches` returned. If one process has two sets of caches, the outages and failed
 *   refreshes of those with the same alias and the same backend cannot be distinguished.
 * @returns An object whose `close` stops counting.
 * @throws FragcacheError `FRAGCACHE_MISSING_PEER`: prom-client is not installed.
 * @throws TypeError: an option is unknown or invalid, or differs from an earlier call's for the same register
 *   and prefix.
 * @throws Error by prom-client: the register already has a foreign metric of such a name.
 * @remarks The counts that the caches keep are read when prom-client is scraped, from this call on. A further
 *   call for the same register and prefix adds its caches; each call is counted once. Labels are aliases,
 *   backends, operations, fragment names, outcomes and reasons; never keys, tags or addresses.
 */
export function prometheusMetrics(
  caches: Caches,
  options: PrometheusOptions = {},
): PrometheusMetrics {
  const caller = 'prometheusMetrics'
  checkKnown(caller, options, ['register', 'prefix', 'maxNames', 'buckets'])
  const { prefix = 'fragcache_', maxNames = MAX_LABELS, buckets = SECONDS } = options
  const watched = new Watched(caller, caches)
  checkMaxNames(caller, maxNames)
  checkPrefix(caller, prefix)
  checkBuckets(caller, buckets)
  const { register: own = load().register } = options
  const register = checkRegister(caller, own)
  const settings = { maxNames, buckets }
  const begin = () => new PrometheusSession(register, prefix, settings)
  return { close: join(caller, register, prefix, watched, settings, begin) }
}

/** Only here, so that the subpath loads without it. */
function load(): typeof import('prom-client') {
  return loadPeer('prometheusMetrics', 'prom-client', 'register') as typeof import('prom-client')
}

function checkPrefix(caller: string, prefix: string): void {
  if (typeof prefix === 'string' && /^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(prefix)) return
  throw new TypeError(
    `${caller}: prefix: ${show(prefix)} cannot begin the name of a metric; use letters, digits and _`,
  )
}

function checkBuckets(caller: string, buckets: readonly number[]): void {
  const isList = buckets instanceof Array && buckets.length > 0
  const isAscending =
    isList && buckets.every((one, i) => Number.isFinite(one) && one > (buckets[i - 1] ?? 0))
  if (isAscending) return
  const given = isList ? `[${buckets.map(String).join(', ')}]` : show(buckets)
  throw new TypeError(`${caller}: buckets: ${given} is not an ascending list of seconds above 0`)
}

function checkRegister(caller: string, register: PrometheusRegister): PrometheusRegister {
  const { registerMetric, getSingleMetric, removeSingleMetric } = Object(
    register,
  ) as Partial<PrometheusRegister>
  const methods = [registerMetric, getSingleMetric, removeSingleMetric]
  if (methods.every((one) => typeof one === 'function')) return register
  throw new TypeError(`${caller}: register: ${show(register)} is not a Registry of prom-client`)
}

type Value = MetricValue<string> & { readonly metricName?: string }

/** As much of a metric as a register asks for. */
interface Metric {
  name: string
  readonly help: string
  readonly type: `${'counter' | 'gauge' | 'histogram' | 'summary'}`
  /** How several processes' values become one in a cluster. */
  readonly aggregator: 'sum' | 'max'
  readonly values: () => Value[]
}

/** A metric as a register asks for it. */
interface Registered extends Omit<Metric, 'values'> {
  /** Under which it is registered: one that speaks OpenMetrics alters the name. */
  readonly key: string
  readonly get: (this: Registered) => Omit<Metric, 'values'> & { readonly values: Value[] }
  readonly reset: () => void
}

const CACHE = ({ alias, backend }: { readonly alias: string; readonly backend: string }) => ({
  alias,
  backend,
})

/** The metrics of one register under one prefix. */
class PrometheusSession implements Session {
  readonly #tally: MetricTally
  readonly #metrics: readonly Registered[]

  constructor(
    readonly register: PrometheusRegister,
    readonly prefix: string,
    readonly settings: { readonly maxNames: number; readonly buckets: readonly number[] },
  ) {
    const bounds = settings.buckets.map((seconds) => seconds * 1000)
    this.#tally = new MetricTally('prometheusMetrics', bounds, settings.maxNames)
    this.#metrics = metricsOf(this.#tally, settings.buckets).map((metric) => this.#toGet(metric))
    try {
      this.#register()
    } catch (error) {
      this.end()
      throw error
    }
  }

  #toGet({ values, help, type, aggregator, name: own }: Metric): Registered {
    const { prefix } = this
    const name = `${prefix}${own}`
    return {
      key: name,
      name,
      help,
      type,
      aggregator,
      get() {
        const told = values().map((one) =>
          one.metricName === undefined ? one : { ...one, metricName: prefix + one.metricName },
        )
        return { name: this.name, help, type, aggregator, values: told }
      },
      reset: () => this.#tally.reset(),
    }
  }

  /** Those that are not there: none yet, or none any more, since the register was cleared. */
  #register(): void {
    for (const metric of this.#metrics) {
      if (this.register.getSingleMetric(metric.key) === metric) continue
      metric.name = metric.key
      // A register asks for no more than these, as it does of what is summed up over a cluster.
      this.register.registerMetric(metric as never)
    }
  }

  add(watched: Watched): void {
    this.#register()
    this.#tally.add(watched)
  }

  remove(watched: Watched): void {
    this.#tally.remove(watched)
  }

  end(): void {
    this.#tally.end()
    for (const metric of this.#metrics) {
      const { key } = metric
      if (this.register.getSingleMetric(key) === metric) this.register.removeSingleMetric(key)
    }
  }
}

function metricsOf(tally: MetricTally, buckets: readonly number[]): Metric[] {
  const counter = (name: string, help: string, values: () => Value[]): Metric => ({
    name,
    help,
    type: 'counter',
    aggregator: 'sum',
    values,
  })
  return [
    counter('operations_total', 'Calls of the low-level API, by what became of them.', () =>
      tally.caches().flatMap((cache) =>
        [...cache.operations].flatMap(([operation, { results }]) =>
          RESULTS.filter((result) => results[result] > 0).map((result) => ({
            labels: { ...CACHE(cache), operation, result },
            value: results[result],
          })),
        ),
      ),
    ),
    {
      name: 'operation_duration_seconds',
      help: 'How long calls of the low-level API took.',
      type: 'histogram',
      aggregator: 'sum',
      values: () => tally.caches().flatMap((cache) => durationsOf(cache, buckets)),
    },
    counter('hits_total', 'Keys that were looked up and found.', () =>
      tally.caches().map((cache) => ({ labels: CACHE(cache), value: cache.keys.hits })),
    ),
    counter('misses_total', 'Keys that were looked up and not found.', () =>
      tally.caches().map((cache) => ({ labels: CACHE(cache), value: cache.keys.misses })),
    ),
    counter('fragments_total', 'Fragments rendered, by what became of them.', () =>
      tally.fragments().flatMap(({ name, alias, outcomes }) =>
        OUTCOMES.filter((outcome) => outcomes[outcome] > 0).map((outcome) => ({
          labels: { fragment: name, alias, outcome },
          value: outcomes[outcome],
        })),
      ),
    ),
    {
      name: 'fragment_body_seconds',
      help: 'How long the bodies of fragments ran.',
      type: 'summary',
      aggregator: 'sum',
      values: () =>
        tally.fragments().flatMap(({ name, alias, bodies, bodyMs }) => {
          const labels = { fragment: name, alias }
          return [
            { metricName: 'fragment_body_seconds_sum', labels, value: bodyMs / 1000 },
            { metricName: 'fragment_body_seconds_count', labels: { ...labels }, value: bodies },
          ]
        }),
    },
    counter(
      'time_saved_seconds_total',
      "What hits of fragments saved: the mean time of the fragment's body, less the look-up.",
      () =>
        tally.fragments().map(({ name, alias, savedMs }) => ({
          labels: { fragment: name, alias },
          value: savedMs / 1000,
        })),
    ),
    counter(
      'responses_total',
      'Requests that came by a response cache, by what became of them, and why they were not stored.',
      () =>
        tally.responses().map(({ alias, outcome, reason, count }) => ({
          labels: { alias, outcome, reason },
          value: count,
        })),
    ),
    counter('outages_total', 'How often a store stopped answering.', () =>
      tally.caches().map((cache) => ({ labels: CACHE(cache), value: cache.outages })),
    ),
    {
      name: 'outage',
      help: 'Whether a store does not answer now: 1, else 0.',
      type: 'gauge',
      aggregator: 'max',
      values: () =>
        tally.caches().map((cache) => ({
          labels: CACHE(cache),
          value: cache.lasting > 0 ? 1 : 0,
        })),
    },
    counter(
      'refresh_failures_total',
      'How often something could not be refreshed, so that the old entry was served.',
      () => tally.caches().map((cache) => ({ labels: CACHE(cache), value: cache.failedRefreshes })),
    ),
  ]
}

function durationsOf(
  cache: ReturnType<MetricTally['caches']>[number],
  buckets: readonly number[],
): Value[] {
  const name = 'operation_duration_seconds'
  return [...cache.operations].flatMap(([operation, tally]) => {
    const labels = { ...CACHE(cache), operation }
    let count = 0
    return [
      ...buckets.map((le, i) => ({
        metricName: `${name}_bucket`,
        labels: { ...labels, le },
        value: (count += tally.buckets[i] as number),
      })),
      { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: tally.count },
      { metricName: `${name}_sum`, labels, value: tally.sumMs / 1000 },
      { metricName: `${name}_count`, labels: { ...labels }, value: tally.count },
    ]
  })
}
