import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build as esbuild, type BuildOptions } from 'esbuild'
import { rollup, type Plugin } from '@rollup/wasm-node'
import { build as vite } from 'vite'
import { beforeAll, describe, expect, it } from 'vitest'
import webpack from 'webpack'
import { Consumer } from '../support/consumer.js'
import { projectRoot, readManifest, run } from '../support/project.js'

/** `fragcache/testing` is for tests, and the command line is a program of its own. */
const subpaths = Object.keys(readManifest(projectRoot).exports).filter(
  (subpath) => subpath !== './package.json' && subpath !== './testing',
)

const app = `
${subpaths.map((path, i) => `import * as part${i} from '${path.replace('.', 'fragcache')}'`).join('\n')}
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { cachePlugin } from 'fragcache/eta'
import { FileBasedCache } from 'fragcache/file'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { inspector, overlay } from 'fragcache/inspector'
import { openTelemetry, prometheusMetrics } from 'fragcache/metrics'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import { RedisCache } from 'fragcache/redis'
import { TieredCache } from 'fragcache/tiered'
import * as api from '@opentelemetry/api'
import { Eta } from 'eta'
import express from 'express'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { Registry } from 'prom-client'

const register = new Registry()
const caches = createCaches({
  default: new LocMemCache(),
  files: new FileBasedCache({ location: process.env.FOLDER }),
  tiered: new TieredCache({ local: new LocMemCache(), remote: new FileBasedCache({ location: process.env.FOLDER, keyPrefix: 't' }) }),
  redis: new RedisCache({ location: 'redis://127.0.0.1:1' }),
})
prometheusMetrics(caches, { register })
openTelemetry(caches, { api })

let made = 0
const made1 = () => String(++made)
const env = new nunjucks.Environment()
registerNunjucks(env, caches)
registerHandlebars(Handlebars, caches)
const handlebars = Handlebars.compile('{{#cache 60 "hbs"}}made {{made1}}{{/cache}}')
const eta = new Eta({ plugins: [cachePlugin(caches)] })
const html = (text) => '<!doctype html><title>t</title><body><p>' + text + '</p></body>'

const server = express()
server.use(overlay())
server.use('/__cache', inspector(caches))
server.get('/nunjucks', (req, res) => res.send(html(env.renderString('{% cache 60 "nj" %}made {{ made1() }}{% endcache %}', { made1 }))))
server.get('/handlebars', (req, res) => res.send(html(handlebars({ made1 }))))
server.get('/eta', (req, res) => res.send(html(eta.renderString('<% cache 60 eta %>made <%= it.made1() %><% endcache %>', { made1 }))))
const { cachePage } = responseCache(caches)
server.get('/page', cachePage(60), (req, res) => res.send('page ' + made1()))
server.get('/metrics', async (req, res) => res.send(await register.metrics()))
server.get('/parts', (req, res) => res.json([${subpaths.map((_, i) => `Object.keys(part${i}).length`).join(', ')}]))
server.get('/stores', async (req, res) => {
  await caches.get('files').set('k', 'file')
  await caches.get('tiered').set('k', 'tiered')
  res.json([await caches.get('files').get('k'), await caches.get('tiered').get('k')])
})
server.get('/redis', (req, res) => caches.get('redis').get('k').then(
  () => res.json('answered'),
  ({ name, code, message, cause }) => res.json({ name, code, message, ...(cause && { cause: String(cause) }) }),
))
const listening = server.listen(0, '127.0.0.1', () => console.log(listening.address().port))
`

let consumer: Consumer
let outside: string

interface Bundler {
  readonly name: string
  readonly extension: 'mjs' | 'cjs'
  /** Puts the bundle into the folder, as `main` with the extension. */
  readonly bundle: (entry: string, folder: string) => Promise<unknown>
}

/** Of packages in CommonJS, esbuild leaves `require` of Node's own modules as it is. */
const REQUIRE =
  "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

const withEsbuild =
  (format: 'esm' | 'cjs', more: BuildOptions = {}): Bundler['bundle'] =>
  (entry, folder) =>
    esbuild({
      entryPoints: [entry],
      outfile: join(folder, format === 'esm' ? 'main.mjs' : 'main.cjs'),
      bundle: true,
      platform: 'node',
      format,
      logLevel: 'silent',
      ...(format === 'esm' && { banner: { js: REQUIRE } }),
      ...more,
    })

const load = createRequire(import.meta.url)

/** Their types are wrong for ES modules. */
const plugins = ['node-resolve', 'commonjs', 'json'].map((name) =>
  (load(`@rollup/plugin-${name}`) as () => Plugin)(),
)

const withRollup =
  (format: 'es' | 'cjs'): Bundler['bundle'] =>
  async (entry, folder) => {
    const made = await rollup({ input: entry, plugins, onwarn: () => undefined })
    const file = join(folder, format === 'es' ? 'main.mjs' : 'main.cjs')
    await made.write({ file, format, inlineDynamicImports: true })
    await made.close()
  }

const withVite: Bundler['bundle'] = (entry, folder) =>
  vite({
    root: consumer.folder,
    configFile: false,
    logLevel: 'silent',
    mode: 'development',
    ssr: { noExternal: true },
    build: {
      ssr: entry,
      outDir: folder,
      emptyOutDir: false,
      rolldownOptions: { output: { entryFileNames: 'main.mjs' } },
    },
  })

const withWebpack =
  (format: 'esm' | 'cjs'): Bundler['bundle'] =>
  async (entry, folder) => {
    const compiler = webpack({
      context: consumer.folder,
      entry,
      mode: 'development',
      devtool: false,
      target: 'node20',
      ...(format === 'esm' && { experiments: { outputModule: true } }),
      output: {
        path: folder,
        filename: format === 'esm' ? 'main.mjs' : 'main.cjs',
        ...(format === 'esm' && { module: true, chunkFormat: 'module' as const }),
      },
    })
    const errors = await new Promise<readonly { readonly message: string }[]>((resolve, reject) => {
      compiler.run((error, stats) => {
        if (error !== null) reject(error)
        else resolve(stats?.toJson({ all: false, errors: true }).errors ?? [])
      })
    })
    expect(errors.map(({ message }) => message)).toEqual([])
  }

/** It makes of an ES module another, and of CommonJS such. */
const withNcc =
  (format: 'esm' | 'cjs'): Bundler['bundle'] =>
  async (_entry, folder) => {
    const ncc = load.resolve('@vercel/ncc/dist/ncc/cli.js')
    const entry = format === 'esm' ? 'app.mjs' : 'commonjs/app.js'
    const { code, error } = await run(
      process.execPath,
      [ncc, 'build', entry, '-o', folder, '--no-cache', '--quiet'],
      consumer.folder,
    )
    expect({ code, error }).toMatchObject({ code: 0 })
  }

const bundlers: readonly Bundler[] = [
  { name: 'esbuild, ESM', extension: 'mjs', bundle: withEsbuild('esm') },
  { name: 'esbuild, CommonJS', extension: 'cjs', bundle: withEsbuild('cjs') },
  { name: 'esbuild, minified', extension: 'mjs', bundle: withEsbuild('esm', { minify: true }) },
  { name: 'Rollup, ESM', extension: 'mjs', bundle: withRollup('es') },
  { name: 'Rollup, CommonJS', extension: 'cjs', bundle: withRollup('cjs') },
  { name: 'Vite, SSR', extension: 'mjs', bundle: withVite },
  { name: 'webpack, ESM', extension: 'mjs', bundle: withWebpack('esm') },
  { name: 'webpack, CommonJS', extension: 'cjs', bundle: withWebpack('cjs') },
  { name: 'ncc, ESM', extension: 'mjs', bundle: withNcc('esm') },
  { name: 'ncc, CommonJS', extension: 'cjs', bundle: withNcc('cjs') },
]

beforeAll(async () => {
  consumer = await Consumer.install()
  outside = await mkdtemp(join(tmpdir(), 'fragcache-bundled-'))
  for (const name of [
    '@opentelemetry/api',
    'eta',
    'express',
    'handlebars',
    'nunjucks',
    'prom-client',
  ])
    await consumer.link(name)
  await consumer.write('app.mjs', app)
  await mkdir(join(consumer.folder, 'commonjs'))
  await consumer.write('commonjs/package.json', '{}')
  await consumer.write('commonjs/app.js', app)
  return async () => {
    await consumer.remove()
    await rm(outside, { recursive: true, force: true })
  }
}, 240_000)

/** Runs a bundle where no package is, and asks it. */
async function runBundle(folder: string, file: string) {
  const child = spawn(process.execPath, [file], {
    cwd: folder,
    env: { ...process.env, NODE_ENV: 'development', FOLDER: join(folder, 'entries') },
  })
  let printed = ''
  child.stderr.on('data', (data: Buffer) => (printed += data.toString()))
  const port = await Promise.race([
    once(child.stdout, 'data').then(([data]) => String(data).trim()),
    once(child, 'exit').then(() => Promise.reject(new Error(printed))),
  ])
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
    return { status: response.status, text: await response.text() }
  }
  const stop = async () => {
    if (child.exitCode !== null) return
    child.kill()
    await once(child, 'exit')
  }
  return { child, get, stop, printed: () => printed }
}

describe.each(bundlers)('a bundle of an application by $name', ({ name, extension, bundle }) => {
  it('runs where there are no packages, with inspector, overlay and metrics', async () => {
    const folder = join(outside, name.replace(/\W+/g, '-'))
    await mkdir(folder)
    await bundle(join(consumer.folder, 'app.mjs'), folder)
    const made = await readdir(folder)
    const file = made.find((one) =>
      [`main.${extension}`, `index.${extension}`, 'index.js'].includes(one),
    )!
    const { child, get, stop, printed } = await runBundle(folder, file)
    try {
      for (const engine of ['nunjucks', 'handlebars', 'eta', 'page']) {
        const first = await get(`/${engine}`)
        expect(first).toMatchObject({ status: 200, text: expect.any(String) as string })
        expect(await get(`/${engine}`)).toEqual(first)
      }
      expect((JSON.parse((await get('/parts')).text) as number[]).every((n) => n > 0)).toBe(true)
      expect((await get('/stores')).text).toBe('["file","tiered"]')
      const page = await get('/__cache/')
      expect(page.status).toBe(200)
      expect(page.text).toContain('<script type="module"')
      expect(page.text.length).toBeGreaterThan(50_000)
      const { version, aliases } = JSON.parse((await get('/__cache/api/overview')).text) as {
        version: string
        aliases: { alias: string; backend: string }[]
      }
      expect(version).toBe(readManifest(projectRoot).version)
      expect(aliases.map((row) => row.backend).sort()).toEqual([
        'FileBasedCache',
        'LocMemCache',
        'RedisCache',
        'TieredCache',
      ])
      const drawn = await get('/nunjucks', { accept: 'text/html' })
      expect(drawn.text).toContain('data-fragcache-overlay')
      expect(drawn.text.length).toBeGreaterThan(10_000)
      const { text: metrics } = await get('/metrics')
      expect(metrics).toContain('fragcache_fragments_total{')
      expect(metrics).toContain('backend="LocMemCache"')
      expect(JSON.parse((await get('/redis')).text)).toEqual({
        name: 'FragcacheError',
        code: 'FRAGCACHE_MISSING_PEER',
        message: 'fragcache/redis needs the package "ioredis": npm install ioredis',
      })
      expect({ exit: child.exitCode, printed: printed() }).toEqual({ exit: null, printed: '' })
    } finally {
      await stop()
    }
  })
})
