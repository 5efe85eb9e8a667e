import type { HoleRenderer } from '../../src/fragment/hole-parts.js'
import { plainOf } from '../../src/fragment/watched.js'
import { privateField } from '../../src/private-field.js'
import type { Context, Runtime } from './engine.js'

/** What the application renders, with all that it includes, extends and imports. */
export interface Page {
  /** The variables that it was rendered with. */
  readonly variables: unknown
  /** How its templates are run. Left out: nothing of it has been, as its nocache blocks are filled from code. */
  at?: { readonly context: Context; readonly runtime: Runtime }
  /** Its nocache blocks, once one asks. */
  holes?: HoleRenderer
}

/** The page that is being rendered by the calling code. */
let current: Page | undefined

/** The pages of templates' variables, since bodies may run after the code around them. */
const pages = privateField<Context, Page>()

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

/** The page that is being rendered, to be gone on with by {@link inPage} in a later turn. */
export function currentPage(): Page | undefined {
  return current
}

/** Notes that a template's variables are of the page that is being rendered. */
export function notePage(context: Context): void {
  if (current !== undefined && !pages.has(context)) pages.set(context, current)
}

/** The page that a template's variables are of. */
export function pageOf(context: Context): Page {
  let page = pages.get(context) ?? current
  page ??= { variables: plainOf(context.ctx) }
  pages.set(context, page)
  return page
}

/** Variables for a nocache block of a page. */
export function contextIn(page: Page, variables: unknown, { env, constructor }: Context): Context {
  const context = new constructor(variables, {}, env)
  pages.set(context, page)
  return context
}
