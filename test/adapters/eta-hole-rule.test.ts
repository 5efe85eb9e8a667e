import { Eta } from 'eta'
import { createCaches, DummyCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { testHoleRule } from '../conformance/hole-suite.js'

testHoleRule({
  engine: 'eta',
  show: (name) => `<%= it.${name} %>`,
  each: (body) => `<% for (const item of it.items) { %>${body}<% } %>`,
  item: { expression: 'item', name: 'item' },
  itemId: '<%= item.id %>',
  itemIdExpression: 'item.id',
  ownName: '<%= item %>',
  ownExample: '<% nocache item=item %>',
  cache: (args, body) => `<% cache ${args} %>${body}<% endcache %>`,
  hole: (values, body) => `<% nocache ${values} %>${body}<% endnocache %>`,
  include: (template) => `<%~ await includeAsync("@${template}", it) %>`,
  makeSite(caches, templates) {
    const plugin = cachePlugin(caches ?? createCaches({ default: new DummyCache() }))
    const eta = new Eta({ plugins: [plugin] })
    plugin.attach(eta)
    let isLoaded = false
    return {
      async render(name, context) {
        // Eta compiles a template when it is loaded.
        for (const [one, source] of isLoaded ? [] : Object.entries(templates)) {
          eta.loadTemplate(`@${one}`, source, { async: true })
        }
        isLoaded = true
        return eta.renderAsync(`@${name}`, context)
      },
      holes: (context) => plugin.holes(context),
    }
  },
})
