import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { runInThisContext } from 'node:vm'
import { guard } from 'fragcache/express'
import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createCaches, LocMemCache, type Cache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'

function requestOf(name: string): IncomingMessage {
  return guard(
    Object.assign(new IncomingMessage(new Socket()), {
      user: { name, seconds: 9, alias: 'default' },
    }),
  )
}

const kinds: [string, () => Cache][] = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
]

describe.each(kinds)('what differs per visitor, over %s', (_, make) => {
  function start(strict?: boolean) {
    const handlebars = Handlebars.create()
    const caches = createCaches({ default: make() })
    handlebars.registerHelper('name', (value: { name: string }) => value.name)
    handlebars.registerHelper('not', (value: unknown) => !value)
    handlebars.registerHelper('list', (...values: unknown[]) => values.slice(0, -1))
    const { renderAsync } = registerCache(handlebars, caches, { strict })
    return async (source: string, name: string) =>
      renderAsync(handlebars.compile(source), { req: requestOf(name), xs: [1] })
  }

  it.each([
    '{{#cache 60 "a"}}{{req.user.name}}{{/cache}}',
    '{{#cache 60 "a"}}{{name req.user}}{{/cache}}',
    '{{#cache 60 "a"}}{{#cache 60 "b" req.user.name}}{{req.user.name}}{{/cache}}{{/cache}}',
    '{{#cache 60 "a" req.user.name}}{{#cache 60 "b"}}{{req.user.name}}{{/cache}}{{/cache}}',
    '{{req.user.name}}{{#cache 60 "a"}}{{req.user.name}}{{/cache}}',
    '{{#cache 60 "b" req.user.name}}{{/cache}}{{#cache 60 "a"}}{{req.user.name}}{{/cache}}',
  ])('is refused where vary-on does not tell it apart: %s', async (source) => {
    await expect(start(true)(source, 'Ann')).rejects.toThrow(/req\.user|"user"/)
    const render = start(false)
    const texts = [await render(source, 'Ann'), await render(source, 'Bob')]
    expect(texts[1]).toContain('Bob')
    expect(texts[1]).not.toContain('Ann')
  })

  it.each([
    '{{#cache 60 "a" req.user.name}}{{req.user.name}}{{/cache}}',
    '{{#cache 60 "a" (name req.user)}}{{req.user.name}}{{/cache}}',
    '{{#each xs}}{{#cache 60 "a" ../req.user.name}}{{@root.req.user.name}}{{/cache}}{{/each}}',
    '{{#cache 60 "a" req.user.name}}{{#cache 60 "b" req.user.name}}{{req.user.name}}{{/cache}}{{/cache}}',
    '{{#cache 60 "a"}}{{#nocache}}{{req.user.name}}{{/nocache}}{{/cache}}',
    '{{#cache 60 "a" if=false}}{{req.user.name}}{{/cache}}',
    '{{req.user.name}}{{#cache 60 "a"}}{{/cache}}',
  ])('is free where it cannot reach another: %s', async (source) => {
    const render = start(true)
    for (const name of ['Ann', 'Bob', 'Ann', 'Bob']) expect(await render(source, name)).toBe(name)
  })

  it.each([
    '{{#cache 60 "a" "en" tags=(list req.user.name)}}',
    '{{#cache req.user.seconds "a" "en"}}',
    '{{#cache 60 "a" "en" using=req.user.alias}}',
    '{{#cache 60 "a" "en" version=req.user.name}}',
    '{{#cache 60 "a" "en" if=req.user.name}}',
    '{{#cache 60 "a" "en" lock=(not req.user.name)}}',
    '{{#cache 60 "a" "en" staleIfError=req.user.seconds}}',
    '{{#cache 60 "a" (list "en" xs) req.url tags=(list (name req.user)) version=1}}',
    '{{#cache req.user.seconds "a" tags=(list req.user.name)}}',
  ])('is not declared by what no value reads: %s', async (tag) => {
    const source = `${tag}{{req.user.name}}{{/cache}}`
    const render = start(true)
    await expect(render(source, 'Ann')).rejects.toThrow(/req\.user|"user"/)
    await expect(render(source, 'Bob')).rejects.toThrow(/req\.user|"user"/)
    const lenient = start(false)
    for (const name of ['Ann', 'Bob']) expect(await lenient(source, name)).toBe(name)
  })

  it.each([
    '{{#cache req.user.seconds "a" req.user.name tags=(list "t") if=req.user.name}}',
    '{{#cache 60 "a" "en" (name req.user) 7 version=req.user.name using="default"}}',
    '{{#cache 60 "a" (list (list 1 req.user.name) 2) staleIfError=9}}',
  ])('is declared by the values, whatever is around them: %s', async (tag) => {
    const render = start(true)
    const source = `${tag}{{req.user.name}}{{/cache}}`
    for (const name of ['Ann', 'Bob', 'Ann']) expect(await render(source, name)).toBe(name)
  })

  it.each([{ compat: true }, { strict: true }, { data: false }, { knownHelpersOnly: true }])(
    'is declared by the values alone in what was precompiled with %j',
    async (given) => {
      const knownHelpers = { cache: true, list: true } as never
      const build = Handlebars.create()
      registerCache(build, createCaches({ default: make() }))
      const handlebars = Handlebars.create()
      handlebars.registerHelper('list', (...values: unknown[]) => values.slice(0, -1))
      const caches = createCaches({ default: make() })
      const { renderAsync } = registerCache(handlebars, caches, { strict: true })
      const render = (source: string, name: string) => {
        const code = build.precompile(source, { ...given, knownHelpers }) as string
        const spec = runInThisContext(`(${code})`) as TemplateSpecification
        return renderAsync(handlebars.template(spec), { req: requestOf(name) })
      }
      const good = '{{#cache 60 "a" req.user.name}}{{req.user.name}}{{/cache}}'
      for (const name of ['Ann', 'Bob', 'Ann']) expect(await render(good, name)).toBe(name)
      const bad = '{{#cache 60 "b" "en" tags=(list req.user.name)}}{{req.user.name}}{{/cache}}'
      await expect(render(bad, 'Ann')).rejects.toThrow(/"user"/)
    },
  )

  it('is declared also where the tag was registered again', async () => {
    const handlebars = Handlebars.create()
    registerCache(handlebars, createCaches({ default: make() }))
    const caches = createCaches({ default: make() })
    const { renderAsync } = registerCache(handlebars, caches, { strict: true })
    const source = '{{#cache 60 "a" req.user.name}}{{req.user.name}}{{/cache}}'
    for (const name of ['Ann', 'Bob']) {
      expect(await renderAsync(source, { req: requestOf(name) })).toBe(name)
    }
  })

  it('does not count as declared by a tag whose values threw', async () => {
    const render = start(true)
    const broken = '{{#cache 60 "a" req.user.name (missing 1)}}{{/cache}}'
    await expect(render(broken, 'Ann')).rejects.toThrow(/missing/i)
    const bare = '{{#cache 60 "b"}}{{req.user.name}}{{/cache}}'
    await expect(render(bare, 'Ann')).rejects.toThrow(/req\.user|"user"/)
  })
})

it('a precompiled template has the same keys where nothing tells what its values read', () => {
  const handlebars = Handlebars.create()
  registerCache(handlebars, createCaches({ default: new LocMemCache() }))
  const code = handlebars.precompile('{{#cache 60 "a" x 2 tags="t"}}{{n}}{{/cache}}') as string
  const load = (instance: typeof Handlebars) =>
    instance.template<object>(runInThisContext(`(${code})`) as TemplateSpecification)
  const { helpers } = handlebars
  expect(load(handlebars)({ x: 1, n: 1 })).toBe('1')
  expect(load(Handlebars.create())({ x: 1, n: 2 }, { helpers })).toBe('1')
  expect(load(Handlebars.create())({ x: 2, n: 3 }, { helpers })).toBe('3')
})

describe('the options of registerCache', () => {
  afterEach(() => void vi.unstubAllEnvs())
  const register = (options: object) =>
    registerCache(Handlebars.create(), createCaches({ default: new LocMemCache() }), options)

  it('are strict unless this is production', async () => {
    const source = '{{#cache 60 "a"}}{{req.user.name}}{{/cache}}'
    const context = { req: requestOf('Ann') }
    await expect(register({}).renderAsync(source, context)).rejects.toThrow()
    vi.stubEnv('NODE_ENV', 'production')
    const handlebars = Handlebars.create()
    const { renderAsync } = registerCache(handlebars, createCaches({ default: new LocMemCache() }))
    expect(await renderAsync(handlebars.compile(source), context)).toBe('Ann')
  })

  it.each([{ strict: 1 }, { digest: 'yes' }, { bubbleTimeout: 0 }, { digests: true }])(
    'are checked: %j',
    (options) => {
      expect(() => register(options)).toThrow(TypeError)
    },
  )
})
