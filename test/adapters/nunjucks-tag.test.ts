import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import {
  createCaches,
  FragmentCache,
  LocMemCache,
  makeTemplateFragmentKey,
  type FragmentMessage,
} from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'

const messages: FragmentMessage[] = []
const listen = (message: unknown) => messages.push(message as FragmentMessage)

beforeEach(() => {
  messages.length = 0
  subscribe('fragcache:fragment', listen)
})

afterEach(() => {
  unsubscribe('fragcache:fragment', listen)
  vi.restoreAllMocks()
  vi.useRealTimers()
})

function setUp() {
  const caches = createCaches({
    default: new LocMemCache(),
    local: new LocMemCache(),
    remote: new AsyncTestCache(),
  })
  const fragments = new FragmentCache(caches)
  const env = new nunjucks.Environment(null)
  const { renderStringAsync } = registerCache(env, fragments)
  /** Renders a tag with these arguments in both ways. */
  const render = async (args: string, context: object = {}) => {
    const template = `{% cache ${args} %}x{% endcache %}`
    env.renderString(template, context)
    await renderStringAsync(template, context)
    return messages.splice(0)
  }
  return { caches, fragments, env, render, renderStringAsync }
}

/** The key of the fragment that a tag with these arguments renders. */
async function keyOf(args: string, context: object = {}): Promise<string> {
  const keys = (await setUp().render(args, context)).map(({ key }) => key)
  expect(keys).toEqual([keys[0], keys[0]])
  return keys[0] as string
}

describe('arguments', () => {
  const context = {
    a: 5,
    b: 2,
    my: 1,
    frag: 1,
    name: 'Ann',
    missing: undefined,
    nothing: null,
    list: [3, 4],
    user: { id: 7, of: (x: number) => x + 1 },
  }

  it.each<[args: string, name: string, varyOn: unknown[]]>([
    ['9 n', 'n', []],
    ['9 n a b', 'n', [5, 2]],
    ['9 n -a +b', 'n', [-5, 2]],
    ['9 n a -b', 'n', [5, -2]],
    ['9 n a (b)', 'n', [5, 2]],
    ['9 n list [1]', 'n', ['[3,4]', '[1]']],
    ['9 n list[1] user["id"] user.id', 'n', [4, 7, 7]],
    ['9 n user.of(a) user.of( a + b )', 'n', [6, 8]],
    ['9 n name|upper', 'n', ['ANN']],
    ['9 n name | upper | replace("A", "a b") b', 'n', ['a bNN', 2]],
    ['9 n name|default("none given")', 'n', ['Ann']],
    ['9 n (a if b else name)', 'n', [5]],
    ['9 n (a - b) (not a)', 'n', [3, false]],
    ['9 n true false none null', 'n', [true, false, null, null]],
    ['9 n nothing', 'n', [null]],
    ["9 n 'it is' \"it's\" 'a\\'b'", 'n', ['it is', "it's", "a'b"]],
    ['9 n "a\tb\\n"', 'n', ['a\tb\n']],
    ['9 n "}}" "{{" "%}" "{% endcache %}" "{#"', 'n', ['}}', '{{', '%}', '{% endcache %}', '{#']],
    ['9 n {a: {b: 1}}', 'n', ['{"a":{"b":1}}']],
    ['9 n [[1], [2, 3]]', 'n', ['[[1],[2,3]]']],
    ['9 n 1.5 -0.25 7', 'n', [1.5, -0.25, 7]],
    ['9 my-frag my', 'my-frag', [1]],
    ['9 blog.side-bar/v2 a', 'blog.side-bar/v2', [5]],
    ['9 r/home a', 'r/home', [5]],
    ['9 "quoted name" a', 'quoted name', [5]],
    ["9 'quoted' a", 'quoted', [5]],
    ['9 a a', 'a', [5]],
    ['9 none none', 'none', [null]],
    ['9, n, a - b, a and b', 'n', [3, 2]],
    ['9, "a, b", a if b else name, "x,y"', 'a, b', [5, 'x,y']],
    ['9 ,n ,a', 'n', [5]],
    ['9 n user.id using="local"', 'n', [7]],
    ['9 n a tags=["x", "y"] version=3 if=true', 'n', [5]],
    ['9 n a if=true version=3 using="local"', 'n', [5]],
    ['9, n, a, using="lo" ~ "cal", tags=list and "x"', 'n', [5]],
  ])('%s', async (args, name, varyOn) => {
    vi.spyOn(process, 'emitWarning').mockReturnValue()
    expect(await keyOf(args, context)).toBe(makeTemplateFragmentKey(name, varyOn))
  })

  it('take a filter of the application, also an asynchronous one', async () => {
    const { env, renderStringAsync } = setUp()
    env.addFilter('twice', (value: number) => value * 2)
    env.addFilter(
      'later',
      (value: number, done: (error: null, result: number) => void) => {
        setTimeout(() => done(null, value * 2), 1)
      },
      true,
    )
    const page = (filter: string) =>
      `{% for i in [1, 2] %}{% cache 9 n i|${filter} using="remote" %}{{ i }}{{ loop.index }} {% endcache %}{% endfor %}`
    expect(await renderStringAsync(page('twice'))).toBe('11 22 ')
    expect(await renderStringAsync(page('later'))).toBe('11 22 ')
    const keys = [2, 4].map((value) => makeTemplateFragmentKey('n', [value]))
    expect(messages.map(({ key }) => key)).toEqual([...keys, ...keys])
    expect(messages.map(({ outcome }) => outcome)).toEqual(['miss', 'miss', 'hit', 'hit'])
  })

  it('take a text that is marked as safe for the text', async () => {
    const { render, caches } = setUp()
    const context = { t: '60', c: 'local', tag: 'x', u: 'Ann' }
    const [first] = await render(
      '(t|safe) n (u|safe) using=(c|safe) tags=[tag|safe, "y"] version=("2"|safe) if=("1"|safe)',
      context,
    )
    expect(first).toMatchObject({
      key: makeTemplateFragmentKey('n', ['Ann']),
      alias: 'local',
      outcome: 'miss',
    })
    expect(await caches.local.get(first!.key, { version: 2 })).toBe('x')
    await caches.invalidateTags(['x'])
    expect(await caches.local.has(first!.key, { version: 2 })).toBe(false)
  })

  it('of an outer loop are evaluated where the tag stands', async () => {
    const { env } = setUp()
    env.renderString(
      '{% for i in [1, 2] %}{% cache 9 n i loop.index0 %}x{% endcache %}{% endfor %}',
      {},
    )
    expect(messages.map(({ key }) => key)).toEqual([
      makeTemplateFragmentKey('n', [1, 0]),
      makeTemplateFragmentKey('n', [2, 1]),
    ])
  })

  it('that are undefined count as the empty string, with one warning', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
    expect(await keyOf('9 undefined_once nobody')).toBe(
      makeTemplateFragmentKey('undefined_once', ['']),
    )
    const about = warn.mock.calls.filter(([text]) => String(text).includes('undefined_once'))
    expect(about).toHaveLength(1)
    expect(about[0]?.[0]).toMatch(/line 1\): vary-on value 1 is undefined/)
  })

  it('that are undefined and null are different fragments', async () => {
    vi.spyOn(process, 'emitWarning').mockReturnValue()
    expect(await keyOf('9 n nothing', { nothing: null })).not.toBe(await keyOf('9 n nothing'))
  })
})

describe('the timeout', () => {
  it.each<[args: string, context: object, seconds: number | null]>([
    ['60 n', {}, 60],
    ['"60" n', {}, 60],
    ["' 60 ' n", {}, 60],
    ['t n', { t: 60 }, 60],
    ['t n', { t: '60' }, 60],
    ['t n', { t: 60n }, 60],
    ['t|default(60) n', {}, 60],
    ['(30 + 30) n', {}, 60],
    ['t[0] n', { t: [60] }, 60],
    ['t() n', { t: () => 60 }, 60],
    ['30 + 30, n', {}, 60],
    ['none n', {}, null],
    ['None n', {}, null],
    ['null n', {}, null],
    ['"none" n', {}, null],
    ['t n', { t: null }, null],
    ['t n', { t: 'None' }, null],
  ])('%s in %o', (args, context, seconds) => {
    vi.useFakeTimers()
    const { env } = setUp()
    const template = `{% cache ${args} %}x{% endcache %}`
    const outcomes = (waitMs: number) => {
      vi.advanceTimersByTime(waitMs)
      env.renderString(template, context)
      return messages.splice(0).map(({ outcome }) => outcome)
    }
    expect(outcomes(0)).toEqual(['miss'])
    expect(outcomes(59_999)).toEqual(['hit'])
    expect(outcomes(1)).toEqual([seconds === null ? 'hit' : 'miss'])
    expect(outcomes(40 * 86_400_000)).toEqual([seconds === null ? 'hit' : 'miss'])
  })

  it.each(['0', '-1', 'zero', '"0"'])('%s keeps nothing', async (timeout) => {
    const rendered = await setUp().render(`${timeout} n`, { zero: 0 })
    expect(rendered.map(({ outcome }) => outcome)).toEqual(['bypass', 'bypass'])
  })
})

describe('keywords', () => {
  it('using takes a variable', async () => {
    const { render } = setUp()
    const [first] = await render('60 n using=where', { where: 'local' })
    expect(first?.alias).toBe('local')
  })

  it('using left out means template_fragments, then default', async () => {
    const own = createCaches({ default: new LocMemCache(), template_fragments: new LocMemCache() })
    const env = new nunjucks.Environment(null)
    registerCache(env, own)
    env.renderString('{% cache 60 n %}x{% endcache %}', {})
    expect(messages.splice(0)[0]?.alias).toBe('template_fragments')
    expect((await setUp().render('60 n'))[0]?.alias).toBe('default')
  })

  it.each<[tags: string, context: object]>([
    ['"user:7"', {}],
    ['["user:7", "shop"]', {}],
    ['tags', { tags: ['user:7'] }],
    ['tags', { tags: 'user:7' }],
    ['["user:" ~ id]', { id: 7 }],
    ['("user:" ~ id)', { id: 7 }],
  ])('tags=%s makes it a miss by any of them', async (tags, context) => {
    const { env, caches } = setUp()
    const outcome = () => {
      env.renderString(`{% cache 60 n tags=${tags} %}x{% endcache %}`, context)
      return messages.pop()?.outcome
    }
    expect([outcome(), outcome()]).toEqual(['miss', 'hit'])
    await caches.invalidateTags(['user:8'])
    expect(outcome()).toBe('hit')
    await caches.invalidateTags(['user:7'])
    expect([outcome(), outcome()]).toEqual(['miss', 'hit'])
  })

  it('version tells entries apart', async () => {
    const { render, caches } = setUp()
    const [, second] = await render('60 n version=2')
    const [third] = await render('60 n')
    expect([second?.outcome, third?.outcome]).toEqual(['hit', 'miss'])
    expect(await caches.default.get(third!.key, { version: 2 })).toBe('x')
  })

  it.each([
    ['true', 'hit'],
    ['1', 'hit'],
    ['user', 'hit'],
    ['(not user)', 'bypass'],
    ['false', 'bypass'],
    ['0', 'bypass'],
    ['""', 'bypass'],
    ['none', 'bypass'],
    ['nobody', 'bypass'],
  ])('if=%s ends in a %s', async (condition, outcome) => {
    const [, second] = await setUp().render(`60 n if=${condition}`, { user: 'Ann' })
    expect(second?.outcome).toBe(outcome)
  })

  it('if=false leaves what is stored alone', async () => {
    const { render, caches } = setUp()
    await render('60 n')
    await caches.default.set(makeTemplateFragmentKey('n'), 'kept')
    await render('60 n if=false')
    expect(await caches.default.get(makeTemplateFragmentKey('n'))).toBe('kept')
  })
})

describe('a fragment', () => {
  it('can be deleted and invalidated from code', async () => {
    const { env, fragments } = setUp()
    const note = (text: string, code = 'fr') =>
      env.renderString('{% cache none note code %}{{ text }}{% endcache %}', { text, code })
    expect([note('a'), note('b'), note('c', 'de')]).toEqual(['a', 'a', 'c'])
    expect(await fragments.delete('note', ['fr'])).toBe(true)
    expect([note('d'), note('e', 'de')]).toEqual(['d', 'c'])
    await fragments.invalidate('note')
    expect([note('f'), note('g', 'de')]).toEqual(['f', 'g'])
  })

  it('depends on the tags of what is inside, however it came there', async () => {
    const templates = {
      inner: '{% cache 60 in tags="t" %}{{ count() }}{% endcache %}',
      nested: '{% cache 60 out %}{% include "inner" %}{% endcache %}',
      caller:
        '{% macro box() %}{% cache 60 out %}{{ caller() }}{% endcache %}{% endmacro %}{% call box() %}{% include "inner" %}{% endcall %}',
      callerWithArguments:
        '{% macro box() %}{% cache 60 out %}{{ caller(1) }}{% endcache %}{% endmacro %}{% call(x) box() %}{% include "inner" %}{% endcall %}',
      super:
        '{% extends "base" %}{% block c %}{% cache 60 out %}{{ super() }}{% endcache %}{% endblock %}',
      base: '{% block c %}{% include "inner" %}{% endblock %}',
    }
    for (const entry of ['nested', 'caller', 'callerWithArguments', 'super']) {
      for (const cache of [new LocMemCache(), new AsyncTestCache()]) {
        const caches = createCaches({ default: cache })
        const env = new nunjucks.Environment(sources(templates))
        const { renderAsync } = registerCache(env, caches)
        let count = 0
        const once = () => renderAsync(entry, { count: () => ++count })
        expect([await once(), await once()], entry).toEqual(['1', '1'])
        await caches.invalidateTags(['t'])
        expect([await once(), await once()], entry).toEqual(['2', '2'])
        await caches.default.delete(makeTemplateFragmentKey('out'))
        expect(await once(), entry).toBe('2')
        await caches.invalidateTags(['t'])
        expect([await once(), await once()], entry).toEqual(['3', '3'])
      }
    }
  })

  it('runs nothing of its body on a hit', () => {
    const { env } = setUp()
    const calls: string[] = []
    const note = (name: string) => (value: unknown) => {
      calls.push(name)
      return value
    }
    env.addFilter('noted', note('filter'))
    env.addGlobal('called', note('function'))
    const context = {
      get lazy() {
        calls.push('getter')
        return 1
      },
      object: {
        get inner() {
          calls.push('inner getter')
          return 1
        },
      },
    }
    const template =
      '{% cache 60 n %}{{ called(1) }}{{ 1 | noted }}{{ object.inner }}{% if called(true) %}y{% endif %}{% endcache %}'
    env.renderString(template, context)
    expect(new Set(calls)).toEqual(new Set(['getter', 'function', 'filter', 'inner getter']))
    calls.length = 0
    env.renderString(template, context)
    // The engine copies the context, whatever the template.
    expect(calls).toEqual(['getter'])
  })

  it('does not render the parent’s block on a hit', async () => {
    const caches = createCaches({ default: new LocMemCache(), remote: new AsyncTestCache() })
    const templates = {
      base: '{% block c %}{{ count() }}{% endblock %}',
      here: '{% extends "base" %}{% block c %}{% cache 60 n %}{{ super() }}{% endcache %}{% endblock %}',
      there:
        '{% extends "base" %}{% block c %}{% cache 60 n using="remote" %}{{ super() }}{% endcache %}{% endblock %}',
    }
    const env = new nunjucks.Environment(sources(templates))
    const { renderAsync } = registerCache(env, caches)
    for (const name of ['here', 'there']) {
      const count = vi.fn(() => 'counted')
      for (let i = 0; i < 3; i++) expect(await renderAsync(name, { count })).toBe('counted')
      expect(count).toHaveBeenCalledTimes(1)
    }
  })
})
