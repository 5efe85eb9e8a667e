import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { callbackify, promisify } from 'node:util'
import type { Express } from 'express'
import { create } from 'express-handlebars'
import { responseCache } from 'fragcache/express'
import { registerCache, type HandlebarsCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCaches, LocMemCache, type Cache, type Caches } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { oneExpress, Site } from '../support/express.js'

type Engine = (file: string, options: object, done: (error: unknown, html?: string) => void) => void

// It has no types of its own.
interface Hbs {
  readonly handlebars: typeof Handlebars
  readonly __express: Engine
  create(): Hbs
}
const hbs = createRequire(import.meta.url)('hbs') as Hbs

const TOKEN = '<i>{{#nocache}}{{token}}{{/nocache}}</i>'
const VIEWS = {
  'home.hbs':
    '<p>{{runs}} {{#nocache}}{{user}}{{/nocache}}</p>{{#each xs}}{{#nocache}}{{@root.token}}{{/nocache}}{{/each}}\n{{#cache 60 "part"}}[{{runs}} {{#nocache}}{{user}}{{/nocache}}{{> token}}]{{/cache}}.',
  'boxed.hbs': '<p>{{runs}}{{> box}}{{#nocache}}{{> box}}{{/nocache}}</p>',
  'own.hbs': '<p>{{#nocache}}{{> greeting}}{{/nocache}}</p>',
  'local.hbs': '{{#each xs}}<p>{{#nocache}}{{this}}{{/nocache}}</p>{{/each}}',
}
/** As a view engine finds them by itself. */
const PARTIALS = {
  box: '[{{#nocache}}{{user}}{{> inner}}{{/nocache}}{{> inner}}]',
  inner: '<u>{{#nocache}}{{token}}{{/nocache}}</u>',
}
const LAYOUT = '<body>{{{body}}}<b>{{#nocache}}{{user}}{{/nocache}}</b></body>'
const shown = (user: string) =>
  `<body><p>1 ${user}</p>t-${user}t-${user}\n[1 ${user}<i>t-${user}</i>].<b>${user}</b></body>`

let views: string

beforeAll(() => {
  views = mkdtempSync(join(tmpdir(), 'fragcache-views-'))
  for (const folder of ['layouts', 'partials']) mkdirSync(join(views, folder))
  for (const [name, text] of Object.entries(VIEWS)) writeFileSync(join(views, name), text)
  writeFileSync(join(views, 'layouts', 'main.hbs'), LAYOUT)
  writeFileSync(join(views, 'layout.hbs'), LAYOUT)
  for (const [name, text] of Object.entries(PARTIALS)) {
    writeFileSync(join(views, 'partials', `${name}.hbs`), text)
  }
})

afterAll(() => rmSync(views, { recursive: true, force: true }))

/** As in the recipes. */
const engines: Record<string, (app: Express, caches: Caches) => HandlebarsCache> = {
  'express-handlebars': (app, caches) => {
    const engine = create({
      handlebars: Handlebars.create(),
      extname: '.hbs',
      partialsDir: join(views, 'partials'),
    })
    const handlebars = engine.handlebars as typeof Handlebars
    const handle = registerCache(handlebars, caches)
    const { renderAsync } = handle
    handlebars.registerPartial('token', TOKEN)
    Object.assign(engine, {
      _renderTemplate: async (...args: Parameters<typeof renderAsync>) =>
        (await renderAsync(...args)).trim(),
    })
    app.engine(
      'hbs',
      callbackify((file: string, options: object) =>
        renderAsync(() => engine.renderView(file, options as never)),
      ) as Engine,
    )
    return handle
  },
  hbs: (app, caches) => {
    const own = hbs.create()
    const handle = registerCache(own.handlebars, caches)
    own.handlebars.registerPartial('token', TOKEN)
    own.handlebars.registerPartial(PARTIALS)
    const render = promisify(own.__express) as (file: string, options: object) => Promise<string>
    app.engine(
      'hbs',
      callbackify((file: string, options: object) =>
        handle.renderAsync(() => render(file, options)),
      ) as Engine,
    )
    return handle
  },
}

const caches: [string, () => Cache][] = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
]

describe.each(oneExpress)('cached pages with nocache blocks, $version', ({ express }) => {
  describe.each(Object.entries(engines))('%s', (_, install) => {
    it.each(caches)('are filled for each visitor, over %s', async (_name, make) => {
      const app = express()
      const all = createCaches({ default: make() })
      const handle = install(app, all)
      app.set('views', views)
      app.set('view engine', 'hbs')
      const of = (user: string) => ({ user, token: `t-${user}`, xs: [1, 2] })
      const pages = responseCache(all, {
        holes: { engines: [handle], context: (req) => of(req.get('X-User') ?? '') },
      })
      let runs = 0
      app.get('/:view', pages.cachePage(60), (req, res) => {
        runs++
        res.render(String(req.params['view']), { ...of(req.get('X-User') ?? ''), runs })
      })
      const site = await Site.open(app)
      for (const user of ['Ann', 'Bob', 'Ann']) {
        const answer = await site.get('/home', { headers: { 'X-User': user } })
        expect(answer.text).toBe(shown(user))
      }
      expect(runs).toBe(1)
      for (const user of ['Ann', 'Bob', 'Ann']) {
        const { text } = await site.get('/boxed', { headers: { 'X-User': user } })
        const box = `[${user}<u>t-${user}</u><u>t-${user}</u>]`
        expect(text).toBe(`<body><p>2${box}${box}</p><b>${user}</b></body>`)
      }
      expect(runs).toBe(2)
      const refused = await site.get('/local', { headers: { 'X-User': 'Ann' } })
      expect(refused.status).toBe(500)
      expect(refused.text).toMatch(/nocache block uses/)
    })
  })

  it('have no partial that another visitor’s view gave to res.render', async () => {
    const app = express()
    app.set('env', 'test')
    const all = createCaches({ default: new LocMemCache() })
    const engine = create({
      handlebars: Handlebars.create(),
      extname: '.hbs',
      defaultLayout: false,
    })
    const handlebars = engine.handlebars as typeof Handlebars
    const handle = registerCache(handlebars, all)
    const { renderAsync } = handle
    app.engine(
      'hbs',
      callbackify((file: string, options: object) =>
        renderAsync(() => engine.renderView(file, options as never)),
      ) as Engine,
    )
    app.set('views', views)
    app.set('view engine', 'hbs')
    const pages = responseCache(all, { holes: { engines: [handle], context: () => ({}) } })
    app.get('/own', pages.cachePage(60), (req, res) => {
      const greeting = handlebars.compile(`Hello ${req.get('X-User')}`)
      res.render('own', { partials: { greeting } })
    })
    const site = await Site.open(app)
    for (const user of ['Ann', 'Bob']) {
      const { status, text } = await site.get('/own', { headers: { 'X-User': user } })
      expect(status).toBe(500)
      expect(text).toMatch(/partial greeting could not be found/)
    }
  })
})
