import { Eta } from 'eta'
import { createCaches, LocMemCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { personalRows, REFUSED, type Render, type Templates } from '../support/personal-rows.js'
import { sources } from './nunjucks-driver.js'

const OPTIONS = { personal: ['user'], strict: true }

const contextOf = (name: string) => ({
  user: { name },
  author: { name: 'the author' },
  items: [{ title: 'one' }, { title: 'two' }],
  title: 'title',
})

type RenderNamed = (templates: Templates, name?: string) => Promise<string>

describe.each([
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
])('over %s', (_, newCache) => {
  const newCaches = () => createCaches({ default: newCache() })

  describe('Nunjucks', () => {
    const render: RenderNamed = (templates, name = 'ann') => {
      const env = new nunjucks.Environment(sources(templates))
      env.addGlobal('lookedUp', function (this: { lookup: (name: string) => { name: string } }) {
        return this.lookup('user').name
      })
      env.addGlobal('taken', function (this: { ctx: { user: { name: string } } }) {
        return this.ctx.user.name
      })
      return registerNunjucks(env, newCaches(), OPTIONS).renderAsync('main', contextOf(name))
    }
    const cached = (body: string) => `{% cache 60 f %}${body}{% endcache %}`
    const macro = '{% macro show() %}{{ user.name }}{% endmacro %}'

    personalRows(
      render,
      [
        ['a macro of the template', { main: `${macro}${cached('{{ show() }}')}` }],
        [
          'a macro with the context',
          { main: `{% import "m" as m with context %}${cached('{{ m.show() }}')}`, m: macro },
        ],
        [
          'a macro imported in the body',
          { main: cached('{% import "m" as m with context %}{{ m.show() }}'), m: macro },
        ],
        ['a function that looks it up', { main: cached('{{ lookedUp() }}') }],
        ['a function that takes it', { main: cached('{{ taken() }}') }],
        ['a block', { main: cached('{% block b %}{{ user.name }}{% endblock %}') }],
        ['what follows a variable that is set', { main: cached('{% set a = 1 %}{{ user.name }}') }],
        [
          'an include in an include',
          { main: cached('{% include "a" %}'), a: '{% include "b" %}', b: '{{ user.name }}' },
        ],
        [
          'a call',
          {
            main: `{% macro m() %}{{ caller() }}{% endmacro %}${cached('{% call m() %}{{ user.name }}{% endcall %}')}`,
          },
        ],
        [
          'a part of what an extending template fills',
          {
            main: '{% extends "base" %}{% block b %}{{ user.name }}{% endblock %}',
            base: cached('{% block b %}{% endblock %}'),
          },
        ],
      ],
      [
        [
          'an include that does not read it',
          { main: cached('{% include "a" %}'), a: '{{ title }}' },
          'title',
        ],
        [
          'an import with the context that does not',
          {
            main: cached('{% import "m" as m with context %}{{ m.show() }}'),
            m: '{% macro show() %}{{ title }}{% endmacro %}',
          },
          'title',
        ],
        [
          'the variable of a loop',
          { main: cached('{% for user in items %}{{ user.title }}{% endfor %}') },
          'onetwo',
        ],
        [
          'what is set in the body',
          { main: cached('{% set a = 1 %}{% set title = "own" %}{{ title }}') },
          'own',
        ],
        [
          'what is set around it',
          { main: `{% set user = author %}${cached('{{ user.name }}')}` },
          'the author',
        ],
        [
          'what a filter of that name gives',
          { main: '{% cache 60 f title|upper user.name|lower %}{{ user.name }}{% endcache %}' },
          'ann',
        ],
      ],
    )
  })

  describe('Handlebars', () => {
    const render: Render = async (templates, name = 'ann') => {
      const handlebars = Handlebars.create()
      const { renderAsync } = registerHandlebars(handlebars, newCaches(), OPTIONS)
      handlebars.registerPartial({ ...templates })
      handlebars.registerHelper('named', function (this: { user: { name: string } }) {
        return this.user.name
      })
      handlebars.registerHelper(
        'again',
        function (this: unknown, options: Handlebars.HelperOptions) {
          return options.fn(this)
        },
      )
      return renderAsync(String(templates['main']), contextOf(name))
    }
    const cached = (body: string) => `{{#cache 60 "f"}}${body}{{/cache}}`

    personalRows(
      render,
      [
        ['a helper', { main: cached('{{named}}') }],
        [
          'a block helper with the same context',
          { main: cached('{{#again}}{{user.name}}{{/again}}') },
        ],
        [
          'what a loop looks up around it',
          { main: cached('{{#each items}}{{../user.name}}{{/each}}') },
        ],
        [
          'what a fragment in a loop looks up around it',
          { main: `{{#each items}}${cached('{{../user.name}}')}{{/each}}` },
        ],
        ['@root', { main: cached('{{@root.user.name}}') }],
        ['@root in a loop', { main: `{{#each items}}${cached('{{@root.user.name}}')}{{/each}}` }],
        ['with', { main: cached('{{#with user}}{{name}}{{/with}}') }],
        [
          'a partial with values of its own',
          { main: cached('{{> p label="x"}}'), p: '{{label}}{{user.name}}' },
        ],
        [
          'a fragment in a partial with values of its own',
          { main: '{{> p label="x"}}', p: cached('{{label}}{{user.name}}') },
        ],
        [
          'a partial in a partial with values of its own',
          { main: '{{> p label="x"}}', p: '{{> q other="y"}}', q: cached('{{user.name}}') },
        ],
        [
          'an inline partial',
          { main: `{{#*inline "i"}}{{user.name}}{{/inline}}${cached('{{> i}}')}` },
        ],
        [
          'a partial block',
          { main: '{{#> p}}{{user.name}}{{/p}}', p: cached('{{> @partial-block}}') },
        ],
      ],
      [
        [
          'what a loop looks up around it',
          { main: cached('{{#each items}}{{../title}}-{{title}} {{/each}}') },
          'title-one title-two ',
        ],
        [
          'a loop in a block helper',
          { main: cached('{{#again}}{{#each items}}{{../title}}-{{title}} {{/each}}{{/again}}') },
          'title-one title-two ',
        ],
        [
          'a partial whose own value has that name',
          { main: cached('{{> p user=author}}'), p: '{{user.name}}' },
          'the author',
        ],
        [
          'a fragment in a partial whose own value has that name',
          { main: '{{> p user=author}}', p: cached('{{user.name}}') },
          'the author',
        ],
        [
          'a partial with values that does not read it',
          { main: cached('{{> p label="x"}}'), p: '{{label}}{{title}}' },
          'xtitle',
        ],
        [
          'a fragment that names it in a helper',
          { main: '{{#cache 60 "f" (lookup user "name")}}{{user.name}}{{/cache}}' },
          'ann',
        ],
        [
          'a fragment in a loop that names it',
          {
            main: '{{#each items}}{{#cache 60 "f" ../user.name title}}{{title}}{{../user.name}}{{/cache}}{{/each}}',
          },
          'oneanntwoann',
        ],
        [
          'a value of that name in an element',
          { main: `{{#each (list)}}${cached('{{user}}')}{{/each}}`.replace('(list)', 'items') },
          '',
        ],
      ],
    )
  })

  describe.each([
    ['Eta', false],
    ['Eta with useWith', true],
  ])('%s', (_name, useWith) => {
    const render: Render = async (templates, name = 'ann') => {
      const eta = new Eta({ plugins: [cachePlugin(newCaches(), OPTIONS)], useWith })
      for (const [path, source] of Object.entries(templates)) {
        eta.loadTemplate(`@${path}`, source, { async: true })
      }
      return eta.renderAsync('@main', contextOf(name))
    }
    const cached = (body: string) => `<% cache 60 f %>${body}<% endcache %>`

    personalRows(
      render,
      [
        [
          'a function of the template',
          { main: `<% const show = () => it.user.name %>${cached('<%= show() %>')}` },
        ],
        [
          'an include',
          { main: cached('<%~ await includeAsync("@a") %>'), a: '<%= it.user.name %>' },
        ],
        [
          'an include that is given the data',
          { main: cached('<%~ await includeAsync("@a", it) %>'), a: '<%= it.user.name %>' },
        ],
        [
          'an include with values of its own',
          {
            main: cached('<%~ await includeAsync("@a", { label: 1 }) %>'),
            a: '<%= it.user.name %>',
          },
        ],
        [
          'a fragment in an include with values of its own',
          {
            main: '<%~ await includeAsync("@a", { label: 1 }) %>',
            a: cached('<%= it.user.name %>'),
          },
        ],
        [
          'an include in an include',
          {
            main: cached('<%~ await includeAsync("@a") %>'),
            a: '<%~ await includeAsync("@b", { x: 1 }) %>',
            b: '<%= it.user.name %>',
          },
        ],
        [
          'an include that is given a copy',
          {
            main: cached('<%~ await includeAsync("@a", { ...it, label: 1 }) %>'),
            a: '<%= it.user.name %>',
          },
        ],
        ['what goes through all data', { main: cached('<%= JSON.stringify(it) %>') }],
        [
          'what goes through all names',
          { main: cached('<% for (const k in it) { %><%= it[k] %><% } %>') },
        ],
        ['a body that waits', { main: cached('<% await null %><%= it.user.name %>') }],
      ],
      [
        [
          'an include that is given a copy and does not read it',
          {
            main: cached('<%~ await includeAsync("@a", { ...it, label: 1 }) %>'),
            a: '<%= it.title %><%= it.label %>',
          },
          'title1',
        ],
        [
          'a copy by assign',
          {
            main: cached('<%~ await includeAsync("@a", Object.assign({}, it, { label: 1 })) %>'),
            a: '<%= it.title %><%= it.label %>',
          },
          'title1',
        ],
        ['what lists the names', { main: cached('<%= Object.keys(it).length %>') }, '4'],
        [
          'an include that does not read it',
          { main: cached('<%~ await includeAsync("@a", { label: 1 }) %>'), a: '<%= it.title %>' },
          'title',
        ],
        [
          'an include whose own value has that name',
          {
            main: cached('<%~ await includeAsync("@a", { user: it.author }) %>'),
            a: '<%= it.user.name %>',
          },
          'the author',
        ],
        [
          'a fragment in an include whose own value has that name',
          {
            main: '<%~ await includeAsync("@a", { user: it.author }) %>',
            a: cached('<%= it.user.name %>'),
          },
          'the author',
        ],
        [
          'another variable of the name of the data',
          { main: `<% for (const it of [{ user: 'own' }]) { %>${cached('<%= it.user %>')}<% } %>` },
          'own',
        ],
        ['what stands behind the fragment', { main: `${cached('x')}<%= it.user.name %>` }, 'xann'],
        [
          'what names it by an index',
          { main: '<% cache 60 f it["user"].name %><%= it.user.name %><% endcache %>' },
          'ann',
        ],
      ],
    )

    it.runIf(useWith)('refuses what is read by its name alone', async () => {
      await expect(render({ main: cached('<%= user.name %>') })).rejects.toMatchObject(REFUSED)
      const loop =
        '<% for (const user of items) { %><% cache 60 f user.title %><%= user.title %><% endcache %><% } %>'
      expect(await render({ main: loop })).toBe('onetwo')
    })
  })
})
