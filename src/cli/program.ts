import { messageOfError } from '../error-text.js'
import { makeTemplateFragmentKey } from '../fragment/key.js'
import { command, helpOfAll, type Command } from './arguments.js'
import { UsageError } from './faults.js'
import type { CommonOptions, Session } from './session.js'
import { EXIT_DONE, toJson, type CliOutput, type ExitCode } from './terminal.js'

const CONFIG = `The configuration is FILE, or fragcache.config.js, .mjs, .ts or .mts in this folder. Its
default export is what createCaches gave, or { caches, pages } with what responseCache gave.
TypeScript is run by Node where it can, else by the package jiti or tsx, if it is installed.`

const JSON_OPTION = { json: { text: 'print the result as one line of JSON' } } as const

/** Of all commands over caches. */
const CACHES = {
  config: { short: 'c', value: 'FILE', text: 'the module that exports the caches' },
  ...JSON_OPTION,
} as const

const DRY_RUN = { dryRun: { text: 'say what would be dropped, and drop nothing' } } as const

const KEY_VERSION = {
  keyVersion: { value: 'VERSION', text: "the entry's version; default: the cache's" },
} as const

/** What a command needs is loaded when it runs: `key` needs next to nothing. */
async function overCaches(
  name: string,
  options: CommonOptions,
  output: CliOutput,
  action: (session: Session) => Promise<ExitCode>,
): Promise<ExitCode> {
  const { withCaches } = await import('./session.js')
  return withCaches(name, options, output, action)
}

export const COMMANDS: readonly Command[] = [
  command({
    name: 'init',
    args: [],
    usage: '[--json]',
    summary: 'write a configuration and a first use of it',
    text: `Looks into the package.json of this folder and writes what an Express application needs
to begin with: fragcache.config with the caches, and fragcache.setup, which gives the
cache tag to Nunjucks, Handlebars (express-handlebars or hbs) or Eta. In TypeScript
where there is a tsconfig.json. A file that is there stays as it is. Says what to add to
the application.`,
    examples: 'fragcache init',
    options: JSON_OPTION,
    run: async (_, options, output) => {
      const { init } = await import('./init.js')
      return init(options, output)
    },
  }),
  command({
    name: 'key',
    args: ['<NAME>', '[VARY...]'],
    usage: "NAME [VARY...] [--compat 'django<6.1'] [--json]",
    summary: 'print the cache key of a template fragment',
    text: `Prints the key under which the fragment NAME is kept for these vary-on values, without
key prefix and version. Each VARY is text: what is null, true or false in code is here
written None, True and False, as in the key. A value that begins with a dash comes
after "--".`,
    examples: `fragcache key sidebar
fragcache key sidebar alice 7
fragcache get default "$(fragcache key sidebar alice 7)"`,
    options: {
      compat: {
        value: 'VERSION',
        text: "'django<6.1': the key of Django before 6.1, where different values can share one key",
      },
      ...JSON_OPTION,
    },
    run: ([name, ...varyOn], { compat, json = false }, output) => {
      const key = makeKey(name, varyOn, compat)
      output.out(json ? toJson({ key }) : key)
      return EXIT_DONE
    },
  }),
  command({
    name: 'createcachetable',
    args: [],
    usage: '[--config FILE] [--dry-run] [--json]',
    summary: 'make the missing tables of database caches',
    text: `Makes the tables that the database caches of this application need, those that are not
there yet, each on the database that its cache writes to.

${CONFIG} A list of caches will do as well.`,
    examples: `fragcache createcachetable --config caches.js
fragcache createcachetable --dry-run > migration.sql`,
    options: { dryRun: { text: 'print the SQL and change nothing' }, ...CACHES },
    run: async (_, options, output) => {
      const { createTables } = await import('./create-table.js')
      return createTables(options, output)
    },
  }),
  command({
    name: 'check',
    args: [],
    usage: '[--config FILE] [--json]',
    summary: 'use every cache, and say what is wrong and what is risky',
    text: `Connects to every cache and makes a round trip with a key of its own: set, get, incr, a
tag, delete. Says what is wrong, with the remedy, and what is risky in the way the
servers are set up. Answers 1 if something is wrong, 0 if there are only risks.

${CONFIG}`,
    examples: `fragcache check
fragcache check --json | jq '.aliases[] | {alias, findings}'`,
    options: CACHES,
    run: (_, options, output) =>
      overCaches('check', options, output, async (session) => {
        const { checkCaches } = await import('./check.js')
        return checkCaches(session)
      }),
  }),
  command({
    name: 'stats',
    args: [],
    usage: '[--watch] [--interval SECONDS] [--config FILE] [--json]',
    summary: "show the servers' own figures",
    text: `Shows what the servers tell of themselves: entries, bytes, hits and misses of all their
clients since they were started. The hits and misses of the application's own processes
are in its inspector and its metrics; so is everything about local memory, which lives
in the application's process. Answers 1 if a server does not answer.

${CONFIG}`,
    examples: `fragcache stats
fragcache stats --watch --interval 2
fragcache stats --watch --json >> stats.jsonl`,
    options: {
      watch: { short: 'w', text: 'show them again and again, until Ctrl-C' },
      interval: { short: 'i', value: 'SECONDS', text: 'how often; default 5' },
      ...CACHES,
    },
    run: async (_, options, output) => {
      const { showStats, toIntervalMs } = await import('./stats.js')
      const intervalMs = toIntervalMs(options)
      return overCaches('stats', options, output, (session) =>
        showStats(session, options, intervalMs),
      )
    },
  }),
  command({
    name: 'list',
    args: ['<ALIAS>'],
    usage: 'ALIAS [--tag TAG] [--limit COUNT] [--config FILE] [--json]',
    summary: 'show which entries a cache has',
    text: `Lists the entries of the cache ALIAS: what they are, when they end, what they take and
their tags. Memcached cannot tell which entries it has. Reads every entry once, which
takes its time where there are very many.

${CONFIG}`,
    examples: `fragcache list default
fragcache list default --tag country:de
fragcache list default --limit 0 --json | jq '.entries[].key'`,
    options: {
      tag: { value: 'TAG', text: 'only those with this tag' },
      limit: { value: 'COUNT', text: 'how many at most; 0: all; default 100' },
      ...CACHES,
    },
    run: ([alias], options, output) =>
      overCaches('list', options, output, async (session) => {
        const { showEntries } = await import('./listing.js')
        return showEntries(session, alias, options)
      }),
  }),
  command({
    name: 'tags',
    args: ['<ALIAS>'],
    usage: 'ALIAS [--config FILE] [--json]',
    summary: 'show which tags the entries of a cache have',
    text: `Lists the tags of the entries of the cache ALIAS, and how many entries have each.
Memcached cannot tell which entries it has. Reads every entry once, which takes its
time where there are very many.

${CONFIG}`,
    examples: `fragcache tags default
fragcache tags default --json | jq -r '.tags[].tag'`,
    options: CACHES,
    run: ([alias], options, output) =>
      overCaches('tags', options, output, async (session) => {
        const { showTags } = await import('./listing.js')
        return showTags(session, alias)
      }),
  }),
  command({
    name: 'get',
    args: ['<ALIAS>', '<KEY>'],
    usage: 'ALIAS KEY [--key-version VERSION] [--info]\n       [--config FILE] [--json]',
    summary: 'print the value of an entry',
    text: `Prints the value that the cache ALIAS has under KEY, the key as the application passes
it, without prefix and version. What a terminal would obey is shown as \\x1b and the like;
--json tells the value exactly. Answers 1 if there is no entry.

${CONFIG}`,
    examples: `fragcache get default user:7
fragcache get default user:7 --info
fragcache get default user:7 --json | jq .value`,
    options: {
      ...KEY_VERSION,
      info: { text: 'print what is known of the entry instead: tags, time left, size' },
      ...CACHES,
    },
    run: ([alias, key], options, output) =>
      overCaches('get', options, output, async (session) => {
        const { getEntry } = await import('./entries.js')
        return getEntry(session, alias, key, options)
      }),
  }),
  command({
    name: 'explain',
    args: ['<ALIAS>', '<KEY>'],
    usage: 'ALIAS KEY [--key-version VERSION] [--config FILE] [--json]',
    summary: 'say why an entry is missing',
    text: `Says whether the cache ALIAS has an entry under KEY, and if not why, as far as the store
can tell: which of its tags was invalidated, since when it is past its time, or under
which version it is stored instead. Answers 1 if there is no fresh entry.

${CONFIG}`,
    examples: `fragcache explain default user:7
fragcache explain default "$(fragcache key sidebar alice 7)"`,
    options: { ...KEY_VERSION, ...CACHES },
    run: ([alias, key], options, output) =>
      overCaches('explain', options, output, async (session) => {
        const { explainEntry } = await import('./explain.js')
        return explainEntry(session, alias, key, options)
      }),
  }),
  command({
    name: 'delete',
    args: ['<ALIAS>', '<KEY>'],
    usage: 'ALIAS KEY [--key-version VERSION] [--dry-run]\n       [--config FILE] [--json]',
    summary: 'remove an entry',
    text: `Removes the entry that the cache ALIAS has under KEY, and says whether it was there.
That it was not there is no failure.

${CONFIG}`,
    examples: `fragcache delete default user:7
fragcache delete default "$(fragcache key sidebar alice 7)"`,
    options: { ...KEY_VERSION, ...DRY_RUN, ...CACHES },
    run: ([alias, key], options, output) =>
      overCaches('delete', options, output, async (session) => {
        const { deleteEntry } = await import('./entries.js')
        return deleteEntry(session, alias, key, options)
      }),
  }),
  command({
    name: 'clear',
    args: ['<ALIAS>'],
    usage: 'ALIAS [--dry-run] [--config FILE] [--json]',
    summary: 'remove everything that a cache keeps',
    text: `Removes everything that the cache ALIAS could have written. Entries with another key
prefix survive. It does not ask first.

${CONFIG}`,
    examples: `fragcache clear template_fragments --dry-run
fragcache clear template_fragments`,
    options: { ...DRY_RUN, ...CACHES },
    run: ([alias], options, output) =>
      overCaches('clear', options, output, async (session) => {
        const { clearCache } = await import('./entries.js')
        return clearCache(session, alias, options)
      }),
  }),
  command({
    name: 'invalidate',
    args: [],
    usage:
      '--fragment NAME | --tag TAG | --url URL\n       [--using ALIAS] [--soft] [--dry-run] [--config FILE] [--json]',
    summary: 'make a fragment, what has a tag, or a page a miss',
    text: `Makes every variant of a fragment a miss, or every entry that was stored with a tag, or
every stored variant of a page. With --soft what has a fragment or a tag becomes stale
instead: who allows that is served it once more while it is made again. It does not ask
first; --dry-run says what it would do. Says so if nothing has ever been stored with
the tag, or under the name.

${CONFIG} --url needs the pages.`,
    examples: `fragcache invalidate --fragment sidebar
fragcache invalidate --tag country:de --dry-run
fragcache invalidate --tag country:de
fragcache invalidate --url https://example.com/countries/de`,
    options: {
      fragment: {
        value: 'NAME',
        text: 'every variant of this fragment, and whatever contains one',
      },
      tag: { value: 'TAG', text: 'whatever was stored with this tag, in all caches' },
      url: { value: 'URL', text: 'every stored variant of this page' },
      using: {
        value: 'ALIAS',
        text: "the fragment's cache, or the only one whose entries are meant",
      },
      soft: { text: 'make them stale instead of gone' },
      ...DRY_RUN,
      ...CACHES,
    },
    run: async (_, options, output) => {
      const { checkInvalidation, invalidate } = await import('./invalidate.js')
      checkInvalidation(options)
      return overCaches('invalidate', options, output, (session) => invalidate(session, options))
    },
  }),
]

/** Explains the tool and its commands. */
export function help(): string {
  return helpOfAll(
    'Looks into the caches of an application, and changes them.',
    { version: { short: 'v', text: 'print the version of this package' } },
    COMMANDS,
    `First steps:
  fragcache init                     caches for the application in this folder
  fragcache check                    is everything set up well?
  fragcache stats --watch            what the servers are doing
  fragcache key NAME VARY...         the key of a fragment, to look it up with get
  fragcache COMMAND --help           about one command, with examples`,
  )
}

function makeKey(name: string, varyOn: readonly string[], compat: string | undefined): string {
  try {
    if (compat === undefined) return makeTemplateFragmentKey(name, varyOn)
    if (compat === 'django<6.1') return makeTemplateFragmentKey(name, varyOn, { compat })
  } catch (error) {
    throw new UsageError(`key: ${messageOfError(error)}`, { cause: error })
  }
  throw new UsageError(`key: --compat takes 'django<6.1', not ${JSON.stringify(compat)}`)
}
