import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Eta } from 'eta'
import { createCaches, FragmentCache, LocMemCache, makeTemplateFragmentKey } from 'fragcache'
import { cachePlugin, type EtaPlugin } from 'fragcache/eta'
import { describe, expect, it } from 'vitest'
import { argumentsOf, endOf, nocacheOf } from '../../adapters/eta/tag.js'
import { etaWith } from './eta-driver.js'

const inMemory = () => createCaches({ default: new LocMemCache() })

describe('what is a cache tag', () => {
  it.each([
    '500 sidebar',
    '500 sidebar it.user',
    'it.ttl sidebar',
    '"500" sidebar',
    '-1 sidebar',
    '+it.ttl sidebar',
    '(it.ttl) sidebar',
    '(it.ttl + 1) "my sidebar" it.user',
    '[1, 2][0] sidebar',
    '\n  it.ttl\n  sidebar\n',
    '/* why */ 500 sidebar',
    '500, "my sidebar", it.a + it.b',
    '$ttl sidebar',
    'größe sidebar',
    'instance sidebar',
    '',
    '500',
    '.5 sidebar',
    '!it.x sidebar',
    '500 sidebar;',
  ])('cache %s', (rest) => {
    expect(argumentsOf(`cache ${rest}`.trim())).toBeDefined()
  })

  it.each([
    'cache;',
    'cache.x',
    'cache .x',
    'cache?.x',
    'cache = 1',
    'cache=1',
    'cache += 1',
    'cache++',
    'cache ++',
    'cache -- ;',
    'cache - 1',
    'cache == 1',
    'cache != 1',
    'cache !== 1',
    'cache && go()',
    'cache || go()',
    'cache ?? go()',
    'cache ? a() : b()',
    'cache | 1',
    'cache * 2',
    'cache / 2',
    'cache % 2',
    'cache < 2',
    'cache, x',
    'cache in x',
    'cache instanceof Map',
    'cache(1)',
    'cache (1)',
    'cache (1);',
    'cache (x).then(y)',
    'cache (x) ? a() : b()',
    'cache (x), y()',
    'cache (() => {',
    'cache[0]',
    'cache [0] = 1',
    'cache `x`',
    'cache: for (;;) {',
    'cache => cache',
    'cache // later',
    'cached 500 sidebar',
    'cache$ = 1',
    'cacheable(500)',
    'caches.get("x")',
    'const cache = 500',
    'Cache 500 sidebar',
    '{ cache }',
  ])('not %s', (code) => {
    expect(argumentsOf(code)).toBeUndefined()
  })

  it.each([
    ['endcache', ''],
    ['endcache;', ''],
    ['endcache sidebar', 'sidebar'],
    ['endcache "my sidebar" ;', 'my sidebar'],
    ['endcache /* sidebar */', ''],
    ['endcache sidebar /* end */', 'sidebar'],
    ['endcache sidebar /* a */ ; /* b */', 'sidebar'],
    ['endcache "a /* b */"', 'a /* b */'],
    ["endcache 'it\\'s' // */ /**/", "'it\\'s' // */"],
  ])('%s ends it', (code, name) => {
    expect(endOf(code)).toBe(name)
  })

  it.each(['nocache', 'nocache;', 'nocache /* a */', 'nocache ; /* a */', 'nocache/* a *//* b */'])(
    '%s begins a hole',
    (code) => {
      expect(nocacheOf(code)).toEqual({ ends: false, rest: '' })
      expect(nocacheOf(`end${code}`)).toEqual({ ends: true, rest: '' })
    },
  )

  const many = 100_000
  it.each([
    ['blanks', ' '.repeat(many)],
    ['comments', '/**/'.repeat(many)],
    ['comments that are not closed', '/*'.repeat(many)],
    ['stars', '/*/'.repeat(many)],
    ['semicolons', ';'.repeat(many)],
    ['texts that are not closed', `"${'\\"'.repeat(many)}`],
  ])('is read to its end with 100,000 %s in it', (_, inner) => {
    for (const word of ['cache', 'endcache', 'nocache', 'endnocache']) {
      for (const code of [`${word} x${inner}x`, `${word} ${inner}x`, `${word}${inner}`]) {
        const tags = [argumentsOf(code), endOf(code), nocacheOf(code)]
        expect(tags.filter((tag) => tag !== undefined).length).toBeLessThan(2)
      }
    }
  })

  it.each(['endcache()', 'endcache = 1', 'endcache.x', 'endcaches', 'endcache && x'])(
    '%s does not end it',
    (code) => {
      expect(endOf(code)).toBeUndefined()
    },
  )

  it('leaves JavaScript that uses the names as it is', () => {
    const template =
      `<% let cache = 1 %><% cache = cache + 1 %><% cache++ %><%= cache %>` +
      `<% cache /= 3 %><%= cache %><% { const cache = (x) => x; const endcache = cache %>` +
      `<%= cache(4) %><% cache(5) %><% endcache (6) %><% } %><% cache: for (;;) break cache %>`
    expect(etaWith(inMemory()).renderString(template, {})).toBe('314')
  })

  it('leaves a template without the tag to the byte', () => {
    const source = `a<% for (const x of it.xs) { %><%= x %>'\\<% } %>\n`
    const plain = new Eta()
    for (const async of [false, true]) {
      expect(etaWith(inMemory()).compileToString(source, { async })).toBe(
        plain.compileToString(source, { async }),
      )
    }
  })
})

describe('the plugin', () => {
  it('takes caches or fragments made from them, and refuses anything else', async () => {
    const caches = inMemory()
    const fragments = new FragmentCache(caches, { compat: 'django<6.1' })
    const template = '<% cache 9 a it.x %><%= it.x %><% endcache %>'
    etaWith(fragments).renderString(template, { x: 1 })
    const older = makeTemplateFragmentKey('a', [1], { compat: 'django<6.1' })
    expect(await caches.get('default').get(older)).toBe('1')
    etaWith(caches).renderString(template, { x: 2 })
    expect(await caches.get('default').get(makeTemplateFragmentKey('a', [2]))).toBe('2')
    expect(() => cachePlugin({} as never)).toThrow(/caches: .* createCaches/)
    expect(() => cachePlugin(undefined as never)).toThrow(TypeError)
  })

  it('may be shared by engines of different settings', () => {
    const plugins = [cachePlugin(inMemory())]
    const one = new Eta({ plugins, varName: 'data', tags: ['{{', '}}'] })
    const two = new Eta({ plugins, debug: true })
    const three = two.withConfig({ autoEscape: false })
    for (let i = 0; i < 2; i++) {
      expect(
        one.renderString('{{ cache 9 one data.x }}{{= data.x }}{{ endcache }}', { x: 1 }),
      ).toBe('1')
      expect(two.renderString('<% cache 9 two it.x %><%= it.x %><% endcache %>', { x: '<' })).toBe(
        '&lt;',
      )
      expect(
        three.renderString('<% cache 9 three it.x %><%= it.x %><% endcache %>', { x: '<' }),
      ).toBe('<')
    }
  })

  it('keeps nothing of a template that could not be parsed or compiled', () => {
    const eta = etaWith(inMemory())
    const parse = (source: string) => () => eta.compile(source)
    expect(parse('\n\n\n<% cache 9 a %>"<% /* ')).toThrow()
    expect(parse('<% cache 9 a %><% if ( %><% endcache %>')).toThrow(/Bad template syntax/)
    expect(parse('<% cache 9 a + 1 %><% endcache %>')).toThrow(/line 1, fragment "a"/)
    eta.parse('\n\n<% cache 9 a %><% endcache %>')
    expect(parse('\n<% cache 9 a + 1 %><% endcache %>')).toThrow(/line 2, fragment "a"/)
  })

  it('stands a plugin that compiles other templates meanwhile', () => {
    const plugin = cachePlugin(inMemory())
    const inner = new Eta({ plugins: [plugin] })
    const meddle = () => inner.renderString('<% cache 9 b %>b<% endcache %>', {})
    const meddler: EtaPlugin = {
      processTemplate: (template) => template + meddle(),
      processAST: (ast) => [...ast, meddle()],
      processFnString: (code) => `${code}// ${meddle()}`,
    }
    for (const plugins of [
      [meddler, plugin],
      [plugin, meddler],
    ]) {
      const eta = new Eta({ plugins })
      expect(eta.renderString('<% cache 9 a %>[x]<% endcache %>', {})).toBe('[x]bb')
      expect(eta.renderString('<% cache 9 a %>[x]<% endcache %>', {})).toBe('[x]bb')
    }
  })

  it('works before and after plugins that change text and code', () => {
    const shout: EtaPlugin = {
      processTemplate: (template) => template.replaceAll('TTL', '900'),
      processAST: (ast) =>
        ast.map((node) => (typeof node === 'string' ? node.toUpperCase() : node)),
      processFnString: (code) => `const shouted = 1;${code}`,
    }
    const plugin = cachePlugin(inMemory())
    const source = '<% cache 900 a %>text <%= shouted %><% endcache %>'
    for (const plugins of [
      [shout, plugin],
      [plugin, shout],
    ]) {
      const eta = new Eta({ plugins })
      expect(eta.renderString(source, {})).toBe('TEXT 1')
      expect(eta.renderString(source, {})).toBe('TEXT 1')
    }
  })

  it('keeps custom tags and filters, which a hit does not call', () => {
    let calls = 0
    const count = (text: unknown) => {
      calls++
      return String(text)
    }
    const eta = etaWith(
      inMemory(),
      {},
      {
        customTags: { '@': (content) => count(`[${content}]`) },
        autoFilter: true,
        filterFunction: count,
        escapeFunction: count,
      },
    )
    const source = '<%@ around %><% cache 9 a %><%@ inside %><%= it.x %><%~ it.x %><% endcache %>'
    expect(eta.renderString(source, { x: 1 })).toBe('[around][inside]11')
    expect(calls).toBe(5)
    expect(eta.renderString(source, { x: 2 })).toBe('[around][inside]11')
    expect(calls).toBe(6)
  })

  it('says so when a template is run by an engine without it', () => {
    const template = etaWith(inMemory()).compile('<% cache 9 a %>x<% endcache %>')
    expect(() => new Eta().render(template, {})).toThrow(/cachePlugin/)
  })

  it('says so when Eta compiles in an unknown way', () => {
    const { processFnString } = cachePlugin(inMemory())
    const config = new Eta().config
    expect(() => processFnString?.('__fragcache.open(', config)).toThrow(/unknown way; use Eta 4/)
    expect(processFnString?.('anything else', config)).toBe('anything else')
  })

  it('needs nothing of Eta at run time', () => {
    for (const file of [
      'index',
      'tag',
      'rewrite',
      'position',
      'prelude',
      'runtime',
      'run',
      'types',
    ]) {
      const source = readFileSync(new URL(`../../adapters/eta/${file}.ts`, import.meta.url), 'utf8')
      expect(source).not.toMatch(/^import (?!type)[^\n]*from 'eta'/m)
    }
  })
})

describe('a compiled template', () => {
  it('is compiled once and gives the text of the data each time', () => {
    const eta = etaWith(inMemory())
    const template = eta.compile('<% cache 9 a it.x %><%= it.x %><% endcache %>')
    for (const x of [1, 2, 1, 2]) expect(eta.render(template, { x })).toBe(String(x))
  })

  it('may be called by itself', () => {
    const eta = etaWith(inMemory())
    const template = eta.compile('<% cache 9 a %>x<% endcache %>')
    expect(template.call(eta, {})).toBe('x')
    expect(template.call(eta, {})).toBe('x')
  })

  it('gives what another engine of the same caches stored', () => {
    const caches = inMemory()
    const source = '<% cache 9 a %><%= it.x %><% endcache %>'
    expect(etaWith(caches).renderString(source, { x: 1 })).toBe('1')
    expect(etaWith(caches, {}, { debug: true }).renderString(source, { x: 2 })).toBe('1')
  })
})

describe('what is stored', () => {
  it('does not keep a longer text in memory of which it is a part', async () => {
    const caches = createCaches({ default: new LocMemCache({ options: { maxEntries: 1_000 } }) })
    const eta = etaWith(caches)
    const template = eta.compile('<% cache 9 a it.i %><%~ it.text %><% endcache %>')
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const used = () => {
      collect()
      return process.memoryUsage().heapUsed
    }
    const before = used()
    for (let i = 0; i < 200; i++) {
      const long = Buffer.alloc(500_000, `${i}-`).toString('latin1')
      eta.render(template, { i, text: long.slice(1_000, 1_100) })
    }
    // 200 texts of 100 bytes, not 200 of 500 kB.
    expect(used() - before).toBeLessThan(50_000_000)
    expect(await caches.get('default').get(makeTemplateFragmentKey('a', [7]))).toHaveLength(100)
  })
})
