import { Command, CommanderError } from 'commander'
import { messageOfError } from '../error-text.js'
import { makeTemplateFragmentKey } from '../fragment/key.js'
import type { CreateTableOptions } from './create-table.js'
import type { EntryOptions } from './entries.js'
import { UsageError } from './faults.js'
import type { InvalidateArguments } from './invalidate.js'
import type { CommonOptions, Session } from './session.js'
import type { StatsOptions } from './stats.js'
import {
  EXIT_DONE,
  EXIT_FAILED,
  EXIT_MISUSED,
  toJson,
  WIDTH,
  type CliOutput,
  type ExitCode,
} from './terminal.js'

/** The commands, and the code of the one that ran. */
export interface Program {
  readonly command: Command
  readonly code: () => ExitCode
}

const CONFIG = `The configuration is FILE, or fragcache.config.js, .mjs or .ts in this folder. Its default
export is what createCaches gave, or { caches, pages } with what responseCache gave.
TypeScript is loaded by jiti, on every Node.`

/**
 * Describes the command line. What a command needs is loaded when it runs: `key` needs next to
 * nothing.
 */
export function makeProgram(version: () => string, output: CliOutput): Program {
  let code: ExitCode = EXIT_DONE
  const without = (text: string) => text.replace(/\n$/, '')
  const program = new Command('fragcache')
    .description('Looks into the caches of an application, and changes them.')
    .usage('COMMAND [ARGUMENTS]')
    .helpOption('-h, --help', 'explain a command')
    .helpCommand('help [COMMAND]', 'explain a command')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => output.out(without(text)),
      // What is wrong is said in one place.
      writeErr: () => undefined,
      getOutHelpWidth: () => WIDTH,
      getErrHelpWidth: () => WIDTH,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
  // Read only when it is asked for.
  program.option('-v, --version', 'print the version of this package')
  program.on('option:version', () => {
    output.out(version())
    throw new CommanderError(EXIT_DONE, 'commander.version', '(outputVersion)')
  })

  const add = (name: string, args: string, summary: string, text: string, examples: string) =>
    program
      .command(name)
      .usage(args)
      .summary(summary)
      .description(text.replace(/(?<!\n)\n(?!\n)/g, ' '))
      .option('--json', 'print the result as one line of JSON')
      .addHelpText('after', `\nExamples:\n${indented(examples)}\n\n${EXIT_CODES}`)
  const addOverCaches = (...args: Parameters<typeof add>) =>
    add(...args).option('-c, --config <FILE>', 'the module that exports the caches')
  const run = async (
    name: string,
    options: CommonOptions,
    action: (session: Session) => Promise<ExitCode>,
  ) => {
    const { withCaches } = await import('./session.js')
    code = await withCaches(name, options, output, action)
  }

  add(
    'key',
    "NAME [VARY...] [--compat 'django<6.1'] [--json]",
    'print the cache key of a template fragment',
    `Prints the key under which the fragment NAME is kept for these vary-on values, without
key prefix and version. Each VARY is text: what is null, true or false in code is here
written None, True and False, as in the key. A value that begins with a dash comes
after "--".`,
    `fragcache key sidebar
fragcache key sidebar alice 7
fragcache get default "$(fragcache key sidebar alice 7)"`,
  )
    .argument('<NAME>')
    .argument('[VARY...]')
    .option(
      '--compat <VERSION>',
      "'django<6.1': the key of Django before 6.1, where different values can share one key",
    )
    .action((name: string, varyOn: string[], options: KeyOptions) => {
      const key = makeKey(name, varyOn, options)
      output.out(options.json === true ? toJson({ key }) : key)
    })

  addOverCaches(
    'createcachetable',
    '[--config FILE] [--dry-run] [--json]',
    'make the missing tables of database caches',
    `Makes the tables that the database caches of this application need, those that are not
there yet, each on the database that its cache writes to.

${CONFIG} A list of caches will do as well.`,
    `fragcache createcachetable --config caches.js
fragcache createcachetable --dry-run > migration.sql`,
  )
    .option('--dry-run', 'print the SQL and change nothing')
    .action(async (options: CreateTableOptions) => {
      const { createTables } = await import('./create-table.js')
      code = await createTables(options, output)
    })

  addOverCaches(
    'check',
    '[--config FILE] [--json]',
    'use every cache, and say what is wrong and what is risky',
    `Connects to every cache and makes a round trip with a key of its own: set, get, incr, a
tag, delete. Says what is wrong, with the remedy, and what is risky in the way the
servers are set up. Answers 1 if something is wrong, 0 if there are only risks.

${CONFIG}`,
    `fragcache check
fragcache check --json | jq '.aliases[] | {alias, findings}'`,
  ).action(async (options: CommonOptions) => {
    await run('check', options, async (session) => {
      const { checkCaches } = await import('./check.js')
      return checkCaches(session)
    })
  })

  addOverCaches(
    'stats',
    '[--watch] [--interval SECONDS] [--config FILE] [--json]',
    "show the servers' own figures",
    `Shows what the servers tell of themselves: entries, bytes, hits and misses of all their
clients since they were started. The hits and misses of the application's own processes
are in its inspector and its metrics; so is everything about local memory, which lives
in the application's process. Answers 1 if a server does not answer.

${CONFIG}`,
    `fragcache stats
fragcache stats --watch --interval 2
fragcache stats --watch --json >> stats.jsonl`,
  )
    .option('-w, --watch', 'show them again and again, until Ctrl-C')
    .option('-i, --interval <SECONDS>', 'how often; default 5')
    .action(async (options: StatsOptions & CommonOptions) => {
      const { showStats, toIntervalMs } = await import('./stats.js')
      const intervalMs = toIntervalMs(options)
      await run('stats', options, (session) => showStats(session, options, intervalMs))
    })

  addOverCaches(
    'get',
    'ALIAS KEY [--key-version VERSION] [--info]\n       [--config FILE] [--json]',
    'print the value of an entry',
    `Prints the value that the cache ALIAS has under KEY, the key as the application passes
it, without prefix and version. What a terminal would obey is shown as \\x1b and the like;
--json tells the value exactly. Answers 1 if there is no entry.

${CONFIG}`,
    `fragcache get default user:7
fragcache get default user:7 --info
fragcache get default user:7 --json | jq .value`,
  )
    .argument('<ALIAS>')
    .argument('<KEY>')
    .option('--key-version <VERSION>', "the entry's version; default: the cache's")
    .option('--info', 'print what is known of the entry instead: tags, time left, size')
    .action(async (alias: string, key: string, options: EntryOptions & CommonOptions) => {
      await run('get', options, async (session) => {
        const { getEntry } = await import('./entries.js')
        return getEntry(session, alias, key, options)
      })
    })

  addOverCaches(
    'delete',
    'ALIAS KEY [--key-version VERSION]\n       [--config FILE] [--json]',
    'remove an entry',
    `Removes the entry that the cache ALIAS has under KEY, and says whether it was there.
That it was not there is no failure.

${CONFIG}`,
    `fragcache delete default user:7
fragcache delete default "$(fragcache key sidebar alice 7)"`,
  )
    .argument('<ALIAS>')
    .argument('<KEY>')
    .option('--key-version <VERSION>', "the entry's version; default: the cache's")
    .action(async (alias: string, key: string, options: EntryOptions & CommonOptions) => {
      await run('delete', options, async (session) => {
        const { deleteEntry } = await import('./entries.js')
        return deleteEntry(session, alias, key, options)
      })
    })

  addOverCaches(
    'clear',
    'ALIAS [--config FILE] [--json]',
    'remove everything that a cache keeps',
    `Removes everything that the cache ALIAS could have written. Entries with another key
prefix survive. It does not ask first.

${CONFIG}`,
    'fragcache clear template_fragments',
  )
    .argument('<ALIAS>')
    .action(async (alias: string, options: CommonOptions) => {
      await run('clear', options, async (session) => {
        const { clearCache } = await import('./entries.js')
        return clearCache(session, alias)
      })
    })

  addOverCaches(
    'invalidate',
    '--fragment NAME | --tag TAG | --url URL\n       [--using ALIAS] [--soft] [--config FILE] [--json]',
    'make a fragment, what has a tag, or a page a miss',
    `Makes every variant of a fragment a miss, or every entry that was stored with a tag, or
every stored variant of a page. With --soft what has a fragment or a tag becomes stale
instead: who allows that is served it once more while it is made again. It does not ask
first.

${CONFIG} --url needs the pages.`,
    `fragcache invalidate --fragment sidebar
fragcache invalidate --tag country:de
fragcache invalidate --url https://example.com/countries/de`,
  )
    .option('--fragment <NAME>', 'every variant of this fragment, and whatever contains one')
    .option('--tag <TAG>', 'whatever was stored with this tag, in all caches')
    .option('--url <URL>', 'every stored variant of this page')
    .option('--using <ALIAS>', "the fragment's cache, or the only one whose entries are meant")
    .option('--soft', 'make them stale instead of gone')
    .action(async (options: InvalidateArguments & CommonOptions) => {
      const { checkInvalidation, invalidate } = await import('./invalidate.js')
      checkInvalidation(options)
      await run('invalidate', options, (session) => invalidate(session, options))
    })

  program.addHelpText(
    'after',
    `
First steps:
  fragcache check                    is everything set up well?
  fragcache stats --watch            what the servers are doing
  fragcache key NAME VARY...         the key of a fragment, to look it up with get
  fragcache COMMAND --help           about one command, with examples

${EXIT_CODES}`,
  )
  return { command: program, code: () => code }
}

const EXIT_CODES = `Exit codes: ${EXIT_DONE} done, ${EXIT_FAILED} failed, ${EXIT_MISUSED} called wrongly.`

function indented(text: string): string {
  return text.replace(/^/gm, '  ')
}

interface KeyOptions {
  readonly compat?: string | undefined
  readonly json?: boolean | undefined
}

function makeKey(name: string, varyOn: readonly string[], { compat }: KeyOptions) {
  try {
    if (compat === undefined) return makeTemplateFragmentKey(name, varyOn)
    if (compat === 'django<6.1') return makeTemplateFragmentKey(name, varyOn, { compat })
  } catch (error) {
    throw new UsageError(`key: ${messageOfError(error)}`, { cause: error })
  }
  throw new UsageError(`key: --compat takes 'django<6.1', not ${JSON.stringify(compat)}`)
}
