import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Caches } from '../../src/caches.js'
import { leaveUnwatched } from '../../src/unwatched.js'
import { actingAs } from '../../src/observe/remembered.js'
import { warn } from '../../src/observe/watch.js'
import { packageVersion } from '../../src/version.js'
import { askAccess } from './access.js'
import { shown, toAction, toFault, type Action, type Targets } from './actions.js'
import type { ActionResult, Details, Failure, FragmentStats, RouteStats, Table } from './api.js'
import { auditChannel, type AuditAction, type AuditMessage } from './audit.js'
import { readJson, RequestFault } from './body.js'
import { EditorLinks, type EditorSettings } from './editor.js'
import { listEntries } from './entries.js'
import { describeEntry } from './entry.js'
import { helpHtml } from './help.js'
import type { Inventory } from './inventory.js'
import { Observer } from './observer.js'
import {
  checkCaches,
  checkProcesses,
  resolveOptions,
  type InspectorOptions,
  type Settings,
} from './options.js'
import { pageHtml } from './page/html.js'
import { tableOf } from './tables.js'
import {
  isCrossSite,
  isSameOrigin,
  newNonce,
  PageToken,
  setSafeHeaders,
  type ExpressRequest,
} from './security.js'

export type * from './api.js'
export type { AuditAction, AuditMessage } from './audit.js'
export type { InspectorOptions, InspectorRequest, PagesOfUrls } from './options.js'
export {
  overlay,
  type OverlayMiddleware,
  type OverlayOptions,
  type OverlayPosition,
} from './overlay/index.js'

/** A middleware that answers everything below the path where it is mounted. */
export interface Inspector {
  (req: IncomingMessage, res: ServerResponse, next?: (error?: unknown) => void): void
  /** Ends the live feeds, and releases timers and listeners. */
  close(): void
}

/**
 * Creates a page that shows what the caches do. Those who are authorized to see it can also delete and
 * invalidate.
 *
 * @param caches - What `createCaches` returned.
 * @throws TypeError: an option is unknown or of the wrong kind, or `NODE_ENV` is `production` and there is no
 *   `authorize`.
 * @remarks Mount it in front of `cacheSite`, so that its own requests are not looked up. It is never cached
 *   in either place. The history and the latest responses begin with the first visit and end fifteen minutes
 *   after the last one. A live feed runs as long as somebody watches it.
 *
 *   It shows this process alone.
 * @example
 * app.use(
 *   '/__cache',
 *   inspector(caches, {
 *     authorize: (req: IncomingMessage & { user?: { isAdmin: boolean } }) => req.user?.isAdmin === true,
 *   }),
 * )
 */
export function inspector(caches: Caches, options: InspectorOptions = {}): Inspector {
  // First, since a middleware that was not called is given a request in their place.
  checkCaches(caches)
  const settings = resolveOptions(options)
  checkProcesses(caches, settings.processes)
  const server = new InspectorServer(caches, settings)
  function inspector(req: IncomingMessage, res: ServerResponse): void {
    void server.answer(req, res)
  }
  return Object.assign(inspector, { close: () => server.close() })
}

type Answerer = (req: ExpressRequest, res: ServerResponse, query: string) => void | Promise<void>

const ACTIONS: readonly AuditAction[] = ['delete', 'invalidate', 'clear', 'reset']

class InspectorServer {
  readonly #observer: Observer
  readonly #token: PageToken
  readonly #version = packageVersion()
  readonly #targets: Targets
  readonly #routes: ReadonlyMap<string, Answerer>
  #isClosed = false

  constructor(
    private readonly caches: Caches,
    private readonly settings: Settings,
  ) {
    this.#observer = new Observer(caches, settings.maxFeeds, settings.processes)
    this.#token = new PageToken(settings.secret)
    this.#targets = { caches, pages: settings.pages, reset: () => this.#observer.reset() }
    this.#routes = this.#makeRoutes()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#observer.close()
  }

  /** Never rejects. */
  async answer(req: ExpressRequest, res: ServerResponse): Promise<void> {
    try {
      leaveUnwatched(res)
      setSafeHeaders(res)
      const access = await askAccess(this.settings.authorize, req, res)
      if (access === 'answered') return
      // The access check may have set others.
      setSafeHeaders(res)
      if (access === 'denied') return this.#deny(req, res)
      await this.#route(req, res)
    } catch (error) {
      this.#fail(req, res, error)
    }
  }

  #deny(req: ExpressRequest, res: ServerResponse): void {
    sendJson(req, res, 403, { error: this.#denial() } satisfies Failure)
  }

  /** In production, who asks may be anybody. */
  #denial(): string {
    if (this.settings.authorize === undefined) {
      return 'Without the option authorize only requests from this machine to localhost are answered.'
    }
    if (process.env['NODE_ENV'] === 'production') return 'Forbidden'
    return 'The option authorize of the inspector refused this request: return true for those who may look. Without the option, requests from this machine to localhost are answered, but not in production.'
  }

  async #route(req: ExpressRequest, res: ServerResponse): Promise<void> {
    if (this.#isClosed) throw new RequestFault(503, 'The inspector is closed.')
    const { path, query } = partsOf(req.url ?? '/')
    // As it was sent: what Express makes of a path is not looked at twice.
    const answer = this.#routes.get(path)
    const action = ACTIONS.find((name) => path === `/api/${name}`)
    const { method } = req
    const isRead = method === 'GET' || method === 'HEAD'
    if (answer === undefined && action === undefined) throw new RequestFault(404, 'Not found.')
    if (action === undefined ? !isRead : method !== 'POST') {
      res.setHeader('Allow', action === undefined ? 'GET, HEAD' : 'POST')
      throw new RequestFault(405, `${shown(method ?? '')} is not answered here.`)
    }
    if (path === '/' && redirectToDirectory(req, res, query)) return
    if (action === undefined && path.startsWith('/api/') && isCrossSite(req)) {
      throw new RequestFault(
        403,
        'A page of another site sent the request; open the inspector itself.',
      )
    }
    this.#observer.use(req.baseUrl ?? '')
    if (action === undefined) await answer?.(req, res, query)
    else await this.#act(action, req, res)
  }

  #makeRoutes(): ReadonlyMap<string, Answerer> {
    const observer = this.#observer
    const { pages } = this.settings
    const version = this.#version
    const facts = { version, canInvalidateUrls: pages !== undefined }
    return new Map<string, Answerer>([
      [
        '/',
        (req, res) =>
          sendHtml(req, res, (nonce) => pageHtml({ nonce, token: this.#token.text, version })),
      ],
      ['/help', (req, res) => sendHtml(req, res, helpHtml)],
      [
        '/api/overview',
        async (req, res) => sendJson(req, res, 200, await observer.overview(facts)),
      ],
      [
        '/api/fragments',
        answering<Table<FragmentStats>>((query) =>
          tableOf(
            (visit) => observer.eachFragment(visit),
            ({ name }) => name,
            query,
          ),
        ),
      ],
      [
        '/api/routes',
        answering<Table<RouteStats>>((query) =>
          tableOf(
            (visit) => observer.eachRoute(visit),
            ({ route }) => route,
            query,
          ),
        ),
      ],
      ...describers(observer.inventory, this.settings),
      ['/api/responses', (req, res) => sendJson(req, res, 200, { rows: observer.responses() })],
      ['/api/entry', answering((query) => describeEntry(this.caches, query))],
      ['/api/processes', answering(() => observer.processes())],
      ['/api/entries', answering((query) => listEntries(this.caches, query))],
      [
        '/api/events',
        (req, res) => {
          if (observer.feed.connect(req, res)) return
          res.setHeader('Retry-After', '30')
          throw new RequestFault(503, 'Too many pages look at what happens; close some.')
        },
      ],
    ])
  }

  async #act(name: AuditAction, req: ExpressRequest, res: ServerResponse): Promise<void> {
    let action: Action | undefined
    try {
      checkOrigin(req, this.#token)
      action = toAction(name, await readJson(req), this.#targets)
      const user = this.#userOf(req)
      const who = user === undefined ? 'the inspector' : `${user}, in the inspector`
      const sentence = await actingAs(who, action.run)
      if (action.isDryRun !== true) this.#audit(name, action, req, undefined)
      sendJson(req, res, 200, { ok: true, sentence } satisfies ActionResult)
    } catch (error) {
      const fault = toFault(error)
      this.#audit(name, action, req, fault)
      if (fault.status === 500) warn('inspector', error)
      throw fault
    }
  }

  #audit(
    name: AuditAction,
    action: Action | undefined,
    req: ExpressRequest,
    fault: RequestFault | undefined,
  ): void {
    if (!auditChannel.hasSubscribers) return
    const ip = req.ip ?? req.socket.remoteAddress
    const user = this.#userOf(req)
    auditChannel.publish({
      action: name,
      ...(action?.alias !== undefined && { alias: action.alias }),
      target: action?.target ?? '',
      atMs: Date.now(),
      ok: fault === undefined,
      ...(fault !== undefined && { error: fault.message }),
      ...(ip !== undefined && { ip }),
      ...(user !== undefined && { user }),
    } satisfies AuditMessage)
  }

  #userOf(req: ExpressRequest): string | undefined {
    try {
      const user: unknown = this.settings.userOf(req)
      return typeof user === 'string' ? user : undefined
    } catch {
      // What was done is reported all the same.
      return undefined
    }
  }

  #fail(req: ExpressRequest, res: ServerResponse, error: unknown): void {
    const { status, message } = toFault(error)
    if (status === 500 && !(error instanceof RequestFault)) warn('inspector', error)
    if (res.headersSent) return void res.destroy()
    // What is left of a body is not read.
    if (!req.complete) res.setHeader('Connection', 'close')
    sendJson(req, res, status, { error: message } satisfies Failure)
  }
}

/** Answers with what is made of a query. */
function answering<T>(
  of: (query: URLSearchParams, req: ExpressRequest) => T | Promise<T>,
): Answerer {
  return async (req, res, query) =>
    sendJson(req, res, 200, await of(new URLSearchParams(query), req))
}

/** What describes one thing by its name. */
function describers(
  inventory: Inventory,
  settings: EditorSettings,
): (readonly [path: string, answer: Answerer])[] {
  const describe = answering<Details[keyof Details]>
  return [
    [
      '/api/fragment',
      describe((query, req) => inventory.fragment(query, new EditorLinks(settings, req))),
    ],
    ['/api/route', describe((query) => inventory.route(query))],
    ['/api/tag', describe((query) => inventory.tag(query))],
    ['/api/names', describe(() => inventory.names())],
    ['/api/tags', describe(async () => ({ rows: await inventory.tags() }))],
  ]
}

/** @throws RequestFault: no page of ours, opened here, has sent it. */
function checkOrigin(req: ExpressRequest, token: PageToken): void {
  if (!isSameOrigin(req)) {
    throw new RequestFault(403, 'Only a page of this very site may do that.')
  }
  if (token.isIn(req)) return
  throw new RequestFault(
    403,
    'The token is missing, or another process has given it: load the page again. Processes that share a port need the option secret.',
  )
}

function partsOf(url: string): { readonly path: string; readonly query: string } {
  const at = url.indexOf('?')
  return at === -1 ? { path: url, query: '' } : { path: url.slice(0, at), query: url.slice(at + 1) }
}

/** The page's own addresses are relative to a path that ends in a slash. */
function redirectToDirectory(req: ExpressRequest, res: ServerResponse, query: string): boolean {
  const { path } = partsOf(req.originalUrl ?? req.url ?? '/')
  if (path.endsWith('/')) return false
  // Relative, and with its dot no other site's: what a proxy cut off in front stays.
  const location = `./${path.slice(path.lastIndexOf('/') + 1)}/${query === '' ? '' : `?${query}`}`
  res.statusCode = 302
  res.setHeader('Location', location)
  res.end()
  return true
}

function sendHtml(req: ExpressRequest, res: ServerResponse, make: (nonce: string) => string): void {
  const nonce = newNonce()
  setSafeHeaders(res, nonce)
  send(req, res, 'text/html; charset=utf-8', make(nonce))
}

function sendJson(req: ExpressRequest, res: ServerResponse, status: number, value: unknown): void {
  res.statusCode = status
  send(req, res, 'application/json; charset=utf-8', JSON.stringify(value))
}

function send(req: ExpressRequest, res: ServerResponse, type: string, text: string): void {
  if (res.headersSent || res.destroyed) return
  const body = Buffer.from(text)
  res.setHeader('Content-Type', type)
  res.setHeader('Content-Length', body.length)
  if (req.method === 'HEAD') res.end()
  else res.end(body)
}
