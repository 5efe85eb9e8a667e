import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import express from 'express'
import { createCaches, FragmentCache, LocMemCache, type Caches } from 'fragcache'
import { Eta } from 'eta'
import { cachePlugin } from 'fragcache/eta'
import { responseCache } from 'fragcache/express'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { overlay, type OverlayOptions } from 'fragcache/inspector'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe, expect, it, onTestFinished } from 'vitest'
import { folderOfTest } from '../support/folders.js'
import { dataIn, DOCUMENT } from './overlay-site.js'

/** Files of templates in a folder of their own. */
async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = folderOfTest()
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(folder, name, '..'), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  return folder
}

interface Site {
  readonly options?: OverlayOptions
  /** Of the application. */
  readonly views?: string
  readonly render: (caches: Caches) => () => string | Promise<string>
  readonly hasPages?: boolean
}

/** What the overlay tells of the page of a site. */
async function tellOf({ options, views, render, hasPages = false }: Site) {
  const caches = createCaches({ default: new LocMemCache() })
  const page = render(caches)
  const app = express()
  if (views !== undefined) app.set('views', views)
  app.use(overlay(options))
  if (hasPages) app.use(responseCache(caches).cacheSite())
  app.get('/teas/:name', async (_req, res) => void res.send(await page()))
  const server = app.listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const read = async () => {
    const response = await fetch(`${origin}/teas/green`, { headers: DOCUMENT })
    return dataIn(await response.text())
  }
  return { first: await read(), second: await read() }
}

const fragment = (caches: Caches, template?: string) => {
  const fragments = new FragmentCache(caches)
  return () => fragments.render({ name: 'tea&co', template }, () => '<p>Tea</p>')
}

const html = (text: string) => `<!doctype html><title>Teas</title><main>${text}</main>`

describe('the overlay leads to the template in the editor', () => {
  it('in nunjucks, by the line of the tag', async () => {
    const views = await folderOf({
      'teas/tea.njk': 'first\n{% cache 60 "tea" %}<p>Tea</p>{% endcache %}',
    })
    const { first } = await tellOf({
      views,
      render(caches) {
        const env = new nunjucks.Environment(new nunjucks.FileSystemLoader(views))
        const handle = registerNunjucks(env, caches)
        return async () => html(await handle.renderAsync('teas/tea.njk'))
      },
    })
    const path = encodeURI(join(views, 'teas/tea.njk'))
    expect(first.fragments[0]).toMatchObject({
      template: 'teas/tea.njk',
      line: 2,
      inEditor: `vscode://file/${path}:2`,
    })
  })

  it('in eta and handlebars, whose names leave out how their files end', async () => {
    const views = await folderOf({
      'tea.eta': '\n\n<% cache 60 tea %><p>Tea</p><% endcache %>',
      'tea.hbs': '\n{{#cache 60 "tea"}}<p>Tea</p>{{/cache}}',
    })
    const options = { editor: 'idea://open?file={path}&line={line}' }
    const eta = await tellOf({
      options,
      views,
      render(caches) {
        const engine = new Eta({ views, plugins: [cachePlugin(caches)] })
        return async () => html(await engine.renderAsync('tea.eta', {}))
      },
    })
    const file = encodeURI(join(views, 'tea'))
    expect(eta.first.fragments[0]?.['inEditor']).toBe(`idea://open?file=${file}.eta&line=3`)
    const handlebars = await tellOf({
      options: { ...options, views: [folderOfTest(), views] },
      render(caches) {
        const engine = Handlebars.create()
        const handle = registerHandlebars(engine, caches)
        engine.registerPartial('tea', '\n{{#cache 60 "tea"}}<p>Tea</p>{{/cache}}')
        const page = engine.compile('{{> tea}}')
        return async () => html(await handle.renderAsync(page, {}))
      },
    })
    expect(handlebars.first.fragments[0]?.['inEditor']).toBe(`idea://open?file=${file}.hbs&line=2`)
  })

  it('by a path as it is, with all that means something in an address written out', async () => {
    const folder = await folderOf({ 'a&b #1?.njk': '' })
    const template = join(folder, 'a&b #1?.njk')
    const { first } = await tellOf({
      render: (caches) => {
        const page = fragment(caches, template)
        return async () => html(await page())
      },
    })
    expect(first.fragments[0]?.['inEditor']).toBe(
      `vscode://file/${encodeURI(folder)}/a%26b%20%231%3F.njk:1`,
    )
  })

  it('also of a fragment that failed', async () => {
    const views = await folderOf({ 'tea.njk': '' })
    const { first } = await tellOf({
      views,
      options: { inspector: '/__cache' },
      render(caches) {
        const fragments = new FragmentCache(caches)
        const body = () => {
          throw new Error('no tea')
        }
        return async () => {
          const text = fragments.render({ name: 'tea', template: 'tea.njk' }, body)
          return html(await text.catch(() => 'None'))
        }
      },
    })
    expect(first.failed).toEqual([
      {
        name: 'tea',
        alias: 'default',
        template: 'tea.njk',
        inEditor: `vscode://file/${encodeURI(views)}/tea.njk:1`,
        inInspector: '/__cache/#fragment?alias=default&name=tea',
      },
    ])
  })

  it.each([
    ['is no file', 'absent.njk', {}],
    ['is a folder', 'teas', {}],
    ['is not named', undefined, {}],
    ['is there, but editor is false', 'teas/tea.njk', { editor: false } as const],
  ])('but not where the template %s', async (_why, template, options) => {
    const views = await folderOf({ 'teas/tea.njk': '' })
    const { first } = await tellOf({
      views,
      options,
      render: (caches) => {
        const page = fragment(caches, template)
        return async () => html(await page())
      },
    })
    expect(first.fragments[0]?.name).toBe('tea&co')
    expect(first.fragments[0]).not.toHaveProperty('inEditor')
  })
})

describe('the overlay leads to the inspector', () => {
  const render: Site['render'] = (caches) => {
    const page = fragment(caches)
    return async () => html(await page())
  }

  it('to the page of each fragment and of the route, also where the page was found', async () => {
    const told = await tellOf({ render, hasPages: true, options: { inspector: '/__cache/' } })
    expect([told.first, told.second].map(({ page }) => page['outcome'])).toEqual(['miss', 'hit'])
    for (const { page, fragments } of [told.first, told.second]) {
      expect(fragments[0]?.['inInspector']).toBe('/__cache/#fragment?alias=default&name=tea%26co')
      expect(page).toMatchObject({
        route: 'GET /teas/:name',
        inInspector: '/__cache/#route?alias=default&route=GET+%2Fteas%2F%3Aname',
      })
    }
  })

  it('to no route where no response cache counts any', async () => {
    const { first } = await tellOf({ render, options: { inspector: '/__cache' } })
    expect(first.fragments[0]).toHaveProperty('inInspector')
    expect(first.page).not.toHaveProperty('inInspector')
  })

  it('nowhere unless it is told where that is', async () => {
    const { first } = await tellOf({ render, hasPages: true })
    expect(first.fragments[0]).not.toHaveProperty('inInspector')
    expect(first.page).not.toHaveProperty('inInspector')
  })
})
