import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ErrorRequestHandler, RequestHandler } from 'express'
import { createCaches, LocMemCache, type Cache, type CacheTagError } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { countBodies } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { expressVersions, Site } from '../support/express.js'

let views: string

beforeAll(() => {
  views = mkdtempSync(join(tmpdir(), 'fragcache-views-'))
  const files = {
    'layout.njk':
      '<title>{{ title }}</title>{% cache 60 head lang %}[{{ lang }}]{% endcache %}{% block main %}{% endblock %}',
    'list.njk':
      '{% extends "layout.njk" %}{% block main %}{% for item in items %}{% cache 60 item item.id tags=["item:" ~ item.id] %}{% include "item.njk" %}{% endcache %}{% endfor %}{{ user }}{% endblock %}',
    'item.njk': '<b>{{ item.name }}</b>',
    'broken.njk': '\n{% cache 60 a + 1 %}x{% endcache %}',
    'failing.njk': '\n{% cache nope a %}x{% endcache %}',
    'throwing.njk': '\n{% cache 60 a %}{{ missing() }}{% endcache %}',
  }
  for (const [name, source] of Object.entries(files)) writeFileSync(join(views, name), source)
})

afterAll(() => {
  rmSync(views, { recursive: true, force: true })
})

const backends: Readonly<Record<string, () => Cache>> = {
  'local memory': () => new LocMemCache(),
  'an asynchronous cache': () => new AsyncTestCache(),
}

describe.each(expressVersions)('views of $version', ({ express }) => {
  describe.each(Object.entries(backends))('over %s', (_, makeCache) => {
    async function setUp() {
      const app = express()
      const env = nunjucks.configure(views, { express: app })
      const caches = createCaches({ default: makeCache(), pages: new LocMemCache() })
      registerCache(env, caches)
      app.set('view engine', 'njk')
      app.locals['title'] = 'Shop'
      const names = ['tea', 'salt', '<oil>']
      const pages = responseCache(caches, { alias: 'pages', seconds: 600 })
      const list: RequestHandler = (req, res) => {
        res.locals['lang'] = 'en'
        const items = names.map((name, id) => ({ id, name }))
        res.render('list', { items, user: req.query['user'] })
      }
      app.get('/list', list)
      app.get('/page', pages.cachePage(60), list)
      app.get('/view/:name', (req, res) => res.render(`${req.params.name}.njk`))
      const onError: ErrorRequestHandler = (error: CacheTagError, _req, res, _next) => {
        const { name, code, line, message } = error
        res.status(500).json({ name, code, line, message })
      }
      app.use(onError)
      return { site: await Site.open(app), names, caches }
    }

    it('keep their fragments', async () => {
      const { site, names, caches } = await setUp()
      const read = async () => (await site.get('/list?user=ann')).text
      const first = '<title>Shop</title>[en]<b>tea</b><b>salt</b><b>&lt;oil&gt;</b>ann'
      expect(await countBodies(read)).toEqual({ outcome: first, bodyRuns: 4 })
      names[0] = 'green tea'
      expect(await countBodies(read)).toEqual({ outcome: first, bodyRuns: 0 })
      await caches.invalidateTags(['item:0'])
      expect(await countBodies(read)).toEqual({
        outcome: first.replace('tea', 'green tea'),
        bodyRuns: 1,
      })
    })

    it('make a cached page depend on their fragments', async () => {
      const { site, names, caches } = await setUp()
      const read = async () => (await site.get('/page?user=ann')).text
      const first = await read()
      names[1] = 'sugar'
      expect(await read()).toBe(first)
      await caches.invalidateTags(['item:1'])
      expect(await read()).toBe(first.replace('salt', 'sugar'))
    })

    it('are not mixed up when requests overlap', async () => {
      const { site } = await setUp()
      const users = Array.from({ length: 40 }, (__, i) => `user${i}`)
      const texts = await Promise.all(
        users.map(async (user) => (await site.get(`/list?user=${user}`)).text),
      )
      const rest = '<title>Shop</title>[en]<b>tea</b><b>salt</b><b>&lt;oil&gt;</b>'
      expect(texts).toEqual(users.map((user) => rest + user))
    })

    it('hand their faults to the application’s error handler', async () => {
      const { site } = await setUp()
      const read = async (name: string) => {
        const { status, text } = await site.get(`/view/${name}`)
        return { status, ...(JSON.parse(text) as Partial<CacheTagError>) }
      }
      expect(await read('broken')).toMatchObject({
        status: 500,
        code: 'FRAGCACHE_TAG',
        line: 2,
        message: expect.stringMatching(/^cache tag \(broken\.njk, line 2, .*parentheses/) as string,
      })
      expect(await read('failing')).toMatchObject({
        status: 500,
        code: 'FRAGCACHE_TAG',
        line: 2,
        message: expect.stringMatching(/^cache tag \(failing\.njk, line 2, .*undefined/) as string,
      })
      expect(await read('throwing')).toMatchObject({
        status: 500,
        name: 'Template render error',
        message: expect.stringMatching(/throwing\.njk.*\[Line 1.*Unable to call/s) as string,
      })
    })
  })
})
