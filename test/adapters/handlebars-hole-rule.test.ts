import { createCaches, DummyCache } from 'fragcache'
import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { testHoleRule } from '../conformance/hole-suite.js'

testHoleRule({
  engine: 'handlebars',
  show: (name) => `{{${name}}}`,
  each: (body) => `{{#each items as |item|}}${body}{{/each}}`,
  item: { expression: 'item', name: 'item' },
  itemId: '{{item.id}}',
  itemIdExpression: 'item.id',
  ownName: '{{item}}',
  ownExample: '{{#nocache item=item}}',
  cache: (args, body) => `{{#cache ${args}}}${body}{{/cache}}`,
  hole: (values, body) => `{{#nocache ${values}}}${body}{{/nocache}}`,
  include: (template) => `{{> ${template}}}`,
  makeSite(caches, templates) {
    const handlebars = Handlebars.create()
    const { renderAsync, holes } = registerCache(
      handlebars,
      caches ?? createCaches({ default: new DummyCache() }),
    )
    handlebars.registerPartial(templates)
    const main = handlebars.compile(templates['main'])
    return {
      render: (name, context) =>
        renderAsync(name === 'main' ? main : `{{> ${name}}}`, context as Record<string, unknown>),
      holes,
    }
  },
})
