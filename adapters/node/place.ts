import type { IncomingMessage, ServerResponse } from 'node:http'
import type { StoredResponse } from '../../src/http/stored-response.js'
import type { Settings } from './settings.js'
import type { Marks } from '../../src/pages/marks.js'
import type { Makings } from '../../src/making/makings.js'
import type { LandedPage, PageLead } from '../../src/pages/page-lead.js'
import type { PageLookup, PageRequest } from '../../src/pages/page.js'
import type { PageStore } from '../../src/pages/page-store.js'
import type { Routes } from './routes.js'

/** Where a middleware looks and stores, and for how long. */
export interface Place {
  readonly settings: Settings
  readonly store: PageStore
  /** Who makes pages, for those who wait and in the background. */
  readonly makings: Makings<LandedPage>
  readonly marks: Marks
  /** Where it is counted what becomes of requests. */
  readonly routes: Routes
  /** It only looks: what it does not find, another middleware may store. */
  readonly isReadOnly?: boolean
  /** Of `cachePage`; `undefined` for the site's. */
  readonly pageSeconds: number | null | undefined
  /** By how much earlier than its end a page is made again, by chance; 0: never. */
  readonly earlyRefresh: number
  /** What the page depends on by itself. */
  readonly tags:
    readonly string[] | ((req: IncomingMessage, res: ServerResponse) => readonly string[])
  /** Drops the pages of a URI, wherever they are kept. */
  readonly invalidate: (uri: string) => void
}

/** With what a request goes to its handler. */
export interface Forwarding {
  readonly request: PageRequest
  readonly lookup: PageLookup
  /** An older page, which may stand in for the view. */
  readonly stale?: StoredResponse | undefined
  /** The view is asked whether that is right still. */
  readonly validates?: boolean
  /** A page is there, but not for this visitor. */
  readonly isPassedOver?: boolean
  /** Others wait for what comes of it. */
  readonly lead?: PageLead | undefined
  /** The page is made under a lease: nothing in it waits for another one. */
  readonly isLeased?: boolean
}
