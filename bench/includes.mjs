/**
 * A page that includes a template 20 times, in each engine: with the option `personal`, which has to know what each of
 * them was given, against the engine alone.
 */
import { createCaches, LocMemCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import { Eta } from 'eta'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { compare, row } from './measure.mjs'

const COUNT = 20
const rows = Array.from({ length: COUNT }, (_, i) => ({ name: `name ${i}`, price: i }))
const personal = ['user', 'session', 'csrfToken', 'flash']

const engines = {
  Nunjucks: (caches) => {
    const sources = {
      page: '<ul>{% for row in rows %}{% include "row" %}{% endfor %}</ul>',
      row: '<li>{{ row.name }} {{ row.price }} {{ title }}</li>',
    }
    const getSource = (name) => ({ src: sources[name], path: name, noCache: false })
    const env = new nunjucks.Environment({ getSource })
    if (caches !== undefined) registerNunjucks(env, caches, { personal })
    return (variables) => env.render('page', variables)
  },
  Handlebars: (caches) => {
    const handlebars = Handlebars.create()
    if (caches !== undefined) registerHandlebars(handlebars, caches, { personal })
    handlebars.registerPartial('row', '<li>{{row.name}} {{row.price}} {{title}}</li>')
    return handlebars.compile('<ul>{{#each rows}}{{> row @root row=this}}{{/each}}</ul>')
  },
  Eta: (caches) => {
    const plugins = caches === undefined ? [] : [cachePlugin(caches, { personal })]
    const eta = new Eta({ cache: true, plugins })
    const each = '<% for (const row of it.rows) { %><%~ include("@row", { row }) %><% } %>'
    eta.loadTemplate('@page', `<ul>${each}</ul>`)
    eta.loadTemplate('@row', '<li><%= it.row.name %> <%= it.row.price %> <%= it.title %></li>')
    return (variables) => eta.render('@page', variables)
  },
}

/** As each request brings them. */
function variables() {
  return { title: 'Offers', rows, user: { id: 1 }, session: {}, lang: 'en', path: '/', year: 2026 }
}

export async function run() {
  const found = []
  for (const [engine, make] of Object.entries(engines)) {
    const alone = make(undefined)
    const watched = make(createCaches({ default: new LocMemCache() }))
    if (alone(variables()) !== watched(variables())) throw new Error(`${engine}: pages differ`)
    const result = await compare({
      alone: () => alone(variables()),
      watched: () => watched(variables()),
    })
    const title = `${engine}, ${COUNT} includes, personal / the engine alone`
    found.push({ ...row(title, result.watched.ratio, 1.5), spread: result.watched.spread })
  }
  return found
}
