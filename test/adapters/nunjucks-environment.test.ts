import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCaches, FragmentCache, LocMemCache, type FragmentMessage } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { afterEach, describe, expect, it } from 'vitest'
import { evaluate } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'

const folders: string[] = []

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function makeFolder(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'fragcache-views-'))
  folders.push(folder)
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}

const local = () => createCaches({ default: new LocMemCache() })
const remote = () => createCaches({ default: new AsyncTestCache() })

describe('registerCache', () => {
  it('takes caches or a FragmentCache made from them', () => {
    const caches = local()
    for (const given of [caches, new FragmentCache(caches)]) {
      const env = new nunjucks.Environment(null)
      registerCache(env, given)
      expect(env.renderString('{% cache 60 n %}x{% endcache %}', {})).toBe('x')
    }
  })

  it('called again with the same caches gives the same functions', () => {
    const env = new nunjucks.Environment(null)
    const caches = local()
    const first = registerCache(env, caches)
    expect(registerCache(env, caches)).toBe(first)
    expect(registerCache(env, new FragmentCache(caches))).toBe(first)
    expect(env.renderString('{% cache 60 n %}x{% endcache %}', {})).toBe('x')
  })

  it('called again with other caches is refused', () => {
    const env = new nunjucks.Environment(null)
    registerCache(env, local())
    expect(() => registerCache(env, local())).toThrow(
      /^env: registerCache was called on it before, with other caches/,
    )
  })

  it('refuses what is not an environment, naming what to give', () => {
    for (const wrong of [nunjucks, {}, 'env', 7, () => 1]) {
      expect(() => registerCache(wrong as never, local())).toThrow(
        /^env: .* is not a Nunjucks environment; give the result of nunjucks\.configure/,
      )
    }
    for (const nothing of [undefined, null]) {
      expect(() => registerCache(nothing as never, local())).toThrow(/npm install nunjucks/)
    }
  })

  it('refuses what are not caches, and leaves the environment alone', () => {
    const env = new nunjucks.Environment(null)
    expect(() => registerCache(env, {} as never)).toThrow(/^caches: .* is not a set of caches/)
    expect(() => env.renderString('{% cache 60 n %}x{% endcache %}', {})).toThrow(
      /unknown block tag: cache/,
    )
    expect(Object.keys(env)).not.toContain('render')
  })

  it('refuses an environment with another tag of this name', () => {
    const env = new nunjucks.Environment(null)
    env.addExtension('other', { tags: ['cache'], parse: () => undefined })
    expect(() => registerCache(env, local())).toThrow(/has an extension with the tag "cache"/)
    env.removeExtension('other')
    registerCache(env, local())
    expect(env.renderString('{% cache 60 n %}x{% endcache %}', {})).toBe('x')
  })

  it('leaves other environments alone', () => {
    registerCache(new nunjucks.Environment(null), local())
    const other = new nunjucks.Environment(null)
    expect(() => other.renderString('{% cache 60 n %}x{% endcache %}', {})).toThrow(
      /unknown block tag: cache/,
    )
    expect(other.renderString('{{ x | upper }}', { x: 'a' })).toBe('A')
  })

  it('keeps other extensions, filters, tests and globals at work', () => {
    const env = new nunjucks.Environment(null)
    env.addFilter('shout', (text: string) => `${text}!`)
    env.addGlobal('site', { name: 'Atlas' })
    registerCache(env, local())
    env.addFilter('twice', (text: string) => text + text)
    expect(env.getFilter('twice')('a')).toBe('aa')
    const template =
      '{% cache 60 n site.name|shout %}{{ site.name | shout | twice }}{% if 2 is even %}!{% endif %}{% endcache %}'
    expect(env.renderString(template, {})).toBe('Atlas!Atlas!!')
  })
})

describe('templates', () => {
  it('of the file system, with relative includes and a layout', async () => {
    const views = makeFolder({
      'layout.njk': '<{% block main %}{% endblock %}>',
      'pages/home.njk':
        '{% extends "layout.njk" %}{% block main %}{% cache 60 n %}{% include "./part.njk" %}{% endcache %}{% endblock %}',
      'pages/part.njk': 'part{{ x }}',
    })
    for (const caches of [local(), remote()]) {
      const env = nunjucks.configure(views, { autoescape: true })
      const { renderAsync } = registerCache(env, caches)
      expect(await renderAsync('pages/home.njk', { x: 1 })).toBe('<part1>')
      expect(await renderAsync('pages/home.njk', { x: 2 })).toBe('<part1>')
    }
  })

  it('rendered by nunjucks.render, getTemplate and Template', () => {
    const views = makeFolder({ 'home.njk': '{% cache 60 n %}{{ x }}{% endcache %}' })
    const env = nunjucks.configure(views)
    registerCache(env, local())
    expect(nunjucks.render('home.njk', { x: 1 })).toBe('1')
    expect(env.getTemplate('home.njk').render({ x: 2 })).toBe('1')
    expect(env.getTemplate('home.njk', true).render({ x: 3 })).toBe('1')
    expect(nunjucks.compile('{% cache 60 n %}{{ x }}{% endcache %}', env).render({ x: 4 })).toBe(
      '1',
    )
  })

  it('that were loaded before the tag was registered', async () => {
    const env = new nunjucks.Environment(sources({ main: '{% include "part" %}', part: '{{ x }}' }))
    const template = env.getTemplate('main', true)
    expect(template.render({ x: 1 })).toBe('1')
    const { renderAsync } = registerCache(env, remote())
    expect(await renderAsync(template, { x: 2 })).toBe('2')
    expect(await renderAsync('main', { x: 3 })).toBe('3')
  })

  it('made by hand are rendered over any cache by renderAsync', async () => {
    const env = new nunjucks.Environment(null)
    const { renderAsync } = registerCache(env, remote())
    const template = new nunjucks.Template('{% cache 60 n %}{{ x }}{% endcache %}', env, 'by-hand')
    expect(await renderAsync(template, { x: 1 })).toBe('1')
    expect(await renderAsync(template, { x: 2 })).toBe('1')
  })

  it('of an asynchronous loader', async () => {
    const templates: Readonly<Record<string, string>> = {
      main: '{% extends "base" %}{% block c %}{% for i in [1, 2] %}{% cache 60 n i %}{{ super() }}{{ i }}{% endcache %}{% endfor %}{% endblock %}',
      base: '<{% block c %}b{% endblock %}>',
      outer: '{% include "inner" %}',
      inner: '{% cache 60 m %}m{% endcache %}',
      wrong: '{% extends "badBase" %}',
      badBase: '\n{% cache 60 %}',
      inside: '{% cache 60 o %}{% include "inner" %}{% endcache %}',
    }
    const loader = nunjucks.Loader.extend({
      async: true,
      getSource(
        name: string,
        callback: (
          error: null,
          source: { src: string; path: string; noCache: boolean } | null,
        ) => void,
      ) {
        const src = templates[name]
        setTimeout(() => {
          callback(null, src === undefined ? null : { src, path: name, noCache: true })
        }, 1)
      },
    } as never)
    const env = new nunjucks.Environment(new loader() as never)
    const { renderAsync } = registerCache(env, remote())
    for (let i = 0; i < 2; i++) {
      expect(await renderAsync('main')).toBe('<b1b2>')
      expect(await renderAsync('outer')).toBe('m')
    }
    await expect(renderAsync('nowhere')).rejects.toThrow('template not found: nowhere')
    await expect(renderAsync('wrong')).rejects.toMatchObject({ template: 'badBase', line: 2 })
    await expect(renderAsync('inside')).rejects.toThrow(/its body did not end at once.*loader/)
  })

  it('that change on disk are compiled again', async () => {
    const views = makeFolder({ 'home.njk': 'one{% cache 0 n %}1{% endcache %}' })
    const env = new nunjucks.Environment(new nunjucks.FileSystemLoader(views, { noCache: true }))
    const { renderAsync } = registerCache(env, remote())
    expect(await renderAsync('home.njk')).toBe('one1')
    writeFileSync(join(views, 'home.njk'), 'two{% cache 0 n %}2{% endcache %}')
    expect(await renderAsync('home.njk')).toBe('two2')
  })

  it('are named in messages of fragcache:fragment', async () => {
    const views = makeFolder({
      'home.njk': '{% include "part.njk" %}',
      'part.njk': '{% cache 60 n %}x{% endcache %}',
    })
    const env = nunjucks.configure(views)
    const { renderAsync, renderStringAsync } = registerCache(env, remote())
    const seen: unknown[] = []
    const listen = (message: unknown) => seen.push((message as FragmentMessage).template)
    subscribe('fragcache:fragment', listen)
    await renderAsync('home.njk')
    await renderStringAsync('{% cache 60 n %}x{% endcache %}', {}, { path: 'mail.txt' })
    await renderStringAsync('{% cache 60 n %}x{% endcache %}')
    unsubscribe('fragcache:fragment', listen)
    expect(seen).toEqual(['part.njk', 'mail.txt', undefined])
  })
})

describe('precompiled templates', () => {
  const templates = {
    main: '{% extends "base" %}{% block c %}{% for i, j in rows %}{% cache 60 n i %}{{ super() }}{{ i }}{{ j }}{% include "part" %}{% endcache %}{% endfor %}{% endblock %}',
    base: '<{% block c %}b{{ x }}{% endblock %}\n{% cache t m %}m{% endcache %}>',
    part: '({{ x }}{{ loop.index }})',
  }
  const context = {
    rows: [
      ['p', 1],
      ['q', 2],
    ],
    x: 5,
    t: 60,
  }

  /** Compiled by an environment with the tag, as a build step would. */
  function precompile(): Record<string, unknown> {
    const env = new nunjucks.Environment(null)
    registerCache(env, local())
    const compiled: Record<string, unknown> = {}
    for (const [name, source] of Object.entries(templates)) {
      const code = nunjucks.precompileString(source, {
        name,
        env,
        // Its types say that it gets one.
        wrapper: (list) => (list as unknown as { template: string }[])[0]?.template ?? '',
      })
      compiled[name] = evaluate<() => unknown>(`() => {'use strict';${code}}`)()
    }
    return compiled
  }

  it('render the same, in each way', async () => {
    const plain = new nunjucks.Environment(sources(templates))
    registerCache(plain, createCaches({ default: new LocMemCache() }))
    const expected = plain.render('main', context)
    expect(expected).toBe('<b5p1(51)b5q2(52)\nm>')
    for (const caches of [local(), remote()]) {
      const loader = new nunjucks.PrecompiledLoader(precompile() as never)
      const { renderAsync } = registerCache(new nunjucks.Environment(loader), caches)
      expect(await renderAsync('main', context)).toBe(expected)
      expect(await renderAsync('main', { ...context, x: 6 })).toBe(expected)
    }
  })

  it('are named in errors, for each by its own name', async () => {
    const loader = new nunjucks.PrecompiledLoader(precompile() as never)
    const { renderAsync } = registerCache(new nunjucks.Environment(loader), remote())
    const error = renderAsync('main', { ...context, t: 'soon' })
    await expect(error).rejects.toMatchObject({ template: 'base', line: 2, fragment: 'm' })
  })

  it('tell a fault when they are precompiled', () => {
    const env = new nunjucks.Environment(null)
    registerCache(env, local())
    expect(() => nunjucks.precompileString('\n{% cache 60 %}', { name: 'page', env })).toThrow(
      /\(page\)\s+CacheTagError: cache tag \(line 2\): it needs a timeout and a fragment name/,
    )
  })
})

describe('delimiters of the application', () => {
  const tags = {
    blockStart: '<%',
    blockEnd: '%>',
    variableStart: '<$',
    variableEnd: '$>',
    commentStart: '<#',
    commentEnd: '#>',
  }

  it('work in and around the tag', async () => {
    for (const caches of [local(), remote()]) {
      const env = new nunjucks.Environment(null, { tags })
      const { renderStringAsync } = registerCache(env, caches)
      const page =
        'a <%- cache 60 n x|default("%>") {a: {b: 1}} -%> <$ x $> <# <% endcache %> #>{{ x }} <%- endcache n -%> b'
      expect(await renderStringAsync(page, { x: '}}' })).toBe('a}} {{ x }}b')
      expect(await renderStringAsync(page, { x: '}}' })).toBe('a}} {{ x }}b')
    }
  })

  it('are told with the line of a fault', () => {
    const env = new nunjucks.Environment(null, { tags })
    registerCache(env, local())
    expect(() =>
      env.renderString('\n<% cache t n %>x<% endcache %>', {}, { path: 'a' } as never),
    ).toThrow(/^cache tag \(a, line 2, fragment "n"\): the timeout is undefined/)
  })
})

describe('with Jinja’s spelling', () => {
  it('True, False and None are what they say', async () => {
    const uninstall = nunjucks.installJinjaCompat() as unknown as () => void
    try {
      const env = new nunjucks.Environment(null)
      const { renderStringAsync } = registerCache(env, remote())
      const page = '{% cache None n xs[1:] True %}{{ xs[:1] }}{{ d.items() }}{% endcache %}'
      const context = { xs: [1, 2, 3], d: { a: 1 } }
      expect(await renderStringAsync(page, context)).toBe('1a,1')
      expect(await renderStringAsync(page, context)).toBe('1a,1')
    } finally {
      uninstall()
    }
  })
})

it('templates made up at run time are right, however many there are', () => {
  const env = new nunjucks.Environment(null)
  registerCache(env, createCaches({ default: new LocMemCache({ options: { maxEntries: 100 } }) }))
  for (let i = 0; i < 2_100; i++) {
    expect(env.renderString(`{% cache 60 n ${i} %}${i}{% endcache %}`, {})).toBe(String(i))
  }
  expect(env.renderString('{% cache 60 n 0 %}0{% endcache %}', {})).toBe('0')
}, 60_000)
