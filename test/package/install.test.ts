import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { Consumer } from '../support/consumer.js'
import { projectRoot, readManifest, run } from '../support/project.js'

const manifest = readManifest(projectRoot)
const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== './package.json')
const specifiers = subpaths.map((subpath) => subpath.replace('.', 'fragcache'))
const peers = Object.keys(manifest.peerDependencies)

/**
 * A program of its own process loads all of these, one after the other.
 *
 * @returns By name what each exports.
 */
async function namesOf(kind: 'module' | 'commonjs', names: readonly string[]) {
  const load = kind === 'module' ? 'await import(name)' : 'require(name)'
  const { code, out, error } = await consumer.node(
    kind,
    `const found = {}
     for (const name of ${JSON.stringify(names)}) found[name] = Object.keys(${load}).sort()
     console.log(JSON.stringify(found))`,
  )
  expect({ code, error }).toEqual({ code: 0, error: '' })
  return JSON.parse(out) as Record<string, string[]>
}

let consumer: Consumer
beforeAll(async () => {
  consumer = await Consumer.install()
  return () => consumer.remove()
}, 240_000)

describe('the installed package', () => {
  it('has every subpath that the project promises', () => {
    expect(subpaths).toEqual([
      '.',
      './file',
      './redis',
      './memcached',
      './database',
      './tiered',
      './engine',
      './nunjucks',
      './handlebars',
      './eta',
      './express',
      './node',
      './inspector',
      './metrics',
      './testing',
    ])
  })

  it('brings one small package along, and takes at most 5 MB on the disk', async () => {
    const folder = join(consumer.folder, 'node_modules')
    const found = await readdir(folder, { withFileTypes: true })
    const packages = found.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    expect(packages.map(({ name }) => name).sort()).toEqual(['fragcache', 'on-headers'])
    const files = await readdir(folder, { recursive: true, withFileTypes: true })
    const sizes = await Promise.all(
      files.map((entry) => stat(join(entry.parentPath, entry.name)).then(({ size }) => size)),
    )
    // As file systems count it, in blocks.
    const blocks = sizes.reduce((sum, size) => sum + Math.ceil(size / 4096), 0)
    expect(blocks * 4096).toBeLessThanOrEqual(5 * 1024 * 1024)
  })

  it('tells which line of the application invalidated a fragment', async () => {
    await consumer.write(
      'app.mjs',
      `import { subscribe } from 'node:diagnostics_channel'
       import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
       const caches = createCaches({ default: new LocMemCache() })
       const fragments = new FragmentCache(caches)
       const render = () => fragments.render({ name: 'card', tags: ['a'] }, () => 'text')
       subscribe('fragcache:fragment', ({ cause }) => console.log(cause.from))
       await render()
       await caches.invalidateTags(['a'])
       await render()`,
    )
    const { out, error } = await run(process.execPath, ['app.mjs'], consumer.folder)
    expect({ out, error }).toEqual({ out: 'undefined\napp.mjs:8', error: '' })
  })

  it('brings no peer along', async () => {
    const code = `
      for (const peer of ${JSON.stringify(peers)}) {
        try {
          require(peer)
        } catch (error) {
          console.log(error.message.split('\\n')[0])
        }
      }`
    const { out } = await consumer.node('commonjs', code)
    expect(out.split('\n')).toEqual(peers.map((peer) => `Cannot find module '${peer}'`))
  })

  it('runs its command line tool', async () => {
    const tool = join(consumer.folder, 'node_modules', '.bin', 'fragcache')
    expect(await run(tool, ['--version'], consumer.folder)).toEqual({
      code: 0,
      out: manifest.version,
      error: '',
    })
    // Django 6.1: make_template_fragment_key("sidebar", ["u1"])
    expect(await run(tool, ['key', 'sidebar', 'u1'], consumer.folder)).toEqual({
      code: 0,
      out: 'template.cache.sidebar.495405a2df48298ff1fb6e230c92d5d6',
      error: '',
    })
    expect((await run(tool, ['nothing'], consumer.folder)).code).toBe(2)
  })

  it('loads every subpath by import and by require without any peer, with the same names', async () => {
    const imported = await namesOf('module', specifiers)
    expect(Object.keys(imported)).toEqual(specifiers)
    for (const names of Object.values(imported)) expect(names).not.toEqual([])
    expect(await namesOf('commonjs', specifiers)).toEqual(imported)
  })

  it.each([
    ['prometheusMetrics', 'prom-client', 'register'],
    ['openTelemetry', '@opentelemetry/api', 'api'],
  ])('says what to install when %s finds no %s', async (name, peer, option) => {
    const code = `
      const { createCaches, LocMemCache } = await import('fragcache')
      const metrics = await import('fragcache/metrics')
      try {
        metrics.${name}(createCaches({ default: new LocMemCache() }))
      } catch (error) {
        console.log(error.code, '|', error.message)
      }
    `
    expect(await consumer.node('module', code)).toEqual({
      code: 0,
      error: '',
      out: `FRAGCACHE_MISSING_PEER | fragcache/metrics (${name}) needs the package "${peer}": npm install ${peer}; in a bundled application, give the option ${option}`,
    })
  })

  // No adapter imports its engine: it works on the instance that the user hands in.
  it.each([
    ['nunjucks', 'nunjucks'],
    ['handlebars', 'handlebars'],
  ])('says what to install when %s is not there to be handed in', async (subpath, peer) => {
    const code = `
      import { createCaches, LocMemCache } from 'fragcache'
      import { registerCache } from 'fragcache/${subpath}'
      const { default: engine } = await import('${peer}').catch(() => ({}))
      try {
        registerCache(engine, createCaches({ default: new LocMemCache() }))
      } catch ({ code, message }) {
        console.log(code, message)
      }`
    expect(await consumer.node('module', code)).toEqual({
      code: 0,
      out: `FRAGCACHE_MISSING_PEER fragcache/${subpath} needs the package "${peer}": npm install ${peer}`,
      error: '',
    })
  })

  it('says what to install when ioredis is not there', async () => {
    const code = `
      import { RedisCache } from 'fragcache/redis'
      const cache = new RedisCache({ location: 'redis://127.0.0.1:1' })
      await cache.get('k').catch(({ code, message }) => console.log(code, message))`
    expect(await consumer.node('module', code)).toEqual({
      code: 0,
      out: 'FRAGCACHE_MISSING_PEER fragcache/redis needs the package "ioredis": npm install ioredis',
      error: '',
    })
  })

  it('works without any peer', async () => {
    const code = `
      import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
      const caches = createCaches({ default: new LocMemCache({}) })
      const fragments = new FragmentCache(caches)
      const render = (text) => fragments.render({ name: 'a', timeout: 60 }, () => text)
      console.log(await render('first'), await render('second'))`
    expect(await consumer.node('module', code)).toEqual({ code: 0, out: 'first first', error: '' })
  })
})

describe('the installed package with its peers', () => {
  beforeAll(() => Promise.all(peers.map((peer) => consumer.link(peer))))

  const subpathOf = (peer: string) =>
    peer === 'ioredis' ? 'redis' : subpaths.includes(`./${peer}`) ? peer : 'database'

  it('loads every peer and its subpath by import and by require', async () => {
    // To import tsx is to have it run what is imported next.
    const loaded = peers
      .filter((peer) => peer !== 'tsx')
      .flatMap((peer) => [peer, `fragcache/${subpathOf(peer)}`])
    const imported = await namesOf('module', loaded)
    const required = await namesOf('commonjs', loaded)
    for (const name of loaded) {
      if (!name.startsWith('fragcache/')) continue
      expect(imported[name]).not.toEqual([])
      expect(required[name]).toEqual(imported[name])
    }
  })
})
