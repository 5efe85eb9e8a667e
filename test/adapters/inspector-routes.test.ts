import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import express from 'express'
import nunjucks from 'nunjucks'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import type { FragmentDetail, FragmentStats } from '../../adapters/inspector/index.js'
import { registerCache } from '../../adapters/nunjucks/index.js'
import { fragmentChannel } from '../../src/observe/channels.js'
import { createCaches, FragmentCache, LocMemCache, type Cache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { expressVersions } from '../support/express.js'
import { folderOfFile } from '../support/folders.js'
import { Inspected } from './inspector-support.js'

const views = folderOfFile()
const menu = '{% cache 60 menu %}{{ note("menu") }}<nav>Menu</nav>{% endcache %}'
for (const [name, text] of Object.entries({
  'country.njk': `${menu}{% cache 60 facts code tags=["country:" + code] %}{{ code }}{% endcache %}`,
  'about.njk': `${menu}<h1>About</h1>`,
})) {
  writeFileSync(join(views, name), text)
}

/** A site whose templates have fragments, and that stores no page. */
async function open(cache: Cache = new LocMemCache(), version = express) {
  const caches = createCaches({ default: cache })
  onTestFinished(() => caches.close())
  const bodies: string[] = []
  const inspected = await Inspected.open(
    caches,
    {},
    (app) => {
      const env = nunjucks.configure(views, { express: app })
      registerCache(env, caches)
      app.locals.note = (name: string) => void bodies.push(name)
      app.set('view engine', 'njk')
      app.get('/about', (_req, res) => res.render('about'))
      const countries = version.Router()
      countries.get('/:code', (req, res) => res.render('country', { code: req.params.code }))
      app.use('/countries', countries)
    },
    version,
  )
  const routesOf = async (name: string) => {
    const query = new URLSearchParams({ alias: 'default', name })
    return (await inspected.json<FragmentDetail>(`/api/fragment?${query.toString()}`)).routes
  }
  const visit = async (...paths: readonly string[]) => {
    for (const path of paths) expect((await inspected.site.get(path)).status, path).toBe(200)
  }
  return { caches, inspected, bodies, routesOf, visit }
}

const kinds: readonly (readonly [string, () => Cache])[] = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
]

describe.each(expressVersions)('the routes of a fragment on a site of $version', (version) => {
  it.each(kinds)('are those that show it, though no page is stored, over %s', async (_, make) => {
    const { inspected, bodies, routesOf, visit } = await open(make(), version.express)
    await inspected.get('/')
    await visit('/countries/FRA', '/countries/PRT?q=1', '/countries/FRA', '/about')
    const { rows } = await inspected.json<{ rows: FragmentStats[] }>('/api/fragments')
    expect(rows.map(({ name }) => name).sort()).toEqual(['facts', 'menu'])
    expect(await routesOf('menu')).toEqual([
      { route: 'GET /countries/:code', times: 3, paths: ['/countries/FRA', '/countries/PRT'] },
      { route: 'GET /about', times: 1, paths: ['/about'] },
    ])
    expect(await routesOf('facts')).toEqual([
      { route: 'GET /countries/:code', times: 3, paths: ['/countries/FRA', '/countries/PRT'] },
    ])
    // Most of them were hits.
    expect(bodies).toEqual(['menu'])
  })
})

describe('the routes of a fragment', () => {
  it('are found by hits alone, where it was stored before somebody looked', async () => {
    const { inspected, routesOf, visit } = await open()
    await visit('/about', '/about')
    expect(await routesOf('menu')).toEqual([])
    await visit('/about')
    expect(await routesOf('menu')).toEqual([{ route: 'GET /about', times: 1, paths: ['/about'] }])
    await inspected.act('reset', {})
    expect(await routesOf('menu')).toEqual([])
  })

  it('are those that show a fragment or a page with it in it, as it was stored here', async () => {
    const caches = createCaches({ default: new LocMemCache(), far: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    const pages = responseCache(caches, { seconds: 600 })
    const show = () =>
      fragments.render({ name: 'box', timeout: 60 }, async () =>
        [
          await fragments.render({ name: 'menu', timeout: 60 }, () => 'Menu'),
          await fragments.render({ name: 'far', timeout: 60, using: 'far' }, () => 'Far'),
        ].join(''),
      )
    const inspected = await Inspected.open(caches, { pages }, (app) => {
      app.get('/plain', async (_req, res) => res.send(await show()))
      app.use(pages.cacheSite())
      app.get('/page/:id', async (_req, res) => res.send(await show()))
    })
    const routesOf = async (alias: string, name: string) => {
      const query = new URLSearchParams({ alias, name })
      return (await inspected.json<FragmentDetail>(`/api/fragment?${query.toString()}`)).routes
    }
    await show()
    await inspected.get('/')
    for (const path of ['/plain', '/plain', '/page/1', '/page/1', '/page/1']) {
      await inspected.site.get(path)
    }
    const expected = [
      { route: 'GET /page/:id', times: 3, paths: ['/page/1'] },
      { route: 'GET /plain', times: 2, paths: ['/plain'] },
    ]
    expect(await routesOf('default', 'box')).toEqual(expected)
    expect(await routesOf('default', 'menu')).toEqual(expected)
    expect(await routesOf('far', 'far')).toEqual(expected)
  })

  it('are those of each of the many pages of one URL', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    const pages = responseCache(caches, { seconds: 600 })
    const inspected = await Inspected.open(caches, { pages }, (app) => {
      app.use(pages.cacheSite())
      app.get('/', async (_req, res) => {
        res.vary('X-Region')
        res.send(await fragments.render({ name: 'menu', timeout: 60 }, () => 'Menu'))
      })
    })
    const visit = (region: number) =>
      inspected.site.get('/', { headers: { 'X-Region': String(region) } })
    for (let region = 0; region < 100; region++) await visit(region)
    await inspected.get('/')
    await visit(0)
    const { routes } = await inspected.json<FragmentDetail>('/api/fragment?alias=default&name=menu')
    expect(routes).toEqual([{ route: 'GET /', times: 1, paths: ['/'] }])
  })

  it('are none where no request shows it, and GET (any) where there is no router', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const fragments = new FragmentCache(caches)
    const show = () => fragments.render({ name: 'menu', timeout: 60 }, () => 'Menu')
    const inspected = await Inspected.open(caches, {}, (app) =>
      app.use('/shop', (_req, res) => void show().then((text) => res.send(text))),
    )
    const routesOf = async () =>
      (await inspected.json<FragmentDetail>('/api/fragment?alias=default&name=menu')).routes
    await show()
    expect(await routesOf()).toEqual([])
    await inspected.site.get('/shop/tea')
    expect(await routesOf()).toEqual([{ route: 'GET (any)', times: 1, paths: ['/shop/tea'] }])
  })

  it('have at most five paths each, and are bounded in memory', async () => {
    const { inspected, routesOf, visit } = await open()
    await inspected.get('/')
    await visit(...Array.from({ length: 8 }, (_, i) => `/countries/${i}`))
    const [{ times, paths } = { times: 0, paths: [] }] = await routesOf('facts')
    expect([times, paths.length]).toEqual([8, 5])
    await visit(`/countries/${'x'.repeat(5000)}`, '/about')
    expect(await routesOf('menu')).toHaveLength(2)
    expect(JSON.stringify(await routesOf('menu')).length).toBeLessThan(1000)
  })

  it('are noted by nobody before somebody looks, nor when nobody has looked for long', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const { inspected, routesOf, visit } = await open()
    await visit('/about')
    expect(fragmentChannel.hasSubscribers).toBe(false)
    await inspected.get('/')
    expect(fragmentChannel.hasSubscribers).toBe(true)
    await visit('/about')
    vi.advanceTimersByTime(16 * 60_000)
    expect(fragmentChannel.hasSubscribers).toBe(false)
    expect(await routesOf('menu')).toEqual([])
  })
})
