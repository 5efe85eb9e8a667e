import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { registerCache } from 'fragcache/nunjucks'
import type { Request } from 'express'
import nunjucks from 'nunjucks'
import { describe, expect, it, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { oneExpress, Site } from '../support/express.js'
import { folderOfTest } from '../support/folders.js'
import { pageEngines } from '../support/page-engines.js'

const backends: readonly (readonly [string, () => Cache])[] = [
  ['local memory', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

/** Pages that show their visitor, or do not. `part` and `own` are included. */
const templates = {
  nunjucks: {
    shows: '{{ user.name }}',
    whole: '{{ user }}',
    asks: '{% if user is defined %}{{ user.name }}{% endif %}',
    includes: '{% include "part.njk" %}',
    part: 'a{{ user.name }}',
    varies: '{% cache 60 f user.id %}{{ user.name }}{% endcache %}',
    hole: '{% cache 60 h %}{% nocache %}{{ user.name }}{% endnocache %}{% endcache %}',
    plain: '{{ title }}{% include "own.njk" %}',
    own: '{{ title }}',
    macro: '{% macro m() %}{{ title }}{% endmacro %}{{ m() }}',
  },
  handlebars: {
    shows: '{{user.name}}',
    whole: '{{user}}',
    asks: '{{#if user}}{{user.name}}{{/if}}',
    includes: '{{> part}}',
    part: 'a{{user.name}}',
    varies: '{{#cache 60 "f" user.id}}{{user.name}}{{/cache}}',
    hole: '{{#cache 60 "h"}}{{#nocache}}{{user.name}}{{/nocache}}{{/cache}}',
    plain: '{{title}}{{> own label="x"}}',
    own: '{{title}}',
    macro: '{{#each list}}{{../title}}{{/each}}',
  },
  eta: {
    shows: '<%= it.user?.name %>',
    whole: '<%= it.user %>',
    asks: '<%= "user" in it ? it.user?.name : "" %>',
    includes: '<%~ await includeAsync("part") %>',
    part: 'a<%= it.user.name %>',
    varies: '<% cache 60 f it.user.id %><%= it.user.name %><% endcache %>',
    hole: '<% cache 60 h %><% nocache %><%= it.user.name %><% endnocache %><% endcache %>',
    plain: '<%= it.title %><%~ await includeAsync("own", { label: 1 }) %>',
    own: '<%= it.title %>',
    macro: '<% const m = () => it.title %><%= m() %>',
  },
} as const

type Done = (error: Error | null, text?: string | null) => void
type Render = (variables: object, done: Done) => void

type Name = keyof typeof templates

describe.each(oneExpress)('the option personal of pages of $version', ({ express }) => {
  describe.each(Object.values(pageEngines))('of $name', ({ name, install }) => {
    describe.each(backends)('over %s', (_backend, newCache) => {
      async function siteOf(options: ResponseCacheOptions) {
        const caches = createCaches({ default: newCache() })
        const app = express()
        app.set('env', 'test')
        const engine = install(app, caches, templates[name as Name])
        app.use((req, res, next) => {
          const id = req.get('X-User')
          res.locals['user'] = id === undefined ? undefined : { id, name: `name of ${id}` }
          res.locals['title'] = 'title'
          res.locals['list'] = [1]
          next()
        })
        const visitor = (req: { get(name: string): string | undefined }) => {
          const id = req.get('X-User')
          return { user: { id, name: `name of ${String(id)}` }, title: 'title' }
        }
        const pages = responseCache<string>(caches, {
          isPersonal: false,
          ...options,
          ...(options.holes === undefined
            ? {}
            : { holes: { engines: [engine], context: visitor as never } }),
        })
        app.use(pages.cacheSite())
        app.get('/:view', (req, res) => {
          if (req.query['vary'] !== undefined) res.vary('Cookie')
          res.render(req.params.view)
        })
        return Site.open(app)
      }

      const ask = async (site: Site, path: string, user: string) => {
        const { text, headers } = await site.get(path, { headers: { 'X-User': user } })
        return [text, String(headers['cache-status']).replace(/; ttl=\d+/, '')]
      }

      it.each([
        ['shows its visitor', '/shows', 'name of '],
        ['includes what does', '/includes', 'aname of '],
        ['holds a fragment for each visitor', '/varies', 'name of '],
      ])('keeps no page that %s', async (_what, path, text) => {
        const site = await siteOf({ personal: ['user'], strict: false })
        for (const user of ['ann', 'ben', 'ann']) {
          const [shown, status] = await ask(site, path, user)
          expect(shown).toBe(text + user)
          expect(status).toMatch(/detail=undeclared-read/)
        }
      })

      it.each(['/shows', '/includes', '/varies'])(
        'fails where it is strict and the page is to be kept: %s',
        async (path) => {
          const site = await siteOf({ personal: ['user'], strict: true })
          const headers = { 'X-User': 'ann' }
          expect(await site.get(path, { headers })).toMatchObject({
            status: 500,
            text: expect.stringContaining('reads &quot;user&quot; outside of nocache') as string,
          })
          expect((await site.get('/plain', { headers })).status).toBe(200)
          const varied = await site.get(`${path}?vary`, { headers: { ...headers, Cookie: 'a=1' } })
          expect([varied.status, varied.text]).toEqual([200, expect.stringContaining('of ann')])
        },
      )

      it.each([
        ['production', undefined, 200],
        ['test', undefined, 500],
        ['test', false, 200],
        ['production', true, 500],
      ])('is strict as fragments are: in %s with %s', async (env, strict, status) => {
        vi.stubEnv('NODE_ENV', env)
        const site = await siteOf({ personal: ['user'], strict })
        vi.unstubAllEnvs()
        for (const user of ['ann', 'ben']) {
          const answer = await site.get('/shows', { headers: { 'X-User': user } })
          expect(answer.status).toBe(status)
          if (status === 200) expect(answer.text).toBe(`name of ${user}`)
        }
      })

      async function siteOfPage(
        view: string,
        variables: (req: Request) => object,
        strict: boolean,
      ) {
        const app = express()
        app.set('env', 'test')
        const caches = createCaches({ default: newCache() })
        install(app, caches, templates[name as Name])
        app.use(
          responseCache(caches, { personal: ['user'], strict, isPersonal: false }).cacheSite(),
        )
        app.get('/', (req, res) => res.render(view, variables(req)))
        return Site.open(app)
      }

      it('keeps a page that asks whether there is a visitor, where there is none', async () => {
        const site = await siteOfPage('asks', () => ({}), true)
        for (const status of [/fwd=uri-miss; stored$/, /; hit$/]) {
          expect(await ask(site, '/', 'ann')).toEqual(['', expect.stringMatching(status)])
        }
      })

      it.each([0, false, [], 0n])(
        'keeps no page that shows %s, which is a value too',
        async (none) => {
          const of = (req: Request) => ({ user: req.get('X-User') === 'ann' ? none : 3 })
          const site = await siteOfPage('whole', of, false)
          await ask(site, '/', 'ann')
          expect(await ask(site, '/', 'ben')).toEqual([
            '3',
            expect.stringContaining('detail=undeclared-read'),
          ])
        },
      )

      it('does not fail where it is strict and the page is not to be kept', async () => {
        const site = await siteOf({ personal: ['user'], strict: true, isPersonal: () => true })
        const { status, text } = await site.get('/shows', { headers: { 'X-User': 'ann' } })
        expect([status, text]).toEqual([200, 'name of ann'])
      })

      it.each([
        ['/plain', 'titletitle'],
        ['/macro', 'title'],
      ])('keeps %s, which does not', async (path, text) => {
        const site = await siteOf({ personal: ['user'] })
        expect((await ask(site, path, 'ann'))[0]).toBe(text)
        expect(await ask(site, path, 'ben')).toEqual([text, 'fragcache; hit'])
      })

      it('keeps a page with a hole for its visitor', async () => {
        const site = await siteOf({ personal: ['user'], strict: false, holes: {} as never })
        expect((await ask(site, '/hole', 'ann'))[0]).toBe('name of ann')
        expect(await ask(site, '/hole', 'ben')).toEqual(['name of ben', 'fragcache; hit'])
        for (const user of ['ann', 'ben'])
          expect((await ask(site, '/shows', user))[0]).toBe(`name of ${user}`)
      })

      it('keeps what says Vary: Cookie, and what was made for nobody', async () => {
        const site = await siteOf({ personal: ['user'] })
        const get = (user: string) =>
          site.get('/shows?vary', { headers: { 'X-User': user, Cookie: `id=${user}` } })
        for (const user of ['ann', 'ben', 'ann'])
          expect((await get(user)).text).toBe(`name of ${user}`)
        expect((await get('ann')).headers['cache-status']).toContain('hit')
        const none = await siteOf({ personal: ['user'] })
        await none.get('/shows')
        expect((await none.get('/shows')).headers['cache-status']).toContain('hit')
      })
    })
  })

  it.each<[string, (env: nunjucks.Environment, source: string) => Render]>([
    ['a string', (env, source) => (variables, done) => env.renderString(source, variables, done)],
    [
      'a text, at once',
      (env, source) => (variables, done) => done(null, env.renderString(source, variables)),
    ],
    [
      'a template made by hand',
      (env, source) => (variables, done) =>
        done(null, new nunjucks.Template(source, env).render(variables)),
    ],
    [
      'one that was compiled in front',
      (env, source) => {
        const template = nunjucks.compile(source, env)
        return (variables, done) => template.render(variables, done)
      },
    ],
  ])('sees what Nunjucks renders of %s', async (_what, renderOf) => {
    const caches = createCaches({ default: new LocMemCache() })
    const views = folderOfTest()
    writeFileSync(join(views, 'page.njk'), '')
    for (const [source, isKept] of [
      ['Hello {{ user }}', false],
      ['Hello {{ title }}', true],
    ] as const) {
      const env = new nunjucks.Environment(null)
      const pages = responseCache(caches, { personal: ['user'], strict: false, isPersonal: false })
      const render = renderOf(env, source)
      registerCache(env, caches)
      const app = express()
      app.use(pages.cacheSite())
      app.get('/', (req, res, next) => {
        const variables = { user: req.get('X-User'), title: 'all' }
        render(variables, (error, text) => (error ? next(error) : res.send(text)))
      })
      app.engine('njk', (_path, options, done) => {
        render(options, (error, text) => done(error, text ?? ''))
      })
      app.set('views', views)
      app.get('/rendered', (req, res) => {
        res.render('page.njk', { user: req.get('X-User'), title: 'all' })
      })
      const site = await Site.open(app)
      for (const path of ['/', '/rendered']) {
        const ask = (user: string) => site.get(path, { headers: { 'X-User': user } })
        expect((await ask('ann')).text).toBe(isKept ? 'Hello all' : 'Hello ann')
        const { text, headers } = await ask('ben')
        expect(text).toBe(isKept ? 'Hello all' : 'Hello ben')
        expect(headers['cache-status']).toContain(isKept ? 'hit' : 'undeclared-read')
      }
      await caches.default.clear()
    }
  })

  it('refuses what is not a list of names', () => {
    const caches = createCaches({ default: new LocMemCache() })
    for (const personal of ['user', [''], [5]]) {
      expect(() => responseCache(caches, { personal } as never)).toThrow(/^responseCache: personal/)
    }
  })
})
