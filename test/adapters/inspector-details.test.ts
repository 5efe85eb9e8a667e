import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import nunjucks from 'nunjucks'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { responseCache } from '../../adapters/express/index.js'
import type {
  FragmentDetail,
  RouteDetail,
  TagDetail,
  TagRow,
} from '../../adapters/inspector/index.js'
import { registerCache } from '../../adapters/nunjucks/index.js'
import { createCaches, FragmentCache, LocMemCache } from '../../src/index.js'
import { folderOfFile } from '../support/folders.js'
import { Inspected } from './inspector-support.js'

const templates = folderOfFile()
writeFileSync(join(templates, 'tea.njk'), `${'\n'.repeat(6)}{% cache 60 tea %}Tea{% endcache %}`)

const query = (values: Readonly<Record<string, string>>) => new URLSearchParams(values).toString()

/** A site whose page has a fragment that has another one in it. */
async function open() {
  const caches = createCaches({ default: new LocMemCache(), other: new LocMemCache() })
  const fragments = new FragmentCache(caches)
  const pages = responseCache(caches, { seconds: 600 })
  const facts = (code: string) =>
    fragments.render(
      { name: 'facts', varyOn: [code], tags: [`country:${code}`], timeout: 600 },
      () => code,
    )
  const inspected = await Inspected.open(caches, { pages }, (app) => {
    app.use('/countries', pages.cacheSite())
    app.get('/countries/:code', async (req, res) => {
      const { code } = req.params
      res.send(await fragments.render({ name: 'box', varyOn: [code] }, () => facts(code)))
    })
  })
  return { caches, inspected, facts }
}

describe('what the inspector tells of one fragment', () => {
  const of = (inspected: Inspected, name: string) =>
    inspected.json<FragmentDetail>(`/api/fragment?${query({ alias: 'default', name })}`)

  it('has its variants with their vary-on values and tags, what is in it, and what it is in', async () => {
    const { inspected } = await open()
    for (const code of ['FRA', 'PRT', 'FRA']) await inspected.site.get(`/countries/${code}`)
    const facts = await of(inspected, 'facts')
    expect(facts.stats).toMatchObject({ name: 'facts', misses: 2 })
    expect(facts.entryCount).toBe(2)
    const variants = facts.entries.map(({ varyOn, tags, kind }) => [...varyOn, ...tags, kind])
    expect(variants.sort()).toEqual([
      ['FRA', 'country:FRA', 'fragment'],
      ['PRT', 'country:PRT', 'fragment'],
    ])
    expect(facts.entries[0]?.freshUntilMs).toBeGreaterThan(Date.now())
    expect(facts.tags).toEqual([
      { name: 'country:FRA', entries: 1 },
      { name: 'country:PRT', entries: 1 },
    ])
    expect(facts.contains).toEqual([])
    expect(facts.dependents.fragments).toMatchObject([{ name: 'box', entries: 2 }])
    expect(facts.dependents.pages).toMatchObject([{ route: 'GET /countries/:code', entries: 2 }])
    expect((await of(inspected, 'box')).contains).toEqual([{ name: 'facts', entries: 2 }])
  })

  it.each([
    [{ editor: 'zed://file/{path}:{line}' }, `zed://file/${encodeURI(templates)}/tea.njk:7`],
    [{}, undefined],
    [{ editor: 'zed://file/{path}:{line}', views: [] }, undefined],
  ])('has links to its templates in the editor with %j: %s', async (options, inEditor) => {
    const caches = createCaches({ default: new LocMemCache() })
    const inspected = await Inspected.open(caches, options, (app) => app.set('views', templates))
    const env = new nunjucks.Environment(new nunjucks.FileSystemLoader(templates))
    await registerCache(env, caches).renderAsync('tea.njk', {})
    const { places } = await of(inspected, 'tea')
    expect(places).toEqual([
      { template: 'tea.njk', line: 7, entries: 1, ...(inEditor !== undefined && { inEditor }) },
    ])
  })

  it.each([
    ['has no time', '{% cache 0 box %}x{% endcache %}'],
    ['has a false `if`', '{% cache 60 box if=false %}x{% endcache %}'],
    ['fails', '{% cache 60 box %}{{ fail() }}{% endcache %}'],
  ])('has the templates of one that is never stored, since it %s', async (_, body) => {
    const caches = createCaches({ default: new LocMemCache() })
    const inspected = await Inspected.open(caches)
    writeFileSync(join(templates, 'never.njk'), `\n\n${body}`)
    const env = new nunjucks.Environment(new nunjucks.FileSystemLoader(templates))
    env.addGlobal('fail', () => {
      throw new Error('boom')
    })
    await registerCache(env, caches)
      .renderAsync('never.njk', {})
      .catch(() => undefined)
    const { places, entryCount } = await of(inspected, 'box')
    expect([places, entryCount]).toEqual([[{ template: 'never.njk', line: 3, entries: 0 }], 0])
  })

  it('has the templates of one that another process has stored, once somebody looks', async () => {
    const name = `shared-${process.pid}`
    writeFileSync(join(templates, 'shared.njk'), '{% cache 60 box %}x{% endcache %}')
    const render = async (inspect: boolean) => {
      const caches = createCaches({ default: new LocMemCache({ location: name }) })
      const inspected = inspect ? await Inspected.open(caches) : undefined
      await inspected?.get('/')
      const env = new nunjucks.Environment(new nunjucks.FileSystemLoader(templates))
      await registerCache(env, caches).renderAsync('shared.njk', {})
      return inspected
    }
    await render(false)
    const inspected = (await render(true)) as Inspected
    const { places, stats } = await of(inspected, 'box')
    expect(stats).toMatchObject({ hits: 1, misses: 0 })
    expect(places).toEqual([{ template: 'shared.njk', line: 1, entries: 0 }])
  })

  it('has at most twenty templates that it was not stored by', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const inspected = await Inspected.open(caches)
    const fragments = new FragmentCache(caches)
    for (let i = 0; i < 30; i++) {
      fragments.renderSync({ name: 'box', timeout: 0, template: `t${i}` }, () => 'x')
    }
    expect((await of(inspected, 'box')).places).toHaveLength(20)
  })

  it('has nothing of what was invalidated, nor of another cache', async () => {
    const { caches, inspected, facts } = await open()
    await facts('FRA')
    await caches.invalidateTags(['country:FRA'])
    expect(await of(inspected, 'facts')).toMatchObject({ entryCount: 0, entries: [] })
    const elsewhere = await inspected.json<FragmentDetail>(
      `/api/fragment?${query({ alias: 'other', name: 'facts' })}`,
    )
    expect(elsewhere.stats).toBe(undefined)
  })

  it('has its history from the first time that somebody asked', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const { inspected, facts } = await open()
    await facts('FRA')
    expect((await of(inspected, 'facts')).history).toEqual([])
    await facts('FRA')
    await facts('PRT')
    vi.advanceTimersByTime(5000)
    const [point, ...more] = (await of(inspected, 'facts')).history
    expect(point).toMatchObject({ hits: 1, others: 1 })
    expect(point?.madeMs).toBeGreaterThan(0)
    expect(more).toEqual([])
    vi.advanceTimersByTime(5000)
    // Nothing ran: there is no time to tell of.
    expect((await of(inspected, 'facts')).history[1]).toEqual({
      atMs: Date.now(),
      hits: 0,
      others: 0,
    })
  })

  it('lists at most 200 variants, the latest first, and says how many there are', async () => {
    const { inspected, facts } = await open()
    for (let i = 0; i < 250; i++) await facts(`c${i}`)
    const { entries, entryCount } = await of(inspected, 'facts')
    expect([entries.length, entryCount]).toEqual([200, 250])
  })

  it.each([
    ['/api/fragment?alias=default', /^name: /],
    ['/api/fragment?alias=nowhere&name=x', /^alias: there is no cache "nowhere"/],
    ['/api/route?alias=default', /^route: /],
    ['/api/tag', /^tag: /],
  ])('refuses %s', async (path, error) => {
    const { inspected } = await open()
    const answer = await inspected.get(path)
    expect(answer.status).toBe(400)
    expect((JSON.parse(answer.text) as { error: string }).error).toMatch(error)
  })
})

describe('what the inspector tells of one route', () => {
  it('has its stored pages, and nothing of what they vary on', async () => {
    const { inspected } = await open()
    await inspected.site.get('/countries/FRA', { headers: { cookie: 'secret=1' } })
    const text = (
      await inspected.get(
        `/api/route?${query({ alias: 'default', route: 'GET /countries/:code' })}`,
      )
    ).text
    const detail = JSON.parse(text) as RouteDetail
    expect(detail.stats).toMatchObject({ misses: 1 })
    expect(detail.entries).toMatchObject([
      { kind: 'page', name: `${inspected.site.origin}/countries/FRA`, varyOn: [] },
    ])
    expect(detail.contains.map(({ name }) => name).sort()).toEqual(['box', 'facts'])
    expect(detail.tags).toEqual([{ name: 'country:FRA', entries: 1 }])
    expect(text).not.toContain('secret')
  })
})

describe('what the inspector tells of tags', () => {
  it('has all of them, and what depends on one', async () => {
    const { caches, inspected, facts } = await open()
    await inspected.site.get('/countries/FRA')
    await facts('PRT')
    await caches.default.set('rates', 1, { tags: ['country:PRT'] })
    const { rows } = await inspected.json<{ rows: TagRow[] }>('/api/tags')
    expect(rows).toEqual([
      { tag: 'country:FRA', fragments: 2, pages: 1, values: 0 },
      { tag: 'country:PRT', fragments: 1, pages: 0, values: 1 },
    ])
    const of = () => inspected.json<TagDetail>('/api/tag?tag=country%3APRT')
    const before = await of()
    expect(before.entries.map(({ kind, name }) => [kind, name]).sort()).toEqual([
      ['fragment', 'facts'],
      ['value', 'rates'],
    ])
    expect(before.invalidated).toBe(undefined)
    await caches.invalidateTags(['country:PRT'])
    const after = await of()
    expect(after.entryCount).toBe(0)
    expect(after.invalidated?.atMs).toBeGreaterThan(Date.now() - 60_000)
    expect(after.invalidated?.from).toMatch(/inspector-details\.test\.ts:\d+/)
  })
})
