import { describe } from 'vitest'
import { testFragmentCases, type FragmentCase } from '../conformance/fragment-suite.js'
import { bothKinds, nunjucksDriver } from './nunjucks-driver.js'

const context = {
  n: 5,
  note: 'from the context',
  user: '<ann>',
  xs: [1, 2, 3],
  rows: [
    [1, 2],
    [3, 4],
  ],
  prices: { tea: 2, salt: 1 },
}

/** Cold and warm give the same; `bodies` run when cold. */
const steady = (
  id: string,
  bodies: number,
  templates: string | Readonly<Record<string, string>>,
  output: string,
): FragmentCase[] => bothKinds(id, templates, context, [output, bodies], [output, 0])

const groups: Readonly<Record<string, readonly (readonly FragmentCase[])[]>> = {
  'loops around the tag': [
    steady(
      'two levels',
      6,
      '{% for i in [1, 2] %}{% for j in xs %}{% cache 9 a i j %}{{ i }}{{ j }}{{ loop.index }}{{ loop.last }} {% endcache %}{% endfor %}{{ loop.index }};{% endfor %}',
      '111false 122false 133true 1;211false 222false 233true 2;',
    ),
    steady(
      'pairs',
      2,
      '{% for a, b in rows %}{% cache 9 a a %}{{ a }}{% for c in [7, 8] %}{{ b }}{{ c }}{% endfor %}{% endcache %} {% endfor %}',
      '12728 34748 ',
    ),
    steady(
      'an object',
      2,
      '{% for name, price in prices %}{% cache 9 a name %}{{ name }}={{ price }}{{ loop.revindex }} {% endcache %}{% endfor %}',
      'tea=22 salt=11 ',
    ),
    steady(
      'letters of a text',
      2,
      '{% for c in "ab" %}{% cache 9 a c %}{{ c }}{% endcache %}{% endfor %}',
      'ab',
    ),
    steady(
      'the else of a loop',
      1,
      '{% for i in [] %}x{% else %}{% cache 9 a %}none{{ n }}{% endcache %}{% endfor %}',
      'none5',
    ),
    steady(
      'asyncEach with pairs',
      2,
      '{% asyncEach a, b in rows %}{% cache 9 a a %}{{ a }}{{ b }}{{ loop.index }}{% endcache %}{% endeach %}',
      '121342',
    ),
    steady(
      'asyncAll',
      3,
      '{% asyncAll i in xs %}{% cache 9 a i %}{{ i }}{{ loop.index }}{% endcache %}{% endall %}',
      '112233',
    ),
    steady(
      'a loop variable called as what compiled code uses',
      3,
      '{% asyncEach root in xs %}{% cache 9 a root %}{{ root }}{% endcache %}{% endeach %}',
      '123',
    ),
    steady(
      'a variable set again by each turn',
      3,
      '{% for i in xs %}{% set twice = i + i %}{% cache 9 a i %}{{ twice }}{% endcache %}{% endfor %}',
      '246',
    ),
    steady(
      'an object that counts by itself',
      3,
      '{% set c = cycler("odd", "even") %}{% for i in xs %}{% set name = c.next() %}{% cache 9 a i name %}{{ name }}{% endcache %}{% endfor %}',
      'oddevenodd',
    ),
  ],
  'loops and conditions in the body': [
    steady(
      'a loop that adds up',
      1,
      '{% set sum = 1 %}{% cache 9 a %}{% for i in xs %}{% set sum = sum + i %}{% endfor %}{{ sum }}{% endcache %}',
      '7',
    ),
    steady(
      'a loop over a variable of the context',
      1,
      '{% cache 9 a %}{% for i in xs %}{% set n = n + i %}{{ n }},{% endfor %}{{ n }}{% endcache %}',
      '6,8,11,5',
    ),
    steady(
      'asyncEach and asyncAll',
      1,
      '{% cache 9 a %}{% asyncEach i in xs %}{{ i }}{% endeach %}{% asyncAll i in xs %}{{ i }}{% endall %}{% endcache %}',
      '123123',
    ),
    steady(
      'if, elif and else',
      2,
      '{% for i in xs %}{% if i > 1 %}{% cache 9 a i %}{% if i == 2 %}two{% elif i == 3 %}three{% else %}more{% endif %}{% endcache %}{% endif %}{% endfor %}',
      'twothree',
    ),
    steady(
      'switch around',
      3,
      '{% for i in xs %}{% switch i %}{% case 1 %}{% cache 9 a i %}one{{ i }}{% endcache %}{% case 2 %}{% cache 9 a i %}two{% endcache %}{% default %}{% cache 9 a i %}more{{ i }}{% endcache %}{% endswitch %}{% endfor %}',
      'one1twomore3',
    ),
    steady(
      'switch inside',
      3,
      '{% for i in xs %}{% cache 9 a i %}{% switch i %}{% case 1 %}one{{ i }}{% case 2 %}two{% default %}more{{ i }}{% endswitch %}{% endcache %}{% endfor %}',
      'one1twomore3',
    ),
  ],
  variables: [
    steady(
      'a macro that reads a variable set again after the tag',
      1,
      '{% set y = 1 %}{% macro m() %}{{ y }}{% endmacro %}{% cache 9 a %}{{ m() }}{% endcache %}{% set y = 2 %}{{ m() }}',
      '12',
    ),
    steady(
      'another list in the place of the first',
      2,
      '{% set list = [1] %}{% cache 9 a list %}{{ list.length }}{% endcache %}{% set list = [1, 2] %}{% cache 9 b list %}{{ list.length }}{% endcache %}',
      '12',
    ),
    steady(
      'an argument that was left out hides the variable of the context',
      1,
      '{% macro card(title, note) %}{% cache 9 a title %}{{ title }}{% if note %}: {{ note }}{% endif %}{% endcache %}{% endmacro %}{{ card("tea") }}',
      'tea',
    ),
    steady(
      'a loop variable that is undefined hides the variable of the context',
      1,
      '{% for n in [missing] %}{% cache 9 a loop.index %}[{{ n }}]{% endcache %}{% endfor %}',
      '[]',
    ),
    steady(
      'a loop variable set again in the body',
      3,
      '{% for i in xs %}{% cache 9 a i %}{% set i = i + 10 %}{{ i }}{% endcache %} {% endfor %}',
      '11 12 13 ',
    ),
    steady(
      'a variable set in the body for a macro there',
      1,
      '{% cache 9 a %}{% set y = 2 %}{% macro m() %}{{ y }}{% endmacro %}{{ m() }}{% endcache %}',
      '2',
    ),
    steady(
      'a set block in the body',
      1,
      '{% cache 9 a %}{% set q %}<{{ user }}>{% endset %}{{ q | safe }}{{ q }}{% endcache %}',
      '<&lt;ann&gt;>&lt;&amp;lt;ann&amp;gt;&gt;',
    ),
    steady(
      'several targets',
      1,
      '{% cache 9 a %}{% set p, q = n %}{{ p }}{{ q }}{% endcache %}',
      '55',
    ),
  ],
  'macros and call blocks': [
    steady(
      'a macro in the body that calls another there',
      1,
      '{% cache 9 a %}{% macro p() %}P{% endmacro %}{% macro q() %}[{{ p() }}]{% endmacro %}{{ q() }}{% endcache %}',
      '[P]',
    ),
    steady(
      'a macro with the tag, called by another',
      2,
      '{% macro inner(x) %}{% cache 9 a x %}<{{ x }}>{% endcache %}{% endmacro %}{% macro outer(x) %}({{ inner(x) }}){% endmacro %}{{ outer(1) }}{{ outer(2) }}{{ outer(1) }}',
      '(<1>)(<2>)(<1>)',
    ),
    steady(
      'defaults and named arguments',
      3,
      '{% macro m(x, k=3, l="z") %}{% cache 9 a x k l %}{{ x }}{{ k }}{{ l }}{% endcache %} {% endmacro %}{{ m(1) }}{{ m(2, k=4) }}{{ m(2, 4, "y") }}',
      '13z 24z 24y ',
    ),
    steady(
      'a recursive macro',
      3,
      '{% macro down(i) %}{% cache 9 a i %}{{ i }}{% if i > 1 %}{{ down(i - 1) }}{% endif %}{% endcache %}{% endmacro %}{{ down(3) }}',
      '321',
    ),
    steady(
      'a call block in the body',
      3,
      '{% macro box(a) %}<{{ a }}{{ caller() }}>{% endmacro %}{% for i in xs %}{% cache 9 a i %}{% call box(i) %}in{{ i }}{% endcall %}{% endcache %}{% endfor %}',
      '<1in1><2in2><3in3>',
    ),
    steady(
      'the tag in a call block',
      3,
      '{% macro box() %}<{{ caller() }}>{% endmacro %}{% for i in xs %}{% call box() %}{% cache 9 a i %}in{{ i }}{% endcache %}{% endcall %}{% endfor %}',
      '<in1><in2><in3>',
    ),
    steady(
      'a caller with a tag of its own',
      6,
      '{% macro box(k) %}<{% cache 9 a k %}{{ caller() }}{{ caller() }}{% endcache %}>{% endmacro %}{% for i in xs %}{% call box(i) %}{% cache 9 b i %}in{{ i }}{% endcache %}{% endcall %}{% endfor %}',
      '<in1in1><in2in2><in3in3>',
    ),
    steady(
      'a caller with arguments',
      3,
      '{% macro each(list) %}{% for i in list %}{% cache 9 a i %}{{ caller(i) }}{% endcache %}{% endfor %}{% endmacro %}{% call(item) each(xs) %}<{{ item }}>{% endcall %}',
      '<1><2><3>',
    ),
    steady(
      'a caller as a value',
      3,
      '{% macro show(f) %}({{ f() }}){% endmacro %}{% macro box(k) %}{% cache 9 a k %}{{ show(caller) }}{% endcache %}{% endmacro %}{% for i in xs %}{% call box(i) %}in{{ i }}{% endcall %}{% endfor %}',
      '(in1)(in2)(in3)',
    ),
    steady(
      'a caller that may be missing',
      2,
      '{% macro box(k) %}{% cache 9 a k %}{% if caller %}{{ caller() }}{% else %}none{% endif %}{% endcache %}{% endmacro %}{{ box(1) }}{% call box(2) %}some{% endcall %}',
      'nonesome',
    ),
    steady(
      'a caller named in a tag inside the tag',
      2,
      '{% macro box(k) %}{% cache 9 a k %}a{% cache 9 b k %}b{{ caller() }}{% endcache %}{% endcache %}{% endmacro %}{% call box(1) %}in{% endcall %}',
      'abin',
    ),
  ],
  'includes and imports': [
    steady(
      'an include in the body',
      3,
      {
        main: '{% for i in xs %}{% cache 9 a i %}{% include "part" %}{% endcache %}{% endfor %}',
        part: '[{{ i }}{{ n }}{{ loop.index }}]',
      },
      '[151][252][353]',
    ),
    steady(
      'the tag in an include',
      3,
      {
        main: '{% for i in xs %}{% include "part" %}{% endfor %}',
        part: '{% cache 9 a i %}[{{ i }}{{ n }}{{ loop.index }}]{% endcache %}',
      },
      '[151][252][353]',
    ),
    steady(
      'an include that sets',
      1,
      {
        main: '{% set q = 1 %}{% cache 9 a %}{% include "part" %}{{ q }}{% endcache %}{{ q }}',
        part: '{% set q = 7 %}{{ q }}',
      },
      '711',
    ),
    steady(
      'a missing include that may be missing',
      1,
      '{% cache 9 a %}[{% include "nowhere" ignore missing %}]{% endcache %}',
      '[]',
    ),
    steady(
      'an include that includes itself',
      3,
      {
        main: '{% set depth = 3 %}{% include "part" %}',
        part: '{% cache 9 a depth %}{{ depth }}{% if depth > 1 %}{% set depth = depth - 1 %}{% include "part" %}{% endif %}{% endcache %}',
      },
      '321',
    ),
    steady(
      'an import with context in the body',
      1,
      {
        main: '{% set w = 4 %}{% cache 9 a %}{% import "m" as m with context %}{{ m.f(1) }}{% endcache %}',
        m: '{% macro f(x) %}({{ x }}{{ n }}{{ w }}){% endmacro %}',
      },
      '(154)',
    ),
    steady(
      'an import without context around',
      1,
      {
        main: '{% import "m" as m %}{% cache 9 a %}{{ m.f(1) }}{{ m.v }}{% endcache %}',
        m: '{% set v = 8 %}{% macro f(x) %}({{ x }}{{ n }}){% endmacro %}',
      },
      '(1)8',
    ),
    steady(
      'an imported macro with the tag',
      2,
      {
        main: '{% from "m" import f as g with context %}{{ g(1) }}{{ g(2) }}',
        m: '{% macro f(x) %}{% cache 9 a x %}({{ x }}{{ n }}){% endcache %}{% endmacro %}',
      },
      '(15)(25)',
    ),
  ],
  'blocks and inheritance': [
    steady(
      'super at three levels, each cached',
      3,
      {
        main: '{% extends "mid" %}{% block c %}{% cache 9 top %}top[{{ super() }}]{% endcache %}{% endblock %}',
        mid: '{% extends "base" %}{% block c %}{% cache 9 mid %}mid[{{ super() }}]{% endcache %}{% endblock %}',
        base: '<{% block c %}{% cache 9 base %}base{{ n }}{% endcache %}{% endblock %}>',
      },
      '<top[mid[base5]]>',
    ),
    steady(
      'super twice in a loop, after a set it does not see',
      1,
      {
        main: '{% extends "base" %}{% block c %}{% set n = 9 %}{% cache 9 a %}{% for i in [1, 2] %}{{ i }}{{ super() }}{% endfor %}{% endcache %}{% endblock %}',
        base: '{% block c %}base{{ n }}{% endblock %}',
      },
      '1base52base5',
    ),
    steady(
      'super in a tag inside the tag, with the loop around the parent’s block',
      6,
      {
        main: '{% extends "base" %}{% block c %}{% set i2 = i %}{% cache 9 a i %}{% cache 9 b i %}[{{ super() }}]{% endcache %}{% endcache %}{% endblock %}',
        base: '{% for i in xs %}{% block c %}{{ i }}{{ i2 }}{{ loop.index }}{% endblock %}{% endfor %}',
      },
      '[11][22][33]',
    ),
    steady(
      'super inside and outside',
      1,
      {
        main: '{% extends "base" %}{% block c %}{{ super() }}{% cache 9 a %}{{ super() | upper }}{% endcache %}{% endblock %}',
        base: '{% block c %}base{{ n }}{% endblock %}',
      },
      'base5BASE5',
    ),
    steady(
      'super in a call block in the body',
      1,
      {
        main: '{% extends "base" %}{% macro box() %}<{{ caller() }}>{% endmacro %}{% block c %}{% cache 9 a %}{% call box() %}{{ super() }}{% endcall %}{% endcache %}{% endblock %}',
        base: '{% block c %}base{{ n }}{% endblock %}',
      },
      '<base5>',
    ),
    steady(
      'two blocks with super',
      2,
      {
        main: '{% extends "base" %}{% block d %}{% cache 9 a %}D{{ super() }}{% endcache %}{% endblock %}{% block c %}{% cache 9 b %}C{{ super() }}{% endcache %}{% endblock %}',
        base: '{% block c %}c{{ n }}{% endblock %}{% block d %}d{{ n }}{% endblock %}',
      },
      'Cc5Dd5',
    ),
    steady(
      'a block in a loop in the body, overridden',
      1,
      {
        main: '{% extends "base" %}{% block c %}[{{ i }}{{ super() }}]{% endblock %}',
        base: '{% cache 9 a %}{% for i in xs %}{% block c %}{{ n }}{% endblock %}{% endfor %}{% endcache %}',
      },
      '[15][25][35]',
    ),
    steady(
      'a block in the body that is not overridden',
      2,
      {
        main: '{% extends "base" %}',
        base: '{% cache 9 a %}<{% block c %}{% cache 9 b %}base{{ n }}{% endcache %}{% endblock %}>{% endcache %}',
      },
      '<base5>',
    ),
    steady(
      'a tag around a block of a template that extends another, where nothing is put out',
      0,
      {
        main: '{% extends "base" %}{% cache 9 page %}{% block c %}C{{ n }}{% endblock %}{% endcache %}',
        base: '<{% block c %}base{% endblock %}>',
      },
      '<C5>',
    ),
    steady(
      'a tag in a set block at the top of a template that extends another',
      1,
      {
        main: '{% extends "base" %}{% set a = 1 %}{% set html %}{% include "part" %}{% if n %}{% cache 9 a n %}<{{ n }}>{% endcache %}{% endif %}{% endset %}{% block c %}{{ html | safe }}{% endblock %}',
        base: '<{% block c %}base{% endblock %}>',
        part: 'part',
      },
      '<part<5>>',
    ),
    steady(
      'a tag behind a set block of a template that extends another, where nothing is put out',
      0,
      {
        main: '{% extends "base" %}{% set a %}x{% endset %}{% set b = 1 %}{% cache 9 page %}{% block c %}C{{ n }}{{ a }}{% endblock %}{% endcache %}{% set d %}{% endset %}',
        base: '<{% block c %}base{% endblock %}>',
      },
      '<C5x>',
    ),
    steady(
      'macros with the tag in a template that extends another',
      1,
      {
        main: '{% extends "base" %}{% macro m(x) %}{% cache 9 a x %}m{{ x }}{% endcache %}{% endmacro %}{% block c %}{{ m(1) }}{% endblock %}',
        base: '<{% block c %}base{% endblock %}>',
      },
      '<m1>',
    ),
    steady(
      'imports at the top of a template that extends another',
      1,
      {
        main: '{% extends "base" %}{% from "m" import f %}{% block c %}{% cache 9 a %}{{ f(3) }}{% endcache %}{% endblock %}',
        base: '<{% block c %}{% endblock %}>',
        m: '{% macro f(x) %}f{{ x }}{% endmacro %}',
      },
      '<f3>',
    ),
  ],
  'escaping and filters': [
    steady(
      'escaped once',
      1,
      '{% cache 9 a %}{{ user }}{{ user | safe }}{{ user | escape }}{% endcache %}{{ user }}',
      '&lt;ann&gt;<ann>&lt;ann&gt;&lt;ann&gt;',
    ),
    steady(
      'a macro with the tag, marked as safe by the engine',
      1,
      '{% macro m() %}{% cache 9 a %}<b>{{ user }}</b>{% endcache %}{% endmacro %}{{ m() }}{{ m() | safe }}',
      '<b>&lt;ann&gt;</b><b>&lt;ann&gt;</b>',
    ),
    steady(
      'a filter block in the body',
      1,
      '{% cache 9 a %}{% filter upper %}abc{{ n }}{% endfilter %}{% endcache %}',
      'ABC5',
    ),
    steady(
      'what replace would take for a pattern',
      2,
      '{% cache 9 a %}$& $1 $$ {% cache 9 b %}$` \\1{% endcache %}{% endcache %}',
      '$& $1 $$ $` \\1',
    ),
    steady(
      'raw text with tags in it',
      1,
      '{% cache 9 a %}{% raw %}{{ x }}{% include %}{% endraw %}{# {% endfor %} #}{% endcache %}',
      '{{ x }}{% include %}',
    ),
  ],
  'white space': [
    steady(
      'in every place',
      1,
      'a  {%- cache 9 a -%}  x {{- n -}} y  {%- endcache -%}  b',
      'ax5yb',
    ),
    steady('only before', 1, 'a  {%- cache 9 a %}  x  {%- endcache %}  b', 'a  x  b'),
    steady('arguments over several lines', 1, '{% cache\n  9\n  a\n\tn\n%}x{% endcache\n%}', 'x'),
  ],
}

describe.each(Object.entries(groups))('%s', (_, cases) => {
  testFragmentCases(nunjucksDriver, cases.flat())
})

describe('what a body keeps inside, hit or miss', () => {
  const cases = [
    steady(
      'a variable set in a loop',
      1,
      '{% set y = 1 %}{% cache 9 a %}{% for i in xs %}{% set y = y + i %}{% endfor %}{{ y }}{% endcache %}|{{ y }}',
      '7|1',
    ),
    steady(
      'a loop variable set again',
      3,
      '{% for i in xs %}{% cache 9 a i %}{% set i = 0 %}{{ i }}{% endcache %}{{ i }}{% endfor %}',
      '010203',
    ),
    steady(
      'a variable of the context',
      1,
      '{% cache 9 a %}{% set n = 6 %}{{ n }}{% endcache %}{{ n }}{% macro m() %}{{ n }}{% endmacro %}{{ m() }}',
      '655',
    ),
    steady(
      'a macro',
      1,
      '{% cache 9 a %}{% macro m() %}m{% endmacro %}{{ m() }}{% endcache %}[{{ m }}]',
      'm[]',
    ),
    steady(
      'an import',
      1,
      {
        main: '{% cache 9 a %}{% import "m" as m %}{{ m.v }}{% endcache %}[{{ m }}]',
        m: '{% set v = 8 %}',
      },
      '8[]',
    ),
    steady(
      'what an include sets in a loop',
      1,
      {
        main: '{% set y = 1 %}{% cache 9 a %}{% include "part" %}{% endcache %}{{ y }}',
        part: '{% for i in xs %}{% set y = i %}{% endfor %}',
      },
      '1',
    ),
  ].flat()
  testFragmentCases(nunjucksDriver, cases, {
    isolated: cases.map(({ id }) => id.replace(/\.a?sync$/, '')),
  })
})

describe('the settings of the environment', () => {
  const withConfig = (
    id: string,
    config: Record<string, unknown>,
    template: string,
    output: string,
  ): FragmentCase[] => steady(id, 1, template, output).map((one) => ({ ...one, config }))
  testFragmentCases(nunjucksDriver, [
    ...withConfig(
      'no autoescape',
      { autoescape: false },
      '{% cache 9 a %}{{ user }}{{ user | escape }}{% endcache %}{{ user }}',
      '<ann>&lt;ann&gt;<ann>',
    ),
    ...withConfig(
      'trimBlocks and lstripBlocks',
      { trimBlocks: true, lstripBlocks: true },
      'x\n  {% cache 9 a %}\n  y\n  {% endcache %}\n  z',
      'x\n  y\n  z',
    ),
    ...withConfig(
      'lstripBlocks',
      { lstripBlocks: true },
      'x\n  {% cache 9 a %}\n  y\n  {% endcache %}\n  z',
      'x\n\n  y\n\n  z',
    ),
    ...withConfig(
      'throwOnUndefined',
      { throwOnUndefined: true },
      '{% cache 9 a n %}{{ n }}{% endcache %}',
      '5',
    ),
  ])
})
