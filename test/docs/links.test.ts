import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inProject, pages as withSamples } from '../support/samples.js'

const pages = [...withSamples, 'CHANGELOG.md']

/** A page without its code. */
function textOf(page: string): string {
  return readFileSync(inProject(page), 'utf8')
    .replaceAll(/^```.*?^```$/gms, '')
    .replaceAll(/^ {4}.*$/gm, '')
}

/** The anchors of a page's headings. */
function anchorsOf(page: string): string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

const links = pages.flatMap((page) => {
  const text = textOf(page).replaceAll(/`[^`\n]*`/g, '')
  return [...text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, target = '']) => ({
    page,
    target,
  }))
})

describe('links between the pages', () => {
  it('are found', () => {
    expect(links.length).toBeGreaterThan(50)
  })

  it.each(links)('$page: $target leads somewhere', ({ page, target }) => {
    const [file = '', anchor] = target.split('#')
    const path = file === '' ? page : join(dirname(page), file)
    expect(existsSync(inProject(path)), path).toBe(true)
    if (anchor !== undefined) expect(anchorsOf(path)).toContain(anchor)
  })
})

describe('the contents list, docs/README.md', () => {
  const targets = links.flatMap(({ page, target }) =>
    page === 'docs/README.md' ? [join('docs', target)] : [],
  )

  it.each(pages.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md'))(
    'leads to %s',
    (page) => {
      expect(targets).toContain(page)
    },
  )
})
