import { NO_TAGS, type TagSnapshot } from '../../src/backend.js'
import type { Cache } from '../../src/cache.js'
import { CacheBackendError } from '../../src/errors.js'
import type { Frame } from '../../src/fragment/frame.js'
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
import { chain, isPromise, type MaybePromise } from '../../src/maybe-promise.js'
import { operationChannel } from '../../src/observe.js'
import { newTagVersion } from '../../src/tags.js'
import { isExpired, type Deadline } from '../../src/timeout.js'

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
  ) {
    // A prefix that the cache cannot take shows now, not page by page.
    cache.checkedKey(generationKey({ keyPrefix, uri: '' }))
  }

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

  /** Local memory is asked without detours while nobody watches. */
  #read(key: string): MaybePromise<unknown> {
    const { cache } = this
    const storedKey = cache.checkedKey(key)
    if (cache.answersAtOnce && !operationChannel.hasSubscribers) {
      return chain(
        cache.guarded('get', () => cache.lookupOne(storedKey)),
        (hit) => hit?.value,
      )
    }
    return chain(cache.tryLookup([key], [storedKey], []), (found) => orFail(found).hits[0]?.value)
  }

  #readPair(keys: readonly [string, string]): MaybePromise<readonly [unknown, unknown]> {
    const { cache } = this
    if (cache.answersAtOnce && !operationChannel.hasSubscribers) {
      return chain(this.#read(keys[0]), (first) =>
        chain(this.#read(keys[1]), (second) => [first, second] as const),
      )
    }
    const storedKeys = keys.map((key) => cache.checkedKey(key))
    return chain(cache.tryLookup(keys, storedKeys, []), (found) => {
      const { hits } = orFail(found)
      return [hits[0]?.value, hits[1]?.value] as const
    })
  }

  /**
   * Stores a response.
   *
   * @param seen - What the lookup before the view found. An invalidation since then wins.
   * @remarks One at a time per URI in this process. Between processes nothing is lost that could
   *   make a page answer for another: at worst one is stored that nobody finds.
   */
  store(request: PageRequest, page: NewPage, seen: PageLookup): Promise<StoreOutcome> {
    return this.#inTurn(request.uri, () => this.#store(request, page, seen)).catch(
      (error: unknown) => {
        if (error instanceof CacheBackendError) return 'cache-failed'
        throw error
      },
    )
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
    const { cache } = this
    const { freshUntilMs } = page.head
    if (isExpired(freshUntilMs, Date.now())) return 'stale'
    const address = this.#address(request)
    const uriHash = md5(request.uri)
    const keys = [generationKey(address, uriHash), headerListKey(address, uriHash)] as const
    const [first, second] = await this.#readPair(keys)
    const current = decodeGeneration(first)
    if (!isStillSeen(current, seen)) return 'invalidated'
    const generation = current?.generation ?? newTagVersion()

    const list = decodeHeaderList(second)
    const known = list?.generation === generation ? list : undefined
    const learned = toHeaderList(page.vary, request.language !== undefined)
    const headerList = known === undefined ? learned : growHeaderList(known.headerList, learned)
    const key = pageKey(address, 'GET', headerList, request.headers, uriHash)
    // Texts are kept by reference where answers come at once; bytes would be copied on each hit.
    const encode = cache.answersAtOnce ? encodeStoredText : encodeStoredResponse
    const value = encode(
      {
        ...page.head,
        uri: request.uri,
        language: request.language,
        timeZone: request.timeZone,
        generation,
        nominated: nominate(headerList, request.headers),
      },
      page.body,
    )

    const writes: { key: string; value: unknown; expiresAtMs: Deadline; ifAbsent?: boolean }[] = []
    if (current === undefined) {
      const value = encodeGeneration({ generation, invalidated: false, expiresAtMs: freshUntilMs })
      // What is there and cannot be read is no invalidation to keep.
      const ifAbsent = first === undefined
      writes.push({ key: keys[0], value, expiresAtMs: freshUntilMs, ifAbsent })
    } else if (isLater(freshUntilMs, current.expiresAtMs)) {
      // Never written over: that could undo an invalidation of another process.
      await cache.touch(keys[0], { timeout: secondsUntil(freshUntilMs) })
    }
    const expiresAtMs =
      known === undefined || isLater(freshUntilMs, known.expiresAtMs)
        ? freshUntilMs
        : known.expiresAtMs
    if (headerList !== known?.headerList || expiresAtMs !== known.expiresAtMs) {
      const value = encodeHeaderList({ generation, expiresAtMs, headerList })
      writes.push({ key: keys[1], value, expiresAtMs })
    }
    writes.push({ key, value, expiresAtMs: freshUntilMs })

    const tags = await this.#snapshot(page.frame)
    if (tags === undefined) return 'invalidated'
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
    if (orFail(outcomes).every((outcome) => outcome === 'stored')) return 'stored'
    if (current === undefined) await this.#clearDamage(keys[0])
    return 'cache-refused'
  }

  /** A damaged record reads as none, and still no other can be added: the next page is to be kept. */
  async #clearDamage(key: string): Promise<void> {
    if (decodeGeneration(await this.#read(key)) === undefined) await this.cache.delete(key)
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
