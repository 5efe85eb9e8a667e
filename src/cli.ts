#!/usr/bin/env node
import { existsSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { makeTemplateFragmentKey } from './fragment/key.js'

/** Where the command line tool writes; a test hands in its own. */
export interface CliOutput {
  readonly out: (text: string) => void
  readonly error: (text: string) => void
}

/** Exit codes, as `fragcache --help` lists them. */
const DONE = 0
const FAILED = 1
const MISUSED = 2

/** Called in a way that the help text explains better than a stack would. */
class UsageError extends Error {}

interface Command {
  readonly usage: string
  readonly summary: string
  readonly help: string
  readonly run: (args: string[], output: CliOutput) => Promise<void> | void
}

const key: Command = {
  usage: "fragcache key NAME [VARY...] [--compat 'django<6.1']",
  summary: 'print the cache key of a template fragment',
  help: `Prints the key under which the fragment NAME is kept for these vary-on values, without key prefix
and version. Each VARY is text; null, true and false are written None, True and False, as they
stand in the key. A value that begins with a dash comes after "--".

  --compat 'django<6.1'  the key of Django before 6.1, where different values can share one key`,
  run(args, { out }) {
    const { values, positionals } = parse(args)
    const [name, ...varyOn] = positionals
    if (name === undefined) throw new UsageError('key: the fragment NAME is missing')
    const { compat } = values
    if (compat === undefined) {
      out(makeTemplateFragmentKey(name, varyOn))
    } else if (compat === 'django<6.1') {
      out(makeTemplateFragmentKey(name, varyOn, { compat }))
    } else {
      throw new UsageError(`key: --compat takes 'django<6.1', not ${JSON.stringify(compat)}`)
    }
  },
}

const createcachetable: Command = {
  usage: 'fragcache createcachetable --config FILE [--dry-run]',
  summary: 'make the missing tables of database caches',
  help: `Makes the tables that the database caches of this application need, those that are not there yet,
each on the database that its cache writes to.

  --config FILE  a module whose default export (or whose export "caches") is what createCaches gave,
                 or a list of caches; TypeScript where this Node runs it
  --dry-run      print the SQL and change nothing`,
  async run(args, { out }) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { config: { type: 'string' }, 'dry-run': { type: 'boolean', default: false } },
    })
    if (positionals[0] !== undefined) {
      throw new UsageError(`createcachetable: ${JSON.stringify(positionals[0])} is not expected`)
    }
    const { config, 'dry-run': dryRun } = values
    if (config === undefined) throw new UsageError('createcachetable: --config FILE is missing')
    const caches = await loadCaches(config)
    // Only this command needs it.
    const { createCacheTable } = await import('./backends/database.js')
    const tables = await createCacheTable(caches, { dryRun })
    for (const { table, existed, sql } of tables) {
      if (existed) out(dryRun ? `-- ${table} is there` : `${table} is there`)
      else out(dryRun ? sql.map((one) => `${one};`).join('\n') : `${table} is made`)
    }
  },
}

/** The caches that a module exports. */
async function loadCaches(file: string): Promise<unknown> {
  const path = resolve(file)
  if (!existsSync(path)) throw new Error(`createcachetable: there is no file ${path}`)
  let config: { readonly default?: unknown; readonly caches?: unknown }
  try {
    config = (await import(pathToFileURL(path).href)) as typeof config
  } catch (error) {
    const { code } = error as { readonly code?: unknown }
    if (code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error
    throw new Error(
      `createcachetable: this Node does not run ${path}; take a JavaScript file, or run this program with a loader, as in node --import tsx`,
      { cause: error },
    )
  }
  const caches = config.default ?? config.caches
  if (caches !== undefined) return caches
  throw new Error(
    `createcachetable: ${path} exports no caches; write "export default createCaches({ … })"`,
  )
}

const commands = new Map<string, Command>([
  ['key', key],
  ['createcachetable', createcachetable],
])

const overview = (): string => `fragcache COMMAND [ARGUMENTS]

${[...commands.values()].map(({ usage, summary }) => `  ${usage}\n      ${summary}`).join('\n')}

  fragcache COMMAND --help   about one command
  fragcache --version        the version of this package

Exit codes: ${DONE} done, ${FAILED} failed, ${MISUSED} called wrongly.`

function parse(args: string[]): {
  values: { compat?: string | undefined }
  positionals: string[]
} {
  return parseArgs({ args, allowPositionals: true, options: { compat: { type: 'string' } } })
}

const isUsageError = (error: unknown): error is Error =>
  error instanceof UsageError ||
  (error instanceof TypeError &&
    'code' in error &&
    String(error.code).startsWith('ERR_PARSE_ARGS_'))

const version = (): string =>
  (createRequire(import.meta.url)('fragcache/package.json') as { version: string }).version

/** What comes before `--` is for this tool to read. */
const asks = (args: readonly string[], ...flags: string[]): boolean => {
  const end = args.indexOf('--')
  return (end === -1 ? args : args.slice(0, end)).some((arg) => flags.includes(arg))
}

/**
 * Runs the command line tool.
 *
 * @param args - The arguments after the program's name.
 * @returns The exit code: 0 done, 1 failed, 2 called wrongly. It never throws.
 */
export async function main(args: readonly string[], output: CliOutput): Promise<number> {
  const [name, ...rest] = args
  try {
    if (name === '--help' || name === '-h') {
      output.out(overview())
      return DONE
    }
    if (name === '--version' || name === '-v') {
      output.out(version())
      return DONE
    }
    if (name === undefined) throw new UsageError('a command is missing')
    const command = commands.get(name)
    if (command === undefined) throw new UsageError(`${JSON.stringify(name)} is no command`)
    if (asks(rest, '--help', '-h')) {
      output.out(`${command.usage}\n\n${command.help}`)
      return DONE
    }
    await command.run(rest, output)
    return DONE
  } catch (error) {
    if (isUsageError(error)) {
      output.error(`fragcache: ${error.message}\nSee fragcache --help.`)
      return MISUSED
    }
    output.error(`fragcache: ${error instanceof Error ? error.message : String(error)}`)
    return FAILED
  }
}

const started = process.argv[1]
if (started !== undefined && realpathSync(started) === fileURLToPath(import.meta.url)) {
  void main(process.argv.slice(2), {
    out: (text) => void process.stdout.write(`${text}\n`),
    error: (text) => void process.stderr.write(`${text}\n`),
  }).then((code) => {
    process.exitCode = code
    // What the configuration opened, such as pools, is not this program's to close.
    process.stdout.write('', () => process.stderr.write('', () => process.exit()))
  })
}
