import { Eta } from 'eta'
import { createCaches, FragmentCache, LocMemCache, type Cache, type CacheTagError } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { describe, expect, it } from 'vitest'
import { countBodies } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { etaWith } from './eta-driver.js'

const inMemory = () => createCaches({ default: new LocMemCache() })

function faultOf(action: () => unknown): CacheTagError {
  try {
    action()
  } catch (error) {
    return error as CacheTagError
  }
  throw new Error('nothing was thrown')
}

const user = '<% nocache %><%= it.user %><% endnocache %>'

describe('a nocache block that could not be rendered on a hit is refused when compiled', () => {
  const made =
    /this nocache block uses "x", which is made in its template, .*name it: <% nocache x=x %>/
  const inside: [string, string][] = [
    ['a constant', `<% const x = 1 %>`],
    ['a later constant of several', `<% const a = [1, 2], b = { c: 1 }, x = 1 %>`],
    ['a variable without a value', `<% let x %>`],
    ['a var in a block', `<% { var x = 1 } %>`],
    ['a pattern', `<% const { a, b: [x] } = it %>`],
    ['a pattern with default values and the rest', `<% const { a = f(1, 2), ...x } = it %>`],
    ['a function', `<% function x() {} %>`],
    ['a generator function', `<% function* x() {} %>`],
    ['a class', `<% class x {} %>`],
    ['a loop', `<% for (const x of it.xs) { %>`],
    ['a loop over keys', `<% for (let x in it.xs) { %>`],
    ['a loop that counts', `<% for (let i = 0, x = 1; i < 2; i++) { %>`],
    ['an awaiting loop', `<% for await (const [, x] of it.xs) { %>`],
    ['an error', `<% try { f() } catch (x) { %>`],
    ['a part of an error', `<% try { f() } catch ({ x }) { %>`],
    ['an arrow function', `<% it.xs.forEach((y, x) => { %>`],
    ['an arrow function without brackets', `<% it.xs.forEach(x => { %>`],
    ['an arrow function around another', `<% it.xs.forEach(x => x.forEach(() => { %>`],
    ['an async arrow function', `<% it.xs.map(async ({ x }) => { %>`],
    ['a function expression', `<% it.xs.forEach(function (y = 1, ...x) { %>`],
    ['a method', `<% const o = { m(x) { %>`],
    ['a switch', `<% switch (1) { case 1: { const x = 1; %>`],
    [
      'a text with brackets before it',
      `<% const t = '({[', u = \`\${'}'}{\`, r = /[/({]\\//, x = 1 %>`,
    ],
    ['a comment before it', `<% /* ( */ const // {\n x = 1 %>`],
  ]

  it.each(inside)('%s', (_, code) => {
    const template = `\n<% cache 9 f %>\n${code}\n<% nocache %><%= x %><% endnocache %>`
    const error = faultOf(() => etaWith(inMemory()).compile(template + '<% endcache %>'))
    expect(error.message).toMatch(made)
    expect(error).toMatchObject({ code: 'FRAGCACHE_TAG', line: 3 + code.split('\n').length })
  })

  it('also where the name is declared after it, or outside as well', () => {
    const after = `<% cache 9 f %><% nocache %><%= x %><% endnocache %><% const x = 1 %><% endcache %>`
    const shadowed = `<% const x = 1 %><% cache 9 f %><% { const x = 2 %><% nocache %><%= x %><% endnocache %><% } %><% endcache %>`
    for (const template of [after, shadowed]) {
      expect(faultOf(() => etaWith(inMemory()).compile(template)).message).toMatch(made)
    }
  })

  it('also in the arguments of a tag in it, in a text and in a function', () => {
    const uses = [
      '<% cache 9 g x %>1<% endcache %>',
      '<%= `${it.a}${[x]}` %>',
      '<% const f = () => ({ a: [x] }) %><%= f().a %>',
      '<%= { x }.x %>',
      '<%= it.a ? x : 1 %>',
      '<% it.a[x] %>',
      '<%= -x %>',
    ]
    for (const use of uses) {
      const template = `<% cache 9 f %><% const x = 1 %><% nocache %>${use}<% endnocache %><% endcache %>`
      expect(faultOf(() => etaWith(inMemory()).compile(template)).message).toMatch(made)
    }
  })

  it('not where the name is another’s', () => {
    const uses = [
      '<%= it.x %>',
      '<%= it?.x %>',
      '<%= ({ x: 1 }).x %>',
      "<%= 'x' %>",
      '<%= `x` %>',
      '<% const x = 2 %><%= x %>',
      '<%= [1].map((x) => x) %>',
      '<%= [1].map(x => x + 1) %>',
      '<% for (const x of [1]) { %><%= x %><% } %>',
      '<% /* x */ // x\n %>',
      '<%= /x/.source %>',
    ]
    for (const use of uses) {
      const template = `<% cache 9 f %><% const x = 1 %><% nocache %>${use}<% endnocache %><% endcache %>`
      expect(etaWith(inMemory()).compile(template)).toBeInstanceOf(Function)
    }
  })

  const other: [string, string, RegExp][] = [
    [
      'a variable that is made outside of the fragment',
      `<% let n = 0 %><% cache 9 f %><% nocache %><%= n %><% endnocache %><% endcache %>`,
      /uses "n", which is made in its template/,
    ],
    [
      'a variable that the block changes',
      `<% let n = 0 %><% cache 9 f %><% nocache %><% n += 1 %><% endnocache %><%= n %><% endcache %>`,
      /uses "n", which is made in its template/,
    ],
    [
      'a variable that is named too, since the value is one of the data',
      `<% let n = 0 %><% nocache n=n %><%= n %><% endnocache %>`,
      /uses "n", which is made in its template/,
    ],
    [
      'a variable of the block around it',
      `<% nocache %><% const n = 1 %><% nocache %><%= n %><% endnocache %><% endnocache %>`,
      /uses "n", which is made in its template/,
    ],
    [
      'var',
      `<% cache 9 f %><% nocache %><% var n = 1 %><%= n %><% endnocache %><% endcache %>`,
      /nocache declares "n" by var/,
    ],
    [
      'break',
      `<% for (const x of it.xs) { %><% nocache %><% break %><% endnocache %><% } %>`,
      /cannot run on its own on a hit \(Illegal break/,
    ],
    ['return', `<% nocache %><% if (it.x) return %><% endnocache %>`, /there is a return/],
    [
      'yield',
      `<% function* g() { %><% nocache %><% yield 1 %><% endnocache %><% } %>`,
      /the content of nocache cannot run on its own/,
    ],
    [
      'a bracket that is closed outside',
      `<% cache 9 f %><% nocache %><% if (it.x) { %>a<% endnocache %><% } %><% endcache %>`,
      /a bracket is opened or closed/,
    ],
    [
      'layout',
      `<% cache 9 f %><% nocache %><% layout('@l') %><% endnocache %><% endcache %>`,
      /nocache calls layout\(\), which does nothing there/,
    ],
    [
      'block',
      `<% cache 9 f %><% nocache %><%~ block('b') %><% endnocache %><% endcache %>`,
      /nocache calls block\(\)/,
    ],
    ['a value without a name', `<% nocache 60 %>a<% endnocache %>`, /"60"/],
    [
      'a name twice',
      `<% nocache a=1 a=2 %>a<% endnocache %>`,
      /"a" is given twice|the keyword "a"/,
    ],
    ['a name without a value', `<% nocache a= %>a<% endnocache %>`, /a/],
    ['no expression', `<% nocache a=(1+) %>a<% endnocache %>`, /is not a JavaScript expression/],
    ['arguments of the end', `<% nocache %>a<% endnocache x %>`, /leave out "x"/],
    ['no end', `\n<% nocache %>a`, /the endnocache is missing/],
    ['no beginning', `a<% endnocache %>`, /no nocache tag before it/],
    [
      'a fragment that ends inside',
      `<% cache 9 f %><% nocache %><% endcache %><% endnocache %>`,
      /this endcache is inside the other tag/,
    ],
    [
      'a fragment that begins inside',
      `<% nocache %><% cache 9 f %><% endnocache %><% endcache %>`,
      /this endnocache is inside the other tag/,
    ],
  ]

  it.each(other)('%s', (_, template, message) => {
    expect(faultOf(() => etaWith(inMemory()).compile(template)).message).toMatch(message)
  })

  it('not where the option useWith makes the named value a variable', () => {
    const eta = etaWith(inMemory(), {}, { useWith: true })
    const template = `<% for (const n of ns) { %><% cache 9 f n %><% nocache n=n %><%= n + user %><% endnocache %><% endcache %><% } %>`
    for (const user of ['Ann', 'Bob']) {
      expect(eta.renderString(template, { ns: [1, 2], user })).toBe(`1${user}2${user}`)
    }
  })

  it('JavaScript with variables of those names stays what it is', () => {
    const template = `<% let nocache = 1, endnocache %><% nocache = nocache + 1 %><% nocache++ %><%= nocache %><% endnocache = (nocache) %><%= endnocache %>`
    expect(etaWith(inMemory()).renderString(template, {})).toBe('33')
  })
})

const stores: [string, () => Cache][] = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
]

describe.each(stores)('a nocache block met in another template’s fragment, over %s', (_, make) => {
  it.each([
    ['by an include', `<%~ await includeAsync('@p', { x: 1, user: 'row' }) %>`],
    ['further out', `<%~ await includeAsync('@mid', { x: 1, user: 'row' }) %>`],
    ['by its layout', `<%~ await includeAsync('@laid') %>`],
  ])('sees nothing of what its template is given %s', async (_id, inner) => {
    const eta = etaWith(createCaches({ default: make() }), {
      main: `<% cache 60 outer %>[${inner}]<% endcache %>`,
      bare: inner,
      mid: `<%~ await includeAsync('@p', it) %>`,
      laid: `<% layout('@p', { x: 1, user: 'laid' }) %>b`,
      p: `<% nocache %><%= it.x ?? '-' %><%= it.user %><% endnocache %>`,
    })
    for (const user of ['Ann', 'Bob']) {
      expect(await eta.renderAsync('@bare', { user })).toBe(`-${user}`)
      expect(await eta.renderAsync('@main', { user })).toBe(`[-${user}]`)
    }
  })

  it.each([
    ['gives a value', `<% it.user = 'x'; it.more = 1 %>`],
    ['assigns properties', `<% Object.assign(it, { user: 'x', more: 1 }) %>`],
    ['counts', `<% it.n++; it.more = 1 %>`],
    ['deletes', `<% delete it.user; it['more'] = 1 %>`],
  ])('sees the data as they were given, where the body %s', async (_id, change) => {
    const hole = `<% nocache %><%= it.user + it.n + (it.more ?? '') %><% endnocache %>`
    const eta = etaWith(createCaches({ default: make() }))
    const template = `<% cache 60 f %>${change}${hole}<% endcache %>`
    for (const user of ['Ann', 'Bob']) {
      expect(await eta.renderStringAsync(template, { user, n: 1 })).toBe(`${user}1`)
    }
  })

  it('is refused where code renders its template inside the fragment', async () => {
    const eta = etaWith(createCaches({ default: make() }), {
      main: `<% cache 60 outer %><%~ await it.render('@p', { user: 'x' }) %><% endcache %>`,
      p: user,
    })
    const render = (name: string, data: object) => eta.renderAsync(name, data)
    for (let i = 0; i < 2; i++) {
      const failing = eta.renderAsync('@main', { user: 'Ann', render })
      await expect(failing).rejects.toThrow(/rendered by a render of its own inside a cached body/)
    }
  })

  it('is refused if its template has no name, save in its own fragment', async () => {
    const eta = etaWith(createCaches({ default: make() }))
    const nameless = eta.compile(user, { async: true })
    const outer = `<% cache 60 outer %>[<%~ await includeAsync(it.nameless, it) %>]<% endcache %>`
    const data = { user: 'Ann', nameless }
    await expect(eta.renderStringAsync(outer, data)).rejects.toThrow(/its template has no name/)
    const own = `<% cache 60 own %>[${user}]<% endcache %>`
    expect(await eta.renderStringAsync(own, { user: 'Ann' })).toBe('[Ann]')
    expect(await eta.renderStringAsync(own, { user: 'Bob' })).toBe('[Bob]')
  })

  it('whose text is carried out of the fragment never reaches a page', async () => {
    const eta = etaWith(createCaches({ default: make() }))
    const carried = `<% let text %><% cache 60 f %><% text = capture(() => { %>${user}<% }) %><% endcache %><%~ text %>`
    await expect(eta.renderStringAsync(carried, { user: 'Ann' })).rejects.toThrow(
      /was carried out of the cached body/,
    )
    const altered = `<% cache 60 f %><% const text = capture(() => { %>${user}<% }) %><%= text %><% endcache %>`
    await expect(eta.renderStringAsync(altered, { user: 'Ann' })).rejects.toThrow(
      /the output of nocache was altered/,
    )
  })

  it('that is another one after its template changed makes the fragment a miss', async () => {
    const caches = createCaches({ default: make() })
    const main = `<% cache 60 outer %>[<%~ await includeAsync('@p') %>]<% endcache %>`
    const before = etaWith(caches, { main, p: `<% nocache %>1<%= it.user %><% endnocache %>` })
    expect(await before.renderAsync('@main', { user: 'Ann' })).toBe('[1Ann]')
    const after = etaWith(caches, { main, p: `<% nocache %>2<%= it.user %><% endnocache %>` })
    const first = await countBodies(() => after.renderAsync('@main', { user: 'Bob' }))
    expect(first).toMatchObject({ outcome: '[2Bob]', bodyRuns: 1 })
    const second = await countBodies(() => after.renderAsync('@main', { user: 'Cy' }))
    expect(second).toMatchObject({ outcome: '[2Cy]', bodyRuns: 0 })
  })

  it('that throws fails the page on a hit as on a miss, and what is around it stays stored', async () => {
    const eta = etaWith(createCaches({ default: make() }))
    const template = `<% cache 60 f %>[<% nocache %><%= it.user() %><% endnocache %>]<% endcache %>`
    const failing = () => {
      throw new RangeError('no user')
    }
    for (let i = 0; i < 2; i++) {
      await expect(eta.renderStringAsync(template, { user: failing })).rejects.toThrow('no user')
    }
    const data = { user: () => 'Ann' }
    const { outcome, bodyRuns } = await countBodies(() => eta.renderStringAsync(template, data))
    expect([outcome, bodyRuns]).toEqual(['[Ann]', 0])
  })

  it('is each visitor’s own where many wait for one body', async () => {
    const eta = etaWith(createCaches({ default: make() }))
    const template = `<% cache 60 f %>[<% await it.wait() %><% nocache %><%= it.n %>,<%= await it.give(it.n) %><% endnocache %>]<% endcache %>`
    const data = {
      wait: () => new Promise((resolve) => setImmediate(resolve)),
      give: async (value: unknown) => value,
    }
    const { outcome, bodyRuns } = await countBodies(() =>
      Promise.all(
        Array.from({ length: 50 }, (_n, n) => eta.renderStringAsync(template, { ...data, n })),
      ),
    )
    expect(outcome).toEqual(Array.from({ length: 50 }, (_n, n) => `[${n},${n}]`))
    expect(bodyRuns).toBe(1)
  })

  it('that waits while something else is written is told apart', async () => {
    const eta = etaWith(createCaches({ default: make() }))
    const template = `<% await Promise.all([(async () => { %><% cache 60 f %>[<% nocache %><%= await it.wait() ?? 1 %><% endnocache %>]<% endcache %><% })(), (async () => { await 0; await 0 %>text<% })()]) %>`
    const data = { wait: () => new Promise((resolve) => setTimeout(resolve, 20)) }
    for (let i = 0; i < 2; i++) {
      await expect(eta.renderStringAsync(template, data)).rejects.toThrow(/rendered concurrently/)
    }
  })

  it.each([
    ['the page', `<% layout('@around') %>a body long enough ${user}`],
    [
      'an include of the page',
      `<% layout('@around') %>a body long enough <%~ await includeAsync('@p') %>`,
    ],
  ])('in %s is not stored with a layout’s fragment around the body', async (_id, page) => {
    const eta = etaWith(createCaches({ default: make() }), {
      main: page,
      p: user,
      plain: `<% layout('@around') %>a body long enough`,
      around: `<% cache 60 around %><main><%~ it.body %></main><% endcache %>`,
      beside: `<% layout('@aside') %>a body long enough ${user}`,
      aside: `<% cache 60 aside %>menu<% endcache %><%~ it.body %>`,
    })
    for (const name of ['Ann', 'Bob']) {
      const failing = eta.renderAsync('@main', { user: name })
      await expect(failing).rejects.toThrow(/it holds the body of the template/)
      expect(await eta.renderAsync('@beside', { user: name })).toBe(
        `menua body long enough ${name}`,
      )
    }
    expect(await eta.renderAsync('@plain', {})).toBe('<main>a body long enough</main>')
  })
})

describe('a template function that is called directly', () => {
  const card = `<% cache 60 card %>[${user}]<% endcache %>`

  it.each([
    ['with a tag', card],
    ['that includes one', `<%~ include('@card') %>`],
    ['with a layout', `<% layout('@around') %>${card}`],
  ])('%s, leaves the options alone, which all its visitors may share', (_id, source) => {
    const eta = etaWith(inMemory(), { card, around: `<%~ it.body %>` })
    const template = eta.compile(source)
    const options = Object.freeze({})
    for (const name of ['Ann', 'Bob']) {
      expect(template.call(eta, { user: name }, options)).toBe(`[${name}]`)
    }
  })

  it('has the options that it is given', () => {
    const source = `<%= JSON.stringify(options) %><%~ include('@part') %>`
    const templates = { part: `<%= Object.keys(options) %>include` }
    const expected = etaWith(undefined, templates).compile(source)
    const eta = etaWith(inMemory(), templates)
    const template = eta.compile(source)
    for (const options of [undefined, { filepath: '/a' }]) {
      expect(template.call(eta, {}, options)).toBe(expected.call(eta, {}, options))
    }
  })
})

describe('what a layout is given', () => {
  it.each([
    ['a block in a fragment', `a body that is long <% cache 60 f %>${user}<% endcache %>`, true],
    ['a short body', user, false],
    ['a body with white space around', `  ${user} long enough a body  `, true],
  ])('is not stored with the layout’s fragment: %s', async (_id, body, throws) => {
    const eta = etaWith(inMemory(), {
      main: `<% layout('@around') %>${body}`,
      around: `<% cache 60 around %><main><%~ it.body.trim() %></main><% endcache %>`,
    })
    for (const name of ['Ann', 'Bob']) {
      const page = eta.renderAsync('@main', { user: name })
      if (throws) await expect(page).rejects.toThrow(/it holds the body of the template/)
      else expect(await page).toBe(`<main>${name}</main>`)
    }
  })
})

describe('the data of a page with a nocache block that names a value', () => {
  class Visitor {
    readonly #user: string
    readonly items = [1]
    constructor(user: string) {
      this.#user = user
    }
    get user() {
      return this.#user
    }
    greet() {
      return `Hi ${this.#user}`
    }
  }

  it.each<[what: string, make: (user: string) => object, greets?: boolean]>([
    ['frozen', (name) => Object.freeze({ id: 1, user: name })],
    ['an object of a class', (name) => new Visitor(name), true],
    [
      'a proxy',
      (name) => new Proxy({ user: name }, { get: (to, key) => Reflect.get(to, key) as unknown }),
    ],
    ['without a prototype', (name) => Object.assign(Object.create(null) as object, { user: name })],
  ])('may be %s', (_what, make, greets = false) => {
    const eta = etaWith(inMemory())
    const source = `<% cache 60 f %><% [1].map((x) => { const y = x; return y }) %><% nocache id=3 %><%= it.id %><%= it.user %><%= it.greet ? it.greet() : '' %><% endnocache %><% endcache %>`
    for (const name of ['Ann', 'Bob']) {
      const text = eta.renderString(source, make(name))
      expect(text).toBe(`3${name}${greets ? `Hi ${name}` : ''}`)
    }
  })

  it('is as it was given, however the body changes it', () => {
    const changes = [
      `<% const d = it; d.user = 'x' %>`,
      `<% for (it.user of ['x']) {} %>`,
      `<% it\n.user = 'x' %>`,
    ]
    for (const [at, change] of changes.entries()) {
      const eta = etaWith(inMemory())
      for (const name of ['Ann', 'Bob']) {
        expect(
          eta.renderString(`<% cache 60 f${at} %>${change}${user}<% endcache %>`, { user: name }),
        ).toBe(name)
      }
    }
    const eta = etaWith(inMemory(), {}, { useWith: true })
    const source = `<% cache 60 f %><% user = 'x' %><% nocache %><%= user %><% endnocache %><% endcache %>`
    for (const name of ['Ann', 'Bob']) expect(eta.renderString(source, { user: name })).toBe(name)
  })
})

it('a function’s own `it` does not keep a block from the data', () => {
  const source = `<% const f = it => it.id %><% cache 60 f %>${user}<% endcache %>`
  for (const name of ['Ann', 'Bob']) {
    expect(etaWith(inMemory()).renderString(source, { user: name })).toBe(name)
  }
})

it('engines that escape differently have blocks of their own', async () => {
  const plugin = cachePlugin(inMemory())
  const [mail, site] = [{ autoEscape: false }, {}].map(
    (config) => new Eta({ ...config, plugins: [plugin] }),
  ) as [Eta, Eta]
  for (const eta of [mail, site]) eta.loadTemplate('@p', `Hi ${user}`)
  const data = { user: '<b>' }
  expect(mail.render('@p', data)).toBe('Hi <b>')
  const fragments = new FragmentCache(inMemory())
  const options = { name: 'page', timeout: 60, holes: plugin.holes(data) }
  for (let i = 0; i < 2; i++) {
    expect(await fragments.render(options, () => site.render('@p', data))).toBe('Hi &lt;b&gt;')
  }
})
