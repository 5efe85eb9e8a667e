import { FragmentCache } from 'fragcache'
import express from 'express'
import { responseCache } from 'fragcache/express'
import { inspector, overlay } from 'fragcache/inspector'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { callbackify } from 'node:util'
import { cachesFor } from './caches.mjs'
import { pageContext } from './context.mjs'
import { createEta } from './engines/eta.mjs'
import { createHandlebars } from './engines/handlebars.mjs'
import { createNunjucks } from './engines/nunjucks.mjs'
import { views, viewsOf } from './engines/views.mjs'
import { foot } from './foot.mjs'
import { createNotes } from './notes.mjs'
import { createPages } from './pages.mjs'
import { createQuestions } from './questions.mjs'
import { securityHeaders } from './security.mjs'
import { storeAt } from './stores.mjs'
import { createSurveys } from './survey.mjs'
import { createVisitors } from './visitors.mjs'
import { watch } from './watch.mjs'

const makers = { nunjucks: createNunjucks, handlebars: createHandlebars, eta: createEta }

/** The engines, by the first part of their pages' addresses. */
export const engineNames = Object.keys(makers)

/**
 * The whole site.
 *
 * @param {string} [where] - Where to cache, as after `--cache`. Default: in memory.
 * @param {object} [options]
 * @param {boolean} [options.isOutlined] - Whether pages show what became of each fragment.
 */
export async function createSite(where, { isOutlined = false } = {}) {
  const notes = createNotes()
  const visitors = createVisitors()
  const ask = createQuestions(notes, visitors)
  const store = await storeAt(where)
  const caches = new Map(engineNames.map((name) => [name, cachesFor(name, store)]))
  await store.prepare?.([...caches.values()].flatMap((each) => each.aliases.map(each.get, each)))

  const clear = async (engine) => {
    const each = caches.get(engine)
    await Promise.all(each.aliases.map((alias) => each.get(alias).clear()))
  }
  // Notes and visitors are gone when the server stops, so what a store still holds of them has to go.
  await Promise.all(engineNames.map(clear))

  const surveys = createSurveys()
  const sites = [...caches].map(([name, each]) => ({
    name,
    caches: each,
    fragments: new FragmentCache(each),
  }))

  const app = express()
  app.disable('x-powered-by')
  // A page ends with what it cost this time, so two answers are never the same.
  app.disable('etag')
  app.set('views', views)
  app.enable('view cache')
  for (const name of isOutlined ? engineNames : []) {
    app.use(`/${name}`, overlay({ inspector: `/__cache/${name}`, views: viewsOf(name) }))
  }
  app.use(securityHeaders)
  app.use(express.static(fileURLToPath(new URL('public/', import.meta.url)), { index: false }))
  app.get('/', (req, res) => res.redirect(303, `/${engineNames[0]}/`))
  app.use(visitors.recognize)

  const inspectors = []

  for (const [name, make] of Object.entries(makers)) {
    const engine = make(caches.get(name), ask)
    const { extension } = engine
    const render = async (path, context) => engine.render(basename(path, `.${extension}`), context)
    app.engine(extension, callbackify(render))
    const pages = responseCache(caches.get(name), {
      alias: 'default',
      staleWhileRevalidate: 60,
      staleIfError: 600,
      lock: true,
      earlyRefresh: true,
      holes: {
        engines: [engine.holes],
        context: (req) => ({ ...pageContext(req, name), ask }),
      },
    })
    const keep = pages.cachePage(600)
    // Only this machine may look, since nobody is told otherwise.
    const inspected = inspector(caches.get(name), { pages })
    inspectors.push(inspected)
    app.use(`/__cache/${name}`, inspected)
    app.use(`/${name}`, watch, foot, createPages({ engine, notes, visitors, surveys, keep, sites }))
  }

  app.use((req, res) => {
    res.status(404).type('text').send('Not found\n')
  })

  const close = async () => {
    for (const each of inspectors) each.close()
    await Promise.all([...caches.values()].map((each) => each.close()))
    await store.close?.()
  }
  return { app, notes, clear, close }
}
