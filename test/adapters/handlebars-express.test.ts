import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { callbackify, promisify } from 'node:util'
import type { ErrorRequestHandler, Express } from 'express'
import { create } from 'express-handlebars'
import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCaches, LocMemCache, type Cache, type Caches } from '../../src/index.js'
import { countBodies } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { expressVersions, Site } from '../support/express.js'

type Engine = (file: string, options: object, done: (error: unknown, html?: string) => void) => void

// It has no types of its own.
interface Hbs {
  readonly handlebars: typeof Handlebars
  readonly __express: Engine
  registerPartials(folder: string, done: () => void): void
  create(): Hbs
}
const hbs = createRequire(import.meta.url)('hbs') as Hbs

const VIEWS = {
  // A view that begins and ends with a fragment, as one that is trimmed must not.
  'home.hbs':
    '{{#cache 60 "top" user}}Hello {{user}}{{/cache}}\n  {{> card}}\n{{#section "js"}}{{#cache 60 "js"}}JS{{/cache}}{{/section}}\n{{#each xs}}{{#cache 60 "x" this}}{{@index}}{{this}};{{/cache}}{{/each}}',
  'bad.hbs': 'a\n{{#cache soon "n"}}x{{/cache}}',
  'throws.hbs': '{{#cache 60 "n"}}{{boom}}{{/cache}}',
}
const LAYOUT =
  '<body>{{{body}}}</body>{{#cache 60 "foot"}}<i>foot</i>{{/cache}}{{{sections.js}}}{{> note}}'
const PARTIALS = {
  'card.hbs': '{{#cache 60 "card" user}}\n<b>\n{{user}}\n</b>\n{{/cache}}\n',
  'note.hbs': '{{#cache 60 "note"}}note{{/cache}}',
}
const expected = (user: string) =>
  `<body>Hello ${user}\n  <b>\n  ${user}\n  </b>\n\n0a;1b;</body><i>foot</i>JSnote`

let views: string

beforeAll(() => {
  views = mkdtempSync(join(tmpdir(), 'fragcache-views-'))
  for (const folder of ['layouts', 'partials']) mkdirSync(join(views, folder))
  for (const [name, text] of Object.entries(VIEWS)) writeFileSync(join(views, name), text)
  for (const [name, text] of Object.entries(PARTIALS)) {
    writeFileSync(join(views, 'partials', name), text)
  }
  writeFileSync(join(views, 'layouts', 'main.hbs'), LAYOUT)
  writeFileSync(join(views, 'layout.hbs'), LAYOUT)
})

afterAll(() => rmSync(views, { recursive: true, force: true }))

function addHelpers(handlebars: typeof Handlebars): void {
  handlebars.registerHelper(
    'section',
    function (
      this: { sections: Record<string, string> },
      name: string,
      { fn }: Handlebars.HelperOptions,
    ) {
      this.sections[name] = fn(this)
      return null
    },
  )
  handlebars.registerHelper('boom', () => {
    throw new RangeError('boom')
  })
}

type SetUp = (app: Express, caches: Caches, recipe: boolean) => Promise<void>

const engines: Record<string, SetUp> = {
  'express-handlebars': async (app, caches, recipe) => {
    const engine = create({ handlebars: Handlebars.create(), extname: '.hbs' })
    const { renderAsync } = registerCache(engine.handlebars as typeof Handlebars, caches)
    if (!recipe) app.engine('hbs', engine.engine as Engine)
    else {
      const render = async (...args: Parameters<typeof renderAsync>) =>
        (await renderAsync(...args)).trim()
      Object.assign(engine, { _renderTemplate: render })
      const renderView = (file: string, options: object) =>
        engine.renderView(file, options as never)
      app.engine(
        'hbs',
        callbackify((file: string, options: object) =>
          renderAsync(() => renderView(file, options)),
        ) as Engine,
      )
    }
    addHelpers(engine.handlebars as typeof Handlebars)
  },
  hbs: async (app, caches, recipe) => {
    const instance = hbs.create()
    const { renderAsync } = registerCache(instance.handlebars, caches)
    const render = promisify((file: string, options: object, done: Parameters<Engine>[2]) => {
      instance.__express(file, options, done)
    })
    if (!recipe) app.engine('hbs', instance.__express)
    else {
      app.engine(
        'hbs',
        callbackify((file: string, options: object) =>
          renderAsync(() => render(file, options) as Promise<string>),
        ) as Engine,
      )
    }
    addHelpers(instance.handlebars)
    await new Promise<void>((done) => instance.registerPartials(join(views, 'partials'), done))
  },
}

describe.each(expressVersions)('$version', ({ express }) => {
  describe.each(Object.entries(engines))('with %s', (_, setUp) => {
    const open = async (cache: Cache, recipe: boolean, cacheViews: boolean) => {
      const app = express()
      app.set('views', views)
      app.set('view engine', 'hbs')
      if (cacheViews) app.enable('view cache')
      await setUp(app, createCaches({ default: cache }), recipe)
      app.get('/:view', (req, res) => {
        const { user } = req.query
        res.render(req.params.view, { user, xs: ['a', 'b'], sections: {} })
      })
      app.use(((error, _req, res, next) => {
        void next
        res.status(500).send(String(error))
      }) as ErrorRequestHandler)
      const site = await Site.open(app)
      return async (path: string) => (await site.get(path)).text
    }

    it.each([
      ['over local memory, without more than registering', () => new LocMemCache(), false],
      ['over local memory by the recipe', () => new LocMemCache(), true],
      ['over an asynchronous cache by the recipe', () => new AsyncTestCache(), true],
    ])('renders views %s', async (__, makeCache, recipe) => {
      for (const cacheViews of [false, true]) {
        const read = await open(makeCache(), recipe, cacheViews)
        const cold = await countBodies(() => read('/home?user=ann'))
        expect(cold).toEqual({ outcome: expected('ann'), bodyRuns: 7 })
        const warm = await countBodies(() => read('/home?user=ann'))
        expect(warm).toEqual({ outcome: expected('ann'), bodyRuns: 0 })
        const users = Array.from({ length: 20 }, (___, i) => `u${i % 10}`)
        const pages = await Promise.all(users.map((user) => read(`/home?user=${user}`)))
        expect(pages).toEqual(users.map(expected))
      }
    })

    it('says what to call where the recipe is missing', async () => {
      const read = await open(new AsyncTestCache(), false, false)
      expect(await read('/home?user=ann')).toMatch(
        /the cache "default" answers asynchronously.*renderAsync/,
      )
    })

    it('passes errors on', async () => {
      for (const [cache, recipe] of [
        [new LocMemCache(), false],
        [new AsyncTestCache(), true],
      ] as const) {
        const read = await open(cache, recipe, true)
        expect(await read('/throws?user=ann')).toMatch(/RangeError: .*boom/)
        expect(await read('/bad?user=ann')).toMatch(
          /bad\.hbs.*line 2, fragment "n"\): the timeout is undefined/,
        )
        expect(await read('/home?user=ann')).toBe(expected('ann'))
      }
    })
  })
})
