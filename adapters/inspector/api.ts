import type { NamedServerFigures, ServerStats } from '../../src/server-stats.js'
import type { FragmentDetail, KnownNames, RouteDetail, TagDetail, TagRow } from './api-details.js'
import type { CachesStats, CacheStats, FragmentStats, RouteStats } from '../../src/observe/stats.js'

/**
 * What the inspector's page asks its server for, as JSON. All paths are relative to the place the
 * inspector is mounted at.
 *
 * | Request | Answer |
 * |---|---|
 * | `GET api/overview` | {@link Overview} |
 * | `GET api/fragments` | {@link Rows} of {@link FragmentStats} |
 * | `GET api/routes` | {@link Rows} of {@link RouteStats} |
 * | `GET api/responses` | {@link Rows} of {@link ResponseRow}, the latest first |
 * | `GET api/entry?alias=&key=&version=` | {@link Entry} |
 * | `GET api/entries?alias=&prefix=&kind=&tag=` | {@link EntryList} |
 * | `GET api/fragment?alias=&name=` | {@link FragmentDetail} |
 * | `GET api/route?alias=&route=` | {@link RouteDetail} |
 * | `GET api/tag?tag=` | {@link TagDetail} |
 * | `GET api/processes` | {@link Rows} of {@link ProcessRow}; none without the option `processes` |
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

/** One interval of a cache's history. */
export interface Point {
  /** The interval's end, in milliseconds since the epoch. */
  readonly atMs: number
  readonly hits: number
  readonly misses: number
  readonly errors: number
  readonly meanMs: number
  readonly p99Ms: number
}

/** A time in which a store did not answer. */
export interface Outage {
  /** Milliseconds since the epoch. */
  readonly sinceMs: number
  /** Left out while it lasts. */
  readonly untilMs?: number
  readonly error: string
  /** It was one of what the cache stands on, and the cache goes on without it, as memory in front of a server does. */
  readonly isPartial?: true
}

/** `degraded`: a part of it does not answer. */
export type Status = 'up' | 'degraded' | 'down'

/** One cache in the overview. */
export interface AliasRow extends CacheStats {
  /** Whether other processes see the same entries. */
  readonly isShared: boolean
  readonly server?: ServerStats
  readonly status: Status
  /** The one that lasts. */
  readonly outage?: { readonly sinceMs: number; readonly error: string }
  /** The latest last. */
  readonly outages: readonly Outage[]
  /** One point every five seconds of the last fifteen minutes, the latest last. */
  readonly history: readonly Point[]
}

/** A set-up that is likely to harm. */
export interface Risk {
  /** Names a section of `help`. */
  readonly code: string
  readonly severity: 'high' | 'medium' | 'low'
  /** The fragment, route or cache it is about. */
  readonly subject: string
  readonly sentence: string
  /** Relative to the page, such as `help#hit-ratio-zero`. */
  readonly href: string
}

/** What `api/overview` answers. */
export interface Overview {
  readonly nowMs: number
  /** Since when the figures count. */
  readonly sinceMs: number
  readonly pid: number
  /** Of this package. */
  readonly version: string
  /** Of Node. */
  readonly node: string
  /** Whether `POST api/invalidate` takes a URL. */
  readonly canInvalidateUrls: boolean
  readonly aliases: readonly AliasRow[]
  /** `down`: no cache answers. `degraded`: not all of them do, or not in whole. */
  readonly status: Status
  /** Over HTTP/1, in the last interval of the history, without the inspector's own. */
  readonly requestsPerSecond: number
  readonly fragmentCount: number
  readonly routeCount: number
  /** Keys that were looked up, stored or deleted in the last interval of the history, per second. */
  readonly eventsPerSecond: number
  /** Of all caches, each once. */
  readonly totals: {
    readonly hits: number
    readonly misses: number
    readonly timeSavedMs: number
    /** Of the stores that tell what they take and have a limit; left out where there is none. */
    readonly memory?: { readonly bytes: number; readonly maxBytes: number }
  }
  /** The worst first. */
  readonly risks: readonly Risk[]
}

/** What the tables answer. */
export interface Rows<T> {
  readonly rows: readonly T[]
}

/** A response that was not answered from the cache, and why. */
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
  /** Relative to the page, such as `help#set-cookie`. */
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
  readonly tags: readonly string[]
  /** The fragments that it is, or holds: to invalidate one of them makes it a miss too. */
  readonly fragments: readonly string[]
  /** Milliseconds since the epoch; `null`: never. */
  readonly expiresAtMs: number | null
  /** Milliseconds since the epoch; `null`: never. */
  readonly freshUntilMs: number | null
  readonly isStale: boolean
  readonly bytes?: number
  /** The beginning of the value as text. */
  readonly preview?: string
  readonly previewKind: 'text' | 'json' | 'binary' | 'page'
  /** Whether the preview ends before the value does. */
  readonly isTruncated: boolean
}

/** What an event of the feed is about. */
export type FeedKind =
  'operation' | 'fragment' | 'response' | 'outage' | 'refresh' | 'warning' | 'audit'

/** Something that happened in a cache. */
export interface FeedEvent {
  readonly id: number
  readonly atMs: number
  readonly kind: FeedKind
  /** Empty where no cache is meant. */
  readonly alias: string
  readonly title: string
  readonly outcome?: string
  readonly durationMs?: number
  readonly key?: string
  readonly detail?: string
  /** Relative to the page. */
  readonly href?: string
}

/** A fragment of a request, or a call of a cache that is of none. Times in milliseconds. */
export interface RequestPart {
  readonly kind: 'fragment' | 'operation'
  readonly alias: string
  readonly title: string
  readonly key: string
  readonly outcome?: string
  /** Why it was not found, in a sentence. */
  readonly why?: string
  /** Since the request began. */
  readonly startMs: number
  /** Until it was found, or its body could begin: looking it up, and waiting for others. */
  readonly waitMs: number
  readonly bodyMs: number
  readonly writeMs: number
}

/** A request that was answered, and what it asked the caches for. */
export interface RequestEvent {
  readonly id: number
  /** When it began. */
  readonly atMs: number
  readonly method: string
  readonly url: string
  readonly durationMs: number
  /** What became of it in the cache of responses; left out if it did not come by one. */
  readonly outcome?: string
  /** Why it was not answered from the cache, in a sentence. */
  readonly why?: string
  /** Relative to the page. */
  readonly href?: string
  /** In the order in which they ended. */
  readonly parts: readonly RequestPart[]
  /** How many parts are not in `parts`. */
  readonly left: number
}

/** What happened since the batch before: a sample if that was much. */
export interface Batch {
  /** Requests that were answered, over HTTP/1. */
  readonly requests: readonly RequestEvent[]
  /** How many there were. */
  readonly requestsSeen: number
  readonly events: readonly FeedEvent[]
  /** How many there were. */
  readonly seen: number
  /** How many of them are not in `events`. */
  readonly dropped: number
}

/** What `api/delete` takes. */
export interface DeleteRequest {
  readonly alias: string
  readonly key: string
  readonly version?: string | number
}

/** Exactly one of `fragment`, `tag` and `url`. */
export interface InvalidateRequest {
  readonly fragment?: string
  /** The alias of the fragment's cache. Left out: fragments of that name in every cache. */
  readonly using?: string
  readonly tag?: string
  /** Of a fragment or a tag: makes entries stale instead of gone. */
  readonly soft?: boolean
  /** Absolute. */
  readonly url?: string
  /** Says what would be dropped, and drops nothing. */
  readonly dryRun?: boolean
}

/** What `api/clear` takes. */
export interface ClearRequest {
  readonly alias: string
}

/** What an action did, in a sentence. */
export interface ActionResult {
  readonly ok: true
  readonly sentence: string
}

/** Why a request was refused. */
export interface Failure {
  readonly error: string
}
