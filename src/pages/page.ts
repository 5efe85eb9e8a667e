import type { SeenVersions, TagVersions } from '../tags.js'
import type { Frame } from '../making/frame.js'
import type { UnstoredReason } from '../observe/reasons.js'
import type { Lost } from '../observe/remembered.js'
import type { HeaderFields } from '../http/header-values.js'
import type { StoredHead, StoredResponse } from '../http/stored-response.js'
import type { Deadline } from '../timeout.js'
import type { LateReason } from './reasons.js'

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

/** What a look-up found. */
export interface PageLookup {
  /** Fresh or not. */
  readonly page: StoredResponse | undefined
  /** The URI's generation; `undefined` if there is none yet. */
  readonly generation: string | undefined
  /** Why no page of the URI can be stored, where that is known before one is rendered. */
  readonly refusal?: UnstoredReason | undefined
  /** The headers the URI's responses are known to vary on. */
  readonly headerList: readonly string[]
  /** The key of the request's page, as far as it is known which headers its URI varies on. */
  readonly key: string
  /** It is known which headers its URI varies on: it has pages, or had some recently. */
  readonly isKnown: boolean
  /** The versions of the tags that the page was stored with. */
  readonly pageTags: TagVersions | undefined
  /** A soft invalidation made the page stale: its handler must not confirm it. */
  readonly isSoft?: boolean | undefined
  /** The versions of the tags that were asked for. */
  readonly tags: SeenVersions
  /**
   * What is stored under its key, readable or not: the new page may replace only that. Left out: it was not read.
   */
  readonly lying?: { readonly payload: unknown } | undefined
  /** What lies under its key and is no page any more, where that is known. */
  readonly lost?: Lost | undefined
  /** When it was looked up, as a number in the order of events in this store. */
  readonly moment: number
}

/** A response to store. */
export interface NewPage {
  /** The head, without what the store adds. */
  readonly head: Omit<
    StoredHead,
    'uri' | 'language' | 'timeZone' | 'generation' | 'nominated' | 'codings'
  >
  readonly body: readonly Uint8Array[]
  /** The body in other codings. */
  readonly encoded?: readonly (readonly [coding: string, body: Buffer])[]
  /** The names in its `Vary`, in lower case. */
  readonly vary: readonly string[]
  /** It is kept until then, fresh or stale. Milliseconds since the epoch; `null`: no limit. */
  readonly keptUntilMs: Deadline
  /** As in statistics, such as `GET /countries/:code`. */
  readonly route?: string
  /** The frame that collected what the page depends on. */
  readonly frame: Frame
}

/**
 * What became of a response that was to be stored. `stored`: it is. `invalidated`: its URI was invalidated since
 * the handler began. `overtaken`: another page was stored meanwhile. `stale`: it has expired. `cache-refused` and
 * `cache-failed`: the cache did not take it. `busy`: too many pages of the URI wait to be stored. The others are
 * reasons of its content.
 */
export type StoreOutcome = 'stored' | LateReason
