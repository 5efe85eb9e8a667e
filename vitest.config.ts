import { defineConfig } from 'vitest/config'
import { fileURLToPath } from 'node:url'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^fragcache$/, replacement: at('./src/index.ts') },
      { find: /^fragcache\/file$/, replacement: at('./src/backends/file.ts') },
      { find: /^fragcache\/testing$/, replacement: at('./test/conformance/backend-suite.ts') },
      {
        find: /^fragcache\/(nunjucks|handlebars|eta|express)$/,
        replacement: at('./adapters/$1/index.ts'),
      },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
  },
})
