import { createCaches, LocMemCache } from 'fragcache'
import type { AdapterOptions } from 'fragcache/engine'
import { responseCache } from 'fragcache/express'
import type { Request, Response } from 'express'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { expressVersions, Site } from '../support/express.js'
import { pageEngines } from '../support/page-engines.js'

/* Getters of what Express copies for each template: app.locals, res.locals and the data of a render. */

/** Of each engine: what a getter gave, in a page and in fragments that do and do not vary on the visitor. */
const syntax = {
  nunjucks: {
    page: '{{ greeting }}',
    fragment: '{% cache 60 f %}{{ greeting }}{% endcache %}',
    varies: '{% cache 60 f user.name %}{{ greeting }}{% endcache %}',
    included: '{% cache 60 f %}{% include "page.njk" %}{% endcache %}',
  },
  handlebars: {
    page: '{{greeting}}',
    fragment: '{{#cache 60 "f"}}{{greeting}}{{/cache}}',
    varies: '{{#cache 60 "f" user.name}}{{greeting}}{{/cache}}',
    included: '{{#cache 60 "f"}}{{> page}}{{/cache}}',
  },
  eta: {
    page: '<%= it.greeting %>',
    fragment: '<% cache 60 f %><%= it.greeting %><% endcache %>',
    varies: '<% cache 60 f it.user.name %><%= it.greeting %><% endcache %>',
    included: '<% cache 60 f %><%~ await includeAsync("page", it) %><% endcache %>',
  },
} as const

interface Visited {
  readonly user?: { readonly name: string }
  readonly greeting: string
}

/** Puts the visitor and a getter for what is shown in one of the places that Express copies. */
type Place = (req: Request, res: Response, getter: PropertyDescriptor) => object

const visitorOf = (req: Request) => ({ user: { name: String(req.get('X-User')) } })

function withGetter(target: object, getter: PropertyDescriptor): object {
  return Object.defineProperty(target, 'greeting', {
    enumerable: true,
    configurable: true,
    ...getter,
  })
}

const places: Readonly<Record<string, Place>> = {
  'app.locals': (req, _res, getter) => {
    withGetter(Object.assign(req.app.locals, visitorOf(req)), getter)
    return {}
  },
  'res.locals': (req, res, getter) => {
    withGetter(Object.assign(res.locals, visitorOf(req)), getter)
    return {}
  },
  'the data': (req, _res, getter) => withGetter(visitorOf(req), getter),
}

let sites = 0

describe.each(expressVersions)('getters on $version', ({ express }) => {
  describe.each(Object.values(pageEngines))('with $name', ({ name, install }) => {
    const templates = syntax[name as keyof typeof syntax]

    interface Given {
      readonly place: Place
      readonly get?: (this: Visited) => string
      readonly engineOptions?: AdapterOptions
      readonly personal?: readonly string[]
    }

    async function open({ place, get, engineOptions, personal }: Given) {
      const app = express()
      app.set('env', 'test')
      const caches = createCaches({ default: new LocMemCache() })
      install(app, caches, templates, engineOptions)
      app.use(responseCache(caches, { personal, strict: false, isPersonal: false }).cacheSite())
      const getter = vi.fn(
        get ??
          function (this: Visited) {
            return `hello ${String(this.user?.name)}`
          },
      )
      // A warning is given once for each route.
      const route = `/site-${++sites}`
      app.get(`${route}/:view`, (req, res) => {
        res.render(req.params.view ?? '', place(req, res, { get: getter }))
      })
      const site = await Site.open(app)
      const ask = async (path: string, user: string) => {
        const { status, text, headers } = await site.get(route + path, {
          headers: { 'X-User': user },
        })
        return { status, text, cacheStatus: String(headers['cache-status']) }
      }
      return { ask, getter }
    }

    it('counts them in an application that is mounted in another', async () => {
      const app = express()
      const inner = express()
      app.set('env', 'test')
      const caches = createCaches({ default: new LocMemCache() })
      install(inner, caches, templates)
      const options = { personal: ['user'], strict: false, isPersonal: false } as const
      app.use(responseCache(caches, options).cacheSite())
      app.use('/inner', inner)
      inner.get('/page', (req, res) => {
        inner.locals['user'] = visitorOf(req).user
        const get = function (this: Visited) {
          return `hello ${String(this.user?.name)}`
        }
        withGetter(inner.locals, { get })
        res.render('page')
      })
      const site = await Site.open(app)
      for (const user of ['ann', 'ben']) {
        const { text } = await site.get('/inner/page', { headers: { 'X-User': user } })
        expect(text).toBe(`hello ${user}`)
      }
    })

    it('names what a page shows by them in the warning while developing', async () => {
      const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      onTestFinished(() => warn.mockRestore())
      const { ask } = await open({
        place: (req, _res, getter) => withGetter(visitorOf(req), getter),
      })
      await ask('/page', 'ann')
      const told = warn.mock.calls.map(([text]) => String(text))
      expect(told).toContainEqual(expect.stringMatching(/"user"/))
    })

    describe.each(Object.entries(places))('of %s', (_where, place) => {
      it('counts in a page as what it reads, and runs once', async () => {
        const { ask, getter } = await open({ place, personal: ['user'] })
        for (const user of ['ann', 'ben']) {
          expect(await ask('/page', user)).toMatchObject({
            text: `hello ${user}`,
            cacheStatus: expect.stringContaining('detail=undeclared-read') as string,
          })
        }
        expect(getter).toHaveBeenCalledTimes(2)
      })

      it('keeps a page whose getters read nothing that differs', async () => {
        const { ask, getter } = await open({
          place,
          personal: ['session'],
          get: () => 'hello everybody',
        })
        await ask('/page', 'ann')
        expect(await ask('/page', 'ben')).toMatchObject({ text: 'hello everybody' })
        expect((await ask('/page', 'ben')).cacheStatus).toContain('hit')
        expect(getter).toHaveBeenCalledTimes(1)
      })

      it.each(['fragment', 'included'])('fails a strict %s', async (view) => {
        const { ask } = await open({ place, engineOptions: { personal: ['user'], strict: true } })
        const { status, text } = await ask(`/${view}`, 'ann')
        expect(status).toBe(500)
        expect(text).toMatch(/reads &quot;user&quot;/)
      })

      it.each(['fragment', 'included'])(
        'is not stored in a %s that is not strict',
        async (view) => {
          const { ask } = await open({
            place,
            engineOptions: { personal: ['user'], strict: false },
          })
          for (const user of ['ann', 'ben']) {
            expect((await ask(`/${view}?${user}`, user)).text).toBe(`hello ${user}`)
          }
        },
      )

      it('is stored in a fragment that varies on what it reads', async () => {
        const { ask, getter } = await open({
          place,
          engineOptions: { personal: ['user'], strict: true },
        })
        for (const [user, query] of [
          ['ann', 1],
          ['ben', 2],
          ['ann', 3],
        ] as const) {
          expect(await ask(`/varies?${query}`, user)).toMatchObject({
            status: 200,
            text: `hello ${user}`,
          })
        }
        expect(getter).toHaveBeenCalledTimes(3)
      })
    })
  })
})
