import { createCaches, LocMemCache } from 'fragcache'
import type { AdapterOptions } from 'fragcache/engine'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { oneExpress, Site } from '../support/express.js'
import { pageEngines } from '../support/page-engines.js'

/* What pages show of their visitor though nobody has said what differs per visitor, and by getters. */

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

/** Of each engine: a template that shows a variable, the same in a hole, and the same in a fragment. */
const syntax = {
  nunjucks: (name: string) => ({
    shows: `{{ ${name} }}`,
    hole: `{% nocache %}{{ ${name} }}{% endnocache %}`,
    fragment: `{% cache 60 f %}{{ ${name} }}{% endcache %}`,
  }),
  handlebars: (name: string) => ({
    shows: `{{${name}}}`,
    hole: `{{#nocache}}{{${name}}}{{/nocache}}`,
    fragment: `{{#cache 60 "f"}}{{${name}}}{{/cache}}`,
  }),
  eta: (name: string) => ({
    shows: `<%= it.${name} %>`,
    hole: `<% nocache %><%= it.${name} %><% endnocache %>`,
    fragment: `<% cache 60 f %><%= it.${name} %><% endcache %>`,
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

    it('keeps no page that shows what its engine is told of', async () => {
      const { ask } = await open({ engineOptions: { personal: ['user'] } })
      for (const user of ['ann', 'ben']) {
        const [text, status] = await ask('shows', user)
        expect(text).toBe(user)
        expect(status).toContain('undeclared-read')
      }
    })

    const locals = (visitor: string) => ({
      user: { name: visitor },
      get greeting() {
        return `hello ${this.user.name}`
      },
      get now() {
        return 'now'
      },
    })

    it.each(['shows', 'fragment'])('sees what a getter of res.locals reads: %s', async (view) => {
      const personal = ['user.name']
      const engineOptions = { personal, strict: false }
      const options = { personal, strict: false }
      const greets = await open({ name: 'greeting', localsOf: locals, engineOptions, options })
      for (const user of ['ann', 'ben']) {
        const [text, status] = await greets.ask(view, user)
        expect(text).toBe(`hello ${user}`)
        expect(status).toContain('undeclared-read')
      }
      const tells = await open({ name: 'now', localsOf: locals, engineOptions, options })
      await tells.ask(view, 'ann')
      expect(await tells.ask(view, 'ben')).toEqual(['now', expect.stringContaining('hit')])
    })
  })
})
