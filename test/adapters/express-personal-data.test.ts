import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import type { AdapterOptions } from 'fragcache/engine'
import { responseCache } from 'fragcache/express'
import { cacheEngine, registerCache } from 'fragcache/handlebars'
import { create } from 'express-handlebars'
import Handlebars from 'handlebars'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { oneExpress, Site } from '../support/express.js'
import { folderOfTest } from '../support/folders.js'

/* Values that a Handlebars template has beside its variables: its data, such as `@user`. */

const views = {
  shows: '{{@user.name}}',
  loop: '{{#each list}}{{@user.name}}{{/each}}',
  with: '{{#with @user}}{{name}}{{/with}}',
  partial: '{{> part label=1}}',
  part: '{{@user.name}}',
  fragment: '{{#cache 60 "f" @user.name}}{{@user.name}}{{/cache}}',
}

let sites = 0

describe.each(oneExpress)('the data of Handlebars in pages of $version', ({ express }) => {
  interface Given {
    readonly cache?: Cache
    readonly engineOptions?: AdapterOptions
    readonly personal?: readonly string[]
    readonly strict?: boolean
  }

  async function open({ cache = new LocMemCache(), engineOptions, personal, ...more }: Given) {
    const app = express()
    app.set('env', 'test')
    const caches = createCaches({ default: cache })
    const handlebars = Handlebars.create()
    const handle = registerCache(handlebars, caches, engineOptions)
    for (const [name, source] of Object.entries(views)) handlebars.registerPartial(name, source)
    const templates = new Map(
      Object.entries(views).map(([name, source]) => [name, handlebars.compile(source)] as const),
    )
    const dataOf = (req: { get(name: string): string | undefined }) => ({
      user: { name: String(req.get('X-User')) },
    })
    const pages = responseCache<string>(caches, {
      isPersonal: false,
      personal,
      strict: more.strict ?? false,
    })
    app.use(pages.cacheSite())
    const route = `/data-${++sites}`
    app.get(`${route}/:view`, (req, res, next) => {
      const template = templates.get(req.params.view ?? '')
      if (template === undefined) return next()
      const variables = { list: [1], user: undefined }
      handle.renderAsync(template, variables, { data: dataOf(req) }).then((html) => {
        res.type('html').send(html)
      }, next)
    })
    const site = await Site.open(app)
    return async (view: string, user: string) => {
      const { status, text, headers } = await site.get(`${route}/${view}`, {
        headers: { 'X-User': user },
      })
      return { status, text, cacheStatus: String(headers['cache-status']) }
    }
  }

  const shown = ['shows', 'loop', 'with', 'partial', 'fragment']

  describe.each([
    ['local memory', () => new LocMemCache()],
    ['a cache that answers late', () => new AsyncTestCache()],
  ])('over %s', (_backend, newCache) => {
    describe.each([
      ['names of the engine too', { personal: ['user'] }],
      ['no names of the engine', { personal: [] }],
    ])('with %s', (_names, engineOptions) => {
      it.each(shown)('keeps no page that shows them: %s', async (view) => {
        const ask = await open({ cache: newCache(), engineOptions, personal: ['user'] })
        for (const user of ['ann', 'ben']) {
          expect(await ask(view, user)).toMatchObject({
            status: 200,
            text: user,
            cacheStatus: expect.stringContaining('detail=undeclared-read') as string,
          })
        }
      })

      it.each(shown)('fails a strict one: %s', async (view) => {
        const given = { cache: newCache(), engineOptions, personal: ['user'], strict: true }
        const ask = await open(given)
        expect(await ask(view, 'ann')).toMatchObject({ status: 500 })
      })
    })
  })

  it('keeps a page that shows other values of them', async () => {
    const ask = await open({ personal: ['session'] })
    await ask('shows', 'ann')
    expect(await ask('shows', 'ben')).toMatchObject({ text: 'ann' })
  })

  it('warns while developing', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => warn.mockRestore())
    const ask = await open({})
    await ask('shows', 'ann')
    const told = warn.mock.calls.map(([text]) => String(text))
    expect(told).toContainEqual(expect.stringMatching(/"user"/))
  })

  it('sees what express-handlebars is given', async () => {
    const folder = folderOfTest()
    writeFileSync(join(folder, 'page.hbs'), '{{@user.name}}')
    const app = express()
    app.set('env', 'test')
    const caches = createCaches({ default: new LocMemCache() })
    app.engine('hbs', cacheEngine(create({ extname: '.hbs', defaultLayout: false }), caches))
    app.set('views', folder)
    app.set('view engine', 'hbs')
    const options = { personal: ['user'], strict: false, isPersonal: false } as const
    app.use(responseCache(caches, options).cacheSite())
    app.get('/', (req, res) => {
      res.render('page', { data: { user: { name: String(req.get('X-User')) } } })
    })
    const site = await Site.open(app)
    for (const user of ['ann', 'ben']) {
      expect((await site.get('/', { headers: { 'X-User': user } })).text).toBe(user)
    }
  })
})
