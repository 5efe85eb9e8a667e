import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { guard } from 'fragcache/express'
import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createCaches, LocMemCache, type Cache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'

function requestOf(name: string): IncomingMessage {
  return guard(Object.assign(new IncomingMessage(new Socket()), { user: { name } }))
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

  it('does not count as declared by a tag whose values threw', async () => {
    const render = start(true)
    const broken = '{{#cache 60 "a" req.user.name (missing 1)}}{{/cache}}'
    await expect(render(broken, 'Ann')).rejects.toThrow(/missing/i)
    const bare = '{{#cache 60 "b"}}{{req.user.name}}{{/cache}}'
    await expect(render(bare, 'Ann')).rejects.toThrow(/req\.user|"user"/)
  })
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
