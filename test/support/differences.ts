import { readFileSync } from 'node:fs'
import { inProject } from './samples.js'

/** One section of docs/differences-from-django.md. */
export interface Difference {
  readonly what: string
  readonly django: string
  readonly here: string
  readonly why: string
}

export function differences(): readonly Difference[] {
  const page = readFileSync(inProject('docs/differences-from-django.md'), 'utf8')
  const [, ...sections] = page.split(/^### /m)
  return sections.map((section) => {
    const said = (label: string) => section.split(`\n- **${label}**: `)[1]?.split('\n- ')[0] ?? ''
    return {
      what: section.slice(0, section.indexOf('\n')),
      django: said('Django'),
      here: said('fragcache'),
      why: said('Why'),
    }
  })
}
