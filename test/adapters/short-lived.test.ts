import { Eta } from 'eta'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createCaches, LocMemCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import { describe, expect, it } from 'vitest'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as (options?: { type: 'minor' }) => void

const caches = createCaches({ default: new LocMemCache() })

const engines = {
  Nunjucks: () => {
    const env = new nunjucks.Environment(null, { autoescape: true })
    registerNunjucks(env, caches)
    const template = nunjucks.compile('{{ a }}{% cache 60 "part" variant %}b{% endcache %}', env)
    return (variables: object) => template.render(variables)
  },
  Handlebars: () => {
    const handlebars = Handlebars.create()
    registerHandlebars(handlebars, caches)
    const template = handlebars.compile('{{a}}{{#cache 60 "part" variant}}b{{/cache}}')
    return (variables: object) => template(variables)
  },
  Eta: () => {
    const eta = new Eta({ plugins: [cachePlugin(caches)] })
    const template = eta.compile('<%= it.a %><% cache 60 part it.variant %>b<% endcache %>')
    return (variables: object) => eta.render(template, variables)
  },
}

/** Of some 10 MB that are given to the pages. */
const MOST_BYTES = 2_000_000

let count = 0

describe.each([
  ['Nunjucks', 'found', () => 0],
  ['Handlebars', 'found', () => 0],
  ['Eta', 'found', () => 0],
  ['Eta', 'made', () => count++],
])('what %s is given for a page whose fragment is %s', (engine, _, variantOf) => {
  it('is gone with the page, before the collector goes through all memory', () => {
    const render = engines[engine as keyof typeof engines]()
    const renderPages = () => {
      for (let i = 0; i < 20; i++) {
        // Some 20 kB.
        const rows = Array.from({ length: 400 }, (_, k) => ({ id: k }))
        expect(render({ a: 'a', rows, variant: variantOf() })).toBe('ab')
      }
      gc({ type: 'minor' })
    }
    for (let i = 0; i < 25; i++) renderPages()
    gc()
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < 25; i++) renderPages()
    gc({ type: 'minor' })
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(MOST_BYTES)
  })
})
