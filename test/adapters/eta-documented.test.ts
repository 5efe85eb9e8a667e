import { Eta, type EtaConfig } from 'eta'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { etaWith } from './eta-driver.js'

/** A construct that Eta documents, with values of ours. */
interface Documented {
  /** A body, around which the tag is put; or with tags of its own. */
  readonly source: string
  readonly data?: object
  readonly templates?: Readonly<Record<string, string>>
  readonly config?: Partial<EtaConfig>
  /** Only with `renderAsync`. */
  readonly waits?: true
  /** A tag stands in a function that cannot wait, so that the cache must answer at once. */
  readonly inFunction?: true
}

const list = [
  { name: 'tea', price: 3 },
  { name: 'salt & pepper', price: 0 },
]
const later = async <T>(value: T): Promise<T> => {
  await new Promise((resolve) => setImmediate(resolve))
  return value
}
const fails = async (): Promise<never> => {
  await later(0)
  throw new Error('refused')
}
const cached = (name: string, body: string) =>
  `<% cache 60 ${name} %><% it.run() %>${body}<% endcache %>`

const cases: Record<string, Documented> = {
  'output, escaped and raw': {
    source: `<%= it.html %> <%~ it.html %> <%= it.none %> <%= 1 + 1 %> <%= "text %> with an end" %>`,
    data: { html: '<b>&"\'</b>' },
  },
  'JavaScript: variables, conditions and loops': {
    source:
      '<% const n = it.list.length; let sum = 0 %><% if (n > 1) { %>many<% } else { %>few<% } %><% it.list.forEach((one, i) => { %> <%= i %>:<%= one.name %><% sum += one.price %><% }) %><% for (const one of it.list) { %>.<% } %><% switch (n) { case 2: %>two<% } %><%= sum %>',
    data: { list },
  },
  'a continued expression over several tags': {
    source: '<% it.list.filter((one) => one.price).map(function (one) { %><%= one.name %><% }) %>',
    data: { list },
  },
  comments: { source: 'a<% /* nothing */ %>b<%/* one */%>c<% // to the end of the line\n %>d' },
  'white space taken away at a tag': {
    source: 'a \n <%- 1 %> \n b <%_ 2 _%> \n\n c <%- = it.x -%> \n d <%_ = it.x _%> \n e',
    data: { x: 'X' },
  },
  'white space taken away everywhere': {
    source: 'a \n\n<% if (1) { %>\n  b  \n<% } %>\n  c',
    config: { autoTrim: ['nl', 'slurp'] },
  },
  'lines without what surrounds them': {
    source: 'a   \n\n   b <% let x = 1 %>  \n <%= x %>',
    config: { rmWhitespace: true },
  },
  'a function that puts out text': {
    source: '<% output("a"); for (let i = 0; i < 2; i++) output(i) %>',
  },
  'such a function of another name': {
    source: '<% echo("a") %><%= 1 %>',
    config: { outputFunctionName: 'echo' },
  },
  'text captured in a variable': {
    source: '<% const text = capture(() => { %>in <%= it.x %><% }) %>[<%~ text %>|<%~ text %>]',
    data: { x: '<' },
  },
  'captures in captures': {
    source:
      '<% const a = capture(() => { %>a<% const b = capture(() => { %>b<% }) %><%= b.toUpperCase() %><% }) %>(<%~ a %>)',
  },
  'functions of the template': {
    source: '<% const row = (one) => { %><li><%= one.name %></li><% } %><% it.list.forEach(row) %>',
    data: { list },
  },
  'includes, of more and of other data': {
    source:
      '<%~ include("@row", { name: "n" }) %> <%~ include("@row") %><% const own = include("@row", it.list[0]) %><%~ own %>',
    data: { list, name: 'outer' },
    templates: { row: '<<%= it.name %>/<%= it.list.length %>>' },
  },
  'a template that includes itself': {
    source: '<%~ include("@tree", it.tree) %>',
    data: {
      tree: {
        name: 'a',
        inner: [
          { name: 'b', inner: [] },
          { name: 'c', inner: [] },
        ],
      },
    },
    templates: {
      tree: '(<%= it.name %><% it.inner.forEach((one) => { %><%~ include("@tree", one) %><% }) %>)',
    },
  },
  'an include with a layout of its own': {
    source: '[<%~ include("@page", { title: "t" }) %>]',
    templates: {
      page: '<% layout("@frame", { extra: "e" }) %>page <%= it.title %>',
      frame: '<<%= it.title %> <%= it.extra %>><%~ it.body %></>',
    },
  },
  'a layout around tags, and tags in it': {
    source: `<% layout('@frame', { extra: 'e' }) %>${cached('inner', 'page <%= it.x %>')}!`,
    data: { x: 1 },
    templates: { frame: `${cached('outer', '<title><%= it.extra %></title>')}<%~ it.body %>` },
  },
  'layouts of layouts': {
    source: `<% layout('@inner') %>${cached('page', 'p')}`,
    templates: {
      inner: `<% layout('@outer') %>${cached('inner', 'i')}(<%~ it.body %>)`,
      outer: `${cached('outer', 'o')}[<%~ it.body %>]`,
    },
  },
  'blocks given to a layout, and its own where none is given': {
    inFunction: true,
    source: `<% layout('@frame') %><% block('title', () => { %>${cached('title', 'T <%= it.x %>')}<% }) %>${cached('main', 'main')}`,
    data: { x: 1 },
    templates: {
      frame: `<title><%~ block('title', () => { %>${cached('no-title', 'none')}<% }) %></title><%~ it.body %><%~ block('foot', () => { %>${cached('foot', 'foot')}<% }) %><%~ block('missing') %>`,
    },
  },
  'blocks where there is no layout': {
    inFunction: true,
    source: `<%~ block('a', () => { %>${cached('a', 'a <%= it.x %>')}<% }) %>.`,
    data: { x: 1 },
  },
  'blocks of layouts of layouts': {
    inFunction: true,
    source: `<% layout('@inner') %><% block('x', () => { %>${cached('page', 'x of the page')}<% }) %>b`,
    templates: {
      inner: `<% layout('@outer') %><% block('y', () => { %>${cached('inner', 'y:')}<%~ block('x') %><% }) %><%~ it.body %>`,
      outer: `<%~ block('y', () => { %>none<% }) %>|<%~ it.body %>`,
    },
  },
  'other delimiters': {
    source: '{{= it.x }}{{ if (it.x) { }}yes{{ } }}',
    data: { x: 1 },
    config: { tags: ['{{', '}}'] },
  },
  'other prefixes': {
    source: '<%* it.x %><%! let y = 2 %><%# y %>',
    data: { x: '<' },
    config: { parse: { exec: '!', interpolate: '*', raw: '#' } },
  },
  "tags of one's own": {
    source: '<%@ hello %> <%= it.x %>',
    data: { x: 1 },
    config: { customTags: { '@': (content) => `[${content.trim()}]` } },
  },
  'names without the data variable': {
    source: '<%= x %><% list.forEach((one) => { %><%= one.name %><% }) %>',
    data: { x: 1, list },
    config: { useWith: true },
  },
  'another name of the data variable': {
    source: '<%= größe.x %><%= more %><%~ include("@row", { y: 2 }) %>',
    data: { x: 1 },
    templates: { row: '(<%= größe.x %><%= größe.y %>)' },
    config: { varName: 'größe', functionHeader: 'const more = 5' },
  },
  'values that are filtered, and not escaped': {
    source: '<%= it.x %><%~ it.none %>',
    data: { x: '<' },
    config: {
      autoEscape: false,
      autoFilter: true,
      filterFunction: (value: unknown) =>
        value === undefined ? 'nothing' : `f(${value as string})`,
    },
  },
  "an escape function of one's own": {
    source: '<%= it.x %>',
    data: { x: 'a' },
    config: { escapeFunction: (value: unknown) => `e(${value as string})` },
  },
  plugins: {
    source: 'a :one: <%= it.x %>',
    data: { x: 1 },
    config: {
      plugins: [{ processTemplate: (text: string) => text.replace(':one:', '1') }],
    },
  },
  'errors with their place': {
    source: '<% try { %>a<% throw new Error("x") %><% } catch (e) { %><%= e.message %><% } %>',
    config: { debug: true },
  },
  'errors that the template catches': {
    source: '<% try { %>a<% it.missing.deep %>b<% } catch { %>caught<% } finally { %>!<% } %>',
  },
  'waiting for values, in order': {
    source:
      '<%= await it.later("a") %><% for (const one of it.list) { %><%= await it.later(one.name) %><% } %><% for await (const x of [it.later(1), 2]) { %><%= x %><% } %>',
    data: { list, later },
    waits: true,
  },
  'asynchronous functions, captures and includes': {
    source:
      '<% const row = async (n) => { %>r<%= await it.later(n) %><% } %><% await row(1) %><% await row(2) %><% const text = await captureAsync(async () => { %>c<%= await it.later(3) %><% }) %>[<%~ text %>]<%~ await includeAsync("@row", { x: 4 }) %>',
    data: { later },
    templates: { row: 'i<%= await it.later(it.x) %>' },
    waits: true,
  },
  'asynchronous blocks and layouts': {
    source: `<% layout('@frame') %><% await blockAsync('title', async () => { %>${cached('title', 'T<%= await it.later(1) %>')}<% }) %>${cached('main', '<%= await it.later(2) %>')}`,
    data: { later },
    templates: {
      frame: `<%~ await blockAsync('title') %>:<%~ it.body %><%~ await blockAsync('foot', async () => { %>${cached('foot', '<%= await it.later(3) %>')}<% }) %>`,
    },
    waits: true,
  },
  'refusals that the template catches': {
    source:
      '<% try { %>a<%= await it.fails() %>b<% } catch (error) { %>[<%= error.message %>]<% } %><%= await it.fails().catch(() => "c") %><%= (await Promise.allSettled([it.fails(), it.later(1)])).length %>',
    data: { later, fails },
    waits: true,
  },
}

function setUp({ source, data, templates, config }: Documented, make?: () => Cache) {
  const eta = etaWith(make && createCaches({ default: make() }), templates, config)
  const name = config?.varName ?? 'it'
  const run = config?.useWith === true ? 'run()' : `${name}.run()`
  const [open, close] = config?.tags ?? ['<%', '%>']
  const exec = config?.parse?.exec ?? ''
  const tag = (code: string) => `${open}${exec} ${code} ${close}`
  const whole = source.includes('endcache')
    ? source
    : `${tag('cache 60 page')}${tag(run)}${source}${tag('endcache')}`
  let runs = 0
  const given = () => ({ ...data, run: () => void runs++ })
  return {
    sync: () => eta.renderString(whole, given()),
    async: () => eta.renderStringAsync(whole, given()),
    takeRuns() {
      const taken = runs
      runs = 0
      return taken
    },
  }
}

describe('what Eta documents works in a cache tag', () => {
  it.each(Object.entries(cases))('%s', async (_, one) => {
    const plain = setUp(one)
    const text = one.waits === true ? await plain.async() : plain.sync()
    expect(text).not.toBe('')
    const runs = plain.takeRuns()
    expect(runs).toBeGreaterThan(0)
    const near = setUp(one, () => new LocMemCache())
    const inPlace = one.waits === true ? near.async : near.sync
    expect(await inPlace(), 'cold').toBe(text)
    expect(await inPlace(), 'warm').toBe(text)
    expect(await near.async(), 'warm, asynchronously').toBe(text)
    expect(near.takeRuns()).toBe(runs)
    const far = setUp(one, () => new AsyncTestCache())
    if (one.inFunction === true) {
      await expect(far.async()).rejects.toThrow(/in a function that is not async/)
      return
    }
    expect(await far.async(), 'asynchronous cache, cold').toBe(text)
    expect(await far.async(), 'asynchronous cache, warm').toBe(text)
    expect(far.takeRuns()).toBe(runs)
  })
})

describe('what Eta documents works around a cache tag', () => {
  it('templates are compiled, given to render, kept, and taken away', () => {
    const eta = etaWith(createCaches({ default: new LocMemCache() }), {}, { cache: true })
    const plain = new Eta()
    const template = eta.compile('<% cache 60 a it.x %><%= it.x %><% endcache %>!')
    expect(eta.render(template, { x: 1 })).toBe(
      plain.render(plain.compile('<%= it.x %>!'), { x: 1 }),
    )
    eta.loadTemplate('@kept', template)
    expect(eta.render('@kept', { x: 2 })).toBe('2!')
    expect(eta.templatesSync.get('@kept')).toBe(template)
    eta.templatesSync.remove('@kept')
    expect(() => eta.render('@kept', {})).toThrow('Failed to get template')
  })

  it('an engine with another configuration keeps the tag', () => {
    const eta = etaWith(createCaches({ default: new LocMemCache() }))
    const other = eta.withConfig({ varName: 'data' })
    const render = (x: number) =>
      other.renderString('<% cache 60 a %><%= data.x %><% endcache %>', { x })
    expect([render(1), render(2)]).toEqual(['1', '1'])
  })
})
