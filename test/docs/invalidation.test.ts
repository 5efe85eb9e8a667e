import { format } from 'node:util'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { inProject, samplesOf } from '../support/samples.js'

let folder: string

beforeAll(() => {
  // In the project, so that `fragcache` means its sources.
  folder = mkdtempSync(inProject('test/.samples-'))
})

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

describe('the samples of docs/invalidation.md', () => {
  const samples = samplesOf('docs/invalidation.md')

  it('are there', () => {
    expect(samples).toHaveLength(8)
  })

  it.each(samples)('$page:$line prints what it says', async ({ code, line, prints }) => {
    const printed: string[] = []
    const log = vi.spyOn(console, 'log').mockImplementation((...texts: unknown[]) => {
      printed.push(format(...texts).trimEnd())
    })
    const file = join(folder, `invalidation-${line}.mjs`)
    writeFileSync(file, code)
    try {
      await import(/* @vite-ignore */ pathToFileURL(file).href)
    } finally {
      log.mockRestore()
    }
    expect(printed).toEqual(prints)
  })
})
