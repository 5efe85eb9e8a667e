import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { Consumer } from '../support/consumer.js'
import { projectRoot, run } from '../support/project.js'

const compilerOptions = {
  target: 'es2023',
  module: 'nodenext',
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  // Those of packages are checked, the compiler's own not.
  skipLibCheck: false,
  skipDefaultLibCheck: true,
  outDir: '.',
}

const tsconfig = (files: readonly string[], more: object) =>
  JSON.stringify({ compilerOptions: { ...compilerOptions, ...more }, files })

const core = `
import {
  createCaches, DummyCache, FragmentCache, LocMemCache, makeTemplateFragmentKey,
  type Cache, type Caches,
} from 'fragcache'
import { FileBasedCache } from 'fragcache/file'

const caches: Caches = createCaches({
  default: new LocMemCache({ location: 'one', timeout: 300, options: { maxEntries: 10_000 } }),
  files: new FileBasedCache({ location: '/var/cache/site', keyPrefix: 'shop', version: 2 }),
  none: new DummyCache(),
})
const cache: Cache = caches.get('files')
const fragments = new FragmentCache(caches)

export async function use(): Promise<string> {
  const missing: number | undefined = await cache.get<number>('count')
  await cache.set('count', (missing ?? 0) + 1, { timeout: null, tags: ['user:7'] })
  const added: boolean = await cache.add('count', 1, { timeout: 0.5, version: 3 })
  const many: Map<string, unknown> = await cache.getMany(['a', 'b'])
  const failed: string[] = await cache.setMany({ a: 1, b: 2 })
  const count: number = await cache.incr('count')
  const made: string = await cache.getOrSet('made', async () => 'value')
  const html: string = await fragments.render(
    { name: 'sidebar', timeout: 500, varyOn: [made], using: 'files', tags: ['user:7'] },
    () => '<p></p>',
  )
  const deleted: boolean = await fragments.delete('sidebar', [made])
  await fragments.invalidate('sidebar', { using: 'files' })
  void [added, many, failed, count, deleted]
  // @ts-expect-error: a timeout is a number of seconds or null
  await cache.set('count', 1, { timeout: 'soon' })
  // @ts-expect-error: an unknown option
  await cache.set('count', 1, { ttl: 5 })
  return html + makeTemplateFragmentKey('sidebar', [made], { compat: 'django<6.1' })
}
`

/** Where TypeScript looks for a package as Node did before it read `exports`. */
const olderResolution = `
import { createCaches, LocMemCache } from 'fragcache'
import { FileBasedCache } from 'fragcache/file'
import { responseCache } from 'fragcache/node'
import { testBackend } from 'fragcache/testing'

const pages = responseCache(createCaches({ default: new LocMemCache(), files: new FileBasedCache({ location: '.' }) }))
export const dropped: Promise<void> = pages.invalidate('https://example.com/')
export const test: (name: 'x', options: never) => unknown = testBackend
// @ts-expect-error: it is a text
void pages.invalidate(7)
`

const inspected = `
import type { IncomingMessage } from 'node:http'
import { createCaches, LocMemCache } from 'fragcache'
import { inspector } from 'fragcache/inspector'

type Signed = IncomingMessage & { user?: { isStaff: boolean } }
export const handler = inspector(createCaches({ default: new LocMemCache() }), {
  authorize: (req: Signed) => req.user?.isStaff === true,
  user: (req) => req.headers['x-user']?.toString(),
})
`

const signedIn = `
import express from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { inspector, overlay } from 'fragcache/inspector'

declare global {
  namespace Express {
    interface User { isStaff: boolean }
    interface Request { user?: User }
  }
}
const caches = createCaches({ default: new LocMemCache() })
inspector(caches, { authorize: (req) => req.user?.isStaff })
inspector(caches, { authorize: async (req) => req.user?.isStaff })
inspector(caches, { authorize: (req: express.Request) => req.user?.isStaff === true })
overlay({ authorize: (req) => req.user?.isStaff })
overlay({ authorize: async (req) => req.user?.isStaff })
overlay({ authorize: (req: express.Request) => req.user?.isStaff === true })
// @ts-expect-error: nobody has declared it
inspector(caches, { authorize: (req) => req.account?.isStaff === true })
`

const commonJs = `
import fragcache = require('fragcache')
const caches = fragcache.createCaches({ default: new fragcache.LocMemCache() })
export const value: Promise<unknown> = caches.default.get('a')
`

const plainNode = `
import { createServer } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/node'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'

const pages = responseCache(createCaches({ default: new LocMemCache() }), { trustProxy: true })
export const server = createServer(pages.handler((req, res) => res.end(req.url)))
export const handler = pages.handler(
  async (req: Http2ServerRequest, res: Http2ServerResponse) => void res.end(req.authority),
  { seconds: 60, tags: ['news'] },
)
export const secure = createSecureServer(handler)
`

const engines = {
  nunjucks: `
import nunjucks from 'nunjucks'
import { createCaches, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'

const caches = createCaches({ default: new LocMemCache() })
const { renderAsync, renderStringAsync } = registerCache(new nunjucks.Environment(), caches)
export const html: Promise<string> = renderAsync('page.njk', { user: 'ada' })
export const text: Promise<string> = renderStringAsync('{{ user }}', { user: 'ada' })
`,
  handlebars: `
import Handlebars from 'handlebars'
import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/handlebars'

const caches = createCaches({ default: new LocMemCache() })
const { renderAsync } = registerCache(Handlebars, new FragmentCache(caches))
const template = Handlebars.compile('{{user}}')
export const html: Promise<string> = renderAsync(template, { user: 'ada' })
`,
  eta: `
import { Eta } from 'eta'
import { createCaches, LocMemCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'

const caches = createCaches({ default: new LocMemCache() })
export const eta = new Eta({ plugins: [cachePlugin(caches)] })
`,
  express: `
import express from 'express'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'

const pages = responseCache(createCaches({ default: new LocMemCache() }), { seconds: 600 })
export const app = express()
app.use(pages.cacheSite())
app.get('/foo/:code', pages.cachePage(60 * 15), (request, response) => {
  response.send(request.params.code)
})
`,
}

const ownBackend = `
import { testBackend } from 'fragcache/testing'
import { LocMemCache } from 'fragcache'

testBackend('LocMemCache', {
  reset: () => undefined,
  create: (settings) => new LocMemCache({ ...settings, location: 'one' }),
})
`

/** What the parts of a cache are or were called: none of it is a member that a backend's own could replace. */
const PARTS = `access ask backendName begin below bumpTags bus call callStore calls changes checkedKey circuit claims clock clockTime
  confirmInvalidation copy core count counterKey counters counts currentVersions deadline declaredVersions defaultBeta
  defaultLock defaultTimeout dependOn entries failures findAtOnce flights forgetClock forgetOutage format giveUp guard guarded
  invalidateAgain invalidateStoredTags invalidationCount isClosed isCurrentVersion isFailing isOpen isStillClaimed
  isTold keep keepCopy keys leader limits local lookup lookupOne lose made mayAnswerAtOnce memory move observed options
  outages owner primitives probe producerTimeoutMs publish read readAmong readCopies readLifetime readOwnServerStats
  readVersions readings readsMayLag readsPassWrites recallTags recalled refreshes refusals rememberTags remote removalListeners remove
  removing reportFailure request requireStore restamp rewrite scanner server sources start stop store storedKeyOf tags
  tagsOf tellHits tellOfLookup tellOfMiss tellsOfChanges timeLimit timedAtOnce toFailure toHit tooLarge tryBegin
  tryGiveUp tryLookup tryLying tryRead tryRecheck tryStore unpackEntry values versions versionsSince watchChanges
  withRecalled write writeNumber disconnect isOutage onKeyFaults packValue readDeadlines readServerStats sizeOfPayload
  unpackPayload`

const ownNames = `
import { mock } from 'node:test'
import { createCaches, FragmentCache } from 'fragcache'
import { testBackend } from 'fragcache/testing'
import { MapCache, type MapCacheSettings, type Store } from './map-cache.js'

class Mine extends MapCache {
  ${PARTS.split(/\s+/).join(" = 'mine'\n  ")} = 'mine'
  static open(settings: MapCacheSettings): Mine {
    return new Mine(settings)
  }
}

let store: Store = new Map()
let nowMs = Date.now()
mock.method(Date, 'now', () => nowMs)

testBackend('Mine', {
  reset: () => {
    store = new Map()
  },
  create: (settings) => Mine.open({ ...settings, options: { store } }),
  advance: (seconds) => {
    nowMs = Math.round(nowMs + seconds * 1000)
  },
  variants: ['plain'],
})

const fragments = new FragmentCache(createCaches({ default: Mine.open({}) }))
const render = (text: string) => fragments.renderSync({ name: 'box', timeout: 60 }, () => text)
if (render('first') !== 'first' || render('second') !== 'first') throw new Error('it keeps nothing')
`

let consumer: Consumer
beforeAll(async () => {
  consumer = await Consumer.install()
  await consumer.link('@types/node')
  return () => consumer.remove()
}, 240_000)

/** One run of the compiler, since it checks every library again; what it made lies beside the sources. */
async function compile(sources: Readonly<Record<string, string>>, options: object = {}) {
  for (const [file, text] of Object.entries(sources)) await consumer.write(file, text)
  await consumer.write('tsconfig.json', tsconfig(Object.keys(sources), options))
  const compiler = join(projectRoot, 'node_modules', 'typescript', 'bin', 'tsc')
  return run(process.execPath, [compiler, '-p', '.'], consumer.folder)
}

const exampleOf = (file: string) =>
  readFile(join(projectRoot, 'examples', 'custom-backend', file), 'utf8')

/** Runs what `compile` made, which is a suite of `node:test`. @returns How many of its tests passed. */
async function passesOf(file: string): Promise<number> {
  const args = ['--no-warnings', '--test-reporter=tap', file]
  const { code, out } = await run(process.execPath, args, consumer.folder)
  expect(out).toMatch(/^# fail 0$/m)
  expect(code).toBe(0)
  return Number(/^# pass (\d+)$/m.exec(out)?.[1])
}

describe('the types in a strict project that checks its libraries', () => {
  it('compile without any peer, as a module and as CommonJS', async () => {
    const sources = {
      'core.ts': core,
      'common.cts': commonJs,
      'node.ts': plainNode,
      'inspected.ts': inspected,
      'own-backend.ts': ownBackend,
      'map-cache.ts': await exampleOf('map-cache.ts'),
      'map-cache.test.ts': await exampleOf('map-cache.test.ts'),
      'own-names.ts': ownNames,
    }
    expect(await compile(sources)).toEqual({ code: 0, out: '', error: '' })
  }, 120_000)

  it('compile under the resolution of before Node 12', async () => {
    const options = { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '6.0' }
    const outcome = await compile({ 'older.ts': olderResolution }, options)
    expect(outcome).toEqual({ code: 0, out: '', error: '' })
  }, 120_000)

  it('let a backend have members with any of the names that parts of a cache have', async () => {
    expect(await passesOf('own-names.js')).toBeGreaterThan(200)
  }, 240_000)

  it('let the example of a backend run the published suite, without being handed a runner', async () => {
    expect(await passesOf('map-cache.test.js')).toBeGreaterThan(900)
  }, 240_000)

  it('compile with every peer, and refuse what they know to be wrong', async () => {
    const packages = [
      ...Object.keys(engines),
      'express-handlebars',
      'hbs',
      '@types/express',
      '@types/hbs',
      '@types/nunjucks',
    ]
    for (const name of packages) await consumer.link(name)
    const sources = Object.entries(engines).map(([engine, text]) => [`${engine}.ts`, text])
    const uses = join(projectRoot, 'test', 'package', 'what-compiles.ts')
    sources.push(['what-compiles.ts', await readFile(uses, 'utf8')], ['signed-in.ts', signedIn])
    expect(await compile(Object.fromEntries(sources))).toEqual({ code: 0, out: '', error: '' })
  }, 120_000)
})
