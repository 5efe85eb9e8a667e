import { BoundedMemo } from '../bounded-memo.js'
import { coreOf, type CacheCore } from '../backend/core.js'
import type { Invalidating } from '../backend/late-invalidations.js'
import {
  orUndefined,
  refusalBy,
  refusalOf,
  whyUnwritten,
  type CacheRefusal,
} from '../backend/refusal.js'
import type { Cache } from '../cache.js'
import { currentMs } from '../current-time.js'
import { CacheBackendError } from '../errors.js'
import { fitnessOf } from '../making/fitness.js'
import type { WriteOutcome } from '../backend/store.js'
import type { MissCause } from '../observe/miss-cause.js'
import type { UnstoredReason } from '../observe/reasons.js'
import type { RememberedEntries } from '../observe/remembered.js'
import { generationKey, variantHash, variantKey } from '../http/page-key.js'
import { encodeGeneration, encodeList } from './page-records.js'
import {
  countVariant,
  inPlaceOf,
  isLater,
  isStillSeen,
  latest,
  secondsUntil,
  toRequests,
  type Condition,
  type Write,
} from './page-writes.js'
import { CookieReaders } from './cookie-readers.js'
import { Drops, isMark } from './drops.js'
import { generationOf } from './generations.js'
import { PageTurns } from './turns.js'
import {
  encodeStoredResponse,
  encodeStoredText,
  nominate,
  type StoredHead,
  type StoredResponse,
} from '../http/stored-response.js'
import { growHeaderList } from '../http/vary.js'
import { chain, isPromise, type MaybePromise } from '../maybe-promise.js'
import { NO_VERSIONS } from '../tags.js'
import { isExpired } from '../timeout.js'
import { answeredInTime, orFail } from './ask-cache.js'
import type { KnownUri } from './known-uris.js'
import { causeOfPage, pageSubject } from './page-cause.js'
import type { NewPage, PageLookup, PageRequest, StoreOutcome } from './page.js'
import {
  AUTHORIZATION,
  isAuthorized,
  MAX_VARIANTS,
  NO_TAG_NAMES,
  PageReader,
  withRouted,
  type PageStoreOptions,
} from './page-reader.js'
import { clearDamage, readUriRecords } from './uri-records.js'

/** How long a lookup waits for a page that is being stored. */
const WRITING_LIMIT_MS = 500

const NO_VARIANTS: ReturnType<typeof countVariant> = { surplus: [] }

/** Why something was not written of what belongs together; that of the last counts most. */
function whyNotAll(outcomes: readonly (WriteOutcome | CacheRefusal)[]): UnstoredReason | undefined {
  return whyUnwritten(outcomes.findLast((outcome) => outcome !== 'stored') ?? 'stored')
}

/** The pages in one cache under one key prefix. */
export class PageStore {
  readonly #turns = new PageTurns()
  readonly #drops: Drops
  readonly cookieReaders = new CookieReaders()
  /** The number of pages that were stored, and for each URI the number of its last one. */
  #arrivals = 0
  readonly #arrived = new BoundedMemo<number>(() => 16)
  readonly #reader: PageReader
  readonly cache: CacheCore

  constructor(
    readonly api: Cache,
    readonly alias: string,
    readonly keyPrefix: string,
    readonly options: PageStoreOptions = { maxVariants: MAX_VARIANTS, rfc9111: false },
  ) {
    const cache = coreOf(api)
    this.cache = cache
    // A prefix that the cache refuses is reported now, not for each page.
    cache.checkedKey(generationKey({ keyPrefix, uri: '' }))
    this.#reader = new PageReader(cache, keyPrefix, options)
    this.#drops = new Drops(api, keyPrefix, this.#reader)
  }

  /** Whether there is anything that keeps pages: not in a `DummyCache`. */
  get keeps(): boolean {
    return !this.cache.store.keepsNothing
  }

  /** The key a request's page has, or would have, if its URI varies on these headers. */
  keyOf(request: PageRequest, headerList: readonly string[]): string {
    return this.#reader.keyOfPage(request, headerList)
  }

  /** Whether a page that was just stored is the one a request would be given. */
  answers(page: StoredResponse, request: PageRequest): boolean {
    return this.#reader.answers(page, request)
  }

  /**
   * Why a request was not answered with a page.
   *
   * @param siblings - What is remembered of the caches of the site.
   * @returns `undefined`: there is a fresh one.
   */
  causeOf(
    request: PageRequest,
    lookup: PageLookup,
    siblings: Iterable<RememberedEntries>,
  ): MissCause | undefined {
    const routed = withRouted(lookup.headerList, request)
    // As the first of its candidates is.
    const keyedBy = isAuthorized(request) ? growHeaderList(routed, AUTHORIZATION) : routed
    const values = this.#reader.valuesOf(keyedBy, request.headers)
    const subject = pageSubject(request, lookup.key, keyedBy, values)
    return causeOfPage(this.cache, subject, lookup, siblings)
  }

  /**
   * Looks for a request's page.
   *
   * @param tags - Their versions are read along.
   * @returns At once where the cache answers at once.
   * @throws CacheBackendError: the cache failed, or took too long.
   */
  lookup(
    request: PageRequest,
    tags: readonly string[] = NO_TAG_NAMES,
    isCurrent = false,
  ): MaybePromise<PageLookup> {
    const look = () => this.#lookup(request, tags, isCurrent)
    if (!this.#drops.isPending(request.uri)) return look()
    return this.#drops.settle(request.uri).then(look)
  }

  #lookup(
    request: PageRequest,
    tags: readonly string[],
    isCurrent: boolean,
  ): MaybePromise<PageLookup> {
    const arrivals = this.#arrivals
    const find = () => this.#reader.find(request, tags, isCurrent)
    const found = find()
    if (!isPromise(found)) return found
    return found.then((lookup) => {
      if (lookup.page !== undefined) return lookup
      const writing = this.#turns.of(request.uri)
      if (writing === undefined) {
        // A page was stored here meanwhile: the cache's answer may be from before that.
        const isOvertaken = (this.#arrived.get(request.uri) ?? 0) > arrivals
        return isOvertaken ? find() : lookup
      }
      // The page is just being stored: it is worth a short wait.
      return answeredInTime(writing, WRITING_LIMIT_MS).then(find, () => lookup)
    })
  }

  /**
   * As {@link lookup}, but synchronous and counted as one look-up, where the cache answers at once.
   *
   * @returns `undefined` where {@link lookup} is needed.
   */
  lookupAtOnce(request: PageRequest): PageLookup | undefined {
    const { cache } = this
    if (!cache.answersAtOnce || cache.guard.isFailing) return undefined
    if (this.#drops.isPending(request.uri)) return undefined
    const startedMs = cache.calls.startLookup()
    let found: PageLookup
    try {
      found = this.#reader.findAtOnce(request)
    } catch {
      // By the other way it fails again, and that is reported.
      return undefined
    }
    cache.calls.lookedUp('get', found.key, found.page !== undefined, startedMs)
    return found
  }

  /**
   * Called before a request goes to its handler: reads what the look-up did not, so that any later invalidation
   * keeps the page from being stored.
   *
   * @returns The look-up, completed.
   */
  begin(request: PageRequest, lookup: PageLookup): MaybePromise<PageLookup> {
    const { cache } = this
    const absent = [...lookup.tags.keys()].filter((tag) => lookup.tags.get(tag) === undefined)
    const seen = new Map(absent.map((tag) => [tag, undefined]))
    // Also without tags: for tags that the handler declares, the clock of the cache has to be known.
    const isDue = absent.length > 0 || (cache.isShared && cache.clockTime === undefined)
    const begun = isDue ? cache.tryBegin([], { lying: [], seen }, absent) : undefined
    return chain(begun, (beginning) => {
      const tags = new Map([...lookup.tags, ...(beginning?.versions ?? NO_VERSIONS)])
      return chain(generationOf(cache, this.#reader.knownOf(request), lookup), (begunIn) =>
        chain(lookup.lying ?? cache.tryLying(cache.checkedKey(lookup.key)), (lying) => ({
          ...lookup,
          ...begunIn,
          tags,
          lying,
        })),
      )
    })
  }

  /**
   * Why no page of a request can be stored, as far as it is known before its handler is called: without a generation
   * of its URI invalidations would go unnoticed.
   *
   * @param lookup - As {@link begin} gave it.
   */
  refusalOf({ generation, refusal }: PageLookup): UnstoredReason | undefined {
    if (!this.cache.isShared || generation !== undefined) return undefined
    return refusal ?? refusalOf(this.cache)
  }

  /**
   * Stores a response.
   *
   * @param seen - What the look-up before the handler found. An invalidation since then wins.
   * @returns Also the page as it is stored, for requests that wait for it.
   * @remarks One at a time per URI in this process. Between processes nothing is lost that could
   *   make a page answer for another: at worst one is stored that is never found.
   */
  store(
    request: PageRequest,
    page: NewPage,
    seen: PageLookup,
  ): Promise<{ readonly outcome: StoreOutcome; readonly page?: StoredResponse }> {
    return this.#turns
      .take(request.uri, () => this.#store(request, page, seen))
      .catch((error: unknown) => {
        if (error instanceof CacheBackendError) return { outcome: refusalBy(error) }
        throw error
      })
  }

  async #store(
    request: PageRequest,
    page: NewPage,
    seen: PageLookup,
  ): Promise<{ readonly outcome: StoreOutcome; readonly page?: StoredResponse }> {
    const { cache } = this
    const { keptUntilMs } = page
    if (isExpired(keptUntilMs, currentMs())) return { outcome: 'stale' }
    await this.#drops.runningOver(request.uri)
    const known = this.#reader.knownOf(request)
    const { address } = known
    const records = await readUriRecords(this.#reader, request, page.vary)
    const { current, generation, list, headerList } = records
    const refused = this.refusalOf(seen)
    if (refused !== undefined) return { outcome: refused }
    if (!isStillSeen(current, seen, cache.isShared)) return { outcome: 'invalidated' }
    // Not part of the stored list: shared pages would then be keyed by credentials too.
    const isPrivateToSender = isAuthorized(request) && !page.head.isForAuthorized
    const routed = withRouted(headerList, request)
    const keyedBy = isPrivateToSender ? growHeaderList(routed, AUTHORIZATION) : routed
    const values = this.#reader.valuesOf(keyedBy, request.headers)
    const variant = variantHash(keyedBy, values)
    const key = variantKey(address, 'GET', variant, known.uriHash)
    const isDropped = () => this.#drops.wereDropped([key, seen.key, request.uri], seen.moment)
    if (isDropped()) return { outcome: 'invalidated' }
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
    // Local memory keeps texts by reference, and would copy bytes on each hit.
    const encode = cache.answersAtOnce ? encodeStoredText : encodeStoredResponse
    const value = encode(head, [...page.body, ...encoded.map(([, body]) => body)])

    const writes: Write[] = []
    if (current === undefined) {
      const value = encodeGeneration({ generation, invalidated: false, expiresAtMs: keptUntilMs })
      const key = known.generationKey
      writes.push({ key, value, expiresAtMs: keptUntilMs, ifAbsent: !records.isDamaged })
    } else if (isLater(keptUntilMs, current.expiresAtMs)) {
      // Never written over: that could undo an invalidation of another process.
      await this.api.touch(known.generationKey, { timeout: secondsUntil(keptUntilMs) })
    }
    const listUntilMs = latest(keptUntilMs, list)
    if (headerList !== list?.list || listUntilMs !== list.expiresAtMs) {
      const value = encodeList({ generation, expiresAtMs: listUntilMs, list: headerList })
      writes.push({ key: known.headerListKey, value, expiresAtMs: listUntilMs })
    }
    const { maxVariants } = this.options
    const own = { hash: variant, generation, keptUntilMs }
    const { write, surplus } =
      keyedBy.length === 0
        ? NO_VARIANTS
        : countVariant(own, records.variants, known.variantsKey, maxVariants)
    if (write !== undefined) writes.push(write)
    const condition = await this.#conditionAt(key, known, seen, generation)
    if (condition === undefined) {
      // The next handler begins with the key.
      if (key !== seen.key) await this.learn(request, page.vary, secondsUntil(keptUntilMs))
      return { outcome: 'overtaken' }
    }
    writes.push({ key, value, expiresAtMs: keptUntilMs, ...condition })

    const fitness = await fitnessOf({
      frame: page.frame,
      versions: NO_VERSIONS,
      claim: condition,
      deadline: keptUntilMs,
    })
    if (!fitness.isKept) return { outcome: fitness.reason }
    const { tags } = fitness
    if (isDropped()) return { outcome: 'invalidated' }
    const outcomes = await cache.tryStore(
      writes.map((write) => write.key),
      toRequests(
        writes,
        (key) => cache.checkedKey(key),
        tags,
        pageSubject(request, key, keyedBy, values, page, known.recordOf(generation, cache)),
      ),
    )
    const refusal = whyNotAll(outcomes)
    if (refusal !== undefined) {
      if (current === undefined) await clearDamage(this.api, this.#reader, known)
      return { outcome: refusal }
    }
    this.#arrived.set(request.uri, ++this.#arrivals)
    // Requests that wait and came after an invalidation must not get this page.
    if (isDropped()) return { outcome: 'invalidated' }
    if (surplus.length > 0) {
      const gone = surplus.map((old) => variantKey(address, 'GET', old, known.uriHash))
      await this.api.deleteMany(gone)
    }
    const stored = {
      ...head,
      body: Buffer.concat(page.body),
      encoded: encoded.map(([, body]) => body),
    }
    return { outcome: 'stored', page: stored }
  }

  /**
   * What has to be stored under a page's key for the page to replace it.
   *
   * @returns `undefined`: another page has been stored there since this one began, or its variant was dropped.
   */
  async #conditionAt(
    key: string,
    known: KnownUri,
    seen: PageLookup,
    generation: string,
  ): Promise<Condition | undefined> {
    if (key === seen.key && seen.lying !== undefined) return inPlaceOf(seen.lying.payload)
    // The key became known only with the response's `Vary`: a mark may be from after the handler began.
    const lying = orFail(await this.cache.tryLying(this.cache.checkedKey(key)))
    const { hits } = await this.#reader.readSlots([key, seen.key], known)
    const isTaken = this.#reader.decode(hits[0])?.generation === generation
    return isTaken || hits.some((hit) => isMark(hit?.value)) ? undefined : inPlaceOf(lying.payload)
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
    const known = this.#reader.knownOf(request)
    const { current, generation, list, headerList } = await readUriRecords(
      this.#reader,
      request,
      vary,
    )
    const untilMs = seconds === null ? null : currentMs() + seconds * 1000
    const expiresAtMs = latest(untilMs, list)
    const timeout = { timeout: secondsUntil(expiresAtMs) }
    if (current === undefined) {
      const record = { generation, invalidated: false, expiresAtMs }
      await this.api.add(known.generationKey, encodeGeneration(record), timeout)
    } else if (isLater(expiresAtMs, current.expiresAtMs)) {
      await this.api.touch(known.generationKey, timeout)
    }
    const learned = encodeList({ generation, expiresAtMs, list: headerList })
    await this.api.set(known.headerListKey, learned, timeout)
    return this.#reader.candidates(known, request, headerList)[0] ?? ''
  }

  /** Drops one page, unless another has been stored in its place. */
  async drop(request: PageRequest, key: string, seen: StoredResponse): Promise<void> {
    const known = this.#reader.knownOf(request)
    const drop = async () => {
      const [value] = await this.#reader.readValues([key], known)
      const page = this.#reader.decode({ value, tags: undefined })
      const isSeen = page?.generation === seen.generation && page.storedAtMs === seen.storedAtMs
      if (isSeen) await this.api.delete(key)
    }
    await this.#turns.take(request.uri, drop).catch((error: unknown) => {
      if (!(error instanceof CacheBackendError)) throw error
    })
  }

  /**
   * Drops every page of a URI, also pages whose handlers are running.
   *
   * @throws CacheBackendError: the cache failed; the pages may still be there.
   * @remarks In this process it counts at once, even before the cache has confirmed it.
   */
  invalidate(uri: string, how?: Invalidating): Promise<void> {
    return this.#drops.invalidate(uri, how)
  }

  /** The stored key of the record that all pages of a URI need. */
  recordKey(uri: string): string {
    return this.#drops.recordKey(uri)
  }

  /**
   * Drops the page of one variant of a URI, also one whose handler is running.
   *
   * @param variant - The request headers it varies on, and its language and time zone.
   * @throws CacheBackendError: the cache failed; the page may still be there.
   */
  async invalidateVariant(variant: PageRequest, how: Invalidating = {}): Promise<void> {
    const known = this.#reader.knownOf(variant)
    const looked = await orUndefined(() => this.lookup(variant, NO_TAG_NAMES, true))
    // It is not known, or not yet, which pages or running handlers are of that variant.
    if (looked?.isKnown !== true) return this.invalidate(variant.uri, how)
    const keys = this.#reader.candidates(known, variant, looked.headerList)
    await this.#drops.dropKeys(keys, how)
  }
}
