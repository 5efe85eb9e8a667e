import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'
import InTurns from './test/support/sequencer.js'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

// Tests name the subpaths as users do and run the sources; test/package runs the built tarball.
const alias = [
  { find: /^fragcache$/, replacement: at('./src/index.ts') },
  {
    find: /^fragcache\/(file|redis|memcached|database|tiered)$/,
    replacement: at('./src/backends/$1.ts'),
  },
  { find: /^fragcache\/engine$/, replacement: at('./src/engine.ts') },
  { find: /^fragcache\/testing$/, replacement: at('./test/conformance/index.ts') },
  {
    find: /^fragcache\/(nunjucks|handlebars|eta|express|node|inspector|metrics)$/,
    replacement: at('./adapters/$1/index.ts'),
  },
]

/**
 * What needs neither a server nor a process of its own nor the whole machine. A process takes file
 * after file, since to start one and to load all libraries costs more than most files do.
 */
const lightFolders = [
  'adapters',
  'attacks',
  'chaos',
  'core',
  'docs',
  'fragment',
  'http',
  'node',
  'pages',
  'tools',
]
const light = [
  ...lightFolders.map((folder) => `test/${folder}/**/*.test.ts`),
  'test/backends/{conformance,conformance-tiered,dummy,lease-serializers}.test.ts',
  'test/backends/{locmem,locmem-*,*-settings,memcached-ring,memcached-stamp}.test.ts',
  'test/backends/{file-format,file-limit,redis-key-space}.test.ts',
]

/** The packed tarball in bundlers, module systems and compilers: a check of its own, which takes minutes. */
const tarball = 'test/package/**/*.test.ts'

/** All others, those of a folder that is not known yet among them. */
const whole = readdirSync(at('./test'))
  .filter((name) => !lightFolders.includes(name))
  .map((name) => (name.endsWith('.ts') ? `test/${name}` : `test/${name}/**/*.test.ts`))

/** Of the light folders, what would disturb others in the same process, or starts child processes. */
const apart = [
  // Of a process that has not rendered anything yet.
  'test/adapters/eta-first-use.test.ts',
  'test/docs/postgres-bus.test.ts',
  'test/docs/walks.test.ts',
  'test/docs/samples.test.ts',
]

/** What depends on how soon others answer: outages, locks, failovers, many clients at once. */
const timed = [
  'test/backends/*-{outages,parallel,servers,sentinel,cluster,replicas,replica,locks}.test.ts',
  'test/backends/{redis,memcached}-conformance.test.ts',
  'test/backends/redis-{bus,clients,connection,ioredis5}.test.ts',
  'test/backends/{database,file,tiered}-processes.test.ts',
  'test/{core,adapters}/*-processes.test.ts',
  'test/backends/{memcached,redis,tiered}.test.ts',
  'test/backends/{database-batches,database-drivers,server-stats}.test.ts',
  'test/cli/{check,entries}.test.ts',
  'test/support/servers.test.ts',
]

const patience = 'test/support/patience.ts'

/** @param group - Those of one run side by side, and the groups one after the other. */
function project(
  group: number,
  name: string,
  test: TestProjectInlineConfiguration['test'],
): TestProjectInlineConfiguration {
  return {
    resolve: { alias },
    test: {
      name,
      testTimeout: 60_000,
      // Of those that transpile or install something, or start servers, for the first time.
      hookTimeout: 60_000,
      expect: { poll: { timeout: 10_000 } },
      setupFiles: [patience],
      // Of tests that say that they wait for nothing but time.
      maxConcurrency: 16,
      // More than there are cores, since most files wait now and then. Not more still: with the servers and browsers of the
      // tests, calls would wait longer than their limit of a second.
      maxWorkers: availableParallelism() + 1,
      sequence: { groupOrder: group },
      ...test,
    },
  }
}

export default defineConfig({
  test: {
    globalSetup: ['test/support/servers/keeper.ts'],
    sequence: { sequencer: InTurns },
    projects: [
      project(0, 'timed', { include: timed }),
      // Beside those that compute, tests of time limits and of locks would starve without the first call.
      project(0, 'whole', {
        include: [...whole, ...apart],
        exclude: [...timed, ...light.slice(lightFolders.length), tarball],
        setupFiles: ['test/support/low-priority.ts', patience],
      }),
      project(0, 'package', {
        include: [tarball],
        setupFiles: ['test/support/low-priority.ts', patience],
      }),
      project(1, 'light', {
        include: light,
        exclude: [...apart, ...timed],
        isolate: false,
        setupFiles: [patience, 'test/support/fresh-modules.ts'],
      }),
    ],
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts', 'adapters/**/*.ts'],
      reporter: ['text-summary', 'json-summary', 'html'],
      thresholds: {
        'src/**/*.ts': { lines: 95 },
        'adapters/**/*.ts': { lines: 95 },
      },
    },
  },
})
