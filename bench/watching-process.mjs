/**
 * One measurement of `watching.mjs`: `node watching-process.mjs SUBJECT before|nobody|everything` prints
 * the nanoseconds of processor time that a hit takes.
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Agent, createServer, request } from 'node:http'

const TEXT = 'x'.repeat(500)
const COUNT = 20
const KEYS = Array.from({ length: 100 }, (_, i) => `key-${i}`)
const numbers = Array.from({ length: COUNT }, (_, i) => i)
const context = { user: 'ann', text: TEXT, others: numbers.map((i) => `text ${i} & more`) }

/** Milliseconds of one stretch, of which the fastest counts. */
const STRETCH_MS = 40
const STRETCHES = 12

/** @param {string} folder - Of a build; empty: this one. */
const loader = (folder) => (subpath, file) =>
  folder === '' ? import(subpath) : import(pathToFileURL(join(folder, file)).href)

/** Everything on for these caches. */
async function watch(caches) {
  const { MeterProvider } = await import('@opentelemetry/sdk-metrics')
  const { pino } = await import('pino')
  const { Registry } = await import('prom-client')
  const { logAccess } = await import('fragcache')
  const { inspector } = await import('fragcache/inspector')
  const { openTelemetry, prometheusMetrics } = await import('fragcache/metrics')
  inspector(caches, { authorize: () => true })
  prometheusMetrics(caches, { register: new Registry() })
  openTelemetry(caches, { meterProvider: new MeterProvider(), spans: false })
  logAccess(caches, { logger: pino({}, { write: () => undefined }), sample: 0.0001 })
}

const inMemory = (lib) =>
  lib.createCaches({ default: new lib.LocMemCache({ options: { maxEntries: 10_000 } }) })

/** Each makes its caches, and a call that hits. */
const subjects = {
  'value, local memory': async (lib) => {
    const caches = inMemory(lib)
    for (const key of KEYS) await caches.default.set(key, TEXT, { timeout: 500 })
    let i = 0
    return { caches, call: () => caches.default.get(KEYS[i++ % KEYS.length]) }
  },
  'fragment from code, local memory': (lib) => {
    const caches = inMemory(lib)
    const fragments = new lib.FragmentCache(caches)
    let i = 0
    const body = () => TEXT
    const options = KEYS.map((key) => ({ name: 'n', timeout: 500, varyOn: [key] }))
    return { caches, call: () => fragments.renderSync(options[i++ % KEYS.length], body) }
  },
  'page of 20 fragments, Nunjucks': async (lib) => {
    const caches = inMemory(lib)
    const page = await nunjucksPage(lib, caches)
    return { caches, call: () => page.render(context) }
  },
  'page of 20 fragments, Handlebars': async (lib) => {
    const { default: Handlebars } = await import('handlebars')
    const caches = inMemory(lib)
    const instance = Handlebars.create()
    const { registerCache } = await lib.load('fragcache/handlebars', 'adapters/handlebars/index.js')
    registerCache(instance, caches)
    const page = instance.compile(
      around((i) => `{{#cache 500 "f${i}" user}}{{text}}{{/cache}}`, '{{others.[%]}}'),
    )
    return { caches, call: () => page(context) }
  },
  'page of 20 fragments, Eta': async (lib) => {
    const { Eta } = await import('eta')
    const caches = inMemory(lib)
    const { cachePlugin } = await lib.load('fragcache/eta', 'adapters/eta/index.js')
    const eta = new Eta({ plugins: [cachePlugin(caches)] })
    const page = eta.compile(
      around(
        (i) => `<% cache 500 f${i} it.user %><%= it.text %><% endcache %>`,
        '<%= it.others[%] %>',
      ),
    )
    return { caches, call: () => eta.render(page, context) }
  },
  'value, Redis': async (lib) => {
    const { RedisCache } = await import('fragcache/redis')
    const location = process.env.BENCH_REDIS
    const caches = lib.createCaches({
      default: new RedisCache({ location, keyPrefix: 'bench-watching' }),
    })
    await caches.default.set('key', TEXT)
    return { caches, call: () => caches.default.get('key') }
  },
  'page over HTTP': async (lib) => {
    const { default: express } = await import('express')
    const { responseCache } = await import('fragcache/express')
    const caches = inMemory(lib)
    const app = express()
    app.use(responseCache(caches).cacheSite())
    app.get('/page', (_req, res) => res.send(TEXT.repeat(20)))
    return { caches, call: await visit(app) }
  },
  'page rendered with 20 fragments, Nunjucks over HTTP': async (lib) => {
    const { default: express } = await import('express')
    const caches = inMemory(lib)
    const page = await nunjucksPage(lib, caches)
    const app = express()
    app.get('/page', (_req, res) => res.send(page.render(context)))
    return { caches, call: await visit(app) }
  },
}

/** Fragments, and as many places that are no fragment. */
function around(fragment, value) {
  return numbers
    .map((i) => `<div>${fragment(i)}</div>\n<p>${value.replace('%', String(i))}</p>`)
    .join('\n')
}

async function nunjucksPage(lib, caches) {
  const { default: nunjucks } = await import('nunjucks')
  const env = new nunjucks.Environment(null, { autoescape: true })
  const { registerCache } = await lib.load('fragcache/nunjucks', 'adapters/nunjucks/index.js')
  registerCache(env, caches)
  return nunjucks.compile(
    around((i) => `{% cache 500 f${i} user %}{{ text }}{% endcache %}`, '{{ others[%] }}'),
    env,
  )
}

/** The client is in this process too, so that its time is counted to all alike. */
async function visit(app) {
  const server = createServer({ keepAliveTimeout: 0 }, app)
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return () =>
    new Promise((done, failed) => {
      request({ port, host: '127.0.0.1', path: '/page', agent }, (res) => {
        res.resume().on('end', () => done(res.statusCode))
      })
        .on('error', failed)
        .end()
    })
}

const sink = { value: undefined }

async function stretch(call, count) {
  const isAsync = call() instanceof Promise
  const start = process.cpuUsage()
  if (isAsync) for (let i = 0; i < count; i++) sink.value = await call()
  else for (let i = 0; i < count; i++) sink.value = call()
  const { user, system } = process.cpuUsage(start)
  return ((user + system) * 1000) / count
}

const [, , subject, mode] = process.argv
const load = loader(mode === 'before' ? process.env.BENCH_BASE : '')
const lib = { ...(await load('fragcache', 'src/index.js')), load }
const { caches, call } = await subjects[subject](lib)
// A hit from here on.
await call()
if (mode === 'everything') await watch(caches)
let count = 10
let ns = await stretch(call, count)
// Until the engine has compiled it for good.
for (let spentMs = 0; spentMs < 4 * STRETCH_MS; spentMs += (ns * count) / 1e6) {
  count = Math.max(10, Math.round((STRETCH_MS * 1e6) / ns))
  ns = await stretch(call, count)
}
let best = Infinity
for (let i = 0; i < STRETCHES; i++) {
  globalThis.gc()
  best = Math.min(best, await stretch(call, count))
}
process.stdout.write(String(best))
process.exit(0)
