import Handlebars from 'handlebars'
import { describe, expect, it } from 'vitest'
import { countBodies } from '../conformance/fragment-suite.js'
import { countRuns, setUp, type Page } from './handlebars-support.js'

/** What a template gives without the tag, by Handlebars alone. */
function untagged(
  { handlebars }: Page,
  source: string,
  context: unknown,
  options?: Handlebars.RuntimeOptions,
  compileOptions?: CompileOptions,
): string {
  const plain = Handlebars.create()
  plain.registerPartial(handlebars.partials)
  plain.registerHelper({
    ...handlebars.helpers,
    cache(this: unknown, ...args: unknown[]) {
      return (args.at(-1) as Handlebars.HelperOptions).fn(this)
    },
  })
  return plain.compile(source, { ...compileOptions })(context, options)
}

/** Renders cold and warm, and checks both against the template without the tag. */
async function expectSame(
  page: Page,
  source: string,
  context: unknown = {},
  options?: Handlebars.RuntimeOptions,
  compileOptions?: CompileOptions,
): Promise<string> {
  const expected = untagged(page, source, context, options, compileOptions)
  expect(await page.render(source, context, options)).toBe(expected)
  const warm = await countBodies(() => page.render(source, context, options))
  expect(warm).toEqual({ outcome: expected, bodyRuns: 0 })
  return expected
}

describe.each(['sync', 'async'] as const)('a body sees (%s)', (kind) => {
  it('the loops around it, whatever they loop over', async () => {
    const page = setUp(kind)
    const body =
      '{{#cache 60 "n" @key @../key this}}{{@../key}}.{{@key}}.{{@index}}{{#if @first}}F{{/if}}{{#if @last}}L{{/if}}={{this}} {{/cache}}'
    const source = `{{#each xs}}{{#each this}}${body}{{else}}none {{/each}}{{/each}}`
    const generate = function* () {
      yield 'g'
      yield 'h'
    }
    const xs = [['a', 'b'], { k: 'c', l: 'd' }, new Map([['m', 'e']]), [], new Set(['f'])]
    expect(await expectSame(page, source, { xs })).toBe(
      '0.0.0F=a 0.1.1L=b 1.k.0F=c 1.l.1L=d 2.0.0FL=m,e none 4.0.0FL=f ',
    )
    expect(await page.render(source, { xs: [generate()] })).toBe('0.0.0F=g 0.1.1L=h ')
  })

  it('block parameters and every context above it', async () => {
    const page = setUp(kind)
    const source =
      '{{#each xs as |x i|}}{{#with x.o as |o|}}{{#cache 60 "n" i}}{{#with o.p}}{{i}}{{o.q}}{{r}}{{../q}}{{../../x}}{{../../../t}}{{lookup ../../../l i}}{{/with}}{{/cache}};{{/with}}{{/each}}'
    const xs = [1, 2].map((n) => ({ x: n, o: { q: `q${n}`, p: { r: `r${n}` } } }))
    expect(await expectSame(page, source, { xs, t: 'T', l: ['y', 'z'] })).toBe(
      '0q1r1q11Ty;1q2r2q22Tz;',
    )
  })

  it('a primitive as itself, and a missing context as none', async () => {
    const page = setUp(kind)
    page.handlebars.registerHelper('type', (value: unknown) => typeof value)
    const source = '{{#each xs}}{{#cache 60 "n" @index}}{{type this}}{{../t}},{{/cache}}{{/each}}'
    // Without the tag, a missing item is `undefined` and `../` is one level up.
    const context = { t: 'T', xs: ['s', 1, true, undefined] }
    for (const _ of ['cold', 'warm']) {
      expect(await page.render(source, context)).toBe('stringT,numberT,booleanT,undefinedT,')
    }
    page.handlebars.registerPartial('p', '{{#cache 60 "p"}}<{{x}}{{#if x}}!{{/if}}>{{/cache}}')
    expect(await expectSame(page, '{{> p nothing}}', { x: 1 })).toBe('<>')
    expect(await expectSame(page, '{{#cache 60 "root"}}{{x}}.{{/cache}}', null)).toBe('.')
  })

  it('data given at run time, and what a helper puts into its own frame', async () => {
    const page = setUp(kind)
    const options = { data: { v: { w: 'W' } } }
    page.handlebars.registerHelper(
      'turns',
      function (this: unknown, { fn, data }: Handlebars.HelperOptions) {
        const frame = Handlebars.createFrame(data) as Record<string, unknown>
        return [1, 2, 3].map((turn) => fn(this, { data: Object.assign(frame, { turn }) })).join('')
      },
    )
    const source =
      '{{#turns}}{{#turns}}{{#cache 60 "n" @turn @../turn}}{{@../turn}}{{@turn}}{{@v.w}}{{@root.t}} {{/cache}}{{/turns}}{{/turns}}'
    expect(await expectSame(page, source, { t: 'T' }, options)).toBe(
      '11WT 12WT 13WT 21WT 22WT 23WT 31WT 32WT 33WT ',
    )
  })

  it.each([
    ['source', (_: Page, source: string) => source],
    // A template of its own for all calls, whereas source is compiled for each.
    ['templates', ({ handlebars }: Page, source: string) => handlebars.compile(source)],
  ])('inline partials, its own and those of its callers, which are %s', async (_, toPartial) => {
    const page = setUp(kind)
    page.handlebars.registerPartial({
      layout: toPartial(
        page,
        '<{{#cache 60 "l" id}}{{> head}}|{{#> side}}no side{{/side}}|{{> @partial-block}}{{/cache}}>',
      ),
      head: toPartial(page, 'default head'),
    })
    const source =
      '{{#*inline "out"}}out{{x}}{{> in2}}{{/inline}}{{#*inline "in2"}}2{{/inline}}' +
      '{{#cache 60 "n"}}{{#*inline "own"}}own{{x}}{{/inline}}{{> own}}{{> out}}{{/cache}}' +
      '{{#> layout id=1}}{{#*inline "head"}}H1{{x}}{{/inline}}B{{> out}}{{/layout}}' +
      '{{#> layout id=2}}{{#*inline "side"}}S2{{/inline}}{{#cache 60 "b"}}B{{> out}}{{/cache}}{{/layout}}'
    expect(await expectSame(page, source, { x: 'X' })).toBe(
      'ownXoutX2<H1X|no side|BoutX2><default head|S2|BoutX2>',
    )
  })

  it.each([
    '{{#> layout}}X{{#cache 60 "n"}}{{name}}{{/cache}}{{/layout}}',
    '{{#> layout}}X{{#cache 60 "n" @root.id tags=(cacheTags "shop" product=@root.id)}}{{name}}{{/cache}}{{/layout}}',
    '{{#> layout}}X{{#cache seconds "n"}}{{#nocache}}{{name}}{{/nocache}}{{/cache}}{{/layout}}',
    '{{#each xs}}{{#> layout}}X{{#cache 60 "n" @index}}{{> item}}{{@root.name}}{{/cache}}{{/layout}}{{/each}}',
    '{{#cache 60 "out"}}{{#> layout}}X{{#nocache}}{{name}}{{/nocache}}{{/layout}}{{/cache}}',
    '{{#cache 60 "out"}}{{#> layout}}X{{#> layout}}Y{{#cache 60 "n"}}{{name}}{{/cache}}{{/layout}}{{/layout}}{{/cache}}',
  ])(
    'the page in the block of a partial that asks first whether it has one: %s',
    async (source) => {
      const page = setUp(kind)
      const asked = '{{#if @partial-block}}<{{> @partial-block}}>{{else}}none{{/if}}'
      page.handlebars.registerPartial({
        layout: asked,
        item: '{{#cache 60 "i" this}}{{this}}{{/cache}}',
      })
      const context = { name: 'N', id: 7, seconds: 60, xs: ['a', 'b'] }
      const helpers = {
        cacheTags: () => [],
        nocache(this: unknown, { fn }: Handlebars.HelperOptions) {
          return fn(this)
        },
      }
      const expected = untagged(page, source, context, { helpers })
      expect(expected).toContain('N>')
      for (const _ of ['cold', 'warm']) expect(await page.render(source, context)).toBe(expected)
    },
  )

  it('partials with a context, with values, by a computed name, and of themselves', async () => {
    const page = setUp(kind)
    page.handlebars.registerPartial({
      card: '{{#cache 60 "card" n extra}}[{{n}}{{extra}}]{{/cache}}',
      tree: '{{#cache 60 "tree" n}}{{n}}{{#each kids}}({{> tree}}){{/each}}{{/cache}}',
    })
    const context = {
      which: 'card',
      o: { n: 1 },
      n: 'r',
      kids: [{ n: 'a', kids: [{ n: 'b' }] }, { n: 'c' }],
    }
    const source =
      '{{> card o extra=""}}{{> card o extra="!"}}{{> (lookup . "which") n=2 extra=""}}{{> tree}}'
    expect(await expectSame(page, source, context)).toBe('[1][1!][2]r(a(b))(c)')
  })

  it('whatever the compile options are', async () => {
    const source =
      '{{#each xs}}{{#cache 60 "n" @index}}{{n}}{{t}}{{#each ys}}{{t}}{{../n}}{{/each}}{{/cache}}{{/each}}'
    const context = {
      t: 'T<',
      n: '',
      ys: [],
      xs: [
        { n: 1, t: 't', ys: [{ t: 'u' }] },
        { n: 2, ys: [], t: 0 },
      ],
    }
    for (const options of [
      { compat: true },
      { strict: true },
      { assumeObjects: true },
      { noEscape: true },
      { knownHelpers: { cache: true, each: true } as KnownHelpers, knownHelpersOnly: true },
      { explicitPartialContext: true },
      { trackIds: true } as CompileOptions,
    ]) {
      const page = setUp(kind, options)
      await expectSame(page, source, context, undefined, options)
    }
    const page = setUp(kind, { data: false })
    const plain = '{{#each xs}}{{#cache 60 "n" n}}{{n}}{{../n}};{{/cache}}{{/each}}'
    expect(await expectSame(page, plain, context, undefined, { data: false })).toBe('1;2;')
  })

  it('prototype access as the render allows it', async () => {
    class Person {
      get name() {
        return 'ann'
      }
    }
    const source = '{{#cache 60 "n" k}}<{{p.name}}>{{/cache}}'
    const page = setUp(kind)
    const [open, closed] = await Promise.all([
      page.render(source, { p: new Person(), k: 1 }, { allowProtoPropertiesByDefault: true }),
      page.render(source, { p: new Person(), k: 2 }, { allowProtoPropertiesByDefault: false }),
    ])
    expect([open, closed]).toEqual(['<ann>', '<>'])
  })
})

describe('the indentation of a partial', () => {
  const tag = (body: string, name = 'n') => `{{#cache 60 "${name}"}}${body}{{/cache}}`
  const partials: [string, Record<string, string>][] = [
    ['a fragment on lines of its own', { p: '{{#cache 60 "n"}}\nl1\nl2\n{{/cache}}\n' }],
    ['a fragment within a line', { p: `a${tag('l1\nl2')}b\n` }],
    ['a fragment that begins with an empty line', { p: `${tag('\n\nl1')}\n` }],
    ['a fragment that ends its partial', { p: `a\n${tag('l1\n')}` }],
    ['a fragment that ends its partial without a line end', { p: `a\n${tag('l1')}` }],
    ['an empty fragment as the last line', { p: `a\n${tag('')}` }],
    ['an empty fragment alone', { p: tag('') }],
    ['two fragments in the last line', { p: `a\n${tag('b\n')}${tag('', 'm')}` }],
    ['text after a fragment that ends a line', { p: `${tag('l1\nl2\n')}c` }],
    ['windows line ends', { p: `{{#cache 60 "n"}}\r\nl1\r\n\r\nl2\r\n{{/cache}}\r\n` }],
    ['blank lines in and around it', { p: `\n\n${tag('l1\n\n\nl2\n\n')}\n\n` }],
    [
      'an indented partial inside the fragment',
      { p: tag('x\n\t{{> q}}\ny'), q: `q1\n${tag('q2\nq3\n', 'm')}` },
    ],
    [
      'a fragment in a partial in a partial',
      { p: 'x\n   {{> q}}\ny\n', q: `q1\n${tag('l1\n\nl2\n')}` },
    ],
    [
      'a fragment in an indented block',
      { p: '{{#> q}}\n  {{> r}}\n{{/q}}\n', q: `  {{> @partial-block}}\n|`, r: tag('1\n2\n') },
    ],
    ['a fragment twice', { p: '{{> q}}\n  {{> q}}\n', q: tag('l1\nl2\n') }],
    [
      'a tree',
      { p: '{{#each kids}}\n{{#cache 60 "t" n}}\n- {{n}}\n  {{> p}}\n{{/cache}}\n{{/each}}\n' },
    ],
  ]
  const kids = [{ n: 1, kids: [{ n: 2, kids: [{ n: 3 }, { n: 4 }] }] }, { n: 5 }]
  describe.each([{}, { preventIndent: true }])('with %o', (options) => {
    it.each(partials)('is right for %s', async (_, given) => {
      for (const source of [
        'A\n  {{> p}}\nB',
        '    {{> p}}',
        'A\n  {{> p}}\n  {{> p}}',
        'A {{> p}}\n',
      ]) {
        const page = setUp('async', options)
        page.handlebars.registerPartial(given)
        await expectSame(page, source, { kids }, undefined, options)
        const mixed = setUp('async', options)
        mixed.handlebars.registerPartial(
          JSON.parse(
            JSON.stringify(given).replace(/cache 60 \\"n\\"/g, '$& using=\\"local\\"'),
          ) as Record<string, string>,
        )
        await expectSame(mixed, source, { kids }, undefined, options)
      }
    })
  })

  it('is not a part of what is stored', async () => {
    const page = setUp('async')
    page.handlebars.registerPartial('p', '{{#cache 60 "n"}}\nl1\nl2\n{{/cache}}\n')
    await page.render('{{> p}}\n    {{> p}}\n')
    expect(await page.far.get(page.fragments.makeKey('n'))).toBe('l1\nl2\n')
  })
})

describe('a helper around the tag, over an asynchronous cache', () => {
  const source = '{{#around}}{{#cache 60 "n"}}text{{/cache}}{{/around}}'
  const around = (change: (text: string) => unknown) => {
    const page = setUp('async')
    page.handlebars.registerHelper(
      'around',
      function (this: unknown, { fn }: Handlebars.HelperOptions) {
        return change(fn(this))
      },
    )
    return page
  }

  it.each<[string, (text: string) => string]>([
    ['trims', (text) => text.trim()],
    ['changes case', (text) => text.toUpperCase()],
    ['escapes', (text) => Handlebars.escapeExpression(text)],
    ['quotes', (text) => JSON.stringify(text)],
    ['cuts', (text) => text.slice(0, 30)],
    ['strips markup', (text) => text.replace(/<[^>]*>/g, '')],
  ])('that %s its text is an error that names the tag', async (_, change) => {
    const page = around(change)
    const runs = countRuns(page)
    await expect(page.render(`\n${source}`)).rejects.toThrow(
      /^cache tag \(line 2, fragment "n"\): its output was altered.*helper/,
    )
    expect(runs()).toBe(0)
  })

  it('may put text around it, show it twice, or drop it without running it', async () => {
    expect(await around((text) => `<${text}>`).render(source)).toBe('<text>')
    expect(await around((text) => text + text).render(source)).toBe('texttext')
    const dropped = await countBodies(() => around(() => '').render(`${source}!`))
    expect(dropped).toEqual({ outcome: '!', bodyRuns: 0 })
  })

  it('may carry it to another template of the same render', async () => {
    const page = setUp('async')
    const sections = new Map<string, string>()
    page.handlebars.registerHelper(
      'section',
      function (this: unknown, name: string, { fn }: Handlebars.HelperOptions) {
        sections.set(name, fn(this))
      },
    )
    page.handlebars.registerHelper('place', (name: string) => {
      return new Handlebars.SafeString(sections.get(name) ?? '')
    })
    const view = page.handlebars.compile(
      '{{#cache 60 "v"}}V{{/cache}}{{#section "js"}}{{#cache 60 "js"}}JS{{/cache}}{{/section}}',
    )
    const layout = page.handlebars.compile('<{{{body}}}>{{place "js"}}')
    const engine = async () => {
      const body = await page.renderAsync(view, {})
      return (await page.renderAsync(layout, { body: body.trim() })).trim()
    }
    expect(await page.renderAsync(engine)).toBe('<V>JS')
    expect(await page.renderAsync(engine)).toBe('<V>JS')
    await expect(engine()).rejects.toThrow(/fragment "v".*carried into another render/)
  })
})

describe('one asynchronous render', () => {
  it('reads the fragments of a level at once, and writes all at once', async () => {
    const page = setUp('async')
    const source =
      '{{#each xs}}{{#cache 60 "o" this}}{{this}}{{#if ../nested}}{{#cache 60 "i" this}}-{{/cache}}{{/if}}{{/cache}}{{/each}}'
    const xs = Array.from({ length: 20 }, (_, i) => i)
    expect(await page.render(source, { xs })).toBe(xs.join(''))
    // One write claims the keys before the bodies run.
    expect([page.far.reads, page.far.writes]).toEqual([1, 2])
    expect(await page.render(source, { xs })).toBe(xs.join(''))
    expect([page.far.reads, page.far.writes]).toEqual([2, 2])
    await page.far.clear()
    const counted = [page.far.reads, page.far.writes] as const
    const nested = { xs, nested: true }
    expect(await page.render(source, nested)).toBe(xs.map((x) => `${x}-`).join(''))
    // Two levels, each read once and claimed once, with the counters that are new again; all is stored at once.
    expect([page.far.reads - counted[0], page.far.writes - counted[1]]).toEqual([2, 3])
  })

  it('mixes caches, whichever is inside', async () => {
    const page = setUp('async')
    const source =
      '{{#cache 60 "a" using="local"}}a{{#cache 60 "b"}}b{{#cache 60 "c" using="local"}}c{{/cache}}{{/cache}}{{/cache}}' +
      '{{#cache 60 "d" if=no}}d{{#cache 60 "e"}}e{{/cache}}{{/cache}}'
    expect(await page.render(source)).toBe('abcde')
    expect(await page.render(source)).toBe('abcde')
    expect(await page.caches.get('local').get(page.fragments.makeKey('a'))).toBe('abc')
    await page.fragments.invalidate('b')
    const again = await countBodies(() => page.render(source))
    // "b", "a" around it in the other cache, and "d", which is never kept.
    expect(again).toEqual({ outcome: 'abcde', bodyRuns: 3 })
  })

  it('renders 10 000 fragments in a loop', { timeout: 60_000 }, async () => {
    const xs = Array.from({ length: 10_000 }, (_, i) => i)
    const expected = xs.map((x) => `${x}:${x};`).join('')
    const source = '{{#each xs}}{{#cache 60 "n" this}}{{@index}}:{{this}};{{/cache}}{{/each}}'
    for (const kind of ['sync', 'async'] as const) {
      const page = setUp(kind)
      expect(await page.render(source, { xs })).toBe(expected)
      expect(await page.render(source, { xs })).toBe(expected)
    }
  })

  it('renders fragments nested 200 deep', async () => {
    const page = setUp('async')
    page.handlebars.registerPartial(
      'deep',
      '{{#cache 60 "d" n}}{{n}}{{#with next}}\n {{> deep}}\n{{/with}}{{/cache}}',
    )
    let context: { n: number; next?: object } = { n: 0 }
    for (let n = 1; n < 200; n++) context = { n, next: context }
    await expectSame(page, '{{> deep}}', context)
  })
})

describe('concurrent renders of one template', () => {
  it('do not mix their contexts, partials, helpers and data', async () => {
    const page = setUp('async')
    Object.defineProperty(page.far, 'latencyMs', { get: () => Math.ceil(Math.random() * 4) })
    page.handlebars.registerPartial({
      layout: '{{> top}}{{#cache 60 "l" @user}}{{> part}}{{> @partial-block}}{{/cache}}',
      top: '{{#cache 60 "t" @user}}{{h}}{{/cache}}',
    })
    const template = page.handlebars.compile(
      '{{#*inline "part"}}p{{@user}}{{> given}}{{/inline}}{{#> layout}}{{#each xs}}{{#cache 60 "n" @user this}}{{@user}}{{@index}}{{this}}{{h}}{{> given}}{{#cache 60 "m" @user this}}{{> given}}{{../user}}{{/cache}}{{/cache}},{{/each}}{{/layout}}',
    )
    const render = (user: number) => {
      const options = {
        data: { user },
        helpers: { h: () => `h${user}` },
        partials: { given: user % 2 === 0 ? `<g${user}>` : page.handlebars.compile(`<g${user}>`) },
      }
      return page.renderAsync(template, { user, xs: ['a', 'b'] }, options)
    }
    const expected = (user: number) => {
      const g = `<g${user}>`
      const turns = ['a', 'b'].map((x, i) => `${user}${i}${x}h${user}${g}${g}${user},`)
      return `h${user}p${user}${g}${turns.join('')}`
    }
    const users = Array.from({ length: 100 }, (_, i) => i % 50)
    for (const state of ['cold', 'warm']) {
      const pages = await Promise.all(users.map((user) => render(user)))
      pages.forEach((html, i) => expect(html, state).toBe(expected(users[i] as number)))
    }
  })

  it('run one body per key', async () => {
    const page = setUp('async')
    const runs = countRuns(page)
    const source = '{{#cache 60 "n"}}{{run}}{{/cache}}-{{#cache 60 "n"}}{{run}}{{/cache}}'
    const pages = await Promise.all(Array.from({ length: 20 }, () => page.render(source)))
    expect(new Set(pages)).toEqual(new Set(['1-1']))
    expect(runs()).toBe(1)
  })

  it('leave a render without the asynchronous cache as it was', async () => {
    const page = setUp('async')
    const template = page.handlebars.compile('{{> p}}{{#cache 60 "n" v}}{{> p}}{{v}}{{/cache}}')
    const late = page.renderAsync(template, { v: 1 }, { partials: { p: 'L' } })
    const plain = page.handlebars.compile('{{> p}}')({}, { partials: { p: 'S' } })
    expect([plain, await late]).toEqual(['S', 'LL1'])
  })
})
