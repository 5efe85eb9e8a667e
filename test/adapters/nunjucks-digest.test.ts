import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCaches, FragmentCache, LocMemCache, type Cache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { evaluate } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { folderOfTest } from '../support/folders.js'
import { sources } from './nunjucks-driver.js'

afterEach(() => {
  vi.restoreAllMocks()
})

/** As another process with these templates would have it. */
function deploy(templates: Readonly<Record<string, string>>, cache: Cache) {
  const env = new nunjucks.Environment(sources(templates))
  const caches = createCaches({ default: cache })
  return { env, caches, ...registerCache(env, caches, { digest: true }) }
}

const templates = {
  main: '{% extends "base" %}{% from "macros" import m %}{% block c %}{% cache 60 n user %}{{ n }}{% include "part" %}{% endcache %}{% endblock %}',
  base: '<{% block c %}{% endblock %}>',
  macros: '{% macro m() %}m{% endmacro %}',
  part: '{% include "inner" %}',
  inner: 'inner',
  other: 'other',
}

describe('with digests', () => {
  it.each(['main', 'base', 'macros', 'part', 'inner'] as const)(
    'a fragment is made again once %s has changed',
    async (name) => {
      for (const cache of [new LocMemCache(), new AsyncTestCache()]) {
        const render = (deployed: typeof templates, n: number) =>
          deploy(deployed, cache).renderAsync('main', { n })
        expect(await render(templates, 1)).toBe('<1inner>')
        expect(await render(templates, 2)).toBe('<1inner>')
        const changed = { ...templates, [name]: `${templates[name]} ` }
        expect((await render(changed, 3)).trim()).toMatch(/^<3inner ?>$/)
        expect(await render(templates, 4)).toBe('<1inner>')
      }
    },
  )

  it('a fragment stays when a template has changed that it has nothing to do with', async () => {
    const cache = new LocMemCache()
    expect(await deploy(templates, cache).renderAsync('main', { n: 1 })).toBe('<1inner>')
    const changed = { ...templates, other: 'changed' }
    expect(await deploy(changed, cache).renderAsync('main', { n: 2 })).toBe('<1inner>')
  })

  it('a template that includes itself has one', async () => {
    const { renderAsync } = deploy(
      {
        main: '{% cache 60 n %}{{ n }}{% if again %}{% include "main" %}{% endif %}{% endcache %}',
      },
      new LocMemCache(),
    )
    expect(await renderAsync('main', { n: 1 })).toBe('1')
    expect(await renderAsync('main', { n: 2 })).toBe('1')
  })

  it('a template without a name has one', async () => {
    const cache = new AsyncTestCache()
    const render = (text: string, n: number) =>
      deploy({ part: text }, cache).renderStringAsync(
        '{% cache 60 n %}{{ n }}{% include "part" %}{% endcache %}',
        { n },
      )
    expect(await render('a', 1)).toBe('1a')
    expect(await render('a', 2)).toBe('1a')
    expect(await render('b', 3)).toBe('3b')
  })

  it('each variant has its own key, which invalidate reaches and delete does not', async () => {
    const { env, caches } = deploy(
      { main: '{% cache 60 n user %}{{ user }}{{ n }}{% endcache %}' },
      new LocMemCache(),
    )
    const fragments = new FragmentCache(caches)
    expect(env.render('main', { user: 'a', n: 1 })).toBe('a1')
    expect(env.render('main', { user: 'b', n: 2 })).toBe('b2')
    expect(await fragments.delete('n', ['a'])).toBe(false)
    expect(env.render('main', { user: 'a', n: 3 })).toBe('a1')
    await fragments.invalidate('n')
    expect(env.render('main', { user: 'a', n: 4 })).toBe('a4')
  })

  it('a template that is loaded again has another', () => {
    const files: Record<string, string> = {
      main: '{% cache 60 n %}{{ n }}{% include "part" %}{% endcache %}',
      part: 'a',
    }
    class Watched extends nunjucks.Loader {
      getSource(name: string) {
        return { src: files[name] ?? '', path: name, noCache: false }
      }
    }
    const loader = new Watched()
    const env = new nunjucks.Environment(loader)
    registerCache(env, createCaches({ default: new LocMemCache() }), { digest: true })
    expect(env.render('main', { n: 1 })).toBe('1a')
    files['part'] = 'b'
    expect(env.render('main', { n: 2 })).toBe('1a')
    loader.emit('update', 'part', 'part')
    expect(env.render('main', { n: 3 })).toBe('3b')
    files['part'] = 'c'
    ;(env as unknown as { invalidateCache(): void }).invalidateCache()
    expect(env.render('main', { n: 4 })).toBe('4c')
  })

  it('compiled templates have one too', async () => {
    const compile = (part: string) => {
      const builder = new nunjucks.Environment(null)
      registerCache(builder, createCaches({ default: new LocMemCache() }), { digest: true })
      const compiled: Record<string, unknown> = {}
      const all = { main: '{% cache 60 n %}{{ n }}{% include "part" %}{% endcache %}', part }
      for (const [name, source] of Object.entries(all)) {
        const code = nunjucks.precompileString(source, {
          name,
          env: builder,
          // Its types say that it gets one.
          wrapper: (list) => (list as unknown as { template: string }[])[0]?.template ?? '',
        })
        compiled[name] = evaluate<() => unknown>(`() => {'use strict';${code}}`)()
      }
      return new nunjucks.PrecompiledLoader(compiled as never)
    }
    const cache = new LocMemCache()
    const render = (part: string, n: number) => {
      const env = new nunjucks.Environment(compile(part))
      const { renderAsync } = registerCache(env, createCaches({ default: cache }), { digest: true })
      return renderAsync('main', { n })
    }
    expect(await render('a', 1)).toBe('1a')
    expect(await render('a', 2)).toBe('1a')
    expect(await render('b', 3)).toBe('3b')
  })

  it('a name by an expression is warned of, once for each template', () => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
    const { env } = deploy(
      {
        main: '{% cache 60 n %}{% include which %}{% include "pa" ~ "rt" %}{% include "list" %}{% endcache %}',
        list: 'env.getTemplate("part", ',
        part: 'p',
      },
      new LocMemCache(),
    )
    for (let i = 0; i < 2; i++) {
      expect(env.render('main', { which: 'part' })).toBe('ppenv.getTemplate("part", ')
    }
    const told = warn.mock.calls.filter(([text]) => String(text).includes('the digest'))
    expect(told.map(([text]) => String(text).slice(0, 16))).toEqual(['template "main":'])
  })
})

it('without digests keys are those that Django makes', async () => {
  const cache = new AsyncTestCache()
  const env = new nunjucks.Environment(sources(templates))
  const { renderAsync } = registerCache(env, createCaches({ default: cache }))
  await renderAsync('main', { user: 'a' })
  expect(cache.storedKeys).toContain(
    `:1:${new FragmentCache(createCaches({ default: cache })).makeKey('n', ['a'])}`,
  )
})

it('a digest follows names relative to the template’s file', async () => {
  const views = folderOfTest()
  writeFileSync(join(views, 'main.njk'), '{% cache 60 f %}{% include "./part.njk" %}{% endcache %}')
  const all = createCaches({ default: new LocMemCache() })
  for (const text of ['old', 'new']) {
    writeFileSync(join(views, 'part.njk'), text)
    const env = new nunjucks.Environment(new nunjucks.FileSystemLoader(views))
    const { renderAsync } = registerCache(env, all, { digest: true })
    expect(await renderAsync('main.njk', {})).toBe(text)
  }
})
