import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Page } from 'playwright-core'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What of a page is not accessible, as `rule: element`. */
export async function violationsOf(page: Page): Promise<readonly string[]> {
  // The policy of the page keeps out what is not its own; what the browser is told to run is not kept out.
  if (await page.evaluate<boolean>(`typeof axe === 'undefined'`)) await page.evaluate(axe)
  return page.evaluate<readonly string[]>(
    // Of what is in order nothing is read: to describe each element of it takes longer than to judge it.
    `axe.run({ resultTypes: ['violations'], selectors: false }).then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ': ' + html)))`,
  )
}
