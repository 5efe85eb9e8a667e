import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Eta } from 'eta'
import type { Request } from 'express'
import { createCaches, FragmentCache, LocMemCache, type Cache, type Caches } from 'fragcache'
import { cacheEngine, cachePlugin } from 'fragcache/eta'
import { responseCache } from 'fragcache/express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { countBodies } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { expressVersions, Site } from '../support/express.js'

let views: string

beforeAll(() => {
  views = mkdtempSync(join(tmpdir(), 'fragcache-views-'))
  const files = {
    'layout.eta': `<title><%= it.title %></title><% cache 60 head it.lang %><% it.note('head') %>[<%= it.lang %>]<% endcache %><%~ it.body %>`,
    'shop/list.eta': `<% layout('../layout', { title: 'Shop' }) %><% for (const item of it.items) { %><% cache 60 item item.id tags=['item:' + item.id] %><% it.note(item.id) %><%~ await includeAsync('./item', { item }) %><% endcache %><% } %>`,
    'shop/item.eta': `<b><%= item(it).name %></b><% function item(data) { return data.item } %>`,
    'greet.eta': `For <b><% nocache %><%= it.visitor %><% endnocache %></b><% cache 60 by it.author tags=['author:' + it.author] %><% it.note('by') %> by <%= it.author %><% endcache %>`,
    'broken.eta': `\n<% cache 60 a + 1 %>x<% endcache %>`,
    'failing.eta': `\n<% cache it.nope a %>x<% endcache %>`,
  }
  for (const [name, source] of Object.entries(files)) {
    mkdirSync(dirname(join(views, name)), { recursive: true })
    writeFileSync(join(views, name), source)
  }
})

afterAll(() => {
  rmSync(views, { recursive: true, force: true })
})

const kinds: [string, () => Cache][] = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
]

describe.each(expressVersions)('Eta as the view engine of $version', ({ express }) => {
  const open = (caches: Caches, note: (what: unknown) => void = () => undefined) => {
    const app = express()
    app.set('views', views)
    app.set('view engine', 'eta')
    app.engine('eta', cacheEngine(new Eta({ cache: true }), caches))
    app.locals.note = note
    app.get('/list/:lang', (req, res) => {
      const items = [1, 2].map((id) => ({ id, name: `<${id}>` }))
      res.render('shop/list', { items, lang: req.params.lang })
    })
    app.get('/render/:name', (req, res) => {
      res.render(req.params.name, (error: unknown, html: string) => {
        const { template, line, fragment } = error as Record<string, unknown>
        res.json(error ? { template, line, fragment } : html)
      })
    })
    return Site.open(app)
  }

  it.each(kinds)('keeps fragments in %s', async (_, make) => {
    const caches = createCaches({ default: make() })
    const notes: unknown[] = []
    const site = await open(caches, (what) => notes.push(what))
    const page = async (lang: string) => (await site.get(`/list/${lang}`)).text
    const expected = (lang: string) =>
      `<title>Shop</title>[${lang}]<b>&lt;1&gt;</b><b>&lt;2&gt;</b>`
    expect(await page('en')).toBe(expected('en'))
    expect(notes.splice(0)).toEqual([1, 2, 'head'])
    expect(await page('en')).toBe(expected('en'))
    expect(notes).toEqual([])
    expect(await page('de')).toBe(expected('de'))
    expect(notes.splice(0)).toEqual(['head'])
    await caches.invalidateTags(['item:2'])
    await new FragmentCache(caches).delete('head', ['de'])
    expect(await page('de')).toBe(expected('de'))
    expect(notes).toEqual([2, 'head'])
  })

  it.each(kinds)('runs one body for many requests, over %s', async (_, make) => {
    const site = await open(createCaches({ default: make() }))
    const { outcome, bodyRuns } = await countBodies(() =>
      Promise.all(Array.from({ length: 20 }, () => site.get('/list/en'))),
    )
    expect(new Set(outcome.map(({ text }) => text)).size).toBe(1)
    expect(bodyRuns).toBe(3)
  })

  it.each(kinds)(
    'hands faults to Express, with the file and the line, over %s',
    async (_, make) => {
      const site = await open(createCaches({ default: make() }))
      for (const name of ['broken', 'failing']) {
        expect(JSON.parse((await site.get(`/render/${name}`)).text)).toEqual({
          template: `${name}.eta`,
          line: 2,
          fragment: 'a',
        })
      }
    },
  )

  it.each(kinds)('keeps pages with holes over %s', async (_, make) => {
    const caches = createCaches({ default: make() })
    const notes: unknown[] = []
    const app = express()
    app.set('views', views)
    app.set('view engine', 'eta')
    app.locals.note = (what: unknown) => notes.push(what)
    const engine = cacheEngine(new Eta({ cache: true, views }), caches)
    app.engine('eta', engine)
    const holes = {
      engines: [engine],
      context: (req: Request) => ({ visitor: req.get('X-Visitor') }),
    }
    app.get('/', responseCache(caches, { holes }).cachePage(60), (_req, res) => {
      res.render('greet', { author: 'ann' })
    })
    const site = await Site.open(app)
    const read = async (visitor: string) =>
      (await site.get('/', { headers: { 'X-Visitor': visitor } })).text
    expect(await read('Bob')).toBe('For <b>Bob</b> by ann')
    expect(notes.splice(0)).toEqual(['by'])
    expect(await read('Eve')).toBe('For <b>Eve</b> by ann')
    expect(notes).toEqual([])
    await caches.invalidateTags(['author:ann'])
    expect(await read('Eve')).toBe('For <b>Eve</b> by ann')
    expect(notes).toEqual(['by'])
  })
})

describe('cacheEngine', () => {
  const caches = createCaches({ default: new LocMemCache() })

  it('keeps the plugins of the engine', async () => {
    const shout = { processTemplate: (text: string) => text.replaceAll('by', 'BY') }
    const render = promisify(cacheEngine(new Eta({ views, plugins: [shout] }), caches))
    const data = { author: 'ann', visitor: 'Bob', note: () => undefined }
    expect(await render(join(views, 'greet.eta'), data)).toBe('For <b>Bob</b> BY ann')
  })

  it('asks for the folder where Express has several', async () => {
    const render = promisify(cacheEngine(new Eta(), caches))
    const rendered = render(join(views, 'greet.eta'), { settings: { views: [views, '/other'] } })
    await expect(rendered).rejects.toThrow(/is not a folder, and Eta has one; write new Eta/)
  })

  it.each<[unknown, string]>([
    [new Eta({ plugins: [cachePlugin(caches)] }), 'it has the plugin of cachePlugin already'],
    [undefined, 'install eta'],
    [Eta, 'is not an Eta; write cacheEngine(new Eta('],
  ])('refuses what it cannot make a view engine of: %#', (eta, message) => {
    expect(() => cacheEngine(eta as never, caches)).toThrow(message)
  })
})
