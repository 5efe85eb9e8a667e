import type { Request, Response } from 'express'
import { createCaches, dependOn, LocMemCache, type Cache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import type { HelperOptions } from 'handlebars'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { watchOutcomes } from '../support/cached-site.js'
import { eventually, oneExpress, Site } from '../support/express.js'
import { pageEngines } from '../support/page-engines.js'

const backends: readonly (readonly [string, () => Cache])[] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

/** Holes in the page, in a fragment, in a fragment of that, in a loop, and with a fragment inside. */
const templates = {
  nunjucks: {
    page: `{{ run }} {% nocache %}<{{ user }}>{% endnocache %}{% cache 600 outer %}[{{ run }}{% nocache %}({{ user }}){% endnocache %}{% cache 600 inner %}{{ run }}{% nocache %}/{{ user }}/{% endnocache %}{% endcache %}]{% endcache %}{% for x in [1, 2] %}{% nocache %}{{ token }};{% endnocache %}{% endfor %}{% nocache %}{% cache 600 mine user %}{{ user }}{% endcache %}{% endnocache %}`,
    altered: `{% filter upper %}{% nocache %}{{ user }}{% endnocache %}{% endfilter %}`,
    broken: `{% nocache %}{{ fail() }}{% endnocache %}`,
    named: `{% set text %}{% nocache %}{{ user }}{% endnocache %}{% endset %}{% nocache text=text %}{{ text | safe }}{% endnocache %}`,
    tagged: `{{ load() }} {% nocache %}{{ user }}{% endnocache %}`,
  },
  handlebars: {
    page: `{{run}} {{#nocache}}<{{user}}>{{/nocache}}{{#cache 600 "outer"}}[{{run}}{{#nocache}}({{user}}){{/nocache}}{{#cache 600 "inner"}}{{run}}{{#nocache}}/{{user}}/{{/nocache}}{{/cache}}]{{/cache}}{{#each xs}}{{#nocache}}{{@root.token}};{{/nocache}}{{/each}}{{#nocache}}{{#cache 600 "mine" user}}{{user}}{{/cache}}{{/nocache}}`,
    broken: `{{#nocache}}{{#if fail}}{{fail}}{{/if}}{{/nocache}}`,
    named: `{{#captured}}{{#nocache}}{{user}}{{/nocache}}{{else}}{{#nocache text=@text}}{{{text}}}{{/nocache}}{{/captured}}`,
    tagged: `{{load}} {{#nocache}}{{user}}{{/nocache}}`,
  },
  eta: {
    page: `<%= it.run %> <% nocache %><<%= it.user %>><% endnocache %><% cache 600 outer %>[<%= it.run %><% nocache %>(<%= it.user %>)<% endnocache %><% cache 600 inner %><%= it.run %><% nocache %>/<%= it.user %>/<% endnocache %><% endcache %>]<% endcache %><% for (const x of [1, 2]) { %><% nocache %><%= it.token %>;<% endnocache %><% } %><% nocache %><% cache 600 mine it.user %><%= it.user %><% endcache %><% endnocache %>`,
    broken: `<% nocache %><%= it.fail() %><% endnocache %>`,
    named: `<% const text = capture(() => { %><% nocache %><%= it.user %><% endnocache %><% }) %><% nocache text=text %><%~ it.text %><% endnocache %>`,
    tagged: `<%= await it.load() %> <% nocache %><%= it.user %><% endnocache %>`,
  },
} as const

/** Hands the text of its first block to its second. */
function captured(this: unknown, { fn, inverse, data }: HelperOptions): string {
  return inverse(this, { data: { ...(data as object), text: fn(this) } })
}

const shown = (user: string, run: number): string =>
  `${run} <${user}>[${run}(${user})${run}/${user}/]t-${user};t-${user};${user}`

describe.each(oneExpress)('holes of pages in $version', ({ express }) => {
  describe.each(Object.values(pageEngines))('with $name', ({ name, install }) => {
    describe.each(backends)('over %s', (backend, newCache) => {
      async function holedSite(load = (run: number): unknown => run) {
        const caches = createCaches({ default: newCache() })
        const app = express()
        app.set('env', 'test')
        const engine = install(app, caches, templates[name as keyof typeof templates])
        const pages = responseCache(caches, {
          holes: {
            engines: [engine],
            context: async (req) => {
              await Promise.resolve()
              const user = req.get('X-User') ?? 'nobody'
              const fail = () => {
                throw new Error('the hole failed')
              }
              return { user, token: `t-${user}`, fail, xs: [1, 2] }
            },
          },
        })
        let runs = 0
        app.use(pages.cachePage(600), (req, res) => {
          const run = ++runs
          const it = {
            run,
            user: 'the view’s',
            token: 'the view’s',
            xs: [1, 2],
            helpers: { captured },
            load: () => load(run),
          }
          res.render(req.path.slice(1).replace(/-.*/, ''), it)
        })
        app.use((error: unknown, _req: Request, res: Response, next: () => void) => {
          if (res.headersSent) next()
          else res.status(500).send(String(error))
        })
        const site = await Site.open(app)
        const outcomes = watchOutcomes(site.origin)
        const get = async (path: string, user: string, method = 'GET') => {
          const before = outcomes.length
          const answer = await site.get(path, { method, headers: { 'X-User': user } })
          await eventually(() => outcomes.length > before)
          return answer
        }
        return { caches, get, outcomes }
      }

      it('are filled for each visitor, cold and warm', async () => {
        const { get, outcomes } = await holedSite()
        for (const user of ['ann', 'ben', 'ann', 'cem']) {
          expect((await get('/page', user)).text).toBe(shown(user, 1))
        }
        expect(outcomes).toEqual(['miss', 'hit', 'hit', 'hit'])
      })

      it('are filled in fragments that another page made', async () => {
        const { get } = await holedSite()
        await get('/page', 'ann')
        const other = shown('ben', 1).replace(/^1/, '2')
        expect((await get('/page-2', 'ben')).text).toBe(other)
        expect((await get('/page-2', 'cem')).text).toBe(other.replaceAll('ben', 'cem'))
      })

      it('are filled from the same variables by a method that is not cached', async () => {
        const { get, outcomes } = await holedSite()
        expect((await get('/page', 'ann', 'POST')).text).toBe(shown('ann', 1))
        expect((await get('/page', 'ben', 'POST')).text).toBe(shown('ben', 1).replace(/^1/, '2'))
        expect(outcomes).toEqual(['bypass method', 'bypass method'])
      })

      it.skipIf(backend === 'LocMemCache')(
        'are filled from them while the cache is down',
        async () => {
          const { caches, get, outcomes } = await holedSite()
          ;(caches.default as AsyncTestCache).failing = true
          expect((await get('/page', 'ann')).text).toBe(shown('ann', 1))
          expect((await get('/page', 'ben')).text).toBe(shown('ben', 2))
          expect(outcomes).toEqual(['bypass cache-failed', 'bypass cache-failed'])
        },
      )

      it('do not hide the tags that a template declares', async () => {
        const { caches, get, outcomes } = await holedSite((run) => {
          void dependOn(['t'])
          return run
        })
        expect((await get('/tagged', 'ann')).text).toBe('1 ann')
        expect((await get('/tagged', 'ben')).text).toBe('1 ben')
        await caches.invalidateTags(['t'])
        expect((await get('/tagged', 'ben')).text).toBe('2 ben')
        expect(outcomes).toEqual(['miss', 'hit', 'miss'])
      })

      it.runIf(name === 'eta')('do not hide what is being made in a template', async () => {
        let open = () => undefined as void
        const opened = new Promise<void>((resolve) => (open = resolve))
        const begun: number[] = []
        const { caches, get } = await holedSite((run) =>
          caches.default.getOrSet(
            'k',
            async () => {
              begun.push(run)
              if (run === 1) await opened
              return run
            },
            { tags: ['t'] },
          ),
        )
        const first = get('/tagged', 'ann')
        await eventually(() => begun.length === 1)
        await caches.invalidateTags(['t'])
        const second = get('/tagged', 'ben')
        await eventually(() => begun.length === 2)
        expect((await second).text).toBe('2 ben')
        open()
        await first
      })

      it('hand on what a hole throws', async () => {
        const { get } = await holedSite()
        for (const user of ['ann', 'ben']) {
          const { status, text } = await get('/broken', user)
          expect(status).toBe(500)
          expect(text).toContain('the hole failed')
        }
      })

      it('do not take the text of another hole, which is not there yet', async () => {
        const { get } = await holedSite()
        for (const user of ['ann', 'ben']) {
          const { status, text } = await get('/named', user)
          expect(status).toBe(500)
          expect(text).toContain('the output of nocache was carried out of')
        }
      })

      it.runIf(name === 'nunjucks')('are refused where something alters them', async () => {
        const { get } = await holedSite()
        for (const user of ['ann', 'ben']) {
          const { status, text } = await get('/altered', user)
          expect(status).toBe(500)
          expect(text).toMatch(/CacheTagError|altered/)
        }
      })
    })
  })
})
