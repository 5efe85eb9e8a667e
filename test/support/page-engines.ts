import { writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Eta } from 'eta'
import type { Express } from 'express'
import type { Caches } from 'fragcache'
import type { AdapterOptions } from 'fragcache/engine'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars, { type HelperDelegate } from 'handlebars'
import nunjucks from 'nunjucks'
import type { HoleEngine } from '../../src/fragment/holes.js'
import { folderOfTest } from './folders.js'

/** One of the three engines, as an application has it. */
export interface PageEngine {
  readonly name: string
  /** Writes the templates, with their names without an ending, and renders by them from then on. */
  readonly install: (
    app: Express,
    caches: Caches,
    templates: Readonly<Record<string, string>>,
    options?: AdapterOptions,
  ) => HoleEngine
}

function writeViews(ending: string, templates: Readonly<Record<string, string>>): string {
  const views = folderOfTest()
  for (const [name, source] of Object.entries(templates)) {
    writeFileSync(join(views, `${name}.${ending}`), source)
  }
  return views
}

export const pageEngines: Readonly<Record<'nunjucks' | 'handlebars' | 'eta', PageEngine>> = {
  nunjucks: {
    name: 'nunjucks',
    install: (app, caches, templates, options) => {
      const env = nunjucks.configure(writeViews('njk', templates), { express: app })
      const handle = registerNunjucks(env, caches, options)
      app.set('view engine', 'njk')
      return handle
    },
  },
  handlebars: {
    name: 'handlebars',
    install: (app, caches, templates, options) => {
      const views = writeViews('hbs', templates)
      const handlebars = Handlebars.create()
      const handle = registerHandlebars(handlebars, caches, options)
      const compiled = new Map(
        Object.entries(templates).map(([name, source]) => {
          handlebars.registerPartial(name, source)
          return [name, handlebars.compile(source)]
        }),
      )
      app.set('views', views)
      app.set('view engine', 'hbs')
      app.engine('hbs', (file, data, done) => {
        const template = compiled.get(relative(views, file).replace(/\.hbs$/, ''))
        if (template === undefined) throw new Error(`there is no template ${file}`)
        const { helpers } = data as { readonly helpers?: Record<string, HelperDelegate> }
        const options = helpers === undefined ? {} : { helpers }
        handle.renderAsync(template, data, options).then((html) => done(null, html), done)
      })
      return handle
    },
  },
  eta: {
    name: 'eta',
    install: (app, caches, templates, options) => {
      const views = writeViews('eta', templates)
      const plugin = cachePlugin(caches, options)
      const eta = new Eta({ views, cache: true, plugins: [plugin] })
      app.set('views', views)
      app.set('view engine', 'eta')
      app.engine('eta', (file, data, done) => {
        eta.renderAsync(relative(views, file), data).then((html) => done(null, html), done)
      })
      return plugin
    },
  },
}
