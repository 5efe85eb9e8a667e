import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { bundleSources, type Bundle } from './support/bundle.js'

let bundle: Bundle

beforeAll(async () => {
  bundle = await bundleSources()
})

afterAll(() => bundle.remove())

let scripts = 0

/** What two workers of a real cluster write to standard error, where they name these caches. */
async function warnedOf(caches: string, env: NodeJS.ProcessEnv = {}): Promise<string[]> {
  const path = join(bundle.folder, `cluster-${scripts++}.mjs`)
  await writeFile(
    path,
    `import cluster from 'node:cluster'
     import { createCaches, DummyCache, LocMemCache } from './src/index.js'
     import { FileBasedCache } from './src/backends/file.js'
     if (cluster.isPrimary) {
       createCaches({ default: new LocMemCache() })
       for (let i = 0; i < 2; i++) cluster.fork()
     } else {
       for (let i = 0; i < 2; i++) await createCaches(${caches}).close()
       process.disconnect()
     }`,
  )
  const { stderr } = await promisify(execFile)(process.execPath, [path], {
    env: { ...process.env, ...env },
  })
  return stderr.split('\n').filter((line) => line.includes('FRAGCACHE_'))
}

const shared = `new FileBasedCache({ location: import.meta.dirname + '/store' })`

it('local memory in a cluster is told of once by each worker, with alias and remedy', async () => {
  const warnings = await warnedOf(`{ default: ${shared}, local: new LocMemCache() }`)
  expect(warnings).toHaveLength(2)
  for (const warning of warnings) {
    expect(warning).toContain('[FRAGCACHE_LOCAL_MEMORY] CacheMemoryWarning: createCaches: ')
    expect(warning).toContain('"local"')
    expect(warning).not.toContain('"default"')
    expect(warning).toContain('TieredCache')
  }
})

it.each<[string, string, NodeJS.ProcessEnv]>([
  ['a store that all share', `{ default: ${shared}, none: new DummyCache() }`, {}],
  [
    'one process that PM2 runs in its cluster mode',
    '{ default: new LocMemCache() }',
    { exec_mode: 'cluster_mode', instances: '1' },
  ],
  [
    'a site that has silenced it',
    '{ default: new LocMemCache() }',
    { NODE_OPTIONS: '--disable-warning=FRAGCACHE_LOCAL_MEMORY' },
  ],
])('nothing is said of %s', async (_name, caches, env) => {
  expect(await warnedOf(caches, env)).toEqual([])
})
