import type { NextFunction, Request, Response } from 'express'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { guard, responseCache } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { oneExpress, Site } from '../support/express.js'
import { pageEngines } from '../support/page-engines.js'

const backends: readonly (readonly [string, () => Cache])[] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

/** `read` reads the visitor, `vary` varies on it, `hole` reads it in a hole, `outer` reads it deeper. */
const templates = {
  nunjucks: {
    read: `{% cache 60 a %}{{ req.user.name }}{% endcache %}`,
    vary: `{% cache 60 b req.user.id %}{{ req.user.name }}{% endcache %}`,
    hole: `{% cache 60 c %}{% nocache %}{{ req.user.name }}{% endnocache %}{% endcache %}`,
    outer: `{% cache 60 d %}{% cache 60 e req.user.id %}{{ req.user.name }}{% endcache %}{% endcache %}`,
    taken: `{% cache 60 f %}{{ user.name }}{% endcache %}`,
    fails: `{% cache 60 h req.user.id fail() %}{% endcache %}`,
    free: `{% cache 60 g %}{{ req.path }}{% endcache %} {{ req.user.name }}`,
  },
  handlebars: {
    read: `{{#cache 60 "a"}}{{req.user.name}}{{/cache}}`,
    vary: `{{#cache 60 "b" req.user.id}}{{req.user.name}}{{/cache}}`,
    hole: `{{#cache 60 "c"}}{{#nocache}}{{req.user.name}}{{/nocache}}{{/cache}}`,
    outer: `{{#cache 60 "d"}}{{#cache 60 "e" req.user.id}}{{req.user.name}}{{/cache}}{{/cache}}`,
    taken: `{{#cache 60 "f"}}{{user.name}}{{/cache}}`,
    fails: `{{#cache 60 "h" req.user.id (fail)}}{{/cache}}`,
    free: `{{#cache 60 "g"}}{{req.url}}{{/cache}} {{req.user.name}}`,
  },
  eta: {
    read: `<% cache 60 a %><%= it.req.user.name %><% endcache %>`,
    vary: `<% cache 60 b it.req.user.id %><%= it.req.user.name %><% endcache %>`,
    hole: `<% cache 60 c %><% nocache %><%= it.req.user.name %><% endnocache %><% endcache %>`,
    outer: `<% cache 60 d %><% cache 60 e it.req.user.id %><%= it.req.user.name %><% endcache %><% endcache %>`,
    taken: `<% cache 60 f %><%= it.user.name %><% endcache %>`,
    fails: `<% cache 60 h it.req.user.id it.fail() %><% endcache %>`,
    free: `<% cache 60 g %><%= it.req.path %><% endcache %> <%= it.req.user.name %>`,
  },
} as const

type Name = keyof typeof templates

describe.each(oneExpress)('guard(req) in templates of $version', ({ express }) => {
  describe.each(Object.values(pageEngines))('of $name', ({ name, install }) => {
    describe.each(backends)('over %s', (_name, newCache) => {
      async function guardedSite() {
        const caches = createCaches({ default: newCache() })
        const app = express()
        app.set('env', 'test')
        install(app, caches, templates[name as Name])
        app.use((req, res, next) => {
          const id = req.get('X-User')
          Object.assign(req, { user: { id, name: `name of ${id}` } })
          const guarded = guard(req as Request & { user: object })
          Object.assign(res.locals, { req: guarded, user: guarded.user })
          next()
        })
        app.get('/page/:view', responseCache(caches, { isPersonal: false }).cachePage(60))
        app.get(['/page/:view', '/:view'], (req, res) => {
          const fail = () => {
            throw new Error('no such thing')
          }
          const view = String((req.params as Record<string, string>)['view'])
          res.render(view, { fail, helpers: { fail } })
        })
        app.use((error: unknown, _req: Request, res: Response, next: NextFunction) => {
          if (res.headersSent) next()
          else res.status(500).send(String(error))
        })
        const site = await Site.open(app)
        return async (path: string, user: string) => {
          const { status, text } = await site.get(path, { headers: { 'X-User': user } })
          return status === 200 ? text : `${status} ${text}`
        }
      }

      it.each(['read', 'taken', 'outer'])(
        'what only one visitor may see, and vary-on does not name, is refused: %s',
        async (view) => {
          const get = await guardedSite()
          for (const user of ['ann', 'ben']) {
            expect(await get(`/${view}`, user)).toMatch(/^500 .*cache tag .*user.*vary-on/s)
          }
        },
      )

      it('arguments that failed declare nothing for whatever comes next', async () => {
        const get = await guardedSite()
        expect(await get('/fails', 'ann')).toMatch(/^500 .*no such thing/s)
        expect(await get('/read', 'ann')).toMatch(/^500 .*vary-on/s)
        expect(await get('/read', 'ben')).toMatch(/^500 .*vary-on/s)
      })

      it('what vary-on names may be read', async () => {
        const get = await guardedSite()
        for (const user of ['ann', 'ben', 'ann']) {
          expect(await get('/vary', user)).toBe(`name of ${user}`)
        }
      })

      it('so may be what stands in a hole', async () => {
        const get = await guardedSite()
        for (const user of ['ann', 'ben', 'ann']) {
          expect(await get('/hole', user)).toBe(`name of ${user}`)
        }
      })

      it('so may be all else, and anything outside of fragments', async () => {
        const get = await guardedSite()
        expect(await get('/free', 'ann')).toBe('/free name of ann')
        expect(await get('/free', 'ben')).toBe('/free name of ben')
      })
    })
  })
})
