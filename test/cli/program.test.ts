import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { main } from '../../src/cli.js'
import { bundleSources, type Bundle } from '../support/bundle.js'
import { freePort, sharedServer } from '../support/servers.js'
import { configure, imports, ownFolder, run, runJson } from './support.js'

// Outages and odd keys are reported as warnings; what they say is tested where it is written.
beforeAll(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

const redis = await sharedServer('redis')
const folder = ownFolder()

const COMMANDS = [
  'init',
  'key',
  'createcachetable',
  'check',
  'stats',
  'list',
  'tags',
  'get',
  'delete',
  'clear',
  'invalidate',
]

describe('fragcache --help', () => {
  it('names every command and where to begin', async () => {
    const { code, out } = await run(['--help'])
    expect(code).toBe(0)
    for (const command of COMMANDS) expect(out).toMatch(new RegExp(`^  ${command}\\b`, 'm'))
    expect(out).toContain('fragcache check')
  })

  it.each(COMMANDS)('teaches %s: with examples, exit codes, in 80 columns', async (command) => {
    const { code, out, error } = await run([command, '--help'])
    expect({ code, error }).toEqual({ code: 0, error: '' })
    expect(out).toContain(`Usage: fragcache ${command}`)
    expect(out).toMatch(/Examples:\n {2}fragcache /)
    expect(out).toContain('Exit codes: 0 done, 1 failed, 2 wrong usage.')
    expect(out).toContain('--json')
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
    expect((await run(['help', command])).out).toBe(out)
    expect((await run([command, '-h'])).out).toBe(out)
  })
})

describe('fragcache, called wrongly', () => {
  const config = configure(folder, 'export default createCaches({ default: new DummyCache() })')
  const two = configure(
    folder,
    'export default createCaches({ default: new DummyCache(), pages: new DummyCache() })',
  )

  it.each([
    [['key', ''], 'the empty string is not a fragment name'],
    [['get'], 'get: ALIAS is missing\nUsage: fragcache get ALIAS KEY [--key-version VERSION]'],
    [['get', 'default', '--config', config], 'get: KEY is missing'],
    [
      ['get', 'default', 'k', 'more', '--config', config],
      'get: "more" is one argument too many\nUsage: fragcache get ALIAS KEY [',
    ],
    [['get', 'nope', 'k', '--config', config], '"nope" is not an alias; the caches are default'],
    [['get', 'default', 'k', '--key-version', '', '--config', config], '--key-version is empty'],
    [['clear', '--config', config], 'clear: ALIAS is missing'],
    [['clear', 'default', '--forse', '--config', config], "unknown option '--forse'"],
    [['clear', 'default', '-x', '--config', config], "unknown option '-x'"],
    [['clear', 'default', '--jsno', '--config', config], 'did you mean "--json"?'],
    [['get', 'default', 'k', '--keyversion', '2', '--config', config], '"--key-version"?'],
    [['clear', 'default', '--json=no', '--config', config], '--json takes no value; "no" is given'],
    [['invalidate', '--tag', '--soft', '--config', config], 'is written --tag=--soft'],
    [['invalidate', '--tag', 'a', '--tag', 'b', '--config', config], '--tag is given twice'],
    [['clear', 'default', '--config'], 'clear: --config: FILE is missing'],
    [['check'], '--config FILE is missing, and there is no fragcache.config.js'],
    [['check', '--config', 'none.mjs'], 'check: there is no file /'],
    [['check', '--config', '.'], ' is a folder; give a file in it'],
    [
      ['list', 'default', '--limit', 'x', '--config', config],
      '--limit "x" is not a number of entries',
    ],
    [['list', 'nope', '--config', config], '"nope" is not an alias'],
    [['list', '--config', two], 'list: ALIAS is missing; the caches are default, pages'],
    [['tags', '--config', two], 'tags: ALIAS is missing; the caches are default, pages'],
    [['stats', '--interval', '5', '--config', config], 'no effect without --watch'],
    [['stats', '--watch', '--interval', '0', '--config', config], 'is not a number of seconds'],
    [['invalidate', '--config', config], 'give --fragment NAME'],
    [
      ['invalidate', 'countries', '--config', config],
      '"countries" is one argument too many\nUsage: fragcache invalidate --fragment NAME | --tag TAG |',
    ],
    [
      ['explain', 'country:de', '--config', config],
      'KEY is missing\nUsage: fragcache explain ALIAS',
    ],
    [
      ['invalidate', '--tag', 'a', '--url', 'https://a.b/', '--config', config],
      '--tag and --url are given; give only one',
    ],
    [['invalidate', '--tag', '', '--config', config], '--tag is empty'],
    [['invalidate', '--url', '/relative', '--config', config], 'is not an absolute URL'],
    [['invalidate', '--url', 'https://a.b/', '--soft', '--config', config], '--soft has no effect'],
    [['invalidate', '--url', 'https://a.b/', '--using', 'x', '--config', config], '--using has no'],
    [['invalidate', '--tag', 'a', '--using', 'nope', '--config', config], '"nope" is not an alias'],
  ])('%j answers 2 and says why', async (args, message) => {
    const { code, out, error } = await run(args)
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(error).toContain(message)
    expect(error.split('\n').at(-1)).toBe(`See fragcache ${args[0]} --help.`)
  })

  it.each([
    [
      ['first', 'second', 'memory'],
      'MemcachedCache: .*, in first; MemcachedCache: .*, in second; all other caches were invalidated',
    ],
    [['first', 'second'], 'MemcachedCache: .*, in first; MemcachedCache: .*, in second'],
  ])('names each of the caches %j that could not be invalidated', async (aliases, message) => {
    const open = {
      memory: 'new DummyCache()',
      gone: 'new MemcachedCache({ location: "127.0.0.1:1" })',
    }
    const entries = aliases.map(
      (alias) => `${alias}: ${alias === 'memory' ? open.memory : open.gone}`,
    )
    const code = `export default createCaches({ ${entries.join(', ')} })`
    for (const what of [
      ['--tag', 't'],
      ['--fragment', 'f', '--using', 'first'],
    ]) {
      const failed = await run(['invalidate', ...what, '--config', configure(folder, code)])
      expect(failed).toMatchObject({ code: 1, out: '' })
      expect(failed.error).toMatch(new RegExp(`^fragcache: invalidate: ${message}$`))
    }
  })

  it.each([
    [['--config', config, 'clear', 'default']],
    [['-c', config, 'clear', 'default']],
    [[`--config=${config}`, 'clear', 'default']],
  ])('takes the configuration in front of the command too: %j', async (args) => {
    expect(await run(args)).toMatchObject({ code: 0, out: 'default was cleared' })
  })

  it('takes a value behind an equals sign, and short options in one', async () => {
    const dashed = await run(['invalidate', '--tag=--soft', `-c${config}`])
    expect(dashed).toMatchObject({ code: 0, error: '' })
    expect(dashed.out).toContain('tag "--soft": no entry in default')
    expect((await run(['stats', '-wi', '0', '-c', config])).error).toContain('--interval "0" is no')
  })

  it('names the command, not the configuration in front of it', async () => {
    const { code, error } = await run(['--config', config, 'get'])
    expect(code).toBe(2)
    expect(error).toMatch(
      /^fragcache: get: ALIAS is missing\nUsage: .*\nSee fragcache get --help\.$/,
    )
  })

  it('suggests what may have been meant', async () => {
    expect((await run(['stat'])).error).toMatch(
      /^fragcache: "stat" is not a command; the commands are init, .*; did you mean "stats"\?/,
    )
    expect((await run(['help', 'stat'])).error).toContain('did you mean "stats"?')
    expect((await run(['--verison'])).error).toContain('did you mean "--version"?')
  })

  it('shows hostile names instead of letting the terminal obey them', async () => {
    const name = 'a\x1b]0;owned\x07\u202e'
    const calls = [
      [name],
      ['get', name, 'k', '--config', config],
      ['get', 'default', name, '--config', config],
      ['delete', 'default', name, '--config', config],
      ['invalidate', '--fragment', name, '--config', config],
      ['invalidate', '--tag', name, '--config', config],
      ['check', '--config', `${name}.mjs`],
    ]
    for (const args of calls) {
      const { out, error } = await run(args)
      // eslint-disable-next-line no-control-regex -- these are looked for
      expect(out + error).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/)
    }
  })
})

describe('the configuration', () => {
  it('may be caches, one cache, a record of them, or caches with pages', async () => {
    const forms = [
      'export default createCaches({ default: new DummyCache() })',
      'export default new DummyCache()',
      'export default { default: new DummyCache() }',
      'export const caches = createCaches({ default: new DummyCache() })',
      'export default { caches: createCaches({ default: new DummyCache() }) }',
      'export default Promise.resolve(createCaches({ default: new DummyCache() }))',
    ]
    for (const form of forms) {
      const { code, json } = await runJson([
        'clear',
        'default',
        '--config',
        configure(folder, form),
      ])
      expect({ form, code, json }).toEqual({
        form,
        code: 0,
        json: { alias: 'default', cleared: true },
      })
    }
  })

  it.each([
    ['export default 7', 'exports no caches with names'],
    ['export default [new DummyCache()]', 'exports no caches with names'],
    ['export const other = 1', 'exports no caches; write'],
    ['throw new Error("boom\\x1b[2J")', 'cannot be loaded: boom\\x1b[2J'],
    [
      'export default createCaches({ default: new DummyCache() }); export const pages = 1',
      '"pages"',
    ],
  ])('answers 1 and says what is wrong with it: %s', async (code, message) => {
    const { code: exit, out, error } = await run(['check', '--config', configure(folder, code)])
    expect({ exit, out }).toEqual({ exit: 1, out: '' })
    expect(error).toContain(message)
  })

  it('invalidate --url calls what the configuration exports as pages, and needs it', async () => {
    const config = configure(
      folder,
      `const caches = createCaches({ default: new DummyCache() })
       globalThis.invalidatedUrls = []
       const pages = { invalidate: async (url) => void globalThis.invalidatedUrls.push(url) }
       export default { caches, pages }`,
    )
    const url = 'https://example.com/countries/de?x=1'
    expect(await runJson(['invalidate', '--url', url, '--config', config])).toMatchObject({
      code: 0,
      json: { url },
    })
    const { invalidatedUrls } = globalThis as { invalidatedUrls?: string[] }
    expect(invalidatedUrls).toEqual([url])
    const without = configure(folder, 'export default createCaches({ default: new DummyCache() })')
    const { code, error } = await run(['invalidate', '--url', url, '--config', without])
    expect(code).toBe(1)
    expect(error).toContain('export { caches, pages }')
  })
})

describe('fragcache stats', () => {
  it('tells the servers’ figures, and where the others are seen', async () => {
    const config = configure(
      folder,
      `const files = new FileBasedCache({ location: ${JSON.stringify(join(folder, 'stats'))}, options: { maxEntries: 70 } })
       await files.set('k', 'x'.repeat(2000))
       export default createCaches({ default: files, local: new LocMemCache(), none: new DummyCache() })`,
    )
    const { code, json, error } = await runJson(['stats', '--config', config])
    expect(code).toBe(0)
    expect(error).toMatch(/inspector and its metrics/)
    expect(json).toMatchObject({ atMs: expect.any(Number) as number })
    const { aliases } = json as { aliases: Record<string, unknown> }
    expect(aliases).toMatchObject({
      default: { backend: 'FileBasedCache', scope: 'machine', entries: 1, maxEntries: 70 },
      none: { backend: 'DummyCache' },
    })
    // Nothing of what this process's own memory holds.
    expect(aliases['local']).toEqual({ backend: 'LocMemCache', scope: 'process' })
    const { out } = await run(['stats', '--config', config])
    expect(out.split('\n')[0]).toMatch(/^CACHE +BACKEND +ENTRIES +SIZE +LIMIT +HITS/)
    expect(out).toMatch(/^default +FileBased +1 +2\.\d kB +70 /m)
    expect(out).toContain("local: in the memory of the application's process")
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  })

  it('answers 1 where a server does not answer, with the figures of the others', async () => {
    const config = configure(
      folder,
      `export default createCaches({
         default: new RedisCache({ location: 'redis://127.0.0.1:${await freePort()}', options: { timeLimitMs: 300 } }),
         files: new FileBasedCache({ location: ${JSON.stringify(join(folder, 'none'))} }),
       })`,
    )
    const { code, json } = await runJson(['stats', '--config', config])
    expect(code).toBe(1)
    expect(json).toMatchObject({
      aliases: {
        default: { backend: 'RedisCache', error: expect.any(String) as string },
        files: { entries: 0, bytes: 0 },
      },
    })
  })
})

describe('fragcache stats --watch', () => {
  it('draws over what a terminal shows, and ends when it is told to', async () => {
    const config = configure(folder, 'export default createCaches({ default: new DummyCache() })')
    const interruption = new AbortController()
    const shown: string[] = []
    const code = await main(['stats', '--watch', '--interval', '0.1', '--config', config], {
      out: (text) => {
        shown.push(text)
        if (shown.length === 2) interruption.abort()
      },
      error: () => undefined,
      isTerminal: true,
      untilInterrupted: () => interruption.signal,
    })
    expect(code).toBe(0)
    expect(shown).toHaveLength(2)
    for (const text of shown) expect(text.startsWith('\x1b[H\x1b[2J\x1b[3JCACHE')).toBe(true)
  })
})

describe('the program', () => {
  let bundle: Bundle
  let app: string
  beforeAll(async () => {
    bundle = await bundleSources()
    // The version is read as the package's own.
    mkdirSync(join(bundle.folder, 'app'))
    app = join(bundle.folder, 'app')
    writeFileSync(join(app, 'package.json'), '{ "type": "module" }')
    writeFileSync(
      join(app, 'fragcache.config.js'),
      `${imports(bundle.folder, 'js')}
       export default createCaches({
         default: new FileBasedCache({ location: ${JSON.stringify(join(folder, 'program'))} }),
         ${redis === undefined ? '' : `redis: new RedisCache({ location: ${JSON.stringify(redis.url)}, keyPrefix: 'program' }),`}
       })`,
    )
  }, 180_000)
  afterAll(() => bundle.remove())

  function start(...args: string[]) {
    const child = spawn(process.execPath, [join(bundle.folder, 'src/cli.js'), ...args], {
      cwd: app,
    })
    let [out, error] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (error += chunk.toString()))
    const ended = once(child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as string | null,
      out,
      error,
    }))
    return { child, ended, printed: () => out }
  }

  it('finds fragcache.config.js in its folder, and ends by itself', async () => {
    expect(await start('clear', 'default').ended).toEqual({
      code: 0,
      signal: null,
      out: 'default was cleared\n',
      error: '',
    })
    expect(await start('get', 'default', 'none', '--json').ended).toMatchObject({ code: 1 })
  })

  it.each([
    ['an import', "import { createCaches } from 'fragcache'\nexport default createCaches({})"],
    ['an export', 'export default {}'],
    ['a top-level await', 'await 1'],
  ])('tells how to name a configuration with %s in a package of type commonjs', async (_, code) => {
    const older = join(bundle.folder, 'older')
    mkdirSync(older, { recursive: true })
    writeFileSync(join(older, 'package.json'), '{ "type": "commonjs" }')
    writeFileSync(join(older, 'fragcache.config.js'), code)
    const config = join(older, 'fragcache.config.js')
    const { code: exitCode, error } = await start('clear', 'default', '--config', config).ended
    expect(exitCode).toBe(1)
    expect(error).toContain('; its package is of type commonjs, so name it fragcache.config.mjs')
  })

  it.each([
    ['types alone', 'const alias: string = "default"'],
    ['an import of more TypeScript', "import { alias } from './alias.js'"],
    ['what is more than types', "enum Alias { first = 'default' }\nconst alias = Alias.first"],
  ])('loads TypeScript with %s, on every Node', async (_, code) => {
    writeFileSync(join(app, 'alias.ts'), "export const alias: string = 'default'")
    const config = `${imports(bundle.folder, 'js')}
      ${code}
      export default createCaches({ [alias]: new DummyCache() })`
    writeFileSync(join(app, 'typed.ts'), config)
    const {
      code: exitCode,
      error,
      out,
    } = await start('clear', 'default', '--config', 'typed.ts').ended
    expect([error, exitCode]).toEqual(['', 0])
    expect(out).toBe('default was cleared\n')
  })

  it.each([
    ['is wrong', 'const alias: string ='],
    ['imports what is not there', "import './nowhere.js'"],
    ['imports a package that is not installed', "import 'fragcache-is-not-installed'"],
  ])('names the configuration in TypeScript that %s, on one line', async (_, code) => {
    writeFileSync(join(app, 'wrong.ts'), code)
    const { code: exitCode, error } = await start('check', '--config', 'wrong.ts').ended
    expect(exitCode).toBe(1)
    expect(error).toMatch(/^fragcache: check: .*wrong\.ts cannot be loaded: .+\n$/)
  })

  it('runs a configuration once that imports what Node does not run, and says what helps', async () => {
    // On every Node: no types alone.
    writeFileSync(join(app, 'enum.ts'), 'export enum Alias { first }')
    writeFileSync(join(app, 'once.mjs'), "console.log('ran')\nawait import('./enum.ts')")
    const { code, out, error } = await start('check', '--config', 'once.mjs').ended
    expect({ code, out }).toEqual({ code: 1, out: 'ran\n' })
    expect(error).toMatch(/once\.mjs cannot be loaded: .*; this Node does not run .* once\.ts/)
  })

  it('keeps all that a configuration itself says', async () => {
    writeFileSync(join(app, 'told.ts'), "throw new Error('two\\nlines')")
    const { error } = await start('check', '--config', 'told.ts').ended
    expect(error).toMatch(/told\.ts cannot be loaded: two\nlines\n$/)
  })

  it.each([
    ['fails to load by what has no text', 'throw Object.create(null)'],
    ['exports what is never there', "export default Promise.reject(new Error('late'))"],
  ])('names the configuration that %s', async (_, code) => {
    writeFileSync(join(app, 'faulty.mjs'), code)
    const { code: exitCode, error } = await start('clear', 'default', '--config', 'faulty.mjs')
      .ended
    expect(exitCode).toBe(1)
    expect(error).toMatch(/faulty\.mjs cannot be loaded: (?:an error without a text|late)\n/)
  })

  it.each([
    ['waits for what does not come', 'await new Promise(() => undefined)'],
    ['ends the process', 'process.exit(0)'],
  ])('does not call done what a configuration kept from it that %s', async (_, code) => {
    writeFileSync(join(app, 'ending.mjs'), code)
    expect(await start('clear', 'default', '--config', 'ending.mjs').ended).toMatchObject({
      code: 1,
      out: '',
      error: 'fragcache: the process ended before the command was done\n',
    })
  })

  it('runs through a link, as npm installs it', async () => {
    const link = join(bundle.folder, 'fragcache')
    symlinkSync(join(bundle.folder, 'src/cli.js'), link)
    const child = spawn(process.execPath, [link, 'key', 'sidebar'])
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    const [code] = (await once(child, 'close')) as [number]
    expect({ code, out }).toEqual({
      code: 0,
      out: 'template.cache.sidebar.d41d8cd98f00b204e9800998ecf8427e\n',
    })
  })

  it('stats --watch tells them again and again, one line of JSON each, until Ctrl-C', async () => {
    const { child, ended, printed } = start('stats', '--watch', '--interval', '0.1', '--json')
    await expect.poll(() => printed().split('\n').length, { timeout: 15_000 }).toBeGreaterThan(3)
    child.kill('SIGINT')
    const { code, signal, out } = await ended
    expect({ code, signal }).toEqual({ code: 0, signal: null })
    for (const line of out.trimEnd().split('\n')) {
      expect(JSON.parse(line)).toMatchObject({ aliases: { default: { scope: 'machine' } } })
    }
  })

  it('ends quietly when nobody reads any more', async () => {
    const { child, ended, printed } = start('stats', '--watch', '--interval', '0.1')
    await expect.poll(() => printed().length, { timeout: 15_000 }).toBeGreaterThan(0)
    child.stdout.destroy()
    const { code, error } = await ended
    expect(code).toBe(0)
    expect(error).not.toMatch(/EPIPE/)
  })

  it('prints no escape sequences where nobody looks on', async () => {
    const { child, ended, printed } = start('stats', '--watch', '--interval', '0.1')
    await expect.poll(() => printed().split('CACHE').length, { timeout: 15_000 }).toBeGreaterThan(2)
    child.kill('SIGINT')
    expect((await ended).out).not.toContain('\x1b')
  })
})
