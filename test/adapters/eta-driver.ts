import { Eta, type EtaConfig } from 'eta'
import type { Caches, FragmentCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { argumentsOf, DIALECT, endOf, nocacheOf } from '../../adapters/eta/tag.js'
import type { EtaPlugin } from '../../adapters/eta/types.js'
import { parseNamedValues } from '../../src/fragment/arguments.js'
import type { Driver, FragmentCase, Kind, Rendering } from '../conformance/fragment-suite.js'

/** Makes plain blocks of the cache tags: what a template gives without them. */
export const withoutTag: EtaPlugin = {
  processAST: (ast) =>
    ast.map((node) => {
      if (typeof node === 'string' || node.t !== 'e') return node
      if (argumentsOf(node.val) !== undefined) return { ...node, val: '{' }
      if (endOf(node.val) !== undefined) return { ...node, val: '}' }
      const nocache = nocacheOf(node.val)
      if (nocache === undefined) return node
      return { ...node, val: nocache.ends ? '}}' : blockWith(nocache.rest) }
    }),
}

/** The beginning of a block in which the data have more values. */
function blockWith(names: string): string {
  if (names === '') return '{{'
  const values = Array.from(
    parseNamedValues(names, DIALECT),
    ([name, { text }]) => `${name}:(${text})`,
  )
  return `{const named={...it,${values.join(',')}};{const it=named;`
}

/** An engine with named templates, for both ways of rendering as far as they compile. */
export function etaWith(
  caches: Caches | FragmentCache | undefined,
  templates: Readonly<Record<string, string>> = {},
  config: Partial<EtaConfig> = {},
): Eta {
  const plugin = caches === undefined ? withoutTag : cachePlugin(caches)
  const eta = new Eta({ ...config, plugins: [...(config.plugins ?? []), plugin] })
  for (const [name, source] of Object.entries(templates)) {
    if (!/\bawait\b/.test(source)) eta.loadTemplate(`@${name}`, source)
    eta.loadTemplate(`@${name}`, source, { async: true })
  }
  return eta
}

export const etaDriver: Driver = {
  prepare({ templates, entry, backend, config }: FragmentCase, caches) {
    const eta = etaWith(caches, templates, config)
    return backend === 'sync'
      ? (context) => eta.render(`@${entry}`, context)
      : async (context) => eta.renderAsync(`@${entry}`, context)
  },
}

type Row = Omit<FragmentCase, 'engine' | 'entry' | 'backend' | 'templates' | 'id'> & {
  readonly templates?: Readonly<Record<string, string>>
}

export const both: readonly Kind[] = ['sync', 'async']

/** Cases of one template, `main`, for one or both ways of rendering. */
export function cases(
  kinds: readonly Kind[],
  id: string,
  main: string,
  { templates, ...rest }: Row,
): FragmentCase[] {
  return kinds.map((backend) => ({
    ...rest,
    id: `${id}, ${backend}`,
    engine: 'eta',
    entry: 'main',
    backend,
    templates: { main, ...templates },
  }))
}

/** The same text twice, first by running so many bodies, then by none. */
export function twice(output: string, bodyRuns: number): Rendering[] {
  return again(output, bodyRuns, 0)
}

/** The same text twice, with so many bodies that run each time. */
export function again(output: string, bodyRuns: number, andThen: number): Rendering[] {
  return [
    { output, bodyRuns },
    { output, bodyRuns: andThen },
  ]
}
