import type { EngineSetup, EngineSyntax, EngineUnderTest } from 'fragcache/testing'
import { Liquid } from 'liquidjs'
import { registerCache } from './liquid-cache.js'

const syntax: EngineSyntax = {
  show: (path) => `{{ ${path} }}`,
  value: (path) => path,
  cache: (args, body) => `{% cache ${args} %}${body}{% endcache %}`,
  each: (list, item, body) => `{% for ${item} in ${list} %}${body}{% endfor %}`,
  include: (template) => `{% include "${template}" %}`,
  nocache: (names, body) => `{% nocache ${names} %}${body}{% endnocache %}`,
}

function setUp({ caches, templates, options }: EngineSetup) {
  const liquid = new Liquid({ templates: { ...templates } })
  return { liquid, cache: registerCache(liquid, caches, options) }
}

/** Rendered by LiquidJS' own functions. */
export const liquidEngine: EngineUnderTest = {
  syntax,
  create(setup) {
    const { liquid } = setUp(setup)
    return {
      render: (name, context) => liquid.renderFileSync(name, context) as string,
      renderAsync: (name, context) => liquid.renderFile(name, context) as Promise<string>,
    }
  },
  differences: { oneByOne: 'LiquidJS waits for one tag after the other' },
}

/** Rendered with its tags put off. */
export const deferredLiquidEngine: EngineUnderTest = {
  syntax,
  create(setup) {
    const { cache } = setUp(setup)
    return { renderAsync: (name, context) => cache.renderDeferred(name, context) }
  },
  differences: { noSync: 'it gives a promise' },
}
