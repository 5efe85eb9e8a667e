import type { HoleFacts } from './hole-check.js'

/** What is known of a nocache block when its template is compiled; handed to the run time as JSON. */
export interface CompiledHole extends HoleFacts {
  /** Tells it from other blocks of the template, and from itself before it was changed. */
  readonly id: string
  readonly line?: number | undefined
}

/** What stands before the list of a template's nocache blocks, in a comment at its beginning. */
export const HOLES = 'fragcache:holes '
