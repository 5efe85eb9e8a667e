import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { inProject } from '../support/samples.js'

const pages = ['visitors', 'responses', 'keys'].map((name) =>
  readFileSync(inProject(`docs/threats-${name}.md`), 'utf8'),
)
const page = pages.join('\n')

/** Of each threat what it says, and the tests that it names. */
const threats = pages
  .flatMap((text) => text.split(/\n(?=- \*\*|#)/).filter((part) => part.startsWith('- **')))
  .map((item) => item.replaceAll(/\s+/g, ' ').trim().split(' - Tests: '))

/** A file in `test/attacks`, or another one under `test`. */
function pathOf(file: string): string {
  return inProject(`test/${file.includes('/') ? file : `attacks/${file}`}.test.ts`)
}

describe('the list of threats', () => {
  it.each(threats)('names tests that are there: %s', (_threat, tests = '') => {
    const named = [...tests.matchAll(/`([\w/-]+)` "([^"]+)"/g)]
    expect(named.length).toBeGreaterThan(0)
    // Nothing else stands there that only looks like a test.
    expect(tests.replaceAll(/`[\w/-]+` "[^"]+"/g, '').trim()).toMatch(/^[; ]*$/)
    for (const [, file = '', title = ''] of named) {
      expect(existsSync(pathOf(file)), file).toBe(true)
      const source = readFileSync(pathOf(file), 'utf8')
      expect(source.includes(title), `${file}: ${title}`).toBe(true)
    }
  })

  it('has every advisory that an attack is about', () => {
    const files = readdirSync(inProject('test/attacks'))
    const sources = files.map((file) => readFileSync(inProject(`test/attacks/${file}`), 'utf8'))
    const advisories = sources.flatMap((source) => source.match(/CVE-\d+-\d+/g) ?? [])
    expect(advisories.length).toBeGreaterThan(50)
    for (const advisory of new Set(advisories)) expect(page).toContain(advisory)
  })

  it('has an item for every file of attacks', () => {
    const files = readdirSync(inProject('test/attacks'))
    for (const file of files) expect(page).toContain(`\`${file.replace('.test.ts', '')}\` "`)
  })
})
