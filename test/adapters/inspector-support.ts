import http, { type IncomingMessage } from 'node:http'
import type { Express } from 'express'
import { onTestFinished } from 'vitest'
import { coreOf } from '../../src/backend/core.js'
import { createCaches, LocMemCache, type Caches } from '../../src/index.js'
import {
  inspector,
  type Batch,
  type Entry,
  type FeedEvent,
  type FragmentStats,
  type Inspector,
  type InspectorOptions,
  type Overview,
  type ResponseRow,
  type RouteStats,
} from '../../adapters/inspector/index.js'
import { expressVersions, Site, type Answer, type RequestOptions } from '../support/express.js'

export const express5 = expressVersions[1].express

/** A site with an inspector at `/__cache`, and whoever looks at it. */
export class Inspected {
  token = ''

  private constructor(
    readonly site: Site,
    readonly inspector: Inspector,
    readonly base: string,
  ) {}

  /**
   * @param setUp - Called before the inspector is mounted.
   */
  static async open(
    caches: Caches = createCaches({ default: new LocMemCache() }),
    options: InspectorOptions = {},
    setUp: (app: Express) => void = () => undefined,
    express: typeof express5 = express5,
    base = '/__cache',
  ): Promise<Inspected> {
    const app = express()
    setUp(app)
    const mounted = inspector(caches, options)
    app.use(base, mounted)
    onTestFinished(() => mounted.close())
    return new Inspected(await Site.open(app), mounted, base)
  }

  /** @param path - Below the mount point, such as `/api/overview`. */
  get(path: string, options?: RequestOptions): Promise<Answer> {
    return this.site.get(`${this.base}${path}`, options)
  }

  async json<T>(path: string): Promise<T> {
    const answer = await this.get(path)
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.text}`)
    return JSON.parse(answer.text) as T
  }

  overview = () => this.json<Overview>('/api/overview')
  fragments = async () => (await this.json<{ rows: FragmentStats[] }>('/api/fragments')).rows
  routes = async () => (await this.json<{ rows: RouteStats[] }>('/api/routes')).rows
  responses = async () => (await this.json<{ rows: ResponseRow[] }>('/api/responses')).rows

  entry(alias: string, key: string, version?: string): Promise<Entry> {
    const query = new URLSearchParams({ alias, key, ...(version !== undefined && { version }) })
    return this.json<Entry>(`/api/entry?${query.toString()}`)
  }

  /** What the page carries. */
  async readToken(): Promise<string> {
    if (this.token === '') this.token = tokenIn((await this.get('/')).text)
    return this.token
  }

  /** An action as the page sends it. */
  async act(name: string, body: unknown, headers: http.OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.post(name, JSON.stringify(body), headers)
  }

  async post(name: string, body: string, headers: http.OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.get(`/api/${name}`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        Origin: this.site.origin,
        'X-Fragcache-Token': await this.readToken(),
        ...headers,
      },
      body,
    })
  }

  async listen(path = '/api/events'): Promise<Listener> {
    return Listener.open(`${this.site.origin}${this.base}${path}`)
  }
}

export function tokenIn(html: string): string {
  const token = /<meta name="fragcache-token" content="([^"]+)">/.exec(html)?.[1]
  if (token === undefined) throw new Error('the page carries no token')
  return token
}

/** Reads server-sent events. */
export class Listener {
  readonly batches: Batch[] = []
  readonly comments: string[] = []
  hasEnded = false

  private constructor(readonly response: IncomingMessage) {
    let rest = ''
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      const messages = (rest + chunk).split('\n\n')
      rest = messages.pop() ?? ''
      for (const message of messages) this.#read(message)
    })
    response.on('close', () => (this.hasEnded = true))
    response.on('error', () => undefined)
    onTestFinished(() => this.close())
  }

  static async open(url: string, headers: http.OutgoingHttpHeaders = {}): Promise<Listener> {
    const request = http.get(url, { agent: false, headers })
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.on('response', resolve)
      request.on('error', reject)
    })
    return new Listener(response)
  }

  #read(message: string): void {
    const fields = message.split('\n').map((line) => line.split(/: ?(.*)/s))
    const field = (name: string) => fields.find((one) => one[0] === name)?.[1]
    if (message.startsWith(':')) this.comments.push(message)
    if (field('event') === 'batch') this.batches.push(JSON.parse(field('data') ?? '') as Batch)
  }

  get events(): readonly FeedEvent[] {
    return this.batches.flatMap(({ events }) => events)
  }

  /** Waits for an event for at most five seconds. */
  async event(matches: (event: FeedEvent) => boolean): Promise<FeedEvent> {
    let found: FeedEvent | undefined
    for (let i = 0; i < 500 && found === undefined; i++) {
      found = this.events.find(matches)
      if (found === undefined) await new Promise((resolve) => setTimeout(resolve, 10))
    }
    if (found === undefined) throw new Error(`no such event: ${JSON.stringify(this.events)}`)
    return found
  }

  close(): void {
    this.response.destroy()
  }
}

/** A store that does not answer while it fails. */
export class Shaky extends LocMemCache {
  fails = false
  constructor() {
    super()
    const { entries, store } = coreOf(this)
    const lookupOne = entries.lookupOne.bind(entries)
    const readServerStats = store.readServerStats.bind(store)
    entries.lookupOne = (...asked) => this.#answer(() => lookupOne(...asked))
    store.readServerStats = () => this.#answer(readServerStats)
  }
  #answer<T>(answer: () => T): T {
    if (this.fails) throw new Error('connection refused')
    return answer()
  }
}
