import express, { type Express, type Request } from 'express'
import { createCaches, type Cache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'

/** Pages of a shop, each with a fault or without. */
export const templates = {
  // In a fragment.
  'leaking.njk': '<h1>Shop</h1>{% cache 60 greeting %}<p>Hello {{ user.name }}!</p>{% endcache %}',
  'varied.njk':
    '<h1>Shop</h1>{% cache 60 hello user.id %}<p>Hello {{ user.name }}!</p>{% endcache %}',
  'hole.njk':
    '<h1>Shop</h1>{% cache 60 top %}<p>{{ slogan }}, {% nocache %}{{ user.name }}{% endnocache %}!</p>{% endcache %}',
  'second.njk':
    '{% if user.id %}{% cache 60 bar %}<p>{{ user.name }}, your cart</p>{% endcache %}{% endif %}',
  // As a page.
  'page.njk': '<h1>Welcome {{ user.name }}</h1>',
  'pageHole.njk': '<h1>Welcome {% nocache %}{{ user.name }}{% endnocache %}</h1>',
  'public.njk': '<h1>{{ slogan }}</h1>',
  // What differs by itself.
  'volatile.njk':
    '<form><input name="_csrf" value="{{ token }}"></form><p>made at {{ now }}, {{ chance }}</p><p>{{ user.name }}</p>',
  'sharedTime.njk':
    '{% cache 60 clock %}<p>made at {{ now }}: {{ chance }} {{ token }}</p>{% endcache %}<p>{{ user.name }}</p>',
  // Tokens, which differ by themselves.
  'csrfForm.njk':
    '{% cache 60 form %}<form><input type="hidden" name="_csrf" value="{{ token }}"></form>{% endcache %}',
  'csrfBefore.njk':
    '{% cache 60 before %}<form><input value="{{ token }}" name=authenticity_token></form>{% endcache %}',
  'csrfMeta.njk': '{% cache 60 meta %}<meta name="csrf-token" content="{{ token }}">{% endcache %}',
  'csrfScript.njk':
    '{% cache 60 script %}<script>window.shop = {"csrfToken": "{{ token }}"}</script>{% endcache %}',
  'nonce.njk': '{% cache 60 nonce %}<script nonce="{{ token }}">start()</script>{% endcache %}',
  'csrfHole.njk':
    '{% cache 60 body %}<form>{{ slogan }}{% nocache %}<input name="_csrf" value="{{ token }}">{% endnocache %}</form>{% endcache %}',
  'sharedId.njk':
    '{% cache 60 id %}<svg id="chart-{{ token }}"><title>{{ slogan }}</title></svg>{% endcache %}',
  'leakingBeside.njk': '{% cache 60 both %}<p>{{ token }} {{ user.name }}</p>{% endcache %}',
}

const names: Readonly<Record<string, string>> = { ann: 'Ann Ames', ben: 'Ben Bird' }

export const visitors = {
  anonymous: {},
  ann: { cookie: 'sid=ann', own: 'Ann Ames' },
  ben: { cookie: 'sid=ben' },
}

let count = 0

/** A shop that knows its visitors by a cookie, and keeps its pages and fragments in one cache. */
export function openShop(cache: Cache) {
  const caches = createCaches({ default: cache })
  const loader = {
    getSource: (name: string) => ({
      src: templates[name as keyof typeof templates],
      path: name,
      noCache: false,
    }),
  }
  const env = new nunjucks.Environment(loader, { autoescape: true })
  const engine = registerCache(env, caches, { personal: [] })
  const contextOf = (req: Pick<Request, 'get'>) => {
    const id = /sid=(\w+)/.exec(req.get('cookie') ?? '')?.[1]
    count++
    return {
      user: id === undefined ? { name: 'guest' } : { id, name: names[id] },
      slogan: 'Things for all',
      token: `t${count}-${Math.random().toString(36)}`,
      now: new Date(1e12 + count * 61_000).toISOString(),
      chance: ['a shoe', 'two hats', 'a bag of nuts', 'nothing'][count % 4],
    }
  }
  const pages = responseCache(caches)
  const app: Express = express()
  app.set('env', 'test')
  env.express(app)
  const render = (path: string, wraps: express.RequestHandler[] = []) => {
    app.get(`/${path}`, ...wraps, (req, res) => {
      res.render(`${path}.njk`, contextOf(req))
    })
  }
  const shared = responseCache(caches, {
    isPersonal: false,
    holes: { engines: [engine], context: contextOf as never },
  })
  for (const path of ['page', 'pageHole', 'public']) render(path, [shared.cachePage(60)])
  app.get('/varied-page', shared.cachePage(60), (req, res) => {
    res.vary('Cookie')
    res.send(`<h1>Welcome ${contextOf(req).user.name}</h1>`)
  })
  for (const file of Object.keys(templates)) render(file.replace(/\.njk$/, ''))
  app.get('/private', pages.cachePage(60), (req, res) => {
    res.set('Cache-Control', 'private').send('mine')
  })
  app.get('/account', (req, res) => {
    if (contextOf(req).user.id === undefined) res.redirect('/public')
    else res.send('your account')
  })
  app.get('/broken', () => {
    throw new Error('the shop is broken')
  })
  app.get('/uncached', (req, res) => void res.send('as it is'))
  return { app, caches, engine, pages }
}
