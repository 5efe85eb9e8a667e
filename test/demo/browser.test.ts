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

  it.each(['nunjucks', 'handlebars', 'eta'])(
    'leads through all of it in %s, and says what was made again',
    async (engine) => {
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
      expect(await hits(page)).toBe('1 of 1 fragments were hits.')

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

      // Language: another variant of what has names in it; the map and the note have none.
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
      expect(inGerman.filter((name) => !name.endsWith(' de'))).toEqual([])

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

      // Note: the pages that show it and one that does not are warm, then it is changed.
      const path = { region: '/region/europe', spain: '/country/ESP', portugal: '/country/PRT' }
      const open = (where: string) => page.goto(`${site.origin}/${engine}${where}`)
      for (const where of [...Object.values(path), `${path.region}?lang=de`]) await open(where)
      await open('/country/FRA')
      await page.getByText('Edit the note').click()
      const text = `Vive <i>${engine}</i> & "co"`
      await page.getByLabel('Note, for everybody to see').fill(text)
      await page.getByRole('button', { name: 'Save the note' }).click()
      await page.getByRole('status').waitFor()
      expect(await page.locator('#note .note').innerText()).toBe(text)
      expect(await made(page)).toEqual(['note FRA'])

      await open(path.spain)
      expect(await made(page)).toEqual(['mention FRA en', 'neighbours ESP en'])
      expect(await page.locator('.neighbours .note').innerText()).toBe(text)
      await open(path.region)
      expect(await made(page)).toEqual(['card FRA en', 'region europe en'])
      expect(await page.locator('.card', { hasText: 'France' }).innerText()).toContain(text)
      await open(`${path.region}?lang=de`)
      expect(await made(page)).toEqual(['card FRA de', 'region europe de'])
      await open(path.portugal)
      expect(await made(page)).toEqual([])

      // Sign out: nobody is greeted.
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.getByRole('link', { name: 'Sign in' }).waitFor()
      expect(await page.locator('body').innerText()).not.toContain('Ada')

      expect(faults).toEqual([])
      await context.close()
    },
    60_000,
  )

  it.each([
    [375, 'light'],
    [375, 'dark'],
    [1440, 'light'],
    [1440, 'dark'],
  ] as const)(
    'fits %d pixels in %s, with text that stands out',
    async (width, colorScheme) => {
      const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme })
      const page = await context.newPage()
      for (const path of ['/', '/region/asia', '/country/COD?to=KOR', '/visited', '/stats']) {
        await page.goto(`${site.origin}/eta${path}`)
        const { excess, contrasts } = await page.evaluate<Measured>(measure)
        expect(excess, `${path} scrolls sideways`).toBeLessThanOrEqual(0)
        for (const { what, ratio } of contrasts) {
          expect(ratio, `contrast of ${what} on ${path}`).toBeGreaterThanOrEqual(4.5)
        }
      }
      await context.close()
    },
    60_000,
  )

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
      expect(
        await focused.evaluate('(element) => getComputedStyle(element).outlineStyle'),
      ).not.toBe('none')
    }
    await page.keyboard.type('Portugal')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.locator('.stops').waitFor()
    expect(await page.locator('.stops li').count()).toBe(3)
    await context.close()
  })
})

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
    '.engines a[aria-current]', '.engines a', '.credit p', '.foot p', '.made li', '.note', '.step', '.value', '.stops li']
  const contrasts = selectors.flatMap((what) => {
    const element = document.querySelector(what)
    if (element === null) return []
    const text = luminance(rgba(getComputedStyle(element).color).rgb)
    const behind = luminance(background(element))
    return [{ what, ratio: (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05) }]
  })
  return { excess: document.documentElement.scrollWidth - innerWidth, contrasts }
})()`
