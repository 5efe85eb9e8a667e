import { describe } from 'vitest'
import { testFragmentCases, type FragmentCase } from '../conformance/fragment-suite.js'
import { again, both, cases, etaDriver, twice } from './eta-driver.js'

const keywords: FragmentCase[] = [
  ...cases(
    both,
    'every keyword, with variables',
    `<% cache it.ttl sidebar it.user using=it.alias version=it.v tags=it.tags if=it.on %><%= it.user %><% endcache %>`,
    {
      context: { ttl: '60', user: 'u', alias: 'local', v: 2, tags: ['a', 'b'], on: 1 },
      renders: [
        ...twice('u', 1),
        {
          context: { ttl: 60, user: 'u', alias: 'local', v: 3, tags: 'a', on: 1 },
          output: 'u',
          bodyRuns: 1,
        },
        {
          context: { ttl: 60, user: 'u', alias: 'local', v: 3, tags: [], on: 0 },
          output: 'u',
          bodyRuns: 1,
        },
        {
          context: { ttl: null, user: 'u', alias: 'default', v: '3', tags: [], on: true },
          output: 'u',
          bodyRuns: 1,
        },
      ],
    },
  ),
  ...cases(
    both,
    'keywords in comma mode',
    `<% cache 60, "my sidebar", it.a + it.b, it.a ? 'x' : 'y', tags=[\`user:\${it.a}\`, "all"], if=it.a && it.b %><%= it.a %><% endcache %>`,
    {
      context: { a: 1, b: 2 },
      renders: [...twice('1', 1), { context: { a: 0, b: 2 }, output: '0', bodyRuns: 1 }],
    },
  ),
  ...cases(
    both,
    'if=false without a cache of that kind',
    `<% cache 60 a if=!it.user %>x<% endcache %>`,
    {
      renders: [
        { context: { user: 1 }, output: 'x', bodyRuns: 1 },
        { context: { user: 1 }, output: 'x', bodyRuns: 1 },
        { context: {}, output: 'x', bodyRuns: 1 },
        { context: {}, output: 'x', bodyRuns: 0 },
      ],
    },
  ),
  ...cases(
    both,
    'a timeout of none',
    `<% cache none a %>x<% endcache %><% cache null b %>y<% endcache %>`,
    {
      renders: twice('xy', 2),
    },
  ),
  ...cases(both, 'a timeout in parentheses', `<% cache (it.t * 2) a it.x %>x<% endcache %>`, {
    context: { t: 5, x: 1 },
    renders: twice('x', 1),
  }),
  ...cases(both, 'a negative timeout', `<% cache -1 a %>x<% endcache %>`, {
    renders: again('x', 1, 1),
  }),
  ...cases(
    both,
    'names',
    `<% cache 9 "a \\"b\\"" %>x<% endcache %><% cache 9 'c/d' %>y<% endcache 'c/d' %><% cache 9 z:1 %>z<% endcache z:1 ; %>`,
    {
      renders: twice('xyz', 3),
    },
  ),
  ...cases(
    both,
    'vary-on values of many kinds',
    `<% for (const v of it.vs) { %><% cache 9 a v %><%= v === null ? 'none' : v.length ?? String(v) %>;<% endcache %><% } %>`,
    {
      context: { vs: [null, true, 1, '1', 1.5, [1, 2], { b: 1, a: [] }, '', 'x'.repeat(600)] },
      // 1 and '1' have one text, as in Django.
      renders: twice('none;true;1;1;1.5;2;[object Object];0;600;', 8),
    },
  ),
]

const texts: FragmentCase[] = [
  ...cases(
    both,
    'escaping once',
    `<% cache 9 a %><%= it.v %><%~ it.v %><% endcache %><%= it.v %>`,
    {
      context: { v: `<a href="x">'&amp;'</a>` },
      renders: twice(
        `&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;&#39;&lt;/a&gt;<a href="x">'&amp;'</a>&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;&#39;&lt;/a&gt;`,
        1,
      ),
    },
  ),
  ...cases(both, 'an empty body', `a<% cache 9 a %><% endcache %>b`, { renders: twice('ab', 1) }),
  ...cases(both, 'a comment in the body', `<% cache 9 a %><% /* c */ %>x<% %><% endcache %>`, {
    renders: twice('x', 1),
  }),
  ...cases(
    both,
    'a body that ends in an unfinished statement',
    `<% cache 9 a %>x<% let y = 1 %><% endcache %><% cache 9 b %>x<% ;[1].forEach(() => {}) %><% endcache %>`,
    {
      renders: twice('xx', 2),
    },
  ),
  ...cases(
    both,
    'quotes, backslashes, backticks and line ends',
    'a\r\n<% cache 9 a %>\r\n\\ ` ${x} \' " \\n\r\n<% endcache %>\r\nb',
    {
      // Eta itself makes plain line ends of all.
      renders: twice('a\n\\ ` ${x} \' " \\n\nb', 1),
    },
  ),
  ...cases(
    both,
    'astral characters and lone surrogates in the text',
    `<% cache 9 a %><%~ it.v %>😀<% endcache %>`,
    { context: { v: 'é\u{1F600}\ud83d' }, renders: twice('é\u{1F600}\ud83d😀', 1) },
  ),
  ...cases(
    both,
    'a long number, read in no time',
    `<% cache 9 a ${'1'.repeat(28)}+it.x %><%= it.x %><% endcache %>`,
    { context: { x: 1 }, renders: twice('1', 1) },
  ),
]

const settings: FragmentCase[] = [
  ...cases(both, 'varName', `<% cache 9 a data.x %><%= data.x %><% endcache %>`, {
    config: { varName: 'data' },
    context: { x: 1 },
    renders: twice('1', 1),
  }),
  ...cases(both, 'varName with a dollar', `<% cache 9 a $d.x %><%= $d.x %><% endcache %>`, {
    config: { varName: '$d' },
    context: { x: 1 },
    renders: twice('1', 1),
  }),
  ...cases(both, 'useWith and debug', `<% cache t a x %><%= x %><% endcache %>`, {
    config: { useWith: true, debug: true },
    context: { x: 1, t: 9 },
    renders: twice('1', 1),
  }),
  ...cases(both, 'functionHeader', `<% cache ttl a %><%= ttl %><% endcache %>`, {
    config: { functionHeader: 'const ttl = 60' },
    renders: twice('60', 1),
  }),
  ...cases(both, 'strict code', `<% cache 9 a %><%= it.x %><% endcache %>`, {
    config: { functionHeader: '"use strict"' },
    context: { x: 1 },
    renders: twice('1', 1),
  }),
  ...cases(
    both,
    'rmWhitespace',
    `a\n\n  <% cache 9 a\n    it.x %>  \n\n  <%= it.x %>\n  <% endcache %>\n b`,
    {
      config: { rmWhitespace: true },
      context: { x: 1 },
      renders: twice('a\n1b', 1),
    },
  ),
  ...cases(both, 'autoTrim', `a \n <% cache 9 a %> \n x \n <% endcache %> \n b`, {
    config: { autoTrim: ['slurp', 'slurp'] },
    renders: twice('axb', 1),
  }),
  ...cases(
    both,
    'no trimming, and trimming tag by tag',
    `a\n<%- cache 9 a -%>\n x \n<%_ endcache _%>\n b`,
    {
      config: { autoTrim: false },
      renders: twice('a xb', 1),
    },
  ),
  ...cases(both, 'prefixes', `<%! cache 9 a it.x %><% it.x %><%= it.x %><%! endcache %>`, {
    config: { parse: { exec: '!', interpolate: '', raw: '=' } },
    context: { x: '<' },
    renders: twice('&lt;<', 1),
  }),
  ...cases(both, 'outputFunctionName', `<% cache 9 a %><% echo(it.x) %><% endcache %>`, {
    config: { outputFunctionName: 'echo' },
    context: { x: 1 },
    renders: twice('1', 1),
  }),
  ...cases(
    both,
    'debug',
    `a\n<% cache 9 a %>\n<% for (const x of it.xs) { %><%= x %><% } %>\n<% endcache %>\nb`,
    {
      config: { debug: true },
      context: { xs: [1, 2] },
      renders: twice('a\n12b', 1),
    },
  ),
]

describe.each(Object.entries({ keywords, texts, settings }))(
  'the cache tag in Eta: %s',
  (_, group) => {
    testFragmentCases(etaDriver, group)
  },
)
