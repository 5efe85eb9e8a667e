import type { NamedServerFigures, ServerStats } from '../../src/server-stats.js'
import type { MissCause } from '../../src/observe/miss-cause.js'
import type { FragmentDetail, KnownNames, RouteDetail, TagDetail, TagRow } from './api-details.js'
import type { CachesStats, CacheStats, FragmentStats, RouteStats } from '../../src/observe/stats.js'

/**
 * What the inspector's page asks its server for, as JSON. All paths are relative to the place the
 * inspector is mounted at.
 *
 * | Request | Answer |
 * |---|---|
 * | `GET api/overview` | {@link Overview} |
 * | `GET api/fragments?limit=&sort=&order=&q=&alias=` | {@link Table} of {@link FragmentStats} |
 * | `GET api/routes?limit=&sort=&order=&q=&alias=` | {@link Table} of {@link RouteStats} |
 * | `GET api/responses` | {@link Rows} of {@link ResponseRow}, the latest first |
 * | `GET api/entry?alias=&key=&version=` | {@link Entry} |
 * | `GET api/entries?alias=&prefix=&kind=&tag=` | {@link EntryList} |
 * | `GET api/fragment?alias=&name=` | {@link FragmentDetail} |
 * | `GET api/route?alias=&route=` | {@link RouteDetail} |
 * | `GET api/tag?tag=` | {@link TagDetail} |
 * | `GET api/processes` | {@link ProcessList}; no rows without the option `processes` |
 * | `GET api/names` | {@link KnownNames} |
 * | `GET api/tags` | {@link Rows} of {@link TagRow} |
 * | `GET api/events` | server-sent events; each `batch` is a {@link Batch} |
 * | `POST api/delete` | {@link DeleteRequest} to {@link ActionResult} |
 * | `POST api/invalidate` | {@link InvalidateRequest} to {@link ActionResult} |
 * | `POST api/clear` | {@link ClearRequest} to {@link ActionResult} |
 * | `POST api/reset` | `{}` to {@link ActionResult} |
 *
 * A request that is refused or wrong is answered by {@link Failure}, with a status of 400 or more.
 */

/** The header that carries the page's token with each POST. */
export const TOKEN_HEADER = 'x-fragcache-token'

/** What describes one thing, by its path. */
export interface Details {
  readonly 'api/fragment': FragmentDetail
  readonly 'api/route': RouteDetail
  readonly 'api/tag': TagDetail
  readonly 'api/tags': Rows<TagRow>
  readonly 'api/names': KnownNames
}

export type { CachesStats, CacheStats, FragmentStats, NamedServerFigures, RouteStats, ServerStats }

export type * from './api-details.js'

/** One interval in the history of a cache. */
export interface Point {
  /** The end of the interval, in milliseconds since the epoch. */
  readonly atMs: number
  readonly hits: number
  readonly misses: number
  readonly errors: number
  readonly meanMs: number
  readonly p99Ms: number
}

/** A period in which a store did not answer. */
export interface Outage {
  /** Milliseconds since the epoch. */
  readonly sinceMs: number
  /** When it ended, in milliseconds since the epoch. Absent while it lasts. */
  readonly untilMs?: number
  readonly error: string
  /**
   * Only a part of the cache failed, and the cache keeps working without it, as memory in front of a server
   * does.
   */
  readonly isPartial?: true
}

/** `degraded`: a part does not answer. */
export type Status = 'up' | 'degraded' | 'down'

/** One cache in the overview. */
export interface AliasRow extends CacheStats {
  /** Whether other processes see the same entries. */
  readonly isShared: boolean
  readonly server?: ServerStats
  readonly status: Status
  /** The current outage. */
  readonly outage?: { readonly sinceMs: number; readonly error: string }
  /** The outages, the latest last. */
  readonly outages: readonly Outage[]
  /** One point every five seconds over the last fifteen minutes, the latest last. */
  readonly history: readonly Point[]
}

/** A configuration that is likely to cause harm. */
export interface Risk {
  /** The name of a section of `help`. */
  readonly code: string
  readonly severity: 'high' | 'medium' | 'low'
  /** The fragment, route or cache concerned. */
  readonly subject: string
  readonly sentence: string
  /** A link relative to the page, such as `help#hit-ratio-zero`. */
  readonly href: string
}

/** The response of `api/overview`. */
export interface Overview {
  readonly nowMs: number
  /** When counting began. */
  readonly sinceMs: number
  readonly pid: number
  /** The version of this package. */
  readonly version: string
  /** The version of Node. */
  readonly node: string
  /** Whether `POST api/invalidate` accepts a URL. */
  readonly canInvalidateUrls: boolean
  readonly aliases: readonly AliasRow[]
  /** `down`: no cache answers. `degraded`: some do not answer, or only in part. */
  readonly status: Status
  /** HTTP/1 requests in the last interval of the history, without those of the inspector. */
  readonly requestsPerSecond: number
  readonly fragmentCount: number
  readonly routeCount: number
  /** Keys that were looked up, stored or deleted per second in the last interval of the history. */
  readonly eventsPerSecond: number
  /** Totals over all caches, each counted once. */
  readonly totals: {
    readonly hits: number
    readonly misses: number
    readonly timeSavedMs: number
    /** Of the stores that report their size and have a limit. Absent if there is none. */
    readonly memory?: { readonly bytes: number; readonly maxBytes: number }
  }
  /** Risks, the worst first. */
  readonly risks: readonly Risk[]
}

/** The response of the endpoints that return tables. */
export interface Rows<T> {
  readonly rows: readonly T[]
}

/**
 * The response of `api/fragments` and `api/routes`: all rows, or the first ones of those whose name contains `q` and
 * whose cache is `alias`. They are sorted by a figure of the row or its `ratio`, the greatest first unless `order` is
 * `up`.
 */
export interface Table<T> extends Rows<T> {
  /** The number of all rows. */
  readonly total: number
  /** The number of rows that match. */
  readonly matching: number
}

/** A response that was not served from the cache, and the reason. */
export interface ResponseRow {
  readonly id: number
  readonly atMs: number
  readonly method: string
  readonly url: string
  readonly route?: string
  readonly alias: string
  readonly outcome: string
  readonly reason?: string
  readonly sentence: string
  /** A link relative to the page, such as `help#set-cookie`. */
  readonly href: string
  readonly key: string
}

/** One entry of a cache. */
export interface Entry {
  readonly found: boolean
  readonly alias: string
  readonly key: string
  readonly version: string
  readonly storedKey: string
  /** Why there is no entry, as far as the store and this process can tell. */
  readonly cause?: MissCause
  readonly tags: readonly string[]
  /** The fragments that it is, or contains. Invalidating one of them makes it a miss too. */
  readonly fragments: readonly string[]
  /** When the entry expires, in milliseconds since the epoch; `null`: never. */
  readonly expiresAtMs: number | null
  /** When the entry becomes stale, in milliseconds since the epoch; `null`: never. */
  readonly freshUntilMs: number | null
  readonly isStale: boolean
  readonly bytes?: number
  /** The beginning of the value as text. */
  readonly preview?: string
  readonly previewKind: 'text' | 'json' | 'binary' | 'page'
  /** Whether the preview is shorter than the value. */
  readonly isTruncated: boolean
}

/** The subject of an event in the feed. */
export type FeedKind =
  'operation' | 'fragment' | 'response' | 'outage' | 'refresh' | 'warning' | 'audit'

/** An event in a cache. */
export interface FeedEvent {
  readonly id: number
  readonly atMs: number
  readonly kind: FeedKind
  /** Empty if the event is about no cache. */
  readonly alias: string
  readonly title: string
  readonly outcome?: string
  readonly durationMs?: number
  readonly key?: string
  readonly detail?: string
  /** A link relative to the page. */
  readonly href?: string
}

/** A fragment of a request, or a cache call outside of any fragment. Times are in milliseconds. */
export interface RequestPart {
  readonly kind: 'fragment' | 'operation'
  readonly alias: string
  readonly title: string
  readonly key: string
  readonly outcome?: string
  /** The reason for a miss, in one sentence. */
  readonly why?: string
  /** Milliseconds after the request began. */
  readonly startMs: number
  /**
   * Milliseconds until it was found or its body could begin: the look-up, and waiting for others.
   */
  readonly waitMs: number
  readonly bodyMs: number
  readonly writeMs: number
}

/** An answered request, and what it looked up in the caches. */
export interface RequestEvent {
  readonly id: number
  /** When the request began. */
  readonly atMs: number
  readonly method: string
  readonly url: string
  readonly durationMs: number
  /** Its outcome in the response cache. Absent if it did not pass through one. */
  readonly outcome?: string
  /** The reason why it was not answered from the cache, in one sentence. */
  readonly why?: string
  /** A link relative to the page. */
  readonly href?: string
  /** The parts, in the order in which they ended. */
  readonly parts: readonly RequestPart[]
  /** The number of parts that `parts` leaves out. */
  readonly left: number
}

/** What happened since the previous batch: a sample if there was a lot. */
export interface Batch {
  /** Requests that were answered over HTTP/1. */
  readonly requests: readonly RequestEvent[]
  /** The total number of requests. */
  readonly requestsSeen: number
  readonly events: readonly FeedEvent[]
  /** The total number of events. */
  readonly seen: number
  /** The number of events that `events` leaves out. */
  readonly dropped: number
}

/** The body of `POST api/delete`. */
export interface DeleteRequest {
  readonly alias: string
  readonly key: string
  readonly version?: string | number
}

/** The body of `POST api/invalidate`: exactly one of `fragment`, `tag` and `url`. */
export interface InvalidateRequest {
  readonly fragment?: string
  /** The alias of the fragment's cache. Default: fragments of that name in every cache. */
  readonly using?: string
  readonly tag?: string
  /** For a fragment or a tag: makes entries stale instead of gone. */
  readonly soft?: boolean
  /** An absolute URL. */
  readonly url?: string
  /** Reports what would be dropped, and drops nothing. */
  readonly dryRun?: boolean
}

/** The body of `POST api/clear`. */
export interface ClearRequest {
  readonly alias: string
  /** Reports what would be dropped, and drops nothing. */
  readonly dryRun?: boolean
}

/** The result of an action, in one sentence. */
export interface ActionResult {
  readonly ok: true
  readonly sentence: string
}

/** The reason why a request was refused. */
export interface Failure {
  readonly error: string
}
