import { Eta } from 'eta'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'
import { cachePlugin } from '../../adapters/eta/index.js'
import { registerCache as registerHandlebars } from '../../adapters/handlebars/index.js'
import { registerCache as registerNunjucks } from '../../adapters/nunjucks/index.js'
import { createCaches, type Caches } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'

type Render = (source: string, data: object) => Promise<string>

interface Way {
  readonly name: string
  /** A fragment that may be stale, and one that may not. */
  readonly source: string
  readonly make: (caches: Caches) => Render
}

const ways: readonly Way[] = [
  {
    name: 'Nunjucks',
    source:
      '{% cache 500 a staleWhileRevalidate=100 %}A{% endcache %} {% cache 500 b tags=tags %}B{{ n() }}{% endcache %}',
    make: (caches) => registerNunjucks(new nunjucks.Environment(null), caches).renderStringAsync,
  },
  {
    name: 'Handlebars',
    source:
      '{{#cache 500 "a" staleWhileRevalidate=100}}A{{/cache}} {{#cache 500 "b" tags=tags}}B{{n}}{{/cache}}',
    make: (caches) => registerHandlebars(Handlebars.create(), caches).renderAsync,
  },
  {
    name: 'Eta',
    source:
      '<% cache 500 a staleWhileRevalidate=100 %>A<% endcache %> <% cache 500 b tags=it.tags %>B<%= it.n() %><% endcache %>',
    make: (caches) => {
      const eta = new Eta({ plugins: [cachePlugin(caches)] })
      return (source, data) => eta.renderStringAsync(source, data)
    },
  },
]

describe.each(ways)('a page in $name where one fragment may be stale', ({ source, make }) => {
  it('renders another again that may not be', async () => {
    const cache = new AsyncTestCache()
    const render = make(createCaches({ default: cache }))
    let made = 0
    const data = { tags: ['x'], n: () => ++made }
    expect(await render(source, data)).toBe('A B1')
    expect(await render(source, data)).toBe('A B1')
    await cache.invalidateTags(['x'], { soft: true })
    expect(await render(source, data)).toBe('A B2')
    expect(await render(source, data)).toBe('A B2')
  })
})
