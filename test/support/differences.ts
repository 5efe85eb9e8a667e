import { readFileSync } from 'node:fs'
import { inProject } from './samples.js'

/** One row of the tables in docs/differences-from-django.md. */
export interface DifferenceRow {
  readonly what: string
  readonly django: string
  readonly here: string
  readonly why: string
}

export function differenceRows(): readonly DifferenceRow[] {
  const page = readFileSync(inProject('docs/differences-from-django.md'), 'utf8')
  const rows = page.split('\n').filter((line) => line.startsWith('| '))
  return rows.flatMap((line) => {
    const [, what = '', django = '', here = '', why = ''] =
      line.split(' | ').length === 4
        ? [
            '',
            ...line
              .slice(2, -2)
              .split(' | ')
              .map((cell) => cell.trim()),
          ]
        : []
    return what === '' || what === 'What' || /^-+$/.test(what) ? [] : [{ what, django, here, why }]
  })
}
