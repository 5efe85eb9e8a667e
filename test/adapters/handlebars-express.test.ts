import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ErrorRequestHandler, Express, Request } from 'express'
import { create, engine as engineOf, ExpressHandlebars } from 'express-handlebars'
import { responseCache } from 'fragcache/express'
import { cacheEngine, registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import hbs from 'hbs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HoleEngine } from '../../src/fragment/holes.js'
import { createCaches, LocMemCache, type Cache, type Caches } from '../../src/index.js'
import { countBodies } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { expressVersions, Site } from '../support/express.js'

type Engine = Parameters<Express['engine']>[1]

const VIEWS = {
  // A view that begins and ends with a fragment, as one that is trimmed must not.
  'home.hbs':
    '{{#cache 60 "top" user}}Hello {{user}}{{/cache}}\n  {{> card}}\n{{#section "js"}}{{#cache 60 "js"}}JS{{/cache}}{{/section}}\n{{#each xs}}{{#cache 60 "x" this}}{{@index}}{{this}};{{/cache}}{{/each}}',
  'greet.hbs':
    'For <b>{{#nocache}}{{visitor}}{{/nocache}}</b>{{#cache 60 "by" user tags=(cacheTags "author" user)}} by {{user}}{{/cache}}',
  'edges.hbs':
    ' {{#nocache}}{{visitor}}{{/nocache}}, {{#cache 60 "end"}}{{#nocache}}{{visitor}}{{/nocache}}{{/cache}}\n',
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

type SetUp = (app: Express, caches: Caches, hasCacheEngine: boolean) => Promise<HoleEngine>

const engines: Record<string, SetUp> = {
  'express-handlebars': async (app, caches, hasCacheEngine) => {
    const engine = create({ handlebars: Handlebars.create(), extname: '.hbs' })
    addHelpers(engine.handlebars as typeof Handlebars)
    if (hasCacheEngine) {
      const cached = cacheEngine(engine, caches)
      app.engine('hbs', cached)
      return cached
    }
    app.engine('hbs', engine.engine as Engine)
    return registerCache(engine.handlebars as typeof Handlebars, caches)
  },
  hbs: async (app, caches, hasCacheEngine) => {
    const instance = hbs.create()
    addHelpers(instance.handlebars)
    await new Promise<void>((done) => instance.registerPartials(join(views, 'partials'), done))
    if (hasCacheEngine) {
      const cached = cacheEngine(instance, caches)
      app.engine('hbs', cached)
      return cached
    }
    app.engine('hbs', instance.__express.bind(instance))
    return registerCache(instance.handlebars, caches)
  },
}

describe.each(expressVersions)('$version', ({ express }) => {
  describe.each(Object.entries(engines))('with %s', (_, setUp) => {
    const open = async (cache: Cache, hasCacheEngine: boolean, cacheViews: boolean) => {
      const app = express()
      app.set('views', views)
      app.set('view engine', 'hbs')
      if (cacheViews) app.enable('view cache')
      await setUp(app, createCaches({ default: cache }), hasCacheEngine)
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
      ['over local memory by cacheEngine', () => new LocMemCache(), true],
      ['over an asynchronous cache by cacheEngine', () => new AsyncTestCache(), true],
    ])('renders views %s', async (__, makeCache, hasCacheEngine) => {
      for (const cacheViews of [false, true]) {
        const read = await open(makeCache(), hasCacheEngine, cacheViews)
        const cold = await countBodies(() => read('/home?user=ann'))
        expect(cold).toEqual({ outcome: expected('ann'), bodyRuns: 7 })
        const warm = await countBodies(() => read('/home?user=ann'))
        expect(warm).toEqual({ outcome: expected('ann'), bodyRuns: 0 })
        const users = Array.from({ length: 20 }, (___, i) => `u${i % 10}`)
        const pages = await Promise.all(users.map((user) => read(`/home?user=${user}`)))
        expect(pages).toEqual(users.map(expected))
      }
    })

    it('says what to call where cacheEngine is missing', async () => {
      const read = await open(new AsyncTestCache(), false, false)
      expect(await read('/home?user=ann')).toMatch(
        /the cache "default" answers asynchronously.*renderAsync/,
      )
    })

    it.each([
      ['local memory', () => new LocMemCache()],
      ['an asynchronous cache', () => new AsyncTestCache()],
    ])('keeps pages with holes over %s', async (__, makeCache) => {
      const caches = createCaches({ default: makeCache() })
      const app = express()
      app.set('views', views)
      app.set('view engine', 'hbs')
      const engine = await setUp(app, caches, true)
      const holes = {
        engines: [engine],
        context: (req: Request) => ({ visitor: req.get('X-Visitor') }),
      }
      const pages = responseCache(caches, { holes })
      app.get('/:view', pages.cachePage(60), (req, res) => {
        res.render(req.params['view'], { user: 'ann', sections: {} })
      })
      const site = await Site.open(app)
      const read = async (visitor: string, path = '/greet') =>
        (await site.get(path, { headers: { 'X-Visitor': visitor } })).text
      const greeting = (visitor: string) =>
        `<body>For <b>${visitor}</b> by ann</body><i>foot</i>note`
      const cold = await countBodies(() => read('Bob'))
      expect(cold).toEqual({ outcome: greeting('Bob'), bodyRuns: 3 })
      const warm = await countBodies(() => read('Eve'))
      expect(warm).toEqual({ outcome: greeting('Eve'), bodyRuns: 0 })
      await caches.invalidateTags(['author:ann'])
      expect(await countBodies(() => read('Eve'))).toEqual({
        outcome: greeting('Eve'),
        bodyRuns: 1,
      })
      // express-handlebars trims each view.
      for (const visitor of ['Bob', 'Eve']) {
        expect(await read(visitor, '/edges')).toMatch(
          new RegExp(`^<body>\\s?${visitor}, ${visitor}\\s?</body><i>foot</i>note$`),
        )
      }
    })

    it('passes errors on', async () => {
      for (const [cache, hasCacheEngine] of [
        [new LocMemCache(), false],
        [new AsyncTestCache(), true],
      ] as const) {
        const read = await open(cache, hasCacheEngine, true)
        expect(await read('/throws?user=ann')).toMatch(/RangeError: .*boom/)
        expect(await read('/bad?user=ann')).toMatch(
          /bad\.hbs.*line 2, fragment "n"\): the timeout is undefined/,
        )
        expect(await read('/home?user=ann')).toBe(expected('ann'))
      }
    })
  })
})

describe('cacheEngine', () => {
  const caches = createCaches({ default: new LocMemCache() })

  it('leaves the engine as it is', async () => {
    const engine = create({ handlebars: Handlebars.create(), extname: '.hbs' })
    const own = Object.keys(engine)
    cacheEngine(engine, caches)
    expect(Object.keys(engine)).toEqual(own)
    const file = join(views, 'greet.hbs')
    const options = { user: 'ann', visitor: 'Bob', layout: false as never }
    expect(await engine.renderView(file, options)).toBe('For <b>Bob</b> by ann')
  })

  it('keeps what a hook of the engine makes of a view', async () => {
    class Loud extends ExpressHandlebars {
      protected override _renderTemplate(
        ...[template, context]: Parameters<ExpressHandlebars['_renderTemplate']>
      ): string {
        return ` ${template(context).toUpperCase()} `
      }
    }
    const engine = new Loud({ handlebars: Handlebars.create(), extname: '.hbs' })
    const cached = cacheEngine(engine, createCaches({ default: new AsyncTestCache() }))
    const html = await promisify(cached)(join(views, 'greet.hbs'), { user: 'ann', layout: false })
    expect(html).toBe(' FOR <B></B> BY ANN ')
  })

  it('gives what registerCache gives', async () => {
    const cached = cacheEngine(create({ handlebars: Handlebars.create() }), caches)
    expect(cached.name).toBe('handlebars')
    expect(await cached.renderAsync('{{#cache 60 "a"}}x{{/cache}}', {})).toBe('x')
  })

  it.each<[unknown, string]>([
    [engineOf(), 'does not tell which Handlebars it renders by; write create instead of engine'],
    [Handlebars, 'is Handlebars itself'],
    [undefined, 'engine: undefined is not a view engine; give the result of create'],
    ['hbs', 'engine: "hbs" is not a view engine'],
  ])('refuses what is not a view engine: %#', (engine, message) => {
    expect(() => cacheEngine(engine as never, caches)).toThrow(message)
  })
})
