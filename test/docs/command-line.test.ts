import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { main } from '../../src/cli.js'
import { blocksOf, inProject } from '../support/samples.js'

const page = 'docs/command-line.md'
const blocks = blocksOf(page)

/** What differs from run to run and from day to day. */
function settled(text: string): string {
  return text
    .replace(/ +\d+\.\d ms/g, ' # ms')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'THEN')
    .trimEnd()
}

describe('the page about the command line', () => {
  const home = process.cwd()
  // Within the project, so that its packages are found.
  const folder = mkdtempSync(inProject('test/.samples-'))
  beforeAll(() => {
    for (const { file, code } of blocks) if (file) writeFileSync(join(folder, file), code)
    process.chdir(folder)
  })
  afterAll(() => {
    process.chdir(home)
    rmSync(folder, { recursive: true, force: true })
  })

  /** Runs a line as a shell would, and gives what it prints. */
  async function runLine(line: string): Promise<string> {
    const [program = '', ...args] = line.split(' ')
    if (program === 'node') {
      await import(pathToFileURL(join(folder, args[0] ?? '')).href)
      return ''
    }
    expect([program, args.shift()]).toEqual(['npx', 'fragcache'])
    const printed: string[] = []
    const print = (text: string) => void printed.push(text)
    await main(args, { out: print, error: print })
    return printed.join('\n')
  }

  it('shows what its commands print, one after the other', async () => {
    const followed = blocks.filter(({ language }) => language === 'sh' || language === 'text')
    expect(followed.length).toBeGreaterThan(8)
    for (const [i, { language, code, line }] of followed.entries()) {
      if (language !== 'sh') continue
      const printed: string[] = []
      for (const text of code.trimEnd().split('\n')) printed.push(await runLine(text))
      const shown = followed[i + 1]
      expect(shown?.language).toBe('text')
      const all = printed.filter((text) => text !== '').join('\n')
      expect({ line, text: settled(all) }).toEqual({ line, text: settled(shown?.code ?? '') })
    }
  })

  it('names every code that check knows, with its level', () => {
    const text = readFileSync(inProject('docs/command-line-reference.md'), 'utf8')
    const rows = new Map(
      [...text.matchAll(/^\| `([a-z-]+)` +\| ([a-z/]+) +\|/gm)].map(([, code, level]) => [
        code,
        level?.split('/') ?? [],
      ]),
    )
    const source = readdirSync(inProject('src/cli'))
      .map((file) => readFileSync(inProject(`src/cli/${file}`), 'utf8'))
      .join('\n')
    const known = new Set<string>()
    for (const [, code = ''] of source.matchAll(/code: '([a-z-]+)'/g)) known.add(code)
    for (const [, code = ''] of source.matchAll(/wrong\('([a-z]+)',/g)) known.add(code)
    for (const [, code = ''] of source.matchAll(/\/i?,\s+'([a-z-]+)',\s+'/g)) known.add(code)
    known.add('failed')
    expect([...known].sort()).toEqual([...rows.keys()].sort())
    for (const [, level, code = ''] of source.matchAll(
      /level: '(wrong|risk|note)',\s+code: '([a-z-]+)'/g,
    )) {
      expect({ code, levels: rows.get(code) }).toMatchObject({
        levels: expect.arrayContaining([level]) as string[],
      })
    }
  })
})
