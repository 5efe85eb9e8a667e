import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createCaches, LocMemCache, type Cache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'

/** A construct that Handlebars' guide and API reference describe, with values of ours. */
interface Documented {
  readonly source: string
  readonly context?: unknown
  readonly helpers?: Record<string, Handlebars.HelperDelegate>
  readonly partials?: Record<string, string>
  readonly compile?: CompileOptions & Record<string, unknown>
  readonly runtime?: Handlebars.RuntimeOptions
}

const person = { first: 'Ada', last: 'Byron', born: { year: 1815, place: 'London' } }
const shelf = {
  owner: 'Ann',
  books: [
    { title: 'Emma', pages: 474, tags: ['classic', 'novel'] },
    { title: 'Persuasion', pages: 0, tags: [] },
  ],
  prices: { emma: 5, persuasion: 7 },
  none: [],
}

/** Derived contexts, whose inherited properties Handlebars hides unless told otherwise. */
class Account {
  readonly own = 'own'
  get inherited(): string {
    return 'inherited'
  }
  shout(): string {
    return this.own.toUpperCase()
  }
}

const cases: Record<string, Documented> = {
  'simple and nested expressions': {
    source: '{{first}} {{last}}, {{born.year}}, {{born/place}}, {{missing}}, {{born.missing.deep}}',
    context: person,
  },
  'paths up, to itself and to the root': {
    source:
      '{{#each books}}{{../owner}}:{{this.title}}:{{./pages}}:{{@root.owner}};{{#each tags}}{{.}}/{{../../owner}} {{/each}}{{/each}}',
    context: shelf,
  },
  'segments that are no identifiers': {
    source:
      '{{rows.[0].[item-class]}} {{#each rows.[0].[item list]}}{{this}}{{/each}} {{rows.[1].["]}}',
    context: { rows: [{ 'item-class': 'a', 'item list': [1, 2] }, { '"': 'q' }] },
  },
  'escaping and its absence': {
    source: '{{html}} {{{html}}} {{&html}} {{safe}}',
    context: { html: '<b>"&\'`=</b>', safe: new Handlebars.SafeString('<i>safe</i>') },
  },
  'comments of both kinds': {
    source: 'a{{! gone }}b{{!-- with }} and {{mustaches}} --}}c\n{{!-- a line --}}\nd',
  },
  'escaped mustaches': { source: '\\{{first}} {{first}} \\\\{{first}}', context: person },
  'lines that hold a block alone': {
    source: 'list\n  {{#each books}}\n  - {{title}}\n  {{else}}\n  none\n  {{/each}}\nend\n',
    context: shelf,
  },
  'white space taken away': {
    source:
      '{{#each books ~}}\n  {{~#if pages}} {{title}} {{~else~}} empty {{~/if~}}\n{{~/each}} .',
    context: shelf,
  },
  'raw blocks': {
    source: '{{{{raw}}}}{{first}} {{{{/raw}}}}{{first}}',
    context: person,
    helpers: { raw: ({ fn }: Handlebars.HelperOptions) => fn({}) },
  },
  'helpers with values, literals and named values': {
    source:
      '{{join first last sep="-"}} {{join "a" 1 true null undefined sep=born.year}} {{join}} {{kind 1}}{{kind "1"}}{{kind true}}{{kind null}}{{kind undefined}}',
    context: person,
    helpers: {
      join: (...args: unknown[]) => {
        const { hash } = args.pop() as Handlebars.HelperOptions
        return args.map(String).join(String(hash['sep'] ?? ','))
      },
      kind: (value: unknown) => `${value === null ? 'null' : typeof value};`,
    },
  },
  'helpers that read their context': {
    source: '{{name}} {{#with born}}{{when}}{{/with}}',
    context: person,
    helpers: {
      name(this: typeof person) {
        return `${this.first} ${this.last}`
      },
      when(this: typeof person.born) {
        return this.year
      },
    },
  },
  'helpers that give markup': {
    source: '{{bold "<x>"}} {{unsafe "<x>"}} {{#strong}}{{first}} & {{html}}{{/strong}}',
    context: { first: 'A', html: '<i>' },
    helpers: {
      bold: (text: string) =>
        new Handlebars.SafeString(`<b>${Handlebars.escapeExpression(text)}</b>`),
      unsafe: (text: string) => `<b>${text}</b>`,
      strong(this: unknown, { fn }: Handlebars.HelperOptions) {
        return `<strong>${fn(this)}</strong>`
      },
    },
  },
  'helpers as values of helpers': {
    source:
      '{{outer (inner first) (inner (inner last)) key=(inner "x")}}{{#if (is 1 1)}}yes{{/if}}',
    context: person,
    helpers: {
      inner: (text: string) => `(${text})`,
      outer: (a: string, b: string, { hash }: Handlebars.HelperOptions) =>
        `${a}${b}${String(hash['key'])}`,
      is: (a: unknown, b: unknown) => a === b,
    },
  },
  'a helper and data of one name': {
    source: '{{title}} {{./title}} {{this.title}} {{this/title}}',
    context: { title: 'data' },
    helpers: { title: () => 'helper' },
  },
  'properties looked up as Handlebars does': {
    source:
      '{{safe account "own"}} {{safe account "constructor"}} {{account.own}} {{account.inherited}}|',
    context: { account: new Account() },
    helpers: {
      safe: (object: unknown, name: string, options: Handlebars.HelperOptions) =>
        (
          options as unknown as { lookupProperty: (o: unknown, n: string) => unknown }
        ).lookupProperty(object, name),
    },
  },
  'inherited properties and methods that are allowed': {
    source: '{{account.inherited}} {{#with account}}{{shout}}{{/with}} {{account.constructor}}|',
    context: { account: new Account() },
    runtime: {
      allowedProtoProperties: { inherited: true },
      allowedProtoMethods: { shout: true },
    },
  },
  'inherited properties that are allowed by default': {
    source: '{{account.inherited}} {{#with account}}{{shout}}{{/with}}|',
    context: { account: new Account() },
    runtime: { allowProtoPropertiesByDefault: true, allowProtoMethodsByDefault: true },
  },
  'functions in the context': {
    source:
      '{{full}} {{#many}}{{this}},{{/many}} {{#yes}}yes{{else}}no{{/yes}} {{lookup list (index)}}',
    context: {
      ...person,
      full(this: typeof person) {
        return `${this.first}!`
      },
      many: () => [1, 2],
      yes: () => true,
      list: ['zero', 'one'],
    },
    helpers: { index: () => 1 },
  },
  'if, else if and unless': {
    source:
      '{{#if zero}}a{{else if none}}b{{else if text}}c{{else}}d{{/if}} {{#if zero includeZero=true}}e{{/if}} {{#unless zero}}f{{else}}g{{/unless}} {{#if missing}}h{{^}}i{{/if}}',
    context: { zero: 0, none: [], text: 'x' },
  },
  'loops over lists, objects, maps and sets': {
    source:
      '{{#each list}}{{@index}}{{@first}}{{@last}}{{this}} {{/each}}{{#each object}}{{@key}}={{this}}{{#unless @last}},{{/unless}}{{/each}} {{#each map}}{{@key}}:{{this}};{{/each}} {{#each set}}{{this}}{{/each}} {{#each none}}x{{else}}nothing{{/each}}',
    context: {
      list: ['a', 'b'],
      object: { k: 1, l: 2 },
      map: new Map([['m', 1]]),
      set: new Set(['s', 't']),
    },
  },
  'block parameters': {
    source:
      '{{#each books as |book i|}}{{i}}{{book.title}}{{#each book.tags as |tag|}}<{{tag}} {{book.pages}} {{i}}>{{/each}}{{/each}}{{#with prices as |p|}}{{p.emma}}{{/with}}{{#range 2 as |n|}}{{n}}{{/range}}',
    context: shelf,
    helpers: {
      range: (to: number, { fn, data }: Handlebars.HelperOptions) =>
        Array.from({ length: to }, (_, n) => fn(n, { data, blockParams: [n] })).join(''),
    },
  },
  'with and its else': {
    source: '{{#with born}}{{year}} {{place}}{{/with}}{{#with nobody}}x{{else}}nobody{{/with}}',
    context: person,
  },
  'lookup by computed names': {
    source:
      '{{#each books}}{{lookup ../prices (lower title)}} {{/each}}{{#with (lookup books 1) as |b|}}{{b.title}}{{/with}}{{lookup (lookup books 0) "title"}}{{lookup missing "x"}}',
    context: shelf,
    helpers: { lower: (text: string) => text.toLowerCase() },
  },
  'data variables, of blocks around too, and levels': {
    source:
      '{{#each books}}{{#each tags}}{{@../index}}.{{@index}}{{@../first}}{{@root.owner}} {{/each}}{{/each}}{{@level}}{{@own}}',
    context: shelf,
    runtime: { data: { level: 'warn', own: 'mine' } },
  },
  'frames made by helpers': {
    source: '{{#list books}}{{@position}}{{@kept}}{{title}} {{/list}}',
    context: shelf,
    runtime: { data: { kept: '+' } },
    helpers: {
      list: (items: unknown[], { fn, data }: Handlebars.HelperOptions) =>
        items
          .map((item, i) => {
            const frame = Handlebars.createFrame(data) as { position: number }
            frame.position = i + 1
            return fn(item, { data: frame })
          })
          .join(''),
    },
  },
  'blocks with an inverse, chained ones and inverted sections': {
    source:
      '{{#maybe no}}a{{else maybe yes}}b{{else}}c{{/maybe}}{{^none}}empty{{/none}}{{#maybe no}}{{^}}d{{/maybe}}',
    context: { yes: 1, no: 0, none: [] },
    helpers: {
      maybe(this: unknown, value: unknown, { fn, inverse }: Handlebars.HelperOptions) {
        return value ? fn(this) : inverse(this)
      },
    },
  },
  'hooks for what is missing': {
    source:
      '{{gone 1 "b"}} {{alone}} {{#each books}}{{lost title}}{{/each}}{{#prices}}{{emma}}{{/prices}}',
    context: shelf,
    helpers: {
      helperMissing: (...args: unknown[]) => {
        const { name } = args.pop() as { name: string }
        return `no ${name}(${args.join()})`
      },
      blockHelperMissing: (
        context: unknown,
        { name, fn }: Handlebars.HelperOptions & { name?: string },
      ) => `[${String(name)}:${fn(context)}]`,
    },
  },
  'partials with contexts and parameters': {
    source:
      '{{> card}} {{> card born}} {{> card first="B" last=born.place}} {{#each list}}{{> item prefix=../first}}{{/each}}',
    context: { ...person, list: [{ n: 1 }, { n: 2 }] },
    partials: { card: '<{{first}} {{last}} {{year}}>', item: '{{prefix}}{{n}}' },
  },
  'partials by computed names': {
    source: '{{> (which "card")}} {{> (lookup . "partial") born}}',
    context: { ...person, partial: 'place' },
    partials: { card: '<{{first}}>', place: '@{{place}}' },
    helpers: { which: (name: string) => name },
  },
  'partials that call themselves': {
    source: '{{> tree}}',
    context: { name: 'a', children: [{ name: 'b', children: [{ name: 'c' }] }, { name: 'd' }] },
    partials: { tree: '({{name}}{{#each children}}{{> tree}}{{/each}})' },
  },
  'partials on lines of their own': {
    source: 'list:\n  {{> lines}}\nend\n    {{> lines}}',
    context: { rows: [1, 2] },
    partials: { lines: '{{#each rows}}\n- {{this}}\n{{/each}}\n' },
  },
  'partial blocks, with and without the partial': {
    source:
      '{{#> missing}}fall back {{first}}{{/missing}} {{#> frame title="T"}}{{first}}{{/frame}} {{#each list}}{{#> frame title=this}}{{this}}{{../first}}{{/frame}}{{/each}}',
    context: { ...person, list: ['x', 'y'] },
    partials: { frame: '<{{title}}>{{> @partial-block}}|{{> @partial-block}}</>' },
  },
  'partial blocks in partial blocks': {
    source: '{{#> outer}}{{#> inner}}{{first}}{{/inner}}!{{/outer}}',
    context: person,
    partials: {
      outer: 'o[{{> @partial-block}}]{{#if @partial-block}}given{{/if}}',
      inner: 'i({{> @partial-block last="L"}})',
    },
  },
  'inline partials': {
    source:
      '{{#*inline "row"}}<{{title}} {{@index}}>{{/inline}}{{#each books}}{{> row}}{{#*inline "late"}}{{pages}}{{/inline}}{{> late}}{{/each}}',
    context: shelf,
  },
  'layouts of inline partials': {
    source:
      '{{#> layout}}{{#*inline "nav"}}nav {{owner}}{{/inline}}{{#*inline "main"}}{{#each books}}{{title}} {{/each}}{{> foot by="me"}}{{/inline}}{{/layout}}',
    context: shelf,
    partials: {
      layout:
        '<nav>{{> nav}}</nav><main>{{> main}}</main>{{#> aside}}no aside{{/aside}}{{#*inline "foot"}}{{by}}{{/inline}}',
      foot: '-{{by}}-',
    },
  },
  'names of all contexts around, by the option compat': {
    source: '{{#each books}}{{owner}}{{#with tags}}{{title}}{{/with}}{{> own}}{{/each}}',
    context: shelf,
    partials: { own: '[{{owner}}]' },
    compile: { compat: true },
  },
  'no escaping, by the option noEscape': {
    source: '{{html}}{{#if html}}{{html}}{{/if}}{{> p}}',
    context: { html: '<&>' },
    partials: { p: '{{html}}' },
    compile: { noEscape: true },
  },
  'no indenting, by the option preventIndent': {
    source: 'a\n   {{> p}}\nb',
    partials: { p: 'one\ntwo\n' },
    compile: { preventIndent: true },
  },
  'lines as they are, by the option ignoreStandalone': {
    source: 'a\n{{#if yes}}\nb\n{{/if}}\nc',
    context: { yes: true },
    compile: { ignoreStandalone: true },
  },
  'no implicit context, by the option explicitPartialContext': {
    source: '{{> p}}{{> p born}}{{> p year=1}}',
    context: person,
    partials: { p: '[{{first}}{{year}}]' },
    compile: { explicitPartialContext: true },
  },
  'objects taken to be there, by the option assumeObjects': {
    source: '{{born.year}}{{#with born}}{{place}}{{/with}}{{nothing}}',
    context: person,
    compile: { assumeObjects: true },
  },
  'what must be there, by the option strict': {
    source: '{{born.year}}{{#with born}}{{place}}{{/with}}{{#if first}}{{first}}{{/if}}',
    context: person,
    compile: { strict: true },
  },
  'known helpers': {
    source: '{{known first}}{{#if first}}{{first}}{{/if}}{{#block}}{{last}}{{/block}}',
    context: person,
    helpers: {
      known: (text: string) => `(${text})`,
      block(this: unknown, { fn }: Handlebars.HelperOptions) {
        return fn(this)
      },
    },
    compile: {
      knownHelpersOnly: true,
      knownHelpers: { known: true, block: true, cache: true, run: true },
    },
  },
  'names of lookups, by the option trackIds': {
    source: '{{ids born.year first}}{{#each books}}{{ids title}}{{/each}}',
    context: { ...person, ...shelf },
    helpers: {
      ids: (...args: unknown[]) => (args.at(-1) as { ids: unknown[] }).ids.join(),
    },
    compile: { trackIds: true },
  },
  'names of lookups in parameters of blocks': {
    source: '{{#each books as |book at|}}{{ids book.title at}}{{/each}}',
    context: { ...person, ...shelf },
    helpers: {
      ids: (...args: unknown[]) =>
        `${String(args[0])} ${(args.at(-1) as { ids: unknown[] }).ids.join()};`,
    },
    compile: { trackIds: true },
  },
  'no data, and the names of all contexts around': {
    source: '{{#each books}}{{title}} {{first}};{{#with this}}{{last}}{{/with}}{{/each}}',
    context: { ...person, ...shelf },
    compile: { data: false, compat: true },
    runtime: { data: false },
  },
  'partials and decorators of a single render': {
    source: '{{> mine}}{{#block}}{{* note "n"}}{{first}}{{/block}}',
    context: person,
    helpers: {
      block(this: unknown, { fn }: Handlebars.HelperOptions) {
        return `${(fn as unknown as { note?: string }).note ?? ''}${fn(this)}`
      },
    },
    runtime: {
      partials: { mine: Handlebars.compile('mine {{first}};') as never },
      decorators: {
        note: (
          program: object,
          props: { note: string },
          _: unknown,
          { args }: { args: string[] },
        ) => {
          props.note = String(args[0])
          return program
        },
      },
    },
  },
  'levels of the log': {
    source: '{{log "a" first level="error"}}{{log last}}done',
    context: person,
  },
}

function setUp(one: Documented, make?: () => Cache) {
  const handlebars = Handlebars.create()
  let runs = 0
  const pass = function (this: unknown, { fn }: Handlebars.HelperOptions) {
    return fn(this)
  }
  handlebars.registerHelper({
    ...one.helpers,
    as: pass,
    run(this: unknown, options: Handlebars.HelperOptions) {
      runs++
      return options.fn(this)
    },
  })
  const registered = make && registerCache(handlebars, createCaches({ default: make() }))
  handlebars.registerPartial(one.partials ?? {})
  // A block that only renders what is in it, since lines are others inside of blocks.
  const [begin, end] = make === undefined ? ['#as', '/as'] : ['#cache 60 "page"', '/cache']
  const source = `{{${begin}}}{{#run}}${one.source}{{/run}}{{${end}}}`
  const template = handlebars.compile(source, { ...one.compile })
  const { data } = one.runtime ?? {}
  const runtime = () => ({ ...one.runtime, data: data === false ? data : { ...(data as object) } })
  return {
    sync: () => template(one.context, runtime()),
    async: () => registered?.renderAsync(template, one.context, runtime()),
    get runs() {
      return runs
    },
  }
}

describe('what Handlebars documents works in a cache tag', () => {
  beforeEach(() => void vi.spyOn(Handlebars.logger, 'log').mockImplementation(() => undefined))
  afterEach(() => void vi.restoreAllMocks())

  it.each(Object.entries(cases))('%s', async (_, one) => {
    const compile = one.compile?.knownHelpers && {
      ...one.compile,
      knownHelpers: { ...one.compile.knownHelpers, as: true },
    }
    const plain = setUp(compile ? { ...one, compile } : one).sync()
    expect(plain).not.toBe('')
    const near = setUp(one, () => new LocMemCache())
    expect(near.sync(), 'cold').toBe(plain)
    expect(near.sync(), 'warm').toBe(plain)
    expect(await near.async(), 'warm, asynchronously').toBe(plain)
    expect(near.runs).toBe(1)
    const far = setUp(one, () => new AsyncTestCache())
    expect(await far.async(), 'asynchronous cache, cold').toBe(plain)
    expect(await far.async(), 'asynchronous cache, warm').toBe(plain)
    expect(far.runs).toBe(1)
  })
})
