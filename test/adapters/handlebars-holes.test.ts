import Handlebars from 'handlebars'
import { registerCache } from 'fragcache/handlebars'
import { afterEach, describe, expect, it } from 'vitest'
import { createCaches, LocMemCache } from '../../src/index.js'
import { countRuns, setUp, type Page } from './handlebars-support.js'

/** The same instance without the tags: their bodies are rendered in place. */
function plain({ handlebars }: Page): typeof Handlebars {
  const other = Handlebars.create()
  for (const [name, helper] of Object.entries(handlebars.helpers)) {
    if (other.helpers[name] === undefined) other.registerHelper(name, helper)
  }
  for (const [name, partial] of Object.entries(handlebars.partials)) {
    other.registerPartial(name, partial as string)
  }
  const body = function (this: unknown, ...args: unknown[]) {
    const { fn } = args.at(-1) as Handlebars.HelperOptions
    // What Handlebars gives helpers for a missing context.
    return fn(Object.isSealed(this) ? undefined : this)
  }
  const hole = function (this: unknown, options: Handlebars.HelperOptions) {
    const { hash, data } = options as { hash: object; data: { root: object } }
    const named = Object.keys(hash).length > 0
    return named ? options.fn({ ...data.root, ...hash }) : body.call(this, options)
  }
  other.registerHelper({ cache: body, nocache: hole })
  return other
}

const contexts = [
  { user: 'Ann', csrf: 'a1', rows: [{ n: 1 }, { n: 2 }], o: { n: 7 }, html: '<i>' },
  { user: 'Bob', csrf: 'b2', rows: [{ n: 1 }, { n: 2 }], o: { n: 7 }, html: '<b>' },
]

/** A template, its partials and, where the cold texts are not all that differs, why it is here. */
const templates: Record<string, { main: string; partials?: Record<string, string> }> = {
  'a path of the context': {
    main: '{{#cache 60 "a"}}[{{#nocache}}{{user}}{{/nocache}}]{{/cache}}',
  },
  'several, and text around them': {
    main: '{{#cache 60 "a"}}x{{#nocache}}{{user}}{{/nocache}}y{{#nocache}}{{csrf}}{{/nocache}}{{/cache}}z',
  },
  'the same twice': {
    main: '{{#cache 60 "a"}}{{#nocache}}{{user}}{{/nocache}}{{#nocache}}{{user}}{{/nocache}}{{/cache}}',
  },
  'nothing else': { main: '{{#cache 60 "a"}}{{#nocache}}{{user}}{{/nocache}}{{/cache}}' },
  'an empty one': { main: '{{#cache 60 "a"}}[{{#nocache}}{{/nocache}}]{{/cache}}' },
  'escaped and not': {
    main: '{{#cache 60 "a"}}{{#nocache}}{{html}} {{{html}}} {{safe html}}{{/nocache}}{{/cache}}',
  },
  'white space control': {
    main: 'a\n{{#cache 60 "a"}}\n  b\n  {{#nocache}}\n    {{user}}\n  {{/nocache}}\n c {{~#nocache~}} {{csrf}} {{~/nocache~}} d\n{{/cache}}\ne',
  },
  'in a loop, of the root': {
    main: '{{#cache 60 "a"}}{{#each rows}}<form {{n}}>{{#nocache}}{{@root.csrf}}{{/nocache}}</form>{{/each}}{{/cache}}',
  },
  'in a loop, by a helper with an argument': {
    main: '{{#cache 60 "a"}}{{#each rows}}{{#nocache}}{{show @root.csrf}}{{/nocache}}{{/each}}{{/cache}}',
  },
  'in a loop, of outer data': {
    main: '{{#cache 60 "a"}}{{#each rows}}{{#nocache}}{{@lang}}{{@root.user}}{{/nocache}}{{/each}}{{/cache}}',
  },
  'a loop of its own': {
    main: '{{#cache 60 "a"}}{{#nocache}}{{#each rows}}{{@index}}{{n}}{{../user}}{{/each}}{{/nocache}}{{/cache}}',
  },
  'a loop of its own with parameters': {
    main: '{{#cache 60 "a"}}{{#nocache}}{{#each rows as |r i|}}{{i}}{{r.n}}{{user}}{{@root.user}}{{/each}}{{/nocache}}{{/cache}}',
  },
  'inside a condition': {
    main: '{{#cache 60 "a"}}{{#if user}}{{#nocache}}{{user}}{{/nocache}}{{else}}no{{/if}}{{/cache}}',
  },
  'the tag in a loop': {
    main: '{{#each rows}}{{#cache 60 "a" n}}{{#nocache n=n at=@index}}{{n}}{{at}}{{user}}{{@root.csrf}}{{/nocache}};{{/cache}}{{/each}}',
  },
  'the tag in a loop with parameters': {
    main: '{{#each rows as |row at|}}{{#cache 60 "a" row.n}}{{#if row}}{{#nocache row=row at=at}}{{row.n}}{{at}}{{@root.user}}{{/nocache}}{{/if}};{{/cache}}{{/each}}',
  },
  'fragments inside one another': {
    main: '{{#cache 60 "a"}}1{{#cache 60 "b"}}2{{#nocache}}{{user}}{{/nocache}}{{/cache}}{{#nocache}}{{csrf}}{{/nocache}}{{/cache}}',
  },
  'a fragment in a hole': {
    main: '{{#cache 60 "a"}}{{#nocache}}{{#cache 60 "u" user}}{{user}}{{#nocache}}{{csrf}}{{/nocache}}{{/cache}}{{/nocache}}{{/cache}}',
  },
  'a hole in a hole': {
    main: '{{#cache 60 "a"}}{{#nocache}}{{user}}{{#nocache}}{{csrf}}{{/nocache}}{{/nocache}}{{/cache}}',
  },
  'a partial in a hole': {
    main: '{{#cache 60 "a"}}{{#nocache}}{{> hello}}{{/nocache}}{{/cache}}',
    partials: { hello: 'Hello {{user}}' },
  },
  'a partial in a hole in a loop': {
    main: '{{#cache 60 "a"}}{{#each rows}}{{#nocache}}{{> hello @root}}{{/nocache}}{{/each}}{{/cache}}',
    partials: { hello: 'Hello {{user}}{{#each rows}}{{@index}}{{/each}}' },
  },
  'a hole in a partial': {
    main: '{{#cache 60 "a"}}{{> hello}}{{/cache}}',
    partials: { hello: 'Hello {{#nocache}}{{user}}{{/nocache}}' },
  },
  'a hole in a partial of a partial, by an expression': {
    main: '{{#cache 60 "a"}}{{> (show "outer")}}{{/cache}}',
    partials: {
      outer: '({{> hello}})',
      hello: 'Hello {{#nocache}}{{user}}{{@root.csrf}}{{/nocache}}',
    },
  },
  'a hole in a partial in a loop': {
    main: '{{#cache 60 "a"}}{{#each rows}}{{> form}}{{/each}}{{/cache}}',
    partials: { form: '{{n}}{{#nocache}}{{@root.csrf}}{{/nocache}}' },
  },
  'a hole of several lines in an indented partial': {
    main: '<p>\n{{#cache 60 "a"}}\n  {{> hello}}\n{{/cache}}\n</p>',
    partials: {
      hello:
        'Hello\n{{#nocache}}\n{{user}}\n\n{{csrf}}\n{{/nocache}}\nx{{#nocache}}{{csrf}}\n{{user}}{{/nocache}}\n',
    },
  },
  'indented twice, and at the end': {
    main: '{{#cache 60 "a"}}\n  {{> outer}}\n{{/cache}}\n',
    partials: {
      outer: 'a\n  {{> hello}}\nb\n',
      hello: 'x\n{{#nocache}}\n{{user}}\n{{csrf}}\n{{/nocache}}\n',
    },
  },
  // The named values take more or less room, up to a whole group of their bytes as text.
  ...Object.fromEntries(
    ['a', 'ab', 'abc'].map((name) => [
      `indented twice, with a named value called ${name}`,
      {
        main: '{{#cache 60 "a"}}\n  {{> outer}}\n{{/cache}}\n',
        partials: {
          outer: `a\n\t{{> hello}}\nb{{#nocache ${name}=o.n}}\n{{${name}}}\n{{user}}{{/nocache}}c`,
          hello: `x\n{{#nocache ${name}=o.n}}\n{{user}}\n{{${name}}}\n{{/nocache}}\ny\n`,
        },
      },
    ]),
  ),
  'an inline partial around a hole': {
    main: '{{#*inline "slot"}}[{{#nocache}}{{user}}{{/nocache}}]{{/inline}}{{#cache 60 "a"}}{{> slot}}{{/cache}}',
  },
  'an inline partial in a hole': {
    main: '{{#cache 60 "a"}}{{#nocache}}{{#*inline "slot"}}[{{user}}]{{/inline}}{{> slot}}{{/nocache}}{{/cache}}',
  },
  'an outer inline partial in a hole': {
    main: '{{#*inline "slot"}}[{{user}}]{{/inline}}{{#cache 60 "a"}}{{#nocache}}{{> slot}}{{/nocache}}{{/cache}}',
  },
  'a hole in the block of a partial': {
    main: '{{#cache 60 "a"}}{{#> frame}}{{#nocache}}{{user}}{{/nocache}}{{/frame}}{{/cache}}',
    partials: { frame: '<{{> @partial-block}}>' },
  },
  'a tag in a partial around a block with a hole': {
    main: '{{#> frame}}{{#nocache}}{{user}}{{/nocache}}{{/frame}}',
    partials: { frame: '{{#cache 60 "a"}}<{{> @partial-block}}>{{/cache}}' },
  },
  'a tag in a partial around a slot with a hole': {
    main: '{{#> frame}}{{#*inline "slot"}}{{#nocache}}{{user}}{{/nocache}}{{/inline}}{{/frame}}',
    partials: { frame: '{{#cache 60 "a"}}<{{> slot}}>{{/cache}}' },
  },
  'outside of any tag': {
    main: '{{#nocache}}{{user}}{{/nocache}}{{#each rows}}{{#nocache n=n at=@index}}{{n}}{{at}}{{user}}{{/nocache}}{{/each}}',
  },
  'in a tag that is switched off': {
    main: '{{#cache 60 "a" if=false}}{{#each rows}}{{#nocache n=this.n}}{{n}}{{/nocache}}{{/each}}{{/cache}}',
  },
  'a tag inside one that is switched off': {
    main: '{{#cache 60 "a" if=false}}{{#each rows}}{{#cache 60 "b" n}}{{#nocache n=n}}{{n}}{{@root.user}}{{/nocache}}{{/cache}}{{/each}}{{/cache}}',
  },
  'the tag in a context of null': {
    main: '{{#each nulls}}{{#cache 60 "a"}}{{#nocache it=this}}{{it}}{{@root.user}}{{/nocache}}{{/cache}}{{/each}}',
  },
}

describe.each(['sync', 'async'] as const)('a nocache block, %s', (kind) => {
  const open: Page[] = []
  const start = (compileOptions?: CompileOptions) => {
    const page = setUp(kind, compileOptions)
    page.handlebars.registerHelper({
      show: (value: unknown) => String(value),
      safe: (value: string) => new Handlebars.SafeString(value),
    })
    open.push(page)
    return page
  }
  afterEach(async () => {
    for (const { caches } of open.splice(0)) await caches.close()
  })

  it.each(Object.entries(templates))('gives what there is without tags: %s', async (_, one) => {
    for (const options of [{}, { compat: true }, { preventIndent: true }, { noEscape: true }]) {
      const page = start(options)
      page.handlebars.registerPartial(one.partials ?? {})
      const without = plain(page).compile(one.main, { ...options })
      const data = { lang: 'en' }
      for (const context of [...contexts, ...contexts]) {
        const given = { ...context, nulls: [null] }
        expect(await page.render(one.main, given, { data })).toBe(without(given, { data }))
      }
    }
  })

  it('is rendered again on every hit, and what is around it is not', async () => {
    const page = start()
    const runs = countRuns(page)
    const source = '{{#cache 60 "a"}}{{run}}{{#nocache}} {{user}}{{/nocache}}{{/cache}}'
    expect(await page.render(source, { user: 'Ann' })).toBe('1 Ann')
    expect(await page.render(source, { user: 'Bob' })).toBe('1 Bob')
    expect(await page.render(source, { user: 'Cid' })).toBe('1 Cid')
    expect(runs()).toBe(1)
  })

  it.each([
    '<{{{@partial-block}}}>',
    '{{#with @partial-block}}<{{{this}}}>{{/with}}',
    '{{#if @partial-block}}<{{> @partial-block}}>{{/if}}',
  ])(
    'is the own one of each visitor where its block is called for its value: %s',
    async (frame) => {
      const page = start()
      let visitor = ''
      page.handlebars.registerHelper('visitor', () => visitor)
      page.handlebars.registerPartial({ frame })
      const source =
        '{{#cache 60 "a"}}{{#> frame}}Hi {{#nocache}}{{visitor}}{{/nocache}}{{/frame}}{{/cache}}'
      for (visitor of ['Ann', 'Bob']) {
        expect(await page.render(source, {})).toBe(`<Hi ${visitor}>`)
      }
    },
  )
})

void registerCache
void createCaches
void LocMemCache
