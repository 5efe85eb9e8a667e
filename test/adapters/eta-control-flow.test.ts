import { describe } from 'vitest'
import { testFragmentCases, type FragmentCase } from '../conformance/fragment-suite.js'
import { again, both, cases, etaDriver, twice } from './eta-driver.js'

const item = `<% cache 9 item x %>[<%= x %>]<% endcache %>`

const loops: FragmentCase[] = [
  ...cases(both, 'a for loop', `<% for (let x = 0; x < 3; x++) { %>${item}<% } %>`, {
    renders: twice('[0][1][2]', 3),
  }),
  ...cases(both, 'a for loop without braces', `<% for (const x of it.xs) %>${item}<% %>!`, {
    context: { xs: [1, 2] },
    renders: twice('[1][2]!', 2),
  }),
  ...cases(both, 'for ... in', `<% for (const x in it.o) { %>${item}<% } %>`, {
    context: { o: { a: 1, b: 2 } },
    renders: twice('[a][b]', 2),
  }),
  ...cases(both, 'while', `<% let x = 3; while (x--) { %>${item}<% } %>`, {
    renders: twice('[2][1][0]', 3),
  }),
  ...cases(both, 'do ... while', `<% let x = 0; do { %>${item}<% } while (++x < 2) %>.`, {
    renders: twice('[0][1].', 2),
  }),
  ...cases(
    both,
    'if without braces',
    `<% if (it.a) %>${item.replaceAll('x', 'it.a')}<% else %>no`,
    {
      context: { a: 1 },
      renders: [
        { output: '[1]', bodyRuns: 1 },
        { output: '[1]', bodyRuns: 0 },
        { context: {}, output: 'no', bodyRuns: 0 },
      ],
    },
  ),
  ...cases(
    both,
    'nested loops with one fragment around each',
    `<% for (const g of it.gs) { %><% cache 9 group g.id %>(<% for (const x of g.xs) { %>${item}<% } %>)<% endcache %><% } %>`,
    {
      context: {
        gs: [
          { id: 'a', xs: [1, 2] },
          { id: 'b', xs: [2, 3] },
        ],
      },
      // [2] of the second group is the one of the first.
      renders: twice('([1][2])([2][3])', 5),
    },
  ),
  ...cases(both, 'one key twice on a page', `<% let x = 1 %>${item}-${item}`, {
    renders: twice('[1]-[1]', 1),
  }),
]

const ways: FragmentCase[] = [
  ...cases(
    both,
    'continue',
    `<% for (const x of it.xs) { %><% cache 9 a x %>[<% if (x === 2) continue %><%= x %>]<% endcache %><% } %>`,
    { context: { xs: [1, 2, 3] }, renders: again('[1][[3]', 3, 1) },
  ),
  ...cases(
    both,
    'continue with a label',
    `<% outer: for (const x of it.xs) { for (const y of it.xs) { %><% cache 9 a x y %><%= x %><% if (y > x) continue outer %><%= y %>,<% endcache %><% } } %>`,
    { context: { xs: [1, 2] }, renders: again('11,121,22,', 4, 1) },
  ),
  ...cases(
    both,
    'break with a label out of two fragments',
    `<% all: { %><% cache 9 o %>o<% cache 9 i %>i<% break all %>never<% endcache %>never<% endcache %>never<% } %>!`,
    { renders: again('oi!', 2, 2) },
  ),
  ...cases(
    both,
    'break out of an inner fragment into the outer',
    `<% cache 9 o %>o<% for (;;) { %><% cache 9 i %>i<% break %><% endcache %><% } %>.<% endcache %>!`,
    { renders: twice('oi.!', 2) },
  ),
  ...cases(
    both,
    'a switch inside, around, and left from inside',
    `<% for (const x of it.xs) { switch (x) { case 1: { %><% cache 9 one %>one<% break %><% endcache %><% } default: { %><% cache 9 other x %><% switch (x) { case 2: { %>two<% break } default: { %>many<% } } %>;<% endcache %><% } } } %>`,
    { context: { xs: [1, 2, 3] }, renders: again('onetwo;many;', 3, 1) },
  ),
  ...cases(
    ['async'],
    'return out of a function',
    `<% async function row(x) { %>(<% cache 9 row x %><%= x %><% if (x === 2) return; %>.<% endcache %>)<% } %><% for (const x of it.xs) await row(x) %>!`,
    { context: { xs: [1, 2, 3] }, renders: again('(1.)(2(3.)!', 3, 1) },
  ),
  ...cases(
    ['sync'],
    'return out of a function',
    `<% function row(x) { %>(<% cache 9 row x %><%= x %><% if (x === 2) return 'two'; %>.<% endcache %>)<% } %><% for (const x of it.xs) { const y = row(x) %><%= y ?? '' %><% } %>!`,
    { context: { xs: [1, 2, 3] }, renders: again('(1.)(2two(3.)!', 3, 1) },
  ),
  ...cases(
    both,
    'return of what was put out so far',
    `a<% cache 9 x %>b<% if (it.stop) return __eta.res + '!' %>c<% endcache %>d`,
    {
      renders: [
        { context: { stop: true }, output: 'ab!', bodyRuns: 1 },
        { context: {}, output: 'abcd', bodyRuns: 1 },
      ],
    },
  ),
  ...cases(
    both,
    'an error caught around',
    `a<% try { %>b<% cache 9 x %>c<% cache 9 y %>d<% if (it.fails) throw new Error('no') %>e<% endcache %>f<% endcache %>g<% } catch (error) { %>(<%= error.message %>)<% } finally { %>.<% } %>`,
    {
      renders: [
        { context: { fails: true }, output: 'abcd(no).', bodyRuns: 2 },
        { context: { fails: true }, output: 'abcd(no).', bodyRuns: 2 },
        { context: {}, output: 'abcdefg.', bodyRuns: 2 },
        { context: {}, output: 'abcdefg.', bodyRuns: 0 },
      ],
    },
  ),
  ...cases(
    both,
    'an error caught inside',
    `<% cache 9 x %>a<% try { %>b<% throw new Error('no') } catch (error) { %>(<%= error.message %>)<% } finally { %>.<% } %><% endcache %>!`,
    { renders: twice('ab(no).!', 1) },
  ),
  ...cases(
    both,
    'an error caught in the outer fragment',
    `<% cache 9 o %>o<% try { %><% cache 9 i %>i<% throw new Error('no') %><% endcache %><% } catch { %>caught<% } %><% endcache %>!`,
    { renders: twice('oicaught!', 2) },
  ),
  ...cases(
    both,
    'finally that breaks',
    `<% for (;;) { try { %><% cache 9 x %>a<% throw new Error('no') %><% endcache %><% } finally { %>b<% break } } %>!`,
    { renders: again('ab!', 1, 1) },
  ),
]

describe.each(Object.entries({ loops, ways }))(
  'control flow through a fragment in Eta: %s',
  (_, group) => {
    testFragmentCases(etaDriver, group)
  },
)
