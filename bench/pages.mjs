/**
 * A page of 20 warm fragments in local memory (500 bytes, one vary-on value each), against the same
 * template with the texts as plain variables.
 */
import { Eta } from 'eta'
import { createCaches, LocMemCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { compare, row } from './measure.mjs'

const COUNT = 20
const TEXT = 'x'.repeat(500)
const numbers = Array.from({ length: COUNT }, (_, i) => i)
const context = {
  user: 'ann',
  ...Object.fromEntries(numbers.map((i) => [`text${i}`, TEXT])),
}

const newCaches = () =>
  createCaches({ default: new LocMemCache({ options: { maxEntries: 10_000 } }) })

const page = (part) => numbers.map((i) => `<div>${part(i)}</div>`).join('\n')

function nunjucksPages() {
  const env = new nunjucks.Environment(null, { autoescape: true })
  registerNunjucks(env, newCaches())
  const plain = nunjucks.compile(
    page((i) => `{{ text${i} }}`),
    env,
  )
  const safe = nunjucks.compile(
    page((i) => `{{ text${i} | safe }}`),
    env,
  )
  const cached = nunjucks.compile(
    page((i) => `{% cache 500 f${i} user %}{{ text${i} }}{% endcache %}`),
    env,
  )
  return {
    plain: () => plain.render(context),
    cached: () => cached.render(context),
    safe: () => safe.render(context),
  }
}

function handlebarsPages() {
  const instance = Handlebars.create()
  registerHandlebars(instance, newCaches())
  const plain = instance.compile(page((i) => `{{text${i}}}`))
  const safe = instance.compile(page((i) => `{{{text${i}}}}`))
  const cached = instance.compile(page((i) => `{{#cache 500 "f${i}" user}}{{text${i}}}{{/cache}}`))
  return { plain: () => plain(context), cached: () => cached(context), safe: () => safe(context) }
}

function etaPages() {
  const eta = new Eta({ plugins: [cachePlugin(newCaches())] })
  const plain = eta.compile(page((i) => `<%= it.text${i} %>`))
  const safe = eta.compile(page((i) => `<%~ it.text${i} %>`))
  const cached = eta.compile(
    page((i) => `<% cache 500 f${i} it.user %><%= it.text${i} %><% endcache %>`),
  )
  return {
    plain: () => eta.render(plain, context),
    cached: () => eta.render(cached, context),
    safe: () => eta.render(safe, context),
  }
}

async function measure(engine, pages, target) {
  if (pages.cached() !== pages.plain()) throw new Error(`bench: ${engine}: the pages differ`)
  const { plain, cached, safe } = await compare(pages)
  return row(
    `20 warm fragments in ${engine} / plain variables`,
    cached.ratio,
    target,
    `${(cached.ns / 1000).toFixed(1)} µs; / unescaped variables ${(cached.ratio / safe.ratio).toFixed(2)}, plain ${(plain.ns / 1000).toFixed(1)} µs`,
  )
}

export async function run() {
  return [
    await measure('Nunjucks', nunjucksPages(), 1.5),
    await measure('Handlebars', handlebarsPages(), 2),
    await measure('Eta', etaPages(), 1.5),
  ]
}
