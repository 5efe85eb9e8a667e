import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  resolve: {
    // Tests name the subpaths as users do and run the sources; test/package runs the built tarball.
    alias: [
      { find: /^fragcache$/, replacement: at('./src/index.ts') },
      {
        find: /^fragcache\/(file|redis|memcached|database|tiered)$/,
        replacement: at('./src/backends/$1.ts'),
      },
      { find: /^fragcache\/testing$/, replacement: at('./test/conformance/backend-suite.ts') },
      {
        find: /^fragcache\/(nunjucks|handlebars|eta|express)$/,
        replacement: at('./adapters/$1/index.ts'),
      },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/servers/keeper.ts'],
    testTimeout: 20_000,
    // With more than there are cores, tests of time limits and of locks starve beside those that compute.
    maxWorkers: availableParallelism(),
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
