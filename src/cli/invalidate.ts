import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { coreOf } from '../backend/core.js'
import type { Cache } from '../cache.js'
import { FragmentCache } from '../fragment/render.js'
import { md5, toAbsoluteUri } from '../http/page-key.js'
import { operationChannel, type OperationMessage } from '../observe/channels.js'
import { foreignTag, fragmentTag, userTag } from '../tags.js'
import type { InvalidatesPages } from './config.js'
import { CommandError, errorLine, UsageError } from './faults.js'
import type { ListedEntry } from '../pages/listed.js'
import { countEntries, showEntryCount } from './listing.js'
import { Samples, showSample } from './samples.js'
import type { Session } from './session.js'
import { EXIT_DONE, visibleName, type ExitCode } from './terminal.js'

export interface InvalidateArguments {
  readonly fragment?: string | undefined
  readonly tag?: string | undefined
  readonly url?: string | undefined
  readonly using?: string | undefined
  readonly soft?: boolean | undefined
  readonly dryRun?: boolean | undefined
}

/** Checks what needs no caches. @throws UsageError */
export function checkInvalidation({ fragment, tag, url, using, soft }: InvalidateArguments): void {
  const given = Object.entries({ fragment, tag, url }).filter(([, value]) => value !== undefined)
  if (given.length !== 1) {
    throw new UsageError(
      given.length === 0
        ? 'invalidate: nothing to invalidate is given; give --fragment NAME, --tag TAG or --url URL'
        : `invalidate: --${given.map(([name]) => name).join(' and --')} are given; give only one`,
    )
  }
  const [[name, value] = ['', '']] = given
  if (value === '') throw new UsageError(`invalidate: --${name} is empty`)
  if (url !== undefined && using !== undefined) {
    throw new UsageError(
      'invalidate: --using has no effect with --url: a URL is invalidated in all caches',
    )
  }
  if (url !== undefined && soft === true) {
    throw new UsageError('invalidate: --soft has no effect with --url: pages are rendered again')
  }
  if (url !== undefined && !URL.canParse(url)) {
    throw new UsageError(
      `invalidate: --url ${JSON.stringify(url)} is not an absolute URL; give one such as https://example.com/countries/de`,
    )
  }
}

/** Makes a fragment, whatever has a tag, or a page a miss; if soft, stale. */
export async function invalidate(session: Session, args: InvalidateArguments): Promise<ExitCode> {
  const { fragment, tag, url, using, soft = false, dryRun = false } = args
  if (using !== undefined) session.cache(using)
  if (url !== undefined) {
    await (dryRun ? foretellUrl(session, url) : invalidateUrl(session, url))
  } else if (fragment !== undefined) {
    await invalidateFragment(session, fragment, using, { soft, dryRun })
  } else if (tag !== undefined) {
    await invalidateTag(session, tag, using, { soft, dryRun })
  }
  return EXIT_DONE
}

interface How {
  readonly soft: boolean
  readonly dryRun: boolean
}

const became = (soft: boolean): string => (soft ? 'stale' : 'invalidated')

/** Most time for counting what is there, before it is invalidated: a large store takes minutes. */
const COUNTING_LIMIT_MS = 2_000

async function invalidateUrl(session: Session, url: string): Promise<void> {
  const pages = pagesOf(session)
  const away = await session.unreachable(session.caches.aliases)
  const reached = session.caches.aliases.filter((alias) => !away.includes(alias))
  const found = await countIn(session, reached, isPageOf(url), COUNTING_LIMIT_MS)
  const aliases = await aliasesUsed(session, () => pages.invalidate(url))
  const lost = aliases.filter((alias) => away.includes(alias))
  if (aliases.length > 0 && lost.length === aliases.length) {
    throw new CommandError(
      `invalidate: the pages are kept in the memory of the application's own process (${lost.join(', ')}), which this command cannot reach; use the inspector of the application`,
    )
  }
  sayUnreached(session, lost)
  const entries = Object.fromEntries(
    Object.entries(found).filter(([alias]) => aliases.includes(alias)),
  )
  session.result({ url, entries }, () => `${url}: ${showDone(false, entries)}`)
}

/** @throws CommandError: the configuration exports none. */
function pagesOf({ config: { pages, path } }: Session): InvalidatesPages {
  if (pages !== undefined) return pages
  throw new CommandError(
    `invalidate: --url needs to know the pages: let ${path} export { caches, pages } with the result of responseCache`,
  )
}

/** Tells the variants of a page: part of every page's key is the digest of its URL. */
function isPageOf(url: string): (entry: ListedEntry) => boolean {
  const mark = `.${md5(toAbsoluteUri(url))}.`
  return ({ key, kind }) => kind === 'page' && key.includes(mark)
}

async function foretellUrl(session: Session, url: string): Promise<void> {
  pagesOf(session)
  const reached = await reachedAliases(session)
  await foretell(session, { url }, url, reached, isPageOf(url))
}

async function invalidateFragment(
  session: Session,
  fragment: string,
  using: string | undefined,
  { soft, dryRun }: How,
): Promise<void> {
  const { caches } = session
  const alias = using ?? ['template_fragments', 'default'].find((name) => caches.has(name))
  if (alias === undefined) {
    throw new CommandError(
      'invalidate: there is no cache called template_fragments or default; name the one with --using',
    )
  }
  await session.reachable(alias)
  const away = await session.unreachable(caches.aliases)
  sayUnreached(session, away, '; entries that contain the fragment may stay there')
  const what = `fragment ${JSON.stringify(fragment)} in ${alias}`
  const aliases = caches.aliases.filter((one) => !away.includes(one))
  const isMeant = (entry: ListedEntry) => entry.fragments.includes(fragment)
  if (dryRun) {
    const given = { fragment, using: alias, soft }
    return foretell(session, given, `${what}, and what contains it`, aliases, isMeant)
  }
  const tag = fragmentTag(fragment)
  const tagIn = (one: string) => (one === alias ? tag : foreignTag(tag))
  const { known, entries } = await countBefore(session, aliases, tagIn, isMeant)
  const fragments = new FragmentCache(caches)
  await inAll(session, () => fragments.invalidate(fragment, { using: alias, soft }))
  session.result(
    { fragment, using: alias, soft, counters: known.includes(alias) ? 1 : 0, entries },
    () => `${what}: ${showDone(soft, entries)}`,
  )
}

async function invalidateTag(
  session: Session,
  tag: string,
  using: string | undefined,
  { soft, dryRun }: How,
): Promise<void> {
  const { caches } = session
  const reached = using === undefined ? await reachedAliases(session) : [using]
  if (using !== undefined) await session.reachable(using)
  const what = `tag ${JSON.stringify(tag)}`
  const isMeant = ({ tags }: ListedEntry) => tags.includes(tag)
  if (dryRun) {
    return foretell(session, { tag, aliases: reached, soft }, what, reached, isMeant)
  }
  const { known, entries } = await countBefore(session, reached, () => userTag(tag), isMeant)
  if (using === undefined) {
    await inAll(session, () => caches.invalidateTags([tag], { soft }))
  } else {
    await session.strictly(() => caches.get(using).invalidateTags([tag], { soft }))
  }
  session.result(
    { tag, aliases: reached, soft, counters: known.length, entries },
    () => `${what}: ${showDone(soft, entries)}`,
  )
}

/** The caches whose entries can be reached from here; says which can not. @throws CommandError: there is none. */
async function reachedAliases(session: Session): Promise<string[]> {
  const { aliases } = session.caches
  const away = await session.unreachable(aliases)
  sayUnreached(session, away)
  if (away.length < aliases.length) return aliases.filter((alias) => !away.includes(alias))
  throw new CommandError('invalidate: there is no cache that can be reached from here')
}

/**
 * Whether a cache has a counter of a stored tag: it is begun before the first entry that has the tag is stored. One that
 * was lost took these entries with it.
 */
async function hasCounter(cache: Cache, storedTag: string): Promise<boolean> {
  const { entries } = coreOf(cache)
  try {
    const { seen } = await entries.lookup([], [storedTag], { isCurrent: true })
    return seen.get(storedTag) !== undefined
  } catch {
    // The store fails, which the invalidation tells.
    return true
  }
}

type Counts = Readonly<Record<string, number | null>>

/**
 * Says what an invalidation would do.
 *
 * @param given - What is to be invalidated, for JSON.
 * @param what - The same for people.
 */
async function foretell(
  session: Session,
  given: { readonly soft?: boolean; readonly [name: string]: unknown },
  what: string,
  aliases: readonly string[],
  isMeant: (entry: ListedEntry) => boolean,
): Promise<void> {
  const samples = new Map(aliases.map((alias) => [alias, new Samples()]))
  const entries = await countIn(session, aliases, (entry, alias) => {
    const isOne = isMeant(entry)
    if (isOne) samples.get(alias)?.add(entry)
    return isOne
  })
  const found = [...samples].map(([alias, { all }]) => [alias, all] as const)
  session.result({ dryRun: true, ...given, entries, found: Object.fromEntries(found) }, () => {
    const lines = found.flatMap(([alias, all]) =>
      all.map((one) => `  ${alias}: ${showSample(one)}`),
    )
    const counts = `${what}: would be ${became(given.soft === true)}: ${showCounts(entries)}`
    return [counts, ...lines].join('\n')
  })
}

/**
 * How many entries that are meant each cache has, by alias.
 *
 * @param withinMs - Omitted: it takes what time it takes, and throws where a store fails. Otherwise a cache that fails
 *   or is not done by then is not counted.
 */
async function countIn(
  session: Session,
  aliases: readonly string[],
  isMeant: (entry: ListedEntry, alias: string) => boolean,
  withinMs?: number,
): Promise<Counts> {
  const count = async (alias: string) => {
    const isOne = (entry: ListedEntry) => isMeant(entry, alias)
    const counting = countEntries(session, alias, isOne, withinMs)
    return [alias, await (withinMs === undefined ? counting : counting.catch(() => null))] as const
  }
  return Object.fromEntries(await Promise.all(aliases.map(count)))
}

/** What an invalidation will reach. It waits neither for a store that fails nor for one that has much to look through. */
async function countBefore(
  session: Session,
  aliases: readonly string[],
  tagIn: (alias: string) => string,
  isMeant: (entry: ListedEntry) => boolean,
): Promise<{ readonly known: readonly string[]; readonly entries: Counts }> {
  const asked = await Promise.all(
    aliases.map(async (alias) =>
      (await hasCounter(session.cache(alias), tagIn(alias))) ? alias : [],
    ),
  )
  const known = asked.flat()
  const found = await countIn(session, known, isMeant, COUNTING_LIMIT_MS)
  const none = Object.fromEntries(aliases.map((alias) => [alias, 0]))
  return { known, entries: { ...none, ...found } }
}

/** What an invalidation did, where these entries were before it. */
function showDone(soft: boolean, entries: Counts): string {
  const counts = Object.entries(entries)
  if (counts.every(([, count]) => count === 0)) {
    return `no entry in ${counts.map(([alias]) => alias).join(' or ')} belongs to it`
  }
  const parts = counts.map(([alias, count]) =>
    count === null
      ? `what there was in ${alias} (not counted)`
      : `${showEntryCount(count)} in ${alias}`,
  )
  return `${became(soft)}: ${parts.join(', ')}`
}

function showCounts(entries: Counts): string {
  return Object.entries(entries)
    .map(([alias, count]) => `${showEntryCount(count)} in ${alias}`)
    .join(', ')
}

async function inAll(session: Session, action: () => Promise<void>): Promise<void> {
  const failures = await session.failuresOf(action)
  if (failures.size === 0) return
  const told = [...failures].map(
    ([alias, error]) => `${errorLine(error)}, in ${visibleName(alias)}`,
  )
  const { caches } = session
  const count = new Set(caches.aliases.map((alias) => caches.get(alias))).size
  const rest = failures.size < count ? '; all other caches were invalidated' : ''
  throw new CommandError(`invalidate: ${told.join('; ')}${rest}`)
}

/** The caches that something uses; only caches know which ones keep the pages. */
async function aliasesUsed(session: Session, action: () => Promise<void>): Promise<string[]> {
  const used = new Set<string>()
  const note = (message: unknown) => void used.add((message as OperationMessage).alias)
  subscribe(operationChannel.name, note)
  try {
    await session.strictly(action)
  } finally {
    unsubscribe(operationChannel.name, note)
  }
  return session.caches.aliases.filter((alias) => used.has(alias))
}

/** Says which caches were left out, and what that means where it is not plain. */
function sayUnreached(session: Session, away: readonly string[], meaning = ''): void {
  if (away.length === 0) return
  session.say(
    `invalidate: not reached, since it is in the memory of the application's own process: ${away.join(', ')}${meaning}`,
  )
}
