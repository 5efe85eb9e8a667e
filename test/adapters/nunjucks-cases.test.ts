import type { Caches } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import {
  readCases,
  testFragmentCases,
  type Driver,
  type Render,
} from '../conformance/fragment-suite.js'

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

const driver: Driver = {
  prepare({ templates, entry, config, backend }, caches: Caches | undefined): Render {
    if (caches === undefined) {
      const plain = Object.fromEntries(
        Object.entries(templates).map(([name, source]) => [
          name,
          source.replace(/\{%(-?)\s*(?:end)?cache(?:"[^"]*"|.)*?(-?)%\}/gs, '{%$1 set _ = 0 $2%}'),
        ]),
      )
      const env = new nunjucks.Environment(sources(plain), config)
      return (context) => env.render(entry, context)
    }
    const env = new nunjucks.Environment(sources(templates), config)
    const { renderAsync } = registerCache(env, caches)
    return backend === 'sync'
      ? (context) => env.render(entry, context)
      : (context) => renderAsync(entry, context)
  },
}

testFragmentCases(driver, readCases('nunjucks'), {
  stale: ['vary-filter-same-key', 'stale-hit', 'nested-inner-stale'],
  isolated: ['set-isolated'],
})
