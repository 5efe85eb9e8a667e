import { Eta } from 'eta'
import { createCaches, LocMemCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { personalRows, type Render } from '../support/personal-rows.js'
import { sources } from './nunjucks-driver.js'

/* What one template gives another may be the visitor's own, or another one's that is the very same object. */

const OPTIONS = { personal: ['user'], strict: true }

const ANN = { id: 1, name: 'Ann' }
const BEN = { id: 2, name: 'Ben' }

const contextOf = (user = ANN) => ({
  user,
  members: [ANN, BEN],
  items: [{ id: 7, title: 'seven' }],
  title: 'title',
  get greeting(): string {
    return `hello ${this.user.name}`
  },
})

describe.each([
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
])('over %s', (_, newCache) => {
  const newCaches = () => createCaches({ default: newCache() })

  describe('Handlebars', () => {
    const render: Render = async (templates) => {
      const handlebars = Handlebars.create()
      const { renderAsync } = registerHandlebars(handlebars, newCaches(), OPTIONS)
      handlebars.registerPartial({ ...templates })
      let kept = (): string => ''
      handlebars.registerHelper(
        'section',
        function (this: unknown, { fn }: Handlebars.HelperOptions) {
          kept = () => fn(this)
          return ''
        },
      )
      handlebars.registerHelper('show', () => new Handlebars.SafeString(kept()))
      return renderAsync(String(templates['main']), contextOf())
    }
    const cached = (body: string, varyOn = '') => `{{#cache 60 "f" ${varyOn}}}${body}{{/cache}}`
    const both = cached('{{user.name}} for {{@root.user.name}};', 'user.id')
    personalRows(
      render,
      [
        [
          'the visitor’s beside a member’s, who is the same',
          { main: '{{#each members}}{{> row .. user=this}}{{/each}}', row: both },
        ],
        [
          'the visitor’s beside what a partial is given',
          { main: '{{> row user=user}}', row: both },
        ],
        [
          'the visitor’s that a partial in a partial is given',
          {
            main: '{{#with items.[0]}}{{> p @root user=this}}{{/with}}',
            p: '{{> q user=@root.user}}',
            q: cached('{{user.name}}'),
          },
        ],
        [
          'the visitor’s that the partial of a loop is given',
          {
            main: '{{#each items}}{{> row user=../user}}{{/each}}',
            row: cached('{{title}} for {{user.name}}', 'id'),
          },
        ],
        [
          'the visitor’s that a partial in a fragment of another’s is given',
          {
            main: '{{#each members}}{{> row .. user=this}}{{/each}}',
            row: cached('{{> name user=@root.user}}', 'user.id'),
            name: '{{user.name}}',
          },
        ],
        [
          'what a partial’s block looks up around it',
          {
            main: '{{#each items}}{{#> card this}}{{title}} for {{../user.name}}{{/card}}{{/each}}',
            card: cached('{{> @partial-block}}', 'id'),
          },
        ],
        [
          'what an inline partial looks up around it',
          {
            main: '{{#each items}}{{#*inline "i"}}{{../user.name}}{{/inline}}{{> card this}}{{/each}}',
            card: cached('{{> i}}', 'id'),
          },
        ],
        [
          'a block that a helper kept',
          { main: `{{#section}}{{user.name}}{{/section}}${cached('{{show}}')}` },
        ],
        [
          'a block’s parameter that is the whole page',
          {
            main: `{{#with this as |page|}}{{#each items}}${cached('{{page.user.name}}')}{{/each}}{{/with}}`,
          },
        ],
        [
          'a getter, through a partial with values',
          { main: cached('{{> p label=1}}'), p: '{{greeting}}' },
        ],
        [
          'a getter in a fragment of a partial with values',
          { main: '{{> p label=1}}', p: cached('{{greeting}}') },
        ],
      ],
      [
        [
          'a member’s who is the visitor',
          {
            main: '{{#each members}}{{> row .. user=this}}{{/each}}',
            row: cached('{{user.name}};', 'user.id'),
          },
          'Ann;Ben;',
        ],
        [
          'the visitor’s that a partial is given',
          { main: '{{> card user=user}}', card: cached('{{user.name}}', 'user.id') },
          'Ann',
        ],
        [
          'the visitor’s that the partial of a loop is given',
          {
            main: '{{#each items}}{{> row user=../user}}{{/each}}',
            row: cached('{{title}} for {{user.name}}', 'id user.id'),
          },
          'seven for Ann',
        ],
        [
          'the visitor’s that is handed on',
          {
            main: '{{> a user=user}}',
            a: cached('{{> b user=user}}', 'user.id'),
            b: '{{user.name}}',
          },
          'Ann',
        ],
        [
          'the visitor’s by the page, in a partial that is given it',
          { main: '{{> card user=user}}', card: cached('{{user.name}}', '@root.user.id') },
          'Ann',
        ],
        [
          'a getter that does not read it',
          { main: cached('{{> p label=1}}'), p: '{{label}}{{title}}' },
          '1title',
        ],
      ],
    )
  })

  describe('Nunjucks', () => {
    const render: Render = (templates) => {
      const env = new nunjucks.Environment(sources(templates))
      env.addGlobal('viewer', function (this: { ctx: { user: { name: string } } }) {
        return this.ctx.user.name
      })
      return registerNunjucks(env, newCaches(), OPTIONS).renderAsync('main', contextOf())
    }
    const cached = (body: string, varyOn = '') => `{% cache 60 f ${varyOn} %}${body}{% endcache %}`
    const show = '{% macro show() %}{{ user.name }}{% endmacro %}'
    const GREETING = '{{ greeting }}'
    const included = (part: string) => ({ main: '{% include "p" %}', p: part })
    const box = (varyOn = '') =>
      `{% macro box(user) %}${cached('{{ caller() }}', varyOn)}{% endmacro %}`
    personalRows(
      render,
      [
        [
          'a macro of the page, in what it includes',
          { main: `${show}{% include "p" %}`, p: cached('{{ show() }}') },
        ],
        ['what a getter gave, in an include', { main: cached('{% include "p" %}'), p: GREETING }],
        ['what a getter gave, in a fragment of an include', included(cached(GREETING))],
        [
          'what a getter gave, in a block',
          {
            main: `{% extends "base" %}{% block b %}${cached(GREETING)}{% endblock %}`,
            base: '{% block b %}{% endblock %}',
          },
        ],
        [
          'what a getter gave, in a macro that is imported with the context',
          {
            main: '{% import "ui" as ui with context %}{{ ui.m() }}',
            ui: `{% macro m() %}${cached(GREETING)}{% endmacro %}`,
          },
        ],
        [
          'a macro that another template’s is given',
          {
            main: `${show}{% import "ui" as ui %}{{ ui.box(show) }}`,
            ui: `{% macro box(show) %}${cached('{{ show() }}')}{% endmacro %}`,
          },
        ],
        [
          'a call of another template’s macro',
          {
            main: '{% import "ui" as ui %}{% call ui.box() %}{{ user.name }}{% endcall %}',
            ui: box(),
          },
        ],
        [
          'a function in a call of another template’s macro',
          {
            main: '{% import "ui" as ui %}{% call ui.box() %}{{ viewer() }}{% endcall %}',
            ui: box(),
          },
        ],
        [
          'the visitor’s in a call for a member',
          {
            main: '{% from "ui" import box %}{% for m in members %}{% call box(m) %}{{ user.name }}{% endcall %}{% endfor %}',
            ui: box('user.id'),
          },
        ],
        [
          'the visitor’s in a call for a member, by the page’s own macro',
          {
            main: `{% macro shown() %}{{ user.name }}{% endmacro %}${box('user.id')}{% for m in members %}{% call box(m) %}{{ shown() }}{% endcall %}{% endfor %}`,
          },
        ],
        [
          'the visitor’s beside what an included template sets',
          {
            main: `${show}{% for m in members %}{% include "p" %}{% endfor %}`,
            p: `{% set user = m %}${cached('{{ user.name }} for {{ show() }}', 'user.id')}`,
          },
        ],
      ],
      [
        [
          'what an included template sets',
          {
            main: '{% for m in members %}{% include "p" %}{% endfor %}',
            p: `{% set user = m %}${cached('{{ user.name }};', 'user.id')}`,
          },
          'Ann;Ben;',
        ],
        [
          'a call that does not read it',
          {
            main: '{% import "ui" as ui %}{% call ui.box() %}{{ title }}{% endcall %}',
            ui: box(),
          },
          'title',
        ],
        [
          'a macro that does, behind the fragment',
          { main: `${show}{% include "p" %}{{ show() }}`, p: cached('{{ title }}') },
          'titleAnn',
        ],
      ],
    )
  })

  describe('Eta', () => {
    const render: Render = async (templates) => {
      const eta = new Eta({ plugins: [cachePlugin(newCaches(), OPTIONS)] })
      for (const [path, source] of Object.entries(templates)) {
        eta.loadTemplate(`@${path}`, source, { async: true })
      }
      return eta.renderAsync('@main', contextOf())
    }
    const cached = (body: string, varyOn = '') => `<% cache 60 f ${varyOn} %>${body}<% endcache %>`
    const members = (given: string) =>
      `<% for (const user of it.members) { %><%~ await includeAsync("@row", { ${given} }) %><% } %>`
    personalRows(
      render,
      [
        [
          'a getter, through an include with values',
          { main: cached('<%~ await includeAsync("@p", { x: 1 }) %>'), p: '<%= it.greeting %>' },
        ],
        [
          'a getter in a layout',
          { main: '<% layout("@l", { x: 1 }) %>', l: cached('<%= it.greeting %>') },
        ],
      ],
      [
        [
          'a member’s who is the visitor',
          { main: members('user'), row: cached('<%= it.user.name %>;', 'it.user.id') },
          'Ann;Ben;',
        ],
        [
          'the visitor’s that an include is given',
          {
            main: '<%~ await includeAsync("@row", { user: it.user }) %>',
            row: cached('<%= it.user.name %>', 'it.user.id'),
          },
          'Ann',
        ],
        [
          'the visitor’s that is handed on',
          {
            main: '<%~ await includeAsync("@a", { user: it.user }) %>',
            a: cached('<%~ await includeAsync("@b", { user: it.user }) %>', 'it.user.id'),
            b: '<%= it.user.name %>',
          },
          'Ann',
        ],
        [
          'a copy that is handed on',
          {
            main: '<%~ await includeAsync("@a", { ...it, x: 1 }) %>',
            a: cached('<%~ await includeAsync("@b", { ...it, y: 1 }) %>', 'it.user.id'),
            b: '<%= it.user.name %>',
          },
          'Ann',
        ],
        [
          'a layout that does not read it',
          { main: '<% layout("@l", { x: 1 }) %>', l: cached('<%= it.title %><%= it.x %>') },
          'title1',
        ],
      ],
    )
  })
})
