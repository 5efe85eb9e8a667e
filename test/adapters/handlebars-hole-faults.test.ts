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

describe('a nocache block that means nothing on a hit is refused when its template is compiled', () => {
  it.each([
    ['{{#each rows}}{{#nocache}}{{this.n}}{{/nocache}}{{/each}}', /\{\{this\.n}}.*\{\{#each}}/],
    ['{{#each rows}}{{#nocache}}{{n}}{{/nocache}}{{/each}}', /\{\{n}}.*@root/],
    ['{{#each rows}}{{#nocache}}{{this}}{{/nocache}}{{/each}}', /\{\{this}}/],
    ['{{#each rows}}{{#nocache}}{{../user}}{{/nocache}}{{/each}}', /\{\{\.\.\/user}}/],
    ['{{#each rows}}{{#nocache}}{{show n}}{{/nocache}}{{/each}}', /\{\{n}}/],
    ['{{#each rows}}{{#nocache}}{{#if n}}x{{/if}}{{/nocache}}{{/each}}', /\{\{n}}/],
    ['{{#each rows}}{{#nocache}}{{#each xs}}x{{/each}}{{/nocache}}{{/each}}', /\{\{xs}}/],
    ['{{#each rows}}{{#nocache}}{{> row}}{{/nocache}}{{/each}}', /\{\{> row}}/],
    ['{{#with o}}{{#nocache}}{{n}}{{/nocache}}{{/with}}', /\{\{n}}.*\{\{#with}}/],
    ['{{#with o}}{{#if n}}{{#nocache}}{{user}}{{/nocache}}{{/if}}{{/with}}', /\{\{user}}/],
    ['{{#each rows}}{{#nocache}}{{@index}}{{/nocache}}{{/each}}', /uses @index/],
    ['{{#each rows}}{{#nocache}}{{@../index}}{{/nocache}}{{/each}}', /uses @index/],
    ['{{#each rows}}{{#nocache}}{{show @key}}{{/nocache}}{{/each}}', /uses @key/],
    ['{{#each rows as |row|}}{{#nocache}}{{row.n}}{{/nocache}}{{/each}}', /uses row,/],
    ['{{#each rows as |row at|}}{{#nocache}}{{at}}{{/nocache}}{{/each}}', /uses at,/],
    [
      '{{#with o as |it|}}{{#nocache}}{{#if @root.user}}{{it.n}}{{/if}}{{/nocache}}{{/with}}',
      /uses it,/,
    ],
    ['{{#cache 60 "in"}}{{#each rows}}{{#nocache}}{{n}}{{/nocache}}{{/each}}{{/cache}}', /\{\{n}}/],
    [
      '{{#each rows}}{{#cache 60 "in" n}}{{#nocache}}{{n}}{{/nocache}}{{/cache}}{{/each}}',
      /\{\{n}}/,
    ],
  ])('%s', async (body, message) => {
    const { handlebars } = setUp('sync')
    handlebars.registerHelper('show', (value: unknown) => String(value))
    const source = `\n{{#cache 60 "list"}}\n${body}{{/cache}}`
    // A context in which nothing of it would run.
    const options = { srcName: 'home.hbs' } as CompileOptions
    const fault = await faultOf(() => handlebars.compile(source, options)({}))
    expect(fault).toMatchObject({ code: 'FRAGCACHE_TAG', line: 3, fragment: 'list' })
    expect(fault).toHaveProperty('template', 'home.hbs')
    expect(fault.message).toMatch(message)
    expect(fault.message).toMatch(/move the nocache block out/)
  })

  it.each([
    ['a {{nocache}}', /block helper/],
    ['{{show (nocache)}}', /block helper/],
    ['{{#nocache user}}x{{/nocache}}', /no arguments/],
    ['{{#nocache a=1}}x{{/nocache}}', /no arguments/],
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

describe.each(['sync', 'async'] as const)(
  'a nocache block that means something else, %s',
  (kind) => {
    const partials = {
      row: '{{#nocache}}{{n}}{{/nocache}}',
      at: '{{#nocache}}{{@index}}{{/nocache}}',
      param: '{{#each rows as |row|}}{{#nocache}}{{row.n}}{{/nocache}}{{/each}}',
      frame: '{{#with o}}{{> @partial-block}}{{/with}}',
      hello: '{{#nocache}}{{user}}{{/nocache}}',
      slots: '{{#nocache}}{{> slot}}{{/nocache}}',
      index: '{{@index}}',
    }

    it.each([
      ['{{#each rows}}{{> row}}{{/each}}', /\{\{n}}/],
      ['{{#with o}}{{> row}}{{/with}}', /\{\{n}}/],
      ['{{> row o}}', /\{\{n}}/],
      ['{{> hello user="Bob"}}', /\{\{user}}/],
      ['{{#each rows}}{{> at}}{{/each}}', /@index/],
      ['{{> param}}', /uses row,/],
      ['{{#> frame}}{{#nocache}}{{n}}{{/nocache}}{{/frame}}', /\{\{n}}/],
      [
        '{{#*inline "slot"}}s{{/inline}}{{#nocache}}{{> slot}}{{/nocache}}',
        /the inline partial slot/,
      ],
      ['{{#*inline "slot"}}s{{/inline}}{{> slots}}', /the inline partial slot/],
      ['{{#> slots}}{{#*inline "slot"}}s{{/inline}}{{/slots}}', /the inline partial slot/],
      ['{{#form o}}{{#nocache}}{{n}}{{/nocache}}{{/form}}', /\{\{n}}/],
      ['{{#turns}}{{#nocache}}{{@turn}}{{/nocache}}{{/turns}}', /@turn/],
      ['{{#each rows}}{{#nocache}}{{price}}{{/nocache}}{{/each}}', /the helper price/],
      ['{{#each rows}}{{#nocache}}{{> index @root}}{{/nocache}}{{/each}}', /a partial.*@index/],
      ['{{#each rows}}{{#nocache}}{{> (show "index") @root}}{{/nocache}}{{/each}}', /a partial/],
    ])(
      'is refused while its fragment is made, and nothing is stored: %s',
      async (body, message) => {
        const page = setUp(kind)
        const { handlebars, caches } = page
        handlebars.registerPartial(partials)
        handlebars.registerHelper({
          show: (value: unknown) => String(value),
          form: (value: unknown, { fn }: Handlebars.HelperOptions) => fn(value),
          price(this: { n: number }) {
            return String(this.n)
          },
          turns(this: unknown, { fn, data }: Handlebars.HelperOptions) {
            return fn(this, { data: Object.assign(Handlebars.createFrame(data), { turn: 1 }) })
          },
        })
        const stored = () => caches.get('default').get(page.fragments.makeKey('list'))
        const fault = await faultOf(() =>
          page.render(`{{#cache 60 "list"}}${body}{{/cache}}`, context),
        )
        expect(fault).toMatchObject({ code: 'FRAGCACHE_TAG', line: 1 })
        expect(fault.message).toMatch(message)
        expect(await stored()).toBeUndefined()
        await caches.close()
      },
    )

    it('is not filled from a fragment that was stored for another place', async () => {
      const page = setUp(kind)
      page.handlebars.registerPartial({
        inner: '{{#cache 60 "in"}}{{#nocache}}{{n}}{{/nocache}}{{/cache}}',
      })
      expect(await page.render('{{#with o}}{{> inner}}{{/with}}', { n: 1, o: { n: 2 } })).toBe('2')
      const around = '{{#cache 60 "out"}}{{#with o}}{{> inner}}{{/with}}{{/cache}}'
      const fault = await faultOf(() => page.render(around, { n: 1, o: { n: 2 } }))
      expect(fault.message).toMatch(/\{\{n}}/)
      const same = '{{#cache 60 "same"}}{{> inner}}{{/cache}}'
      expect(await page.render(same, { n: 3 })).toBe('3')
      expect(await page.render(same, { n: 4 })).toBe('4')
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
      const source =
        '{{#cache 60 "a"}}{{#upper}}{{#nocache}}{{user}}{{/nocache}}{{/upper}}{{/cache}}'
      expect(await faultOf(() => page.render(source, context))).toMatchObject({
        code: 'FRAGCACHE_TAG',
      })
      await page.caches.close()
    })
  },
)

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
