import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ensureChromium } from '../support/chromium.js'
import { InspectedSite } from './inspected-site.js'

const isWanted = process.env['UPDATE_SCREENSHOTS'] === '1'
const launch = isWanted ? await ensureChromium() : undefined
const folder = fileURLToPath(new URL('../../docs/images/', import.meta.url))

/** So long there are visitors, so that the charts have something to show. */
const visitMs = 75_000

/** What the site is made of: a fragment, how many variants it has and how long its body takes. */
const parts = [
  ['menu', 3, 4],
  ['news', 3, 35],
  ['facts', 60, 18],
  ['neighbours', 60, 12],
  ['map', 60, 42],
  ['weather', 8, 90],
  ['footer', 1, 2],
  ['search-results', 100_000, 25],
] as const

const countries = ['AUT', 'BEL', 'ESP', 'FRA', 'ITA', 'NOR', 'PRT', 'SWE']

const oneOf = (count: number): number => Math.floor(Math.random() ** 2 * count)

/** A page like others: some fragments, a value, sometimes a whole page. */
async function visitSomething(
  { caches, fragments, ...site }: Visited,
  round: number,
): Promise<void> {
  for (const [name, variants, bodyMs] of parts) {
    if (Math.random() < 0.4) continue
    const using = name === 'weather' ? 'shared' : 'default'
    const varyOn = [String(oneOf(variants))]
    await fragments.render({ name, varyOn, using, timeout: 20 }, async () => {
      await sleep(bodyMs * (0.7 + Math.random() * 0.6))
      return `<section>${name} ${'…'.repeat(200 + oneOf(2000))}</section>`
    })
  }
  const shared = caches.get('shared')
  await shared.getOrSet(`rates:${oneOf(20)}`, () => round, { timeout: 10 })
  if (round % 3 === 0) await site.visit(`/countries/${countries[oneOf(countries.length)]}`)
  if (round % 17 === 0) await site.visit('/about')
  if (round % 40 === 0) await site.visit('/basket')
}

type Visited = Pick<InspectedSite, 'caches' | 'fragments'> & {
  readonly visit: (path: string) => Promise<string>
}

describe.skipIf(launch === undefined)('the pictures of the inspector in docs/images', () => {
  let site: InspectedSite
  let browser: Browser

  beforeAll(async () => {
    site = await InspectedSite.start()
    browser = await chromium.launch(launch)
    await site.visit('/__cache/api/overview')
    const visited = {
      caches: site.caches,
      fragments: site.fragments,
      visit: (path: string) => site.visit(path),
    }
    const endMs = Date.now() + visitMs
    for (let round = 0; Date.now() < endMs; round++) {
      await visitSomething(visited, round)
      // From now on it has a history.
      if (round === 5) await site.visit('/__cache/api/fragment?alias=default&name=facts')
    }
    await mkdir(folder, { recursive: true })
  }, visitMs + 60_000)

  afterAll(async () => {
    await browser?.close()
    await site?.close()
  })

  it.each([
    ['overview', '', 1440, 1000, 'light', '.alias'],
    ['fragments', '', 375, 760, 'dark', '.table-scroller tbody th'],
    ['fragment', '?alias=default&name=facts', 1440, 1000, 'light', 'table.plain tbody th'],
    ['live', '', 1440, 800, 'light', 'summary'],
  ] as const)(
    'show %s%s at %d × %d pixels in %s',
    async (view, query, width, height, colorScheme, sign) => {
      const page = await browser.newPage({ viewport: { width, height }, colorScheme })
      await page.goto(`${site.inspector}#${view}${query}`)
      if (view === 'live') {
        // Only what happens while it is open is shown.
        const requests = page.locator('.request')
        for (let round = 0; (await requests.count()) < 6; round++) {
          const code = round % 2 === 0 ? `new-${round}` : countries[round % 8]
          await site.visit(round % 4 === 3 ? '/basket' : `/countries/${code}`)
          await sleep(400)
        }
        await requests.last().locator(sign).click()
      }
      await page.locator(sign).first().waitFor()
      const picture = await page.screenshot({ path: `${folder}inspector-${view}.png` })
      expect(picture.length).toBeGreaterThan(10_000)
      await page.close()
    },
    60_000,
  )
})
