import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { faultsOf, FILES_WITH_OWNER, OWNER } from '../../scripts/release.mjs'
import { inProject } from '../support/samples.js'

const read = (file: string): string => readFileSync(inProject(file), 'utf8')
const { version } = JSON.parse(read('package.json')) as { version: string }

/** The project as it is when it is released, but for some files. */
function released(others: Readonly<Record<string, string>> = {}) {
  return (file: string): string =>
    others[file] ??
    read(file)
      .replaceAll(OWNER, 'someone')
      .replace(/^## Unreleased$/m, `## ${version} (2026-01-31)`)
}

describe('node scripts/release.mjs', () => {
  it('lets a finished release go', () => {
    expect(faultsOf(`v${version}`, released())).toEqual([])
  })

  it('stops a tag of another version', () => {
    expect(faultsOf('v9.9.9', released())).toEqual([
      `the tag is v9.9.9 and package.json says ${version}: tag it v${version}`,
    ])
  })

  it('stops what has no section in the changelog, or an unreleased one', () => {
    const changelog = '# Changelog\n\n## Unreleased\n\n## 0.0.1 (2026-01-31)\n'
    const faults = faultsOf(`v${version}`, released({ 'CHANGELOG.md': changelog }))
    expect(faults).toHaveLength(2)
    expect(faults[0]).toContain(`CHANGELOG.md has no "## ${version} (YYYY-MM-DD)"`)
    expect(faults[1]).toContain('## Unreleased')
  })

  it('stops a repository without an owner, by every file that names one', () => {
    const mentioned = (folder: string): string[] =>
      readdirSync(inProject(folder), { withFileTypes: true })
        .filter((entry) => entry.isFile() && /\.(?:json|md|yml)$/.test(entry.name))
        .map((entry) => (folder === '.' ? entry.name : `${folder}/${entry.name}`))
        .filter((file) => read(file).includes(`github.com/${OWNER}/`))
    // CONTRIBUTING.md explains it.
    const found = ['.', 'docs', '.github/workflows'].flatMap(mentioned)
    expect(found.filter((file) => file !== 'CONTRIBUTING.md').sort()).toEqual(
      [...FILES_WITH_OWNER].sort(),
    )
    for (const file of FILES_WITH_OWNER) {
      const text = released()(file).replaceAll('someone', OWNER)
      expect(faultsOf(`v${version}`, released({ [file]: text }))).toEqual([
        `${file} names no owner of the repository: put the account in place of ${OWNER}`,
      ])
    }
  })
})

describe('the workflow of a release', () => {
  const text = read('.github/workflows/release.yml')

  it('runs scripts and workflows that are there', () => {
    const named = [...text.matchAll(/run: node (\S+)/g), ...text.matchAll(/uses: \.\/(\S+)/g)].map(
      ([, file = '']) => file,
    )
    expect(named).toEqual(['scripts/release.mjs', '.github/workflows/ci.yml'])
    for (const file of named) expect(existsSync(inProject(file)), file).toBe(true)
    expect(read('.github/workflows/ci.yml')).toMatch(/^ {2}workflow_call:$/m)
  })

  it('publishes last, with a provenance, on a tag alone', () => {
    expect(text).toMatch(/^on:\n {2}push:\n {4}tags: \['v\*'\]\n\w/m)
    const [before = '', publish = ''] = text.split(/^ {2}publish:$/m)
    expect(before).not.toContain('id-token')
    expect(publish).toContain('needs: checks')
    expect(publish).toContain('id-token: write')
    expect(publish).toContain('npm publish --provenance --access public')
  })
})
