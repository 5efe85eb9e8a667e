import { Eta } from 'eta'
import { createCaches, LocMemCache, makeTemplateFragmentKey } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe, expect, it, vi } from 'vitest'

const newCaches = () => createCaches({ default: new LocMemCache() })

type Variables = Readonly<Record<string, unknown>>

function handlebars(personal: readonly string[], source: string) {
  const engine = Handlebars.create()
  registerHandlebars(engine, newCaches(), { personal, strict: true })
  engine.registerHelper('json', (value: unknown) => JSON.stringify(value))
  engine.registerHelper('wrap', function (this: object, options: Handlebars.HelperOptions) {
    return options.fn({ ...this, isWide: true })
  })
  engine.registerHelper('assign', function (this: object) {
    return Object.values(Object.assign({}, this)).length
  })
  engine.registerPartial('card', '[{{title}}]')
  engine.registerPartial('name', '[{{user.name}}]')
  return engine.compile(`{{#cache 60 "box"}}${source}{{/cache}}`)
}

function nunjucksPage(personal: readonly string[], source: string) {
  const env = new nunjucks.Environment(null, { autoescape: false })
  registerNunjucks(env, newCaches(), { personal, strict: true })
  env.addGlobal('spread', function (this: { ctx: Variables }) {
    return (({ ...all }: Variables) => (all['user'] as { name: string }).name)(this.ctx)
  })
  return (variables: object) =>
    env.renderString(`{% cache 60 box %}${source}{% endcache %}`, variables)
}

function eta(personal: readonly string[], source: string) {
  const engine = new Eta({
    plugins: [cachePlugin(newCaches(), { personal, strict: true })],
    autoEscape: false,
  })
  engine.loadTemplate('@card', '[<%= it.title %>]')
  engine.loadTemplate('@name', '[<%= it.user.name %>]')
  engine.loadTemplate('@layout', '[<%= it.title %>: <%~ it.body %>]')
  engine.loadTemplate('@inside', '<% layout("@layout") %>text')
  engine.loadTemplate('@tagged', '<% layout("@layout") %><% cache 60 in %>text<% endcache %>')
  return (variables: object) =>
    engine.renderString(`<% cache 60 box %>${source}<% endcache %>`, variables)
}

class User {
  #name: string
  constructor(name: string) {
    this.#name = name
  }
  get name() {
    return this.#name
  }
  get greeting() {
    return `Hi ${this.#name}`
  }
  greet() {
    return `Hi ${this.#name}`
  }
}

class Page {
  readonly title = 'title'
  constructor(readonly user: { readonly name: string }) {}
  get greeting() {
    return `Hi ${this.user.name}`
  }
}

const user = { name: 'Ann' }
const one = { user }
const many = { user, title: 'title', others: 1 }
const ofClass = { user: new User('Ann'), title: 'title' }
const cart = { session: { cart: 'of Ann' }, title: 'title' }

const refused: readonly (readonly [string, (variables: object) => string, object])[] = [
  [
    'the only key of a loop, in Handlebars',
    handlebars(['session.cart'], '{{#each session}}{{@key}}={{this}}{{/each}}'),
    cart,
  ],
  ['all as JSON, in Handlebars', handlebars(['user'], '{{{json this}}}'), one],
  ['all as JSON, in Eta', eta(['user'], '<%= JSON.stringify(it) %>'), one],
  ['a part as JSON, in Eta', eta(['session.cart'], '<%= JSON.stringify(it.session) %>'), cart],
  ['a part as JSON, in Nunjucks', nunjucksPage(['session.cart'], '{{ session | dump }}'), cart],
  [
    'what is asked for by its keys',
    eta(['user'], '<%= Object.keys(it).map((key) => it[key].name) %>'),
    one,
  ],
  [
    'the copy that a block helper renders with',
    handlebars(['user'], '{{#wrap}}{{user.name}}{{/wrap}}'),
    many,
  ],
  ['a copy by Object.assign', handlebars(['user'], '{{assign}}'), many],
  ['a copy by a global function', nunjucksPage(['user'], '{{ spread() }}'), many],
  ['whether it is there', eta(['user'], '<%= Object.hasOwn(it, "user") %>'), many],
  ['whether it is there, by in', eta(['user'], '<%= "user" in it %>'), many],
  [
    'its descriptor',
    eta(['user'], '<%= Object.getOwnPropertyDescriptor(it, "user").value.name %>'),
    many,
  ],
  [
    'a copy by all descriptors',
    eta(['user'], '<%= Object.create({}, Object.getOwnPropertyDescriptors(it)).user.name %>'),
    many,
  ],
  [
    'a part, by the descriptor of the whole',
    eta(['session.cart'], '<%= Object.getOwnPropertyDescriptor(it, "session").get().cart %>'),
    cart,
  ],
  [
    'what is asked for once all names were listed',
    eta(['user'], '<%= Object.keys(it).length %><%= Object.hasOwn(it, "user") %>'),
    many,
  ],
  ['a copy', eta(['user'], '<% const all = { ...it } %><%= all.user.name %>'), many],
  [
    'a copy of a part',
    eta(['session.cart'], '<%~ include("@card", { ...it.session, title: 1 }) %>'),
    cart,
  ],
  [
    'a copy that an include reads',
    eta(['user'], '<%~ include("@name", { ...it, isWide: true }) %>'),
    many,
  ],
  ['a partial with values of its own', handlebars(['user'], '{{> name isWide=true}}'), many],
  ['a getter of a class, in Nunjucks', nunjucksPage(['user.name'], '{{ user.greeting }}'), ofClass],
  ['a method of a class', nunjucksPage(['user.name'], '{{ user.greet() }}'), ofClass],
  ['a getter of a class, in Eta', eta(['user.name'], '<%= it.user.greeting %>'), ofClass],
  [
    'a getter of what all variables are',
    eta(['user'], '<%= it.greeting %>'),
    new Page({ name: 'Ann' }),
  ],
  [
    'a value of a Map',
    eta(['session.cart'], '<%= it.session.get("cart") %>'),
    { session: Object.assign(new Map([['cart', 'of Ann']]), { cart: 1 }) },
  ],
]

const allowed: readonly (readonly [string, (variables: object) => string, object, string])[] = [
  [
    'an include with a copy that does not read it',
    eta(['user'], '<%~ include("@card", { ...it, isWide: true }) %>'),
    many,
    '[title]',
  ],
  [
    'a partial with values of its own that does not',
    handlebars(['user'], '{{> card isWide=true}}'),
    many,
    '[title]',
  ],
  ...['@inside', '@tagged'].map(
    (name) =>
      [
        `a getter that the layout of ${name} does not read`,
        eta(['user'], `<%~ include("${name}") %>`),
        {
          title: 'title',
          user,
          get greeting() {
            return `Hi ${this.user.name}`
          },
        },
        '[title: text]',
      ] as const,
  ),
  [
    'a loop over the names alone',
    eta(['user'], '<% for (const name in it) { %><%= name %>,<% } %>'),
    many,
    'user,title,others,',
  ],
  [
    'another part of what has one, in Handlebars',
    handlebars(['session.cart'], '{{title}}{{session.theme}}'),
    { session: { cart: 'of Ann', theme: 'dark' }, title: 'title ' },
    'title dark',
  ],
  ['the names alone', eta(['user'], '<%= Object.keys(it).length %>'), many, '3'],
  [
    'a method that is not called',
    eta(['user.name'], '<%= typeof it.user.greet %>'),
    ofClass,
    'function',
  ],
  [
    'what a class has beside it',
    eta(['user.name'], '<%= it.user.constructor === it.type %>'),
    { user: new User('Ann'), type: User },
    'true',
  ],
]

describe('what is copied or computed in a cached body', () => {
  it.each(refused)('counts as read: %s', (_name, render, variables) => {
    for (let i = 0; i < 2; i++)
      expect(() => render(variables)).toThrow(/its body reads "(user|session)/)
  })

  it.each(allowed)('is free otherwise: %s', (_name, render, variables, text) => {
    for (let i = 0; i < 2; i++) expect(render(variables)).toBe(text)
  })

  it('does not count for the old text that stands in for a body that fails', async () => {
    const cache = new LocMemCache()
    const env = new nunjucks.Environment(null, { autoescape: false })
    registerNunjucks(env, createCaches({ default: cache }), { personal: ['user'], strict: true })
    let isDown = false
    env.addGlobal('copied', function (this: { ctx: Variables }) {
      if (!isDown) return 'made'
      const all = { ...this.ctx }
      throw new Error(`down for ${Object.keys(all).length}`)
    })
    const source = '{% cache 60 box staleIfError=60 %}{{ copied() }}{% endcache %}'
    const render = () => env.renderString(source, { user })
    expect(render()).toBe('made')
    await cache.expire(makeTemplateFragmentKey('box'))
    isDown = true
    const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    expect(render()).toBe('made')
    spy.mockRestore()
  })
})
