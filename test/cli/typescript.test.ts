import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FileBasedCache } from '../../src/backends/file.js'
import { bundleSources, type Bundle } from '../support/bundle.js'
import { run, type Outcome } from '../support/project.js'
import { inProject } from '../support/samples.js'
import { ownFolder } from './support.js'

const folder = ownFolder()
let bundle: Bundle
beforeAll(async () => {
  bundle = await bundleSources()
}, 180_000)
afterAll(() => bundle.remove())

let apps = 0

/** An application of its own: nothing is installed in it but these packages, which the project has too. */
function makeApp(type: string, packages: readonly string[]): string {
  const app = join(folder, `app-${apps++}`)
  mkdirSync(join(app, 'node_modules'), { recursive: true })
  writeFileSync(join(app, 'package.json'), JSON.stringify({ type }))
  for (const name of packages) {
    symlinkSync(inProject(`node_modules/${name}`), join(app, 'node_modules', name), 'dir')
  }
  return app
}

/** Clears the cache called "default" of a configuration, in a process of its own. */
function clear(app: string, files: Readonly<Record<string, string>>): Promise<Outcome> {
  return runTool(app, files, ['clear', 'default'])
}

/** Runs the tool over a configuration. */
function runTool(
  app: string,
  files: Readonly<Record<string, string>>,
  args: readonly string[],
): Promise<Outcome> {
  const imports = `import { createCaches, DummyCache } from ${JSON.stringify(join(bundle.folder, 'src/index.js'))}\n`
  for (const [name, code] of Object.entries(files)) {
    mkdirSync(dirname(join(app, name)), { recursive: true })
    writeFileSync(join(app, name), name.startsWith('fragcache.') ? imports + code : code)
  }
  return run(process.execPath, [join(bundle.folder, 'src/cli.js'), ...args], app)
}

const done: Outcome = { code: 0, out: 'default was cleared', error: '' }

const TYPES = `const alias: string = 'default'
export default createCaches({ [alias]: new DummyCache() })`
const ENUM = `enum Alias { first = 'default' }
export default createCaches({ [Alias.first]: new DummyCache() })`
const IMPORTING = `import { alias, type Alias } from './lib/alias.js'
const one: Alias = alias
export const caches = createCaches({ [one]: new DummyCache() })`
const ALIAS = "export type Alias = 'default'\nexport const alias: Alias = 'default'"

describe.each([['jiti'], ['tsx']])('a configuration in TypeScript, with %s installed', (loader) => {
  it.each([
    ['types alone', 'fragcache.config.ts', TYPES],
    ['types alone, in a file of ES modules', 'fragcache.config.mts', TYPES],
    ['what is more than types', 'fragcache.config.ts', ENUM],
    ['an import of more TypeScript', 'fragcache.config.ts', IMPORTING],
  ])('runs with %s, whatever the type of its package', async (_, name, code) => {
    for (const type of ['module', 'commonjs']) {
      const app = makeApp(type, [loader])
      expect(await clear(app, { [name]: code, 'lib/alias.ts': ALIAS })).toEqual(done)
    }
  })

  it('has its keys read as those of any other, though the loader may make a copy of the package for it', async () => {
    const key = `views.decorators.cache.cache_page..GET.${'0'.repeat(32)}.${'1'.repeat(32)}`
    for (const type of ['module', 'commonjs']) {
      const app = makeApp(type, [loader])
      const location = join(app, 'entries')
      await new FileBasedCache({ location, keyPrefix: 'shop' }).set(key, 1)
      const code = `import { FileBasedCache } from ${JSON.stringify(join(bundle.folder, 'src/backends/file.js'))}
enum Prefix { shop = 'shop' }
export default createCaches({ default: new FileBasedCache({ location: 'entries', keyPrefix: Prefix.shop }) })`
      const { out, error } = await runTool(app, { 'fragcache.config.ts': code }, ['list', '--json'])
      expect(error).toBe('')
      expect(JSON.parse(out)).toMatchObject({ entries: [{ key, kind: 'page', version: 1 }] })
    }
  })

  it('is named where its syntax is wrong, with the line', async () => {
    const app = makeApp('module', [loader])
    const { code, error } = await clear(app, { 'fragcache.config.ts': 'const a: string =' })
    expect(code).toBe(1)
    expect(error).toMatch(
      /^fragcache: clear: .*config\.ts cannot be loaded: .*fragcache\.config\.ts:2:.*$/,
    )
  })
})

describe('a configuration in TypeScript, with nothing installed', () => {
  const { typescript = false } = process.features as { readonly typescript?: string | false }
  const loads = (app: string, code: string) => clear(app, { 'fragcache.config.ts': code })

  it('is run by Node where it can, else says what to install', async () => {
    const outcome = await loads(makeApp('module', []), TYPES)
    if (typescript !== false) return expect(outcome).toEqual(done)
    expect(outcome).toMatchObject({ code: 1, out: '' })
    expect(outcome.error).toMatch(
      /config\.ts cannot be loaded: .*; TypeScript needs Node 22\.18 or later, or the package tsx or jiti: npm install --save-dev tsx$/,
    )
  })

  it.each([
    ['what is more than types', 'module', ENUM],
    ['an import of a file that Node does not find', 'module', IMPORTING],
    ['ES modules in a package of type commonjs', 'commonjs', TYPES],
  ])('says what to install for %s', async (_, type, code) => {
    const outcome = await clear(makeApp(type, []), {
      'fragcache.config.ts': code,
      'lib/alias.ts': ALIAS,
    })
    expect(outcome).toMatchObject({ code: 1, out: '' })
    expect(outcome.error).toMatch(
      / or the package tsx or jiti: npm install --save-dev tsx$|needs the package tsx or jiti: npm install --save-dev tsx$/,
    )
  })

  it('does not ask for more where a package is missing that the configuration imports', async () => {
    const outcome = await loads(makeApp('module', ['tsx']), "import 'fragcache-is-not-installed'")
    expect(outcome.error).toContain("Cannot find package 'fragcache-is-not-installed'")
    expect(outcome.error).not.toContain('npm install')
  })

  it('passes over a jiti that is too old, for tsx', async () => {
    const app = makeApp('module', ['tsx'])
    mkdirSync(join(app, 'node_modules/jiti'))
    writeFileSync(
      join(app, 'node_modules/jiti/package.json'),
      '{ "name": "jiti", "version": "1.21.7", "main": "lib/index.js" }',
    )
    expect(await loads(app, ENUM)).toEqual(done)
  })
})
