import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bundleSources, type Bundle } from '../support/bundle.js'
import { inProject } from '../support/samples.js'

const EXAMPLE = 'examples/custom-backend'
const read = (path: string) => readFileSync(inProject(path), 'utf8')

describe('the example of a backend of one’s own', () => {
  it('stands in the documentation as it is tested', () => {
    const page = read('docs/backends/custom.md')
    for (const name of ['map-cache.ts', 'map-cache.test.ts']) {
      expect(page).toContain(`\`\`\`ts\n${read(`${EXAMPLE}/${name}`)}\`\`\``)
    }
  })

  it('implements everything in some sixty lines', () => {
    const code = read(`${EXAMPLE}/map-cache.ts`)
    const lines = code.slice(code.indexOf('export class')).trimEnd().split('\n')
    expect(lines.length).toBeLessThanOrEqual(65)
  })
})

describe('the published conformance suite', () => {
  let bundle: Bundle

  beforeAll(async () => {
    bundle = await bundleSources()
    const manifest = {
      name: 'fragcache',
      type: 'module',
      exports: { '.': './src/index.js', './testing': './test/conformance/index.js' },
    }
    await writeFile(join(bundle.folder, 'package.json'), JSON.stringify(manifest))
    for (const folder of ['test/conformance', EXAMPLE]) {
      for (const path of await readdir(inProject(folder), { recursive: true })) {
        if (path.endsWith('.ts')) await transpile(join(folder, path), bundle.folder)
      }
    }
  })

  afterAll(() => bundle.remove())

  it('runs under node:test without being handed a runner', async () => {
    const file = join(bundle.folder, EXAMPLE, 'map-cache.test.js')
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--no-warnings', '--test-reporter=tap', file],
      { maxBuffer: 64 * 1024 * 1024 },
    )
    expect(stdout).toMatch(/^# fail 0$/m)
    expect(Number(/^# pass (\d+)$/m.exec(stdout)?.[1])).toBeGreaterThan(900)
  })
})

async function transpile(path: string, folder: string): Promise<void> {
  const { outputText } = ts.transpileModule(read(path), {
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
    },
  })
  const target = join(folder, path.replace(/\.ts$/, '.js'))
  await mkdir(dirname(target), { recursive: true })
  await writeFile(target, outputText)
}
