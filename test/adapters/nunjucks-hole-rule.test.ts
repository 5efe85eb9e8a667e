import { createCaches, DummyCache } from 'fragcache'
import { registerCache } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { testHoleRule } from '../conformance/hole-suite.js'
import { sources } from './nunjucks-driver.js'

testHoleRule({
  engine: 'nunjucks',
  show: (name) => `{{ ${name} }}`,
  each: (body) => `{% for item in items %}${body}{% endfor %}`,
  item: { expression: 'item', name: 'item' },
  itemId: '{{ item.id }}',
  itemIdExpression: 'item.id',
  ownName: '{{ item }}',
  ownExample: '{% nocache item=item %}',
  cache: (args, body) => `{% cache ${args} %}${body}{% endcache %}`,
  hole: (values, body) => `{% nocache ${values} %}${body}{% endnocache %}`,
  include: (template) => `{% include "${template}" %}`,
  makeSite(caches, templates) {
    const env = new nunjucks.Environment(sources(templates))
    const { renderAsync, holes } = registerCache(
      env,
      caches ?? createCaches({ default: new DummyCache() }),
    )
    return { render: (name, context) => renderAsync(name, context), holes }
  },
})
