import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Settings } from './settings.js'
import type { ForHandler } from '../../src/pages/decide.js'
import type { Marks } from '../../src/pages/marks.js'
import type { Makings } from '../../src/making/makings.js'
import type { LandedPage, PageLead } from '../../src/pages/page-lead.js'
import type { RememberedEntries } from '../../src/observe/remembered.js'
import type { PageLookup, PageRequest } from '../../src/pages/page.js'
import type { PageStore } from '../../src/pages/page-store.js'
import type { Routes } from './routes.js'

/** Where one middleware or handler looks for pages and stores them, and for how long. */
export interface Place {
  readonly settings: Settings
  readonly store: PageStore
  /** Pages that are being rendered, for requests that wait and in the background. */
  readonly makings: Makings<LandedPage>
  readonly marks: Marks
  /** Counts what becomes of requests, by route. */
  readonly routes: Routes
  /** It only reads: what it does not find, another middleware may store. */
  readonly isReadOnly?: boolean
  /** Of `cachePage`; `undefined` for the site's. */
  readonly pageSeconds: number | null | undefined
  /** By how much earlier than it expires a page is rendered again, by chance; 0: never. */
  readonly earlyRefresh: number
  /** The tags of the page itself. */
  readonly tags:
    readonly string[] | ((req: IncomingMessage, res: ServerResponse) => readonly string[])
  /** What is remembered of each cache of the site. */
  readonly remembered: () => readonly RememberedEntries[]
  /** Drops the pages of a URI, wherever they are kept. */
  readonly invalidate: (uri: string) => void
}

/** Whether a request has cookies, and the handler of its page reads them: it may know the visitor. */
export function mayKnow(
  { store, routes }: Place,
  req: IncomingMessage,
  { headers, uri }: PageRequest,
): boolean {
  return headers['cookie'] !== undefined && store.cookieReaders.has(uri, routes.routeOf(req, uri))
}

/** With what a request goes to its handler. */
export interface Forwarding extends ForHandler {
  readonly request: PageRequest
  readonly lookup: PageLookup
  /** Others wait for what comes of it. */
  readonly lead?: PageLead | undefined
  /** The page is rendered under a lease: nothing in it waits for another one. */
  readonly isLeased?: boolean
}
