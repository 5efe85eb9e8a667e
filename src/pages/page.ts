import type { SeenVersions, TagVersions } from '../tags.js'
import type { Frame } from '../making/frame.js'
import type { HeaderFields } from '../http/header-values.js'
import type { StoredHead, StoredResponse } from '../http/stored-response.js'
import type { Deadline } from '../timeout.js'
import type { UnstoredReason } from './reasons.js'

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
  /** The versions of the tags that the page was stored with. */
  readonly pageTags: TagVersions | undefined
  /** A soft invalidation made the page stale, and it is not to be found still current. */
  readonly isSoft?: boolean | undefined
  /** The versions of the tags that were asked for. */
  readonly tags: SeenVersions
  /**
   * What lay under its key, of whatever worth: a page is stored in place of that alone. Left out: it was
   * not looked.
   */
  readonly lying?: { readonly payload: unknown } | undefined
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
 * What became of a response that was to be stored: it is; the URI was invalidated since its handler
 * began, or may have been; another one was stored meanwhile; its time was up; the cache would not take it;
 * it failed; or too many wait to be stored for this URI.
 */
export type StoreOutcome = 'stored' | UnstoredReason
