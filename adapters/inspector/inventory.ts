import { coreOf, type CacheCore } from '../../src/backend/core.js'
import { stillThere } from '../../src/backend/still-there.js'
import type { Caches } from '../../src/caches.js'
import type { TagPosition } from '../../src/errors.js'
import { toDependents } from '../../src/observe/dependents.js'
import type { StoredEntry } from '../../src/observe/remembered.js'
import { fragmentStatsOf, routeStatsOf } from '../../src/observe/stats.js'
import type { Tally } from '../../src/observe/tally.js'
import type { Watched } from '../../src/observe/watch.js'
import { explainFragmentReason } from '../../src/observe/reasons.js'
import { explainReason } from '../../src/pages/explanations.js'
import { foreignTag, fragmentTag, isFragmentTag, userTag } from '../../src/tags.js'
import type {
  FragmentDetail,
  KnownEntry,
  KnownNames,
  NamedCount,
  RouteDetail,
  TagDetail,
  TagRow,
  TemplatePlace,
} from './api.js'
import { RequestFault } from './body.js'
import { nameOf, OF_USER } from './contents.js'
import type { EditorLinks } from './editor.js'
import type { FollowedSubjects } from './followed.js'
import type { FragmentRoutes } from './fragment-routes.js'
import { cutText } from './text.js'

const MAX_ENTRIES = 200
/** More names of one kind are not listed. */
const MAX_NAMES = 500
/** More tags are not listed. */
const MAX_TAGS = 5000
const MAX_SUGGESTED = 1000

/** An entry, and the cache that it lies in. */
interface Lying extends StoredEntry {
  readonly core: CacheCore
}

/** What one cache has of what is asked for. */
interface Found {
  readonly entries: readonly Lying[]
  readonly isWhole: boolean
}

/** Describes fragments, routes and tags one by one, by what is counted and remembered anyway. */
export class Inventory {
  constructor(
    private readonly caches: Caches,
    private readonly watched: Watched,
    private readonly followed: FollowedSubjects,
    private readonly fragmentRoutes: FragmentRoutes,
  ) {}

  /** @throws RequestFault: the cache or the name is missing. */
  async fragment(query: URLSearchParams, editor: EditorLinks): Promise<FragmentDetail> {
    const { alias, core } = this.#cacheOf(query)
    const name = textOf(query, 'name')
    const own = fragmentTag(name)
    const isMine = ({ subject, core: its }: Lying) =>
      subject.kind === 'fragment' && subject.name === name && its === core
    const contains = ({ tags, core: its }: Lying) => tags.has(its === core ? own : foreignTag(own))
    const found = await this.#found((entry) => isMine(entry) || contains(entry))
    const mine = entriesOf(found).filter(isMine)
    const around = found.map(({ entries, isWhole }) => ({
      entries: entries.filter((entry) => !isMine(entry)),
      isWhole,
    }))
    const tally = this.watched.tallies.fragments.find(alias, name)
    const stats = isUsed(tally) ? fragmentStatsOf(tally) : undefined
    return {
      name,
      alias,
      ...(stats !== undefined && { stats }),
      reasons: mostFrequentFirst(stats?.reasons).map(([reason, times]) => ({
        sentence: explainFragmentReason(reason),
        times,
      })),
      history: tally === undefined ? [] : this.followed.historyOf(tally),
      ...latestOf(mine),
      places: placesOf(mine, tally?.positions ?? [], editor),
      tags: tagsOf(mine),
      contains: fragmentsIn(mine).filter((one) => one.name !== name),
      dependents: toDependents(around),
      routes: this.fragmentRoutes.of(alias, name),
    }
  }

  /** @throws RequestFault: the cache or the route is missing. */
  async route(query: URLSearchParams): Promise<RouteDetail> {
    const { alias, core } = this.#cacheOf(query)
    const route = textOf(query, 'route')
    const found = await this.#found((entry) => entry.core === core && entry.subject.route === route)
    const mine = entriesOf(found)
    const tally = this.watched.tallies.routes.find(alias, route)
    const stats = isUsed(tally) ? routeStatsOf(tally) : undefined
    return {
      route,
      alias,
      ...(stats !== undefined && { stats }),
      reasons: mostFrequentFirst(stats?.reasons).map(([reason, times]) => {
        const { code, sentence } = explainReason('bypass', reason)
        return { sentence, href: `help#${code}`, times }
      }),
      history: tally === undefined ? [] : this.followed.historyOf(tally),
      ...latestOf(mine),
      tags: tagsOf(mine),
      contains: fragmentsIn(mine),
    }
  }

  /** @throws RequestFault: the tag is missing. */
  async tag(query: URLSearchParams): Promise<TagDetail> {
    const tag = textOf(query, 'tag')
    const stored = userTag(tag)
    const found = await this.#found(({ tags }) => tags.has(stored))
    const last = this.#invalidationOf(stored)
    return {
      tag,
      dependents: toDependents(found),
      ...latestOf(entriesOf(found)),
      ...(last !== undefined && {
        invalidated: {
          atMs: last.atMs,
          ...(last.from !== undefined && { from: last.from }),
          ...(last.by !== undefined && { by: last.by }),
        },
      }),
    }
  }

  /** Those of entries that are there, the ones with the most entries first. */
  async tags(): Promise<readonly TagRow[]> {
    const rows = new Map<string, { fragment: number; page: number; value: number }>()
    for (const { subject, tags } of entriesOf(await this.#found(hasTagOfUser))) {
      for (const stored of tags.keys()) {
        if (!stored.startsWith(OF_USER)) continue
        let row = rows.get(stored)
        if (row === undefined) rows.set(stored, (row = { fragment: 0, page: 0, value: 0 }))
        row[subject.kind]++
      }
    }
    const size = ([, row]: readonly [string, { fragment: number; page: number; value: number }]) =>
      row.fragment + row.page + row.value
    return [...rows]
      .sort((a, b) => size(b) - size(a))
      .slice(0, MAX_TAGS)
      .map(([stored, { fragment, page, value }]) => {
        const last = this.#invalidationOf(stored)
        return {
          tag: stored.slice(OF_USER.length),
          fragments: fragment,
          pages: page,
          values: value,
          ...(last !== undefined && { invalidatedAtMs: last.atMs }),
        }
      })
  }

  /** What forms suggest. */
  async names(): Promise<KnownNames> {
    const fragments = new Set([...this.watched.tallies.fragments].map(({ name }) => name))
    const urls = new Set<string>()
    const prefixes = new Set<string>()
    for (const { subject } of [...this.watched.cores].flatMap((core) => [
      ...core.remembered.all(),
    ])) {
      if (subject.kind === 'page') urls.add(subject.name)
      const prefix = prefixOf(subject)
      if (prefix !== undefined) prefixes.add(prefix)
    }
    const some = (texts: Iterable<string>) => [...texts].slice(0, MAX_SUGGESTED)
    return {
      fragments: some(fragments),
      tags: some((await this.tags()).map(({ tag }) => tag)),
      urls: some(urls),
      prefixes: some(prefixes),
    }
  }

  async #found(isMeant: (entry: Lying) => boolean): Promise<readonly Found[]> {
    const asked = [...this.watched.cores].map(async (core) => {
      const found = await stillThere(core, (entry) => isMeant({ ...entry, core }))
      return { ...found, entries: found.entries.map((entry) => ({ ...entry, core })) }
    })
    return Promise.all(asked)
  }

  #invalidationOf(stored: string): ReturnType<CacheCore['remembered']['invalidationOf']> {
    return [...this.watched.cores]
      .flatMap((core) => core.remembered.invalidationOf(stored) ?? [])
      .sort((a, b) => b.atMs - a.atMs)[0]
  }

  /** A cache under two aliases is counted under the first. */
  #cacheOf(query: URLSearchParams): { readonly alias: string; readonly core: CacheCore } {
    const alias = textOf(query, 'alias')
    if (!this.caches.has(alias)) {
      throw new RequestFault(400, `alias: there is no cache ${JSON.stringify(cutText(alias))}.`)
    }
    return { alias, core: coreOf(this.caches.get(alias)) }
  }
}

function hasTagOfUser({ tags }: StoredEntry): boolean {
  return [...tags.keys()].some((tag) => tag.startsWith(OF_USER))
}

function entriesOf(found: readonly Found[]): readonly Lying[] {
  return found.flatMap(({ entries }) => entries)
}

function textOf(query: URLSearchParams, name: string): string {
  const text = query.get(name) ?? ''
  if (text !== '') return text
  throw new RequestFault(400, `${name}: give a string of at least one character.`)
}

/** The beginning that a key shares with others of its kind: of `product:7` it is `product:`. */
function prefixOf({ kind, key }: StoredEntry['subject']): string | undefined {
  const pattern = kind === 'page' ? /^(?:[^.]+\.){3}/ : /^.*[:./]/s
  return pattern.exec(key)?.[0]
}

function isUsed(tally: Tally | undefined): tally is Tally {
  return tally !== undefined && Object.values(tally.figures().outcomes).some((count) => count > 0)
}

function mostFrequentFirst(
  counts: Readonly<Record<string, number>> = {},
): readonly (readonly [string, number])[] {
  return Object.entries(counts).sort(([, a], [, b]) => b - a)
}

function latestOf(entries: readonly Lying[]): Pick<FragmentDetail, 'entryCount' | 'entries'> {
  const latest = entries.toSorted((a, b) => b.storedAtMs - a.storedAtMs).slice(0, MAX_ENTRIES)
  return { entryCount: entries.length, entries: latest.map(toKnownEntry) }
}

function toKnownEntry({ core, subject, tags, storedAtMs, freshUntilMs }: Lying): KnownEntry {
  const { kind, key, name, route, variant } = subject
  return {
    kind,
    alias: core.alias,
    key: cutText(key),
    name: cutText(name),
    ...(route !== undefined && { route }),
    varyOn: kind === 'fragment' ? variant.map((text) => cutText(text, 200)) : [],
    tags: [...tags.keys()]
      .filter((tag) => tag.startsWith(OF_USER))
      .map(nameOf)
      .slice(0, MAX_NAMES),
    storedAtMs,
    freshUntilMs: freshUntilMs === Infinity ? null : freshUntilMs,
  }
}

/** @param seen - The tags that it was rendered by, stored or not. */
function placesOf(
  entries: readonly Lying[],
  seen: Iterable<TagPosition>,
  editor: EditorLinks,
): readonly TemplatePlace[] {
  const places = new Map<string, TemplatePlace>()
  const add = ({ template, line }: TagPosition, count: number) => {
    if (template === undefined) return
    const id = `${template}\n${line}`
    const sum = (places.get(id)?.entries ?? 0) + count
    places.set(id, { template, ...(line !== undefined && { line }), entries: sum })
  }
  for (const { subject } of entries) add(subject, 1)
  for (const position of seen) add(position, 0)
  const most = [...places.values()].sort((a, b) => b.entries - a.entries).slice(0, MAX_NAMES)
  return most.map((place) => {
    const inEditor = editor.to(place.template, place.line)
    return inEditor === undefined ? place : { ...place, inEditor }
  })
}

function tagsOf(entries: readonly Lying[]): readonly NamedCount[] {
  return countNames(entries, (tag) => tag.startsWith(OF_USER))
}

function fragmentsIn(entries: readonly Lying[]): readonly NamedCount[] {
  return countNames(entries, isFragmentTag)
}

function countNames(
  entries: readonly Lying[],
  isMeant: (stored: string) => boolean,
): readonly NamedCount[] {
  const counts = new Map<string, number>()
  for (const { tags } of entries) {
    // A fragment may be there as one of this cache and as one of another.
    const names = new Set([...tags.keys()].filter(isMeant).map(nameOf))
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return [...counts]
    .map(([name, count]) => ({ name, entries: count }))
    .sort((a, b) => b.entries - a.entries)
    .slice(0, MAX_NAMES)
}
