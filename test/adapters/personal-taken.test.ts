import { Eta } from 'eta'
import { createCaches, LocMemCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { personalRows, type Render } from '../support/personal-rows.js'
import { sources } from './nunjucks-driver.js'

/* What is the visitor's is known under any name, by being the same object. */

const OPTIONS = { personal: ['user', 'session.cart', 'token'], strict: true }

class User {
  #secret = 'secret'
  constructor(
    readonly id: number,
    readonly name: string,
  ) {}
  get secret() {
    return this.#secret
  }
  greet() {
    return `Hi ${this.#secret}`
  }
}

const ANN = new User(1, 'Ann')
const BEN = new User(2, 'Ben')

const contextOf = () => ({
  user: ANN,
  viewer: ANN,
  session: { cart: { size: 3 }, theme: 'dark' },
  token: () => 'token of Ann',
  members: [ANN, BEN],
  orders: [{ id: 7, user: ANN }],
  title: 'title',
})

describe.each([
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
])('over %s', (_, newCache) => {
  const newCaches = () => createCaches({ default: newCache() })

  describe('Nunjucks', () => {
    const render: Render = (templates) => {
      const env = new nunjucks.Environment(sources(templates))
      return registerNunjucks(env, newCaches(), OPTIONS).renderAsync('main', contextOf())
    }
    const cached = (body: string, varyOn = '') => `{% cache 60 f ${varyOn} %}${body}{% endcache %}`
    const card = (varyOn = '') =>
      `{% macro card(u) %}${cached('{{ u.name }}', varyOn)}{% endmacro %}`
    personalRows(
      render,
      [
        [
          'a variable that is set in front',
          { main: `{% set u = user %}${cached('{{ u.name }}')}` },
        ],
        [
          'one that is set by a part of the page',
          { main: `{% if title %}{% set u = user %}${cached('{{ u.name }}')}{% endif %}` },
        ],
        ['another name that the page is given', { main: cached('{{ viewer.name }}') }],
        ['an argument', { main: `${card()}{{ card(user) }}` }],
        [
          'an argument of another template’s macro',
          { main: '{% import "ui" as ui %}{{ ui.card(user) }}', ui: card() },
        ],
        ['a loop’s', { main: `{% for u in [user] %}${cached('{{ u.name }}')}{% endfor %}` }],
        [
          'a variable that an include reads',
          {
            main: `{% for u in [user] %}${cached('{% include "p" %}')}{% endfor %}`,
            p: '{{ u.name }}',
          },
        ],
        [
          'a variable in front of an include with the fragment',
          { main: `{% set u = user %}{% include "p" %}`, p: cached('{{ u.name }}') },
        ],
        [
          'a variable in a macro of the template',
          {
            main: `{% set u = user %}{% macro show() %}{{ u.name }}{% endmacro %}${cached('{{ show() }}')}`,
          },
        ],
        [
          'the visitor’s in what a member’s is around',
          {
            main: `{% set u = user %}{% macro show() %}{{ u.name }}{% endmacro %}{% for u in members %}${cached('{{ u.name }} for {{ show() }}', 'u.id')}{% endfor %}`,
          },
        ],
        [
          'in front of both, in a fragment that names it within another',
          { main: `{% set u = user %}${cached(cached('{{ u.name }}', 'u.id'))}` },
        ],
        [
          'what a nocache block is given',
          {
            main: `{% set u = user %}${cached('{% nocache name=u.name %}{{ name }}{% endnocache %}')}`,
          },
        ],
      ],
      [
        [
          'what the values name',
          { main: `{% set u = user %}${cached('{{ u.name }}', 'u.id')}` },
          'Ann',
        ],
        [
          'what the values name by the page’s name',
          { main: `{% set u = user %}${cached('{{ u.name }}', 'user.id')}` },
          'Ann',
        ],
        [
          'another name that the values name',
          { main: cached('{{ viewer.name }}', 'viewer.id') },
          'Ann',
        ],
        ['an argument that the values name', { main: `${card('u.id')}{{ card(user) }}` }, 'Ann'],
        [
          'a member’s who is the visitor',
          { main: `{% for m in members %}${cached('{{ m.name }};', 'm.id')}{% endfor %}` },
          'Ann;Ben;',
        ],
        [
          'a member’s who is the visitor, in a fragment with all',
          {
            main: `{% cache 60 all %}{% for m in members %}${cached('{{ m.name }};', 'm.id')}{% endfor %}{% endcache %}`,
          },
          'Ann;Ben;',
        ],
        [
          'what the body makes of members',
          { main: cached('{% for m in members %}{% set u = m %}{{ u.name }};{% endfor %}') },
          'Ann;Ben;',
        ],
        [
          'what the body sets anew',
          { main: `{% set u = user %}${cached('{% set u = members[1] %}{{ u.name }}')}` },
          'Ben',
        ],
        [
          'a variable that the body does not read',
          { main: `{% set u = user %}${cached('{{ title }}')}` },
          'title',
        ],
      ],
    )
    it('watches the part that is the visitor’s alone', async () => {
      const set = '{% set s = session %}'
      expect(await render({ main: `${set}${cached('{{ s.theme }}')}` })).toBe('dark')
      await expect(render({ main: `${set}${cached('{{ s.cart.size }}')}` })).rejects.toThrow(
        'reads "session.cart"',
      )
      expect(await render({ main: `${set}${cached('{{ s.cart.size }}', 's.cart.size')}` })).toBe(
        '3',
      )
    })

    it('sees functions', async () => {
      await expect(render({ main: `{% set t = token %}${cached('{{ t() }}')}` })).rejects.toThrow(
        'reads "token"',
      )
    })
  })

  describe('Handlebars', () => {
    const render: Render = async (templates) => {
      const handlebars = Handlebars.create()
      const { renderAsync } = registerHandlebars(handlebars, newCaches(), OPTIONS)
      handlebars.registerPartial({ ...templates })
      handlebars.registerHelper('wide', function (this: object, options: Handlebars.HelperOptions) {
        return options.fn({ ...this, isWide: true })
      })
      handlebars.registerHelper('wider', function (this: object) {
        return { ...this, isWide: true }
      })
      handlebars.registerHelper(
        'under',
        function (this: object, options: Handlebars.HelperOptions) {
          return options.fn(Object.create(this))
        },
      )
      handlebars.registerHelper(
        'shown',
        function (this: object, who: unknown, options: Handlebars.HelperOptions) {
          const data = { ...Handlebars.createFrame(options.data as object), who }
          return options.fn(this, { data })
        },
      )
      handlebars.registerHelper('is', (one: unknown, other: unknown) => one === other)
      const allow = { allowProtoPropertiesByDefault: true, allowProtoMethodsByDefault: true }
      return renderAsync(String(templates['main']), contextOf(), {
        ...allow,
        data: { user: ANN, session: { cart: { size: 3 }, theme: 'dark' }, shop: { name: 'Shop' } },
      })
    }
    const cached = (body: string, varyOn = '') => `{{#cache 60 "f" ${varyOn}}}${body}{{/cache}}`
    personalRows(
      render,
      [
        ['with', { main: `{{#with user}}${cached('{{name}}')}{{/with}}` }],
        ['a getter of with', { main: `{{#with user}}${cached('{{secret}}')}{{/with}}` }],
        ['a method of with', { main: `{{#with user}}${cached('{{greet}}')}{{/with}}` }],
        ['with a parameter', { main: `{{#with user as |u|}}${cached('{{u.name}}')}{{/with}}` }],
        [
          'a parameter further out',
          {
            main: `{{#with user as |u|}}{{#with ../title as |t|}}${cached('{{u.name}}')}{{/with}}{{/with}}`,
          },
        ],
        [
          'a block around',
          {
            main: `{{#with user}}{{#each @root.orders}}${cached('{{../name}}', 'id')}{{/each}}{{/with}}`,
          },
        ],
        [
          'a loop in the body',
          {
            main: `{{#with user}}${cached('{{#each @root.orders}}{{../name}}{{/each}}')}{{/with}}`,
          },
        ],
        ['another name that the page is given', { main: cached('{{viewer.name}}') }],
        ['a partial of it', { main: '{{> card user}}', card: cached('{{name}}') }],
        [
          'a partial of it with values',
          { main: '{{> card user label=1}}', card: cached('{{label}}{{name}}') },
        ],
        ['a value of a partial', { main: '{{> card who=user}}', card: cached('{{who.name}}') }],
        [
          'all, as a value of a partial',
          { main: '{{> card page=this}}', card: cached('{{page.user.name}}') },
        ],
        ['a copy of all by a helper', { main: `{{#wide}}${cached('{{user.name}}')}{{/wide}}` }],
        [
          'all, under an object of a helper',
          { main: `{{#under}}${cached('{{user.name}}')}{{/under}}` },
        ],
        [
          'a value of the data with another name',
          { main: `{{#shown user}}${cached('{{@who.name}}')}{{/shown}}` },
        ],
        [
          'a value of outer data, of which the values name inner data',
          {
            main: `{{#shown user}}{{#shown members.[1]}}${cached('{{@../who.name}}', '@who.id')}{{/shown}}{{/shown}}`,
          },
        ],
        [
          'a copy of all by a helper, around a block',
          {
            main: `{{#wide}}{{#each orders}}${cached('{{../user.name}}', 'id')}{{/each}}{{/wide}}`,
          },
        ],
        [
          'a copy of all that a partial is given',
          { main: '{{> card (wider)}}', card: cached('{{user.name}}') },
        ],
        ['a value of the data', { main: cached('{{@user.name}}') }],
        [
          'a value of the data, in a loop',
          { main: cached('{{#each orders}}{{@user.name}}{{@../user.name}}{{/each}}') },
        ],
        [
          'a value of the data, in a partial',
          { main: cached('{{> p label=1}}'), p: '{{@user.name}}' },
        ],
        ['with of the data', { main: `{{#with @user}}${cached('{{name}}')}{{/with}}` }],
        [
          'the visitor’s beside a member’s, who is the same',
          {
            main: `{{#with user}}{{#each @root.members}}${cached('{{name}} for {{../name}}', 'id')}{{/each}}{{/with}}`,
          },
        ],
        [
          'in front of both, in a fragment that names it within another',
          {
            main: `{{#with user}}{{#cache 60 "all"}}${cached('{{name}}', 'id')}{{/cache}}{{/with}}`,
          },
        ],
      ],
      [
        [
          'with, if the values name it',
          { main: `{{#with user}}${cached('{{name}}', 'id')}{{/with}}` },
          'Ann',
        ],
        [
          'with a parameter, if the values name it',
          { main: `{{#with user as |u|}}${cached('{{u.name}}', 'u.id')}{{/with}}` },
          'Ann',
        ],
        [
          'with, if the values name the page’s',
          { main: `{{#with user}}${cached('{{name}}', '@root.user.id')}{{/with}}` },
          'Ann',
        ],
        [
          'a block around that the values name',
          {
            main: `{{#with user}}{{#each @root.orders}}${cached('{{../name}}', '../id')}{{/each}}{{/with}}`,
          },
          'Ann',
        ],
        [
          'another name that the values name',
          { main: cached('{{viewer.name}}', 'viewer.id') },
          'Ann',
        ],
        [
          'a partial of it, if the values name it',
          { main: '{{> card user}}', card: cached('{{name}}', 'id') },
          'Ann',
        ],
        [
          'a partial of it with values, if the values name it',
          { main: '{{> card user label=1}}', card: cached('{{label}}{{name}}', 'id') },
          '1Ann',
        ],
        [
          'a partial of it with values, which alone are read',
          { main: '{{> card user label=1}}', card: cached('{{label}}') },
          '1',
        ],
        [
          'a value of a partial that the values name',
          { main: '{{> card who=user}}', card: cached('{{who.name}}', 'who.id') },
          'Ann',
        ],
        [
          'a member’s who is the visitor',
          { main: `{{#each members}}${cached('{{name}};', 'id')}{{/each}}` },
          'Ann;Ben;',
        ],
        [
          'a member’s who is the visitor, by a parameter',
          { main: `{{#each members as |m|}}${cached('{{m.name}};', 'm.id')}{{/each}}` },
          'Ann;Ben;',
        ],
        [
          'a member’s who is the visitor, in a fragment with all',
          {
            main: `{{#cache 60 "all"}}{{#each members}}${cached('{{name}};', 'id')}{{/each}}{{/cache}}`,
          },
          'Ann;Ben;',
        ],
        [
          'all members',
          { main: cached('{{#each members as |m|}}{{name}} {{m.name}};{{/each}}') },
          'Ann Ann;Ben Ben;',
        ],
        [
          'what has the visitor too',
          { main: `{{#each orders}}${cached('{{id}} {{user.name}}', 'id')}{{/each}}` },
          '7 Ann',
        ],
        [
          'a copy of all by a helper that does not read it',
          { main: `{{#wide}}${cached('{{title}}{{isWide}}')}{{/wide}}` },
          'titletrue',
        ],
        [
          'data with another name that the values name',
          { main: `{{#shown user}}${cached('{{@who.name}}', '@who.id')}{{/shown}}` },
          'Ann',
        ],
        [
          'data that are another’s',
          { main: `{{#shown members.[1]}}${cached('{{@who.name}}')}{{/shown}}` },
          'Ben',
        ],
        ['other data', { main: cached('{{@shop.name}}{{@session.theme}}') }, 'Shopdark'],
        ['the data that the values name', { main: cached('{{@user.name}}', '@user.id') }, 'Ann'],
        [
          'what is further out of a block in it',
          { main: `{{#with user}}${cached('{{#if true}}{{../title}}{{/if}}')}{{/with}}` },
          'title',
        ],
        [
          'whether it is the same',
          { main: `{{#with user}}${cached('{{#if (is this this)}}same{{/if}}')}{{/with}}` },
          'same',
        ],
      ],
    )
  })

  describe.each([
    ['Eta', false],
    ['Eta with useWith', true],
  ])('%s', (_name, useWith) => {
    const render: Render = async (templates) => {
      const eta = new Eta({ plugins: [cachePlugin(newCaches(), OPTIONS)], useWith })
      for (const [path, source] of Object.entries(templates)) {
        eta.loadTemplate(`@${path}`, source, { async: true })
      }
      return eta.renderAsync('@main', contextOf())
    }
    const cached = (body: string, varyOn = '') => `<% cache 60 f ${varyOn} %>${body}<% endcache %>`
    personalRows(
      render,
      [
        ['a variable', { main: `<% const u = it.user %>${cached('<%= u.name %>')}` }],
        ['a part of all', { main: `<% const { user } = it %>${cached('<%= user.name %>')}` }],
        ['all', { main: `<% const page = it %>${cached('<%= page.user.name %>')}` }],
        [
          'a variable that is used further in',
          {
            main: `<% const u = it.user %>${cached('<% for (const one of it.members) { %><%= one.name + u.name %><% } %>')}`,
          },
        ],
        [
          'a loop’s',
          { main: `<% for (const u of [it.user]) { %>${cached('<%= u.name %>')}<% } %>` },
        ],
        ['another name that the page is given', { main: cached('<%= it.viewer.name %>') }],
        [
          'a value of an include',
          {
            main: '<%~ await includeAsync("@p", { who: it.user }) %>',
            p: cached('<%= it.who.name %>'),
          },
        ],
        [
          'all, as a value of an include',
          {
            main: '<%~ await includeAsync("@p", { ctx: it }) %>',
            p: cached('<%= it.ctx.user.name %>'),
          },
        ],
        [
          'all, as a value of an include in the body',
          {
            main: cached('<%~ await includeAsync("@p", { ctx: it }) %>'),
            p: '<%= it.ctx.user.name %>',
          },
        ],
        [
          'all that an include is given, as a value of one further in',
          {
            main: '<%~ await includeAsync("@p", { x: 1 }) %>',
            p: '<%~ await includeAsync("@q", { ctx: it }) %>',
            q: cached('<%= it.ctx.user.name %>'),
          },
        ],
        [
          'in front of both, in a fragment that names it within another',
          { main: `<% const u = it.user %>${cached(cached('<%= u.name %>', 'u.id'))}` },
        ],
        [
          'what a nocache block is given',
          {
            main: `<% const u = it.user %>${cached('<% nocache name=u.name %><%= it.name %><% endnocache %>')}`,
          },
        ],
        [
          'the visitor’s beside a member’s, who is the same',
          {
            main: `<% const u = it.user; for (const m of it.members) { %>${cached('<%= m.name %> for <%= u.name %>', 'm.id')}<% } %>`,
          },
        ],
      ],
      [
        [
          'what the values name',
          { main: `<% const u = it.user %>${cached('<%= u.name %>', 'u.id')}` },
          'Ann',
        ],
        [
          'what the values name by the page’s name',
          { main: `<% const u = it.user %>${cached('<%= u.name %>', 'it.user.id')}` },
          'Ann',
        ],
        [
          'another name that the values name',
          { main: cached('<%= it.viewer.name %>', 'it.viewer.id') },
          'Ann',
        ],
        [
          'a value of an include that the values name',
          {
            main: '<%~ await includeAsync("@p", { who: it.user }) %>',
            p: cached('<%= it.who.name %>', 'it.who.id'),
          },
          'Ann',
        ],
        [
          'a member’s who is the visitor',
          { main: `<% for (const m of it.members) { %>${cached('<%= m.name %>;', 'm.id')}<% } %>` },
          'Ann;Ben;',
        ],
        [
          'a member’s who is the visitor, that an include is given',
          {
            main: `<% for (const m of it.members) { %>${cached('<%~ await includeAsync("@p", { who: m }) %>', 'm.id')}<% } %>`,
            p: '<%= it.who.name %>;',
          },
          'Ann;Ben;',
        ],
        [
          'a member’s who is the visitor, in a fragment with all',
          {
            main: `<% cache 60 all %><% for (const m of it.members) { %>${cached('<%= m.name %>;', 'm.id')}<% } %><% endcache %>`,
          },
          'Ann;Ben;',
        ],
        [
          'a variable that the body does not name',
          { main: `<% const u = it.user %>${cached('<%= it.title %>')}` },
          'title',
        ],
        [
          'one that is declared further down',
          { main: `${cached('<% const f = () => u; %><%= it.title %>')}<% const u = it.user %>` },
          'title',
        ],
        [
          'a variable of another value',
          { main: `<% const u = it.members[1] %>${cached('<%= u.name %>')}` },
          'Ben',
        ],
      ],
    )
  })
})

it.each([
  [['session'], false],
  [['session', 'session.cart'], true],
])('sees a part that was taken in front where it is named: %j', (personal, isSeen) => {
  const env = new nunjucks.Environment(null)
  const caches = createCaches({ default: new LocMemCache() })
  registerNunjucks(env, caches, { personal, strict: true })
  const source = '{% set c = session.cart %}{% cache 60 f %}{{ c.size }}{% endcache %}'
  const render = () => env.renderString(source, contextOf())
  if (isSeen) expect(render).toThrow('reads "session.cart"')
  else expect(render()).toBe('3')
})

describe('of variables that are under others', () => {
  const under = Object.create(contextOf()) as object
  const caches = () => createCaches({ default: new LocMemCache() })

  it.each([
    ['a variable', '<% const u = it.user %>', 'u.name'],
    ['all', '<% const page = it %>', 'page.user.name'],
    ['a part', '<% const { session } = it %>', 'session.cart.size'],
  ])('sees what a template of Eta took in front: %s', (_name, before, shown) => {
    const personal = ['user', 'session.cart']
    const eta = new Eta({ plugins: [cachePlugin(caches(), { personal, strict: true })] })
    const page = `${before}<% cache 60 f %><%= ${shown} %><% endcache %>`
    expect(() => eta.renderString(page, under)).toThrow(/reads "(user|session\.cart)"/)
    const theirs = `${before}<% cache 60 f it.user.id it.session.cart %><%= ${shown} %><% endcache %>`
    expect(eta.renderString(theirs, under)).toMatch(/^(Ann|3)$/)
  })

  it.each([
    ['with', '{{#with user}}', '{{/with}}'],
    ['a parameter', '{{#with user as |u|}}', '{{/with}}', 'u.name'],
  ])('sees what a block of Handlebars is of: %s', (_name, begin, end, shown = 'name') => {
    const handlebars = Handlebars.create()
    registerHandlebars(handlebars, caches(), OPTIONS)
    const render = (varyOn: string) =>
      handlebars.compile(`${begin}{{#cache 60 "f" ${varyOn}}}{{${shown}}}{{/cache}}${end}`)(under, {
        allowProtoPropertiesByDefault: true,
      })
    expect(() => render('')).toThrow('reads "user"')
    expect(render('@root.user.id')).toBe('Ann')
  })
})
