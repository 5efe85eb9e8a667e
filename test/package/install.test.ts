import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { Consumer, projectRoot, readManifest, run } from '../support/consumer.js'

const manifest = readManifest(projectRoot)
const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== './package.json')
const specifiers = subpaths.map((subpath) => subpath.replace('.', 'fragcache'))
const peers = Object.keys(manifest.peerDependencies)

const byImport = (specifier: string) =>
  `const loaded = await import('${specifier}')\nconsole.log(Object.keys(loaded).sort().join(' '))`
const byRequire = (specifier: string) =>
  `const loaded = require('${specifier}')\nconsole.log(Object.keys(loaded).sort().join(' '))`

let consumer: Consumer
beforeAll(async () => {
  consumer = await Consumer.install()
  return () => consumer.remove()
}, 120_000)

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

  it('brings no peer along', async () => {
    for (const peer of peers) {
      const { code, error } = await consumer.node('commonjs', `require('${peer}')`)
      expect({ peer, code }).toEqual({ peer, code: 1 })
      expect(error).toContain(`Cannot find module '${peer}'`)
    }
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

  it.each(specifiers)(
    'loads %s by import and by require without any peer, with the same names',
    async (specifier) => {
      const imported = await consumer.node('module', byImport(specifier))
      expect(imported).toMatchObject({ code: 0, error: '' })
      expect(imported.out).not.toBe('')
      expect(await consumer.node('commonjs', byRequire(specifier))).toMatchObject({
        code: 0,
        out: imported.out,
      })
    },
  )

  it.each([
    ['prometheusMetrics', 'prom-client'],
    ['openTelemetry', '@opentelemetry/api'],
  ])('says what to install when %s finds no %s', async (name, peer) => {
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
      out: `FRAGCACHE_MISSING_PEER | fragcache/metrics (${name}) needs the package "${peer}": npm install ${peer}`,
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

  it.each(peers)('loads %s and its subpath by import and by require', async (peer) => {
    const imported = `await import('${peer}')\n${byImport(`fragcache/${subpathOf(peer)}`)}`
    const required = `require('${peer}')\n${byRequire(`fragcache/${subpathOf(peer)}`)}`
    const { code, out, error } = await consumer.node('module', imported)
    expect({ code, error }).toEqual({ code: 0, error: '' })
    expect(out).not.toBe('')
    expect(await consumer.node('commonjs', required)).toMatchObject({ code: 0, out })
  })
})
