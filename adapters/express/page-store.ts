import type { Cache } from '../../src/cache.js'
import type { HeaderFields } from '../../src/http/header-values.js'
import {
  generationKey,
  headerListKey,
  md5,
  pageKey,
  type PageAddress,
} from '../../src/http/page-key.js'
import {
  decodeGeneration,
  decodeHeaderList,
  encodeGeneration,
  encodeHeaderList,
  type GenerationRecord,
  type HeaderListRecord,
} from '../../src/http/page-records.js'
import {
  answersRequest,
  decodeStoredResponse,
  encodeStoredResponse,
  nominate,
  type StoredHead,
  type StoredResponse,
} from '../../src/http/stored-response.js'
import { growHeaderList, toHeaderList } from '../../src/http/vary.js'
import { chain, isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import { operationChannel } from '../../src/observe.js'
import { newTagVersion } from '../../src/tags.js'

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
  readonly page: StoredResponse | undefined
  /** The URI's generation; `undefined` if there is none yet. */
  readonly generation: string | undefined
  /** The headers the URI's responses are known to vary on. */
  readonly headerList: readonly string[]
}

/** A response to store. */
export interface NewPage {
  /** What the response itself knows of its head. */
  readonly head: Omit<StoredHead, 'uri' | 'language' | 'timeZone' | 'generation' | 'nominated'>
  readonly body: readonly Uint8Array[]
  /** The names in its `Vary`, in lower case. */
  readonly vary: readonly string[]
}

/**
 * What became of a response that was to be stored: it is; the URI was invalidated since its view
 * began; its time was up; the cache would not take it; or too many wait to be stored for this URI.
 */
export type StoreOutcome = 'stored' | 'invalidated' | 'stale' | 'cache-refused' | 'busy'

/** How long anybody waits for the cache. Backends have shorter limits; this is for those without. */
const LIMIT_MS = 2000

/** How long a lookup waits for a page that is being stored. */
const WRITING_LIMIT_MS = 500

/** How long at least an invalidation stands against views that began before it. */
const INVALIDATION_SECONDS = 300

/** More responses of one URI than this do not wait for each other. */
const MAX_WAITING = 16

/** The pages in one cache under one key prefix. */
export class PageStore {
  readonly #writes = new Map<string, { last: Promise<unknown>; count: number }>()

  constructor(
    readonly cache: Cache,
    readonly alias: string,
    readonly keyPrefix: string,
  ) {}

  /** The key a request's page has, or would have, if its URI varies on these headers. */
  keyOf(request: PageRequest, headerList: readonly string[]): string {
    // HEAD is answered from GET's page.
    return pageKey(this.#address(request), 'GET', headerList, request.headers)
  }

  #address({ uri, language, timeZone }: PageRequest): PageAddress {
    return { keyPrefix: this.keyPrefix, uri, language, timeZone }
  }

  /**
   * Looks for a request's page.
   *
   * @returns At once where the cache answers at once.
   * @throws CacheBackendError: the cache failed, or took too long.
   */
  lookup(request: PageRequest): MaybePromise<PageLookup> {
    const found = this.#find(request)
    if (!isPromise(found)) return found
    return withinLimit(
      found.then((lookup) => {
        const writing = lookup.page === undefined ? this.#writes.get(request.uri) : undefined
        if (writing === undefined) return lookup
        // Just answered here and on its way into the cache: worth a moment.
        return withinLimit(writing.last, WRITING_LIMIT_MS).then(
          () => this.#find(request),
          () => lookup,
        )
      }),
    )
  }

  #find(request: PageRequest): MaybePromise<PageLookup> {
    const address = this.#address(request)
    const uriHash = md5(request.uri)
    const keys = [generationKey(address, uriHash), headerListKey(address, uriHash)] as const
    return chain(this.#readPair(keys), ([first, second]) => {
      const generation = decodeGeneration(first)?.generation
      const list = decodeHeaderList(second)
      if (list === undefined || list.generation !== generation) {
        return { page: undefined, generation, headerList: [] }
      }
      const { headerList } = list
      const key = pageKey(address, 'GET', headerList, request.headers, uriHash)
      return chain(this.#read(key), (value) => {
        const page = decodeStoredResponse(value)
        const answers =
          page?.generation === generation &&
          page !== undefined &&
          answersRequest(page, address, request.headers)
        return { page: answers ? page : undefined, generation, headerList }
      })
    })
  }

  #answersAtOnce(): boolean {
    return this.cache.answersAtOnce && !operationChannel.hasSubscribers
  }

  #read(key: string): MaybePromise<unknown> {
    if (!this.#answersAtOnce()) return this.cache.get(key)
    return chain(this.cache.lookupOne(this.cache.checkedKey(key)), (hit) => hit?.value)
  }

  #readPair(keys: readonly [string, string]): MaybePromise<readonly [unknown, unknown]> {
    if (this.#answersAtOnce()) {
      return chain(this.#read(keys[0]), (first) =>
        chain(this.#read(keys[1]), (second) => [first, second] as const),
      )
    }
    return this.cache.getMany(keys).then((found) => [found.get(keys[0]), found.get(keys[1])])
  }

  /**
   * Stores a response.
   *
   * @param seen - What the lookup before the view found. An invalidation since then wins.
   * @throws CacheBackendError: the cache failed, or took too long.
   * @remarks One at a time per URI in this process. Between processes nothing is lost that could
   *   make a page answer for another: at worst one is stored that nobody finds.
   */
  store(request: PageRequest, page: NewPage, seen: PageLookup): Promise<StoreOutcome> {
    return this.#inTurn(request.uri, () => this.#store(request, page, seen))
  }

  #inTurn<T>(uri: string, write: () => Promise<T>): Promise<T | 'busy'> {
    const turn = this.#writes.get(uri)
    if (turn !== undefined && turn.count >= MAX_WAITING) return Promise.resolve('busy')
    const entry = turn ?? { last: Promise.resolve(), count: 0 }
    this.#writes.set(uri, entry)
    entry.count++
    const result = entry.last.then(() => withinLimit(write()))
    entry.last = result
      .then(ignore, ignore)
      .then(() => void (--entry.count === 0 && this.#writes.delete(uri)))
    return result
  }

  async #store(request: PageRequest, page: NewPage, seen: PageLookup): Promise<StoreOutcome> {
    const { freshUntilMs } = page.head
    const nowMs = Date.now()
    if (freshUntilMs !== null && freshUntilMs <= nowMs) return 'stale'
    const address = this.#address(request)
    const uriHash = md5(request.uri)
    const keys = [generationKey(address, uriHash), headerListKey(address, uriHash)] as const
    const [first, second] = await this.#readPair(keys)
    const generation = await this.#settle(keys[0], decodeGeneration(first), seen, freshUntilMs)
    if (generation === undefined) return 'invalidated'

    const learned = toHeaderList(page.vary, request.language !== undefined)
    const known = currentList(decodeHeaderList(second), generation.generation)
    const headerList = known === undefined ? learned : growHeaderList(known.headerList, learned)
    const bytes = encodeStoredResponse(
      {
        ...page.head,
        uri: request.uri,
        language: request.language,
        timeZone: request.timeZone,
        generation: generation.generation,
        nominated: nominate(headerList, request.headers),
      },
      page.body,
    )
    const key = pageKey(address, 'GET', headerList, request.headers, uriHash)
    const timeout = freshUntilMs === null ? null : (freshUntilMs - nowMs) / 1000
    const grown = headerList !== known?.headerList
    const prolonged = known === undefined || isLater(freshUntilMs, known.expiresAtMs)
    if (prolonged) {
      const list = { generation: generation.generation, expiresAtMs: freshUntilMs, headerList }
      const entries: [string, unknown][] = [
        [keys[1], encodeHeaderList(list)],
        [key, bytes],
      ]
      const failed = await this.cache.setMany(entries, { timeout })
      return failed.length === 0 ? 'stored' : 'cache-refused'
    }
    if (grown) await this.#writeList(keys[1], { ...known, headerList }, nowMs)
    await this.cache.set(key, bytes, { timeout })
    return 'stored'
  }

  /**
   * The generation a response belongs to; begins one if there is none.
   *
   * @returns `undefined` if the URI was invalidated since the view began.
   */
  async #settle(
    key: string,
    current: GenerationRecord | undefined,
    seen: PageLookup,
    freshUntilMs: number | null,
  ): Promise<GenerationRecord | undefined> {
    if (current === undefined) {
      // It was there when the view began: invalidated by other means, such as `clear`.
      if (seen.generation !== undefined) return undefined
      const begun = { generation: newTagVersion(), invalidated: false, expiresAtMs: freshUntilMs }
      const timeout = freshUntilMs === null ? null : (freshUntilMs - Date.now()) / 1000
      if (await this.cache.add(key, encodeGeneration(begun), { timeout })) return begun
      current = decodeGeneration(await this.cache.get(key))
    }
    if (current === undefined) return undefined
    const isOurs =
      seen.generation === undefined ? !current.invalidated : current.generation === seen.generation
    if (!isOurs) return undefined
    if (isLater(freshUntilMs, current.expiresAtMs)) {
      const timeout = freshUntilMs === null ? null : (freshUntilMs - Date.now()) / 1000
      await this.cache.touch(key, { timeout })
    }
    return current
  }

  async #writeList(key: string, list: HeaderListRecord, nowMs: number): Promise<void> {
    const { expiresAtMs } = list
    const timeout = expiresAtMs === null ? null : (expiresAtMs - nowMs) / 1000
    await this.cache.set(key, encodeHeaderList(list), { timeout })
  }

  /**
   * Drops every page of a URI, those too whose views are running.
   *
   * @throws CacheBackendError: the cache failed; the pages may still be there.
   */
  async invalidate(uri: string): Promise<void> {
    const expiresAtMs = Date.now() + INVALIDATION_SECONDS * 1000
    const record = { generation: newTagVersion(), invalidated: true, expiresAtMs }
    const key = generationKey({ keyPrefix: this.keyPrefix, uri })
    await this.cache.set(key, encodeGeneration(record), { timeout: INVALIDATION_SECONDS })
  }
}

function currentList(
  list: HeaderListRecord | undefined,
  generation: string,
): HeaderListRecord | undefined {
  return list?.generation === generation ? list : undefined
}

/** Deadlines; `null` is never. */
function isLater(a: number | null, b: number | null): boolean {
  return b !== null && (a === null || a > b)
}

function ignore(): void {
  // Whoever asked for the write is told.
}

/** A cache that hangs must not keep a page waiting for ever. */
function withinLimit<T>(promise: Promise<T>, limitMs = LIMIT_MS): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`the cache did not answer within ${limitMs} ms`)),
      limitMs,
    )
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
