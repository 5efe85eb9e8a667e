import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { inProject, samplesOf } from '../support/samples.js'

const run = promisify(execFile)

/** In the project and not under node_modules, so that `fragcache` means this package, built. */
let folder: string

beforeAll(async () => {
  await run(process.execPath, [inProject('scripts/build.mjs'), '--if-stale'])
  folder = mkdtempSync(inProject('.samples-'))
}, 120_000)

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

describe.each([
  ['README.md', 4],
  ['docs/nunjucks.md', 7],
])('the samples of %s', (page, count) => {
  const samples = samplesOf(page)

  it('are found', () => {
    expect(samples).toHaveLength(count)
  })

  it.each(samples)('$page:$line prints what it says', async ({ code, line, prints }) => {
    const file = join(folder, `${basename(page)}-${line}.mjs`)
    writeFileSync(file, code)
    const { stdout, stderr } = await run(process.execPath, [file])
    expect(stderr).toBe('')
    expect(
      stdout
        .split('\n')
        .map((one) => one.trimEnd())
        .join('\n')
        .trimEnd(),
    ).toBe(prints.join('\n'))
  })
})
