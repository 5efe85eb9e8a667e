import { AsyncLocalStorage } from 'node:async_hooks'
import { context, ROOT_CONTEXT, type Context, type ContextManager } from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type DataPoint,
  type Histogram,
} from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type Sampler,
} from '@opentelemetry/sdk-trace-base'
import { onTestFinished } from 'vitest'

/** What OpenTelemetry's Node SDK does: the active context follows calls and promises. */
class AsyncContexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>()

  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    active: Context,
    fn: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(active, () => fn.call(thisArg as ThisParameterType<F>, ...args))
  }

  bind<T>(active: Context, target: T): T {
    if (typeof target !== 'function') return target
    const storage = this.#storage
    return ((...args: unknown[]) =>
      storage.run(active, () => (target as (...all: unknown[]) => unknown)(...args))) as T
  }

  enable(): this {
    return this
  }

  disable(): this {
    this.#storage.disable()
    return this
  }
}

/** Traces kept in memory, until the test is over. */
export function tracing(sampler?: Sampler) {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exporter)],
    ...(sampler && { sampler }),
  })
  context.setGlobalContextManager(new AsyncContexts())
  onTestFinished(async () => {
    context.disable()
    await provider.shutdown()
  })
  return { provider, tracer: provider.getTracer('test'), spans: () => exporter.getFinishedSpans() }
}

/** Metrics kept in memory, until the test is over. */
export function metering(temporality = AggregationTemporality.CUMULATIVE) {
  const exporter = new InMemoryMetricExporter(temporality)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
  const provider = new MeterProvider({ readers: [reader] })
  onTestFinished(() => provider.shutdown())
  const points = async (): Promise<Map<string, readonly DataPoint<unknown>[]>> => {
    exporter.reset()
    await provider.forceFlush()
    const scopes = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics)
    return new Map(
      scopes.flatMap(({ metrics }) =>
        metrics.map(({ descriptor, dataPoints }) => [descriptor.name, dataPoints] as const),
      ),
    )
  }
  return {
    provider,
    /** Each instrument that has points, those by their attributes. */
    async values(): Promise<Record<string, Record<string, unknown>>> {
      return Object.fromEntries(
        [...(await points())]
          .filter(([, of]) => of.length > 0)
          .map(([name, of]) => [
            name,
            Object.fromEntries(of.map(({ attributes, value }) => [toText(attributes), value])),
          ]),
      )
    },
    async histogram(name: string, series: string): Promise<Histogram | undefined> {
      const point = (await points())
        .get(name)
        ?.find(({ attributes }) => toText(attributes) === series)
      return point?.value as Histogram | undefined
    },
  }
}

function toText(attributes: object): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${name.replace(/^fragcache\./, '')}=${String(value)}`)
    .sort()
    .join(',')
}
