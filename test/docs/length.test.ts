import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { inProject, pages } from '../support/samples.js'

/** Nobody reads more at once. */
const MAX_WORDS = 1500

/** The words of a page, those of its tables and samples too. */
function wordsOf(page: string): number {
  const text = readFileSync(inProject(page), 'utf8')
  return text.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length
}

const read = pages.filter((page) => page === 'README.md' || page.startsWith('docs/'))

it.each(read)('%s has at most 1,500 words', (page) => {
  expect(wordsOf(page)).toBeLessThanOrEqual(MAX_WORDS)
})
