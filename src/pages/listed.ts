import { coreOf } from '../backend/core.js'
import type { Cache } from '../cache.js'
import { currentMs } from '../current-time.js'
import { readDescription, type EntryDescription } from '../describe.js'
import { generationKey, prefixOfPageKey } from '../http/page-key.js'
import { decodeStoredResponse, type StoredResponse } from '../http/stored-response.js'
import { defaultKeyFunction, type Version } from '../keys.js'
import { isOwnKey } from '../own-keys.js'
import { decodeGeneration } from './page-records.js'

/** What an entry is: a fragment has its name behind it. */
export type Kind = 'fragment' | 'page' | 'value'

/** An entry in a list. */
export interface ListedEntry extends Omit<EntryDescription, 'value' | 'alias'> {
  readonly kind: Kind
  /** Of a page. */
  readonly url?: string
}

/** Whether a store tells which entries it keeps. */
export function canList(cache: Cache): boolean {
  return coreOf(cache).store.listKeys !== undefined
}

/**
 * The live entries that a cache could have written, stale ones too, in no order; without what is kept for tags and
 * locks. None where the store cannot tell.
 *
 * @param isMeant - By the key, before an entry is read: all of them are passed by, and only some have to be read.
 * @param isEnough - Whether to leave it at that: asked before each part of the keys.
 */
export async function* listStored(
  cache: Cache,
  isMeant: (key: string) => boolean = () => true,
  isEnough: () => boolean = () => false,
): AsyncGenerator<ListedEntry, void, void> {
  const seen = new Set<string>()
  for await (const part of coreOf(cache).store.listKeys?.() ?? []) {
    if (isEnough()) return
    const keys = part.filter(
      (storedKey) => !seen.has(storedKey) && isMeant(split(cache, storedKey)?.key ?? storedKey),
    )
    for (let i = 0; i < keys.length; i += AT_ONCE) {
      const some = keys.slice(i, i + AT_ONCE)
      for (const storedKey of some) seen.add(storedKey)
      yield* (await Promise.all(some.map((one) => describeStored(cache, one)))).filter(isEntry)
    }
  }
}

/** Entries that are looked at together. */
const AT_ONCE = 100

const isEntry = (entry: ListedEntry | undefined): entry is ListedEntry => entry !== undefined

async function describeStored(cache: Cache, storedKey: string): Promise<ListedEntry | undefined> {
  const named = split(cache, storedKey)
  if (named === undefined ? isOwnKey(storedKey) : named.key.startsWith('fragcache.')) {
    return undefined
  }
  const { key, version } = named ?? { key: storedKey, version: coreOf(cache).settings.version }
  const found = await readDescription(coreOf(cache), { key, storedKey, version })
  // What only says by which headers the pages of a URL vary is no page.
  if (found === undefined || key.startsWith(PAGES_HEADERS)) return undefined
  const { value: _value, alias: _alias, ...entry } = found
  const kind = kindOf(key)
  const page = pageOf(found)
  if (page === undefined) return { ...entry, kind }
  if (await isDropped(cache, entry, page)) return undefined
  return { ...withFreshnessOf(page, entry), kind, url: page.uri }
}

function pageOf({
  key,
  value,
}: Pick<EntryDescription, 'key' | 'value'>): StoredResponse | undefined {
  return kindOf(key) === 'page' ? decodeStoredResponse(value, true) : undefined
}

/**
 * What is known of an entry; of a page, until when it answers on its own. Its store keeps it for longer, to have it
 * confirmed by the handler, or to send it while the handler fails.
 *
 * @returns `undefined`: there is none, or it is a page whose URL was invalidated, which nothing finds any more.
 */
export async function describeEntryOf(
  cache: Cache,
  key: string,
  options: { readonly version?: Version | undefined },
): Promise<EntryDescription | undefined> {
  const found = await cache.describe(key, options)
  if (found === undefined) return undefined
  const page = pageOf(found)
  if (page === undefined) return found
  return (await isDropped(cache, found, page)) ? undefined : withFreshnessOf(page, found)
}

function withFreshnessOf<T extends Pick<EntryDescription, 'freshUntilMs' | 'isStale'>>(
  { freshUntilMs: ownMs }: StoredResponse,
  entry: T,
): T {
  const endMs = Math.min(ownMs ?? Infinity, entry.freshUntilMs ?? Infinity)
  return {
    ...entry,
    freshUntilMs: endMs === Infinity ? null : endMs,
    isStale: entry.isStale || endMs <= currentMs(),
  }
}

/**
 * Why a page that lies in its store does not answer.
 *
 * @returns `undefined`: it does, or it is no page.
 */
export async function endOfPage(
  cache: Cache,
  entry: Pick<EntryDescription, 'key' | 'version' | 'value'>,
): Promise<'dropped' | { readonly expiredAtMs: number } | undefined> {
  const page = pageOf(entry)
  if (page === undefined) return undefined
  if (await isDropped(cache, entry, page)) return 'dropped'
  const { freshUntilMs } = page
  if (freshUntilMs === null || freshUntilMs > currentMs()) return undefined
  return { expiredAtMs: freshUntilMs }
}

/** Whether a page's URL was dropped, so that nothing finds the page any more. */
async function isDropped(
  cache: Cache,
  { key, version }: Pick<EntryDescription, 'key' | 'version'>,
  { uri, generation }: StoredResponse,
): Promise<boolean> {
  const keyPrefix = prefixOfPageKey(key, uri)
  if (keyPrefix === undefined) return false
  const core = coreOf(cache)
  const storedKey = core.keys.make(generationKey({ keyPrefix, uri }), version)
  const { hits } = await core.entries.lookup([storedKey], [], { isCurrent: true })
  return decodeGeneration(hits[0]?.value)?.generation !== generation
}

const PAGES_HEADERS = 'views.decorators.cache.cache_header.'

/**
 * Until when an entry is served, in milliseconds since the epoch: until it is stale, and one that is stale until its
 * store removes it. `null`: for ever.
 */
export function servedUntilMs({
  freshUntilMs,
  expiresAtMs,
  isStale,
}: Pick<ListedEntry, 'freshUntilMs' | 'expiresAtMs' | 'isStale'>): number | null {
  return isStale ? expiresAtMs : (freshUntilMs ?? expiresAtMs)
}

/** By the key that the cache was given. */
export function kindOf(key: string): Kind {
  if (key.startsWith('template.cache.')) return 'fragment'
  return key.startsWith('views.decorators.cache.cache_page.') ? 'page' : 'value'
}

/**
 * What the keys of all variants of a fragment, or of a URL's pages, begin with.
 *
 * @returns `undefined`: a value has no variants.
 */
export function familyOf(key: string): string | undefined {
  return /^(?:template\.cache\..*\.(?=[\da-f]{32}$)|views\.decorators\.cache\.cache_page\..*\.[A-Z]+\.[\da-f]{32}\.)/s.exec(
    key,
  )?.[0]
}

/** The key and version that a stored key was made of, where the key function lets them be seen. */
function split(
  cache: Cache,
  storedKey: string,
): { readonly key: string; readonly version: Version } | undefined {
  const { keyFunction, keyPrefix, version: own } = coreOf(cache).settings
  const before = `${keyPrefix}:`
  if (keyFunction !== defaultKeyFunction || !storedKey.startsWith(before)) return undefined
  const usual = `${before}${own}:`
  if (storedKey.startsWith(usual)) return { key: storedKey.slice(usual.length), version: own }
  const [, text = '', key = ''] = /^([^:]*):(.+)$/s.exec(storedKey.slice(before.length)) ?? []
  const version = /^-?\d{1,15}$/.test(text) ? Number(text) : text
  return key === '' ? undefined : { key, version }
}
