import { join } from 'node:path'
import type { Eta, EtaConfig } from 'eta'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { FileBasedCache } from 'fragcache/file'
import { describe, expect, it } from 'vitest'
import { countBodies } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { folderOfFile } from '../support/folders.js'
import { etaWith } from './eta-driver.js'

const folder = folderOfFile()

let locations = 0
const stores: [string, () => Cache][] = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
  ['files', () => new FileBasedCache({ location: join(folder, `cache-${locations++}`) })],
]

interface Case {
  readonly main: string
  readonly templates?: Readonly<Record<string, string>>
  readonly config?: Partial<EtaConfig>
  /** Of each visitor; the same for all are left out. */
  readonly visits?: readonly object[]
  /** What visitors do not differ in. */
  readonly data?: object
  /** How often a body runs on a hit, because a block holds fragments of its own. */
  readonly warmBodies?: number
}

const user = '<% nocache %><%= it.user %><% endnocache %>'

/** Cases that can be rendered in both ways. */
const common: Record<string, Case> = {
  'a variable of the data': { main: `a<% cache 60 x %>b${user}c<% endcache %>d` },
  'nothing but the block': { main: `<% cache 60 x %>${user}<% endcache %>` },
  'several blocks': {
    main: `<% cache 60 x %>${user}-${user}${user}<% nocache %><%= it.user.length %><% endnocache %><% endcache %>`,
  },
  'an empty block': {
    main: `<% cache 60 x %>(<% nocache %><% endnocache %>)${user}<% endcache %>`,
  },
  'blocks outside of fragments': {
    main: `${user}<% let n = 0; for (const x of [1, 2]) { n += x %>${user}<% nocache n=x+n %><%= it.n %><% endnocache %><% if (x === 1) continue; %>!<% } %>`,
  },
  'a variable made outside of the fragment': {
    main: `<% const n = 2 %><% cache 60 x %>b<% nocache twice=n*2, n=n %><%= it.twice + it.n + it.user %><% endnocache %>c<% endcache %>`,
  },
  'a variable of a loop around the fragment': {
    main: `<% for (const x of [1, 2]) { %><% cache 60 x x %>b<% nocache x=x %><%= it.x + it.user %><% endnocache %>c<% endcache %>;<% } %>`,
  },
  'a loop inside the fragment that the block does not look at': {
    main: `<% cache 60 x %><% for (const x of [1, 2]) { %><%= x %>${user};<% } %><% endcache %>`,
  },
  'variables and functions of its own': {
    main: `<% cache 60 x %><% const y = 1; [y].forEach((x) => { %><%= x %><% }) %><% nocache %><% const own = it.user; let n = 0; for (const c of own) { n++ %><%= c %>.<% } [1, 2].forEach((x) => { %><%= x + n %><% }) %><% endnocache %><% endcache %>`,
  },
  'names that are another block’s, a property’s or a key’s': {
    main: `<% cache 60 x %><% { const user = 1 %><%= user %><% } %><% for (const name of [1]) { %><%= name %><% } %><% nocache %><% const o = { user: it.user, name: 2 } %><%= o.user + o.name %><% endnocache %><% endcache %>`,
  },
  'a fragment in a fragment': {
    main: `<% cache 60 x %>[<% cache 60 y %>(${user})<% endcache %>${user}]<% endcache %>`,
  },
  'a fragment in a fragment, with a variable of the template': {
    main: `<% const n = 1 %><% cache 60 x %>[<% cache 60 y %>(<% nocache n=n %><%= it.user + it.n %><% endnocache %>)<% endcache %>]<% endcache %>`,
  },
  'a fragment that is found inside another one': {
    main: `<% cache 60 y %>(${user})<% endcache %><% cache 60 x %>[<% cache 60 y %>(${user})<% endcache %>]<% endcache %>`,
  },
  'a fragment that is rendered without the cache, around another': {
    main: `<% cache 60 x if=false %>[<% const n = 1 %><%= n %><% cache 60 y %>(${user})<% endcache %>${user}]<% endcache %>`,
    warmBodies: 1,
  },
  'a block in a block': {
    main: `<% cache 60 x %>[<% nocache %>(${user})<% endnocache %>]<% endcache %>`,
  },
  'a fragment in a block': {
    main: `<% cache 60 x %>[<% nocache %>(<% cache 60 y it.user %><%= it.user %>!<% endcache %>)<% endnocache %>]<% endcache %>`,
  },
  'a block in a fragment in a block, with variables': {
    main: `<% const n = 1 %><% cache 60 x %>[<% nocache n=n %>(<% const m = it.n + 1 %><% cache 60 y %>{<% nocache m=m n=it.n %><%= it.m + it.n + it.user %><% endnocache %>}<% endcache %>)<% endnocache %>]<% endcache %>`,
  },
  'output()': {
    main: `<% cache 60 x %>b<% nocache %><% output(it.user) %><% endnocache %><% endcache %>`,
  },
  'a fragment that is left early': {
    main: `<% for (const x of [1, 2]) { %><% cache 60 x x %>b${user}<% if (x === 2) break %>c<% endcache %><% } %>!`,
    warmBodies: 1,
  },
  'a fragment whose error is caught': {
    main: `<% try { %><% cache 60 x %>b${user}<% throw 'x' %><% endcache %><% } catch { %>!<% } %>`,
    warmBodies: 1,
  },
  'a page with a layout': {
    main: `<% layout('@l', { title: 't' }) %><% cache 60 x %>b${user}<% endcache %>`,
    templates: {
      l: `<% cache 60 head %><<% nocache title=it.title %><%= it.title + it.user %><% endnocache %>><% endcache %><%~ it.body %>${user}`,
    },
  },
  'what looks like what stands for a block': {
    main: `<% cache 60 x %>b 123456789012 <hOlE "' > ${user}["",{"e":"eta","t":"","h":"0"},""]<% endcache %>`,
  },
  useWith: {
    main: `<% cache 60 x %>b<% nocache %><%= user %><% endnocache %>c<% endcache %>`,
    config: { useWith: true },
  },
  'another name of the data': {
    main: `<% cache 60 x %>b<% nocache %><%= data.user %><% endnocache %>c<% endcache %>`,
    config: { varName: 'data' },
  },
  'a function header': {
    main: `<% cache 60 x %>b<% nocache %><%= who %><% endnocache %>c<% endcache %>`,
    config: { functionHeader: 'const who = it.user + "?";' },
  },
  'a function header that makes the code strict': {
    main: `<% const n = 1 %><% cache 60 x %>b<% nocache n=n %><%= it.n + it.user %><% endnocache %>${user}c<% endcache %>`,
    config: { functionHeader: '"use strict";' },
  },
  'debug, autoFilter and rmWhitespace': {
    main: `<% const n = 1 %>\n<% cache 60 x %>\n  b<% nocache n=n %>\n  <%= it.n %><% endnocache %> ${user}c\n<% endcache %>`,
    config: {
      debug: true,
      autoFilter: true,
      filterFunction: (x) => `{${String(x)}}`,
      rmWhitespace: true,
    },
  },
  'white space control and custom tags': {
    main: `{{ cache 60 x }}  {{_ nocache _}}  {{= it.user }} {{- endnocache -}}\n b{{ endcache }}`,
    config: { tags: ['{{', '}}'] },
  },
  'a prefix of execution': {
    main: `<%! cache 60 x %>b<%! nocache %><%= it.user %><%! endnocache %><%! endcache %>`,
    config: { parse: { exec: '!', interpolate: '=', raw: '~' } },
  },
  'escaping, once': {
    main: `<% cache 60 x %>${user}<% nocache %><%= it.user %><%~ it.user %><% endnocache %><% endcache %>`,
    visits: [{ user: '<&>' }, { user: '$&' }, { user: '"\'' }],
  },
}

/** Cases with tags in functions that are not async, which cannot wait for a cache. */
const atOnce: Record<string, Case> = {
  'capture around and inside': {
    main: `<% const c = capture(() => { %>a<% cache 60 x %>b${user}<% nocache %><%~ capture(() => { %><%= it.user %><% }).toUpperCase() %><% endnocache %><% endcache %>c<% }) %>[<%= c %>]`,
  },
  'a block of Eta’s': {
    main: `<% layout('@l') %><% block('b', () => { %><% cache 60 x %>b${user}<% endcache %><% }) %>p${user}`,
    templates: { l: `[<%~ it.body %><%~ block('b') %>]` },
  },
  'a callback of forEach': {
    main: `<% ;[1, 2].forEach((x) => { %><% cache 60 x x %>b<% nocache x=x %><%= it.x + it.user %><% endnocache %><% endcache %><% }) %>`,
  },
}

/** Cases whose includes are spelt for one way or the other. */
const including = (include: string): Record<string, Case> => ({
  'a block in an included template': {
    main: `<% cache 60 x %>[<%~ ${include}('@p') %>]<% endcache %>`,
    templates: { p: `<% const n = 1 %>p<%= n %>${user}` },
  },
  'a block in a template that is included with what it does not use': {
    main: `<% cache 60 x %><% for (const row of [1, 2]) { %>[<%~ ${include}('@p', { row }) %>]<% } %><% endcache %>`,
    templates: { p: `<%= it.row %>${user}` },
  },
  'a block in a template that is included with all the data': {
    main: `<% cache 60 x %>[<%~ ${include}('@p', it) %><%~ ${include}('@p', { ...it, row: 1 }) %>]<% endcache %>`,
    templates: { p: `<%= it.row ?? 0 %>${user}` },
  },
  'an include in a block': {
    main: `<% cache 60 x %>[<% nocache %><%~ ${include}('@p', { more: 1 }) %><% endnocache %>]<% endcache %>`,
    templates: { p: `<% cache 60 y it.user %>p<%= it.user + it.more %><% endcache %>${user}` },
  },
  'a fragment in an included template': {
    main: `<%~ ${include}('@p', { row: 1 }) %><% cache 60 x %>[<%~ ${include}('@p', { row: 1 }) %>]<% endcache %>`,
    templates: { p: `<% cache 60 p %>p<%= it.row %>${user}<% endcache %>` },
  },
  'an included template with a layout': {
    main: `<% cache 60 x %>[<%~ ${include}('@p') %>]<% endcache %>`,
    templates: { p: `<% layout('@l') %>p${user}`, l: `<<%~ it.body %>${user}>` },
  },
  'an include of itself': {
    main: `<% cache 60 n it.n %><%= it.n %>${user}<% if (it.n > 0) { %>(<%~ ${include}('@main', { n: it.n - 1 }) %>)<% } %><% endcache %>`,
    data: { n: 2 },
  },
})

/** Cases that wait. */
const waiting: Record<string, Case> = {
  'a block that waits': {
    main: `<% cache 60 x %>a<% nocache %><%= await it.later(it.user) %><% endnocache %>b<% endcache %>`,
  },
  'blocks that wait and name variables of the template': {
    main: `<% const n = 1 %><% cache 60 x %>a<% nocache n=n %><%= await it.later(it.n + it.user) %><% await it.later(); output(it.n) %><% endnocache %>b<% nocache n=n %>(<%= it.n %>)<% endnocache %><% nocache n=n %><%~ await captureAsync(async () => { %><%= await it.later(it.n) %><% }) %><% endnocache %><% endcache %>c`,
  },
  'a body that waits': {
    main: `<% const n = 1 %><% cache 60 x %>a<% await it.later() %>${user}<% nocache n=n %><%= it.n %><% endnocache %><% await it.later() %>b<% endcache %>c`,
  },
  'fragments that wait, in one another': {
    main: `<% const n = 1 %><% cache 60 x %>a<% await it.later() %><% cache 60 y %>(<% await it.later() %><% nocache n=n %><%= await it.later(it.n + it.user) %><% endnocache %>)<% endcache %>b<% endcache %>c`,
  },
  'fragments in a block that waits': {
    main: `<% cache 60 x %>a<% nocache %><% const n = it.user %><%= n %><% cache 60 y n %>(<%= await it.later(n) %>)<% endcache %><% await it.later() %><% cache 60 z n %>z<% endcache %><% endnocache %>b<% endcache %>c`,
  },
  'a fragment without waiting in a block with a variable': {
    main: `<% cache 60 x %>a<% nocache %><% const n = it.user %><%= n %><% cache 60 y n %>y<% endcache %><% endnocache %>b<% endcache %>c`,
  },
  'a fragment that is left after it waited': {
    main: `<% for (const x of [1, 2]) { %><% cache 60 x x %>b<% nocache x=x %><%= await it.later(it.x + it.user) %><% endnocache %><% if (x === 2) break %>c<% endcache %><% } %>!`,
    warmBodies: 1,
  },
  'an async function around': {
    main: `<% const part = async (x) => { %><% cache 60 x x %>b<% nocache x=x %><%= await it.later(it.x + it.user) %><% endnocache %><% endcache %>,<% } %><% await part(1); await part(2) %>`,
  },
  'captureAsync around and inside': {
    main: `<% const c = await captureAsync(async () => { %>a<% cache 60 x %>b${user}<% nocache %><%~ (await captureAsync(async () => { %><%= it.user %><% })).toUpperCase() %><% endnocache %><% endcache %>c<% }) %>[<%= c %>]`,
  },
  'a block of Eta’s': {
    main: `<% layout('@l') %><% await blockAsync('b', async () => { %><% cache 60 x %>b${user}<% endcache %><% }) %>p${user}`,
    templates: { l: `[<%~ it.body %><%~ await blockAsync('b') %>]` },
  },
  'concurrent includes': {
    main: `<%~ (await Promise.all(['1', '2', '2'].map((x) => includeAsync('@p', { x })))).join('+') %>`,
    templates: {
      p: `<% const x = it.x %><% cache 60 x x %>b<% await it.later() %><% nocache x=x %><%= await it.later(it.x + it.user) %><% endnocache %><% endcache %>`,
    },
  },
}

const visits = [{ user: 'Ann' }, { user: 'Bob' }, { user: 'Cy' }]

type Render = (eta: Eta, data: object) => string | Promise<string>

async function expectSame(test: Case, make: () => Cache, render: Render): Promise<void> {
  const templates = { main: test.main, ...test.templates }
  const plain = etaWith(undefined, templates, test.config)
  const eta = etaWith(createCaches({ default: make() }), templates, test.config)
  const later = async (value: unknown) => {
    await new Promise((resolve) => setImmediate(resolve))
    return value
  }
  const given = (test.visits ?? visits).map((visit) => ({ ...test.data, ...visit, later }))
  for (const [i, data] of given.entries()) {
    const expected = await render(plain, data)
    const { outcome } = await countBodies(() => render(eta, data))
    expect(outcome).toBe(expected)
    expect(expected).not.toContain('undefined')
    if (i === 0) continue
    const { outcome: warm, bodyRuns } = await countBodies(() => render(eta, data))
    expect(warm).toBe(expected)
    expect(bodyRuns).toBe(test.warmBodies ?? 0)
  }
}

const sync: Render = (eta, data) => eta.render('@main', data)
const async: Render = (eta, data) => eta.renderAsync('@main', data)

describe('nocache in Eta, synchronously', () => {
  it.each(Object.entries({ ...common, ...atOnce, ...including('include') }))(
    '%s',
    async (_, test) => {
      await expectSame(test, () => new LocMemCache(), sync)
    },
  )
})

describe('nocache in Eta, asynchronously in functions that are not async', () => {
  it.each(Object.entries(atOnce))('%s', async (_, test) => {
    await expectSame(test, () => new LocMemCache(), async)
  })
})

describe.each(stores)('nocache in Eta, asynchronously over %s', (_, make) => {
  const all = { ...common, ...including('await includeAsync'), ...waiting }
  it.each(Object.entries(all))('%s', async (_id, test) => {
    await expectSame(test, make, async)
  })
})
