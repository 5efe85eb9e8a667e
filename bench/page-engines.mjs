/** A page of 20 cached fragments of 500 bytes, one vary-on value each, in each engine. */
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import { Eta } from 'eta'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'

export const COUNT = 20
export const TEXT = 'x'.repeat(500)
export const numbers = Array.from({ length: COUNT }, (_, i) => i)

/** What a page is rendered with. */
export const contextOf = (texts) => ({
  user: 'ann',
  ...Object.fromEntries(texts.map((text, i) => [`text${i}`, text])),
})

const page = (part) => numbers.map((i) => `<div>${part(i)}</div>`).join('\n')
/** Three of ten names. */
const tagsOf = (i) => [0, 1, 2].map((n) => `t${(i + n) % 10}`)
const listOf = (i) => `[${tagsOf(i).map((tag) => `"${tag}"`)}]`

/**
 * An engine with its tag, as what renders: `plain` with the texts as variables, `safe` the same unescaped,
 * `cached` and `tagged` with the tag by the asynchronous call, `atOnce` by the synchronous one.
 */
export const engines = {
  Nunjucks(caches) {
    const env = new nunjucks.Environment(null, { autoescape: true })
    const { renderAsync } = registerNunjucks(env, caches)
    const compile = (part) => nunjucks.compile(page(part), env)
    const plain = compile((i) => `{{ text${i} }}`)
    const safe = compile((i) => `{{ text${i} | safe }}`)
    const tag = (tags) =>
      compile((i) => `{% cache 500 f${i} user ${tags(i)} %}{{ text${i} }}{% endcache %}`)
    const cached = tag(() => '')
    const tagged = tag((i) => `tags=${listOf(i)}`)
    return {
      plain: (data) => plain.render(data),
      safe: (data) => safe.render(data),
      atOnce: (data) => cached.render(data),
      cached: (data) => renderAsync(cached, data),
      tagged: (data) => renderAsync(tagged, data),
    }
  },
  Handlebars(caches) {
    const instance = Handlebars.create()
    const { renderAsync } = registerHandlebars(instance, caches)
    instance.registerHelper('list', (...args) => args.slice(0, -1))
    const plain = instance.compile(page((i) => `{{text${i}}}`))
    const safe = instance.compile(page((i) => `{{{text${i}}}}`))
    const tag = (tags) =>
      instance.compile(page((i) => `{{#cache 500 "f${i}" user ${tags(i)}}}{{text${i}}}{{/cache}}`))
    const cached = tag(() => '')
    const tagged = tag(
      (i) =>
        `tags=(list ${tagsOf(i)
          .map((name) => `"${name}"`)
          .join(' ')})`,
    )
    return {
      plain,
      safe,
      atOnce: cached,
      cached: (data) => renderAsync(cached, data),
      tagged: (data) => renderAsync(tagged, data),
    }
  },
  Eta(caches) {
    const eta = new Eta({ plugins: [cachePlugin(caches)] })
    const compile = (part, options) => eta.compile(page(part), options)
    const plain = compile((i) => `<%= it.text${i} %>`)
    const safe = compile((i) => `<%~ it.text${i} %>`)
    const tag = (tags, options) =>
      compile(
        (i) => `<% cache 500 f${i} it.user ${tags(i)} %><%= it.text${i} %><% endcache %>`,
        options,
      )
    const none = () => ''
    const atOnce = tag(none)
    const cached = tag(none, { async: true })
    const tagged = tag((i) => `tags=${listOf(i)}`, { async: true })
    return {
      plain: (data) => eta.render(plain, data),
      safe: (data) => eta.render(safe, data),
      atOnce: (data) => eta.render(atOnce, data),
      cached: (data) => eta.renderAsync(cached, data),
      tagged: (data) => eta.renderAsync(tagged, data),
    }
  },
}
