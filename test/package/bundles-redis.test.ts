import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { Consumer } from '../support/consumer.js'
import { run } from '../support/project.js'
import { startRedis } from '../support/servers/redis.js'

/* Bundles that contain ioredis too. Bundlers differ in what a dynamic import of a CommonJS package gives. */

const app = `
import { createCaches } from 'fragcache'
import { RedisCache } from 'fragcache/redis'

const caches = createCaches({ default: new RedisCache({ location: process.env.SERVER }) })
caches.default
  .set('greeting', 'hello')
  .then(() => caches.default.get('greeting'))
  .then((value) => console.log(value), (error) => console.log(error))
  .finally(() => caches.close())
`

const ncc = createRequire(import.meta.url).resolve('@vercel/ncc/dist/ncc/cli.js')

let consumer: Consumer
let outside: string

beforeAll(async () => {
  consumer = await Consumer.install()
  await consumer.link('ioredis')
  await consumer.write('app.mjs', app)
  await mkdir(join(consumer.folder, 'commonjs'))
  await consumer.write('commonjs/package.json', '{}')
  await consumer.write('commonjs/app.js', app)
  outside = await mkdtemp(join(tmpdir(), 'fragcache-bundled-'))
  return async () => {
    await consumer.remove()
    await rm(outside, { recursive: true, force: true })
  }
}, 240_000)

async function withNcc(entry: string, folder: string): Promise<string> {
  const args = [ncc, 'build', entry, '-o', folder, '--no-cache', '--quiet']
  expect(await run(process.execPath, args, consumer.folder)).toMatchObject({ code: 0 })
  return entry.endsWith('.mjs') ? 'index.mjs' : 'index.js'
}

async function withEsbuild(format: 'esm' | 'cjs', folder: string): Promise<string> {
  const file = format === 'esm' ? 'main.mjs' : 'main.cjs'
  await build({
    absWorkingDir: consumer.folder,
    entryPoints: ['app.mjs'],
    outfile: join(folder, file),
    bundle: true,
    platform: 'node',
    format,
    // Packages in CommonJS require what Node has.
    ...(format === 'esm' && {
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    }),
    logLevel: 'silent',
  })
  return file
}

describe('an app over Redis that is bundled with ioredis', () => {
  it.each([
    ['ncc, ESM', (folder: string) => withNcc('app.mjs', folder)],
    ['ncc, CommonJS', (folder: string) => withNcc('commonjs/app.js', folder)],
    ['esbuild, ESM', (folder: string) => withEsbuild('esm', folder)],
    ['esbuild, CommonJS', (folder: string) => withEsbuild('cjs', folder)],
  ])('reads and writes: %s', { timeout: 120_000 }, async (name, bundle) => {
    const server = await startRedis()
    onTestFinished(() => server.stop())
    const folder = join(outside, name.replace(/\W+/g, '-'))
    await mkdir(folder)
    const file = await bundle(folder)
    const code = `process.env.SERVER = ${JSON.stringify(server.url)}; import(${JSON.stringify(`./${file}`)})`
    const outcome = await run(process.execPath, ['--input-type=commonjs', '--eval', code], folder)
    expect(outcome).toMatchObject({ code: 0, out: 'hello' })
  })
})
