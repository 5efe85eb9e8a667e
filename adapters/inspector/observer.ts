import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { coreOf } from '../../src/backend/core.js'
import type { Cache } from '../../src/cache.js'
import { eachOf, visitStatsOf, type Caches } from '../../src/caches.js'
import type { OutageMessage } from '../../src/observe/channels.js'
import { listen, neverThrowing, Watched, type ResponseTold } from '../../src/observe/watch.js'
import { isOneOfMany } from '../../src/several-processes.js'
import type {
  AliasRow,
  CachesStats,
  CacheStats,
  FragmentStats,
  Overview,
  ProcessList,
  ResponseRow,
  Risk,
  RouteStats,
  ServerStats,
} from './api.js'
import { AUDIT_CHANNEL, type AuditMessage } from './audit.js'
import { Contents, type Contained } from './contents.js'
import type { Happening } from './events.js'
import { Feed } from './feed.js'
import { FollowedSubjects } from './followed.js'
import { FragmentRoutes } from './fragment-routes.js'
import { History, INTERVAL_MS } from './history.js'
import { Inventory } from './inventory.js'
import { Outages } from './outages.js'
import { statusOf, statusOfAll } from './status.js'
import { Processes } from './processes.js'
import { RequestRate } from './request-rate.js'
import { Answering, FollowedRequests } from './requests.js'
import { Responses } from './responses.js'
import { findRisks, fragmentRisks, routeRisks } from './risks.js'
import { firstAliasOf, totalsOf } from './totals.js'
import type { TraceTaker } from './traces.js'
import { Tracing } from './tracing.js'
import { onFragcacheWarning, type Warned } from './warnings.js'

/** So long after the last request the inspector goes on to listen. */
const IDLE_MS = 15 * 60_000
/** The stores are not asked more often. */
const SERVER_STATS_MS = 5000
/** More different warnings are not remembered. */
const MAX_WARNINGS = 100
/** More places that one inspector is mounted at are not told apart. */
const MAX_PLACES = 16

const WHO = 'inspector'
const guarded = neverThrowing(WHO)

/** Watches the caches for the inspector: all the time what is rare, the rest while somebody looks. */
export class Observer {
  readonly feed: Feed
  readonly inventory: Inventory
  readonly #watched: Watched
  readonly #contents: Contents
  readonly #followed = new FollowedSubjects()
  readonly #fragmentRoutes = new FragmentRoutes()
  readonly #history = new History()
  readonly #outages: Outages
  readonly #requests = new FollowedRequests(WHO)
  readonly #requestRate = new RequestRate()
  readonly #responses = new Responses()
  readonly #warnings = new Map<string, Warned>()
  /** Paths that the inspector is mounted at: its own requests are no subject of it. */
  readonly #places = new Set<string>()
  readonly #processes: Processes | undefined
  readonly #ends: (() => void)[]
  #endLooking: (() => void) | undefined
  /** While the live feed is read. */
  #live: { readonly tell: (happening: Happening) => void; readonly tracing: Tracing } | undefined
  #lastUseMs = 0
  #serverStats:
    { readonly atMs: number; readonly asked: ReturnType<Caches['serverStats']> } | undefined

  constructor(
    private readonly caches: Caches,
    maxFeeds: number,
    processes: string | undefined,
  ) {
    this.#watched = new Watched(WHO, caches)
    this.#contents = new Contents(caches, this.#watched)
    const { fragments, routes } = this.#watched.tallies
    fragments.countsCauses = true
    routes.countsCauses = true
    this.#outages = new Outages(this.#watched.backends.keys())
    for (const outage of this.#watched.outages) this.#outage(outage)
    this.inventory = new Inventory(caches, this.#watched, this.#followed, this.#fragmentRoutes)
    this.feed = new Feed(maxFeeds, (tell, traces) => this.#tellAll(tell, traces))
    this.#processes =
      processes === undefined ? undefined : new Processes(coreOf(caches.get(processes)), caches)
    this.#ends = [
      listen(WHO, {
        outage: (message) => this.#outage(message),
      }),
      onFragcacheWarning(guarded((warned: Warned) => this.#remember(warned))),
    ]
  }

  #outage(message: OutageMessage): void {
    // What the servers told before says nothing of now.
    this.#serverStats = undefined
    for (const { alias, backendName } of this.#watched.affectedBy(message)) {
      const isOwn = alias === message.alias && backendName === message.backend
      this.#outages.add({ ...message, alias }, !isOwn)
    }
  }

  /** Notes that somebody looks, at a place. */
  use(place: string): void {
    if (place !== '' && this.#places.size < MAX_PLACES) this.#places.add(place)
    this.#lastUseMs = Date.now()
    this.#endLooking ??= this.#look()
  }

  close(): void {
    this.feed.close()
    this.#processes?.close()
    this.#endLooking?.()
    this.#endLooking = undefined
    for (const end of this.#ends) end()
  }

  /** Begins all figures again. */
  reset(): void {
    this.caches.resetStats()
    this.#fragmentRoutes.clear()
    this.#responses.clear()
  }

  /** Visits what was counted of each fragment. */
  eachFragment(visit: (row: FragmentStats) => void): void {
    visitStatsOf(this.caches, { fragment: visit })
  }

  /** As {@link eachFragment}. */
  eachRoute(visit: (row: RouteStats) => void): void {
    visitStatsOf(this.caches, { route: this.#withoutOwn(visit) })
  }

  #withoutOwn(visit: (row: RouteStats) => void): (row: RouteStats) => void {
    return (row) => {
      if (!this.#isOwnPath(pathOf(row.route))) visit(row)
    }
  }

  /** Of all processes that tell; none where that was not asked for. */
  async processes(): Promise<ProcessList> {
    return (await this.#processes?.list()) ?? { rows: [] }
  }

  responses(): readonly ResponseRow[] {
    return this.#responses.rows()
  }

  async overview(facts: Pick<Overview, 'version' | 'canInvalidateUrls'>): Promise<Overview> {
    const servers = await this.#askServers()
    let fragmentCount = 0
    let routeCount = 0
    const found: Risk[] = []
    const summary = visitStatsOf(this.caches, {
      fragment: (row) => {
        fragmentCount++
        found.push(...fragmentRisks(row))
      },
      route: this.#withoutOwn((row) => {
        routeCount++
        found.push(...routeRisks(row))
      }),
    })
    const aliases = Object.values(summary.aliases).map((row) => this.#aliasRow(row, servers))
    return {
      ...facts,
      nowMs: Date.now(),
      sinceMs: summary.sinceMs,
      pid: process.pid,
      node: process.version,
      aliases,
      status: statusOfAll(aliases),
      requestsPerSecond: this.#requestRate.perSecond,
      fragmentCount,
      routeCount,
      eventsPerSecond: this.#history.eventsPerSecond,
      totals: this.#totals(summary, servers),
      risks: findRisks({
        aliases,
        found,
        warnings: [...this.#warnings.values()],
        isOneOfMany: isOneOfMany(),
      }),
    }
  }

  #totals(
    summary: Pick<CachesStats, 'aliases'>,
    servers: Readonly<Record<string, ServerStats>>,
  ): Overview['totals'] {
    const { hits, misses, timeSavedMs } = totalsOf([[this.caches, summary]])
    const memory = { bytes: 0, maxBytes: 0 }
    for (const cache of eachOf(this.caches)) {
      const { bytes, maxBytes = 0 } = servers[firstAliasOf(this.caches, cache)] ?? {}
      if (bytes === undefined || maxBytes === 0) continue
      memory.bytes += bytes
      memory.maxBytes += maxBytes
    }
    return { hits, misses, timeSavedMs, ...(memory.maxBytes > 0 && { memory }) }
  }

  #aliasRow(row: CacheStats, servers: Readonly<Record<string, ServerStats>>): AliasRow {
    const { alias } = row
    const cache = this.caches.get(alias)
    // Of a cache with two aliases, messages carry the first.
    const told = cache.alias
    const lasting = this.#outages.lasting(told)
    const server = servers[alias]
    return {
      ...row,
      isShared: isShared(cache, server),
      ...(server !== undefined && { server }),
      status: statusOf(lasting, server),
      ...(lasting !== undefined && {
        outage: { sinceMs: lasting.sinceMs, error: lasting.error },
      }),
      outages: this.#outages.of(told),
      history: this.#history.of(alias),
    }
  }

  /** Several pages that look at once ask once. */
  #askServers(): ReturnType<Caches['serverStats']> {
    const nowMs = Date.now()
    if (this.#serverStats === undefined || nowMs - this.#serverStats.atMs >= SERVER_STATS_MS) {
      this.#serverStats = { atMs: nowMs, asked: this.caches.serverStats() }
    }
    return this.#serverStats.asked
  }

  #remember(warned: Warned): void {
    const { code, message } = warned
    const id = `${code}\n${message}`
    if (this.#warnings.size < MAX_WARNINGS || this.#warnings.has(id)) this.#warnings.set(id, warned)
  }

  /** What is listened to, and counted, while somebody looks now and then. */
  #look(): () => void {
    this.#history.pause()
    this.#sample()
    const onTime = guarded(() => {
      const isIdle = Date.now() - this.#lastUseMs > IDLE_MS && !this.feed.hasClients
      if (isIdle) this.#stopLooking()
      else this.#sample()
    })
    const timer = setInterval(onTime, INTERVAL_MS).unref()
    const end = listen(WHO, {
      response: (message) => {
        if (!this.#isShown(message)) return
        this.#responses.add(message, Date.now())
        const around = this.#requests.current
        if (around !== undefined) this.#addRoutes(around, this.#contents.ofPage(message))
        this.#live?.tell({ kind: 'response', message })
      },
      fragment: (message) => {
        const { alias, name } = message
        if (!this.#watched.aliases.has(alias)) return
        const around = this.#requests.current
        if (around !== undefined) {
          this.#fragmentRoutes.add(around, alias, name)
          this.#addRoutes(around, this.#contents.ofFragment(message))
        }
        this.#live?.tell({ kind: 'fragment', message })
      },
    })
    const endRequests = this.#requests.follow((started) => {
      const { request } = started
      const path = pathOf(request.url ?? '')
      if (this.#isOwnPath(path)) return undefined
      this.#requestRate.add()
      const answering = new Answering(request, path)
      this.#live?.tracing.begin(answering, started)
      return answering
    })
    return () => {
      clearInterval(timer)
      endRequests()
      this.#fragmentRoutes.clear()
      end()
    }
  }

  #addRoutes(around: Answering, inside: Iterable<Contained>): void {
    for (const { alias, name, route } of inside) {
      this.#fragmentRoutes.add(around, alias, name, route)
    }
  }

  #stopLooking(): void {
    this.#endLooking?.()
    this.#endLooking = undefined
    this.#followed.clear()
  }

  #sample(): void {
    this.#history.sample(
      this.caches.aliases.map((alias) => [alias, coreOf(this.caches.get(alias)).counts] as const),
      Date.now(),
    )
    this.#followed.sample(Date.now())
    this.#requestRate.sample(Date.now())
  }

  /** What only the live feed shows. */
  #tellAll(tellAlone: (happening: Happening) => void, traces: TraceTaker): () => void {
    const watched = this.#watched
    const tracing = new Tracing(traces)
    const tell = (happening: Happening) => {
      const answering = this.#requests.current
      if (answering !== undefined) tracing.add(answering, happening)
      tellAlone(happening)
    }
    this.#live = { tell, tracing }
    const end = listen(WHO, {
      operation: (message) => {
        if (watched.owns(message.alias, message.backend)) tell({ kind: 'operation', message })
      },
      outage: (message) => {
        if (watched.affectedBy(message).length > 0) tell({ kind: 'outage', message })
      },
      refresh: (message) => {
        if (watched.owns(message.alias, message.backend)) tell({ kind: 'refresh', message })
      },
    })
    const onAudit = guarded((message: unknown) =>
      tell({ kind: 'audit', message: message as AuditMessage }),
    )
    subscribe(AUDIT_CHANNEL, onAudit)
    const endWarnings = onFragcacheWarning(
      guarded((message: Warned) => tell({ kind: 'warning', message })),
    )
    return () => {
      this.#live = undefined
      tracing.close()
      end()
      unsubscribe(AUDIT_CHANNEL, onAudit)
      endWarnings()
    }
  }

  #isShown({ alias, url }: ResponseTold): boolean {
    return this.#watched.aliases.has(alias) && !this.#isOwnPath(pathOf(url))
  }

  #isOwnPath(path: string): boolean {
    for (const place of this.#places) {
      if (path === place || path.startsWith(`${place}/`)) return true
    }
    return false
  }
}

/** Of a URL, or of a route such as `GET /countries/:code`. */
function pathOf(text: string): string {
  const path = text.startsWith('/')
    ? text
    : text.replace(/^[A-Z]+ /, '').replace(/^[a-z]+:\/\/[^/?#]*/i, '')
  const end = path.search(/[?#]/)
  return end < 0 ? path : path.slice(0, end)
}

const LOCAL: ReadonlySet<string> = new Set(['LocMemCache', 'DummyCache'])

/** Whether other processes see the same entries; where the store does not say, by what it is. */
function isShared(cache: Cache, server: ServerStats | undefined): boolean {
  if (server?.scope !== undefined) return server.scope !== 'process'
  for (
    let at: object | null = cache;
    at !== null;
    at = Object.getPrototypeOf(at) as object | null
  ) {
    if (LOCAL.has((at.constructor as { readonly name: string }).name)) return false
  }
  return true
}
