import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { describe, expect, it } from 'vitest'
import { createCaches, FragmentCache, LocMemCache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { setUp } from './handlebars-support.js'

const context = {
  user: 'Ann',
  rows: [
    { n: 1, xs: [1] },
    { n: 2, xs: [2] },
  ],
  o: { n: 7, user: 'Ann' },
  ids: [5],
}

async function faultOf(
  run: () => unknown,
): Promise<{ readonly code?: string; readonly message: string; readonly line?: number }> {
  try {
    await run()
  } catch (error) {
    return error as Error
  }
  throw new Error('no fault')
}

describe('a nocache block that uses what is made in its template is refused when that is compiled', () => {
  it.each([
    ['{{#each rows}}{{#nocache}}{{this.n}}{{/nocache}}{{/each}}', 'n=this.n'],
    ['{{#each rows}}{{#nocache}}{{this}}{{/nocache}}{{/each}}', 'item=this'],
    ['{{#each rows}}{{#nocache}}{{../user}}{{/nocache}}{{/each}}', 'user=../user'],
    ['{{#each rows}}{{#nocache}}{{show ./n}}{{/nocache}}{{/each}}', 'n=./n'],
    ['{{#with o}}{{#if n}}{{#nocache}}{{this.n}}{{/nocache}}{{/if}}{{/with}}', 'n=this.n'],
    ['{{#each rows}}{{#nocache}}{{@index}}{{/nocache}}{{/each}}', 'index=@index'],
    ['{{#each rows}}{{#nocache}}{{@../index}}{{/nocache}}{{/each}}', 'index=@index'],
    ['{{#each rows}}{{#nocache}}{{show @key}}{{/nocache}}{{/each}}', 'key=@key'],
    ['{{#each rows as |row|}}{{#nocache}}{{row.n}}{{/nocache}}{{/each}}', 'row=row'],
    ['{{#each rows as |row at|}}{{#nocache}}{{at}}{{/nocache}}{{/each}}', 'at=at'],
    [
      '{{#with o as |it|}}{{#nocache}}{{#if @root.user}}{{it.n}}{{/if}}{{/nocache}}{{/with}}',
      'it=it',
    ],
    [
      '{{#cache 60 "in"}}{{#each rows}}{{#nocache}}{{this.n}}{{/nocache}}{{/each}}{{/cache}}',
      'n=this.n',
    ],
    ['{{#each rows}}{{#nocache}}{{#each ../xs}}{{this}}{{/each}}{{/nocache}}{{/each}}', 'xs=../xs'],
  ])('%s', async (body, named) => {
    const { handlebars } = setUp('sync')
    handlebars.registerHelper('show', (value: unknown) => String(value))
    const source = `\n{{#cache 60 "list"}}\n${body}{{/cache}}`
    // A context in which nothing of it would run.
    const options = { srcName: 'home.hbs' } as CompileOptions
    const fault = await faultOf(() => handlebars.compile(source, options)({}))
    expect(fault).toMatchObject({ code: 'FRAGCACHE_TAG', line: 3, template: 'home.hbs' })
    expect(fault.message).toMatch(/this nocache block uses ".*", which is made in its template/)
    expect(fault.message).toContain(`name it: {{#nocache ${named}}}`)
  })

  it.each([
    ['a {{nocache}}', /block helper/],
    ['{{show (nocache)}}', /block helper/],
    ['{{#nocache user}}x{{/nocache}}', /given "user" without a name/],
    ['{{#nocache a=1 a=2}}x{{/nocache}}', /"a" is given twice/],
    ['{{#nocache}}x{{else}}y{{/nocache}}', /no \{\{else}}/],
    ['{{^nocache}}y{{/nocache}}', /no \{\{else}}/],
    ['{{#nocache as |x|}}y{{/nocache}}', /no block parameters/],
  ])('%s, wherever it stands', async (source, message) => {
    const { handlebars } = setUp('sync')
    const fault = await faultOf(() => handlebars.compile(source)({}))
    expect(fault).toMatchObject({ code: 'FRAGCACHE_TAG', line: 1 })
    expect(fault.message).toMatch(message)
  })

  it('knows knownHelpersOnly', async () => {
    const { handlebars } = setUp('sync')
    const source = '{{#nocache}}x{{/nocache}}'
    const fault = await faultOf(() => handlebars.compile(source, { knownHelpersOnly: true })({}))
    expect(fault.message).toMatch(/knownHelpers: \{ nocache: true }/)
    const knownHelpers = { nocache: true }
    expect(handlebars.compile(source, { knownHelpersOnly: true, knownHelpers })({})).toBe('x')
  })

  it('leaves variables of this name alone', () => {
    const { handlebars } = setUp('sync')
    const source =
      '{{this.nocache}}{{#this.nocache}}y{{/this.nocache}}{{#each a as |nocache|}}{{nocache}}{{/each}}'
    expect(handlebars.compile(source)({ nocache: 1, a: [2] })).toBe('1y2')
  })
})

describe.each(['sync', 'async'] as const)('a nocache block in a context of its own, %s', (kind) => {
  const names = {
    row: '{{#nocache}}{{n}}{{/nocache}}',
    hello: '{{#nocache}}{{user}}{{/nocache}}',
  }

  it.each([
    ['{{#each rows}}{{> row}}{{/each}}', '99'],
    ['{{> row o}}', '9'],
    ['{{> hello user="Bob"}}', 'Ann'],
    ['{{#form o}}{{#nocache}}{{n}}{{/nocache}}{{/form}}', '9'],
    ['{{#turns}}{{#nocache}}{{@turn}}{{/nocache}}{{/turns}}', ''],
    ['{{#each rows}}{{#nocache}}{{price}}{{/nocache}}{{/each}}', '99'],
    ['{{#each rows}}{{#nocache}}{{> row}}{{/nocache}}{{/each}}', '99'],
  ])('sees the page’s context on a miss, on a hit and without a tag: %s', async (body, shown) => {
    const page = setUp(kind)
    page.handlebars.registerPartial(names)
    page.handlebars.registerHelper({
      form: (value: unknown, { fn }: Handlebars.HelperOptions) => fn(value),
      price(this: { n: number }) {
        return String(this.n)
      },
      turns(this: unknown, { fn, data }: Handlebars.HelperOptions) {
        return fn(this, { data: Object.assign(Handlebars.createFrame(data), { turn: 1 }) })
      },
    })
    const given = { ...context, n: 9 }
    for (const source of [`{{#cache 60 "list"}}${body}{{/cache}}`, body]) {
      expect(await page.render(source, given)).toBe(shown)
      expect(await page.render(source, given)).toBe(shown)
    }
    await page.caches.close()
  })

  it('says so where its output is changed by a helper around it', async () => {
    const page = setUp(kind)
    page.handlebars.registerHelper(
      'upper',
      function (this: unknown, { fn }: Handlebars.HelperOptions) {
        return fn(this).toUpperCase()
      },
    )
    const source = '{{#cache 60 "a"}}{{#upper}}{{#nocache}}{{user}}{{/nocache}}{{/upper}}{{/cache}}'
    expect(await faultOf(() => page.render(source, context))).toMatchObject({
      code: 'FRAGCACHE_TAG',
    })
    await page.caches.close()
  })
})

describe('a template that was precompiled', () => {
  function load(handlebars: typeof Handlebars, code: unknown): Handlebars.TemplateDelegate {
    return handlebars.template((0, eval)(`(${String(code)})`) as TemplateSpecification)
  }
  const source = '{{#cache 60 "a"}}<{{#nocache}}{{user}}{{/nocache}}>{{/cache}}'

  it('with the tag has its nocache blocks, also by another process over the same store', async () => {
    const builder = Handlebars.create()
    registerCache(builder, createCaches({ default: new LocMemCache() }))
    const code = builder.precompile(source)
    const location = 'handlebars-precompiled'
    for (const user of ['Ann', 'Bob']) {
      const caches = createCaches({ default: new AsyncTestCache({ location }) })
      const handlebars = Handlebars.create()
      const { renderAsync } = registerCache(handlebars, caches)
      const template = load(handlebars, code)
      expect(await renderAsync(template, { user })).toBe(`<${user}>`)
    }
  })

  it('with a source map keeps it', () => {
    const builder = Handlebars.create()
    const options = { srcName: 'a.hbs', destName: 'a.js' }
    const before = builder.precompile(
      source.replaceAll('nocache', 'if').replace('#if', '#if a'),
      options,
    )
    registerCache(builder, createCaches({ default: new LocMemCache() }))
    const after = builder.precompile(source, options) as unknown as { code: string; map: string }
    expect(Object.keys(after)).toEqual(Object.keys(before))
    const { default: _, ...names } = { default: 0, ...(JSON.parse(after.map) as { file: string }) }
    expect(names).toMatchObject({ file: 'a.js', sources: ['a.hbs'] })
    const template = load(builder, after.code)
    expect([template({ user: 'Ann' }), template({ user: 'Bob' })]).toEqual(['<Ann>', '<Bob>'])
  })

  it('does not take a helper of the rendering program for a path', () => {
    const builder = Handlebars.create()
    registerCache(builder, createCaches({ default: new LocMemCache() }))
    const inLoop =
      '{{#cache 60 "a"}}{{#each xs}}{{#nocache}}{{token}}{{/nocache}}{{/each}}{{/cache}}'
    const handlebars = Handlebars.create()
    registerCache(handlebars, createCaches({ default: new LocMemCache() }))
    let tokens = 0
    handlebars.registerHelper('token', () => String(++tokens))
    const template = load(handlebars, builder.precompile(inLoop))
    expect([template({ xs: [1, 2] }), template({ xs: [1, 2] })]).toEqual(['12', '34'])
  })

  it('without the tag shows them in place, and is refused where they would be kept', async () => {
    const handlebars = Handlebars.create()
    registerCache(handlebars, createCaches({ default: new LocMemCache() }))
    const stranger = Handlebars.create()
    const bare = load(handlebars, stranger.precompile('{{#nocache}}{{user}}{{/nocache}}'))
    expect(bare({ user: 'Ann' })).toBe('Ann')
    const kept = load(handlebars, stranger.precompile(source))
    expect((await faultOf(() => kept({ user: 'Ann' }))).message).toMatch(
      /precompiled without the tag/,
    )
  })
})

it('refuses another helper called nocache', () => {
  const handlebars = Handlebars.create()
  handlebars.registerHelper('nocache', () => '')
  const caches = createCaches({ default: new LocMemCache() })
  expect(() => registerCache(handlebars, new FragmentCache(caches))).toThrow(
    /another helper called "nocache"/,
  )
})
