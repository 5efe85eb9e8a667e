import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { fragmentsTold } from '../fragment/told.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'

const told = fragmentsTold()

const stores = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
] as const

function setUp(make: () => LocMemCache | AsyncTestCache, templates = {}) {
  const caches = createCaches({ default: make() })
  const env = new nunjucks.Environment(sources(templates))
  const registered = registerCache(env, caches)
  let calls = 0
  env.addGlobal('show', () => `shown ${++calls}`)
  return { env, caches, ...registered, calls: () => calls }
}

const box = '{% macro box() %}[{{ caller("x") }}]{% endmacro %}'

describe.each(stores)('over %s a hit runs nothing of a body with a call block', (_, make) => {
  it.each<[string, string, string, number]>([
    [
      'of a macro outside',
      `${box}{% cache 60 b %}{% call box() %}{{ show() }}{% endcall %}{% endcache %}`,
      '[shown 1]',
      1,
    ],
    [
      'of a macro inside, and code beside the call',
      `{% cache 60 b %}${box}{% call box() %}{{ show() }}{% endcall %}{{ show() }}{% endcache %}`,
      '[shown 1]shown 2',
      2,
    ],
    [
      'of an imported macro',
      '{% from "boxes" import box %}{% cache 60 b %}{% call box() %}{{ show() }}{% endcall %}{% endcache %}',
      '[shown 1]',
      1,
    ],
    [
      'with a parameter',
      `${box}{% cache 60 b %}{% call(name) box() %}{{ name }} {{ show() }}{% endcall %}{% endcache %}`,
      '[x shown 1]',
      1,
    ],
    [
      'with a parameter of the name caller',
      `${box}{% cache 60 b %}{% call(caller) box() %}{{ caller }} {{ show() }}{% endcall %}{% endcache %}`,
      '[x shown 1]',
      1,
    ],
    [
      'in a call block',
      `${box}{% cache 60 b %}{% call box() %}{% call box() %}{{ show() }}{% endcall %}{% endcall %}{% endcache %}`,
      '[[shown 1]]',
      1,
    ],
    [
      'in a tag inside',
      `${box}{% cache 60 b %}{% cache 60 c %}{% call box() %}{{ show() }}{% endcall %}{% endcache %}{% endcache %}`,
      '[shown 1]',
      1,
    ],
    [
      'with a tag inside',
      `${box}{% cache 60 b %}{% call box() %}{% cache 60 c %}{{ show() }}{% endcache %}{% endcall %}{% endcache %}`,
      '[shown 1]',
      1,
    ],
    [
      'in a macro that has no caller itself',
      `${box}{% macro outer() %}{% cache 60 b %}{% call box() %}{{ show() }}{% endcall %}{{ caller(1) if caller }}{% endcache %}{% endmacro %}{{ outer() }}`,
      '[shown 1]',
      1,
    ],
  ])('%s', async (_case, page, text, runs) => {
    const { env, renderStringAsync, calls } = setUp(make, { boxes: box })
    const plain = new nunjucks.Environment(sources({ boxes: box }))
    let plainCalls = 0
    plain.addGlobal('show', () => `shown ${++plainCalls}`)
    expect(plain.renderString(page.replace(/\{% (?:end)?cache[^%]*%\}/g, ''), {})).toBe(text)

    expect(await renderStringAsync(page)).toBe(text)
    expect(calls()).toBe(runs)
    expect(await renderStringAsync(page)).toBe(text)
    expect(calls()).toBe(runs)
    expect(told.outcomes().at(-1)).toBe('b:hit')
    env.addGlobal('show', () => {
      throw new Error('it ran')
    })
    expect(await renderStringAsync(page)).toBe(text)
  })
})

describe('a body that has to be rendered with its template, since it calls its caller', () => {
  const macro = `{% macro m() %}{% cache 60 b %}({{ caller(1) }}{% cache 60 c %}c{% endcache %}){% endcache %}{% endmacro %}`

  it.each([
    [
      'in a tag',
      `${macro}{% cache 60 a %}{% call(x) m() %}{{ x }}{% endcall %}{% endcache %}`,
      '(1c)',
    ],
    [
      'in a tag, with a nocache block',
      `${macro}{% cache 60 a %}{% call(x) m() %}{{ x }}{% nocache %}n{% endnocache %}{% endcall %}{% endcache %}`,
      '(1nc)',
    ],
  ])('%s, keeps nothing around it from being stored while it is a hit', async (_, page, text) => {
    const { caches, renderStringAsync } = setUp(() => new AsyncTestCache())
    const fragments = new FragmentCache(caches)
    expect(await renderStringAsync(page)).toBe(text)
    await fragments.invalidate('a')
    told.messages.length = 0
    expect(await renderStringAsync(page)).toBe(text)
    expect(await renderStringAsync(page)).toBe(text)
    expect(told.outcomes()).toEqual(['b:hit', 'a:miss', 'a:hit'])
  })

  it('does not fail on a hit', async () => {
    const { renderStringAsync } = setUp(() => new AsyncTestCache())
    const page =
      '{% macro m() %}{% cache 60 b %}({{ caller(1) }}){% endcache %}{% endmacro %}{% call(x) m() %}{{ get() }}{% endcall %}'
    const fail = () => {
      throw new Error('there is nothing to get')
    }
    await expect(renderStringAsync(page, { get: fail })).rejects.toThrow('there is nothing to get')
    expect(await renderStringAsync(page, { get: () => 'got' })).toBe('(got)')
    expect(await renderStringAsync(page, { get: fail })).toBe('(got)')
  })

  it('does not fail on a hit that calls it without arguments either', async () => {
    const { renderStringAsync } = setUp(() => new AsyncTestCache())
    const page =
      '{% macro m() %}{% cache 60 b %}({{ caller() }}){% endcache %}{% endmacro %}{% call m() %}{{ get() }}{% endcall %}'
    const fail = () => {
      throw new Error('there is nothing to get')
    }
    await expect(renderStringAsync(page, { get: fail })).rejects.toThrow('there is nothing to get')
    expect(await renderStringAsync(page, { get: () => 'got' })).toBe('(got)')
    expect(await renderStringAsync(page, { get: fail })).toBe('(got)')
  })
})

describe.each(stores)('over %s what a call block puts in is the one of its turn', (_, make) => {
  const each = '{% for i in [1, 2] %}{% call m(i) %}{{ i }}{% endcall %}{% endfor %}'

  it.each([
    ['by an include', '{% include "inner" %}'],
    ['by an include in an include', '{% include "outer" %}'],
    ['by a block', '{% block b %}{{ caller() }}{% endblock %}'],
    ['by a macro that is given it', '{% macro f(g) %}{{ g() }}{% endmacro %}{{ f(caller) }}'],
  ])('%s', async (_case, body) => {
    const { renderAsync } = setUp(make, {
      main: `{% macro m(i) %}{% cache 60 b i %}${body}{% endcache %}{% endmacro %}${each}`,
      inner: '{{ caller() }}',
      outer: '{% include "inner" %}',
    })
    expect(await renderAsync('main')).toBe('12')
    expect(await renderAsync('main')).toBe('12')
  })
})
