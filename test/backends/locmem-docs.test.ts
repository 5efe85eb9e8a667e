import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format } from 'node:util'
import { expect, it, vi } from 'vitest'
import { inProject, samplesOf } from '../support/samples.js'

it('does what docs/backends/local-memory.md shows', async () => {
  const samples = samplesOf('docs/backends/local-memory.md')
  expect(samples).toHaveLength(1)
  const folder = mkdtempSync(inProject('.samples-'))
  const printed: string[] = []
  const log = vi.spyOn(console, 'log').mockImplementation((...args: unknown[]) => {
    printed.push(format(...args))
  })
  try {
    for (const { code, prints } of samples) {
      const file = join(folder, 'sample.mjs')
      writeFileSync(file, code)
      await import(/* @vite-ignore */ file)
      expect(printed.splice(0)).toEqual(prints)
    }
  } finally {
    log.mockRestore()
    rmSync(folder, { recursive: true })
  }
})
