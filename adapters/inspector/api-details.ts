import type { Dependents } from '../../src/observe/dependents.js'
import type { FragmentStats, RouteStats } from '../../src/observe/stats.js'

export type { Dependents }

/** One interval of what became of a fragment or of the requests of a route. */
export interface SubjectPoint {
  /** The interval's end, in milliseconds since the epoch. */
  readonly atMs: number
  /** Answered from the cache at once, stale ones among them. */
  readonly hits: number
  /** All others. */
  readonly others: number
  /** Milliseconds, the mean of the bodies or handlers that ran; left out if none did. */
  readonly madeMs?: number
}

/** Of how many entries something with a name is a part, as a tag. */
export interface NamedCount {
  readonly name: string
  readonly entries: number
}

/** Where a fragment's tag stands. */
export interface TemplatePlace {
  readonly template: string
  /** Counted from 1. */
  readonly line?: number
  readonly entries: number
}

/** An entry that this process stored and that is, as far as it knows, still there. */
export interface KnownEntry {
  readonly kind: 'fragment' | 'page' | 'value'
  readonly alias: string
  /** Before the cache adds prefix and version. */
  readonly key: string
  /** The fragment's name, the page's URL, or the key of a value. */
  readonly name: string
  /** Of a page. */
  readonly route?: string
  /** Of a fragment: its vary-on values. What pages vary on is in none, since visitors send it. */
  readonly varyOn: readonly string[]
  readonly tags: readonly string[]
  /** Milliseconds since the epoch. */
  readonly storedAtMs: number
  /** Milliseconds since the epoch; `null`: never. */
  readonly freshUntilMs: number | null
}

/** Some entries of which there may be more. */
interface KnownEntries {
  /** All there are. */
  readonly entryCount: number
  /** At most 200, the latest first. */
  readonly entries: readonly KnownEntry[]
}

/** What `api/fragment` answers. What it says of entries is of those that this process stored and remembers. */
export interface FragmentDetail extends KnownEntries {
  readonly name: string
  readonly alias: string
  /** Left out: it was not used since figures began. */
  readonly stats?: FragmentStats
  /** Begins when somebody asks for it first: one point every five seconds, for fifteen minutes. */
  readonly history: readonly SubjectPoint[]
  readonly places: readonly TemplatePlace[]
  readonly tags: readonly NamedCount[]
  /** Fragments inside it. */
  readonly contains: readonly NamedCount[]
  /** What it is inside of. */
  readonly dependents: Dependents
}

/** What `api/route` answers. What it says of pages is of those that this process stored and remembers. */
export interface RouteDetail extends KnownEntries {
  readonly route: string
  readonly alias: string
  /** Left out: it was not asked for since figures began. */
  readonly stats?: RouteStats
  /** Begins when somebody asks for it first: one point every five seconds, for fifteen minutes. */
  readonly history: readonly SubjectPoint[]
  readonly tags: readonly NamedCount[]
  /** Fragments inside its pages. */
  readonly contains: readonly NamedCount[]
}

/** What `api/tag` answers, of the entries that this process stored and remembers. */
export interface TagDetail extends KnownEntries {
  readonly tag: string
  readonly dependents: Dependents
  /** When this process invalidated it last, and outside production from where. */
  readonly invalidated?: { readonly atMs: number; readonly from?: string }
}

/** What one process counted in all of its caches. */
export interface ProcessFigures {
  /** Since when the figures count, in milliseconds since the epoch. */
  readonly sinceMs: number
  readonly hits: number
  readonly misses: number
  readonly errors: number
  readonly timeSavedMs: number
  /** What the process takes of the machine's memory. */
  readonly rssBytes: number
}

/** A process of those that share the cache that the option `processes` names. */
export interface ProcessRow extends ProcessFigures {
  readonly id: string
  readonly pid: number
  readonly host: string
  /** Whether it is the one that answers. */
  readonly isThis: boolean
}

/** What forms suggest: at most 1,000 of each. */
export interface KnownNames {
  readonly fragments: readonly string[]
  readonly tags: readonly string[]
  readonly urls: readonly string[]
  /** Beginnings of keys. */
  readonly prefixes: readonly string[]
}

/** What `api/entries` answers: what the store itself lists, whoever wrote it. */
export interface EntryList {
  readonly alias: string
  /** `false`: the store cannot tell which entries it keeps. */
  readonly canList: boolean
  /** At most 200, by key. */
  readonly rows: readonly EntryRow[]
  /** `false`: there may be more, since there were too many or it took too long. */
  readonly isWhole: boolean
}

/** An entry as its store has it, without its value. */
export interface EntryRow {
  readonly kind: 'fragment' | 'page' | 'value'
  readonly key: string
  readonly version: string
  readonly tags: readonly string[]
  /** Milliseconds since the epoch; `null`: never. */
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
  /** Milliseconds since the epoch: when this process invalidated it last. */
  readonly invalidatedAtMs?: number
}
