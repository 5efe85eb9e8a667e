import { createCaches, FragmentCache, LocMemCache, makeTemplateFragmentKey } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { describe, expect, it, vi } from 'vitest'
import { countBodies } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'
import { coreOf } from '../../src/backend/core.js'

function setUp(templates: Readonly<Record<string, string>> = {}) {
  const remote = new AsyncTestCache()
  const caches = createCaches({ default: remote, near: new LocMemCache() })
  const env = new nunjucks.Environment(sources(templates))
  return { env, remote, caches, ...registerCache(env, caches) }
}

describe('rendering over an asynchronous cache', () => {
  it('reads all fragments of a page at once and writes them at once', async () => {
    const { remote, renderStringAsync } = setUp()
    const page =
      '{% for i in range(20) %}<li>{% cache 60 row i %}{{ i }}{% endcache %}</li>{% endfor %}'
    const cold = await renderStringAsync(page)
    expect(cold).toBe(Array.from({ length: 20 }, (_, i) => `<li>${i}</li>`).join(''))
    // One write claims the keys before the bodies run.
    expect([remote.reads, remote.writes]).toEqual([1, 2])
    expect(await renderStringAsync(page)).toBe(cold)
    expect([remote.reads, remote.writes]).toEqual([2, 2])
  })

  it('reads once per level of what is missing, through includes, macros, callers and super', async () => {
    const { remote, renderAsync } = setUp({
      main: '{% extends "base" %}{% macro box() %}{% cache 60 box %}{{ caller() }}{% endcache %}{% endmacro %}{% block c %}{% cache 60 c %}{{ super() }}{% include "part" %}{% endcache %}{% call box() %}{% cache 60 in %}in{% endcache %}{% endcall %}{% endblock %}',
      base: '{% cache 60 head %}head{% endcache %}{% block c %}{% cache 60 base %}base{% endcache %}{% endblock %}{% cache 60 foot %}foot{% endcache %}',
      part: '{% cache 60 part %}part{% endcache %}',
    })
    expect(await renderAsync('main')).toBe('headbasepartinfoot')
    const { reads, writes } = remote
    expect([reads, writes]).toEqual([2, 3])
    expect(await renderAsync('main')).toBe('headbasepartinfoot')
    // Once for the outermost, and once for the tags of what is inside them.
    expect([remote.reads - reads, remote.writes - writes]).toEqual([2, 0])
  })

  it('mixes caches of both kinds in one template', async () => {
    const { renderStringAsync } = setUp()
    const page =
      '{% cache 60 a using="near" %}a{% cache 60 b %}b{% cache 60 c using="near" %}c{% endcache %}{% endcache %}{% endcache %}{% cache 60 d %}d{% endcache %}'
    expect(await countBodies(() => renderStringAsync(page))).toEqual({
      outcome: 'abcd',
      bodyRuns: 4,
    })
    expect(await countBodies(() => renderStringAsync(page))).toEqual({
      outcome: 'abcd',
      bodyRuns: 0,
    })
  })

  it('works for 10 000 fragments', async () => {
    const { remote, env, renderStringAsync } = setUp()
    const page =
      '{% for i in range(10000) %}{% cache 60 row i using=where %}{{ i }},{% endcache %}{% endfor %}'
    const expected = Array.from({ length: 10_000 }, (_, i) => `${i},`).join('')
    expect(await renderStringAsync(page, { where: 'default' })).toBe(expected)
    expect([remote.reads, remote.writes]).toEqual([1, 2])
    expect(env.renderString(page, { where: 'near' })).toBe(expected)
    expect(await renderStringAsync(page, { where: 'near' })).toBe(expected)
  }, 60_000)

  it('gives env.render, renderString and a template’s own render the same by callback', async () => {
    const source = '{% cache 60 n %}{{ x }}{% endcache %}'
    const { env, remote } = setUp({ main: source })
    const by = (render: (done: (error: Error | null, text: string | null) => void) => unknown) =>
      new Promise((resolve, reject) => {
        expect(render((error, text) => (error ? reject(error) : resolve(text))) ?? null).toBeNull()
      })
    expect(await by((done) => env.render('main', { x: 1 }, done))).toBe('1')
    expect(await by((done) => env.renderString(source, { x: 2 }, done))).toBe('1')
    expect(await by((done) => env.getTemplate('main').render({ x: 3 }, done))).toBe('1')
    // The engine takes these too; its types do not say so.
    const render = env.render.bind(env) as (...args: unknown[]) => unknown
    expect(await by((done) => render('main', done))).toBe('1')
    const template = new nunjucks.Template(source, env)
    expect(await by((done) => render(template, { x: 4 }, done))).toBe('1')
    expect([remote.reads, remote.writes]).toEqual([5, 2])
  })

  it('renders without the cache while it fails', async () => {
    const { remote, renderStringAsync } = setUp()
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
    remote.failing = true
    const page = '{% cache 60 a %}a{% cache 60 b %}{{ x }}{% endcache %}{% endcache %}'
    expect(await renderStringAsync(page, { x: 1 })).toBe('a1')
    expect(await renderStringAsync(page, { x: 2 })).toBe('a2')
    expect(warn).toHaveBeenCalledTimes(1)
    remote.failing = false
    expect(await renderStringAsync(page, { x: 3 })).toBe('a3')
    expect(await renderStringAsync(page, { x: 4 })).toBe('a3')
    warn.mockRestore()
  })
})

describe('renders that overlap', () => {
  const templates = {
    main: '{% extends "base" %}{% from "macros" import box %}{% block c %}{% set greeting = "hi " ~ user %}{% for i in items %}{% cache 60 row user i %}{{ user }}{{ loop.index }}{{ greeting }}{% include "part" %}{% call box(user) %}{{ i }}{% endcall %}{{ super() }}{% endcache %}{% endfor %}{% set greeting = "bye" %}{{ greeting }}{% endblock %}',
    base: '<{% block c %}[{{ user }}{% cache 60 shared %}shared{% endcache %}]{% endblock %}>',
    macros:
      '{% macro box(name) %}{% cache 60 box name caller() %}({{ name }}{{ caller() }}){% endcache %}{% endmacro %}',
    part: '{% cache 60 part user i %}{{ i }}of{{ user }}{% endcache %}',
  }

  it('never mix what they see', async () => {
    const plain = new nunjucks.Environment(
      sources(
        Object.fromEntries(
          Object.entries(templates).map(([name, source]) => [
            name,
            source.replace(/\{% (?:end)?cache.*?%\}/g, ''),
          ]),
        ),
      ),
    )
    const { remote, caches, renderAsync } = setUp(templates)
    for (const method of ['tryLookup', 'tryStore'] as const) {
      const core = coreOf(remote)
      const original = core[method].bind(core) as (...args: unknown[]) => Promise<unknown>
      vi.spyOn(core, method).mockImplementation((async (...args: unknown[]) => {
        remote.latencyMs = Math.random() * 8
        return original(...args)
      }) as never)
    }
    // Some share a user, so that they join each other's bodies.
    const contexts = Array.from({ length: 100 }, (_, i) => ({
      user: `user${i % 37}`,
      items: Array.from({ length: 1 + (i % 4) }, (__, j) => `${j}`),
    }))
    for (const round of ['cold', 'warm', 'partly cold']) {
      if (round === 'partly cold') await new FragmentCache(caches).invalidate('part')
      const texts = await Promise.all(
        contexts.map(async (context, i) => {
          await new Promise((resolve) => setTimeout(resolve, (i * 7919) % 20))
          return renderAsync('main', context)
        }),
      )
      expect(texts, round).toEqual(contexts.map((context) => plain.render('main', context)))
    }
  }, 60_000)

  it('run one body for one fragment', async () => {
    const { renderStringAsync } = setUp()
    const make = vi.fn(() => 'made')
    const pages = Array.from({ length: 20 }, () =>
      renderStringAsync('{% cache 60 n %}{{ make() }}{% endcache %}', { make }),
    )
    expect(new Set(await Promise.all(pages))).toEqual(new Set(['made']))
    expect(make).toHaveBeenCalledTimes(1)
  })

  it('in several environments have a cache each', async () => {
    const [one, two] = [setUp(), setUp()]
    const page = '{% cache 60 n %}{{ x }}{% endcache %}'
    expect(
      await Promise.all([
        one.renderStringAsync(page, { x: 1 }),
        two.renderStringAsync(page, { x: 2 }),
      ]),
    ).toEqual(['1', '2'])
    expect(one.remote.storedKeys).toContain(`:1:${makeTemplateFragmentKey('n')}`)
  })
})

describe('a filter over a text in which a fragment is still to come', () => {
  const shapes = {
    'a filter block': (filter: string) =>
      `{% filter ${filter} %}<p>{% cache 60 n %}abc{% endcache %}</p>{% endfilter %}`,
    'a set block': (filter: string) =>
      `{% set x %}<p>{% cache 60 n %}abc{% endcache %}</p>{% endset %}{{ x | ${filter} }}`,
    'a macro': (filter: string) =>
      `{% macro m() %}<p>{% cache 60 n %}abc{% endcache %}</p>{% endmacro %}{{ m() | ${filter} }}`,
  }
  const refused = [
    'upper',
    'trim',
    'length',
    'first',
    'striptags',
    'truncate(4)',
    'replace("a", "b")',
    'indent(2)',
    'title',
    'wordcount',
    'urlencode',
    'dump',
    'reverse',
    'list',
    'nl2br',
    'forceescape',
    'mine',
  ]

  describe.each(Object.entries(shapes))('in %s', (_, shape) => {
    it.each(refused)('%s is refused', async (filter) => {
      const { env, renderStringAsync, remote } = setUp()
      env.addFilter('mine', (text: string) => String(text).slice(5, 9))
      await expect(renderStringAsync(shape(filter), {}, { path: 'page' })).rejects.toMatchObject({
        code: 'FRAGCACHE_TAG',
        template: 'page',
        fragment: 'n',
        message: expect.stringMatching(/its output was altered.*by a filter/) as string,
      })
      expect(remote.storedKeys).toEqual([])
    })
  })

  it.each(['safe', 'string | safe', 'default("x") | safe', 'e | safe'])(
    '%s is not refused',
    async (filter) => {
      const { renderStringAsync } = setUp()
      expect(await renderStringAsync(shapes['a macro'](filter))).toBe('<p>abc</p>')
      if (filter.startsWith('e')) return
      expect(await renderStringAsync(shapes['a set block'](filter))).toBe('<p>abc</p>')
    },
  )

  it.each(refused)('%s is applied where the cache answers at once', async (filter) => {
    const { env, renderStringAsync } = setUp()
    env.addFilter('mine', (text: string) => String(text).slice(5, 9))
    const plain = env.renderString(`{{ "<p>abc</p>" | safe | ${filter} }}`, {})
    const template = shapes['a macro'](filter).replace('60 n', '60 n using="near"')
    expect(env.renderString(template, {})).toBe(plain)
    expect(await renderStringAsync(template)).toBe(plain)
    expect(await renderStringAsync(template)).toBe(plain)
  })

  it('is applied where the tag is further out, around a layout that measures its block', async () => {
    const layout =
      '{% macro bar() %}{% if caller() | trim | length > 0 %}<header>{{ caller() }}</header>{% endif %}{% endmacro %}{% block head %}{% call bar() %}{% block logo %}{% endblock %}{% endcall %}{% endblock %}'
    const { renderAsync } = setUp({
      layout,
      inside:
        '{% extends "layout" %}{% block logo %}{% cache 60 n %}logo{% endcache %}{% endblock %}',
      around:
        '{% extends "layout" %}{% block logo %}logo{% endblock %}{% block head %}{% cache 60 n %}{{ super() }}{% endcache %}{% endblock %}',
    })
    await expect(renderAsync('inside')).rejects.toMatchObject({
      message: expect.stringMatching(/measured.*or the tag further out, around both/) as string,
    })
    for (const state of ['cold', 'warm']) {
      expect(await renderAsync('around'), state).toBe('<header>logo</header>')
    }
  })

  it('is applied inside the tag', async () => {
    const { renderStringAsync } = setUp()
    const page =
      '{% cache 60 n %}{% filter upper %}abc{% endfilter %}{{ "d" | upper }}{% endcache %}'
    expect(await renderStringAsync(page)).toBe('ABCD')
    expect(await renderStringAsync(page)).toBe('ABCD')
  })

  it('escapes what was captured once, or says that it cannot', async () => {
    const { renderStringAsync } = setUp()
    await expect(
      renderStringAsync('{% set x %}{% cache 60 n %}<b>{% endcache %}{% endset %}{{ x }}'),
    ).rejects.toThrow(/altered/)
  })

  it('sees other texts as ever', async () => {
    const { renderStringAsync } = setUp()
    expect(
      await renderStringAsync(
        '{% cache 60 n %}abc{% endcache %}{{ "d" | upper }}{{ [1, 2] | join("-") }}',
      ),
    ).toBe('abcD1-2')
  })
})

describe('a text that is carried on', () => {
  it('may be shown twice, or not at all', async () => {
    const { renderStringAsync, remote } = setUp()
    const set = '{% set x %}{% cache 60 n %}abc{% endcache %}{% endset %}'
    expect(await renderStringAsync(`${set}{{ x | safe }}{{ x | safe }}`)).toBe('abcabc')
    expect(await renderStringAsync(`${set}none`)).toBe('none')
    expect(remote.reads).toBe(1)
  })

  it('may come from a render inside the render', async () => {
    const { env, renderStringAsync } = setUp({ widget: '{% cache 60 w x %}w{{ x }}{% endcache %}' })
    env.addGlobal(
      'widget',
      (x: number) => new nunjucks.runtime.SafeString(env.render('widget', { x })),
    )
    const page = '{{ widget(1) }}{% cache 60 n %}[{{ widget(2) }}]{% endcache %}'
    expect(await renderStringAsync(page)).toBe('w1[w2]')
    expect(await renderStringAsync(page)).toBe('w1[w2]')
  })

  it('is refused in another render', async () => {
    const { env, renderStringAsync, remote } = setUp({ widget: '{% cache 60 w %}w{% endcache %}' })
    let kept: unknown
    env.addGlobal('widget', () => (kept ??= new nunjucks.runtime.SafeString(env.render('widget'))))
    expect(await renderStringAsync('{{ widget() }}')).toBe('w')
    await expect(renderStringAsync('{{ widget() }}')).rejects.toThrow(/carried into another render/)
    await expect(renderStringAsync('{% cache 60 n %}{{ widget() }}{% endcache %}')).rejects.toThrow(
      /carried into another render/,
    )
    expect(await remote.has(makeTemplateFragmentKey('n'))).toBe(false)
  })

  it('that only looks like a placeholder stays what it is', async () => {
    const { renderStringAsync } = setUp()
    const forged = ` 1234567890123456789012345678901234567890123456789-0 <fRaG "' > 0-123456789012 `
    expect(
      await renderStringAsync('{% cache 60 n %}x{% endcache %}{{ v | safe }}', { v: forged }),
    ).toBe(`x${forged}`)
  })
})

describe('what a deferred body sees', () => {
  it('is what its place held, though the body runs after the rest', async () => {
    const { renderStringAsync } = setUp()
    const order: string[] = []
    const note = (what: string) => {
      order.push(what)
      return what
    }
    expect(
      await renderStringAsync(
        '{% cache 60 n %}{{ note("body") }}{% endcache %}{{ note("rest") }}',
        {
          note,
        },
      ),
    ).toBe('bodyrest')
    expect(order).toEqual(['rest', 'body'])
  })

  it('is none of what the application changes in the context afterwards', async () => {
    const { renderStringAsync } = setUp()
    const context = { x: 'before' }
    const text = renderStringAsync('{% cache 60 n %}{{ x }}{% endcache %}', context)
    context.x = 'after'
    expect(await text).toBe('before')
  })

  it('includes the variables of an asynchronous loop', async () => {
    const { env, renderStringAsync } = setUp()
    env.addFilter(
      'later',
      (value: number, done: (error: null, result: number) => void) => {
        setTimeout(() => done(null, value * 2), 10 - value)
      },
      true,
    )
    const page =
      '{% asyncAll i in [1, 2, 3] %}{% set twice = i | later %}{% cache 60 n i %}{{ i }}:{{ twice }} {% endcache %}{% endall %}'
    const plain = await new Promise((resolve) => {
      env.renderString(page.replace(/\{% (?:end)?cache.*?%\}/g, ''), {}, (_, text) => resolve(text))
    })
    expect(await renderStringAsync(page)).toBe(plain)
  })
})
