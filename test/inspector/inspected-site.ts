import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { createCaches, FragmentCache, LocMemCache, type Caches } from 'fragcache'
import { responseCache } from 'fragcache/express'
import { inspector } from 'fragcache/inspector'
import { MemcachedCache } from 'fragcache/memcached'
import { RedisCache } from 'fragcache/redis'
import { freePort, sharedServer } from '../support/servers.js'

/** A name that would run as a script, were it taken for HTML. */
export const hostile = `<img src=x onerror="window.isHacked = true">`

/** A name that has no place to wrap at, and is wider than any column. */
export const long = 'x'.repeat(150)

/** How often something was made. */
export type Made = Readonly<Record<string, number>>

/**
 * A site with pages and fragments over several caches, and the inspector at `/__cache`.
 *
 * `default` and `pages` are in memory, `shared` is in Redis where there is one, `unused` is what it
 * says, and `far`, if it is wanted, is on a Memcached that does not answer.
 */
export class InspectedSite {
  readonly #made = new Map<string, number>()
  /** Set by a test, to see what a visitor sees who may not. */
  isRefused = false

  private constructor(
    readonly caches: Caches,
    readonly fragments: FragmentCache,
    private readonly server: http.Server,
    private readonly inspected: ReturnType<typeof inspector>,
    /** Whether it tells other processes its figures. */
    readonly hasProcesses: boolean,
  ) {}

  static async start({ hasOutage = false } = {}): Promise<InspectedSite> {
    const redis = await sharedServer('redis')
    const port = await freePort()
    const memory = { options: { maxEntries: 20_000 } }
    const caches = createCaches({
      default: new LocMemCache(memory),
      pages: new LocMemCache(memory),
      shared: redis
        ? new RedisCache({
            location: redis.url,
            keyPrefix: `inspector-${process.pid}-${port}`,
            // A busy machine answers late, which is no outage.
            options: { timeLimitMs: 10_000 },
          })
        : new LocMemCache({ location: 'shared' }),
      unused: new LocMemCache({ location: 'unused' }),
      ...(hasOutage && { far: new MemcachedCache({ location: `127.0.0.1:${port}` }) }),
    })
    const fragments = new FragmentCache(caches)
    const pages = responseCache(caches, { alias: 'pages', seconds: 600 })
    const app = express()
    const server = http.createServer(app)
    const inspected = inspector(caches, {
      authorize: () => !site.isRefused,
      pages,
      editor: 'vscode://file/{path}:{line}',
      ...(redis && { processes: 'shared' }),
    })
    const site = new InspectedSite(caches, fragments, server, inspected, redis !== undefined)

    app.use('/__cache', inspected)
    app.use(pages.cacheSite())
    app.get('/countries/:code', async (req, res) => {
      const { code } = req.params
      site.#note(`country ${code}`)
      const facts = await site.fragment('facts', code)
      res.send(`<h1>${code}</h1>${facts}`)
    })
    app.get('/about', (_req, res) => {
      site.#note('about')
      res.send('<h1>About</h1>')
    })
    app.get(`/about/${long}`, (_req, res) => {
      res.send('<h1>Long</h1>')
    })
    app.get('/basket', (_req, res) => {
      res.cookie('basket', '7').send('<h1>Basket</h1>')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return site
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** Where the inspector is. */
  get inspector(): string {
    return `${this.origin}/__cache/`
  }

  /** How often each page and each fragment was made. */
  get made(): Made {
    return Object.fromEntries(this.#made)
  }

  fragment(name: string, ...varyOn: string[]): Promise<string> {
    return this.fragments.render({ name, timeout: 600, varyOn, tags: [`tag-of-${name}`] }, () => {
      this.#note(name)
      return `<p>${varyOn.join(' ')}</p>`
    })
  }

  /** A fragment that has another one in it. */
  around(name: string, inner: string, ...varyOn: string[]): Promise<string> {
    return this.fragments.render({ name, timeout: 600 }, () => this.fragment(inner, ...varyOn))
  }

  async visit(path: string): Promise<string> {
    const answer = await fetch(this.origin + path)
    return answer.text()
  }

  /** Something of everything that the inspector shows. */
  async use(): Promise<void> {
    const { caches } = this
    for (const code of ['FRA', 'PRT', 'FRA']) await this.visit(`/countries/${code}`)
    await this.visit('/about')
    await this.visit('/basket')
    await this.visit(`/basket?q=${encodeURIComponent(hostile)}`)
    for (const name of ['menu', 'menu', 'menu', 'news', hostile, long]) await this.fragment(name)
    await this.visit(`/about/${long}`)
    const shared = caches.get('shared')
    await shared.set('greeting', 'Good morning', { timeout: 600 })
    for (let i = 0; i < 20; i++) await shared.get(i % 4 === 0 ? 'absent' : 'greeting')
    if (!caches.aliases.includes('far')) return
    await caches
      .get('far')
      .get('x')
      .catch(() => undefined)
  }

  async close(): Promise<void> {
    this.inspected.close()
    this.server.closeAllConnections()
    this.server.close()
    await once(this.server, 'close')
    await this.caches.get('shared').clear()
    await this.caches.close()
  }

  #note(name: string): void {
    this.#made.set(name, (this.#made.get(name) ?? 0) + 1)
  }
}
