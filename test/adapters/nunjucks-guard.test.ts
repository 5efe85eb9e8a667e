import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { guard } from 'fragcache/express'
import { registerCache, type AdapterOptions } from 'fragcache/nunjucks'
import nunjucks from 'nunjucks'
import { describe, expect, it, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { sources } from './nunjucks-driver.js'

function setUp(
  templates: Readonly<Record<string, string>>,
  options: AdapterOptions,
  cache: Cache = new AsyncTestCache(),
) {
  const env = new nunjucks.Environment(sources(templates))
  const caches = createCaches({ default: cache })
  const { renderAsync } = registerCache(env, caches, options)
  const add = (filter: string, call: (done: () => void) => unknown) => {
    const join = (...given: unknown[]) => {
      const done = given.pop() as (error: null, value: string) => void
      call(() => done(null, given.join()))
    }
    env.addFilter(filter, join, true)
  }
  add('slow', setImmediate)
  // Where a filter answers later, the engine lets errors of what comes next go unhandled.
  add('soon', (done) => done())
  const render = (name: string) =>
    renderAsync('main', {
      req: guard({
        headers: {},
        user: { name, seconds: 9, alias: 'default' },
        session: { cart: name },
      } as never),
      name,
    })
  return { env, caches, render, cache }
}

describe.each([
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
])('what a body reads of one visitor over %s', (_, make) => {
  it('is an error where the rules are strict, and nothing is stored', async () => {
    const main =
      '{% cache 9 n req.user.name %}a{% endcache %}{% cache 9 m %}{{ req.user.name }}{% endcache %}'
    const { render } = setUp({ main }, { strict: true }, make())
    const error = {
      code: 'FRAGCACHE_TAG',
      message: expect.stringMatching(/fragment "m".*reads "user"/) as string,
    }
    await expect(render('ann')).rejects.toMatchObject(error)
    await expect(render('ann')).rejects.toMatchObject(error)
  })

  it('is otherwise shown and not stored', async () => {
    const main = '{% cache 9 n %}a{% cache 9 m %}{{ req.user.name }}{% endcache %}{% endcache %}'
    const { render } = setUp({ main }, { strict: false }, make())
    expect(await render('ann')).toBe('aann')
    expect(await render('bob')).toBe('abob')
  })

  it('is free where the tag tells visitors apart by it, also further in', async () => {
    const part = '{{ req.user.name }}{% cache 9 m req.user.name %}{{ req.user.name }}{% endcache %}'
    const main = `{% cache 9 n req.user.name|upper %}{% include "part" %}{% endcache %}`
    const { render } = setUp({ main, part }, { strict: true }, make())
    for (const name of ['ann', 'bob', 'ann']) expect(await render(name)).toBe(name + name)
  })

  it('is free in a nocache block', async () => {
    const main =
      '{% cache 9 n %}{{ name }}{% nocache %}{{ req.user.name }}{{ req.session.cart }}{% endnocache %}{% endcache %}'
    const { render } = setUp({ main }, { strict: true }, make())
    expect(await render('ann')).toBe('annannann')
    expect(await render('bob')).toBe('annbobbob')
  })

  it('is not declared by a tag that is not rendered, or by another’s arguments', async () => {
    const base = '{% block c %}{% endblock %}{% cache 9 m 1 %}{{ req.user.name }}{% endcache %}'
    const main = '{% extends "base" %}{% cache 9 n req.user.name %}x{% endcache %}'
    const { render } = setUp({ main, base }, { strict: true }, make())
    await expect(render('ann')).rejects.toThrow(/fragment "m".*reads "user"/)
  })

  it.each([
    ['tags', '{% cache 9 n "en" tags=["u:" ~ req.user.name] %}'],
    ['a timeout', '{% cache req.user.seconds n "en" %}'],
    ['using', '{% cache 9 n "en" using=req.user.alias %}'],
    ['version', '{% cache 9 n "en" version=req.user.name %}'],
    ['if', '{% cache 9 n "en" if=req.user.name %}'],
    ['lock', '{% cache 9 n "en" lock=(not req.user.name) %}'],
    ['a grace', '{% cache 9 n "en" staleWhileRevalidate=req.user.seconds %}'],
    ['the last of several', '{% cache 9, n, "en", using="default", tags=[req.user.name] %}'],
    ['tags, beside another input', '{% cache 9 n req.session.cart tags=[req.user.name] %}'],
    ['both sides, with no value', '{% cache req.user.seconds n tags=[req.user.name] %}'],
    ['an asynchronous filter', '{% cache 9 n "en"|soon tags=[req.user.name|soon] %}'],
  ])('is not declared by %s', async (_name, tag) => {
    const main = `${tag}{{ req.user.name }}{% endcache %}`
    const strict = setUp({ main }, { strict: true }, make())
    await expect(strict.render('ann')).rejects.toThrow(/fragment "n".*reads "user"/)
    await expect(strict.render('bob')).rejects.toThrow(/fragment "n".*reads "user"/)
    const lenient = setUp({ main }, { strict: false }, make())
    for (const name of ['ann', 'bob']) expect(await lenient.render(name)).toBe(name)
  })

  it.each([
    '{% cache req.user.seconds n req.user.name tags=[req.session.cart] if=req.user.name %}',
    '{% cache 9, n, "en", req.user.name, 7, version=req.user.name %}',
    '{% cache 9 n req.user.name|slow %}',
    '{% cache 9 n ("x" ~ req.user.name)|slow(1, 2) "en"|slow %}',
    '{% cache 9 n "en"|slow(1, req.user.name) %}',
    '{% cache 9 n "en"|slow req.user.name|slow|slow tags=[req.session.cart|slow] %}',
  ])('is declared by its values, whatever is around them: %s', async (tag) => {
    const main = `{% for x in [1, 2] %}${tag}{{ req.user.name }}{% endcache %}{% endfor %}`
    const { render } = setUp({ main }, { strict: true }, make())
    for (const name of ['ann', 'bob', 'ann']) expect(await render(name)).toBe(name + name)
  })

  it('is declared by the values of its own tag alone, also by those that wait', async () => {
    const main =
      '{% cache 9 n req.user.name|soon %}{% endcache %}{% cache 9 m 1|soon %}{{ req.user.name }}{% endcache %}'
    const { render } = setUp({ main }, { strict: true }, make())
    await expect(render('ann')).rejects.toThrow(/fragment "m".*reads "user"/)
  })

  it('is not declared by tags that failed while keywords were evaluated', async () => {
    const main = '{% cache 9 n "en" tags=[attempt(req)] %}{{ req.user.name }}{% endcache %}'
    const { env, render } = setUp({ main }, { strict: true }, make())
    env.addGlobal('attempt', (req: object) => {
      for (const rest of ['req.user.name nothing.at.all()', 'req.user.name using=nothing()']) {
        const source = `{% cache 9 m ${rest} %}{% endcache %}`
        expect(() => env.renderString(source, { req })).toThrow()
      }
      return 'tag'
    })
    await expect(render('ann')).rejects.toThrow(/fragment "n".*reads "user"/)
  })

  it('counts by the arguments of an inner tag too', async () => {
    const main =
      '{% cache 9 n %}{% cache 9 m req.user.name %}{{ name }}{% endcache %}{% endcache %}'
    const { render } = setUp({ main }, { strict: true }, make())
    await expect(render('ann')).rejects.toThrow(/fragment "n".*reads "user"/)
  })
})

describe('the option strict', () => {
  it('is on where nothing is said, outside production', async () => {
    const main = '{% cache 9 n %}{{ req.user.name }}{% endcache %}'
    vi.stubEnv('NODE_ENV', 'development')
    await expect(setUp({ main }, {}).render('ann')).rejects.toThrow(/reads "user"/)
    vi.stubEnv('NODE_ENV', 'production')
    expect(await setUp({ main }, {}).render('ann')).toBe('ann')
    vi.unstubAllEnvs()
  })
})

describe('options', () => {
  const register = (options: unknown) =>
    registerCache(
      new nunjucks.Environment(null),
      createCaches({ default: new LocMemCache() }),
      options as AdapterOptions,
    )

  it.each<[options: unknown, says: RegExp]>([
    [null, /options: null is not an object/],
    [{ strict: 1 }, /strict: 1 is neither true nor false/],
    [{ digest: 'yes' }, /digest: "yes" is neither true nor false/],
    [{ bubbleTimeout: null }, /bubbleTimeout: null is neither true nor false/],
    [{ colour: true }, /"colour" is unknown/],
  ])('%o are refused', (options, says) => {
    expect(() => register(options)).toThrow(TypeError)
    expect(() => register(options)).toThrow(says)
  })

  it('are those of the environment, once for all', () => {
    const env = new nunjucks.Environment(null)
    const caches = createCaches({ default: new LocMemCache() })
    const first = registerCache(env, caches, { digest: true })
    expect(registerCache(env, caches, { digest: true })).toBe(first)
    expect(() => registerCache(env, caches)).toThrow(/with other caches or options/)
  })

  it('go with a tag nocache that nobody else has', () => {
    const env = new nunjucks.Environment(null)
    env.addExtension('other', { tags: ['nocache'], parse: () => undefined })
    const caches = createCaches({ default: new LocMemCache() })
    expect(() => registerCache(env, caches)).toThrow(/extension with the tag "nocache" already/)
  })

  it('bubbleTimeout ends what contains a fragment with it', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const main = '{% cache 900 n %}{{ n }}{% cache 30 m %}{{ n }}{% endcache %}{% endcache %}'
    const env = new nunjucks.Environment(sources({ main }))
    const caches = createCaches({ default: new LocMemCache() })
    registerCache(env, caches, { bubbleTimeout: true })
    expect(env.render('main', { n: 1 })).toBe('11')
    vi.setSystemTime(Date.now() + 29_000)
    expect(env.render('main', { n: 2 })).toBe('11')
    vi.setSystemTime(Date.now() + 2_000)
    expect(env.render('main', { n: 3 })).toBe('33')
    vi.useRealTimers()
  })
})
