import { Eta } from 'eta'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import type { EngineUnderTest } from 'fragcache/testing'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { sources } from './nunjucks-driver.js'

export const nunjucksEngine: EngineUnderTest = {
  syntax: {
    show: (path) => `{{ ${path} }}`,
    value: (path) => path,
    cache: (args, body) => `{% cache ${args} %}${body}{% endcache %}`,
    each: (list, item, body) => `{% for ${item} in ${list} %}${body}{% endfor %}`,
    include: (template) => `{% include "${template}" %}`,
    nocache: (names, body) => `{% nocache ${names} %}${body}{% endnocache %}`,
  },
  create({ caches, templates, options }) {
    const env = new nunjucks.Environment(sources(templates), { autoescape: false })
    const { renderAsync } = registerNunjucks(env, caches, options)
    return {
      render: (template, context) => env.render(template, context),
      renderAsync: (template, context) => renderAsync(template, context),
    }
  },
}

export const handlebarsEngine: EngineUnderTest = {
  syntax: {
    show: (path) => `{{${path}}}`,
    value: (path) => path,
    cache: (args, body) => `{{#cache ${args}}}${body}{{/cache}}`,
    each: (list, item, body) => `{{#each ${list} as |${item}|}}${body}{{/each}}`,
    include: (template) => `{{> ${template}}}`,
    nocache: (names, body) => `{{#nocache ${names}}}${body}{{/nocache}}`,
  },
  create({ caches, templates, options }) {
    const handlebars = Handlebars.create()
    const { renderAsync } = registerHandlebars(handlebars, caches, options)
    handlebars.registerPartial({ ...templates })
    const compiled = new Map(
      Object.entries(templates).map(([name, source]) => [name, handlebars.compile(source)]),
    )
    const find = (name: string) => compiled.get(name) as Handlebars.TemplateDelegate
    return {
      render: (template, context) => find(template)(context),
      renderAsync: (template, context) => renderAsync(find(template), context),
    }
  },
  differences: {
    noCommas: 'helpers take arguments without commas',
    quotedNames: 'a word without quotes is a variable',
    ownSyntaxErrors: 'the parser of Handlebars refuses it first',
  },
}

export const etaEngine: EngineUnderTest = {
  syntax: {
    show: (path) => `<%= ${inScope(path)} %>`,
    value: inScope,
    cache: (args, body) => `<% cache ${args} %>${body}<% endcache %>`,
    each: (list, item, body) => `<% for (const ${item} of it.${list}) { %>${body}<% } %>`,
    include: (template) => `<%~ include("@${template}", it) %>`,
    nocache: (names, body) => `<% nocache ${names} %>${body}<% endnocache %>`,
  },
  create({ caches, templates, options }) {
    const eta = new Eta({ plugins: [cachePlugin(caches, options)], autoEscape: false })
    const inclusive = (source: string) => source.replaceAll('include(', 'await includeAsync(')
    for (const [name, source] of Object.entries(templates)) {
      eta.loadTemplate(`@${name}`, source)
      eta.loadTemplate(`@${name}`, inclusive(source), { async: true })
    }
    return {
      render: (template, context) => eta.render(`@${template}`, context),
      renderAsync: (template, context) => eta.renderAsync(`@${template}`, context),
    }
  },
  differences: {},
}

/** The variable of a loop is no property of the data. */
function inScope(path: string): string {
  return path.startsWith('item.') ? path : `it.${path}`
}
