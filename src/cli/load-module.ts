import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, parse, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { messageOfError } from '../error-text.js'

export type Exports = Readonly<Record<string, unknown>>

/**
 * Loads a module: JavaScript by Node; TypeScript by Node where it can, else by what of jiti and tsx is
 * installed where the module lies.
 *
 * @throws Error: it cannot be loaded; the message says why, on one line where Node has many, and what helps.
 */
export async function loadModule(path: string): Promise<Exports> {
  try {
    const loaded = await (TYPESCRIPT.test(path) ? importTypeScript(path) : importByNode(path))
    return { ...loaded, default: await loaded['default'] }
  } catch (error) {
    throw new Error(`${onOneLine(error)}${remedyOf(path, error)}`, { cause: error })
  }
}

const TYPESCRIPT = /\.[cm]?ts$/

async function importByNode(path: string): Promise<Exports> {
  return (await import(pathToFileURL(path).href)) as Exports
}

async function importTypeScript(path: string): Promise<Exports> {
  try {
    return await importByNode(path)
  } catch (error) {
    // Nothing has run, unless it was `import()` that failed: imports are found, and syntax is read, first.
    const load = isBeyondNode(error) ? findLoader(path) : undefined
    if (load === undefined) throw error
    return load(path)
  }
}

/** Packages that run TypeScript, each by what it exports. The first that is there is taken. */
const LOADERS: readonly {
  readonly name: string
  readonly subpath: string
  readonly load: (exports: Exports, path: string) => Promise<Exports>
}[] = [
  {
    name: 'jiti',
    subpath: '.',
    load: ({ createJiti }, path) =>
      (createJiti as CreateJiti)(path, { fsCache: false }).import(path),
  },
  {
    name: 'tsx',
    subpath: './esm/api',
    load: async ({ tsImport }, path) => {
      const { href } = pathToFileURL(path)
      const loaded = await (tsImport as TsImport)(href, href)
      // In a package of type commonjs it makes CommonJS of the module.
      const { default: main } = loaded as { readonly default?: Exports }
      return main?.['__esModule'] === true ? main : loaded
    },
  },
]

type CreateJiti = (
  path: string,
  options: object,
) => { readonly import: (path: string) => Promise<Exports> }

type TsImport = (specifier: string, parent: string) => Promise<Exports>

/** How to load TypeScript by what the user has installed; `undefined`: by nothing. */
function findLoader(path: string): ((path: string) => Promise<Exports>) | undefined {
  const { resolve: find } = createRequire(path)
  for (const { name, subpath, load } of LOADERS) {
    let manifest: string
    try {
      manifest = find(`${name}/package.json`)
    } catch {
      continue
    }
    // On Node 20 tsx works by `import` alone.
    const entry = entryOf(manifest, subpath)
    if (entry === undefined) continue
    return async () => load(await importByNode(entry), path)
  }
  return undefined
}

/** The file of a package for who imports a subpath; `undefined` of one that has no such subpath, such as an old one. */
function entryOf(manifest: string, subpath: string): string | undefined {
  const { exports = {} } = JSON.parse(readFileSync(manifest, 'utf8')) as {
    readonly exports?: Readonly<
      Record<string, { readonly import?: string | { readonly default?: string } }>
    >
  }
  const target = exports[subpath]?.import
  const file = typeof target === 'object' ? target.default : target
  return file === undefined ? undefined : resolve(dirname(manifest), file)
}

/** What Node says of a module's syntax in a file that it takes for CommonJS. */
const MODULE_SYNTAX = /outside a module|Unexpected token 'export'|top level bodies of modules/

/** Codes of Node for TypeScript that it does not run: before 22.18 any, later what is not only types. */
const NO_TYPESCRIPT = [
  'ERR_UNKNOWN_FILE_EXTENSION',
  'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX',
  'ERR_INVALID_TYPESCRIPT_SYNTAX',
  'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING',
]

/** What Node does not find where TypeScript does: `./caches.js` for `caches.ts`, and paths of tsconfig.json. */
const NOT_FOUND = ['ERR_MODULE_NOT_FOUND', 'ERR_UNSUPPORTED_DIR_IMPORT', 'MODULE_NOT_FOUND']

function hasCode(error: unknown, codes: readonly string[]): boolean {
  const { code } = (error ?? {}) as { readonly code?: unknown }
  return codes.some((one) => one === code)
}

/** Whether Node fails where a loader of TypeScript may not. */
function isBeyondNode(error: unknown): boolean {
  if (hasCode(error, [...NO_TYPESCRIPT, ...NOT_FOUND])) return true
  // A type that is imported like a value is no export of JavaScript.
  const isOfLinking = /does not provide an export named/
  return (
    error instanceof SyntaxError &&
    (MODULE_SYNTAX.test(error.message) || isOfLinking.test(error.message))
  )
}

/** What an error says, without the stack of files that a missing module or wrong syntax comes with. */
function onOneLine(error: unknown): string {
  const message = messageOfError(error)
  const lines = message.split('\n').map((line) => line.trim())
  const [first = '', second] = lines.filter((line) => line !== '')
  if (second === undefined) return message
  if (second === 'Require stack:') return first
  // The second line says where.
  return /^(?:ParseError|Transform failed)\b/.test(first)
    ? `${first.replace(/:$/, '')}: ${second}`
    : message
}

const TO_INSTALL = 'npm install --save-dev tsx'

function remedyOf(path: string, error: unknown): string {
  const { ext, name } = parse(path)
  if (TYPESCRIPT.test(path)) {
    const isMissingPackage = messageOfError(error).startsWith('Cannot find package')
    if (!isBeyondNode(error) || isMissingPackage || findLoader(path) !== undefined) return ''
    const { typescript = false } = process.features as { readonly typescript?: string | false }
    return typescript === false
      ? `; TypeScript needs Node 22.18 or later, or the package tsx or jiti: ${TO_INSTALL}`
      : `; this Node runs TypeScript only where it is an ES module with types; for more it needs the package tsx or jiti: ${TO_INSTALL}`
  }
  if (hasCode(error, NO_TYPESCRIPT)) {
    // There are other extensions that Node does not know.
    return /^Unknown file extension "(?!\.[cm]?ts")/.test(messageOfError(error))
      ? ''
      : `; this Node does not run the TypeScript that it imports: name it ${name}.ts, then all of it is loaded`
  }
  if (ext !== '.js' || !(error instanceof SyntaxError) || !MODULE_SYNTAX.test(error.message)) {
    return ''
  }
  if (packageTypeOf(dirname(path)) === 'module') return ''
  return `; its package is of type commonjs, so name it ${name}.mjs`
}

/** The `type` of the package that a folder belongs to. */
function packageTypeOf(folder: string): unknown {
  const file = resolve(folder, 'package.json')
  if (existsSync(file)) {
    try {
      return (JSON.parse(readFileSync(file, 'utf8')) as { readonly type?: unknown } | null)?.type
    } catch {
      return undefined
    }
  }
  const parent = dirname(folder)
  return parent === folder ? undefined : packageTypeOf(parent)
}
