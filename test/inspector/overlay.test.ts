import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { RequestHandler } from 'express'
import { createCaches, LocMemCache, type Cache } from 'fragcache'
import { inspector, overlay, type AuditMessage } from 'fragcache/inspector'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { AsyncTestCache } from '../support/async-cache.js'
import { compression } from '../support/express.js'
import {
  broken,
  dataIn,
  DOCUMENT,
  DrawnSite,
  engines,
  hostile,
  markedIn,
  PLAIN,
  undrawn,
  withoutHoles,
  type Engine,
  type SiteOptions,
} from './overlay-site.js'

async function start(engine: Engine, options: SiteOptions = {}): Promise<DrawnSite> {
  const site = await DrawnSite.start(engine, options)
  onTestFinished(() => site.close())
  return site
}

const stores: readonly [string, () => Cache][] = [
  ['memory', () => new LocMemCache()],
  ['a store that answers later', () => new AsyncTestCache()],
]

/** The outcome of each fragment by name; of several with one name, the last. */
function outcomes(html: string): Record<string, string> {
  return Object.fromEntries(
    dataIn(html).fragments.map(({ name, outcome, cameIn }) => [
      name,
      cameIn === undefined ? outcome : `${outcome} in ${cameIn}`,
    ]),
  )
}

function factsOf(html: string, name: string) {
  const facts = dataIn(html).fragments.find((one) => one.name === name)
  if (facts === undefined) throw new Error(`there is no fragment ${name}`)
  return facts
}

const cases = engines.flatMap((engine) =>
  stores.map(([name, make]) => [engine, name, make] as const),
)

describe.each(cases)('the overlay of %s over %s', (engine, _name, makeCache) => {
  it('changes neither what is stored nor what others get', async () => {
    const plain = await start(engine, { overlay: 'none', cache: makeCache() })
    const expected = [await (await plain.get()).text(), await (await plain.get()).text()]

    const site = await start(engine, { cache: makeCache() })
    const drawn = [await (await site.get()).text(), await (await site.get()).text()]
    expect(drawn.map(undrawn)).toEqual(expected)
    expect(await (await site.get(PLAIN)).text()).toBe(expected[1])

    const marks = drawn.map((html) => dataIn(html).mark)
    let stored = 0
    for (const { alias, key } of drawn.flatMap((html) => dataIn(html).fragments) as unknown as {
      alias: string
      key: string
    }[]) {
      const entry = await site.caches.get(alias).describe(key)
      if (entry === undefined) continue
      stored++
      const text = JSON.stringify(entry.value)
      for (const mark of marks) expect(text).not.toContain(mark)
      expect(text).not.toContain('<!--')
    }
    expect(stored).toBeGreaterThan(10)
  })

  it('tells what became of each fragment, and of those inside of one that was found', async () => {
    const site = await start(engine, { cache: makeCache() })
    expect(outcomes(await (await site.get()).text())).toEqual({
      title: 'miss',
      theme: 'miss',
      menu: 'miss',
      links: 'miss',
      row: 'miss',
      people: 'miss',
      clock: 'bypass',
      news: 'miss',
      greeting: 'miss',
      nothing: 'miss',
      setting: 'miss',
    })
    const html = await (await site.get()).text()
    expect(outcomes(html)).toEqual({
      title: 'hit',
      theme: 'hit',
      menu: 'hit',
      links: 'hit in menu',
      row: 'hit',
      people: 'hit in row',
      clock: 'bypass',
      news: 'hit',
      greeting: 'hit',
      nothing: 'hit',
      setting: 'hit',
    })
    expect(dataIn(html).fragments.filter(({ name }) => name === 'row')).toHaveLength(2)
  })

  it('puts its marks around what each fragment has put out', async () => {
    const site = await start(engine, { cache: makeCache() })
    for (const visitor of ['Ann', 'Bob']) {
      const html = await (await site.get(DOCUMENT, `/?visitor=${visitor}`)).text()
      const inside = (name: string) => markedIn(html, factsOf(html, name).id)
      expect(inside('links')).toBe('<a href="/other">Other</a>')
      expect(inside('menu')).toBe(
        '<nav aria-label="Site"><p>Places</p><a href="/other">Other</a></nav>',
      )
      expect(inside('people')).toBe('700 people')
      expect(inside('clock')).toBe('9 o’clock')
      expect(inside('greeting')).toBe(`<p>Hello ${visitor}!</p>`)
      const unplaced = dataIn(html).fragments.filter((one) => 'unplaced' in one)
      expect(unplaced.map(({ name, unplaced }) => [name, unplaced]).toSorted()).toEqual([
        ['nothing', 'empty'],
        ['setting', 'closed'],
        ['theme', 'closed'],
        ['title', 'closed'],
      ])
    }
  })

  it('tells age, remaining time, body time and tags', async () => {
    const site = await start(engine, { cache: makeCache() })
    await site.get()
    const html = await (await site.get()).text()
    const menu = factsOf(html, 'menu')
    expect(menu).toMatchObject({ alias: 'default', isStored: true, tags: ['menu', hostile] })
    const { ageMs, remainingMs, bodyMs } = menu as unknown as Record<string, number>
    expect(ageMs! + remainingMs!).toBeGreaterThan(59_000)
    expect(ageMs! + remainingMs!).toBeLessThan(61_000)
    expect(bodyMs).toBeGreaterThan(0)
    expect(factsOf(html, 'clock')).toMatchObject({ isStored: false, tags: [] })
  })
})

describe.each(engines)('the overlay of %s', (engine) => {
  it('tells what is served past its time, and what was taken from another request', async () => {
    const site = await start(engine, { cache: new AsyncTestCache() })
    const twice = async (name: string) => {
      const answers = await Promise.all([site.get(), site.get()])
      const pages = await Promise.all(answers.map((answer) => answer.text()))
      return pages.map((html) => factsOf(html, name).outcome).toSorted()
    }
    // The first fragment of the page, at which both requests arrive together.
    expect(await twice('title')).toEqual(['joined', 'miss'])
    await vi.waitFor(async () => expect(await twice('news')).toEqual(['miss', 'stale']), {
      timeout: 5_000,
      interval: 100,
    })
  })

  it('finds again what came along in a page that is another for each visitor', async () => {
    const site = await start(engine, { pages: {}, fillsHoles: true })
    const outcomesOfPage: unknown[] = []
    for (const visitor of ['Ann', 'Ann', 'Bob']) {
      const html = await (await site.get({ ...DOCUMENT, 'X-Visitor': visitor })).text()
      outcomesOfPage.push(dataIn(html).page['outcome'], dataIn(html).page['reason'])
      expect(markedIn(html, factsOf(html, 'people').id)).toBe('700 people')
      expect(markedIn(html, factsOf(html, 'greeting').id)).toBe(`<p>Hello ${visitor}!</p>`)
    }
    expect(outcomesOfPage).toEqual(['miss', undefined, 'hit', undefined, 'hit', undefined])
  })

  it('names what threw', async () => {
    const site = await start(engine, { template: broken })
    const answer = await site.get()
    expect(answer.status).toBe(500)
    const { fragments, failed } = dataIn(await answer.text())
    const names = [...fragments.filter(({ outcome }) => outcome === 'error'), ...failed]
    expect(names.map(({ name }) => name)).toEqual(['broken'])
  })

  it('tells what came along in a page that was found, and stores the page without a mark', async () => {
    const site = await start(engine, { pages: {}, template: withoutHoles })
    const first = await site.get()
    const made = await first.text()
    expect(dataIn(made).page).toMatchObject({ outcome: 'miss' })
    const found = await (await site.get()).text()
    expect(dataIn(found).page).toMatchObject({ outcome: 'hit', alias: 'default' })
    expect(outcomes(found)).toMatchObject({ menu: 'hit in page', people: 'hit in page' })
    expect(markedIn(found, factsOf(found, 'people').id)).toBe('700 people')
    // Of another cache, that never saw the overlay.
    const plain = await start(engine, { overlay: 'none', pages: {}, template: withoutHoles })
    const expected = await plain.get(PLAIN)
    const text = await expected.text()
    expect([undrawn(made), undrawn(found)]).toEqual([text, text])
    const answer = await site.get(PLAIN)
    expect(await answer.text()).toBe(text)
    for (const name of ['etag', 'content-length', 'cache-control', 'content-type']) {
      expect(answer.headers.get(name), name).toBe(expected.headers.get(name))
    }
  })
})

describe('the overlay', () => {
  it('says why a page is in no cache', async () => {
    const view: SiteOptions['view'] = (_req, res) =>
      res.cookie('visit', '1').send('<!doctype html><p>a</p>')
    const site = await start('eta', { pages: {}, view })
    expect(dataIn(await (await site.get()).text()).page).toMatchObject({
      outcome: 'bypass',
      reason: 'set-cookie',
      sentence: expect.stringContaining('cookie') as unknown,
    })
  })

  it('sends what a browser must not keep, and takes what it would keep it by', async () => {
    const site = await start('nunjucks')
    const answer = await site.get()
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.has('etag')).toBe(false)
    const plain = await site.get(PLAIN)
    // `fetch` would ask for the whole.
    const asks = { 'If-None-Match': plain.headers.get('etag')!, 'Cache-Control': 'max-age=0' }
    expect((await site.get({ ...PLAIN, ...asks })).status).toBe(304)
    const whole = await site.get({ ...DOCUMENT, ...asks })
    expect(whole.status).toBe(200)
    dataIn(await whole.text())
  })

  it.each([
    ['another kind of answer', { 'Content-Type': 'application/json' }, '{"a":"<body>"}'],
    ['a file to be saved', { 'Content-Type': 'text/html', 'Content-Disposition': 'attachment' }],
    ['another charset', { 'Content-Type': 'text/html; charset=iso-8859-1' }],
    ['a page that ends inside of a script', { 'Content-Type': 'text/html' }, '<p>a</p><script>'],
  ])('leaves alone %s', async (_case, headers, body = '<p>a</p>') => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => void vi.restoreAllMocks())
    const site = await start('eta', {
      view: (_req, res) => {
        res.writeHead(200, headers as Record<string, string>)
        res.end(body)
      },
    })
    expect(await (await site.get()).text()).toBe(body)
  })

  it.each([
    ['a request of a script', { Accept: 'text/html', 'Sec-Fetch-Dest': 'empty' }],
    ['a request for anything', PLAIN],
    ['a request over a proxy', { ...DOCUMENT, 'X-Forwarded-For': '10.0.0.1' }],
    ['a request by another name', { ...DOCUMENT, 'X-Forwarded-Host': 'example.com' }],
  ])('does not draw for %s', async (_case, headers) => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => void vi.restoreAllMocks())
    const site = await start('eta')
    expect(await (await site.get(headers)).text()).not.toContain('data-fragcache-overlay')
  })

  it('does not draw on the inspector', async () => {
    const caches = createCaches({ default: new LocMemCache() })
    const site = await start('eta', { inside: [inspector(caches) as RequestHandler] })
    const answer = await site.get()
    expect(await answer.text()).toContain('Cache inspector')
    expect(await (await site.get()).text()).not.toContain('data-fragcache-overlay')
  })

  it('draws for whom authorize allows, and for nobody where it throws', async () => {
    const site = await start('eta', {
      overlay: {
        authorize: async (req) => {
          if (req.headers['x-user'] === undefined) throw new Error('nobody')
          return req.headers['x-user'] === 'ann'
        },
      },
    })
    const isDrawn = async (headers: Record<string, string>) =>
      (await (await site.get({ ...DOCUMENT, ...headers })).text()).includes(
        'data-fragcache-overlay',
      )
    expect(await isDrawn({ 'X-User': 'ann', 'X-Forwarded-For': '10.0.0.1' })).toBe(true)
    expect(await isDrawn({ 'X-User': 'bob' })).toBe(false)
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => warn.mockRestore())
    for (let i = 0; i < 2; i++) expect(await isDrawn({})).toBe(false)
    expect(warn.mock.calls.map(([message]) => message)).toEqual([
      expect.stringContaining('overlay: authorize threw Error: nobody, '),
    ])
  })

  it.each(['gzip', 'br', 'deflate'])('draws on pages that are sent in %s', async (coding) => {
    const site = await start('handlebars', { inside: [compression({ threshold: 0 })] })
    const answer = await site.get({ ...DOCUMENT, 'Accept-Encoding': coding })
    expect(answer.headers.get('content-encoding')).toBe(coding)
    expect(dataIn(await answer.text()).fragments.length).toBeGreaterThan(5)
  })

  it('draws on a page that is written piece by piece', async () => {
    const site = await start('eta', {
      view: async (_req, res) => {
        res.type('html').write('<!doctype html><p>caf')
        const rest = Buffer.from('é</p>')
        res.write(rest.subarray(0, 1))
        await new Promise((resolve) => setTimeout(resolve, 10))
        res.end(rest.subarray(1))
      },
    })
    const html = await (await site.get()).text()
    expect(undrawn(html)).toBe('<!doctype html><p>café</p>')
  })

  it('leaves a page that is too long as it is', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => void vi.restoreAllMocks())
    const long = 'a'.repeat(5 * 1024 * 1024)
    const site = await start('eta', {
      view: (_req, res) => {
        res.type('html').write(long)
        res.write(long)
        res.end('<p>end</p>')
      },
    })
    expect(await (await site.get()).text()).toBe(`${long}${long}<p>end</p>`)
  })

  it('leaves a page that names no charset and is in another as it is', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => void vi.restoreAllMocks())
    const latin = Buffer.from('<p>caf\xe9</p>', 'latin1')
    const site = await start('eta', {
      view: (_req, res) => {
        res.setHeader('Content-Type', 'text/html')
        res.end(latin)
      },
    })
    expect(Buffer.from(await (await site.get()).arrayBuffer())).toEqual(latin)
  })

  it.each([
    ["script-src 'nonce-abc'", /<script nonce="abc">/, "script-src 'nonce-abc'"],
    [
      "default-src 'self'",
      /<script>/,
      /^default-src 'self'; script-src 'self' 'sha256-[\w+/]+=*'$/,
    ],
  ])('runs under the policy %s', async (policy, script, expected) => {
    const site = await start('eta', {
      view: (_req, res) =>
        res.set('Content-Security-Policy', policy).send('<!doctype html><p>a</p>'),
    })
    const answer = await site.get()
    expect(await answer.text()).toMatch(script)
    expect(answer.headers.get('content-security-policy')).toMatch(expected)
  })

  it('is told where it stands, also in pages of a router further in', async () => {
    const site = await start('eta', {
      view: (req, res) => {
        req.baseUrl = '/shop'
        res.send('<!doctype html><p>a</p>')
      },
    })
    expect(await (await site.get()).text()).toContain('"action":"/__fragcache/overlay"')
  })

  it('lets nothing of a name, a key or a tag out of its data', async () => {
    const site = await start('nunjucks')
    const html = await (await site.get()).text()
    expect(html).not.toContain('<img')
    expect(factsOf(html, 'menu')['tags']).toContain(hostile)
  })

  it('draws nothing where a cache of responses comes first, and so nothing drawn is stored', async () => {
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => void vi.restoreAllMocks())
    const site = await start('eta', { pages: {}, overlay: 'none', inside: [] })
    expect(await (await site.get()).text()).not.toContain('data-fragcache-overlay')
    const { responseCache } = await import('fragcache/express')
    const late = await start('eta', {
      before: [responseCache(site.caches).cacheSite()],
      template: withoutHoles,
    })
    for (let i = 0; i < 2; i++) {
      expect(await (await late.get()).text()).not.toContain('data-fragcache-overlay')
    }
    expect(warnings.mock.calls.map(([message]) => String(message)).join()).toContain(
      'before everything else',
    )
  })

  it.each([
    [{ positon: 'top-left' }, /unknown option "positon"/],
    [{ position: 'middle' }, /position: "middle" is unknown/],
    [{ authorize: true }, /authorize: true is not a function/],
    [{ path: 'overlay' }, /path: "overlay" is not a path/],
    [{ editor: 'vscode://file/' }, /editor: "vscode:\/\/file\/" is not an address with \{path\}/],
    [{ editor: 'javascript:open("{path}")' }, /editor: .* has a scheme that browsers handle/],
    [{ editor: 'Blob:{path}' }, /editor: .* has a scheme that browsers handle themselves/],
    [{ editor: 'view-source:{path}' }, /editor: .* has a scheme that browsers handle themselves/],
    [{ views: [1] }, /views: .* is not a folder/],
    [{ views: '/not/there' }, /views: "\/not\/there" is not a folder that exists/],
    [{ views: '.', editor: false }, /views: "." is of no use without editor/],
    [{ inspector: 'https://elsewhere.example' }, /inspector: .* is not a path/],
    [{ inspector: '//elsewhere.example' }, /inspector: .* is not a path/],
    ['top-left', /are not options/],
    [
      new IncomingMessage(new Socket()),
      /^overlay: it makes a middleware; call it: app\.use\(overlay/,
    ],
    [createCaches({ default: new LocMemCache() }), /^overlay: it takes no caches, /],
  ])('refuses the options %j', (options, message) => {
    expect(() => overlay(options as never)).toThrow(message)
  })
})

describe('the overlay in production', () => {
  beforeEach(() => {
    vi.stubEnv('NODE_ENV', 'production')
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  })

  afterEach(() => {
    vi.unstubAllEnvs()
    vi.restoreAllMocks()
  })

  it('does nothing, and says so once', async () => {
    const site = await start('eta')
    expect(await (await site.get()).text()).not.toContain('data-fragcache-overlay')
    expect((await fetch(`${site.origin}/__fragcache/overlay`, { method: 'POST' })).status).toBe(404)
    overlay()
    const told = vi.mocked(process.emitWarning).mock.calls.map(([message]) => String(message))
    expect(told.filter((message) => message.includes('NODE_ENV is production'))).toHaveLength(1)
  })
})

describe('the buttons of the overlay', () => {
  async function post(
    site: DrawnSite,
    html: string,
    body: object,
    headers: Readonly<Record<string, string>> = {},
  ) {
    const answer = await fetch(`${site.origin}/__fragcache/overlay`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'Sec-Fetch-Site': 'same-origin',
        'X-Fragcache-Token': dataIn(html).token,
        ...headers,
      },
      body: JSON.stringify(body),
    })
    return { status: answer.status, ...((await answer.json()) as object) }
  }

  const menu = { caches: 0, fragment: 'menu', using: 'default' }

  it.each(engines)('invalidate a fragment and a tag in %s', async (engine) => {
    const site = await start(engine)
    const audits: AuditMessage[] = []
    const listen = (message: unknown) => void audits.push(message as AuditMessage)
    subscribe('fragcache:audit', listen)
    onTestFinished(() => void unsubscribe('fragcache:audit', listen))
    await site.get()
    const html = await (await site.get()).text()
    expect(outcomes(html)).toMatchObject({ menu: 'hit', row: 'hit' })
    const { caches } = factsOf(html, 'menu')
    expect(await post(site, html, { ...menu, caches })).toMatchObject({ status: 200, ok: true })
    expect(outcomes(await (await site.get()).text())).toMatchObject({ menu: 'miss', row: 'hit' })
    expect(await post(site, html, { caches, tag: hostile })).toMatchObject({ status: 200 })
    expect(outcomes(await (await site.get()).text())).toMatchObject({ menu: 'miss', row: 'hit' })
    expect(audits).toMatchObject([
      { action: 'invalidate', alias: 'default', target: 'fragment menu', ok: true },
      { action: 'invalidate', target: `tag ${hostile}`, ok: true },
    ])
  })

  it('invalidate the URL of a page, which need not have a fragment', async () => {
    const view: SiteOptions['view'] = (_req, res) => res.send('<!doctype html><p>a</p>')
    const site = await start('eta', { pages: {}, view })
    await site.get()
    const html = await (await site.get()).text()
    const { outcome, url } = dataIn(html).page as { outcome: string; url: string }
    expect([outcome, url]).toEqual(['hit', `${site.origin}/`])
    const foretold = await post(site, html, { url, dryRun: true })
    expect(foretold).toMatchObject({
      status: 200,
      message: expect.stringContaining('1 page of GET /') as string,
    })
    expect(dataIn(await (await site.get()).text()).page['outcome']).toBe('hit')
    expect(await post(site, html, { url })).toMatchObject({ status: 200, ok: true })
    expect(dataIn(await (await site.get()).text()).page['outcome']).toBe('miss')
  })

  it('invalidate no URL without the option pages', async () => {
    const site = await start('eta', { pages: {}, overlay: { pages: undefined } })
    const html = await (await site.get()).text()
    expect(dataIn(html).page).not.toHaveProperty('url')
    expect(await post(site, html, { url: `${site.origin}/` })).toMatchObject({ status: 400 })
    expect(() => overlay({ pages: {} as never })).toThrow(/overlay: pages: .* cannot invalidate/)
  })

  it.each([
    ['another site', { 'Sec-Fetch-Site': 'cross-site' }, menu, 403],
    ['nobody who has seen the page', { 'X-Fragcache-Token': 'guessed' }, menu, 403],
    ['a form', { 'Content-Type': 'text/plain' }, menu, 415],
    ['caches that are not there', {}, { ...menu, caches: 7 }, 409],
    ['something else', {}, { caches: 0, clear: true }, 400],
  ])('do nothing for %s', async (_case, headers, body, status) => {
    const site = await start('eta')
    await site.get()
    const html = await (await site.get()).text()
    expect(await post(site, html, body, headers)).toMatchObject({ status, ok: false })
    expect(outcomes(await (await site.get()).text())).toMatchObject({ menu: 'hit' })
  })

  it('are not there for others', async () => {
    const site = await start('eta', { overlay: { authorize: () => false } })
    const answer = await fetch(`${site.origin}/__fragcache/overlay`, { method: 'POST' })
    expect(answer.status).toBe(404)
  })
})
