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

async function run(code: string, name: string): Promise<string[]> {
  const printed: string[] = []
  const log = vi.spyOn(console, 'log').mockImplementation((...texts: unknown[]) => {
    printed.push(...texts.join(' ').split('\n'))
  })
  const file = join(folder, `handlebars-${name}.mjs`)
  writeFileSync(file, code)
  try {
    await import(/* @vite-ignore */ pathToFileURL(file).href)
  } finally {
    log.mockRestore()
  }
  return printed
}

describe('the samples of docs/handlebars.md', () => {
  const samples = samplesOf('docs/handlebars.md')
  const express = samples.filter(({ code }) => code.includes("from 'express'"))

  it('are there', () => {
    expect([samples.length, express.length]).toEqual([8, 2])
  })

  it.each(samples)('$page:$line prints what it says', async ({ code, line, prints }) => {
    expect(await run(code, String(line))).toEqual(prints)
  })

  it.each(express)('$page:$line prints the same in Express 4', async ({ code, line, prints }) => {
    const express4 = code.replace("from 'express'", "from 'express4'")
    expect(await run(express4, `${line}-express4`)).toEqual(prints)
  })

  it.each(express)('$page:$line needs at most ten lines', ({ code }) => {
    const [, recipe] = /\/\/ The recipe:\n(.*?)\n\n/s.exec(code) ?? []
    expect(recipe?.split('\n').length).toBeLessThanOrEqual(10)
  })
})
