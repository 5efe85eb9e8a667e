import { ESLint, type Linter } from 'eslint'
import tseslint from 'typescript-eslint'
import { describe, expect, it } from 'vitest'

/**
 * The project's own configuration, less what needs the types of a whole program: the snippets here
 * are in no program.
 */
const eslint = new ESLint({
  overrideConfig: { ...tseslint.configs.disableTypeChecked, files: ['**/*.ts'] } as Linter.Config,
})

async function complaints(filePath: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath })
  return result!.messages
    .filter(({ ruleId }) => ruleId === 'fragcache/import-direction')
    .map(({ message }) => message)
}

describe('the lint rule for import directions', () => {
  it.each([
    ['src/cache.ts', '../adapters/express/index.js'],
    ['src/keys.ts', '../test/support/clock.js'],
    ['src/fragment/render.ts', 'nunjucks'],
    ['src/cache.ts', 'lru-cache'],
    ['src/timeout.ts', './cache.js'],
    ['src/serializer.ts', './backends/file.js'],
    ['src/cache.ts', './backends/locmem.js'],
    ['src/caches.ts', './fragment/render.js'],
    ['src/backends/file.ts', './locmem.js'],
    ['src/backends/database/backend.ts', '../redis.js'],
    ['src/backends/file.ts', '../caches.js'],
    ['src/fragment/render.ts', '../backends/locmem.js'],
    ['src/fragment/render.ts', '../http/policy.js'],
    ['src/http/page-key.ts', '../index.js'],
    ['src/http/policy.ts', '../cache.js'],
    ['src/http/policy.ts', 'node:perf_hooks'],
    ['adapters/eta/index.ts', '../nunjucks/index.js'],
    ['adapters/eta/index.ts', 'nunjucks'],
    ['adapters/express/index.ts', '../../src/backends/file.js'],
    ['adapters/express/index.ts', '../../src/index.js'],
    ['test/conformance/backend-suite.ts', '../support/clock.js'],
  ])('stops %s from importing %s', async (file, specifier) => {
    const [complaint, ...more] = await complaints(file, `import { x } from '${specifier}'\nx()\n`)
    expect(complaint).toContain(`${file} may not import "${specifier}"`)
    expect(more).toEqual([])
  })

  it.each([
    ['src/cache.ts', './keys.js'],
    ['src/index.ts', './backends/locmem.js'],
    ['src/backends/locmem.ts', 'lru-cache'],
    ['src/backends/file.ts', '../cache.js'],
    ['src/backends/database/backend.ts', './dialects.js'],
    ['src/fragment/render.ts', '../caches.js'],
    ['src/http/policy.ts', './cache-control.js'],
    ['adapters/nunjucks/index.ts', 'nunjucks'],
    ['adapters/express/index.ts', '../../src/http/policy.js'],
    ['test/backends/file.test.ts', '../../src/backends/file.js'],
  ])('lets %s import %s', async (file, specifier) => {
    expect(await complaints(file, `import { x } from '${specifier}'\nx()\n`)).toEqual([])
  })

  it('sees every way to import', async () => {
    const code = [
      `export * from './backends/file.js'`,
      `export { x } from './backends/file.js'`,
      `export const later = () => import('./backends/file.js')`,
      `export type File = import('./backends/file.js').FileBasedCache`,
    ].join('\n')
    expect(await complaints('src/cache.ts', code)).toHaveLength(4)
  })

  it('keeps the clock out of the HTTP policy', async () => {
    const [result] = await eslint.lintText('export const now = (): number => Date.now()\n', {
      filePath: 'src/http/policy.ts',
    })
    expect(result!.messages.map(({ message }) => message)).toEqual(['Time is an argument here.'])
  })
})

describe('the lint rules with type information', () => {
  it('are on for every TypeScript file', async () => {
    for (const file of ['src/cache.ts', 'adapters/eta/index.ts', 'test/cli.test.ts']) {
      const { rules } = (await new ESLint().calculateConfigForFile(file)) as {
        rules: Record<string, [number]>
      }
      expect(rules['@typescript-eslint/no-floating-promises']?.[0]).toBe(2)
      expect(rules['@typescript-eslint/switch-exhaustiveness-check']?.[0]).toBe(2)
      expect(rules['@typescript-eslint/consistent-type-imports']?.[0]).toBe(2)
    }
  })
})
