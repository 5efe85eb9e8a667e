import { existsSync, readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { builtinModules } from 'node:module'
import { dirname, join, relative } from 'node:path'
import ts from 'typescript'
import { beforeAll, describe, expect, it } from 'vitest'
import { Consumer } from '../support/consumer.js'
import { projectRoot, readManifest } from '../support/project.js'

const manifest = readManifest(projectRoot)
const dependencies = Object.keys(manifest.dependencies ?? {})
const peers = Object.keys(manifest.peerDependencies)

let consumer: Consumer
beforeAll(async () => {
  consumer = await Consumer.install()
  return () => consumer.remove()
}, 240_000)

const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')

/**
 * Every file and package that loading `entry` can reach, Node's own modules left out. Packages named
 * in a string that is handed to `require` count, as do dynamic imports and `typeof import(…)`.
 */
function reach(entry: string, files = new Set<string>(), packages = new Set<string>()) {
  if (files.has(entry)) return { files, packages }
  files.add(entry)
  const text = readFileSync(entry, 'utf8')
  for (const { fileName } of ts.preProcessFile(text, true, true).importedFiles) {
    if (fileName.startsWith('.')) {
      const target = join(dirname(entry), fileName)
      reach(entry.endsWith('.d.ts') ? target.replace(/\.js$/, '.d.ts') : target, files, packages)
    } else if (!fileName.startsWith('node:') && !builtinModules.includes(fileName)) {
      packages.add(packageOf(fileName))
    }
  }
  return { files, packages }
}

function entriesOf(subpath: string): string[] {
  const target = manifest.exports[subpath]
  if (target === undefined || typeof target === 'string') return []
  return [target.default, target.types].map((path) => join(consumer.installed, path))
}

const packagesOf = (subpath: string): string[] => [
  ...new Set(entriesOf(subpath).flatMap((entry) => [...reach(entry).packages])),
]

const programs = (): string[] =>
  Object.values(manifest.bin).map((path) => join(consumer.installed, path))

/** What the programs of the package import. */
const packagesOfPrograms = (): string[] => [
  ...new Set(programs().flatMap((path) => [...reach(path).packages])),
]

const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== './package.json')

const namedOtherwise: Readonly<Record<string, readonly string[]>> = {
  './redis': ['ioredis'],
}

/** The packages a subpath may import: the one it is named for, unless those have other names. */
const peersOf = (subpath: string): readonly string[] =>
  namedOtherwise[subpath] ?? [subpath.slice(2)]

/** Objects of these are handed in: they are never imported, only said to work. */
const handedIn = ['better-sqlite3', 'knex', 'libsql', 'mysql2', 'pg']

/** The command line imports these by where they lie: beside the configuration in TypeScript that they run. */
const foundByPath = ['jiti', 'tsx']

/** These are needed at once, where no `import()` does: they are looked for where the application was started. */
const foundAtStart = ['@opentelemetry/api', 'prom-client']

describe('what the built subpaths import', () => {
  it('is declared: dependencies, and the peers of a subpath', () => {
    for (const subpath of subpaths) {
      const undeclared = packagesOf(subpath).filter(
        (name) => !dependencies.includes(name) && !peersOf(subpath).includes(name),
      )
      expect({ subpath, undeclared }).toEqual({ subpath, undeclared: [] })
    }
  })

  it('is all that is declared, with what the programs import', () => {
    const imported = [...subpaths.flatMap(packagesOf), ...packagesOfPrograms()]
    expect(dependencies.filter((name) => !imported.includes(name))).toEqual([])
    expect(peers.filter((name) => !imported.includes(name))).toEqual(
      [...handedIn, ...foundByPath, ...foundAtStart].sort(),
    )
  })

  it('leaves every peer optional', () => {
    expect(Object.keys(manifest.peerDependenciesMeta).sort()).toEqual([...peers].sort())
    for (const peer of peers)
      expect(manifest.peerDependenciesMeta[peer]).toEqual({ optional: true })
  })

  it('gives types in every condition, from files that are there', () => {
    for (const subpath of subpaths) {
      const target = manifest.exports[subpath]
      expect(Object.keys(target!)).toEqual(['types', 'default'])
      for (const entry of entriesOf(subpath)) expect(existsSync(entry)).toBe(true)
    }
  })
})

describe('package.json', () => {
  it('tells resolvers that read no exports where everything is', () => {
    const { main, types, typesVersions, exports } = manifest
    expect({ types, default: main }).toEqual(exports['.'])
    const named = subpaths
      .filter((subpath) => subpath !== '.')
      .map((subpath) => [subpath.slice(2), [(exports[subpath] as { types: string }).types]])
    expect(typesVersions).toEqual({ '*': Object.fromEntries(named) as unknown })
  })

  it('names the repository by which npm makes whole URLs of the links in the README', () => {
    const { repository, homepage, bugs } = manifest
    const [, place] = /^git\+(https:[/][/]github[.]com[/][^/]+[/]fragcache)[.]git$/.exec(
      repository.url,
    )!
    // The README stands at the root, so its links are paths in the repository.
    expect(repository).toEqual({ type: 'git', url: repository.url })
    expect({ homepage, bugs }).toEqual({ homepage: `${place}#readme`, bugs: `${place}/issues` })
  })
})

describe('the tarball', () => {
  it('holds what src, adapters and the published suite compile to, and nothing else', async () => {
    const present = (await readdir(consumer.installed, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => relative(consumer.installed, join(entry.parentPath, entry.name)))
      .map((file) => file.replaceAll('\\', '/'))
    const documents = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json']
    expect(present.filter((file) => !file.startsWith('dist/')).sort()).toEqual(documents)
    const sourceOf = (file: string) =>
      file.replace(/^dist\//, '').replace(/(\.d\.ts|\.js(\.map)?)$/, '.ts')
    const published = present.filter((file) => file.startsWith('dist/'))
    const built = published.filter((file) => !file.startsWith('dist/chunks/'))
    expect(built.filter((file) => !existsSync(join(projectRoot, sourceOf(file))))).toEqual([])
    const chunks = [...subpaths.flatMap(entriesOf), ...programs()]
      .flatMap((entry) => [...reach(entry).files])
      .map((file) => relative(consumer.installed, file).replaceAll('\\', '/'))
      .filter((file) => file.startsWith('dist/chunks/'))
      .flatMap((file) => [file, `${file}.map`])
    expect(published.filter((file) => file.startsWith('dist/chunks/')).sort()).toEqual(
      [...new Set(chunks)].sort(),
    )
    const modules = join(projectRoot, 'dist', 'modules')
    const suiteIn = (folder: string, entry: string) =>
      [...reach(join(folder, entry)).files].map((file) => sourceOf(relative(folder, file)))
    const suite = [
      ...suiteIn(modules, 'test/conformance/index.js'),
      ...suiteIn(join(consumer.installed, 'dist'), 'test/conformance/index.d.ts'),
    ]
    const tests = built.map(sourceOf).filter((file) => file.startsWith('test/'))
    expect(tests.filter((file) => !suite.includes(file))).toEqual([])
  })

  it('has maps that lead from where they lie to the sources of the repository', async () => {
    const files = await readdir(consumer.installed, { recursive: true })
    const sources = files
      .filter((file) => file.endsWith('.js.map'))
      .flatMap((file) => {
        const text = readFileSync(join(consumer.installed, file), 'utf8')
        const { sources: named } = JSON.parse(text) as { readonly sources: readonly string[] }
        return named.map((source) => join(dirname(file), source).replaceAll('\\', '/'))
      })
    expect(sources).toContain('src/cache.ts')
    expect(sources.filter((source) => !existsSync(join(projectRoot, source)))).toEqual([])
  })

  it('holds no types that no subpath leads to', async () => {
    const files = await readdir(consumer.installed, { recursive: true })
    const types = files.filter((file) => file.endsWith('.d.ts'))
    const reached = subpaths.flatMap(entriesOf).flatMap((entry) => [...reach(entry).files])
    const unused = types.filter((file) => !reached.includes(join(consumer.installed, file)))
    expect(unused).toEqual([])
  })

  it('holds the scripts and style sheets of its pages in its own code', async () => {
    const sources = await readdir(join(projectRoot, 'adapters'), { recursive: true })
    const assets = sources.filter((file) => /\.(js|css)$/.test(file))
    expect(assets).toContain(join('inspector', 'page', 'page.css'))
    const code = readFileSync(join(consumer.installed, 'dist/adapters/inspector/index.js'), 'utf8')
    for (const file of assets) {
      const text = readFileSync(join(projectRoot, 'adapters', file), 'utf8')
      expect(code.includes(JSON.stringify(text).slice(1, -1))).toBe(true)
      expect(existsSync(join(consumer.installed, 'dist', 'adapters', file))).toBe(false)
    }
  })
})
