import { Eta, type EtaConfig } from 'eta'
import type { Caches, FragmentCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { argumentsOf, endOf } from '../../adapters/eta/tag.js'
import type { EtaPlugin } from '../../adapters/eta/types.js'
import type { Driver, FragmentCase } from '../conformance/fragment-suite.js'

/** Makes plain blocks of the cache tags: what a template gives without them. */
export const withoutTag: EtaPlugin = {
  processAST: (ast) =>
    ast.map((node) => {
      if (typeof node === 'string' || node.t !== 'e') return node
      if (argumentsOf(node.val) !== undefined) return { ...node, val: '{' }
      return endOf(node.val) === undefined ? node : { ...node, val: '}' }
    }),
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
