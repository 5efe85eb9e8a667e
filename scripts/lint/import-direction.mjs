// A lint rule: who may import whom (docs/architecture.md). Every zone that matches the importing file
// applies. What is imported is a path in the project ("src/cache.ts") or a package ("npm:lru-cache",
// "node:fs").
import { posix, relative, sep } from 'node:path'

/**
 * @typedef {object} Zone
 * @property {RegExp} from - The importing files.
 * @property {RegExp} [except] - Files of `from` that the zone leaves out.
 * @property {RegExp} deny - What they may not import.
 * @property {string} why - Said in the complaint.
 */

const leaves =
  'bus|circuit|errors|invalidations|keys|maybe-promise|missing-peer|observe|payload-format|serializer|settings|structure|tags|time-limit|timeout|value'

/** @type {readonly Zone[]} */
const zones = [
  {
    from: /^src\//,
    deny: /^(adapters|test|bench|examples|scripts|fixtures)\//,
    why: 'src knows neither adapters nor tests nor tools',
  },
  {
    from: /^src\//,
    deny: /^npm:(@types\/)?(nunjucks|handlebars|eta|express)(\/|$)/,
    why: 'src knows no template engine and no web framework',
  },
  {
    from: /^src\//,
    except: /^src\/(backends\/|cli\/|cli\.ts$)/,
    deny: /^npm:/,
    why: 'only a backend, an adapter or the command line needs a package',
  },
  {
    from: new RegExp(`^src/(${leaves})\\.ts$`),
    deny: /^src\/(index|cache|caches|cli)\.ts$|^src\/(backends|fragment|http)\//,
    why: 'a leaf helper knows nothing above it',
  },
  {
    from: /^src\/(cache|caches|backend)\.ts$/,
    deny: /^src\/(index|cli)\.ts$|^src\/(backends|fragment|http)\//,
    why: 'the core knows no concrete backend, no fragments and no HTTP',
  },
  {
    from: /^src\/backends\//,
    deny: /^src\/(index|caches|cli)\.ts$|^src\/(fragment|http)\//,
    why: 'a backend imports the base class and leaf helpers',
  },
  {
    from: /^src\/(fragment|http)\//,
    deny: /^src\/(index|cli)\.ts$|^src\/backends\//,
    why: 'only index.ts and the subpath entries name concrete backends',
  },
  {
    from: /^src\/fragment\//,
    deny: /^src\/http\//,
    why: 'fragments know no HTTP',
  },
  {
    from: /^src\/http\/policy\.ts$/,
    deny: /^src\/(?!http\/)|^node:(timers|perf_hooks)/,
    why: 'the HTTP policy knows neither cache nor clock: time is an argument',
  },
  {
    from: /^adapters\//,
    deny: /^src\/(index|cli)\.ts$|^src\/backends\/|^(test|bench|examples|scripts|fixtures)\//,
    why: 'an adapter stands on src/fragment, src/http and what is under them',
  },
  {
    from: /^adapters\/(?!nunjucks\/)/,
    deny: /^npm:nunjucks(\/|$)/,
    why: 'types of an engine stay in its own subpath',
  },
  {
    from: /^adapters\/(?!handlebars\/)/,
    deny: /^npm:handlebars(\/|$)/,
    why: 'types of an engine stay in its own subpath',
  },
  {
    from: /^adapters\/(?!eta\/)/,
    deny: /^npm:eta(\/|$)/,
    why: 'types of an engine stay in its own subpath',
  },
  {
    from: /^adapters\/(?!express\/)/,
    deny: /^npm:express(\/|$)/,
    why: 'types of a framework stay in its own subpath',
  },
  {
    from: /^test\/conformance\/backend-suite/,
    deny: /^(adapters|bench|examples|scripts|fixtures)\/|^test\/(?!conformance\/)/,
    why: 'the published suite ships with src alone',
  },
]

const siblings =
  /^(src\/backends\/(?:locmem|dummy|file|redis|memcached|database|tiered)|adapters\/[^/]+)[/.]/

/** Two backends, or two adapters, know nothing of each other. */
function siblingFault(file, target) {
  const own = siblings.exec(file)?.[1]
  const other = siblings.exec(target)?.[1]
  if (own === undefined || other === undefined || own === other) return undefined
  if (own.startsWith('src/') !== other.startsWith('src/')) return undefined
  if (own === 'src/backends/tiered' && other === 'src/backends/locmem') return undefined
  return 'what two siblings need is a helper under both of them'
}

/** Why `file` may not import `specifier`, or `undefined` where it may. */
function importFault(file, specifier) {
  const target = specifier.startsWith('.')
    ? posix.join(posix.dirname(file), specifier).replace(/\.js$/, '.ts')
    : specifier.startsWith('node:')
      ? specifier
      : `npm:${specifier}`
  const zone = zones.find(
    ({ from, except, deny }) => from.test(file) && !except?.test(file) && deny.test(target),
  )
  return zone?.why ?? siblingFault(file, target)
}

/** @type {import('eslint').Rule.RuleModule} */
export const importDirection = {
  meta: {
    type: 'problem',
    docs: { description: 'imports follow the direction of docs/architecture.md' },
    messages: { fault: '{{file}} may not import "{{specifier}}": {{why}}.' },
    schema: [],
  },
  create(context) {
    const file = relative(context.cwd, context.filename).split(sep).join('/')
    const check = (node) => {
      if (node?.type !== 'Literal' || typeof node.value !== 'string') return
      const why = importFault(file, node.value)
      if (why === undefined) return
      context.report({ node, messageId: 'fault', data: { file, specifier: node.value, why } })
    }
    return {
      ImportDeclaration: (node) => check(node.source),
      ImportExpression: (node) => check(node.source),
      ExportNamedDeclaration: (node) => check(node.source),
      ExportAllDeclaration: (node) => check(node.source),
      TSImportType: (node) => check(node.source),
    }
  },
}
