import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { createRequire } from 'node:module'
import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { CacheTagError, createCaches, DummyCache, LocMemCache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { countRuns, setUp } from './handlebars-support.js'

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const require = createRequire(import.meta.url)
const kinds = ['sync', 'async'] as const

describe.each(kinds)('the tag (%s)', (kind) => {
  it('renders its body once, and again when its time is up', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const page = setUp(kind)
    const runs = countRuns(page)
    const source = '{{#cache 60 "n"}}{{run}}{{/cache}}'
    expect(await page.render(source)).toBe('1')
    vi.setSystemTime(Date.now() + 59_000)
    expect(await page.render(source)).toBe('1')
    vi.setSystemTime(Date.now() + 2_000)
    expect(await page.render(source)).toBe('2')
    expect(runs()).toBe(2)
  })

  it.each(['none', '"none"', 'null', 'forever'])('keeps %s for ever', async (timeout) => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const page = setUp(kind)
    countRuns(page)
    const source = `{{#cache ${timeout} "n"}}{{run}}{{/cache}}`
    const context = { forever: null, none: 1 }
    expect(await page.render(source, context)).toBe('1')
    vi.setSystemTime(Date.now() + 1e12)
    expect(await page.render(source, context)).toBe('1')
  })

  it('takes a timeout that is a number, a text or a subexpression', async () => {
    const page = setUp(kind)
    countRuns(page)
    page.handlebars.registerHelper('minutes', (n: number) => n * 60)
    for (const timeout of ['500', '"500"', 'ttl', '(minutes 5)']) {
      const source = `{{#cache ${timeout} "${timeout.replace(/\W/g, '')}"}}{{run}}{{/cache}}`
      const first = await page.render(source, { ttl: 60 })
      expect(await page.render(source, { ttl: 60 })).toBe(first)
    }
  })

  it('keeps one text per vary-on value', async () => {
    const page = setUp(kind)
    countRuns(page)
    const source = '{{#cache 60 "n" user.name (lookup user "lang") 1 true}}{{run}}{{/cache}}'
    expect(await page.render(source, { user: { name: 'a', lang: 'x' } })).toBe('1')
    expect(await page.render(source, { user: { name: 'b', lang: 'x' } })).toBe('2')
    expect(await page.render(source, { user: { name: 'a', lang: 'y' } })).toBe('3')
    expect(await page.render(source, { user: { name: 'a', lang: 'x' } })).toBe('1')
    expect(await page.fragments.delete('n', ['a', 'x', 1, true])).toBe(true)
    expect(await page.render(source, { user: { name: 'a', lang: 'x' } })).toBe('4')
  })

  it('keeps what the keywords say: using, version, tags, if', async () => {
    const page = setUp(kind)
    countRuns(page)
    const source =
      '{{#cache 60 "n" version=v tags=(list "a" extra) using="other" if=(not admin)}}{{run}}{{/cache}}'
    page.handlebars.registerHelper('list', (...items: unknown[]) => items.slice(0, -1))
    page.handlebars.registerHelper('not', (value: unknown) => !value)
    const render = (context: object) => page.render(source, { extra: 'x', v: 1, ...context })
    expect(await render({})).toBe('1')
    expect(await render({})).toBe('1')
    expect(await page.caches.get('other').has(page.fragments.makeKey('n'))).toBe(true)
    expect(await render({ v: 2 })).toBe('2')
    expect(await render({ admin: true })).toBe('3')
    expect(await render({})).toBe('1')
    await page.caches.get('other').invalidateTags(['x'])
    expect(await render({})).toBe('4')
    expect(await render({ extra: 'y' })).toBe('4')
    await page.fragments.invalidate('n', { using: 'other' })
    expect(await render({})).toBe('5')
  })

  it('sees `if` as the helper if does', async () => {
    const page = setUp(kind)
    countRuns(page)
    const source = '{{#cache 60 "n" if=value}}{{run}}{{/cache}}'
    const falsy = [false, null, undefined, 0, '', [], () => false]
    for (const value of falsy) await page.render(source, { value })
    for (const value of [true, 1, 'x', [0], {}, () => true]) {
      expect(await page.render(source, { value })).toBe(String(falsy.length + 1))
    }
  })

  it.each([undefined, null, 0, '', { a: 1 }])(
    'sees the context %o as without the tag',
    async (given) => {
      const page = setUp(kind)
      page.handlebars.registerHelper('show', function (this: unknown, value: unknown) {
        return JSON.stringify([this, value]) + String(value)
      })
      const bodies = ['{{.}}{{show .}}', '{{#with 1}}{{show ../.}}{{show ../../.}}{{/with}}']
      const places = ['BODY', '{{#if true}}BODY{{/if}}', '{{#each (list)}}BODY{{/each}}']
      page.handlebars.registerHelper('list', () => [given])
      for (const place of places) {
        for (const body of bodies) {
          const plain = page.handlebars.compile(place.replace('BODY', () => body))(given)
          const name = JSON.stringify(place + body.length)
          const tagged = place.replace('BODY', () => `{{#cache 60 ${name}}}${body}{{/cache}}`)
          for (const state of ['cold', 'warm']) {
            expect(await page.render(tagged, given), `${tagged} ${state}`).toBe(plain)
          }
        }
      }
    },
  )

  it('leaves escaping as it is, done once', async () => {
    const page = setUp(kind)
    page.handlebars.registerHelper('safe', () => new page.handlebars.SafeString('<b>'))
    const source =
      '{{#cache 60 "n" x}}{{x}}|{{{x}}}|{{safe}}|{{#cache 60 "m" x}}{{x}}{{/cache}}{{/cache}}'
    const expected = '&lt;i&gt;&amp;|<i>&|<b>|&lt;i&gt;&amp;'
    expect(await page.render(source, { x: '<i>&' })).toBe(expected)
    expect(await page.render(source, { x: '<i>&' })).toBe(expected)
  })

  it('gives the text of a body that is one expression of any type', async () => {
    const page = setUp(kind)
    const source = '{{#cache 60 "n" t}}{{{x}}}{{/cache}}'
    const cases: [string, unknown, string][] = [
      ['number', 5, '5'],
      ['zero', 0, '0'],
      ['no', false, 'false'],
      ['list', [1, 2], '1,2'],
      ['null', null, ''],
      ['safe', new page.handlebars.SafeString('<'), '<'],
      ['value', { valueOf: () => 7, toString: () => 'seven' }, '7'],
    ]
    for (const [t, x, text] of cases) {
      expect(await page.render(source, { t, x })).toBe(text)
      expect(await page.render(source, { t })).toBe(text)
    }
    expect(await page.render('<{{#cache 60 "empty"}}{{/cache}}>')).toBe('<>')
  })

  it('respects whitespace control and lines of its own', async () => {
    const page = setUp(kind)
    const source =
      'a \n{{~#cache 60 "n"~}} \n x \n {{~/cache~}} \n b\n{{#cache 60 "m"}}\n y\n{{/cache}}\nc'
    expect(await page.render(source)).toBe('axb\n y\nc')
    expect(await page.render(source)).toBe('axb\n y\nc')
  })

  it('is a raw block too', async () => {
    const page = setUp(kind)
    expect(await page.render('{{{{cache 60 "n"}}}}{{x}}{{{{/cache}}}}')).toBe('{{x}}')
  })

  it('stands in an else chain', async () => {
    const page = setUp(kind)
    const source = '{{#if a}}A{{else cache 60 "n"}}B{{/if}}'
    expect(await page.render(source, { a: true })).toBe('A')
    expect(await page.render(source, {})).toBe('B')
    expect(await page.render(source, {})).toBe('B')
  })

  it('stores nothing when the body throws, and lets the error through', async () => {
    const page = setUp(kind)
    const error = new RangeError('boom')
    let fails = true
    page.handlebars.registerHelper('risky', () => {
      if (fails) throw error
      return 'ok'
    })
    const source = '{{#cache 60 "o"}}({{#cache 60 "n"}}{{risky}}{{/cache}}){{/cache}}'
    await expect(page.render(source)).rejects.toBe(error)
    fails = false
    expect(await page.render(source)).toBe('(ok)')
  })

  it('keeps the line of an error of Handlebars in the body', async () => {
    const page = setUp(kind, { strict: true })
    await expect(page.render('a\n{{#cache 60 "n"}}\n{{nope}}\n{{/cache}}', {})).rejects.toThrow(
      '"nope" not defined in [object Object] - 3:2',
    )
  })

  it('warns once per name of a vary-on value that is undefined', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
    const page = setUp(kind)
    const name = `misspelt-${kind}`
    const source = `\n{{#cache 60 "${name}" 7 usr.name}}x{{/cache}}`
    await page.render(source, {})
    await page.render(source, {})
    expect(warn.mock.calls.map(([message]) => message)).toEqual([
      expect.stringContaining(`fragment "${name}" (line 2): vary-on value 2 is undefined`),
    ])
  })

  it('names the template by srcName or as the partial it was called by', async () => {
    const page = setUp(kind)
    const seen: unknown[] = []
    const see = (message: unknown) => seen.push((message as { template?: string }).template)
    subscribe('fragcache:fragment', see)
    page.handlebars.registerPartial('card', '{{#cache 60 "n"}}x{{/cache}}')
    const options = { srcName: 'home.hbs' } as CompileOptions
    const main = page.handlebars.compile('{{#cache 60 "m"}}y{{/cache}}{{> card}}', options)
    await page.render(main)
    await page.render('{{> (lookup . "which")}}', { which: 'card' })
    await page.render('{{#cache 60 "k"}}z{{/cache}}')
    unsubscribe('fragcache:fragment', see)
    expect(seen).toEqual(['home.hbs', 'card', 'card', undefined])
  })
})

describe.each(kinds)('errors of the tag (%s)', (kind) => {
  const compileTime: [string, string | RegExp][] = [
    ['{{cache 60 "n"}}', 'cache tag (line 2): it is a block helper'],
    ['{{{cache 60 "n"}}}', /block helper/],
    ['{{cache}}', /block helper.*\{\{this\.cache\}\}/],
    ['{{x (cache 60 "n")}}', /block helper/],
    ['{{#if (cache 60 "n")}}{{/if}}', /block helper/],
    ['{{#if a=(cache 60 "n")}}{{/if}}', /block helper/],
    ['{{> (cache 60 "n")}}', /block helper/],
    ['{{#*inline "p"}}{{cache}}{{/inline}}', /block helper/],
    ['{{#> p}}{{cache}}{{/p}}', /block helper/],
    ['{{#cache}}x{{/cache}}', 'cache tag (line 2): it needs a timeout and a fragment name'],
    ['{{#cache 60}}x{{/cache}}', /timeout and a fragment name/],
    ['{{#cache using="local"}}x{{/cache}}', /timeout and a fragment name/],
    [
      '{{#cache 60 sidebar}}x{{/cache}}',
      'cache tag (line 2): the fragment name must be a quoted text',
    ],
    ['{{#cache 60 (concat "a")}}x{{/cache}}', /quoted text/],
    ...['60 5', '"greet" 5', 'greet 5'].map((given): [string, RegExp] => [
      `{{#cache ${given}}}x{{/cache}}`,
      /name is 5; the timeout comes first, then the name, a quoted text: 5 "sidebar"/,
    ]),
    ['{{#cache 60 ""}}x{{/cache}}', /fragment name is ""/],
    [
      '{{#cache 50.9 "n"}}x{{/cache}}',
      'cache tag (line 2, fragment "n"): the timeout is 50.9; give whole seconds, or none for never',
    ],
    ['{{#cache "soon" "n"}}x{{/cache}}', /timeout is "soon"/],
    ['{{#cache true "n"}}x{{/cache}}', /timeout is true/],
    ['{{#cache undefined "n"}}x{{/cache}}', /timeout is undefined/],
    [
      '{{#cache 60 "n" colour="red"}}x{{/cache}}',
      /fragment "n"\): unknown keyword "colour"; the keywords are using, tags/,
    ],
    ['{{#cache 60 "n" using="a" using="b"}}x{{/cache}}', /keyword "using" is given twice/],
    ['{{#cache 60 "n"}}x{{else}}y{{/cache}}', /fragment "n"\): it has no \{\{else\}\}/],
    ['{{#cache 60 "n"}}x{{else if a}}y{{/cache}}', /no \{\{else\}\}/],
    ['{{#cache 60 "n"}}x{{^}}{{/cache}}', /no \{\{else\}\}/],
    ['{{^cache 60 "n"}}x{{/cache}}', /no \{\{else\}\}/],
    ['{{#cache 60 "n" as |x|}}x{{/cache}}', /no block parameters.*as \|/],
    ['{{#cache 60, "n"}}x{{/cache}}', /fragment "n"\): Handlebars has no commas between arguments/],
    ['{{#cache 60 "n" using="local" user}}x{{/cache}}', /value "user" comes after a keyword/],
    ['{{#cache 60 "n" using=}}x{{/cache}}', /keyword "using" has no value/],
    ['{{#cache 60 "n" using= tags="a"}}x{{/cache}}', /keyword "using" has no value/],
  ]
  it.each(compileTime)('%s, before anything is rendered', async (source, message) => {
    const page = setUp(kind)
    page.handlebars.registerPartial('p', 'p')
    expect(() => page.handlebars.precompile(`\n${source}`)).toThrow(CacheTagError)
    expect(() => page.handlebars.precompile(`\n${source}`)).toThrow(message)
    await expect(page.render(`\n${source}`)).rejects.toThrow(message)
  })

  const runTime: [string, object, RegExp][] = [
    ['{{#cache x "n"}}{{/cache}}', { x: undefined }, /fragment "n"\): the timeout is undefined/],
    ['{{#cache x "n"}}{{/cache}}', { x: 1.5 }, /timeout is 1\.5/],
    ['{{#cache x "n"}}{{/cache}}', { x: {} }, /timeout is an object/],
    ['{{#cache 60 "n" x}}{{/cache}}', { x: new Map() }, /fragment "n"\): varyOn: an object/],
    ['{{#cache 60 "n" x}}{{/cache}}', { x: () => 'y' }, /varyOn: a function/],
    [
      '{{#cache 60 "n" using="nope"}}{{/cache}}',
      {},
      /fragment "n"\).*unknown cache "nope"; the caches are "default", "local", "other"/,
    ],
    ['{{#cache 60 "n" using=x}}{{/cache}}', {}, /using is undefined/],
    ['{{#cache 60 "n" using=x}}{{/cache}}', { x: 5 }, /using is 5/],
    ['{{#cache 60 "n" tags=x}}{{/cache}}', {}, /tags is, or holds, undefined/],
    ['{{#cache 60 "n" tags=x}}{{/cache}}', { x: ['a', 1] }, /tags is, or holds, 1/],
    ['{{#cache 60 "n" version=x}}{{/cache}}', {}, /version is undefined/],
    ['{{#cache 60 "n" version=x}}{{/cache}}', { x: [] }, /version is an object/],
  ]
  it.each(runTime)('%s with %o', async (source, context, message) => {
    const page = setUp(kind)
    page.handlebars.registerPartial('box', `\n\n${source}`)
    const rendered = page.render('{{> box}}', context)
    await expect(rendered).rejects.toThrow(CacheTagError)
    await expect(rendered).rejects.toThrow(message)
    await expect(rendered).rejects.toMatchObject({ template: 'box', line: 3, fragment: 'n' })
  })

  it('name the line of the one at fault among tags of one name', async () => {
    const page = setUp(kind)
    const source = '{{#cache a "n"}}x{{/cache}}\n{{#cache b "n"}}x{{/cache}}'
    expect(await page.render(source, { a: 1, b: 1 })).toBe('x\nx')
    await expect(page.render(source, { a: 1, b: 'y' })).rejects.toMatchObject({ line: 2 })
    await expect(page.render(source, { a: 'y', b: 1 })).rejects.toMatchObject({ line: 1 })
  })

  it('name the partial whose source is wrong', async () => {
    const page = setUp(kind)
    page.handlebars.registerPartial('box', 'a\n{{#cache 60 n}}{{/cache}}')
    page.handlebars.registerPartial('syntax', '{{#cache 60, "n"}}{{/cache}}')
    await expect(page.render('{{> box}}')).rejects.toThrow('cache tag (box, line 2): ')
    await expect(page.render('{{> syntax}}')).rejects.toThrow('cache tag (syntax, line 1, ')
  })

  it("leave Handlebars' own messages alone", async () => {
    const page = setUp(kind)
    await expect(page.render('{{#each xs}}x')).rejects.toThrow(/^Parse error on line 1/)
    await expect(page.render('{{#each xs}}x{{/if}}')).rejects.toThrow("each doesn't match")
    await expect(page.render('{{#cache 60 "n"}}{{/cache}}\n{{a b=}}')).rejects.toThrow(
      /^Parse error/,
    )
  })

  it('leave variables called cache alone', async () => {
    const page = setUp(kind)
    const context = { cache: 'C', o: { cache: 'D' }, cached: 'E' }
    const source = '{{this.cache}}{{./cache}}{{o.cache}}{{#with o}}{{../cache}}{{/with}}{{cached}}'
    expect(await page.render(source, context)).toBe('CCDCE')
    expect(await page.render('{{lookup this "cache"}}{{#if cache}}!{{/if}}', context)).toBe('C!')
    expect(await page.render('{{#each o as |cache|}}{{cache}}{{/each}}', context)).toBe('D')
  })

  it('say which options of the compiler the tag needs', async () => {
    const source = '{{#cache 60 "n" x}}{{x}}{{/cache}}'
    await expect(setUp(kind, { knownHelpersOnly: true }).render(source)).rejects.toThrow(
      /fragment "n"\).*unknown helper cache.*knownHelpers: \{ cache: true \}/,
    )
    const variable = setUp(kind, { knownHelpersOnly: true })
    expect(await variable.render('{{cache}}{{#cache}}!{{/cache}}', { cache: 'C' })).toBe('C!')
    const stringParams = setUp(kind, { stringParams: true } as CompileOptions)
    await expect(stringParams.render(source)).rejects.toThrow(/stringParams/)
  })
})

describe('synchronous rendering over an asynchronous cache', () => {
  it('is an error that says what to call', () => {
    const { handlebars } = setUp('async')
    expect(() => handlebars.compile('\n{{#cache 60 "n"}}x{{/cache}}')({})).toThrow(
      'cache tag (line 2, fragment "n"): the cache "default" answers asynchronously and this is synchronous rendering; render with renderAsync, which registerCache gives, or use a cache that answers at once (local memory)',
    )
  })

  it('is none where the cache is not used', () => {
    const { handlebars } = setUp('async')
    const source = '{{#cache 60 "n" using="local"}}x{{/cache}}{{#cache 60 "m" if=no}}y{{/cache}}'
    expect(handlebars.compile(source)({ no: false })).toBe('xy')
  })
})

describe('registering', () => {
  const caches = () => createCaches({ default: new LocMemCache() })

  it('touches the instance given and no other', () => {
    const one = Handlebars.create()
    const other = Handlebars.create()
    const { parse, template } = other
    registerCache(one, caches())
    expect(one.helpers['cache']).toBeTypeOf('function')
    expect(other.helpers['cache']).toBeUndefined()
    expect([other.parse, other.template]).toEqual([parse, template])
  })

  it('keeps the caches of two instances apart, also within one render', async () => {
    const a = setUp('async')
    const b = setUp('async')
    const source = '{{#cache 60 "n"}}{{v}}{{/cache}}'
    const inner = b.handlebars.compile(source)
    a.handlebars.registerHelper('inner', (v: string) => new Handlebars.SafeString(inner({ v })))
    expect(await a.render(`${source}{{inner "b"}}`, { v: 'a' })).toBe('ab')
    expect(await b.render(source, { v: 'c' })).toBe('b')
    expect(await a.render(source, { v: 'c' })).toBe('a')
  })

  it('again uses the caches given last, and checks each template once', async () => {
    const handlebars = Handlebars.create()
    const first = createCaches({ default: new AsyncTestCache() })
    const second = createCaches({ default: new DummyCache() })
    registerCache(handlebars, first)
    const { parse } = handlebars
    registerCache(handlebars, second)
    expect(handlebars.parse).toBe(parse)
    const runs = countRuns({ handlebars })
    const template = handlebars.compile('{{#cache 60 "n"}}{{run}}{{/cache}}')
    expect([template({}), template({}), runs()]).toEqual(['1', '2', 2])
  })

  it.each([{}, 'handlebars', { default: Handlebars }])('refuses %o', (wrong) => {
    expect(() => registerCache(wrong as typeof Handlebars, caches())).toThrow(
      /handlebars: .* is not a Handlebars instance; give the default export of the package handlebars/,
    )
  })

  it.each([undefined, null])('takes %o for a missing engine', (missing) => {
    expect(() => registerCache(missing as never, caches())).toThrow(/npm install handlebars/)
  })

  it('refuses what are not caches before it changes anything', () => {
    const handlebars = Handlebars.create()
    const { parse } = handlebars
    expect(() => registerCache(handlebars, {} as never)).toThrow(/caches: /)
    expect(handlebars.parse).toBe(parse)
    expect(handlebars.helpers['cache']).toBeUndefined()
  })

  it('refuses an instance that has another helper called cache', () => {
    const handlebars = Handlebars.create()
    handlebars.registerHelper('cache', () => 'mine')
    expect(() => registerCache(handlebars, caches())).toThrow(
      /handlebars: it has another helper called "cache"/,
    )
  })
})

describe('renderAsync', () => {
  it('renders a template, a source, and what renders by promise', async () => {
    const { renderAsync, handlebars } = setUp('async')
    const source = '{{#cache 60 "n"}}{{x}}{{/cache}}'
    expect(await renderAsync(source, { x: 1 })).toBe('1')
    expect(await renderAsync(handlebars.compile(source), { x: 2 })).toBe('1')
    const late = async () => {
      await new Promise((resolve) => setImmediate(resolve))
      return `[${handlebars.compile(source)({ x: 3 })}]`
    }
    expect(await renderAsync(late)).toBe('[1]')
  })

  it('compiles a source once', async () => {
    const { renderAsync, handlebars } = setUp('async')
    const compile = vi.spyOn(handlebars, 'compile')
    for (let i = 0; i < 3; i++) await renderAsync('{{x}}', { x: i })
    expect(compile).toHaveBeenCalledTimes(1)
    for (let i = 0; i < 501; i++) await renderAsync(`{{x}}${i}`)
    expect(await renderAsync('{{x}}', { x: 5 })).toBe('5')
    expect(compile).toHaveBeenCalledTimes(503)
  })

  it('passes runtime options on', async () => {
    const { renderAsync } = setUp('async')
    const html = await renderAsync('{{#cache 60 "n"}}{{@v}}{{h}}{{> p}}{{/cache}}', undefined, {
      data: { v: 'V' },
      helpers: { h: () => 'H' },
      partials: { p: 'P' },
    })
    expect(html).toBe('VHP')
  })

  it.each([undefined, null, 5, {}])('rejects %o', async (wrong) => {
    const { renderAsync } = setUp('async')
    await expect(renderAsync(wrong as string)).rejects.toThrow(
      /template: .* is neither a template nor its source/,
    )
  })

  it('rejects a template that gives no text', async () => {
    const { renderAsync } = setUp('async')
    await expect(renderAsync((() => 5) as unknown as () => string)).rejects.toThrow(
      /template: it gave 5 instead of a string/,
    )
  })
})

describe.each(kinds)('precompiled templates (%s)', (kind) => {
  const load = (spec: TemplateSpecification) =>
    (0, eval)(`(${spec as string})`) as TemplateSpecification
  const source =
    '{{#each xs as |x i|}}{{#cache 60 "n" x}}{{i}}{{@index}}{{x}}{{#with x}}{{../t}}{{/with}}{{/cache}};{{/each}}'
  const context = { xs: ['a', 'b'], t: 'T' }
  const expected = '00aT;11bT;'

  it('work by an instance with the tag', async () => {
    const page = setUp(kind)
    const template = page.handlebars.template(load(page.handlebars.precompile(source)))
    expect(await page.render(template, context)).toBe(expected)
    expect(await page.render(template, context)).toBe(expected)
  })

  it('work where another program made them, and by the runtime alone', async () => {
    const spec = Handlebars.create().precompile(source)
    const page = setUp(kind)
    expect(await page.render(page.handlebars.template(load(spec)), context)).toBe(expected)
    const runtime = (require('handlebars/runtime') as typeof Handlebars).create()
    const { renderAsync } = registerCache(runtime, page.caches)
    const template = runtime.template(load(spec))
    const render = () => (kind === 'sync' ? template(context) : renderAsync(template, context))
    await page.caches.get('default').clear()
    expect(await render()).toBe(expected)
    expect(await render()).toBe(expected)
    await expect(renderAsync('source')).rejects.toThrow(/runtime, which cannot compile/)
  })

  it('that another program made are checked when they are rendered', async () => {
    const page = setUp(kind)
    const render = (wrong: string, options?: PrecompileOptions) =>
      page.render(page.handlebars.template(load(Handlebars.create().precompile(wrong, options))), {
        n: 'n',
      })
    for (const [wrong, message] of [
      ['\n{{cache 60 "n"}}', /line 2\): it is a block helper/],
      ['{{#cache 60}}{{/cache}}', /timeout and a fragment name/],
      ['{{#cache 60 5}}{{/cache}}', /fragment name is 5/],
      ['{{#cache 60 ""}}{{/cache}}', /fragment name is ""/],
      ['{{#cache 60 "n"}}{{else}}{{/cache}}', /\{\{else\}\}/],
      ['{{^cache 60 "n"}}{{/cache}}', /\{\{else\}\}/],
      ['{{#cache 60 "n" as |x|}}{{/cache}}', /block parameters/],
      ['{{#cache 60 "n" colour=1}}{{/cache}}', /line 1, fragment "n"\): unknown keyword "colour"/],
      ['{{#cache 60 "n" lock=1}}{{/cache}}', /lock is 1/],
    ] as const) {
      await expect(render(wrong), wrong).rejects.toThrow(message)
      await expect(render(wrong), wrong).rejects.toThrow(CacheTagError)
    }
    const options = { stringParams: true } as PrecompileOptions
    await expect(render('{{#cache 60 "n" n}}{{/cache}}', options)).rejects.toThrow(/stringParams/)
  })

  it('do not fill the memory with names made up at run time', async () => {
    const page = setUp(kind)
    const made = '{{#cache 60 name}}{{name}}{{/cache}}'
    const template = page.handlebars.template(load(Handlebars.create().precompile(made)))
    for (let i = 0; i < 1_100; i++) {
      expect(await page.render(template, { name: `n${i}` })).toBe(`n${i}`)
    }
  })

  it('that were made before registering are refused where they would mix renders', async () => {
    const handlebars = Handlebars.create()
    const template = handlebars.template(load(handlebars.precompile(source)))
    const caches = createCaches({
      default: kind === 'sync' ? new LocMemCache() : new AsyncTestCache(),
    })
    const { renderAsync } = registerCache(handlebars, caches)
    if (kind === 'sync') {
      expect(template(context)).toBe(expected)
      expect(await renderAsync(template, context)).toBe(expected)
    } else {
      await expect(renderAsync(template, context)).rejects.toThrow(
        /fragment "n"\).*call registerCache before Handlebars\.template/,
      )
    }
  })
})
