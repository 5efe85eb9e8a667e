import type { Caches } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import type { Driver, FragmentCase, Kind } from '../conformance/fragment-suite.js'

/** A loader over named sources. */
export function sources(templates: Readonly<Record<string, string>>): nunjucks.ILoader {
  return {
    getSource(name) {
      const src = templates[name]
      // The engine takes null for "not here"; its types do not say so.
      return (src === undefined ? null : { src, path: name, noCache: false }) as never
    },
  }
}

/** The same without cache tags, whose white space control stays. */
const withoutTags = (source: string): string =>
  source.replace(/\{%(-?)\s*(?:end)?cache(?:"[^"]*"|.)*?(-?)%\}/gs, '{%$1 set _ = 0 $2%}')

export const nunjucksDriver: Driver = {
  prepare({ templates, entry, config, backend }, caches: Caches | undefined) {
    if (caches === undefined) {
      const plain = Object.entries(templates).map(([name, source]) => [name, withoutTags(source)])
      const env = new nunjucks.Environment(sources(Object.fromEntries(plain)), config)
      return (context) => env.render(entry, context)
    }
    const env = new nunjucks.Environment(sources(templates), config)
    const { renderAsync } = registerCache(env, caches)
    return backend === 'sync'
      ? (context) => env.render(entry, context)
      : (context) => renderAsync(entry, context)
  },
}

/** One render of a case: its output, and how many bodies run. */
export type Row = readonly [output: string, bodyRuns: number]

/** Makes of what holds for both ways of rendering a case of each. */
export function bothKinds(
  id: string,
  templates: string | Readonly<Record<string, string>>,
  context: Readonly<Record<string, unknown>>,
  ...rows: readonly Row[]
): FragmentCase[] {
  return (['sync', 'async'] as const).map((backend: Kind) => ({
    id: `${id}.${backend}`,
    engine: 'nunjucks',
    templates: typeof templates === 'string' ? { main: templates } : templates,
    entry: 'main',
    backend,
    context,
    renders: rows.map(([output, bodyRuns]) => ({ output, bodyRuns })),
  }))
}
