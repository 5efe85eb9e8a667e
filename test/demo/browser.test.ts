import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ensureChromium } from '../support/chromium.js'
import { startAtlas, type RunningAtlas } from './atlas.js'

const launch = await ensureChromium()

/** What the foot of the page says was made for it: a fragment's name and what it varies on. */
const made = async (page: Page): Promise<string[]> =>
  (await page.locator('.foot .made li').allTextContents()).toSorted()

const hits = (page: Page): Promise<string | null> => page.locator('.foot b').textContent()

describe.skipIf(launch === undefined)('Atlas in a browser', () => {
  let site: RunningAtlas
  let browser: Browser

  beforeAll(async () => {
    site = await startAtlas()
    browser = await chromium.launch(launch)
  }, 120_000)

  afterAll(async () => {
    await browser?.close()
    await site?.stop()
  })

  // In every engine it sends the same pages, and makes the same again: site.test.ts.
  const engine = 'nunjucks'

  it('leads through all of it, and says what was made again', async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    const faults: string[] = []
    page.on('pageerror', (error) => faults.push(error.message))
    page.on('console', (message) => {
      if (message.type() === 'error') faults.push(message.text())
    })

    // Home: everything is made once.
    await page.goto(`${site.origin}/${engine}/`)
    expect(await made(page)).toEqual([
      'tile africa en',
      'tile americas en',
      'tile antarctic en',
      'tile asia en',
      'tile europe en',
      'tile oceania en',
      'world',
    ])
    await page.reload()
    expect(await made(page)).toEqual([])
    expect(await hits(page)).toBe('7 of 7 fragments were hits.')

    // Region: one fragment around the cards of its countries.
    await page.getByRole('link', { name: 'Europe' }).click()
    await page.getByRole('heading', { level: 1, name: 'Europe' }).waitFor()
    expect(await made(page)).toHaveLength(54)
    await page.reload()
    expect(await hits(page)).toBe('The whole page was a hit; only its holes were rendered.')

    // Country: facts, neighbours, nearest capitals.
    await page.getByRole('link', { name: 'France' }).click()
    await page.getByRole('heading', { level: 1, name: 'France' }).waitFor()
    expect(await page.locator('.facts').innerText()).toContain('French Republic')
    expect(await page.locator('.neighbours .place bdi').allTextContents()).toEqual([
      'Andorra',
      'Belgium',
      'Germany',
      'Italy',
      'Luxembourg',
      'Monaco',
      'Spain',
      'Switzerland',
    ])
    expect(await page.getByRole('table').first().getByRole('row').count()).toBe(9)

    // Route: by land where there is land, and no way where there is none.
    await page.getByLabel('Shortest land route to').selectOption('PRT')
    await page.getByRole('button', { name: 'Find the way' }).click()
    expect(await page.locator('.stops .place bdi').allTextContents()).toEqual([
      'France',
      'Spain',
      'Portugal',
    ])
    expect(await made(page)).toEqual(['route FRA PRT en'])
    await page.getByLabel('Shortest land route to').selectOption('ISL')
    await page.getByRole('button', { name: 'Find the way' }).click()
    expect(await page.locator('#route .none').innerText()).toContain('There is water between')
    await page.goBack()

    // Language: another variant of what has names in it, and of the form, which leads back here; the map has none.
    await page.getByLabel('Names in').selectOption('de')
    await page.getByRole('button', { name: 'Switch' }).click()
    await page.getByRole('heading', { level: 1, name: 'Frankreich' }).waitFor()
    expect(await page.locator('.stops .place bdi').allTextContents()).toEqual([
      'Frankreich',
      'Spanien',
      'Portugal',
    ])
    const inGerman = await made(page)
    expect(inGerman).toContain('facts FRA de')
    expect(inGerman.filter((name) => !/ de( r\d)?$/.test(name))).toEqual([])

    // Sign in: a greeting of one's own, in the language.
    await page.getByRole('link', { name: 'Sign in' }).click()
    await page.getByLabel('Your name').fill('Ada <b>&"L"</b>')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.locator('.visitor p').waitFor()
    expect(await page.locator('.visitor p').innerText()).toMatch(
      /^Guten Tag, Ada <b>&"L"<\/b>\s+0 visited$/,
    )
    expect(await made(page)).toEqual(['greeting you de', 'visited you de'])

    // Visit: the visitor's own fragments are made again, and no others.
    await page.goto(`${site.origin}/${engine}/country/FRA?lang=de`)
    expect(await made(page)).toEqual([])
    await page.getByRole('button', { name: 'I have been here' }).click()
    await page.getByRole('button', { name: 'Take off my list' }).waitFor()
    expect(await page.locator('.visitor p a').innerText()).toBe('1 visited')
    expect(await made(page)).toEqual(['greeting you de'])
    await page.getByRole('link', { name: '1 visited' }).click()
    await page.getByRole('table').first().waitFor()
    expect(await page.locator('main .place bdi').allTextContents()).toEqual(['Frankreich'])
    expect(await made(page)).toEqual(['visited you de'])

    // A page for everybody: kept whole, and without the visitor.
    await page.getByRole('link', { name: 'Statistics' }).click()
    await page.getByRole('heading', { level: 1, name: 'Statistics' }).waitFor()
    expect(await made(page)).toEqual(['records de'])
    await page.reload()
    expect(await hits(page)).toBe('The whole response was a hit: no template ran.')
    expect(await page.locator('body').innerText()).not.toContain('Ada')

    // Note: after an edit the page says what was made again for it, and what was not.
    const text = `Vive <i>${engine}</i> & "co"`
    const open = (where: string) => page.goto(`${site.origin}/${engine}${where}`)
    const report = () => page.evaluate<[string, string[]][]>(readReport)
    const save = async (choice: string, note: string) => {
      await open('/country/FRA')
      await page.getByText('Edit the note').click()
      expect(await page.locator('.edit').innerText()).toContain('You are Ada <b>&"L"</b>.')
      await page.getByLabel('Note, for everybody to see').fill(note)
      await page.getByLabel(choice).check()
      await page.getByRole('button', { name: 'Save the note' }).click()
      await page.locator('.report').waitFor()
      expect(await page.locator('#note .note').innerText()).toBe(note)
    }
    await save('dropped, by its tag', text)
    const region = ['region europe en', 'card FRA en']
    expect(await report()).toEqual([
      ['France', [`note FRA en r1`]],
      ['Europe', region],
      ['Andorra', ['neighbours AND en', 'mention FRA en']],
      ['Peru', []],
      ['Statistics', []],
    ])
    // What the report looked at is there now; what it did not look at is made when it is asked for.
    await open('/country/AND')
    expect(await made(page)).toEqual([])
    expect(await page.locator('.neighbours .note').innerText()).toBe(text)
    await open('/country/ESP')
    await open('/country/BEL')
    await open('/region/europe')
    expect(await hits(page)).toBe('The whole page was a hit; only its holes were rendered.')
    expect(await page.locator('.card', { hasText: 'France' }).innerText()).toContain(text)

    // Stale: the page of the region is shown as it was, and made again behind it.
    await save('made stale, by its tag', 'stale')
    expect(await page.locator('.report').innerText()).toContain(
      'The whole page was shown as it was, and made again behind it.',
    )
    expect((await report())[1]).toEqual(['Europe', region])
    await open('/country/ESP')
    expect(await made(page)).toEqual(['neighbours ESP en'])
    await open('/region/europe')
    expect(await page.locator('.card', { hasText: 'France' }).innerText()).toContain('stale')

    // By name: every country’s, so that what does not show this note is made again too.
    await save('dropped, by the names of fragments', 'named')
    const [, [, cards] = [], , [, elsewhere] = []] = await report()
    expect(cards).toHaveLength(54)
    expect(elsewhere).toContain('note PER en r1')

    // A new key: nothing else hears of it.
    await save('left alone; this page’s note gets a new key', 'keyed')
    expect(await report()).toEqual([
      ['France', [`note FRA en r2`]],
      ...['Europe', 'Andorra', 'Peru', 'Statistics'].map((name) => [name, []]),
    ])
    await open('/country/AND')
    expect(await page.locator('.neighbours .note').innerText()).toBe('named')
    expect(await made(page)).toEqual([])

    // Sign out: nobody is greeted.
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('link', { name: 'Sign in' }).waitFor()
    expect(await page.locator('body').innerText()).not.toContain('Ada')

    expect(faults).toEqual([])
    await context.close()
  }, 60_000)

  const screens = [375, 1440].flatMap((width) =>
    (['light', 'dark'] as const).map((colorScheme) => ({ width, colorScheme })),
  )

  it('fits 375 and 1440 pixels in light and dark, with text that stands out', async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    /** The page that is open, on each of the screens. */
    const expectFitting = async (what: string) => {
      for (const { width, colorScheme } of screens) {
        await page.setViewportSize({ width, height: 800 })
        await page.emulateMedia({ colorScheme })
        const { excess, contrasts } = await page.evaluate<Measured>(measure)
        const where = `${what}, ${width} pixels wide in ${colorScheme}`
        expect(excess, `${where} scrolls sideways`).toBeLessThanOrEqual(0)
        for (const { what: text, ratio } of contrasts) {
          expect(ratio, `contrast of ${text} on ${where}`).toBeGreaterThanOrEqual(4.5)
        }
      }
    }

    // With the form open, and after it was sent.
    await page.goto(`${site.origin}/eta/country/COD`)
    await page.getByText('Edit the note').click()
    await expectFitting('the form')
    await page.getByLabel('dropped, by the names').check()
    await page.getByRole('button', { name: 'Save the note' }).click()
    await page.locator('.report').waitFor()
    for (const summary of await page.locator('.report summary').all()) await summary.click()
    await expectFitting('the report')
    for (const path of ['/', '/region/asia', '/country/COD?to=KOR', '/visited', '/stats']) {
      await page.goto(`${site.origin}/eta${path}`)
      await expectFitting(path)
    }
    await context.close()
  }, 60_000)

  it('is used by keyboard alone, and first offers to skip to the content', async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(`${site.origin}/nunjucks/country/AND`)
    await page.keyboard.press('Tab')
    const focused = page.locator(':focus')
    expect(await focused.innerText()).toBe('Skip to the content')
    expect((await focused.boundingBox())?.x).toBeGreaterThanOrEqual(0)
    await page.keyboard.press('Enter')
    expect(await page.evaluate('document.activeElement.id')).toBe('main')

    // From there to the route: each stop is visible, the choice and the button work by keys.
    for (let tabs = 0; (await focused.getAttribute('id')) !== 'to'; tabs++) {
      expect(tabs).toBeLessThan(20)
      await page.keyboard.press('Tab')
      expect(await focused.evaluate((element) => getComputedStyle(element).outlineStyle)).not.toBe(
        'none',
      )
    }
    await page.keyboard.type('Portugal')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.locator('.stops').waitFor()
    expect(await page.locator('.stops li').count()).toBe(3)
    await context.close()
  })
})

/** Runs in the page: what the report says was made again, page by page. */
const readReport = `[...document.querySelectorAll('.report > ul > li')].map((item) => [
  item.querySelector('h3 a').textContent,
  [...item.querySelectorAll('.again code')].map((code) => code.textContent),
])`

interface Measured {
  readonly excess: number
  readonly contrasts: readonly { what: string; ratio: number }[]
}

/** Runs in the page: how far it scrolls sideways, and the contrast of the texts it has. */
const measure = `(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1)
    canvas.fillStyle = color
    canvas.fillRect(0, 0, 1, 1)
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data
    return { rgb: [r, g, b], alpha: a / 255 }
  }
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((n) => {
      const s = n / 255
      return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const background = (element) => {
    if (element === null) return [255, 255, 255]
    const { rgb, alpha } = rgba(getComputedStyle(element).backgroundColor)
    if (alpha === 1) return rgb
    const below = background(element.parentElement)
    return rgb.map((n, i) => n * alpha + below[i] * (1 - alpha))
  }
  const selectors = ['h1', '.lead', 'main a', 'main p', 'dt', 'td', 'button', 'label', 'select',
    '.engines a[aria-current]', '.engines a', '.credit p', '.foot p', '.made li', '.note', '.step', '.value', '.stops li',
    '.report h3', '.report h3 a', '.report p', '.again li', '.again code', '.kept', '.kept code', 'legend', 'fieldset label', '.edit .none']
  const contrasts = selectors.flatMap((what) => {
    const element = document.querySelector(what)
    if (element === null) return []
    const text = luminance(rgba(getComputedStyle(element).color).rgb)
    const behind = luminance(background(element))
    return [{ what, ratio: (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05) }]
  })
  return { excess: document.documentElement.scrollWidth - innerWidth, contrasts }
})()`
