import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Eta, type EtaConfig } from 'eta'
import { createCaches, FragmentCache, LocMemCache, type Cache, type Caches } from 'fragcache'
import { cachePlugin, type AdapterOptions } from 'fragcache/eta'
import { guard } from 'fragcache/express'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { countBodies } from '../conformance/fragment-suite.js'
import { AsyncTestCache } from '../support/async-cache.js'
import { folderOfFile } from '../support/folders.js'

const stores: [string, () => Cache][] = [
  ['local memory', () => new LocMemCache()],
  ['an asynchronous cache', () => new AsyncTestCache()],
]

const views = folderOfFile()

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const write = (name: string, source: string) => {
  writeFileSync(join(views, `${name}.eta`), source)
}

function engine(caches: Caches, options?: AdapterOptions, config: Partial<EtaConfig> = {}) {
  const plugin = cachePlugin(caches, options)
  return { plugin, eta: new Eta({ views, cache: true, plugins: [plugin], ...config }) }
}

describe.each(stores)('nocache blocks in files, over %s', (_, make) => {
  it.each([true, false])('are rendered on a hit, with cache: %s', async (cache) => {
    write('list', `<% cache 60 list %>[<%~ await includeAsync('./row', { n: 1 }) %>]<% endcache %>`)
    write('row', `<%= it.n %><% nocache %>(<%~ await includeAsync('./mark') %>)<% endnocache %>`)
    write('card', `<% cache 60 card %>[<%~ await includeAsync('/row2') %>]<% endcache %>`)
    write(
      'row2',
      `2<% nocache %>(<%= it.user %><%~ await includeAsync('./mark') %>)<% endnocache %>`,
    )
    write('mark', `<%= it.user %>!`)
    const { eta } = engine(createCaches({ default: make() }), undefined, { cache })
    for (const user of ['Ann', 'Bob']) {
      const { outcome, bodyRuns } = await countBodies(() => eta.renderAsync('card', { user }))
      expect([outcome, bodyRuns]).toEqual([`[2(${user}${user}!)]`, user === 'Ann' ? 1 : 0])
      expect(await eta.renderAsync('list', { user })).toBe(`[1(${user}!)]`)
    }
  })

  it('are found by another process, and are a miss once they changed', async () => {
    const caches = createCaches({ default: make() })
    write('deploy', `<% cache 60 deploy %>[<%~ await includeAsync('deployed') %>]<% endcache %>`)
    write('deployed', `<% nocache %>1<%= it.user %><% endnocache %>`)
    expect(await engine(caches).eta.renderAsync('deploy', { user: 'Ann' })).toBe('[1Ann]')
    const second = await countBodies(() =>
      engine(caches).eta.renderAsync('deploy', { user: 'Bob' }),
    )
    expect(second).toMatchObject({ outcome: '[1Bob]', bodyRuns: 0 })
    write('deployed', `<% nocache %>2<%= it.user %><% endnocache %>`)
    const third = await countBodies(() => engine(caches).eta.renderAsync('deploy', { user: 'Cy' }))
    expect(third).toMatchObject({ outcome: '[2Cy]', bodyRuns: 1 })
    rmSync(join(views, 'deployed.eta'))
    const gone = engine(caches).eta.renderAsync('deploy', { user: 'Di' })
    await expect(gone).rejects.toThrow(/Could not find template/)
  })
})

describe('nocache blocks in what code renders', () => {
  const render = async (caches: Caches, { plugin, eta }: ReturnType<typeof engine>, data: object) =>
    new FragmentCache(caches).render({ name: 'code', holes: plugin.holes(data) }, () =>
      eta.renderAsync('code', data),
    )

  it('are rendered by the plugin in the context that is given', async () => {
    const caches = createCaches({ default: new AsyncTestCache() })
    write('code', `<% const n = 1 %>[<%= n %><% nocache %><%= it.user %><% endnocache %>]`)
    const made = engine(caches)
    expect(await render(caches, made, { user: 'Ann' })).toBe('[1Ann]')
    const { outcome, bodyRuns } = await countBodies(() => render(caches, made, { user: 'Bob' }))
    expect([outcome, bodyRuns]).toEqual(['[1Bob]', 0])
    // Here nothing was rendered yet, and nobody said what engine to look in.
    const unknown = await countBodies(() => render(caches, engine(caches), { user: 'Cy' }))
    expect(unknown).toMatchObject({ outcome: '[1Cy]', bodyRuns: 1 })
    const attached = engine(caches)
    attached.plugin.attach(attached.eta)
    const known = await countBodies(() => render(caches, attached, { user: 'Di' }))
    expect(known).toMatchObject({ outcome: '[1Di]', bodyRuns: 0 })
  })

  it('must not use what the template makes', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    write('code', `<% const n = 1 %><% nocache %><%= n %><% endnocache %>`)
    await expect(render(caches, engine(caches), {})).rejects.toThrow(
      /uses "n", which is made in its template/,
    )
  })

  it('may stand in a layout, and include', async () => {
    const caches = createCaches({ default: new AsyncTestCache() })
    write('code', `<% layout('around', { title: 't' }) %>body`)
    write(
      'around',
      `<%= it.title %> <%~ it.body %> <% nocache %><%~ await includeAsync('menu') %><% endnocache %>`,
    )
    write('menu', `<<%= it.user %>>`)
    const made = engine(caches)
    expect(await render(caches, made, { user: 'Ann' })).toBe('t body <Ann>')
    const { outcome, bodyRuns } = await countBodies(() => render(caches, made, { user: 'Bob' }))
    expect([outcome, bodyRuns]).toEqual(['t body <Bob>', 0])
  })

  it('are refused without a context', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    write('code', `<% nocache %><%= it.user %><% endnocache %>`)
    const { eta } = engine(caches)
    const rendering = new FragmentCache(caches).render({ name: 'code' }, () =>
      eta.renderAsync('code', { user: 'Ann' }),
    )
    await expect(rendering).rejects.toThrow(/pass the option holes/)
  })
})

describe('the digest', () => {
  const main = () => `<% cache 60 main %>1<%~ await includeAsync('part') %><% endcache %>`
  const show = async (caches: Caches, config?: Partial<EtaConfig>) => {
    const { eta } = engine(caches, { digest: true }, config)
    const { outcome, bodyRuns } = await countBodies(() => eta.renderAsync('main', {}))
    return [outcome, bodyRuns]
  }

  it('makes a fragment a miss when its template, or one that it names, has changed', async () => {
    const caches = createCaches({ default: new AsyncTestCache() })
    write('main', main())
    write('part', `a<%~ await includeAsync('deep') %>`)
    write('deep', `<% layout('frame') %>b`)
    write('frame', `c<%~ it.body %>`)
    expect(await show(caches)).toEqual(['1acb', 1])
    expect(await show(caches)).toEqual(['1acb', 0])
    write('frame', `d<%~ it.body %>`)
    expect(await show(caches)).toEqual(['1adb', 1])
    write('deep', `<% layout('frame') %>e`)
    expect(await show(caches)).toEqual(['1ade', 1])
    write('main', main().replace('1', '2'))
    expect(await show(caches)).toEqual(['2ade', 1])
    expect(await show(caches)).toEqual(['2ade', 0])
  })

  it('follows files that change while the engine reads them each time', async () => {
    const { eta } = engine(
      createCaches({ default: new LocMemCache() }),
      { digest: true },
      { cache: false },
    )
    write('part', `a`)
    eta.loadTemplate('@main', main(), { async: true })
    expect(await eta.renderAsync('@main', {})).toBe('1a')
    write('part', `bb`)
    expect(await eta.renderAsync('@main', {})).toBe('1bb')
  })

  it('follows named templates that are loaded again', () => {
    const { eta } = engine(createCaches({ default: new LocMemCache() }), { digest: true })
    eta.loadTemplate('@part', 'a')
    eta.loadTemplate('@main', `<% cache 60 named %><%~ include('@part') %><% endcache %>`)
    expect(eta.render('@main', {})).toBe('a')
    eta.loadTemplate('@part', 'b')
    expect(eta.render('@main', {})).toBe('b')
  })

  it('is not part of the key unless asked for', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const { eta } = engine(caches)
    const page = `<% cache 60 plain 1 %>x<% endcache %>`
    eta.renderString(page, {})
    expect(await new FragmentCache(caches).delete('plain', [1])).toBe(true)
    engine(caches, { digest: true }).eta.renderString(page, {})
    expect(await new FragmentCache(caches).delete('plain', [1])).toBe(false)
  })

  it.each([
    `<% const i = include %><% cache 60 d %><%~ i('@a') %><% endcache %>`,
    `<% const f = { include } %><% cache 60 d %><%~ f.include('@a') %><% endcache %>`,
    `<% const f = (i) => i('@a') %><% cache 60 d %><%~ f(include) %><% endcache %>`,
    `<% const i = [include]; %><% cache 60 d %><%~ i[0]('@a') %><% endcache %>`,
  ])('warns of an include by another name: %s', (page) => {
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const { eta } = engine(createCaches({ default: new LocMemCache() }), { digest: true })
    eta.loadTemplate('@a', 'a')
    eta.loadTemplate('@alias', page)
    for (let i = 0; i < 2; i++) expect(eta.render('@alias', {})).toBe('a')
    const texts = warnings.mock.calls.map(([text]) => String(text))
    expect(texts.filter((text) => text.startsWith('@alias: it includes by'))).toHaveLength(1)
  })

  it('warns of no include that it follows, nor of anything of such a name', () => {
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const { eta } = engine(createCaches({ default: new LocMemCache() }), { digest: true })
    eta.loadTemplate('@a', 'a')
    const page = `<% const o = { layout: 1 } %><% cache 60 d it.include %><%~ include('@a') %><%= o.layout %><% endcache %>`
    eta.loadTemplate('@plain', page)
    expect(eta.render('@plain', { include: 1 })).toBe('a1')
    expect(warnings).not.toHaveBeenCalled()
  })

  it('warns once of an include that it cannot follow', async () => {
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const { eta } = engine(createCaches({ default: new LocMemCache() }), { digest: true })
    eta.loadTemplate('@a', 'a')
    eta.loadTemplate('@dynamic', `<% cache 60 d %><%~ include('@' + it.name) %><% endcache %>`)
    for (let i = 0; i < 2; i++) expect(eta.render('@dynamic', { name: 'a' })).toBe('a')
    const texts = warnings.mock.calls.map(([text]) => String(text))
    expect(
      texts.filter((text) => text.startsWith('@dynamic: it includes by an expression')),
    ).toHaveLength(1)
  })
})

describe('what a body reads of one visitor', () => {
  const req = () => guard({ headers: {}, user: { id: 7, name: 'Ann' } } as never)

  it.each(stores)('is allowed if the tag varies on it, or in nocache, over %s', async (_, make) => {
    const { eta } = engine(createCaches({ default: make() }), { strict: true })
    const page = `<% cache 60 user it.req.user.id %><%= it.req.user.name %><% endcache %><% cache 60 all %>[<% nocache %><%= it.req.user.name %><% endnocache %>]<% endcache %>`
    for (let i = 0; i < 2; i++) {
      expect(await eta.renderStringAsync(page, { req: req() })).toBe('Ann[Ann]')
    }
  })

  it.each(stores)('is an error otherwise, over %s', async (_, make) => {
    const { eta } = engine(createCaches({ default: make() }), { strict: true })
    const page = `<% cache 60 user it.id %><%= it.req.user.name %><% endcache %>`
    await expect(eta.renderStringAsync(page, { req: req(), id: 7 })).rejects.toThrow(
      /its body reads "user", which is not in its vary-on/,
    )
  })

  it('is not stored where the rules are not strict', () => {
    const { eta } = engine(createCaches({ default: new LocMemCache() }), { strict: false })
    const page = `<% cache 60 user it.id %><%= it.req.user.name %><% endcache %>`
    expect(eta.renderString(page, { req: req(), id: 7 })).toBe('Ann')
    expect(
      eta.renderString(page, {
        req: guard({ headers: {}, user: { name: 'Bob' } } as never),
        id: 7,
      }),
    ).toBe('Bob')
  })

  it('does not count for a tag whose arguments wait', async () => {
    const { eta } = engine(createCaches({ default: new LocMemCache() }), { strict: true })
    const page = `<% cache 60 user (await it.req.user.id) %><%= it.req.user.name %><% endcache %>`
    await expect(eta.renderStringAsync(page, { req: req() })).rejects.toThrow(
      /its body reads "user"/,
    )
  })
})

describe('keywords of locks and staleness', () => {
  it('are refused if they are given and undefined, or no such thing', () => {
    const { eta } = engine(createCaches({ default: new LocMemCache() }))
    for (const keyword of ['lock', 'staleWhileRevalidate', 'staleIfError']) {
      const page = `<% cache 60 x ${keyword}=it.nothing %>x<% endcache %>`
      expect(() => eta.renderString(page, {})).toThrow(new RegExp(keyword))
    }
  })

  it.each(stores)(
    'staleIfError: what was there stands in for a body that throws, over %s',
    async (_, make) => {
      vi.useFakeTimers({ toFake: ['Date'] })
      vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
      const { eta } = engine(createCaches({ default: make() }))
      const page = `(<% cache 60 x staleIfError=60 %>a<% it.run() %>b<% nocache %><%= it.user %><% endnocache %><% endcache %>)`
      const fail = () => {
        throw new RangeError('down')
      }
      const render = (run: () => unknown, user: string) =>
        eta.renderStringAsync(page, { run, user })
      expect(await render(() => 1, 'Ann')).toBe('(abAnn)')
      vi.advanceTimersByTime(61_000)
      expect(await render(fail, 'Bob')).toBe('(abBob)')
      vi.advanceTimersByTime(61_000)
      await expect(render(fail, 'Cy')).rejects.toThrow('down')
    },
  )

  it.each(stores)(
    'staleWhileRevalidate: one makes it again, the others get what was there, over %s',
    async (_, make) => {
      vi.useFakeTimers({ toFake: ['Date'] })
      const { eta } = engine(createCaches({ default: make() }))
      const page = `<% cache 60 x staleWhileRevalidate=60 %><%= await it.next() %><% endcache %>`
      let n = 0
      let go: (() => void) | undefined
      const gate = new Promise<void>((resolve) => (go = resolve))
      const next = async () => {
        const mine = ++n
        if (mine > 1) await gate
        return mine
      }
      expect(await eta.renderStringAsync(page, { next })).toBe('1')
      vi.advanceTimersByTime(61_000)
      const first = eta.renderStringAsync(page, { next })
      await vi.waitUntil(() => n === 2)
      expect(await eta.renderStringAsync(page, { next })).toBe('1')
      go?.()
      expect(await first).toBe('2')
      expect(await eta.renderStringAsync(page, { next })).toBe('2')
    },
  )

  it('lock: one body in all processes, and no fragment waits for one inside', async () => {
    const shared = { location: 'eta-lock' }
    const page = `<% cache 60 outer lock=true %>(<% cache 60 inner lock=true %><%= await it.next() %><% endcache %>)<% endcache %>`
    let n = 0
    const next = async () => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      return ++n
    }
    const processes = Array.from({ length: 4 }, () =>
      engine(createCaches({ default: new AsyncTestCache(shared) })),
    )
    const pages = await Promise.all(
      processes.flatMap(({ eta }) => [1, 2, 3].map(() => eta.renderStringAsync(page, { next }))),
    )
    expect(new Set(pages)).toEqual(new Set(['(1)']))
  })
})

describe('the options', () => {
  it('are checked', () => {
    const caches = createCaches({ default: new LocMemCache() })
    for (const options of [{ digest: 1 }, { strict: 'no' }, { digset: true }, null]) {
      expect(() => cachePlugin(caches, options as never)).toThrow(TypeError)
    }
  })

  it('bubbleTimeout: what contains a fragment lives no longer than it', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const { eta } = engine(createCaches({ default: new LocMemCache() }), { bubbleTimeout: true })
    const page = `<% cache 600 outer %>(<% cache 30 inner %><%= it.n %><% endcache %>)<% endcache %>`
    expect(eta.renderString(page, { n: 1 })).toBe('(1)')
    vi.advanceTimersByTime(29_000)
    expect(eta.renderString(page, { n: 2 })).toBe('(1)')
    vi.advanceTimersByTime(2_000)
    expect(eta.renderString(page, { n: 3 })).toBe('(3)')
  })
})
