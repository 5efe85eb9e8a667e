import { PassThrough } from 'node:stream'
import type { RequestHandler } from 'express'
import { createCaches, dependOn, FragmentCache, LocMemCache, type Cache } from 'fragcache'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { stopClock, watchOutcomes } from '../support/cached-site.js'
import { eventually, oneExpress, Site } from '../support/express.js'
import { pageEngines } from '../support/page-engines.js'
import { gate, pause } from '../support/waiting.js'

const backends: readonly (readonly [string, () => Cache])[] = [
  ['LocMemCache', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

/** A list of countries: an outer fragment of the page, in it one for each, tagged. */
const templates = {
  nunjucks: {
    list: `{{ page }} {% cache 600 list codes %}({% for code in codes %}{% cache 600 country code tags=["country:" ~ code] %}{{ make(code) }}{% endcache %} {% endfor %}){% endcache %}`,
    plain: `{{ page }}`,
  },
  handlebars: {
    list: `{{page}} {{#cache 600 "list" codes}}({{#each codes}}{{#cache 600 "country" this tags=(tag this)}}{{make this}}{{/cache}} {{/each}}){{/cache}}`,
    plain: `{{page}}`,
  },
  eta: {
    list: `<%= it.page %> <% cache 600 list it.codes %>(<% for (const code of it.codes) { %><% cache 600 country code tags=['country:' + code] %><%= it.make(code) %><% endcache %> <% } %>)<% endcache %>`,
    plain: `<%= it.page %>`,
  },
} as const

describe.each(oneExpress)('what pages depend on in $version', ({ express }) => {
  /** A site whose runs are told by path. */
  async function site(
    cache: Cache,
    view: RequestHandler,
    {
      install,
      ...options
    }: ResponseCacheOptions & {
      install?: (
        app: ReturnType<typeof express>,
        caches: Parameters<typeof responseCache>[0],
      ) => void
    } = {},
  ) {
    const caches = createCaches({
      default: cache,
      pages: new LocMemCache({ options: { maxEntries: 5000 } }),
    })
    const pages = responseCache<string>(caches, options)
    const app = express()
    install?.(app, caches)
    const runs: string[] = []
    app.use(pages.cachePage(600), (req, res, next) => {
      runs.push(req.path)
      view(req, res, next)
    })
    const opened = await Site.open(app)
    const outcomes = watchOutcomes(opened.origin)
    async function get(path: string): Promise<string> {
      const before = outcomes.length
      const answer = await opened.get(path)
      await eventually(() => outcomes.length > before)
      if (answer.status !== 200) throw new Error(answer.text)
      return answer.text
    }
    return {
      caches,
      pages,
      fragments: new FragmentCache(caches),
      origin: opened.origin,
      get,
      /** The same, all at once. */
      async madeAtOnce(paths: readonly string[]) {
        const before = outcomes.length
        runs.length = 0
        await Promise.all(paths.map((path) => opened.get(path)))
        await eventually(() => outcomes.length >= before + paths.length)
        return [...runs].sort()
      },
      /** The paths whose views run when all these are asked for. */
      async made(paths: readonly string[]) {
        runs.length = 0
        for (const path of paths) await get(path)
        return [...runs].sort()
      },
    }
  }

  describe.each(Object.values(pageEngines))('with $name', ({ name, install }) => {
    describe.each(backends)('over %s', (_name, newCache) => {
      async function countries(options: ResponseCacheOptions = {}) {
        const state = { times: 0 }
        const made = await site(
          newCache(),
          (req, res) => {
            const codes = req.path.slice(1).split('-')
            const shown = {
              page: req.path,
              codes,
              make: (code: string) => `${code}${++state.times}`,
            }
            res.render(req.path === '/plain' ? 'plain' : 'list', {
              ...shown,
              helpers: { make: shown.make, tag: (code: string) => `country:${code}` },
            })
          },
          {
            ...options,
            install: (app, caches) => {
              install(app, caches, templates[name as keyof typeof templates])
            },
          },
        )
        return { ...made, state }
      }

      const paths = ['/fr', '/de', '/fr-de', '/de-it', '/it-fr', '/plain']

      it.each(['default', 'pages'])(
        'are what is in them at any depth, made or found, with the pages in the cache %j',
        async (alias) => {
          const { caches, made } = await countries({ alias })
          expect(await made(paths)).toEqual([...paths].sort())
          expect(await made(paths)).toEqual([])
          await caches.invalidateTags(['country:fr'])
          expect(await made(paths)).toEqual(['/fr', '/fr-de', '/it-fr'])
          expect(await made(paths)).toEqual([])
          await caches.invalidateTags(['country:it', 'country:xx'])
          expect(await made(paths)).toEqual(['/de-it', '/it-fr'])
          expect(await made(paths)).toEqual([])
        },
      )

      it('are what is in the outer fragment, when that is found', async () => {
        const { caches, made, pages, origin } = await countries()
        await made(['/fr-de'])
        await pages.invalidate(`${origin}/fr-de`)
        // Made again of what was found.
        expect(await made(['/fr-de'])).toEqual(['/fr-de'])
        await caches.invalidateTags(['country:de'])
        expect(await made(['/fr-de'])).toEqual(['/fr-de'])
      })

      it('are their fragments by name, and their own URLs', async () => {
        const { fragments, pages, origin, made } = await countries()
        await made(paths)
        await fragments.invalidate('country')
        expect(await made(paths)).toEqual(paths.filter((path) => path !== '/plain').sort())
        await fragments.invalidate('list')
        expect(await made(paths)).toEqual(paths.filter((path) => path !== '/plain').sort())
        await fragments.invalidate('another')
        expect(await made(paths)).toEqual([])
        await pages.invalidate(`${origin}/fr`)
        expect(await made(paths)).toEqual(['/fr'])
      })
    })
  })

  describe.each(backends)('by dependOn, over %s', (_name, newCache) => {
    const ways: Readonly<Record<string, (fragments: FragmentCache) => RequestHandler>> = {
      'in a route': () => (_req, res) => {
        dependOn(['x'])
        res.send('page')
      },
      'after an await': () => async (_req, res) => {
        await pause(2)
        dependOn(['x'])
        res.send('page')
      },
      'in a timer': () => (_req, res) => {
        setTimeout(() => {
          dependOn(['x'])
          setImmediate(() => res.send('page'))
        }, 2)
      },
      'in a stream': () => (_req, res) => {
        const stream = new PassThrough()
        stream.on('data', () => void dependOn(['x']))
        stream.pipe(res)
        setTimeout(() => stream.end('page'), 2)
      },
      'in a stream that is written in pieces': () => async (_req, res) => {
        res.write('pa')
        await pause(2)
        dependOn(['x'])
        res.end('ge')
      },
      'in the body of a fragment': (fragments) => async (_req, res) => {
        const body = async () => {
          await pause(1)
          dependOn(['x'])
          return 'page'
        }
        res.send(await fragments.render({ name: 'a' }, body))
      },
      'in the body of a fragment in a fragment': (fragments) => async (_req, res) => {
        const inner = () =>
          fragments.render({ name: 'b' }, () => {
            dependOn(['x'])
            return 'page'
          })
        res.send(await fragments.render({ name: 'a' }, inner))
      },
      'in the producer of a value': (fragments) => async (_req, res) => {
        const make = async () => {
          await pause(1)
          dependOn(['x'])
          return 'page'
        }
        res.send(await fragments.caches.get('default').getOrSet('value', make))
      },
    }

    it.each(Object.entries(ways))('%s', async (_way, makeView) => {
      let view: RequestHandler = () => undefined
      const { caches, fragments, made } = await site(newCache(), (...args) => void view(...args))
      view = makeView(fragments)
      expect(await made(['/p'])).toEqual(['/p'])
      expect(await made(['/p'])).toEqual([])
      await caches.invalidateTags(['y'])
      expect(await made(['/p'])).toEqual([])
      await caches.invalidateTags(['x'])
      expect(await made(['/p'])).toEqual(['/p'])
      // What is in it was made again, or found with what it depends on.
      expect(await made(['/p'])).toEqual([])
      await caches.invalidateTags(['x'])
      expect(await made(['/p'])).toEqual(['/p'])
    })

    it('in a helper of a template', async () => {
      const { caches, made } = await site(
        newCache(),
        (_req, res) => {
          const touch = (): string => {
            dependOn(['x'])
            return 'touched'
          }
          res.render('page', { touch })
        },
        {
          install: (app, made) => {
            const page = `{% cache 600 a %}{{ touch() }}{% endcache %}`
            pageEngines.nunjucks.install(app, made, { page })
          },
        },
      )
      await made(['/p'])
      expect(await made(['/p'])).toEqual([])
      await caches.invalidateTags(['x'])
      expect(await made(['/p'])).toEqual(['/p'])
    })

    it('does nothing where nothing is made, and refuses what is no tag', async () => {
      expect(() => dependOn(['x'])).not.toThrow()
      expect(() => dependOn('x' as unknown as string[])).toThrow(TypeError)
      const { caches, made } = await site(newCache(), (_req, res) => void res.send('page'))
      await made(['/p'])
      await caches.invalidateTags(['x'])
      expect(await made(['/p'])).toEqual([])
    })

    it('an invalidation during a slow view wins', async () => {
      const [begun, wasInvalidated] = [gate(), gate()]
      const { caches, made, get } = await site(newCache(), async (_req, res) => {
        dependOn(['x'])
        begun.open()
        await wasInvalidated.opened
        res.send('page')
      })
      const slow = get('/p')
      await begun.opened
      await caches.invalidateTags(['x'])
      wasInvalidated.open()
      await slow
      expect(await made(['/p'])).toEqual(['/p'])
      expect(await made(['/p'])).toEqual([])
    })

    it('200 requests at once do not depend on each other’s', { timeout: 60_000 }, async () => {
      const { caches, fragments, madeAtOnce } = await site(
        newCache(),
        async (req, res) => {
          const id = req.path.slice(1)
          const rest = () => pause(Math.floor(Math.random() * 8))
          await rest()
          dependOn([`route:${id}`])
          const body = async () => {
            await rest()
            dependOn([`body:${id}`])
            return id
          }
          const [one, two] = await Promise.all([
            fragments.render({ name: 'one', varyOn: [id], tags: [`tag:${id}`] }, body),
            fragments.render({ name: 'two', varyOn: [id] }, () => id),
          ])
          await new Promise<void>((resolve) => {
            setTimeout(() => {
              dependOn([`timer:${id}`])
              resolve()
            }, Math.random() * 5)
          })
          res.send(one + two)
        },
        { alias: 'pages' },
      )
      const all = Array.from({ length: 200 }, (_, i) => `/${i}`)
      expect(await madeAtOnce(all)).toEqual([...all].sort())
      expect(await madeAtOnce(all)).toEqual([])
      for (const [kind, id] of [
        ['route', 3],
        ['body', 77],
        ['tag', 121],
        ['timer', 199],
      ] as const) {
        await caches.invalidateTags([`${kind}:${id}`])
        expect(await madeAtOnce(all)).toEqual([`/${id}`])
      }
    })
  })

  describe.each(backends)('as long as what is in them, over %s', (_name, newCache) => {
    it('with bubbleTimeout a page ends with what ends first in it', async () => {
      const clock = stopClock()
      const { made, get, fragments, caches } = await site(
        newCache(),
        async (req, res) => {
          const inner = () =>
            req.path === '/value'
              ? caches.default.getOrSet('value', 'v', { timeout: 30 })
              : fragments.render({ name: 'inner', timeout: 30 }, () => 'i')
          const outer = { name: 'outer', timeout: 300, varyOn: [req.path] }
          res.send(await fragments.render(outer, inner))
        },
        { bubbleTimeout: true },
      )
      await made(['/p', '/value'])
      clock.advance(29)
      expect(await made(['/p', '/value'])).toEqual([])
      clock.advance(2)
      expect(await made(['/p', '/value'])).toEqual(['/p', '/value'])
      expect(await get('/p')).toBe('i')
    })

    it('with bubbleTimeout later caches are told no more', async () => {
      stopClock()
      const caches = createCaches({ default: newCache() })
      const pages = responseCache(caches, { bubbleTimeout: true })
      const app = express()
      app.use(pages.cachePage(600), (_req, res, next) => {
        const value = caches.default.getOrSet('value', 'v', { timeout: 30 })
        value.then((made) => res.set('Cache-Control', 'public, s-maxage=500').send(made), next)
      })
      const { headers } = await (await Site.open(app)).get('/p')
      expect(headers['cache-control']).toBe('public, s-maxage=30, max-age=30')
    })

    it('what is past its time is in no page that is kept', async () => {
      const clock = stopClock()
      const { made, get, caches } = await site(newCache(), async (_req, res) => {
        const options = { timeout: 30, staleWhileRevalidate: 600 }
        res.send(await caches.default.getOrSet('value', () => String(Date.now()), options))
      })
      const first = await get('/p')
      clock.advance(31)
      await caches.invalidateTags(['nothing'])
      expect(await get('/q')).toBe(first)
      // Once it was made again, so is the page.
      await expect.poll(() => caches.default.get('value')).toEqual(expect.any(String))
      expect(await made(['/q'])).toEqual(['/q'])
      expect(await get('/q')).not.toBe(first)
    })

    it('without it a page lives on', async () => {
      const clock = stopClock()
      const { made } = await site(newCache(), async (_req, res) => {
        res.send('page')
      })
      await made(['/p'])
      clock.advance(500)
      expect(await made(['/p'])).toEqual([])
    })
  })

  it.each(['yes', 1])('bubbleTimeout is refused as %j', (bubbleTimeout) => {
    const caches = createCaches({ default: new LocMemCache() })
    const options = { bubbleTimeout } as unknown as ResponseCacheOptions
    expect(() => responseCache<string>(caches, options)).toThrow(
      /bubbleTimeout: .* is not true or false/,
    )
  })
})
