import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { patched, PLANTS } from '../../scripts/chaos/plants.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))

const compilerOptions = { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext }

/** As the build compiles it. */
function compiled(file: string): string {
  const source = readFileSync(join(root, file.replace(/\.js$/, '.ts')), 'utf8')
  return ts.transpileModule(source, { compilerOptions }).outputText
}

function errorsIn(code: string): readonly string[] {
  const { diagnostics = [] } = ts.transpileModule(code, {
    fileName: 'planted.js',
    reportDiagnostics: true,
    compilerOptions,
  })
  return diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}

describe('a patch that plants a fault', () => {
  it('replaces what stands there once, literally', () => {
    const patch = { find: 'if (a.b) ', replace: 'if ($& || true) ' }
    expect(patched('if (a.b) return', patch)).toBe('if ($& || true) return')
  })

  it.each([
    ['nothing', 'there are 0'],
    ['twice, twice', 'there are 2'],
  ])('refuses %j, since it would plant something else', (code, message) => {
    expect(() => patched(code, { find: 'twice', replace: '' })).toThrow(message)
  })

  it.each(Object.entries(PLANTS))('of point %s still applies, and gives code', (_, patches) => {
    const codes = new Map(patches.map(({ file }) => [file, compiled(file)]))
    for (const { file, ...patch } of patches) {
      codes.set(file, patched(codes.get(file) ?? '', patch))
    }
    for (const code of codes.values()) expect(errorsIn(code)).toEqual([])
  })
})
