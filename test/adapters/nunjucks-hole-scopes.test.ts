import { createCaches, FragmentCache, LocMemCache, type Cache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'

type Templates = Readonly<Record<string, string>>

const stores: readonly (readonly [string, () => Cache])[] = [
  ['local memory', () => new LocMemCache()],
  ['a cache that answers late', () => new AsyncTestCache()],
]

/** Renders by itself, or inside a fragment of code whose holes have a context of their own. */
function setUp(templates: Templates, cache: Cache) {
  const caches = createCaches({ default: cache })
  const env = new nunjucks.Environment(sources(templates))
  let bodies = 0
  env.addGlobal('count', () => `${++bodies}`)
  const { renderAsync, holes } = registerCache(env, caches)
  const fragments = new FragmentCache(caches)
  const context = { xs: ['A', 'B'], user: 'the view’s' }
  return {
    render: (given: object = {}) => renderAsync('main', { ...context, ...given }),
    renderInside: (name: string, user: string) =>
      fragments.render({ name, holes: holes({ user, x: `x of ${user}` }) }, () =>
        renderAsync('main', context),
      ),
  }
}

describe.each(stores)('a stored fragment inside one that code renders, over %s', (_, make) => {
  const apart: Readonly<Record<string, Templates>> = {
    'a loop variable': {
      main: '{% for x in xs %}{% cache 60 f x %}{{ x }}={% nocache %}{{ x }}{% endnocache %} {% endcache %}{% endfor %}',
    },
    'what is set around the tag': {
      main: '{% set x = xs[0] %}{% cache 60 f %}{% nocache %}{{ x }}{% endnocache %}{% endcache %}',
    },
    'a macro’s argument': {
      main: '{% macro m(x) %}{% cache 60 f x %}{% nocache %}{{ x }}{% endnocache %}{% endcache %}{% endmacro %}{{ m("A") }}{{ m("B") }}',
    },
    'the loop variable around an include with the tag': {
      main: '{% for x in xs %}{% include "part" %}{% endfor %}',
      part: '{% cache 60 f x %}{% nocache %}{{ x }}{% endnocache %}{% endcache %}',
    },
    'the loop variable around an include in the tag': {
      main: '{% for x in xs %}{% cache 60 f x %}{% include "part" %}{% endcache %}{% endfor %}',
      part: '{% nocache %}{{ x }}{% endnocache %}',
    },
  }
  it.each(Object.entries(apart))('is refused if its hole uses %s', async (_what, templates) => {
    const { render, renderInside } = setUp(templates, make())
    const alone = await render()
    expect(await render()).toBe(alone)
    await expect(renderInside('code', 'ann')).rejects.toThrow(/uses "x", which is made/)
    expect(await render()).toBe(alone)
  })

  it('is refused what its hole includes, if that uses a loop variable', async () => {
    const { render, renderInside } = setUp(
      {
        main: '{% for x in xs %}{% cache 60 f x %}{% nocache %}{% include "part" %}{% endnocache %}{% endcache %}{% endfor %}',
        part: '{{ x }}',
      },
      make(),
    )
    expect(await render()).toBe('AB')
    await expect(renderInside('code', 'ann')).rejects.toThrow(/includes or calls uses "x"/)
  })

  it('is shown with the variables of that one if its hole uses nothing else', async () => {
    const { render, renderInside } = setUp(
      {
        main: '{% for x in xs %}{% cache 60 f x %}{{ x }}{{ count() }}{% nocache %}<{{ user }}>{% endnocache %}{% endcache %}{% endfor %}',
      },
      make(),
    )
    expect(await render()).toBe('A1<the view’s>B2<the view’s>')
    expect(await renderInside('code', 'ann')).toBe('A1<ann>B2<ann>')
    expect(await renderInside('code', 'ben')).toBe('A1<ben>B2<ben>')
    expect(await renderInside('other', 'ben')).toBe('A1<ben>B2<ben>')
  })

  it('may use the loop around it, at any depth', async () => {
    const { render } = setUp(
      {
        main: '{% for x in xs %}{% cache 60 f x %}{% cache 60 g x %}{% nocache %}{{ loop.index }}{% cache 60 h x loop.index %}{{ x }}{{ count() }}{% endcache %}{% endnocache %}{% endcache %}{% endcache %}{% endfor %}',
      },
      make(),
    )
    for (let i = 0; i < 3; i++) expect(await render()).toBe('1A12B2')
  })

  it('is shown also where a variable that its hole uses is set after the tag', async () => {
    const { render, renderInside } = setUp(
      {
        main: '{% for i in [1] %}{% cache 60 f %}{{ count() }}{% nocache %}<{{ user }}>{% endnocache %}{% endcache %}{% set user = "later" %}{{ user }}{% endfor %}',
      },
      make(),
    )
    expect(await render()).toBe('1<the view’s>later')
    expect(await renderInside('code', 'ann')).toBe('1<ann>later')
  })
})

describe.each(stores)('a hole in what a cached body includes, over %s', (_, make) => {
  const hole = '[{% nocache %}{{ user }}{% endnocache %}]'
  it.each<[how: string, main: string]>([
    ['sets', '{% cache 60 f %}{% set user = user or "guest" %}{% include "part" %}{% endcache %}'],
    [
      'sets around an inner tag',
      '{% cache 60 f %}{% set user = user or "guest" %}{% cache 60 g %}{% include "part" %}{% endcache %}{% endcache %}',
    ],
    [
      'sets in an inner tag',
      '{% cache 60 f %}{% cache 60 g %}{% set user = user or "guest" %}{% include "part" %}{% endcache %}{% endcache %}',
    ],
    [
      'sets in a loop',
      '{% set user = user or "guest" %}{% cache 60 f %}{% for x in xs %}{% set user = user or "guest" %}{% endfor %}{% include "part" %}{% endcache %}',
    ],
  ])('may not use what that %s, also if it has the same value outside', async (_how, main) => {
    const { render } = setUp({ main, part: hole }, make())
    for (const user of ['ann', undefined]) {
      await expect(render({ user })).rejects.toThrow(/uses "user", which is made/)
    }
  })

  it('may use what that sets afterwards', async () => {
    const { render } = setUp(
      {
        main: '{% cache 60 f %}{% include "part" %}{% cache 60 g %}{% include "part" %}{% endcache %}{% set user = "later" %}{{ user }}{% endcache %}',
        part: hole,
      },
      make(),
    )
    expect(await render({ user: 'ann' })).toBe('[ann][ann]later')
    expect(await render({ user: 'ben' })).toBe('[ben][ben]later')
  })
})

describe.each(stores)('a hole in what a caller puts into a cached macro, over %s', (_, make) => {
  const macros =
    '{% macro plain(x) %}<{{ x }}>{% endmacro %}' +
    '{% macro box() %}{% cache 60 box %}[{{ caller() }}]{% endcache %}{% endmacro %}'
  const call = (body: string) =>
    `{% call box() %}{{ count() }}{% nocache %}${body}{% endnocache %}{% endcall %}`
  const shown = '{% macro icon(x) %}<{{ x }}>{% endmacro %}'
  const inside = (outer: string, body: string) => outer.replace('HERE', call(body))
  const places = [
    'HERE',
    '{% nocache %}HERE{% endnocache %}',
    '{% block b %}{% nocache %}HERE{% endnocache %}{% endblock %}',
    '{% cache 60 f %}{% nocache %}HERE{% endnocache %}{% endcache %}',
    '{% for y in xs %}{% if loop.first %}{% cache 60 f %}{% nocache %}HERE{% endnocache %}{% endcache %}{% endif %}{% endfor %}',
    '{% cache 60 f %}{% nocache %}{% cache 60 g %}{% nocache %}HERE{% endnocache %}{% endcache %}{% endnocache %}{% endcache %}',
  ]

  it.each(places)('may use macros and what the template has set, in %s', async (place) => {
    const main = `${macros}{% set mark = "!" %}${inside(place, '{{ plain(user) }}{{ mark }}')}`
    const { render } = setUp({ main }, make())
    expect(await render({ user: 'ann' })).toBe('[1<ann>!]')
    expect(await render({ user: 'ben' })).toBe('[1<ben>!]')
  })

  it.each(places)('may not use what a loop has set, in %s', async (place) => {
    const main = `${macros}{% for x in xs %}${inside(place, '{{ x }}')}{% endfor %}`
    const { render } = setUp({ main }, make())
    await expect(render({ x: 'A' })).rejects.toThrow(/uses "x", which is made/)
  })

  const chances: readonly (readonly [what: string, main: string])[] = [
    ['an object that a macro is given', '{% macro m(x) %}HERE{% endmacro %}{{ m(x) }}{{ m(y) }}'],
    ['an object of a loop', '{% for x in pair %}HERE{% endfor %}'],
    ['a variable with an underscore', '{% for _x in xs %}HERE{% endfor %}'],
    ['a loop variable that hides one', '{% set x = "A" %}{% for x in xs %}HERE{% endfor %}'],
    ['what a loop imports', '{% for i in xs %}{% from "lib" import x %}HERE{% endfor %}'],
    [
      'a loop behind raw text that reads as a comment',
      '{% raw %}@media print {#id{color:red}}{% endraw %}{% for x in xs %}HERE{% endfor %}{# #}',
    ],
    ['what a call block is given', '{% call(x) twice() %}HERE{% endcall %}'],
  ]
  it.each(chances)('may not use %s, also if it is the same by chance', async (what, main) => {
    const name = main.includes('_x') ? '_x' : 'x'
    const twice = '{% macro twice() %}{{ caller("A") }}{{ caller("B") }}{% endmacro %}'
    const used = main.replace('HERE', call(`{{ ${name} }}`))
    const lib = '{% set x = "A" %}'
    const { render } = setUp({ main: macros + twice + used, lib }, make())
    const x = what.includes('object') ? { toString: () => 'A' } : 'A'
    const given = { x, y: { toString: () => 'B' }, pair: [x, 'B'], _x: 'A' }
    await expect(render(given)).rejects.toThrow(`uses "${name}", which is made`)
  })

  it('may use what the template imports', async () => {
    const lib = '{% set mark = "!" %}{% macro shout(x) %}{{ x }}!{% endmacro %}'
    const imports = '{% from "lib" import mark, shout %}{% import "lib" as lib %}'
    const body = '{{ shout(user) }}{{ mark }}{{ lib.mark }}{{ lib.shout(user) }}'
    for (const place of places) {
      const main = macros + imports + inside(place, body)
      const { render } = setUp({ main, lib }, make())
      expect(await render({ user: 'ann' })).toBe('[1ann!!!ann!]')
      expect(await render({ user: 'ben' })).toBe('[1ben!!!ben!]')
    }
  })

  it.each([
    ['a parameter of its own name', '{% macro icon(icon) %}<{{ icon }}>{% endmacro %}'],
    ['a loop', `${shown}{% for icon in [] %}{% endfor %}`],
    ['a parameter elsewhere', `${shown}{% macro z(icon) %}{% endmacro %}`],
    ['raw text', `${shown}{% raw %}{% for icon in x %} {{ § #} {% endraw %}`],
  ])('may use a macro although its name is that of %s too', async (_what, definition) => {
    for (const place of places) {
      const { render } = setUp(
        { main: definition + macros + inside(place, '{{ icon(user) }}') },
        make(),
      )
      expect(await render({ user: 'ann' })).toMatch(/\[1<ann>\]$/)
      expect(await render({ user: 'ben' })).toMatch(/\[1<ben>\]$/)
    }
  })
})

it('a hole in a call block may use what the macro is given too', async () => {
  const main =
    '{% macro card(x) %}{% cache 60 card x %}[{{ caller() }}]{% endcache %}{% endmacro %}' +
    '{% for x in xs %}{% call card(x) %}{{ count() }}{% nocache %}{{ x }}{{ user }}{% endnocache %}{% endcall %}{% endfor %}'
  const { render } = setUp({ main }, new LocMemCache())
  expect(await render({ user: 'ann' })).toBe('[1Aann][2Bann]')
  expect(await render({ user: 'ben' })).toBe('[1Aben][2Bben]')
})

it('a hole in a macro that is imported without context is told to want it', async () => {
  const setUpWith = (end: string) => {
    const lib = '{% macro hello(n) %}{{ n }} {% nocache %}{{ user }}{% endnocache %}{% endmacro %}'
    const main = `{% from "lib" import hello${end} %}{% cache 60 f %}{{ hello("x") }}{% endcache %}`
    return setUp({ main, lib }, new LocMemCache())
  }
  await expect(setUpWith('').render({ user: 'ann' })).rejects.toThrow(
    /uses "user", and stands in a macro that is imported without context.*with context/,
  )
  const { render } = setUpWith(' with context')
  expect(await render({ user: 'ann' })).toBe('x ann')
  expect(await render({ user: 'ben' })).toBe('x ben')
})
