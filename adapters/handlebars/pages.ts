import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import type { Template } from './template.js'

/** Handlebars' runtime options that a page is rendered with. */
export interface PageOptions {
  readonly helpers?: Record<string, unknown>
  readonly partials?: Record<string, unknown>
  readonly decorators?: Record<string, unknown>
  readonly data?: unknown
}

/** What the application renders, with all partials. */
export interface Page {
  readonly context: unknown
  readonly options: PageOptions | undefined
  /** Left out: its nocache blocks are filled from code, and nothing of it is being rendered. */
  readonly template?: Template
  /** Its nocache blocks, once one asks. */
  holes?: HoleRenderer
}

/** The page that is being rendered by the calling code. */
let current: Page | undefined

export function currentPage(): Page | undefined {
  return current
}

/** Runs what belongs to a page. */
export function inPage<T>(page: Page | undefined, action: () => T): T {
  const outer = current
  current = page
  try {
    return action()
  } finally {
    current = outer
  }
}
