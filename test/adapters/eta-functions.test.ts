import { describe } from 'vitest'
import { testFragmentCases, type FragmentCase } from '../conformance/fragment-suite.js'
import { both, cases, etaDriver, twice } from './eta-driver.js'

const item = `<% cache 9 item x %>[<%= x %>]<% endcache %>`

const functions: FragmentCase[] = [
  ...cases(
    ['sync'],
    'an arrow function whose body is the tag',
    `<% it.xs.forEach(x => { %>${item}<% }) %>`,
    { context: { xs: [1, 2] }, renders: twice('[1][2]', 2) },
  ),
  ...cases(
    ['sync'],
    'a method, a getter, a generator around the tag and a class',
    `<% class Rows { constructor() { %><% cache 9 c %>c<% endcache %><% } get g() { %><% cache 9 g %>g<% endcache %><% return 1 } m() { %><% cache 9 m %>m<% endcache %><% } *n() { %><% cache 9 n %>n<% endcache %><% yield 2 } } const rows = new Rows(); rows.g; rows.m(); [...rows.n()] %>!`,
    { renders: twice('cgmn!', 4) },
  ),
  ...cases(
    ['async'],
    'an async method and an async generator around the tag',
    `<% const rows = { async m() { %><% cache 9 m %>m<% endcache %><% }, async *n() { %><% cache 9 n %>n<% endcache %><% yield '2' } }; await rows.m(); for await (const n of rows.n()) { %><%= n %><% } %>!`,
    { renders: twice('mn2!', 2) },
  ),
  ...cases(
    ['sync'],
    'recursion',
    `<% const node = ({ id, children = [] }) => { %><% cache 9 node id %><<%= id %><% for (const child of children) node(child) %>><% endcache %><% } %><% node(it.tree) %>`,
    {
      context: { tree: { id: 1, children: [{ id: 2, children: [{ id: 3 }] }, { id: 4 }] } },
      renders: twice('<1<2<3>><4>>', 4),
    },
  ),
  ...cases(
    ['async'],
    'recursion',
    `<% const node = async ({ id, children = [] }) => { %><% cache 9 node id %><<%= await it.f(id) %><% for (const child of children) await node(child) %>><% endcache %><% } %><% await node(it.tree) %>`,
    {
      context: { tree: { id: 1, children: [{ id: 2, children: [{ id: 3 }] }, { id: 4 }] } },
      functions: { f: 'async (x) => { await null; return x }' },
      renders: twice('<1<2<3>><4>>', 4),
    },
  ),
  ...cases(
    ['async'],
    'recursion that awaits before it goes down',
    `<% const node = async (id) => { await it.f(); %><% cache 9 node id %><<%= id %><% await it.f(); if (id < 3) await node(id + 1); await it.f() %>><% endcache %><% await it.f() } %><% await node(1) %>`,
    {
      functions: { f: '() => new Promise((done) => setImmediate(done))' },
      renders: twice('<1<2<3>>>', 3),
    },
  ),
  ...cases(
    ['sync'],
    'capture around',
    `<% const c = capture(() => { %>a<% cache 9 x %>b<% endcache %>c<% }) %>[<%= c.toUpperCase() %>]`,
    { renders: twice('[ABC]', 1) },
  ),
  ...cases(
    ['async'],
    'captureAsync around',
    `<% const c = await captureAsync(async () => { %>a<% cache 9 x %>b<%= await it.f() %><% endcache %>c<% }) %>[<%= c.toUpperCase() %>]`,
    { functions: { f: 'async () => "f"' }, renders: twice('[ABFC]', 1) },
  ),
  ...cases(
    ['async'],
    'captureAsync inside, with a fragment in it',
    `<% cache 9 o %><% const c = await captureAsync(async () => { %>a<% cache 9 i %>b<%= await it.f() %><% endcache %>c<% }) %>[<%= c %>]<% endcache %>!`,
    { functions: { f: 'async () => "f"' }, renders: twice('[abfc]!', 2) },
  ),
  ...cases(both, 'output()', `a<% cache 9 x %><% output('<b>') %><% endcache %><% output('c') %>`, {
    renders: twice('a<b>c', 1),
  }),
  ...cases(
    both,
    'variables that a body changes',
    `<% let n = 0; for (const x of it.xs) { n += x %><% cache 9 sum n %><%= n %>,<% endcache %><% } %><%= n %>`,
    { context: { xs: [1, 2] }, renders: twice('1,3,3', 2) },
  ),
  ...cases(
    ['async'],
    'await in a loop inside, in the arguments and around',
    `<% for (const x of await it.f([1, 2])) { %><% cache 9 a (await it.f(x)) tags=(await it.f(['t'])) %><% for (const y of await it.f([x, 9])) { %><%= await it.f(y) %><% } %><% endcache %>;<% } %>`,
    { functions: { f: 'async (x) => x' }, renders: twice('19;29;', 2) },
  ),
  ...cases(
    ['async'],
    'for await inside',
    `<% cache 9 a %><% for await (const x of it.f()) { %><%= x %><% } %><% endcache %>!`,
    { functions: { f: 'async function* () { yield 1; yield 2 }' }, renders: twice('12!', 1) },
  ),
  ...cases(
    ['async'],
    'a fragment after another in a promise chain',
    `<% const part = (x) => async () => { %>${item}<% } %><% await part(1)().then(part(2)).then(part(3)) %>`,
    { renders: twice('[1][2][3]', 3) },
  ),
]

const includes: FragmentCase[] = [
  ...cases(
    ['sync'],
    'an include with a fragment inside a fragment',
    `a<% cache 9 o %>b<%~ include('@p', { x: 1 }) %>c<% endcache %>d<%~ include('@p', { x: 1 }) %>`,
    {
      templates: { p: '<% cache 9 i it.x %>(<%= it.x %>)<% endcache %>' },
      renders: twice('ab(1)cd(1)', 2),
    },
  ),
  ...cases(
    ['async'],
    'an include with a fragment inside a fragment',
    `a<% cache 9 o %>b<%~ await includeAsync('@p', { x: 1 }) %>c<% endcache %>d<%~ await includeAsync('@p', { x: 1 }) %>`,
    {
      templates: { p: '<% cache 9 i it.x %>(<%= it.x %>)<% endcache %>' },
      renders: twice('ab(1)cd(1)', 2),
    },
  ),
  ...cases(
    ['async'],
    'includes that are rendered concurrently',
    `<% cache 9 o %><% const parts = await Promise.all(it.xs.map((x) => includeAsync('@p', { x }))) %><%~ parts.join('+') %><% endcache %>!`,
    {
      context: { xs: [1, 2, 2] },
      functions: { f: 'async (x) => { await null; return x }' },
      templates: { p: '<% cache 9 i it.x %>(<%= await it.f(it.x) %>)<% endcache %>' },
      renders: twice('(1)+(2)+(2)!', 3),
    },
  ),
  ...cases(
    ['sync'],
    'an include of itself',
    `<% cache 9 n it.n %><%= it.n %><% if (it.n > 0) { %>(<%~ include('@main', { n: it.n - 1 }) %>)<% } %><% endcache %>`,
    { context: { n: 2 }, renders: twice('2(1(0))', 3) },
  ),
  ...cases(
    ['async'],
    'an include of itself',
    `<% cache 9 n it.n %><%= it.n %><% if (it.n > 0) { %>(<%~ await includeAsync('@main', { n: it.n - 1 }) %>)<% } %><% endcache %>`,
    { context: { n: 2 }, renders: twice('2(1(0))', 3) },
  ),
  ...cases(
    both,
    'a layout around a page with fragments, and fragments in the layout',
    `<% layout('@l', { title: 'T' }) %><% cache 9 page %>page<% endcache %>`,
    {
      templates: {
        l: `<% cache 9 head it.title %><<%= it.title %>><% endcache %><%~ it.body %><% cache 9 foot %>foot<% endcache %>`,
      },
      renders: twice('<T>pagefoot', 3),
    },
  ),
  ...cases(
    ['sync'],
    'an include with a layout and blocks of its own',
    `<% cache 9 o %>(<%~ include('@p') %>)<% endcache %>`,
    {
      templates: {
        p: `<% layout('@l') %><% block('b', () => { %>block<% }) %>p`,
        l: `[<%~ it.body %><%~ block('b') %>]`,
      },
      renders: twice('([pblock])', 1),
    },
  ),
  ...cases(
    ['async'],
    'an include with a layout and blocks of its own',
    `<% cache 9 o %>(<%~ await includeAsync('@p') %>)<% endcache %>`,
    {
      templates: {
        p: `<% layout('@l') %><% await blockAsync('b', async () => { %>block<% }) %>p`,
        l: `[<%~ it.body %><%~ block('b') %>]`,
      },
      renders: twice('([pblock])', 1),
    },
  ),
  ...cases(
    ['sync'],
    'a fragment inside a block, and around none',
    `<% layout('@l') %><% block('b', () => { %><% cache 9 x %>block<% endcache %><% }) %>p`,
    { templates: { l: `[<%~ it.body %><%~ block('b') %>]` }, renders: twice('[pblock]', 1) },
  ),
  ...cases(
    ['async'],
    'a fragment inside a block, and around none',
    `<% layout('@l') %><% await blockAsync('b', async () => { %><% cache 9 x %>block<% endcache %><% }) %>p`,
    {
      templates: { l: `[<%~ it.body %><%~ await blockAsync('b') %>]` },
      renders: twice('[pblock]', 1),
    },
  ),
]

describe.each(Object.entries({ functions, includes }))('fragments in Eta: %s', (_, group) => {
  testFragmentCases(etaDriver, group)
})
