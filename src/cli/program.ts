import { messageOfError } from '../error-text.js'
import { makeTemplateFragmentKey } from '../fragment/key.js'
import { command, helpOfAll, type Command } from './arguments.js'
import { UsageError } from './faults.js'
import type { CommonOptions, Session } from './session.js'
import { EXIT_DONE, toJson, type CliOutput, type ExitCode } from './terminal.js'

const CONFIG = `The configuration is FILE, or fragcache.config.js, .mjs, .ts or .mts in this folder. Its
default export is the result of createCaches, or { caches, pages } with the result of
responseCache. Node runs TypeScript if it can, otherwise jiti or tsx, if installed.`

const JSON_OPTION = { json: { text: 'print the result as one line of JSON' } } as const

/** Of all commands over caches. */
const CACHES = {
  config: { short: 'c', value: 'FILE', text: 'the module that exports the caches' },
  ...JSON_OPTION,
} as const

const DRY_RUN = { dryRun: { text: 'show what would be removed, and remove nothing' } } as const

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
    summary: 'write a configuration for an Express application',
    text: `Reads the package.json of this folder and writes two files for an Express application:
fragcache.config with the caches, and fragcache.setup, which adds the cache tag to
Nunjucks, Handlebars (express-handlebars or hbs) or Eta. The files are TypeScript if
there is a tsconfig.json. Existing files are not changed. Prints what to add to the
application.`,
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
    text: `Prints the key of the fragment NAME with these vary-on values, without key prefix and
version. Each VARY is text: write None, True and False for null, true and false, as in
the key. Put a value that starts with a dash after "--".`,
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
    summary: 'create the missing tables of database caches',
    text: `Creates the missing tables of the application's database caches, each in the database
that its cache writes to.

${CONFIG} A list of caches works too.`,
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
    summary: 'try every cache, and report problems and risks',
    text: `Connects to every cache and makes a round trip: set, get, incr, a tag, delete. Reports
problems with their remedies, and risks in the setup of the servers. Exits with 1 if
something is wrong, and with 0 if there are only risks.

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
    text: `Shows the servers' own figures: entries, bytes, hits and misses of all their clients
since they were started. The hits and misses of the application's processes are in its
inspector and its metrics, and so is everything about local memory. Exits with 1 if a
server does not answer.

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
    args: ['[ALIAS]'],
    usage: '[ALIAS] [--tag TAG] [--limit COUNT]\n       [--config FILE] [--json]',
    summary: 'list the entries of a cache',
    text: `Lists the entries of the cache ALIAS with kind, expiry, size and tags; of the only cache,
if there is one. Memcached cannot list its entries. Reads every entry once, which may
take a while in a large cache.

${CONFIG}`,
    examples: `fragcache list default
fragcache list default --tag country:de
fragcache list default --limit 0 --json | jq '.entries[].key'`,
    options: {
      tag: { value: 'TAG', text: 'only those with this tag' },
      limit: { value: 'COUNT', text: 'the maximum number; 0: all; default 100' },
      ...CACHES,
    },
    run: ([alias], options, output) =>
      overCaches('list', options, output, async (session) => {
        const { showEntries } = await import('./listing.js')
        return showEntries(session, session.aliasOr(alias), options)
      }),
  }),
  command({
    name: 'tags',
    args: ['[ALIAS]'],
    usage: '[ALIAS] [--config FILE] [--json]',
    summary: 'list the tags of a cache',
    text: `Lists the tags of the cache ALIAS, and how many entries have each; of the only cache, if
there is one. Memcached cannot list its entries. Reads every entry once, which may take
a while in a large cache.

${CONFIG}`,
    examples: `fragcache tags default
fragcache tags default --json | jq -r '.tags[].tag'`,
    options: CACHES,
    run: ([alias], options, output) =>
      overCaches('tags', options, output, async (session) => {
        const { showTags } = await import('./listing.js')
        return showTags(session, session.aliasOr(alias))
      }),
  }),
  command({
    name: 'get',
    args: ['<ALIAS>', '<KEY>'],
    usage: 'ALIAS KEY [--key-version VERSION] [--info]\n       [--config FILE] [--json]',
    summary: 'print the value of an entry',
    text: `Prints the value of the cache ALIAS under KEY, the key that the application uses, without
prefix and version. Control characters are shown as \\x1b and the like; --json prints
the exact value. Exits with 1 if there is no entry.

${CONFIG}`,
    examples: `fragcache get default user:7
fragcache get default user:7 --info
fragcache get default user:7 --json | jq .value`,
    options: {
      ...KEY_VERSION,
      info: { text: 'print facts about the entry instead: tags, time left, size' },
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
    summary: 'tell why an entry is missing',
    text: `Tells whether the cache ALIAS has an entry under KEY, and if not why, as far as the store
knows: which tag was invalidated, when it expired, or under which other version it is
stored. Redis and Memcached remove what expires. Exits with 1 if there is no fresh entry.

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
    text: `Removes the entry of the cache ALIAS under KEY, and says whether it existed. A missing
entry is not a failure.

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
    summary: 'remove everything that a cache has stored',
    text: `Removes everything that the cache ALIAS could have written. Entries with another key
prefix stay. It does not ask for confirmation; --dry-run shows what it would remove.

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
    summary: 'invalidate a fragment, a tag, or a page',
    text: `Invalidates every variant of a fragment, every entry with a tag, or every variant of a
page. With --soft, entries become stale instead: callers that allow it get the old entry
while a new one is produced. It does not ask for confirmation; --dry-run shows what it
would do. It also says if nothing was ever stored with the tag or the name.

${CONFIG} --url needs the pages.`,
    examples: `fragcache invalidate --fragment sidebar
fragcache invalidate --tag country:de --dry-run
fragcache invalidate --tag country:de
fragcache invalidate --url https://example.com/countries/de`,
    options: {
      fragment: {
        value: 'NAME',
        text: 'every variant of this fragment, and everything that contains it',
      },
      tag: { value: 'TAG', text: 'everything with this tag, in all caches' },
      url: { value: 'URL', text: 'every stored variant of this page' },
      using: {
        value: 'ALIAS',
        text: "the fragment's cache, or the only cache to invalidate",
      },
      soft: { text: 'make entries stale instead of removing them' },
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
    'Inspects and changes the caches of an application.',
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
