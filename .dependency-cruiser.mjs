// Who may import whom (docs/architecture.md). `npm run lint` holds the code to it; imports of types count.

/** What nobody publishes stays outside of what is published. */
const tools = '^(test|bench|examples|scripts|fixtures)/'

/** The helpers in src that may not import the cache or what stands on it; the drawing of the layers has them as one. */
export const leaves =
  'bus|errors|invalidations|keys|maybe-promise|missing-peer|payload-format|serializer|settings|structure|tags|time-limit|timeout|value'

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
    forbid(
      'leaves',
      'a leaf helper knows nothing above it',
      { path: `^src/(${leaves})[.]ts$` },
      { path: '^src/(index|cache|caches|cli)[.]ts$|^src/(backends|fragment|http|pages)/' },
    ),
    forbid(
      'core',
      'the core knows no concrete backend, no fragments and no HTTP',
      { path: '^src/(cache|cache-options|caches|values)[.]ts$' },
      { path: '^src/(index|cli)[.]ts$|^src/(backends|fragment|http|pages)/' },
    ),
    forbid(
      'backend',
      'what stands between a store and its cache knows nobody who uses the cache',
      { path: '^src/backend/' },
      {
        path: '^src/(index|cache|cache-options|caches|cli|get-or-set|values)[.]ts$|^src/(making|backends|fragment|http|pages|cli)/',
      },
    ),
    forbid(
      'making',
      'making knows a cache by its core alone',
      { path: '^src/making/' },
      {
        path: '^src/(index|cache|cache-options|caches|cli|get-or-set|values)[.]ts$|^src/(backends|fragment|http|pages|cli)/',
      },
    ),
    forbid(
      'observe',
      'what counts and tells knows neither what is counted nor who makes it',
      { path: '^src/observe/' },
      {
        path: '^src/(index|cache|cache-options|cli|get-or-set|values)[.]ts$|^src/(making|backends|fragment|http|pages|cli)/',
      },
    ),
    forbid(
      'backends',
      'a backend imports the base class and leaf helpers',
      { path: '^src/backends/' },
      { path: '^src/(index|caches|cli)[.]ts$|^src/(fragment|http|pages)/' },
    ),
    forbid(
      'no-concrete-backend',
      'only index.ts and the subpath entries name concrete backends',
      { path: '^src/(fragment|http|pages)/' },
      { path: '^src/(index|cli)[.]ts$|^src/backends/' },
    ),
    forbid(
      'fragments-without-http',
      'fragments know no HTTP',
      { path: '^src/fragment/' },
      { path: '^src/(http|pages)/' },
    ),
    forbid(
      'pages-without-guests',
      'src/pages decides by values: it knows neither fragments nor the requests of node:http',
      { path: '^src/pages/' },
      { path: '^src/fragment/|^(node:)?http2?(/|$)' },
    ),
    forbid(
      'fields-under-pages',
      'header fields and policy know no pages',
      { path: '^src/http/' },
      { path: '^src/pages/' },
    ),
    forbid(
      'policy-is-pure',
      'what is decided is decided by values: neither cache nor clock, time is an argument',
      { path: '^src/pages/(policy|reuse|reasons|refusals|decide|judge)[.]ts$' },
      {
        path: '^src/(?!http/|pages/(policy|reuse|reasons|refusals|decide|judge|page)[.]ts)|^(node:)?(timers|perf_hooks)(/|$)',
      },
    ),
    forbid(
      'adapters',
      'an adapter stands on src/fragment, src/pages and what is under them',
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
      'the published suite ships with src alone',
      { path: '^test/conformance/(index|(backend|engine)-suite)' },
      { path: ['^adapters/', tools], pathNot: '^test/conformance/' },
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
