import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type Locator, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { ensureChromium } from '../support/chromium.js'
import { violationsOf } from './accessibility.js'
import { hostile, InspectedSite, long } from './inspected-site.js'
import { Tab, type Screen } from './tab.js'

const launch = await ensureChromium()

describe.skipIf(launch === undefined)('the inspector in a browser', { timeout: 60_000 }, () => {
  let site: InspectedSite
  /** One with a store that does not answer. */
  let troubled: InspectedSite
  let browser: Browser
  let tab: Tab

  beforeAll(async () => {
    ;[site, troubled, browser] = await Promise.all([
      InspectedSite.start(),
      InspectedSite.start({ hasOutage: true }),
      chromium.launch(launch),
    ])
    tab = await Tab.open(browser)
    // The history begins with the first look.
    await troubled.visit('/__cache/api/overview')
    await troubled.use()
  }, 60_000)

  afterAll(async () => {
    await tab?.close()
    await browser?.close()
    await Promise.all([site?.close(), troubled?.close()])
  })

  /** Opens a view, and ends with whether the page ran without a fault. */
  const inView = (
    view: string,
    work: (page: Page) => Promise<void>,
    screen: Screen = { viewport: { width: 1440, height: 900 } },
    of = site,
    within = tab,
  ): Promise<void> =>
    within.show(`${of.inspector}#${view}`, screen, async (page, faults) => {
      page.setDefaultTimeout(10_000)
      await page.getByRole('heading', { level: 2 }).waitFor()
      await work(page)
      // A refused request is said by the page itself.
      expect(faults.filter((fault) => !fault.includes('status of'))).toEqual([])
      expect(await page.evaluate('window.isHacked')).toBe(undefined)
    })

  const notice = (page: Page): Locator => page.locator('.notice p')

  /** Presses a button and answers the question that it asks. */
  async function confirm(page: Page, button: Locator, answer: string): Promise<void> {
    await button.click()
    await page.getByRole('dialog').getByRole('button', { name: answer, exact: true }).click()
  }

  const row = (page: Page, name: string): Locator =>
    page.getByRole('row').filter({ has: page.getByRole('rowheader', { name, exact: true }) })

  const cell = (page: Page, name: string, column: number): Promise<string> =>
    row(page, name).getByRole('cell').nth(column).innerText()

  // What scrolls sideways depends on the width alone, and what can be read on the colours.
  describe.each([
    [375, 'dark'],
    [375, 'light'],
    [1440, 'dark'],
    [1440, 'light'],
  ] as const)('at %d pixels in %s', (width, colorScheme) => {
    const options = {
      viewport: { width, height: 800 },
      colorScheme,
      reducedMotion: 'reduce',
    } as const

    it('shows each view without scrolling sideways and without an accessibility violation', async () => {
      const key = encodeURIComponent(await keyOf(troubled, 'menu'))
      const views = [
        ['overview', '.alias'],
        ['fragments', '.table-scroller tbody th'],
        ['fragments?q=nothing-has-this-name', '.empty'],
        ['fragment?alias=default&name=facts', 'table.plain tbody th'],
        ['fragment?alias=default&name=absent', '.empty'],
        ['routes', '.table-scroller tbody th'],
        ['route?alias=pages&route=GET+/countries/:code', 'table.plain tbody th'],
        ['tags', '.table-scroller tbody th'],
        ['tag?tag=tag-of-facts', 'table.plain tbody th'],
        ['responses', '.response'],
        ['live', '.request'],
        ['live?by=event', '.empty, .table-scroller tbody th'],
        ['entries?alias=shared', 'table.plain tbody th'],
        ['entries?alias=default', '.empty, table.plain tbody th'],
        [`entry?alias=default&key=${key}`, '.entry'],
        ['entry?alias=default&key=absent', '.empty'],
        ['actions', '.action'],
      ] as const
      await inView(
        'overview',
        async (page) => {
          for (const [view, sign] of views) {
            await page.evaluate(`location.hash = ${JSON.stringify(view)}`)
            if (view === 'live') await visitUntilSeen(page, troubled)
            await page.locator(sign).first().waitFor()
            if (view === 'overview' && troubled.hasProcesses) {
              await page.getByRole('region', { name: 'Processes, scrollable' }).waitFor()
            }
            for (const summary of await page.locator('summary:visible').all()) await summary.click()
            expect(await judged(page), view).toEqual({ excess: 0, violations: [] })
            expect(await unsaid(page), view).toEqual([])
          }
          await page.getByRole('button', { name: 'Clear cache' }).click()
          await page.getByRole('dialog').waitFor()
          expect(await judged(page), 'the question').toEqual({ excess: 0, violations: [] })
          await page.keyboard.press('Escape')
          await page.getByRole('link', { name: 'Help' }).click()
          await page.getByRole('heading', { level: 1, name: 'What it means' }).waitFor()
          expect(await judged(page), 'the help').toEqual({ excess: 0, violations: [] })
        },
        options,
        troubled,
      )
    })
  })

  it('tells in the overview how each cache does, and what is risky', () =>
    inView(
      'overview',
      async (page) => {
        const site = troubled
        const pages = page.getByRole('region', { name: 'pages', exact: true })
        await pages.waitFor()
        const { hits, misses } = site.caches.stats().aliases['pages']!
        const figures = await pages.locator('.figures').first().innerText()
        expect(figures.split('\n')).toEqual(
          expect.arrayContaining(['Hits', String(hits), 'Misses', String(misses), 'Read p99']),
        )

        // A store of its own figures, one that does not answer, one that nobody used.
        if (site.caches.get('shared').constructor.name === 'RedisCache') {
          const shared = page.getByRole('region', { name: 'shared', exact: true })
          await shared
            .getByRole('heading', { name: 'The store’s own figures (RedisCache)' })
            .waitFor()
          expect(await shared.locator('.server').innerText()).toContain('Version')
        }
        const far = page.getByRole('region', { name: 'far', exact: true })
        expect(await far.locator('.state').innerText()).toMatch(/^✕ Has not answered for /)
        expect(await far.locator('.outages').innerText()).toMatch(/1 outage\n.*lasting: /)
        const unused = page.getByRole('region', { name: 'unused', exact: true })
        expect(await unused.locator('.state').innerText()).toMatch(/Not used yet: open a page/)
        expect(await page.locator('.risks li').first().innerText()).toMatch(
          /High risk cache far\s+.*ECONNREFUSED.* What to do$/,
        )

        // The drawing says in words what it shows, and in figures.
        const chart = pages.getByRole('img', { name: /^Hit ratio over the last .* between .* %/ })
        await chart.waitFor({ timeout: 15_000 })
        expect(await chart.locator('path[d^=M]').first().getAttribute('d')).toMatch(
          /^M[\d.]+ [\d.]+/,
        )
        await pages.locator('summary').click()
        expect(await pages.getByRole('columnheader').allInnerTexts()).toContain('Hit ratio')
        expect(await pages.getByRole('table').getByRole('row').count()).toBeGreaterThan(1)

        await page.locator('.risks a').first().click()
        expect(page.url()).toBe(`${site.inspector}help#outage`)
        await page.locator('section:target').getByText('outage').first().waitFor()
      },
      undefined,
      troubled,
    ))

  it('sorts and filters fragments, and keeps that in the address', () =>
    inView('fragments', async (page) => {
      site.caches.resetStats()
      for (const name of ['apple', 'apple', 'apple', 'cherry', hostile, 'melon']) {
        await site.fragment(name)
      }
      await page.getByRole('button', { name: 'Refresh' }).click()
      const names = page.getByRole('rowheader')
      const heading = (name: string) => page.getByRole('columnheader', { name })
      await row(page, 'melon').waitFor()
      expect(await heading('Time saved').getAttribute('aria-sort')).toBe('descending')

      await page.getByRole('button', { name: 'Fragment' }).click()
      expect(await heading('Fragment').getAttribute('aria-sort')).toBe('ascending')
      expect(await heading('Time saved').getAttribute('aria-sort')).toBe('none')
      await expectTexts(names, [hostile, 'apple', 'cherry', 'melon'])
      await page.getByRole('button', { name: 'Fragment' }).click()
      await expectTexts(names, ['melon', 'cherry', 'apple', hostile])

      expect(await cell(page, 'apple', 0)).toBe('2')
      expect(await cell(page, 'apple', 1)).toBe('1')
      expect(await cell(page, 'apple', 2)).toBe('66.7\u00a0%')

      await page.getByLabel('Filter by name').fill('ELO')
      await expectTexts(names, ['melon'])
      await expectTexts(page.locator('.shown'), [/^1 of 4 fragments, as of /])
      expect(page.url()).toMatch(/#fragments\?q=ELO&sort=name$/)
      await page.reload()
      await expectTexts(names, ['melon'])
      expect(await heading('Fragment').getAttribute('aria-sort')).toBe('descending')

      await page.getByLabel('Cache').selectOption('pages')
      await expectTexts(page.locator('.empty-what'), ['No fragment matches.'])
    }))

  it('invalidates a fragment after a confirmation, by keyboard alone', () =>
    inView('fragments?sort=name&order=up', async (page) => {
      for (const name of ['menu', 'news']) await site.fragment(name)
      await page.getByRole('button', { name: 'Refresh' }).click()
      const before = site.made['menu']
      const focused = page.locator(':focus')
      await row(page, 'menu').waitFor()
      await page.reload()
      await row(page, 'menu').waitFor()
      await page.keyboard.press('Tab')
      expect(await focused.innerText()).toBe('Skip to the content')
      await page.keyboard.press('Enter')
      expect(await page.evaluate('document.activeElement.id')).toBe('main')
      for (let tabs = 0; (await focused.innerText()) !== 'Invalidate'; tabs++) {
        expect(tabs).toBeLessThan(30)
        await page.keyboard.press('Tab')
        const outline = await focused.evaluate((element) => getComputedStyle(element).outlineStyle)
        expect(outline).not.toBe('none')
      }
      for (
        let downs = 0;
        (await focused.getAttribute('aria-label')) !== 'Invalidate menu';
        downs++
      ) {
        expect(downs).toBeLessThan(10)
        await page.keyboard.press('ArrowDown')
      }

      // Nothing is done by the key that opens the question, nor by the one that leaves it.
      await page.keyboard.press('Enter')
      await page.getByRole('dialog', { name: 'Invalidate this fragment?' }).waitFor()
      expect(await focused.innerText()).toBe('Cancel')
      // The view is read again meanwhile, with other figures.
      await site.fragment('menu')
      const read = page.waitForResponse(/api\/fragments\?/)
      await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`)
      await (await read).finished()
      await page.evaluate('new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))')
      await page.keyboard.press('Escape')
      expect(await page.getByRole('dialog').count()).toBe(0)
      expect(await focused.getAttribute('aria-label')).toBe('Invalidate menu')
      await site.fragment('menu')
      expect(site.made['menu']).toBe(before)

      await page.keyboard.press('Enter')
      await page.getByRole('dialog').waitFor()
      await page.keyboard.press('Tab')
      expect(await focused.innerText()).toBe('Invalidate')
      await page.keyboard.press('Enter')
      await notice(page).waitFor()
      expect(
        await page
          .getByRole('status')
          .filter({ has: page.locator('.notice') })
          .innerText(),
      ).toContain('menu')
      await site.fragment('menu')
      expect(site.made['menu']).toBe((before ?? 0) + 1)
    }))

  it('counts routes, and invalidates a URL of one', () =>
    inView('routes', async (page) => {
      for (const path of ['/countries/FRA', '/countries/PRT', '/basket']) await site.visit(path)
      await page.getByRole('button', { name: 'Refresh' }).click()
      const route = 'GET /countries/:code'
      await row(page, route).waitFor()
      expect(await cell(page, route, 7)).toBe('pages')
      await row(page, 'GET /basket').waitFor()
      await row(page, 'GET /basket')
        .getByRole('link', { name: /^\d+: why$/ })
        .waitFor()

      const before = site.made['country FRA'] ?? 0
      await row(page, route).getByRole('button', { name: 'Invalidate' }).click()
      const dialog = page.getByRole('dialog')
      expect(await dialog.getByLabel('URL').inputValue()).toBe(`${site.origin}/countries/:code`)
      await dialog.getByLabel('URL').fill(`${site.origin}/countries/FRA`)
      await dialog.getByRole('button', { name: 'Invalidate' }).click()
      await notice(page).waitFor()
      await site.visit('/countries/FRA')
      await site.visit('/countries/PRT')
      expect(site.made['country FRA']).toBe(before + 1)
    }))

  it('tells of a fragment which variants there are, what is in it and where it is', () =>
    inView('fragments', async (page) => {
      for (const code of ['FRA', 'PRT']) await site.visit(`/countries/${code}`)
      await site.around('box', 'facts', 'FRA')
      await page.getByRole('button', { name: 'Refresh' }).click()
      await page.getByRole('link', { name: 'facts' }).click()
      const section = (name: string) => page.getByRole('region', { name, exact: true })
      await section('Variants').waitFor()
      expect(await page.getByRole('heading', { level: 2 }).innerText()).toBe('Fragment facts')
      expect(page.url()).toBe(`${site.inspector}#fragment?alias=default&name=facts`)
      const variants = await section('Variants').getByRole('table').innerText()
      expect(variants).toContain('“FRA”')
      expect(variants).toContain('“PRT”')
      expect(await section('Is in').innerText()).toMatch(/Fragment box 1 variant/)
      expect(await section('Is in').innerText()).toMatch(/Pages of GET \/countries\/:code/)
      expect(await section('Routes').innerText()).toMatch(
        /GET \/countries\/:code \d+ times?: .*\/countries\/FRA/,
      )
      expect(await section('Contains').innerText()).toContain('no other fragment')
      expect(await section('Why it was missing').innerText()).toContain('Not stored before 1 time')

      // A chart begins once somebody looks, and is drawn without being asked for again.
      await page
        .getByRole('img', { name: /^Hit ratio over the last .* (between|no samples)/ })
        .waitFor()

      await section('Tags').getByRole('link', { name: 'tag-of-facts' }).click()
      await page.getByRole('heading', { level: 2, name: 'Tag tag-of-facts' }).waitFor()
      expect(await section('Depends on it').innerText()).toMatch(/Fragment facts 2 variants/)
      await page.goBack()
      await section('Is in').getByRole('link', { name: 'box' }).click()
      await page.getByRole('heading', { level: 2, name: 'Fragment box' }).waitFor()
      expect(await section('Contains').innerText()).toContain('facts')
      expect(await section('Routes').innerText()).toContain('No request has shown it')
      expect(await page.locator(':focus').innerText()).toBe('Fragment box')
    }))

  it('leads from a fragment to its template in the editor', () =>
    inView('fragments', async (page) => {
      const template = fileURLToPath(import.meta.url)
      await site.fragments.render({ name: 'written', template }, () => '<p>Written</p>')
      await site.fragments.render({ name: 'written', template: 'absent', varyOn: [1] }, () => '')
      await page.getByRole('button', { name: 'Refresh' }).click()
      await page.getByRole('link', { name: 'written' }).click()
      const templates = page.getByRole('region', { name: 'Templates', exact: true })
      await templates.getByText('absent').waitFor()
      const links = templates.getByRole('link')
      await expectTexts(links, [template])
      expect(await links.getAttribute('href')).toBe(`vscode://file/${encodeURI(template)}:1`)
    }))

  it('says of each response why it did not come from the cache', () =>
    inView('responses', async (page) => {
      await site.visit('/about?q=1')
      await site.visit(`/basket?q=${encodeURIComponent(hostile)}`)
      await page.getByRole('button', { name: 'Refresh' }).click()
      const basket = page.locator('.response', { hasText: '/basket?q=' }).first()
      await basket.waitFor()
      expect(await basket.locator('.outcome').innerText()).toBe('↗ bypass')
      expect(await basket.innerText()).toContain('sets a cookie')

      await page.getByLabel('Filter by URL or reason').fill('cookie')
      await page.locator('.response', { hasText: '/about' }).waitFor({ state: 'detached' })
      await page.getByLabel('Outcome').selectOption('miss')
      await expectTexts(page.locator('.empty-what'), ['No response matches.'])
      expect(page.url()).toMatch(/#responses\?q=cookie&outcome=miss$/)

      await page.getByLabel('Outcome').selectOption('')
      await page.getByRole('link', { name: 'Why set-cookie' }).first().click()
      expect(page.url()).toBe(`${site.inspector}help#set-cookie`)
      await page.locator('section:target').waitFor()
    }))

  it('shows what happens as it happens, pauses, and leaves out what is not chosen', () =>
    inView('live?by=event', async (page) => {
      const events = page.locator('.table-scroller tbody tr:not(.space)')
      const connection = page.locator('.connection')
      await expectTexts(connection, ['Connected'])
      expect(await page.locator('.empty-what').innerText()).toMatch(/^Nothing happened/)

      await site.fragment('menu')
      await site.fragment(hostile)
      await site.visit('/basket')
      await events.filter({ hasText: 'fragment' }).filter({ hasText: 'menu' }).first().waitFor()
      await events.filter({ hasText: hostile }).first().waitFor()
      const response = events.filter({ hasText: '/basket' }).first()
      await response.waitFor()
      expect(await response.innerText()).toContain('bypass')
      expect(await response.getByRole('link', { name: /^Why: GET/ }).getAttribute('href')).toBe(
        `${site.inspector}help#set-cookie`,
      )

      await page.getByLabel('Operations').uncheck()
      await page.getByLabel('Responses').uncheck()
      await events.filter({ hasText: '/basket' }).waitFor({ state: 'detached' })
      const kinds = await events.locator('td:nth-child(2)').allInnerTexts()
      expect(new Set(kinds)).toEqual(new Set(['fragment']))
      expect(page.url()).toContain(
        '#live?by=event&kinds=fragment%2Crefresh%2Coutage%2Cwarning%2Caudit',
      )

      await page.getByRole('button', { name: 'Pause' }).click()
      await site.fragment('while-paused')
      await page.locator('.live-state', { hasText: /paused, [1-9]\d* waiting/ }).waitFor()
      expect(await events.filter({ hasText: 'while-paused' }).count()).toBe(0)
      await page.getByRole('button', { name: 'Resume' }).click()
      await events.filter({ hasText: 'while-paused' }).first().waitFor()

      await page.getByRole('button', { name: 'Clear' }).click()
      await page.locator('.empty').waitFor()
    }))

  it('says that the feed is lost, and takes it up again', () =>
    inView('overview', async (page) => {
      await page.route('**/api/events', (route) => route.fulfill({ status: 503, body: '' }))
      await page.getByRole('link', { name: 'Live' }).click()
      await expectTexts(page.locator('.connection'), ['Connection lost; reconnecting…'])
      await page.unroute('**/api/events')
      await expectTexts(page.locator('.connection'), ['Connected'])
    }))

  it('stays usable at 1 000 events a second, and keeps no more than it shows', () =>
    inView('live?by=event', async (page) => {
      await expectTexts(page.locator('.connection'), ['Connected'])
      const cache = site.caches.get('default')
      const timer = setInterval(() => {
        for (let i = 0; i < 20; i++) void cache.get(`busy-${i}`)
      }, 20)
      try {
        await page.evaluate(`(() => {
          window.frames_ = 0
          const next = () => { window.frames_++; requestAnimationFrame(next) }
          next()
        })()`)
        const shown = async () =>
          Number(
            /^([\d,]+) shown/
              .exec(await page.locator('.live .shown').innerText())?.[1]
              ?.replaceAll(',', ''),
          )
        await page.locator('.live .shown', { hasText: /[1-9],\d{3} seen/ }).waitFor()
        const [framesBefore, first] = [
          await page.evaluate<number>('window.frames_'),
          await newest(page),
        ]
        // Filters are used meanwhile.
        await page.getByLabel('Fragments').uncheck()
        await page.locator('.live .shown', { hasText: /[3-9],\d{3} seen/ }).waitFor()
        expect(await page.evaluate<number>('window.frames_')).toBeGreaterThan(framesBefore)
        expect(await newest(page)).not.toBe(first)
        expect(await shown()).toBeLessThanOrEqual(2000)
        expect(await shown()).toBeGreaterThan(0)
        expect(await page.locator('.table-scroller tbody tr').count()).toBeLessThan(60)

        // What is looked at further down stays where it is.
        await page.getByRole('button', { name: 'Pause' }).click()
        await page.locator('.table-scroller').evaluate((element) => (element.scrollTop = 4000))
        await expect.poll(() => page.locator('.space:not([hidden])').count()).toBe(2)
        const isMarked = (mark: boolean) =>
          page.locator('.table-scroller').evaluate((element, isFirst) => {
            const { left, top } = element.getBoundingClientRect()
            const head = element.querySelector('thead')?.clientHeight ?? 0
            const row = document.elementFromPoint(left + 5, top + head + 5)?.closest('tr')
            if (isFirst) row?.setAttribute('data-marked', '')
            return row?.hasAttribute('data-marked') === true
          }, mark)
        await expect.poll(() => isMarked(true)).toBe(true)
        const counted = await page.locator('.live .shown').innerText()
        await page.getByRole('button', { name: 'Resume' }).click()
        await expect.poll(() => page.locator('.live .shown').innerText()).not.toBe(counted)
        await expect.poll(() => page.locator('.live .shown').innerText()).not.toContain('paused')
        // Rows are scrolled to before they are drawn, in the same frame.
        await expect.poll(() => isMarked(false)).toBe(true)
      } finally {
        clearInterval(timer)
      }
    }))

  it('shows an entry, and what it is as text', async () => {
    await site.caches
      .get('default')
      .set(hostile, { html: hostile }, { timeout: 600, tags: ['user:7', 'menu'] })
    await inView('entry', async (page) => {
      expect(await page.locator('.empty-what').innerText()).toBe('No key is given yet.')
      await page.getByLabel('Cache').selectOption('default')
      await page.getByLabel('Key').fill(hostile)
      await page.getByRole('button', { name: 'Look up' }).click()
      await page.locator('.entry').waitFor()
      const details = await page.locator('.entry').innerText()
      expect(details).toContain(`Stored key\n:1:${hostile}`)
      expect(details).toMatch(/Expires\nin (10|9)\smin/)
      expect(details).toMatch(/State\nFresh/)
      expect(await page.locator('.entry time').first().getAttribute('title')).toMatch(
        /\d{4}, \d\d:/,
      )
      expect(await page.locator('pre').innerText()).toContain('onerror=')

      const button = page.getByRole('button', { name: 'Invalidate tag user:7' })
      await button.click()
      await page.getByRole('dialog').getByText('it would drop 1 entry: 1 value').waitFor()
      await page.getByRole('button', { name: 'Cancel' }).click()
      await confirm(page, button, 'Invalidate')
      await notice(page).waitFor()
      await expectTexts(page.locator('.empty-what'), ['There is no live entry under this key.'])
      expect(await site.caches.get('default').get(hostile)).toBe(undefined)
    })
  })

  it('finds what a store keeps by the beginning of the key', async () => {
    const shared = site.caches.get('shared')
    for (const name of ['alpha:1', 'alpha:2', 'beta:1']) {
      await shared.set(name, hostile, { timeout: 600, tags: ['greek'] })
    }
    await inView('entries?alias=shared', async (page) => {
      const keys = page.locator('table.plain tbody th')
      await keys.filter({ hasText: 'beta:1' }).waitFor()
      await page.getByLabel('Key begins with').fill('alpha:')
      await expectTexts(keys, ['alpha:1', 'alpha:2'])
      expect(page.url()).toContain('#entries?alias=shared&prefix=alpha%3A')
      await page.getByLabel('Tag').fill('latin')
      await expectTexts(page.locator('.empty-what'), ['No entry matches.'])
      await page.getByLabel('Tag').fill('greek')
      await page.getByRole('link', { name: 'alpha:2' }).click()
      await page.locator('.entry').waitFor()
      expect(await page.locator('.entry').innerText()).toContain('alpha:2')
    })
  })

  it('deletes an entry after a confirmation', async () => {
    const cache = site.caches.get('default')
    await cache.set('note', 'kept', { timeout: 600, version: 3 })
    await inView('entry?alias=default&key=note&version=3', async (page) => {
      const button = page.getByRole('button', { name: 'Delete entry' })
      await confirm(page, button, 'Cancel')
      expect(await cache.get('note', { version: 3 })).toBe('kept')
      await confirm(page, button, 'Delete')
      await page.locator('.empty').waitFor()
      expect(await cache.get('note', { version: 3 })).toBe(undefined)
    })
  })

  it('invalidates fragments, tags and URLs, and clears a cache', () =>
    inView('actions', async (page) => {
      const form = (name: string) => page.getByRole('form', { name })
      const fragment = form('Invalidate a fragment')
      await site.fragment('news')
      const before = site.made['news'] ?? 0
      await fragment.getByLabel('Fragment name').fill('news')
      await confirm(page, fragment.getByRole('button'), 'Invalidate')
      await expectTexts(notice(page), [/news/])
      await expect.poll(() => fragment.getByLabel('Fragment name').inputValue()).toBe('')
      await site.fragment('news')
      expect(site.made['news']).toBe(before + 1)

      const tag = form('Invalidate a tag')
      await tag.getByLabel('Tag').fill('tag-of-news')
      await confirm(page, tag.getByRole('button'), 'Invalidate')
      await expectTexts(notice(page), [/tag-of-news/])
      await site.fragment('news')
      expect(site.made['news']).toBe(before + 2)

      // Stale is still there.
      await site.caches.get('default').set('soft', 'old', { timeout: 600, tags: ['soft'] })
      await tag.getByLabel('Tag').fill('soft')
      await tag.getByLabel('Soft').check()
      await confirm(page, tag.getByRole('button'), 'Invalidate')
      await expectTexts(notice(page), [/soft/])
      expect((await site.caches.get('default').describe('soft'))?.isStale).toBe(true)

      const url = form('Invalidate a URL')
      await site.visit('/about')
      const about = site.made['about'] ?? 0
      await url.getByLabel('URL').fill(`${site.origin}/about`)
      await confirm(page, url.getByRole('button'), 'Invalidate')
      await expectTexts(notice(page), [/\/about/])
      await site.visit('/about')
      expect(site.made['about']).toBe(about + 1)

      const clear = form('Clear a cache')
      await site.caches.get('unused').set('x', 1)
      await clear.getByLabel('Cache').selectOption('unused')
      await confirm(page, clear.getByRole('button'), 'Clear cache')
      await expectTexts(notice(page), [/unused/])
      expect(await site.caches.get('unused').get('x')).toBe(undefined)
    }))

  it('says what failed in the words of the server, until that is dismissed', () =>
    inView(
      'actions',
      async (page) => {
        const clear = page.getByRole('form', { name: 'Clear a cache' })
        await clear.getByLabel('Cache').selectOption('far')
        await confirm(page, clear.getByRole('button'), 'Clear cache')
        const alert = page.getByRole('alert').filter({ has: page.locator('.notice') })
        await alert.waitFor()
        expect(await alert.innerText()).toMatch(/The cache failed: MemcachedCache: clear failed/)
        await alert.getByRole('button', { name: 'Dismiss' }).click()
        expect(await notice(page).count()).toBe(0)
      },
      undefined,
      troubled,
    ))

  it('resets the figures after a confirmation', () =>
    inView('overview', async (page) => {
      const since = page.locator('.since time')
      const before = await since.getAttribute('datetime')
      expect(await page.locator('.totals').innerText()).toMatch(
        /^Status\n✓ up\nHit ratio\n[\d.]+\s%\nTime saved\n/,
      )
      await confirm(page, page.getByRole('button', { name: 'Reset figures' }), 'Cancel')
      expect(await since.getAttribute('datetime')).toBe(before)
      await confirm(page, page.getByRole('button', { name: 'Reset figures' }), 'Reset figures')
      await notice(page).waitFor()
      await page.locator(`.since time:not([datetime="${before}"])`).waitFor()
      expect(site.caches.stats().fragments).toEqual([])
    }))

  it('reads its view again every five seconds, but not while its window is hidden', async () => {
    // Its clock cannot be given back.
    const own = await Tab.open(browser)
    onTestFinished(() => own.close())
    const work = async (page: Page) => {
      await site.fragment('before')
      await page.clock.install()
      await page.reload()
      await row(page, 'before').waitFor()
      let asked = 0
      page.on('request', (request) => (asked += Number(/api\/overview$/.test(request.url()))))

      await page.evaluate(
        `Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true })`,
      )
      await site.fragment('in the meantime')
      await page.clock.runFor(20_000)
      expect(asked).toBe(0)
      expect(await row(page, 'in the meantime').count()).toBe(0)

      await page.evaluate('delete document.visibilityState')
      await page.clock.runFor(50_000)
      await row(page, 'in the meantime').waitFor()
      expect(asked).toBeGreaterThanOrEqual(10)
      // The clock goes on by itself, too.
      expect(asked).toBeLessThanOrEqual(13)
    }
    await inView('fragments', work, undefined, site, own)
  })

  it('says where there are no samples yet', async () => {
    const fresh = await InspectedSite.start()
    onTestFinished(() => fresh.close())
    const work = async (page: Page) => {
      const figures = async (of: Locator) => (await of.innerText()).split('\n')
      const totals = await figures(page.locator('.totals'))
      expect(totals[totals.indexOf('Hit ratio') + 1]).toBe('no samples yet')

      await fresh.fragment('first')
      await page.evaluate(`location.hash = 'fragment?alias=default&name=first'`)
      const region = page.getByRole('region', { name: 'Figures', exact: true })
      await region.waitFor()
      const shown = await figures(region.locator('.figures').first())
      // Its body ran, and nobody was served from the cache.
      expect(shown[shown.indexOf('Mean hit') + 1]).toBe('no samples yet')
      expect(shown[shown.indexOf('Mean body') + 1]).toMatch(/\d/)
      await region.getByRole('img', { name: /^Hit ratio .*: no samples yet/ }).waitFor()
    }
    await inView('overview', work, undefined, fresh)
  })

  it('tells what to do next where nothing was counted', () =>
    inView('fragments', async (page) => {
      site.caches.resetStats()
      await page.getByRole('button', { name: 'Refresh' }).click()
      await expectTexts(page.locator('.empty-what'), ['No fragment was used yet.'])
      await page.getByRole('link', { name: 'Routes' }).click()
      await expectTexts(page.locator('.empty-what'), ['No route was asked for yet.'])
    }))

  it('shows 10 000 fragments with the rows in sight alone in the document', async () => {
    const busy = await InspectedSite.start()
    onTestFinished(() => busy.close())
    for (let i = 0; i < 10_000; i++) await busy.fragment(`many-${i}`)
    await busy.fragment('one too many')
    const work = async (page: Page) => {
      const rows = page.locator('.table-scroller tbody tr')
      const names = page.getByRole('rowheader')
      await names.first().waitFor()
      expect(await page.getByRole('table').getAttribute('aria-rowcount')).toBe('10001')
      expect(await names.first().innerText()).toBe('many-0')
      expect(await rows.count()).toBeLessThan(60)

      // A view that is left stays as it is, and begins at its top when it is looked at again.
      const view = new URL(page.url()).hash
      await page.evaluate("location.hash = 'overview'")
      await page.locator('.alias').first().waitFor()
      await page.evaluate('new Promise((done) => setTimeout(done, 500))')
      await page.evaluate(`location.hash = ${JSON.stringify(view)}`)
      await row(page, 'many-0').waitFor()
      expect(await page.locator('.table-scroller').evaluate(({ scrollTop }) => scrollTop)).toBe(0)

      // Of rows that are out of sight only those are read again that come to the top.
      await page.getByRole('button', { name: 'Hits' }).click()
      for (let i = 0; i < 3; i++) await busy.fragment('many-4321')
      const polled = page.waitForResponse(/api\/fragments\?limit=100&sort=hits&order=down&/)
      await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
      expect(await (await polled).json()).toMatchObject({ total: 10_001, matching: 10_000 })
      await expect.poll(() => names.first().innerText()).toBe('many-4321')
      expect(await page.getByRole('table').getAttribute('aria-rowcount')).toBe('10001')

      await page.getByRole('button', { name: 'Fragment' }).click()
      await row(page, 'many-0').waitFor()
      const whole = page.waitForResponse(/api\/fragments$/)
      await page.locator('.table-scroller').evaluate((element) => (element.scrollTop = 1e9))
      await whole
      await row(page, 'many-9999').waitFor()
      expect(await rows.count()).toBeLessThan(60)
      expect(await row(page, 'many-9999').getAttribute('aria-rowindex')).toBe('10001')

      // From the last row to the first, by keys.
      await row(page, 'many-9999').getByRole('button').focus()
      await page.keyboard.press('Home')
      const focused = page.locator(':focus')
      expect(await focused.getAttribute('aria-label')).toBe('Invalidate many-0')
      await page.keyboard.press('PageDown')
      expect(await focused.getAttribute('aria-label')).toMatch(/^Invalidate many-[1-9]\d*$/)
      await page.keyboard.press('End')
      expect(await focused.getAttribute('aria-label')).toBe('Invalidate many-9999')

      await page.getByLabel('Filter by name').fill('many-777')
      await expectTexts(names, [
        'many-777',
        ...Array.from({ length: 10 }, (_, i) => `many-777${i}`),
      ])

      // What is beyond the limit has no name of its own, and nothing to invalidate.
      await page.getByLabel('Filter by name').fill('others')
      await expectTexts(names, ['(others)'])
      expect(await row(page, '(others)').getByRole('button').count()).toBe(0)
    }
    await inView('fragments?q=many&sort=name&order=up', work, undefined, busy)
  })

  it('lets names wrap, and leads through rows of different heights', async () => {
    const wordy = await InspectedSite.start()
    onTestFinished(() => wordy.close())
    const nameOf = (i: number) => `${String(i).padStart(3, '0')}${i % 3 === 0 ? '' : long}`
    for (let i = 0; i < 300; i++) await wordy.fragment(nameOf(i))
    const work = async (page: Page) => {
      await row(page, nameOf(0)).waitFor()
      const box = (locator: Locator) =>
        locator.evaluate((element) => element.getBoundingClientRect())
      const scroller = page.locator('.table-scroller')
      expect((await box(row(page, nameOf(1)))).height).toBeGreaterThan(
        (await box(row(page, nameOf(0)))).height,
      )

      // Wherever it is scrolled to, rows are there.
      const isCovered = `new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))).then(() => {
        const scroller = document.querySelector('.table-scroller')
        const { left, bottom, top } = scroller.getBoundingClientRect()
        return [top + 60, bottom - 30].every((y) => {
          const row = document.elementFromPoint(left + 30, y)?.closest('tbody tr')
          return row && !row.matches('.space')
        })
      })`
      for (const part of [0.1, 0.9, 0.5, 0.7, 0.3, 1, 0.2]) {
        await scroller.evaluate(
          (element, to) => (element.scrollTop = to * element.scrollHeight),
          part,
        )
        expect(await page.evaluate(isCovered), String(part)).toBe(true)
      }

      await page.locator('.row-action button[tabindex="0"]').focus()
      const focused = page.locator(':focus')
      for (const [key, index] of [
        ['End', 299],
        ['Home', 0],
        ['ArrowDown', 1],
      ] as const) {
        await page.keyboard.press(key)
        expect(await focused.getAttribute('aria-label')).toBe(`Invalidate ${nameOf(index)}`)
        expect(await page.evaluate(isCovered), key).toBe(true)
        const [seen, whole] = [await box(row(page, nameOf(index))), await box(scroller)]
        expect(seen.top, key).toBeGreaterThan(whole.top)
        expect(seen.bottom, key).toBeLessThanOrEqual(whole.bottom)
      }
    }
    await inView('fragments?sort=name&order=up', work, undefined, wordy)
  })

  it('says it when it is refused or the site is gone, and goes on when it is answered again', () =>
    inView('overview', async (page) => {
      await page.locator('.alias').first().waitFor()
      site.isRefused = true
      try {
        await page.evaluate(`location.hash = 'entry'`)
        await page.getByLabel('Key').fill('note')
        await page.getByRole('button', { name: 'Look up' }).click()
        expect(await page.locator('.entry-result').getByRole('alert').innerText()).toMatch(
          /^The option authorize of the inspector refused/,
        )
        // It asks at once when its window is looked at again.
        await page.evaluate(lookedAtAgain)
        await page.locator('main > .failure').waitFor()
      } finally {
        site.isRefused = false
      }
      await page.evaluate(lookedAtAgain)
      await page.locator('main > .failure').waitFor({ state: 'hidden' })
    }))
})

/** The key of a fragment without vary-on values, as the inspector is asked for it. */
async function keyOf(site: InspectedSite, name: string): Promise<string> {
  const { makeTemplateFragmentKey } = await import('fragcache')
  await site.fragment(name)
  return makeTemplateFragmentKey(name)
}

/** Waits until the texts of a locator are these. */
async function expectTexts(locator: Locator, texts: readonly (string | RegExp)[]): Promise<void> {
  const matching = (actual: readonly string[]) =>
    actual.length === texts.length &&
    texts.every((text, i) =>
      typeof text === 'string' ? text === actual[i] : text.test(actual[i] ?? ''),
    )
  await expect
    .poll(
      async () => {
        const actual = await locator.allInnerTexts()
        return matching(actual) ? texts : actual
      },
      { timeout: 10_000 },
    )
    .toEqual(texts)
}

const lookedAtAgain = `document.dispatchEvent(new Event('visibilitychange'))`

/** The first event that is listed. */
const newest = (page: Page): Promise<string> =>
  page.locator('.table-scroller tbody tr:not(.space)').first().innerText()

/** A request appears in the live view only if it is made while the feed is open. */
async function visitUntilSeen(page: Page, site: InspectedSite): Promise<void> {
  const seen = async () => {
    await site.visit('/countries/FRA')
    return page.locator('.request').count()
  }
  await expect.poll(seen, { timeout: 15_000, interval: 500 }).toBeGreaterThan(0)
}

/** What is cut off, and what scrolls sideways without saying so, as it has to where there are no scroll bars. */
function unsaid(page: Page): Promise<readonly string[]> {
  return page.evaluate<
    readonly string[]
  >(`[...document.querySelectorAll('main *')].flatMap((element) => {
    const { overflowX, display } = getComputedStyle(element)
    const isWide = element.checkVisibility() && element.scrollWidth > element.clientWidth + 1
    if (!isWide || display === 'inline' || element.matches('input, pre, .unseen, svg, svg *')) return []
    const name = element.tagName + '.' + element.className + ': ' + element.textContent.slice(0, 80)
    if (['hidden', 'clip'].includes(overflowX) || element.matches('th, td')) return [name]
    if (!['auto', 'scroll'].includes(overflowX)) return []
    const above = element.matches('.table-scroller') ? element.parentElement : element
    const says = getComputedStyle(above, '::before').content.includes('Scroll sideways')
    return says ? [] : [name]
  })`)
}

interface Judgement {
  readonly excess: number
  readonly violations: readonly string[]
}

/** How far the page scrolls sideways, and what is not accessible in it. */
async function judged(page: Page): Promise<Judgement> {
  const excess = await page.evaluate<number>(
    `Math.max(0, document.documentElement.scrollWidth - innerWidth)`,
  )
  return { excess, violations: await violationsOf(page) }
}
