import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Cache, Caches } from 'fragcache'
import { createCacheTable, DatabaseCache } from 'fragcache/database'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { main } from '../../src/cli.js'
import { SampleRunner } from '../support/run-sample.js'
import { blocksOf, inProject, pages, type Sample } from '../support/samples.js'
import { sharedServer, type ServerKind } from '../support/servers.js'
import { typeErrors } from '../support/sample-types.js'

/** One block: the page, and a text that no other block of that page has. */
interface Named {
  readonly page: string
  readonly has: string
}

/** What is not run here, and why. */
const notRun: readonly (Named & { readonly because: string })[] = [
  {
    page: 'docs/architecture.md',
    has: 'flowchart TD',
    because: 'It is a drawing, made of the code; `npm run lint` sees that it is current.',
  },
  {
    page: 'docs/backends/custom.md',
    has: 'export class MapCache',
    because: 'test/package/types.test.ts runs it.',
  },
  {
    page: 'docs/backends/custom.md',
    has: 'testBackend(',
    because: 'test/package/types.test.ts runs it.',
  },
  {
    page: 'docs/engines-of-your-own.md',
    has: 'export const liquidEngine',
    because: 'test/examples/liquid.test.ts runs it.',
  },
  {
    page: 'docs/backends/tiered.md',
    has: 'export function postgresBus',
    because: 'test/docs/postgres-bus.test.ts runs it.',
  },
  {
    page: 'docs/backends/redis.md',
    has: 'new Cluster(',
    because: 'It names servers; test/backends/redis-cluster.test.ts runs against a cluster.',
  },
  {
    page: 'docs/backends/tiered.md',
    has: 'new RedisBus(',
    because: 'It names a cluster; test/backends/redis-bus.test.ts runs both.',
  },
]

/** Languages that nothing here runs: a page that shows any is listed, with the reason. */
const onlyShown: readonly {
  readonly language: string
  readonly page: string
  readonly because: string
}[] = [
  {
    language: 'text',
    page: 'README.md',
    because: 'It shows three spellings of one tag, of which each is run on its own page.',
  },
  {
    language: 'text',
    page: 'docs/eta.md',
    because: 'It names the parts of the tag; test/conformance/fragment-suite.ts uses each of them.',
  },
  {
    language: 'text',
    page: 'docs/handlebars.md',
    because: 'It names the parts of the tag; test/conformance/fragment-suite.ts uses each of them.',
  },
  {
    language: 'text',
    page: 'docs/nunjucks.md',
    because: 'It names the parts of the tag; test/conformance/fragment-suite.ts uses each of them.',
  },
  {
    language: 'text',
    page: 'docs/express-visitors.md',
    because: 'It is an order, which test/adapters/express-order-warnings.test.ts tries out.',
  },
  {
    language: 'text',
    page: 'docs/testing.md',
    because: 'It is a message that test/testing/hit.test.ts has word for word.',
  },
  {
    language: 'json',
    page: 'docs/toolchains.md',
    because: 'It is for Jest, which test/package/module-systems.test.ts runs with it.',
  },
  {
    language: 'python',
    page: 'docs/coming-from-django.md',
    because: 'These are the settings of Django, which no test installs.',
  },
  {
    language: 'python',
    page: 'docs/backends/database-production.md',
    because: 'These are the settings of Django, which no test installs.',
  },
  {
    language: 'python',
    page: 'docs/backends/memcached.md',
    because: 'These are the settings of Django, which no test installs.',
  },
]

/** Pieces of an application, with what is around them there. */
const pieces: readonly (Named & { readonly within: (code: string) => string })[] = [
  {
    page: 'README.md',
    has: 'default: new RedisCache(',
    within: (code) => `
      import pg from 'pg'
      import { createCaches, LocMemCache } from 'fragcache'
      import { DatabaseCache } from 'fragcache/database'
      import { MemcachedCache } from 'fragcache/memcached'
      import { RedisCache } from 'fragcache/redis'
      import { TieredCache } from 'fragcache/tiered'
      const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'] })
      ${code
        .trim()
        .replace('{ … }', "{ location: 'redis://127.0.0.1:6379' }")
        .replaceAll(/^.*$/gm, 'void createCaches({ $& }).close()')}
    `,
  },
  {
    page: 'docs/backends/database.md',
    has: "dialect: 'postgresql'",
    within: (code) => `${poolFor('DatabaseCache')}\nexport const cache = ${code}`,
  },
  {
    page: 'docs/backends/database-production.md',
    has: "location: 'my_cache_table'",
    within: (code) => `${poolFor('DatabaseCache')}\nexport const cache = ${code}`,
  },
  {
    page: 'docs/backends/tiered.md',
    has: 'new RedisBus(',
    within: (code) => `
      import type { Cluster } from 'ioredis'
      import { LocMemCache } from 'fragcache'
      import { RedisCache } from 'fragcache/redis'
      import { TieredCache } from 'fragcache/tiered'
      declare const cluster: Cluster
      declare const local: LocMemCache
      declare const remote: RedisCache
      ${code}
    `,
  },
]

function poolFor(name: string): string {
  return `
    import pg from 'pg'
    import { ${name} } from 'fragcache/database'
    const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'] })
  `
}

const isNamed = ({ page, code }: Sample) => (one: Named) => one.page === page && code.includes(one.has) // prettier-ignore
const whole = (sample: Sample) => pieces.find(isNamed(sample))?.within(sample.code) ?? sample.code

/** Pages whose files and commands a test of their own follows, from the first to the last. */
const followed: Readonly<Record<string, string>> = {
  'docs/behind-a-proxy.md': 'test/examples/nginx.test.ts',
  'docs/command-line.md': 'test/docs/command-line.test.ts',
  'docs/docker.md': 'test/examples/docker.test.ts',
  'docs/getting-started.md': 'test/docs/walks.test.ts',
  'docs/tutorial.md': 'test/docs/walks.test.ts',
}
const isFollowed = ({ page, file, language }: Sample) =>
  page in followed && (file !== undefined || ['sh', 'text'].includes(language))

const manifest = JSON.parse(readFileSync(inProject('package.json'), 'utf8')) as {
  peerDependencies: Record<string, string>
  devDependencies: Record<string, string>
  scripts: Record<string, string>
}

const blocks = pages.flatMap(blocksOf)
const running = blocks.filter(
  (block) => !isFollowed(block) && !notRun.some((one) => isNamed(block)(one)),
)
const inLanguage = (...languages: string[]) =>
  running.filter(({ language }) => languages.includes(language))

describe('the lists of what is not run as it stands', () => {
  it.each([...notRun, ...pieces])('$page: there is one block that has $has', (one) => {
    expect(blocks.filter((block) => isNamed(block)(one))).toHaveLength(1)
  })

  it.each(Object.entries(followed))('%s is followed by %s', (page, test) => {
    expect(pages).toContain(page)
    expect(readFileSync(inProject(test), 'utf8')).toContain(page)
  })

  it('have every block of a language that is not run', () => {
    const isListed = ({ page, language }: Sample) =>
      onlyShown.some((one) => one.page === page && one.language === language)
    const unlisted = running.filter(
      (block) => !['js', 'mjs', 'ts', 'sh', 'sql'].includes(block.language) && !isListed(block),
    )
    expect(unlisted.map(({ page, line, language }) => `${page}:${line} ${language}`)).toEqual([])
  })

  it.each(onlyShown)('$page: there is $language', ({ page, language }) => {
    expect(running.some((block) => block.page === page && block.language === language)).toBe(true)
  })
})

/** Lines of shell that are looked at, not run. */
const shell: readonly { readonly line: RegExp; readonly check: (rest: string) => void }[] = [
  { line: /^npm ci$/, check: () => undefined },
  {
    // test/package/install.test.ts installs the tarball.
    line: /^npm install (?:--save-dev )?(.*)/,
    check(rest) {
      const { peerDependencies, devDependencies } = manifest
      const known = ['fragcache', ...Object.keys({ ...peerDependencies, ...devDependencies })]
      for (const name of rest.split(' ')) expect(known).toContain(name)
    },
  },
  {
    // CI runs each of them.
    line: /^(?:npm ci && )?npm (?:run )?([\w:]+)(?: -- .*)?$/,
    check(rest) {
      expect(manifest.scripts).toHaveProperty([rest.trim()])
    },
  },
]

/** What the command line finds where a page shows no configuration of its own. */
const configuration = `
  import { join } from 'node:path'
  import Database from 'better-sqlite3'
  import { createCaches } from 'fragcache'
  import { DatabaseCache } from 'fragcache/database'

  const database = new Database(join(import.meta.dirname, 'cache.sqlite'))
  export default createCaches({
    default: new DatabaseCache({ location: 'fragcache_entries', database }),
  })
`

/** How pages name the servers that the run has. */
const addresses: readonly (readonly [ServerKind, RegExp])[] = [
  ['redis', /redis:\/\/127\.0\.0\.1:6379/g],
  ['memcached', /(?<=')10\.0\.0\.1:11211', '10\.0\.0\.2:11211(?=')/g],
  ['postgres', /DATABASE_URL/g],
]

/** What a page's `ttl` may have lost by the time it is printed. */
const settled = (line: string) => line.replace(/ttl=60$/, 'ttl=59')

describe('programs', () => {
  const runner = new SampleRunner()
  const folder = mkdtempSync(join(tmpdir(), 'fragcache-samples-'))
  const opened: { close(): Promise<void> }[] = []

  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close()
  })
  afterAll(async () => {
    runner.remove()
    await rm(folder, { recursive: true, force: true })
  })

  /** The same over our servers, or what is missing. */
  async function atOurServers(code: string): Promise<string | undefined> {
    let text = code.replaceAll('/var/cache/', `${folder}/`)
    for (const [kind, address] of addresses) {
      if (!address.test(text)) continue
      const server = await sharedServer(kind)
      if (server === undefined) return undefined
      if (kind === 'postgres') process.env['DATABASE_URL'] = server.url
      else text = text.replaceAll(address, server.url)
    }
    return text
  }

  it.for(inLanguage('js', 'mjs', 'ts'))(
    '$page:$line prints what it says',
    async (sample, { skip }) => {
      const code = await atOurServers(whole(sample))
      if (code === undefined) return skip()
      const { printed, warned, exports } = await runner.run(sample, code)
      expect(printed.map(settled)).toEqual(sample.prints.map(settled))
      expect(warned).toEqual(sample.warns.map((text) => expect.stringContaining(text) as string))
      for (const cache of cachesIn(exports)) {
        opened.push(cache)
        // Of the same modules as the sample's own.
        const database = await import('fragcache/database')
        if (code.includes('DATABASE_URL')) await database.createCacheTable([cache])
        await cache.set('sample', sample.page, { timeout: 60, tags: ['sample'] })
        expect(await cache.get('sample')).toBe(sample.page)
      }
    },
  )

  /** Of a sample that ends where the application begins: each that it exports is tried. */
  function cachesIn(exports: Readonly<Record<string, unknown>>): Cache[] {
    const { cache, caches } = exports as { cache?: Cache; caches?: Caches }
    const named = caches === undefined ? [] : caches.aliases.map((alias) => caches.get(alias))
    return cache === undefined ? named : [cache, ...named]
  }
})

describe('statements', () => {
  it.for(inLanguage('sql'))('$page:$line is run by PostgreSQL', async ({ code }, { skip }) => {
    const server = await sharedServer('postgres')
    if (server === undefined) return skip()
    const pool = new pg.Pool({ connectionString: server.url, max: 1 })
    try {
      const [table = ''] = /fragcache_entries/.exec(code) ?? []
      await createCacheTable([new DatabaseCache({ location: table, database: pool })])
      const results = [await pool.query(code)].flat()
      expect(results.map(({ command }) => command)).not.toEqual([])
    } finally {
      await pool.end()
    }
  })
})

describe('shell', () => {
  const lines = inLanguage('sh').flatMap(({ page, line, code }) =>
    code
      .split('\n')
      .map((text, index) => ({ page, line: line + 1 + index, text: text.replace(/ *#.*/, '') }))
      .filter(({ text }) => text !== ''),
  )

  const isOurs = ({ text }: { text: string }) => /^(?:npx )?fragcache /.test(text)

  it.each(lines.filter((one) => !isOurs(one)))('$page:$line can be run: $text', ({ text }) => {
    const rule = shell.find(({ line }) => line.test(text))
    expect(rule, text).toBeDefined()
    rule?.check(rule.line.exec(text)?.[1] ?? '')
  })

  describe('of fragcache', () => {
    const home = process.cwd()
    const folders = new Map<string, string>()

    afterAll(() => {
      process.chdir(home)
      for (const folder of folders.values()) rmSync(folder, { recursive: true, force: true })
    })

    /** Where the reader of a page is: with the files that it names, or with a configuration. */
    function folderOf(page: string): string {
      const known = folders.get(page)
      if (known !== undefined) return known
      const folder = mkdtempSync(inProject('test/.samples-'))
      folders.set(page, folder)
      for (const name of ['caches.mjs', 'fragcache.config.mjs']) {
        writeFileSync(join(folder, name), configuration)
      }
      for (const { file, code } of blocksOf(page)) {
        if (file !== undefined) writeFileSync(join(folder, file), code)
      }
      return folder
    }

    it.each(lines.filter(isOurs))(
      '$page:$line does what it says: $text',
      async ({ page, text }) => {
        process.chdir(folderOf(page))
        const errors: string[] = []
        const words = [...text.matchAll(/'([^']*)'|(\S+)/g)].map(
          ([, quoted, bare]) => quoted ?? bare,
        )
        const args = words.slice(words.indexOf('fragcache') + 1) as string[]
        const code = await main(args, { out: () => undefined, error: (line) => errors.push(line) })
        expect({ code, errors }).toEqual({ code: 0, errors: [] })
      },
    )
  })
})

describe('types', () => {
  const samples = blocks.filter(({ language }) => ['js', 'mjs', 'ts'].includes(language))
  let errors: ReadonlyMap<Sample, readonly string[]>

  beforeAll(() => {
    errors = typeErrors(samples, whole)
  }, 60_000)

  it.each(samples)('$page:$line has no errors in a strict project', (sample) => {
    expect(errors.get(sample)).toEqual([])
  })
})
