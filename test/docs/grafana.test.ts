import { readFileSync } from 'node:fs'
import express from 'express'
import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { prometheusMetrics } from 'fragcache/metrics'
import { Registry } from 'prom-client'
import { beforeAll, describe, expect, it } from 'vitest'
import { inProject } from '../support/samples.js'
import { Scrape } from '../support/scrape.js'

interface Dashboard {
  readonly title: string
  readonly panels: readonly {
    readonly id: number
    readonly title: string
    readonly gridPos: {
      readonly x: number
      readonly y: number
      readonly w: number
      readonly h: number
    }
    readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[]
  }[]
  readonly templating: { readonly list: readonly { readonly definition?: string }[] }
}

const dashboard = JSON.parse(
  readFileSync(inProject('examples/grafana/dashboard.json'), 'utf8'),
) as Dashboard

const queries = dashboard.panels.flatMap(({ title, targets }) =>
  targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })),
)

/** Labels that Prometheus adds to what it scrapes, and those of histograms. */
const ADDED = ['instance', 'job', 'le']

/** Metrics of a query with the labels that it asks for, in braces and in `by`. */
function usesOf(expr: string): { metrics: string[]; labels: string[] } {
  const metrics = [...expr.matchAll(/\bfragcache_\w+/g)].map(([name]) => name)
  const selectors = [...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, inside = '']) =>
    [...inside.matchAll(/(\w+)\s*[=!]~?/g)].map(([, label = '']) => label),
  )
  const groups = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, inside = '']) =>
    inside.split(',').map((label) => label.trim()),
  )
  return { metrics, labels: [...new Set([...selectors, ...groups])] }
}

let scrape: Scrape

beforeAll(async () => {
  const caches = createCaches({ default: new LocMemCache() })
  const register = new Registry()
  const metrics = prometheusMetrics(caches, { register })
  const app = express()
  const pages = responseCache(caches)
  const fragments = new FragmentCache(caches)
  app.get('/page', pages.cachePage(60), (_req, res) => {
    res.send(fragments.renderSync({ name: 'menu' }, () => 'menu'))
  })
  const server = app.listen(0, '127.0.0.1')
  await new Promise((listening) => server.once('listening', listening))
  const { port } = server.address() as { port: number }
  for (let i = 0; i < 2; i++) await (await fetch(`http://127.0.0.1:${port}/page`)).text()
  scrape = new Scrape(await register.metrics())
  metrics.close()
  server.closeAllConnections()
  server.close()
})

describe('the dashboard for Grafana', () => {
  it('has panels that each ask for something', () => {
    expect(dashboard.panels.length).toBeGreaterThan(8)
    for (const { targets } of dashboard.panels) expect(targets.length).toBeGreaterThan(0)
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
  })

  it.each(queries)('$title: $legendFormat asks for what a scrape has', ({ expr, legendFormat }) => {
    const { metrics, labels } = usesOf(expr)
    expect(metrics.length).toBeGreaterThan(0)
    const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
    const known = new Set([...metrics.flatMap((metric) => seriesLabels(metric)), ...ADDED])
    expect([...labels, ...shown].filter((label) => !known.has(label))).toEqual([])
  })

  it('asks for each label of a metric only where that has it', () => {
    for (const { expr } of queries) {
      for (const [, metric = '', inside = ''] of expr.matchAll(/(fragcache_\w+)\{([^}]*)\}/g)) {
        const known = [...seriesLabels(metric), ...ADDED]
        for (const [, label = ''] of inside.matchAll(/(\w+)\s*[=!]~?/g)) {
          expect(known, `${metric} in ${expr}`).toContain(label)
        }
      }
    }
  })

  it('offers what there is to choose from', () => {
    const definitions = dashboard.templating.list.flatMap(({ definition }) => definition ?? [])
    expect(definitions).toHaveLength(2)
    for (const definition of definitions) {
      const [, metric = '', label = ''] =
        /label_values\((fragcache_\w+)(?:\{.*\})?, (\w+)\)/.exec(definition) ?? []
      expect([...seriesLabels(metric), ...ADDED]).toContain(label)
    }
  })

  it('draws no panel over another', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
    for (const { gridPos } of dashboard.panels)
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
  })
})

/** @throws Error: the scrape has no such series. */
function seriesLabels(series: string): string[] {
  const summary = scrape.metrics.find(({ name }) => series.replace(/_(sum|count)$/, '') === name)
  return scrape.labels(summary?.name ?? series)
}
