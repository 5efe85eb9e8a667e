import { Eta } from 'eta'
import { createCaches, LocMemCache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { describe, expect, it } from 'vitest'

const newCaches = () => createCaches({ default: new LocMemCache() })

const VISITORS = ['ann', 'ben']

function variablesOf(name: string) {
  const user = { name }
  const auth = Object.assign(() => name, { user })
  return {
    user,
    auth,
    session: { user, theme: 'dark' },
    title: 'title',
    item: { title: 'own' },
    _locals: { user },
    get greeting() {
      return `Hello ${this.user.name}`
    },
  }
}

type Visit = (source: string, name: string) => string

const engines: readonly (readonly [
  string,
  (personal: readonly string[], strict?: boolean) => Visit,
])[] = [
  [
    'Nunjucks',
    (personal, strict = false) => {
      const env = new nunjucks.Environment(null)
      registerNunjucks(env, newCaches(), { personal, strict })
      return (source, name) => env.renderString(source, variablesOf(name))
    },
  ],
  [
    'Handlebars',
    (personal, strict = false) => {
      const handlebars = Handlebars.create()
      handlebars.registerHelper('set', function (this: object, name: string, value: unknown) {
        Reflect.set(this, name, value)
        return ''
      })
      registerHandlebars(handlebars, newCaches(), { personal, strict })
      return (source, name) => handlebars.compile(source)(variablesOf(name))
    },
  ],
  [
    'Eta',
    (personal, strict = false) => {
      const eta = new Eta({ plugins: [cachePlugin(newCaches(), { personal, strict })] })
      eta.loadTemplate('@title', '<%= it.title %>')
      eta.loadTemplate('@who', '<%= it.who.name %>')
      eta.loadTemplate('@greets', '<%= it.greeting %>')
      return (source, name) => eta.renderString(source, variablesOf(name))
    },
  ],
]

const newEta = engines[2]?.[1] as (personal: readonly string[], strict?: boolean) => Visit
const inFragment = (body: string) => `<% cache 60 f %>${body}<% endcache %>`

describe('what is copied in a body', () => {
  it.each([
    [
      'beside a copy that is passed on',
      '<% const all = { ...it } %><%~ include("@title", { ...it, x: 1 }) %><%= all.user.name %>',
    ],
    [
      'and listed, beside one that is passed on',
      '<%= Object.values(it)[0].name %><%~ include("@title", { ...it, x: 1 }) %>',
    ],
    [
      'and passed on under another name',
      '<% const all = { ...it }; all.who = all.user %><%~ include("@who", all) %>',
    ],
    [
      'and passed on in another copy',
      '<% const all = { ...it } %><%~ include("@who", { ...it, who: all.user }) %>',
    ],
    ['with what is computed', '<%~ include("@greets", { ...it }) %>'],
  ])('counts as read: %s', (_what, body) => {
    const visit = newEta(['user'])
    for (const name of VISITORS) expect(visit(inFragment(body), name)).toContain(name)
    expect(() => newEta(['user'], true)(inFragment(body), 'ann')).toThrow(/reads "user"/)
  })

  it('does not count where all copies are passed on', () => {
    const eta = new Eta({
      plugins: [cachePlugin(newCaches(), { personal: ['user'], strict: true })],
    })
    eta.loadTemplate('@title', '<%= it.title %>')
    const user = { name: 'ann' }
    const body = '<%~ include("@title", { ...it, x: 1 }) %>'.repeat(3)
    const variables = { user, currentUser: user, title: 'title' }
    expect(eta.renderString(inFragment(body), variables)).toBe('title'.repeat(3))
  })
})

it('sees what is read of a function', () => {
  const visit = newEta(['auth.user'])
  const source = inFragment('<%= it.auth.user.name %>')
  expect(VISITORS.map((name) => visit(source, name))).toEqual(VISITORS)
})

describe.each(engines)('%s', (engine, newVisit) => {
  const sources = (
    {
      Nunjucks: {
        locals: '{% cache 60 f %}{{ _locals.user.name }}{% endcache %}',
        varies: '{% cache 60 f _locals.user.name %}{{ _locals.user.name }}{% endcache %}',
        sets: '{% cache 60 f %}{% set session = item %}{{ session.title }}{% endcache %}',
        setsName: '{% cache 60 f %}{% set user = item %}{{ user.title }}{% endcache %}',
      },
      Handlebars: {
        locals: '{{#cache 60 "f"}}{{_locals.user.name}}{{/cache}}',
        varies: '{{#cache 60 "f" _locals.user.name}}{{_locals.user.name}}{{/cache}}',
        sets: '{{#cache 60 "f"}}{{set "session" item}}{{session.title}}{{/cache}}',
        setsName: '{{#cache 60 "f"}}{{set "user" item}}own{{/cache}}',
      },
      Eta: {
        locals: '<% cache 60 f %><%= it._locals.user.name %><% endcache %>',
        varies: '<% cache 60 f it._locals.user.name %><%= it._locals.user.name %><% endcache %>',
        sets: '<% cache 60 f %><% it.session = it.item %><%= it.session.title %><% endcache %>',
        setsName: '<% cache 60 f %><% it.user = it.item %>own<% endcache %>',
      },
    } as const
  )[engine as 'Eta']

  it('sees what is read of the locals as Express gives them once more', () => {
    const visit = newVisit(['user'])
    expect(VISITORS.map((name) => visit(sources.locals, name))).toEqual(VISITORS)
    expect(() => newVisit(['user'], true)(sources.locals, 'ann')).toThrow(/reads "user"/)
    const varied = newVisit(['user'], true)
    expect(VISITORS.map((name) => varied(sources.varies, name))).toEqual(VISITORS)
  })

  it('lets a body set what it is watched for', () => {
    const visit = newVisit(['session.user', 'user'], true)
    for (const name of VISITORS) expect(visit(sources.sets, name)).toBe('own')
    const other = newVisit(['user'], true)
    for (const name of VISITORS) expect(other(sources.setsName, name)).toBe('own')
  })
})
