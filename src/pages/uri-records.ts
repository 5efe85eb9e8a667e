import type { Cache } from '../cache.js'
import { growHeaderList, toHeaderList } from '../http/vary.js'
import { newTagVersion } from '../tags.js'
import type { KnownUri } from './known-uris.js'
import type { PageReader } from './page-reader.js'
import { decodeGeneration, type GenerationRecord, type ListRecord } from './page-records.js'
import type { PageRequest } from './page.js'

/** What the cache knows of a URI. */
export interface UriRecords {
  readonly current: GenerationRecord | undefined
  /** A record of the generation is there, and cannot be read. */
  readonly isDamaged: boolean
  /** The current one, or one that begins now. */
  readonly generation: string
  /** The headers that its responses vary on, as they are stored in this generation. */
  readonly list: ListRecord | undefined
  /** The same with those that were learned. */
  readonly headerList: readonly string[]
  /** The record of its variants, as it is stored. */
  readonly variants: unknown
}

/**
 * What the cache knows of a request's URI.
 *
 * @param vary - The names that another response of it varies on; they are learned.
 */
export async function readUriRecords(
  reader: PageReader,
  request: PageRequest,
  vary: readonly string[],
): Promise<UriRecords> {
  const known = reader.knownOf(request)
  const keys = [known.generationKey, known.headerListKey, known.variantsKey]
  const [first, second, variants] = await reader.readValues(keys, known)
  const current = decodeGeneration(first)
  const generation = current?.generation ?? newTagVersion()
  const stored = known.readHeaderList(second)
  const list = stored?.generation === generation ? stored : undefined
  const learned = toHeaderList(vary, request.language !== undefined)
  const headerList = list === undefined ? learned : growHeaderList(list.list, learned)
  const isDamaged = current === undefined && first !== undefined
  return { current, isDamaged, generation, list, headerList, variants }
}

/** Removes a damaged record, which reads as none and yet keeps another from being added. */
export async function clearDamage(api: Cache, reader: PageReader, known: KnownUri): Promise<void> {
  const key = known.generationKey
  const [value] = await reader.readValues([key], known)
  if (decodeGeneration(value) === undefined) await api.delete(key)
}
