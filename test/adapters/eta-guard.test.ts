import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { guard } from 'fragcache/express'
import { Eta } from 'eta'
import { describe, expect, it } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'

const body = '<%= it.req.user.name %><% endcache %>'

describe.each<[string, () => Cache, isSync: boolean]>([
  ['synchronously', () => new LocMemCache(), true],
  ['over local memory', () => new LocMemCache(), false],
  ['over an asynchronous cache', () => new AsyncTestCache(), false],
])('what a body reads of one visitor, rendered %s', (_, make, isSync) => {
  function start(strict: boolean) {
    const caches = createCaches({ default: make() })
    const eta = new Eta({ plugins: [cachePlugin(caches, { strict })] })
    return async (source: string, name: string, data: object = {}) => {
      const user = { name, seconds: 9, alias: 'default' }
      const req = guard({ headers: {}, user, session: { cart: name } } as never)
      const all = { req, ...data }
      return isSync ? eta.renderString(source, all) : eta.renderStringAsync(source, all)
    }
  }

  it.each([
    '<% cache 60 n "en" tags=["u:" + it.req.user.name] %>',
    '<% cache it.req.user.seconds n "en" %>',
    '<% cache 60 n "en" using=it.req.user.alias %>',
    '<% cache 60 n "en" version=it.req.user.name %>',
    '<% cache 60 n "en" if=it.req.user.name %>',
    '<% cache 60 n "en" lock=(!it.req.user.name) %>',
    '<% cache 60 n "en" staleIfError=it.req.user.seconds %>',
    '<% cache 60, n, "en", using="default", tags=[it.req.user.name] %>',
    '<% cache 60 n it.req.session.cart tags=[it.req.user.name] %>',
    '<% cache it.req.user.seconds n tags=[it.req.user.name] %>',
    '<% cache 60 n %>',
  ])('is refused, or not stored, where its vary-on values do not read it: %s', async (tag) => {
    const render = start(true)
    for (const name of ['Ann', 'Bob']) {
      await expect(render(tag + body, name)).rejects.toThrow(/fragment "n".*reads "user"/)
    }
    const lenient = start(false)
    for (const name of ['Ann', 'Bob']) expect(await lenient(tag + body, name)).toBe(name)
  })

  it.each([
    '<% cache 60 n it.req.user.name %>',
    '<% cache it.req.user.seconds n it.req.user.name tags=[it.req.session.cart] if=it.req.user %>',
    '<% cache 60, n, "en", it.req.user.name, 7, version=it.req.user.name %>',
  ])('is free where its vary-on values read it, whatever else does: %s', async (tag) => {
    const render = start(true)
    for (const name of ['Ann', 'Bob', 'Ann']) expect(await render(tag + body, name)).toBe(name)
  })

  it('is not declared by the tag before, by one that failed, or by one among the keywords', async () => {
    const render = start(true)
    const before = `<% cache 60 m it.req.user.name %><% endcache %><% cache 60 n 1 %>${body}`
    await expect(render(before, 'Ann')).rejects.toThrow(/fragment "n".*reads "user"/)
    const failed = `<% try { %><% cache 60 m it.req.user.name it.fail() %><% endcache %><% } catch {} %>`
    const fail = () => {
      throw new Error('no such thing')
    }
    await expect(render(`${failed}<% cache 60 n 1 %>${body}`, 'Ann', { fail })).rejects.toThrow(
      /fragment "n".*reads "user"/,
    )
    const eta = new Eta({ plugins: [cachePlugin(createCaches({ default: new LocMemCache() }))] })
    const attempt = (req: object) => {
      for (const rest of ['it.req.user.name it.fail()', 'it.req.user.name using=it.fail()']) {
        const source = `<% cache 60 m ${rest} %><% endcache %>`
        expect(() => eta.renderString(source, { req, fail })).toThrow('no such thing')
      }
      return 'tag'
    }
    const among = `<% cache 60 n "en" tags=[it.attempt(it.req)] %>${body}`
    await expect(render(among, 'Ann', { attempt })).rejects.toThrow(/fragment "n".*reads "user"/)
  })
})

describe('arguments that wait', () => {
  const slow = async <T>(value: T) => {
    await new Promise(setImmediate)
    return value
  }
  const caches = createCaches({ default: new AsyncTestCache() })
  const eta = new Eta({ plugins: [cachePlugin(caches, { strict: true })] })
  const render = (tag: string, name: string) =>
    eta.renderStringAsync(tag + body, {
      req: guard({ headers: {}, user: { name } } as never),
      slow,
    })

  it('declare nothing where they are vary-on values', async () => {
    const tag = '<% cache 60 n (await it.slow(it.req.user.name)) %>'
    await expect(render(tag, 'Ann')).rejects.toThrow(/fragment "n".*reads "user"/)
  })

  it('leave it to the vary-on values where they are others', async () => {
    const tag = '<% cache (await it.slow(60)) m it.req.user.name tags=[await it.slow("t")] %>'
    const names = ['Ann', 'Bob', 'Ann', 'Eve']
    expect(await Promise.all(names.map((name) => render(tag, name)))).toEqual(names)
    const bad = '<% cache 60 n "en" tags=[await it.slow(it.req.user.name)] %>'
    await expect(render(bad, 'Ann')).rejects.toThrow(/fragment "n".*reads "user"/)
  })
})
