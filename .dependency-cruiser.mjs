// Who may import whom (docs/architecture.md). `npm run lint` holds the code to it; imports of types count.

/** What nobody publishes stays outside of what is published. */
const tools = '^(test|bench|examples|scripts|fixtures)/'

const api =
  '(cache|cache-options|caches|describe|get-or-set|listed|many|storable|typed-cache|values)[.]ts$'
const entries = '(index|engine|cli)[.]ts$'

/**
 * The layers of src from the ground up: the files of each, and the layers that it stands on. It may import these,
 * what they stand on, and itself.
 *
 * @type {readonly { name: string, files: string, on: readonly string[] }[]}
 */
export const layers = [
  { name: 'helpers', files: `^src/(?!${api}|${entries})[^/]+$`, on: [] },
  { name: 'http', files: '^src/http/', on: ['helpers'] },
  { name: 'observe', files: '^src/observe/(?!access-log|watch)', on: ['helpers'] },
  { name: 'backend', files: '^src/backend/', on: ['observe'] },
  { name: 'making', files: '^src/making/', on: ['backend'] },
  { name: 'cache', files: `^src/${api}`, on: ['making'] },
  { name: 'observers', files: '^src/observe/(access-log|watch)', on: ['cache'] },
  { name: 'backends', files: '^src/backends/', on: ['cache'] },
  { name: 'fragment', files: '^src/(fragment/|engine[.]ts$)', on: ['cache'] },
  { name: 'pages', files: '^src/pages/', on: ['cache', 'http'] },
  { name: 'index', files: '^src/index[.]ts$', on: ['backends', 'fragment', 'observers'] },
  { name: 'cli', files: '^src/cli(/|[.]ts$)', on: ['backends', 'fragment', 'observers', 'pages'] },
]

/** A layer and all below it, by their files. */
const filesUpTo = (name) => {
  const { files, on } = layers.find((layer) => layer.name === name)
  return [files, ...on.flatMap(filesUpTo)]
}

const backends = 'locmem|dummy|file|redis|memcached|database|tiered'

/** A package is found in node_modules; its types may lie in a package of their own. */
const packages = '(^|/)node_modules/'
const guests = `${packages}(@types/)?(nunjucks|handlebars|eta|express)/`

/**
 * @param {string} name
 * @param {string} comment - Why; said in the complaint.
 * @param {import('dependency-cruiser').IFromRestriction} from
 * @param {import('dependency-cruiser').IToRestriction} to
 */
const forbid = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to })

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    forbid(
      'src-stands-alone',
      'src knows neither adapters nor tests nor tools',
      { path: '^src/' },
      { path: ['^adapters/', tools] },
    ),
    forbid(
      'src-without-guests',
      'src knows no template engine and no web framework',
      { path: '^src/' },
      { path: guests },
    ),
    forbid(
      'packages-at-the-edge',
      'only a backend, an adapter or the command line needs a package',
      { path: '^src/', pathNot: '^src/(backends/|cli/|cli[.]ts$)' },
      { path: packages },
    ),
    ...layers.map(({ name, files, on }) =>
      forbid(
        name,
        on.length === 0 ? 'it knows no layer but its own' : `it stands on ${on.join(', ')} alone`,
        { path: files },
        { path: '^src/', pathNot: [...new Set(filesUpTo(name))] },
      ),
    ),
    forbid(
      'pages-without-requests',
      'src/pages decides by values: it does not know the requests of node:http',
      { path: '^src/pages/' },
      { path: '^(node:)?http2?(/|$)' },
    ),
    forbid(
      'policy-is-pure',
      'what is decided is decided by values: neither cache nor clock, time is an argument',
      { path: '^src/pages/(policy|reuse|reasons|refusals|decide|judge)[.]ts$' },
      {
        path: '^src/(?!http/|observe/reasons[.]ts$|pages/(policy|reuse|reasons|refusals|decide|judge|page)[.]ts)|^(node:)?(timers|perf_hooks)(/|$)',
      },
    ),
    forbid(
      'adapters',
      'an adapter stands on fragments, pages and what is under them',
      { path: '^adapters/' },
      { path: ['^src/(index|cli)[.]ts$', '^src/backends/', tools] },
    ),
    forbid(
      'guests-at-home',
      'types of an engine or a framework stay in its own subpath',
      { path: '^adapters/([^/]+)/' },
      { path: guests, pathNot: `${packages}(@types/)?$1/` },
    ),
    forbid(
      'published-suite',
      'the published suites ship with src and adapters/testing alone',
      { path: '^test/conformance/(index|(backend|engine)-suite)' },
      { path: ['^adapters/(?!testing/)', tools], pathNot: '^test/conformance/' },
    ),
    forbid(
      'backends-are-siblings',
      'what two siblings need is a helper under both of them',
      { path: `^src/backends/(${backends})[/.]`, pathNot: '^src/backends/tiered[/.]' },
      { path: `^src/backends/(${backends})[/.]`, pathNot: '^src/backends/$1[/.]' },
    ),
    forbid(
      'tiered-stands-on-memory',
      'what two siblings need is a helper under both of them',
      { path: '^src/backends/tiered[/.]' },
      { path: `^src/backends/(${backends})[/.]`, pathNot: '^src/backends/(tiered|locmem)[/.]' },
    ),
    forbid(
      'adapters-are-siblings',
      'what two siblings need is a helper under both of them',
      { path: '^adapters/([^/]+)/' },
      { path: '^adapters/', pathNot: '^adapters/($1|node)/' },
    ),
    forbid(
      'engines-without-http',
      'only a web framework stands on what node:http needs',
      { path: '^adapters/', pathNot: '^adapters/(node|express|inspector)/' },
      { path: '^adapters/node/' },
    ),
    forbid(
      'no-circles',
      'files that import each other are one file in several places',
      {},
      { circular: true },
    ),
    forbid('resolvable', 'what is not found is held to no rule', {}, { couldNotResolve: true }),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { conditionNames: ['types', 'import', 'node', 'default'] },
  },
}
