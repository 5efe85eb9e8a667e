import { Eta } from 'eta'
import { createCaches, LocMemCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { personalRows, REFUSED, type Render } from '../support/personal-rows.js'
import { sources } from './nunjucks-driver.js'

/* A name among the vary-on values may be another variable's of the same name. */

const OPTIONS = { personal: ['user', 'session.cart'], strict: true }

const VISITOR = { id: 1, name: 'Ann' }
const MEMBER = { id: 2, name: 'Ben' }
const CONTEXT = {
  user: VISITOR,
  session: { cart: { size: 3 } },
  members: [MEMBER],
  orders: [{ id: 7, user: MEMBER }],
  items: [{ id: 8 }],
  anyone: MEMBER,
}

describe.each([
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
])('over %s', (_, newCache) => {
  const newCaches = () => createCaches({ default: newCache() })

  describe('Nunjucks', () => {
    const render: Render = (templates) => {
      const env = new nunjucks.Environment(sources(templates))
      env.addGlobal('viewer', function (this: { ctx: typeof CONTEXT }) {
        return this.ctx.user.name
      })
      return registerNunjucks(env, newCaches(), OPTIONS).renderAsync('main', CONTEXT)
    }
    const row = '{% cache 60 row user.id %}{{ user.name }} for {{ viewer() }}{% endcache %}'
    personalRows(
      render,
      [
        ['a loop’s', { main: `{% for user in members %}${row}{% endfor %}` }],
        [
          'a loop’s around an include',
          { main: '{% for user in members %}{% include "row" %}{% endfor %}', row },
        ],
        ['a macro’s', { main: `{% macro m(user) %}${row}{% endmacro %}{{ m(anyone) }}` }],
        [
          'a loop’s that is the visitor herself',
          { main: `{% for user in [user] %}${row}{% endfor %}` },
        ],
        [
          'a loop’s, in a macro of the template',
          {
            main:
              '{% macro show() %}{{ user.name }}{% endmacro %}{% for user in members %}' +
              '{% cache 60 row user.id %}{{ user.name }} for {{ show() }}{% endcache %}{% endfor %}',
          },
        ],
      ],
      [
        [
          'the visitor’s own in a loop over others',
          {
            main: '{% for one in members %}{% cache 60 row one.id user.id %}{{ one.name }} for {{ viewer() }}{% endcache %}{% endfor %}',
          },
          'Ben for Ann',
        ],
        [
          'a name that is set for the whole page',
          { main: `{% set user = anyone %}${row}` },
          'Ben for Ben',
        ],
        ['the visitor’s in an include', { main: '{% include "row" %}', row }, 'Ann for Ann'],
        [
          'a path in a loop over others',
          {
            main: '{% for user in members %}{% cache 60 row session.cart.size %}{{ session.cart.size }}{% endcache %}{% endfor %}',
          },
          '3',
        ],
      ],
    )
  })

  describe('Handlebars', () => {
    const render: Render = async (templates) => {
      const handlebars = Handlebars.create()
      const { renderAsync } = registerHandlebars(handlebars, newCaches(), OPTIONS)
      handlebars.registerPartial({ ...templates })
      return renderAsync(handlebars.compile(templates['main'] ?? ''), CONTEXT)
    }
    const row = '{{#cache 60 "row" user.id}}{{user.name}} for {{@root.user.name}}{{/cache}}'
    personalRows(
      render,
      [
        ['that of what a loop is over', { main: `{{#each orders}}${row}{{/each}}` }],
        ['that of what a partial is given', { main: '{{#each orders}}{{> row}}{{/each}}', row }],
        ['a value of a partial', { main: '{{> row user=anyone}}', row }],
        ['a block’s parameter', { main: `{{#each members as |user|}}${row}{{/each}}` }],
        [
          'that of another tag of that name on the same line',
          {
            main: `{{#cache 60 "row" items.length}}{{user.name}}{{/cache}}${row}`,
          },
        ],
        [
          'that of what a block further out is of',
          {
            main: '{{#each orders}}{{#each ../items}}{{#cache 60 "row" ../user.id}}{{@root.user.name}}{{/cache}}{{/each}}{{/each}}',
          },
        ],
      ],
      [
        [
          'the visitor’s of the block around',
          {
            main: '{{#each items}}{{#cache 60 "row" id ../user.id}}{{id}} for {{../user.name}}{{/cache}}{{/each}}',
          },
          '8 for Ann',
        ],
        [
          'the visitor’s of the page',
          {
            main: '{{#each orders}}{{#cache 60 "row" id @root.user.id}}{{user.name}} for {{@root.user.name}}{{/cache}}{{/each}}',
          },
          'Ben for Ann',
        ],
        ['the visitor’s in a partial', { main: '{{> row}}', row }, 'Ann for Ann'],
        [
          'the visitor’s in a partial with values',
          { main: '{{> row label=1}}', row },
          'Ann for Ann',
        ],
        [
          'the visitor’s in a fragment within another',
          { main: `{{#cache 60 "outer" user.id}}${row}{{/cache}}` },
          'Ann for Ann',
        ],
        [
          'a path',
          {
            main: '{{#each items}}{{#cache 60 "row" ../session.cart.size}}{{../session.cart.size}}{{/cache}}{{/each}}',
          },
          '3',
        ],
      ],
    )

    it('allows the visitor’s where a template looks names up in the blocks around', async () => {
      const handlebars = Handlebars.create()
      const { renderAsync } = registerHandlebars(handlebars, newCaches(), OPTIONS)
      const around = (list: string, row: string) =>
        handlebars.compile(`{{#each ${list}}}${row}{{/each}}`, { compat: true })
      const own = '{{#cache 60 "row" id user.id}}{{id}} for {{user.name}}{{/cache}}'
      expect(await renderAsync(around('items', own), CONTEXT)).toBe('8 for Ann')
      await expect(renderAsync(around('orders', row), CONTEXT)).rejects.toMatchObject(REFUSED)
    })
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
      return eta.renderAsync('@main', CONTEXT)
    }
    const row = '<% cache 60 row user.id %><%= user.name %> for <%= it.user.name %><% endcache %>'
    personalRows(
      render,
      [
        ['a loop’s', { main: `<% for (const user of it.members) { %>${row}<% } %>` }],
        [
          'a part of what a loop is over',
          { main: `<% for (const { user } of it.orders) { %>${row}<% } %>` },
        ],
      ],
      [
        [
          'the visitor’s in a loop over others',
          {
            main: '<% for (const one of it.members) { %><% cache 60 row one.id it.user.id %><%= one.name %> for <%= it.user.name %><% endcache %><% } %>',
          },
          'Ben for Ann',
        ],
        [
          'a path',
          {
            main: '<% cache 60 row it.session.cart.size %><%= it.session.cart.size %><% endcache %>',
          },
          '3',
        ],
      ],
    )
  })

  it('allows the visitor’s by its name alone in Eta with useWith', async () => {
    const eta = new Eta({ plugins: [cachePlugin(newCaches(), OPTIONS)], useWith: true })
    const source = '<% cache 60 row user.id %><%= user.name %><% endcache %>'
    eta.loadTemplate('@main', source, { async: true })
    expect(await eta.renderAsync('@main', CONTEXT)).toBe('Ann')
  })
})
