import { createCaches, LocMemCache } from 'fragcache'
import { describe, expect, it } from 'vitest'
import { responseCache } from 'fragcache/express'
import { expressVersions, Site } from '../support/express.js'
import { pageEngines } from '../support/page-engines.js'

/* Pages that show their visitor, by what closes over the request too, in each way of rendering in Express. */

const TEMPLATES = {
  nunjucks: {
    t: '{{ t("hi") }}',
    getter: '{{ who }}',
    loop: '{% for k, v in user %}{{ v }}{% endfor %}',
    dump: '{{ user | dump | safe }}',
    macro: '{% macro m(u) %}{{ u.name }}{% endmacro %}{{ m(user) }}',
  },
  handlebars: {
    t: '{{t "hi"}}',
    getter: '{{who}}',
    loop: '{{#each user}}{{this}}{{/each}}',
    dump: '{{#with user}}{{name}}{{/with}}',
    macro: '{{> own u=user}}',
    own: '{{u.name}}',
  },
  eta: {
    t: '<%= it.t("hi") %>',
    getter: '<%= it.who %>',
    loop: '<% for (const v of Object.values(it.user)) { %><%= v %><% } %>',
    dump: '<%~ JSON.stringify(it.user) %>',
    macro: '<% const m = (u) => u.name %><%= m(it.user) %>',
  },
}

const modes = ['res.render', 'a callback', 'app.render', 'parts'] as const

describe.each(expressVersions)('personal on $version', ({ express }) => {
  describe.each(Object.values(pageEngines))('with $name', ({ name, install }) => {
    const templates = TEMPLATES[name as keyof typeof TEMPLATES]
    const views = Object.keys(templates).filter((view) => view !== 'own')
    it.each(modes.flatMap((mode) => views.map((view) => [mode, view] as const)))(
      'keeps no page that shows its visitor, by %s: %s',
      async (mode, view) => {
        const app = express()
        app.set('env', 'test')
        const caches = createCaches({ default: new LocMemCache() })
        const personal = ['user', 't', 'who']
        const options = { personal, strict: false, isPersonal: false } as const
        install(app, caches, templates)
        app.use(responseCache(caches, options).cacheSite())
        app.use((req, res, next) => {
          const visitor = () => String(req.get('X-User'))
          res.locals['user'] = { name: visitor() }
          res.locals['t'] = () => `hello ${visitor()}`
          Object.defineProperty(res.locals, 'who', { enumerable: true, get: visitor })
          next()
        })
        app.get('/', (_req, res, next) => {
          const send = (error: Error | null, text = ''): void => {
            if (error !== null) return next(error)
            if (mode !== 'parts') return void res.send(`${text}.`)
            res.type('html').write(text.slice(0, 2))
            setImmediate(() => res.end(text.slice(2)))
          }
          if (mode === 'res.render') res.render(view)
          else if (mode === 'app.render') app.render(view, { ...res.locals }, send)
          else res.render(view, send)
        })
        const site = await Site.open(app)
        for (const user of ['ann', 'ben']) {
          const { text } = await site.get('/', { headers: { 'X-User': user } })
          expect(text).toContain(user)
          if (user === 'ben') expect(text).not.toContain('ann')
        }
      },
    )
  })
})
