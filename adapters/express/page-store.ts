import { LRUCache } from 'lru-cache'
import { NO_TAGS, type TagSnapshot } from '../../src/backend.js'
import type { Cache } from '../../src/cache.js'
import { CacheBackendError } from '../../src/errors.js'
import type { Frame } from '../../src/fragment/frame.js'
import type { HeaderFields } from '../../src/http/header-values.js'
import {
  generationKey,
  pageKey,
  variantHash,
  variantKey,
  variantsKey,
} from '../../src/http/page-key.js'
import {
  decodeGeneration,
  decodeVariants,
  encodeGeneration,
  encodeHeaderList,
  encodeVariants,
  type GenerationRecord,
  type HeaderListRecord,
} from '../../src/http/page-records.js'
import {
  answersRequest,
  decodeStoredResponse,
  encodeStoredResponse,
  encodeStoredText,
  nominate,
  type StoredHead,
  type StoredResponse,
} from '../../src/http/stored-response.js'
import { growHeaderList, toHeaderList } from '../../src/http/vary.js'
import { normalizedHeaders } from '../../src/http/vary-values.js'
import { chain, isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import { operationChannel } from '../../src/observe.js'
import { newTagVersion } from '../../src/tags.js'
import { isExpired, type Deadline } from '../../src/timeout.js'
import { KnownUris, type KnownUri } from './known-uris.js'

/** A request that may be answered from the cache. */
export interface PageRequest {
  /** `GET` or `HEAD`. */
  readonly method: string
  /** Absolute, as sent. */
  readonly uri: string
  readonly language: string | undefined
  readonly timeZone: string | undefined
  readonly headers: HeaderFields
}

/** What a lookup found. */
export interface PageLookup {
  /** Fresh or not. */
  readonly page: StoredResponse | undefined
  /** The URI's generation; `undefined` if there is none yet. */
  readonly generation: string | undefined
  /** The headers the URI's responses are known to vary on. */
  readonly headerList: readonly string[]
  /** The key the request's page has, as far as is known. */
  readonly key: string
  /** Its URI has pages, or had of late. */
  readonly isKnown: boolean
  /** The versions of the tags that were asked for. */
  readonly tags: TagSnapshot
  /** When, in the order of what happens in this store. */
  readonly moment: number
}

/** A response to store. */
export interface NewPage {
  /** What the response itself knows of its head. */
  readonly head: Omit<
    StoredHead,
    'uri' | 'language' | 'timeZone' | 'generation' | 'nominated' | 'codings'
  >
  readonly body: readonly Uint8Array[]
  /** The body in other codings. */
  readonly encoded?: readonly (readonly [coding: string, body: Buffer])[]
  /** The names in its `Vary`, in lower case. */
  readonly vary: readonly string[]
  /** It is of use until then, fresh or not. Milliseconds since the epoch; `null`: without end. */
  readonly keptUntilMs: Deadline
  /** It collected what the fragments inside depend on. */
  readonly frame: Frame
}

/**
 * What became of a response that was to be stored: it is; the URI was invalidated since its view
 * began; its time was up; the cache would not take it; it failed; or too many wait to be stored for
 * this URI.
 */
export type StoreOutcome =
  'stored' | 'invalidated' | 'stale' | 'cache-refused' | 'cache-failed' | 'busy'

/** How pages are kept. */
export interface PageStoreOptions {
  /** More of one URI, in one language and time zone, are not kept; the oldest goes. */
  readonly maxVariants: number
  /** Values of headers that mean the same make the same key, and pages may set cookies. */
  readonly rfc9111: boolean
}

/** Variants of a URI that are kept, unless the site says otherwise. */
export const MAX_VARIANTS = 256

/** How long anybody waits for the cache. Backends have shorter limits; this is for those without. */
const LIMIT_MS = 2000

/** How long a lookup waits for a page that is being stored. */
const WRITING_LIMIT_MS = 500

/** How long at least an invalidation stands against views that began before it. */
const INVALIDATION_SECONDS = 300

/** More responses of one URI than this do not wait for each other. */
const MAX_WAITING = 16

/** Bytes of pages that are kept decoded where the cache keeps them as texts. */
const DECODED_BYTES = 16 * 1024 * 1024

/** Dropped variants that are remembered, so that a view that is running does not bring one back. */
const MAX_DROPPED = 1000

const AUTHORIZATION: readonly string[] = ['authorization']

const NO_TAG_NAMES: readonly string[] = Object.freeze([])

interface Decoded {
  readonly value: unknown
  readonly page: StoredResponse
}

/** The pages in one cache under one key prefix. */
export class PageStore {
  readonly #writes = new Map<string, { last: Promise<unknown>; count: number }>()
  /** Invalidations that the cache has not confirmed yet. */
  readonly #invalidations = new Map<string, Promise<unknown>>()
  readonly #dropped = new LRUCache<string, number>({ max: MAX_DROPPED })
  readonly #known: KnownUris
  readonly #decoded: LRUCache<string, Decoded>
  #moment = 0

  constructor(
    readonly cache: Cache,
    readonly alias: string,
    readonly keyPrefix: string,
    readonly options: PageStoreOptions = { maxVariants: MAX_VARIANTS, rfc9111: false },
  ) {
    // A prefix that the cache cannot take shows now, not page by page.
    cache.checkedKey(generationKey({ keyPrefix, uri: '' }))
    this.#known = new KnownUris(keyPrefix)
    this.#decoded = new LRUCache({
      maxSize: DECODED_BYTES,
      maxEntrySize: DECODED_BYTES / 8,
      sizeCalculation: ({ page }) => 512 + page.body.length,
    })
  }

  /** The key a request's page has, or would have, if its URI varies on these headers. */
  keyOf(request: PageRequest, headerList: readonly string[]): string {
    // HEAD is answered from GET's page.
    return this.#keyOf(this.#knownOf(request), headerList, request)
  }

  #knownOf({ uri, language, timeZone }: PageRequest): KnownUri {
    return this.#known.of(uri, language, timeZone)
  }

  #keyOf(known: KnownUri, headerList: readonly string[], { headers }: PageRequest): string {
    return known.keyOf(headerList, this.#valuesOf(headerList, headers))
  }

  /** What keys and comparisons take from a request. */
  #valuesOf(headerList: readonly string[], headers: HeaderFields): HeaderFields {
    return this.options.rfc9111 ? normalizedHeaders(headerList, headers) : headers
  }

  /**
   * Looks for a request's page.
   *
   * @param tags - Their versions are read along.
   * @returns At once where the cache answers at once.
   * @throws CacheBackendError: the cache failed, or took too long.
   */
  lookup(request: PageRequest, tags: readonly string[] = NO_TAG_NAMES): MaybePromise<PageLookup> {
    const invalidation = this.#invalidations.get(request.uri)
    if (invalidation !== undefined) {
      return withinLimit(invalidation).then(() => this.#lookup(request, tags))
    }
    return this.#lookup(request, tags)
  }

  #lookup(request: PageRequest, tags: readonly string[]): MaybePromise<PageLookup> {
    const found = this.#find(request, tags)
    if (!isPromise(found)) return found
    return withinLimit(
      found.then((lookup) => {
        const writing = lookup.page === undefined ? this.#writes.get(request.uri) : undefined
        if (writing === undefined) return lookup
        // Just answered here and on its way into the cache: worth a moment.
        return withinLimit(writing.last, WRITING_LIMIT_MS).then(
          () => this.#find(request, tags),
          () => lookup,
        )
      }),
    )
  }

  /**
   * As {@link lookup}, where the cache answers at once and nobody watches it: without detours.
   *
   * @returns `undefined` where it has to be asked the other way.
   */
  lookupAtOnce(request: PageRequest): PageLookup | undefined {
    const { cache } = this
    if (!cache.answersAtOnce || operationChannel.hasSubscribers) return undefined
    if (this.#invalidations.has(request.uri)) return undefined
    const found = cache.guarded('getMany', () => this.#findAtOnce(request))
    return isPromise(found) ? undefined : found
  }

  #findAtOnce(request: PageRequest): PageLookup {
    const moment = this.#moment
    const known = this.#knownOf(request)
    const generation = known.readGeneration(this.#get(known.generationKey))
    const list = known.readHeaderList(this.#get(known.headerListKey))
    const isKnown = list !== undefined && list.generation === generation
    const headerList = isKnown ? list.headerList : []
    const keys = this.#candidates(known, request, headerList)
    const key = keys[0] ?? ''
    const page = isKnown
      ? this.#pick(
          known,
          request,
          generation,
          keys,
          keys.map((one) => this.#get(one)),
        )
      : undefined
    return { page, generation, headerList, key, isKnown, tags: NO_TAGS, moment }
  }

  #get(key: string): unknown {
    const { cache } = this
    const hit = cache.lookupOne(cache.checkedKey(key))
    if (isPromise(hit)) throw new TypeError('a cache that answers at once gave a promise')
    return hit?.value
  }

  /** One read where the URI varies on what it varied on when it was last seen here, else two. */
  #find(request: PageRequest, tags: readonly string[]): MaybePromise<PageLookup> {
    const moment = this.#moment
    const known = this.#knownOf(request)
    const { guess } = known
    const guessed = this.#candidates(known, request, guess)
    const records = [known.generationKey, known.headerListKey, ...guessed]
    return chain(this.#read(records, known, tags), ({ values, snapshot }) => {
      const generation = known.readGeneration(values[0])
      const list = known.readHeaderList(values[1])
      const headerList = list?.generation === generation ? list?.headerList : undefined
      const found = { generation, headerList: headerList ?? [], tags: snapshot, moment }
      if (headerList === undefined) {
        return {
          ...found,
          page: undefined,
          key: this.#candidates(known, request, [])[0] ?? '',
          isKnown: false,
        }
      }
      if (isSameList(headerList, guess)) {
        const page = this.#pick(known, request, generation, guessed, values.slice(2))
        return { ...found, page, key: guessed[0] ?? '', isKnown: true }
      }
      const keys = this.#candidates(known, request, headerList)
      return chain(this.#read(keys, known, NO_TAG_NAMES), (second) => {
        const page = this.#pick(known, request, generation, keys, second.values)
        return { ...found, page, key: keys[0] ?? '', isKnown: true }
      })
    })
  }

  /**
   * The keys a request's page may have. One with `Authorization` has pages of its own, and may have
   * those that are meant for it too.
   */
  #candidates(
    known: KnownUri,
    request: PageRequest,
    headerList: readonly string[],
  ): readonly string[] {
    const shared = this.#keyOf(known, headerList, request)
    if (!isAuthorized(request) || headerList.includes('authorization')) return [shared]
    return [this.#keyOf(known, growHeaderList(headerList, AUTHORIZATION), request), shared]
  }

  #pick(
    known: KnownUri,
    request: PageRequest,
    generation: string | undefined,
    keys: readonly string[],
    values: readonly unknown[],
  ): StoredResponse | undefined {
    for (const [i, key] of keys.entries()) {
      const page = this.#decode(key, values[i])
      if (page === undefined || page.generation !== generation) continue
      const isForThis =
        !isAuthorized(request) || page.isForAuthorized || isNominated(page, 'authorization')
      const { address } = known
      if (isForThis && answersRequest(page, address, this.#valuesFor(page, request))) return page
    }
    return undefined
  }

  /** Whether a page that was just stored is the one a request would be given. */
  answers(page: StoredResponse, request: PageRequest): boolean {
    const { address } = this.#knownOf(request)
    return answersRequest(page, address, this.#valuesFor(page, request))
  }

  #valuesFor({ nominated }: StoredHead, { headers }: PageRequest): HeaderFields {
    if (!this.options.rfc9111) return headers
    return normalizedHeaders(
      nominated.map(([name]) => name),
      headers,
    )
  }

  #decode(key: string, value: unknown): StoredResponse | undefined {
    if (value === undefined) return undefined
    const decoded = typeof value === 'string' ? this.#decoded.get(key) : undefined
    if (decoded !== undefined && decoded.value === value) return decoded.page
    const page = decodeStoredResponse(value, this.options.rfc9111)
    if (page !== undefined && typeof value === 'string') this.#decoded.set(key, { value, page })
    return page
  }

  /** Local memory is asked without detours while nobody watches. */
  #read(
    keys: readonly string[],
    known: KnownUri,
    tags: readonly string[],
  ): MaybePromise<{ readonly values: readonly unknown[]; readonly snapshot: TagSnapshot }> {
    const { cache } = this
    if (cache.answersAtOnce && tags.length === 0 && !operationChannel.hasSubscribers) {
      const values = cache.guarded('getMany', () => keys.map((key) => this.#get(key)))
      return chain(values, (all) => ({ values: all, snapshot: NO_TAGS }))
    }
    const storedKeys = keys.map((key) => cache.checkedKey(key))
    const expected = known.tags.length === 0 ? tags : [...new Set([...tags, ...known.tags])]
    return chain(cache.tryLookup(keys, storedKeys, expected), (answer) => {
      const { hits, snapshot } = orFail(answer)
      const own = hits.find((hit) => hit?.tags !== undefined)?.tags
      if (own !== undefined) known.tags = [...own.keys()]
      return {
        values: hits.map((hit) => hit?.value),
        snapshot: tags.length === 0 ? NO_TAGS : snapshotOf(snapshot, tags),
      }
    })
  }

  /**
   * Stores a response.
   *
   * @param seen - What the lookup before the view found. An invalidation since then wins.
   * @returns Also the page as it is stored, for those who wait for it.
   * @remarks One at a time per URI in this process. Between processes nothing is lost that could
   *   make a page answer for another: at worst one is stored that nobody finds.
   */
  store(
    request: PageRequest,
    page: NewPage,
    seen: PageLookup,
  ): Promise<{ readonly outcome: StoreOutcome; readonly page?: StoredResponse }> {
    return this.#inTurn(request.uri, () => this.#store(request, page, seen)).catch(
      (error: unknown) => {
        if (error instanceof CacheBackendError) return { outcome: 'cache-failed' as const }
        throw error
      },
    )
  }

  #inTurn<T>(uri: string, write: () => Promise<T>): Promise<T | { readonly outcome: 'busy' }> {
    const turn = this.#writes.get(uri)
    if (turn !== undefined && turn.count >= MAX_WAITING) {
      return Promise.resolve({ outcome: 'busy' as const })
    }
    const entry = turn ?? { last: Promise.resolve(), count: 0 }
    this.#writes.set(uri, entry)
    entry.count++
    const result = entry.last.then(() => withinLimit(write()))
    entry.last = result
      .then(ignore, ignore)
      .then(() => void (--entry.count === 0 && this.#writes.delete(uri)))
    return result
  }

  async #store(
    request: PageRequest,
    page: NewPage,
    seen: PageLookup,
  ): Promise<{ readonly outcome: StoreOutcome; readonly page?: StoredResponse }> {
    const { cache } = this
    const { keptUntilMs } = page
    if (isExpired(keptUntilMs, Date.now())) return { outcome: 'stale' }
    await this.#invalidations.get(request.uri)
    const known = this.#knownOf(request)
    const { address } = known
    const keys = [known.generationKey, known.headerListKey, variantsKey(address, known.uriHash)]
    const [first, second, third] = (await this.#read(keys, known, NO_TAG_NAMES)).values
    const current = decodeGeneration(first)
    if (!isStillSeen(current, seen)) return { outcome: 'invalidated' }
    const generation = current?.generation ?? newTagVersion()

    const list = known.readHeaderList(second)
    const before = list?.generation === generation ? list : undefined
    const learned = toHeaderList(page.vary, request.language !== undefined)
    const headerList = before === undefined ? learned : growHeaderList(before.headerList, learned)
    // Not in the list itself: whoever sends credentials would split everybody's pages.
    const isPrivateToSender = isAuthorized(request) && !page.head.isForAuthorized
    const keyedBy = isPrivateToSender ? growHeaderList(headerList, AUTHORIZATION) : headerList
    const values = this.#valuesOf(keyedBy, request.headers)
    const variant = variantHash(keyedBy, values)
    const key = variantKey(address, 'GET', variant, known.uriHash)
    if ((this.#dropped.get(key) ?? -1) > seen.moment) return { outcome: 'invalidated' }
    const encoded = page.encoded ?? []
    const head: StoredHead = {
      ...page.head,
      uri: request.uri,
      language: request.language,
      timeZone: request.timeZone,
      generation,
      nominated: nominate(keyedBy, values),
      codings: encoded.map(([coding, body]) => [coding, body.length] as const),
    }
    // Texts are kept by reference where answers come at once; bytes would be copied on each hit.
    const encode = cache.answersAtOnce ? encodeStoredText : encodeStoredResponse
    const value = encode(head, [...page.body, ...encoded.map(([, body]) => body)])

    const writes: Write[] = []
    if (current === undefined) {
      const value = encodeGeneration({ generation, invalidated: false, expiresAtMs: keptUntilMs })
      // What is there and cannot be read is no invalidation to keep.
      writes.push({
        key: keys[0] ?? '',
        value,
        expiresAtMs: keptUntilMs,
        ifAbsent: first === undefined,
      })
    } else if (isLater(keptUntilMs, current.expiresAtMs)) {
      // Never written over: that could undo an invalidation of another process.
      await cache.touch(known.generationKey, { timeout: secondsUntil(keptUntilMs) })
    }
    const listUntilMs = latest(keptUntilMs, before)
    if (headerList !== before?.headerList || listUntilMs !== before.expiresAtMs) {
      const value = encodeHeaderList({ generation, expiresAtMs: listUntilMs, headerList })
      writes.push({ key: known.headerListKey, value, expiresAtMs: listUntilMs })
    }
    const surplus =
      keyedBy.length === 0
        ? []
        : this.#count(variant, generation, third, page, writes, keys[2] ?? '')
    writes.push({ key, value, expiresAtMs: keptUntilMs })

    const tags = await this.#snapshot(page.frame)
    if (tags === undefined) return { outcome: 'invalidated' }
    const outcomes = await cache.tryStore(
      writes.map((write) => write.key),
      writes.map((write, i) => ({
        storedKey: cache.checkedKey(write.key),
        value: write.value,
        expiresAtMs: write.expiresAtMs,
        ...(write.ifAbsent === true && { ifAbsent: true }),
        ...(i === writes.length - 1 && { tags }),
      })),
    )
    if (!orFail(outcomes).every((outcome) => outcome === 'stored')) {
      if (current === undefined) await this.#clearDamage(known)
      return { outcome: 'cache-refused' }
    }
    if (surplus.length > 0) {
      const gone = surplus.map((old) => variantKey(address, 'GET', old, known.uriHash))
      await cache.deleteMany(gone)
    }
    const stored = {
      ...head,
      body: Buffer.concat(page.body),
      encoded: encoded.map(([, body]) => body),
    }
    if (typeof value === 'string') this.#decoded.set(key, { value, page: stored })
    return { outcome: 'stored', page: stored }
  }

  /**
   * Counts a variant in.
   *
   * @returns The oldest ones, which have to go.
   */
  #count(
    variant: string,
    generation: string,
    value: unknown,
    { keptUntilMs }: NewPage,
    writes: Write[],
    key: string,
  ): readonly string[] {
    const record = decodeVariants(value)
    const before = record?.generation === generation ? record : undefined
    const expiresAtMs = latest(keptUntilMs, before)
    const isKnown = before?.variants.includes(variant) === true
    if (isKnown && expiresAtMs === before.expiresAtMs) return []
    const variants = isKnown ? before.variants : [...(before?.variants ?? []), variant]
    const surplus = variants.slice(0, Math.max(0, variants.length - this.options.maxVariants))
    const kept = variants.slice(surplus.length)
    const next = encodeVariants({ generation, expiresAtMs, variants: kept })
    writes.push({ key, value: next, expiresAtMs })
    return surplus
  }

  /** A damaged record reads as none, and still no other can be added: the next page is to be kept. */
  async #clearDamage(known: KnownUri): Promise<void> {
    const key = known.generationKey
    const [value] = (await this.#read([key], known, NO_TAG_NAMES)).values
    if (decodeGeneration(value) === undefined) await this.cache.delete(key)
  }

  /**
   * What the fragments in the page depend on, the page depends on too; `undefined` if it was
   * invalidated meanwhile.
   */
  #snapshot(frame: Frame): MaybePromise<TagSnapshot | undefined> {
    const { tags, unborn } = frame
    if (tags === undefined) return NO_TAGS
    const versions = new Map<string, string>()
    const unread: string[] = []
    for (const [tag, version] of tags) {
      if (version === undefined) unread.push(tag)
      else versions.set(tag, version)
    }
    if (unread.length === 0) return { versions, unborn }
    return chain(this.cache.tryLookup([], [], unread), (found) => {
      const { snapshot } = orFail(found)
      if (frame.isOutdated(unread)) return undefined
      for (const [tag, version] of snapshot.versions) versions.set(tag, version)
      return { versions, unborn: [...unborn, ...snapshot.unborn] }
    })
  }

  /**
   * Learns that a URI's responses vary on headers, as if one had been stored.
   *
   * @returns The key that such a request's page has now.
   * @throws CacheBackendError: the cache failed.
   * @see Django, `learn_cache_key`
   */
  async learn(
    request: PageRequest,
    vary: readonly string[],
    seconds: number | null,
  ): Promise<string> {
    const known = this.#knownOf(request)
    const records = [known.generationKey, known.headerListKey]
    const [first, second] = (await this.#read(records, known, NO_TAG_NAMES)).values
    const current = decodeGeneration(first)
    const generation = current?.generation ?? newTagVersion()
    const list = known.readHeaderList(second)
    const before = list?.generation === generation ? list : undefined
    const learned = toHeaderList(vary, request.language !== undefined)
    const headerList = before === undefined ? learned : growHeaderList(before.headerList, learned)
    const untilMs = seconds === null ? null : Date.now() + seconds * 1000
    const expiresAtMs = latest(untilMs, before)
    const timeout = { timeout: secondsUntil(expiresAtMs) }
    if (current === undefined) {
      const record = { generation, invalidated: false, expiresAtMs }
      await this.cache.add(known.generationKey, encodeGeneration(record), timeout)
    } else if (isLater(expiresAtMs, current.expiresAtMs)) {
      await this.cache.touch(known.generationKey, timeout)
    }
    const record = encodeHeaderList({ generation, expiresAtMs, headerList })
    await this.cache.set(known.headerListKey, record, timeout)
    return this.#candidates(known, request, headerList)[0] ?? ''
  }

  /**
   * Drops every page of a URI, those too whose views are running.
   *
   * @throws CacheBackendError: the cache failed; the pages may still be there.
   * @remarks In this process it counts at once, also while the cache has still to confirm it.
   */
  async invalidate(uri: string): Promise<void> {
    const expiresAtMs = Date.now() + INVALIDATION_SECONDS * 1000
    const record = { generation: newTagVersion(), invalidated: true, expiresAtMs }
    const key = generationKey({ keyPrefix: this.keyPrefix, uri })
    const done = this.cache.set(key, encodeGeneration(record), { timeout: INVALIDATION_SECONDS })
    const settled = done.then(ignore, ignore)
    this.#invalidations.set(uri, settled)
    try {
      await done
    } finally {
      if (this.#invalidations.get(uri) === settled) this.#invalidations.delete(uri)
    }
  }

  /**
   * Drops the page of one variant of a URI, also if its view is running in this process.
   *
   * @param variant - The request headers it varies on, and its language and time zone.
   * @throws CacheBackendError: the cache failed; the page may still be there.
   */
  async invalidateVariant(variant: PageRequest): Promise<void> {
    const known = this.#knownOf(variant)
    const { headerList } = await this.lookup(variant)
    const keys = this.#candidates(known, variant, headerList)
    const moment = ++this.#moment
    for (const key of keys) this.#dropped.set(key, moment)
    await this.cache.deleteMany(keys)
  }
}

/** One record, or a page. */
interface Write {
  readonly key: string
  readonly value: unknown
  readonly expiresAtMs: Deadline
  readonly ifAbsent?: boolean
}

function isAuthorized({ headers }: PageRequest): boolean {
  return headers['authorization'] !== undefined
}

function isNominated({ nominated }: StoredHead, name: string): boolean {
  return nominated.some((header) => header[0] === name)
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((name, i) => name === b[i]))
}

/** Only the tags that were asked for: others were read along for the page that is there. */
function snapshotOf({ versions, unborn }: TagSnapshot, tags: readonly string[]): TagSnapshot {
  return {
    versions: new Map([...versions].filter(([tag]) => tags.includes(tag))),
    unborn: unborn.filter((tag) => tags.includes(tag)),
  }
}

/** The later of a page's deadline and a record's. */
function latest(
  keptUntilMs: Deadline,
  before: Pick<HeaderListRecord, 'expiresAtMs'> | undefined,
): Deadline {
  if (before === undefined || isLater(keptUntilMs, before.expiresAtMs)) return keptUntilMs
  return before.expiresAtMs
}

/** Whether nobody invalidated the URI since the view began. */
function isStillSeen(current: GenerationRecord | undefined, seen: PageLookup): boolean {
  // What was there and is gone was invalidated by other means, such as `clear`.
  if (current === undefined) return seen.generation === undefined
  if (current.generation === seen.generation) return true
  return seen.generation === undefined && !current.invalidated
}

/** The cache has reported its outage. */
function orFail<T>(found: T | undefined): T {
  if (found === undefined) throw new CacheBackendError('the cache failed')
  return found
}

/** Deadlines; `null` is never. */
function isLater(a: Deadline, b: Deadline): boolean {
  return b !== null && (a === null || a > b)
}

function secondsUntil(deadline: Deadline): number | null {
  return deadline === null ? null : (deadline - Date.now()) / 1000
}

function ignore(): void {
  // Whoever asked for the write is told.
}

/** A cache that hangs must not keep a page waiting for ever. */
function withinLimit<T>(promise: Promise<T>, limitMs = LIMIT_MS): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new CacheBackendError(`the cache did not answer within ${limitMs} ms`)),
      limitMs,
    )
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
