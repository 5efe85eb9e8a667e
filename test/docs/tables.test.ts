import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { inProject, pages } from '../support/samples.js'

/** What a reader sees at once: a wider table is text, a list, or several tables. */
const MAX_WIDTH = 160

/** What a page shows of a cell: the text of a link without its target, and no marks of code or of bold. */
function shown(cell: string): string {
  return cell
    .replaceAll(/\[([^[\]]*)\]\([^()]*\)/g, '$1')
    .replaceAll(/`|\*\*/g, '')
    .trim()
}

/** The width of a table's lines: the widest cell of each column, and a bar with a blank on both sides of it. */
function widthOf(table: string): number {
  const rows = table
    .trim()
    .split('\n')
    .filter((row) => !/^[\s|:-]+$/.test(row))
    .map((row) =>
      row
        .trim()
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map(shown),
    )
  const columns =
    rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0))) ?? []
  return columns.reduce((width, column) => width + column + 3, 1)
}

/** The tables of a page, each with the line where it begins. */
function tablesOf(page: string): { line: number; width: number }[] {
  const text = readFileSync(inProject(page), 'utf8').replaceAll(/^ *```.*?^ *```$/gms, (code) =>
    code.replaceAll(/[^\n]/g, ''),
  )
  return [...text.matchAll(/(?:^ *\|.*\n)+/gm)].map(({ 0: table, index }) => ({
    line: text.slice(0, index).split('\n').length,
    width: widthOf(table),
  }))
}

describe('the width of a table', () => {
  it('is that of what a reader sees in its widest cells', () => {
    expect(widthOf('| a | b |\n| --- | --- |\n| [`four`](page.md) | c |\n')).toBe(
      '| four | b |'.length,
    )
    expect(widthOf('| `a \\| b` |\n')).toBe('| a \\| b |'.length)
  })

  it.each(pages)('is at most 160 characters in %s', (page) => {
    expect(tablesOf(page).filter(({ width }) => width > MAX_WIDTH)).toEqual([])
  })
})
