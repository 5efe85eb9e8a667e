/**
 * What it costs that somebody can watch: while nobody does, against an older build (`BENCH_BASE`: the
 * folder of its `dist`; left out, these are not measured); and with everything on (the inspector mounted,
 * Prometheus, OpenTelemetry's metrics, and an access log of one in a thousand by pino) against nobody. Both
 * are measured in one process, where watching begins and ends between the rounds.
 *
 * Every hit has the same target. One in local memory takes less time than to read the clock four times,
 * which its messages need: with everything on it is above.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { Eta } from 'eta'
import { createCaches, FragmentCache, LocMemCache, logAccess } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { responseCache } from 'fragcache/express'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { inspector } from 'fragcache/inspector'
import { openTelemetry, prometheusMetrics } from 'fragcache/metrics'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import { RedisCache } from 'fragcache/redis'
import express from 'express'
import Handlebars from 'handlebars'
import { Agent, createServer, request } from 'node:http'
import nunjucks from 'nunjucks'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { compare, row } from './measure.mjs'
import { redisServer } from './servers.mjs'

const TEXT = 'x'.repeat(500)
const COUNT = 20
const numbers = Array.from({ length: COUNT }, (_, i) => i)
const KEYS = Array.from({ length: 100 }, (_, i) => `key-${i}`)

const QUIET = 1.03
const WATCHED = 1.15

const here = {
  createCaches,
  FragmentCache,
  LocMemCache,
  cachePlugin,
  registerHandlebars,
  registerNunjucks,
}

/** Everything on for these caches. @returns Ends it. */
function watch(caches) {
  const page = inspector(caches, { authorize: () => true })
  const ends = [
    prometheusMetrics(caches, { register: new Registry() }),
    openTelemetry(caches, { meterProvider: new MeterProvider(), spans: false }),
    logAccess(caches, { logger: pino({}, { write: () => undefined }), sample: 0.001 }),
    page,
  ]
  return () => {
    for (const end of ends) end.close()
  }
}

const roomy = (lib) => new lib.LocMemCache({ options: { maxEntries: 10_000 } })

/** What is measured in one process without a server: each makes its caches and a call that hits. */
const subjects = {
  'value, local memory': (lib) => {
    const caches = lib.createCaches({ default: roomy(lib) })
    for (const key of KEYS) void caches.default.set(key, TEXT, { timeout: 500 })
    let i = 0
    return { caches, call: () => caches.default.get(KEYS[i++ % KEYS.length]) }
  },
  'fragment from code, local memory': (lib) => {
    const caches = lib.createCaches({ default: roomy(lib) })
    const fragments = new lib.FragmentCache(caches)
    let i = 0
    const body = () => TEXT
    const options = KEYS.map((key) => ({ name: 'n', timeout: 500, varyOn: [key] }))
    return { caches, call: () => fragments.renderSync(options[i++ % KEYS.length], body) }
  },
  'page of 20 fragments, Nunjucks': (lib) => {
    const caches = lib.createCaches({ default: roomy(lib) })
    const env = new nunjucks.Environment(null, { autoescape: true })
    lib.registerNunjucks(env, caches)
    const page = nunjucks.compile(
      around((i) => `{% cache 500 f${i} user %}{{ text }}{% endcache %}`, '{{ others[%] }}'),
      env,
    )
    return { caches, call: () => page.render(context) }
  },
  'page of 20 fragments, Handlebars': (lib) => {
    const caches = lib.createCaches({ default: roomy(lib) })
    const instance = Handlebars.create()
    lib.registerHandlebars(instance, caches)
    const page = instance.compile(
      around((i) => `{{#cache 500 "f${i}" user}}{{text}}{{/cache}}`, '{{others.[%]}}'),
    )
    return { caches, call: () => page(context) }
  },
  'page of 20 fragments, Eta': (lib) => {
    const caches = lib.createCaches({ default: roomy(lib) })
    const eta = new Eta({ plugins: [lib.cachePlugin(caches)] })
    const page = eta.compile(
      around(
        (i) => `<% cache 500 f${i} it.user %><%= it.text %><% endcache %>`,
        '<%= it.others[%] %>',
      ),
    )
    return { caches, call: () => eta.render(page, context) }
  },
}

const context = { user: 'ann', text: TEXT, others: numbers.map((i) => `text ${i} & more`) }

/** Fragments, and as many places that are no fragment. */
function around(fragment, value) {
  return numbers
    .map((i) => `<div>${fragment(i)}</div>\n<p>${value.replace('%', String(i))}</p>`)
    .join('\n')
}

const time = (ns) => (ns < 1e4 ? `${ns.toFixed(0)} ns` : `${(ns / 1000).toFixed(1)} µs`)

/** Nobody watches: against the older build. */
async function against(base) {
  const load = (file) => import(pathToFileURL(join(resolve(base), file)).href)
  const older = {
    ...(await load('src/index.js')),
    cachePlugin: (await load('adapters/eta/index.js')).cachePlugin,
    registerHandlebars: (await load('adapters/handlebars/index.js')).registerCache,
    registerNunjucks: (await load('adapters/nunjucks/index.js')).registerCache,
  }
  const rows = []
  for (const [name, subject] of Object.entries(subjects)) {
    const result = await compare({ older: subject(older).call, here: subject(here).call })
    rows.push(
      row(`hit, ${name}: nobody watching / before`, result.here.ratio, QUIET, time(result.here.ns)),
    )
  }
  return rows
}

/** Everything on, against nobody. */
async function watched() {
  const rows = []
  for (const [name, subject] of Object.entries(subjects)) {
    const { caches, call } = subject(here)
    const result = await toggled(caches, (prepare) =>
      compare({ nobody: call, everything: () => call() }, prepare),
    )
    const more = result.everything.ns - result.nobody.ns
    rows.push(
      row(
        `hit, ${name}: everything on / nobody watching`,
        result.everything.ratio,
        WATCHED,
        `${time(result.nobody.ns)} and ${time(Math.max(more, 0))} more`,
      ),
    )
  }
  return rows
}

/** Watching begins before the turns of `everything`, and ends before those of `nobody`. */
async function toggled(caches, measure) {
  let end
  try {
    return await measure((name) => {
      if (name === 'everything') end ??= watch(caches)
      else {
        end?.()
        end = undefined
      }
    })
  } finally {
    end?.()
  }
}

/** One value at a time from Redis, by the processor time of this process. */
async function redis() {
  const server = await redisServer()
  const caches = createCaches({
    default: new RedisCache({ location: server.url, keyPrefix: 'bench-watching' }),
  })
  try {
    await caches.default.set('key', TEXT)
    const call = () => caches.default.get('key')
    const result = await toggled(caches, (prepare) =>
      compare({ nobody: call, everything: () => call() }, prepare),
    )
    return row(
      'hit, value, Redis: everything on / nobody watching',
      result.everything.ratio,
      WATCHED,
      time(result.nobody.ns),
    )
  } finally {
    await caches.default.clear()
    await caches.close()
    server.stop()
  }
}

/** Sites of one page, which is a hit in some way, over HTTP. */
const sites = {
  'page over HTTP': (app, caches) => {
    app.use(responseCache(caches).cacheSite())
    app.get('/page', (_req, res) => res.send(TEXT.repeat(20)))
  },
  'page rendered with 20 fragments, Nunjucks over HTTP': (app, caches) => {
    const env = new nunjucks.Environment(null, { autoescape: true })
    registerNunjucks(env, caches)
    const page = nunjucks.compile(
      around((i) => `{% cache 500 f${i} user %}{{ text }}{% endcache %}`, '{{ others[%] }}'),
      env,
    )
    app.get('/page', (_req, res) => res.send(page.render(context)))
  },
}

/** Whole pages over HTTP; the client is in this process too, so that its time is counted to both. */
async function pages([name, make]) {
  const caches = createCaches({ default: new LocMemCache() })
  const app = express()
  make(app, caches)
  const server = createServer({ keepAliveTimeout: 0 }, app)
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const call = () =>
    new Promise((done, failed) => {
      request({ port, host: '127.0.0.1', path: '/page', agent }, (res) => {
        res.resume().on('end', () => done(res.statusCode))
      })
        .on('error', failed)
        .end()
    })
  try {
    const result = await toggled(caches, (prepare) =>
      compare({ nobody: call, everything: () => call() }, prepare),
    )
    return row(
      `hit, ${name}: everything on / nobody watching`,
      result.everything.ratio,
      WATCHED,
      `${time(result.nobody.ns)}, client included`,
    )
  } finally {
    agent.destroy()
    server.close()
  }
}

/** What each of those who watch costs alone, per message of a value's hit. */
async function alone() {
  const parts = {
    Prometheus: (caches) => prometheusMetrics(caches, { register: new Registry() }),
    OpenTelemetry: (caches) =>
      openTelemetry(caches, { meterProvider: new MeterProvider(), spans: false }),
    'the access log': (caches) =>
      logAccess(caches, { logger: pino({}, { write: () => undefined }), sample: 0.001 }),
  }
  const rows = []
  for (const [name, begin] of Object.entries(parts)) {
    const { caches, call } = subjects['value, local memory'](here)
    let end
    // What it costs that a message is made at all is no cost of one who listens.
    const nothing = () => undefined
    subscribe('fragcache:operation', nothing)
    const result = await compare({ nobody: call, one: () => call() }, (turn) => {
      if (turn === 'one') end ??= begin(caches)
      else {
        end?.close()
        end = undefined
      }
    })
    end?.close()
    unsubscribe('fragcache:operation', nothing)
    const more = result.one.ns - result.nobody.ns
    rows.push(
      row(`per message, ${name}: ns / 100`, Math.max(more, 0) / 100, 1, `${more.toFixed(0)} ns`),
    )
  }
  return rows
}

export async function run() {
  const base = process.env.BENCH_BASE
  const rows = base === undefined ? [] : await against(base)
  rows.push(...(await watched()), await redis())
  for (const site of Object.entries(sites)) rows.push(await pages(site))
  return [...rows, ...(await alone())]
}
