import { Eta } from 'eta'
import { createCaches, FragmentCache, LocMemCache, type Caches } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { overlay } from 'fragcache/inspector'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { expressVersions, Site } from '../support/express.js'
import { dataIn, DOCUMENT, markedIn, undrawn } from './overlay-site.js'

type Render = (caches: Caches) => () => string | Promise<string>

const expected = '<ul><li>a</li></ul><p>b</p>'

/** Ways of rendering a list with an item in it, and what stands beside it. */
const synchronous: Readonly<Record<string, Render>> = {
  'nunjucks by render': (caches) => {
    const env = new nunjucks.Environment([])
    registerNunjucks(env, caches)
    const template =
      '{% cache 60 "list" %}<ul>{% cache 60 "item" %}<li>a</li>{% endcache %}</ul>{% endcache %}{% cache 60 "other" %}<p>b</p>{% endcache %}'
    return () => env.renderString(template, {})
  },
  'handlebars by a template': (caches) => {
    const handlebars = Handlebars.create()
    registerHandlebars(handlebars, caches)
    const template = handlebars.compile(
      '{{#cache 60 "list"}}<ul>{{#cache 60 "item"}}<li>a</li>{{/cache}}</ul>{{/cache}}{{#cache 60 "other"}}<p>b</p>{{/cache}}',
    )
    return () => template({})
  },
  'eta by render': (caches) => {
    const eta = new Eta({ plugins: [cachePlugin(caches)] })
    const template =
      '<% cache 60 list %><ul><% cache 60 item %><li>a</li><% endcache %></ul><% endcache %><% cache 60 other %><p>b</p><% endcache %>'
    return () => eta.renderString(template, {})
  },
  'renderSync from code': (caches) => {
    const fragments = new FragmentCache(caches)
    return () =>
      fragments.renderSync({ name: 'list' }, () => {
        const item = fragments.renderSync({ name: 'item' }, () => '<li>a</li>')
        return `<ul>${item}</ul>`
      }) + fragments.renderSync({ name: 'other' }, () => '<p>b</p>')
  },
}

const asynchronous: Readonly<Record<string, Render>> = {
  'render and renderMany from code': (caches) => {
    const fragments = new FragmentCache(caches)
    return async () => {
      const list = async () =>
        `<ul>${await fragments.render({ name: 'item' }, () => '<li>a</li>')}</ul>`
      const other = { name: 'other', body: () => '<p>b</p>' }
      return (await fragments.renderMany([{ name: 'list', body: list }, other])).join('')
    }
  },
}

const cases = [
  ...Object.entries(synchronous).map(([name, render]) => [name, render, LocMemCache] as const),
  ...Object.entries(asynchronous).map(([name, render]) => [name, render, AsyncTestCache] as const),
]

describe.each(expressVersions)('the overlay in $version', ({ express }) => {
  it.each(cases)('draws what is rendered in %s', async (_name, toRender, Store) => {
    const caches = createCaches({ default: new Store() })
    const render = toRender(caches)
    const app = express()
    app.use(overlay())
    app.use(overlay())
    app.get('/', async (_req, res) => void res.send(await render()))
    const site = await Site.open(app)
    for (const outcome of ['miss', 'hit']) {
      const { text, headers } = await site.get('/', { headers: DOCUMENT })
      expect(headers['cache-control']).toBe('no-store')
      expect(undrawn(text)).toBe(expected)
      const { fragments } = dataIn(text)
      expect(
        fragments.map(({ name, outcome: own, id }) => [name, own, markedIn(text, id)]),
      ).toEqual([
        ['list', outcome, '<ul><li>a</li></ul>'],
        ['item', outcome, '<li>a</li>'],
        ['other', outcome, '<p>b</p>'],
      ])
    }
    expect((await site.get('/')).text).toBe(expected)
    await caches.close()
  })
})
