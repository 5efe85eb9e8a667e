import { setTimeout as delay } from 'node:timers/promises'
import { Eta } from 'eta'
import express from 'express'
import { createCaches, LocMemCache, makeTemplateFragmentKey, type Cache } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { responseCache } from 'fragcache/express'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import { useTestClock } from 'fragcache/testing'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { Site } from '../support/express.js'

/* What is made again in the background is made for whoever came at that time, and served to all. */

type Render = (variables: object) => Promise<string>

const engines: readonly (readonly [string, (cache: Cache, strict: boolean) => Render])[] = [
  [
    'Nunjucks',
    (cache, strict) => {
      const env = new nunjucks.Environment()
      const options = { personal: ['user'], strict }
      const { renderStringAsync } = registerNunjucks(env, createCaches({ default: cache }), options)
      const source =
        '{% cache 60 f staleWhileRevalidate=600 %}{{ user.name if shows else "all" }}{% endcache %}'
      return (variables) => renderStringAsync(source, variables)
    },
  ],
  [
    'Handlebars',
    (cache, strict) => {
      const engine = Handlebars.create()
      const options = { personal: ['user'], strict }
      const { renderAsync } = registerHandlebars(engine, createCaches({ default: cache }), options)
      const source =
        '{{#cache 60 "f" staleWhileRevalidate=600}}{{#if shows}}{{user.name}}{{else}}all{{/if}}{{/cache}}'
      return (variables) => renderAsync(source, variables)
    },
  ],
  [
    'Eta',
    (cache, strict) => {
      const options = { personal: ['user'], strict }
      const eta = new Eta({ plugins: [cachePlugin(createCaches({ default: cache }), options)] })
      const source =
        '<% cache 60 f staleWhileRevalidate=600 %><%= it.shows ? it.user.name : "all" %><% endcache %>'
      return (variables) => eta.renderStringAsync(source, variables)
    },
  ],
]

beforeEach(() => {
  // A refresh that fails is told once.
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  onTestFinished(() => spy.mockRestore())
})

describe.each(engines)('a fragment of %s that is made again in the background', (_name, make) => {
  it.each([
    ['local memory', () => new LocMemCache(), true],
    ['local memory', () => new LocMemCache(), false],
    ['an asynchronous cache', () => new AsyncTestCache(), true],
    ['an asynchronous cache', () => new AsyncTestCache(), false],
  ])('shows nobody what it reads of another, over %s', async (_store, newCache, strict) => {
    const cache = newCache()
    const render = make(cache, strict)
    const [ann, ben] = [{ user: { name: 'Ann' } }, { user: { name: 'Ben' } }]
    expect(await render({ ...ann, shows: false })).toBe('all')
    await cache.expire(makeTemplateFragmentKey('f'))
    await render({ ...ann, shows: true }).catch(() => undefined)
    await delay(20)
    expect(await render({ ...ben, shows: false })).toBe('all')
    await delay(20)
    expect(await render({ ...ben, shows: false })).toBe('all')
  })
})

it.each([true, false])(
  'a page that is made again in the background keeps nothing of its visitor (strict: %s)',
  async (strict) => {
    const caches = createCaches({ default: new LocMemCache() })
    const clock = useTestClock(caches)
    onTestFinished(() => clock.restore())
    const env = new nunjucks.Environment()
    registerNunjucks(env, caches)
    const pages = responseCache(caches, {
      personal: ['user'],
      strict,
      isPersonal: false,
      staleWhileRevalidate: 600,
      seconds: 60,
    })
    let shows = false
    let views = 0
    const app = express()
    app.use(pages.cacheSite())
    app.get('/', (req, res, next) => {
      views++
      const variables = { user: req.get('X-User'), shows }
      env.renderString('{{ user if shows else "all" }}', variables, (error, text) => {
        if (error) next(error)
        else res.send(text)
      })
    })
    app.set('env', 'test')
    const site = await Site.open(app)
    const ask = async (user: string) => (await site.get('/', { headers: { 'X-User': user } })).text
    expect(await ask('ann')).toBe('all')
    await clock.advance(61)
    shows = true
    expect(await ask('ann')).toBe('all')
    await vi.waitFor(() => expect(views).toBe(2))
    await delay(20)
    shows = false
    expect(await ask('ben')).toBe('all')
  },
)
