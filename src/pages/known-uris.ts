import type { CacheCore } from '../backend/core.js'
import { BoundedMemo, bytesOfText, bytesOfTexts } from '../bounded-memo.js'
import {
  generationKey,
  headerListKey,
  md5,
  pageKey,
  variantsKey,
  type PageAddress,
} from '../http/page-key.js'
import { decodeGeneration, decodeHeaderList, type ListRecord } from './page-records.js'
import type { HeaderFields } from '../http/header-values.js'
import type { NeededRecord } from '../observe/remembered.js'

/** Longer ones are not worth the memory. */
const MAX_URI_LENGTH = 2048

/** What is known of a URI beside the URI itself, its tags and the key prefix, which is in each key. */
const KNOWN_BYTES = 1500
const KEYS = 7

const NO_HEADERS: readonly string[] = Object.freeze([])

/**
 * What the last look-up of a URI found out, to make the next one faster: hashes, keys, and its decoded records.
 * A record is used only if the cache still gives the same text, so that this never answers for the cache.
 */
export class KnownUri {
  readonly uriHash: string
  readonly generationKey: string
  readonly headerListKey: string
  readonly variantsKey: string
  /** Tags that its page was found to have; the next look-up reads their versions together with the page. */
  tags: readonly string[] = NO_HEADERS
  #generationValue: unknown
  #generation: string | undefined
  #listValue: unknown
  #list: ListRecord | undefined
  #keyWithoutHeaders: string | undefined
  /** The key of requests without any of the headers in a list: mostly requests without a cookie. */
  #absent: { readonly headerList: readonly string[]; readonly key: string } | undefined
  readonly #storedKeys = new Map<string, string>()

  constructor(readonly address: PageAddress) {
    this.uriHash = md5(address.uri)
    this.generationKey = generationKey(address, this.uriHash)
    this.headerListKey = headerListKey(address, this.uriHash)
    this.variantsKey = variantsKey(address, this.uriHash)
  }

  /** The headers that it probably varies on. */
  get guess(): readonly string[] {
    return this.#list?.list ?? NO_HEADERS
  }

  /** Reads the record of its generation. */
  readGeneration(value: unknown): string | undefined {
    if (value !== this.#generationValue) this.#generation = decodeGeneration(value)?.generation
    // The same string object is compared quickly next time.
    this.#generationValue = value
    return this.#generation
  }

  /** What has to be stored for a page of a generation to be found. */
  recordOf(generation: string, cache: Pick<CacheCore, 'checkedKey'>): NeededRecord {
    return {
      storedKey: this.storedKey(this.generationKey, (key) => cache.checkedKey(key)),
      fits: (value) => decodeGeneration(value)?.generation === generation,
    }
  }

  /** Reads the record of its header list. */
  readHeaderList(value: unknown): ListRecord | undefined {
    if (value !== this.#listValue) this.#list = decodeHeaderList(value)
    this.#listValue = value
    return this.#list
  }

  /**
   * The stored key. That of keys which are the same for every request is remembered, since a new string would
   * have to be hashed on each look-up.
   */
  storedKey(key: string, toStored: (key: string) => string): string {
    let stored = this.#storedKeys.get(key)
    if (stored === undefined) {
      stored = toStored(key)
      if (this.#isFixed(key)) this.#storedKeys.set(key, stored)
    }
    return stored
  }

  #isFixed(key: string): boolean {
    if (key === this.generationKey || key === this.headerListKey) return true
    return key === this.#keyWithoutHeaders || key === this.#absent?.key
  }

  keyOf(headerList: readonly string[], headers: HeaderFields): string {
    if (headerList.length === 0) {
      return (this.#keyWithoutHeaders ??= this.#make(headerList, headers))
    }
    if (headerList.some((name) => headers[name] !== undefined)) {
      return this.#make(headerList, headers)
    }
    if (this.#absent?.headerList !== headerList) {
      this.#absent = { headerList, key: this.#make(headerList, headers) }
    }
    return this.#absent.key
  }

  #make(headerList: readonly string[], headers: HeaderFields): string {
    return pageKey(this.address, 'GET', headerList, headers, this.uriHash)
  }
}

/** The URIs that were looked up last. */
export class KnownUris {
  readonly #uris = new BoundedMemo(bytesOfKnown)

  constructor(private readonly keyPrefix: string) {}

  of(uri: string, language: string | undefined, timeZone: string | undefined): KnownUri {
    const id = idOf(uri, language, timeZone)
    const known = this.#uris.get(id)
    if (known !== undefined) return known
    const made = new KnownUri({ keyPrefix: this.keyPrefix, uri, language, timeZone })
    if (uri.length <= MAX_URI_LENGTH) this.#uris.set(id, made)
    return made
  }

  /** Notes the tags that a URI's page has. */
  learnTags(known: KnownUri, tags: ReadonlyMap<string, unknown>): void {
    if (known.tags.length === tags.size && known.tags.every((tag) => tags.has(tag))) return
    known.tags = [...tags.keys()]
    const { uri, language, timeZone } = known.address
    // It takes more memory than was counted before.
    if (uri.length <= MAX_URI_LENGTH) this.#uris.set(idOf(uri, language, timeZone), known)
  }
}

function idOf(uri: string, language: string | undefined, timeZone: string | undefined): string {
  if (language === undefined && timeZone === undefined) return uri
  return `${uri}\n${language ?? ''}\n${timeZone ?? ''}`
}

function bytesOfKnown({ address: { uri, keyPrefix }, tags }: KnownUri): number {
  return KNOWN_BYTES + bytesOfText(uri) + KEYS * keyPrefix.length + bytesOfTexts(tags)
}
