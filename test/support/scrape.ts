import { createRequire } from 'node:module'

/** A metric of a scrape, as the parser gives it: its values are texts. */
interface Parsed {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly metrics: readonly {
    readonly labels?: Readonly<Record<string, string>>
    readonly value?: string
    readonly count?: string
    readonly sum?: string
  }[]
}

// It has no types.
const parse = createRequire(import.meta.url)('parse-prometheus-text-format') as (
  text: string,
) => Parsed[]

/** What a server that scrapes would keep: series with their numbers. */
export class Scrape {
  readonly metrics: readonly Parsed[]

  /** The histograms among them. */
  readonly histograms: readonly string[]

  constructor(text: string) {
    // The parser keeps no labels of a histogram's series, but keeps those of series without a type.
    this.metrics = parse(text.replace(/^# HELP .*\n# TYPE \S+ histogram\n/gm, ''))
    this.histograms = [...text.matchAll(/^# TYPE (\S+) histogram$/gm)].map(([, name = '']) => name)
  }

  get names(): string[] {
    return this.metrics.map(({ name }) => name)
  }

  /** Each series of a counter or gauge as `label=value,…`, in the order of the labels, with its number. */
  values(name: string): Record<string, number> {
    return Object.fromEntries(
      this.#of(name).metrics.map(({ labels, value }) => [toText(labels), Number(value)]),
    )
  }

  /** Each series of a summary. */
  sums(name: string): Record<string, { readonly count: number; readonly sum: number }> {
    return Object.fromEntries(
      this.#of(name).metrics.map(({ labels, count, sum }) => [
        toText(labels),
        { count: Number(count), sum: Number(sum) },
      ]),
    )
  }

  /** A series of a histogram, with its cumulative counts by upper bound. */
  histogram(name: string, series: string) {
    const buckets = this.#of(`${name}_bucket`).metrics.flatMap(({ labels = {}, value }) => {
      const { le = '', ...others } = labels
      return toText(others) === series ? [[le, Number(value)] as const] : []
    })
    return {
      buckets: Object.fromEntries(buckets),
      sum: this.values(`${name}_sum`)[series],
      count: this.values(`${name}_count`)[series],
    }
  }

  /** Every label of a metric. */
  labels(name: string): string[] {
    const { metrics } = this.#of(name)
    return [...new Set(metrics.flatMap(({ labels }) => Object.keys(labels ?? {})))]
  }

  #of(name: string): Pick<Parsed, 'metrics'> {
    // Of a histogram the parser begins one for each operation.
    const own = this.metrics.filter((one) => one.name === name)
    if (own.length === 0) throw new Error(`no ${name} among ${this.names.join(', ')}`)
    return { metrics: own.flatMap(({ metrics }) => metrics) }
  }
}

function toText(labels: Readonly<Record<string, string>> = {}): string {
  return Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join(',')
}
