import { createCaches, LocMemCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { fragmentsTold } from '../fragment/told.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'

// What the manual of Nunjucks 3.2.4 describes, each construct once.

const told = fragmentsTold()

const stores = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
] as const

/** Parts of a template that may stand in a cached body. */
const inside: Readonly<Record<string, string>> = {
  variables: '{{ user.name }}{{ user["name"] }}{{ missing }}{{ missing.deep }}',
  'if, elif and else': '{% if no %}a{% elif yes %}b{% else %}c{% endif %}',
  'for over a list':
    '{% for i in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ i }}{% endfor %}',
  'for over nothing': '{% for i in [] %}{{ i }}{% else %}none{% endfor %}',
  'for over an object': '{% for key, value in user %}{{ key }}={{ value }};{% endfor %}',
  'for over pairs': '{% for x, y in pairs %}{{ x }}:{{ y }} {% endfor %}',
  'for over a Map and a Set':
    '{% for k, v in map %}{{ k }}{{ v }}{% endfor %}{% for v in unique %}{{ v }}{% endfor %}',
  asyncEach: '{% asyncEach i in list %}{{ loop.index }}{{ i }}{% endeach %}',
  asyncAll: '{% asyncAll i in list %}{{ i }}{% endall %}',
  'a macro with defaults':
    '{% macro field(name, value="", type="text") %}<i {{ name }} {{ value }} {{ type }}>{% endmacro %}{{ field("a") }}{{ field("b", type="c") }}{{ field(name="d", value=1) }}',
  set: '{% set x = 5 %}{% set y, z = x %}{{ x }}{{ y }}{{ z }}',
  'set block': '{% set x %}<b>{{ user.name }}</b>{% endset %}{{ x | safe }}',
  block: '{% block middle %}{{ user.name }}{% endblock %}',
  include: '{% include "item" %}{% for item in list %}{% include "item" %}{% endfor %}',
  'include by a variable': '{% include partial %}',
  'include of what is missing': '{% include "nothing" ignore missing %}x',
  import: '{% import "forms" as forms %}{{ forms.label("a") }}{{ forms.version }}',
  'from import': '{% from "forms" import label, version as v %}{{ label("b") }}{{ v }}',
  'import with context': '{% import "forms" as forms with context %}{{ forms.who() }}',
  raw: '{% raw %}{{ not }} {% a %}{% endraw %}',
  verbatim: '{% verbatim %}{{ not }} {# this #}{% endverbatim %}',
  'filter block':
    '{% filter upper %}shout {{ user.name }}{% endfilter %}{% filter replace("a", "b") %}banana{% endfilter %}',
  call: '{% macro add(x, y) %}{{ caller() }}: {{ x + y }}{% endmacro %}{% call add(1, 2) %}sum{% endcall %}',
  'call with arguments':
    '{% macro each(xs) %}{% for x in xs %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(x) each(list) %}<{{ x }}>{% endcall %}',
  switch:
    '{% switch n %}{% case 1 %}one{% case 2 %}{% case 3 %}few{% default %}many{% endswitch %}',
  'keyword arguments': '{{ keywords(1, 2, z=3, a="b") }}',
  comments: 'a{# {{ fail() }} #}b',
  'white space control': 'a  {%- if yes -%}  b  {%- endif -%}  c {{- n -}} d {#- x -#} e',
  math: '{{ 2 + 3 - 1 }}{{ 10 / 5 }}{{ 10 // 3 }}{{ 9 % 4 }}{{ 2 * 3 }}{{ 2 ** 3 }}{{ -n }}{{ +n }}',
  comparisons:
    '{{ n == 3 }}{{ n === "3" }}{{ n != 3 }}{{ n !== 3 }}{{ n > 2 }}{{ n >= 3 }}{{ n < 2 }}{{ n <= 3 }}',
  logic: '{{ yes and no }}{{ yes or no }}{{ not yes }}{{ (yes and no) or n }}',
  'in and not in': '{{ 1 in list }}{{ 9 not in list }}{{ "name" in user }}',
  'if expressions':
    '{{ "a" if yes else "b" }}{{ "c" if no }}{{ user.name if no else "d" | upper }}',
  calls: '{{ greet("x") }}{{ user.hello() }}{{ "abc".slice(1) }}',
  'regular expressions':
    '{% set r = r/^foo.*/g %}{% if r.test("foobar") %}yes{% endif %}{{ "aXbX" | replace(r/x/gi, "-") }}',
  literals:
    '{{ "s" }}{{ 1.5 }}{{ [1, "two"] }}{{ { a: 1 } | dump }}{{ true }}{{ none }}{{ "a" ~ 1 }}',
  autoescaping: '{{ html }}{{ html | safe }}{{ html | escape }}{{ "<" | safe ~ ">" }}',
  range:
    '{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(2, 10, 3) %}{{ i }}{% endfor %}',
  cycler:
    '{% set c = cycler("a", "b") %}{% for i in list %}{{ c.next() }}{{ c.current }}{% endfor %}{{ c.reset() }}{{ c.next() }}',
  joiner: '{% set comma = joiner(", ") %}{% for i in list %}{{ comma() }}{{ i }}{% endfor %}',
  'a custom filter':
    '{{ "abcdef" | shorten(3) }}{{ "abcdef" | shorten }}{{ "abcdef" | around(left="<", right=">") }}',
  'a custom test': '{{ 4 is dividedBy(2) }}{{ 3 is dividedBy(2) }}',
  'a custom tag': '{% shout "x" %}inside {{ user.name }}{% endshout %}',
  tests:
    '{{ n is defined }}{{ missing is undefined }}{{ n is odd }}{{ n is even }}{{ n is divisibleby(3) }}{{ n is number }}{{ "a" is string }}{{ none is null }}{{ list is iterable }}{{ user is mapping }}{{ greet is callable }}{{ n is eq(3) }}{{ n is gt(2) }}{{ n is falsy }}{{ n is truthy }}{{ "a" is lower }}{{ "A" is upper }}{{ n is sameas(3) }}',
}

/** Uses of every filter that Nunjucks brings. */
const filters: Readonly<Record<string, string>> = {
  abs: '{{ -3 | abs }}',
  batch: '{% for row in [1, 2, 3] | batch(2, "-") %}{{ row }};{% endfor %}',
  capitalize: '{{ "tHIS" | capitalize }}',
  center: '[{{ "a" | center(5) }}]',
  d: '{{ missing | d("x") }}',
  default: '{{ missing | default("x") }}{{ "" | default("y", true) }}',
  dictsort:
    '{% for k, v in { b: 1, a: 2 } | dictsort %}{{ k }}{{ v }}{% endfor %}{% for k, v in { b: 1, a: 2 } | dictsort(false, "value") %}{{ k }}{% endfor %}',
  dump: '{{ pairs | dump }}{{ user | dump(2) | safe }}',
  e: '{{ html | e }}',
  escape: '{{ html | escape }}',
  first: '{{ list | first }}',
  float: '{{ "3.5" | float }}{{ "x" | float(1) }}',
  forceescape: '{{ html | safe | forceescape }}',
  groupby:
    '{% for key, group in people | groupby("type") %}{{ key }}:{% for p in group %}{{ p.name }}{% endfor %}{% endfor %}',
  indent: '{{ "a\nb" | indent(3) }}{{ "a\nb" | indent(2, true) }}',
  int: '{{ "3.5" | int }}{{ "x" | int(7) }}',
  join: '{{ list | join("-") }}{{ people | join(",", "name") }}',
  last: '{{ list | last }}',
  length: '{{ list | length }}{{ "four" | length }}{{ user | length }}',
  list: '{% for c in "abc" | list %}{{ c }} {% endfor %}',
  lower: '{{ "ABC" | lower }}',
  nl2br: '{{ "a\nb" | escape | nl2br }}',
  random: '{{ [7] | random }}',
  reject: '{{ list | reject("odd") | join }}',
  rejectattr: '{{ people | rejectattr("active") | join(",", "name") }}',
  replace:
    '{{ "foo" | replace("o", "0") }}{{ "foo" | replace("o", "0", 1) }}{{ 123 | replace(2, 5) }}',
  reverse: '{{ "abc" | reverse }}{{ list | reverse | join }}',
  round: '{{ 4.5 | round }}{{ 4.12 | round(1, "ceil") }}{{ 4.19 | round(1, "floor") }}',
  safe: '{{ html | safe }}',
  select: '{{ list | select("odd") | join }}',
  selectattr: '{{ people | selectattr("active") | join(",", "name") }}',
  slice: '{% for part in list | slice(2, 0) %}{{ part }};{% endfor %}',
  sort: '{{ [3, 1, 2] | sort | join }}{{ [3, 1, 2] | sort(true) | join }}{{ people | sort(false, true, "name") | join(",", "name") }}',
  string: '{% for c in 123 | string | list %}{{ c }},{% endfor %}',
  striptags: '{{ "<b>a</b>  <i>b</i>" | striptags }}{{ "<b>a</b>\n b" | striptags(true) }}',
  sum: '{{ list | sum }}{{ people | sum("age") }}{{ list | sum(start=10) }}',
  title: '{{ "foo bar" | title }}',
  trim: '[{{ "  a " | trim }}]',
  truncate: '{{ "foo bar baz" | truncate(5) }}{{ "foo bar" | truncate(5, true, "?") }}',
  upper: '{{ "abc" | upper }}',
  urlencode: '{{ "a&b c" | urlencode }}{{ { q: "x y" } | urlencode }}',
  urlize: '{{ "see www.example.com or a@example.com" | urlize(10, true) | safe }}',
  wordcount: '{{ "three short words" | wordcount }}',
}

/** Templates whose constructs stand around the tag. */
const around: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'extends, blocks and super': {
    main: '{% extends parent %}{% block top %}{% cache 60 top %}{{ super() }}, {{ user.name }}{% endcache %}{% endblock %}',
    base: '<{% block top %}default{% endblock %}|{% block rest %}{% cache 60 rest %}rest{% endcache %}{% endblock %}>',
  },
  'three levels': {
    main: '{% extends "middle" %}{% block top %}{% cache 60 a %}c{{ super() }}{% endcache %}{% endblock %}',
    middle:
      '{% extends "base" %}{% block top %}{% cache 60 b %}b{{ super() }}{% endcache %}{% endblock %}',
    base: '{% block top %}{% cache 60 c %}a{% endcache %}{% endblock %}',
  },
  'an asynchronous filter': {
    main: '{{ n | slow }}{% if n | slow %}{% cache 60 a n|slow %}{{ n }}{% endcache %}{% endif %}{% for i in list %}{{ i | slow }}{% cache 60 b i %}{{ i }}{% endcache %}{% endfor %}',
  },
  'asynchronous loops': {
    main: '{% asyncEach i in list %}{{ i | slow }}{% cache 60 a i %}<{{ i }}>{% endcache %}{% endeach %}{% asyncAll i in list %}{{ i | slow }}{% cache 60 b i %}[{{ i }}]{% endcache %}{% endall %}',
  },
  'calls, loops, conditions and white space control': {
    main: '{% macro box() %}[{{ caller() }}]{% endmacro %}{% for i in list -%} {% call box() -%} {%- cache 60 a i -%} {{ i }} {%- endcache -%} {% endcall %}{%- else %}none{% endfor %}{% switch n %}{% case 3 %}{% cache 60 s %}three{% endcache %}{% endswitch %}',
  },
  'a set block that is shown': {
    main: '{% set x %}{% cache 60 a %}<{{ html }}>{% endcache %}{% endset %}{{ x | safe }}',
  },
}

const parts: Readonly<Record<string, string>> = {
  item: '({{ item }}{{ user.name }})',
  forms:
    '{% macro label(text) %}<label>{{ text }}</label>{% endmacro %}{% macro who() %}{{ user.name }}{% endmacro %}{% set version = 2 %}',
}

const context = () => ({
  user: { name: 'Ann', hello: () => 'hello' },
  yes: true,
  no: false,
  n: 3,
  list: [1, 2, 3],
  pairs: [
    ['a', 1],
    ['b', 2],
  ],
  map: new Map([['k', 'v']]),
  unique: new Set(['u']),
  people: [
    { name: 'b', type: 'x', active: true, age: 1 },
    { name: 'a', type: 'y', active: false, age: 2 },
    { name: 'C', type: 'x', active: true, age: 3 },
  ],
  html: '<b title="x">&\'</b>',
  partial: 'item',
  parent: 'base',
})

/** The block tag `{% shout TEXT %} … {% endshout %}`. */
const shout = {
  tags: ['shout'],
  parse(parser: Parser, nodes: unknown): unknown {
    const { value } = parser.nextToken()
    const values = parser.parseSignature(null, true)
    parser.advanceAfterBlockEnd(value)
    const body = parser.parseUntilBlocks('endshout')
    parser.advanceAfterBlockEnd()
    const { CallExtension } = nodes as { CallExtension: new (...fields: unknown[]) => unknown }
    return new CallExtension(shout, 'run', values, [body])
  },
  run: (_: unknown, text: string, body: () => string) => `${text}${body().toUpperCase()}!`,
}

interface Parser {
  nextToken(): { value: string }
  parseSignature(tolerant: null, noParentheses: boolean): unknown
  advanceAfterBlockEnd(name?: string): void
  parseUntilBlocks(name: string): unknown
}

function makeEnvironment(templates: Readonly<Record<string, string>>): nunjucks.Environment {
  const env = new nunjucks.Environment(sources({ ...parts, ...templates }))
  env.addGlobal('greet', (name: string) => `hi ${name}`)
  env.addGlobal('keywords', (...given: unknown[]) => JSON.stringify(given))
  env.addFilter('shorten', (text: string, count?: number) => text.slice(0, count ?? 5))
  env.addFilter('around', (text: string, { left = '', right = '' }) => left + text + right)
  env.addFilter(
    'slow',
    (value: unknown, callback: (error: null, value: unknown) => void) => {
      setImmediate(callback, null, value)
    },
    true,
  )
  const { addTest } = env as unknown as { addTest(name: string, test: unknown): void }
  addTest.call(env, 'dividedBy', (value: number, by: number) => value % by === 0)
  env.addExtension('shout', shout)
  return env
}

const render = (env: nunjucks.Environment): Promise<string> =>
  new Promise((resolve, reject) => {
    env.render('main', context(), (error, text) => (error ? reject(error) : resolve(text ?? '')))
  })

const withoutTags = (source: string): string =>
  source.replace(/\{%(-?) (?:end)?cache\b[^%]*?(-?)%\}/g, '{%$1 if 1 $2%}{%$1 endif $2%}')

describe.each(stores)('over %s', (_, make) => {
  const cases = { ...inside, ...filters }

  it.each(Object.entries(cases))('%s is the same in a cached body', async (_name, source) => {
    const expected = await render(makeEnvironment({ main: `(${source})` }))
    const env = makeEnvironment({ main: `({% cache 60 body %}${source}{% endcache %})` })
    const { renderAsync } = registerCache(env, createCaches({ default: make() }))
    for (let i = 0; i < 2; i++) expect(await renderAsync('main', context())).toBe(expected)
    expect(told.outcomes()).toEqual(['body:miss', 'body:hit'])
  })

  it.each(Object.entries(around))('%s are the same around the tag', async (_name, templates) => {
    const plain = Object.entries(templates).map(([name, source]) => [name, withoutTags(source)])
    const expected = await render(makeEnvironment(Object.fromEntries(plain)))
    const env = makeEnvironment(templates)
    registerCache(env, createCaches({ default: make() }))
    expect(await render(env)).toBe(expected)
    expect(told.outcomes().every((outcome) => outcome.endsWith(':miss'))).toBe(true)
    told.messages.length = 0
    expect(await render(env)).toBe(expected)
    expect(told.outcomes().length).toBeGreaterThan(0)
    expect(told.outcomes().every((outcome) => outcome.endsWith(':hit'))).toBe(true)
  })
})

it('no filter of the engine is left out', () => {
  const { filters: all } = new nunjucks.Environment() as unknown as { filters: object }
  expect(Object.keys(filters).sort()).toEqual(Object.keys(all).sort())
})
