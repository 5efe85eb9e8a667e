import type { Dependents } from '../../src/observe/dependents.js'
import type { FragmentStats, RouteStats } from '../../src/observe/stats.js'

export type { Dependents }

/** One interval in the history of a fragment, or of the requests of a route. */
export interface SubjectPoint {
  /** The end of the interval, in milliseconds since the epoch. */
  readonly atMs: number
  /** Answered from the cache at once, including stale answers. */
  readonly hits: number
  /** All others. */
  readonly others: number
  /** Mean time of the bodies or handlers that ran, in milliseconds. Absent if none ran. */
  readonly madeMs?: number
}

/** How many entries something with a name is part of, such as a tag. */
export interface NamedCount {
  readonly name: string
  readonly entries: number
}

/** Why pages of a route, or a fragment, were not cached, and how often. */
export interface ReasonCount {
  readonly sentence: string
  /** For pages: a link relative to the page, such as `help#set-cookie`. */
  readonly href?: string
  readonly times: number
}

/** The position of a fragment's tag. */
export interface TemplatePlace {
  readonly template: string
  /** The line, counted from 1. */
  readonly line?: number
  /** 0: nothing that was rendered there is stored. */
  readonly entries: number
  /** A link that opens the template in the editor. Only with the option `editor`. */
  readonly inEditor?: string
}

/** A route whose requests showed a fragment. */
export interface FragmentRoute {
  /** As in statistics: `GET /countries/:code`; `GET (any)` where no router has found one. */
  readonly route: string
  /**
   * How often the fragment was shown there: from the cache, rendered, or inside a fragment or page that this process
   * stored.
   */
  readonly times: number
  /** At most five of the paths that were requested. */
  readonly paths: readonly string[]
}

/** An entry that this process stored and that, as far as it knows, is still there. */
export interface KnownEntry {
  readonly kind: 'fragment' | 'page' | 'value'
  readonly alias: string
  /** The key before the cache adds prefix and version. */
  readonly key: string
  /** The fragment's name, the page's URL, or the key of a value. */
  readonly name: string
  /** The route of a page. */
  readonly route?: string
  /** The vary-on values of a fragment. Empty for pages: what they vary on comes from visitors. */
  readonly varyOn: readonly string[]
  readonly tags: readonly string[]
  /** Milliseconds since the epoch. */
  readonly storedAtMs: number
  /** When the entry becomes stale, in milliseconds since the epoch; `null`: never. */
  readonly freshUntilMs: number | null
}

/** Some entries out of a larger number. */
interface KnownEntries {
  /** The total number of entries. */
  readonly entryCount: number
  /** At most 200 entries, the latest first. */
  readonly entries: readonly KnownEntry[]
}

/** The response of `api/fragment`. Its entries are those that this process stored and remembers. */
export interface FragmentDetail extends KnownEntries {
  readonly name: string
  readonly alias: string
  /** Absent if the fragment has not been used since counting began. */
  readonly stats?: FragmentStats
  /** Why it was not stored, or was stale, the most frequent first. */
  readonly reasons: readonly ReasonCount[]
  /** Starts with the first request for it: one point every five seconds, for fifteen minutes. */
  readonly history: readonly SubjectPoint[]
  readonly places: readonly TemplatePlace[]
  readonly tags: readonly NamedCount[]
  /** The fragments inside it. */
  readonly contains: readonly NamedCount[]
  /** What contains it. */
  readonly dependents: Dependents
  /**
   * On which routes it was shown, the most frequent first: in the requests over HTTP/1 that came since the
   * inspector was opened, whether their pages are stored or not.
   */
  readonly routes: readonly FragmentRoute[]
}

/** The response of `api/route`. Its pages are those that this process stored and remembers. */
export interface RouteDetail extends KnownEntries {
  readonly route: string
  readonly alias: string
  /** Absent if the route has not been requested since counting began. */
  readonly stats?: RouteStats
  /** Why its pages were not cached, the most frequent first. */
  readonly reasons: readonly ReasonCount[]
  /** Starts with the first request for it: one point every five seconds, for fifteen minutes. */
  readonly history: readonly SubjectPoint[]
  readonly tags: readonly NamedCount[]
  /** The fragments inside its pages. */
  readonly contains: readonly NamedCount[]
}

/** The response of `api/tag`, about the entries that this process stored and remembers. */
export interface TagDetail extends KnownEntries {
  readonly tag: string
  readonly dependents: Dependents
  /** When this process last invalidated it, who did it by hand, and, outside production, from where in the code. */
  readonly invalidated?: { readonly atMs: number; readonly from?: string; readonly by?: string }
}

/** What one process counted in all its caches. */
export interface ProcessFigures {
  /** When counting began, in milliseconds since the epoch. */
  readonly sinceMs: number
  readonly hits: number
  readonly misses: number
  readonly errors: number
  readonly timeSavedMs: number
  /** The memory that the process occupies (resident set size). */
  readonly rssBytes: number
}

/** One of the processes that share the cache named by the option `processes`. */
export interface ProcessRow extends ProcessFigures {
  readonly id: string
  readonly pid: number
  readonly host: string
  /** Whether this is the process that answers. */
  readonly isThis: boolean
}

/** The response of `api/processes`. */
export interface ProcessList {
  /** This process first. None without the option `processes`. */
  readonly rows: readonly ProcessRow[]
  /** The alias of the cache that does not answer, so that other processes are not listed. */
  readonly unreached?: string
}

/** The names that forms suggest, at most 1,000 of each kind. */
export interface KnownNames {
  readonly fragments: readonly string[]
  readonly tags: readonly string[]
  readonly urls: readonly string[]
  /** Beginnings of keys. */
  readonly prefixes: readonly string[]
}

/** The response of `api/entries`: what the store itself lists, whichever process wrote it. */
export interface EntryList {
  readonly alias: string
  /** `false`: the store cannot list its entries. */
  readonly canList: boolean
  /** At most 200 entries, sorted by key. */
  readonly rows: readonly EntryRow[]
  /** `false`: there may be more entries. There were too many, or listing them took too long. */
  readonly isWhole: boolean
}

/** An entry in its store, without its value. */
export interface EntryRow {
  readonly kind: 'fragment' | 'page' | 'value'
  readonly key: string
  readonly version: string
  readonly tags: readonly string[]
  /**
   * When the entry expires, in milliseconds since the epoch; of a stale one, when its store removes it. `null`: never.
   */
  readonly expiresAtMs: number | null
  readonly isStale: boolean
  readonly bytes?: number
}

/** A tag in the list of all. */
export interface TagRow {
  readonly tag: string
  readonly fragments: number
  readonly pages: number
  readonly values: number
  /** When this process last invalidated it, in milliseconds since the epoch. */
  readonly invalidatedAtMs?: number
}
