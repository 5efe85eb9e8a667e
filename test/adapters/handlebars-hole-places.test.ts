import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { registerCache } from 'fragcache/handlebars'
import Handlebars from 'handlebars'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { FileBasedCache } from '../../src/backends/file.js'
import { createCaches, FragmentCache, LocMemCache, type Cache } from '../../src/index.js'
import { AsyncTestCache } from '../support/async-cache.js'

const made: string[] = []

afterEach(() => {
  vi.useRealTimers()
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true })
})

const stores: [string, () => () => Cache][] = [
  [
    'local memory',
    () => {
      const cache = new LocMemCache()
      return () => cache
    },
  ],
  [
    'an asynchronous cache',
    () => {
      const cache = new AsyncTestCache()
      return () => cache
    },
  ],
  [
    'files',
    () => {
      const location = mkdtempSync(join(tmpdir(), 'holes-'))
      made.push(location)
      return () => new FileBasedCache({ location })
    },
  ],
]

describe.each(stores)('holes over %s', (_, open) => {
  const start = () => {
    const store = open()
    /** A process over the same store. */
    const launch = (partials: Record<string, string> = {}) => {
      const handlebars = Handlebars.create()
      handlebars.registerPartial(partials)
      let runs = 0
      handlebars.registerHelper('run', () => String(++runs))
      const fragments = new FragmentCache(createCaches({ default: store() }))
      const handle = registerCache(handlebars, fragments)
      return { handlebars, fragments, handle, runs: () => runs, renderAsync: handle.renderAsync }
    }
    return launch
  }

  it('are rendered by a process that has not rendered their template before', async () => {
    const launch = start()
    const partials = { inner: '{{run}}<{{#nocache}}{{user}}{{/nocache}}>' }
    const source =
      '{{#cache 60 "a"}}{{#if true}}{{> inner}}{{/if}}{{#nocache}}{{csrf}}{{/nocache}}{{/cache}}'
    expect(await launch(partials).renderAsync(source, { user: 'Ann', csrf: 1 })).toBe('1<Ann>1')
    const other = launch(partials)
    expect(await other.renderAsync(source, { user: 'Bob', csrf: 2 })).toBe('1<Bob>2')
    expect(other.runs()).toBe(0)
  })

  it.each([
    ['its own source', '{{run}}{{#nocache}}{{user}}!{{/nocache}}', {}],
    [
      'the source of its partial',
      '{{> inner}}',
      { inner: '{{run}}{{#nocache}}{{user}}!{{/nocache}}' },
    ],
  ])('that are others after a deploy make the hit a miss: %s', async (_what, body, changed) => {
    const launch = start()
    const before = { inner: '{{run}}{{#nocache}}{{user}}{{/nocache}}' }
    const isOwn = Object.keys(changed).length === 0
    const first = `{{#cache 60 "a"}}${isOwn ? before.inner : '{{> inner}}'}{{/cache}}`
    expect(await launch(before).renderAsync(first, { user: 'Ann' })).toBe('1Ann')
    const after = launch({ ...before, ...changed })
    const second = `{{#cache 60 "a"}}${body}{{/cache}}`
    expect(await after.renderAsync(second, { user: 'Bob' })).toBe('1Bob!')
    expect(await after.renderAsync(second, { user: 'Cid' })).toBe('1Cid!')
  })

  it('are each visitor’s own where many wait for one body', async () => {
    const { renderAsync, runs } = start()()
    const source =
      '{{#cache 60 "a"}}{{run}} {{#nocache}}{{user}}{{#cache 60 "u" user}}{{user}}{{/cache}}{{/nocache}}{{/cache}}'
    const users = Array.from({ length: 30 }, (_one, i) => `u${i}`)
    const texts = await Promise.all(users.map((user) => renderAsync(source, { user })))
    expect(texts).toEqual(users.map((user) => `1 ${user}${user}`))
    expect(runs()).toBe(1)
  })

  it('stand in what is stored as references, which no content can forge', async () => {
    const { handlebars, handle, fragments } = start()()
    const { renderAsync } = handle
    const source = handlebars.compile(
      '{{#cache 60 "a" text}}{{{text}}}{{#nocache}}{{user}}{{/nocache}}{{/cache}}',
    )
    await renderAsync(source, { text: 'plain', user: 'Ann' })
    const cache = fragments.caches.get('default')
    const stored = await cache.get(fragments.makeKey('a', ['plain']))
    expect(stored).toMatchObject(['plain', { e: 'handlebars' }, ''])
    const text = JSON.stringify(stored)
    for (const user of ['Ann', 'Bob'])
      expect(await renderAsync(source, { text, user })).toBe(text + user)
  })

  it('of a fragment from code are rendered by the engine’s holes', async () => {
    const launch = start()
    const partials = {
      card: '{{run}}:{{#nocache}}{{user}}{{> name}}{{/nocache}}',
      name: '({{user}})',
    }
    const { handlebars, fragments, handle, runs } = launch(partials)
    const card = handlebars.compile('{{> card}}')
    const show = (user: string) =>
      fragments.render({ name: 'card', holes: handle.holes({ user }) }, () => card({ user }))
    expect([await show('Ann'), await show('Bob')]).toEqual(['1:Ann(Ann)', '1:Bob(Bob)'])
    expect(runs()).toBe(1)
    await expect(
      fragments.render({ name: 'bare' }, () => card({ user: 'Ann' })),
    ).rejects.toMatchObject({ code: 'FRAGCACHE_TAG' })
    const loop = handlebars.compile('{{#each xs}}{{#nocache}}{{this}}{{/nocache}}{{/each}}')
    await expect(
      fragments.render({ name: 'loop', holes: handle.holes({ xs: [1] }) }, () => loop({ xs: [1] })),
    ).rejects.toThrow(/uses "this"/)
  })

  it('of a template without a name, from code, are found by its source', async () => {
    const launch = start()
    const source = '{{run}}{{#nocache}}{{user}}{{@root.user}}{{token}}{{/nocache}}'
    const show = (process: ReturnType<typeof launch>, user: string) => {
      const page = process.handlebars.compile(source)
      const holes = process.handle.holes({ user }, { helpers: { token: () => `-${user}` } })
      const helpers = { token: () => 'not this one' }
      return process.fragments.render({ name: 'page', holes }, () => page({ user }, { helpers }))
    }
    const one = launch()
    expect([await show(one, 'Ann'), await show(one, 'Bob')]).toEqual(['1AnnAnn-Ann', '1BobBob-Bob'])
    // Where the template was never made, its holes cannot be found: a miss.
    const other = launch()
    expect([await show(other, 'Cid'), await show(other, 'Dan')]).toEqual([
      '1CidCid-Cid',
      '1DanDan-Dan',
    ])
  })

  it('are not kept with what is around them when their text fails', async () => {
    const { handlebars, handle, runs } = start()()
    handlebars.registerHelper('fail', (user: string) => {
      if (user === 'Ann') throw new Error('no Ann')
      return user
    })
    const source = '{{#cache 60 "a"}}{{run}}{{#nocache}}{{fail user}}{{/nocache}}{{/cache}}'
    await expect(handle.renderAsync(source, { user: 'Ann' })).rejects.toThrow('no Ann')
    expect(await handle.renderAsync(source, { user: 'Bob' })).toBe(`${runs()}Bob`)
    await expect(handle.renderAsync(source, { user: 'Ann' })).rejects.toThrow('no Ann')
  })
})

describe('the keywords of the tag', () => {
  it.each(['lock', 'staleWhileRevalidate', 'staleIfError', 'using', 'tags', 'version'])(
    '%s must not be undefined',
    (keyword) => {
      const handlebars = Handlebars.create()
      registerCache(handlebars, createCaches({ default: new LocMemCache() }))
      const template = handlebars.compile(`{{#cache 60 "a" ${keyword}=typo}}x{{/cache}}`)
      expect(() => template({})).toThrow(new RegExp(`${keyword} is`))
    },
  )

  it('staleIfError shows the old text when the body throws', async () => {
    vi.useFakeTimers()
    const handlebars = Handlebars.create()
    const { renderAsync } = registerCache(handlebars, createCaches({ default: new LocMemCache() }))
    handlebars.registerHelper('fails', (now: boolean) => {
      if (now) throw new Error('down')
      return 'fine'
    })
    const source = '{{#cache 60 "a" staleIfError=600 lock=true}}{{fails now}}{{/cache}}'
    expect(await renderAsync(source, { now: false })).toBe('fine')
    vi.advanceTimersByTime(90_000)
    expect(await renderAsync(source, { now: true })).toBe('fine')
    vi.advanceTimersByTime(900_000)
    await expect(renderAsync(source, { now: true })).rejects.toThrow('down')
  })
})
