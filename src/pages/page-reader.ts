import type { Hit, KnownHit, Lookup } from '../backend/entries.js'
import { UNCHANGED } from '../backend/known-entries.js'
import { BoundedMemo, BoundedWeakMemo, MemoBudget } from '../bounded-memo.js'
import { ALL_OF_LOOKUP } from '../backend/calls.js'
import type { CacheCore } from '../backend/core.js'
import type { HeaderFields } from '../http/header-values.js'
import {
  answersRequest,
  bytesBeforeBody,
  decodeStoredResponse,
  type StoredHead,
  type StoredResponse,
} from '../http/stored-response.js'
import { ROUTED } from '../http/page-key.js'
import { growHeaderList } from '../http/vary.js'
import { normalizedHeaders } from '../http/vary-values.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { isSameList } from '../same-list.js'
import { NO_VERSIONS, type SeenVersions } from '../tags.js'
import { orFail } from './ask-cache.js'
import { KnownUris, type KnownUri } from './known-uris.js'
import type { PageLookup, PageRequest } from './page.js'

/** How pages are kept. */
export interface PageStoreOptions {
  /** At most so many variants of one URI, in one language and time zone, are kept; the oldest is dropped. */
  readonly maxVariants: number
  /** Header values that mean the same make the same key, and pages may set cookies. */
  readonly rfc9111: boolean
  /** For how long pages may answer when they are stale. If they may, those that a soft invalidation ended count. */
  readonly staleWhileRevalidate?: boolean | number
  readonly staleIfError?: boolean | number
}

/** Variants of a URI that are kept, unless the site says otherwise. */
export const MAX_VARIANTS = 256

/** Bytes of decoded pages that this process keeps, besides the texts in its caches. */
export const DECODED_BYTES = 32 * 1024 * 1024

const decodedPages = new MemoBudget(DECODED_BYTES)

export const AUTHORIZATION: readonly string[] = ['authorization']

export const NO_TAG_NAMES: readonly string[] = Object.freeze([])

interface Decoded {
  /** What the entry held when it was decoded: it may hold another page by now. */
  readonly text: string
  readonly page: StoredResponse
  readonly bytes: number
}

/** A page of a store that gives bytes, and what they begin with: the head, which no other page of its key has. */
class HeldPage implements KnownHit {
  readonly hit: Hit

  constructor(
    readonly start: Buffer,
    readonly length: number,
    readonly page: StoredResponse,
    { tags, stamp, value }: Hit,
  ) {
    this.hit = { value, tags, stamp, entry: this }
  }
}

const NOTHING: Pick<PageLookup, 'page' | 'pageTags' | 'isSoft'> = Object.freeze({
  page: undefined,
  pageTags: undefined,
  isSoft: false,
})

/** Reads the pages in one cache under one key prefix. */
export class PageReader {
  /** Counts the events of pages, so that it is known which of them happened after a handler began. */
  moment = 0
  readonly #known: KnownUris
  /** By the entry that holds the text, so that a page which is evicted is forgotten here too. */
  readonly #decoded = new BoundedWeakMemo<object, Decoded>(({ bytes }) => bytes, decodedPages)
  /** By stored key: what is read again and has not changed is neither sent nor decoded again. */
  readonly #held = new BoundedMemo<HeldPage>(
    ({ start, length }) => start.length + length,
    decodedPages,
  )
  readonly #knownHit = (storedKey: string) => this.#held.get(storedKey)
  readonly #wantsStale: boolean
  readonly #toStored = (key: string) => this.cache.checkedKey(key)

  constructor(
    readonly cache: CacheCore,
    keyPrefix: string,
    readonly options: PageStoreOptions,
  ) {
    this.#known = new KnownUris(keyPrefix)
    const { staleWhileRevalidate = false, staleIfError = false } = options
    this.#wantsStale = [staleWhileRevalidate, staleIfError].some(
      (one) => one !== false && one !== 0,
    )
  }

  /** The key a request's page has, or would have, if its URI varies on these headers. */
  keyOfPage(request: PageRequest, headerList: readonly string[]): string {
    // HEAD is answered from GET's page.
    return this.keyOf(this.knownOf(request), withRouted(headerList, request), request)
  }

  knownOf({ uri, language, timeZone }: PageRequest): KnownUri {
    return this.#known.of(uri, language, timeZone)
  }

  keyOf(known: KnownUri, headerList: readonly string[], { headers }: PageRequest): string {
    return known.keyOf(headerList, this.valuesOf(headerList, headers))
  }

  /** What keys and comparisons take from a request. */
  valuesOf(headerList: readonly string[], headers: HeaderFields): HeaderFields {
    return this.options.rfc9111 ? normalizedHeaders(headerList, headers) : headers
  }

  findAtOnce(request: PageRequest): PageLookup {
    const { moment } = this
    const known = this.knownOf(request)
    const generation = known.readGeneration(this.get(known, known.generationKey)?.value)
    const list = known.readHeaderList(this.get(known, known.headerListKey)?.value)
    const isKnown = list !== undefined && list.generation === generation
    const headerList = isKnown ? list.list : []
    const keys = this.candidates(known, request, headerList)
    const key = keys[0] ?? ''
    const hits = isKnown ? keys.map((one) => this.get(known, one)) : []
    // Copying properties by a spread would cost more than all the rest.
    const { page, pageTags, isSoft } = this.pick(known, request, generation, keys, hits)
    return {
      page,
      pageTags,
      isSoft,
      generation,
      headerList,
      key,
      isKnown,
      tags: NO_VERSIONS,
      moment,
    }
  }

  get(known: KnownUri, key: string): Hit | undefined {
    const hit = this.cache.entries.lookupOne(
      known.storedKey(key, this.#toStored),
      false,
      this.#wantsStale,
    )
    if (isPromise(hit)) throw new TypeError('a cache that answers at once gave a promise')
    return hit
  }

  /**
   * Finds a page with one read, if the URI still varies on the headers that it varied on last time; else with two.
   *
   * @param isCurrent - The answer must not come from a replica or from a copy in local memory.
   */
  find(request: PageRequest, tags: readonly string[], isCurrent = false): MaybePromise<PageLookup> {
    const { moment } = this
    const known = this.knownOf(request)
    const { guess } = known
    const guessed = this.candidates(known, request, guess)
    const records = [known.generationKey, known.headerListKey, ...guessed]
    return chain(this.read(records, known, tags, isCurrent), (first) => {
      const { hits, seen, lost } = first
      const generation = known.readGeneration(hits[0]?.value)
      const list = known.readHeaderList(hits[1]?.value)
      const headerList = list?.generation === generation ? list?.list : undefined
      if (headerList !== undefined && isSameList(headerList, guess)) {
        const { page, pageTags, isSoft } = this.pick(known, request, generation, guessed, hits, 2)
        const key = guessed[0] ?? ''
        return {
          page,
          pageTags,
          isSoft,
          generation,
          headerList,
          key,
          isKnown: true,
          tags: seen,
          moment,
          lying: lyingAt(first, 0, 2),
          lost: lost?.slice(2).find((one) => one !== undefined),
        }
      }
      const found = { generation, headerList: headerList ?? [], tags: seen, moment }
      if (headerList === undefined) {
        const key = this.candidates(known, request, [])[0] ?? ''
        const at = guessed.indexOf(key)
        return { ...found, ...NOTHING, key, isKnown: false, lying: lyingAt(first, at, 2) }
      }
      const keys = this.candidates(known, request, headerList)
      return chain(this.read(keys, known, NO_TAG_NAMES, isCurrent), (second) => {
        const picked = this.pick(known, request, generation, keys, second.hits)
        const key = keys[0] ?? ''
        return { ...found, ...picked, key, isKnown: true, lying: lyingAt(second, 0, 0) }
      })
    })
  }

  /**
   * The keys that a request's page may have. A request with `Authorization` has pages of its own, and may get
   * shared ones that say so. A request whose URL was rewritten has only pages of its own.
   */
  candidates(
    known: KnownUri,
    request: PageRequest,
    headerList: readonly string[],
  ): readonly string[] {
    const list = withRouted(headerList, request)
    const shared = this.keyOf(known, list, request)
    if (!isAuthorized(request) || list.includes('authorization')) return [shared]
    return [this.keyOf(known, growHeaderList(list, AUTHORIZATION), request), shared]
  }

  pick(
    known: KnownUri,
    request: PageRequest,
    generation: string | undefined,
    keys: readonly string[],
    hits: readonly (Hit | undefined)[],
    first = 0,
  ): Pick<PageLookup, 'page' | 'pageTags' | 'isSoft'> {
    for (let i = 0; i < keys.length; i++) {
      const hit = hits[first + i]
      const page = this.decode(hit)
      if (page === undefined || page.generation !== generation) continue
      const isForThis =
        !isAuthorized(request) || page.isForAuthorized || isNominated(page, 'authorization')
      const { address } = known
      if (isForThis && answersRequest(page, address, this.valuesFor(page, request))) {
        const softMs = hit?.staleSinceMs
        if (softMs === undefined) return { page, pageTags: hit?.tags, isSoft: false }
        return { page: endedAt(page, softMs), pageTags: hit?.tags, isSoft: true }
      }
    }
    return NOTHING
  }

  /** Whether a page that was just stored is the one a request would be given. */
  answers(page: StoredResponse, request: PageRequest): boolean {
    const { address } = this.knownOf(request)
    return answersRequest(page, address, this.valuesFor(page, request))
  }

  valuesFor({ nominated }: StoredHead, { headers }: PageRequest): HeaderFields {
    if (!this.options.rfc9111) return headers
    return normalizedHeaders(
      nominated.map(([name]) => name),
      headers,
    )
  }

  decode(hit: Hit | undefined): StoredResponse | undefined {
    if (hit === undefined) return undefined
    const { value, entry } = hit
    if (entry instanceof HeldPage) return entry.page
    const decoded = entry && this.#decoded.get(entry)
    if (decoded !== undefined && decoded.text === value) return decoded.page
    const page = decodeStoredResponse(value, this.options.rfc9111)
    if (page === undefined || entry === undefined || typeof value !== 'string') return page
    this.#decoded.set(entry, { text: value, page, bytes: bytesOfPage(page, value) })
    return page
  }

  /** Keeps a page that was read as bytes, so that it need not be sent again while it stays the same. */
  #hold(storedKey: string, hit: Hit, payload: unknown): Hit {
    const { value, entry } = hit
    if (entry !== undefined || !Buffer.isBuffer(value) || !Buffer.isBuffer(payload)) return hit
    const headEnd = bytesBeforeBody(value)
    const at = payload.length - value.length
    // Compressed, or written by a serializer of the user's, its start does not tell it from others.
    if (
      headEnd === undefined ||
      at < 0 ||
      value.compare(payload, at, at + headEnd, 0, headEnd) !== 0
    ) {
      return hit
    }
    const page = decodeStoredResponse(value, this.options.rfc9111)
    if (page === undefined) return hit
    const start = Buffer.from(payload.subarray(0, at + headEnd))
    const held = new HeldPage(start, payload.length, page, hit)
    this.#held.set(storedKey, held)
    return hit.staleSinceMs === undefined
      ? held.hit
      : { ...held.hit, staleSinceMs: hit.staleSinceMs }
  }

  /** The values of records. */
  async readValues(keys: readonly string[], known: KnownUri): Promise<readonly unknown[]> {
    return (await this.read(keys, known, NO_TAG_NAMES)).hits.map((hit) => hit?.value)
  }

  /** Reads what lies under the keys of pages now, also where copies of it lag. */
  async readSlots(keys: readonly string[], known: KnownUri): Promise<Lookup> {
    const storedKeys = keys.map((key) => known.storedKey(key, this.#toStored))
    return orFail(await this.cache.tryLookup(keys, storedKeys, [], { isCurrent: true }))
  }

  /** Reads several entries; from local memory without promises. */
  read(
    keys: readonly string[],
    known: KnownUri,
    tags: readonly string[],
    isCurrent = false,
  ): MaybePromise<Lookup> {
    const { cache } = this
    if (cache.answersAtOnce && tags.length === 0) {
      const read = (): Lookup => {
        const hits = keys.map((key) => this.get(known, key))
        return { hits, lying: [], seen: NO_VERSIONS }
      }
      return cache.calls.observed(keys.length === 1 ? 'get' : 'getMany', keys, read, ALL_OF_LOOKUP)
    }
    const storedKeys = keys.map((key) => known.storedKey(key, this.#toStored))
    const expected = known.tags.length === 0 ? tags : [...new Set([...tags, ...known.tags])]
    const options = { stale: this.#wantsStale, toMake: true, isCurrent, known: this.#knownHit }
    return chain(cache.tryLookup(keys, storedKeys, expected, options), (answer) => {
      const { hits: found, lying, seen, lost } = orFail(answer)
      const hits = found.map((hit, i) => hit && this.#hold(storedKeys[i] ?? '', hit, lying[i]))
      const own = hits.find((hit) => hit?.tags !== undefined)?.tags
      if (own !== undefined) this.#known.learnTags(known, own)
      return { hits, lying, lost, seen: tags.length === 0 ? NO_VERSIONS : seenOf(seen, tags) }
    })
  }
}

/** A page that a soft invalidation ended early; not even `max-stale` of a request revives it. */
function endedAt(page: StoredResponse, softMs: number): StoredResponse {
  const freshUntilMs = Math.min(page.freshUntilMs ?? Infinity, softMs)
  return { ...page, freshUntilMs, mayBeStale: false }
}

const ROUTED_LIST: readonly string[] = [ROUTED]

/**
 * The fields by which a request's page is keyed. A rewritten target is not part of the stored list, since requests
 * that are not rewritten must not be keyed by it.
 */
export function withRouted(
  headerList: readonly string[],
  { headers }: PageRequest,
): readonly string[] {
  return headers[ROUTED] === undefined ? headerList : growHeaderList(headerList, ROUTED_LIST)
}

export function isAuthorized({ headers }: PageRequest): boolean {
  return headers['authorization'] !== undefined
}

/** An estimate of a page's bytes: its bodies, and the head, which is kept as text and decoded. */
function bytesOfPage({ body, encoded }: StoredResponse, text: string): number {
  const bodies = encoded.reduce((sum, { length }) => sum + length, body.length)
  return 1000 + bodies + 3 * (text.length - bodies)
}

function isNominated({ nominated }: StoredHead, name: string): boolean {
  return nominated.some((header) => header[0] === name)
}

/** The versions of the tags that were asked for; others were read for the page itself. */
function seenOf(seen: SeenVersions, tags: readonly string[]): SeenVersions {
  return new Map(tags.map((tag) => [tag, seen.get(tag)]))
}

/**
 * What is stored under a page's key.
 *
 * @returns `undefined`: it was not read, as where local memory answers.
 */
function lyingAt(
  { hits, lying }: Pick<Lookup, 'hits' | 'lying'>,
  at: number,
  first: number,
): PageLookup['lying'] {
  if (at < 0 || lying.length === 0) return undefined
  const payload = lying[first + at]
  const isUnread = payload === undefined && hits[first + at] !== undefined
  return isUnread || payload === UNCHANGED ? undefined : { payload }
}
