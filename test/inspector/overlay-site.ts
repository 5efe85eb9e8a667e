import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, dirname, extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Eta } from 'eta'
import express, { type Request, type Response } from 'express'
import { createCaches, LocMemCache, type Cache, type Caches } from 'fragcache'
import { cachePlugin } from 'fragcache/eta'
import { responseCache, type ResponseCacheOptions } from 'fragcache/express'
import { registerCache as registerHandlebars } from 'fragcache/handlebars'
import { overlay, type OverlayOptions } from 'fragcache/inspector'
import { registerCache as registerNunjucks } from 'fragcache/nunjucks'
import Handlebars from 'handlebars'
import nunjucks from 'nunjucks'
import { expect } from 'vitest'
import type { HoleEngine } from '../../src/fragment/holes.js'

export const engines = ['nunjucks', 'handlebars', 'eta'] as const

export type Engine = (typeof engines)[number]

type Data = Readonly<Record<string, unknown>>

/** Writes the tags of one engine. */
interface Syntax {
  /** A fragment; what it varies on and its keywords are names of data. */
  readonly cache: (
    name: string,
    body: string,
    options?: {
      readonly on?: string
      readonly keywords?: Readonly<Record<string, string>>
      readonly timeout?: number
    },
  ) => string
  readonly value: (name: string) => string
  readonly each: (list: string, item: string, body: string) => string
  readonly hole: (body: string) => string
  /** A value of the data, also where the template's own variables are gone. */
  readonly datum: (name: string) => string
}

const keywordsOf = (keywords: Readonly<Record<string, string>>, prefix = ''): string =>
  Object.entries(keywords)
    .map(([name, value]) => ` ${name}=${/^\d/.test(value) ? value : prefix + value}`)
    .join('')

const syntaxes: Readonly<Record<Engine, Syntax>> = {
  nunjucks: {
    cache: (name, body, { on = '', keywords = {}, timeout = 60 } = {}) =>
      `{% cache ${timeout} "${name}" ${on}${keywordsOf(keywords)} %}${body}{% endcache %}`,
    value: (name) => `{{ ${name} }}`,
    each: (list, item, body) => `{% for ${item} in ${list} %}${body}{% endfor %}`,
    hole: (body) => `{% nocache %}${body}{% endnocache %}`,
    datum: (name) => `{{ ${name} }}`,
  },
  handlebars: {
    cache: (name, body, { on = '', keywords = {}, timeout = 60 } = {}) =>
      `{{#cache ${timeout} "${name}" ${on}${keywordsOf(keywords)}}}${body}{{/cache}}`,
    value: (name) => `{{${name}}}`,
    each: (list, item, body) => `{{#each ${list} as |${item}|}}${body}{{/each}}`,
    hole: (body) => `{{#nocache}}${body}{{/nocache}}`,
    datum: (name) => `{{@root.${name}}}`,
  },
  eta: {
    cache: (name, body, { on = '', keywords = {}, timeout = 60 } = {}) =>
      `<% cache ${timeout} ${name} ${on}${keywordsOf(keywords)} %>${body}<% endcache %>`,
    value: (name) => `<%= ${name} %>`,
    each: (list, item, body) => `<% for (const ${item} of ${list}) { %>${body}<% } %>`,
    hole: (body) => `<% nocache %>${body}<% endnocache %>`,
    datum: (name) => `<%= it.${name} %>`,
  },
}

/** What would run if it were put into a page as it is. */
export const hostile = `</script><img src=x onerror="window.isHacked=1">--><!-- "'`

/** A page without anything that is rendered for each visitor. */
export const withoutHoles = (engine: Engine): string => atlas(engine, false)

/** A page with a fragment whose body throws. */
export function broken(engine: Engine): string {
  const body = { nunjucks: '{{ fail() }}', handlebars: '{{fail}}', eta: '<% it.fail() %>' }
  return `<!doctype html><p>${syntaxes[engine].cache('broken', body[engine])}</p>`
}

/** A page with fragments of all kinds in all kinds of places. */
export function atlas(engine: Engine, hasHoles = true): string {
  const { cache, value, each, hole, datum } = syntaxes[engine]
  const row = cache(
    'row',
    `<tr><th scope="row">${value('place')}</th><td>${cache('people', `${datum('population')} people`, { on: 'place' })}</td></tr>`,
    { on: 'place' },
  )
  return [
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${cache('title', 'Atlas')}</title>`,
    '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
    '<style>body{font:16px/1.5 system-ui;margin:0 auto;padding:16px;max-width:720px}table{border-collapse:collapse}td,th{padding:4px 12px}body{background:#fff;color:#111}a{color:#0645ad}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}a{color:#9cf}}</style></head>',
    `<body class="${cache('theme', 'plain')}"><header>`,
    cache(
      'menu',
      `<nav aria-label="Site"><p>Places</p>${cache('links', '<a href="/other">Other</a>')}</nav>`,
      {
        keywords: { tags: 'menuTags' },
      },
    ),
    `</header><main><h1>Atlas</h1>`,
    `<table>${each('places', 'place', row)}</table>`,
    `<p>It is ${cache('clock', `${value('time')} o’clock`, { keywords: { if: 'isCached' } })}.</p>`,
    cache('news', `<section aria-label="News"><p>News of ${value('time')}</p></section>`, {
      timeout: 1,
      keywords: { staleWhileRevalidate: '600' },
    }),
    cache('greeting', `<p>Hello ${hasHoles ? hole(datum('visitor')) : 'you'}!</p>`),
    cache('nothing', ''),
    `<script>window.fromScript = "${cache('setting', 'on')}"</script>`,
    '</main></body></html>',
  ].join('\n')
}

export interface SiteOptions {
  readonly overlay?: OverlayOptions | 'none'
  readonly cache?: Cache
  /** Caches whole pages too. */
  readonly pages?: ResponseCacheOptions<'default'>
  /** Whether the holes of pages are filled for each visitor. */
  readonly fillsHoles?: boolean
  readonly template?: (engine: Engine) => string
  /** The template's name. */
  readonly file?: string
  /** Before the overlay. */
  readonly before?: readonly express.RequestHandler[]
  /** After it. */
  readonly inside?: readonly express.RequestHandler[]
  readonly data?: (req: Request) => Data
  readonly view?: (req: Request, res: Response) => unknown
}

/** A site of one page in one engine, on a port of its own. */
export class DrawnSite {
  private constructor(
    readonly server: http.Server,
    readonly caches: Caches,
    readonly cache: Cache,
    readonly time: { now: number },
  ) {}

  static async start(engine: Engine, options: SiteOptions = {}): Promise<DrawnSite> {
    const { cache = new LocMemCache(), template = (name: Engine) => atlas(name) } = options
    const caches = createCaches({ default: cache })
    const time = { now: 9 }
    const app = express()
    const { render, handle } = rendererOf(engine, caches, template(engine), options.file)
    const context = (req: Request) => dataAt(time.now, req)
    const holes = options.fillsHoles === true ? { engines: [handle], context } : undefined
    const pages = options.pages && responseCache(caches, { ...options.pages, holes })
    for (const layer of options.before ?? []) app.use(layer)
    if (options.overlay !== 'none') app.use(overlay({ pages, ...options.overlay }))
    for (const layer of options.inside ?? []) app.use(layer)
    if (pages !== undefined) app.use(pages.cacheSite())
    // Express wants a file for each view: it is given this one, and the template in its place.
    const own = fileURLToPath(import.meta.url)
    app.set('views', dirname(own))
    app.engine(extname(own), (_file, data, done) => {
      render(data as Data).then((html) => done(null, html), done)
    })
    app.get('/', async (req, res) => {
      if (options.view !== undefined) return void (await options.view(req, res))
      res.render(basename(own), { ...dataAt(time.now, req), ...options.data?.(req) })
    })
    app.get('/favicon.ico', (_req, res) => void res.status(204).end())
    app.get(
      '/other',
      (_req, res) => void res.send('<!doctype html><title>Other</title><p>Other</p>'),
    )
    const server = http.createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new DrawnSite(server, caches, cache, time)
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** What a browser gets that asks for a document, unless told otherwise. */
  async get(
    headers: Readonly<Record<string, string>> = DOCUMENT,
    path = '/',
  ): Promise<globalThis.Response> {
    return fetch(`${this.origin}${path}`, { headers })
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    this.server.close()
    await this.caches.close()
  }
}

export const DOCUMENT = { Accept: 'text/html', 'Sec-Fetch-Dest': 'document' } as const
export const PLAIN = { Accept: '*/*' } as const

function dataAt(time: number, req: Request): Data {
  const visitor = req.query['visitor'] ?? req.get('X-Visitor')
  return {
    time,
    isCached: false,
    menuTags: ['menu', hostile],
    visitor: typeof visitor === 'string' ? visitor : 'Ann',
    places: ['Oslo', 'Rome'],
    population: 700,
    fail: () => {
      throw new Error('the body fails')
    },
  }
}

interface Renderer {
  readonly render: (data: Data) => Promise<string>
  /** Renders the holes of pages. */
  readonly handle: HoleEngine
}

function rendererOf(
  engine: Engine,
  caches: Caches,
  template: string,
  file = 'atlas.njk',
): Renderer {
  switch (engine) {
    case 'nunjucks': {
      const loader = { getSource: () => ({ src: template, path: file, noCache: false }) }
      const env = new nunjucks.Environment([loader], { autoescape: true })
      const handle = registerNunjucks(env, caches)
      return { handle, render: (data) => handle.renderAsync(file, data) }
    }
    case 'handlebars': {
      const handlebars = Handlebars.create()
      const handle = registerHandlebars(handlebars, caches)
      handlebars.registerPartial('atlas', template)
      const compiled = handlebars.compile(template)
      return { handle, render: (data) => handle.renderAsync(compiled, data) }
    }
    case 'eta': {
      const handle = cachePlugin(caches)
      const eta = new Eta({ plugins: [handle] })
      const names = 'time, isCached, menuTags, visitor, places, population'
      eta.loadTemplate('@page', `<% const { ${names} } = it %>${template}`, { async: true })
      return { handle, render: (data) => eta.renderAsync('@page', data) }
    }
  }
}

/** What the page's script is given. */
interface DrawnData {
  readonly mark: string
  readonly token: string
  readonly page: Readonly<Record<string, unknown>>
  readonly fragments: readonly (Readonly<Record<string, unknown>> & {
    readonly id: number
    readonly name: string
    readonly outcome: string
    readonly cameIn?: string
  })[]
  readonly failed: readonly { readonly name: string }[]
}

export function dataIn(html: string): DrawnData {
  const json = /<script type="application\/json" data-fragcache-overlay>(.*?)<\/script>/s.exec(
    html,
  )?.[1]
  expect(json, 'the page is drawn on').toBeDefined()
  return JSON.parse(json as string) as DrawnData
}

/** The drawn page without all that was drawn. */
export function undrawn(html: string): string {
  const { mark } = dataIn(html)
  return html
    .replaceAll(new RegExp(`<!--/?${mark} \\d+-->`, 'g'), '')
    .replace(
      /<script type="application\/json" data-fragcache-overlay>.*?<\/script><script[^>]*>.*?<\/script>/s,
      '',
    )
}

/** What stands between the marks of a fragment. */
export function markedIn(html: string, id: number): string | undefined {
  const { mark } = dataIn(html)
  const inside = new RegExp(`<!--${mark} ${id}-->(.*?)<!--/${mark} ${id}-->`, 's').exec(html)?.[1]
  return inside?.replaceAll(new RegExp(`<!--/?${mark} \\d+-->`, 'g'), '')
}
