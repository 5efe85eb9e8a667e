// Says what stands in the way of publishing this checkout under a tag; the release workflow asks it first.
//
//   node scripts/release.mjs v1.0.0
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Files in which the repository's owner stands, and what stands for it until it has one. */
export const FILES_WITH_OWNER = ['package.json', 'SECURITY.md']
export const OWNER = 'OWNER'

/**
 * @param {string} tag
 * @param {(file: string) => string} read - The text of a file of the project.
 * @returns {string[]} What is in the way, each with what to do; none: it may be published.
 */
export function faultsOf(tag, read) {
  const faults = []
  const { version } = JSON.parse(read('package.json'))
  if (tag !== `v${version}`) {
    faults.push(`the tag is ${tag} and package.json says ${version}: tag it v${version}`)
  }
  const changelog = read('CHANGELOG.md')
  const escaped = version.replace(/[.+]/g, '\\$&')
  if (!new RegExp(`^## ${escaped} \\(\\d{4}-\\d\\d-\\d\\d\\)$`, 'm').test(changelog)) {
    faults.push(`CHANGELOG.md has no "## ${version} (YYYY-MM-DD)": name what is unreleased so`)
  }
  if (/^## Unreleased$/m.test(changelog)) {
    faults.push(
      'CHANGELOG.md has a section "## Unreleased": what is in it would be released unsaid',
    )
  }
  for (const file of FILES_WITH_OWNER) {
    if (new RegExp(`\\b${OWNER}\\b`).test(read(file))) {
      faults.push(`${file} names no owner of the repository: put the account in place of ${OWNER}`)
    }
  }
  return faults
}

const root = fileURLToPath(new URL('..', import.meta.url))

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const tag = process.argv[2]
  const faults =
    tag === undefined
      ? ['usage: node scripts/release.mjs TAG']
      : faultsOf(tag, (file) => readFileSync(join(root, file), 'utf8'))
  for (const fault of faults) console.error(fault)
  if (faults.length > 0) process.exitCode = 1
}
