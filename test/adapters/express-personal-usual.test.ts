import { createCaches, LocMemCache } from 'fragcache'
import type { AdapterOptions } from 'fragcache/engine'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { oneExpress, Site } from '../support/express.js'
import { pageEngines } from '../support/page-engines.js'

/* What pages show of their visitor, where their site has not said what differs per visitor. */

const USUAL = [
  'user',
  'currentUser',
  'session',
  'csrfToken',
  '_csrf',
  'flash',
  'visitor',
  'account',
  'cart',
]

/** Of each engine: a template that shows a variable, and the same in a hole. */
const syntax = {
  nunjucks: (name: string) => ({
    shows: `{{ ${name} }}`,
    hole: `{% nocache %}{{ ${name} }}{% endnocache %}`,
  }),
  handlebars: (name: string) => ({
    shows: `{{${name}}}`,
    hole: `{{#nocache}}{{${name}}}{{/nocache}}`,
  }),
  eta: (name: string) => ({
    shows: `<%= it.${name} %>`,
    hole: `<% nocache %><%= it.${name} %><% endnocache %>`,
  }),
} as const

interface Given {
  readonly name?: string
  readonly engineOptions?: AdapterOptions
  readonly options?: ResponseCacheOptions
  readonly headers?: Record<string, string>
  /** Makes `res.locals` of a request, in place of a variable of that name. */
  readonly localsOf?: (name: string) => object
}

let routes = 0

describe.each(oneExpress)('what pages show, on $version', ({ express }) => {
  describe.each(Object.values(pageEngines))('by $name', ({ name: engineName, install }) => {
    const warnings: string[] = []
    beforeEach(() => {
      warnings.length = 0
      vi.spyOn(process, 'emitWarning').mockImplementation(((text: string, options: object) => {
        if ((options as { code?: string }).code === 'FRAGCACHE_PERSONAL_READ') warnings.push(text)
      }) as never)
    })
    afterEach(() => {
      vi.restoreAllMocks()
      vi.unstubAllEnvs()
    })

    async function open({ name = 'user', engineOptions, options, headers, localsOf }: Given = {}) {
      const app = express()
      app.set('env', 'test')
      const caches = createCaches({ default: new LocMemCache() })
      const templates = syntax[engineName as keyof typeof syntax](name)
      const engine = install(app, caches, templates, engineOptions)
      const pages = responseCache<string>(caches, {
        isPersonal: false,
        holes: { engines: [engine], context: (req) => ({ [name]: req.headers['x-user'] }) },
        ...options,
      })
      app.use(pages.cacheSite())
      const route = `/usual-${++routes}`
      app.get(`${route}/:view`, (req, res) => {
        if (headers !== undefined) res.set(headers)
        const visitor = req.get('X-User') ?? ''
        if (localsOf === undefined) res.render(req.params.view, { [name]: visitor })
        else {
          Object.defineProperties(
            res.locals,
            Object.getOwnPropertyDescriptors<object>(localsOf(visitor)),
          )
          res.render(req.params.view)
        }
      })
      const site = await Site.open(app)
      const ask = async (view: string, user: string) => {
        const headersOfUser = { 'X-User': user }
        const { status, text, headers } = await site.get(`${route}/${view}`, {
          headers: headersOfUser,
        })
        expect(status, text).toBe(200)
        return [text, String(headers['cache-status'])] as const
      }
      return { route, ask }
    }

    it.each(USUAL)('warns once of a page that is kept and shows %s', async (name) => {
      const { route, ask } = await open({ name })
      for (const user of ['ann', 'ben']) await ask('shows', user)
      expect(warnings).toEqual([
        expect.stringMatching(
          new RegExp(
            `^responseCache: GET ${route}/:view: .*reads "${name}" outside of nocache.*personal: \\[\\]`,
          ),
        ),
      ])
    })

    it.each<[string, string, Given]>([
      ['where it is read in a hole alone', 'hole', {}],
      ['where the site says that nothing differs', 'shows', { options: { personal: [] } }],
      ['where its engine says so', 'shows', { engineOptions: { personal: [] } }],
      ['of a page that is private', 'shows', { headers: { 'Cache-Control': 'private' } }],
      ['of a page that varies on the visitor', 'shows', { headers: { Vary: 'Cookie' } }],
    ])('says nothing %s', async (_where, view, given) => {
      const { ask } = await open(given)
      for (const user of ['ann', 'ben']) await ask(view, user)
      expect(warnings).toEqual([])
    })

    it('says nothing where there is no visitor, and in production', async () => {
      await (await open()).ask('shows', '')
      vi.stubEnv('NODE_ENV', 'production')
      await (await open()).ask('shows', 'ann')
      expect(warnings).toEqual([])
    })

    it('warns of the names that the engine is told of, and keeps the page', async () => {
      const { route, ask } = await open({ name: 'shop', engineOptions: { personal: ['shop'] } })
      await ask('shows', 'ann')
      expect(await ask('shows', 'ben')).toEqual(['ann', expect.stringContaining('hit')])
      expect(warnings).toEqual([
        expect.stringContaining(`GET ${route}/:view: the page is going to be kept`),
      ])
      expect(warnings[0]).toContain('reads "shop"')
    })

    it.each<[string, unknown]>([
      ['no user', false],
      ['an empty cart', { items: [], count: 0 }],
      ['a session that was begun', { cookie: { path: '/' } }],
    ])('says nothing of %s, which everybody has', async (_what, none) => {
      const { ask } = await open({ name: 'cart', localsOf: () => ({ cart: none }) })
      await ask('shows', 'ann')
      expect(warnings).toEqual([])
    })
  })
})
