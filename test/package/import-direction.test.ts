import { execFile } from 'node:child_process'
import { appendFile, cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import { promisify } from 'node:util'
import { ESLint, type Linter } from 'eslint'
import tseslint from 'typescript-eslint'
import { beforeAll, describe, expect, it } from 'vitest'
import { projectRoot, readManifest } from '../support/project.js'

const [tool, ...toldArgs] = readManifest(projectRoot).scripts['lint:imports']!.split(' ')
const folders = toldArgs.slice(
  0,
  toldArgs.findIndex((one) => one.startsWith('--')),
)

interface Complaint {
  readonly rule: string
  readonly from: string
  readonly to: string
}

/** What the lint says of a copy of the code to which `imports` were added, each to its file. */
async function complaintsWith(
  imports: readonly (readonly [file: string, statement: string])[],
): Promise<Complaint[]> {
  const copy = await mkdtemp(join(tmpdir(), 'fragcache-imports-'))
  try {
    const settings = ['.dependency-cruiser.mjs', 'package.json', 'tsconfig.json']
    for (const path of ['src', 'adapters', 'test', ...settings]) {
      await cp(join(projectRoot, path), join(copy, path), { recursive: true })
    }
    await symlink(join(projectRoot, 'node_modules'), join(copy, 'node_modules'), 'junction')
    for (const [file, statement] of imports) await appendFile(join(copy, file), `\n${statement}\n`)
    const program = join(projectRoot, 'node_modules', '.bin', tool!)
    const args = [...folders, '--output-type', 'json']
    const options = { cwd: copy, maxBuffer: 256 * 1024 * 1024 }
    // The code of its exit is the number of complaints.
    const { stdout } = await promisify(execFile)(program, args, options).catch(
      (failed: unknown) => failed as { stdout: string },
    )
    const { summary } = JSON.parse(stdout) as {
      summary: { violations: { rule: { name: string }; from: string; to: string }[] }
    }
    return summary.violations.map(({ rule, from, to }) => ({ rule: rule.name, from, to }))
  } finally {
    await rm(copy, { recursive: true })
  }
}

const refused: readonly (readonly [file: string, specifier: string, rule: string])[] = [
  ['src/cache.ts', '../adapters/express/index.js', 'src-stands-alone'],
  ['src/keys.ts', '../test/conformance/backend-suite.js', 'src-stands-alone'],
  ['src/fragment/render.ts', 'nunjucks', 'src-without-guests'],
  ['src/cache.ts', 'lru-cache', 'packages-at-the-edge'],
  ['src/timeout.ts', './cache.js', 'helpers'],
  ['src/serializer.ts', './backends/file.js', 'helpers'],
  ['src/cache.ts', './backends/locmem.js', 'cache'],
  ['src/caches.ts', './fragment/render.js', 'cache'],
  ['src/backend/calls.ts', '../making/frame.js', 'backend'],
  ['src/making/frame.ts', '../cache.js', 'making'],
  ['src/observe/counts.ts', '../caches.js', 'observe'],
  ['src/pages/page.ts', '../fragment/render.js', 'pages'],
  ['src/pages/judge.ts', 'node:http', 'pages-without-requests'],
  ['src/backends/file.ts', './locmem.js', 'backends-are-siblings'],
  ['src/backends/database/row.ts', '../redis.js', 'backends-are-siblings'],
  ['src/backends/tiered.ts', './redis.js', 'tiered-stands-on-memory'],
  ['src/backends/file.ts', '../fragment/render.js', 'backends'],
  ['src/fragment/render.ts', '../backends/locmem.js', 'fragment'],
  ['src/fragment/render.ts', '../http/vary.js', 'fragment'],
  ['src/http/page-key.ts', '../index.js', 'http'],
  ['src/pages/policy.ts', '../cache.js', 'policy-is-pure'],
  ['src/pages/policy.ts', 'node:perf_hooks', 'policy-is-pure'],
  ['adapters/eta/index.ts', '../nunjucks/index.js', 'adapters-are-siblings'],
  ['adapters/eta/index.ts', 'nunjucks', 'guests-at-home'],
  ['adapters/express/index.ts', '../../src/backends/file.js', 'adapters'],
  ['adapters/express/index.ts', '../../src/index.js', 'adapters'],
  ['test/conformance/backend-suite.ts', '../../adapters/eta/index.js', 'published-suite'],
  ['src/keys.ts', './nowhere.js', 'resolvable'],
]

const allowed: readonly (readonly [file: string, specifier: string])[] = [
  ['src/cache.ts', './keys.js'],
  ['src/index.ts', './backends/locmem.js'],
  ['src/backends/locmem.ts', 'lru-cache'],
  ['src/backends/tiered.ts', './locmem.js'],
  ['src/backends/file.ts', '../cache.js'],
  ['src/fragment/render.ts', '../caches.js'],
  ['src/pages/policy.ts', '../http/cache-control.js'],
  ['adapters/nunjucks/index.ts', 'nunjucks'],
  ['adapters/express/index.ts', '../../src/pages/policy.js'],
]

/** Ways to import a backend, each in a helper of its own. */
const spellings: readonly (readonly [file: string, statement: string])[] = [
  ['src/settings.ts', `export * from './backends/file.js'`],
  ['src/tags.ts', `export { FileBasedCache } from './backends/file.js'`],
  ['src/value.ts', `export const later = () => import('./backends/file.js')`],
  ['src/timeout.ts', `export type File = import('./backends/file.js').FileBasedCache`],
  ['src/time-limit.ts', `import type { FileBasedCache } from './backends/file.js'`],
  ['src/bus.ts', `import { type FileBasedCache } from './backends/file.js'`],
]

const circle: typeof spellings = [
  ['src/http/lists.ts', `import './http-date.js'`],
  ['src/http/http-date.ts', `import './lists.js'`],
]

/** Whether a complaint is of what `file` imports by the name `specifier`. */
function isOf({ from, to }: Complaint, file: string, specifier: string): boolean {
  if (from !== file) return false
  const path = posix.join(posix.dirname(file), specifier).replace(/\.js$/, '.ts')
  const names = [specifier, specifier.replace('node:', ''), path]
  return names.includes(to) || to.includes(`node_modules/${specifier}/`)
}

describe('the lint of imports', () => {
  let complaints: Complaint[]
  beforeAll(async () => {
    const planted = [...refused, ...allowed].map(
      ([file, specifier]) => [file, `export type * from '${specifier}'`] as const,
    )
    complaints = await complaintsWith([...planted, ...spellings, ...circle])
  }, 120_000)

  const found = (file: string, specifier: string) =>
    complaints.filter((complaint) => isOf(complaint, file, specifier))

  it.each(refused)('stops %s from importing %s', (file, specifier, rule) => {
    expect(found(file, specifier).map((complaint) => complaint.rule)).toContain(rule)
  })

  it.each(allowed)('lets %s import %s', (file, specifier) => {
    // Together with what is planted elsewhere it may close a circle.
    const own = found(file, specifier).filter(({ rule }) => rule !== 'no-circles')
    expect(own).toEqual([])
  })

  it.each(spellings)('in %s sees %s', (file) => {
    expect(found(file, './backends/file.js').map(({ rule }) => rule)).toContain('helpers')
  })

  it('finds a circle of files', () => {
    const circles = complaints.filter(({ rule }) => rule === 'no-circles')
    expect(circles.map(({ from, to }) => [from, to].sort())).toContainEqual([
      'src/http/http-date.ts',
      'src/http/lists.ts',
    ])
  })

  it('complains of nothing else', () => {
    const planted = [
      ...refused,
      ...spellings.map(([file]) => [file, './backends/file.js'] as const),
    ]
    const expected = planted.flatMap(([file, specifier]) => found(file, specifier))
    const others = complaints.filter((complaint) => !expected.includes(complaint))
    expect(others.filter(({ rule }) => rule !== 'no-circles')).toEqual([])
  })
})

describe('the lint rules', () => {
  it('keep the clock out of the HTTP policy', async () => {
    // Less what needs the types of a whole program: the snippet is in none.
    const eslint = new ESLint({
      overrideConfig: {
        ...tseslint.configs.disableTypeChecked,
        files: ['**/*.ts'],
      } as Linter.Config,
    })
    const [result] = await eslint.lintText('export const now = (): number => Date.now()\n', {
      filePath: 'src/pages/policy.ts',
    })
    expect(result!.messages.map(({ message }) => message)).toEqual(['Time is an argument here.'])
  })

  it('have type information for every TypeScript file', async () => {
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
