// Makes dist/ of src, adapters and the published conformance suite:
//
//   src/, adapters/, test/   what package.json names: entries in JavaScript, and the types that they lead to
//   chunks/                  what several entries share, so that every class is there once
//   modules/                 each source by itself, not published: for what measures or alters one of them
//
// Entries are bundled since Node takes longer to find and link a hundred small files than to read them. What
// the sources read from files beside them becomes a part of the code: applications are bundled too, and their
// bundles have no such files.
//
//   node scripts/build.mjs              build
//   node scripts/build.mjs --if-stale   build unless dist/ was made from exactly these sources
//
// dist/ is replaced whole by a rename, so that a process reading it never finds half of it, and a file
// whose source is gone goes too. Processes may build at the same time: each compiles into a folder of its
// own, and the last one to end has its folder stay.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

/** The project's folder. */
export const root = fileURLToPath(new URL('..', import.meta.url))

const dist = join(root, 'dist')
/** The hash of the sources that a build was made from, inside of it so that both change at once. */
const stamp = 'sources.sha256'

/** What is for browsers: scripts and style sheets beside the sources, not compiled. */
async function assetFiles() {
  const entries = await readdir(join(root, 'adapters'), { recursive: true })
  return entries
    .filter((entry) => /\.(js|css)$/.test(entry))
    .map((entry) => join('adapters', entry))
    .sort()
}

async function sourceFiles() {
  const files = [
    'tsconfig.json',
    'tsconfig.build.json',
    'package.json',
    'package-lock.json',
    'scripts/build.mjs',
    ...(await assetFiles()),
  ]
  for (const folder of ['src', 'adapters', 'test/conformance']) {
    if (!existsSync(join(root, folder))) continue
    for (const entry of await readdir(join(root, folder), { recursive: true })) {
      if (entry.endsWith('.ts')) files.push(join(folder, entry))
    }
  }
  return files.sort()
}

async function hashOfSources() {
  const hash = createHash('sha256')
  for (const file of await sourceFiles()) {
    hash.update(`${file}\0`).update(await readFile(join(root, file)))
  }
  return hash.digest('hex')
}

async function isFresh(hash) {
  return (await readFile(join(dist, stamp), 'utf8').catch(() => '')) === hash
}

function compile(outDir) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const folders = ['--outDir', join(outDir, 'modules'), '--declarationDir', outDir]
  const args = [tsc, '-p', 'tsconfig.build.json', ...folders, '--pretty', 'false']
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { cwd: root }, (error, stdout) => {
      if (error === null) resolve()
      else reject(new Error(`the build failed:\n${stdout || error.message}`))
    })
  })
}

/** The sources of what package.json names, by their paths in dist/ without an ending. */
async function entries() {
  const { exports, bin } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const named = [...Object.values(exports).map((target) => target.default), ...Object.values(bin)]
  const paths = named.flatMap((path) => /^(?:[.][/])?dist[/](.*)[.]js$/.exec(path ?? '')?.[1] ?? [])
  return Object.fromEntries(paths.map((path) => [path, join(root, `${path}.ts`)]))
}

/** Removes the types that nothing of what package.json names can reach: most files are nobody's contract. */
async function pruneTypes(outDir) {
  const { default: ts } = await import('typescript')
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const reached = new Set()
  const reach = async (file) => {
    if (reached.has(file)) return
    reached.add(file)
    const { importedFiles } = ts.preProcessFile(await readFile(file, 'utf8'), true, true)
    for (const { fileName } of importedFiles) {
      if (!fileName.startsWith('.')) continue
      await reach(join(dirname(file), fileName.replace(/\.js$/, '.d.ts')))
    }
  }
  for (const { types } of Object.values(exports)) {
    if (types !== undefined) await reach(join(outDir, types.replace(/^\.\/dist\//, '')))
  }
  for (const entry of await readdir(outDir, { recursive: true })) {
    const file = join(outDir, entry)
    if (entry.endsWith('.d.ts') && !reached.has(file)) await rm(file)
  }
}

/** Modules that read files, by their paths: what stands in their place in the package. */
const filledIn = {
  'src/version.ts': async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
    return `export const packageVersion = () => ${JSON.stringify(version)}`
  },
  'adapters/inspector/assets.ts': async () => {
    const folder = join(root, 'adapters', 'inspector')
    const named = (await assetFiles()).map(async (file) => {
      const name = relative(folder, join(root, file)).replaceAll('\\', '/')
      return [name, await readFile(join(root, file), 'utf8')]
    })
    const assets = JSON.stringify(Object.fromEntries(await Promise.all(named)), undefined, 1)
    return `const assets = ${assets}\nexport const readAsset = (path) => assets[path]`
  },
}

/** Puts the files that the sources read into the code. */
const fillIn = {
  name: 'fill-in',
  load: (id) => filledIn[relative(root, id).replaceAll('\\', '/')]?.(),
}

async function bundle(outDir) {
  const bundler = await rolldown({
    cwd: root,
    input: await entries(),
    platform: 'node',
    tsconfig: 'tsconfig.build.json',
    resolve: { extensionAlias: { '.js': ['.ts'] } },
    external: /^[@a-z]/,
    plugins: [fillIn],
  })
  try {
    await bundler.write({
      dir: outDir,
      entryFileNames: '[name].js',
      chunkFileNames: 'chunks/[name].js',
      comments: { legal: true, annotation: true, jsdoc: false },
      // Of the lines alone: the sources are not published.
      sourcemap: true,
      sourcemapExcludeSources: true,
      // As seen from where the folder will be.
      sourcemapPathTransform: (source, map) => {
        const place = join(dist, relative(outDir, dirname(map)))
        return relative(place, join(dirname(map), source)).replaceAll('\\', '/')
      },
      minifyInternalExports: false,
      codeSplitting: {
        // Whatever is imported needs most of what `fragcache` itself needs: that is one file.
        groups: [{ name: 'core', test: /[\\/]src[\\/]index[.]ts$/ }],
      },
    })
  } finally {
    await bundler.close()
  }
}

/** What a rename fails with when something else has taken the place meanwhile. */
const isTaken = (error) => error.code === 'ENOTEMPTY' || error.code === 'EEXIST'

/**
 * Puts the folder `fresh` in the place of `target`, where others may do the same at the same time. What was
 * there goes to `old`, a path with nothing in it, and is removed.
 */
export async function replaceFolder(fresh, target, old) {
  for (;;) {
    await rename(target, old).catch((error) => {
      if (error.code !== 'ENOENT') throw error
    })
    await rm(old, { recursive: true, force: true })
    try {
      return await rename(fresh, target)
    } catch (error) {
      if (!isTaken(error)) throw error
    }
  }
}

/**
 * Makes dist/ unless it is there and made from exactly these sources.
 *
 * @param {{ force?: boolean, begins?: () => void }} [options] - `begins` is called unless there is nothing to do.
 */
export async function build({ force = false, begins } = {}) {
  const hash = await hashOfSources()
  if (!force && (await isFresh(hash))) return
  begins?.()
  const folder = await mkdtemp(join(root, 'dist.'))
  const fresh = join(folder, 'new')
  try {
    await compile(fresh)
    await pruneTypes(fresh)
    await bundle(fresh)
    await writeFile(join(fresh, stamp), hash)
    await replaceFolder(fresh, dist, join(folder, 'old'))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await build({
      force: !process.argv.includes('--if-stale'),
      begins: () => console.error('building fragcache …'),
    })
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
