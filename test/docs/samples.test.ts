import { mkdtempSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Cache, Caches } from 'fragcache'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
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
    has: 'adapters/      nunjucks',
    because: 'It is a drawing; test/package/import-direction.test.ts holds the code to it.',
  },
  {
    page: 'docs/backends/custom.md',
    has: 'export class MapCache',
    because: 'test/core/custom-backend.test.ts runs it.',
  },
  {
    page: 'docs/backends/custom.md',
    has: 'testBackend(',
    because: 'test/core/custom-backend.test.ts runs it.',
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
    page: 'docs/backends/database.md',
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

/** Pages that are followed from their first block to their last. */
const followed: Readonly<Record<string, string>> = {
  'docs/getting-started.md': 'test/docs/getting-started.test.ts',
}

const manifest = JSON.parse(readFileSync(inProject('package.json'), 'utf8')) as {
  peerDependencies: Record<string, string>
  scripts: Record<string, string>
}

const blocks = pages.flatMap(blocksOf)
const running = blocks.filter(
  (block) => !(block.page in followed) && !notRun.some((one) => isNamed(block)(one)),
)
const inLanguage = (...languages: string[]) =>
  running.filter(({ language }) => languages.includes(language))

describe('the lists of what is not run as it stands', () => {
  it.each([...notRun, ...pieces])('$page: there is one block that has $has', (one) => {
    expect(blocks.filter((block) => isNamed(block)(one))).toHaveLength(1)
  })

  it('have every block that is in no language that is run', () => {
    const known = ['js', 'ts', 'sh', 'sql', 'text', 'python', 'json']
    const unknown = running.filter(({ language }) => !known.includes(language))
    expect(unknown.map(({ page, line, language }) => `${page}:${line} ${language}`)).toEqual([])
  })
})

/** Lines of shell that are looked at, not run. */
const shell: readonly { readonly line: RegExp; readonly check: (rest: string) => void }[] = [
  { line: /^npm ci$/, check: () => undefined },
  {
    // test/package/install.test.ts installs the tarball.
    line: /^npm install (.*)/,
    check(rest) {
      const known = ['fragcache', ...Object.keys(manifest.peerDependencies)]
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
      expect(warned).toEqual([])
      for (const cache of cachesIn(exports)) {
        opened.push(cache)
        // Of the same modules as the sample's own.
        const { createCacheTable } = await import('fragcache/database')
        if (code.includes('DATABASE_URL')) await createCacheTable([cache])
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

describe('shell', () => {
  const lines = inLanguage('sh').flatMap(({ page, line, code }) =>
    code
      .split('\n')
      .map((text, index) => ({ page, line: line + 1 + index, text: text.replace(/ *#.*/, '') }))
      .filter(({ text }) => text !== ''),
  )

  it.each(lines)('$page:$line can be run: $text', ({ text }) => {
    const rule = shell.find(({ line }) => line.test(text))
    expect(rule, text).toBeDefined()
    rule?.check(rule.line.exec(text)?.[1] ?? '')
  })
})

describe('types', () => {
  const samples = inLanguage('ts')
  let errors: ReadonlyMap<Sample, readonly string[]>

  beforeAll(() => {
    errors = typeErrors(samples, whole)
  }, 60_000)

  it.each(samples)('$page:$line has no errors', (sample) => {
    expect(errors.get(sample)).toEqual([])
  })
})
