import { writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type Locator, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { ensureChromium } from '../support/chromium.js'
import { folderOfTest } from '../support/folders.js'
import { violationsOf } from './accessibility.js'
import { atlas, DrawnSite, engines, hostile, type SiteOptions } from './overlay-site.js'
import { Tab, type Screen } from './tab.js'

const launch = await ensureChromium()
/** By the scheme of the page. */
const screenshots = { light: 'overlay.png', dark: 'overlay-dark.png' } as const

/** What the documentation shows. */
const documented = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Teas</title>
<style>body{font:17px/1.6 system-ui;margin:24px auto;padding:0 24px;max-width:820px;color:#222}nav a{margin-right:20px}
.teas{display:grid;grid-template-columns:1fr 1fr 1fr;gap:24px}.teas div{background:#f4f1ea;padding:8px 16px}
@media(prefers-color-scheme:dark){body{background:#1b1b1f;color:#dfdfd6}a{color:#a8b1ff}.teas div{background:#2d2d33}}</style></head><body>
{% cache 600 "menu" tags=menuTags %}<nav><a href="/">Teas</a>{% cache 900 "cart-link" %}<a href="/cart">Cart</a>{% endcache %}</nav>{% endcache %}
<main><h1>Teas of the season</h1><div class="teas">
{% for tea in ["Darjeeling", "Gyokuro", "Rooibos"] %}{% cache 60 "tea" tea tags=("prices" if loop.last else "teas") %}<div><h2>{{ tea }}</h2><p>A cup of {{ tea }}.</p></div>{% endcache %}{% endfor %}
</div><p>{% cache 60 "clock" if=false %}Open since {{ hour }} o’clock.{% endcache %}</p></main></body></html>`

const widths = [375, 1440]

/** A label, by the word for what became of its fragments. */
const chip = (page: Page, name: string, word = ''): Locator =>
  page
    .locator('fragcache-overlay .layer')
    .getByRole('button', { name: new RegExp(`^${name} (· |× \\d+, ).*${word}`) })

const withoutTime = (text: string): string => text.replace(/ · (saved )?[\d.]+ m?s$/, '')

const schemes = ['light', 'dark'] as const

const card = (page: Page): Locator => page.locator('fragcache-overlay .card')

const words = (page: Page): Promise<string[]> =>
  page.locator('fragcache-overlay .chip').allInnerTexts()

describe.skipIf(launch === undefined)('the overlay in a browser', () => {
  let browser: Browser
  let tab: Tab

  beforeAll(async () => {
    browser = await chromium.launch(launch)
    tab = await Tab.open(browser)
  }, 60_000)

  afterAll(async () => {
    await tab?.close()
    await browser?.close()
  })

  /** Opens a site's page, and ends with whether it ran without a fault. */
  async function onPage(
    site: DrawnSite,
    screen: Screen,
    work: (page: Page) => Promise<void>,
    within = tab,
  ): Promise<void> {
    try {
      await within.show(site.origin, screen, async (page, faults) => {
        page.setDefaultTimeout(10_000)
        await work(page)
        expect(await page.evaluate('window.isHacked')).toBe(undefined)
        expect(faults).toEqual([])
      })
    } finally {
      await site.close()
    }
  }

  /** Texts of the page that a label lies on. */
  const covered = (page: Page): Promise<unknown> =>
    page.evaluate(`(() => {
      const host = document.querySelector('fragcache-overlay').shadowRoot
      const labels = [...host.querySelectorAll('.chip')].filter((chip) => chip.checkVisibility({ opacityProperty: true }))
        .map((chip) => [chip.textContent, chip.getBoundingClientRect()])
      const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
      const found = []
      while (texts.nextNode() !== null) {
        const range = document.createRange()
        range.selectNode(texts.currentNode)
        for (const text of texts.currentNode.data.trim() === '' ? [] : range.getClientRects()) {
          for (const [name, label] of labels) {
            if (label.left < text.right && label.right > text.left && label.top < text.bottom && label.bottom > text.top) found.push([name, texts.currentNode.data])
          }
        }
      }
      return found
    })()`)

  const geometry = (page: Page): Promise<unknown> =>
    page.evaluate(`(() => {
      const boxes = [...document.querySelectorAll('body, body *:not(script)')].map((element) => {
        const { x, y, width, height } = element.getBoundingClientRect()
        return [element.tagName, x, y, width, height].join(' ')
      })
      const { scrollWidth, scrollHeight } = document.documentElement
      return { boxes, scrollWidth, scrollHeight, html: document.body.outerHTML }
    })()`)

  describe.each(engines)('in %s', (engine) => {
    it('leaves the page as it is, and is accessible, at both widths and in both schemes', async () => {
      const plain: unknown[] = []
      await onPage(await DrawnSite.start(engine, { overlay: 'none' }), {}, async (page) => {
        for (const width of widths) {
          await page.setViewportSize({ width, height: 700 })
          plain.push(await geometry(page))
        }
      })
      await onPage(await DrawnSite.start(engine), {}, async (page) => {
        await page.getByRole('button', { name: 'Details' }).click()
        await chip(page, 'menu').focus()
        for (const [at, width] of widths.entries()) {
          await page.setViewportSize({ width, height: 700 })
          expect(await geometry(page)).toEqual(plain[at])
          // What stands out depends on the colours, and what has room on the width.
          const colorScheme = (['light', 'dark'] as const)[at % 2]!
          await page.emulateMedia({ colorScheme })
          expect(await violationsOf(page), `${width} ${colorScheme}`).toEqual([])
          await expect
            .poll(async () => {
              const own = (await card(page).boundingBox())!
              return own.x >= 0 && own.x + own.width <= width
            })
            .toBe(true)
        }
      })
    })

    it('labels fragments for the mouse and for the keyboard, and invalidates them', async () => {
      const options = { viewport: { width: 1440, height: 800 } }
      await onPage(await DrawnSite.start(engine), options, async (page) => {
        await page.locator('fragcache-overlay .bar').waitFor()
        expect((await words(page)).map(withoutTime)).toEqual([
          'menu · miss',
          'links · miss',
          'row × 2, 2 misses',
          'people × 2, 2 misses',
          'clock · not stored',
          'news · miss',
          'greeting · miss',
          'hole',
        ])
        await page.reload()
        await page.locator('fragcache-overlay .bar').waitFor()
        // In the order of the page, the outer before the inner.
        expect((await words(page)).slice(0, 4).map(withoutTime)).toEqual([
          'menu · hit',
          'links · part of menu',
          'row × 2, 2 hits',
          'people × 2, part of row',
        ])
        expect((await words(page))[0]).toMatch(/^menu · hit · saved [\d.]+ ms$/)

        // Each outline lies around what its fragment has put out.
        const table = (await page.locator('tr').first().boundingBox())!
        const row = (await page.locator('fragcache-overlay .box').nth(2).boundingBox())!
        expect(Math.abs(table.x - row.x)).toBeLessThan(4)
        expect(Math.abs(table.width - row.width)).toBeLessThan(8)

        // The mouse: the innermost that it is over.
        await page.getByText('700 people').first().hover()
        await card(page).waitFor()
        expect(await card(page).getAttribute('aria-label')).toBe('Fragment people')
        expect(await card(page).innerText()).toContain('It came with “row” (hit)')
        await page.mouse.move(1400, 300)
        await card(page).waitFor({ state: 'hidden' })

        // The keyboard: one after the other, with the buttons of each behind it.
        await chip(page, 'menu', 'hit').focus()
        await card(page).waitFor()
        const text = await card(page).innerText()
        expect(text).toMatch(/Key\s+template\.cache\.menu\./)
        expect(text).toMatch(/Alias\s+default/)
        expect(text).toMatch(/Age\s+[\d.]+ m?s/)
        expect(text).toMatch(/Time left\s+\d+ s/)
        expect(text).toMatch(/Body\s+[\d.]+ ms/)
        expect(text).toContain(hostile)
        await page.keyboard.press('Tab')
        const invalidate = page.getByRole('button', { name: 'Invalidate “menu”', exact: true })
        expect(await invalidate.evaluate((element) => element.matches(':focus'))).toBe(true)
        await page.keyboard.press('Escape')
        await card(page).waitFor({ state: 'hidden' })
        await chip(page, 'menu', 'hit').click()
        // Before it is pressed it says what it would drop.
        await invalidate.hover()
        await card(page)
          .getByText(/it would drop \d+ entr(y|ies): .*of the fragment “menu”/)
          .waitFor()
        await Promise.all([page.waitForEvent('load'), invalidate.click()])
        await chip(page, 'menu', 'miss').click()
        expect(await card(page).innerText()).toContain(
          'It depends on the fragment "menu", which was invalidated',
        )
        await page.keyboard.press('Escape')
        await chip(page, 'greeting', 'hit').waitFor()
        expect(await page.locator('fragcache-overlay .bar').innerText()).toContain(
          'Every variant of the fragment "menu" is gone.',
        )

        // It can be taken off, and stays so.
        await page.getByRole('button', { name: 'Outlines' }).click()
        expect(await page.locator('fragcache-overlay .box:visible').count()).toBe(0)
        await page.reload()
        await page.locator('fragcache-overlay .bar').waitFor()
        expect(await page.locator('fragcache-overlay .box:visible').count()).toBe(0)
      })
    })
  })

  describe.each(widths)('at %d pixels', (width) => {
    it.each(schemes)('covers no text, in %s', async (colorScheme) => {
      const options = { viewport: { width, height: 700 }, colorScheme }
      const site = await DrawnSite.start('nunjucks', {
        template: () => documented,
        data: () => ({ menuTags: ['navigation'], hour: 9 }),
      })
      await onPage(site, options, async (page) => {
        await chip(page, 'tea').waitFor()
        const labels = await page.locator('fragcache-overlay .chip:not(.unseen)').count()
        expect(labels).toBeGreaterThan(2)
        expect(await covered(page)).toEqual([])
        await site.caches.invalidateTags(['prices'])
        await page.reload()
        await chip(page, 'tea × 3, 2 hits, 1 miss').waitFor()
        expect(await covered(page)).toEqual([])
        expect(await violationsOf(page)).toEqual([])
      })
    })

    it.each(schemes)('lists what is on the page, in %s', async (colorScheme) => {
      const options = { viewport: { width, height: 700 }, colorScheme }
      await onPage(await DrawnSite.start('nunjucks'), options, async (page) => {
        await page.reload()
        const bar = page.locator('fragcache-overlay .bar')
        await page.getByRole('button', { name: 'Details' }).click()
        expect(await bar.innerText()).toMatch(/saved [\d.]+ ms/)
        expect(await bar.innerText()).toMatch(
          /Saved\s+[\d.]+ ms, the time of \d+ bodies that did not have to run/,
        )
        const table = bar.getByRole('table')
        const names = () => table.locator('tbody th').allInnerTexts()
        expect(await names()).toHaveLength(13)
        expect(await violationsOf(page)).toEqual([])

        await table.getByRole('button', { name: 'Name', exact: true }).click()
        expect(await names()).toEqual((await names()).toSorted((a, b) => a.localeCompare(b)))
        // Of times the longest come first, and those that are not known last.
        await table.getByRole('button', { name: 'Body time' }).click()
        const sorted = table.getByRole('columnheader', { name: 'Body time' })
        expect(await sorted.getAttribute('aria-sort')).toBe('descending')
        const times = await table.locator('tbody td:nth-child(4)').allInnerTexts()
        const numbers = times.map((text) => (text === '–' ? -1 : Number.parseFloat(text)))
        expect(numbers).toEqual(numbers.toSorted((a, b) => b - a))

        // What was rendered has an age; only what is kept has a size too.
        const cells = (name: string) =>
          table
            .locator('tbody tr')
            .filter({ has: page.getByText(name, { exact: true }) })
            .locator('td:nth-child(n + 5)')
            .allInnerTexts()
        expect(await cells('menu')).toEqual([
          expect.stringMatching(/^[\d.]+\s(ms|s)$/),
          expect.stringMatching(/^[1-9]\d* B$/),
          `menu, ${hostile}`,
        ])
        expect((await cells('clock')).slice(1)).toEqual(['–', ''])
        for (const [name, position] of [
          ['Age', 5],
          ['Size', 6],
        ] as const) {
          await table.getByRole('button', { name, exact: true }).click()
          const texts = await table.locator(`tbody td:nth-child(${position})`).allInnerTexts()
          const known = texts.filter((text) => text !== '–').map(toNumber)
          expect(known.length, name).toBeGreaterThan(5)
          expect(known, name).toEqual(known.toSorted((a, b) => b - a))
          expect(texts.slice(known.length), name).toEqual(texts.filter((text) => text === '–'))
        }
        await table.getByRole('button', { name: 'Tags', exact: true }).click()
        expect((await names())[0]).toMatch(/^menu\s/)

        const row = (name: string) => table.getByRole('row').filter({ hasText: name })
        expect(await row('setting').innerText()).toContain('No outline: it is in an attribute')
        expect(await row('clock').innerText()).toContain('not stored')
        const { width: wide } = (await bar.boundingBox())!
        expect(wide).toBeLessThanOrEqual(width - 16)

        // From the list to the place on the page.
        await table.getByRole('button', { name: 'news', exact: true }).click()
        await card(page).waitFor()
        expect(await card(page).getAttribute('aria-label')).toBe('Fragment news')
        expect(await violationsOf(page)).toEqual([])
      })
    })

    it.each(schemes)('outlines what is rendered for each visitor, in %s', async (colorScheme) => {
      const options = { viewport: { width, height: 700 }, colorScheme }
      const site = await DrawnSite.start('nunjucks', { pages: {}, fillsHoles: true })
      await onPage(site, options, async (page) => {
        const hole = page.locator('fragcache-overlay .box.hole')
        for (const word of ['miss', 'part of the page']) {
          await chip(page, 'greeting', word).waitFor()
          const box = (await hole.boundingBox())!
          const paragraph = (await page.getByText('Hello Ann!').boundingBox())!
          expect(box.x).toBeGreaterThan(paragraph.x + 20)
          expect(box.y).toBeGreaterThanOrEqual(paragraph.y - 4)
          await page.locator('fragcache-overlay').getByRole('button', { name: 'hole' }).focus()
          expect(await card(page).innerText()).toContain('rendered for each visitor')
          expect(await violationsOf(page)).toEqual([])
          await page.reload()
        }
      })
    })
  })

  it('leads from a card and from the list to the template and the inspector', async () => {
    const own = fileURLToPath(import.meta.url)
    const options = { inspector: '/__cache', views: dirname(own) }
    const site = await DrawnSite.start('nunjucks', { overlay: options, file: basename(own) })
    await onPage(site, {}, async (page) => {
      const hrefs = (inside: Locator) =>
        inside
          .getByRole('link')
          .evaluateAll((links) => links.map((link) => link.getAttribute('href')))
      const [inEditor, inInspector] = [
        `vscode://file/${encodeURI(own)}:5`,
        '/__cache/#fragment?alias=default&name=menu',
      ]
      await chip(page, 'menu').focus()
      expect(await hrefs(card(page))).toEqual([inEditor, inInspector])
      await page.keyboard.press('Escape')
      await page.getByRole('button', { name: 'Details' }).click()
      const row = page.locator('fragcache-overlay').getByRole('row').filter({ hasText: 'menu' })
      expect(await hrefs(row)).toEqual([inEditor, inInspector])
      expect(await violationsOf(page)).toEqual([])
    })
  })

  it('leads from one of equal neighbours to the next', async () => {
    await onPage(await DrawnSite.start('nunjucks'), {}, async (page) => {
      await chip(page, 'row').focus()
      expect(await card(page).innerText()).toContain('1 of 2')
      const next = card(page).getByRole('button', { name: 'Next' })
      await next.click()
      expect(await card(page).innerText()).toContain('2 of 2')
      expect(await next.evaluate((element) => element.matches(':focus'))).toBe(true)
      expect(await page.locator('fragcache-overlay .box.marked').count()).toBe(1)
      await next.click()
      expect(await card(page).innerText()).toContain('1 of 2')
    })
  })

  it('by touch invalidates only after it has said what that would drop', async () => {
    const touched = await Tab.open(browser, { hasTouch: true })
    onTestFinished(() => touched.close())
    const site = await DrawnSite.start('nunjucks')
    const work = async (page: Page) => {
      await page.getByRole('button', { name: 'Details' }).tap()
      // The list makes room for what it leads to.
      await page.getByRole('button', { name: 'menu', exact: true }).tap()
      await page.locator('fragcache-overlay').getByRole('table').waitFor({ state: 'hidden' })
      const invalidate = page.getByRole('button', { name: 'Invalidate “menu”', exact: true })
      await invalidate.tap()
      await card(page)
        .getByText(/it would drop/)
        .waitFor()
      expect((await site.get()).status).toBe(200)
      expect(site.caches.stats().fragments.find(({ name }) => name === 'menu')?.misses).toBe(1)
      await Promise.all([page.waitForEvent('load'), invalidate.tap()])
      await chip(page, 'menu', 'miss').waitFor()
    }
    await onPage(site, { viewport: { width: 375, height: 700 } }, work, touched)
  })

  it.each([
    [1440, 900],
    [375, 812],
  ])('shows all of a card and what its button would drop at %d × %d', async (width, height) => {
    const site = await DrawnSite.start('nunjucks')
    await onPage(site, { viewport: { width, height } }, async (page) => {
      // One of equal neighbours, with buttons that lead to the others.
      await chip(page, 'row').focus()
      const invalidate = card(page).getByRole('button', { name: /^Invalidate/ })
      for (const one of (await invalidate.all()).toReversed()) {
        await one.hover()
        const said = one.locator('xpath=following-sibling::*')
        await expect.poll(() => said.innerText()).toContain('it would drop')
        const [button, sentence] = [await one.boundingBox(), await said.boundingBox()]
        expect(Math.round(sentence!.y - button!.y - button!.height)).toBeLessThan(8)
      }
      const own = (await card(page).boundingBox())!
      expect([own.y >= 0, own.y + own.height <= height]).toEqual([true, true])
      const next = (await card(page).getByRole('button', { name: 'Next' }).boundingBox())!
      expect(next.y + next.height).toBeLessThanOrEqual(own.y + own.height)
      expect(await card(page).evaluate((one) => one.scrollHeight - one.clientHeight)).toBe(0)
      expect(await violationsOf(page)).toEqual([])
    })
  })

  it.runIf(process.env['UPDATE_SCREENSHOTS'] === '1').each(Object.entries(screenshots))(
    'is shown in the documentation, %s',
    async (colorScheme, file) => {
      const views = folderOfTest()
      await writeFile(join(views, 'teas.njk'), documented)
      const site = await DrawnSite.start('nunjucks', {
        overlay: { inspector: '/__cache', views, position: 'bottom-left' },
        pages: {},
        template: () => documented,
        file: 'teas.njk',
        data: () => ({ menuTags: ['navigation'], hour: 9 }),
      })
      const scheme = colorScheme as keyof typeof screenshots
      const options = { viewport: { width: 960, height: 820 }, colorScheme: scheme }
      await onPage(site, options, async (page) => {
        await site.caches.invalidateTags(['prices'])
        await page.reload()
        await page.getByRole('heading', { name: 'Rooibos' }).hover()
        await card(page).getByText('"prices", which was invalidated').waitFor()
        const path = fileURLToPath(new URL(`../../docs/images/${file}`, import.meta.url))
        await page.screenshot({ path })
      })
    },
  )

  it('invalidates the URL of the page from the bar', async () => {
    const view: SiteOptions['view'] = (_req, res) => res.send('<!doctype html><h1>Teas</h1>')
    await onPage(await DrawnSite.start('eta', { pages: {}, view }), {}, async (page) => {
      await page.reload()
      await page.getByText('page hit').waitFor()
      await page.getByRole('button', { name: 'Details' }).click()
      const invalidate = page.getByRole('button', { name: 'Invalidate this URL' })
      await invalidate.hover()
      await page.getByText(/it would drop 1 entry/).waitFor()
      await Promise.all([page.waitForEvent('load'), invalidate.click()])
      await page.getByText('page miss').waitFor()
    })
  })

  it('follows what happens to the page', async () => {
    await onPage(
      await DrawnSite.start('eta'),
      { viewport: { width: 900, height: 400 } },
      async (page) => {
        const box = page.locator('fragcache-overlay .box').nth(0)
        await box.waitFor()
        const before = (await box.boundingBox())!
        await page.evaluate(`document.body.style.paddingTop = '216px'`)
        await expect.poll(async () => (await box.boundingBox())?.y).toBe(before.y + 200)
        await page.evaluate(`document.querySelector('nav').remove()`)
        await box.waitFor({ state: 'hidden' })
        await page.evaluate(`document.body.style.paddingTop = '2000px'`)
        // What is out of sight is brought there with the focus.
        await chip(page, 'greeting', 'miss').focus()
        await expect.poll(() => page.evaluate('scrollY')).toBeGreaterThan(500)
        await card(page).waitFor()
      },
    )
  })

  it('runs under a strict policy, and its buttons work', async () => {
    const site = await DrawnSite.start('eta', {
      inside: [
        (_req, res, next) => {
          res.set('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'")
          next()
        },
      ],
      template: (engine) => atlas(engine).replace(/<script>[^]*?<\/script>/, ''),
    })
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(site.origin)
    await chip(page, 'menu', 'miss').focus()
    const invalidate = page.getByRole('button', { name: 'Invalidate “menu”', exact: true })
    await invalidate.hover()
    await card(page)
      .getByText(/it would drop/)
      .waitFor()
    await Promise.all([page.waitForEvent('load'), invalidate.click()])
    await page.getByText('Every variant of the fragment "menu" is gone.').waitFor()
    await context.close()
    await site.close()
  })
})

/** A figure of the panel in its smallest unit. */
function toNumber(text: string): number {
  return Number.parseFloat(text) * (/\s(s|kB)$/.test(text) ? 1000 : 1)
}
