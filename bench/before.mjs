/**
 * Hits in local memory against those of another build, in one run:
 *
 *     BENCH_BEFORE=../fragcache-before npm run bench -- before
 *
 * `BENCH_BEFORE` is the folder of a checkout that is built. Left out, nothing is measured.
 */
import { IncomingMessage, ServerResponse } from 'node:http'
import { resolve } from 'node:path'
import { Duplex } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { Eta } from 'eta'
import express from 'express'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { compare, row } from './measure.mjs'

const TARGET = 1.02
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

export async function run() {
  const folder = process.env.BENCH_BEFORE
  if (folder === undefined) return []
  const before = await hitsOf(await load(folder))
  const now = await hitsOf(await load())
  const rows = []
  for (const name of Object.keys(now)) {
    const result = await compare({ before: before[name], now: now[name] })
    const detail = `${result.now.ns.toFixed(0)} ns, before ${result.before.ns.toFixed(0)} ns`
    rows.push(row(`hit in local memory, now / before: ${name}`, result.now.ratio, TARGET, detail))
  }
  return rows
}
