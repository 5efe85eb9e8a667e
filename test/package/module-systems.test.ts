import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { Consumer } from '../support/consumer.js'
import { projectRoot, readManifest, run } from '../support/project.js'

/** An application that is the same text in JavaScript and in strict TypeScript. */
const site = `
import express from 'express'
import nunjucks from 'nunjucks'
import { createCaches, LocMemCache } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { registerCache } from 'fragcache/nunjucks'

const caches = createCaches({ default: new LocMemCache() })
const { renderStringAsync } = registerCache(new nunjucks.Environment(), caches)
const view = '{{ user }} {% cache 60 box %}{{ made() }}{% endcache %}'
let boxes = 0
let pages = 0
const app = express()
app.get('/', async (req, res) => {
  res.send(await renderStringAsync(view, { user: req.query['user'], made: () => ++boxes }))
})
app.get('/page', responseCache(caches).cachePage(60), (_req, res) => {
  res.send('page ' + ++pages)
})

export async function answers() {
  const server = app.listen(0, '127.0.0.1')
  await new Promise((listening) => server.once('listening', listening))
  const base = 'http://127.0.0.1:' + Object(server.address()).port
  const texts = []
  for (const path of ['/?user=Ann', '/?user=Ben', '/page', '/page']) {
    texts.push(await (await fetch(base + path)).text())
  }
  server.closeAllConnections()
  await new Promise((closed) => server.close(closed))
  return texts.join(', ')
}
`
const expected = 'Ann 1, Ben 1, page 1, page 1'

const required =
  site
    .replace(/^import (.*) from (.*)$/gm, 'const $1 = require($2)')
    .replace('export async', 'async') + 'module.exports = { answers }\n'

const printing = (from: string) => `import { answers } from '${from}'
void answers().then((text) => console.log(text))
`
const checking = (load: string) => `${load}
test('the site caches', async () => expect(await answers()).toBe('${expected}'))
`

const installed = (path: string) => join(projectRoot, 'node_modules', path)

/** The first configuration of Jest in docs/toolchains.md that names a transform. */
async function documentedJest(): Promise<string> {
  const page = await readFile(join(projectRoot, 'docs', 'toolchains.md'), 'utf8')
  const found = [...page.matchAll(/```json\n(.*?)```/gs)].map(([, text]) => text!)
  return found.find((text) => text.includes('plugin-transform-modules-commonjs'))!
}

const strict = { target: 'es2022', strict: true, esModuleInterop: true, skipLibCheck: true }
const tsconfig = (options: object) =>
  JSON.stringify({
    compilerOptions: { ...strict, types: ['node'], ...options },
    // What the compiler says of the types is asked for below, once for all.
    'ts-node': { transpileOnly: true },
  })

const packages = [
  ...['express', 'nunjucks', '@types/express', '@types/node', '@types/nunjucks'],
  ...['typescript', 'ts-node', 'vitest', 'babel-jest', '@babel/plugin-transform-modules-commonjs'],
]

let consumer: Consumer
beforeAll(async () => {
  consumer = await Consumer.install()
  for (const name of packages) await consumer.link(name)
  for (const folder of ['esm', 'cjs', 'types']) await mkdir(join(consumer.folder, folder))
  const jest = JSON.parse(await documentedJest()) as object
  const ofJest = { watchman: false, testMatch: ['**/jest.test.js'] }
  const files = {
    'esm/package.json': JSON.stringify({ type: 'module', jest: { ...ofJest, transform: {} } }),
    'esm/tsconfig.json': tsconfig({ module: 'nodenext' }),
    'esm/site.ts': site,
    'esm/plain.js': site,
    'esm/run.ts': printing('./site.js'),
    'esm/run.js': printing('./plain.js'),
    'esm/jest.test.js': checking("import { answers } from './plain.js'"),
    'esm/vitest.test.js': checking(
      "import { expect, test } from 'vitest'\nimport { answers } from './plain.js'",
    ),
    'cjs/package.json': JSON.stringify({ type: 'commonjs', jest: { ...jest, ...ofJest } }),
    'cjs/tsconfig.json': tsconfig({ module: 'commonjs' }),
    'cjs/site.ts': site,
    'cjs/plain.js': required,
    'cjs/run.ts': printing('./site'),
    'cjs/run.js': "require('./plain').answers().then((text) => console.log(text))",
    'cjs/jest.test.js': checking("const { answers } = require('./plain')"),
  }
  for (const [path, text] of Object.entries(files)) await consumer.write(path, text)
  return () => consumer.remove()
}, 240_000)

const inFolder = (folder: string, args: readonly string[], program = process.execPath) =>
  run(program, args, join(consumer.folder, folder))

describe('a site with a cached fragment and a cached page', () => {
  const tsx = installed('tsx/dist/cli.mjs')
  it.each([
    ['in Node, by import', 'esm', ['run.js']],
    ['in Node, by require()', 'cjs', ['run.js']],
    ['in tsx, as a module', 'esm', [tsx, 'run.ts']],
    ['in tsx, as CommonJS', 'cjs', [tsx, 'run.ts']],
    ['in tsx, by require()', 'cjs', [tsx, 'run.js']],
    ['in ts-node, as a module', 'esm', ['--no-warnings', '--loader', 'ts-node/esm', 'run.ts']],
    ['in ts-node, as CommonJS', 'cjs', [installed('ts-node/dist/bin.js'), 'run.ts']],
  ])(
    'works %s',
    async (_name, folder, args) => {
      expect(await inFolder(folder, args)).toEqual({ code: 0, out: expected, error: '' })
    },
    180_000,
  )

  const jest = installed('jest/bin/jest.js')
  it.each([
    ['in Vitest', 'esm', [installed('vitest/vitest.mjs'), 'run', '--no-color', 'vitest.test.js']],
    ['in Jest with ES modules', 'esm', ['--experimental-vm-modules', jest]],
    ['in Jest with CommonJS, as the page says to set it', 'cjs', [jest]],
  ])(
    'is tested %s',
    async (_name, folder, args) => {
      const { code, out, error } = await inFolder(folder, args)
      expect({ code, said: code === 0 ? '' : out + error }).toEqual({ code: 0, said: '' })
      expect(out + error).toMatch(/\b1 passed/)
    },
    180_000,
  )
})

/** The oldest TypeScript is one that a tool here brings: two of the project's own would both be its `tsc`. */
const compilers: Readonly<Record<string, string>> = {
  '5.6': installed('@arethetypeswrong/core/node_modules/typescript'),
  '6.0': installed('typescript'),
}

/** What a version of TypeScript finds wrong, as files and codes. */
async function faults(version: string, files: readonly string[], options: object) {
  const config = `tsconfig.${version}.${Object.values(options).join('.')}.json`
  const compilerOptions = { ...strict, types: ['node'], noEmit: true, ...options }
  await consumer.write(`types/${config}`, JSON.stringify({ compilerOptions, files }))
  const { out } = await inFolder('types', [join(compilers[version]!, 'bin/tsc'), '-p', config])
  const found = [...out.matchAll(/^([^ (]+)(?:[(][^:]*)?: error (TS[0-9]+)/gm)]
  return [...new Set(found.map(([, file, code]) => `${file} ${code}`))]
}

describe('the types', () => {
  const refused = ['imports.cts TS1479', 'requires.cts TS1471']
  const modules = ['../esm/what-compiles.ts', 'imports.cts', 'requires.cts', 'loads.cts']
  const plain = ['imports.ts', 'requires.ts']

  beforeAll(async () => {
    for (const name of ['eta', 'express-handlebars', 'handlebars', 'hbs', '@types/hbs']) {
      await consumer.link(name)
    }
    const uses = await readFile(join(projectRoot, 'test/package/what-compiles.ts'), 'utf8')
    const requires = `
import fragcache = require('fragcache')
import express = require('fragcache/express')
const caches = fragcache.createCaches({ default: new fragcache.LocMemCache() })
export const value: Promise<unknown> = caches.default.get('a')
// @ts-expect-error: no such alias
express.responseCache(caches, { alias: 'typo' })
`
    const loads = `
export const caches = import('fragcache').then((m) => m.createCaches({ default: new m.LocMemCache() }))
`
    await consumer.write('types/package.json', '{}')
    await consumer.write('esm/what-compiles.ts', uses)
    await consumer.write('types/imports.cts', site)
    await consumer.write('types/imports.ts', site)
    await consumer.write('types/requires.cts', requires)
    await consumer.write('types/requires.ts', requires)
    await consumer.write('types/loads.cts', loads)
  })

  it('are compiled by the versions that are named', () => {
    for (const [version, folder] of Object.entries(compilers)) {
      expect(readManifest(folder).version.startsWith(version)).toBe(true)
    }
  })

  it.each([
    ['5.6', modules, { module: 'node16' }, refused],
    ['5.6', modules, { module: 'nodenext' }, refused],
    ['5.6', plain, { module: 'preserve', moduleResolution: 'bundler' }, []],
    ['5.6', plain, { module: 'commonjs' }, []],
    ['6.0', modules, { module: 'node20' }, []],
    ['6.0', plain, { module: 'preserve', moduleResolution: 'bundler' }, []],
  ])(
    'are found by TypeScript %s, as the page says: %j %j',
    async (version, files, options, expectedFaults) => {
      expect(await faults(version, files, options)).toEqual(expectedFaults)
    },
    180_000,
  )
})
