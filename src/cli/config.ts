import { existsSync, readFileSync } from 'node:fs'
import { dirname, parse, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { hasCore } from '../backend/core.js'
import type { Cache } from '../cache.js'
import { createCaches, isCaches, type Caches } from '../caches.js'
import { messageOfError } from '../error-text.js'
import { CommandError, UsageError } from './faults.js'

/** The names that are looked for in the folder where the tool runs, in this order. */
export const CONFIG_FILES = ['fragcache.config.js', 'fragcache.config.mjs', 'fragcache.config.ts']

/** What of an application's response cache is used here. */
export interface InvalidatesPages {
  invalidate(url: string): Promise<void>
}

/** What a configuration file exports. */
export interface Config {
  readonly path: string
  /** What it exports as caches, unchecked. */
  readonly exported: unknown
  readonly pages: InvalidatesPages | undefined
}

/**
 * Loads the configuration.
 *
 * @param command - For messages.
 * @param file - Left out: one of {@link CONFIG_FILES} in the working folder.
 * @throws UsageError: there is none, or not where `file` says. CommandError: it cannot be loaded, or
 *   exports no caches.
 */
export async function loadConfig(command: string, file: string | undefined): Promise<Config> {
  const path = file === undefined ? findConfig(command) : resolve(file)
  if (!existsSync(path)) throw new UsageError(`${command}: there is no file ${path}`)
  const loaded = await load(command, path)
  const main = loaded['default'] ?? loaded['caches']
  if (main === undefined) {
    throw new CommandError(
      `${command}: ${path} exports no caches; write "export default createCaches({ … })"`,
    )
  }
  const isPair = isObject(main) && !isCaches(main) && isCaches(main['caches'])
  const exported = isPair ? main['caches'] : main
  const pages = (isPair ? main['pages'] : undefined) ?? loaded['pages']
  if (pages !== undefined && !isInvalidator(pages)) {
    throw new CommandError(
      `${command}: ${path} exports something else as "pages"; give what responseCache gave`,
    )
  }
  return { path, exported, pages }
}

function findConfig(command: string): string {
  const found = CONFIG_FILES.find((name) => existsSync(resolve(name)))
  if (found !== undefined) return resolve(found)
  throw new UsageError(
    `${command}: --config FILE is missing, and there is no fragcache.config.js, .mjs or .ts in this folder`,
  )
}

async function load(command: string, path: string): Promise<Exports> {
  try {
    const loaded = await importModule(path)
    return { ...loaded, default: await loaded['default'] }
  } catch (error) {
    throw new CommandError(
      `${command}: ${path} cannot be loaded: ${onOneLine(error)}${remedyOf(path, error)}`,
      { cause: error },
    )
  }
}

type Exports = Readonly<Record<string, unknown>>

/** Codes of Node for TypeScript that it does not run: before 22.18 any, later what is not only types. */
const NO_TYPESCRIPT = ['ERR_UNKNOWN_FILE_EXTENSION', 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX']

const TYPESCRIPT = /\.[cm]?ts$/

async function importModule(path: string): Promise<Exports> {
  if (!TYPESCRIPT.test(path)) return (await import(pathToFileURL(path).href)) as Exports
  // Node runs some TypeScript from 22.18 on, and takes no './caches.js' for caches.ts.
  const { createJiti } = await import('jiti')
  return createJiti(path, { fsCache: false }).import<Exports>(path)
}

function isNoTypeScript(error: unknown): boolean {
  const { code } = (error ?? {}) as { readonly code?: unknown }
  return NO_TYPESCRIPT.some((one) => one === code)
}

/** What an error says, without the stack of files that a missing module or wrong syntax comes with. */
function onOneLine(error: unknown): string {
  const message = messageOfError(error)
  const lines = message.split('\n').map((line) => line.trim())
  const [first = '', second] = lines.filter((line) => line !== '')
  if (second === undefined) return message
  if (second === 'Require stack:') return first
  // The second line says where.
  return first.startsWith('ParseError: ') ? `${first}: ${second}` : message
}

/** What Node says of a module's syntax in a file that it takes for CommonJS. */
const MODULE_SYNTAX = /outside a module|Unexpected token 'export'|top level bodies of modules/

function remedyOf(path: string, error: unknown): string {
  const { ext, name } = parse(path)
  if (!TYPESCRIPT.test(path) && isNoTypeScript(error)) {
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

/**
 * The caches of a configuration by alias; of one cache alone: under `default`.
 *
 * @throws CommandError: they have no aliases.
 */
export function cachesByAlias(command: string, { exported, path }: Config): Caches {
  if (isCaches(exported)) return exported
  if (isCache(exported)) return createCaches({ default: exported })
  if (isObject(exported) && !Array.isArray(exported)) {
    const caches = Object.values(exported)
    if (caches.length > 0 && caches.every(isCache)) {
      return createCaches(exported as Readonly<Record<string, Cache>>)
    }
  }
  throw new CommandError(
    `${command}: ${path} exports no caches with names; write "export default createCaches({ default: … })"`,
  )
}

/** The caches in whatever is exported as such, a list too, with their aliases or numbers. */
export function cachesIn(exported: unknown): (readonly [name: string, cache: Cache])[] {
  if (isCaches(exported)) return exported.aliases.map((alias) => [alias, exported.get(alias)])
  if (isCache(exported)) return [['default', exported]]
  if (!isObject(exported)) return []
  return Object.entries(exported).flatMap(([name, one]) => (isCache(one) ? [[name, one]] : []))
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function isCache(value: unknown): value is Cache {
  return hasCore(value)
}

function isInvalidator(value: unknown): value is InvalidatesPages {
  return isObject(value) && typeof value['invalidate'] === 'function'
}
