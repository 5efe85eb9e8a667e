import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ensureChromium } from '../support/chromium.js'
import { InspectedSite } from './inspected-site.js'
import { Tab } from './tab.js'

interface Overview {
  readonly aliases: { history: readonly object[] }[]
}

const launch = await ensureChromium()

describe.skipIf(launch === undefined)('a view of the inspector', { timeout: 60_000 }, () => {
  let site: InspectedSite
  let browser: Browser
  let tab: Tab

  beforeAll(async () => {
    ;[site, browser] = await Promise.all([InspectedSite.start(), chromium.launch(launch)])
    tab = await Tab.open(browser)
    // The history begins with the first look.
    await site.visit('/__cache/api/overview')
    await site.use()
  }, 60_000)

  afterAll(async () => {
    await tab?.close()
    await browser?.close()
    await site?.close()
  })

  const inView = (view: string, work: (page: Page) => Promise<void>, width = 1440): Promise<void> =>
    tab.show(`${site.inspector}#${view}`, { viewport: { width, height: 900 } }, async (page) => {
      page.setDefaultTimeout(15_000)
      await page.getByRole('heading', { level: 2 }).waitFor()
      await work(page)
    })

  /** Gives each cache a history with a sample at each of these times, in seconds before now. */
  async function withHistory(page: Page, agoSeconds: readonly number[]): Promise<void> {
    const history = async () =>
      (JSON.parse(await site.visit('/__cache/api/overview')) as Overview).aliases[0]!.history
    await expect.poll(history, { timeout: 15_000 }).not.toEqual([])
    await page.route('**/api/overview', async (route) => {
      const overview = (await (await route.fetch()).json()) as Overview
      const nowMs = Date.now()
      for (const alias of overview.aliases) {
        const sample = { ...alias.history[0], hits: 3, misses: 1 }
        alias.history = agoSeconds.map((ago) => ({ ...sample, atMs: nowMs - ago * 1000 }))
      }
      await route.fulfill({ json: overview })
    })
    await page.reload()
  }

  it.each([375, 1440])('says under the pointer what a chart shows there, at %d pixels', (width) =>
    inView(
      'overview',
      async (page) => {
        await withHistory(page, [60, 55, 10, 5, 0])
        const pages = page.getByRole('region', { name: 'pages', exact: true })
        const figure = pages.getByRole('figure', { name: 'Hit ratio' })
        const chart = figure.getByRole('img', { name: /^Hit ratio over the last .* between/ })
        await chart.scrollIntoViewIfNeeded()
        const box = (await chart.boundingBox())!
        const tip = figure.locator('.chart-tip')
        /** @param share - Of the width of the chart. */
        const saysAt = async (share: number, text: RegExp) => {
          await page.mouse.move(box.x + share * box.width, box.y + box.height / 2)
          await expect.poll(() => tip.innerText()).toMatch(text)
        }
        expect(await tip.innerText()).toBe('')
        await saysAt(0.95, /^\d\d:\d\d:\d\d.*: .*75\s%$/)
        expect(await figure.locator('.chart-mark').getAttribute('visibility')).toBe('visible')
        // Where nothing was counted there is nothing to say.
        await saysAt(0.5, /^$/)
        await saysAt(0.95, /75\s%$/)
        await page.mouse.move(box.x + box.width / 2, box.y + box.height + 100)
        await expect.poll(() => tip.innerText()).toBe('')
        expect(await figure.locator('.chart-mark').getAttribute('visibility')).toBe('hidden')
      },
      width,
    ),
  )

  it('shows no more in a chart than the time that is chosen', () =>
    inView('overview', async (page) => {
      await withHistory(page, [720, 480, 180, 5, 0])
      const pages = page.getByRole('region', { name: 'pages', exact: true })
      const summary = (range: string) =>
        pages.getByRole('img', { name: `Hit ratio over the last ${range}` })
      await summary('12 min').waitFor()
      const range = page.getByLabel('Charts show')
      for (const [minutes, shown] of [
        ['5 minutes', '5 min'],
        ['1 minute', '1 min'],
        ['15 minutes', '12 min'],
      ] as const) {
        await range.selectOption(minutes)
        await summary(shown).waitFor()
      }
    }))

  it('has one range for the charts of all views', () =>
    inView('fragment?alias=default&name=facts', async (page) => {
      const range = page.getByLabel('Charts show')
      await range.selectOption('1 minute')
      await page.getByRole('img', { name: /^Hit ratio over the last 1\smin/ }).waitFor()
      await page.getByRole('link', { name: 'Overview' }).click()
      await page.locator('.alias').first().waitFor()
      await expect.poll(() => range.inputValue()).toBe('60000')
    }))

  it('draws a sample that stands alone as a dot', () =>
    inView('overview', async (page) => {
      await withHistory(page, [60, 5, 0])
      const pages = page.getByRole('region', { name: 'pages', exact: true })
      const chart = pages.getByRole('img', { name: /^Hit ratio over the last .* between/ })
      const drawn = () =>
        chart
          .locator('path[d^=M]')
          .evaluateAll((paths) => paths.map((one) => one.getAttribute('d')?.replace(/[^Lh]/g, '')))
      await expect.poll(drawn).toEqual(['L', 'h'])
    }))

  it.each([375, 1440])(
    'shows an opened request as a waterfall in its time, at %d pixels',
    (width) =>
      inView(
        'live',
        async (page) => {
          await page.locator('.connection', { hasText: 'Connected' }).waitFor()
          const path = `/countries/at-${width}`
          await site.visit(path)
          const request = page.locator('.request').filter({ hasText: path })
          await request.locator('summary').click()
          const part = request.locator('.waterfall li').filter({ hasText: 'facts' })
          await part.waitFor()
          expect(await part.innerText()).toMatch(/miss/)
          expect(await part.locator('.times').innerText()).toMatch(/^at [\d.]+\s.*body [\d.]+\s/)
          expect(await part.getByRole('link', { name: 'facts' }).getAttribute('href')).toBe(
            '#fragment?alias=default&name=facts',
          )
          // Each stretch lies in the track, and one begins where the one before ends.
          const track = (await part.locator('.track').boundingBox())!
          const bars = part.locator('.track span')
          let at = track.x - 1
          for (let i = 0; i < (await bars.count()); i++) {
            const bar = (await bars.nth(i).boundingBox())!
            expect(bar.x).toBeGreaterThanOrEqual(at)
            at = bar.x
            expect(bar.x + bar.width).toBeLessThanOrEqual(track.x + track.width + 3)
          }
          expect(await bars.count()).toBeGreaterThan(0)
        },
        width,
      ),
  )

  it.each([
    ['actions', 'Tag', 'tag-of-menu'],
    ['actions', 'Fragment name', 'menu'],
    ['entries?alias=shared', 'Tag', 'tag-of-menu'],
    ['entries?alias=shared', 'Key begins with', 'template.cache.menu.'],
  ])('suggests in %s what is known as "%s"', (view, label, expected) =>
    inView(view, async (page) => {
      const input = page.getByLabel(label, { exact: true }).first()
      await input.waitFor()
      const suggested = () =>
        input.evaluate((element) =>
          [...((element as HTMLInputElement).list?.options ?? [])].map(({ value }) => value),
        )
      await expect.poll(suggested).toContain(expected)
    }),
  )
})
