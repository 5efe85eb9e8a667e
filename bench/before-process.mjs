/**
 * One hit of the benchmark `before`, in a process of its own: what another build leaves in the engine's caches would
 * slow down the second one. Prints the nanoseconds of processor time that the quickest of many short rounds took.
 */
import { IncomingMessage, ServerResponse } from 'node:http'
import { resolve } from 'node:path'
import { Duplex } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { Eta } from 'eta'
import express from 'express'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { quickest } from './measure.mjs'

const TEXT = 'x'.repeat(500)
const COUNT = 20
const numbers = Array.from({ length: COUNT }, (_, i) => i)
const context = { user: 'ann', text: TEXT }
const page = (tag) => numbers.map((i) => `<div>${tag(i)}</div>`).join('\n')

/** The subpaths of a build, by name; the package's own are those of its `exports`. */
async function load(folder) {
  const from = (path, own) =>
    folder === undefined ? import(own) : import(pathToFileURL(resolve(folder, 'dist', path)).href)
  const core = await from('src/index.js', 'fragcache')
  const engine = (name) => from(`adapters/${name}/index.js`, `fragcache/${name}`)
  return {
    ...core,
    nunjucks: await engine('nunjucks'),
    handlebars: await engine('handlebars'),
    eta: await engine('eta'),
    express: await engine('express'),
  }
}

const newCaches = ({ createCaches, LocMemCache }) =>
  createCaches({ default: new LocMemCache({ options: { maxEntries: 10_000 } }) })

/** What is measured of a build: functions that each answer from the cache. */
async function hitsOf(build) {
  const caches = newCaches(build)
  const cache = caches.default
  await cache.set('key', TEXT)
  const fragments = new build.FragmentCache(caches)
  const options = { name: 'sidebar', timeout: 500, varyOn: ['ann'] }

  const env = new nunjucks.Environment(null, { autoescape: true })
  build.nunjucks.registerCache(env, newCaches(build))
  const ofNunjucks = nunjucks.compile(
    page((i) => `{% cache 500 f${i} user %}{{ text }}{% endcache %}`),
    env,
  )
  const instance = Handlebars.create()
  build.handlebars.registerCache(instance, newCaches(build))
  const ofHandlebars = instance.compile(
    page((i) => `{{#cache 500 "f${i}" user}}{{text}}{{/cache}}`),
  )
  const eta = new Eta({ plugins: [build.eta.cachePlugin(newCaches(build))] })
  const ofEta = eta.compile(
    page((i) => `<% cache 500 f${i} it.user %><%= it.text %><% endcache %>`),
  )

  return {
    get: () => cache.get('key'),
    getOrSet: () => cache.getOrSet('key', () => TEXT),
    renderSync: () => fragments.renderSync(options, () => TEXT),
    '20 tags of Nunjucks': () => ofNunjucks.render(context),
    '20 tags of Handlebars': () => ofHandlebars(context),
    '20 tags of Eta': () => eta.render(ofEta, context),
    'page of Express': pageHit(build.express.responseCache(newCaches(build), { seconds: 600 })),
  }
}

/** A hit of a page without a network: a request goes in, and the answer is thrown away. */
function pageHit(pages) {
  const app = express()
  app.use(pages.cacheSite())
  app.get('/', (req, res) => res.send(TEXT))
  return () =>
    new Promise((done) => {
      const socket = new Duplex({ read() {}, write: (_chunk, _encoding, next) => next() })
      const req = new IncomingMessage(socket)
      Object.assign(req, { method: 'GET', url: '/', httpVersionMajor: 1, httpVersionMinor: 1 })
      req.headers = { host: 'example.com' }
      req.rawHeaders = ['Host', 'example.com']
      const res = new ServerResponse(req)
      res.assignSocket(socket)
      res.on('finish', done)
      app(req, res)
    })
}

const [name, folder] = process.argv.slice(2)
const hits = await hitsOf(await load(folder))
process.stdout.write(String(await quickest(hits[name])))
process.exit()
