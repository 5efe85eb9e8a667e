export { prometheusMetrics } from './prometheus.js'
export type { PrometheusMetrics, PrometheusOptions, PrometheusRegister } from './prometheus.js'
export { openTelemetry } from './opentelemetry.js'
export type {
  MeterSource,
  OpenTelemetry,
  OpenTelemetryOptions,
  TracerSource,
} from './opentelemetry.js'
export type { ShownKeys } from '../../src/shown-key.js'
