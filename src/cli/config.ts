import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { hasCore } from '../backend/core.js'
import type { Cache } from '../cache.js'
import { createCaches, isCaches, type Caches } from '../caches.js'
import { messageOfError } from '../error-text.js'
import { CommandError, UsageError } from './faults.js'
import { loadModule, type Exports } from './load-module.js'

/** The names that are looked for in the folder where the tool runs, in this order. */
export const CONFIG_FILES = ['js', 'mjs', 'ts', 'mts'].map((end) => `fragcache.config.${end}`)

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
  const there = statSync(path, { throwIfNoEntry: false })
  if (there === undefined) throw new UsageError(`${command}: there is no file ${path}`)
  if (there.isDirectory()) {
    throw new UsageError(`${command}: --config ${path} is a folder; give a file in it`)
  }
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
      `${command}: ${path} exports something else as "pages"; give the result of responseCache`,
    )
  }
  return { path, exported, pages }
}

function findConfig(command: string): string {
  const found = CONFIG_FILES.find((name) => existsSync(resolve(name)))
  if (found !== undefined) return resolve(found)
  throw new UsageError(
    `${command}: --config FILE is missing, and there is no fragcache.config.js, .mjs, .ts or .mts in this folder; 'npx fragcache init' writes one`,
  )
}

async function load(command: string, path: string): Promise<Exports> {
  try {
    return await loadModule(path)
  } catch (error) {
    throw new CommandError(`${command}: ${path} cannot be loaded: ${messageOfError(error)}`, {
      cause: error,
    })
  }
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
